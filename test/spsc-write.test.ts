// Records written in place by a function: tryWrite, write, writeSync.

import { ClosedError, MessageSizeError, SpscRing } from 'ringway';
import { afterEach, describe, expect, it } from 'vitest';

const rings: SpscRing[] = [];
const open = (backend: 'shm' | 'sab', capacity = 1024) => {
  const ring = SpscRing.create({ capacity, backend });
  rings.push(ring);
  return { ring, producer: ring.producer(), consumer: ring.consumer() };
};
afterEach(() => {
  for (const ring of rings.splice(0)) ring.close();
});

for (const backend of ['shm', 'sab'] as const) {
  describe(`a writer on an SPSC ring over ${backend}`, () => {
    it('gets exactly the room it asked for, and what it writes arrives', () => {
      const { producer, consumer } = open(backend);
      for (let length = 0; length <= 200; length++) {
        const wrote = producer.tryWrite(length, (memory, byteOffset, byteLength) => {
          expect(byteLength).toBe(length);
          memory.fill(length, byteOffset, byteOffset + byteLength);
        });
        expect(wrote).toBe(true);
        expect(consumer.tryPop()).toEqual(new Uint8Array(length).fill(length));
      }
    });

    it('may say that it wrote less', () => {
      const { ring, producer, consumer } = open(backend);
      expect(
        producer.tryWrite(100, (memory, byteOffset) => {
          memory[byteOffset] = 7;
          return 1;
        }),
      ).toBe(true);
      expect(ring.stats().used).toBe(16);
      expect(consumer.tryPop()).toEqual(new Uint8Array([7]));
    });

    it('is not called when there is no room', () => {
      const { producer } = open(backend, 64);
      while (producer.tryPush(new Uint8Array(8)));
      const fail = () => {
        throw new Error('called');
      };
      expect(producer.tryWrite(8, fail)).toBe(false);
    });

    it('that throws, returns a promise or a length out of range publishes nothing', () => {
      const { producer, consumer } = open(backend);
      const boom = new Error('boom');
      expect(() =>
        producer.tryWrite(8, () => {
          throw boom;
        }),
      ).toThrow(boom);
      expect(() => producer.tryWrite(8, (async () => {}) as never)).toThrow(TypeError);
      for (const length of [-1, 1.5, 9, Number.NaN]) {
        expect(() => producer.tryWrite(8, () => length)).toThrow(RangeError);
      }
      expect(() => producer.tryWrite(8, 'no' as never)).toThrow(TypeError);
      expect(() => producer.tryWrite(-1, () => {})).toThrow(RangeError);
      expect(() => producer.tryWrite(1 << 20, () => {})).toThrow(MessageSizeError);
      expect(consumer.tryPop()).toBeNull();
      expect(producer.tryWrite(1, () => {})).toBe(true); // Nothing is left borrowed.
    });

    it('finds the producer borrowed, and publishes nothing if it closes it', () => {
      const { ring, producer, consumer } = open(backend);
      producer.tryWrite(8, () => {
        expect(() => producer.tryPush(new Uint8Array(1))).toThrow(
          expect.objectContaining({ code: 'ERR_RINGWAY_BORROWED' }),
        );
      });
      expect(consumer.tryPop()).toHaveLength(8);
      expect(() => producer.tryWrite(8, () => producer.close())).toThrow(ClosedError);
      expect(consumer.tryPop()).toBeNull();
      expect(ring.producer().tryPush(new Uint8Array(3))).toBe(true);
    });

    it('writes several records that are published together, as many as fit', () => {
      const { ring, producer, consumer } = open(backend, 256);
      let calls = 0;
      const number = (memory: Uint8Array, byteOffset: number) => {
        expect(consumer.tryPop()).toBeNull(); // Nothing is seen before the last one is written.
        memory.fill(++calls, byteOffset, byteOffset + 8);
        return (calls % 8) + 1;
      };
      for (let expected = 1; calls < 500; ) {
        const wrote = producer.tryWriteMany((calls % 7) + 1, 8, number);
        const popped = consumer.tryPopMany(Infinity);
        expect(popped).toHaveLength(wrote);
        for (const record of popped) expect(record).toEqual(new Uint8Array((expected % 8) + 1).fill(expected++));
      }
      expect(ring.stats()).toMatchObject({ pushed: calls, popped: calls });
      const fill = (memory: Uint8Array, byteOffset: number) => void memory.fill(7, byteOffset, byteOffset + 8);
      expect(producer.tryWriteMany(0, 8, fill)).toBe(0);
      expect(producer.tryWriteMany(Number.MAX_SAFE_INTEGER, 8, fill)).toBe(ring.stats().used / 16);
      expect(producer.tryWriteMany(1, 8, fill)).toBe(0);
    });

    it('that throws, or closes the producer, among several records publishes none of them', () => {
      const { ring, producer, consumer } = open(backend);
      const boom = new Error('boom');
      let calls = 0;
      const throwing = () => {
        if (++calls === 3) throw boom;
      };
      expect(() => producer.tryWriteMany(5, 8, throwing)).toThrow(boom);
      expect(() => producer.tryWriteMany(5, 8, () => 9)).toThrow(RangeError);
      for (const count of [-1, 0.5, Number.NaN, Infinity]) {
        expect(() => producer.tryWriteMany(count, 8, () => {})).toThrow(RangeError);
      }
      expect(() => producer.tryWriteMany(1, 1 << 20, () => {})).toThrow(MessageSizeError);
      expect(() => producer.tryWriteMany(1, 8, null as never)).toThrow(TypeError);
      expect(consumer.tryPop()).toBeNull();
      calls = 0;
      const closing = () => {
        if (++calls === 2) producer.close();
      };
      expect(() => producer.tryWriteMany(5, 8, closing)).toThrow(ClosedError);
      expect(calls).toBe(2);
      expect(consumer.tryPop()).toBeNull();
      expect(ring.producer().tryWriteMany(2, 8, () => {})).toBe(2);
    });

    it('is waited for by write and writeSync', async () => {
      const { producer, consumer } = open(backend, 64);
      while (producer.tryPush(new Uint8Array(8)));
      let calls = 0;
      const written = producer.write(8, (memory, byteOffset) => {
        memory[byteOffset] = ++calls;
      });
      expect(calls).toBe(0);
      consumer.tryPopMany(Infinity);
      await written;
      expect(consumer.tryPop()?.[0]).toBe(1);
      producer.writeSync(8, (memory, byteOffset) => {
        memory[byteOffset] = ++calls;
      });
      expect(consumer.tryPop()?.[0]).toBe(2);
    });
  });
}
