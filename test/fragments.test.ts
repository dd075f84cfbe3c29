import { describe, expect, it, vi } from 'vitest';
import { Arriving, MessageKind } from '../src/channel/fragments.js';

/** Runs it while no array can be allocated. */
function withoutMemory<Result>(run: () => Result): Result {
  const construct = (target: Uint8ArrayConstructor, args: [number]) => {
    if (args[0] > 0) throw new RangeError('Array buffer allocation failed');
    return Reflect.construct(target, args);
  };
  vi.stubGlobal('Uint8Array', new Proxy(Uint8Array, { construct }));
  try {
    return run();
  } finally {
    vi.unstubAllGlobals();
  }
}

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

  it("arrives in the caller's memory until that is wanted back, then goes on elsewhere", () => {
    const into = new Uint8Array(20).fill(99);
    const arriving = new Arriving(MessageKind.bytes, 8, into);
    arriving.add(Uint8Array.of(1, 2, 3), 0, 3);
    arriving.goOnIn(into);
    arriving.add(Uint8Array.of(4, 5), 0, 2);
    expect([...into.subarray(0, 6)]).toEqual([1, 2, 3, 4, 5, 99]);
    arriving.goOnIn(undefined);
    into.fill(0);
    arriving.add(Uint8Array.of(6, 7, 8), 0, 3);
    expect(arriving).toMatchObject({ complete: true, lost: false });
    expect([...arriving.bytes.subarray(0, 8)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(into.every((byte) => byte === 0)).toBe(true);
  });

  it("is lost with the caller's memory, but for one of which nothing had come", () => {
    const transferred = () => {
      const into = new Uint8Array(8);
      return { into, transfer: () => structuredClone(into, { transfer: [into.buffer] }) };
    };
    const before = transferred();
    const whole = new Arriving(MessageKind.bytes, 2, before.into);
    before.transfer();
    whole.add(Uint8Array.of(1, 2), 0, 2);
    expect(whole).toMatchObject({ complete: true, lost: false });
    expect([...whole.bytes.subarray(0, 2)]).toEqual([1, 2]);

    const after = transferred();
    const part = new Arriving(MessageKind.bytes, 3, after.into);
    part.add(Uint8Array.of(1), 0, 1);
    after.transfer();
    expect(() => part.add(Uint8Array.of(2), 0, 1)).toThrow(
      /message of 3 bytes has lost its memory.* 1 bytes of it are/,
    );
    part.add(Uint8Array.of(2, 3), 0, 2);
    expect(part).toMatchObject({ complete: true, lost: true });
  });

  it('never goes on in memory that its caller has back, even if there is no other', () => {
    const into = new Uint8Array(8);
    const arriving = new Arriving(MessageKind.bytes, 8, into);
    arriving.add(Uint8Array.of(1, 2, 3), 0, 3);
    withoutMemory(() => arriving.goOnIn(undefined));
    into.fill(0);
    expect(() => arriving.add(Uint8Array.of(4, 5), 0, 2)).toThrow(
      expect.objectContaining({ code: 'ENOMEM', message: expect.stringMatching(/3 bytes of it are lost/) }),
    );
    arriving.add(Uint8Array.of(4, 5, 6, 7, 8), 0, 5);
    expect(arriving).toMatchObject({ complete: true, lost: true });
    expect(into.every((byte) => byte === 0)).toBe(true);
  });

  it('does not begin without memory', () => {
    const into = new Uint8Array(8);
    structuredClone(into, { transfer: [into.buffer] });
    expect(() => withoutMemory(() => new Arriving(MessageKind.bytes, 8, into))).toThrow(
      expect.objectContaining({ code: 'ENOMEM' }),
    );
  });

  it('is refused when more comes than was announced', () => {
    const arriving = new Arriving(MessageKind.bytes, 10);
    expect(() => arriving.add(new Uint8Array(11), 0, 11)).toThrow(/11 bytes have come of a message of 10/);
  });
});
