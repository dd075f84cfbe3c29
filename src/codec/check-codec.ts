import { builtin } from '../runtime.js';
import type { ValueCodec } from './codec.js';
export interface CodecOption {
  codec?: string;
}
export function isNamedCodec(codec: ValueCodec): boolean {
  return codec.name === 'structured';
}
const enc = (b: Uint8Array): any => ({
  byteLength: b.length,
  departures: [],
  copyTo: (t: Uint8Array, o: number, f: number, l: number) => t.set(b.subarray(f, f + l), o),
  keep: () => enc(b),
});
export function checkCodec(_?: unknown): ValueCodec {
  const v8 = builtin<typeof import('node:v8')>('node:v8')!;
  return {
    name: 'structured',
    encode: (v) => enc(v8.serialize(v)),
    decode: (m, o, l) => v8.deserialize(m.slice(o, o + l)),
  };
}
