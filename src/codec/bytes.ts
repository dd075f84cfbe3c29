// Bytes as they are.

import { describe } from '../memory/names.js';
import type { ValueCodec } from './codec.js';
import { Message } from './message.js';
import { unserialisable } from './unserialisable.js';

const message = new Message();

/** One for all, as structuredCodec. Takes typed arrays, DataViews and Buffers; gives Uint8Arrays. */
export const bytesCodec: ValueCodec = {
  name: 'bytes',
  encode(value) {
    const bytes = bytesOf(value);
    return message.set(bytes, bytes.length);
  },
  decode(memory, byteOffset, byteLength, _arrive, owned) {
    return owned
      ? new Uint8Array(memory.buffer, memory.byteOffset + byteOffset, byteLength)
      : copyOf(memory, byteOffset, byteLength);
  },
};

/** In a buffer of its own, which is never shared. */
export function copyOf(memory: Uint8Array, byteOffset: number, byteLength: number): Uint8Array {
  const bytes = new Uint8Array(byteLength);
  bytes.set(memory.subarray(byteOffset, byteOffset + byteLength));
  return bytes;
}

function bytesOf(value: unknown): Uint8Array {
  try {
    if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  } catch (error) {
    throw unserialisable('value is a view of an ArrayBuffer that was transferred away', error);
  }
  throw unserialisable(`value is ${describe(value)}: the codec 'bytes' takes typed arrays, DataViews and Buffers`);
}
