// The default codec: what structuredClone() takes, and shared objects.

import type { ValueCodec } from './codec.js';
import { StructuredDecoder } from './structured-decoder.js';
import { StructuredEncoder } from './structured-encoder.js';

const encoder = new StructuredEncoder();
const decoder = new StructuredDecoder();

/** One for all: what encode() returns is valid until anybody's next encode(), unless kept. */
export const structuredCodec: ValueCodec = {
  name: 'structured',
  encode: (value, route) => encoder.encode(value, route),
  decode: (memory, byteOffset, byteLength, arrive, owned) =>
    decoder.decode(memory, byteOffset, byteLength, arrive, owned),
};
