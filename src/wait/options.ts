// What every blocking operation takes.

import type { OpenOptions } from '../memory/shared-object.js';
import { checkWait, type WaitMode } from './adaptive-spin.js';

/** What an object that can be waited for takes to be attached to. */
export interface AttachOptions extends OpenOptions {
  /** How this handle waits; by default as the object was created. */
  wait?: WaitMode;
}

/**
 * How a handle is to wait; undefined: as the object was created.
 * @throws {RangeError} unless it is a wait mode
 */
export function checkAttachedWait({ wait }: AttachOptions): WaitMode | undefined {
  return wait === undefined ? undefined : checkWait(wait);
}

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
 * Refuses options that make no sense, before anything is attempted.
 * @throws {TypeError} for values of another type
 * @throws {RangeError} for a timeoutMs of NaN
 */
export function checkWaitOptions(options: WaitOptions): void {
  const { timeoutMs, signal } = options;
  if (timeoutMs !== undefined && typeof timeoutMs !== 'number') {
    throw new TypeError(`timeoutMs must be a number, not ${typeof timeoutMs}`);
  }
  if (Number.isNaN(timeoutMs)) throw new RangeError('timeoutMs must not be NaN');
  if (signal !== undefined && typeof signal?.addEventListener !== 'function') {
    throw new TypeError(`signal must be an AbortSignal, not ${signal === null ? 'null' : typeof signal}`);
  }
}

/** When the wait gives up, on performance.now()'s clock; `-Infinity` for one attempt. */
export function deadlineOf(timeoutMs = Infinity): number {
  if (timeoutMs === Infinity) return Infinity;
  return timeoutMs <= 0 ? -Infinity : performance.now() + timeoutMs;
}
