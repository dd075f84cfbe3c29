// JSON, for peers and logs that are to be read by people: faster than nothing, and it drops what it does not know.

import type { ValueCodec } from './codec.js';
import { Message } from './message.js';
import { pathOf, type Step } from './path.js';
import { unserialisable } from './unserialisable.js';

const message = new Message();
const toBytes = new TextEncoder();
const toText = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** One for all, as structuredCodec. Shared objects go in as their handles and come out as plain data. */
export const jsonCodec: ValueCodec = {
  name: 'json',
  encode(value) {
    let text: string | undefined;
    try {
      text = JSON.stringify(value);
    } catch (error) {
      throw findCulprit(value, [], []) ?? tooDeep(error);
    }
    if (text === undefined) throw unserialisable(`value is ${nameOf(value)}: JSON has nothing for it`);
    const bytes = toBytes.encode(text);
    return message.set(bytes, bytes.length);
  },
  decode(memory, byteOffset, byteLength) {
    const bytes = memory.subarray(byteOffset, byteOffset + byteLength);
    try {
      // The decoders of browsers refuse memory that others may write to.
      return JSON.parse(toText.decode(bytes.buffer instanceof ArrayBuffer ? bytes : bytes.slice()));
    } catch (error) {
      throw unserialisable(`the message is not JSON: ${(error as Error).message}`, error);
    }
  },
};

const nameOf = (value: unknown) =>
  typeof value === 'object' ? 'an object whose toJSON() returns nothing' : typeof value;

function tooDeep(error: unknown): unknown {
  if (!(error instanceof RangeError)) return error; // What a getter or toJSON() has thrown.
  return unserialisable(`value is nested too deeply: ${error.message}`, error);
}

/** What JSON.stringify() did not take; undefined if it is not what it complained about. */
function findCulprit(value: unknown, parents: readonly unknown[], steps: readonly Step[]): Error | undefined {
  try {
    if (typeof value === 'bigint')
      return unserialisable(`${pathOf(['', ...steps].slice(1), [])} is a bigint: JSON has none`);
    if (typeof value !== 'object' || value === null || steps.length > MAX_SEARCH_DEPTH) return undefined;
    if (parents.includes(value)) {
      return unserialisable(`${pathOf(steps, [])} is an object that it is in itself: JSON has no cycles`);
    }
    for (const key of Object.keys(value)) {
      let item = (value as Record<string, unknown>)[key];
      const { toJSON } = Object(item) as { toJSON?: unknown };
      if (typeof toJSON === 'function') item = toJSON.call(item, key);
      const found = findCulprit(item, [...parents, value], [...steps, Array.isArray(value) ? Number(key) : key]);
      if (found !== undefined) return found;
    }
  } catch {
    // It is what stringify() threw, or it is thrown only sometimes.
  }
  return undefined;
}

const MAX_SEARCH_DEPTH = 1000;
