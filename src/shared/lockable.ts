// What values and arrays have in common: a lock that goes with them, for changes of several steps.

import { ClosedError, CorruptSegmentError, RingwayError } from '../errors.js';
import { Constants, LockHeader } from '../layout.js';
import { describe } from '../memory/names.js';
import type { Backend, Segment, SegmentHandle } from '../memory/segment.js';
import { otherShape } from '../memory/shared-object.js';
import { type Departure, type Route, travels } from '../memory/travel.js';
import { Lock } from '../sync/lock.js';
import type { LockGuard } from '../sync/lock-guard.js';
import type { LockWaitOptions, SyncLockWaitOptions } from '../sync/lock-handle.js';
import {
  checkReference,
  departWith,
  type LockReference,
  openReferred,
  referTo,
  type WithLock,
} from '../sync/lock-reference.js';
import { formatOwnership, Ownership } from '../sync/ownership.js';
import { RLock } from '../sync/rlock.js';
import { ViewedMemory } from './viewed-memory.js';

/** What something is made with. */
export interface LockOption {
  /**
   * What `withLock()` takes: a lock of its own (`true`, the default), one that it shares with others, or none (`false`).
   */
  lock?: boolean | Lock | RLock;
}

/** What something is attached with. */
export interface AttachLockOption {
  /** A handle of its lock that is open here already; without one it opens one of its own. */
  lock?: Lock | RLock;
}

/** @throws {TypeError} unless it is a lock, or says whether there is to be one */
export function checkLockOption(lock: unknown): boolean | Lock | RLock {
  if (lock === undefined) return true;
  if (typeof lock === 'boolean' || lock instanceof Lock || lock instanceof RLock) return lock;
  throw new TypeError(`lock must be a boolean, a Lock or an RLock, not ${describe(lock)}`);
}

/** Options that say `backend` where a lock does. */
export function withBackendOf<Options extends LockOption & { backend?: Backend }>(options: Options): Options {
  const lock = options?.lock;
  if (options?.backend !== undefined || typeof lock !== 'object' || lock === null) return options;
  return { ...options, backend: lock.backend };
}

/** What goes with a new segment. */
export interface PlannedLock {
  /** Bytes of the body, with the lock's. */
  readonly bodyByteLength: number;
  readonly reference: LockReference | undefined;
  /** Writes the lock's header, if the segment has one, and where it is. */
  format(segment: Segment): void;
}

/**
 * Plans the lock of a new segment.
 * @param bodyByteLength - without the lock
 * @param field - offset of the word that says where the lock is, from the body's start
 */
export function planLock(
  option: unknown,
  bodyByteLength: number,
  field: number,
  { name, backend }: { name: string | undefined; backend: string },
): PlannedLock {
  const lock = checkLockOption(option);
  if (lock === false) return { bodyByteLength, reference: undefined, format: () => {} };
  if (lock !== true) {
    if (lock.closed) throw new ClosedError(`${lock.label} is closed`);
    if (lock.backend !== backend) {
      throw new TypeError(`what shares ${lock.label} is made of ${lock.backend} like it, not of ${backend}`);
    }
    if (name !== undefined && lock.name === undefined) {
      throw new TypeError(`${describe(name)} would outlive its lock, which has no name: give the lock one, too`);
    }
    return { bodyByteLength, reference: referTo(lock), format: () => {} };
  }
  const at = Math.ceil(bodyByteLength / Constants.isolationBytes) * Constants.isolationBytes;
  return {
    bodyByteLength: at + LockHeader.end,
    reference: undefined,
    format(segment) {
      segment.words[(segment.bodyOffset + field) >> 2] = at;
      formatOwnership(segment, 'adaptive', segment.bodyOffset + at);
    },
  };
}

/** The lock of a segment that is open. */
export interface OpenLock {
  /** Opened, or given. */
  readonly lock: Lock | RLock | undefined;
  /** Of its own lock, from the segment's start; 0: it has none. */
  readonly offset: number;
  /** Whether closing the one closes the other. */
  readonly opened: boolean;
}

/**
 * Finds the lock of a segment.
 * @param field - as in planLock()
 * @param reference - that its description has, as JSON
 * @param wanted - what the caller was given as `lock`; undefined: whatever there is
 * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if it has another lock than was asked for; shows both
 */
export function openLock(
  segment: Segment,
  field: number,
  reference: unknown,
  wanted: unknown,
  handle: SegmentHandle | undefined,
): OpenLock {
  const given = wanted === undefined ? undefined : checkLockOption(wanted);
  const { bodyOffset, byteLength, label, words } = segment;
  const at = words[(bodyOffset + field) >> 2] >>> 0;
  const is = reference !== undefined ? 'a lock that it shares' : at !== 0 ? 'a lock of its own' : 'no lock';
  const was = given === true ? 'a lock of its own' : given === false ? 'no lock' : given?.label;
  if (typeof given === 'boolean' && is !== was) throw otherShape(label, is, String(was));
  if (reference === undefined) {
    if (typeof given === 'object') throw otherShape(label, is, given.label);
    if (at === 0) return { lock: undefined, offset: 0, opened: false };
    if (at % Constants.isolationBytes === 0 && bodyOffset + at + LockHeader.end <= byteLength) {
      return { lock: undefined, offset: bodyOffset + at, opened: false };
    }
    throw new CorruptSegmentError(`${label} contradicts itself: its lock is at ${at} in ${byteLength} bytes`);
  }
  const checked = checkReference(reference, label);
  if (typeof given !== 'object') return { lock: openReferred(checked, handle, label), offset: 0, opened: true };
  if (given.uniqueId !== checked.uniqueId) throw otherShape(label, 'another lock', given.label);
  return { lock: given, offset: 0, opened: false };
}

/** Shared memory with a lock. */
export abstract class Lockable extends ViewedMemory {
  readonly #segment: Segment;
  readonly #opened: OpenLock;
  #own: RLock | undefined; // Of the segment itself; made when it is first needed.

  /** @internal */
  constructor(segment: Segment, lock: OpenLock) {
    super(segment);
    this.#segment = segment;
    this.#opened = lock;
  }

  /** Plain data that attach() takes: in another process for `shm`, in another thread for `sab`. */
  override get handle(): WithLock<SegmentHandle> {
    const { lock } = this.#opened;
    return lock === undefined ? super.handle : { ...super.handle, lock: lock.handle };
  }

  /** @internal */
  override [travels](route: Route): Departure {
    const own = super[travels](route);
    const { lock } = this.#opened;
    return lock === undefined ? own : departWith(lock, own, route);
  }

  /**
   * Runs `fn` while it has the lock: for changes of several steps, which others do not see half of if they take it too.
   * Methods that are one step do not take it, and need not.
   * @param fn - gets the guard, which tells whether the last owner died: what it was changing may be half changed
   * @returns what `fn` returns
   * @throws {TimeoutError} after `timeoutMs`
   * @throws {OwnerDiedError} with `onOwnerDied: 'throw'`
   * @throws {RingwayError} `ERR_RINGWAY_STATE` if it was made with `lock: false`
   * @throws {ClosedError} if this handle is closed, also meanwhile; what `fn` throws
   */
  async withLock<Result>(
    fn: (guard: LockGuard) => Result | PromiseLike<Result>,
    options?: LockWaitOptions,
  ): Promise<Result> {
    return this.#lock().withLock(fn, options);
  }

  /**
   * The same, blocking the thread. Not for functions that return a promise: it would go on after the release.
   * @throws {RingwayError} `EINTR` when a signal came that somebody listens to; `ERR_RINGWAY_WOULD_DEADLOCK` if a task of this
   * thread has the lock
   */
  withLockSync<Result>(fn: (guard: LockGuard) => Result, options?: SyncLockWaitOptions): Result {
    return this.#lock().withLockSync(fn, options);
  }

  /**
   * Gives up this handle. Views of its memory read zeros from then on, and what is written to them goes nowhere; between
   * threads (`sab`) they go on showing the memory. If it has its own lock, the next owner is told, as of a death. Idempotent.
   */
  override close(): void {
    if (this.closed) return;
    this.#own?.close();
    if (this.#opened.opened) this.#opened.lock?.close();
    super.close();
  }

  #lock(): Lock | RLock {
    this.checkOpen();
    const { lock, offset } = this.#opened;
    if (lock !== undefined) return lock;
    if (offset !== 0) {
      this.#own ??= new RLock(new Ownership(this.#segment, undefined, offset));
      return this.#own;
    }
    throw new RingwayError(
      `${this.#segment.label} has no lock: make it without \`lock: false\`, or give it one`,
      'ERR_RINGWAY_STATE',
    );
  }
}
