// Typed records over broadcast rings, under both policies: every form of publishing and reading, what is overwritten while
// it is read, between processes and threads, and what is refused.
import {
  type BroadcastRecordPeek,
  type BroadcastRecordPublisher,
  type BroadcastRecordRing,
  type BroadcastRecordSubscriber,
  BroadcastRing,
  ClosedError,
  CorruptSegmentError,
  type OnSlow,
  PeerDiedError,
  type RecordDescription,
  type RecordReader,
  type RecordType,
  type RecordValue,
  record,
} from 'ringway';
import { describe, expect, expectTypeOf, it } from 'vitest';
import { BroadcastHeader, SegmentHeader } from '../src/layout.js';
import { freshName, opening, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random } from './helpers/random.js';
import { Everything, least, most, Tick, tick } from './helpers/records.js';
import { type Context, startProcess, startThread } from './helpers/remote.js';
import { BACKENDS, poke, pokeBody, rejectionOf, thrownBy } from './helpers/rings.js';
import { runScript } from './helpers/script.js';

useOwnDirectory();
announceSeed('broadcast-record');

type TickFields = (typeof Tick)['description'];

for (const backend of BACKENDS) {
  for (const onSlow of ['block', 'overwrite'] as const satisfies OnSlow[]) {
    const open = <Description extends RecordDescription>(type: RecordType<Description>, slots = 8) => {
      const ring = opening(BroadcastRing.create({ record: type, slots, onSlow, backend }));
      return { ring, publisher: ring.publisher(), subscriber: ring.subscriber() };
    };

    describe(`typed records in a BroadcastRing over ${backend} with '${onSlow}'`, () => {
      it('reach every subscriber with the values they were published with, of every type, at its limits', async () => {
        const { ring, publisher, subscriber } = open(Everything);
        const other = ring.subscriber();
        for (const value of [least, most]) {
          expect(publisher.tryPublish(value)).toBe(true);
          await publisher.publish(value);
          publisher.publishSync(value);
          expect(publisher.tryPublishMany([value, value])).toBe(2);
          expect(subscriber.tryRead()).toEqual(value);
          expect(await subscriber.read()).toEqual(value);
          expect(subscriber.readSync()).toEqual(value);
          expect(subscriber.tryReadMany(9)).toEqual([value, value]);
          expect(subscriber.tryRead()).toBeNull();
          const late = ring.subscriber({ from: 'oldest' });
          expect(late.tryReadMany(9).slice(-5)).toEqual(Array(5).fill(value));
          late.close();
          const seen = new Set<unknown>();
          const read = other.drain((r) => {
            for (const name of Object.keys(value) as (keyof Everything)[]) expect(r[name]).toEqual(value[name]);
            seen.add(r);
          });
          expect(read).toBe(5);
          expect(seen.size).toBe(1); // The same cursor.
        }
        expect(subscriber.missed).toBe(0);
      });

      it('arrive with the values they were written with in place, and 0 where nothing was', async () => {
        const { publisher, subscriber } = open(Everything, 2);
        for (let lap = 0; lap < 3; lap++) {
          for (const value of [most, least]) {
            const fill = (r: object) => void Object.assign(r, value);
            expect(publisher.tryWrite(fill)).toBe(true);
            expect(subscriber.tryRead()).toEqual(value);
            await publisher.write(fill);
            expect(subscriber.tryRead()).toEqual(value);
            publisher.writeSync(fill);
            expect(subscriber.tryRead()).toEqual(value);
            publisher.tryWrite(() => {});
            for (const field of Object.values(subscriber.tryRead() as Everything)) {
              const all = typeof field === 'object' ? [...(field as Iterable<unknown>)] : [field];
              expect(all.filter(Boolean)).toEqual([]);
            }
          }
        }
      });

      it('are the same with every value at random, in slots longer than a record, written in one way and read in another', () => {
        const random = new Random();
        const type = record({ a: 'uint8', numbers: 'uint32[5]', big: 'uint64', text: 'utf8[3]' });
        for (const extra of [0, 1, 13]) {
          const slotByteLength = type.byteLength + extra;
          const ring = opening(BroadcastRing.create({ record: type, slotByteLength, slots: 4, onSlow, backend }));
          expect(ring.slotByteLength).toBe(slotByteLength);
          const [publisher, subscriber] = [ring.publisher(), ring.subscriber()];
          for (let i = 0; i < 500; i++) {
            const sent = {
              a: random.below(256),
              numbers: new Uint32Array(5).map(() => random.next()),
              big: BigInt(random.next()) << 32n,
              text: String.fromCharCode(1 + random.below(127), 1 + random.below(127)),
            };
            if (random.below(2) === 0) publisher.tryPublish(sent);
            else publisher.tryWrite((r) => void Object.assign(r, sent));
            const way = random.below(3);
            if (way === 0) expect(subscriber.tryRead()).toEqual(sent);
            else if (way === 1) {
              using peek = subscriber.tryPeek();
              expect(peek?.value).toEqual(sent);
            } else {
              expect(
                subscriber.drain((r) => {
                  expect({ a: r.a, numbers: r.numbers, big: r.big, text: r.text }).toEqual(sent);
                }),
              ).toBe(1);
            }
          }
        }
      });

      it('are the same when they are long', () => {
        const { publisher, subscriber } = open(record({ numbers: 'float64[1000]', last: 'uint8' }));
        const numbers = Float64Array.from({ length: 1000 }, (_, i) => i / 3);
        publisher.tryPublishMany([
          { numbers, last: 1 },
          { numbers, last: 2 },
        ]);
        const read = subscriber.drain(
          (r) => expect({ numbers: r.numbers, last: r.last }).toEqual({ numbers, last: 1 }),
          1,
        );
        expect(read).toBe(1);
        expect(subscriber.tryRead()).toEqual({ numbers, last: 2 });
      });

      it('are refused with a field that does not fit, named, and nothing is published', async () => {
        const { publisher, subscriber } = open(Tick);
        const { flags: _, ...without } = tick(1);
        for (const [kind, bad, says] of [
          [RangeError, { ...tick(1), flags: 256 }, '"flags"'],
          [TypeError, { ...tick(1), symbol: 5 }, '"symbol"'],
          [TypeError, without, '"flags" is missing'],
          [TypeError, { ...tick(1), prise: 1 }, 'no field "prise"'],
          [TypeError, null, 'null'],
        ] as const) {
          for (const error of [
            thrownBy(() => publisher.tryPublish(bad as never)),
            thrownBy(() => publisher.publishSync(bad as never)),
            thrownBy(() => publisher.tryPublishMany([tick(1), bad as never])),
            await rejectionOf(publisher.publish(bad as never)),
          ]) {
            expect(error).toBeInstanceOf(kind);
            expect(error.message).toContain(says);
          }
        }
        expect(thrownBy(() => publisher.tryPublishMany('no' as never))).toBeInstanceOf(TypeError);
        const outOfRange = (r: { flags: number }) => {
          r.flags = -1;
        };
        for (const [handler, kind] of [
          [outOfRange, RangeError],
          [async () => {}, TypeError],
          ['no', TypeError],
        ] as [unknown, new () => Error][] as [never, new () => Error][]) {
          expect(thrownBy(() => publisher.tryWrite(handler))).toBeInstanceOf(kind);
          expect(thrownBy(() => publisher.writeSync(handler))).toBeInstanceOf(kind);
          expect(await rejectionOf(publisher.write(handler))).toBeInstanceOf(kind);
        }
        expect(subscriber.tryRead()).toBeNull();
        publisher.tryPublish(tick(2)); // Nothing is left borrowed.
        expect(subscriber.tryRead()).toEqual(tick(2));
      });

      it('stay if the handler that reads them throws, returns a promise, or is none', () => {
        const { publisher, subscriber } = open(Tick);
        publisher.tryPublish(tick(1));
        const boom = new Error('boom');
        const fails = () => {
          throw boom;
        };
        expect(thrownBy(() => subscriber.drain(fails))).toBe(boom);
        expect(thrownBy(() => subscriber.drain(async () => {}))).toBeInstanceOf(TypeError);
        expect(thrownBy(() => subscriber.drain(null as never))).toBeInstanceOf(TypeError);
        expect(subscriber.tryRead()).toEqual(tick(1));
      });

      it('are handed to one handler at a time, whose cursor ends with it', () => {
        const { publisher, subscriber } = open(Tick);
        let kept: { size: number } | undefined;
        publisher.tryWrite((r) => {
          r.size = 1;
          expect(thrownBy(() => publisher.tryWrite(() => {})).code).toBe('ERR_RINGWAY_BORROWED');
          expect(thrownBy(() => publisher.tryPublish(tick(5))).code).toBe('ERR_RINGWAY_BORROWED');
          r.flags = 2; // Still ours.
          kept = r;
        });
        expect(thrownBy(() => kept?.size)).toBeInstanceOf(ClosedError);
        const read = subscriber.drain((r) => {
          expect(thrownBy(() => subscriber.drain(() => {})).code).toBe('ERR_RINGWAY_BORROWED');
          expect(thrownBy(() => ((r as { size: number }).size = 1))).toBeInstanceOf(TypeError);
          expect(r).toMatchObject({ size: 1, flags: 2 });
          kept = r;
        });
        expect(read).toBe(1);
        expect(thrownBy(() => kept?.size)).toBeInstanceOf(ClosedError);
      });

      it('are read as values that publish others on the same end while they are read', () => {
        const { publisher, subscriber } = open(Tick);
        const nested = (publish: () => void) => ({
          ...tick(1),
          get levels() {
            publish();
            return tick(1).levels;
          },
        });
        publisher.tryPublish(nested(() => publisher.tryPublish(tick(2))));
        publisher.tryPublishMany([nested(() => publisher.tryPublishMany([tick(3)])), tick(4)]);
        const values = subscriber.tryReadMany(9);
        expect(values).toEqual([tick(2), tick(1), tick(3), tick(1), tick(4)]);
      });

      it('are waited for, and read to their end', async () => {
        const { publisher, subscriber } = open(Tick, 4);
        expect([publisher.ref(), subscriber.unref()]).toEqual([publisher, subscriber]);
        const ready = subscriber.ready();
        const read = subscriber.read();
        publisher.tryPublish(tick(1));
        await ready;
        expect(await read).toEqual(tick(1));
        publisher.tryPublishMany([tick(3), tick(4)]);
        subscriber.readySync();
        expect(subscriber.ended).toBe(false);
        publisher.close();
        expect(publisher.closed).toBe(true);
        const got: unknown[] = [];
        for await (const value of subscriber) got.push(value);
        expect(got).toEqual([tick(3), tick(4)]);
        expect(subscriber.ended).toBe(true);
        subscriber.close();
        expect(thrownBy(() => subscriber.tryRead())).toBeInstanceOf(ClosedError);
        expect(thrownBy(() => publisher.tryPublish(tick(1)))).toBeInstanceOf(ClosedError);
      });

      it('are given up when a handler closes the ring', () => {
        for (const side of ['write', 'read'] as const) {
          const { ring, publisher, subscriber } = open(Tick);
          const other = opening(BroadcastRing.attach(ring.handle, { record: Tick }));
          const witness = other.subscriber();
          publisher.tryPublish(tick(1));
          if (side === 'write') {
            expect(thrownBy(() => publisher.tryWrite(() => ring.close()))).toBeInstanceOf(ClosedError);
          } else expect(subscriber.drain(() => ring.close())).toBe(0);
          expect(witness.tryReadMany(9)).toEqual([tick(1)]);
        }
      });

      it('are lent one at a time, until they are released', async () => {
        const { ring, publisher, subscriber } = open(Tick, 4);
        expect(subscriber.tryPeek()).toBeNull();
        publisher.tryPublishMany([tick(1), tick(2), tick(3)]);
        const peek = subscriber.tryPeek() as BroadcastRecordPeek<TickFields>;
        expect(peek.value).toEqual(tick(1));
        expect(peek.stillValid).toBe(true);
        expect(thrownBy(() => subscriber.tryRead()).code).toBe('ERR_RINGWAY_BORROWED');
        peek.release();
        for (const late of [() => peek.value, () => peek.stillValid]) {
          expect(thrownBy(late)).toBeInstanceOf(ClosedError);
        }
        expect(thrownBy(() => peek.release()).code).toBe('ERR_RINGWAY_STATE');
        {
          using second = await subscriber.peek();
          expect(second.value).toEqual(tick(2));
        }
        const third = subscriber.peekSync();
        ring.close();
        expect(thrownBy(() => third.value)).toBeInstanceOf(ClosedError);
      });

      it('are told from what somebody else has published as bytes', () => {
        const { ring, subscriber } = open(Tick);
        poke(ring, SegmentHeader.descriptionOffset, 0);
        poke(ring, SegmentHeader.descriptionByteLength, 0);
        using other = BroadcastRing.attach(ring.handle);
        other.publisher().tryPublish(new Uint8Array(Tick.byteLength - 8));
        let calls = 0;
        expect(thrownBy(() => subscriber.drain(() => calls++))).toBeInstanceOf(CorruptSegmentError);
        expect(calls).toBe(0);
        const peek = subscriber.tryPeek();
        expect(thrownBy(() => peek?.value)).toBeInstanceOf(CorruptSegmentError);
        peek?.release();
        expect(subscriber.tryRead()).toBeNull();
      });

      it('do not mix with another record type, or with none', () => {
        const { ring } = open(Tick);
        const bytes = opening(BroadcastRing.create({ slots: 4, slotByteLength: 64, onSlow, backend }));
        const { flags, ...others } = Tick.description;
        const moved = record({ ...others, flags });
        for (const [handle, type, shown] of [
          [ring.handle, undefined, ['"time":"float64"', 'without a record type']],
          [ring.handle, moved, ['"flags":"uint8","levels"', '"symbol":"utf8[8]","flags"']],
          [bytes.handle, Tick, ['without a record type', '"time":"float64"']],
        ] as const) {
          const error = thrownBy(() => BroadcastRing.attach(handle, { record: type as typeof Tick }));
          expect(error.code).toBe('ERR_RINGWAY_SHAPE');
          for (const part of shown) expect(error.message).toContain(part);
        }
        opening(BroadcastRing.attach(ring.handle, { record: record({ ...Tick.description }) }));
        for (const wrong of [{}, Tick.description, 'Tick', null]) {
          expect(thrownBy(() => BroadcastRing.attach(ring.handle, { record: wrong as never }))).toBeInstanceOf(
            TypeError,
          );
          const create = () => BroadcastRing.create({ record: wrong as never, slots: 4, onSlow, backend });
          expect(thrownBy(create)).toBeInstanceOf(TypeError);
        }
        const tooShort = { slotByteLength: Tick.byteLength - 1 };
        const error = thrownBy(() => BroadcastRing.create({ record: Tick, slots: 4, onSlow, backend, ...tooShort }));
        expect(error).toBeInstanceOf(RangeError);
        expect(error.message).toContain(`${Tick.byteLength}`);
        pokeBody(ring, BroadcastHeader.slotByteLength, Tick.byteLength - 8);
        const contradiction = thrownBy(() => BroadcastRing.attach(ring.handle, { record: Tick }));
        expect(contradiction).toBeInstanceOf(CorruptSegmentError);
      });

      it(`come from another ${backend === 'shm' ? 'process' : 'thread'} in every form, whole and in order`, async () => {
        const count = 20_000;
        const ring = opening(BroadcastRing.create({ record: Tick, slots: 64, onSlow, backend }));
        const subscriber = ring.subscriber();
        const other = backend === 'shm' ? await startProcess() : await startThread();
        const { result } = await other.start(sender, ring.handle as never, Tick.description as never, count);
        let next = 0;
        let got = 0;
        const check = (r: RecordReader<TickFields> | RecordValue<typeof Tick>) => {
          const { time, price, size, flags, levels, symbol } = r;
          // Cheaper than toEqual() for each.
          const ok =
            (onSlow === 'block' ? size === next : size >= next) &&
            time === size / 3 &&
            price === size / 4 &&
            flags === (size & 255) &&
            levels[0] === size &&
            levels[3] === -size &&
            symbol === `s${size % 1000}`;
          if (!ok) expect({ time, price, size, flags, levels, symbol }).toEqual(tick(next));
          next = size + 1;
          got++;
        };
        while (next < count) {
          check(await subscriber.read());
          subscriber.drain(check, 100);
          for (const value of subscriber.tryReadMany(10)) check(value);
          using peek = subscriber.tryPeek();
          const value = peek?.value;
          if (value) check(value);
        }
        expect(next).toBe(count);
        await result;
        expect(subscriber.tryRead()).toBeNull();
        expect(got + subscriber.missed).toBe(count);
        if (onSlow === 'block') expect(got).toBe(count);
      });
    });
  }

  describe(`a BroadcastRing of typed records over ${backend}`, () => {
    it('makes publishers wait for a record that is looked at, with "block"', async () => {
      const ring = opening(BroadcastRing.create({ record: Tick, slots: 2, onSlow: 'block', backend }));
      const [publisher, subscriber] = [ring.publisher(), ring.subscriber()];
      expect(publisher.tryPublishMany([tick(1), tick(2), tick(3)])).toBe(2);
      expect(publisher.tryWrite(() => expect.unreachable())).toBe(false);
      const peek = subscriber.tryPeek();
      const value = { ...tick(3), levels: [3, 4, 5, -3] };
      const published = publisher.publish(value);
      value.size = 99; // It was read at once.
      const written = publisher.write((r) => void Object.assign(r, tick(4)));
      expect(peek?.value).toEqual(tick(1));
      peek?.release();
      await published;
      expect(subscriber.tryReadMany(9)).toEqual([tick(2), tick(3)]);
      await written;
      expect(subscriber.tryRead()).toEqual(tick(4));
    });

    it('publishes what it was given though a pending handler runs meanwhile and publishes something else', async () => {
      const ring = opening(BroadcastRing.create({ record: Tick, slots: 2, onSlow: 'block', backend }));
      const [publisher, subscriber] = [ring.publisher(), ring.subscriber()];
      publisher.tryPublishMany([tick(1), tick(2)]);
      const written = publisher.write((r) => {
        expect(thrownBy(() => publisher.tryPublish(tick(9))).code).toBe('ERR_RINGWAY_BORROWED');
        Object.assign(r, tick(3));
      });
      subscriber.tryReadMany(2);
      publisher.publishSync(tick(4)); // Serves the other first.
      await written;
      expect(subscriber.tryReadMany(9)).toEqual([tick(3), tick(4)]);
    });

    it('gives no value of a record that was overwritten, with "overwrite", and counts it as missed', () => {
      const ring = opening(BroadcastRing.create({ record: Tick, slots: 4, onSlow: 'overwrite', backend }));
      const [publisher, subscriber] = [ring.publisher(), ring.subscriber()];
      const overwrite = (from: number) => {
        for (let number = from; number < from + 20; number++) publisher.tryPublish(tick(number));
      };
      for (const seen of [false, true]) {
        publisher.tryPublish(tick(1));
        const before = subscriber.missed;
        const peek = subscriber.tryPeek() as BroadcastRecordPeek<TickFields>;
        if (seen) expect(peek.value).toEqual(tick(1));
        overwrite(100);
        expect(peek.stillValid).toBe(false);
        expect(peek.value).toBeNull();
        peek.release();
        expect(subscriber.missed - before).toBe(seen ? 0 : 1);
        const left = subscriber.tryReadMany(99);
        expect(left.length + subscriber.missed - before).toBe(seen ? 20 : 21);
        expect(left).toEqual(left.map((_, i) => tick(120 - left.length + i)));
      }
    });

    it('hands out records that do not change while a handler has them, with "overwrite"', () => {
      const ring = opening(BroadcastRing.create({ record: Tick, slots: 4, onSlow: 'overwrite', backend }));
      const [publisher, subscriber] = [ring.publisher(), ring.subscriber()];
      publisher.tryPublishMany([tick(1), tick(2)]);
      const sizes: number[] = [];
      subscriber.drain((r) => {
        const { size } = r;
        // All of the ring, and more.
        if (size < 3) for (let number = 10; number < 30; number++) publisher.tryPublish(tick(number));
        expect({ ...tick(size), levels: [...r.levels] }).toEqual({
          time: r.time,
          price: r.price,
          size: r.size,
          flags: r.flags,
          levels: [...tick(size).levels],
          symbol: r.symbol,
        });
        sizes.push(size);
      });
      expect(sizes[0]).toBe(1);
      expect(sizes.at(-1)).toBe(29);
      expect(sizes.length + subscriber.missed).toBe(22);
    });
  });
}

// On the other side: sends itself, so it uses nothing from here.
function sender({ ringway }: Context, handle: never, description: RecordDescription, count: number) {
  const ring = ringway.BroadcastRing.attach(handle, { record: ringway.record(description) });
  const publisher = ring.publisher();
  const value = (number: number) => ({
    time: number / 3,
    price: number / 4,
    size: number,
    flags: number & 255,
    levels: new Float32Array([number, number + 1, number + 2, -number]),
    symbol: `s${number % 1000}`,
  });
  for (let next = 0; next < count; ) {
    if (next % 3 === 0) publisher.publishSync(value(next++) as never);
    else if (next % 3 === 1) {
      publisher.writeSync((r) => void Object.assign(r, value(next)));
      next++;
    } else next += publisher.tryPublishMany([value(next), value(next + 1)].slice(0, count - next) as never);
  }
  ring.close();
}

describe('broadcast rings of typed records', () => {
  it('with names are opened or made with the same type and shape only', async () => {
    const name = freshName();
    const options = { name, record: Tick, slots: 8, onSlow: 'block' } as const;
    const made = opening(BroadcastRing.createOrAttach(options));
    expect(made.slotByteLength).toBe(Tick.byteLength);
    opening(BroadcastRing.createOrAttach(options));
    const found = opening(await BroadcastRing.whenCreated(name, { record: Tick }));
    const subscriber = found.subscriber();
    made.publisher().tryPublish(tick(1));
    expect(subscriber.tryRead()).toEqual(tick(1));
    for (const attempt of [
      () => BroadcastRing.createOrAttach({ ...options, record: record({ a: 'int8' }) }),
      () => BroadcastRing.createOrAttach({ ...options, slots: 16 }),
      () => BroadcastRing.createOrAttach({ ...options, slotByteLength: 64 }),
      () => BroadcastRing.createOrAttach({ name, slots: 8, onSlow: 'block', slotByteLength: Tick.byteLength }),
      () => BroadcastRing.attach(name),
    ]) {
      expect(thrownBy(attempt).code).toBe('ERR_RINGWAY_SHAPE');
    }
    expect((await rejectionOf(BroadcastRing.whenCreated(name))).code).toBe('ERR_RINGWAY_SHAPE');
    BroadcastRing.unlink(name);
  });

  it('have ends of the record type', () => {
    expectTypeOf(BroadcastRing.create<TickFields>).returns.toEqualTypeOf<BroadcastRecordRing<TickFields>>();
    expectTypeOf(BroadcastRing.attach<TickFields>)
      .returns.toHaveProperty('publisher')
      .returns.toEqualTypeOf<BroadcastRecordPublisher<TickFields>>();
    expectTypeOf(BroadcastRing.whenCreated<TickFields>).returns.resolves.toEqualTypeOf<
      BroadcastRecordRing<TickFields>
    >();
    expectTypeOf(BroadcastRing.createOrAttach<TickFields>)
      .returns.toHaveProperty('subscriber')
      .returns.toEqualTypeOf<BroadcastRecordSubscriber<TickFields>>();
    const typeOnly = (
      publisher: BroadcastRecordPublisher<TickFields>,
      subscriber: BroadcastRecordSubscriber<TickFields>,
    ) => {
      // @ts-expect-error: a field is missing
      publisher.tryPublish({ time: 1 });
      // @ts-expect-error: no such field
      void publisher.publish({ ...tick(1), prise: 1 });
      publisher.tryWrite((r) => {
        r.levels = [1, 2, 3, 4];
        // @ts-expect-error: a number
        r.price = '1';
      });
      subscriber.drain((r) => {
        // @ts-expect-error: read-only
        r.price = 1;
      });
      // @ts-expect-error: no bytes
      publisher.tryPublish(new Uint8Array(8));
      expectTypeOf(subscriber.tryRead()).toEqualTypeOf<RecordValue<typeof Tick> | null>();
      expectTypeOf(subscriber.read()).resolves.toEqualTypeOf<RecordValue<typeof Tick>>();
      expectTypeOf(subscriber.tryReadMany(1)).toEqualTypeOf<RecordValue<typeof Tick>[]>();
      expectTypeOf(subscriber.peekSync().value).toEqualTypeOf<RecordValue<typeof Tick> | null>();
    };
    expect(typeOnly).toBeTypeOf('function');
    // @ts-expect-error: neither slotByteLength nor a record
    expect(thrownBy(() => BroadcastRing.create({ slots: 4, onSlow: 'block' }))).toBeInstanceOf(TypeError);
  });

  it('give what is left of a publisher that was killed, then its death', async () => {
    const ring = opening(BroadcastRing.create({ record: Tick, slots: 4, onSlow: 'block' }));
    const subscriber = ring.subscriber();
    const victim = await startProcess();
    const { result } = await victim.start(
      ({ ringway }: Context, handle: never, description: RecordDescription) => {
        const ring = ringway.BroadcastRing.attach(handle, { record: ringway.record(description) });
        const publisher = ring.publisher();
        publisher.tryWrite((r) => void Object.assign(r, { size: 1 }));
        publisher.tryWrite((r) => {
          Object.assign(r, { size: 2 });
          process.kill(process.pid, 'SIGKILL');
        });
      },
      ring.handle as never,
      Tick.description as never,
    );
    await victim.ended;
    result.catch(() => {});
    expect(await subscriber.read()).toMatchObject({ size: 1 });
    expect(await rejectionOf(subscriber.read())).toBeInstanceOf(PeerDiedError);
  });

  it('are as they are when views are debugged: private copies, detached afterwards', async () => {
    const end = await runScript(
      `const Type = ringway.record({ n: 'uint32', list: 'float32[2]', text: 'utf8[4]' });
       for (const onSlow of ['block', 'overwrite']) {
         const ring = ringway.BroadcastRing.create({ record: Type, slots: 4, onSlow });
         const publisher = ring.publisher();
         const subscriber = ring.subscriber();
         let kept;
         for (let i = 0; i < 3; i++) publisher.tryWrite((r) => { kept = r.list; r.n = i; r.list[1] = i; r.text = 'ab'; });
         print(kept.length);
         subscriber.drain((r) => { kept = r.list; print([r.n, r.list.join(), r.text].join(' ')); }, 2);
         print(kept.length);
         print(JSON.stringify(subscriber.tryPeek().value));
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
       for (const onSlow of ['block', 'overwrite']) {
         const ring = ringway.BroadcastRing.create({ record: Type, slots: 16, onSlow });
         const publisher = ring.publisher();
         const subscriber = ring.subscriber();
         let n = 0;
         const write = (r) => { r.n = n; r.flag = true; r.size = -1; r.levels = 5; };
         const read = (r) => { sums[0] += r.n + r.size + r.levels; if (r.flag) sums[1]++; };
         const round = () => {
           const before = process.memoryUsage().heapUsed;
           for (n = 0; n < 20_000; n++) {
             publisher.tryWrite(write);
             if ((n & 7) === 7) subscriber.drain(read);
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
});
