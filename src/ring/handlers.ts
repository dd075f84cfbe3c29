// Functions that users hand to rings, to be called with ring memory, and what they may return.

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

/**
 * Lets a writer write.
 * @returns how many bytes it wrote
 * @throws {TypeError | RangeError} if it returns something else than a length that fits, or nothing
 */
export function callWriter(segment: Segment, writer: Writer, byteOffset: number, byteLength: number): number {
  const written = DEBUG_VIEWS
    ? writeCopy(segment, writer, byteOffset, byteLength)
    : writer(segment.bytes, byteOffset, byteLength);
  return written === undefined ? byteLength : checkWritten(written, byteLength);
}

/**
 * Lets a handler read.
 * @throws {TypeError} if it returns a promise: it would read memory that is not its own any more
 */
export function callHandler(segment: Segment, handler: DrainHandler, byteOffset: number, byteLength: number): void {
  if (!DEBUG_VIEWS) {
    checkHandled(handler(segment.bytes, byteOffset, byteLength));
    return;
  }
  const loan = new Loan(segment, byteOffset, byteLength);
  try {
    checkHandled(handler(loan.bytes, 0, byteLength));
  } finally {
    loan.end();
  }
}

/** @throws {TypeError} if a handler has returned a promise */
export function checkHandled(result: unknown): void {
  if (result !== undefined && typeof (result as PromiseLike<unknown> | null)?.then === 'function') {
    throw new TypeError('a drain handler must not return a promise: the memory is not its own once it returns');
  }
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

function writeCopy(segment: Segment, writer: Writer, byteOffset: number, byteLength: number): number | void {
  const loan = new Loan(segment, byteOffset, byteLength);
  try {
    const written = writer(loan.bytes, 0, byteLength);
    loan.writeBack();
    return written;
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
