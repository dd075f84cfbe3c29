// What every call of a Queue does: in one thread, between two processes, and between two threads.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmdirSync } from 'node:fs';
import {
  ClosedError,
  CorruptSegmentError,
  EndOfStreamError,
  Lock,
  MessageSizeError,
  Queue,
  type QueueOptions,
  QueueSender,
  RingwayError,
  TimeoutError,
  wait,
  waitSync,
} from 'ringway';
import { describe, expect, it } from 'vitest';
import { checkQueueOptions, queueOffsetFor } from '../src/channel/queue-options.js';
import { bodyOffsetFor, QueueHeader } from '../src/layout.js';
import { freshName, opening, segmentFiles, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random } from './helpers/random.js';
import { type Context, endRemotes, startProcess, startThread } from './helpers/remote.js';
import { BACKENDS, poke, rejectionOf, thrownBy, until } from './helpers/rings.js';
import { interruptAt, restoreAtomics } from './helpers/steps.js';

useOwnDirectory();
announceSeed('queue');
const NEEDS_ROOT = process.getuid?.() === 0 ? '' : ' (needs root)';

for (const backend of BACKENDS) {
  const make = <T = unknown>(options: QueueOptions = {}) => opening(new Queue<T>({ backend, ...options }));
  const startPeer = () => (backend === 'shm' ? startProcess() : startThread());

  describe(`queue over ${backend}`, () => {
    it('is full with exactly maxSize values, through every form of put', async () => {
      for (const maxSize of [1, 2, 3, 6, 8, 1000]) {
        const queue = make<number>({ maxSize });
        expect([queue.size, queue.empty, queue.full, queue.maxSize]).toEqual([0, true, false, maxSize]);
        for (let lap = 0; lap < 3; lap++) {
          for (let i = 0; i < maxSize; i++) {
            if (i % 3 === 0) await queue.put(i);
            else if (i % 3 === 1) queue.putSync(i);
            else expect(queue.tryPut(i)).toBe(true);
            expect(queue.size).toBe(i + 1);
          }
          expect([queue.empty, queue.full]).toEqual([false, true]);
          expect(queue.tryPut(99)).toBe(false);
          expect(thrownBy(() => queue.putSync(99, { timeoutMs: 0 }))).toBeInstanceOf(TimeoutError);
          expect(await rejectionOf(queue.put(99, { timeoutMs: 1 }))).toBeInstanceOf(TimeoutError);
          for (let i = 0; i < maxSize; i++) {
            expect(i % 2 === 0 ? await queue.get() : queue.getSync()).toBe(i);
            expect(queue.size).toBe(maxSize - 1 - i);
          }
          expect([queue.empty, queue.full]).toEqual([true, false]);
        }
      }
    });

    it('gives the values in order through every form of get, then nothing', async () => {
      const queue = make<number>();
      for (const value of [2, 3, 4, 5]) queue.tryPut(value);
      expect(queue.tryGet()).toEqual({ ok: true, value: 2 });
      expect(await queue.get()).toBe(3);
      expect(queue.getSync({ timeoutMs: 0 })).toBe(4);
      expect(await queue.get({ timeoutMs: 0 })).toBe(5);
      expect(queue.tryGet()).toEqual({ ok: false });
      expect(await rejectionOf(queue.get({ timeoutMs: 1 }))).toBeInstanceOf(TimeoutError);
      expect(await rejectionOf(queue.get({ timeoutMs: -1 }))).toBeInstanceOf(TimeoutError);
      expect(thrownBy(() => queue.getSync({ timeoutMs: 1 }))).toBeInstanceOf(TimeoutError);
      expect(await rejectionOf(queue.get({ timeoutMs: Number.NaN }))).toBeInstanceOf(RangeError);
    });

    it('carries undefined, null, NaN, maps, dates, bigints, cycles', async () => {
      const queue = make();
      const cycle: Record<string, unknown> = {};
      cycle.self = cycle;
      const values = [undefined, null, Number.NaN, -0, 'ü\0', 2n ** 70n, new Map([[1, new Set(['x'])]]), new Date(5)];
      for (const value of [...values, cycle]) await queue.put(value);
      for (const value of values) expect(await queue.get()).toEqual(value);
      const got = (await queue.get()) as Record<string, unknown>;
      expect(got.self).toBe(got);
    });

    it('carries values of any size up to the capacity, whole', async () => {
      const queue = make<Uint8Array>({ maxSize: 4, capacity: 1 << 20 });
      const random = new Random();
      for (const byteLength of [0, 1, 1000, 1060, 1064, 1065, 2048, 4096, 65_537, 300_000, (1 << 20) - 64]) {
        const value = new Uint8Array(byteLength).map(() => random.next());
        await queue.put(value);
        expect(Buffer.compare(await queue.get(), value), `${byteLength} bytes`).toBe(0);
      }
    });

    it('refuses what never fits', async () => {
      const queue = make<Uint8Array>({ capacity: 8192 });
      expect(queue.capacity).toBe(8192);
      const error = thrownBy(() => queue.tryPut(new Uint8Array(9000)));
      expect(error).toBeInstanceOf(MessageSizeError);
      expect(error).toMatchObject({ limit: 8192 });
      expect(error.byteLength).toBeGreaterThan(9000);
      expect(await rejectionOf(queue.put(new Uint8Array(9000)))).toBeInstanceOf(MessageSizeError);
      expect(thrownBy(() => queue.putSync(new Uint8Array(9000)))).toBeInstanceOf(MessageSizeError);
      expect([queue.size, queue.tryPut(new Uint8Array(8000))]).toEqual([0, true]);
    });

    it('is bounded by the bytes of large values, which wait for room and are told of it', async () => {
      const queue = make<Uint8Array>({ maxSize: 100, capacity: 1 << 20 });
      const large = (fill: number) => new Uint8Array(300_000).fill(fill);
      for (let i = 0; i < 3; i++) expect(queue.tryPut(large(i))).toBe(true);
      expect(queue.tryPut(large(3))).toBe(false);
      expect(queue.full).toBe(false);
      expect(queue.tryPut(new Uint8Array(10))).toBe(true);
      expect(await rejectionOf(queue.put(large(3), { timeoutMs: 5 }))).toBeInstanceOf(TimeoutError);
      const waiting = queue.put(large(4));
      const behind = queue.put(new Uint8Array(1)); // Puts of one handle stay in order.
      expect((await queue.get())[0]).toBe(0);
      await Promise.all([waiting, behind]);
      const rest: number[] = [];
      while (!queue.empty) rest.push((await queue.get()).length);
      expect(rest).toEqual([300_000, 300_000, 10, 300_000, 1]);
    });

    it('gives the room of large values back, whatever became of them', async () => {
      const queue = make<Uint8Array>({ maxSize: 3, capacity: 1 << 18 });
      const random = new Random();
      for (let round = 0; round < 300; round++) {
        const count = 1 + random.below(3);
        const lengths = Array.from({ length: count }, () => 1 + random.below(80_000));
        for (const length of lengths)
          expect(queue.tryPut(new Uint8Array(length).fill(length)), `round ${round}`).toBe(true);
        for (const length of lengths) {
          const how = random.below(3);
          if (how === 0) {
            const got = queue.getSync();
            expect([got.length, got[0], got[length - 1]]).toEqual([length, length & 255, length & 255]);
          } else {
            let lease = queue.takeSync();
            if (how === 2) {
              while (queue.size > 0) queue.getSync();
              lease.nack();
              lease = queue.takeSync();
              expect(lease.redelivered).toBe(true);
            }
            expect(lease.value[0]).toBe(lease.value.length & 255);
            lease.ack();
            if (how === 2) break;
          }
        }
        expect(queue.empty).toBe(true);
      }
      expect(queue.tryPut(new Uint8Array((1 << 18) - 64))).toBe(true);
    });

    it('of two who put large values at once each has its own room, and the last room goes to one', () => {
      // One's own, of which each handle has its own encoder, since one puts in the middle of the other's put here.
      const codec = {
        name: 'own',
        encode: (value: unknown) => value as Uint8Array,
        decode: (bytes: Uint8Array) => bytes,
      };
      for (const [byteLength, fit] of [
        [20_000, 2],
        [40_000, 1],
      ] as const) {
        // The other one's slot comes after ours, or, at the end of the slots, before it: who withdraws depends on that.
        for (const before of [0, 7]) {
          for (let at = 1; ; at++) {
            const ours = make<Uint8Array>({ maxSize: 8, capacity: 1 << 16, codec });
            const other = opening(Queue.attach<Uint8Array>(ours.handle, { codec }));
            for (let i = 0; i < before; i++) {
              ours.putSync(new Uint8Array(1));
              ours.getSync();
            }
            let others = false;
            const interruption = interruptAt(at, () => {
              others = other.tryPut(new Uint8Array(byteLength).fill(2));
            });
            const was = ours.tryPut(new Uint8Array(byteLength).fill(1));
            restoreAtomics();
            const got: number[] = [];
            for (let next = ours.tryGet(); next.ok; next = ours.tryGet()) {
              expect(
                next.value.every((byte) => byte === next.value[0]),
                `step ${at}: torn`,
              ).toBe(true);
              got.push(next.value[0] as number);
            }
            expect(got.sort(), `step ${at}`).toEqual([...(was ? [1] : []), ...(others ? [2] : [])]);
            if (interruption.acted) expect(got.length, `step ${at} of ${byteLength} bytes behind ${before}`).toBe(fit);
            expect(ours.tryPut(new Uint8Array((1 << 16) - 64))).toBe(true);
            ours.close();
            other.close();
            if (!interruption.acted) break;
          }
        }
      }
    });

    it('encodes when put is called, also if it has to wait', async () => {
      const queue = make<{ n: number; bytes: Uint8Array }>({ maxSize: 1 });
      const value = { n: 1, bytes: new Uint8Array(5000).fill(1) };
      await queue.put(value);
      value.n = 2;
      value.bytes.fill(2);
      const waiting = queue.put(value);
      value.n = 3;
      value.bytes.fill(3);
      expect(await queue.get()).toEqual({ n: 1, bytes: new Uint8Array(5000).fill(1) });
      await waiting;
      expect(await queue.get()).toEqual({ n: 2, bytes: new Uint8Array(5000).fill(2) });
    });

    it('throws what cannot be encoded at the call, and takes nothing', async () => {
      const queue = make({ maxSize: 1 });
      const value = { list: [{ callback: () => {} }] };
      for (const error of [
        thrownBy(() => queue.tryPut(value)),
        thrownBy(() => queue.putSync(value)),
        await rejectionOf(queue.put(value)),
      ]) {
        expect(error).toMatchObject({ code: 'ERR_RINGWAY_UNSERIALISABLE' });
        expect(error.message).toContain('list[0].callback');
      }
      expect([queue.size, queue.full]).toEqual([0, false]);
    });

    it('compares codecs, and takes the one that the queue has', async () => {
      const queue = make({ codec: 'json' });
      await queue.put({ at: new Date(0) });
      const same = opening(Queue.attach(queue.handle));
      expect(await same.get()).toEqual({ at: '1970-01-01T00:00:00.000Z' });
      const error = thrownBy(() => Queue.attach(queue.handle, { codec: 'structured' }));
      expect(error).toMatchObject({ code: 'ERR_RINGWAY_SHAPE' });
      expect(error.message).toMatch(/"json".*"structured"/);
      expect(thrownBy(() => QueueSender.attach(queue.handle, { codec: 'bytes' }))).toMatchObject({
        code: 'ERR_RINGWAY_SHAPE',
      });
      const own = {
        name: 'hex',
        encode: (value: unknown) => Buffer.from(String(value), 'hex'),
        decode: (bytes: Uint8Array) => Buffer.from(bytes).toString('hex'),
      };
      const custom = make<string>({ codec: own });
      await custom.put('c0ffee');
      expect(await opening(Queue.attach<string>(custom.handle, { codec: own })).get()).toBe('c0ffee');
      expect(thrownBy(() => Queue.attach(custom.handle))).toMatchObject({ code: 'ERR_RINGWAY_SHAPE' });
    });

    it('leases values: acked they are gone, nacked they come again behind the others', async () => {
      const queue = make<string>({ maxSize: 3 });
      for (const value of ['a', 'b', 'c']) await queue.put(value);
      const a = await queue.take();
      expect([a.value, a.deliveries, a.redelivered, a.ended]).toEqual(['a', 1, false, false]);
      expect([queue.size, queue.full]).toEqual([2, true]); // It still has its place.
      a.nack();
      expect(queue.size).toBe(3);
      expect(thrownBy(() => a.ack())).toMatchObject({ code: 'ERR_RINGWAY_STATE' });
      expect(a.value).toBe('a');
      const got: unknown[] = [];
      queue.end();
      for await (const lease of queue.leases()) {
        got.push([lease.value, lease.deliveries, lease.redelivered]);
        lease.ack();
      }
      expect(got).toEqual([
        ['b', 1, false],
        ['c', 1, false],
        ['a', 2, true],
      ]);
      expect(queue.tryTake()).toBe(null);
    });

    it('drops a value that is acked unread', async () => {
      const queue = make<number>();
      await queue.put(1);
      const lease = queue.takeSync();
      lease.ack();
      expect(thrownBy(() => lease.value)).toBeInstanceOf(ClosedError);
      expect(queue.empty).toBe(true);
    });

    it('nacks what is disposed, left, or held by a handle that closes', async () => {
      const queue = make<number>();
      await queue.put(1);
      queue.takeSync()[Symbol.dispose]();
      for await (const lease of queue.leases()) {
        expect(lease.deliveries).toBe(2);
        break;
      }
      const other = Queue.attach<number>(queue.handle);
      const lease = other.takeSync();
      other.close();
      expect(thrownBy(() => lease.ack())).toBeInstanceOf(ClosedError);
      expect(queue.takeSync()).toMatchObject({ value: 1, deliveries: 4 });
    });

    it('iterates until the end, and stays open when the loop is left', async () => {
      const queue = make<number>();
      for (let i = 0; i < 5; i++) queue.tryPut(i);
      for await (const value of queue) if (value === 1) break;
      queue.end();
      expect(queue.ended).toBe(true);
      expect(thrownBy(() => queue.tryPut(9))).toMatchObject({ code: 'EPIPE' });
      expect(await rejectionOf(queue.put(9))).toMatchObject({ code: 'EPIPE' });
      const rest: number[] = [];
      for await (const value of queue) rest.push(value);
      expect(rest).toEqual([2, 3, 4]);
      expect(await rejectionOf(queue.get())).toBeInstanceOf(EndOfStreamError);
      expect(thrownBy(() => queue.getSync())).toBeInstanceOf(EndOfStreamError);
      expect(queue.tryGet()).toEqual({ ok: false });
    });

    it('ends those who wait to get and to put', async () => {
      const queue = make<number>({ maxSize: 1 });
      const getting = queue.get();
      queue.end();
      expect(await rejectionOf(getting)).toBeInstanceOf(EndOfStreamError);
      const full = make<number>({ maxSize: 1 });
      full.tryPut(1);
      const putting = full.put(2);
      full.end();
      expect(await rejectionOf(putting)).toMatchObject({ code: 'EPIPE' });
    });

    it('rejects what waits when it is closed, and everything afterwards', async () => {
      const queue = new Queue<number>({ backend, maxSize: 1 });
      const getting = queue.get();
      const taking = queue.take();
      queue.close();
      queue.close();
      expect(await rejectionOf(getting)).toBeInstanceOf(ClosedError);
      expect(await rejectionOf(taking)).toBeInstanceOf(ClosedError);
      for (const call of [
        () => queue.tryPut(1),
        () => queue.putSync(1),
        () => queue.tryGet(),
        () => queue.getSync(),
        () => queue.tryTake(),
        () => queue.size,
        () => queue.empty,
        () => queue.full,
        () => queue.ended,
        () => queue.taskDone(),
        () => queue.joinedSync(),
        () => queue.end(),
        () => queue.sender,
      ]) {
        expect(thrownBy(call)).toBeInstanceOf(ClosedError);
      }
      for (const promise of [queue.put(1), queue.get(), queue.take(), queue.joined()]) {
        expect(await rejectionOf(promise)).toBeInstanceOf(ClosedError);
      }
      expect(queue.closed).toBe(true);
    });

    it('an abort consumes nothing', async () => {
      const queue = make<number>({ maxSize: 1 });
      const abort = new AbortController();
      const aborted = queue.get({ signal: abort.signal });
      const next = queue.get();
      abort.abort(new Error('enough'));
      expect((await rejectionOf(aborted)).message).toBe('enough');
      await queue.put(1);
      expect(await next).toBe(1);
      await queue.put(2);
      const put = queue.put(3, { signal: AbortSignal.timeout(1) });
      expect((await rejectionOf(put)).name).toBe('TimeoutError');
      expect(await queue.get()).toBe(2);
      expect(queue.empty).toBe(true);
    });

    it('those who wait are served before newcomers', async () => {
      const queue = make<number>({ maxSize: 1 });
      const first = queue.get();
      expect(queue.tryGet()).toEqual({ ok: false });
      const second = queue.get();
      await queue.put(1);
      await queue.put(2);
      expect(await Promise.all([first, second])).toEqual([1, 2]);
    });

    it('joined() waits until everything is done', async () => {
      const queue = make<number>();
      await queue.joined();
      for (let i = 0; i < 4; i++) await queue.put(i);
      let done = false;
      const joined = queue.joined().then(() => {
        done = true;
      });
      queue.getSync();
      queue.taskDone();
      queue.takeSync().ack(); // An ack says the same.
      expect(thrownBy(() => queue.taskDone())).toMatchObject({ code: 'ERR_RINGWAY_STATE' });
      queue.getSync();
      const lease = queue.takeSync();
      lease.nack();
      queue.taskDone();
      await new Promise((resolve) => setImmediate(resolve));
      expect(done).toBe(false);
      expect(await rejectionOf(queue.joined({ timeoutMs: 1 }))).toBeInstanceOf(TimeoutError);
      queue.getSync();
      expect(thrownBy(() => queue.joinedSync({ timeoutMs: 1 }))).toBeInstanceOf(TimeoutError);
      queue.taskDone();
      await joined;
      queue.joinedSync();
    });

    it('what a closed handle has got counts as done', async () => {
      const queue = make<number>();
      await queue.put(1);
      const other = Queue.attach<number>(queue.handle);
      await other.get();
      const joined = queue.joined();
      other.close();
      await joined;
    });

    it('ends by itself when there has been a sender and none is left', async () => {
      const queue = make<number>();
      const sender = queue.sender;
      expect(queue.sender).toBe(sender);
      const other = QueueSender.attach<number>(queue.handle);
      await sender.put(1);
      sender.close();
      sender.close();
      expect(thrownBy(() => sender.tryPut(2))).toBeInstanceOf(ClosedError);
      expect(await rejectionOf(sender.put(2))).toBeInstanceOf(ClosedError);
      expect(queue.ended).toBe(false);
      expect(other.tryPut(2)).toBe(true);
      other.putSync(3);
      const got: number[] = [];
      const reading = (async () => {
        for await (const value of queue) got.push(value);
      })();
      await until(() => got.length === 3);
      other.close();
      await reading;
      expect(got).toEqual([1, 2, 3]);
      expect(thrownBy(() => queue.tryPut(4))).toMatchObject({ code: 'EPIPE' });
    });

    it('a sender is closed with the handle it was taken from', async () => {
      const queue = new Queue<number>({ backend });
      const other = opening(Queue.attach<number>(queue.handle));
      const { sender } = queue;
      await sender.put(1);
      queue.close();
      expect(sender.closed).toBe(true);
      expect(await other.get()).toBe(1);
      expect(await rejectionOf(other.get())).toBeInstanceOf(EndOfStreamError);
    });

    it('wait() tells which queues have something, or have ended, and consumes nothing', async () => {
      const [a, b, c] = [make<number>(), make<number>(), make<number>()];
      expect(await wait([a, b, c], { timeoutMs: 1 })).toEqual([]);
      expect(waitSync([a, b, c], { timeoutMs: 1 })).toEqual([]);
      const waiting = wait([a, b, c]);
      await b.put(1);
      expect(await waiting).toEqual([b]);
      expect(waitSync([a, b, c])).toEqual([b]);
      c.end();
      expect(await wait([a, b, c])).toEqual([b, c]);
      expect(b.size).toBe(1);
      const lease = b.takeSync();
      b.end();
      expect(await wait([b])).toEqual([b]); // Its own lease does not keep it waiting.
      lease.ack();
    });

    it('refuses a header that contradicts itself, and a message that lies outside of the arena', async () => {
      const options = { maxSize: 5, capacity: 8192, backend };
      const { ring } = checkQueueOptions(options);
      const at = (field: number) => bodyOffsetFor(64) + queueOffsetFor(ring, 64) + field;
      const bad = [
        [QueueHeader.maxSize, 0],
        [QueueHeader.maxSize, 9],
        [QueueHeader.blocks, 0],
        [QueueHeader.blocks, 2 ** 20],
        [QueueHeader.blocks, 2 ** 15],
        [QueueHeader.blockByteLength, 32],
        [QueueHeader.blockByteLength, 96],
      ] as const;
      for (const [field, value] of bad) {
        const queue = make(options);
        poke(queue, at(field), value);
        expect(
          thrownBy(() => Queue.attach(queue.handle)),
          `${field}: ${value}`,
        ).toBeInstanceOf(CorruptSegmentError);
      }
      const random = new Random();
      for (let i = 0; i < 50; i++) {
        const queue = make<Uint8Array>(options);
        await queue.put(new Uint8Array(3000));
        const word = i < 5 ? 0xffffffff >>> i : random.next();
        poke(queue, at(QueueHeader.extents), word);
        try {
          await queue.get();
        } catch (error) {
          expect(error).toBeInstanceOf(RingwayError);
        }
        expect([queue.empty, queue.full]).toEqual([true, false]);
        queue.close();
      }
    });

    it('refuses options out of range', () => {
      for (const options of [
        { maxSize: 0 },
        { maxSize: 65_537 },
        { capacity: 1 },
        { capacity: 2 ** 32 },
        { wait: 'x' },
      ]) {
        expect(
          thrownBy(() => make(options as QueueOptions)),
          JSON.stringify(options),
        ).toBeInstanceOf(RangeError);
      }
      for (const options of [{ maxSize: '3' }, { codec: 'xml' }, null]) {
        expect(thrownBy(() => new Queue(options as unknown as QueueOptions))).toBeInstanceOf(TypeError);
      }
    });

    it('another one puts, and what it put is seen at once; the other way round as well', async () => {
      const queue = make<unknown>({ maxSize: 100 });
      const peer = await startPeer();
      await peer.run(async ({ ringway, state }: Context, handle) => {
        const queue = ringway.Queue.attach<unknown>(handle);
        state.queue = queue;
        await queue.put(queue.empty);
        await queue.put(queue.empty);
        for (let i = 0; i < 50; i++) await queue.put({ i, pad: 'x'.repeat(i * 100) });
      }, queue.handle as never);
      expect([queue.empty, queue.size]).toEqual([false, 52]);
      expect([await queue.get(), await queue.get()]).toEqual([true, false]);
      for (let i = 0; i < 50; i++) expect(await queue.get()).toEqual({ i, pad: 'x'.repeat(i * 100) });
      expect(queue.empty).toBe(true);
      const { result } = await peer.start(async ({ state }: Context) => {
        const queue = state.queue as Queue<number>;
        const got = [];
        for await (const value of queue) got.push(value);
        return got;
      });
      for (let i = 0; i < 200; i++) await queue.put(i);
      queue.end();
      expect(await result).toEqual(Array.from({ length: 200 }, (_, i) => i));
      expect(await peer.run(({ state }: Context) => (state.queue as Queue).close())).toBe(undefined);
    });

    it('four workers do ten tasks, and joined() comes when all are done', async () => {
      const queue = make<number | null>({ maxSize: 4 });
      const peers = await Promise.all(Array.from({ length: 4 }, startPeer));
      const work = async ({ ringway }: Context, handle: never) => {
        const queue = ringway.Queue.attach<number | null>(handle);
        let done = 0;
        for (;;) {
          const task = await queue.get();
          if (task !== null) done++;
          queue.taskDone();
          if (task === null) break;
        }
        queue.close();
        return done;
      };
      const working = await Promise.all(peers.map((peer) => peer.start(work, queue.handle as never)));
      for (let i = 0; i < 10; i++) await queue.put(i);
      await queue.joined();
      expect(queue.empty).toBe(true);
      for (let i = 0; i < 4; i++) await queue.put(null);
      const done = await Promise.all(working.map(({ result }) => result));
      expect(done.reduce((a, b) => a + b, 0)).toBe(10);
      await queue.joined();
    });

    it('keeps the order of each producer, small and large values mixed, and gives each once', async () => {
      const queue = make<{ from: number; i: number }>({ maxSize: 16, capacity: 1 << 16 });
      const put = async ({ ringway }: Context, handle: never, from: number, count: number) => {
        const sender = ringway.QueueSender.attach(handle);
        for (let i = 0; i < count; i++) {
          const pad = new Uint8Array(i % 7 === 0 ? 1 + ((i * 977) % 20_000) : 3).fill(i);
          if (i % 2 === 0) await sender.put({ from, i, pad });
          else sender.putSync({ from, i, pad });
        }
        sender.close();
      };
      const get = async ({ ringway }: Context, handle: never) => {
        const queue = ringway.Queue.attach<{ from: number; i: number; pad: Uint8Array }>(handle);
        const got: [number, number][] = [];
        for await (const { from, i, pad } of queue) {
          const length = i % 7 === 0 ? 1 + ((i * 977) % 20_000) : 3;
          if (pad.length !== length || pad.some((byte) => byte !== (i & 255))) throw new Error(`torn: ${from}, ${i}`);
          got.push([from, i]);
        }
        queue.close();
        return got;
      };
      const count = 2000;
      const peers = await Promise.all(Array.from({ length: 4 }, startPeer));
      const hold = queue.sender; // Or it would end when the first is done before the second has begun.
      const producing = await Promise.all(
        peers.slice(0, 2).map((peer, from) => peer.start(put, queue.handle as never, from, count)),
      );
      const consuming = await Promise.all(peers.slice(2).map((peer) => peer.start(get, queue.handle as never)));
      await Promise.all(producing.map(({ result }) => result));
      hold.close();
      const lists = await Promise.all(consuming.map(({ result }) => result));
      const seen = new Set<string>();
      for (const list of lists) {
        const last = [-1, -1];
        for (const [from, i] of list) {
          expect(i).toBeGreaterThan(last[from] as number);
          last[from] = i;
          expect(seen.has(`${from}/${i}`)).toBe(false);
          seen.add(`${from}/${i}`);
        }
      }
      expect(seen.size).toBe(2 * count);
    });

    it('blocks a thread until another puts, gets, or ends', async () => {
      const [there, back] = [make<number>({ maxSize: 1 }), make<number>({ maxSize: 1 })];
      const peer = await startPeer();
      const echo = ({ ringway, tell }: Context, thereHandle: never, backHandle: never) => {
        const there = ringway.Queue.attach<number>(thereHandle);
        const back = ringway.Queue.attach<number>(backHandle);
        tell('ready');
        try {
          for (;;) back.putSync(there.getSync({ timeoutMs: 15_000 }));
        } catch (error) {
          return (error as Error).name;
        } finally {
          there.close();
          back.close();
        }
      };
      const { result } = await peer.start(echo, there.handle as never, back.handle as never);
      await peer.nextTold();
      for (let i = 0; i < 3; i++) await there.put(i); // As many as both hold and one in hand: it waits to put, too.
      for (let i = 0; i < 3; i++) expect(await back.get()).toBe(i);
      there.end();
      expect(await result).toBe('EndOfStreamError');
    });
  });
}

describe('queue between processes', () => {
  it('is found by its name', async () => {
    const name = freshName();
    const created = Queue.whenCreated<number>(name);
    const queue = opening(new Queue<number>({ name, maxSize: 3, capacity: 10_000 }));
    expect(queue).toMatchObject({ name, backend: 'shm', capacity: 12_288 });
    expect(JSON.parse(JSON.stringify(queue))).toEqual(queue.handle);
    const found = opening(await created);
    const same = opening(Queue.createOrAttach<number>({ name, maxSize: 3, capacity: 10_000 }));
    await queue.put(1);
    expect([found.size, await same.get()]).toEqual([1, 1]);
    const other = thrownBy(() => Queue.createOrAttach({ name, maxSize: 4, capacity: 10_000 }));
    expect(other).toMatchObject({ code: 'ERR_RINGWAY_SHAPE' });
    expect(other.message).toMatch(/maxSize 3 and capacity 12288.*maxSize 4/);
    expect(thrownBy(() => new Queue({ name }))).toMatchObject({ code: 'EEXIST' });
    expect(thrownBy(() => Lock.attach(name))).toMatchObject({ code: 'ERR_RINGWAY_CORRUPT_SEGMENT' });
    Queue.unlink(name);
    expect(thrownBy(() => Queue.attach(name))).toMatchObject({ code: 'ENOENT' });
    await found.put(2);
    expect(await queue.get()).toBe(2);
  });

  it('costs what is used, not its capacity', async () => {
    const { statSync } = await import('node:fs');
    const { pathOf } = await import('../src/memory/names.js');
    const queue = opening(new Queue({ name: freshName() }));
    const used = () => statSync(pathOf(queue.name as string)).blocks * 512;
    expect(queue.capacity).toBe(2 ** 26);
    expect(used()).toBeLessThan(2 ** 21);
    for (let round = 0; round < 20; round++) {
      await queue.put(new Uint8Array(1 << 20));
      await queue.get();
    }
    expect(used()).toBeLessThan(2 ** 23);
    Queue.unlink(queue.name as string);
  });

  it('a process that exits right after a put has put, however large', async () => {
    const queue = opening(new Queue<unknown>());
    for (const size of [1, 100_000, 5_000_000]) {
      const peer = await startProcess();
      await peer.start(
        async ({ ringway }: Context, handle, size) => {
          const queue = ringway.Queue.attach<unknown>(handle);
          await queue.put('x'.repeat(size as number));
          process.exit(0);
        },
        queue.handle as never,
        size as never,
      );
      expect((await peer.end()).code).toBe(0); // Joined before anybody reads.
      expect(((await queue.get()) as string).length).toBe(size);
    }
  });

  it('a pending get keeps the process alive, unref() lets it end', async () => {
    const queue = opening(new Queue<number>());
    const run = (unref: boolean) => async (peer: Awaited<ReturnType<typeof startProcess>>) => {
      await peer.run(
        ({ ringway, state }: Context, handle, unref) => {
          const queue = ringway.Queue.attach<number>(handle);
          process.removeAllListeners('disconnect');
          if (unref) queue.unref();
          state.pending = queue.get().then((value) => process.exit(value));
        },
        queue.handle as never,
        unref as never,
      );
      peer.child.disconnect();
    };
    const free = await startProcess();
    await run(true)(free);
    expect((await free.end()).code).toBe(0);
    const kept = await startProcess();
    await run(false)(kept);
    await queue.put(7);
    expect((await kept.end()).code).toBe(7);
  });

  it('carries shared objects, queues and senders', async () => {
    const queue = opening(new Queue<unknown>());
    const peer = await startProcess();
    const { result } = await peer.start(async ({ ringway }: Context, handle) => {
      const queue = ringway.Queue.attach<{ lock: Lock; back: Queue; sender: QueueSender }>(handle);
      const { lock, back, sender } = await queue.get();
      const guard = await lock.lock();
      await back.put(1);
      await sender.put('sent');
      guard.release();
      for (const shared of [lock, back, sender, queue]) shared.close();
      return [lock, back, sender].map((shared) => shared.constructor.name);
    }, queue.handle as never);
    const lock = new Lock();
    const back = opening(new Queue<unknown>());
    const toBack = opening(new Queue<unknown>());
    await queue.put({ lock, back, sender: toBack.sender });
    lock.close(); // What is on its way stays.
    expect(await back.get()).toBe(1);
    expect(await toBack.get()).toBe('sent');
    expect(await rejectionOf(toBack.get())).toBeInstanceOf(EndOfStreamError); // The only sender was sent, and is closed.
    expect(await result).toEqual(['Lock', 'Queue', 'QueueSender']);
  });

  it('an object that was not sent is as before', async () => {
    const queue = opening(new Queue<unknown>({ maxSize: 1 }));
    const target = opening(new Queue<unknown>());
    await queue.put(1);
    const { sender } = target;
    expect(queue.tryPut({ sender })).toBe(false);
    expect(await rejectionOf(queue.put({ sender }, { timeoutMs: 1 }))).toBeInstanceOf(TimeoutError);
    expect(thrownBy(() => queue.putSync({ sender }, { timeoutMs: 0 }))).toBeInstanceOf(TimeoutError);
    expect(thrownBy(() => queue.tryPut({ sender, no: () => {} }))).toBeInstanceOf(RingwayError);
    expect(target.ended).toBe(false);
    sender.close();
    expect(target.ended).toBe(true);
    expect(target.close()).toBe(undefined);
    expect(segmentFiles().length).toBe(1);
  });

  it('a sender on its way counts, and where it has come', async () => {
    const carrier = opening(new Queue<QueueSender>());
    const target = opening(new Queue<number>());
    for (let i = 0; i < 3; i++) await carrier.put(target.sender);
    expect(target.ended).toBe(false);
    const senders: QueueSender[] = [];
    for (let i = 0; i < 3; i++) senders.push(await carrier.get());
    senders[0]?.close();
    senders[1]?.close();
    expect(target.ended).toBe(false);
    senders[2]?.close();
    expect(target.ended).toBe(true);
  });

  it.skipIf(NEEDS_ROOT !== '')(`a full file system is ENOSPC, and nothing is lost${NEEDS_ROOT}`, async () => {
    const mount = mkdtempSync('/tmp/test-of-ringway-full-');
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', mount]);
    try {
      const peer = await startProcess({ env: { RINGWAY_SHM_DIR: mount } });
      const { codes, got, path, syscall, message, small } = await peer.run(async ({ ringway }: Context) => {
        const queue = new ringway.Queue<number | Uint8Array>({ maxSize: 100 }); // Of 64 MiB, in 4.
        const large = (fill: number) => new Uint8Array(700_000).fill(fill);
        const errors: RingwayError[] = [];
        const attempts = [
          () => queue.tryPut(large(99)),
          () => queue.putSync(large(99)),
          () => queue.put(large(99)),
          () => queue.put(large(99)),
        ];
        let puts = 0;
        for (const attempt of attempts) {
          try {
            while (puts < 50) await queue.put(large(puts++));
          } catch (error) {
            puts--;
            errors.push(error as RingwayError);
          }
          try {
            await attempt();
          } catch (error) {
            errors.push(error as RingwayError);
          }
        }
        const small = queue.tryPut(1);
        const got: unknown[] = [];
        for (let next = queue.tryGet(); next.ok; next = queue.tryGet()) {
          const { value } = next;
          if (typeof value === 'number') got.push('small');
          else got.push(value.length === 700_000 && value.every((byte) => byte === value[0]) ? value[0] : 'torn');
        }
        // What is there already is used again, and what others give back.
        for (let i = 0; i < 20; i++) {
          if (!queue.tryPut(large(i))) throw new Error('no room');
          queue.getSync();
        }
        const [{ path, syscall, message }] = errors as [RingwayError];
        const codes = errors.map(({ code }) => code);
        queue.close();
        return { codes, got, path, syscall, message, small };
      });
      expect(new Set(codes)).toEqual(new Set(['ENOSPC']));
      expect([path, syscall, small]).toEqual([mount, 'posix_fallocate', true]);
      expect(message).toContain('--shm-size');
      expect(got.length).toBeGreaterThan(2);
      expect(got).toEqual([...got.slice(0, -1).map((_, i) => i), 'small']);
      await peer.kill();
      expect(readdirSync(mount)).toEqual([]);
    } finally {
      await endRemotes();
      execFileSync('umount', [mount]);
      rmdirSync(mount);
    }
  });
});
