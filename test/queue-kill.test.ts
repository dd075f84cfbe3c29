// A process dies, or is stopped, before every single atomic operation of the calls of a Queue; processes are killed at random
// while others work. Nothing that was put is lost, nothing comes twice that was got, nothing is invented, the room of large
// values comes back, and nobody waits for the dead or the stopped.
import { EndOfStreamError, Queue } from 'ringway';
import { describe, expect, it } from 'vitest';
import { opening, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random } from './helpers/random.js';
import { type Context, type RemoteProcess, startProcess } from './helpers/remote.js';
import { rejectionOf, until } from './helpers/rings.js';
import { stopped } from './helpers/steps.js';

useOwnDirectory();
announceSeed('queue-kill');

const CAPACITY = 1 << 16;
const LARGE = 3000;

interface Item {
  id: number;
  pad?: Uint8Array;
}

type Call = 'put' | 'putLarge' | 'get' | 'ack' | 'nack' | 'taskDone' | 'sender' | 'close';

// In the victim: makes one call, and sends itself the signal before its `at`th atomic operation. What the call gave.
async function victim({ ringway }: Context, handle: never, call: Call, at: number, signal: NodeJS.Signals) {
  const queue = ringway.Queue.attach<Item>(handle);
  const large = { id: 100, pad: new Uint8Array(9000).fill(100) };
  const got: number[] = [];
  const get = () => {
    for (let i = 0; i < 2; i++) {
      const next = queue.tryGet();
      if (next.ok) got.push(next.value.id);
    }
  };
  if (call === 'taskDone') get();
  const kept = call === 'close' ? [queue.tryTake(), queue.tryTake()] : [];
  if (call === 'close') get();
  const names = ['load', 'store', 'add', 'and', 'or', 'compareExchange'] as const;
  const real = Object.fromEntries(names.map((name) => [name, Atomics[name]]));
  let steps = 0;
  for (const name of names) {
    const operation = real[name] as (...args: unknown[]) => unknown;
    Object.assign(Atomics, {
      [name]: (...args: unknown[]) => {
        if (++steps === at) process.kill(process.pid, signal);
        return operation(...args);
      },
    });
  }
  if (call === 'put') queue.tryPut({ id: 100 });
  else if (call === 'putLarge') queue.tryPut(large);
  else if (call === 'get') get();
  else if (call === 'ack' || call === 'nack') {
    for (let i = 0; i < 2; i++) {
      const lease = queue.tryTake();
      if (lease !== null && call === 'ack') got.push(lease.value.id);
      lease?.[call]();
    }
  } else if (call === 'taskDone') {
    queue.taskDone();
    queue.taskDone();
  } else if (call === 'sender') {
    const sender = ringway.QueueSender.attach<Item>(handle);
    sender.tryPut(large);
    sender.close();
  } else queue.close();
  Object.assign(Atomics, real);
  const reached = steps >= at;
  if (kept.length === 0) queue.close();
  return { reached, got };
}

// What the victim may have consumed, and what it may have added: both at most once.
const CALLS: Record<Call, { consumes: number; adds: number[] }> = {
  put: { consumes: 0, adds: [100] },
  putLarge: { consumes: 0, adds: [100] },
  get: { consumes: 2, adds: [] },
  ack: { consumes: 2, adds: [] },
  nack: { consumes: 0, adds: [] },
  taskDone: { consumes: 2, adds: [] },
  sender: { consumes: 0, adds: [100] },
  close: { consumes: 2, adds: [] },
};

const FIRST: Item[] = [
  { id: 1 },
  { id: 2, pad: new Uint8Array(LARGE).fill(2) },
  { id: 3 },
  { id: 4, pad: new Uint8Array(LARGE).fill(4) },
];

function make(): Queue<Item> {
  const queue = opening(new Queue<Item>({ maxSize: 7, capacity: CAPACITY, maxParticipants: 6 }));
  for (const item of FIRST) queue.tryPut(item);
  return queue;
}

function check({ id, pad }: Item): number {
  if (pad?.some((byte) => byte !== (id & 255))) throw new Error(`value ${id} is torn`);
  return id;
}

/** Others go on at once: small and large values pass, as much as there is room for. What came by besides. */
function pass(queue: Queue<Item>): number[] {
  const passed: number[] = [];
  for (let i = 0; i < 20; i++) {
    const item: Item = i % 2 === 0 ? { id: 50 } : { id: 51, pad: new Uint8Array(8000).fill(51) };
    expect(queue.tryPut(item)).toBe(true);
    const got = queue.tryGet();
    if (!got.ok) throw new Error('a value that was put was not there');
    passed.push(check(got.value));
    queue.taskDone();
  }
  return passed;
}

/** Everything until the end, and the whole arena in between: it is free as soon as all that was in it is gone. */
async function drain(queue: Queue<Item>): Promise<number[]> {
  const got: number[] = [];
  const reading = (async () => {
    for await (const lease of queue.leases()) {
      got.push(check(lease.value));
      lease.ack();
    }
  })();
  await queue.put({ id: 52, pad: new Uint8Array(CAPACITY - 128).fill(52) });
  queue.end();
  await reading;
  await queue.joined();
  return got;
}

/** Each at most once, and none but those. */
function judge(values: number[], call: Call, at: number): { lost: number[]; added: number[] } {
  const ids = FIRST.map(({ id }) => id);
  const kept = values.filter((id) => ![50, 51, 52].includes(id)).sort((a, b) => a - b);
  expect(values.filter((id) => id === 52).length).toBe(1);
  expect(new Set(kept).size, `step ${at}: ${kept}`).toBe(kept.length);
  const lost = ids.filter((id) => !kept.includes(id));
  const added = kept.filter((id) => !ids.includes(id));
  expect(lost.length, `step ${at}: ${lost} are lost`).toBeLessThanOrEqual(CALLS[call].consumes);
  expect(CALLS[call].adds, `step ${at}`).toEqual(expect.arrayContaining(added));
  return { lost, added };
}

type Reply = { reached: boolean; got: number[] };

for (const call of Object.keys(CALLS) as Call[]) {
  describe(`at every step of ${call}`, () => {
    it('a death leaves every value where it belongs, and holds up nobody', async () => {
      let steps = 0;
      let starting = startProcess(); // The next one starts while this one dies.
      for (let at = 1; ; at++) {
        const queue = make();
        const own = call === 'sender' ? queue.sender : undefined;
        const process = await starting;
        starting = startProcess();
        const { result } = await process.start(victim as never, queue.handle, call, at, 'SIGKILL');
        const dead: Reply = { reached: true, got: [] };
        const reply = (await (result as Promise<Reply>).catch(() => undefined)) ?? dead;
        if (!reply.reached) await process.kill();
        expect((await process.end()).signal, `step ${at}`).toBe('SIGKILL');
        const values = pass(queue);
        if (own === undefined) values.push(...(await drain(queue)));
        else {
          await queue.put({ id: 52 });
          own.close(); // The last one, whatever became of the dead one's: the queue ends.
          for await (const item of queue) values.push(check(item));
        }
        const { lost, added } = judge(values, call, at);
        if (!reply.reached) expect([lost, added], `step ${at}`).toEqual([reply.got, CALLS[call].adds]);
        queue.close();
        if (!reply.reached) break;
        steps = at;
      }
      await starting;
      expect(steps).toBeGreaterThan(1);
    }, 180_000);

    it.runIf(['putLarge', 'get', 'sender'].includes(call))(
      'one who is stopped is not robbed, and holds up nobody',
      async () => {
        let starting = startProcess();
        for (let at = 1; ; at++) {
          const queue = make();
          const own = call === 'sender' ? queue.sender : undefined;
          const process = await starting;
          starting = startProcess();
          const { result } = await process.start(victim as never, queue.handle, call, at, 'SIGSTOP');
          const answer = result as Promise<Reply>;
          let done = false;
          void answer.then(() => {
            done = true;
          });
          await until(() => done || stopped(process.pid));
          const values = done ? [] : pass(queue);
          process.child.kill('SIGCONT');
          const reply = await answer;
          await process.kill();
          values.push(...reply.got);
          if (own === undefined) values.push(...(await drain(queue)));
          else {
            await queue.put({ id: 52 });
            own.close();
            for await (const item of queue) values.push(check(item));
          }
          const { lost, added } = judge(values, call, at);
          expect([lost, added], `step ${at}`).toEqual([[], CALLS[call].adds]);
          queue.close();
          if (!reply.reached) break;
        }
        await starting;
      },
      180_000,
    );
  });
}

describe('a death', () => {
  it('of the last sender ends the queue for those who wait already', async () => {
    const queue = opening(new Queue<number>());
    const process = await startProcess();
    await process.run(async ({ ringway, state }: Context, handle) => {
      const sender = ringway.QueueSender.attach<number>(handle);
      state.sender = sender;
      await sender.put(1);
    }, queue.handle as never);
    expect(await queue.get()).toBe(1);
    const waiting = [rejectionOf(queue.get()), rejectionOf(opening(Queue.attach<number>(queue.handle)).take())];
    await process.kill();
    for (const error of await Promise.all(waiting)) expect(error).toBeInstanceOf(EndOfStreamError);
  });

  it('of a sender that came when others slept already ends the queue for them', async () => {
    const queue = opening(new Queue<number>({ wait: 'park' })); // Asleep, without a limit, before get() returns.
    const waiting = rejectionOf(queue.get());
    const process = await startProcess();
    await process.run(({ ringway, state }: Context, handle) => {
      state.sender = ringway.QueueSender.attach<number>(handle);
    }, queue.handle as never);
    await process.kill();
    expect(await waiting).toBeInstanceOf(EndOfStreamError);
  });

  it('of one who has sent a sender away that nobody received ends the queue', async () => {
    const queue = opening(new Queue<number>());
    const carrier = opening(new Queue<unknown>());
    const process = await startProcess();
    await process.run(
      async ({ ringway, state }: Context, handle, carrierHandle) => {
        const queue = ringway.Queue.attach<number>(handle);
        const carrier = ringway.Queue.attach<unknown>(carrierHandle);
        Object.assign(state, { queue, carrier });
        await carrier.put(queue.sender);
      },
      queue.handle as never,
      carrier.handle as never,
    );
    expect(queue.ended).toBe(false);
    const blocked = rejectionOf(queue.get());
    await process.kill();
    expect(await blocked).toBeInstanceOf(EndOfStreamError);
  });

  it('of a worker that has got something lets joined() come, and what it took comes again', async () => {
    const queue = opening(new Queue<number>());
    for (let i = 0; i < 3; i++) await queue.put(i);
    const process = await startProcess();
    await process.run(async ({ ringway, state }: Context, handle) => {
      const queue = ringway.Queue.attach<number>(handle);
      state.queue = queue;
      await queue.get();
      state.lease = await queue.take();
    }, queue.handle as never);
    const joined = queue.joined();
    expect(await queue.get()).toBe(2);
    queue.taskDone();
    await process.kill();
    const lease = await queue.take();
    expect([lease.value, lease.redelivered]).toEqual([1, true]);
    lease.ack();
    await joined;
  });
});

describe('random deaths', () => {
  it('of producers and consumers lose nothing, repeat only what was leased, and keep no room', async () => {
    const random = new Random();
    const options = { maxSize: 12, capacity: CAPACITY, maxParticipants: 16 };
    const inQueue = opening(new Queue<Item>(options));
    const outQueue = opening(new Queue<Item>(options));

    const produce = async ({ ringway, tell }: Context, handle: never, life: number) => {
      const queue = ringway.Queue.attach<Item>(handle);
      for (let i = 0; i < 100_000; i++) {
        const id = life * 100_000 + i;
        const byteLength = i % 3 === 0 ? 1200 + ((i * 7919) % 20_000) : 10;
        await queue.put({ id, pad: new Uint8Array(byteLength).fill(id) });
        tell(id);
      }
    };
    const forward = async ({ ringway }: Context, from: never, to: never) => {
      const [source, target] = [ringway.Queue.attach<Item>(from), ringway.Queue.attach<Item>(to)];
      for await (const lease of source.leases()) {
        await target.put(lease.value);
        lease.ack();
      }
    };

    const lives: RemoteProcess[] = [];
    const startProducer = async () => {
      const process = await startProcess();
      lives.push(process);
      await process.start(produce as never, inQueue.handle, lives.length);
      return process;
    };
    const startConsumer = async () => {
      const process = await startProcess();
      await process.start(forward as never, inQueue.handle, outQueue.handle);
      return process;
    };

    const times = new Map<number, number>();
    const lastOf = new Map<number, number>();
    let outOfOrder = 0;
    const reading = (async () => {
      for await (const item of outQueue) {
        const id = check(item);
        const seen = times.get(id) ?? 0;
        times.set(id, seen + 1);
        const life = Math.floor(id / 100_000);
        if (id < (lastOf.get(life) ?? -1)) outOfOrder++;
        lastOf.set(life, id);
      }
    })();

    const workers = [await startProducer(), await startProducer(), await startConsumer(), await startConsumer()];
    for (let round = 0; round < 24; round++) {
      const seen = times.size;
      const target = 1 + random.below(40);
      await until(() => times.size >= seen + target); // Work gets done between any two deaths.
      const which = random.below(workers.length);
      const dying = workers[which] as RemoteProcess;
      if (random.below(4) === 0) {
        dying.child.kill('SIGSTOP');
        await until(() => stopped(dying.pid));
      }
      await dying.kill();
      workers[which] = which < 2 ? await startProducer() : await startConsumer();
    }
    for (const producer of workers.slice(0, 2)) await producer.kill();
    // What is left comes through, whole arena and all, when nobody puts any more.
    await inQueue.put({ id: 50, pad: new Uint8Array(CAPACITY - 128).fill(50) });
    inQueue.end();
    await until(() => times.has(50) && inQueue.empty);
    await inQueue.joined();
    for (const consumer of workers.slice(2)) await consumer.kill();
    await outQueue.put({ id: 51, pad: new Uint8Array(CAPACITY - 128).fill(51) });
    outQueue.end();
    await reading;

    const told = lives.flatMap(({ told }) => told as number[]);
    const lost = told.filter((id) => !times.has(id));
    expect(lost, `of ${told.length}`).toEqual([]);
    // What a producer had put when it died, and could not tell any more: what it puts comes without gaps.
    for (const [index] of lives.entries()) {
      const ids = [...times.keys()].filter((id) => Math.floor(id / 100_000) === index + 1).sort((a, b) => a - b);
      expect(ids).toEqual(ids.map((_, i) => (index + 1) * 100_000 + i));
    }
    const repeated = [...times.values()].filter((count) => count > 1).length;
    expect(repeated).toBeLessThanOrEqual(26); // One lease for each consumer that was killed.
    console.log(`${times.size} values, ${told.length} told, ${repeated} repeated, ${outOfOrder} behind a later one`);
  }, 120_000);
});
