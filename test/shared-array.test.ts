// Arrays: what elements take and refuse, the typed array on shared memory, and who sees what is written to them.
import { record, type ScalarType, type SegmentHandle, SharedArray, TimeoutError, type ValueType } from 'ringway';
import { describe, expect, it } from 'vitest';
import { SegmentHeader, SharedArrayHeader } from '../src/layout.js';
import { freshName, opening, segmentFiles, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random } from './helpers/random.js';
import { type Context, startProcess, startThread } from './helpers/remote.js';
import { BACKENDS, imageOf, poke, pokeBody, rejectionOf, thrownBy } from './helpers/rings.js';

useOwnDirectory();

const start = (backend: 'shm' | 'sab') => (backend === 'shm' ? startProcess() : startThread());

const Point = record({ n: 'int32', x: 'float64', long: 'int64', xs: 'float64[3]', text: 'utf8[20]' });
const point = (n: number) => ({ n, x: n / 2, long: BigInt(n), xs: new Float64Array([n, n, n]), text: `p${n}` });

// For each type: its typed array, some values, and what it refuses.
const TYPES: Record<ScalarType, { View: unknown; values: unknown[]; range: unknown[]; wrong: unknown[] }> = {
  int8: { View: Int8Array, values: [-128, 0, 127], range: [128, -129, 0.5], wrong: ['1', 1n, null] },
  uint8: { View: Uint8Array, values: [0, 255], range: [256, -1], wrong: [true] },
  int16: { View: Int16Array, values: [-32768, 32767], range: [32768], wrong: [undefined] },
  uint16: { View: Uint16Array, values: [0, 65535], range: [65536, -1], wrong: [{}] },
  int32: { View: Int32Array, values: [-(2 ** 31), 2 ** 31 - 1], range: [2 ** 31], wrong: ['a'] },
  uint32: { View: Uint32Array, values: [0, 2 ** 32 - 1], range: [2 ** 32, -1], wrong: [1n] },
  int64: { View: BigInt64Array, values: [-(2n ** 63n), 2n ** 63n - 1n], range: [2n ** 63n], wrong: [1] },
  uint64: { View: BigUint64Array, values: [0n, 2n ** 64n - 1n], range: [-1n, 2n ** 64n], wrong: [1] },
  float32: { View: Float32Array, values: [0.5, -0, Number.NaN, Infinity], range: [1e39], wrong: ['1'] },
  float64: { View: Float64Array, values: [0.1, Number.MAX_VALUE, -Infinity], range: [], wrong: [1n] },
  bool: { View: Uint8Array, values: [true, false, true], range: [], wrong: [1, 0, 'true'] },
};

for (const backend of BACKENDS) {
  describe(`an array over ${backend}`, () => {
    const make = (type: ValueType, lengthOrValues: unknown, options = {}) =>
      opening(
        new SharedArray(type, lengthOrValues as never, { backend, ...options }),
      ) as unknown as SharedArray<'int32'>;

    for (const [type, { View, values, range, wrong }] of Object.entries(TYPES) as [
      ScalarType,
      (typeof TYPES)['int8'],
    ][]) {
      it(`of ${type} holds its values, and refuses others without effect`, () => {
        const array = make(type, values);
        expect(array).toMatchObject({ type, length: values.length, backend, name: undefined, closed: false });
        expect(array.view).toBeInstanceOf(View as never);
        expect(array.view).toBe(array.view);
        expect(array.view.byteOffset % 64).toBe(0);
        expect([...array]).toEqual(values);
        expect(values.map((_, i) => array.at(i - values.length))).toEqual(values);
        for (const [error, refused] of [
          [RangeError, range],
          [TypeError, wrong],
        ] as const) {
          for (const value of refused) {
            expect(thrownBy(() => make(type, [values[0], value]))).toBeInstanceOf(error);
            for (const set of [
              () => array.set(0, value as never),
              () => array.set([values[1], value] as never),
              () => array.set(new Set([values[1], value]) as never),
            ]) {
              expect(thrownBy(set)).toBeInstanceOf(error);
              expect([...array]).toEqual(values);
            }
            expect(thrownBy(() => array.set([values[1], value] as never)).message).toContain('element 1');
          }
        }
        array.set(-1, values[0] as never);
        array.set([values[1]] as never, 0);
        expect([array.at(0), array.at(values.length - 1)]).toEqual([
          values[1],
          values.length === 1 ? values[1] : values[0],
        ]);
        expect(segmentFiles()).toHaveLength(backend === 'shm' ? 1 : 0);
      });

      it(`of ${type} is all zero when it is made by its length, three times over`, () => {
        for (let time = 0; time < 3; time++) {
          using array = new SharedArray(type, 1000, { backend });
          expect([...array].every((value) => Number(value) === 0)).toBe(true);
          array.set(Array(1000).fill(values[0]) as never);
          expect(new Set(array)).toEqual(new Set([values[0]]));
        }
      });
    }

    it('of records holds copies', () => {
      const points = [point(1), point(2), point(3)];
      const array = make(Point, points) as unknown as SharedArray<typeof Point>;
      expect([array.length, [...array], array.at(-1)]).toEqual([3, points, point(3)]);
      expect(array.view).toHaveLength(3 * Point.byteLength);
      const copy = array.at(0) as ReturnType<typeof point>;
      copy.xs[0] = 99;
      expect(array.at(0)).toEqual(point(1));
      array.set(0, copy);
      array.set([point(7), point(8)], 1);
      expect([...array]).toEqual([copy, point(7), point(8)]);
      const before = [...array];
      const { n: _, ...less } = point(1);
      for (const wrong of [less, { ...point(1), n: 2 ** 31 }, null, 5]) {
        for (const set of [() => array.set(1, wrong as never), () => array.set([point(1), wrong as never])]) {
          expect(thrownBy(set).name).toMatch(/^(Type|Range)Error$/);
          expect([...array]).toEqual(before);
        }
      }
      expect([...make(Point, 2)]).toEqual(Array(2).fill({ ...point(0), text: '' }));
    });

    it('has no elements but its own', () => {
      const array = make('int32', [1, 2, 3]);
      expect([array.at(3), array.at(-4), array.at(2 ** 40)]).toEqual([undefined, undefined, undefined]);
      for (const index of [3, -4, 0.5, Number.NaN, Infinity]) {
        expect(thrownBy(() => array.set(index, 5))).toBeInstanceOf(RangeError);
      }
      for (const index of [0.5, Number.NaN, Infinity])
        expect(thrownBy(() => array.at(index))).toBeInstanceOf(RangeError);
      expect(thrownBy(() => array.at('1' as never))).toBeInstanceOf(TypeError);
      for (const [values, offset] of [
        [[1, 2, 3, 4], 0],
        [[1], 3],
        [[1, 2], 2],
        [[1], -1],
        [[1], 0.5],
      ] as const) {
        expect(thrownBy(() => array.set(values, offset))).toBeInstanceOf(RangeError);
      }
      for (const values of [null, undefined, {}, 'abc', () => 1, new DataView(new ArrayBuffer(8))]) {
        expect(thrownBy(() => array.set(values as never))).toBeInstanceOf(TypeError);
      }
      expect([...array]).toEqual([1, 2, 3]);
      array.set([], 3);
      array.set(new Int32Array([7, 8]), 1);
      array.set(new Float64Array([4]) as never);
      expect([...array]).toEqual([4, 7, 8]);
      expect([...make('int32', [])]).toEqual([]);
      expect([...make('uint8', 0)]).toEqual([]);
    });

    it('refuses types, lengths and options that cannot be, and makes nothing', () => {
      for (const length of [-1, 0.5, Number.NaN, Infinity, 2 ** 30]) {
        expect(thrownBy(() => make('float64', length))).toBeInstanceOf(RangeError);
      }
      for (const values of [null, {}, '1', true])
        expect(thrownBy(() => make('int8', values))).toBeInstanceOf(TypeError);
      expect(thrownBy(() => make('int8[3]' as never, 1))).toBeInstanceOf(RangeError);
      expect(thrownBy(() => make({} as never, 1))).toBeInstanceOf(TypeError);
      expect(thrownBy(() => new SharedArray('int8', 1, null as never))).toBeInstanceOf(TypeError);
      expect(segmentFiles()).toEqual([]);
    });

    it('is one array for all that attach, with its type or without, and no other', async () => {
      const array = make('float64', [3, 1, 4, 1, 5]);
      const twice = opening(SharedArray.attach(array.handle, { type: 'float64' }));
      const prefixSums = ({ ringway }: Context, handle: SegmentHandle) => {
        const there = ringway.SharedArray.attach(handle) as unknown as SharedArray<'float64'>;
        for (let i = 1; i < there.length; i++) there.set(i, there.view[i - 1] + there.view[i]);
        there.close();
      };
      const remote = await start(backend);
      await remote.run(prefixSums, array.handle);
      expect([[...array], [...twice]]).toEqual([
        [3, 4, 8, 9, 14],
        [3, 4, 8, 9, 14],
      ]);
      const error = thrownBy(() => SharedArray.attach(array.handle, { type: Point }));
      expect(error).toMatchObject({ code: 'ERR_RINGWAY_SHAPE' });
      expect(error.message).toContain('float64');
      expect(error.message).toContain(Point.text);
      expect(thrownBy(() => SharedArray.attach({ ...array.handle, kind: 'Value' }))).toBeInstanceOf(TypeError);
    });

    it('is counted in with Atomics, exactly, from several places', async () => {
      const array = make('uint32', 4);
      const count = ({ ringway }: Context, handle: SegmentHandle) => {
        const { view } = ringway.SharedArray.attach(handle, { type: 'uint32' });
        for (let i = 0; i < 100_000; i++) Atomics.add(view, i % 4, 1);
      };
      const remotes = await Promise.all([0, 1, 2].map(() => start(backend)));
      await Promise.all(remotes.map((remote) => remote.run(count, array.handle)));
      expect([...array]).toEqual([75_000, 75_000, 75_000, 75_000]);
    });

    it('throws when it is closed, also by what is set', () => {
      const array = make('int32', [1, 2, 3]);
      const other = opening(SharedArray.attach(array.handle));
      const closing = function* () {
        array.close();
        yield 5;
      };
      const closed = { code: 'ERR_RINGWAY_CLOSED' };
      expect(thrownBy(() => array.set(closing() as never))).toMatchObject(closed);
      for (const use of [() => array.view, () => array.at(0), () => array.set(0, 1), () => [...array]]) {
        expect(thrownBy(use)).toMatchObject(closed);
      }
      expect([array.length, array.type, [...other]]).toEqual([3, 'int32', [1, 2, 3]]);
    });

    it('is refused when its segment contradicts itself', () => {
      announceSeed('segments');
      const random = new Random();
      const corrupt = { code: 'ERR_RINGWAY_CORRUPT_SEGMENT' };
      for (const type of ['int16', Point] as ValueType[]) {
        const array = make(type, 100);
        const words = new Uint32Array(imageOf(array).slice().buffer);
        const attach = () => SharedArray.attach(array.handle).close();
        for (const length of [200, 2 ** 31, 0xffffffff, (random.next() | (2 ** 20)) >>> 0]) {
          pokeBody(array, SharedArrayHeader.length, length);
          expect(thrownBy(attach), String(length)).toMatchObject(corrupt);
        }
        pokeBody(array, SharedArrayHeader.length, 100);
        for (const offset of [SegmentHeader.descriptionOffset, SegmentHeader.descriptionByteLength]) {
          const right = words[offset >> 2] as number;
          for (const wrong of [0, 1, right + 8, 0xffffffff, random.next()]) {
            poke(array, offset, wrong);
            expect(thrownBy(attach), `${wrong} at ${offset}`).toMatchObject(corrupt);
          }
          poke(array, offset, right);
        }
        attach();
        // What a peer writes behind our back is read as what it is.
        pokeBody(array, SharedArrayHeader.elements, 0xffffffff);
        expect(array.at(0)).toBeDefined();
      }
    });
  });
}

describe('a named array', () => {
  it('is made, found, awaited and unlinked', async () => {
    const name = freshName();
    expect(thrownBy(() => SharedArray.attach(name))).toMatchObject({ code: 'ENOENT' });
    const coming = SharedArray.whenCreated(name, { type: 'uint8' });
    const made = opening(SharedArray.createOrAttach({ name, type: 'uint8', length: 5 }));
    expect(opening(await coming)).toMatchObject({ name, type: 'uint8', length: 5 });
    expect(thrownBy(() => new SharedArray('uint8', 5, { name }))).toMatchObject({ code: 'EEXIST' });
    made.set([1, 2, 3, 4, 5]);
    expect([...opening(SharedArray.createOrAttach({ name, type: 'uint8', length: 5 }))]).toEqual([1, 2, 3, 4, 5]);
    for (const other of [
      { type: 'uint8', length: 4 },
      { type: 'int8', length: 5 },
    ] as const) {
      const error = thrownBy(() => SharedArray.createOrAttach({ name, ...other }));
      expect(error).toMatchObject({ code: 'ERR_RINGWAY_SHAPE' });
      expect(error.message).toContain('uint8');
    }
    expect(thrownBy(() => SharedArray.createOrAttach({ name, type: 'uint8' } as never))).toBeInstanceOf(TypeError);
    SharedArray.unlink(name);
    expect(thrownBy(() => SharedArray.unlink(name))).toMatchObject({ code: 'ENOENT' });
    expect(await rejectionOf(SharedArray.whenCreated(name, { timeoutMs: 0 }))).toBeInstanceOf(TimeoutError);
  });
});
