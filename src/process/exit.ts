// How a child ends, and how a thread blocks until it does.

import { RingwayError } from '../errors.js';
import { block, heedSignals } from '../memory/native-waits.js';
import { systemError } from '../memory/shm.js';
import { errnoName, loadNative } from '../native.js';
import { builtin } from '../runtime.js';
import { deadlineOf, type SyncWaitOptions } from '../wait/options.js';

/** How a process ended: exactly one of the two is not null. */
export interface ProcessExit {
  /** Of a process that ended by itself. */
  readonly exitCode: number | null;
  /** That killed it. */
  readonly signal: NodeJS.Signals | null;
}

/** In words: `ended with exit code 1`, `was killed by SIGKILL`. */
export function inWords({ exitCode, signal }: ProcessExit): string {
  return signal === null ? `ended with exit code ${exitCode}` : `was killed by ${signal}`;
}

const READABLE = 0;
const KILLED = 256; // With the signal's number added; native/include/ringway/processes.hpp, howEnded().

/**
 * Blocks the thread until a child that nobody has reaped ends; leaves it to be reaped.
 * @returns null after `timeoutMs`
 * @throws {RingwayError} `EINTR` when a signal came that somebody listens to; `ERR_RINGWAY_NO_ADDON`
 */
export function waitForExitSync(what: string, pid: number, options: SyncWaitOptions): ProcessExit | null {
  const { native, reason } = loadNative();
  if (native === undefined) {
    throw new RingwayError(`${what} needs the addon: ${reason}. Use join()`, 'ERR_RINGWAY_NO_ADDON');
  }
  const deadline = deadlineOf(options.timeoutMs);
  const descriptor = native.openProcess(pid);
  if (descriptor < 0) throw systemError(`${what} is not possible here`, -descriptor, 'pidfd_open');
  try {
    heedSignals(native);
    for (;;) {
      const status = native.howEnded(descriptor);
      if (status >= KILLED) return { exitCode: null, signal: signalName(status - KILLED) };
      if (status >= 0) return { exitCode: status, signal: null };
      if (errnoName(-status) !== 'EAGAIN') throw systemError(`${what} failed`, -status, 'waitid');
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) return null;
      const end = block(native, leftMs, (limitMs, signals, seen) =>
        native.waitDescriptor(descriptor, READABLE, limitMs, signals, seen),
      );
      if (end === 'interrupted') {
        throw new RingwayError(`${what} was interrupted by a signal`, 'EINTR', { syscall: 'ppoll' });
      }
      if (typeof end === 'number') throw systemError(`${what} failed`, -end, 'ppoll');
    }
  } finally {
    native.closeDescriptor(descriptor);
  }
}

function signalName(number: number): NodeJS.Signals {
  const { signals } = (builtin<typeof import('node:os')>('node:os') as typeof import('node:os')).constants;
  const found = Object.entries(signals).find(([, value]) => value === number);
  return (found?.[0] ?? `SIG${number}`) as NodeJS.Signals;
}
