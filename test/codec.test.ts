// Values to bytes and back: structuredClone() is the oracle; bytes that nobody encoded are errors and no more.
import assert from 'node:assert';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkCodec } from '../src/codec/option.js';
import { structuredCodec } from '../src/codec/structured.js';
import { RingwayError } from '../src/errors.js';
import { type Arrive, type Departure, type Route, travels } from '../src/memory/travel.js';
import { announceSeed, Random, seed } from './helpers/random.js';
import { thrownBy } from './helpers/rings.js';

announceSeed('codec');

const route: Route = { reach: 'machine', label: 'the test' };
const nothingArrives: Arrive = () => assert.fail('nothing was sent');
const ROUNDS = Number(process.env.RINGWAY_FUZZ_ROUNDS ?? 100_000);

function bytesOf(value: unknown, codec = structuredCodec): Uint8Array {
  const encoded = codec.encode(value, route);
  const bytes = new Uint8Array(encoded.byteLength);
  encoded.copyTo(bytes, 0, 0, bytes.length);
  return bytes;
}

/** At an odd place, so that what needs alignment shows it. */
function decode(bytes: Uint8Array, { owned = false, arrive = nothingArrives, codec = structuredCodec } = {}): unknown {
  const memory = new Uint8Array(bytes.length + 16).fill(0xee);
  memory.set(bytes, 8);
  const value = codec.decode(memory, 8, bytes.length, arrive, owned);
  if (!owned) memory.fill(0xdb);
  return value;
}

const roundTrip = (value: unknown) => decode(bytesOf(value));
const isUnserialisable = (error: unknown) =>
  error instanceof RingwayError && error.code === 'ERR_RINGWAY_UNSERIALISABLE';

function refusal(value: unknown): string {
  const error = thrownBy(() => bytesOf(value)) as Error;
  expect(error).toMatchObject({ code: 'ERR_RINGWAY_UNSERIALISABLE' });
  return error.message;
}

const values: readonly unknown[] = [
  ...[undefined, null, true, false, 0, -0, 1, 127, 128, -1, -128, -129, 32767, 32768, -32769, 2 ** 31 - 1, -(2 ** 31)],
  ...[2 ** 31, 2 ** 53, 0.1, 5e-324, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  ...[0n, -1n, 2n ** 63n - 1n, 2n ** 63n, -(2n ** 63n), -(2n ** 64n), 7n ** 5000n, -(3n ** 999n)],
  ...['', 'a', '\0', 'ÿ', 'é'.repeat(63), '\ud800', 'x\udc00y', '😀'.repeat(40), 'Ā', `${'a'.repeat(9999)}Ā`],
  ...[8, 9, 12, 13, 24, 25, 63, 64, 253, 254, 300, 70_000].map((length) => 'q'.repeat(length)),
  ...[Object(1), Object('text'), Object(false), Object(3n), new Date(0), new Date(-1.5e12)],
  ...[/a(?<b>c)/giu, /\//, new ArrayBuffer(0), new ArrayBuffer(5), new DataView(new ArrayBuffer(9), 1, 7)],
  ...[new Uint8Array(0), new Uint8Array(3000).fill(7), new Uint8ClampedArray([1, 255]), new Int16Array([-1, 5])],
  ...[new Float32Array([1.5]), new Float64Array(999).fill(Math.PI), new BigInt64Array([-5n]), new BigUint64Array(300)],
  ...[
    new Map(),
    new Map<unknown, unknown>([
      ['a', 1],
      [{ b: 1 }, new Set([1])],
    ]),
    new Set([Number.NaN, 'x', new Map()]),
  ],
  // biome-ignore lint/suspicious/noSparseArray: holes travel
  ...[[], [1, , 3], [, ,], new Array(5), Object.assign([1, 2], { extra: { a: 1 }, '-1': 2 }), new Array(2 ** 32 - 1)],
  ...[{}, { 1: 'a', 0: 'b', x: 'c' }, { '': 1 }, { ключ: 1, ['k'.repeat(100)]: 2 }, { a: { a: { a: undefined } } }],
  Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`key ${i}`, i])),
  'match'.match(/(?<m>m)(a)/),
];

describe('a structured value', () => {
  it('comes back as structuredClone() makes it', () => {
    for (const value of values) {
      // A RegExp's result has groups without a prototype, which structuredClone() gives one.
      assert.deepStrictEqual(roundTrip(value), structuredClone(value));
      assert.deepStrictEqual(roundTrip([value, { value }]), structuredClone([value, { value }]));
      assert.deepStrictEqual(decode(bytesOf({ value }), { owned: true }), structuredClone({ value }));
    }
  });

  it('comes back as structuredClone() makes it, whatever it is', () => {
    const anything = fc.anything({
      withBigInt: true,
      withBoxedValues: true,
      withDate: true,
      withMap: true,
      withSet: true,
      withSparseArray: true,
      withTypedArray: true,
      withNullPrototype: true,
      withUnicodeString: true,
      maxDepth: 4,
    } as fc.ObjectConstraints);
    fc.assert(
      fc.property(anything, (value) => {
        // For Node 20 no invalid date equals another.
        fc.pre(!/Invalid Date/.test(inspect(value, { depth: 20 })));
        assert.deepStrictEqual(roundTrip(value), structuredClone(value));
      }),
      { seed, numRuns: 3000 },
    );
  });

  it('keeps who is who: shared references and cycles', () => {
    const random = new Random();
    for (let round = 0; round < 300; round++) {
      const nodes: Record<string, unknown>[] = Array.from({ length: 1 + random.below(40) }, (_, id) => ({ id }));
      const containers: unknown[] = nodes.map((node) =>
        random.pick([node, [node], new Map([['n', node]]), new Set([node])]),
      );
      for (const node of nodes) for (let i = random.below(4); i > 0; i--) node[`to${i}`] = random.pick(containers);
      // deepStrictEqual() follows cycles, but not who is who; the order of first visits does.
      const graph = (root: unknown) => {
        const numbers = new Map<unknown, number>();
        const visits: number[] = [];
        const visit = (value: unknown) => {
          if (typeof value !== 'object' || value === null) return;
          visits.push(numbers.get(value) ?? numbers.size);
          if (numbers.has(value)) return;
          numbers.set(value, numbers.size);
          const inside = value instanceof Map || value instanceof Set ? [...value.values()] : Object.values(value);
          inside.forEach(visit);
        };
        visit(root);
        return visits;
      };
      expect(graph(roundTrip(containers))).toEqual(graph(containers));
    }
  });

  it('keeps an invalid date', () => {
    const date = roundTrip(new Date(Number.NaN)) as Date;
    expect([Object.getPrototypeOf(date), date.getTime()]).toEqual([Date.prototype, Number.NaN]);
  });

  it('keeps a Buffer, and sends of a view its own bytes only', () => {
    const buffer = roundTrip(Buffer.from('text'));
    expect(Buffer.isBuffer(buffer) && buffer.toString()).toBe('text');
    expect(bytesOf(new Uint8Array(1 << 20).subarray(7, 17)).length).toBeLessThan(20);
  });

  it('gives views of the memory that belongs to it, where they are aligned', () => {
    const [doubles, bytes] = decode(bytesOf([new Float64Array(1000).fill(2.5), new Uint8Array(5000)]), {
      owned: true,
    }) as [Float64Array, Uint8Array];
    expect(doubles.buffer).toBe(bytes.buffer);
    expect(doubles.byteOffset % 8).toBe(0);
    expect(doubles.every((double) => double === 2.5)).toBe(true);
  });

  it('keeps of errors the class, the name, the fields and the stack', () => {
    class OrderError extends RangeError {
      override name = 'OrderError';
      code = 'E_ORDER';
      details = { id: 5 };
    }
    const sent = new OrderError('too many', { cause: new AggregateError([new TypeError('a'), 'b'], 'several') });
    const got = roundTrip(sent) as OrderError;
    expect(got).toBeInstanceOf(RangeError);
    expect({ ...got }).toEqual({ name: 'OrderError', code: 'E_ORDER', details: { id: 5 } });
    expect([got.message, got.stack, String(got)]).toEqual([sent.message, sent.stack, String(sent)]);
    const cause = got.cause as AggregateError;
    expect(cause).toBeInstanceOf(AggregateError);
    expect(cause.errors[0]).toBeInstanceOf(TypeError);
    expect(Object.keys(cause)).toEqual([]);
    expect(roundTrip(new DOMException('stop', 'AbortError'))).toMatchObject({ name: 'AbortError', message: 'stop' });
    expect(Object.hasOwn(roundTrip(new Error('x')) as Error, 'cause')).toBe(false);
  });

  it('is plain data where a class made it; getters are called, and what they throw is thrown', () => {
    class Point {
      x = 1;
      #y = 2;
      get y() {
        return this.#y;
      }
    }
    assert.deepStrictEqual(roundTrip(new Point()), { x: 1 });
    assert.deepStrictEqual(
      roundTrip({
        get a() {
          return 5;
        },
      }),
      { a: 5 },
    );
    const mine = new Error('mine');
    expect(
      thrownBy(() =>
        bytesOf({
          get a() {
            throw mine;
          },
        }),
      ),
    ).toBe(mine);
    assert.deepStrictEqual(
      roundTrip({
        a: 1,
        get b() {
          delete (this as { c?: 1 }).c;
          return 2;
        },
        c: 3,
      }),
      { a: 1, b: 2 },
    );
    // A getter that encodes does not disturb.
    assert.deepStrictEqual(
      roundTrip([
        1,
        {
          get a() {
            return roundTrip(['in', 'it']);
          },
        },
        2,
      ]),
      [1, { a: ['in', 'it'] }, 2],
    );
  });

  it('cannot change a prototype, and a polluted one changes nothing', () => {
    const odd = JSON.parse('{"__proto__": {"evil": 1}, "constructor": 2, "toString": 3, "a": {"__proto__": null}}');
    const got = roundTrip(odd) as object;
    assert.deepStrictEqual(got, odd);
    expect(Object.getPrototypeOf(got)).toBe(Object.prototype);
    expect(Object.keys(got)).toEqual(Object.keys(odd));
    const prototype = Object.prototype as unknown as Record<string, unknown>;
    try {
      roundTrip({ own: 1, polluted: 2 }); // The shape is known.
      prototype.polluted = 'everywhere';
      expect(Object.keys(roundTrip({ own: 1 }) as object)).toEqual(['own']);
      expect(Object.keys(roundTrip({ polluted: 1, own: 1 }) as object)).toEqual(['polluted', 'own']);
    } finally {
      delete prototype.polluted;
    }
  });

  it('that cannot travel is refused by its path', () => {
    expect(refusal({ items: [1, 2, 3, { callback() {} }] })).toMatch(
      /^value\.items\[3\]\.callback is a function.*task/,
    );
    expect(refusal(Symbol('s'))).toMatch(/^value is a symbol/);
    expect(refusal({ 'odd key': Symbol('s') })).toMatch(/^value\["odd key"\] is a symbol/);
    expect(refusal({ users: new Map([['bob', { f() {} }]]) })).toMatch(/^value\.users\.get\("bob"\)\.f is/);
    expect(refusal(new Map([[{ f() {} }, 1]]))).toMatch(/^value\[key 0\]\.f is/);
    expect(refusal(new Set([1, () => 1]))).toMatch(/^value\[member 1\] is/);
    expect(refusal(new Error('x', { cause: { f() {} } }))).toMatch(/^value\.cause\.f is/);
    expect(refusal({ s: new SharedArrayBuffer(8) })).toMatch(/^value\.s is a SharedArrayBuffer: post it to a thread/);
    for (const value of [Promise.resolve(), new WeakMap(), new WeakSet(), new WeakRef({}), Object(Symbol('s'))]) {
      expect(refusal([value])).toMatch(/^value\[0\] is a /);
    }
    const gone = new Uint8Array(8);
    structuredClone(gone.buffer, { transfer: [gone.buffer] });
    expect(refusal({ gone })).toMatch(/^value\.gone is .*transferred/);
    expect(refusal({ gone: gone.buffer })).toMatch(/^value\.gone is .*transferred/);
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    expect(refusal({ proxy })).toMatch(/^value\.proxy is a proxy/);
    assert.deepStrictEqual(roundTrip({ id: 1 }), { id: 1 }); // And it goes on.
  });

  it('is refused when it is nested too deeply, both ways', () => {
    const nest = (depth: number) => {
      let value: unknown = 1;
      for (let i = 0; i < depth; i++) value = i % 2 ? [value] : { value };
      return value;
    };
    assert.deepStrictEqual(roundTrip(nest(999)), nest(999));
    expect(refusal(nest(100_000))).toMatch(/ … .* is nested 1000 levels deep/);
    const deep = new Uint8Array(200_001).fill(1);
    deep[0] = 0x10;
    for (let i = 1; i < deep.length; i += 2) deep[i] = 14; // Arrays of one array.
    expect(thrownBy(() => decode(deep))).toSatisfy(isUnserialisable);
  });
});

describe('an encoded value', () => {
  it('is the same in parts as in one', () => {
    const random = new Random();
    const value = Array.from({ length: 20 }, (_, i) => [
      i,
      'x'.repeat(random.below(100)),
      new Uint8Array(random.below(6000)).fill(i),
    ]);
    const whole = bytesOf(value);
    for (let round = 0; round < 100; round++) {
      const encoded = structuredCodec.encode(value, route);
      const parts = new Uint8Array(encoded.byteLength + 3);
      for (let from = 0; from < encoded.byteLength; ) {
        const length = Math.min(1 + random.below(round % 2 ? 9000 : 300), encoded.byteLength - from);
        encoded.copyTo(parts, 3 + from, from, length);
        from += length;
      }
      expect(Buffer.compare(parts.subarray(3), whole)).toBe(0);
    }
  });

  it('that was kept does not change with the value or the codec', () => {
    const array = new Uint8Array(5000).fill(1);
    const kept = structuredCodec.encode({ array }, route).keep(true);
    array.fill(2);
    structuredCodec.encode('another', route);
    const bytes = new Uint8Array(kept.byteLength);
    kept.copyTo(bytes, 0, 0, bytes.length);
    assert.deepStrictEqual(decode(bytes), { array: new Uint8Array(5000).fill(1) });
  });

  it('refuses memory that a getter took away after it was read', () => {
    const array = new Uint8Array(5000);
    expect(
      refusal({
        array,
        get b() {
          return structuredClone(array.buffer, { transfer: [array.buffer] }).byteLength;
        },
      }),
    ).toMatch(/transferred or resized/);
  });
});

describe('shared objects in a value', () => {
  const log: string[] = [];
  const traveller = (id: number) => ({
    [travels]: (): Departure => ({
      kind: 'Thing',
      data: { id },
      sent: () => log.push(`sent ${id}`),
      unsent: () => log.push(`unsent ${id}`),
    }),
  });

  it('travel as their class and data, once each', () => {
    const thing = traveller(5);
    const { departures } = structuredCodec.encode([thing, thing, traveller(6)], route);
    expect(departures.map(({ data }) => data)).toEqual([{ id: 5 }, { id: 6 }]);
    const arrived = decode(bytesOf([thing, { thing }, traveller(6)]), {
      arrive: (kind, data) => ({ kind, data }),
    }) as [object, { thing: object }];
    assert.deepStrictEqual(arrived[0], { kind: 'Thing', data: { id: 5 } });
    expect(arrived[1].thing).toBe(arrived[0]);
    expect(log).toEqual([]);
  });

  it('stay when something else cannot travel', () => {
    refusal([traveller(1), traveller(2), () => 1]);
    expect(log).toEqual(['unsent 1', 'unsent 2']);
  });
});

describe('bytes that are no value', () => {
  it('are an error with the offset', () => {
    const bytes = bytesOf({ a: [1, 'text', new Map([[1, 2.5]])] });
    for (let length = 0; length < bytes.length; length++) {
      expect(thrownBy(() => decode(bytes.subarray(0, length)))).toSatisfy(isUnserialisable);
    }
    expect(() => decode(Uint8Array.of(...bytes, 0))).toThrow(/at byte \d+ of \d+ it has 1 bytes too many/);
    expect(() => decode(Uint8Array.of(0x10, 60))).toThrow(/at byte 1 of 2 it has the tag 60/);
    expect(() => decode(Uint8Array.of(0x11, 26, 0))).toThrow(/refers to the object 0/);
    expect(() => decode(Uint8Array.of(0x20, 0))).toThrow(/starts with 32/);
  });

  it('allocate nothing for what they only announce', () => {
    const huge = [254, 255, 255, 255, 255];
    for (const tag of [10, 11, 13, 14, 18, 19]) {
      expect(thrownBy(() => decode(Uint8Array.of(0x10, tag, ...huge, 1)))).toSatisfy(isUnserialisable);
    }
    for (const tag of [24, 25]) {
      expect(thrownBy(() => decode(Uint8Array.of(0x10, tag, 4, ...huge, 1)))).toSatisfy(isUnserialisable);
    }
    const before = process.memoryUsage().heapUsed;
    const holes = [254, 0, 0, 0, 1];
    const sparse = Array.from({ length: 20 }, () => decode(Uint8Array.of(0x10, 14, ...holes, 16, ...holes)));
    expect(sparse.map((array) => (array as unknown[]).length)).toEqual(new Array(20).fill(2 ** 24));
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(2 ** 24); // With room for the elements: 2.5 GB.
    expect(() => decode(Uint8Array.of(0x10, 15, 0, 1, 0x46, ...Buffer.from('length'), 0x85))).toThrow(/"length"/);
    expect(() => decode(Uint8Array.of(0x10, 15, 0, 1, 0x41, 0x35, 0x85))).toThrow(/elements/);
  });

  it(`are errors or values, ${ROUNDS} times`, () => {
    const random = new Random();
    const cyclic: Record<string, unknown> = { list: [1, 2] };
    cyclic.self = [cyclic, cyclic.list];
    const thing = { [travels]: (): Departure => ({ kind: 'T', data: [1], sent() {}, unsent() {} }) };
    const small = values.filter((value) => !(Array.isArray(value) && value.length > 1000));
    const seeds = [
      ...small,
      cyclic,
      [thing, thing],
      new AggregateError([new Error('x', { cause: 1 })]),
      new DOMException('m'),
    ]
      .map((value) => bytesOf(value))
      .filter(({ length }) => length < 2000);
    const counts = { values: 0, errors: 0 };
    for (let round = 0; round < ROUNDS; round++) {
      let bytes = random.pick(seeds).slice();
      if (round % 8 === 0) bytes = Uint8Array.from({ length: 1 + random.below(40) }, () => random.next());
      for (let i = random.below(4); i >= 0; i--)
        bytes[random.below(bytes.length)] = random.pick([random.next(), random.below(30), 254, 255]);
      if (random.below(4) === 0) bytes = bytes.slice(0, random.below(bytes.length + 1));
      if (bytes.length > 0 && random.below(3) > 0) bytes[0] = 0x10 | random.below(2);
      let value: unknown;
      try {
        value = decode(bytes, { arrive: (_kind, data) => ({ data }), owned: random.below(2) === 0 });
        counts.values++;
      } catch (error) {
        if (!isUnserialisable(error))
          throw new Error(`round ${round}: ${Buffer.from(bytes).toString('hex')}`, { cause: error });
        counts.errors++;
        continue;
      }
      if (ArrayBuffer.isView(value)) expect(value.byteLength).toBeLessThanOrEqual(bytes.length);
      if (value instanceof Map || value instanceof Set) expect(value.size).toBeLessThanOrEqual(bytes.length);
      if (typeof value === 'string') expect(value.length).toBeLessThanOrEqual(bytes.length);
    }
    console.log(JSON.stringify(counts));
    expect(counts.values).toBeGreaterThan(ROUNDS / 50);
    expect(counts.errors).toBeGreaterThan(ROUNDS / 5);
    expect(({} as Record<string, unknown>).evil).toBe(undefined);
  });
});

describe('other codecs', () => {
  it('json takes what JSON takes, and says where it does not', () => {
    const json = checkCodec('json');
    const value = { a: [1, 'é\ud800', null], b: { c: true } };
    assert.deepStrictEqual(decode(bytesOf(value, json), { codec: json }), value);
    for (const nothing of [undefined, () => 1]) {
      expect(thrownBy(() => bytesOf(nothing, json))).toSatisfy(isUnserialisable);
    }
    expect(() => bytesOf({ a: [{ b: 5n }] }, json)).toThrow(/^value\.a\[0\]\.b is a bigint/);
    const cyclic: Record<string, unknown> = {};
    cyclic.a = [cyclic];
    expect(() => bytesOf(cyclic, json)).toThrow(/^value\.a\[0\] is/);
    expect(thrownBy(() => decode(Uint8Array.of(0x7b), { codec: json }))).toSatisfy(isUnserialisable);
    expect(thrownBy(() => decode(Uint8Array.of(0x22, 0xff, 0x22), { codec: json }))).toSatisfy(isUnserialisable);
  });

  it('bytes takes views and gives Uint8Arrays', () => {
    const bytes = checkCodec('bytes');
    for (const owned of [true, false]) {
      const got = decode(bytesOf(new Uint16Array([1, 2]), bytes), { codec: bytes, owned });
      assert.deepStrictEqual(got, Uint8Array.of(1, 0, 2, 0));
    }
    expect(() => bytesOf('text', bytes)).toThrow(/^value is "text"/);
  });

  it('of a user are called with bytes of their own', () => {
    const codec = checkCodec({
      name: 'text',
      encode: (value: unknown) => new TextEncoder().encode(String(value)),
      decode: (bytes: Uint8Array) => new TextDecoder().decode(bytes),
    });
    expect(decode(bytesOf(55, codec), { codec })).toBe('55');
    const wrong = checkCodec({ name: 'x', encode: () => 'text', decode: () => 1 });
    expect(() => wrong.encode(1, route)).toThrow(/must return a Uint8Array, not "text"/);
    for (const option of ['msgpack', null, 5, {}, { name: 'json', encode() {}, decode() {} }]) {
      expect(() => checkCodec(option)).toThrow(TypeError);
    }
    expect(checkCodec(undefined)).toBe(structuredCodec);
  });
});
