// The options of an SPSC ring, and what is refused.

import { Constants } from '../layout.js';
import { findNative } from '../memory/backend.js';
import { checkName, describe, isUnnamed } from '../memory/names.js';
import { type Backend, kindName, type SegmentHandle } from '../memory/segment.js';
import { WAIT_MODES, type WaitMode } from '../wait/adaptive-spin.js';
import { minCapacity } from './spsc-end.js';

export const KIND = Constants.kindSpsc;

export interface SpscRingOptions {
  /** Bytes, 1 to 2^30; rounded up to a power of two. */
  capacity: number;
  /** 1 to 200 of `A-Z a-z 0-9 . _ -`. Without one the ring goes with its last participant. */
  name?: string;
  /** How ends wait: `adaptive` (default) spins a little while traffic flows, `spin` takes a core, `park` never spins. */
  wait?: WaitMode;
  /** File mode of the segment, 0o600 by default. */
  mode?: number;
  /** `sab`: between threads only. By default what `capabilities.backend` says. */
  backend?: Backend;
  /** Where records start: multiples of 8 (default) or 64 bytes. */
  alignment?: 8 | 64;
  /** How many handles can be open at once, in all processes; 64 by default, 2 to 4096. */
  maxParticipants?: number;
}

export interface AttachOptions {
  /** Attach though the segment belongs to another user. */
  anyOwner?: boolean;
  /** How this handle's ends wait; by default as the ring was created. */
  wait?: WaitMode;
}

interface CheckedOptions {
  capacity: number;
  name: string | undefined;
  wait: WaitMode;
  mode: number;
  backend: Backend;
  alignment: 8 | 64;
  maxParticipants: number;
}

export function checkOptions(options: SpscRingOptions): CheckedOptions {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`options must be an object with a capacity, not ${describe(options)}`);
  }
  const { capacity, name, wait = 'adaptive', mode = 0o600, backend, alignment = 8, maxParticipants = 64 } = options;
  if (alignment !== 8 && alignment !== 64)
    throw new RangeError(`alignment must be 8 or 64, not ${describe(alignment)}`);
  checkInteger('capacity', capacity, 1, Constants.maxSpscCapacity);
  checkInteger('maxParticipants', maxParticipants, Constants.minParticipants, Constants.maxParticipants);
  checkInteger('mode', mode, 0, 0o777);
  if (backend !== undefined && backend !== 'shm' && backend !== 'sab') {
    throw new RangeError(`backend must be 'shm' or 'sab', not ${describe(backend)}`);
  }
  if (name !== undefined) checkName(name);
  if (name !== undefined && backend === 'sab') {
    throw new TypeError(
      `a name leads other processes here, and backend 'sab' has none: post the ring's handle instead`,
    );
  }
  const fallback = findNative().native === undefined && name === undefined ? 'sab' : 'shm';
  return {
    capacity: Math.max(2 ** Math.ceil(Math.log2(capacity)), minCapacity(alignment)),
    name,
    wait: checkWait(wait),
    mode,
    backend: backend ?? fallback,
    alignment,
    maxParticipants,
  };
}

function checkInteger(what: string, value: unknown, least: number, most: number): void {
  if (typeof value !== 'number') throw new TypeError(`${what} must be a number, not ${describe(value)}`);
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new RangeError(`${what} must be a whole number from ${least} to ${most}, not ${value}`);
  }
}

export function checkWait(wait: unknown): WaitMode {
  if (typeof wait === 'string' && Object.hasOwn(WAIT_MODES, wait)) return wait as WaitMode;
  throw new RangeError(`wait must be 'adaptive', 'spin' or 'park', not ${describe(wait)}`);
}

export function checkHandle(handle: SegmentHandle): SegmentHandle {
  const fail = (): never => {
    throw new TypeError(`attach takes a name or a handle, not ${describe(handle)}`);
  };
  if (typeof handle !== 'object' || handle === null) fail();
  if (handle.kind !== kindName(KIND)) {
    throw new TypeError(`this is the handle of a ${describe(handle.kind)}, not of a ${kindName(KIND)}`);
  }
  if (handle.backend === 'sab') {
    if (handle.memory instanceof SharedArrayBuffer) return handle;
    throw new TypeError('this handle has lost its memory: a SharedArrayBuffer does not cross processes, only threads');
  }
  if (handle.backend !== 'shm' || typeof handle.name !== 'string') fail();
  if (!isUnnamed(handle.name)) checkName(handle.name);
  return handle;
}
