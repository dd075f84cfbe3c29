import { describe, expect, it } from 'vitest';
import { Arriving, MessageKind } from '../src/channel/fragments.js';

describe('a message that arrives in parts', () => {
  it('is complete and in order though it was longer than what is allocated at first', () => {
    const part = 16 * 2 ** 20;
    const parts = 9;
    const arriving = new Arriving(MessageKind.bytes, parts * part + 3);
    for (let i = 1; i <= parts; i++) {
      expect(arriving.complete).toBe(false);
      arriving.add(new Uint8Array(part).fill(i), 0, part);
    }
    arriving.add(Uint8Array.of(0, 7, 8, 9), 1, 3);
    expect(arriving.complete).toBe(true);
    expect(arriving.bytes.length).toBe(parts * part + 3);
    for (let i = 1; i <= parts; i++) {
      const bytes = arriving.bytes.subarray((i - 1) * part, i * part);
      expect(bytes.indexOf(i)).toBe(0);
      expect(Buffer.compare(bytes, new Uint8Array(part).fill(i))).toBe(0);
    }
    expect([...arriving.bytes.subarray(parts * part)]).toEqual([7, 8, 9]);
  });

  it('is refused when more comes than was announced', () => {
    const arriving = new Arriving(MessageKind.bytes, 10);
    expect(() => arriving.add(new Uint8Array(11), 0, 11)).toThrow(/11 bytes have come of a message of 10/);
  });
});
