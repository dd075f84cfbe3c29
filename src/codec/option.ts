// The option `codec` of everything that carries values.

import { describe } from '../memory/names.js';
import { bytesCodec, copyOf } from './bytes.js';
import type { ValueCodec } from './codec.js';
import { jsonCodec } from './json.js';
import { Message } from './message.js';
import { structuredCodec } from './structured.js';

/** A codec of one's own. Both sides must have it. */
export interface CustomCodec {
  /** Both sides compare it. */
  readonly name: string;
  /** The bytes of a value. What it throws, whoever sends gets. */
  encode(value: unknown): Uint8Array;
  /** The value of such bytes, which are its own. Another process has made them: check them. */
  decode(bytes: Uint8Array): unknown;
}

/** How values become bytes: `'structured'`, which is what structuredClone() takes; `'json'`; `'bytes'`; or one's own. */
export type CodecOption = 'structured' | 'json' | 'bytes' | CustomCodec;

/** What everything that carries values takes. */
export interface CodecOptions {
  /** By default `'structured'`. Both sides must agree. */
  codec?: CodecOption;
}

const BUILT_IN: Readonly<Record<string, ValueCodec>> = {
  structured: structuredCodec,
  json: jsonCodec,
  bytes: bytesCodec,
};

/**
 * @param option - as users give it; undefined is `'structured'`
 * @throws {TypeError} if it is no codec
 */
export function checkCodec(option: unknown): ValueCodec {
  if (option === undefined) return structuredCodec;
  if (typeof option === 'string' && isBuiltIn(option)) return BUILT_IN[option];
  const { name, encode, decode } = Object(option) as Partial<CustomCodec>;
  if (typeof name === 'string' && name !== '' && typeof encode === 'function' && typeof decode === 'function') {
    if (!isBuiltIn(name)) return adapt(option as CustomCodec, name);
    throw new TypeError(`codec: the name ${describe(name)} is taken; call yours something else`);
  }
  throw new TypeError(
    `codec must be 'structured', 'json', 'bytes' or an object with name, encode() and decode(), not ${describe(option)}`,
  );
}

/** Whether another process knows the codec by its name alone. */
export function isBuiltIn(name: string): boolean {
  return Object.hasOwn(BUILT_IN, name);
}

function adapt(codec: CustomCodec, name: string): ValueCodec {
  const message = new Message();
  return {
    name,
    encode(value) {
      const bytes = codec.encode(value);
      if (bytes instanceof Uint8Array) return message.set(bytes, bytes.length);
      throw new TypeError(`encode() of the codec ${describe(name)} must return a Uint8Array, not ${describe(bytes)}`);
    },
    decode: (memory, byteOffset, byteLength) => codec.decode(copyOf(memory, byteOffset, byteLength)),
  };
}
