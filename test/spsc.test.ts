// What the documentation says of SpscRing, within one process and over both kinds of memory. Streams between processes are in
// spsc-cross.test.ts, deaths in spsc-kill.test.ts, waiting in wait.test.ts, views in views.test.ts.
import { existsSync } from 'node:fs';
import { inspect } from 'node:util';
import fc from 'fast-check';
import {
  ClosedError,
  EndOfStreamError,
  MessageSizeError,
  PeerDiedError,
  RingwayError,
  RoleTakenError,
  type SpscConsumer,
  type SpscProducer,
  SpscRing,
  type SpscRingOptions,
  TimeoutError,
} from 'ringway';
import { describe, expect, it } from 'vitest';
import { freshName, opening, segmentFiles, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random, seed } from './helpers/random.js';
import { startProcess, startThread } from './helpers/remote.js';
import {
  BACKENDS,
  expectBytes,
  fileOf,
  fill,
  recordOf,
  rejectionOf,
  startPositionsAt,
  strideOf,
  thrownBy,
  until,
} from './helpers/rings.js';

useOwnDirectory();
announceSeed('spsc');

for (const backend of BACKENDS) {
  describe(`SPSC ring over ${backend}`, () => {
    const make = (options: Partial<SpscRingOptions> = {}) =>
      opening(SpscRing.create({ capacity: 1024, backend, ...options }));
    const ends = (options: Partial<SpscRingOptions> = {}) => {
      const ring = make(options);
      return { ring, producer: ring.producer(), consumer: ring.consumer() };
    };
    const numbers = (records: Uint8Array[]) => records.map((bytes) => bytes[0]);

    describe('size', () => {
      it('rounds the capacity up to a power of two, which can be read', () => {
        for (const [asked, got] of [
          [1, 64],
          [64, 64],
          [65, 128],
          [1000, 1024],
          [1024, 1024],
          [1025, 2048],
          [(1 << 20) - 1, 1 << 20],
          [(1 << 20) + 1, 1 << 21],
        ] as const) {
          expect(make({ capacity: asked }).capacity, `asked for ${asked}`).toBe(got);
        }
        expect(make({ capacity: 1, alignment: 64 }).capacity).toBe(256);
      });

      it('says a longest record of a third of the capacity or more', () => {
        for (const alignment of [8, 64] as const) {
          for (let capacity = 1; capacity <= 1 << 16; capacity = capacity * 2 + 1) {
            const ring = make({ capacity, alignment });
            expect(ring.maxRecordByteLength).toBeGreaterThanOrEqual(ring.capacity / 3);
            ring.close();
          }
        }
      });

      for (const alignment of [8, 64] as const) {
        it(`takes the longest record at every place of an empty ring, alignment ${alignment}`, () => {
          for (const capacity of [64, 256, 1024]) {
            const { ring, producer, consumer } = ends({ capacity, alignment });
            const longest = recordOf(ring.maxRecordByteLength);
            for (let place = 0; place < ring.capacity; place += alignment) {
              if (!producer.tryPush(longest)) expect.unreachable(`refused at ${place} of ${ring.capacity}`);
              expectBytes(consumer.tryPop(), longest);
              producer.tryPush(new Uint8Array(0)); // Moves on by one step.
              expectBytes(consumer.tryPop(), new Uint8Array(0));
            }
          }
        });
      }

      it('takes two of the longest records at once when they start a lap', () => {
        const { ring, producer, consumer } = ends();
        for (let lap = 0; lap < 5; lap++) {
          const records = [recordOf(ring.maxRecordByteLength, lap), recordOf(ring.maxRecordByteLength, lap + 1)];
          expect(producer.tryPushMany(records)).toBe(2);
          expect(producer.tryPush(new Uint8Array(0))).toBe(false);
          expect(consumer.tryPopMany(9)).toEqual(records);
        }
      });

      it('passes every length from 0 to the longest, byte for byte', () => {
        for (const alignment of [8, 64] as const) {
          const { ring, producer, consumer } = ends({ alignment });
          for (let byteLength = 0; byteLength <= ring.maxRecordByteLength; byteLength++) {
            expect(producer.tryPush(recordOf(byteLength, 1))).toBe(true);
            expectBytes(consumer.tryPop(), recordOf(byteLength, 1));
          }
          expect(consumer.tryPop()).toBeNull();
        }
      });

      it('refuses one byte more than the longest, with both figures, and takes nothing', () => {
        const { ring, producer, consumer } = ends();
        const tooLong = new Uint8Array(ring.maxRecordByteLength + 1);
        for (const call of [
          () => producer.tryPush(tooLong),
          () => producer.pushSync(tooLong),
          () => producer.tryClaim(tooLong.length),
          () => producer.claimSync(tooLong.length),
          () => producer.tryPushMany([new Uint8Array(1), tooLong]),
        ]) {
          const error = thrownBy(call);
          expect(error).toBeInstanceOf(MessageSizeError);
          expect(error).toMatchObject({
            code: 'ERR_RINGWAY_MESSAGE_SIZE',
            byteLength: tooLong.length,
            limit: ring.maxRecordByteLength,
          });
          expect(error.message).toContain(String(tooLong.length));
          expect(error.message).toContain(String(ring.maxRecordByteLength));
        }
        expect(consumer.tryPop()).toBeNull();
        expect(ring.stats()).toMatchObject({ used: 0, pushed: 0 });
      });
    });

    describe('alignment', () => {
      for (const alignment of [8, 64] as const) {
        it(`puts every payload at a multiple of ${alignment} in the memory`, () => {
          const { producer, consumer } = ends({ alignment });
          const random = new Random(seed + alignment);
          for (let round = 0; round < 300; round++) {
            const byteLength = random.below(200);
            const claim = producer.tryClaim(byteLength);
            if (claim === null) throw new Error('no room in an empty ring');
            expect(claim.bytes.byteOffset % alignment).toBe(0);
            claim.commit();
            if (round % 2 === 0) {
              const peek = consumer.tryPeek();
              expect(peek?.bytes.byteOffset).toBe(peek?.as(DataView).byteOffset);
              expect((peek?.bytes.byteOffset ?? 1) % alignment).toBe(0);
              peek?.release();
            } else {
              consumer.drain((memory, byteOffset) => {
                expect((memory.byteOffset + byteOffset) % alignment).toBe(0);
              });
            }
          }
        });
      }
    });

    // 2^32 is where positions wrap; at 2^31 they become negative for JavaScript's 32-bit operators.
    describe.each([32, 31])('positions', (power) => {
      it(`go on through 2^${power}`, () => {
        for (const alignment of [8, 64] as const) {
          for (const before of [alignment, 512, 1024, 4096 - alignment]) {
            const ring = make({ alignment });
            startPositionsAt(ring, 2 ** power - before);
            const producer = ring.producer();
            const consumer = ring.consumer();
            const random = new Random(seed);
            let pushed = 0;
            let popped = 0;
            for (let round = 0; round < 100; round++) {
              for (let i = random.below(12); i >= 0; i--) {
                if (producer.tryPush(recordOf(random.below(100), pushed))) pushed++;
                else break;
              }
              for (let i = random.below(12); i >= 0; i--) {
                const record = consumer.tryPop();
                if (record === null) break;
                expectBytes(record, recordOf(record.length, popped++));
              }
            }
            for (const record of consumer.tryPopMany(Infinity)) {
              expectBytes(record, recordOf(record.length, popped++));
            }
            expect(popped).toBe(pushed);
            expect(pushed).toBeGreaterThan(300);
            expect(ring.stats().used).toBe(0);
          }
        }
      });

      it(`are full and empty at 2^${power} as elsewhere`, () => {
        for (let step = 0; step <= 64; step++) {
          const ring = make();
          startPositionsAt(ring, 2 ** power - 16 * step);
          const producer = ring.producer();
          const consumer = ring.consumer();
          expect(consumer.tryPop()).toBeNull();
          expect(fill(producer)).toBe(64);
          expect(ring.stats().used).toBe(1024);
          expect(consumer.tryPop()).toEqual(recordOf(8, 0));
          expect(producer.tryPush(recordOf(8, 64))).toBe(true);
          expect(producer.tryPush(recordOf(8, 65))).toBe(false);
          expect(consumer.tryPopMany(100)).toEqual(Array.from({ length: 64 }, (_, i) => recordOf(8, i + 1)));
          expect(consumer.tryPop()).toBeNull();
          ring.close();
        }
      });

      it(`go on through 2^${power} under claims, peeks and drains too`, () => {
        const ring = make();
        startPositionsAt(ring, 2 ** power - 320);
        const producer = ring.producer();
        const consumer = ring.consumer();
        for (let i = 0; i < 40; i++) {
          const claim = producer.tryClaim(100);
          claim?.bytes.set(recordOf(100, i));
          claim?.commit();
          if (i % 2 === 0) {
            const peek = consumer.tryPeek();
            expect(peek?.bytes).toEqual(recordOf(100, i));
            peek?.release();
          } else {
            const drained = consumer.drain((memory, at, length) => {
              expect(memory.slice(at, at + length)).toEqual(recordOf(100, i));
            });
            expect(drained).toBe(1);
          }
        }
      });
    });

    describe('tryPush and tryPop', () => {
      it('say full and empty, and change nothing then', () => {
        const { ring, producer, consumer } = ends();
        expect(consumer.tryPop()).toBeNull();
        const pushed = fill(producer);
        const before = ring.stats();
        expect(producer.tryPush(recordOf(8))).toBe(false);
        expect(producer.tryPush(new Uint8Array(0))).toBe(false);
        expect(ring.stats()).toEqual(before);
        for (let i = 0; i < pushed; i++) expect(consumer.tryPop()).toEqual(recordOf(8, i));
        expect(consumer.tryPop()).toBeNull();
        expect(producer.tryPush(recordOf(8))).toBe(true);
      });

      it('copy: neither side sees what the other one does to its bytes afterwards', () => {
        const { producer, consumer } = ends();
        const bytes = new Uint8Array([1, 2, 3]);
        producer.tryPush(bytes);
        bytes.fill(9);
        const popped = consumer.tryPop();
        expect(popped).toEqual(new Uint8Array([1, 2, 3]));
        fill(producer);
        expect(popped).toEqual(new Uint8Array([1, 2, 3]));
        popped?.fill(7);
        expect(consumer.tryPop()).toEqual(recordOf(8, 0));
      });

      it('take every kind of Uint8Array, and exactly its bytes', () => {
        const { producer, consumer } = ends();
        const memory = new Uint8Array([0, 1, 2, 3, 4, 5, 6, 7]);
        const shared = new Uint8Array(new SharedArrayBuffer(4));
        shared.set([4, 3, 2, 1]);
        for (const bytes of [memory.subarray(3, 5), Buffer.from('bytes'), shared, new Uint8Array(0)]) {
          expect(producer.tryPush(bytes)).toBe(true);
          const popped = consumer.tryPop();
          expect(popped).toEqual(new Uint8Array(bytes));
          expect(popped?.constructor).toBe(Uint8Array);
          expect(popped?.buffer.byteLength).toBe(bytes.length);
        }
      });

      it('push a record that lies in the ring itself', () => {
        const { producer, consumer } = ends();
        producer.tryPush(recordOf(40));
        const peek = consumer.tryPeek();
        expect(producer.tryPush(peek?.bytes as Uint8Array)).toBe(true);
        peek?.release();
        expect(consumer.tryPop()).toEqual(recordOf(40));
      });
    });

    describe('tryPushMany and tryPopMany', () => {
      it('take what fits, from the start and in order', () => {
        const { ring, producer, consumer } = ends();
        const records = Array.from({ length: 100 }, (_, i) => recordOf(8, i));
        expect(producer.tryPushMany(records)).toBe(64);
        expect(ring.stats().pushed).toBe(64);
        expect(producer.tryPushMany(records.slice(64))).toBe(0);
        expect(consumer.tryPopMany(10)).toEqual(records.slice(0, 10));
        expect(producer.tryPushMany(records.slice(64))).toBe(10);
        expect(consumer.tryPopMany(1000)).toEqual(records.slice(10, 74));
        expect(consumer.tryPopMany(1)).toEqual([]);
        expect(ring.stats()).toMatchObject({ used: 0, pushed: 74, popped: 74 });
      });

      it('take nothing for nothing', () => {
        const { producer, consumer } = ends();
        expect(producer.tryPushMany([])).toBe(0);
        producer.tryPush(recordOf(1));
        expect(consumer.tryPopMany(0)).toEqual([]);
        expect(consumer.tryPopMany(Infinity)).toEqual([recordOf(1)]);
      });

      it('never return more than the limit', () => {
        const { producer, consumer } = ends();
        producer.tryPushMany([recordOf(1), recordOf(2), recordOf(3)]);
        expect(() => consumer.tryPopMany(1.5)).toThrow(RangeError);
        expect(() => consumer.drain(() => {}, 1.5)).toThrow(RangeError);
        expect(() => consumer.tryPopMany(-1)).toThrow(RangeError);
        expect(() => consumer.tryPopMany(NaN)).toThrow(RangeError);
        expect(() => consumer.tryPopMany('1' as never)).toThrow(TypeError);
        expect(() => consumer.tryPopMany(undefined as never)).toThrow(TypeError);
        expect(consumer.tryPopMany(9)).toHaveLength(3);
      });

      it('keep the padding at the end of a lap between the records', () => {
        const { producer, consumer } = ends({ capacity: 256 });
        for (let round = 0; round < 50; round++) {
          const records = [recordOf(40, round), recordOf(90, round), recordOf(3, round)];
          const taken = producer.tryPushMany(records);
          expect(taken).toBeGreaterThan(0);
          expect(consumer.tryPopMany(5)).toEqual(records.slice(0, taken));
        }
      });
    });

    describe('claim', () => {
      it('shows nothing before commit, then the bytes that were written', () => {
        const { producer, consumer } = ends();
        const claim = producer.tryClaim(5);
        claim?.bytes.set([1, 2, 3, 4, 5]);
        expect(claim?.byteLength).toBe(5);
        expect(claim?.bytes).toHaveLength(5);
        expect(consumer.tryPop()).toBeNull();
        claim?.commit();
        expect(consumer.tryPop()).toEqual(new Uint8Array([1, 2, 3, 4, 5]));
      });

      it('commits fewer bytes than were claimed, and gives the rest of the room back', () => {
        const { ring, producer, consumer } = ends();
        for (const byteLength of [0, 1, 99, 100]) {
          const claim = producer.tryClaim(100);
          claim?.bytes.set(recordOf(100));
          claim?.commit(byteLength);
          expect(ring.stats().used).toBe(strideOf(byteLength, 8));
          expect(consumer.tryPop()).toEqual(recordOf(100).slice(0, byteLength));
        }
      });

      it('commits fewer bytes than were claimed behind padding', () => {
        const { ring, producer, consumer } = ends({ capacity: 256 });
        producer.tryPush(recordOf(100, 1));
        producer.tryPush(recordOf(90, 2));
        consumer.tryPopMany(2);
        const claim = producer.tryClaim(100);
        claim?.bytes.set(recordOf(100, 3));
        claim?.commit(4);
        expect(consumer.tryPop()).toEqual(recordOf(100, 3).slice(0, 4));
        expect(ring.stats().used).toBe(0);
      });

      it('leaves no trace when it is aborted, by hand or by dispose', () => {
        const { ring, producer, consumer } = ends();
        const before = ring.stats();
        const aborted = producer.tryClaim(20);
        aborted?.bytes.fill(1);
        aborted?.abort();
        const disposed = producer.tryClaim(20);
        disposed?.[Symbol.dispose]();
        expect(ring.stats()).toEqual(before);
        expect(consumer.tryPop()).toBeNull();
        producer.tryPush(recordOf(3));
        expect(consumer.tryPop()).toEqual(recordOf(3));
      });

      it('is not aborted by dispose once it is committed', () => {
        const { producer, consumer } = ends();
        const claim = producer.tryClaim(1);
        claim?.bytes.set([7]);
        claim?.commit();
        claim?.[Symbol.dispose]();
        expect(consumer.tryPop()).toEqual(new Uint8Array([7]));
      });

      it('is null when full, and of length 0 if asked', () => {
        const { producer, consumer } = ends();
        fill(producer);
        expect(producer.tryClaim(1)).toBeNull();
        expect(producer.tryClaim(0)).toBeNull();
        consumer.tryPop();
        const claim = producer.tryClaim(0);
        expect(claim?.bytes).toHaveLength(0);
        claim?.commit();
      });

      it('is there at once in all three forms', async () => {
        const { producer, consumer } = ends();
        for (const form of ['tryClaim', 'claim', 'claimSync'] as const) {
          const claim = await producer[form](2);
          claim?.bytes.set([5, 6]);
          claim?.commit();
          expect(consumer.tryPop()).toEqual(new Uint8Array([5, 6]));
        }
      });
    });

    describe('peek', () => {
      it('shows the record in place, which keeps its room until it is released', () => {
        const { ring, producer, consumer } = ends();
        const pushed = fill(producer);
        const peek = consumer.tryPeek();
        expect(peek?.bytes).toEqual(recordOf(8, 0));
        expect(peek?.byteLength).toBe(8);
        expect(producer.tryPush(recordOf(8))).toBe(false);
        expect(ring.stats().popped).toBe(0);
        peek?.release();
        expect(ring.stats().popped).toBe(1);
        expect(producer.tryPush(recordOf(8, pushed))).toBe(true);
        expect(consumer.tryPop()).toEqual(recordOf(8, 1));
      });

      it('is released by dispose, once', () => {
        const { producer, consumer } = ends();
        producer.tryPushMany([recordOf(1), recordOf(2)]);
        const peek = consumer.tryPeek();
        peek?.[Symbol.dispose]();
        peek?.[Symbol.dispose]();
        expect(consumer.tryPop()).toEqual(recordOf(2));
      });

      it('of an empty ring is null', () => {
        expect(ends().consumer.tryPeek()).toBeNull();
      });

      it('comes again for the next consumer if it was not released', () => {
        const { ring, producer, consumer } = ends();
        producer.tryPushMany([recordOf(1), recordOf(2)]);
        consumer.tryPeek();
        consumer.close();
        expect(ring.consumer().tryPopMany(9)).toEqual([recordOf(1), recordOf(2)]);
      });
    });

    describe('drain', () => {
      const drained = (consumer: SpscConsumer, limit?: number) => {
        const seen: number[] = [];
        const count = consumer.drain((memory, at) => {
          seen.push(memory[at] as number);
        }, limit);
        expect(count).toBe(seen.length);
        return seen;
      };

      it('hands out what is there, in order, and gives the room back', () => {
        const { ring, producer, consumer } = ends();
        for (let i = 0; i < 20; i++) producer.tryPush(new Uint8Array([i]));
        expect(drained(consumer)).toEqual(Array.from({ length: 20 }, (_, i) => i));
        expect(ring.stats()).toMatchObject({ used: 0, popped: 20 });
        expect(drained(consumer)).toEqual([]);
      });

      it('stops at the limit', () => {
        const { producer, consumer } = ends();
        for (let i = 0; i < 5; i++) producer.tryPush(new Uint8Array([i]));
        expect(drained(consumer, 0)).toEqual([]);
        expect(drained(consumer, 2)).toEqual([0, 1]);
        expect(drained(consumer, Infinity)).toEqual([2, 3, 4]);
      });

      it('gives exactly the record: memory, offset and length', () => {
        const { producer, consumer } = ends();
        for (let i = 0; i < 40; i++) {
          producer.tryPush(recordOf(i));
          consumer.drain((memory, at, length) => {
            expect(length).toBe(i);
            expect(memory.slice(at, at + length)).toEqual(recordOf(i));
          });
        }
      });

      it('gives room back while it runs, so a producer inside can go on', () => {
        const { producer, consumer } = ends();
        fill(producer);
        let pushed = 0;
        const count = consumer.drain(() => {
          if (pushed < 100 && producer.tryPush(recordOf(8))) pushed++;
        });
        expect(pushed).toBe(100);
        expect(count).toBe(164);
      });

      it('keeps the record whose handler throws, and those after it', () => {
        const { ring, producer, consumer } = ends();
        for (let i = 0; i < 5; i++) producer.tryPush(new Uint8Array([i]));
        const failure = new Error('handler');
        let calls = 0;
        const handler = () => {
          if (++calls === 3) throw failure;
        };
        expect(thrownBy(() => consumer.drain(handler))).toBe(failure);
        expect(ring.stats().popped).toBe(2);
        expect(numbers(consumer.tryPopMany(9))).toEqual([2, 3, 4]);
      });

      it('refuses a handler that returns a promise, and keeps its record', () => {
        const { producer, consumer } = ends();
        producer.tryPush(new Uint8Array([1]));
        expect(() => consumer.drain((async () => {}) as never)).toThrow(TypeError);
        expect(() => consumer.drain(undefined as never)).toThrow(TypeError);
        expect(numbers(consumer.tryPopMany(9))).toEqual([1]);
      });

      it('lends the record out: other operations of the consumer inside are refused', () => {
        const { producer, consumer } = ends();
        producer.tryPush(new Uint8Array([1]));
        const codes: unknown[] = [];
        consumer.drain(() => {
          for (const call of [
            () => consumer.tryPop(),
            () => consumer.tryPeek(),
            () => consumer.tryPopMany(1),
            () => consumer.drain(() => {}),
          ]) {
            codes.push(thrownBy(call).code);
          }
          expect(consumer.ended).toBe(false);
        });
        expect(codes).toEqual(Array(4).fill('ERR_RINGWAY_BORROWED'));
        expect(consumer.tryPop()).toBeNull();
      });

      it('ends when the handler closes the ring', () => {
        const { ring, producer, consumer } = ends();
        producer.tryPushMany([recordOf(1), recordOf(2), recordOf(3)]);
        let calls = 0;
        consumer.drain(() => {
          calls++;
          ring.close();
        });
        expect(calls).toBe(1);
        expect(() => consumer.tryPop()).toThrow(ClosedError);
      });

      it('ends when the handler closes the consumer, and what was read before does not come again', () => {
        const { ring, producer, consumer } = ends();
        for (let i = 0; i < 5; i++) producer.tryPush(new Uint8Array([i]));
        let calls = 0;
        consumer.drain(() => {
          if (++calls === 3) consumer.close();
        });
        expect(calls).toBe(3);
        const rest = numbers(ring.consumer().tryPopMany(9));
        expect(rest).not.toContain(0);
        expect(rest).not.toContain(1);
        expect(rest.slice(-2)).toEqual([3, 4]);
      });

      it('passes on what a handler throws after it closed the ring', () => {
        const { ring, producer, consumer } = ends();
        producer.tryPush(recordOf(1));
        const failure = new Error('handler');
        const handler = () => {
          ring.close();
          throw failure;
        };
        expect(thrownBy(() => consumer.drain(handler))).toBe(failure);
      });
    });

    describe('the end of the stream', () => {
      it('comes when the producer was closed and everything was read, in every form', async () => {
        const { producer, consumer } = ends();
        producer.tryPush(recordOf(1));
        expect(consumer.ended).toBe(false);
        producer.close();
        expect(consumer.ended).toBe(false);
        expect(await consumer.pop()).toEqual(recordOf(1));
        expect(consumer.ended).toBe(true);
        expect(consumer.tryPop()).toBeNull();
        expect(consumer.tryPeek()).toBeNull();
        expect(consumer.drain(() => {})).toBe(0);
        for (const error of [
          await rejectionOf(consumer.pop()),
          await rejectionOf(consumer.peek()),
          await rejectionOf(consumer.ready()),
          thrownBy(() => consumer.popSync()),
          thrownBy(() => consumer.peekSync()),
          thrownBy(() => consumer.readySync()),
        ]) {
          expect(error).toBeInstanceOf(EndOfStreamError);
          expect(error.code).toBe('ERR_RINGWAY_END');
        }
      });

      it('is not there while no producer has come yet', () => {
        expect(make().consumer().ended).toBe(false);
      });

      it('is cleared by a replacement, which goes on where the last one stopped', async () => {
        const { ring, producer, consumer } = ends();
        producer.tryPush(recordOf(1));
        producer.close();
        expect(await consumer.pop()).toEqual(recordOf(1));
        expect(consumer.ended).toBe(true);
        const next = ring.producer();
        expect(next).not.toBe(producer);
        expect(consumer.ended).toBe(false);
        next.tryPush(recordOf(2));
        expect(await consumer.pop()).toEqual(recordOf(2));
      });

      it('wakes those who wait for a record', async () => {
        const { producer, consumer } = ends();
        const waiting = [rejectionOf(consumer.pop()), rejectionOf(consumer.ready()), rejectionOf(consumer.peek())];
        producer.close();
        for (const error of await Promise.all(waiting)) expect(error).toBeInstanceOf(EndOfStreamError);
      });

      it("is not thrown with onPeerGone: 'wait'", async () => {
        const { ring, producer, consumer } = ends();
        producer.close();
        expect(await rejectionOf(consumer.pop({ onPeerGone: 'wait', timeoutMs: 1 }))).toBeInstanceOf(TimeoutError);
        expect(thrownBy(() => consumer.popSync({ onPeerGone: 'wait', timeoutMs: 1 }))).toBeInstanceOf(TimeoutError);
        const waiting = consumer.pop({ onPeerGone: 'wait' });
        ring.producer().tryPush(recordOf(5));
        expect(await waiting).toEqual(recordOf(5));
      });
    });

    describe('a consumer that is gone', () => {
      it('is EPIPE for those who have no room, and nobody else', async () => {
        const { ring, producer, consumer } = ends();
        consumer.close();
        await producer.push(recordOf(8));
        const pushed = fill(producer) + 1;
        const before = ring.stats();
        for (const error of [
          await rejectionOf(producer.push(recordOf(8))),
          await rejectionOf(producer.claim(8)),
          thrownBy(() => producer.pushSync(recordOf(8))),
          thrownBy(() => producer.claimSync(8)),
        ]) {
          expect(error).toBeInstanceOf(RingwayError);
          expect(error.code).toBe('EPIPE');
        }
        expect(producer.tryPush(recordOf(8))).toBe(false);
        expect(ring.stats()).toMatchObject({ used: before.used, pushed: before.pushed });
        const next = ring.consumer();
        expect(next.tryPopMany(Infinity)).toHaveLength(pushed);
        await producer.push(recordOf(8));
      });

      it('is waited for when none has come yet', async () => {
        const ring = make();
        const producer = ring.producer();
        fill(producer);
        const error = await rejectionOf(producer.push(recordOf(8), { timeoutMs: 1 }));
        expect(error).toBeInstanceOf(TimeoutError);
        const waiting = producer.push(recordOf(8, 99));
        const consumer = ring.consumer();
        expect(consumer.tryPopMany(Infinity)).toHaveLength(64);
        await waiting;
        expect(consumer.tryPop()).toEqual(recordOf(8, 99));
      });

      it("is replaced for onPeerGone: 'wait'", async () => {
        const { ring, producer, consumer } = ends();
        fill(producer);
        consumer.close();
        const waiting = producer.push(recordOf(8, 77), { onPeerGone: 'wait' });
        const records = ring.consumer().tryPopMany(64);
        expect(records).toHaveLength(64);
        await waiting;
        expect(ring.consumer().tryPop()).toEqual(recordOf(8, 77));
      });
    });

    describe('for await', () => {
      it('gives every record and ends when the producer is closed', async () => {
        const { producer, consumer } = ends();
        const sending = (async () => {
          for (let i = 0; i < 500; i++) await producer.push(recordOf(i % 90, i));
          producer.close();
        })();
        let count = 0;
        for await (const bytes of consumer) {
          expect(bytes).toEqual(recordOf(count % 90, count));
          count++;
        }
        await sending;
        expect(count).toBe(500);
        expect(consumer.closed).toBe(false);
      });

      it('left early keeps what was not read, and leaves the consumer open', async () => {
        const { producer, consumer } = ends();
        producer.tryPushMany([recordOf(1), recordOf(2), recordOf(3)]);
        for await (const bytes of consumer) {
          expect(bytes).toEqual(recordOf(1));
          break;
        }
        await expect(
          (async () => {
            for await (const _ of consumer) throw new Error('leave');
          })(),
        ).rejects.toThrow('leave');
        expect(consumer.tryPop()).toEqual(recordOf(3));
      });

      it('throws when the consumer is closed meanwhile', async () => {
        const { consumer } = ends();
        const reading = rejectionOf(
          (async () => {
            for await (const _ of consumer);
          })(),
        );
        await new Promise(setImmediate);
        consumer.close();
        expect(await reading).toBeInstanceOf(ClosedError);
      });
    });

    describe('roles', () => {
      it('are the same object again in this thread, through every handle', () => {
        const ring = make();
        const again = opening(SpscRing.attach(ring.handle));
        const producer = ring.producer();
        expect(ring.producer()).toBe(producer);
        expect(again.producer()).toBe(producer);
        const consumer = again.consumer();
        expect(ring.consumer()).toBe(consumer);
      });

      it('are the same object again through a handle that was cloned on its way', () => {
        const ring = make();
        const again = opening(SpscRing.attach(structuredClone(ring.handle)));
        expect(again.producer()).toBe(ring.producer());
      });

      it('are taken while another thread holds them', async () => {
        const ring = make();
        const thread = await startThread();
        await thread.run(({ ringway, state }, handle) => {
          state.ring = ringway.SpscRing.attach(handle);
          state.producer = state.ring.producer();
          state.producer.tryPush(new Uint8Array([1]));
        }, ring.handle);
        const error = thrownBy(() => ring.producer());
        expect(error).toBeInstanceOf(RoleTakenError);
        expect(error).toMatchObject({ code: 'ERR_RINGWAY_ROLE_TAKEN', pid: process.pid });
        expect(error.message).toContain(String(process.pid));
        const consumer = ring.consumer();
        const there = await rejectionOf(
          thread.run(({ state }) => {
            state.ring.consumer();
          }),
        );
        expect(there.code).toBe('ERR_RINGWAY_ROLE_TAKEN');
        await thread.run(({ state }) => state.producer.close());
        ring.producer().tryPush(new Uint8Array([2]));
        expect(numbers(consumer.tryPopMany(9))).toEqual([1, 2]);
        await thread.run(({ state }) => state.ring.close());
      });

      it('come free by close, and can be taken again and again', () => {
        const ring = make();
        const consumer = ring.consumer();
        for (let i = 0; i < 50; i++) {
          const producer = ring.producer();
          producer.tryPush(new Uint8Array([i]));
          producer.close();
          expect(() => producer.tryPush(new Uint8Array([i]))).toThrow(ClosedError);
        }
        expect(numbers(consumer.tryPopMany(99))).toEqual(Array.from({ length: 50 }, (_, i) => i));
      });

      it('are waited for by takeProducer and takeConsumer', async () => {
        const ring = make();
        const thread = await startThread();
        await thread.run(({ ringway, state }, handle) => {
          state.ring = ringway.SpscRing.attach(handle);
          state.producer = state.ring.producer();
          state.consumer = state.ring.consumer();
        }, ring.handle);
        expect(await rejectionOf(ring.takeProducer({ timeoutMs: 1 }))).toBeInstanceOf(TimeoutError);
        const controller = new AbortController();
        const aborted = rejectionOf(ring.takeProducer({ signal: controller.signal }));
        const taking = [ring.takeProducer(), ring.takeProducer()];
        const reason = new Error('no longer');
        controller.abort(reason);
        expect(await aborted).toBe(reason);
        const consuming = ring.takeConsumer();
        await thread.run(({ state }) => state.ring.close());
        const [first, second] = await Promise.all(taking);
        expect(second).toBe(first);
        expect(first).toBe(ring.producer());
        expect(await consuming).toBe(ring.consumer());
      });

      it('are never missed when they come free', async () => {
        const thread = await startThread();
        for (let round = 0; round < 1500; round++) {
          const ring = SpscRing.create({ capacity: 64, backend });
          await thread.run(({ ringway, state }, handle) => {
            state.ring = ringway.SpscRing.attach(handle);
            state.producer = state.ring.producer();
            state.consumer = state.ring.consumer();
          }, ring.handle);
          // The other thread gives the roles back while this one is about to wait for them, or does already.
          const take = () => Promise.all([ring.takeProducer(), ring.takeConsumer()]);
          const early = round % 2 === 0 ? take() : undefined;
          const { result } = await thread.start(({ state }) => state.ring.close());
          expect(await (early ?? take())).toEqual([ring.producer(), ring.consumer()]);
          await result;
          ring.close();
        }
      });

      it('that are waited for are rejected when the ring is closed', async () => {
        const ring = make();
        const thread = await startThread();
        await thread.run(({ ringway, state }, handle) => {
          state.ring = ringway.SpscRing.attach(handle);
          state.ring.producer();
        }, ring.handle);
        const taking = rejectionOf(ring.takeProducer());
        ring.close();
        expect(await taking).toBeInstanceOf(ClosedError);
        expect(await rejectionOf(ring.takeProducer())).toBeInstanceOf(ClosedError);
        await thread.run(({ state }) => state.ring.close());
      });
    });

    it('an end is shown in a line, not with its segment', () => {
      const { producer, consumer } = ends();
      expect(inspect({ consumer })).toMatch(/^{ consumer: \[consumer of SpscRing .*\] }$/);
      producer.close();
      expect(inspect(producer)).toMatch(/^\[producer of SpscRing .*, closed\]$/);
    });

    describe('close', () => {
      it('is idempotent, and dispose is the same', () => {
        const { ring, producer, consumer } = ends();
        expect([ring.closed, producer.closed, consumer.closed]).toEqual([false, false, false]);
        ring.close();
        ring.close();
        ring[Symbol.dispose]();
        producer.close();
        producer[Symbol.dispose]();
        consumer[Symbol.dispose]();
        expect([ring.closed, producer.closed, consumer.closed]).toEqual([true, true, true]);
      });

      it('of an end leaves ring and other end alone', () => {
        const { ring, producer, consumer } = ends();
        producer.close();
        expect(ring.closed).toBe(false);
        expect(consumer.closed).toBe(false);
        ring.producer().tryPush(recordOf(3));
        expect(consumer.tryPop()).toEqual(recordOf(3));
      });

      it('of one handle leaves the other one usable', async () => {
        const first = make();
        const second = opening(SpscRing.attach(first.handle));
        const consumer = second.consumer();
        const producer = first.producer();
        producer.tryPush(recordOf(1));
        first.close();
        expect(second.closed).toBe(false);
        expect(producer.closed).toBe(true);
        expect(await consumer.pop()).toEqual(recordOf(1));
        second.producer().tryPush(recordOf(2));
        expect(await consumer.pop()).toEqual(recordOf(2));
        expect(second.stats().participants).toHaveLength(2);
      });

      it('rejects what is pending', async () => {
        const { ring, producer, consumer } = ends();
        fill(producer);
        const producing = [rejectionOf(producer.push(recordOf(8))), rejectionOf(producer.claim(8))];
        consumer.tryPopMany(Infinity);
        const consuming = [rejectionOf(consumer.pop()), rejectionOf(consumer.peek()), rejectionOf(consumer.ready())];
        ring.close();
        for (const error of await Promise.all([...producing, ...consuming])) expect(error).toBeInstanceOf(ClosedError);
      });
    });

    describe('stats', () => {
      it('count records and bytes, and name the participants', () => {
        const { ring, producer, consumer } = ends();
        producer.tryPushMany([recordOf(1), recordOf(100), recordOf(0)]);
        consumer.tryPop();
        const other = opening(SpscRing.attach(ring.handle));
        const stats = ring.stats();
        expect(stats).toMatchObject({
          capacity: 1024,
          used: strideOf(100, 8) + strideOf(0, 8),
          pushed: 3,
          popped: 1,
          redelivered: 0,
          abandoned: 0,
          linked: true,
        });
        for (const count of [stats.spins, stats.parks, stats.wakeUps]) expect(count).toBe(0);
        // Both roles of one handle, and the other handle, which has none.
        expect(stats.participants.map(({ role }) => role).sort()).toEqual(['attached', 'consumer', 'producer']);
        for (const participant of stats.participants) {
          expect(participant).toMatchObject({ pid: process.pid, alive: true });
        }
        other.close();
        producer.close();
        expect(ring.stats().participants.map(({ role }) => role)).toEqual(['consumer']);
      });

      it('go on counting under a replacement', () => {
        const { ring, producer, consumer } = ends();
        producer.tryPush(recordOf(1));
        producer.close();
        ring.producer().tryPush(recordOf(1));
        consumer.tryPopMany(2);
        expect(ring.stats()).toMatchObject({ pushed: 2, popped: 2, used: 0 });
      });
    });

    describe('handle', () => {
      it('is plain data, also as JSON, and has the kind and backend', () => {
        const ring = make();
        expect(ring.backend).toBe(backend);
        expect(ring.handle).toMatchObject({ kind: 'SpscRing', backend });
        expect(ring.toJSON()).toEqual(ring.handle);
        expect(structuredClone(ring.handle)).toEqual(ring.handle);
        if (backend === 'shm') expect(JSON.parse(JSON.stringify(ring))).toEqual(ring.handle);
      });

      it('opens the same ring', () => {
        const { ring, producer } = ends({ alignment: 64, wait: 'park' });
        const other = opening(SpscRing.attach(ring.handle));
        expect(other).toMatchObject({ capacity: 1024, alignment: 64, wait: 'park', backend, closed: false });
        producer.tryPush(recordOf(9));
        expect(other.consumer().tryPop()).toEqual(recordOf(9));
      });

      it('can be told how to wait', () => {
        const ring = make({ wait: 'park' });
        expect(opening(SpscRing.attach(ring.handle, { wait: 'spin' })).wait).toBe('spin');
        expect(opening(SpscRing.attach(ring.handle)).wait).toBe('park');
        expect(make().wait).toBe('adaptive');
      });
    });

    it('follows an array, whatever is called in whatever order', () => {
      for (const alignment of [8, 64] as const) {
        for (const start of [0, 2 ** 31 - 512, 2 ** 32 - 512]) {
          fc.assert(
            fc.property(fc.commands(COMMANDS, { maxCommands: 150, size: 'max' }), (commands) => {
              const ring = make({ capacity: 512, alignment });
              startPositionsAt(ring, start);
              try {
                fc.modelRun(() => ({ model: new Model(512, alignment, start), real: new Real(ring) }), commands);
              } finally {
                ring.close();
              }
            }),
            { seed, numRuns: 40 },
          );
        }
      }
    });
  });
}

// What a ring of `capacity` bytes holds, as an array, and where tail and head are.
class Model {
  readonly records: { bytes: Uint8Array; behind: number }[] = [];
  tail: number;
  head: number;
  claim: { byteLength: number; at: number } | undefined;
  peeking = false;
  pushed = 0;
  popped = 0;

  constructor(
    readonly capacity: number,
    readonly alignment: number,
    start: number,
  ) {
    this.tail = this.head = start;
  }

  /** Where a record goes; undefined if there is no room. */
  place(byteLength: number): number | undefined {
    const stride = strideOf(byteLength, this.alignment);
    const rest = this.capacity - (this.tail % this.capacity);
    const at = stride <= rest ? this.tail : this.tail + rest;
    return at + stride - this.head <= this.capacity ? at : undefined;
  }

  push(bytes: Uint8Array, at: number | undefined): boolean {
    if (at === undefined) return false;
    this.tail = at + strideOf(bytes.length, this.alignment);
    this.records.push({ bytes, behind: this.tail });
    this.pushed++;
    return true;
  }

  pop(): Uint8Array | null {
    const record = this.records.shift();
    if (record === undefined) return null;
    this.head = record.behind;
    this.popped++;
    return record.bytes;
  }
}

// The ring, and what was lent out.
class Real {
  producer: SpscProducer;
  consumer: SpscConsumer;
  claim: ReturnType<SpscProducer['tryClaim']> = null;
  peek: ReturnType<SpscConsumer['tryPeek']> = null;

  constructor(readonly ring: SpscRing) {
    this.producer = ring.producer();
    this.consumer = ring.consumer();
  }
}

// One call of the ring that must do as the model does, and afterwards both must look the same.
class Command implements fc.Command<Model, Real> {
  constructor(
    readonly name: string,
    readonly allowed: (model: Readonly<Model>) => boolean,
    readonly act: (model: Model, real: Real) => void,
  ) {}
  check(model: Readonly<Model>): boolean {
    return this.allowed(model);
  }
  run(model: Model, real: Real): void {
    this.act(model, real);
    expect(real.ring.stats()).toMatchObject({
      used: model.tail - model.head,
      pushed: model.pushed,
      popped: model.popped,
    });
  }
  toString(): string {
    return this.name;
  }
}

const writable = (model: Readonly<Model>) => model.claim === undefined;
const readable = (model: Readonly<Model>) => !model.peeking;
// 512 bytes hold records of up to 248; short ones are more frequent.
const anyByteLength = fc.oneof(fc.nat(24), fc.nat(100), fc.integer({ min: 200, max: 248 }));
const anyNumber = fc.nat(255);

const COMMANDS = [
  fc.tuple(anyByteLength, anyNumber).map(
    ([byteLength, number]) =>
      new Command(`tryPush(${byteLength})`, writable, (model, real) => {
        const bytes = recordOf(byteLength, number);
        expect(real.producer.tryPush(bytes)).toBe(model.push(bytes, model.place(byteLength)));
      }),
  ),
  fc.array(anyByteLength, { maxLength: 8 }).map(
    (byteLengths) =>
      new Command(`tryPushMany(${byteLengths})`, writable, (model, real) => {
        const records = byteLengths.map((byteLength, i) => recordOf(byteLength, i));
        let fit = 0;
        while (fit < records.length && model.push(records[fit] as Uint8Array, model.place(byteLengths[fit] as number)))
          fit++;
        expect(real.producer.tryPushMany(records)).toBe(fit);
      }),
  ),
  fc.tuple(anyByteLength, fc.nat(248), anyNumber).map(
    ([byteLength, asked, number]) =>
      new Command(`tryWrite(${byteLength}, ${asked})`, writable, (model, real) => {
        const bytes = recordOf(Math.min(asked, byteLength), number);
        const at = model.place(byteLength);
        const written = real.producer.tryWrite(byteLength, (memory, byteOffset) => {
          memory.set(bytes, byteOffset);
          return bytes.length;
        });
        expect(written).toBe(model.push(bytes, at));
      }),
  ),
  anyByteLength.map(
    (byteLength) =>
      new Command(`tryClaim(${byteLength})`, writable, (model, real) => {
        const at = model.place(byteLength);
        if (at !== undefined) model.claim = { byteLength, at };
        real.claim = real.producer.tryClaim(byteLength);
        expect(real.claim === null).toBe(at === undefined);
      }),
  ),
  fc.tuple(fc.nat(248), anyNumber).map(
    ([asked, number]) =>
      new Command(
        `commit(${asked})`,
        (model) => model.claim !== undefined,
        (model, real) => {
          const { byteLength, at } = model.claim as { byteLength: number; at: number };
          const bytes = recordOf(Math.min(asked, byteLength), number);
          model.claim = undefined;
          model.push(bytes, at);
          real.claim?.bytes.set(bytes);
          real.claim?.commit(bytes.length);
        },
      ),
  ),
  fc.constant(
    new Command(
      'abort',
      (model) => model.claim !== undefined,
      (model, real) => {
        model.claim = undefined;
        real.claim?.abort();
      },
    ),
  ),
  fc.constant(
    new Command('tryPop', readable, (model, real) => {
      expectBytes(real.consumer.tryPop(), model.pop());
    }),
  ),
  fc.nat(10).map(
    (limit) =>
      new Command(`tryPopMany(${limit})`, readable, (model, real) => {
        const expected: Uint8Array[] = [];
        while (expected.length < limit && model.records.length > 0) expected.push(model.pop() as Uint8Array);
        expect(real.consumer.tryPopMany(limit)).toEqual(expected);
      }),
  ),
  fc.tuple(fc.nat(10), fc.nat(12)).map(
    ([limit, throwsAt]) =>
      new Command(`drain(${limit}, throws at ${throwsAt})`, readable, (model, real) => {
        const count = Math.min(limit, model.records.length);
        const failure = new Error('handler');
        let calls = 0;
        const drain = () =>
          real.consumer.drain((memory, at, length) => {
            if (calls === throwsAt) throw failure;
            calls++;
            expectBytes(memory.slice(at, at + length), model.pop());
          }, limit);
        if (throwsAt < count) expect(thrownBy(drain)).toBe(failure);
        else expect(drain()).toBe(count);
        expect(calls).toBe(Math.min(count, throwsAt));
      }),
  ),
  fc.constant(
    new Command('tryPeek', readable, (model, real) => {
      real.peek = real.consumer.tryPeek();
      model.peeking = model.records.length > 0;
      expectBytes(real.peek === null ? null : real.peek.bytes, model.records[0]?.bytes ?? null);
    }),
  ),
  fc.constant(
    new Command(
      'release',
      (model) => model.peeking,
      (model, real) => {
        expect(real.peek?.bytes, 'still there').toEqual(model.records[0]?.bytes);
        model.peeking = false;
        model.pop();
        real.peek?.release();
      },
    ),
  ),
  fc.constant(
    new Command(
      'replace the producer',
      () => true,
      (model, real) => {
        model.claim = undefined;
        real.producer.close();
        expect(real.consumer.ended).toBe(model.records.length === 0 && !model.peeking);
        real.producer = real.ring.producer();
      },
    ),
  ),
  fc.constant(
    new Command(
      'replace the consumer',
      () => true,
      (model, real) => {
        model.peeking = false;
        real.consumer.close();
        real.consumer = real.ring.consumer();
      },
    ),
  ),
];

describe('SPSC ring with a name', () => {
  it('is found by its name and keeps its records when nobody has it open', () => {
    const name = freshName();
    const ring = SpscRing.create({ name, capacity: 256 });
    expect(ring.name).toBe(name);
    ring.producer().tryPush(recordOf(5));
    ring.close();
    const again = opening(SpscRing.attach(name));
    expect(again.name).toBe(name);
    expect(again.capacity).toBe(256);
    expect(again.consumer().tryPop()).toEqual(recordOf(5));
    SpscRing.unlink(name);
    expect(() => SpscRing.attach(name)).toThrow(RingwayError);
  });

  it('goes on for those who have it when its name is gone, and says so', () => {
    const name = freshName();
    const ring = opening(SpscRing.create({ name, capacity: 256 }));
    expect(ring.stats().linked).toBe(true);
    SpscRing.unlink(name);
    expect(ring.stats().linked).toBe(false);
    ring.producer().tryPush(recordOf(2));
    expect(ring.consumer().tryPop()).toEqual(recordOf(2));
    const other = opening(SpscRing.create({ name, capacity: 512 }));
    expect(other.capacity).toBe(512);
    expect(other.producer(), 'another ring').not.toBe(ring.producer());
    SpscRing.unlink(name);
  });

  it('is made once by createOrAttach', () => {
    const name = freshName();
    const first = opening(SpscRing.createOrAttach({ name, capacity: 1000 }));
    const second = opening(SpscRing.createOrAttach({ name, capacity: 1024 }));
    expect(second.capacity).toBe(1024);
    expect(second.producer()).toBe(first.producer());
    SpscRing.unlink(name);
  });

  it('refuses another shape, and shows both', () => {
    const name = freshName();
    const ring = opening(SpscRing.createOrAttach({ name, capacity: 1024 }));
    for (const [options, shown] of [
      [{ capacity: 2048 }, '2048'],
      [{ capacity: 1024, alignment: 64 }, '64'],
    ] as const) {
      const error = thrownBy(() => SpscRing.createOrAttach({ name, ...options }));
      expect(error).toBeInstanceOf(RingwayError);
      expect(error.code).toBe('ERR_RINGWAY_SHAPE');
      expect(error.message).toContain('1024');
      expect(error.message).toContain(shown);
    }
    expect(ring.stats().participants, 'the refused one let go').toHaveLength(1);
    SpscRing.unlink(name);
  });

  it('is made once though several processes create or attach at once', async () => {
    const name = freshName();
    const others = await Promise.all([startProcess(), startProcess()]);
    for (let round = 0; round < 20; round++) {
      const identities = await Promise.all(
        others.map((other) =>
          other.run(({ ringway, state, fs }, name) => {
            state.ring = ringway.SpscRing.createOrAttach({ name, capacity: 256 });
            return fs.statSync(`${process.env.RINGWAY_SHM_DIR}/ringway-${name}`).ino;
          }, `${name}-${round}`),
        ),
      );
      expect(identities[0]).toBe(identities[1]);
      await Promise.all(others.map((other) => other.run(({ state }) => state.ring.close())));
      SpscRing.unlink(`${name}-${round}`);
    }
  });

  it('is waited for by whenCreated, made here or elsewhere', async () => {
    const name = freshName();
    const waiting = SpscRing.whenCreated(name);
    const ring = opening(SpscRing.create({ name, capacity: 64 }));
    const found = opening(await waiting);
    expect(found.producer()).toBe(ring.producer());
    expect(opening(await SpscRing.whenCreated(name)).capacity, 'at once if it is there').toBe(64);
    SpscRing.unlink(name);

    const elsewhere = freshName();
    const other = await startProcess();
    const coming = SpscRing.whenCreated(elsewhere);
    await other.run(({ ringway, state }, name) => {
      state.ring = ringway.SpscRing.create({ name, capacity: 128 });
    }, elsewhere);
    expect(opening(await coming).capacity).toBe(128);
    SpscRing.unlink(elsewhere);
  });

  it('is waited for no longer than told', async () => {
    const name = freshName();
    for (const timeoutMs of [5, 0, -1]) {
      const error = await rejectionOf(SpscRing.whenCreated(name, { timeoutMs }));
      expect(error).toBeInstanceOf(TimeoutError);
      expect(error.message).toContain(name);
    }
    expect(await rejectionOf(SpscRing.whenCreated(name, { timeoutMs: NaN }))).toBeInstanceOf(RangeError);
    expect(await rejectionOf(SpscRing.whenCreated(name, { timeoutMs: '5' as never }))).toBeInstanceOf(TypeError);
    const reason = new Error('enough');
    expect(await rejectionOf(SpscRing.whenCreated(name, { signal: AbortSignal.abort(reason) }))).toBe(reason);
    const controller = new AbortController();
    const waiting = rejectionOf(SpscRing.whenCreated(name, { signal: controller.signal }));
    controller.abort(reason);
    expect(await waiting).toBe(reason);
    const ring = opening(SpscRing.create({ name, capacity: 64 }));
    await new Promise(setImmediate);
    expect(ring.stats().participants, 'those that gave up did not attach').toHaveLength(1);
    SpscRing.unlink(name);
  });

  it('is unlinked once', () => {
    const name = freshName();
    const error = thrownBy(() => SpscRing.unlink(name));
    expect(error).toMatchObject({ code: 'ENOENT', syscall: 'unlink' });
    expect(error.message).toContain(name);
  });
});

describe('SPSC ring without a name', () => {
  it('has none, and goes with its last handle', () => {
    const ring = SpscRing.create({ capacity: 64 });
    const file = fileOf(ring);
    expect(ring.name).toBeUndefined();
    const second = SpscRing.attach(ring.handle);
    ring.close();
    expect(existsSync(file)).toBe(true);
    second.close();
    expect(existsSync(file)).toBe(false);
    expect(segmentFiles()).toEqual([]);
  });

  it('says whose handle it was when it is gone', () => {
    const ring = SpscRing.create({ capacity: 64 });
    const { handle } = ring;
    ring.close();
    const error = thrownBy(() => SpscRing.attach(handle));
    expect(error).toMatchObject({ code: 'ENOENT' });
    expect(error.message).toContain(String(process.pid));
  });
});

describe('SPSC ring between two processes', () => {
  it('hands records, roles and ends over', async () => {
    const ring = opening(SpscRing.create({ capacity: 256 }));
    const other = await startProcess();
    await other.run(({ ringway, state }, handle) => {
      state.ring = ringway.SpscRing.attach(handle);
      state.producer = state.ring.producer();
    }, ring.handle);
    expect(thrownBy(() => ring.producer())).toMatchObject({ code: 'ERR_RINGWAY_ROLE_TAKEN', pid: other.pid });
    const consumer = ring.consumer();
    for (let i = 0; i < 100; i++) {
      const received = consumer.pop();
      await other.run(({ state }, bytes) => state.producer.push(bytes), recordOf(i));
      expect(await received).toEqual(recordOf(i));
    }
    const taking = ring.takeProducer();
    await other.run(({ state }) => state.ring.close());
    expect(await taking).toBe(ring.producer());
  });

  it('tells a producer that its consumer was killed, when there is no room', async () => {
    const ring = opening(SpscRing.create({ capacity: 256 }));
    const other = await startProcess();
    await other.run(({ ringway, state }, handle) => {
      state.ring = ringway.SpscRing.attach(handle);
      state.consumer = state.ring.consumer();
    }, ring.handle);
    const producer = ring.producer();
    fill(producer);
    const waiting = rejectionOf(producer.push(recordOf(8)));
    await other.kill();
    const error = await waiting;
    expect(error).toBeInstanceOf(PeerDiedError);
    expect(error).toMatchObject({ code: 'ERR_RINGWAY_PEER_DIED', pid: other.pid });
    expect(thrownBy(() => producer.pushSync(recordOf(8)))).toBeInstanceOf(PeerDiedError);
    expect(ring.consumer().tryPopMany(99)).toHaveLength(16);
    await producer.push(recordOf(8));
  });

  it('throws out of for await when the producer was killed, after what it had pushed', async () => {
    for (const wait of ['park', 'adaptive', 'spin'] as const) {
      const ring = opening(SpscRing.create({ capacity: 256, wait }));
      const other = await startProcess();
      await other.run(({ ringway, state }, handle) => {
        state.ring = ringway.SpscRing.attach(handle);
        state.producer = state.ring.producer();
        state.producer.tryPushMany([new Uint8Array([1]), new Uint8Array([2])]);
        state.producer.tryClaim(3);
      }, ring.handle);
      const seen: unknown[] = [];
      const reading = rejectionOf(
        (async () => {
          for await (const bytes of ring.consumer()) seen.push(bytes[0]);
        })(),
      );
      await until(() => seen.length === 2);
      await other.kill();
      expect(await reading).toMatchObject({ name: 'PeerDiedError', pid: other.pid });
      expect(ring.consumer().ended).toBe(true);
      expect(thrownBy(() => ring.consumer().popSync())).toBeInstanceOf(PeerDiedError);
    }
  });

  it('sees the end of the stream when the producer ends by itself', async () => {
    const ring = opening(SpscRing.create({ capacity: 256 }));
    const other = await startProcess();
    await other.run(({ ringway, state }, handle) => {
      state.ring = ringway.SpscRing.attach(handle);
      state.ring.producer().tryPush(new Uint8Array([1]));
      setImmediate(() => process.exit(0));
    }, ring.handle);
    const consumer = ring.consumer();
    expect(await consumer.pop()).toEqual(new Uint8Array([1]));
    expect(await rejectionOf(consumer.pop())).toBeInstanceOf(EndOfStreamError);
    await other.end();
  });
});
