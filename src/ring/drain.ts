// Handing messages to a function of the user's that reads them where they lie.

import { describe } from '../memory/names.js';
import type { Loan } from './views.js';

/**
 * Reads one record in place.
 * @param memory - the ring's memory, or a private copy with RINGWAY_DEBUG=views; valid until the handler returns
 * @param byteOffset - where the record starts in `memory`
 * @param byteLength - of the record
 */
export type DrainHandler = (memory: Uint8Array, byteOffset: number, byteLength: number) => void;

/** @throws {TypeError | RangeError} unless it says how many at most */
export function checkLimit(limit: number): void {
  if (typeof limit !== 'number') throw new TypeError(`limit must be a number, not ${describe(limit)}`);
  if (limit === Infinity || (Number.isInteger(limit) && limit >= 0)) return;
  throw new RangeError(`limit must be a whole number from 0 on or Infinity, not ${limit}`);
}

/** @throws {TypeError} if a handler returned a promise: it would read memory that is not its own any more */
export function checkResult(result: unknown): void {
  if (result !== undefined && typeof (result as PromiseLike<unknown> | null)?.then === 'function') {
    throw new TypeError('a drain handler must not return a promise: the memory is not its own once it returns');
  }
}

/** For RINGWAY_DEBUG=views: hands over a private copy, which is detached afterwards. */
export function handCopy(handler: DrainHandler, loan: Loan): void {
  try {
    checkResult(handler(loan.bytes, 0, loan.byteLength));
  } finally {
    loan.end('read');
  }
}
