// Waits for what settles a promise of its own, as WaitOptions say.

import { nextTurn } from '../runtime.js';
import { checkWaitOptions, type WaitOptions } from './options.js';

const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * What `promise` settles with, or what `onTimeout` returns or throws after `timeoutMs`. With 0 or less it has one turn of
 * the event loop.
 * @throws the reason of an aborted signal
 */
export async function within<Result, Late>(
  promise: Promise<Result>,
  options: WaitOptions,
  onTimeout: () => Late,
): Promise<Result | Late> {
  checkWaitOptions(options);
  const { timeoutMs = Infinity, signal } = options;
  signal?.throwIfAborted();
  return new Promise<Result | Late>((resolve, reject) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
    const onAbort = () => {
      done();
      reject(signal?.reason);
    };
    const timeOut = () => {
      done();
      try {
        resolve(onTimeout());
      } catch (error) {
        reject(error);
      }
    };
    const arm = (leftMs: number) => {
      const sliceMs = Math.min(leftMs, LONGEST_TIMER_MS);
      timer = setTimeout(() => (leftMs > sliceMs ? arm(leftMs - sliceMs) : timeOut()), sliceMs);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    promise.finally(done).then(resolve, reject);
    if (timeoutMs <= 0) nextTurn(timeOut);
    else if (timeoutMs !== Infinity) arm(timeoutMs);
  });
}
