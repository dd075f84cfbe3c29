// How shared objects are made, found and named, whatever their class.

import { RingwayError } from '../errors.js';
import { bodyOffsetFor, Constants } from '../layout.js';
import { findNative, requireNative } from './backend.js';
import { placeDescription, writeDescription } from './description.js';
import { goneInFlight, isAbandoned, land } from './flight.js';
import { checkName, describe, isUnnamed } from './names.js';
import { SabSegment } from './sab.js';
import { type Backend, kindName, type Segment, type SegmentHandle } from './segment.js';
import { ShmSegment, unlinkName } from './shm.js';

/** What every class of shared object takes to be created. */
export interface SharedOptions {
  /** 1 to 200 of `A-Z a-z 0-9 . _ -`. Without one the object goes with its last participant. */
  name?: string;
  /** File mode of the segment, 0o600 by default. */
  mode?: number;
  /** `sab`: between threads only. By default what `capabilities.backend` says. */
  backend?: Backend;
  /** How many handles can be open at once, in all processes; 64 by default, 2 to 4096. */
  maxParticipants?: number;
}

/** What every class of shared object takes to be attached to. */
export interface OpenOptions {
  /** Attach though the segment belongs to another user. */
  anyOwner?: boolean;
}

export interface CheckedSharedOptions {
  name: string | undefined;
  mode: number;
  backend: Backend;
  maxParticipants: number;
}

/**
 * @param options - what the user passed
 * @param needs - what it must have, for the message: `a capacity`
 * @throws {RangeError | TypeError} with the value that is out of range
 */
export function checkSharedOptions(options: SharedOptions, needs: string): CheckedSharedOptions {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`options must be an object with ${needs}, not ${describe(options)}`);
  }
  const { name, mode = 0o600, backend, maxParticipants = 64 } = options;
  checkInteger('maxParticipants', maxParticipants, Constants.minParticipants, Constants.maxParticipants);
  checkInteger('mode', mode, 0, 0o777);
  if (backend !== undefined && backend !== 'shm' && backend !== 'sab') {
    throw new RangeError(`backend must be 'shm' or 'sab', not ${describe(backend)}`);
  }
  if (name !== undefined) checkName(name);
  if (name !== undefined && backend === 'sab') {
    throw new TypeError(
      `a name leads other processes here, and backend 'sab' has none: post the object's handle instead`,
    );
  }
  const fallback = findNative().native === undefined && name === undefined ? 'sab' : 'shm';
  return { name, mode, backend: backend ?? fallback, maxParticipants };
}

/** @throws {TypeError | RangeError} unless `value` is a whole number in that range */
export function checkInteger(what: string, value: unknown, least: number, most: number): asserts value is number {
  if (typeof value !== 'number') throw new TypeError(`${what} must be a number, not ${describe(value)}`);
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new RangeError(`${what} must be a whole number from ${least} to ${most}, not ${value}`);
  }
}

/**
 * Makes a segment. Nobody finds it before `formatBody` has written the body.
 * @param kind - of Constants.kind…
 * @param bodyByteLength - bytes behind the participants
 * @param description - of its records, for those who attach; up to maxDescriptionByteLength bytes as UTF-8
 * @param arenaByteLength - bytes at the segment's end, from a multiple of 4096 on, that get memory with reserve() only
 * @throws {RingwayError} `EEXIST` if the name is taken; `ENOSPC` if the memory does not fit, before anything is used
 * @throws {RingwayError} `ERR_RINGWAY_NO_ADDON` for a name or `backend: 'shm'` where there is no addon
 */
export function createSegment(
  kind: number,
  bodyByteLength: number,
  options: CheckedSharedOptions,
  formatBody: (segment: Segment) => void,
  description = '',
  arenaByteLength = 0,
): Segment {
  const { name, mode, backend, maxParticipants } = options;
  const placed = placeDescription(description, bodyOffsetFor(maxParticipants) + bodyByteLength);
  const arenaOffset = arenaByteLength > 0 ? roundUpToPage(placed.segmentByteLength) : placed.segmentByteLength;
  const shape = { byteLength: arenaOffset + arenaByteLength, kind, maxParticipants };
  const format = (segment: Segment) => {
    writeDescription(segment, placed);
    formatBody(segment);
  };
  if (backend === 'sab') return SabSegment.create(shape, format);
  const native = requireNative(name === undefined ? `${kindName(kind)}.create` : `the name ${describe(name)}`);
  return ShmSegment.create(native, { ...shape, unreservedByteLength: arenaByteLength, name, mode }, format);
}

const roundUpToPage = (byteLength: number) => Math.ceil(byteLength / 4096) * 4096;

/**
 * Opens a segment that another process or thread made.
 * @param target - a name, or a handle
 * @throws {RingwayError} `ENOENT` if there is none; `EACCES` if it is another user's
 * @throws {CorruptSegmentError} if it is no segment of this kind and version
 */
export function attachSegment(kind: number, target: string | SegmentHandle, options: OpenOptions): Segment {
  const segment = attachInFlight(kind, target, options);
  if (typeof target !== 'string' && target.ticket !== undefined) land(segment, target.ticket);
  return segment;
}

/** attachSegment() that leaves the sender answering for the object: the caller calls land() when it has what it needs. */
export function attachInFlight(kind: number, target: string | SegmentHandle, options: OpenOptions): Segment {
  const anyOwner = options.anyOwner === true;
  if (typeof target === 'string') {
    const name = checkName(target);
    return ShmSegment.attach(requireNative(`the name ${describe(name)}`), name, kind, anyOwner);
  }
  const handle = checkHandle(kind, target);
  if (handle.backend === 'sab') return SabSegment.attach(handle.memory, kind);
  const segment = ShmSegment.attach(requireNative('this handle'), handle.name, kind, anyOwner, handle.pid);
  if (handle.ticket !== undefined && isUnnamed(handle.name) && isAbandoned(segment, handle.ticket)) {
    segment.close();
    throw goneInFlight(segment.label, handle.pid);
  }
  return segment;
}

function checkHandle(kind: number, handle: SegmentHandle): SegmentHandle {
  const fail = (): never => {
    throw new TypeError(`attach takes a name or a handle, not ${describe(handle)}`);
  };
  if (typeof handle !== 'object' || handle === null) fail();
  if (handle.kind !== kindName(kind)) {
    throw new TypeError(`this handle leads to ${describe(handle.kind)}, not to ${describe(kindName(kind))}`);
  }
  if (handle.backend === 'sab') {
    if (handle.memory instanceof SharedArrayBuffer) return handle;
    throw new TypeError('this handle has lost its memory: a SharedArrayBuffer does not cross processes, only threads');
  }
  if (handle.backend !== 'shm' || typeof handle.name !== 'string') fail();
  if (!isUnnamed(handle.name)) checkName(handle.name);
  return handle;
}

/**
 * Opens the object of a name, or makes it, whoever else tries at the same time.
 * @param attach - throws `ENOENT` if there is none
 * @param check - throws if what is there has another shape; it is closed then
 * @param create - throws `EEXIST` if somebody was quicker
 */
export function attachOrCreate<Made extends { close(): void }>(
  attach: () => Made,
  check: (found: Made) => void,
  create: () => Made,
): Made {
  for (;;) {
    let found: Made | undefined;
    try {
      found = attach();
      check(found);
      return found;
    } catch (error) {
      found?.close();
      if ((error as RingwayError).code !== 'ENOENT') throw error;
    }
    try {
      return create();
    } catch (error) {
      if ((error as RingwayError).code !== 'EEXIST') throw error;
    }
  }
}

/** What `make` makes of the segment, which is closed if that throws. */
export function makeOver<Made>(segment: Segment, make: () => Made): Made {
  try {
    return make();
  } catch (error) {
    segment.close();
    throw error;
  }
}

/** What another process finds the segment by; undefined for an unnamed one. */
export function nameOf(segment: Segment): string | undefined {
  const { handle } = segment;
  return handle.backend === 'shm' && !isUnnamed(handle.name) ? handle.name : undefined;
}

/**
 * Removes a name. Those who have the object keep it.
 * @throws {RingwayError} `ENOENT` if there is none
 */
export function unlink(name: string): void {
  checkName(name);
  unlinkName(requireNative(`the name ${describe(name)}`), name);
}

/** `ERR_RINGWAY_SHAPE`: the object of that name is there, but not as it was asked for. */
export function otherShape(name: string, there: string, wanted: string): RingwayError {
  return new RingwayError(`${describe(name)} is there with ${there}; asked for were ${wanted}`, 'ERR_RINGWAY_SHAPE');
}
