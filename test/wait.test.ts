// Waiting: timeouts, aborts, order, what keeps a process alive, signals, threads that block. The truth of no test here
// depends on how long anything takes; times are only limits.
import { getEventListeners } from 'node:events';
import { readFile } from 'node:fs/promises';
import {
  ClosedError,
  RingwayError,
  type SpscConsumer,
  type SpscProducer,
  SpscRing,
  type SpscRingOptions,
  TimeoutError,
} from 'ringway';
import { describe, expect, it } from 'vitest';
import { opening, segmentDirectory, useOwnDirectory } from './helpers/directory.js';
import { startProcess, startThread, WATCHDOG_MS } from './helpers/remote.js';
import { BACKENDS, fill, recordOf, rejectionOf, thrownBy, until } from './helpers/rings.js';
import { runScript, startScript, untilAsleep, untilBusy } from './helpers/script.js';

useOwnDirectory();

const MODES = ['park', 'adaptive', 'spin'] as const;
const CAPACITY = 256;

// Every operation that can wait, on a ring where it has to.
type AsyncForm = (options?: { timeoutMs?: number; signal?: AbortSignal }) => Promise<unknown>;
type SyncForm = (options?: { timeoutMs?: number }) => unknown;
const consuming = (consumer: SpscConsumer): Record<string, AsyncForm> => ({
  pop: (options) => consumer.pop(options),
  peek: (options) => consumer.peek(options),
  ready: (options) => consumer.ready(options),
});
const producing = (producer: SpscProducer): Record<string, AsyncForm> => ({
  push: (options) => producer.push(recordOf(100), options),
  claim: (options) => producer.claim(100, options),
});
const consumingSync = (consumer: SpscConsumer): Record<string, SyncForm> => ({
  popSync: (options) => consumer.popSync(options),
  peekSync: (options) => consumer.peekSync(options),
  readySync: (options) => consumer.readySync(options),
});
const producingSync = (producer: SpscProducer): Record<string, SyncForm> => ({
  pushSync: (options) => producer.pushSync(recordOf(100), options),
  claimSync: (options) => producer.claimSync(100, options),
});

for (const backend of BACKENDS) {
  describe(`waiting over ${backend}`, () => {
    const make = (options: Partial<SpscRingOptions> = {}) =>
      opening(SpscRing.create({ capacity: CAPACITY, backend, ...options }));
    // An empty ring without a producer, and a full one without a consumer: nobody's absence ends the wait.
    const emptyRing = (options: Partial<SpscRingOptions> = {}) => {
      const empty = make(options);
      return { empty, consumer: empty.consumer() };
    };
    const fullRing = (options: Partial<SpscRingOptions> = {}) => {
      const full = make(options);
      const producer = full.producer();
      fill(producer);
      return { full, producer };
    };

    describe('timeouts', () => {
      it('of the wrong kind are refused, whether or not the operation would have to wait', async () => {
        const ring = make();
        const producer = ring.producer();
        const consumer = ring.consumer();
        for (const there of [false, true]) {
          if (there) producer.tryPush(recordOf(5));
          const before = ring.stats();
          for (const [timeoutMs, error] of [
            [NaN, RangeError],
            ['5', TypeError],
            [null, TypeError],
            [5n, TypeError],
          ] as const) {
            const options = { timeoutMs: timeoutMs as number };
            for (const form of Object.values({ ...consuming(consumer), ...producing(producer) })) {
              expect(await rejectionOf(form(options))).toBeInstanceOf(error);
            }
            for (const form of Object.values({ ...consumingSync(consumer), ...producingSync(producer) })) {
              expect(thrownBy(() => form(options))).toBeInstanceOf(error);
            }
            expect(await rejectionOf(ring.takeProducer(options))).toBeInstanceOf(error);
          }
          expect(ring.stats()).toEqual(before);
        }
      });

      for (const wait of MODES) {
        it(`of 0, less, or a little more reject with TimeoutError and have no effect (${wait})`, async () => {
          const { empty, consumer } = emptyRing({ wait });
          const { full, producer } = fullRing({ wait });
          for (const timeoutMs of [0, -0, -1, -Infinity, 0.5, 2]) {
            for (const [name, form] of Object.entries({ ...consuming(consumer), ...producing(producer) })) {
              const error = await rejectionOf(form({ timeoutMs }));
              expect(error, `${name} ${timeoutMs}`).toBeInstanceOf(TimeoutError);
              expect(error.code).toBe('ERR_RINGWAY_TIMEOUT');
              expect(error.message).toContain(name);
            }
            for (const [name, form] of Object.entries({ ...consumingSync(consumer), ...producingSync(producer) })) {
              const error = thrownBy(() => form({ timeoutMs }));
              expect(error, `${name} ${timeoutMs}`).toBeInstanceOf(TimeoutError);
              expect(error.message).toContain(name);
            }
          }
          expect(full.consumer().tryPopMany(Infinity)).toHaveLength(CAPACITY / 16);
          empty.producer().tryPush(recordOf(1));
          expect(consumer.tryPop()).toEqual(recordOf(1));
        });
      }

      it('of 0 are one attempt', async () => {
        const ring = make();
        const producer = ring.producer();
        const consumer = ring.consumer();
        for (const timeoutMs of [0, -1]) {
          await producer.push(recordOf(1), { timeoutMs });
          await consumer.ready({ timeoutMs });
          consumer.readySync({ timeoutMs });
          expect(await consumer.pop({ timeoutMs })).toEqual(recordOf(1));
          producer.pushSync(recordOf(2), { timeoutMs });
          expect(consumer.popSync({ timeoutMs })).toEqual(recordOf(2));
        }
      });

      it('of Infinity, and longer than a timer can be, wait until it is there', async () => {
        const ring = make();
        const consumer = ring.consumer();
        for (const timeoutMs of [Infinity, Number.MAX_VALUE, 2 ** 31, 2 ** 40]) {
          const waiting = consumer.pop({ timeoutMs });
          for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
          ring.producer().tryPush(recordOf(3));
          expect(await waiting).toEqual(recordOf(3));
        }
      });

      it('of one operation leave those before and behind it in line', async () => {
        const ring = make();
        const consumer = ring.consumer();
        const first = consumer.pop();
        const second = rejectionOf(consumer.pop({ timeoutMs: 1 }));
        const third = consumer.pop({ timeoutMs: 60_000 });
        expect(await second).toBeInstanceOf(TimeoutError);
        ring.producer().tryPushMany([recordOf(1), recordOf(2)]);
        expect(await Promise.all([first, third])).toEqual([recordOf(1), recordOf(2)]);
      });
    });

    describe('an AbortSignal', () => {
      it('that was aborted before rejects with its reason, even if the operation could succeed', async () => {
        const ring = make();
        const producer = ring.producer();
        const consumer = ring.consumer();
        producer.tryPush(recordOf(1));
        const before = ring.stats();
        const reason = new Error('not any more');
        const signal = AbortSignal.abort(reason);
        for (const form of Object.values({ ...consuming(consumer), ...producing(producer) })) {
          expect(await rejectionOf(form({ signal }))).toBe(reason);
        }
        expect(await rejectionOf(consumer.pop({ signal: AbortSignal.abort() }))).toMatchObject({ name: 'AbortError' });
        expect(await rejectionOf(ring.takeProducer({ signal }))).toBe(reason);
        expect(ring.stats()).toEqual(before);
        expect(getEventListeners(signal, 'abort')).toEqual([]);
      });

      it('that is aborted meanwhile rejects with its reason and swallows nothing', async () => {
        const { empty, consumer } = emptyRing();
        const { full, producer } = fullRing();
        const reason = { any: 'value' };
        for (const form of Object.values({ ...consuming(consumer), ...producing(producer) })) {
          const controller = new AbortController();
          const waiting = rejectionOf(form({ signal: controller.signal }));
          await new Promise(setImmediate);
          controller.abort(reason);
          expect(await waiting).toBe(reason);
        }
        const kept = consumer.pop();
        empty.producer().tryPush(recordOf(7));
        expect(await kept).toEqual(recordOf(7));
        expect(full.consumer().tryPopMany(Infinity)).toHaveLength(CAPACITY / 16);
        expect(full.consumer().tryPop()).toBeNull();
      });

      it('that is aborted in the very turn in which the record comes loses no record', async () => {
        const ring = make();
        const producer = ring.producer();
        const consumer = ring.consumer();
        for (let round = 0; round < 200; round++) {
          const controller = new AbortController();
          const waiting = consumer.pop({ signal: controller.signal }).catch(() => undefined);
          if (round % 3 === 0) await new Promise(setImmediate);
          const record = new Uint8Array([round]);
          if (round % 2 === 0) controller.abort();
          producer.tryPush(record);
          if (round % 2 === 1) {
            if (round % 3 === 1) await new Promise(setImmediate);
            controller.abort();
          }
          const popped = (await waiting) ?? consumer.tryPop();
          expect(popped, `round ${round}`).toEqual(record);
          expect(consumer.tryPop()).toBeNull();
        }
      });

      it('lets the next in line go on', async () => {
        const ring = make();
        const consumer = ring.consumer();
        const controller = new AbortController();
        const first = rejectionOf(consumer.pop({ signal: controller.signal }));
        const second = consumer.pop();
        const third = rejectionOf(consumer.pop({ signal: controller.signal }));
        controller.abort();
        expect((await first).name).toBe('AbortError');
        expect((await third).name).toBe('AbortError');
        ring.producer().tryPush(recordOf(4));
        expect(await second).toEqual(recordOf(4));
      });

      it('lets a small record pass once the large one before it has given up', async () => {
        const ring = make();
        const producer = ring.producer();
        const consumer = ring.consumer();
        const pushed = fill(producer);
        consumer.tryPop();
        const controller = new AbortController();
        const large = rejectionOf(producer.push(recordOf(100), { signal: controller.signal }));
        const small = producer.push(recordOf(8, 99));
        controller.abort();
        await large;
        await small;
        expect(consumer.tryPopMany(Infinity)).toHaveLength(pushed);
      });

      it('is not listened to any more when the operation is over', async () => {
        const ring = make();
        const consumer = ring.consumer();
        const { signal } = new AbortController();
        const waiting = consumer.pop({ signal });
        expect(getEventListeners(signal, 'abort')).toHaveLength(1);
        ring.producer().tryPush(recordOf(1));
        await waiting;
        await rejectionOf(consumer.pop({ signal, timeoutMs: 1 }));
        const closing = rejectionOf(consumer.pop({ signal }));
        consumer.close();
        await closing;
        expect(getEventListeners(signal, 'abort')).toEqual([]);
      });

      it('must be one', async () => {
        const { consumer } = emptyRing();
        for (const signal of [{}, null, 'now'] as never[]) {
          expect(await rejectionOf(consumer.pop({ signal, timeoutMs: 1 }))).toBeInstanceOf(TypeError);
        }
      });
    });

    describe('the line', () => {
      it('is served in the order of the calls, whatever they are', async () => {
        const ring = make();
        const consumer = ring.consumer();
        const order: string[] = [];
        const log = (name: string) => (value: unknown) => {
          order.push(`${name} ${value instanceof Uint8Array ? value[0] : ''}`.trim());
        };
        const all = [
          consumer.pop().then(log('pop')),
          consumer.ready().then(log('ready')),
          consumer.pop().then(log('pop')),
          consumer.peek().then((peek) => {
            log('peek')(peek.bytes);
            peek.release();
          }),
        ];
        for (let i = 1; i <= 3; i++) {
          ring.producer().tryPush(new Uint8Array([i]));
          await new Promise(setImmediate);
        }
        await Promise.all(all);
        expect(order).toEqual(['pop 1', 'ready', 'pop 2', 'peek 3']);
      });

      it('is not jumped by a later operation that could succeed at once', async () => {
        const ring = make();
        const producer = ring.producer();
        const consumer = ring.consumer();
        fill(producer);
        const order: string[] = [];
        const large = producer.push(recordOf(100, 1)).then(() => order.push('large'));
        consumer.tryPop(); // Room for the small one only.
        const small = producer.push(recordOf(8, 2)).then(() => order.push('small'));
        for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
        expect(order).toEqual([]);
        consumer.tryPopMany(Infinity);
        await Promise.all([large, small]);
        expect(order).toEqual(['large', 'small']);
        expect(consumer.tryPopMany(9)).toEqual([recordOf(100, 1), recordOf(8, 2)]);
      });

      it('is kept by a Sync wait, which comes behind those that wait already', async () => {
        const ring = make();
        const thread = await startThread();
        await thread.run(({ ringway, state }, handle) => {
          state.ring = ringway.SpscRing.attach(handle);
          state.producer = state.ring.producer();
        }, ring.handle);
        const consumer = ring.consumer();
        for (let round = 0; round < 20; round++) {
          const first = consumer.pop();
          const { result } = await thread.start(({ state }) => {
            state.producer.tryPush(new Uint8Array([1]));
            state.producer.tryPush(new Uint8Array([2]));
          });
          const second = consumer.popSync({ timeoutMs: 10_000 });
          expect([(await first)[0], second[0]]).toEqual([1, 2]);
          await result;
        }
        await thread.run(({ state }) => state.ring.close());
      });
    });

    describe('a producer without room', () => {
      for (const wait of MODES) {
        it(`goes on when there is enough of it (${wait})`, async () => {
          const ring = make({ wait });
          const producer = ring.producer();
          const consumer = ring.consumer();
          let pushed = fill(producer);
          let popped = 0;
          const order: Uint8Array[] = Array.from({ length: pushed }, (_, i) => recordOf(8, i));
          for (const byteLength of [120, 8, 0, 119, 64, 100, 1, 120]) {
            const record = recordOf(byteLength, ++pushed);
            order.push(record);
            let done = false;
            const waiting = producer.push(record).then(() => {
              done = true;
            });
            // One record at a time, each of which may or may not be enough.
            while (!done) {
              const record = consumer.tryPop();
              if (record !== null) expect(record).toEqual(order[popped++]);
              await new Promise(setImmediate);
            }
            await waiting;
          }
          for (const record of consumer.tryPopMany(Infinity)) expect(record).toEqual(order[popped++]);
          expect(popped).toBe(order.length);
        });
      }
    });

    describe('close', () => {
      it('rejects what is pending with ClosedError, and refuses what comes later', async () => {
        const { consumer } = emptyRing();
        const { producer } = fullRing();
        const pending = Object.values({ ...consuming(consumer), ...producing(producer) }).map((form) =>
          rejectionOf(form()),
        );
        await new Promise(setImmediate);
        consumer.close();
        producer.close();
        for (const error of await Promise.all(pending)) {
          expect(error).toBeInstanceOf(ClosedError);
          expect(error.code).toBe('ERR_RINGWAY_CLOSED');
        }
        for (const form of Object.values({ ...consuming(consumer), ...producing(producer) })) {
          expect(await rejectionOf(form())).toBeInstanceOf(ClosedError);
        }
        for (const form of Object.values({ ...consumingSync(consumer), ...producingSync(producer) })) {
          expect(thrownBy(() => form())).toBeInstanceOf(ClosedError);
        }
      });

      it('of the pending pop does not cost the next one a record', async () => {
        const ring = make();
        const producer = ring.producer();
        const waiting = rejectionOf(ring.consumer().pop());
        producer.tryPush(recordOf(3));
        ring.consumer().close();
        expect(await waiting).toBeInstanceOf(ClosedError);
        expect(await ring.consumer().pop()).toEqual(recordOf(3));
      });
    });

    describe('the event loop', () => {
      const SUCCESSES = 200_000; // Enough for a timer of 1 ms, if the loop turns at all.

      it('turns though every await succeeds at once', async () => {
        const ring = make();
        const producer = ring.producer();
        const consumer = ring.consumer();
        const record = recordOf(8);
        const rounds: Record<string, () => Promise<void>> = {
          'push and pop': async () => {
            await producer.push(record);
            await consumer.pop();
          },
          'claim and peek': async () => {
            (await producer.claim(8)).commit();
            (await consumer.peek()).release();
          },
          ready: async () => {
            if (ring.stats().used === 0) await producer.push(record);
            await consumer.ready();
          },
        };
        for (const [name, round] of Object.entries(rounds)) {
          let timer = false;
          let read = false;
          setTimeout(() => {
            timer = true;
          }, 1);
          void readFile('/proc/self/stat').then(() => {
            read = true;
          });
          let count = 0;
          while (!(timer && read) && count < SUCCESSES) {
            await round();
            count++;
          }
          expect(timer && read, `${name}: neither timers nor I/O in ${count} rounds`).toBe(true);
        }
      });

      for (const wait of MODES) {
        it(`turns while an operation waits (${wait})`, async () => {
          const controller = new AbortController();
          const waiting = rejectionOf(emptyRing({ wait }).consumer.pop({ signal: controller.signal }));
          for (let i = 0; i < 5; i++) await new Promise((resolve) => setTimeout(resolve, 1));
          expect(await readFile('/proc/self/stat', 'utf8')).toContain(String(process.pid));
          controller.abort();
          expect((await waiting).name).toBe('AbortError');
        });
      }
    });

    describe('a Sync wait that only this thread could end', () => {
      it('throws ERR_RINGWAY_WOULD_DEADLOCK and has no effect', () => {
        for (const wait of MODES) {
          const ring = make({ wait });
          const other = opening(SpscRing.attach(ring.handle));
          const producer = ring.producer();
          const consumer = other.consumer();
          for (const form of Object.values(consumingSync(consumer))) {
            const error = thrownBy(() => form());
            expect(error).toBeInstanceOf(RingwayError);
            expect(error.code).toBe('ERR_RINGWAY_WOULD_DEADLOCK');
          }
          const pushed = fill(producer);
          for (const form of Object.values(producingSync(producer))) {
            expect(thrownBy(() => form()).code).toBe('ERR_RINGWAY_WOULD_DEADLOCK');
          }
          for (let i = 0; i < pushed; i++) expect(consumer.popSync()).toEqual(recordOf(8, i));
          expect(consumer.tryPop()).toBeNull();
        }
      });

      it('also behind operations that wait already', async () => {
        const ring = make();
        ring.producer();
        const consumer = ring.consumer();
        const waiting = consumer.pop();
        expect(thrownBy(() => consumer.popSync()).code).toBe('ERR_RINGWAY_WOULD_DEADLOCK');
        ring.producer().tryPush(recordOf(2));
        expect(await waiting).toEqual(recordOf(2));
      });

      it('is none when the other end is elsewhere', async () => {
        const ring = make();
        const thread = await startThread();
        await thread.run(({ ringway, state }, handle) => {
          state.ring = ringway.SpscRing.attach(handle);
          state.producer = state.ring.producer();
        }, ring.handle);
        const { result } = await thread.start(({ state }) => state.producer.tryPush(new Uint8Array([1])));
        expect(ring.consumer().popSync({ timeoutMs: 10_000 })).toEqual(new Uint8Array([1]));
        await result;
        await thread.run(({ state }) => state.ring.close());
      });
    });

    describe('between threads', () => {
      for (const wait of MODES) {
        it(`Sync waits on both ends pass records in order (${wait})`, async () => {
          const ring = make({ wait, capacity: 128 });
          const thread = await startThread();
          const COUNT = 2000;
          const { result } = await thread.start(
            ({ ringway }, handle, count) => {
              const ring = ringway.SpscRing.attach(handle);
              const producer = ring.producer();
              for (let i = 0; i < count; i++) producer.pushSync(new Uint8Array([i, i >> 8]), { timeoutMs: 15_000 });
              ring.close();
            },
            ring.handle,
            COUNT,
          );
          const consumer = ring.consumer();
          for (let i = 0; i < COUNT; i++) {
            expect(consumer.popSync({ timeoutMs: 15_000 })).toEqual(new Uint8Array([i, i >> 8]));
          }
          expect(thrownBy(() => consumer.popSync({ timeoutMs: 15_000 })).code).toBe('ERR_RINGWAY_END');
          await result;
        });

        it(`asynchronous waits on both ends pass records in order (${wait})`, async () => {
          const ring = make({ wait, capacity: 128 });
          const thread = await startThread();
          const COUNT = 2000;
          const { result } = await thread.start(
            async ({ ringway }, handle, count) => {
              const ring = ringway.SpscRing.attach(handle);
              const producer = ring.producer();
              for (let i = 0; i < count; i++) await producer.push(new Uint8Array([i, i >> 8]), { timeoutMs: 15_000 });
              ring.close();
            },
            ring.handle,
            COUNT,
          );
          let count = 0;
          for await (const bytes of ring.consumer()) {
            expect(bytes).toEqual(new Uint8Array([count, count >> 8]));
            count++;
          }
          expect(count).toBe(COUNT);
          await result;
        });
      }

      it('onPeerGone: wait lets a blocked thread wait for a replacement', async () => {
        const ring = make();
        ring.producer().close();
        const thread = await startThread();
        await thread.run(({ ringway, state }, handle) => {
          state.ring = ringway.SpscRing.attach(handle);
          state.consumer = state.ring.consumer();
        }, ring.handle);
        const error = await rejectionOf(thread.run(({ state }) => state.consumer.popSync()));
        expect(error.code).toBe('ERR_RINGWAY_END');
        const { result } = await thread.start(({ state }) =>
          state.consumer.popSync({ onPeerGone: 'wait', timeoutMs: 15_000 }),
        );
        ring.producer().tryPush(recordOf(6));
        expect(await result).toEqual(recordOf(6));
        await thread.run(({ state }) => state.ring.close());
      });
    });

    describe('a worker that is terminated', () => {
      // `asleep` is true where the parks counter tells that the thread has gone to sleep.
      const waits: Record<string, { full: boolean; call: string }> = {
        popSync: { full: false, call: 'state.consumer.popSync()' },
        peekSync: { full: false, call: 'state.consumer.peekSync()' },
        pushSync: { full: true, call: 'state.producer.pushSync(new Uint8Array(100))' },
        pop: { full: false, call: 'state.consumer.pop()' },
        push: { full: true, call: 'state.producer.push(new Uint8Array(100))' },
      };
      for (const wait of MODES) {
        for (const [name, { full, call }] of Object.entries(waits)) {
          if (wait !== 'park' && !name.startsWith('pop')) continue;
          it(`in ${name} ends, and the ring goes on (${wait})`, async () => {
            const ring = make({ wait });
            const thread = await startThread();
            await thread.run(
              ({ ringway, state }, handle, full) => {
                state.ring = ringway.SpscRing.attach(handle);
                if (!full) {
                  state.consumer = state.ring.consumer();
                  return;
                }
                state.producer = state.ring.producer();
                while (state.producer.tryPush(new Uint8Array(8)));
              },
              ring.handle,
              full,
            );
            const { result } = await thread.start(
              ({ state }, call) => new Function('state', `return ${call}`)(state),
              call,
            );
            const before = ring.stats();
            await until(() => {
              const { parks, spins } = ring.stats();
              return wait === 'spin' ? spins > 0 : parks > 0;
            });
            await thread.terminate();
            await expect(result).rejects.toThrow('ended');
            expect(ring.stats().used).toBe(before.used);
            if (backend === 'sab') return; // Nobody tells of the end of a thread: its role stays taken.
            if (full) {
              expect(ring.consumer().tryPopMany(Infinity)).toHaveLength(CAPACITY / 16);
              expect(ring.consumer().ended).toBe(true);
            } else {
              await ring.producer().push(recordOf(3));
              expect(ring.consumer().tryPop()).toEqual(recordOf(3));
            }
          });
        }
      }
    });

    describe('stats', () => {
      it('count sleeps and wake-ups of those who park, and watching of the others', async () => {
        const parked = make({ wait: 'park' });
        const waiting = parked.consumer().pop();
        expect(parked.stats()).toMatchObject({ spins: 0, parks: 1, wakeUps: 0 });
        parked.producer().tryPush(recordOf(1));
        await waiting;
        expect(parked.stats().parks).toBeGreaterThanOrEqual(1);
        expect(parked.stats().wakeUps).toBeGreaterThanOrEqual(1);

        const spinning = make({ wait: 'spin' });
        const watching = spinning.consumer().pop();
        for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
        spinning.producer().tryPush(recordOf(1));
        await watching;
        expect(spinning.stats()).toMatchObject({ parks: 0, wakeUps: 0 });
        expect(spinning.stats().spins).toBeGreaterThan(0);
      });

      it('count nothing while nobody has to wait', async () => {
        const ring = make();
        for (let i = 0; i < 1000; i++) {
          await ring.producer().push(recordOf(8));
          await ring.consumer().pop();
        }
        expect(ring.stats()).toMatchObject({ spins: 0, parks: 0, wakeUps: 0, pushed: 1000, popped: 1000 });
      });
    });
  });
}

describe('a pending operation and the life of the process', () => {
  // The record comes from the test when the program sleeps; a program that was not kept alive is gone by then.
  for (const wait of MODES) {
    it(`keeps the process alive (${wait})`, async () => {
      const ring = opening(SpscRing.create({ capacity: CAPACITY, wait }));
      const script = startScript(
        `process.on('beforeExit', () => print('loop is empty'));
         const ring = SpscRing.attach(input);
         const waiting = ring.consumer().pop();
         print('waiting');
         print('got ' + (await waiting)[0]);
         ring.close();`,
        { input: ring.handle },
      );
      expect(await script.line()).toBe('waiting');
      await until(() => (wait === 'spin' ? ring.stats().spins > 100 : ring.stats().parks > 0));
      ring.producer().tryPush(new Uint8Array([5]));
      expect(await script.end).toMatchObject({ code: 0, lines: ['waiting', 'got 5', 'loop is empty'] });
    });

    it(`does not after unref(), before or after the call (${wait})`, async () => {
      for (const [before, after] of [
        ['ring.consumer().unref();', ''],
        ['', 'ring.consumer().unref();'],
        ['', 'await new Promise(setImmediate); ring.consumer().unref();'],
      ]) {
        const end = await runScript(
          `process.on('beforeExit', () => print('loop is empty'));
           const ring = SpscRing.create({ capacity: 64, wait: '${wait}' });
           ${before}
           ring.consumer().pop().then(() => print('got'), () => print('rejected'));
           ${after}`,
        );
        expect(end).toMatchObject({ code: 0, lines: ['loop is empty'], errors: '' });
      }
    });

    it(`does again after ref(), before or after the call (${wait})`, async () => {
      for (const code of [
        'consumer.unref(); consumer.ref(); const waiting = consumer.pop();',
        'consumer.unref(); const waiting = consumer.pop(); consumer.ref();',
        'const waiting = consumer.pop(); consumer.unref(); consumer.ref();',
      ]) {
        const ring = opening(SpscRing.create({ capacity: CAPACITY, wait }));
        const script = startScript(
          `const ring = SpscRing.attach(input);
           const consumer = ring.consumer();
           ${code}
           print('waiting');
           print('got ' + (await waiting)[0]);
           ring.close();`,
          { input: ring.handle },
        );
        expect(await script.line(), code).toBe('waiting');
        await until(() => (wait === 'spin' ? ring.stats().spins > 100 : ring.stats().parks > 0));
        ring.producer().tryPush(new Uint8Array([5]));
        expect(await script.end, code).toMatchObject({ code: 0, lines: ['waiting', 'got 5'] });
      }
    });
  }

  it('waits on when a pending role was asked for, unless unref() was called', async () => {
    const ring = opening(SpscRing.create({ capacity: CAPACITY }));
    ring.producer();
    const unreferenced = await runScript(
      `process.on('beforeExit', () => print('loop is empty'));
       const ring = SpscRing.attach(input).unref();
       ring.takeProducer().then(() => print('taken'));`,
      { input: ring.handle },
    );
    expect(unreferenced).toMatchObject({ code: 0, lines: ['loop is empty'] });
    const referenced = startScript(
      `const ring = SpscRing.attach(input);
       const taking = ring.takeProducer();
       print('waiting');
       await taking;
       print('taken');
       ring.close();`,
      { input: ring.handle },
    );
    await referenced.line();
    ring.producer().close();
    expect(await referenced.end).toMatchObject({ code: 0, lines: ['waiting', 'taken'] });
  });

  it('is the same over a SharedArrayBuffer', async () => {
    const worker = `
      const { workerData, parentPort } = require('node:worker_threads');
      parentPort.on('message', async () => {
        const { SpscRing } = await import('ringway');
        const ring = SpscRing.attach(workerData);
        ring.producer().tryPush(new Uint8Array([5]));
        ring.close();
      });`;
    const program = (unref: string) =>
      `import { Worker } from 'node:worker_threads';
       process.on('beforeExit', () => print('loop is empty'));
       const ring = SpscRing.create({ capacity: 64, backend: 'sab', wait: 'park' });
       ${unref}
       const waiting = ring.consumer().pop().then((bytes) => print('got ' + bytes[0]));
       const worker = new Worker(${JSON.stringify(worker)}, { eval: true, execArgv: [], workerData: ring.handle });
       await new Promise((resolve) => worker.once('online', resolve));
       if (!${JSON.stringify(unref)}) worker.postMessage('push');
       worker.unref();`;
    expect(await runScript(program(''))).toMatchObject({ code: 0, lines: ['got 5', 'loop is empty'] });
    expect(await runScript(program('ring.consumer().unref();'))).toMatchObject({ code: 0, lines: ['loop is empty'] });
  });
});

describe('a Sync wait on the main thread and signals', () => {
  const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const forms = {
    popSync: 'consumer.popSync()',
    peekSync: 'consumer.peekSync()',
    readySync: 'consumer.readySync()',
    pushSync: 'producer.pushSync(new Uint8Array(100))',
    claimSync: 'producer.claimSync(100)',
  };
  // Nobody holds the other end, so that the wait is one long sleep.
  const program = (call: string, wait: string, listen: boolean) => `
    const full = SpscRing.create({ capacity: 256, wait: '${wait}' });
    const producer = full.producer();
    while (producer.tryPush(new Uint8Array(8)));
    const empty = SpscRing.create({ capacity: 256, wait: '${wait}' });
    const consumer = empty.consumer();
    const heard = [];
    if (${listen}) for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => heard.push(signal));
    const before = JSON.stringify([full.stats().used, empty.stats().used]);
    print('blocking');
    try {
      ${call};
      print('returned');
    } catch (error) {
      print([error instanceof ringway.RingwayError, error.code, heard.length].join());
    }
    print(before === JSON.stringify([full.stats().used, empty.stats().used]));
    while (heard.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    print(heard.join());
    empty.producer().tryPush(new Uint8Array([7]));
    print(consumer.popSync()[0]);
    print(full.consumer().tryPopMany(Infinity).length);
    full.close();
    empty.close();
    process.exit(0);`;

  for (const [name, call] of Object.entries(forms)) {
    for (const signal of name === 'popSync' ? SIGNALS : (['SIGINT'] as const)) {
      it(`${name} ends with EINTR when somebody listens to ${signal}, whose listener runs afterwards`, async () => {
        const script = startScript(program(call, 'park', true));
        expect(await script.line()).toBe('blocking');
        await untilAsleep(script.pid);
        script.kill(signal);
        expect(await script.end).toMatchObject({
          code: 0,
          lines: ['blocking', 'true,EINTR,0', 'true', signal, '7', '16'],
          errors: '',
        });
      });
    }
  }

  for (const wait of ['adaptive', 'spin'] as const) {
    it(`popSync ends with EINTR when it waits in another way (${wait})`, async () => {
      const script = startScript(program(forms.popSync, wait, true));
      expect(await script.line()).toBe('blocking');
      if (wait === 'adaptive') await untilAsleep(script.pid);
      else await untilBusy(script.pid);
      script.kill('SIGTERM');
      expect(await script.end).toMatchObject({
        code: 0,
        lines: ['blocking', 'true,EINTR,0', 'true', 'SIGTERM', '7', '16'],
      });
    });
  }

  it('ends with EINTR when a signal came since the last one, whose listener has not run yet', async () => {
    const end = await runScript(
      `const consumer = SpscRing.create({ capacity: 64 }).consumer();
       let heard = 0;
       process.on('SIGINT', () => heard++);
       try { consumer.popSync({ timeoutMs: 100 }); } catch (error) { print(error.code); }
       process.kill(process.pid, 'SIGINT');
       try {
         consumer.popSync({ timeoutMs: ${WATCHDOG_MS / 2} });
       } catch (error) {
         print(error.code + ' ' + heard);
       }
       while (heard === 0) await new Promise((resolve) => setTimeout(resolve, 1));
       print(heard);
       process.exit(0);`,
    );
    expect(end).toMatchObject({ code: 0, lines: ['ERR_RINGWAY_TIMEOUT', 'EINTR 0', '1'] });
  });

  for (const wait of MODES) {
    it(`ends with EINTR however soon the signal comes (${wait})`, async () => {
      // A thread that sends the signal as soon as it sees that the wait has begun: before the first sleep, mostly.
      const end = await runScript(
        `import { Worker } from 'node:worker_threads';
         process.on('SIGINT', () => {});
         const ring = SpscRing.create({ capacity: 64, wait: '${wait}' });
         const source = \`
           const { SpscRing } = await import('ringway');
           const { workerData } = await import('node:worker_threads');
           const ring = SpscRing.attach(workerData.handle);
           const go = new Int32Array(workerData.go);
           for (let round = 1; round <= 20; round++) {
             while (Atomics.load(go, 0) < round);
             const { spins } = ring.stats();
             Atomics.store(go, 0, -round);
             while (ring.stats().spins === spins);
             process.kill(process.pid, 'SIGINT');
           }\`;
         const go = new SharedArrayBuffer(4);
         fs.writeFileSync(input, source.replace("'ringway'", JSON.stringify(import.meta.resolve('ringway'))));
         new Worker(input, { execArgv: [], workerData: { handle: ring.handle, go } });
         const codes = {};
         for (let round = 1; round <= 20; round++) {
           Atomics.store(new Int32Array(go), 0, round);
           while (Atomics.load(new Int32Array(go), 0) !== -round);
           try {
             ring.consumer().popSync({ timeoutMs: ${WATCHDOG_MS / 20} });
           } catch (error) {
             codes[error.code] = (codes[error.code] ?? 0) + 1;
           }
           await new Promise((resolve) => setTimeout(resolve, 1));
         }
         print(JSON.stringify(codes));
         fs.rmSync(input);
         process.exit(0);`,
        { input: `${segmentDirectory()}/sender-${wait}.mjs`, watchdogMs: 2 * WATCHDOG_MS },
      );
      expect(end).toMatchObject({ code: 0, lines: ['{"EINTR":20}'] });
    });
  }

  it('ends with EINTR each time anew', async () => {
    const script = startScript(
      `const consumer = SpscRing.create({ capacity: 64, wait: 'park' }).consumer();
       let heard = 0;
       process.on('SIGINT', () => heard++);
       for (let round = 1; round <= 3; round++) {
         print('blocking');
         try { consumer.popSync(); } catch (error) { print(error.code); }
         while (heard < round) await new Promise((resolve) => setTimeout(resolve, 1));
       }
       process.exit(0);`,
    );
    for (let round = 0; round < 3; round++) {
      expect(await script.line()).toBe('blocking');
      await untilAsleep(script.pid);
      script.kill('SIGINT');
      expect(await script.line()).toBe('EINTR');
    }
    expect(await script.end).toMatchObject({ code: 0 });
  });

  for (const signal of SIGNALS) {
    it(`dies by ${signal} when nobody listens`, async () => {
      const script = startScript(program(forms.popSync, 'park', false));
      expect(await script.line()).toBe('blocking');
      await untilAsleep(script.pid);
      script.kill(signal);
      expect(await script.end).toMatchObject({ code: null, signal, lines: ['blocking'] });
      // Its rings have no name and it was killed: the next create of a process that has not created yet takes them away.
      await runScript('SpscRing.create({ capacity: 64 }).close();');
    });
  }

  it('goes on when the signal is one that nobody listens to and that is ignored', async () => {
    const ring = opening(SpscRing.create({ capacity: 64, wait: 'park' }));
    const script = startScript(
      `const ring = SpscRing.attach(input);
       process.on('SIGUSR2', () => {});
       print('blocking');
       print(ring.consumer().popSync()[0]);
       ring.close();
       process.exit(0);`,
      { input: ring.handle },
    );
    await script.line();
    await untilAsleep(script.pid);
    script.kill('SIGUSR2');
    script.kill('SIGWINCH');
    await untilAsleep(script.pid);
    ring.producer().tryPush(new Uint8Array([4]));
    expect(await script.end).toMatchObject({ code: 0, lines: ['blocking', '4'] });
  });

  it('is no business of a worker, whose main thread hears the signal at once', async () => {
    const script = startScript(
      `import { Worker } from 'node:worker_threads';
       const ring = SpscRing.create({ capacity: 64, wait: 'park' });
       const source = "import('ringway').then(({ SpscRing }) => {" +
         "const ring = SpscRing.attach(require('node:worker_threads').workerData);" +
         "require('node:worker_threads').parentPort.postMessage(ring.consumer().popSync()[0]); ring.close(); })";
       const worker = new Worker(source, { eval: true, execArgv: [], workerData: ring.handle });
       process.on('SIGINT', () => {
         print('heard');
         ring.producer().tryPush(new Uint8Array([9]));
       });
       worker.on('message', (value) => { print(value); ring.close(); process.exit(0); });
       while (ring.stats().parks === 0) await new Promise((resolve) => setTimeout(resolve, 1));
       print('blocked');`,
    );
    expect(await script.line()).toBe('blocked');
    script.kill('SIGINT');
    expect(await script.end).toMatchObject({ code: 0, lines: ['blocked', 'heard', '9'] });
  });
});

describe('waiting between processes', () => {
  for (const wait of MODES) {
    it(`goes to and fro (${wait}): asynchronous here, Sync there, and the other way round`, async () => {
      const there = opening(SpscRing.create({ capacity: 128, wait }));
      const back = opening(SpscRing.create({ capacity: 128, wait }));
      const other = await startProcess();
      const COUNT = 200;
      await other.run(
        ({ ringway, state }, there, back) => {
          state.rings = [ringway.SpscRing.attach(there), ringway.SpscRing.attach(back)];
          state.consumer = state.rings[0]?.consumer() as typeof state.consumer;
          state.producer = state.rings[1]?.producer() as typeof state.producer;
        },
        there.handle,
        back.handle,
      );
      const producer = there.producer();
      const consumer = back.consumer();
      const { result: sync } = await other.start(({ state }, count) => {
        for (let i = 0; i < count; i++) state.producer.pushSync(state.consumer.popSync({ timeoutMs: 15_000 }));
      }, COUNT);
      for (let i = 0; i < COUNT; i++) {
        await producer.push(recordOf(i % 50, i));
        expect(await consumer.pop({ timeoutMs: 15_000 })).toEqual(recordOf(i % 50, i));
      }
      await sync;
      const { result: asynchronous } = await other.start(async ({ state }, count) => {
        for (let i = 0; i < count; i++) await state.producer.push(await state.consumer.pop({ timeoutMs: 15_000 }));
      }, COUNT);
      for (let i = 0; i < COUNT; i++) {
        producer.pushSync(recordOf(i % 50, i));
        expect(consumer.popSync({ timeoutMs: 15_000 })).toEqual(recordOf(i % 50, i));
      }
      await asynchronous;
      await other.run(({ state }) => {
        for (const ring of state.rings) ring.close();
      });
    });
  }
});
