// Waiting for whichever of several objects is ready first.

import { EndOfStreamError, PeerDiedError, type RingwayError, TimeoutError } from '../errors.js';
import { describe } from '../memory/names.js';
import { checkWaitOptions, deadlineOf, type SyncWaitOptions, type WaitOptions } from '../wait/options.js';
import { readiness, type Waitable } from '../wait/readiness.js';

/** A thread that blocks for several objects looks at each of them this often. */
const SLICE_MS = 5;

/**
 * Waits until at least one of the objects is ready: a message, a connection or a process's end is there, an event is set,
 * or nothing will come any more. Consumes nothing.
 * @param objects - connections, queues, listeners, processes, consumers and subscribers of rings, events
 * @returns all that are ready then, in the order given; `[]` after `timeoutMs`, and for no objects
 * @throws {TypeError} for what is none of these
 */
export async function wait<Item extends Waitable>(objects: Iterable<Item>, options: WaitOptions = {}): Promise<Item[]> {
  const items = checkItems(objects);
  checkWaitOptions(options);
  const { signal } = options;
  signal?.throwIfAborted();
  const now = readyOf(items);
  const deadline = deadlineOf(options.timeoutMs);
  if (now.length > 0 || items.length === 0 || deadline === -Infinity) return now;
  let waiting = new AbortController();
  let over = false;
  const stop = () => {
    over = true;
    waiting.abort();
  };
  signal?.addEventListener('abort', stop, { once: true });
  const timer = deadline === Infinity ? undefined : setTimeout(stop, deadline - performance.now());
  try {
    for (;;) {
      const failed = await firstSettled(items.map((item) => item[readiness].whenReady(waiting.signal)));
      waiting.abort(); // The waits for the others, which have no effect.
      signal?.throwIfAborted();
      const ready = readyOf(items);
      if (ready.length > 0 || over) return ready;
      // Either somebody was quicker and took it, or it failed without being ready, and would again.
      if (failed !== undefined) throw failed.error;
      waiting = new AbortController();
    }
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
  }
}

/**
 * wait() that blocks the thread. For one object it sleeps until that is ready; for several it looks at each of them every
 * few milliseconds.
 * @throws {RingwayError} `EINTR` when a signal came that somebody listens to; `ERR_RINGWAY_WOULD_DEADLOCK` if all of them
 *   could only be made ready by this thread
 */
export function waitSync<Item extends Waitable>(objects: Iterable<Item>, options: SyncWaitOptions = {}): Item[] {
  const items = checkItems(objects);
  checkWaitOptions(options);
  const deadline = deadlineOf(options.timeoutMs);
  let blocking = items;
  for (let turn = 0; ; turn++) {
    const ready = readyOf(items);
    const left = deadline - performance.now();
    if (ready.length > 0 || items.length === 0 || left <= 0) return ready;
    const item = blocking[turn % blocking.length];
    try {
      item[readiness].blockUntilReady(blocking.length === 1 ? left : Math.min(left, SLICE_MS));
    } catch (error) {
      if (error instanceof TimeoutError || endsWaits(error)) continue;
      const wouldDeadlock = (error as RingwayError).code === 'ERR_RINGWAY_WOULD_DEADLOCK';
      if (!wouldDeadlock || blocking.length === 1) throw error;
      blocking = blocking.filter((other) => other !== item);
    }
  }
}

function checkItems<Item extends Waitable>(objects: Iterable<Item>): Item[] {
  if (typeof (objects as Partial<Iterable<Item>> | null)?.[Symbol.iterator] !== 'function') {
    throw new TypeError(`wait takes an array of objects, not ${describe(objects)}`);
  }
  const items = [...objects];
  for (const item of items) {
    if (typeof item === 'object' && item?.[readiness] !== undefined) continue;
    throw new TypeError(
      `wait takes connections, queues, listeners, processes, consumers, subscribers and events, not ${describe(item)}`,
    );
  }
  return items;
}

const readyOf = <Item extends Waitable>(items: Item[]) => items.filter((item) => item[readiness].isReady());

// The end of a stream is something to wait for.
const endsWaits = (error: unknown) => error instanceof EndOfStreamError || error instanceof PeerDiedError;

// Resolves when the first one settles, with its error if it has failed. The others' errors are theirs.
function firstSettled(waits: Promise<unknown>[]): Promise<{ error: unknown } | undefined> {
  return new Promise((resolve) => {
    for (const wait of waits) {
      wait.then(
        () => resolve(undefined),
        (error) => resolve(endsWaits(error) ? undefined : { error }),
      );
    }
  });
}
