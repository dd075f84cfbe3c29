// How the segment of a shared object says which lock goes with it, and how whoever attaches finds that lock.

import { CorruptSegmentError, RingwayError } from '../errors.js';
import { describe } from '../memory/names.js';
import type { SegmentHandle } from '../memory/segment.js';
import { type Departure, type Route, travels } from '../memory/travel.js';
import { Lock } from './lock.js';
import { RLock } from './rlock.js';

/** A handle of something, and of the lock that goes with it if that is not its own. */
export type WithLock<Handle extends SegmentHandle> = Handle & { lock?: SegmentHandle };

/** As it stands in the segment's description. */
export interface LockReference {
  /** The class that whoever made the object had it by. */
  kind: 'Lock' | 'RLock';
  /** A user's name, or one that no user can choose; empty between threads. */
  name: string;
  /** Of the process that gave it, for people only. */
  pid: number;
  /** The lock segment's random number: another lock may have its name by now. */
  uniqueId: string;
}

/** @throws {TypeError} unless it is a lock */
export function checkLock(lock: unknown): Lock | RLock {
  if (lock instanceof Lock || lock instanceof RLock) return lock;
  throw new TypeError(`lock must be a Lock or an RLock, not ${describe(lock)}`);
}

/** What finds the lock again. */
export function referTo(lock: Lock | RLock): LockReference {
  const { handle } = lock;
  const found = handle.backend === 'shm' ? { name: handle.name, pid: handle.pid } : { name: '', pid: 0 };
  return { kind: lock instanceof RLock ? 'RLock' : 'Lock', ...found, uniqueId: lock.uniqueId };
}

/** How something travels whose lock goes with it. */
export function departWith(lock: Lock | RLock, own: Departure, route: Route): Departure {
  let departure: Departure;
  try {
    departure = lock[travels](route);
  } catch (error) {
    own.unsent();
    throw error;
  }
  return {
    kind: own.kind,
    data: { ...(own.data as object), lock: departure.data },
    sent() {
      own.sent();
      departure.sent();
    },
    unsent() {
      own.unsent();
      departure.unsent();
    },
  };
}

/** @throws {CorruptSegmentError} if that is no reference */
export function checkReference(value: unknown, label: string): LockReference {
  const { kind, name, pid, uniqueId } = (value ?? {}) as Record<string, unknown>;
  const isOne = (kind === 'Lock' || kind === 'RLock') && typeof name === 'string' && typeof uniqueId === 'string';
  if (isOne) return { kind, name, pid: Number(pid), uniqueId };
  throw new CorruptSegmentError(`${label} contradicts itself: its description names no lock`);
}

/**
 * Opens the lock of a reference.
 * @param handle - leads to it where the name does not: between threads, and in messages
 * @throws {RingwayError} `ENOENT` if it is gone, and somebody else's has its name, too
 */
export function openReferred(reference: LockReference, handle: SegmentHandle | undefined, label: string): Lock | RLock {
  const { kind, name, pid, uniqueId } = reference;
  if (handle === undefined && name === '') {
    throw new TypeError(`${label} has a lock that only the handle of the whole leads to: pass that on, as it is`);
  }
  const Class = kind === 'RLock' ? RLock : Lock;
  const lock = Class.attach(handle ?? { kind: 'Lock', backend: 'shm', name, pid });
  if (lock.uniqueId === uniqueId) return lock;
  lock.close();
  throw new RingwayError(`the lock of ${label} is gone: ${describe(name)} is another one by now`, 'ENOENT');
}
