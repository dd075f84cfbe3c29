// Values: what each type takes and refuses, that changes are counted exactly between processes and threads, that a record is
// never seen torn, and what is left when a process dies or stops at any atomic operation.
import { existsSync, readFileSync } from 'node:fs';
import {
  type RecordValue,
  record,
  type ScalarType,
  type SegmentHandle,
  TimeoutError,
  Value,
  type ValueType,
} from 'ringway';
import { afterEach, describe, expect, it } from 'vitest';
import { SegmentHeader, ValueHeader } from '../src/layout.js';
import { Value as OtherValue } from '../src/shared/value.js';
import { freshName, opening, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random } from './helpers/random.js';
import { type Context, startProcess, startThread } from './helpers/remote.js';
import { BACKENDS, imageOf, poke, pokeBody, rejectionOf, thrownBy, until } from './helpers/rings.js';
import { TIMES } from './helpers/torture.js';

useOwnDirectory();

const start = (backend: 'shm' | 'sab') => (backend === 'shm' ? startProcess() : startThread());

const INTEGERS: Partial<Record<ScalarType, [least: number | bigint, most: number | bigint]>> = {
  int8: [-128, 127],
  uint8: [0, 255],
  int16: [-32768, 32767],
  uint16: [0, 65535],
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint32: [0, 2 ** 32 - 1],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
};
const SCALARS = [...Object.keys(INTEGERS), 'float32', 'float64', 'bool'] as ScalarType[];
const LARGEST_FLOAT32 = (2 - 2 ** -23) * 2 ** 127;

// All elements of `numbers` are `writer * 2^20 + number` in each value that somebody set, so a torn one shows.
const Mark = record({ writer: 'int32', number: 'float64', numbers: 'float64[30]', text: 'utf8[8]' });
const Large = record({ numbers: 'float64[8192]' });
const mark = (writer: number, number: number): RecordValue<typeof Mark> => ({
  writer,
  number,
  numbers: new Float64Array(30).fill(writer * 2 ** 20 + number),
  text: String(number % 1000),
});

for (const backend of BACKENDS) {
  describe(`a value over ${backend}`, () => {
    const make = <Type extends ValueType>(type: Type, initial?: never, options = {}): Value<Type> =>
      opening(new Value(type, initial, { backend, ...options }));
    const any = (type: ValueType, initial?: unknown) => make(type, initial as never) as unknown as Value<'int32'>;

    it('is 0 or false by default, or what it was given', () => {
      for (const type of SCALARS) {
        const zero = type === 'bool' ? false : type.endsWith('64') && type !== 'float64' ? 0n : 0;
        expect(any(type)).toMatchObject({ type, value: zero, backend, name: undefined, closed: false });
      }
      expect(make('int16', -3 as never).value).toBe(-3);
      expect(make('bool', true as never).value).toBe(true);
      expect(make(Mark).value).toEqual({ writer: 0, number: 0, numbers: new Float64Array(30), text: '' });
      expect(make(Mark, mark(1, 2) as never).value).toEqual(mark(1, 2));
    });

    it('refuses types, values and options that cannot be, and makes nothing', () => {
      const refused = (call: () => unknown, error: typeof TypeError | typeof RangeError) =>
        expect(thrownBy(call)).toBeInstanceOf(error);
      for (const type of ['int', 'utf8', 'utf8[4]', 'float32[2]', '']) refused(() => any(type as never), RangeError);
      for (const type of [undefined, null, 4, {}, ['int8']]) refused(() => any(type as never), TypeError);
      refused(() => any('uint8', 256), RangeError);
      refused(() => any('uint8', '1'), TypeError);
      refused(() => any('int64', 1), TypeError);
      refused(() => any(Mark, { writer: 1 }), TypeError);
      refused(() => make('int8', 1 as never, { maxParticipants: 1 }), RangeError);
      refused(() => new Value('int8', 1, null as never), TypeError);
      const large = record({ all: `uint8[${2 ** 26}]` });
      refused(() => any(large), RangeError);
      expect(thrownBy(() => any(large)).message).toContain('maxParticipants');
    });

    for (const [type, [least, most]] of Object.entries(INTEGERS) as [ScalarType, [number, number]][]) {
      it(`holds ${type} up to its limits, and refuses what is beyond without effect`, () => {
        const one = (typeof least === 'bigint' ? 1n : 1) as number;
        const value = any(type);
        for (const limit of [least, most]) {
          const outward = limit === most ? one : (-one as number);
          expect([value.set(limit), value.value, value.exchange(limit)].slice(1)).toEqual([limit, limit]);
          for (const call of [
            () => value.set(limit + outward),
            () => value.exchange(limit + outward),
            () => value.add(outward),
            () => value.update((now) => now + outward),
            () => value.compareExchange(limit, limit + outward),
            () => value.compareExchange(limit + outward, limit),
          ]) {
            const error = thrownBy(call);
            expect(error).toBeInstanceOf(RangeError);
            expect(error.message).toContain(type);
            expect(value.value).toBe(limit);
          }
          expect(value.add(-outward)).toBe(limit);
          expect(value.value).toBe(limit - outward);
        }
        for (const wrong of ['1', null, undefined, {}, true, typeof least === 'bigint' ? 1 : 1n, Symbol.iterator]) {
          for (const call of [() => value.set(wrong as never), () => value.add(wrong as never)]) {
            expect(thrownBy(call)).toBeInstanceOf(TypeError);
          }
        }
        if (typeof least === 'number') {
          for (const wrong of [0.5, Number.NaN, Infinity]) {
            expect(thrownBy(() => value.set(wrong))).toBeInstanceOf(RangeError);
            expect(thrownBy(() => value.add(wrong))).toBeInstanceOf(RangeError);
          }
        }
      });
    }

    it('adds at random like integers that know no limits, but for those', () => {
      announceSeed('sums');
      const random = new Random();
      for (const [type, [least, most]] of Object.entries(INTEGERS) as [ScalarType, [number, number]][]) {
        const big = typeof least === 'bigint';
        const value = any(type);
        let expected = 0n;
        for (let round = 0; round < 300; round++) {
          const size = random.below(big ? 66 : 34);
          const size32 = Math.min(size, 32);
          let n = BigInt(random.next()) & ((1n << BigInt(size32)) - 1n);
          n = (n << BigInt(size - size32)) * (random.below(2) === 0 ? -1n : 1n);
          const sum = expected + n;
          const fits = sum >= BigInt(least) && sum <= BigInt(most);
          const add = () => value.add((big ? n : Number(n)) as number);
          if (fits) expect(BigInt(add())).toBe(expected);
          else expect(thrownBy(add)).toBeInstanceOf(RangeError);
          if (fits) expected = sum;
          expect(BigInt(value.value)).toBe(expected);
        }
      }
    });

    it('holds floats, with NaN, -0 and infinities, and no finite sum becomes infinite', () => {
      for (const [type, largest] of [
        ['float32', LARGEST_FLOAT32],
        ['float64', Number.MAX_VALUE],
      ] as const) {
        const value = make(type);
        for (const number of [1.5, -0, Infinity, -Infinity, Number.NaN, largest, -largest]) {
          value.set(number);
          expect(value.value).toBe(number);
          expect(value.compareExchange(number, 7)).toBe(number);
          expect(value.value).toBe(7);
        }
        value.set(largest);
        expect(thrownBy(() => value.add(largest))).toBeInstanceOf(RangeError);
        expect(value.value).toBe(largest);
        value.set(Infinity);
        expect([value.add(1), value.add(-Infinity), value.value]).toEqual([Infinity, Infinity, Number.NaN]);
        expect(value.set(0)).toBeNaN();
        expect(value.compareExchange(-0, 1)).toBe(0);
        expect(value.value).toBe(0);
      }
      const single = make('float32', 0.1 as never);
      expect(single.value).toBe(Math.fround(0.1));
      expect(single.compareExchange(0.1, 0.2)).toBe(Math.fround(0.1));
      expect(single.value).toBe(Math.fround(0.2));
      expect(thrownBy(() => single.set(1e39))).toBeInstanceOf(RangeError);
      expect(single.value).toBe(Math.fround(0.2));
    });

    it('holds a bool, which cannot be added to', () => {
      const value = make('bool');
      expect([value.set(true), value.compareExchange(true, false), value.update((now) => !now)]).toEqual([
        false,
        true,
        false,
      ]);
      expect(value.value).toBe(true);
      for (const wrong of [1, 0, 'true', undefined]) {
        expect(thrownBy(() => value.set(wrong as never))).toBeInstanceOf(TypeError);
      }
      expect(thrownBy(() => value.add(1 as never))).toBeInstanceOf(TypeError);
    });

    it('holds a record, replaced as a whole', () => {
      const value = make(Mark, mark(0, 0) as never);
      expect(value.set(mark(1, 1))).toEqual(mark(0, 0));
      expect(value.exchange(mark(1, 2))).toEqual(mark(1, 1));
      expect(value.compareExchange(mark(1, 1), mark(9, 9))).toEqual(mark(1, 2));
      expect(value.compareExchange(mark(1, 2), mark(1, 3))).toEqual(mark(1, 2));
      const before = value.update((now) => {
        now.number++;
        now.numbers.fill(5);
        return now;
      });
      expect(before).toEqual(mark(1, 3));
      expect(value.value).toEqual({ ...mark(1, 4), numbers: new Float64Array(30).fill(5), text: '3' });
      const { value: kept } = value;
      for (const wrong of [null, {}, { ...mark(1, 1), more: 1 }, { ...mark(1, 1), writer: 2 ** 31 }]) {
        for (const call of [
          () => value.set(wrong as never),
          () => value.compareExchange(kept, wrong as never),
          () => value.update(() => wrong as never),
        ]) {
          expect(thrownBy(call).name).toMatch(/^(Type|Range)Error$/);
        }
      }
      expect(thrownBy(() => value.add(1 as never)).message).toContain('update()');
      expect(value.value).toEqual(kept);
    });

    it('cannot be assigned, and says what to do instead', () => {
      const value = make('int32', 4 as never) as unknown as { value: number };
      const assign = () => {
        value.value += 1;
      };
      expect(thrownBy(assign)).toBeInstanceOf(TypeError);
      expect(thrownBy(assign).message).toContain('set()');
      expect(value.value).toBe(4);
    });

    for (const type of ['int32', 'int64', 'float64', Mark] as ValueType[]) {
      const what = typeof type === 'string' ? type : 'a record';
      const at = (n: number) => (type === 'int64' ? BigInt(n) : type === Mark ? mark(0, n) : n) as number;

      it(`updates ${what} again when another one was quicker`, () => {
        const value = any(type, at(0));
        const other = opening(OtherValue.attach(value.handle)) as unknown as Value<'int32'>;
        const seen: unknown[] = [];
        const before = value.update((now) => {
          seen.push(now);
          if (seen.length <= 2) other.set(at(seen.length * 10));
          if (seen.length === 3) value.set(at(30)); // Itself, too.
          return at(99);
        });
        expect(seen).toEqual([at(0), at(10), at(20), at(30)]);
        expect([before, value.value, other.value]).toEqual([at(30), at(99), at(99)]);
      });

      it(`leaves ${what} alone when the function throws, returns a promise, or closes it`, async () => {
        const value = any(type, at(1));
        const other = opening(Value.attach(value.handle));
        const boom = new Error('boom');
        const thrower = () => {
          throw boom;
        };
        expect(thrownBy(() => value.update(thrower))).toBe(boom);
        expect(thrownBy(() => value.update((async () => at(2)) as never))).toBeInstanceOf(TypeError);
        expect(thrownBy(() => value.update(at(2) as never))).toBeInstanceOf(TypeError);
        const closing = () => {
          value.close();
          return at(2);
        };
        expect(thrownBy(() => value.update(closing))).toMatchObject({ code: 'ERR_RINGWAY_CLOSED' });
        expect(other.value).toEqual(at(1));
      });
    }

    it('is one value for all that attach, with its type or without, and no other', async () => {
      for (const [type, first, second] of [
        ['uint16', 7, 8],
        ['int64', 2n ** 33n, -(2n ** 33n)],
        ['float64', 0.5, 1.5],
        [Mark, mark(1, 1), mark(2, 2)],
      ] as [ValueType, never, never][]) {
        const value = make(type, first);
        const twice = opening(Value.attach(value.handle, { type }));
        expect([twice.type, twice.value]).toEqual([type, first]);
        const remote = await start(backend);
        const before = await remote.run(
          ({ ringway }, handle, next) => {
            const there = ringway.Value.attach(handle);
            const before = there.exchange(next);
            there.close();
            return before;
          },
          value.handle,
          second,
        );
        expect([before, value.value, twice.value]).toEqual([first, second, second]);
        const error = thrownBy(() => Value.attach(value.handle, { type: 'int8' }));
        expect(error).toMatchObject({ code: 'ERR_RINGWAY_SHAPE' });
        expect(error.message).toContain(typeof type === 'string' ? type : type.text);
        expect(error.message).toContain('int8');
        expect(thrownBy(() => Value.attach(value.handle, { type: 'never' as never }))).toBeInstanceOf(RangeError);
      }
      const handle = { ...make('int8').handle, kind: 'Semaphore' };
      expect(thrownBy(() => Value.attach(handle))).toBeInstanceOf(TypeError);
    });

    it('throws when it is closed, whatever is called, and others keep it', () => {
      for (const type of ['int32', Mark] as ValueType[]) {
        const value = any(type);
        const other = opening(Value.attach(value.handle));
        value.close();
        value.close();
        for (const use of [
          () => value.value,
          () => value.set(1),
          () => value.exchange(1),
          () => value.add(1),
          () => value.compareExchange(0, 1),
          () => value.update((now) => now),
        ]) {
          expect(thrownBy(use)).toMatchObject({ code: 'ERR_RINGWAY_CLOSED' });
        }
        expect([value.closed, value.type, other.closed]).toEqual([true, type, false]);
        other.value;
      }
    });

    it('is closed by a getter of what it is set to, and left alone then', () => {
      const value = make(Mark, mark(1, 1) as never);
      const other = opening(Value.attach(value.handle));
      const closing = {
        ...mark(2, 2),
        get text() {
          value.close();
          return '2';
        },
      };
      expect(thrownBy(() => value.set(closing))).toMatchObject({ code: 'ERR_RINGWAY_CLOSED' });
      expect(other.value).toEqual(mark(1, 1));
    });

    it('is not disturbed by a getter that reads it', () => {
      const value = make(Mark, mark(1, 1) as never);
      const next = { ...mark(2, 2) };
      const reading = Object.defineProperty({ ...next }, 'text', { enumerable: true, get: () => value.value.text + 2 });
      value.set(reading);
      expect(value.value).toEqual({ ...next, text: '12' });
    });

    it('is doubled by another one, every field of a record: the text is put behind itself', async () => {
      const Struct = record({ n: 'int32', x: 'float64', long: 'int64', xs: 'float64[3]', text: 'utf8[20]' });
      const value = make(Struct, { n: 3, x: 1.5, long: 2n ** 33n, xs: [1, 2, 3], text: 'hello' } as never);
      const copy = value.value;
      const remote = await start(backend);
      await remote.run(({ ringway }, handle) => {
        const there = ringway.Value.attach(handle) as unknown as Value<typeof Struct>;
        there.update(({ n, x, long, xs, text }) => ({
          n: 2 * n,
          x: 2 * x,
          long: 2n * long,
          xs: xs.map((number) => 2 * number),
          text: text + text,
        }));
        there.close();
      }, value.handle);
      const doubled = { n: 6, x: 3, long: 2n ** 34n, xs: new Float64Array([2, 4, 6]), text: 'hellohello' };
      expect([value.value, copy.text, copy.n]).toEqual([doubled, 'hello', 3]);
    });

    it('tells of contents that cannot be', () => {
      const corrupt = { code: 'ERR_RINGWAY_CORRUPT_SEGMENT' };
      for (const [type, bits] of [
        ['bool', 2],
        ['int8', 128],
        ['int16', -32769],
        ['uint8', 256],
        ['uint16', 65536],
      ] as const) {
        const value = any(type);
        pokeBody(value, ValueHeader.cell, bits);
        for (const use of [() => value.value, () => value.add(1), () => value.update((now) => now)]) {
          if (type !== 'bool' || use.toString().includes('value.value')) expect(thrownBy(use)).toMatchObject(corrupt);
        }
      }
      const value = any(Mark);
      for (const copy of [128, 8191]) {
        pokeBody(value, ValueHeader.cell, copy);
        for (const use of [() => value.value, () => value.set(mark(1, 1) as never)]) {
          expect(thrownBy(use)).toMatchObject(corrupt);
        }
      }
    });

    it('gives wrong values or an error, and no more, while a peer writes what it likes', () => {
      announceSeed('contents');
      const random = new Random();
      for (const type of [...SCALARS, Mark] as ValueType[]) {
        const value = any(type);
        for (let round = 0; round < 50; round++) {
          for (const offset of [0, 4, ...Array.from({ length: 20 }, () => 128 + 4 * random.below(64))]) {
            if (type === Mark || offset < 128) pokeBody(value, offset, random.next());
          }
          if (type === Mark && round % 2 === 0) pokeBody(value, ValueHeader.cell, random.below(2));
          const now = type === Mark ? mark(1, 2) : type === 'bool' ? true : type.toString().match(/int64/) ? 1n : 1;
          for (const use of [
            () => value.value,
            () => value.update((found) => found),
            () => value.compareExchange(now as number, now as number),
            () => value.exchange(now as number),
          ]) {
            try {
              use();
            } catch (error) {
              expect(error).toMatchObject({ code: 'ERR_RINGWAY_CORRUPT_SEGMENT' });
            }
          }
        }
      }
    });

    it('is not found in a segment whose description is garbage', () => {
      const corrupt = { code: 'ERR_RINGWAY_CORRUPT_SEGMENT' };
      announceSeed('descriptions');
      const random = new Random();
      for (const type of ['int64', Mark] as ValueType[]) {
        const value = any(type);
        const image = imageOf(value);
        const words = new Uint32Array(image.buffer, image.byteOffset, image.byteLength >> 2);
        const at = words[SegmentHeader.descriptionOffset >> 2] as number;
        const attach = () => Value.attach(value.handle).close();
        for (const offset of [SegmentHeader.descriptionOffset, SegmentHeader.descriptionByteLength]) {
          const right = words[offset >> 2] as number;
          for (const wrong of [0, 1, right + 8, right - 8, 0xffffffff, random.next()]) {
            poke(value, offset, wrong);
            expect(thrownBy(attach), `${wrong} at ${offset}`).toMatchObject(corrupt);
          }
          poke(value, offset, right);
        }
        poke(value, at, random.next() | 0x80);
        expect(thrownBy(attach)).toMatchObject(corrupt);
        poke(value, at, words[at >> 2] as number);
        attach();
      }
      // A description of more than the body holds.
      const small = any(record({ a: 'uint8[9]' }));
      const words = new Uint32Array(imageOf(small).slice().buffer);
      const at = words[SegmentHeader.descriptionOffset >> 2] as number;
      poke(small, at + 12, new Uint32Array(new TextEncoder().encode('999]').buffer)[0] as number);
      poke(small, at + 16, new Uint32Array(new TextEncoder().encode('"}  ').buffer)[0] as number);
      poke(small, SegmentHeader.descriptionByteLength, 18);
      expect(thrownBy(() => Value.attach(small.handle))).toMatchObject(corrupt);
    });

    it('counts exactly when four change it at once, in every way', async () => {
      const rounds = 50_000 * TIMES;
      const work = ({ ringway }: Context, handles: SegmentHandle[], rounds: number) => {
        const [sum, long, float, exchanged, updated, go] = handles.map((handle) =>
          ringway.Value.attach(handle),
        ) as never[];
        const values = [sum, long, float, exchanged, updated, go] as unknown as Value<'int32'>[];
        const [one, big, half, cas, up, gate] = values as [
          Value<'int32'>,
          never,
          never,
          Value<'int32'>,
          never,
          Value<'int32'>,
        ];
        gate.add(1);
        while (gate.value < 4);
        for (let round = 0; round < rounds; round++) {
          one.add(1);
          (big as Value<'int64'>).add(3n);
          (half as Value<'float64'>).add(0.5);
          if (round % 10 !== 0) continue;
          (up as Value<'uint64'>).update((now) => now + 2n);
          let now = cas.value;
          for (;;) {
            const found = cas.compareExchange(now, now + 1);
            if (found === now) break;
            now = found;
          }
        }
        for (const value of values) value.close();
      };
      const values = [any('int32'), any('int64'), any('float64'), any('uint32'), any('uint64'), any('int32')];
      const remotes = await Promise.all([0, 1, 2, 3].map(() => start(backend)));
      const handles = values.map(({ handle }) => handle);
      await Promise.all(remotes.map((remote) => remote.run(work, handles, rounds)));
      expect(values.slice(0, 5).map((value) => value.value)).toEqual([
        4 * rounds,
        BigInt(12 * rounds),
        2 * rounds,
        (4 * rounds) / 10,
        BigInt((8 * rounds) / 10),
      ]);
    }, 120_000);

    it('is never seen torn as a record, by three that write it and two that read it', async () => {
      const rounds = 5_000 * TIMES;
      const value = make(Mark, mark(0, 0) as never);
      const work = ({ ringway }: Context, handle: SegmentHandle, writer: number, rounds: number) => {
        const value = ringway.Value.attach(handle) as unknown as Value<typeof Mark>;
        const torn: unknown[] = [];
        let seen = 0;
        const check = (now: RecordValue<typeof Mark>) => {
          const expected = now.writer * 2 ** 20 + (now.number % 2 ** 20);
          const isWhole = now.numbers.every((number) => number === expected) && now.text === String(now.number % 1000);
          if (!isWhole) torn.push(now);
          if (now.number < seen) torn.push([now.number, seen]); // Numbers only grow.
          seen = now.number;
        };
        for (let round = 0; round < rounds; round++) {
          if (writer === 0) check(value.value);
          else {
            value.update((now) => {
              check(now);
              const number = now.number + 1;
              const numbers = now.numbers.fill(writer * 2 ** 20 + (number % 2 ** 20));
              return { writer, number, numbers, text: String(number % 1000) };
            });
          }
        }
        value.close();
        return torn;
      };
      const remotes = await Promise.all([0, 0, 1, 2, 3].map(() => start(backend)));
      const results = remotes.map((remote, i) => remote.run(work, value.handle, Math.max(0, i - 1), rounds));
      expect(await Promise.all(results)).toEqual([[], [], [], [], []]);
      expect(value.value.number).toBe(3 * rounds);
    }, 120_000);

    // More readers and writers than processors are interrupted in the middle of a copy now and then, and find another one.
    it('is never seen torn as a large record either, which takes a while to read', async () => {
      const rounds = 4_000 * Math.min(TIMES, 4);
      const value = make(Large, undefined, { maxParticipants: 8 });
      const [come, done] = [make('int32'), make('int32')];
      const work = ({ ringway }: Context, handles: SegmentHandle[], writer: number, rounds: number) => {
        const value = ringway.Value.attach(handles[0] as never) as unknown as Value<typeof Large>;
        const [come, done] = handles.slice(1).map((handle) => ringway.Value.attach(handle)) as unknown as [
          Value<'int32'>,
          Value<'int32'>,
        ];
        come.add(1);
        while (come.value < 5);
        let torn = 0;
        const numbers = new Float64Array(8192);
        for (let round = 1; writer === 0 ? round <= rounds : done.value < 2; round++) {
          if (writer === 0) {
            const now = value.value.numbers;
            for (let i = 0; i < 8192; i += 256) if (now[i] !== now[8191]) torn++;
          } else value.set({ numbers: numbers.fill(writer * 2 ** 30 + round) });
        }
        if (writer === 0) done.add(1);
        for (const one of [value, come, done]) one.close();
        return torn;
      };
      const remotes = await Promise.all([0, 1, 2, 3, 4].map(() => start(backend)));
      const handles = [value, come, done].map(({ handle }) => handle);
      const results = remotes.map((remote, i) => remote.run(work, handles, Math.max(0, i - 1), rounds));
      expect(await Promise.all(results)).toEqual([0, 0, 0, 0, 0]);
    }, 120_000);
  });
}

describe('a named value', () => {
  it('is made, found, awaited and unlinked', async () => {
    const name = freshName();
    expect(thrownBy(() => Value.attach(name))).toMatchObject({ code: 'ENOENT' });
    const coming = Value.whenCreated(name, { type: 'uint32' });
    const made = opening(Value.createOrAttach({ name, type: 'uint32', value: 5 }));
    expect(opening(await coming)).toMatchObject({ value: 5, name, type: 'uint32' });
    expect(thrownBy(() => new Value('uint32', 5, { name }))).toMatchObject({ code: 'EEXIST' });
    made.add(1);
    // What it is at first matters to whoever makes it only.
    expect(opening(Value.createOrAttach({ name, type: 'uint32', value: 1 })).value).toBe(6);
    const error = thrownBy(() => Value.createOrAttach({ name, type: 'int64' }));
    expect(error).toMatchObject({ code: 'ERR_RINGWAY_SHAPE' });
    expect(error.message).toMatch(/uint32.*int64/);
    Value.unlink(name);
    expect(thrownBy(() => Value.unlink(name))).toMatchObject({ code: 'ENOENT' });
    expect(made.add(1)).toBe(6);
    expect(await rejectionOf(Value.whenCreated(name, { timeoutMs: 0 }))).toBeInstanceOf(TimeoutError);
    expect(thrownBy(() => Value.createOrAttach({ name, type: 'uint8', value: 256 }))).toBeInstanceOf(RangeError);
    expect(thrownBy(() => Value.createOrAttach({ type: 'uint8' } as never))).toBeInstanceOf(TypeError);
    for (const wrong of [{}, { type: null }, { type: 'int8', value: '1' }]) {
      using there = new Value('int8', 1, { name });
      expect(thrownBy(() => Value.createOrAttach({ name, ...wrong } as never))).toBeInstanceOf(TypeError);
      Value.unlink(there.name as string);
    }
  });
});

const OPERATIONS = ['load', 'store', 'exchange', 'compareExchange'] as const;
const real = Object.fromEntries(OPERATIONS.map((name) => [name, Atomics[name]]));
afterEach(() => {
  Object.assign(Atomics, real);
});

/** Calls `act` before the `at`th atomic operation from now on, counted from 1. Whether it did. */
function interruptAt(at: number, act: () => void): { acted: boolean } {
  const state = { acted: false };
  let count = 0;
  for (const name of OPERATIONS) {
    const call = (...args: never[]) => {
      if (++count === at) {
        Object.assign(Atomics, real); // What the other one does is not counted.
        state.acted = true;
        act();
      }
      return (real[name] as (...args: never[]) => unknown)(...args);
    };
    Object.assign(Atomics, { [name]: call });
  }
  return state;
}

describe('another one that acts at any step', () => {
  // Twice over: then it has used both of its copies, and whoever was interrupted finds its own where they were.
  for (const times of [1, 2]) {
    it(`comes before or after, never in between: ${times} times`, () => {
      for (const form of ['load', 'exchange', 'compareExchange', 'update'] as const) {
        let interruption = { acted: true };
        for (let at = 1; interruption.acted; at++) {
          using value = new Value(Mark, mark(0, 1), { backend: 'sab' });
          using other = OtherValue.attach(value.handle) as unknown as Value<typeof Mark>;
          interruption = interruptAt(at, () => {
            for (let time = 1; time <= times; time++) other.set(mark(2, 10 * time));
          });
          let before: RecordValue<typeof Mark>;
          if (form === 'load') before = value.value;
          else if (form === 'exchange') before = value.exchange(mark(1, 5));
          else if (form === 'compareExchange') before = value.compareExchange(mark(0, 1), mark(1, 5));
          else before = value.update(() => mark(1, 5));
          Object.assign(Atomics, real);
          const theirs = mark(2, 10 * times);
          const step = `${form}, step ${at}`;
          if (form === 'load') {
            expect([mark(0, 1), theirs], step).toContainEqual(before);
            expect(value.value, step).toEqual(interruption.acted ? theirs : mark(0, 1));
          } else if (!interruption.acted) {
            expect([before, value.value], step).toEqual([mark(0, 1), mark(1, 5)]);
          } else {
            // Ours came last, and found theirs; or ours came first; or it was not the expected one any more.
            const orders = [
              [theirs, form === 'compareExchange' ? theirs : mark(1, 5)],
              [mark(0, 1), theirs],
            ];
            expect(orders, step).toContainEqual([before, value.value]);
          }
          if (at === 1) expect(interruption.acted).toBe(true);
        }
      }
    });
  }
});

type Act = 'load' | 'exchange' | 'compareExchange' | 'update';

// Ends itself by a signal before its `at`th atomic operation from the start of the act.
const victim = ({ ringway }: Context, handle: SegmentHandle, next: unknown, act: Act, at: number, signal: string) => {
  const value = ringway.Value.attach(handle) as unknown as Value<'int32'>;
  const now = value.value;
  let count = 0;
  for (const name of ['load', 'store', 'exchange', 'compareExchange'] as const) {
    const operation = Atomics[name] as (...args: unknown[]) => unknown;
    Object.assign(Atomics, {
      [name]: (...args: unknown[]) => {
        if (++count === at) process.kill(process.pid, signal);
        return operation(...args);
      },
    });
  }
  if (act === 'load') value.value;
  if (act === 'exchange') value.exchange(next as number);
  if (act === 'compareExchange') value.compareExchange(now, next as number);
  if (act === 'update') value.update(() => next as number);
  return 'over';
};

const stopped = (pid: number) =>
  !existsSync(`/proc/${pid}/stat`) || /\) [TZ]/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));

describe('at every atomic operation', () => {
  for (const type of ['int32', Mark] as ValueType[]) {
    const what = typeof type === 'string' ? type : 'a record';
    const at = (n: number) => (type === Mark ? mark(1, n) : n) as number;
    for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
      for (const act of ['load', 'exchange', 'compareExchange', 'update'] as Act[]) {
        it(`${what} is whole, old or new, and nobody waits, when a process gets ${signal} in ${act}`, async () => {
          let over = false;
          let steps = 0;
          let starting = startProcess(); // The next one starts while this one dies.
          for (; !over; steps++) {
            // Two participants: whoever comes after the dead one takes its place, and its copies.
            const value = opening(new Value(type as 'int32', at(1), { maxParticipants: 2 }));
            const remote = await starting;
            starting = startProcess();
            const { result } = await remote.start(victim, value.handle, at(2), act, steps + 1, signal);
            let ended = false;
            const ending = result.then(
              () => {
                over = true;
              },
              () => {},
            );
            void ending.then(() => {
              ended = true;
            });
            await until(() => ended || stopped(remote.pid));
            if (signal === 'SIGKILL') await ending;
            const left = value.value;
            const may = over && act !== 'load' ? [at(2)] : act === 'load' ? [at(1)] : [at(1), at(2)];
            expect(may, `step ${steps + 1}`).toContainEqual(left);
            for (let n = 3; n < 6; n++) value.set(at(n));
            expect(value.value).toEqual(at(5));
            if (signal === 'SIGSTOP' && !over) {
              remote.child.kill('SIGCONT');
              await ending;
              over = false;
              // It went on where it was: what it saw is no longer there, or it set its own.
              const mays = act === 'load' || act === 'compareExchange' ? [at(5)] : [at(2)];
              expect([...mays, at(5)], `step ${steps + 1}`).toContainEqual(value.value);
              if (act === 'exchange' || act === 'update') value.set(at(5));
            }
            await remote.kill('SIGKILL');
            await until(() => {
              try {
                const newcomer = Value.attach(value.handle) as unknown as Value<'int32'>;
                expect(newcomer.value).toEqual(at(5));
                for (let n = 6; n < 9; n++) expect(newcomer.set(at(n))).toEqual(at(n - 1));
                newcomer.close();
                return true;
              } catch (error) {
                if ((error as { code?: string }).code !== 'EUSERS') throw error;
                return false; // The kernel has not let go of the dead one's place yet.
              }
            });
            expect(value.value).toEqual(at(8));
            value.close();
          }
          await starting;
          expect(steps).toBeGreaterThan(1);
        }, 120_000);
      }
    }
  }
});
