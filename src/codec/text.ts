// Strings as bytes: one byte a character where all are below 256, else two. That is how engines keep them, so that long
// ones are copied and not converted, and lone surrogates stay what they are.

import { builtin } from '../runtime.js';

interface Native {
  latin1Slice(this: Uint8Array, start: number, end: number): string;
  ucs2Slice(this: Uint8Array, start: number, end: number): string;
  latin1Write(this: Uint8Array, text: string, byteOffset: number, byteLength: number): number;
  ucs2Write(this: Uint8Array, text: string, byteOffset: number, byteLength: number): number;
}

// Undocumented, but what Buffer's own methods call, in Node, Deno and Bun.
const native = builtin<typeof import('node:buffer')>('node:buffer')?.Buffer.prototype as unknown as Partial<Native>;
const latin1Slice = native?.latin1Slice;
const ucs2Slice = native?.ucs2Slice;
const latin1Write = native?.latin1Write;
const ucs2Write = native?.ucs2Write;

/** Up to here a loop is as fast as a call of native code. */
const LOOP_LENGTH = 24;

// In V8 this takes no time for strings that it keeps in one byte a character: it knows that nothing matches there.
// biome-ignore lint/suspicious/noControlCharactersInRegex: all of them are meant
const WIDE = /[^\x00-\xff]/;

/**
 * @param text - of up to MAX_SHORT_LATIN1 characters, or any for which isWide() said false
 * @returns false if a character does not fit; what is in memory then has no meaning
 */
export function writeLatin1(memory: Uint8Array, byteOffset: number, text: string): boolean {
  const { length } = text;
  if (length > LOOP_LENGTH && latin1Write !== undefined) {
    if (WIDE.test(text)) return false;
    latin1Write.call(memory, text, byteOffset, length);
    return true;
  }
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0xff) return false;
    memory[byteOffset + i] = code;
  }
  return true;
}

export function writeUtf16(memory: Uint8Array, byteOffset: number, text: string): void {
  const { length } = text;
  if (length > LOOP_LENGTH && ucs2Write !== undefined) {
    ucs2Write.call(memory, text, byteOffset, 2 * length);
    return;
  }
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    memory[byteOffset + 2 * i] = code;
    memory[byteOffset + 2 * i + 1] = code >> 8;
  }
}

const chars = String.fromCharCode;

// One call with all characters makes the string at once; adding them one by one makes as many strings.
function upTo8(m: Uint8Array, p: number, length: number): string {
  switch (length) {
    case 0:
      return '';
    case 1:
      return chars(m[p]);
    case 2:
      return chars(m[p], m[p + 1]);
    case 3:
      return chars(m[p], m[p + 1], m[p + 2]);
    case 4:
      return chars(m[p], m[p + 1], m[p + 2], m[p + 3]);
    case 5:
      return chars(m[p], m[p + 1], m[p + 2], m[p + 3], m[p + 4]);
    case 6:
      return chars(m[p], m[p + 1], m[p + 2], m[p + 3], m[p + 4], m[p + 5]);
    case 7:
      return chars(m[p], m[p + 1], m[p + 2], m[p + 3], m[p + 4], m[p + 5], m[p + 6]);
    default:
      return chars(m[p], m[p + 1], m[p + 2], m[p + 3], m[p + 4], m[p + 5], m[p + 6], m[p + 7]);
  }
}

/** Strings shorter than 13 characters are one piece in V8, also when they were put together from two. */
const WHOLE_LENGTH = 12;

/** The caller has checked that the bytes are there. */
export function readLatin1(memory: Uint8Array, byteOffset: number, length: number): string {
  if (length <= 8) return upTo8(memory, byteOffset, length);
  if (length <= WHOLE_LENGTH) return upTo8(memory, byteOffset, 8) + upTo8(memory, byteOffset + 8, length - 8);
  if (latin1Slice !== undefined) return latin1Slice.call(memory, byteOffset, byteOffset + length);
  return readChunks(length, (i) => memory[byteOffset + i]);
}

/** @param length - in characters; the caller has checked that the bytes are there */
export function readUtf16(memory: Uint8Array, byteOffset: number, length: number): string {
  if (ucs2Slice !== undefined) return ucs2Slice.call(memory, byteOffset, byteOffset + 2 * length);
  return readChunks(length, (i) => memory[byteOffset + 2 * i] | (memory[byteOffset + 2 * i + 1] << 8));
}

function readChunks(length: number, codeAt: (index: number) => number): string {
  let text = '';
  for (let from = 0; from < length; from += 4096) {
    text += chars(...Array.from({ length: Math.min(length - from, 4096) }, (_, i) => codeAt(from + i)));
  }
  return text;
}
