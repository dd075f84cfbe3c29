// What every blocking operation takes.

/** For operations that return a promise. */
export interface WaitOptions {
  /** Absent or `Infinity`: for ever. 0 or negative: one attempt. In milliseconds. */
  timeoutMs?: number;
  /** An abort rejects with its reason and has no effect: nothing was consumed. */
  signal?: AbortSignal;
}

/** For operations that block the thread. */
export interface SyncWaitOptions {
  /** Absent or `Infinity`: for ever. 0 or negative: one attempt. In milliseconds. */
  timeoutMs?: number;
}

/**
 * When the wait gives up, on performance.now()'s clock; `-Infinity` for one attempt.
 * @throws {TypeError} if it is no number
 * @throws {RangeError} if it is NaN
 */
export function deadlineOf(timeoutMs: number | undefined): number {
  if (timeoutMs === undefined || timeoutMs === Infinity) return Infinity;
  if (typeof timeoutMs !== 'number') throw new TypeError(`timeoutMs must be a number, not ${typeof timeoutMs}`);
  if (Number.isNaN(timeoutMs)) throw new RangeError('timeoutMs must not be NaN');
  return timeoutMs <= 0 ? -Infinity : performance.now() + timeoutMs;
}
