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

/** @throws {TypeError} unless it is a function */
export function checkWriter(writer: unknown): void {
  if (typeof writer !== 'function') throw new TypeError(`writer must be a function, not ${describe(writer)}`);
}

/** @throws {TypeError} unless it is a function */
export function checkHandler(handler: unknown): void {
  if (typeof handler !== 'function') throw new TypeError(`handler must be a function, not ${describe(handler)}`);
}

/** @throws {TypeError | RangeError} unless it is a number of records */
export function checkLimit(limit: number): void {
  if (typeof limit !== 'number') throw new TypeError(`limit must be a number, not ${describe(limit)}`);
  if (limit === Infinity || (Number.isInteger(limit) && limit >= 0)) return;
  throw new RangeError(`limit must be a whole number from 0 on or Infinity, not ${limit}`);
}

/** @throws {TypeError | RangeError} unless it is a number of bytes */
export function checkByteLength(byteLength: number): void {
  if (typeof byteLength !== 'number') throw new TypeError(`byteLength must be a number, not ${describe(byteLength)}`);
  if (Number.isInteger(byteLength) && byteLength >= 0) return;
  throw new RangeError(`byteLength must be a whole number from 0 on, not ${byteLength}`);
}

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
  else checkHandled(handler(segment.bytes, offset, byteLength));
}

function writeCopy(segment: Segment, offset: number, byteLength: number, writer: Writer): unknown {
  const loan = new Loan(segment, offset, byteLength);
  try {
    const result = writer(loan.bytes, 0, byteLength);
    loan.writeBack();
    return result;
  } finally {
    loan.end('written');
  }
}

function readCopy(segment: Segment, offset: number, byteLength: number, handler: DrainHandler): void {
  const loan = new Loan(segment, offset, byteLength);
  try {
    checkHandled(handler(loan.bytes, 0, byteLength));
  } finally {
    loan.end('read');
  }
}

function checkWritten(written: unknown, byteLength: number): number {
  if (typeof written !== 'number') {
    throw new TypeError(`a writer returns how many bytes it wrote, or nothing, not ${describe(written)}`);
  }
  if (Number.isInteger(written) && written >= 0 && written <= byteLength) return written;
  throw new RangeError(`a writer with room for ${byteLength} bytes cannot have written ${written}`);
}

/** @throws {TypeError} if a handler has returned a promise */
export function checkHandled(result: unknown): void {
  if (result !== undefined && typeof (result as PromiseLike<unknown> | null)?.then === 'function') {
    throw new TypeError('a drain handler must not return a promise: the memory is not its own once it returns');
  }
}
