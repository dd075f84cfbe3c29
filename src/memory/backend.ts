// Which memory the package runs on here, and why.

import { RingwayError } from '../errors.js';
import { errnoName, loadNative, type Native } from '../native.js';
import { atExitIfNeeded, environmentVariable, platform, type Runtime, runtime } from '../runtime.js';
import { segmentDirectory } from './names.js';
import type { Backend } from './segment.js';

export interface Capabilities {
  /** What an object is made of unless told otherwise: POSIX shared memory, or a SharedArrayBuffer. */
  readonly backend: Backend;
  /** Whether objects can be shared between processes, and not only between worker threads. */
  readonly crossProcess: boolean;
  /** Why the backend is not `shm`. */
  readonly reason?: string;
  readonly runtime: Runtime;
  /** `linux-x64`, say. */
  readonly platform: string;
}

let found: { native?: Native; reason?: string } | undefined;

/** The addon, if cross-process objects can be made here. */
export function findNative(): { native?: Native; reason?: string } {
  found ??= find();
  return found;
}

function find(): { native?: Native; reason?: string } {
  const forced = environmentVariable('RINGWAY_BACKEND');
  if (forced === 'sab') return { reason: 'RINGWAY_BACKEND=sab' };
  if (forced !== undefined && forced !== '' && forced !== 'shm') {
    return { reason: `RINGWAY_BACKEND=${forced} is neither shm nor sab` };
  }
  const { native, reason } = loadNative();
  if (native === undefined) return { reason: reason as string };
  const directory = segmentDirectory();
  const failure = native.selfTest(directory);
  // A full file system is no missing one: creating something says what to do about it.
  if (failure === undefined || errnoName(failure.errno) === 'ENOSPC') {
    atExitIfNeeded(() => native.closeAll());
    return { native };
  }
  return { reason: `${directory} cannot hold segments: ${errnoName(failure.errno)} from ${failure.syscall}` };
}

/**
 * The addon.
 * @throws {RingwayError} `ERR_RINGWAY_NO_ADDON` with the reason, where there is none
 */
export function requireNative(what: string): Native {
  const { native, reason } = findNative();
  if (native !== undefined) return native;
  throw new RingwayError(
    `${what} needs shared memory between processes, which there is not here: ${reason}. ` +
      "Between worker threads, make an unnamed object with { backend: 'sab' } and post its handle",
    'ERR_RINGWAY_NO_ADDON',
  );
}

/**
 * What works here. Looked up at the first use of a property, since it loads the addon.
 * @example if (!capabilities.crossProcess) console.warn(capabilities.reason)
 */
export const capabilities: Capabilities = {
  get backend(): Backend {
    return findNative().native === undefined ? 'sab' : 'shm';
  },
  get crossProcess(): boolean {
    return findNative().native !== undefined;
  },
  get reason(): string | undefined {
    return findNative().reason;
  },
  runtime,
  platform,
} as Capabilities;

// So that console.log() shows the values, not that they are looked up.
Object.defineProperty(capabilities, Symbol.for('nodejs.util.inspect.custom'), { value: () => ({ ...capabilities }) });
