// What every call of an MpmcRing does, in one thread and between two, over both backends.
import {
  ClosedError,
  CorruptSegmentError,
  EndOfStreamError,
  MessageSizeError,
  MpmcRing,
  type MpmcRingOptions,
  RingwayError,
  SpscRing,
  TimeoutError,
} from 'ringway';
import { describe, expect, it } from 'vitest';
import { bodyOffsetFor, MpmcHeader, MpmcSlot } from '../src/layout.js';
import { freshName, opening, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random, seed } from './helpers/random.js';
import { startThread } from './helpers/remote.js';
import { BACKENDS, expectBytes, poke, pokeBody, recordOf, rejectionOf, thrownBy } from './helpers/rings.js';

useOwnDirectory();
announceSeed('mpmc');

const number = (value: number) => new Uint8Array([value]);
const numbers = (messages: Uint8Array[]) => messages.map((message) => message[0]);

for (const backend of BACKENDS) {
  describe(`MPMC ring over ${backend}`, () => {
    const make = (options: Partial<MpmcRingOptions> = {}) =>
      opening(MpmcRing.create({ slots: 8, slotByteLength: 64, backend, ...options }));

    it('tells its shape, rounded up', () => {
      const ring = make({ slots: 5, slotByteLength: 10, alignment: 64, wait: 'park' });
      expect(ring).toMatchObject({ slots: 8, slotByteLength: 10, alignment: 64, wait: 'park', backend, closed: false });
      expect(make({ slots: 1 }).slots).toBe(2);
      expect(MpmcRing.attach(ring.handle, { wait: 'spin' })[Symbol.dispose]()).toBeUndefined();
    });

    it('gives messages in the order of their commits, lap after lap', () => {
      const ring = make();
      for (let lap = 0; lap < 50; lap++) {
        for (let i = 0; i < 8; i++) expect(ring.tryPush(number(i))).toBe(true);
        expect(ring.tryPush(number(99))).toBe(false);
        for (let i = 0; i < 8; i++) expect(ring.tryPop()).toEqual(number(i));
        expect(ring.tryPop()).toBe(null);
      }
    });

    it('carries every length and every byte', () => {
      const ring = make({ slots: 4, slotByteLength: 300 });
      for (let byteLength = 0; byteLength <= 300; byteLength++) {
        ring.tryPush(recordOf(byteLength));
        expectBytes(ring.tryPop(), recordOf(byteLength));
      }
    });

    it('passes the wrap of positions at 2^32', () => {
      for (const slots of [2, 8, 1024]) {
        const ring = make({ slots });
        const start = 2 ** 32 - 4 * slots;
        pokeBody(ring, MpmcHeader.tail, start);
        pokeBody(ring, MpmcHeader.head, start);
        // Every cell stands for the lap of the position it comes to next.
        const first = bodyOffsetFor(64) + MpmcHeader.counters + 64 * 128;
        for (let slot = 0; slot < slots; slot++) {
          for (const cell of [0, 4]) poke(ring, first + slot * 128 + MpmcSlot.order + cell, start);
        }
        for (let i = 0; i < 10 * slots; i++) {
          expect(ring.tryPush(number(i & 255))).toBe(true);
          expect(ring.tryPop()).toEqual(number(i & 255));
        }
      }
    });

    it('pushes and pops many', () => {
      const ring = make();
      expect(ring.tryPushMany([1, 2, 3].map(number))).toBe(3);
      expect(ring.tryPushMany([4, 5, 6, 7, 8, 9, 10].map(number))).toBe(5);
      expect(numbers(ring.tryPopMany(2))).toEqual([1, 2]);
      expect(numbers(ring.tryPopMany(Infinity))).toEqual([3, 4, 5, 6, 7, 8]);
      expect(ring.tryPopMany(9)).toEqual([]);
      expect(() => ring.tryPushMany([number(1), new Uint8Array(65)])).toThrow(MessageSizeError);
      expect(ring.tryPop()).toBe(null);
    });

    it('pushes more at once than it claims at once, as long as there is room', () => {
      const ring = make({ slots: 256 });
      const values = Array.from({ length: 300 }, (_, i) => i & 255);
      expect(ring.tryPushMany(values.map(number))).toBe(256);
      expect(numbers(ring.tryPopMany(Infinity))).toEqual(values.slice(0, 256));
      expect(ring.stats()).toMatchObject({ pushed: 256, popped: 256, used: 0 });
    });

    it('takes no message of many after the end', () => {
      const ring = make();
      ring.tryPush(number(1));
      ring.end();
      expect(thrownBy(() => ring.tryPushMany([2, 3].map(number)))).toMatchObject({ code: 'EPIPE' });
      expect(ring.stats().used).toBe(1);
    });

    it('does not mind how far its hints lag', () => {
      const ring = make({ slots: 64 });
      const others = Array.from({ length: 3 }, () => opening(MpmcRing.attach(ring.handle)));
      const handles = [ring, ...others];
      let pushed = 0;
      let popped = 0;
      for (let round = 0; round < 2000; round++) {
        // As if whoever had to move them had died before it did, more than once.
        pokeBody(ring, MpmcHeader.tail, Math.max(0, pushed - (round % 40)));
        pokeBody(ring, MpmcHeader.head, Math.max(0, popped - ((7 * round) % 40)));
        const pushing = handles[round % 4] as MpmcRing;
        const popping = handles[(round >> 2) % 4] as MpmcRing;
        for (let i = round % 9; i > 0 && pushing.tryPush(number(pushed & 255)); i--) pushed++;
        for (let i = (3 * round) % 11; i > 0; i--) {
          const message = popping.tryPop();
          if (message === null) break;
          expect(message).toEqual(number(popped++ & 255));
        }
      }
      expect(popped).toBeGreaterThan(1000);
      expect(ring.stats()).toMatchObject({ pushed, popped, used: pushed - popped });
    });

    it('is full for everybody, wherever the hints are', () => {
      const ring = make({ slots: 64 });
      const other = opening(MpmcRing.attach(ring.handle));
      for (let i = 0; i < 64; i++) expect(ring.tryPush(number(i))).toBe(true);
      for (const handle of [ring, other]) expect(handle.tryPush(number(100))).toBe(false);
      expect(other.tryPop()).toEqual(number(0));
      expect(other.tryPush(number(64))).toBe(true);
      for (const handle of [ring, other]) expect(handle.tryPush(number(100))).toBe(false);
    });

    describe('drain', () => {
      const drained = (ring: MpmcRing, limit?: number) => {
        const got: number[] = [];
        const count = ring.drain((memory, byteOffset, byteLength) => {
          expect(byteLength).toBe(1);
          got.push(memory[byteOffset] as number);
        }, limit);
        expect(count).toBe(got.length);
        return got;
      };

      it('hands over what is there, in order, as many as were asked for', () => {
        const ring = make();
        ring.tryPushMany([1, 2, 3, 4].map(number));
        expect(drained(ring, 0)).toEqual([]);
        expect(drained(ring, 2)).toEqual([1, 2]);
        expect(drained(ring)).toEqual([3, 4]);
        expect(drained(ring)).toEqual([]);
        expect(ring.stats()).toMatchObject({ popped: 4, used: 0 });
      });

      it('gives the message back that the handler throws at, and keeps those before it', () => {
        const ring = make();
        ring.tryPushMany([1, 2, 3].map(number));
        const failure = new Error('mine');
        const throwing = () =>
          ring.drain((memory, byteOffset) => {
            if (memory[byteOffset] === 2) throw failure;
          });
        expect(thrownBy(throwing)).toBe(failure);
        expect(ring.stats()).toMatchObject({ popped: 1, used: 2 });
        expect(drained(ring)).toEqual([3, 2]);
      });

      it('lets the handler use the ring, and close it', () => {
        const ring = make();
        const other = opening(MpmcRing.attach(ring.handle));
        ring.tryPushMany([1, 2].map(number));
        ring.drain((memory, byteOffset) => {
          ring.tryPush(number((memory[byteOffset] as number) + 10));
        }, 2);
        expect(drained(other, 1)).toEqual([11]);
        expect(ring.drain(() => ring.close())).toBe(0);
        expect(other.tryTake()).toMatchObject({ bytes: number(12), redelivered: true });
      });

      it('refuses handlers that are none, or go on later', () => {
        const ring = make();
        ring.tryPush(number(1));
        expect(() => ring.drain((async () => {}) as never)).toThrow(TypeError);
        expect(() => ring.drain(undefined as never)).toThrow(TypeError);
        expect(() => ring.drain(() => {}, 1.5)).toThrow(RangeError);
        expect(drained(ring)).toEqual([1]);
      });
    });

    describe('claims', () => {
      it('are written in place and hold up nobody', () => {
        const ring = make();
        const first = ring.tryClaim(3);
        const second = ring.tryClaim(2);
        ring.tryPush(number(1));
        expect(ring.tryPop()).toEqual(number(1));
        second?.bytes.set([4, 5]);
        second?.commit();
        first?.bytes.set([7, 8, 9]);
        expect(ring.tryPop()).toEqual(new Uint8Array([4, 5]));
        expect(ring.tryPop()).toBe(null);
        first?.commit(2);
        expect(ring.tryPop()).toEqual(new Uint8Array([7, 8]));
      });

      it('take a slot each until they end', () => {
        const ring = make({ slots: 2 });
        const claims = [ring.tryClaim(), ring.tryClaim()];
        expect(claims.map((claim) => claim?.byteLength)).toEqual([64, 64]);
        expect(ring.tryClaim()).toBe(null);
        expect(ring.tryPush(number(1))).toBe(false);
        claims[0]?.abort();
        expect(ring.tryPush(number(1))).toBe(true);
        expect(thrownBy(() => claims[0]?.commit())).toMatchObject({ code: 'ERR_RINGWAY_STATE' });
        expect(numbers(ring.tryPopMany(9))).toEqual([1]);
      });

      it('end with the handle', () => {
        const ring = make();
        const other = opening(MpmcRing.attach(ring.handle));
        const claim = other.tryClaim(8);
        other.close();
        expect(thrownBy(() => claim?.commit())).toBeInstanceOf(ClosedError);
        expect(ring.stats().used).toBe(0);
      });
    });

    describe('leases', () => {
      it('keep their message and hold up nobody', () => {
        const ring = make({ slots: 2 });
        ring.tryPushMany([number(1), number(2)]);
        const lease = ring.tryTake();
        for (let i = 0; i < 100; i++) {
          expect(ring.tryPop()).toEqual(number(i === 0 ? 2 : i));
          expect(ring.tryPush(number(i + 1))).toBe(true);
          expect(ring.tryPush(number(0))).toBe(false);
        }
        expect(lease?.bytes).toEqual(number(1));
        lease?.ack();
        expect(ring.tryPush(number(0))).toBe(true);
      });

      it('come again when nacked, marked, behind what is there', () => {
        const ring = make();
        ring.tryPushMany([number(1), number(2)]);
        const lease = ring.tryTake();
        expect(lease).toMatchObject({ deliveries: 1, redelivered: false, ended: false, byteLength: 1 });
        lease?.nack();
        expect(lease?.ended).toBe(true);
        const [second, again] = ring.tryTakeMany(9);
        expect(second).toMatchObject({ deliveries: 1, redelivered: false });
        expect(again).toMatchObject({ deliveries: 2, redelivered: true });
        expect(again?.bytes).toEqual(number(1));
        again?.[Symbol.dispose]();
        const third = ring.tryTake();
        expect(third).toMatchObject({ deliveries: 3, redelivered: true });
        third?.ack();
        third?.[Symbol.dispose]();
        second?.ack();
        expect(ring.stats()).toMatchObject({ used: 0, redelivered: 2, pushed: 2, popped: 2 });
        // A new message in the same slot is a first delivery.
        for (let i = 0; i < 16; i++) {
          ring.tryPush(number(i));
          const next = ring.tryTake();
          expect(next).toMatchObject({ deliveries: 1, redelivered: false });
          next?.ack();
        }
      });

      it('end once', () => {
        const ring = make();
        ring.tryPushMany([number(1), number(2)]);
        const [acked, nacked] = ring.tryTakeMany(2);
        acked?.ack();
        nacked?.nack();
        for (const lease of [acked, nacked]) {
          expect(thrownBy(() => lease?.ack())).toMatchObject({ code: 'ERR_RINGWAY_STATE' });
          expect(thrownBy(() => lease?.nack())).toMatchObject({ code: 'ERR_RINGWAY_STATE' });
          expect(thrownBy(() => lease?.bytes)).toBeInstanceOf(ClosedError);
        }
        expect(numbers(ring.tryPopMany(9))).toEqual([2]);
      });

      it('go back when the handle is closed', () => {
        const ring = make();
        const other = opening(MpmcRing.attach(ring.handle));
        ring.tryPushMany([number(1), number(2)]);
        const leases = other.tryTakeMany(2);
        other.close();
        expect(thrownBy(() => leases[0]?.ack())).toBeInstanceOf(ClosedError);
        expect(thrownBy(() => leases[0]?.bytes)).toBeInstanceOf(ClosedError);
        const again = ring.tryTakeMany(9);
        expect(again.map((lease) => [lease.bytes[0], lease.redelivered])).toEqual([
          [1, true],
          [2, true],
        ]);
      });

      it('are iterated until the end; an early exit nacks the last', async () => {
        const ring = make();
        ring.tryPushMany([1, 2, 3].map(number));
        for await (const lease of ring.leases()) {
          expect(lease.bytes).toEqual(number(1));
          lease.ack();
          break;
        }
        for await (const lease of ring.leases()) {
          expect(lease.bytes).toEqual(number(2));
          break;
        }
        ring.end();
        const seen: [number, boolean][] = [];
        for await (const lease of ring.leases()) {
          seen.push([lease.bytes[0] as number, lease.redelivered]);
          lease.ack();
        }
        expect(seen).toEqual([
          [3, false],
          [2, true],
        ]);
      });
    });

    describe('the end', () => {
      it('refuses pushes, gives what is left, then ends', async () => {
        const ring = make();
        const other = opening(MpmcRing.attach(ring.handle));
        ring.tryPushMany([number(1), number(2)]);
        expect(other.ended).toBe(false);
        other.end();
        other.end();
        expect(ring.ended).toBe(true);
        for (const push of [() => ring.tryPush(number(3)), () => ring.tryClaim(), () => ring.pushSync(number(3))]) {
          expect(thrownBy(push)).toMatchObject({ code: 'EPIPE' });
        }
        expect(await rejectionOf(ring.push(number(3)))).toMatchObject({ code: 'EPIPE' });
        expect(await ring.pop()).toEqual(number(1));
        expect(ring.popSync()).toEqual(number(2));
        expect(await rejectionOf(ring.pop())).toBeInstanceOf(EndOfStreamError);
        expect(thrownBy(() => ring.popSync())).toBeInstanceOf(EndOfStreamError);
        expect(ring.tryPop()).toBe(null);
      });

      it('reaches those who wait, on either side', async () => {
        const ring = make({ slots: 2 });
        const popping = rejectionOf(ring.pop());
        const full = make({ slots: 2 });
        full.tryPushMany([number(1), number(2)]);
        const pushing = rejectionOf(full.push(number(3)));
        await new Promise(setImmediate);
        ring.end();
        full.end();
        expect(await popping).toBeInstanceOf(EndOfStreamError);
        expect(await pushing).toMatchObject({ code: 'EPIPE' });
      });

      it('comes after what is still being written, and what others may give back', async () => {
        const ring = make();
        const other = opening(MpmcRing.attach(ring.handle));
        const claim = ring.tryClaim(1);
        ring.end();
        claim?.bytes.set([7]);
        const first = other.take();
        await new Promise(setImmediate);
        claim?.commit();
        const lease = await first;
        // This handle waits for the lease of the other, the other does not wait for itself.
        const waiting = ring.take();
        expect(await rejectionOf(other.take())).toBeInstanceOf(EndOfStreamError);
        lease.nack();
        const again = await waiting;
        expect(again.redelivered).toBe(true);
        const last = rejectionOf(other.take());
        again.ack();
        expect(await last).toBeInstanceOf(EndOfStreamError);
      });
    });

    describe('waits', () => {
      it('are served in the order of the calls', async () => {
        const ring = make();
        const popping = [ring.pop(), ring.pop(), ring.take()];
        for (const value of [1, 2, 3]) await ring.push(number(value));
        expect(await popping[0]).toEqual(number(1));
        expect(await popping[1]).toEqual(number(2));
        const lease = (await popping[2]) as { bytes: Uint8Array; ack(): void };
        expect(lease.bytes).toEqual(number(3));
        lease.ack();
      });

      it('end by timeout and abort without effect', async () => {
        const ring = make({ slots: 2 });
        expect(await rejectionOf(ring.pop({ timeoutMs: 1 }))).toBeInstanceOf(TimeoutError);
        expect(thrownBy(() => ring.popSync({ timeoutMs: 1 }))).toBeInstanceOf(TimeoutError);
        const controller = new AbortController();
        const aborted = rejectionOf(ring.take({ signal: controller.signal }));
        const reason = new Error('no longer');
        controller.abort(reason);
        expect(await aborted).toBe(reason);
        ring.tryPushMany([number(1), number(2)]);
        expect(await rejectionOf(ring.push(number(3), { timeoutMs: 1 }))).toBeInstanceOf(TimeoutError);
        expect(thrownBy(() => ring.claimSync(1, { timeoutMs: 0 }))).toBeInstanceOf(TimeoutError);
        expect(numbers(ring.tryPopMany(9))).toEqual([1, 2]);
        expect(await rejectionOf(ring.pop({ timeoutMs: Number.NaN }))).toBeInstanceOf(RangeError);
      });

      it('are rejected by close()', async () => {
        const ring = make();
        const popping = rejectionOf(ring.pop());
        ring.close();
        expect(await popping).toBeInstanceOf(ClosedError);
        expect(await rejectionOf(ring.pop())).toBeInstanceOf(ClosedError);
        expect(thrownBy(() => ring.tryPush(number(1)))).toBeInstanceOf(ClosedError);
        expect(thrownBy(() => ring.stats())).toBeInstanceOf(ClosedError);
        ring.close();
      });

      it('are ended by other threads, asynchronous and blocked, in every mode', async () => {
        for (const wait of ['park', 'adaptive', 'spin'] as const) {
          const ring = make({ slots: 2, wait });
          const back = make({ slots: 2, wait });
          const thread = await startThread();
          const { result } = await thread.start(
            ({ ringway }, there, home) => {
              const from = ringway.MpmcRing.attach(there);
              const to = ringway.MpmcRing.attach(home);
              for (;;) {
                const message = from.popSync();
                to.pushSync(message);
                if (message[0] === 255) break;
              }
              from.close();
              to.close();
            },
            ring.handle,
            back.handle,
          );
          for (let i = 0; i < 100; i++) {
            if (i % 2 === 0) await ring.push(number(i));
            else ring.pushSync(number(i));
            expect(i % 3 === 0 ? back.popSync() : await back.pop()).toEqual(number(i));
          }
          await ring.push(number(255));
          await back.pop();
          await result;
        }
      });
    });

    it('follows a model, whatever is called in whatever order', () => {
      const random = new Random(seed);
      for (let round = 0; round < 40; round++) {
        const handles = [make({ slots: 4 })];
        handles.push(opening(MpmcRing.attach((handles[0] as MpmcRing).handle)));
        const queue: { value: number; deliveries: number }[] = [];
        const claims: { claim: NonNullable<ReturnType<MpmcRing['tryClaim']>>; value: number }[] = [];
        const leases: { lease: NonNullable<ReturnType<MpmcRing['tryTake']>>; value: number; deliveries: number }[] = [];
        let next = 0;
        for (let step = 0; step < 300; step++) {
          const ring = random.pick(handles);
          const room = queue.length + claims.length + leases.length < 4;
          const act = random.below(7);
          if (act === 0) {
            expect(ring.tryPush(number(next & 255))).toBe(room);
            if (room) queue.push({ value: next++ & 255, deliveries: 0 });
          } else if (act === 1) {
            const claim = ring.tryClaim(1);
            expect(claim !== null).toBe(room);
            if (claim !== null) claims.push({ claim, value: next++ & 255 });
          } else if (act === 2 && claims.length > 0) {
            const [{ claim, value }] = claims.splice(random.below(claims.length), 1) as [(typeof claims)[0]];
            if (random.below(3) === 0) claim.abort();
            else {
              claim.bytes[0] = value;
              claim.commit();
              queue.push({ value, deliveries: 0 });
            }
          } else if (act === 3) {
            const expected = queue.shift();
            expect(ring.tryPop()).toEqual(expected === undefined ? null : number(expected.value));
          } else if (act === 4) {
            const expected = queue.shift();
            const lease = ring.tryTake();
            expect(lease?.bytes[0]).toBe(expected?.value);
            if (lease === null || expected === undefined) continue;
            expect(lease.deliveries).toBe(expected.deliveries + 1);
            leases.push({ lease, value: expected.value, deliveries: expected.deliveries + 1 });
          } else if (leases.length > 0) {
            const [{ lease, value, deliveries }] = leases.splice(random.below(leases.length), 1) as [
              (typeof leases)[0],
            ];
            expect(lease.bytes[0]).toBe(value);
            if (act === 5) lease.ack();
            else {
              lease.nack();
              queue.push({ value, deliveries });
            }
          }
        }
        for (const ring of handles) ring.close();
      }
    });

    it('refuses what does not fit, and changes nothing', () => {
      const ring = make();
      const error = thrownBy(() => ring.tryPush(new Uint8Array(65)));
      expect(error).toBeInstanceOf(MessageSizeError);
      expect(error).toMatchObject({ byteLength: 65, limit: 64 });
      for (const wrong of [undefined, null, 'text', [1], new ArrayBuffer(1), new Uint16Array(1)]) {
        expect(() => ring.tryPush(wrong as never)).toThrow(TypeError);
      }
      expect(() => ring.tryClaim(-1)).toThrow(RangeError);
      expect(() => ring.tryClaim(1.5)).toThrow(RangeError);
      expect(() => ring.tryClaim(65)).toThrow(MessageSizeError);
      expect(() => ring.tryPopMany(-1)).toThrow(RangeError);
      expect(() => ring.tryPopMany('9' as never)).toThrow(TypeError);
      expect(ring.stats()).toMatchObject({ used: 0, pushed: 0 });
    });

    it('refuses shapes out of range, with the value', () => {
      const wrong: [string, Record<string, unknown>][] = [
        ['slots', { slots: 0 }],
        ['slots', { slots: -1 }],
        ['slots', { slots: 2.5 }],
        ['slots', { slots: Number.NaN }],
        ['slots', { slots: 65_537 }],
        ['slotByteLength', { slotByteLength: 0 }],
        ['slotByteLength', { slotByteLength: 2 ** 31 }],
        ['alignment', { alignment: 16 }],
        ['wait', { wait: 'sleep' }],
        ['maxParticipants', { maxParticipants: 4096 }],
      ];
      for (const [field, options] of wrong) {
        const error = thrownBy(() => make(options as never));
        expect(error).toBeInstanceOf(RangeError);
        expect(error.message).toContain(field);
        expect(error.message).toContain(String(Object.values(options)[0]));
      }
      expect(thrownBy(() => make({ slots: 65_536, slotByteLength: 65_536 })).message).toContain('65536 slots of 65536');
      expect(() => make({ slots: '8' as never })).toThrow(TypeError);
      expect(() => MpmcRing.create(undefined as never)).toThrow(TypeError);
    });
  });
}

describe('a named MPMC ring', () => {
  it('is created, attached to, found and unlinked by its name', async () => {
    const name = freshName();
    const found = MpmcRing.whenCreated(name);
    const ring = opening(MpmcRing.create({ name, slots: 4, slotByteLength: 8 }));
    const same = opening(await found);
    same.tryPush(number(1));
    expect(ring.tryPop()).toEqual(number(1));
    expect(same.name).toBe(name);
    const shape = thrownBy(() => MpmcRing.createOrAttach({ name, slots: 8, slotByteLength: 8 }));
    expect(shape).toMatchObject({ code: 'ERR_RINGWAY_SHAPE' });
    expect(shape.message).toContain('4 slots of 8 bytes');
    expect(shape.message).toContain('8 slots of 8 bytes');
    opening(MpmcRing.createOrAttach({ name, slots: 3, slotByteLength: 8 }));
    expect(thrownBy(() => MpmcRing.create({ name, slots: 4, slotByteLength: 8 }))).toMatchObject({ code: 'EEXIST' });
    expect(thrownBy(() => SpscRing.attach(name))).toBeInstanceOf(CorruptSegmentError);
    MpmcRing.unlink(name);
    expect(thrownBy(() => MpmcRing.attach(name))).toMatchObject({ code: 'ENOENT' });
    expect(ring.stats().linked).toBe(false);
    expect(thrownBy(() => MpmcRing.attach({ ...ring.handle, kind: 'SpscRing' } as never))).toBeInstanceOf(TypeError);
  });

  it('has room for a thousand participants', () => {
    const ring = opening(MpmcRing.create({ slots: 2, slotByteLength: 8, maxParticipants: 1000 }));
    const others = Array.from({ length: 999 }, () => MpmcRing.attach(ring.handle));
    expect(thrownBy(() => MpmcRing.attach(ring.handle))).toMatchObject({ code: 'EUSERS' });
    others.at(-1)?.tryPush(number(5));
    expect(others[500]?.tryPop()).toEqual(number(5));
    for (const other of others) other.close();
  });
});

describe('a hostile peer of an MPMC ring', () => {
  it('gets errors, and neither a crash nor an endless loop', () => {
    const random = new Random(seed);
    const outcomes = new Map<string, number>();
    for (let round = 0; round < 3000; round++) {
      const ring = MpmcRing.create({ slots: 4, slotByteLength: 40, maxParticipants: 4 });
      try {
        for (let i = random.below(5); i > 0; i--) ring.tryPush(number(i));
        if (random.below(2) === 0) ring.tryTake();
        const first = bodyOffsetFor(4) + MpmcHeader.counters + 4 * 128;
        for (let pokes = 1 + random.below(4); pokes > 0; pokes--) {
          const word = random.pick([
            0,
            1,
            2,
            3,
            4,
            7,
            8,
            0x8000,
            0x7fffffff,
            0x80000000,
            0xffffffff,
            random.below(2 ** 31),
          ]);
          const where = random.pick([
            bodyOffsetFor(4) + random.pick([MpmcHeader.tail, MpmcHeader.head, MpmcHeader.ended]),
            first + random.below(4) * 64 + 4 * random.below(6),
          ]);
          poke(ring, where, word);
        }
        for (let act = 0; act < 12; act++) {
          try {
            const call = random.below(6);
            if (call === 0) ring.tryPush(number(1));
            else if (call === 1) ring.tryPop();
            else if (call === 2) ring.tryTake()?.nack();
            else if (call === 3) ring.tryTake()?.ack();
            else if (call === 4) ring.popSync({ timeoutMs: 0 });
            else ring.stats();
          } catch (error) {
            if (!(error instanceof RingwayError)) throw error;
            outcomes.set(error.code, (outcomes.get(error.code) ?? 0) + 1);
          }
        }
      } finally {
        ring.close();
      }
    }
    expect([...outcomes.keys()]).toContain('ERR_RINGWAY_CORRUPT_SEGMENT');
    expect([...outcomes.keys()].sort()).toEqual(
      expect.arrayContaining(['EPIPE', 'ERR_RINGWAY_CORRUPT_SEGMENT', 'ERR_RINGWAY_TIMEOUT']),
    );
  });
});
