// Typed records: their layout, their values, over both rings and both backends, between processes and threads, and what
// is refused.
import {
  ClosedError,
  CorruptSegmentError,
  type MpmcRecordRing,
  MpmcRing,
  type RecordDescription,
  type RecordInput,
  type RecordReader,
  type RecordType,
  type RecordValue,
  record,
  type SegmentHandle,
  type SpscRecordConsumer,
  type SpscRecordProducer,
  SpscRing,
} from 'ringway';
import { describe, expect, expectTypeOf, it } from 'vitest';
import { bodyOffsetFor, Constants, SegmentHeader, SpscHeader } from '../src/layout.js';
import { freshName, opening, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random } from './helpers/random.js';
import { Everything, least, most, Tick, tick } from './helpers/records.js';
import { type Context, startProcess, startThread } from './helpers/remote.js';
import { BACKENDS, DEFAULT_PARTICIPANTS, imageOf, poke, rejectionOf, thrownBy } from './helpers/rings.js';
import { runScript } from './helpers/script.js';

useOwnDirectory();
announceSeed('record');

/** Values that a field does not take, and what they are refused with. */
const refused: [field: keyof Everything, ranges: unknown[], types: unknown[]][] = [
  ['int8', [-129, 128, 0.5, NaN, Infinity], ['1', null, true, 1n, {}, [1], Symbol('1'), { valueOf: () => 1 }]],
  ['uint8', [-1, 256, 0.5, NaN, 2 ** 32], ['1', null, 1n]],
  ['int16', [-32769, 32768, 1.5, -Infinity], ['1', 1n]],
  ['uint16', [-1, 65536, 1.5], ['1', 1n]],
  ['int32', [-(2 ** 31) - 1, 2 ** 31, 1e300, 0.1, NaN], ['1', 1n]],
  ['uint32', [-1, 2 ** 32, 0.1, NaN], ['1', 1n]],
  ['int64', [-(2n ** 63n) - 1n, 2n ** 63n], [1, '1', null]],
  ['uint64', [-1n, 2n ** 64n], [1, '1', null]],
  ['float32', [3.5e38, -1e300], ['1', null, 1n, true]],
  ['float64', [], ['1', null, 1n, true, {}]],
  ['bool', [], [0, 1, 'true', null]],
  ['utf8', ['123456', 'aaaaä', '😀😀', 'a\0b', '\0', '\ud800'], [1, null, ['a'], new String('a')]],
  ['int8s', [[1, 2], [1, 2, 3, 4], [1, 2, 128], new Uint8Array([1, 2, 200])], [1, null, '123', [1, 2, '3'], {}]],
  [
    'uint32s',
    [[], [1, 2, -1], new Float64Array([1, 2, 0.5])],
    [
      ['1', 2, 3],
      [1, 2],
      ['a', 'b'],
    ].slice(0, 1),
  ],
  ['int64s', [[1n, 2n, 2n ** 63n]], [[1, 2, 3], new Float64Array(3), 5]],
  ['float32s', [new Float64Array([1, 2, 1e300]), [1, 2]], [[1, 2, undefined]]],
  ['bools', [[true]], [[1, 0, 1], 'yes', new Uint8Array(3)]],
];

describe('a record type', () => {
  it('lies in memory like a C struct, whose fields and length can be read', () => {
    expect(Tick.byteLength).toBe(48);
    expect(Tick.fields).toEqual([
      { name: 'time', type: 'float64', byteOffset: 0, byteLength: 8 },
      { name: 'price', type: 'float32', byteOffset: 8, byteLength: 4 },
      { name: 'size', type: 'uint32', byteOffset: 12, byteLength: 4 },
      { name: 'flags', type: 'uint8', byteOffset: 16, byteLength: 1 },
      { name: 'levels', type: 'float32[4]', byteOffset: 20, byteLength: 16 },
      { name: 'symbol', type: 'utf8[8]', byteOffset: 36, byteLength: 8 },
    ]);
    expect(record({ a: 'bool' }).byteLength).toBe(8);
    const offsets = record({ a: 'int8', b: 'int64', c: 'bool[3]', d: 'int16' }).fields.map((field) => field.byteOffset);
    expect(offsets).toEqual([0, 8, 16, 20]);
  });

  it('cannot be changed, nor by changing what it was made from', () => {
    const description = { a: 'int8' } as { a: 'int8' | 'int16' };
    const type = record(description);
    description.a = 'int16';
    expect(type.description).toEqual({ a: 'int8' });
    for (const part of [type, type.description, type.fields, type.fields[0]]) expect(Object.isFrozen(part)).toBe(true);
  });

  it('is not made from what describes none', () => {
    for (const [kind, descriptions] of [
      [TypeError, [undefined, null, 5, 'int8', () => {}, ['int8'], { a: 5 }, { a: null }, { a: { b: 'int8' } }]],
      [
        RangeError,
        [
          {},
          { a: '' },
          { a: 'int9' },
          { a: 'utf8' },
          { a: 'toString' },
          { a: 'constructor[2]' },
          ...['0', '-1', '1.5', '01', '', ' 1', '1e3', '99999999999'].map((length) => ({ a: `int8[${length}]` })),
          { a: 'float64[1073741824]' },
          { 'a b': 'int8' },
          { 7: 'int8' },
          { '': 'int8' },
          { 'a"': 'int8' },
          { ['__proto__']: 'int8' },
          { ['a'.repeat(65)]: 'int8' },
          Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`field${i}`, 'float64'])),
        ],
      ],
    ] as const) {
      for (const description of descriptions) {
        const error = thrownBy(() => record(description as never));
        expect(error, JSON.stringify(description)?.slice(0, 50)).toBeInstanceOf(kind);
        expect(error.message.length).toBeLessThan(400);
      }
    }
    expect(thrownBy(() => record({ size: 'int9' as never })).message).toContain('"size"');
  });

  it('may have fields with the names of what objects have', () => {
    const type = record({ constructor: 'int8', toString: 'int8', valueOf: 'int8', hasOwnProperty: 'int8' });
    using ring = SpscRing.create({ record: type, capacity: 256 });
    const value = { constructor: 1, toString: 2, valueOf: 3, hasOwnProperty: 4 };
    ring.producer().tryPush(value);
    expect(ring.consumer().tryPop()).toEqual(value);
  });

  it('gives its values their types', () => {
    expectTypeOf<RecordValue<typeof Tick>>().toEqualTypeOf<{
      time: number;
      price: number;
      size: number;
      flags: number;
      levels: Float32Array;
      symbol: string;
    }>();
    expectTypeOf<Everything['int64']>().toEqualTypeOf<bigint>();
    expectTypeOf<Everything['bool']>().toEqualTypeOf<boolean>();
    expectTypeOf<Everything['bools']>().toEqualTypeOf<boolean[]>();
    expectTypeOf<Everything['uint64s']>().toEqualTypeOf<BigUint64Array>();
    type Description = (typeof Tick)['description'];
    expectTypeOf<RecordInput<Description>['levels']>().toEqualTypeOf<ArrayLike<number>>();
    expectTypeOf<RecordReader<Description>['time']>().toEqualTypeOf<number>();
    expectTypeOf(SpscRing.create<Description>)
      .returns.toHaveProperty('producer')
      .returns.toEqualTypeOf<SpscRecordProducer<Description>>();
    expectTypeOf(SpscRing.attach<Description>)
      .returns.toHaveProperty('consumer')
      .returns.toEqualTypeOf<SpscRecordConsumer<Description>>();
    expectTypeOf(MpmcRing.create<Description>).returns.toEqualTypeOf<MpmcRecordRing<Description>>();
    // @ts-expect-error: no such type
    thrownBy(() => record({ a: 'int9' }));
    const typeOnly = (producer: SpscRecordProducer<Description>, consumer: SpscRecordConsumer<Description>) => {
      // @ts-expect-error: a field is missing
      producer.tryPush({ time: 1 });
      // @ts-expect-error: no such field
      producer.tryPush({ ...tick(1), prise: 1 });
      producer.tryWrite((r) => {
        r.levels = [1, 2, 3, 4];
        r.levels[1] = 5;
        // @ts-expect-error: a number
        r.price = '1';
      });
      consumer.drain((r) => {
        // @ts-expect-error: read-only
        r.price = 1;
      });
      expectTypeOf(consumer.tryPop()).toEqualTypeOf<RecordValue<typeof Tick> | null>();
    };
    expect(typeOnly).toBeTypeOf('function');
  });
});

/** The same operations of both rings. */
function open<Description extends RecordDescription>(
  kind: 'SpscRing' | 'MpmcRing',
  backend: 'shm' | 'sab',
  type: RecordType<Description>,
) {
  if (kind === 'MpmcRing') {
    const ring = opening(MpmcRing.create({ record: type, slots: 16, backend }));
    return { ring, producer: ring, consumer: ring };
  }
  const ring = opening(SpscRing.create({ record: type, capacity: 16384, backend }));
  return { ring, producer: ring.producer(), consumer: ring.consumer() };
}

/** Another handle on it. */
function attach(kind: 'SpscRing' | 'MpmcRing', handle: SegmentHandle, type?: RecordType) {
  const options = (type === undefined ? {} : { record: type }) as { record: typeof Tick };
  return kind === 'MpmcRing' ? MpmcRing.attach(handle, options) : SpscRing.attach(handle, options);
}

for (const backend of BACKENDS) {
  for (const kind of ['SpscRing', 'MpmcRing'] as const) {
    describe(`typed records in an ${kind} over ${backend}`, () => {
      it('arrive with the values they were pushed with, of every type, at its limits', async () => {
        const { producer, consumer } = open(kind, backend, Everything);
        for (const value of [least, most]) {
          expect(producer.tryPush(value)).toBe(true);
          expect(consumer.tryPop()).toEqual(value);
          expect(producer.tryPushMany([value, value])).toBe(2);
          expect(consumer.tryPopMany(3)).toEqual([value, value]);
          await producer.push(value);
          expect(await consumer.pop()).toEqual(value);
          producer.pushSync(value);
          expect(consumer.popSync()).toEqual(value);
        }
        expect(consumer.tryPop()).toBeNull();
        // Whatever has a length and the numbers.
        const { length: _, ...plain } = { ...most, length: 0 };
        const lists = Object.entries(plain).map(([name, v]) => [name, ArrayBuffer.isView(v) ? [...(v as never)] : v]);
        producer.tryPush(Object.fromEntries(lists));
        expect(consumer.tryPop()).toEqual(most);
      });

      it('arrive with the values they were written with in place', async () => {
        const { producer, consumer } = open(kind, backend, Everything);
        for (const value of [most, least]) {
          const fill = (r: object) => void Object.assign(r, value);
          expect(producer.tryWrite(fill)).toBe(true);
          await producer.write(fill);
          producer.writeSync(fill);
          const seen: unknown[] = [];
          const read = consumer.drain((r) => {
            for (const name of Object.keys(value) as (keyof Everything)[]) expect(r[name]).toEqual(value[name]);
            seen.push(r);
          });
          expect(read).toBe(3);
          expect(new Set(seen).size).toBe(1); // The same cursor.
        }
      });

      it('are 0, false and empty where a writer sets nothing, whatever lay there before', () => {
        const random = new Random();
        const Long = record({ a: 'int8', numbers: 'uint32[200]' });
        const everything = open(kind, backend, Everything);
        const long = open(kind, backend, Long);
        let empty = 0;
        const expectEmpty = (value: object) => {
          for (const field of Object.values(value)) {
            const all = typeof field === 'object' ? [...(field as Iterable<unknown>)] : [field];
            expect(all.filter(Boolean)).toEqual([]);
          }
          empty++;
        };
        // At random, so that empty ones come to lie where full ones were.
        for (let i = 0; i < 200; i++) {
          const full = random.below(2) === 0;
          everything.producer.tryWrite((r) => void (full && Object.assign(r, most)));
          long.producer.tryWrite(
            (r) => void (full && Object.assign(r, { a: 1, numbers: new Uint32Array(200).fill(9) })),
          );
          const popped = [everything.consumer.tryPop(), long.consumer.tryPop()];
          if (!full) for (const one of popped) expectEmpty(one as object);
        }
        expect(empty).toBeGreaterThan(0);
      });

      it('hold strings of ASCII and of others, with nothing of a longer one before', () => {
        const { producer, consumer } = open(kind, backend, record({ text: 'utf8[6]' }));
        for (const text of ['abcdef', 'ä', 'aé😀'.slice(0, 2), '😀ab', '', 'x', '名前', '\u{feff}a', '\x7f']) {
          producer.tryWrite((r) => {
            r.text = 'abcdef';
            r.text = text;
            expect(r.text).toBe(text);
          });
          expect(consumer.tryPop()).toEqual({ text });
          producer.tryPush({ text });
          expect(consumer.tryPop()).toEqual({ text });
        }
      });

      it('give arrays as views in place to handlers, and as copies to others', () => {
        const { producer, consumer } = open(kind, backend, record({ numbers: 'uint16[3]', bools: 'bool[2]' }));
        producer.tryWrite((r) => {
          r.numbers[1] = 7;
          expect(() => {
            (r.bools as boolean[])[0] = true;
          }).toThrow(TypeError);
          r.bools = [false, true];
        });
        producer.tryPush({ numbers: [1, 2, 3], bools: [true, false] });
        const first = consumer.tryPop();
        const second = consumer.tryPop();
        expect(first).toEqual({ numbers: new Uint16Array([0, 7, 0]), bools: [false, true] });
        expect(second).toEqual({ numbers: new Uint16Array([1, 2, 3]), bools: [true, false] });
      });

      it('are refused with a field that does not fit, named, and nothing is published', async () => {
        const { producer, consumer } = open(kind, backend, Everything);
        for (const [field, ranges, types] of refused) {
          for (const [error, values] of [
            [RangeError, ranges],
            [TypeError, types],
          ] as const) {
            for (const value of values) {
              const bad = { ...most, [field]: value } as Everything;
              const thrown = [
                thrownBy(() => producer.tryPush(bad)),
                thrownBy(() => producer.pushSync(bad)),
                thrownBy(() => producer.tryPushMany([most, bad])),
                await rejectionOf(producer.push(bad)),
                thrownBy(() =>
                  producer.tryWrite((r) => {
                    (r as Record<string, unknown>)[field] = value;
                  }),
                ),
              ];
              for (const one of thrown) {
                expect(one, `${field}: ${String(value)}`).toBeInstanceOf(error);
                expect(one.message).toContain(`"${field}"`);
              }
            }
          }
        }
        expect(consumer.tryPop()).toBeNull();
      });

      it('are refused with a field too many, too few, or none at all', async () => {
        const { producer, consumer } = open(kind, backend, Tick);
        const { flags: _, ...without } = tick(1);
        const bad: [unknown, string][] = [
          [without, '"flags" is missing'],
          [{ ...tick(1), flags: undefined }, '"flags" is missing'],
          [{ ...tick(1), prise: 1 }, 'no field "prise"'],
          [null, 'null'],
          [5, '5'],
          ['text', '"text"'],
          [undefined, 'undefined'],
          [[], '"time" is missing'],
        ];
        for (const [value, says] of bad) {
          for (const error of [
            thrownBy(() => producer.tryPush(value as never)),
            await rejectionOf(producer.push(value as never)),
          ]) {
            expect(error).toBeInstanceOf(TypeError);
            expect(error.message).toContain(says);
          }
        }
        expect(thrownBy(() => producer.tryPushMany('no' as never))).toBeInstanceOf(TypeError);
        const misspelt = () => producer.tryWrite((r) => Object.assign(r, { prise: 1 }));
        expect(thrownBy(misspelt)).toBeInstanceOf(TypeError);
        expect(consumer.tryPop()).toBeNull();
        expect(producer.tryPush(tick(2))).toBe(true); // Nothing is left borrowed.
        expect(consumer.tryPop()).toEqual(tick(2));
      });

      it('are read as values that push others on the same end while they are read', async () => {
        const { producer, consumer } = open(kind, backend, Tick);
        const nested = (push: () => unknown) => ({
          ...tick(1),
          get levels() {
            push();
            return tick(1).levels;
          },
        });
        producer.tryPush(nested(() => producer.tryPush(tick(2))));
        producer.pushSync(nested(() => producer.pushSync(tick(3))));
        producer.tryPushMany([nested(() => producer.tryPushMany([tick(4)])), tick(5)]);
        // Reading, too, leaves alone what is being written.
        producer.tryPush(nested(() => expect(consumer.tryPop()).toEqual(tick(2))));
        expect(consumer.tryPopMany(9)).toEqual([1, 3, 1, 4, 1, 5, 1].map(tick));
        let inner: Promise<void> | undefined;
        await producer.push(
          nested(() => {
            inner = producer.push(tick(6));
          }),
        );
        await inner;
        expect(consumer.tryPopMany(9)).toEqual([tick(6), tick(1)]);
        // After a value that was refused, too.
        expect(thrownBy(() => producer.tryPush({ ...tick(1), flags: -1 }))).toBeInstanceOf(RangeError);
        producer.tryPush(nested(() => producer.tryPush(tick(7))));
        expect(consumer.tryPopMany(9)).toEqual([tick(7), tick(1)]);
      });

      it('are pushed as they were given though a pending handler runs meanwhile and pushes something else', async () => {
        const { producer, consumer } = open(kind, backend, Tick);
        while (producer.tryPush(tick(1)));
        let calls = 0;
        const written = producer.write((r) => {
          calls++;
          try {
            producer.tryPush(tick(9)); // Refused where the end is lent out.
          } catch {}
          Object.assign(r, tick(3));
        });
        while (consumer.tryPop() !== null);
        producer.pushSync(tick(4)); // Serves the other first.
        await written;
        expect(calls).toBe(1);
        expect(consumer.tryPopMany(9).filter((value) => value.size !== 9)).toEqual([tick(3), tick(4)]);
      });

      it('are refused though there is no room', () => {
        const { producer } = open(kind, backend, Tick);
        while (producer.tryPush(tick(1)));
        expect(thrownBy(() => producer.tryPush({ ...tick(1), flags: -1 }))).toBeInstanceOf(RangeError);
      });

      it('are not published by a handler that throws, returns a promise, or is none', async () => {
        const { producer, consumer } = open(kind, backend, Tick);
        const boom = new Error('boom');
        const fails = () => {
          throw boom;
        };
        expect(thrownBy(() => producer.tryWrite(fails))).toBe(boom);
        expect(thrownBy(() => producer.writeSync(fails))).toBe(boom);
        expect(await rejectionOf(producer.write(fails))).toBe(boom);
        expect(thrownBy(() => producer.tryWrite(async () => {}))).toBeInstanceOf(TypeError);
        expect(thrownBy(() => producer.tryWrite('no' as never))).toBeInstanceOf(TypeError);
        expect(await rejectionOf(producer.write('no' as never))).toBeInstanceOf(TypeError);
        expect(consumer.tryPop()).toBeNull();
        // What an arrow function returns is no length.
        producer.tryWrite((r) => {
          r.size = 1;
          return r.size;
        });
        expect(consumer.tryPop()).toMatchObject({ size: 1, flags: 0 });
      });

      it('stay if the handler that reads them throws or returns a promise', () => {
        const { producer, consumer } = open(kind, backend, Tick);
        producer.tryPush(tick(1));
        const boom = new Error('boom');
        const fails = () => {
          throw boom;
        };
        expect(thrownBy(() => consumer.drain(fails))).toBe(boom);
        expect(thrownBy(() => consumer.drain(async () => {}))).toBeInstanceOf(TypeError);
        expect(thrownBy(() => consumer.drain(null as never))).toBeInstanceOf(TypeError);
        expect(consumer.tryPop()).toEqual(tick(1));
      });

      it('cannot be touched through a cursor whose handler has returned or thrown', () => {
        const { producer, consumer } = open(kind, backend, Everything);
        const kept: Record<string, unknown>[] = [];
        producer.tryWrite((r) => void kept.push(r as never));
        thrownBy(() =>
          producer.tryWrite((r) => {
            kept.push(r as never);
            throw new Error('boom');
          }),
        );
        consumer.drain((r) => void kept.push(r as never));
        expect(kept).toHaveLength(3);
        for (const cursor of kept) {
          for (const name of Object.keys(most) as (keyof Everything)[]) {
            expect(thrownBy(() => cursor[name])).toBeInstanceOf(ClosedError);
          }
        }
        for (const [name, value] of Object.entries(most)) {
          expect(thrownBy(() => ((kept[0] as never as Record<string, unknown>)[name] = value))).toBeInstanceOf(
            ClosedError,
          );
        }
        // The reader's can never be written.
        producer.tryPush(most);
        consumer.drain((r) => {
          expect(thrownBy(() => ((r as Everything).int8 = 1))).toBeInstanceOf(TypeError);
        });
      });

      it('can be handed from one ring to another as cursors', () => {
        const from = open(kind, backend, Tick);
        const to = open(kind, backend, Tick);
        from.producer.tryPush(tick(5));
        from.consumer.drain((r) => to.producer.tryPush(r));
        expect(to.consumer.tryPop()).toEqual(tick(5));
      });

      it('are handed to one handler at a time', () => {
        const { producer, consumer } = open(kind, backend, Tick);
        producer.tryWrite((r) => {
          r.size = 1;
          const nested = thrownBy(() => producer.tryWrite(() => {}));
          expect(nested.code).toBe('ERR_RINGWAY_BORROWED');
          r.flags = 2; // Still ours.
        });
        let read = 0;
        consumer.drain((r) => {
          expect(thrownBy(() => consumer.drain(() => {})).code).toBe('ERR_RINGWAY_BORROWED');
          expect(r).toMatchObject({ size: 1, flags: 2 });
          read++;
        });
        expect(read).toBe(1);
      });

      it('are given up when a handler closes the ring', () => {
        for (const side of ['write', 'read'] as const) {
          const { ring, producer, consumer } = open(kind, backend, Tick);
          const other = opening(attach(kind, ring.handle, Tick));
          producer.tryPush(tick(1));
          if (side === 'write')
            expect(thrownBy(() => producer.tryWrite(() => ring.close()))).toBeInstanceOf(ClosedError);
          else expect(consumer.drain(() => ring.close())).toBe(0);
          const left = 'consumer' in other ? other.consumer() : other;
          expect(left.tryPopMany(9)).toEqual([tick(1)]);
          expect(other.stats().used).toBe(0);
        }
      });

      it('do not mix with another record type, or with none', async () => {
        const { ring } = open(kind, backend, Tick);
        const bytes = opening(
          kind === 'MpmcRing'
            ? MpmcRing.create({ slots: 4, slotByteLength: 64, backend })
            : SpscRing.create({ capacity: 1024, backend }),
        );
        const { flags, ...others } = Tick.description;
        const moved = record({ ...others, flags });
        expect(moved.byteLength).toBe(Tick.byteLength);
        for (const [handle, type, shown] of [
          [ring.handle, undefined, ['"time":"float64"', 'without a record type']],
          [ring.handle, moved, ['"flags":"uint8","levels"', '"symbol":"utf8[8]","flags"']],
          [ring.handle, record({ time: 'float64' }), ['"price"', '{"time":"float64"}']],
          [bytes.handle, Tick, ['without a record type', '"time":"float64"']],
        ] as const) {
          const error = thrownBy(() => attach(kind, handle, type));
          expect(error.code).toBe('ERR_RINGWAY_SHAPE');
          for (const part of shown) expect(error.message).toContain(part);
        }
        const same = opening(attach(kind, ring.handle, record({ ...Tick.description })));
        expect(same.closed).toBe(false);
        for (const wrong of [{}, Tick.description, 'Tick', null]) {
          expect(thrownBy(() => attach(kind, ring.handle, wrong as never))).toBeInstanceOf(TypeError);
          const options = { record: wrong, capacity: 64, slots: 4 } as never;
          const create = () => (kind === 'MpmcRing' ? MpmcRing.create(options) : SpscRing.create(options));
          expect(thrownBy(create)).toBeInstanceOf(TypeError);
        }
      });

      it('are refused by a ring that can never take them', () => {
        const long = record({ samples: 'float64[1000]' });
        const error = thrownBy(() =>
          kind === 'MpmcRing'
            ? MpmcRing.create({ record: long, slots: 4, slotByteLength: 7999, backend })
            : SpscRing.create({ record: long, capacity: 8192, backend }),
        );
        expect(error).toBeInstanceOf(RangeError);
        expect(error.message).toContain('8000');
        const { producer } = open(kind, backend, long);
        expect(producer.tryWrite(() => {})).toBe(true);
      });

      it('are not found in a segment whose description is garbage', () => {
        const { ring } = open(kind, backend, Tick);
        const { descriptionOffset, descriptionByteLength } = SegmentHeader;
        const words = new Uint32Array(imageOf(ring).buffer);
        const offset = words[descriptionOffset >> 2] as number;
        const byteLength = words[descriptionByteLength >> 2] as number;
        const end = words.byteLength;
        const attempt = () => attach(kind, ring.handle, Tick).close();
        attempt();
        const places: [number, number][] = [
          [0, byteLength],
          [offset, 0],
          [offset + 4, byteLength],
          [offset + 1, 8],
          [bodyOffsetFor(DEFAULT_PARTICIPANTS) - 8, 8],
          [end, 8],
          [end - 8, 16],
          [0xffffff00, 0x100],
          [offset, 0xffffffff],
          [8, 0xfffffff8],
          [bodyOffsetFor(DEFAULT_PARTICIPANTS), Constants.maxDescriptionByteLength + 8],
        ];
        for (const [at, length] of places) {
          poke(ring, descriptionOffset, at);
          poke(ring, descriptionByteLength, length);
          expect(thrownBy(attempt), `${at}, ${length}`).toBeInstanceOf(CorruptSegmentError);
          expect(thrownBy(() => attach(kind, ring.handle))).toBeInstanceOf(CorruptSegmentError);
        }
        const write = (text: string, offset: number) => {
          const padded = new TextEncoder().encode(text.padEnd(Math.ceil(text.length / 4) * 4));
          const bytes = new Uint32Array(padded.buffer, 0, padded.length >> 2);
          bytes.forEach((word, i) => {
            poke(ring, offset + 4 * i, word);
          });
          poke(ring, descriptionByteLength, padded.length);
        };
        // A sound one before the body, where participants write.
        const before = bodyOffsetFor(DEFAULT_PARTICIPANTS) - 256;
        write('{"a":"int8[16]"}', before);
        poke(ring, descriptionOffset, before);
        expect(thrownBy(attempt)).toBeInstanceOf(CorruptSegmentError);
        poke(ring, descriptionOffset, offset);
        const texts = [
          'null',
          '5',
          '"text"',
          '[1, 2]',
          '{"a":5}',
          '{"a":"int9"}',
          '{"a":"int8"',
          '{"__proto__":"int8"}',
        ];
        for (const text of [...texts, '{ "a": "int8"}', '{"a":"int8","a":"int8"}', '['.repeat(100), '{}']) {
          write(text, offset);
          expect(thrownBy(attempt), text).toBeInstanceOf(CorruptSegmentError);
        }
        poke(ring, offset, 0xfffffffe);
        expect(thrownBy(attempt)).toBeInstanceOf(CorruptSegmentError);
        // Random ones: either of the two errors, and nothing else.
        const random = new Random();
        for (let i = 0; i < 50; i++) {
          for (let at = 0; at < byteLength; at += 4) poke(ring, offset + at, random.next());
          poke(ring, descriptionByteLength, random.below(byteLength) + 1);
          expect(thrownBy(attempt)).toBeInstanceOf(CorruptSegmentError);
        }
        write('{"a":"int8[1]"}', offset);
        poke(ring, descriptionByteLength, 15);
        expect(thrownBy(attempt).code).toBe('ERR_RINGWAY_SHAPE');
      });

      it('are told from what somebody else has pushed as bytes', async () => {
        const { ring, consumer } = open(kind, backend, Tick);
        const { descriptionOffset, descriptionByteLength } = SegmentHeader;
        poke(ring, descriptionOffset, 0);
        poke(ring, descriptionByteLength, 0);
        const push = (byteLength: number) => {
          if (kind === 'MpmcRing') {
            using other = MpmcRing.attach(ring.handle);
            other.tryPush(new Uint8Array(byteLength));
            return;
          }
          // The role is taken: behind the producer's back.
          const image = bodyOffsetFor(DEFAULT_PARTICIPANTS);
          const head = new Uint32Array(imageOf(ring).buffer)[(image + SpscHeader.tail) >> 2] as number;
          poke(ring, image + SpscHeader.data + head, byteLength);
          poke(ring, image + SpscHeader.data + head + 4, 0);
          poke(ring, image + SpscHeader.tail, head + 8 + Math.ceil(byteLength / 8) * 8);
        };
        push(Tick.byteLength - 8);
        let calls = 0;
        expect(thrownBy(() => consumer.drain(() => calls++))).toBeInstanceOf(CorruptSegmentError);
        expect(calls).toBe(0);
        expect(thrownBy(() => consumer.tryPop())).toBeInstanceOf(CorruptSegmentError);
        expect(consumer.tryPop()).toBeNull();
      });

      it('are the same with every value at random, written in one way and read in another', () => {
        const random = new Random();
        const { producer, consumer } = open(kind, backend, Everything);
        const value = (): Everything => {
          const bits = new Uint8Array(200).map(() => random.next());
          const view = new DataView(bits.buffer);
          const text = Array.from({ length: random.below(6) }, () => String.fromCharCode(1 + random.below(127)));
          return {
            int8: view.getInt8(0),
            uint8: view.getUint8(1),
            int16: view.getInt16(2),
            uint16: view.getUint16(4),
            int32: view.getInt32(8),
            uint32: view.getUint32(12),
            int64: view.getBigInt64(16),
            uint64: view.getBigUint64(24),
            float32: view.getFloat32(32),
            float64: view.getFloat64(40),
            bool: random.below(2) === 1,
            utf8: text.join(''),
            int8s: new Int8Array(bits.buffer, 48, 3),
            uint8s: new Uint8Array(bits.buffer, 51, 3),
            int16s: new Int16Array(bits.buffer, 56, 3),
            uint16s: new Uint16Array(bits.buffer, 64, 3),
            int32s: new Int32Array(bits.buffer, 72, 3),
            uint32s: new Uint32Array(bits.buffer, 84, 3),
            int64s: new BigInt64Array(bits.buffer, 96, 3),
            uint64s: new BigUint64Array(bits.buffer, 120, 3),
            float32s: new Float32Array(bits.buffer, 144, 3),
            float64s: new Float64Array(bits.buffer, 160, 3),
            bools: [random.below(2) === 1, true, random.below(2) === 1],
          };
        };
        for (let i = 0; i < 2000; i++) {
          const sent = value();
          if (random.below(2) === 0) producer.tryPush(sent);
          else producer.tryWrite((r) => void Object.assign(r, sent));
          if (random.below(2) === 0) expect(consumer.tryPop()).toEqual(sent);
          else {
            consumer.drain((r) => {
              for (const name of Object.keys(sent) as (keyof Everything)[]) expect(r[name]).toEqual(sent[name]);
            });
          }
        }
      });

      it(`come from another ${backend === 'shm' ? 'process' : 'thread'} in every form, whole and in order`, async () => {
        const count = 20_000;
        const spsc = opening(SpscRing.create({ record: Tick, capacity: 16384, backend }));
        const mpmc = opening(MpmcRing.create({ record: Tick, slots: 16, backend }));
        const [ring, consumer] = kind === 'MpmcRing' ? [mpmc, mpmc] : [spsc, spsc.consumer()];
        const other = backend === 'shm' ? await startProcess() : await startThread();
        const { result } = await other.start(sender, ring.handle as never, kind, Tick.description as never, count);
        let next = 0;
        const check = (r: RecordReader<(typeof Tick)['description']>) => {
          const { time, price, size, flags, levels, symbol } = r;
          // Cheaper than toEqual() for each.
          const ok =
            size === next &&
            time === next / 3 &&
            price === next / 4 &&
            flags === (next & 255) &&
            levels[0] === next &&
            levels[3] === -next &&
            symbol === `s${next % 1000}`;
          if (!ok) expect({ time, price, size, flags, levels, symbol }).toEqual(tick(next));
          next++;
        };
        while (next < count) {
          check(await consumer.pop());
          consumer.drain(check, 100);
          for (const popped of consumer.tryPopMany(10)) check(popped);
        }
        expect(next).toBe(count);
        await result;
        expect(consumer.tryPop()).toBeNull();
      });
    });
  }
}

// On the other side: sends itself, so it uses nothing from here.
function sender(
  { ringway }: Context,
  handle: never,
  kind: 'SpscRing' | 'MpmcRing',
  description: RecordDescription,
  count: number,
) {
  const type = ringway.record(description);
  const ring = ringway[kind].attach(handle, { record: type } as never) as never;
  const producer = (kind === 'SpscRing' ? (ring as { producer(): unknown }).producer() : ring) as {
    pushSync(value: object): void;
    writeSync(handler: (r: Record<string, unknown>) => void): void;
    tryPushMany(values: object[]): number;
  };
  const value = (number: number) => ({
    time: number / 3,
    price: number / 4,
    size: number,
    flags: number & 255,
    levels: new Float32Array([number, number + 1, number + 2, -number]),
    symbol: `s${number % 1000}`,
  });
  for (let next = 0; next < count; ) {
    if (next % 3 === 0) producer.pushSync(value(next++));
    else if (next % 3 === 1) {
      producer.writeSync((r) => void Object.assign(r, value(next)));
      next++;
    } else next += producer.tryPushMany([value(next), value(next + 1)].slice(0, count - next));
  }
  (ring as { close(): void }).close();
}

for (const backend of BACKENDS) {
  describe(`an SpscRing of typed records over ${backend}`, () => {
    it('has its ends once in a thread, and gives them back', async () => {
      const ring = opening(SpscRing.create({ record: Tick, capacity: 1024, backend }));
      const producer = ring.producer();
      expect(ring.producer()).toBe(producer);
      expect(await ring.takeProducer()).toBe(producer);
      producer.close();
      expect(producer.closed).toBe(true);
      expect(thrownBy(() => producer.tryPush(tick(1)))).toBeInstanceOf(ClosedError);
      expect(ring.producer()).not.toBe(producer);
    });

    it('takes several records that are written in place and published together', () => {
      const ring = opening(SpscRing.create({ record: Tick, capacity: 1024, backend }));
      const producer = ring.producer();
      const consumer = ring.consumer();
      let next = 0;
      const write = (r: object) => void Object.assign(r, tick(next++));
      expect(producer.tryWriteMany(3, write)).toBe(3);
      expect(consumer.tryPopMany(9)).toEqual([tick(0), tick(1), tick(2)]);
      const wrong = (r: { size: number }) => {
        r.size = next++ === 5 ? -1 : 1;
      };
      expect(thrownBy(() => producer.tryWriteMany(5, wrong))).toBeInstanceOf(RangeError);
      expect(thrownBy(() => producer.tryWriteMany(5, null as never))).toBeInstanceOf(TypeError);
      expect(consumer.tryPop()).toBeNull();
    });

    it('lends a record until it is released', async () => {
      const { ring, producer, consumer } = open('SpscRing', backend, Tick) as never as {
        ring: SpscRing;
        producer: SpscRecordProducer<(typeof Tick)['description']>;
        consumer: SpscRecordConsumer<(typeof Tick)['description']>;
      };
      expect(consumer.tryPeek()).toBeNull();
      producer.tryPushMany([tick(1), tick(2), tick(3)]);
      const peek = consumer.tryPeek();
      expect(peek?.value).toEqual(tick(1));
      expect(thrownBy(() => consumer.tryPop()).code).toBe('ERR_RINGWAY_BORROWED');
      peek?.release();
      expect(thrownBy(() => peek?.value)).toBeInstanceOf(ClosedError);
      {
        using second = await consumer.peek();
        expect(second.value).toEqual(tick(2));
      }
      const third = consumer.peekSync();
      ring.close();
      expect(thrownBy(() => third.value)).toBeInstanceOf(ClosedError);
    });

    it('is waited for, and read to its end', async () => {
      const ring = opening(SpscRing.create({ record: Tick, capacity: 256, backend }));
      const producer = ring.producer();
      const consumer = ring.consumer();
      const ready = consumer.ready();
      const popped = consumer.pop();
      producer.tryPush(tick(1));
      await ready;
      expect(await popped).toEqual(tick(1));
      while (producer.tryPush(tick(2)));
      const value = { ...tick(3), levels: [3, 4, 5, -3] };
      const pushed = producer.push(value);
      value.size = 99; // It was read at once.
      const written = producer.write((r) => void Object.assign(r, tick(4)));
      const got: unknown[] = [];
      for await (const one of consumer) {
        got.push(one);
        if (got.length === 2) {
          await pushed;
          await written;
          producer.close();
        }
      }
      expect(got.slice(-2)).toEqual([tick(3), tick(4)]);
      expect(consumer.ended).toBe(true);
    });
  });

  describe(`an MpmcRing of typed records over ${backend}`, () => {
    it('lends records as leases, which come again when they are nacked', async () => {
      const ring = opening(MpmcRing.create({ record: Tick, slots: 4, backend }));
      expect(ring).toMatchObject({
        slots: 4,
        slotByteLength: Tick.byteLength,
        alignment: 8,
        wait: 'adaptive',
        backend,
      });
      ring.tryPushMany([tick(1), tick(2)]);
      const lease = ring.tryTake();
      expect(lease).toMatchObject({ value: tick(1), deliveries: 1, redelivered: false, ended: false });
      lease?.nack();
      expect(thrownBy(() => lease?.value)).toBeInstanceOf(ClosedError);
      expect(lease?.ended).toBe(true);
      ring.takeSync().ack();
      ring.end();
      for await (const again of ring.leases()) {
        expect(again).toMatchObject({ value: tick(1), deliveries: 2, redelivered: true });
        again.ack();
      }
      expect(ring.ended).toBe(true);
      expect(ring.tryTakeMany(2)).toEqual([]);
      expect(await rejectionOf(ring.push(tick(1)))).toMatchObject({ code: 'EPIPE' });
    });
  });
}

describe('rings of typed records with names', () => {
  it('are opened or made with the same type only', async () => {
    const name = freshName();
    const made = opening(SpscRing.createOrAttach({ name, record: Tick, capacity: 1024 }));
    opening(SpscRing.createOrAttach({ name, record: Tick, capacity: 1024 }));
    opening(await SpscRing.whenCreated(name, { record: Tick }));
    const other = record({ a: 'int8' });
    for (const attempt of [
      () => SpscRing.createOrAttach({ name, record: other, capacity: 1024 }),
      () => SpscRing.createOrAttach({ name, record: Tick, capacity: 2048 }),
      () => SpscRing.createOrAttach({ name, capacity: 1024 }),
      () => SpscRing.attach(name),
    ]) {
      expect(thrownBy(attempt).code).toBe('ERR_RINGWAY_SHAPE');
    }
    expect((await rejectionOf(SpscRing.whenCreated(name))).code).toBe('ERR_RINGWAY_SHAPE');
    expect(made.name).toBe(name);
    SpscRing.unlink(name);
  });

  it('are opened or made with slots for the type', async () => {
    const name = freshName();
    const made = opening(MpmcRing.createOrAttach({ name, record: Tick, slots: 8 }));
    opening(MpmcRing.createOrAttach({ name, record: Tick, slots: 8 }));
    opening(await MpmcRing.whenCreated(name, { record: Tick }));
    for (const attempt of [
      () => MpmcRing.createOrAttach({ name, record: Tick, slots: 16 }),
      () => MpmcRing.createOrAttach({ name, record: Tick, slots: 8, slotByteLength: 64 }),
      () => MpmcRing.attach(name),
    ]) {
      expect(thrownBy(attempt).code).toBe('ERR_RINGWAY_SHAPE');
    }
    expect(made.name).toBe(name);
    MpmcRing.unlink(name);
  });

  it('deliver a record again whose holder was killed, in a lease as in a drain', async () => {
    const ring = opening(MpmcRing.create({ record: Tick, slots: 4 }));
    for (const how of ['lease', 'drain'] as const) {
      ring.tryPush(tick(7));
      const victim = await startProcess();
      const { result } = await victim.start(
        ({ ringway, state, tell }: Context, handle: never, description: RecordDescription, how: string) => {
          const ring = ringway.MpmcRing.attach(handle, { record: ringway.record(description) });
          if (how === 'lease') state.lease = ring.tryTake();
          else ring.drain(() => process.kill(process.pid, 'SIGKILL'));
          tell('taken');
        },
        ring.handle as never,
        Tick.description as never,
        how,
      );
      if (how === 'lease') {
        await result;
        await victim.kill();
      }
      await victim.ended;
      const again = await ring.take();
      expect(again).toMatchObject({ value: tick(7), redelivered: true });
      again.ack();
    }
  });
});

describe('typed records', () => {
  it('are as they are when views are debugged: private copies, detached afterwards', async () => {
    const end = await runScript(
      `const Type = ringway.record({ n: 'uint32', list: 'float32[2]', text: 'utf8[4]' });
       for (const ring of [
         SpscRing.create({ record: Type, capacity: 1024 }),
         ringway.MpmcRing.create({ record: Type, slots: 4 }),
       ]) {
         const producer = ring.producer?.() ?? ring;
         const consumer = ring.consumer?.() ?? ring;
         let kept;
         for (let i = 0; i < 3; i++) producer.tryWrite((r) => { kept = r.list; r.n = i; r.list[1] = i; r.text = 'ab'; });
         print(kept.length);
         consumer.drain((r) => { kept = r.list; print([r.n, r.list.join(), r.text].join(' ')); }, 2);
         print(kept.length);
         print(JSON.stringify(consumer.tryPop()));
         ring.close();
       }`,
      { env: { RINGWAY_DEBUG: 'views' } },
    );
    expect(end).toMatchObject({ code: 0, errors: '' });
    const lines = ['0', '0 0,0 ab', '1 0,1 ab', '0', '{"n":2,"list":{"0":0,"1":2},"text":"ab"}'];
    expect(end.lines).toEqual([...lines, ...lines]);
  });

  // Of whole numbers, since the engine boxes others where it does not inline a handler's accessors, which is its choice.
  // Once it has compiled what runs; the script's watchdog ends the wait for that. What a round allocates is not
  // collected before it is measured: the young generation is larger.
  it('are written and drained without allocating anything', async () => {
    const end = await runScript(
      `const Type = ringway.record({ n: 'uint32', flag: 'bool', size: 'int16', levels: 'uint8' });
       const sums = new Int32Array(2);
       for (const ring of [
         SpscRing.create({ record: Type, capacity: 4096 }),
         ringway.MpmcRing.create({ record: Type, slots: 16 }),
       ]) {
         const producer = ring.producer?.() ?? ring;
         const consumer = ring.consumer?.() ?? ring;
         let n = 0;
         const write = (r) => { r.n = n; r.flag = true; r.size = -1; r.levels = 5; };
         const read = (r) => { sums[0] += r.n + r.size + r.levels; if (r.flag) sums[1]++; };
         const round = () => {
           const before = process.memoryUsage().heapUsed;
           for (n = 0; n < 20_000; n++) {
             producer.tryWrite(write);
             if ((n & 7) === 7) consumer.drain(read);
           }
           return process.memoryUsage().heapUsed - before;
         };
         do gc(); while (round() > 20_000);
         print('less than a byte for each');
         ring.close();
       }`,
      { execArgv: ['--expose-gc', '--min-semi-space-size=32', '--max-semi-space-size=64'] },
    );
    expect(end).toMatchObject({ code: 0, errors: '', lines: Array(2).fill('less than a byte for each') });
  });

  it('need no code made from strings', async () => {
    const end = await runScript(
      `const ring = SpscRing.create({ record: ringway.record({ n: 'uint32' }), capacity: 64 });
       ring.producer().tryWrite((r) => { r.n = 5; });
       ring.consumer().drain((r) => print(r.n));
       ring.close();`,
      { execArgv: ['--disallow-code-generation-from-strings'] },
    );
    expect(end).toMatchObject({ code: 0, errors: '', lines: ['5'] });
  });
});
