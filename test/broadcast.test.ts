// What every call of a BroadcastRing and of its ends does, over both backends and with both policies where they differ.
import {
  type BroadcastPublisher,
  BroadcastRing,
  type BroadcastRingOptions,
  type BroadcastSubscriber,
  ClosedError,
  CorruptSegmentError,
  EndOfStreamError,
  PeerDiedError,
  type RingWaitOptions,
  RingwayError,
  SpscRing,
  TimeoutError,
} from 'ringway';
import { describe, expect, it } from 'vitest';
import { BroadcastSlot } from '../src/layout.js';
import { broadcastByteLength } from '../src/ring/broadcast-slots.js';
import { freshName, opening, useOwnDirectory } from './helpers/directory.js';
import { startProcess, startThread } from './helpers/remote.js';
import { BACKENDS, expectBytes, pokeBody, recordOf, rejectionOf, startBroadcastAt, thrownBy } from './helpers/rings.js';
import { runScript } from './helpers/script.js';

useOwnDirectory();

const POLICIES = ['block', 'overwrite'] as const;

const number = (value: number) => new Uint8Array([value]);
const numbers = (messages: Uint8Array[]) => messages.map((message) => message[0]);
const upTo = (count: number) => Array.from({ length: count }, (_, i) => number(i));
const turn = () => new Promise(setImmediate);

/** Not null: there was room, or a message. */
function there<Value>(value: Value | null | undefined): Value {
  if (value === null || value === undefined) throw new Error('it is not there');
  return value;
}

type Claim = Awaited<ReturnType<BroadcastPublisher['claim']>>;
const commit = (claim: Claim, message: Uint8Array) => {
  claim.bytes.set(message);
  claim.commit(message.length);
};
const writerOf = (message: Uint8Array) => (memory: Uint8Array, byteOffset: number) => {
  memory.set(message, byteOffset);
  return message.length;
};

/** Every way to publish a message that there is room for. */
const PUBLISH: Record<string, (publisher: BroadcastPublisher, message: Uint8Array) => unknown> = {
  tryPublish: (publisher, message) => publisher.tryPublish(message),
  publish: (publisher, message) => publisher.publish(message),
  publishSync: (publisher, message) => publisher.publishSync(message),
  tryPublishMany: (publisher, message) => publisher.tryPublishMany([message]),
  tryClaim: (publisher, message) => commit(there(publisher.tryClaim(message.length)), message),
  claim: async (publisher, message) => commit(await publisher.claim(), message),
  claimSync: (publisher, message) => commit(publisher.claimSync(message.length), message),
  tryWrite: (publisher, message) => publisher.tryWrite(message.length, writerOf(message)),
  write: (publisher, message) => publisher.write(64, writerOf(message)),
  writeSync: (publisher, message) => publisher.writeSync(message.length, writerOf(message)),
};

type Peeked = Awaited<ReturnType<BroadcastSubscriber['peek']>>;
const release = (peek: Peeked) => {
  const message = peek.bytes.slice();
  expect(peek).toMatchObject({ byteLength: message.length, stillValid: true });
  peek.release();
  return message;
};
async function first(messages: AsyncIterable<Uint8Array>): Promise<Uint8Array | undefined> {
  for await (const message of messages) return message;
  return undefined;
}

/** Every way to read a message that is there. */
const READ: Record<string, (subscriber: BroadcastSubscriber) => Uint8Array | null | undefined | Promise<unknown>> = {
  tryRead: (subscriber) => subscriber.tryRead(),
  read: (subscriber) => subscriber.read(),
  readSync: (subscriber) => subscriber.readSync(),
  tryReadMany: (subscriber) => subscriber.tryReadMany(1)[0],
  drain: (subscriber) => {
    let message: Uint8Array | undefined;
    const handled = subscriber.drain((memory, at, length) => {
      message = memory.slice(at, at + length);
    }, 1);
    expect(handled).toBe(1);
    return message;
  },
  tryPeek: (subscriber) => release(there(subscriber.tryPeek())),
  peek: async (subscriber) => release(await subscriber.peek()),
  peekSync: (subscriber) => release(subscriber.peekSync()),
  'for await': (subscriber) => first(subscriber),
  ready: async (subscriber) => {
    await subscriber.ready();
    subscriber.readySync();
    return subscriber.tryRead();
  },
};

for (const backend of BACKENDS) {
  const make = (options: Partial<BroadcastRingOptions> = {}) =>
    opening(
      BroadcastRing.create({ slots: 4, slotByteLength: 64, onSlow: 'block', maxSubscribers: 16, backend, ...options }),
    );
  const attach = (ring: BroadcastRing) => opening(BroadcastRing.attach(ring.handle));

  describe(`a broadcast ring over ${backend}`, () => {
    it('tells its shape', () => {
      const shape = { slots: 8, slotByteLength: 10, onSlow: 'overwrite', maxPublishers: 3, maxSubscribers: 7 } as const;
      const ring = make({ ...shape, alignment: 64, wait: 'park' });
      const told = { ...shape, alignment: 64, wait: 'park', backend, name: undefined, closed: false };
      expect(ring).toMatchObject(told);
      const other = opening(BroadcastRing.attach(ring.handle, { wait: 'spin' }));
      expect(other).toMatchObject({ ...told, wait: 'spin' });
      other[Symbol.dispose]();
      expect(other.closed).toBe(true);
      const plain = opening(BroadcastRing.create({ slots: 2, slotByteLength: 1, onSlow: 'block', backend }));
      expect(plain).toMatchObject({ maxPublishers: 8, maxSubscribers: 1024, alignment: 8, wait: 'adaptive' });
    });

    it('is found through its handle, plain data which is also its JSON', () => {
      const ring = make();
      expect(ring.handle).toMatchObject({ kind: 'BroadcastRing', backend });
      expect(ring.toJSON()).toEqual(ring.handle);
      const subscriber = attach(ring).subscriber();
      ring.publisher().tryPublish(number(5));
      expect(subscriber.tryRead()).toEqual(number(5));
    });

    for (const onSlow of POLICIES) {
      it(`carries messages of every length by whatever call, to whatever call: ${onSlow}`, async () => {
        const ring = make({ onSlow, slots: 4 });
        const publisher = ring.publisher();
        const subscriber = attach(ring).subscriber();
        let byteLength = 0;
        for (const publish of Object.values(PUBLISH)) {
          for (const [name, read] of Object.entries(READ)) {
            byteLength = (byteLength + 1) % 65;
            const message = recordOf(byteLength);
            await publish(publisher, message);
            expectBytes((await read(subscriber)) as Uint8Array, message);
            expect(subscriber.tryRead(), name).toBeNull();
          }
        }
        expect(subscriber.missed).toBe(0);
      });

      it(`gives all subscribers the same messages in the same order: ${onSlow}`, () => {
        const ring = make({ onSlow, slots: 8 });
        const publishers = [ring.publisher(), attach(ring).publisher(), ring.publisher()];
        const subscribers = [ring.subscriber(), attach(ring).subscriber(), attach(ring).subscriber()];
        for (let round = 0; round < 20; round++) {
          const messages = upTo(8);
          for (const [i, message] of messages.entries()) {
            expect(there(publishers[(round * 5 + i) % 3]).tryPublish(message)).toBe(true);
          }
          for (const subscriber of subscribers) {
            expect(subscriber.tryReadMany(3)).toEqual(messages.slice(0, 3));
            expect(subscriber.tryReadMany(Infinity)).toEqual(messages.slice(3));
          }
        }
      });

      it(`shows a newcomer what comes, or also what is there: ${onSlow}`, () => {
        const ring = make({ onSlow });
        const publisher = ring.publisher();
        expect(ring.subscriber({ from: 'oldest' }).tryRead()).toBeNull();
        publisher.tryPublishMany(upTo(2));
        const newcomers = () => [ring.subscriber(), ring.subscriber({ from: 'oldest' })];
        const [latest, oldest] = newcomers() as [BroadcastSubscriber, BroadcastSubscriber];
        expect(numbers(oldest.tryReadMany(1))).toEqual([0]);
        expect(latest.tryRead()).toBeNull();
        publisher.tryPublish(number(2));
        expect(numbers(oldest.tryReadMany(9))).toEqual([1, 2]);
        expect(numbers(latest.tryReadMany(9))).toEqual([2]);
        for (const subscriber of [latest, oldest]) subscriber.close();

        const full = make({ onSlow });
        const other = full.publisher();
        for (let i = 0; i < 10; i++) expect(other.tryPublish(number(i))).toBe(true);
        expect(numbers(full.subscriber({ from: 'oldest' }).tryReadMany(99))).toEqual([6, 7, 8, 9]);
        expect(full.subscriber().tryReadMany(99)).toEqual([]);
      });

      it(`starts messages at multiples of 8 or 64: ${onSlow}`, () => {
        for (const alignment of [8, 64] as const) {
          const ring = make({ onSlow, alignment, slotByteLength: 24 });
          const publisher = ring.publisher();
          const subscriber = ring.subscriber();
          for (let i = 0; i < 9; i++) {
            const claim = there(publisher.tryClaim());
            expect(claim.bytes.byteOffset % alignment).toBe(0);
            claim.as(Float64Array).set([i, -i, 0.5]);
            claim.commit();
            const peek = there(subscriber.tryPeek());
            expect(peek.bytes.byteOffset % alignment).toBe(0);
            expect([...peek.as(Float64Array)]).toEqual([i, -i, 0.5]);
            peek.release();
          }
        }
      });
    }

    it('publishes without subscribers, and keeps the last messages', () => {
      const ring = make();
      const publisher = ring.publisher();
      expect(publisher.tryPublishMany(upTo(100))).toBe(100);
      expect(numbers(ring.subscriber({ from: 'oldest' }).tryReadMany(9))).toEqual([96, 97, 98, 99]);
    });

    it('counts', () => {
      const ring = make({ onSlow: 'overwrite', wait: 'park' });
      const publisher = ring.publisher();
      const [slow, quick] = [ring.subscriber(), ring.subscriber()];
      expect(ring.stats()).toMatchObject({ capacity: 4, used: 0, pushed: 0, popped: 0, missed: 0 });
      publisher.tryPublishMany(upTo(3));
      quick.tryReadMany(9);
      expect(ring.stats()).toMatchObject({ used: 3, pushed: 3, popped: 3, missed: 0 });
      publisher.tryPublishMany(upTo(3));
      expect(ring.stats()).toMatchObject({ used: 4, pushed: 6 });
      slow.tryRead();
      expect(ring.stats()).toMatchObject({ used: 3, pushed: 6, popped: 4, missed: 4 });
      expect(slow.missed).toBe(4);
      slow.close();
      expect(ring.stats()).toMatchObject({ pushed: 6, popped: 4, missed: 0, redelivered: 0, abandoned: 0 });
      const other = attach(ring);
      const { participants, linked } = ring.stats();
      expect(participants).toEqual(
        ['publisher', 'subscriber', 'attached'].map((role) => ({ role, pid: process.pid, alive: true })),
      );
      expect(linked).toBe(true);
      other.close();
    });

    it('counts waits, each at its end', async () => {
      const ring = make({ wait: 'park' });
      const subscriber = ring.subscriber();
      const reading = subscriber.read();
      await turn();
      // While nobody publishes the sleep has no limit.
      expect(ring.stats()).toMatchObject({ parks: 1, wakeUps: 0 });
      attach(ring).publisher().tryPublish(number(1));
      await reading;
      expect(ring.stats().wakeUps).toBeGreaterThan(0);
    });

    describe('publishers and subscribers', () => {
      it('are as many as it was made for; a place comes free when one is closed, or its ring', () => {
        const ring = make({ maxPublishers: 2, maxSubscribers: 3 });
        for (const [which, limit] of [
          ['publisher', 2],
          ['subscriber', 3],
        ] as const) {
          const other = attach(ring);
          const end = () => (which === 'publisher' ? ring.publisher() : ring.subscriber());
          const ends = Array.from({ length: limit - 1 }, end);
          if (which === 'publisher') other.publisher();
          else other.subscriber();
          for (let i = 0; i < 3; i++) {
            const error = thrownBy(end);
            expect(error).toBeInstanceOf(RingwayError);
            expect(error.code).toBe('EUSERS');
            expect(error.message).toContain(`all ${limit} ${which}s`);
          }
          ends[0]?.close();
          end();
          expect(thrownBy(end).code).toBe('EUSERS');
          other.close();
          end();
          expect(thrownBy(end).code).toBe('EUSERS');
        }
      });

      it('take over what their predecessor left', () => {
        const ring = make({ maxPublishers: 1, maxSubscribers: 1, slots: 4 });
        for (let i = 0; i < 50; i++) {
          const publisher = ring.publisher();
          const subscriber = ring.subscriber({ from: 'oldest' });
          expect(publisher.tryPublishMany(upTo(9))).toBe(i === 0 ? 4 : 0);
          subscriber.tryReadMany(1 + (i % 3));
          expect(publisher.tryPublish(number(100 + i))).toBe(true);
          const all = numbers(subscriber.tryReadMany(9));
          expect(all.at(-1)).toBe(100 + i);
          expect(subscriber.missed).toBe(0);
          publisher.close();
          subscriber.close();
        }
      });

      it('are disposable, tell whether they are closed, and are closed once', () => {
        const ring = make();
        const ends = [ring.publisher(), ring.subscriber()];
        for (const end of ends) {
          expect(end.closed).toBe(false);
          end[Symbol.dispose]();
          expect(end.closed).toBe(true);
          end.close();
        }
        const more = [ring.publisher(), ring.subscriber()];
        ring.close();
        ring.close();
        for (const end of more) expect(end.closed).toBe(true);
      });
    });

    describe('room, where publishers wait', () => {
      it('is as many messages as the ring has slots, behind the slowest subscriber', () => {
        for (const slots of [2, 4, 8]) {
          const ring = make({ slots });
          const publishers = [ring.publisher(), attach(ring).publisher()];
          const [slow, quick] = [ring.subscriber(), attach(ring).subscriber()];
          for (let i = 0; i < slots; i++) {
            expect(there(publishers[i & 1]).tryPublish(number(i))).toBe(true);
            quick.tryRead();
          }
          const full = () => {
            for (const publisher of publishers) {
              expect(publisher.tryPublish(number(99))).toBe(false);
              expect(publisher.tryPublishMany([number(99)])).toBe(0);
              expect(publisher.tryClaim()).toBeNull();
              expect(publisher.tryWrite(1, () => expect.unreachable())).toBe(false);
            }
          };
          full();
          expect(slow.tryRead()).toEqual(number(0));
          expect(publishers[0]?.tryPublishMany(upTo(5))).toBe(1);
          full();
          slow.close();
          expect(publishers[1]?.tryPublishMany(upTo(99))).toBe(slots - 1);
          full();
        }
      });

      it('is not taken by a peek that was released, and is by one that was not', () => {
        const ring = make({ slots: 2 });
        const publisher = ring.publisher();
        const subscriber = ring.subscriber();
        publisher.tryPublishMany(upTo(2));
        const peek = there(subscriber.tryPeek());
        expect(publisher.tryPublish(number(2))).toBe(false);
        peek.release();
        expect(publisher.tryPublish(number(2))).toBe(true);
        expect(publisher.tryPublish(number(3))).toBe(false);
        expect(numbers(subscriber.tryReadMany(9))).toEqual([1, 2]);
      });

      it('comes back during a drain, a quarter of the ring at a time', () => {
        const ring = make({ slots: 16 });
        const publisher = ring.publisher();
        const subscriber = ring.subscriber();
        publisher.tryPublishMany(upTo(16));
        const room: number[] = [];
        subscriber.drain((memory, at) => {
          const value = memory[at] as number;
          if (value < 16) room.push(publisher.tryPublishMany(upTo(16).map(([i]) => number((i as number) + 16))));
        }, 16);
        expect(room.reduce((sum, taken) => sum + taken)).toBe(15);
        expect(Math.max(...room)).toBeLessThanOrEqual(5);
      });

      it('is waited for, in both forms, until the slowest has read or is closed', async () => {
        const ring = make({ slots: 2 });
        const publisher = ring.publisher();
        const [slow, quick] = [attach(ring).subscriber(), attach(ring).subscriber()];
        publisher.tryPublishMany(upTo(2));
        const publishing = [publisher.publish(number(2)), publisher.publish(number(3)), publisher.publish(number(4))];
        let published = 0;
        for (const one of publishing) void one.then(() => published++);
        quick.tryReadMany(9);
        await turn();
        expect(published).toBe(0);
        slow.tryRead();
        await publishing[0];
        await turn();
        expect(published).toBe(1);
        expect(thrownBy(() => publisher.publishSync(number(9), { timeoutMs: 1 }))).toBeInstanceOf(TimeoutError);
        slow.close();
        await publishing[1];
        expect(numbers(quick.tryReadMany(9))).toEqual([2, 3]);
        await publishing[2];
        expect(numbers(quick.tryReadMany(9))).toEqual([4]);
      });
    });

    describe('a claim', () => {
      for (const onSlow of POLICIES) {
        it(`holds up nobody; its message's place is that of its commit: ${onSlow}`, () => {
          const ring = make({ onSlow, slots: 2, maxPublishers: 3 });
          const publishers = [ring.publisher(), ring.publisher(), attach(ring).publisher()] as const;
          const subscriber = attach(ring).subscriber();
          const claims = [there(publishers[0].tryClaim(1)), there(publishers[1].tryClaim())];
          for (let i = 0; i < 20; i++) {
            expect(publishers[2].tryPublish(number(i))).toBe(true);
            expect(publishers[2].tryPublish(number(i + 100))).toBe(true);
            expect(numbers(subscriber.tryReadMany(9))).toEqual([i, i + 100]);
          }
          claims[1]?.bytes.set([7, 8]);
          claims[1]?.commit(2);
          claims[0]?.bytes.set([9]);
          claims[0]?.commit();
          expect(subscriber.tryReadMany(9)).toEqual([new Uint8Array([7, 8]), new Uint8Array([9])]);
          expect(subscriber.missed).toBe(0);
        });
      }

      it('keeps the room that was there when it was made: none is lost when all are committed at once', () => {
        for (const slots of [2, 4, 8]) {
          const ring = make({ slots, maxPublishers: 4 });
          const publishers = Array.from({ length: 4 }, () => attach(ring).publisher());
          const subscriber = ring.subscriber();
          for (let round = 0; round < 30; round++) {
            const claims = publishers.slice(0, 3).map((publisher) => there(publisher.tryClaim(1)));
            const last = there(publishers[3]);
            expect(last.tryPublishMany(upTo(99))).toBe(slots);
            for (const [i, claim] of claims.entries()) {
              claim.bytes[0] = 200 + i;
              claim.commit();
            }
            expect(ring.stats().used).toBe(slots);
            expect(last.tryPublish(number(0))).toBe(false);
            expect(numbers(subscriber.tryReadMany(99))).toEqual([...numbers(upTo(slots)), 200, 201, 202]);
          }
        }
      });

      it('of one who came before any subscriber is not lost on the first, which starts as far back as it can', () => {
        const ring = make({ slots: 4, maxPublishers: 2 });
        const [early, other] = [ring.publisher(), ring.publisher()];
        const claim = there(early.tryClaim(1));
        other.tryPublishMany(upTo(10));
        const subscriber = ring.subscriber({ from: 'oldest' });
        claim.bytes[0] = 77;
        claim.commit();
        expect(other.tryPublish(number(0))).toBe(false);
        expect(numbers(subscriber.tryReadMany(99))).toEqual([6, 7, 8, 9, 77]);
      });

      it('that is aborted, or ended by close(), leaves no trace', () => {
        const ring = make();
        const publisher = ring.publisher();
        const subscriber = ring.subscriber();
        const claim = there(publisher.tryClaim());
        claim.bytes.fill(1);
        claim.abort();
        expect(publisher.tryPublish(number(1))).toBe(true);
        there(publisher.tryClaim())[Symbol.dispose]();
        const other = ring.publisher();
        there(other.tryClaim()).bytes.fill(2);
        other.close();
        expect(subscriber.tryReadMany(9)).toEqual([number(1)]);
        expect(ring.stats()).toMatchObject({ pushed: 1, used: 0 });
      });

      it('lends out: until it ends, the publisher does nothing else', async () => {
        const ring = make();
        const publisher = ring.publisher();
        const subscriber = ring.subscriber();
        const claim = there(publisher.tryClaim(1));
        for (const [name, publish] of Object.entries(PUBLISH)) {
          const error = await rejectionOf((async () => publish(publisher, number(1)))());
          expect(error, name).toMatchObject({ code: 'ERR_RINGWAY_BORROWED' });
        }
        claim.bytes[0] = 3;
        claim.commit();
        publisher.tryWrite(1, () => {
          for (const publish of [() => publisher.tryPublish(number(1)), () => publisher.tryWrite(1, () => {})]) {
            expect(thrownBy(publish)).toMatchObject({ code: 'ERR_RINGWAY_BORROWED' });
          }
          return 0;
        });
        expect(subscriber.tryReadMany(9)).toEqual([number(3), new Uint8Array(0)]);
      });
    });

    describe('a writer', () => {
      it('that throws, or returns nonsense, publishes nothing', () => {
        const ring = make();
        const publisher = ring.publisher();
        const subscriber = ring.subscriber();
        const mine = new Error('mine');
        const throwing = () => {
          throw mine;
        };
        expect(thrownBy(() => publisher.tryWrite(4, throwing))).toBe(mine);
        for (const [kind, results] of [
          [RangeError, [-1, 5, 1.5, NaN, Infinity]],
          [TypeError, ['4', null, {}, Promise.resolve(4), true]],
        ] as const) {
          for (const result of results) {
            expect(thrownBy(() => publisher.tryWrite(4, () => result as number))).toBeInstanceOf(kind);
          }
        }
        expect(subscriber.tryRead()).toBeNull();
        expect(publisher.tryWrite(2, (memory, at) => void memory.set([4, 5], at))).toBe(true);
        expect(subscriber.tryRead()).toEqual(new Uint8Array([4, 5]));
      });

      it('that closes its publisher or its ring publishes nothing', () => {
        for (const what of ['publisher', 'ring'] as const) {
          const ring = make();
          const other = attach(ring);
          const subscriber = other.subscriber();
          const publisher = ring.publisher();
          const error = thrownBy(() =>
            publisher.tryWrite(4, () => {
              (what === 'ring' ? ring : publisher).close();
            }),
          );
          expect(error).toBeInstanceOf(ClosedError);
          expect(subscriber.tryRead()).toBeNull();
          expect(other.publisher().tryPublish(number(1))).toBe(true);
          expect(subscriber.tryRead()).toEqual(number(1));
        }
      });
    });

    describe('a drain', () => {
      for (const onSlow of POLICIES) {
        const ends = () => {
          const ring = make({ onSlow, slots: 8 });
          const other = attach(ring);
          const publisher = other.publisher();
          const subscriber = ring.subscriber();
          publisher.tryPublishMany(upTo(6));
          return { ring, publisher, subscriber };
        };

        it(`hands out up to its limit, and says how many: ${onSlow}`, () => {
          const { subscriber } = ends();
          const got: number[] = [];
          const handler = (memory: Uint8Array, at: number, length: number) => {
            expect(length).toBe(1);
            got.push(memory[at] as number);
          };
          expect(subscriber.drain(handler, 0)).toBe(0);
          expect(subscriber.drain(handler, 2)).toBe(2);
          expect(subscriber.drain(handler)).toBe(4);
          expect(subscriber.drain(handler)).toBe(0);
          expect(got).toEqual([0, 1, 2, 3, 4, 5]);
        });

        it(`ends when the handler throws or returns a promise; that message and those after it stay: ${onSlow}`, () => {
          const { ring, subscriber } = ends();
          const mine = new Error('mine');
          let calls = 0;
          const error = thrownBy(() =>
            subscriber.drain(() => {
              if (++calls === 3) throw mine;
            }),
          );
          expect(error).toBe(mine);
          expect(thrownBy(() => subscriber.drain(async () => {}))).toBeInstanceOf(TypeError);
          expect(ring.stats()).toMatchObject({ popped: 2, used: 4 });
          expect(numbers(subscriber.tryReadMany(9))).toEqual([2, 3, 4, 5]);
        });

        it(`ends when the handler closes the subscriber or its ring: ${onSlow}`, () => {
          for (const what of ['subscriber', 'ring'] as const) {
            const { ring, publisher, subscriber } = ends();
            let calls = 0;
            const read = subscriber.drain(() => {
              if (++calls === 3) (what === 'ring' ? ring : subscriber).close();
            });
            expect([read, calls]).toEqual([2, 3]);
            expect(publisher.tryPublishMany(upTo(99)), 'it holds up nobody').toBe(99);
            expect(thrownBy(() => subscriber.tryRead())).toBeInstanceOf(ClosedError);
          }
        });

        it(`lends out: its subscriber does nothing else meanwhile: ${onSlow}`, async () => {
          const { subscriber } = ends();
          const errors: unknown[] = [];
          const pending: Promise<unknown>[] = [];
          subscriber.drain(() => {
            errors.push(thrownBy(() => subscriber.tryRead()).code, thrownBy(() => subscriber.tryPeek()).code);
            errors.push(thrownBy(() => subscriber.drain(() => {})).code, thrownBy(() => subscriber.readySync()).code);
            pending.push(rejectionOf(subscriber.read()).then(({ code }) => code));
            expect(subscriber.ended).toBe(false);
          }, 1);
          expect([...errors, await pending[0]]).toEqual(Array(5).fill('ERR_RINGWAY_BORROWED'));
          expect(numbers(subscriber.tryReadMany(9))).toEqual([1, 2, 3, 4, 5]);
        });
      }

      it('does not see what overwrites its message', () => {
        const ring = make({ onSlow: 'overwrite', slots: 2 });
        const publisher = ring.publisher();
        const subscriber = ring.subscriber();
        publisher.tryPublishMany([recordOf(50, 1), recordOf(50, 2)]);
        const seen: Uint8Array[] = [];
        subscriber.drain((memory, at, length) => {
          publisher.tryPublishMany([3, 4, 5, 6].map((i) => recordOf(60, i)));
          seen.push(memory.slice(at, at + length));
        }, 2);
        // After the first, two more lie in the ring and one is skipped ahead to.
        expect(seen).toEqual([recordOf(50, 1), recordOf(60, 6)]);
        expect(subscriber.missed).toBe(4);
      });
    });

    describe('a peek', () => {
      it('lends out: until it ends, the subscriber does nothing else', async () => {
        for (const onSlow of POLICIES) {
          const ring = make({ onSlow });
          const publisher = ring.publisher();
          const subscriber = ring.subscriber();
          publisher.tryPublishMany(upTo(2));
          const peek = there(subscriber.tryPeek());
          for (const [name, read] of Object.entries(READ)) {
            const error = await rejectionOf((async () => read(subscriber))());
            expect(error, name).toMatchObject({ code: 'ERR_RINGWAY_BORROWED' });
          }
          expect(subscriber.ended).toBe(false);
          expect(peek.bytes).toEqual(number(0));
          peek.release();
          expect(subscriber.tryReadMany(9)).toEqual([number(1)]);
        }
      });

      it('of a message that is overwritten meanwhile says so, and counts it as missed once', () => {
        const ring = make({ onSlow: 'overwrite' });
        const publisher = ring.publisher();
        const subscriber = ring.subscriber();
        publisher.tryPublish(number(0));
        const peek = there(subscriber.tryPeek());
        publisher.tryPublishMany([1, 2, 3].map(number));
        // The ring is full, and the message still there; one more displaces it, though its bytes may still be.
        publisher.tryPublish(number(4));
        expect(peek.stillValid).toBe(false);
        publisher.tryPublish(number(5));
        expect(peek.stillValid).toBe(false);
        expect(subscriber.missed).toBe(0);
        peek.release();
        expect(subscriber.missed).toBe(1);
        expect(ring.stats()).toMatchObject({ popped: 0, missed: 1 });
        expect(numbers(subscriber.tryReadMany(9))).toEqual([4, 5]);
        expect(subscriber.missed).toBe(4);
        expect(ring.stats()).toMatchObject({ popped: 2, missed: 4, pushed: 6 });
      });

      it('that said once that it was whole is not missed', () => {
        const ring = make({ onSlow: 'overwrite' });
        const publisher = ring.publisher();
        const subscriber = ring.subscriber();
        publisher.tryPublish(number(0));
        const peek = there(subscriber.tryPeek());
        expect(peek.stillValid).toBe(true);
        publisher.tryPublishMany(upTo(8));
        expect(peek.stillValid).toBe(false);
        peek.release();
        expect(subscriber.missed).toBe(0);
        expect(ring.stats().popped).toBe(1);
      });

      it('that is whole when it is released is not missed, though nobody asked', () => {
        const ring = make({ onSlow: 'overwrite' });
        ring.publisher().tryPublishMany(upTo(1));
        const subscriber = ring.subscriber({ from: 'oldest' });
        there(subscriber.tryPeek())[Symbol.dispose]();
        expect(subscriber.missed).toBe(0);
        expect(ring.stats().popped).toBe(1);
      });

      it('is over after release or close', () => {
        for (const end of ['release', 'close'] as const) {
          const ring = make();
          const publisher = attach(ring).publisher();
          const subscriber = ring.subscriber();
          publisher.tryPublish(number(1));
          const peek = there(subscriber.tryPeek());
          if (end === 'release') peek.release();
          else subscriber.close();
          for (const late of [() => peek.bytes, () => peek.as(DataView), () => peek.stillValid]) {
            expect(thrownBy(late)).toBeInstanceOf(ClosedError);
          }
          const code = end === 'release' ? 'ERR_RINGWAY_STATE' : 'ERR_RINGWAY_CLOSED';
          expect(thrownBy(() => peek.release())).toMatchObject({ code });
          peek[Symbol.dispose]();
        }
      });
    });

    describe('the end', () => {
      it('reaches a subscriber that looks while the last publisher leaves, and sleeps then', async () => {
        const ring = opening(
          BroadcastRing.create({ slots: 4, slotByteLength: 8, onSlow: 'block', wait: 'park', backend }),
        );
        const publisher = ring.publisher();
        const subscriber = opening(BroadcastRing.attach(ring.handle)).subscriber();
        const { store, compareExchange } = Atomics;
        let ready: Promise<void> | undefined;
        // The subscriber looks between the two steps of a publisher that leaves. Before it marks itself as asleep the second
        // step is done, and those who are asleep are told: nobody, so what would tell them is skipped.
        const told = new Error('nobody is asleep');
        const freeEntry = (words: Int32Array, index: number, value: number) => {
          const mark = (...args: Parameters<typeof compareExchange>) => {
            Object.assign(Atomics, { compareExchange });
            store(words, index, value);
            return compareExchange(...args);
          };
          Object.assign(Atomics, { store, compareExchange: mark });
          ready = subscriber.ready();
          throw told;
        };
        try {
          Object.assign(Atomics, { store: freeEntry });
          expect(() => publisher.close()).toThrow(told);
        } finally {
          Object.assign(Atomics, { store, compareExchange });
        }
        await expect(ready).rejects.toThrow(EndOfStreamError);
      });

      it('comes when the last publisher is closed and all was read; a new one ends it', async () => {
        const ring = make();
        const subscriber = ring.subscriber();
        const other = attach(ring);
        // Nobody has come yet: that is no end.
        expect(subscriber.ended).toBe(false);
        expect(await rejectionOf(subscriber.read({ timeoutMs: 0 }))).toBeInstanceOf(TimeoutError);
        const publishers = [other.publisher(), other.publisher()] as const;
        publishers[0].tryPublishMany(upTo(3));
        publishers[0].close();
        expect(numbers(subscriber.tryReadMany(1))).toEqual([0]);
        publishers[1].close();
        expect(subscriber.ended).toBe(false);
        expect(await subscriber.read()).toEqual(number(1));
        expect(subscriber.readSync()).toEqual(number(2));
        expect(subscriber.ended).toBe(true);
        for (const error of [
          await rejectionOf(subscriber.read()),
          await rejectionOf(subscriber.peek()),
          await rejectionOf(subscriber.ready()),
          thrownBy(() => subscriber.readSync()),
          thrownBy(() => subscriber.peekSync()),
          thrownBy(() => subscriber.readySync()),
        ]) {
          expect(error).toBeInstanceOf(EndOfStreamError);
          expect(error.code).toBe('ERR_RINGWAY_END');
        }
        expect(subscriber.tryRead()).toBeNull();
        const next = other.publisher();
        expect(subscriber.ended).toBe(false);
        expect(await rejectionOf(subscriber.read({ timeoutMs: 0 }))).toBeInstanceOf(TimeoutError);
        next.tryPublish(number(9));
        next.close();
        expect(subscriber.readSync()).toEqual(number(9));
        expect(subscriber.ended).toBe(true);
        // A subscriber that comes after the end is told too.
        expect(await rejectionOf(attach(ring).subscriber().read())).toBeInstanceOf(EndOfStreamError);
      });

      it('reaches those who wait, and ends a for await', async () => {
        const ring = make();
        const publisher = attach(ring).publisher();
        const iterating = (async () => {
          const got: number[] = [];
          for await (const [value] of ring.subscriber()) got.push(value as number);
          return got;
        })();
        publisher.tryPublishMany(upTo(2));
        const reading = rejectionOf(ring.subscriber().read());
        await turn();
        publisher.close();
        expect(await iterating).toEqual([0, 1]);
        expect(await reading).toBeInstanceOf(EndOfStreamError);
      });

      it('is waited past with onPeerGone', async () => {
        const ring = make();
        const subscriber = ring.subscriber();
        const other = attach(ring);
        other.publisher().close();
        const wait: RingWaitOptions = { onPeerGone: 'wait' };
        const reading = [subscriber.read(wait), subscriber.peek(wait)] as const;
        await turn();
        expect(thrownBy(() => subscriber.readySync({ onPeerGone: 'wait', timeoutMs: 1 }))).toBeInstanceOf(TimeoutError);
        other.publisher().tryPublishMany(upTo(2));
        expect(await reading[0]).toEqual(number(0));
        const peek = await reading[1];
        expect(peek.bytes).toEqual(number(1));
        peek.release();
      });

      it('is not told by a loop that is left early, which leaves the rest', async () => {
        const ring = make();
        const subscriber = ring.subscriber();
        ring.publisher().tryPublishMany(upTo(3));
        expect(await first(subscriber)).toEqual(number(0));
        expect(subscriber.closed).toBe(false);
        expect(numbers(subscriber.tryReadMany(9))).toEqual([1, 2]);
      });
    });

    describe('waits', () => {
      it('are served in the order of the calls', async () => {
        const ring = make();
        const publisher = attach(ring).publisher();
        const subscriber = ring.subscriber();
        const reading = [subscriber.read(), subscriber.read(), subscriber.read()];
        await publisher.publish(number(1));
        await publisher.publish(number(2));
        await publisher.publish(number(3));
        expect(numbers(await Promise.all(reading))).toEqual([1, 2, 3]);
      });

      it('end by timeout and abort without effect', async () => {
        const ring = make({ slots: 2 });
        const other = attach(ring);
        const publisher = ring.publisher();
        const subscriber = other.subscriber();
        expect(await rejectionOf(subscriber.read({ timeoutMs: 1 }))).toBeInstanceOf(TimeoutError);
        expect(thrownBy(() => subscriber.readSync({ timeoutMs: 1 }))).toBeInstanceOf(TimeoutError);
        expect(thrownBy(() => subscriber.peekSync({ timeoutMs: -1 }))).toBeInstanceOf(TimeoutError);
        const reason = new Error('no longer');
        const abort = async (start: (signal: AbortSignal) => Promise<unknown>) => {
          const controller = new AbortController();
          const aborted = rejectionOf(start(controller.signal));
          await turn();
          controller.abort(reason);
          expect(await aborted).toBe(reason);
          expect(await rejectionOf(start(AbortSignal.abort(reason)))).toBe(reason);
        };
        await abort((signal) => subscriber.read({ signal }));
        await abort((signal) => subscriber.ready({ signal }));
        publisher.tryPublishMany(upTo(2));
        for (const error of [
          await rejectionOf(publisher.publish(number(9), { timeoutMs: 1 })),
          await rejectionOf(publisher.claim(1, { timeoutMs: 0 })),
          await rejectionOf(publisher.write(1, () => {}, { timeoutMs: 1 })),
          thrownBy(() => publisher.publishSync(number(9), { timeoutMs: 1 })),
          thrownBy(() => publisher.claimSync(1, { timeoutMs: 0 })),
          thrownBy(() => publisher.writeSync(1, () => {}, { timeoutMs: 1 })),
        ]) {
          expect(error).toBeInstanceOf(TimeoutError);
        }
        await abort((signal) => publisher.publish(number(9), { signal }));
        await abort((signal) => publisher.claim(1, { signal }));
        expect(numbers(subscriber.tryReadMany(9))).toEqual([0, 1]);
        expect(publisher.tryPublish(number(2)), 'nothing is lent out').toBe(true);
        expect(numbers(subscriber.tryReadMany(9))).toEqual([2]);
      });

      it('are rejected by close(), of the end or the ring', async () => {
        for (const what of ['end', 'ring'] as const) {
          const ring = make({ slots: 2 });
          const other = attach(ring);
          other.subscriber();
          const publisher = ring.publisher();
          const subscriber = ring.subscriber();
          publisher.tryPublishMany(upTo(2));
          subscriber.tryReadMany(9);
          const pending = [
            rejectionOf(publisher.publish(number(2))),
            rejectionOf(publisher.claim()),
            rejectionOf(subscriber.read()),
            rejectionOf(subscriber.peek()),
            rejectionOf(subscriber[Symbol.asyncIterator]().next()),
          ];
          await turn();
          if (what === 'ring') ring.close();
          else for (const end of [publisher, subscriber]) end.close();
          for (const error of await Promise.all(pending)) expect(error).toBeInstanceOf(ClosedError);
          expect(other.stats()).toMatchObject({ pushed: 2 });
        }
      });

      it('that only the same thread could end are ERR_RINGWAY_WOULD_DEADLOCK', () => {
        const ring = make({ slots: 2 });
        const publisher = ring.publisher();
        const subscriber = ring.subscriber();
        const deadlock = { code: 'ERR_RINGWAY_WOULD_DEADLOCK' };
        for (const wait of [() => subscriber.readSync(), () => subscriber.peekSync(), () => subscriber.readySync()]) {
          expect(thrownBy(wait)).toMatchObject(deadlock);
        }
        // Another publisher may publish.
        const other = attach(ring);
        const another = other.publisher();
        expect(thrownBy(() => subscriber.readSync({ timeoutMs: 1 }))).toBeInstanceOf(TimeoutError);
        another.close();
        publisher.tryPublishMany(upTo(2));
        for (const wait of [
          () => publisher.publishSync(number(2)),
          () => publisher.claimSync(),
          () => publisher.writeSync(1, () => {}),
        ]) {
          expect(thrownBy(wait)).toMatchObject(deadlock);
        }
        // Who holds us up is somebody else.
        other.subscriber({ from: 'oldest' });
        subscriber.tryReadMany(9);
        expect(thrownBy(() => publisher.publishSync(number(2), { timeoutMs: 1 }))).toBeInstanceOf(TimeoutError);
      });

      it('without a publisher wait for the first one', async () => {
        const ring = make();
        const subscriber = ring.subscriber();
        const reading = subscriber.read();
        await turn();
        expect(thrownBy(() => subscriber.readSync({ timeoutMs: 1 }))).toBeInstanceOf(TimeoutError);
        attach(ring).publisher().tryPublish(number(4));
        expect(await reading).toEqual(number(4));
      });

      it('never come with onSlow: overwrite, for publishers', async () => {
        const ring = make({ onSlow: 'overwrite', slots: 2 });
        const publisher = ring.publisher();
        const subscriber = ring.subscriber();
        for (const publish of Object.values(PUBLISH)) {
          for (let i = 0; i < 5; i++) await publish(publisher, recordOf(40, i));
        }
        expect(subscriber.tryReadMany(9)).toEqual([recordOf(40, 4)]);
        expect(subscriber.missed).toBe(5 * Object.keys(PUBLISH).length - 1);
      });

      for (const wait of ['park', 'adaptive', 'spin'] as const) {
        it(`are ended by other threads, asynchronous and blocked: ${wait}`, async () => {
          for (const onSlow of POLICIES) {
            const ring = make({ slots: 2, onSlow, wait });
            const back = make({ slots: 2, onSlow, wait });
            const thread = await startThread();
            const publisher = ring.publisher();
            const subscriber = back.subscriber();
            const { result } = await thread.start(
              ({ ringway }, there, home) => {
                const from = ringway.BroadcastRing.attach(there);
                const to = ringway.BroadcastRing.attach(home);
                const messages = from.subscriber({ from: 'oldest' });
                const answers = to.publisher();
                for (;;) {
                  const message = messages.readSync();
                  answers.publishSync(message);
                  if (message[0] === 255) break;
                }
                from.close();
                to.close();
              },
              ring.handle,
              back.handle,
            );
            for (let i = 0; i < 60; i++) {
              if (i % 2 === 0) await publisher.publish(number(i));
              else publisher.publishSync(number(i));
              expect(i % 3 === 0 ? subscriber.readSync() : await subscriber.read()).toEqual(number(i));
            }
            await publisher.publish(number(255));
            expect(await subscriber.read()).toEqual(number(255));
            await result;
            expect(await rejectionOf(subscriber.read())).toBeInstanceOf(EndOfStreamError);
          }
        });
      }

      it('of publishers for room are ended by subscribers in other threads', async () => {
        const ring = make({ slots: 2, wait: 'park' });
        const publisher = ring.publisher();
        const threads = await Promise.all([startThread(), startThread()]);
        const results: Promise<number>[] = [];
        for (const thread of threads) {
          const { result } = await thread.start(async ({ ringway, tell }, handle) => {
            const its = ringway.BroadcastRing.attach(handle);
            const messages = its.subscriber();
            tell('there');
            let sum = 0;
            for await (const [value] of messages) sum += value as number;
            its.close();
            return sum;
          }, ring.handle);
          results.push(result);
        }
        for (const thread of threads) await thread.nextTold();
        for (let i = 0; i < 200; i++) {
          if (i % 2 === 0) await publisher.publish(number(i));
          else publisher.publishSync(number(i));
        }
        publisher.close();
        expect(await Promise.all(results)).toEqual([19_900, 19_900]);
      });
    });

    describe('where positions wrap at 2^32', () => {
      const start = 2 ** 32 - 6;

      it('messages stay in order and are counted on', () => {
        for (const onSlow of POLICIES) {
          const ring = make({ onSlow, slots: 4 });
          startBroadcastAt(ring, start);
          const publisher = ring.publisher();
          const subscriber = ring.subscriber();
          for (let i = 0; i < 20; i++) {
            expect(ring.stats()).toMatchObject({ pushed: start + i, used: 0 });
            expect(publisher.tryPublish(number(i))).toBe(true);
            expect(ring.stats()).toMatchObject({ pushed: start + i + 1, used: 1 });
            expect(subscriber.tryRead()).toEqual(number(i));
          }
          expect(subscriber.missed).toBe(0);
        }
      });

      it('one that is lapped across it knows what it missed', () => {
        for (let reads = 0; reads < 12; reads++) {
          const ring = make({ onSlow: 'overwrite', slots: 4 });
          startBroadcastAt(ring, start);
          const publisher = ring.publisher();
          const subscriber = ring.subscriber();
          for (let i = 0; i < reads; i++) {
            publisher.tryPublish(number(i));
            subscriber.tryRead();
          }
          publisher.tryPublishMany(upTo(13));
          expect(numbers(subscriber.tryReadMany(99))).toEqual([11, 12]);
          expect(subscriber.missed).toBe(11);
        }
      });

      it('one that slept for all positions there are is told how many it missed', () => {
        for (const behind of [0, 3]) {
          const ring = make({ onSlow: 'overwrite', slots: 4, maxPublishers: 1 });
          const publisher = ring.publisher();
          const subscriber = ring.subscriber();
          publisher.tryPublishMany(upTo(7));
          subscriber.tryReadMany(99);
          publisher.tryPublishMany(upTo(behind));
          // 2^32 messages later all words look the same, but for how often positions have wrapped.
          const end = broadcastByteLength(ring);
          for (let slot = 1; slot <= 5; slot++) pokeBody(ring, end - slot * 128 + BroadcastSlot.lapsOfPosition, 1);
          expect(ring.stats().pushed).toBe(2 ** 32 + 7 + behind);
          const before = subscriber.missed;
          publisher.tryPublishMany([number(100), number(101)]);
          expect(numbers(subscriber.tryReadMany(99))).toEqual([100, 101]);
          expect(subscriber.missed - before).toBe(2 ** 32 + behind);
        }
      });
    });
  });
}

describe('a named broadcast ring', () => {
  const shape = { slots: 4, slotByteLength: 8, onSlow: 'block' } as const;

  it('is created, attached to, found and unlinked by its name', async () => {
    const name = freshName();
    expect(thrownBy(() => BroadcastRing.unlink(name))).toMatchObject({ code: 'ENOENT' });
    const found = BroadcastRing.whenCreated(name);
    const ring = opening(BroadcastRing.create({ name, ...shape }));
    const same = opening(await found);
    const subscriber = same.subscriber();
    ring.publisher().tryPublish(number(1));
    expect(subscriber.tryRead()).toEqual(number(1));
    expect(same.name).toBe(name);
    expect(thrownBy(() => BroadcastRing.create({ name, ...shape }))).toMatchObject({ code: 'EEXIST' });
    expect(thrownBy(() => SpscRing.attach(name))).toBeInstanceOf(CorruptSegmentError);
    expect(opening(BroadcastRing.attach(name, { wait: 'spin' })).wait).toBe('spin');
    BroadcastRing.unlink(name);
    expect(thrownBy(() => BroadcastRing.attach(name))).toMatchObject({ code: 'ENOENT' });
    expect(ring.stats().linked).toBe(false);
    const waiting = rejectionOf(BroadcastRing.whenCreated(name, { timeoutMs: 1 }));
    expect(await waiting).toBeInstanceOf(TimeoutError);
  });

  it('is attached to if it has the wanted shape, and both shapes are told if not', () => {
    const name = freshName();
    opening(BroadcastRing.createOrAttach({ name, ...shape }));
    opening(BroadcastRing.createOrAttach({ name, ...shape, wait: 'spin' }));
    for (const [other, there, wanted] of [
      [{ slots: 8 }, '4 slots', '8 slots'],
      [{ slotByteLength: 16 }, 'of 8 bytes', 'of 16 bytes'],
      [{ onSlow: 'overwrite' }, "'block'", "'overwrite'"],
      [{ alignment: 64 }, 'alignment 8', 'alignment 64'],
      [{ maxPublishers: 2 }, '8 publishers', '2 publishers'],
      [{ maxSubscribers: 2 }, '1024 subscribers', '2 subscribers'],
    ] as const) {
      const error = thrownBy(() => BroadcastRing.createOrAttach({ name, ...shape, ...other }));
      expect(error).toMatchObject({ code: 'ERR_RINGWAY_SHAPE' });
      expect(error.message).toContain(there);
      expect(error.message).toContain(wanted);
    }
    BroadcastRing.unlink(name);
  });

  it('stays when nobody has it: its messages are there for who comes', () => {
    const name = freshName();
    const ring = BroadcastRing.create({ name, ...shape });
    ring.publisher().tryPublishMany(upTo(6));
    ring.close();
    const again = opening(BroadcastRing.attach(name));
    expect(numbers(again.subscriber({ from: 'oldest' }).tryReadMany(9))).toEqual([2, 3, 4, 5]);
    BroadcastRing.unlink(name);
  });
});

describe('another process', () => {
  const make = () => opening(BroadcastRing.create({ slots: 4, slotByteLength: 8, onSlow: 'block', maxPublishers: 1 }));

  it('that is killed is told of when all it published was read, and its place is free', async () => {
    const ring = make();
    const subscriber = ring.subscriber();
    const other = await startProcess();
    await other.run(({ ringway, state }, handle) => {
      const its = ringway.BroadcastRing.attach(handle);
      const publisher = its.publisher();
      state.kept = its;
      publisher.tryPublishMany([new Uint8Array([1]), new Uint8Array([2])]);
      publisher.tryClaim(); // Never seen.
    }, ring.handle);
    expect(thrownBy(() => ring.publisher()).code).toBe('EUSERS');
    expect(await subscriber.read()).toEqual(number(1));
    await other.kill();
    expect(subscriber.readSync()).toEqual(number(2));
    const error = await rejectionOf(subscriber.read());
    expect(error).toBeInstanceOf(PeerDiedError);
    expect(error).toMatchObject({ code: 'ERR_RINGWAY_PEER_DIED', pid: other.pid });
    expect(thrownBy(() => subscriber.readSync())).toBeInstanceOf(PeerDiedError);
    expect(subscriber.ended).toBe(true);
    expect(await rejectionOf(subscriber[Symbol.asyncIterator]().next())).toBeInstanceOf(PeerDiedError);
    ring.publisher().tryPublish(number(3));
    expect(await subscriber.read()).toEqual(number(3));
  });

  it('that is killed holds up publishers no longer, whether they wait or try', async () => {
    for (const how of ['wait', 'block', 'try'] as const) {
      const ring = make();
      const publisher = ring.publisher();
      const other = await startProcess();
      await other.run(({ ringway, state }, handle) => {
        const its = ringway.BroadcastRing.attach(handle);
        state.kept = [its, its.subscriber()];
      }, ring.handle);
      publisher.tryPublishMany(upTo(4));
      expect(publisher.tryPublish(number(4))).toBe(false);
      await other.kill();
      if (how === 'wait') await publisher.publish(number(4));
      else if (how === 'block') publisher.publishSync(number(4));
      else while (!publisher.tryPublish(number(4))) await turn();
      expect(publisher.tryPublishMany(upTo(99))).toBe(99);
    }
  });
});

describe('a pending wait', () => {
  const script = (start: string) =>
    runScript(
      `const ring = ringway.BroadcastRing.create({ slots: 2, slotByteLength: 8, onSlow: 'block', wait: 'park' });
       const other = ringway.BroadcastRing.attach(ring.handle);
       const subscriber = ring.subscriber();
       const publisher = other.publisher();
       publisher.tryPublishMany([new Uint8Array(1), new Uint8Array(1)]);
       process.on('exit', () => print('exit'));
       ${start}`,
    );

  it('keeps the process alive, unless it was told not to', async () => {
    const waits = [
      `subscriber.tryReadMany(9); subscriber.unref(); subscriber.read().then(() => print('read'));`,
      `publisher.unref(); publisher.publish(new Uint8Array(1)).then(() => print('published'));`,
    ];
    for (const wait of waits) expect(await script(wait)).toMatchObject({ code: 0, lines: ['exit'] });
    const kept = `subscriber.tryReadMany(9); subscriber.unref().ref(); subscriber.read().then(() => print('read'));
       setTimeout(() => publisher.publish(new Uint8Array(1)), 20).unref();`;
    expect(await script(kept)).toMatchObject({ code: 0, lines: ['read', 'exit'] });
  });
});
