import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Connection,
  connect,
  expose,
  Listener,
  Pipe,
  type Remote,
  RemoteError,
  SharedMemory,
  serve,
  wrap,
} from 'ringway';
import { describe, expect, expectTypeOf, it } from 'vitest';
import { freshName, opening, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random } from './helpers/random.js';
import { startProcess } from './helpers/remote.js';
import { runScript } from './helpers/script.js';

useOwnDirectory();

/** A promise and its ends, for tests that decide when something happens. */
function gate<Value = void>() {
  let open!: (value: Value) => void;
  const opened = new Promise<Value>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

class Base {
  inherited() {
    return 'inherited';
  }
}

class Service extends Base {
  #secret = 42;
  readonly limits = { most: 3 };
  own = (text: string) => text.toUpperCase();
  /** What happened, in order. */
  readonly log: string[] = [];
  readonly aborted = gate<unknown>();
  readonly #gates = new Map<string, ReturnType<typeof gate<number>>>();

  add(a: number, b: number) {
    return a + b;
  }
  async later(name: string) {
    return this.gate(name).opened;
  }
  gate(name: string) {
    let found = this.#gates.get(name);
    if (found === undefined) {
      found = gate<number>();
      this.#gates.set(name, found);
    }
    return found;
  }
  openGate(name: string, value: number) {
    this.gate(name).open(value);
  }
  get getter() {
    this.log.push('getter');
    return () => this.#secret;
  }
  fail() {
    const cause = new AggregateError([new SyntaxError('first')], 'several');
    throw Object.assign(new RangeError('out of range', { cause }), { code: 'E_RANGE', details: { limit: 3 } });
  }
  throwText() {
    throw 'just text';
  }
  throwOdd() {
    throw Object.assign(new TypeError('odd'), { code: 'E_ODD', retry: () => {} });
  }
  throwFunction() {
    throw () => {};
  }
  odd() {
    return { list: [1, () => {}] };
  }
  thrownGetter() {
    return {
      get value() {
        throw new Error('from a getter');
      },
    };
  }
  wait(_: number, options: { nested: { signal: AbortSignal }[] }) {
    const signal = options.nested[0]?.signal as AbortSignal;
    this.log.push(`wait ${signal instanceof AbortSignal} ${signal.aborted}`);
    return new Promise<void>((_, reject) => {
      signal.addEventListener('abort', () => {
        this.aborted.open(signal.reason);
        reject(signal.reason);
      });
    });
  }
  same(first: AbortSignal, second: AbortSignal) {
    return first === second;
  }
  *count(to: number): Generator<number, string, unknown> {
    try {
      for (let i = 0; i < to; i++) {
        this.log.push(`made ${i}`);
        yield i;
      }
      return 'counted';
    } finally {
      this.log.push('finally');
    }
  }
  async *failing(after: number) {
    yield* this.count(after);
    throw new RangeError('in the middle');
  }
  async promised(to: number) {
    return this.count(to);
  }
  async *endless(signal?: AbortSignal) {
    try {
      for (let i = 0; !signal?.aborted; i++) {
        this.log.push(`made ${i}`);
        yield i;
      }
    } finally {
      this.log.push('finally');
    }
  }
  /** Its next() never comes to an end: only return() ends it. */
  stuck(): AsyncIterableIterator<number> {
    const returned = gate<IteratorResult<number>>();
    return {
      [Symbol.asyncIterator]() {
        return this;
      },
      next: () => returned.opened,
      return: async () => {
        this.log.push('returned');
        const result = { value: undefined, done: true } as const;
        returned.open(result);
        return result;
      },
    };
  }
  readLog() {
    return this.log.splice(0);
  }
}

type Ends = { service: Service; remote: Remote<Service>; exposed: Promise<void>; here: Connection; there: Connection };
type Transport = 'shm' | 'sab' | 'tcp';

/** Two ends, closed after the test. */
async function pair(transport: Transport, capacity = 1 << 16): Promise<[Connection, Connection]> {
  if (transport !== 'tcp') return Pipe<unknown>({ transport, capacity }).map(opening) as [Connection, Connection];
  const listener = await Listener.listen('tcp://127.0.0.1:0');
  const both = Promise.all([connect(listener.address), listener.accept()]);
  return (await both.finally(() => listener.close())).map(opening) as [Connection, Connection];
}

async function ends(transport: Transport, concurrency = 64): Promise<Ends> {
  const [here, there] = await pair(transport);
  const service = new Service();
  const exposed = expose(there, service, { concurrency });
  return { service, remote: wrap<Service>(here), exposed, here, there };
}

const caught = (promise: Promise<unknown>) =>
  promise.then(
    (value) => expect.fail(`it resolved with ${value}`),
    (error: unknown) => error as Error & { code: string; cause: Error },
  );

async function collect<Value>(values: AsyncIterable<Value>): Promise<Value[]> {
  const all: Value[] = [];
  for await (const value of values) all.push(value);
  return all;
}

for (const transport of ['shm', 'sab', 'tcp'] as const) {
  describe(`RPC over ${transport}`, () => {
    it('calls own methods and those of the class and its base', async () => {
      const { remote } = await ends(transport);
      expect(await remote.add(2, 3)).toBe(5);
      expect(await remote.own('text')).toBe('TEXT');
      expect(await remote.inherited()).toBe('inherited');
    });

    it('calls nothing else, and runs no getter to find out', async () => {
      const { remote, service } = await ends(transport);
      const anything = remote as unknown as Record<string, () => Promise<unknown>>;
      const names = ['constructor', '__proto__', 'toString', 'hasOwnProperty', '__defineGetter__', 'valueOf', 'getter'];
      for (const name of [...names, 'limits', 'log', '#secret', 'missing', '']) {
        const error = await caught((anything[name] as () => Promise<unknown>)());
        expect(error, name).toBeInstanceOf(RemoteError);
        expect(error.cause).toBeInstanceOf(TypeError);
        expect(error.message).toContain(`there is no method ${JSON.stringify(name)}; there are add, count,`);
      }
      expect(service.log).toEqual([]);
    });

    it('answers concurrent calls as they are done, in any order', async () => {
      const { remote, service } = await ends(transport);
      const order: number[] = [];
      const calls = [0, 1, 2].map(async (i) => order.push(await remote.later(`gate ${i}`)));
      await remote.add(0, 0);
      for (const i of [2, 0, 1]) service.openGate(`gate ${i}`, i);
      await Promise.all(calls);
      expect(order).toEqual([2, 0, 1]);
    });

    it('runs so many calls at once as it was told, and lets answers, aborts and streams through meanwhile', async () => {
      const { remote, service } = await ends(transport, 2);
      const stream = remote.count(100);
      expect(await stream.next()).toEqual({ value: 0, done: false }); // A stream that has begun does not count.
      const running = [remote.later('a'), remote.later('b')];
      const controller = new AbortController();
      const waiting = remote.add(1, 1);
      const given = remote.wait(1, { nested: [{ signal: controller.signal }] });
      controller.abort(new Error('changed my mind'));
      expect((await caught(given)).message).toBe('changed my mind');
      expect((await collect(stream)).length).toBe(99);
      expect(service.log.filter((line) => line.startsWith('wait'))).toEqual([]);
      service.openGate('a', 1);
      service.openGate('b', 2);
      expect(await Promise.all(running)).toEqual([1, 2]);
      expect(await waiting).toBe(2);
      expect(service.log.filter((line) => line.startsWith('wait'))).toEqual([]); // It never began.
    });

    it('takes many more calls than may be open, with what the arguments were at the call', async () => {
      const { remote } = await ends(transport);
      const pair = { text: '' };
      const calls: Promise<string>[] = [];
      for (let i = 0; i < 5000; i++) {
        pair.text = `call ${i}`;
        calls.push((remote as unknown as { own(text: unknown): Promise<string> }).own(pair.text));
      }
      expect(await Promise.all(calls)).toEqual(Array.from({ length: 5000 }, (_, i) => `CALL ${i}`));
    });

    it('rebuilds errors, with class, message, code, own properties, causes and the stack over there', async () => {
      const { remote } = await ends(transport);
      const error = await caught(remote.fail());
      expect(error).toBeInstanceOf(RemoteError);
      expect(error).toMatchObject({ code: 'ERR_RINGWAY_REMOTE', message: 'fail() failed: RangeError: out of range' });
      expect(error.cause).toBeInstanceOf(RangeError);
      expect(error.cause).toMatchObject({ code: 'E_RANGE', details: { limit: 3 } });
      expect(error.cause.stack).toMatch(/Service\.fail .*rpc\.test/);
      const { cause } = error.cause as Error & { cause: AggregateError };
      expect(cause).toBeInstanceOf(AggregateError);
      expect(cause.errors[0]).toBeInstanceOf(SyntaxError);
    });

    it('makes an error of whatever is thrown or returned and cannot be sent', async () => {
      const { remote } = await ends(transport);
      expect(await caught(remote.throwText())).toMatchObject({
        cause: 'just text',
        message: 'throwText() threw "just text"',
      });
      expect((await caught(remote.throwOdd())).cause).toMatchObject({
        name: 'TypeError',
        message: 'odd',
        code: 'E_ODD',
      });
      expect((await caught(remote.throwFunction())).cause.message).toMatch(/function .*cannot be sent/);
      expect((await caught(remote.odd())).message).toContain('the result of odd().list[1] is a function');
      expect((await caught(remote.thrownGetter())).message).toContain('from a getter');
      const unsendable = await caught(remote.add({ nested: () => {} } as never, 1));
      expect(unsendable).toMatchObject({ code: 'ERR_RINGWAY_UNSERIALISABLE' });
      expect(unsendable.message).toMatch(
        /^add\(\): arguments\[0\]\.nested is the function|^add\(\): arguments\[0\]\.nested is a function/,
      );
      expect(await remote.add(1, 2)).toBe(3);
    });

    it('carries an AbortSignal wherever it is in the arguments, and its reason', async () => {
      const { remote, service } = await ends(transport);
      const controller = new AbortController();
      const options = { nested: [{ signal: controller.signal, again: {} }] };
      (options.nested[0] as { again: object }).again = options; // A circle.
      const call = remote.wait(1, options);
      await remote.add(0, 0);
      const reason = new RangeError('enough');
      controller.abort(reason);
      expect(await caught(call)).toBe(reason);
      expect(await service.aborted.opened).toMatchObject({ name: 'RangeError', message: 'enough' });
      expect(service.log).toEqual(['wait true false']);
      expect(await remote.same(new AbortController().signal, new AbortController().signal)).toBe(false);
      const { signal } = new AbortController();
      expect(await remote.same(signal, signal)).toBe(true);
    });

    it('does not make a call that is aborted before, and aborts with reasons that cannot be sent', async () => {
      const { remote, service } = await ends(transport);
      const reason = new Error('before');
      expect(await caught(remote.wait(1, { nested: [{ signal: AbortSignal.abort(reason) }] }))).toBe(reason);
      expect(await remote.readLog()).toEqual([]);
      const controller = new AbortController();
      const call = remote.wait(1, { nested: [{ signal: controller.signal }] });
      const odd = () => {};
      controller.abort(odd);
      expect(await caught(call)).toBe(odd);
      expect(String(await service.aborted.opened)).toContain('cannot be sent');
    });

    it('leaves no listeners on signals of calls that are over', async () => {
      const { remote } = await ends(transport);
      const controller = new AbortController();
      const { signal } = controller;
      let listeners = 0;
      const { addEventListener, removeEventListener } = signal;
      signal.addEventListener = (...args: unknown[]) => {
        listeners++;
        return Reflect.apply(addEventListener, signal, args);
      };
      signal.removeEventListener = (...args: unknown[]) => {
        listeners--;
        return Reflect.apply(removeEventListener, signal, args);
      };
      for (let i = 0; i < 10; i++) await remote.same(signal, signal);
      await remote.endless(signal).return(undefined);
      await caught((remote as unknown as { missing(signal: AbortSignal): Promise<void> }).missing(signal));
      expect(listeners).toBe(0);
    });

    it('streams the values of iterables, what they return and what they throw', async () => {
      const { remote } = await ends(transport);
      expect(await collect(remote.count(100))).toEqual(Array.from({ length: 100 }, (_, i) => i));
      expect(await collect(await remote.promised(3))).toEqual([0, 1, 2]);
      const short = remote.count(1);
      expect([await short.next(), await short.next(), await short.next()]).toEqual([
        { value: 0, done: false },
        { value: 'counted', done: true },
        { value: undefined, done: true },
      ]);
      const seen: number[] = [];
      const error = await caught(
        (async () => {
          for await (const value of remote.failing(30)) seen.push(value);
        })(),
      );
      expect(error).toBeInstanceOf(RemoteError);
      expect(error.cause).toBeInstanceOf(RangeError);
      expect(seen.length).toBe(30);
      expect((await caught((remote as unknown as { add: Remote<Service>['count'] }).add(1).next())).message).toContain(
        'await it',
      );
    });

    it('takes values as they are asked for, a window ahead', async () => {
      const { remote, service } = await ends(transport);
      const values = remote.endless();
      await remote.add(0, 0);
      expect(service.log).toEqual([]); // Nobody has asked yet.
      for (let i = 0; i < 3; i++) expect(await values.next()).toEqual({ value: i, done: false });
      for (let i = 0; i < 50; i++) await remote.add(0, 0); // Would the producer go on, it had the time.
      expect(service.log.length).toBeLessThanOrEqual(16 + 3);
      await values.return(undefined);
    });

    it('ends the producer when the consumer leaves, also one that waits for ever', async () => {
      const { remote, service } = await ends(transport);
      for await (const value of remote.endless()) if (value === 20) break;
      expect(service.log.at(-1)).toBe('finally');
      const values = remote.stuck();
      const next = values.next();
      await remote.add(0, 0);
      await values.return(undefined);
      expect(await next).toEqual({ value: undefined, done: true });
      expect(service.log.at(-1)).toBe('returned');
      const controller = new AbortController();
      const aborted = remote.endless(controller.signal);
      await aborted.next();
      controller.abort(new Error('stop'));
      expect((await caught(aborted.next())).message).toBe('stop');
      await remote.add(0, 0);
      expect(service.log.at(-1)).toBe('finally');
    });

    it('ends calls, streams and signals when one end is closed', async () => {
      for (const closing of ['here', 'there'] as const) {
        const { remote, service, exposed, ...both } = await ends(transport);
        const call = caught(remote.later('never'));
        const waiting = caught(remote.wait(1, { nested: [{ signal: new AbortController().signal }] }));
        const values = remote.endless();
        for (let i = 0; i < 3; i++) await values.next();
        const stuck = caught(remote.stuck().next());
        await remote.add(0, 0);
        both[closing].close();
        const code = closing === 'here' ? 'ERR_RINGWAY_CLOSED' : 'EPIPE';
        for (const error of await Promise.all([call, waiting, stuck])) expect(error).toMatchObject({ code });
        expect(await caught(collect(values))).toMatchObject({ code });
        expect(await caught(remote.add(1, 1))).toMatchObject({ code });
        expect(await exposed).toBeUndefined();
        expect(await service.aborted.opened).toMatchObject({ code: 'EPIPE' });
        await sleep(0);
        expect(service.log).toEqual(expect.arrayContaining(['finally', 'returned']));
        expect([both.here.closed, both.there.closed]).toEqual([true, true]);
      }
    });

    it('carries calls both ways on one connection', async () => {
      const [here, there] = await pair(transport);
      const left = { twice: async (n: number): Promise<number> => 2 * n };
      const exposedLeft = expose(here, left);
      const right = { fourTimes: async (n: number): Promise<number> => back.twice(await back.twice(n)) };
      const back = wrap<typeof left>(there);
      const exposedRight = expose(there, right);
      const remote = wrap<typeof right>(here);
      expect(await Promise.all([1, 2, 3].map((n) => remote.fourTimes(n)))).toEqual([4, 8, 12]);
      remote[Symbol.dispose]();
      await Promise.all([exposedLeft, exposedRight]);
    });

    it('is a remote that can be awaited, and says what it is', async () => {
      const { remote } = await ends(transport);
      expect(await remote).toBe(remote);
      const odd = remote as unknown as Record<PropertyKey, unknown>;
      expect([odd.then, odd[Symbol.iterator], odd[Symbol.toPrimitive]]).toEqual([undefined, undefined, undefined]);
      expect(odd.add).toBe(odd.add);
      expect(() => {
        odd.add = 1;
      }).toThrow(TypeError);
      const { inspect } = await import('node:util');
      expect(inspect(remote)).toBe(`[Remote over ${transport}]`);
      await remote[Symbol.asyncDispose]();
      expect(inspect(remote)).toBe(`[Remote over ${transport}, ended]`);
    });

    it('says what is wrong with its use', async () => {
      const { remote, here, there } = await ends(transport);
      await expect(expose(there, new Service())).rejects.toMatchObject({ code: 'ERR_RINGWAY_STATE' });
      for (const odd of [undefined, null, 1, () => {}, {}, { limit: 3 }, new Map(), []]) {
        await expect(expose(there, odd as object)).rejects.toThrow(/an object with methods/);
      }
      await expect(expose(there, new Service(), { concurrency: 0 })).rejects.toThrow(RangeError);
      await expect(there.send(1)).rejects.toMatchObject({ code: 'ERR_RINGWAY_STATE' });
      await expect(here.send(1)).rejects.toMatchObject({ code: 'ERR_RINGWAY_STATE' });
      await expect(here.recv()).rejects.toMatchObject({ code: 'ERR_RINGWAY_STATE' });
      expect(await remote.add(1, 1)).toBe(2);
      here.close();
      expect(() => wrap(here)).toThrow(/was closed/);
      await expect(expose(here, new Service())).rejects.toMatchObject({ code: 'ERR_RINGWAY_CLOSED' });
      expect(() => wrap(Pipe({ transport: 'shm', duplex: false }).map(opening)[0] as never)).toThrow(/duplex: true/);
      const [json, other] = Pipe({ transport: 'shm', codec: 'json' });
      opening(other);
      expect(() => wrap(opening(json))).toThrow(/'structured', not "json"/);
      const [closed] = await pair(transport);
      closed.close();
      expect(() => wrap(closed)).toThrow(/was closed/);
      const [one, two] = await pair(transport);
      wrap(one);
      const error = await caught(wrap<Service>(two).add(1, 1));
      expect(error.message).toContain('nothing is exposed');
    });

    it('ends the connection of a peer that sends what no peer sends', async () => {
      const call = [1, 1, 'later', ['x']];
      const toCallee: unknown[][] = [
        [null],
        ['text'],
        [{}],
        [[]],
        [[0, 1]],
        [[1]],
        [[99, 1]],
        [['1', 1, 'add', []]],
        [[1.5, 1]],
        [[-1, 1]],
        [[1, 0, 'add', []]],
        [[1, -1, 'add', []]],
        [[1, 2 ** 53, 'add', []]],
        [[1, 1.5, 'add', []]],
        [[1, '1', 'add', []]],
        [[1, NaN, 'add', []]],
        [[1, 1, 5, []]],
        [[1, 1, 'add', {}]],
        [[1, 1, 'add']],
        [[1, 1, 'add', [], 1]],
        [call, call],
        [[2, 5, 0, null]],
        [[3, 5, 1]],
        [[4, 5]],
        [call, [2, 1, 0, null]],
        [call, [2, 1, 'length', null]],
        [call, [2, 1, '__proto__', null]],
        [call, [3, 1, 0]],
        [call, [3, 1, 17]],
        [call, [3, 1, 9], [3, 1, 9]],
        [call, [3, 1, 'x']],
        [[5, 1, null]],
        [[6, 1, null]],
        [[7, 1]],
        [[8, 1, null]],
        [[9, 1, null]],
        [new Uint8Array(8)],
        Array.from({ length: 3000 }, (_, i) => [1, i + 1, 'later', ['x']]),
      ];
      for (const messages of toCallee) {
        const [hostile, there] = await pair(transport);
        there;
        const ended = caught(expose(there, new Service()));
        for (const message of messages) await hostile.send(message).catch(() => {});
        expect(await ended, JSON.stringify(messages[0])).toMatchObject({ code: 'EPROTO' });
        expect(there.closed).toBe(true);
      }
      const toCaller = [
        [[5, 3, 1]],
        [
          [7, 1],
          [7, 1],
        ],
        [
          [7, 1],
          [5, 1, 1],
        ],
        [[8, 1, 1]],
        [[9, 1, 1]],
        [
          [5, 1, 1],
          [5, 1, 1],
        ],
        [
          [7, 1],
          [8, 1, 1],
        ],
      ];
      for (const messages of toCaller) {
        const [hostile, here] = await pair(transport);
        const remote = wrap<Service>(here);
        const first = remote.later('x').catch((error) => error);
        const second = caught(remote.later('y'));
        for (const message of messages) await hostile.send(message).catch(() => {});
        expect(await second, JSON.stringify(messages)).toMatchObject({ code: 'EPROTO' });
        await first;
      }
    });

    it('keeps prototypes clean, whatever comes', async () => {
      const [hostile, there] = await pair(transport);
      const service = { echo: (value: unknown) => value };
      expose(there, service).catch(() => {});
      const nasty = JSON.parse('{"__proto__": {"polluted": true}, "constructor": {"prototype": {"polluted": true}}}');
      await hostile.send([1, 1, 'echo', [nasty]]);
      const answer = (await hostile.recv()) as unknown[];
      expect(answer.slice(0, 2)).toEqual([5, 1]);
      expect(({} as Record<string, unknown>).polluted).toBeUndefined();
      await hostile.send([1, 2, '__proto__', []]);
      expect(((await hostile.recv()) as unknown[])[0]).toBe(6);
    });

    it('does not run out of memory for a peer that calls and does not read', async () => {
      const [hostile, there] = await pair(transport);
      const made = { big: () => 'x'.repeat(10_000) };
      const ended = caught(expose(there, made));
      for (let i = 1; i < 10_000 && !there.closed; i++) await hostile.send([1, i, 'big', []]).catch(() => {});
      expect(await ended).toMatchObject({ code: 'EPROTO', message: expect.stringContaining('2048 calls') });
    });
  });
}

describe('the types of a remote', () => {
  interface Api {
    readonly name: string;
    then: () => void;
    [Symbol.iterator](): Iterator<number>;
    plain(a: number, b?: string): boolean;
    promised(signal: AbortSignal): Promise<{ total: number }>;
    either(): number | Promise<number>;
    values(): AsyncIterable<string>;
    generated(to: number): Generator<number, string, boolean>;
    generatedLater(): Promise<AsyncGenerator<Date>>;
    list(): number[];
    mapped(): Map<string, number>;
    // biome-ignore lint/suspicious/noExplicitAny: a method may return it
    anything(): any;
    never(): never;
    nothing(): void;
    connection(): Connection<string, number>;
  }

  it('are those of its methods, asynchronous', () => {
    type R = Remote<Api>;
    expectTypeOf<R['plain']>().toEqualTypeOf<(a: number, b?: string) => Promise<boolean>>();
    expectTypeOf<R['promised']>().toEqualTypeOf<(signal: AbortSignal) => Promise<{ total: number }>>();
    expectTypeOf<ReturnType<R['either']>>().toEqualTypeOf<Promise<number>>();
    expectTypeOf<ReturnType<R['values']>>().toEqualTypeOf<AsyncGenerator<string, unknown, undefined>>();
    expectTypeOf<R['generated']>().toEqualTypeOf<(to: number) => AsyncGenerator<number, string, undefined>>();
    // biome-ignore lint/suspicious/noExplicitAny: what its generator returns by default
    expectTypeOf<ReturnType<R['generatedLater']>>().toEqualTypeOf<Promise<AsyncGenerator<Date, any, undefined>>>();
    expectTypeOf<ReturnType<R['list']>>().toEqualTypeOf<Promise<number[]>>();
    expectTypeOf<ReturnType<R['mapped']>>().toEqualTypeOf<Promise<Map<string, number>>>();
    // biome-ignore lint/suspicious/noExplicitAny: as above
    expectTypeOf<ReturnType<R['anything']>>().toEqualTypeOf<Promise<any>>();
    expectTypeOf<ReturnType<R['never']>>().toEqualTypeOf<Promise<never>>();
    expectTypeOf<ReturnType<R['nothing']>>().toEqualTypeOf<Promise<void>>();
    expectTypeOf<ReturnType<R['connection']>>().toEqualTypeOf<Promise<Connection<string, number>>>();
    type Names = Exclude<keyof Api, 'name' | 'then' | typeof Symbol.iterator>;
    expectTypeOf<keyof R>().toEqualTypeOf<Names | typeof Symbol.dispose | typeof Symbol.asyncDispose>();
    expectTypeOf<keyof Remote<Service>>().not.toExtend<'limits' | 'log'>();
    expectTypeOf<Awaited<R>>().toEqualTypeOf<R>();
  });
});

/** A process that exposes a service over the end of a pipe, and what it tells. */
async function startService() {
  const server = await startProcess();
  const [here, there] = Pipe<unknown>({ transport: 'shm' });
  opening(here);
  const { result: ended } = await server.start(async ({ ringway, tell }, handle) => {
    async function* values() {
      try {
        for (let i = 0; ; i++) yield i;
      } finally {
        tell('finally');
      }
    }
    const api = {
      add: (a: number, b: number) => a + b,
      never: () => new Promise<void>(() => {}),
      values,
      first: (memory: import('ringway').SharedMemory) => {
        const [byte] = memory.bytes;
        memory.close();
        return byte;
      },
      wait: (signal: AbortSignal) =>
        new Promise<void>(() => signal.addEventListener('abort', () => tell(`aborted: ${signal.reason.code}`))),
    };
    await ringway.expose(ringway.Connection.attach(handle), api);
    return 'ended';
  }, there.handle);
  interface Api {
    add(a: number, b: number): number;
    never(): Promise<void>;
    values(): AsyncGenerator<number>;
    first(memory: SharedMemory): number;
    wait(signal: AbortSignal): Promise<void>;
  }
  return { server, ended, here, remote: wrap<Api>(here) };
}

describe('RPC between processes', () => {
  it('answers, streams, and takes shared objects', async () => {
    const { remote, ended } = await startService();
    expect(await Promise.all([1, 2, 3].map((n) => remote.add(n, n)))).toEqual([2, 4, 6]);
    const memory = opening(SharedMemory.create({ byteLength: 64 }));
    memory.bytes[0] = 7;
    expect(await remote.first(memory)).toBe(7);
    for await (const value of remote.values()) if (value === 1000) break;
    remote[Symbol.dispose]();
    expect(await ended).toBe('ended');
  });

  // In a process of its own: what could not be attached to is kept by its sender, to its end.
  it('fails the call whose shared object cannot be attached to or sent, and no other', async () => {
    const { lines, errors } = await runScript(`
      const [here, there] = ringway.Pipe({ transport: 'shm' });
      const ring = ringway.MpmcRing.create({ slots: 2, slotByteLength: 8, maxParticipants: 2 });
      const last = ringway.MpmcRing.attach(ring.handle);
      const api = { take() {}, give: () => ring, *gives() { yield 1; yield ring; } };
      const serving = ringway.expose(there, api);
      const remote = ringway.wrap(here);
      const show = (what, call) => call.then(
        () => print(what + ' succeeded'),
        (error) => print(what + ' ' + (error.cause?.code ?? error.code)),
      );
      await show('taken', remote.take(ring));
      await show('given', remote.give());
      await show('streamed', (async () => { for await (const value of remote.gives()) print(value); })());
      last.close();
      ring.close();
      await show('closed and taken', remote.take(ring));
      await show('closed and given', remote.give());
      await show('nothing', remote.take());
      here.close();
      await serving;`);
    expect(errors).toBe('');
    expect(lines).toEqual([
      'taken EUSERS',
      'given EUSERS',
      '1',
      'streamed EUSERS',
      'closed and taken ERR_RINGWAY_CLOSED',
      'closed and given ERR_RINGWAY_CLOSED',
      'nothing succeeded',
    ]);
  });

  it('leaves the result of an aborted call where it is', async () => {
    const [here, there] = Pipe<unknown>({ transport: 'shm' });
    const [end, other] = Pipe<unknown>({ transport: 'shm' });
    opening(other);
    const done = gate();
    const api = {
      give: async (_: AbortSignal) => {
        await done.opened;
        return opening(end);
      },
      ping: () => {},
    };
    void expose(opening(there), api);
    const remote = wrap<typeof api>(opening(here));
    const controller = new AbortController();
    const call = caught(remote.give(controller.signal));
    controller.abort(new Error('not any more'));
    expect((await call).message).toBe('not any more');
    await remote.ping();
    done.open();
    await remote.ping();
    expect(end.closed).toBe(false);
  });

  it('rejects what waits for a server that is killed, and what is called later', async () => {
    const { remote, server } = await startService();
    const calls = [remote.never(), remote.never(), remote.wait(new AbortController().signal)].map(caught);
    const values = remote.values();
    for (let i = 0; i < 5; i++) await values.next();
    await server.kill();
    for (const error of await Promise.all(calls)) {
      expect(error).toMatchObject({ code: 'EPIPE', message: expect.stringMatching(/^\w+\(\) was not answered/) });
    }
    expect(await caught(collect(values))).toMatchObject({ code: 'EPIPE' });
    expect(await caught(remote.add(1, 1))).toMatchObject({ code: 'EPIPE' });
  });

  it('rejects calls to a server that is killed while it is stopped and its ring is full', async () => {
    const { remote, server } = await startService();
    await remote.add(0, 0);
    server.child.kill('SIGSTOP');
    const large = 'x'.repeat(100_000);
    const calls = Array.from({ length: 30 }, () => caught(remote.add(large as never, 1)));
    await server.kill();
    for (const error of await Promise.all(calls)) expect(error).toMatchObject({ code: 'EPIPE' });
  });

  it('aborts the signals of a client that is killed, and ends its streams', async () => {
    const [here, there] = Pipe<unknown>({ transport: 'shm' });
    opening(here);
    const told: string[] = [];
    const finished = gate();
    const aborted = gate<unknown>();
    const begun = gate();
    async function* values() {
      try {
        for (let i = 0; ; i++) yield i;
      } finally {
        finished.open();
      }
    }
    const api = {
      values,
      wait: (signal: AbortSignal) => {
        signal.addEventListener('abort', () => aborted.open(signal.reason));
        begun.open();
        return new Promise<void>(() => {});
      },
    };
    const exposed = expose(here, api).then(() => told.push('resolved'));
    const client = await startProcess();
    await client.start(async ({ ringway }, handle) => {
      const remote = ringway.wrap<typeof api>(ringway.Connection.attach(handle));
      for await (const value of remote.values()) if (value === 100) await remote.wait(new AbortController().signal);
    }, there.handle);
    await begun.opened;
    await client.kill();
    expect(await aborted.opened).toMatchObject({ code: 'EPIPE' });
    await Promise.all([finished.opened, exposed]);
    expect(told).toEqual(['resolved']);
  });

  it('keeps a process alive for calls that wait, and for what is exposed, but not for a remote', async () => {
    const start = `const [a, b] = ringway.Pipe({ transport: 'shm' });`;
    const idle = await runScript(`${start} const remote = ringway.wrap(a); print(typeof remote.add);`);
    expect(idle).toMatchObject({ code: 0, lines: ['function'] });
    const service = `${start}
      const serving = ringway.expose(b, { later: () => new Promise((resolve) => setTimeout(resolve, 50, 'answered')) });
      const remote = ringway.wrap(a);`;
    // The timer is over when b is closed: from there on only what is tested can keep it.
    const called = await runScript(
      `${service} print(await remote.later()); b.close(); await serving; process.on('exit', () => print('exit'));`,
    );
    expect(called).toMatchObject({ code: 0, lines: ['answered', 'exit'] });
    const exposed = await runScript(
      `import { spawn } from 'node:child_process';
      const [a, b] = ringway.Pipe({ transport: 'shm' });
      ringway.expose(b, { add: (x, y) => x + y }).then(() => print('ended'));
      const client = "import { Connection, wrap } from 'ringway'; import { writeSync } from 'node:fs';" +
        "const remote = wrap(Connection.attach(JSON.parse(process.argv.at(-1))));" +
        "writeSync(1, (await remote.add(1, 2)) + '\\\\n');";
      const args = ['--input-type=module', '-e', client, '--', JSON.stringify(a.handle)];
      spawn(process.execPath, args, { stdio: 'inherit' }).unref();`,
    );
    expect(exposed).toMatchObject({ code: 0, lines: ['3', 'ended'] });
  });

  it('serves many clients at an address', async () => {
    for (const address of [`shm:${freshName()}`, 'tcp://127.0.0.1:0']) {
      const service = new Service();
      const served = await serve(address, service, { concurrency: 8, authKey: 'key' });
      const clients = await Promise.all([1, 2, 3].map(() => connect(served.address, { authKey: 'key' })));
      const remotes = clients.map((client) => wrap<Service>(opening(client)));
      expect(await Promise.all(remotes.map((remote, i) => remote.add(i, 1)))).toEqual([1, 2, 3]);
      remotes[0]?.[Symbol.dispose]();
      expect(await remotes[1]?.add(1, 1)).toBe(2);
      const call = caught(remotes[1]?.later('never') as Promise<number>);
      expect(await collect((remotes[2] as Remote<Service>).count(40))).toHaveLength(40);
      await served.close();
      expect(await call).toMatchObject({ code: 'EPIPE' });
      await expect(connect(served.address, { authKey: 'key' })).rejects.toThrow();
    }
    await expect(serve('shm:any', {})).rejects.toThrow(/has none/);
  });

  it('does what was asked for, once, in any mix of calls, aborts and streams', { timeout: 60_000 }, async () => {
    announceSeed('mix of calls');
    const random = new Random();
    for (const where of ['process', 'here'] as const) {
      const [here, there] = Pipe<unknown>({ transport: where === 'process' ? 'shm' : 'sab', capacity: 1 << 14 });
      opening(here);
      const run = async (expose: typeof import('ringway').expose, connection: Connection) => {
        const begun = new Map<number, number>();
        let open = 0;
        const count = (id: number) => begun.set(id, (begun.get(id) ?? 0) + 1);
        const api = {
          echo: (id: number, value: unknown) => {
            count(id);
            return [id, value];
          },
          async later(id: number, turns: number, signal: AbortSignal) {
            count(id);
            for (let i = 0; i < turns && !signal.aborted; i++) await new Promise((resolve) => setImmediate(resolve));
            signal.throwIfAborted();
            return id;
          },
          throws: (id: number) => {
            count(id);
            throw Object.assign(new RangeError(`error ${id}`), { id });
          },
          async *values(id: number, length: number) {
            count(id);
            open++;
            try {
              for (let i = 0; i < length; i++) {
                if (i % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
                yield i * id;
              }
              if (id % 3 === 0) throw new RangeError(`error ${id}`);
            } finally {
              open--;
            }
          },
          report: () => ({ most: Math.max(...begun.values()), begun: begun.size, open }),
        };
        await expose(connection, api);
        return 'ended';
      };
      type Api = {
        echo(id: number, value: unknown): [number, unknown];
        later(id: number, turns: number, signal: AbortSignal): Promise<number>;
        throws(id: number): never;
        values(id: number, length: number): AsyncGenerator<number>;
        report(): { most: number; begun: number; open: number };
      };
      let ended: Promise<string>;
      if (where === 'process') {
        const server = await startProcess();
        const source = run.toString();
        ({ result: ended } = await server.start(
          async ({ ringway }, text, handle) => {
            const run = new Function(`return ${text}`)();
            return (await run(ringway.expose, ringway.Connection.attach(handle))) as string;
          },
          source,
          there.handle,
        ));
      } else ended = run(expose, opening(there));
      const remote = wrap<Api>(here);
      let certain = 0; // Calls that have begun for sure.
      const one = async (id: number): Promise<void> => {
        const what = random.below(10);
        if (what < 4) {
          certain++;
          const value = { id, text: 'x'.repeat(random.below(20) === 0 ? random.below(40_000) : random.below(50)) };
          expect(await remote.echo(id, value)).toEqual([id, value]);
        } else if (what < 5) {
          certain++;
          const error = await caught(remote.throws(id));
          expect(error.cause).toMatchObject({ name: 'RangeError', message: `error ${id}`, id });
        } else if (what < 8) {
          const controller = new AbortController();
          const call = remote.later(id, random.below(20), controller.signal);
          const wait = random.below(30);
          const reason = { id };
          void (async () => {
            for (let i = 0; i < wait; i++) await new Promise((resolve) => setImmediate(resolve));
            controller.abort(reason);
          })();
          const result = await call.catch((error: unknown) => error);
          if (result !== id) expect(result).toBe(reason);
        } else {
          const length = random.below(60);
          const leave = random.below(2) === 0 ? random.below(60) : Infinity;
          let seen = 0;
          let error: unknown;
          try {
            for await (const value of remote.values(id, length)) {
              expect(value).toBe(seen * id);
              if (++seen > leave) break;
            }
          } catch (caught) {
            error = (caught as Error).cause;
          }
          if (leave >= length) {
            expect(seen).toBe(length);
            if (id % 3 === 0) expect(error).toMatchObject({ message: `error ${id}` });
            else expect(error).toBeUndefined();
          } else expect(seen).toBe(leave + 1);
        }
      };
      let next = 0;
      const lane = async () => {
        while (next < 5000) await one(++next);
      };
      await Promise.all(Array.from({ length: 200 }, lane));
      const { most, begun, open } = await remote.report();
      expect(most).toBe(1);
      expect(begun).toBeGreaterThanOrEqual(certain);
      expect(open).toBe(0);
      remote[Symbol.dispose]();
      expect(await ended).toBe('ended');
    }
  });
});
