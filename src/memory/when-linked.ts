// Waits for a name to appear, without polling.

import { RingwayError, TimeoutError } from '../errors.js';
import { builtin } from '../runtime.js';
import { requireNative } from './backend.js';
import { describe, segmentDirectory } from './names.js';

export interface LinkWait {
  timeoutMs?: number;
  signal?: AbortSignal;
}

/**
 * Calls `attach` until it does not say ENOENT: now, and whenever something is created in the directory.
 * @throws {TimeoutError} after `timeoutMs`
 * @throws {RingwayError} `ERR_RINGWAY_NO_ADDON`, at once, where names lead nowhere
 */
export function whenLinked<Result>(name: string, options: LinkWait, attach: () => Result): Promise<Result> {
  requireNative(`the name ${describe(name)}`);
  const { timeoutMs = Infinity, signal } = options;
  if (signal?.aborted) return Promise.reject(signal.reason);
  const fs = builtin<typeof import('node:fs')>('node:fs');
  if (fs === undefined) return Promise.resolve().then(attach);
  return new Promise((resolve, reject) => {
    // Before the first look, so that nothing is created between the look and the watch.
    const watcher = fs.watch(segmentDirectory());
    let timer: ReturnType<typeof setTimeout> | undefined;
    const finish = (settle: () => void) => {
      watcher.close();
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      settle();
    };
    const abort = () => finish(() => reject(signal?.reason));
    const look = () => {
      try {
        const result = attach();
        finish(() => resolve(result));
        return true;
      } catch (error) {
        if (error instanceof RingwayError && error.code === 'ENOENT') return false;
        finish(() => reject(error));
        return true;
      }
    };
    if (look()) return;
    const timeOut = () => finish(() => reject(new TimeoutError(`nobody created ${JSON.stringify(name)} in time`)));
    if (timeoutMs <= 0) return timeOut();
    if (timeoutMs !== Infinity) timer = setTimeout(timeOut, Math.min(timeoutMs, 2 ** 31 - 1));
    signal?.addEventListener('abort', abort, { once: true });
    watcher.on('change', look);
    watcher.on('error', (error) => finish(() => reject(error)));
  });
}
