// Messages of a many-to-many ring written and read in place by a function: tryWrite, write, writeSync, drain.
import { ClosedError, MessageSizeError, MpmcRing } from 'ringway';
import { describe, expect, it } from 'vitest';
import { opening, useOwnDirectory } from './helpers/directory.js';
import { BACKENDS, recordOf, rejectionOf, thrownBy } from './helpers/rings.js';

useOwnDirectory();

for (const backend of BACKENDS) {
  describe(`a writer on an MPMC ring over ${backend}`, () => {
    const make = (slots = 4) => opening(MpmcRing.create({ slots, slotByteLength: 100, backend }));

    it('gets exactly the room it asked for, and what it writes arrives', () => {
      const ring = make();
      for (let length = 0; length <= 100; length++) {
        const wrote = ring.tryWrite(length, (memory, byteOffset, byteLength) => {
          expect(byteLength).toBe(length);
          memory.set(recordOf(length), byteOffset);
        });
        expect(wrote).toBe(true);
        expect(ring.tryPop()).toEqual(recordOf(length));
      }
      ring.tryWrite(100, (memory, byteOffset) => {
        memory[byteOffset] = 7;
        return 1;
      });
      expect(ring.tryPop()).toEqual(new Uint8Array([7]));
      expect(ring.stats()).toMatchObject({ pushed: 102, popped: 102, used: 0 });
    });

    it('is not called when no slot is free, and is waited for by write and writeSync', async () => {
      const ring = make();
      while (ring.tryPush(recordOf(1)));
      expect(ring.tryWrite(1, () => expect.unreachable('called') as never)).toBe(false);
      let calls = 0;
      const written = ring.write(1, (memory, byteOffset) => {
        memory[byteOffset] = ++calls;
      });
      expect(calls).toBe(0);
      ring.tryPopMany(Infinity);
      await written;
      ring.writeSync(1, (memory, byteOffset) => {
        memory[byteOffset] = ++calls;
      });
      expect(ring.tryPopMany(9)).toEqual([new Uint8Array([1]), new Uint8Array([2])]);
    });

    it('that throws, returns a promise or a length out of range publishes nothing and keeps no slot', async () => {
      const ring = make();
      const boom = new Error('boom');
      const fails = () => {
        throw boom;
      };
      expect(thrownBy(() => ring.tryWrite(8, fails))).toBe(boom);
      expect(await rejectionOf(ring.write(8, fails))).toBe(boom);
      expect(thrownBy(() => ring.tryWrite(8, (async () => {}) as never))).toBeInstanceOf(TypeError);
      for (const length of [-1, 1.5, 9, Number.NaN]) {
        expect(thrownBy(() => ring.tryWrite(8, () => length))).toBeInstanceOf(RangeError);
      }
      expect(thrownBy(() => ring.tryWrite(8, 'no' as never))).toBeInstanceOf(TypeError);
      expect(thrownBy(() => ring.tryWrite(-1, () => {}))).toBeInstanceOf(RangeError);
      expect(thrownBy(() => ring.tryWrite(101, () => {}))).toBeInstanceOf(MessageSizeError);
      expect(ring.tryPop()).toBeNull();
      expect(ring.stats().used).toBe(0);
    });

    it('is one at a time, but may push, pop and drain', () => {
      const ring = make();
      ring.tryPush(recordOf(3));
      ring.tryWrite(1, () => {
        expect(thrownBy(() => ring.tryWrite(1, () => {})).code).toBe('ERR_RINGWAY_BORROWED');
        expect(ring.tryPop()).toEqual(recordOf(3));
        ring.tryPush(recordOf(4));
        expect(ring.drain(() => {})).toBe(1);
      });
      expect(ring.tryPopMany(9)).toHaveLength(1);
    });

    it('finds the ring ended, and publishes nothing if it closes it', () => {
      const ring = make();
      const other = opening(MpmcRing.attach(ring.handle));
      expect(thrownBy(() => ring.tryWrite(1, () => ring.close()))).toBeInstanceOf(ClosedError);
      expect(other.stats()).toMatchObject({ used: 0, pushed: 0 });
      other.end();
      expect(thrownBy(() => other.tryWrite(1, () => {})).code).toBe('EPIPE');
    });
  });

  describe(`a drain of an MPMC ring over ${backend}`, () => {
    const make = () => {
      const ring = opening(MpmcRing.create({ slots: 8, slotByteLength: 16, backend }));
      ring.tryPushMany([recordOf(1), recordOf(16), recordOf(0)]);
      return ring;
    };

    it('hands over what is there, in order, up to the limit', () => {
      const ring = make();
      const got: Uint8Array[] = [];
      const handler = (memory: Uint8Array, byteOffset: number, byteLength: number) =>
        void got.push(memory.slice(byteOffset, byteOffset + byteLength));
      expect(ring.drain(handler, 2)).toBe(2);
      expect(ring.drain(handler, 0)).toBe(0);
      expect(ring.drain(handler)).toBe(1);
      expect(ring.drain(handler)).toBe(0);
      expect(got).toEqual([recordOf(1), recordOf(16), recordOf(0)]);
      expect(ring.stats()).toMatchObject({ popped: 3, used: 0 });
      for (const limit of [-1, 0.5, NaN]) expect(thrownBy(() => ring.drain(handler, limit))).toBeInstanceOf(RangeError);
      expect(thrownBy(() => ring.drain(null as never))).toBeInstanceOf(TypeError);
    });

    it('gives a message back whose handler throws or returns a promise', () => {
      const ring = make();
      const boom = new Error('boom');
      const fails = () => {
        throw boom;
      };
      expect(thrownBy(() => ring.drain(fails))).toBe(boom);
      expect(thrownBy(() => ring.drain((async () => {}) as never))).toBeInstanceOf(TypeError);
      const leases = ring.tryTakeMany(9);
      expect(leases.map((lease) => [lease.byteLength, lease.deliveries])).toEqual([
        [0, 1],
        [1, 2],
        [16, 2],
      ]);
      for (const lease of leases) lease.ack();
    });

    it('is one at a time, and its message goes to others if the handler closes the ring', () => {
      const ring = make();
      const other = opening(MpmcRing.attach(ring.handle));
      ring.drain(() => expect(thrownBy(() => ring.drain(() => {})).code).toBe('ERR_RINGWAY_BORROWED'), 1);
      expect(ring.drain(() => ring.close())).toBe(0);
      expect(thrownBy(() => ring.drain(() => {}))).toBeInstanceOf(ClosedError);
      expect(other.tryPopMany(9)).toEqual([recordOf(0), recordOf(16)]);
      expect(other.stats().used).toBe(0);
    });
  });
}
