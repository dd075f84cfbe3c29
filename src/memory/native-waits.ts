// How this thread waits through the addon, whatever for: blocked, until a signal comes that somebody listens to; or
// asynchronously, until the addon calls back.

import { Blocked, type Native } from '../native.js';
import { isMainThread, listenedSignals, nextTurn } from '../runtime.js';
import { findNative } from './backend.js';
import type { SleepEnd, Wake } from './segment.js';

/**
 * Lets another thread run that waits for this processor, once in a while by who watches memory: the peer may be that
 * thread. Does nothing without the addon.
 */
export function yieldProcessor(): void {
  findNative().native?.yieldProcessor();
}

/** A worker returns to JavaScript this often, or terminate() would wait for the end of its sleep. */
const WORKER_SLICE_MS = 50;

// How many signals the Sync waits of this turn of the event loop have heeded. One that comes between two of them, while
// the program computes, ends the second: its listener cannot run before the thread is back in its loop. One that came
// before the first is the loop's to deliver.
let heeded: number | undefined;

/** Call before a Sync wait starts to watch something: signals that come from now on end its sleep. */
export function heedSignals(native: Native): void {
  if (heeded !== undefined || !isMainThread) return;
  heeded = native.watchSignals(listenedSignals());
  nextTurn(() => {
    heeded = undefined;
  }, false);
}

/**
 * Blocks the thread in a call of the addon that ends with Blocked.interrupted when a signal comes that is heeded.
 * @returns how it ended, or -errno
 */
export function block(
  native: Native,
  limitMs: number,
  sleep: (limitMs: number, signals: number, signalsSeen: number) => number,
): SleepEnd | number {
  const signals = listenedSignals();
  heedSignals(native);
  const end = sleep(isMainThread ? limitMs : Math.min(limitMs, WORKER_SLICE_MS), signals, heeded ?? 0);
  if (end < 0) return end;
  if (end === Blocked.interrupted) {
    heeded = native.watchSignals(signals);
    return 'interrupted';
  }
  return end === Blocked.timeout ? 'limit' : 'woken';
}

// Waits of this thread that have not ended: what the addon's wake handler finds its callers by.
interface Waiting {
  wake: Wake;
  referenced: boolean;
}
const waiting = new Map<number, Waiting>();
let lastToken = 0;
let referencedWaits = 0;
let handlerSet = false;

/** What the addon is told of a wait: `start` throws if it cannot be waited for. */
export interface NativeWait {
  start(token: number): void;
  cancel(token: number): void;
}

/**
 * Calls `wake` once, never before this returns.
 * @returns cancels; afterwards `wake` is not called
 */
export function whenWoken(native: Native, referenced: boolean, wake: Wake, wait: NativeWait): () => void {
  if (!handlerSet) {
    handlerSet = true;
    native.setWakeHandler((token, timedOut) => end(native, token)?.wake(timedOut ? 'limit' : 'woken'));
  }
  lastToken = (lastToken + 1) >>> 0;
  const token = lastToken;
  wait.start(token);
  waiting.set(token, { wake, referenced });
  if (referenced && ++referencedWaits === 1) native.keepLoopAlive(true);
  return () => {
    if (end(native, token)) wait.cancel(token);
  };
}

function end(native: Native, token: number): Waiting | undefined {
  const ended = waiting.get(token);
  if (ended === undefined) return undefined;
  waiting.delete(token);
  if (ended.referenced && --referencedWaits === 0) native.keepLoopAlive(false);
  return ended;
}
