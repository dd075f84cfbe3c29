// Records that a function of the user writes or reads where they lie.

import { describe } from '../memory/names.js';
import type { Segment } from '../memory/segment.js';
import { DEBUG_VIEWS, Loan } from './views.js';

/**
 * Writes one record in place.
 * @param memory - the ring's memory, or a private copy with RINGWAY_DEBUG=views; valid until the writer returns
 * @param byteOffset - where the record starts in `memory`
 * @param byteLength - how much room there is
 * @returns how many bytes the record has; nothing: all of them
 */
export type Writer = (memory: Uint8Array, byteOffset: number, byteLength: number) => number | void;

/**
 * Reads one record in place.
 * @param memory - the ring's memory, or a private copy with RINGWAY_DEBUG=views; valid until the handler returns
 * @param byteOffset - where the record starts in `memory`
 * @param byteLength - of the record
 */
export type DrainHandler = (memory: Uint8Array, byteOffset: number, byteLength: number) => void;

/**
 * Calls a writer.
 * @param offset - of the room, from the segment's start, in bytes
 * @returns how many bytes it wrote
 * @throws {TypeError | RangeError} if it returns something else than a length up to `byteLength`, or nothing
 */
export function writeInPlace(segment: Segment, offset: number, byteLength: number, writer: Writer): number {
  const result = DEBUG_VIEWS
    ? writeCopy(segment, offset, byteLength, writer)
    : writer(segment.bytes, offset, byteLength);
  return result === undefined ? byteLength : checkWritten(result, byteLength);
}

/**
 * Calls a drain handler.
 * @param offset - of the record, from the segment's start, in bytes
 * @throws {TypeError} if it returns a promise
 */
export function readInPlace(segment: Segment, offset: number, byteLength: number, handler: DrainHandler): void {
  if (DEBUG_VIEWS) readCopy(segment, offset, byteLength, handler);
  else checkResult(handler(segment.bytes, offset, byteLength));
}

function writeCopy(segment: Segment, offset: number, byteLength: number, writer: Writer): unknown {
  const loan = new Loan(segment, offset, byteLength);
  try {
    const result = writer(loan.bytes, 0, byteLength);
    loan.writeBack();
    return result;
  } finally {
    loan.end();
  }
}

function readCopy(segment: Segment, offset: number, byteLength: number, handler: DrainHandler): void {
  const loan = new Loan(segment, offset, byteLength);
  try {
    checkResult(handler(loan.bytes, 0, byteLength));
  } finally {
    loan.end();
  }
}

function checkWritten(written: unknown, byteLength: number): number {
  if (typeof written !== 'number') {
    throw new TypeError(`a writer returns how many bytes it wrote, or nothing, not ${describe(written)}`);
  }
  if (Number.isInteger(written) && written >= 0 && written <= byteLength) return written;
  throw new RangeError(`a writer with room for ${byteLength} bytes cannot have written ${written}`);
}

function checkResult(result: unknown): void {
  if (result !== undefined && typeof (result as PromiseLike<unknown> | null)?.then === 'function') {
    throw new TypeError('a drain handler must not return a promise: the memory is not its own once it returns');
  }
}
