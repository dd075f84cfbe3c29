// A lock that its owner can take again. Re-entrance is counted in the handle; others see the same lock as a Lock's.

import type { SegmentHandle } from '../memory/segment.js';
import { unlink } from '../memory/shared-object.js';
import type { AttachOptions, SyncWaitOptions, WaitOptions } from '../wait/options.js';
import { type Hold, Holding } from './hold.js';
import { LockGuard } from './lock-guard.js';
import {
  attachLock,
  createLock,
  createOrAttachLock,
  LockHandle,
  type LockOptions,
  type NamedLockOptions,
  type SyncLockWaitOptions,
  whenLockCreated,
} from './lock-handle.js';
import { Ownership } from './ownership.js';

/** A guard of an RLock. The lock is released when all guards of one hold are. */
export class RLockGuard extends LockGuard {
  readonly #again: (hold: Hold) => RLockGuard;

  /** @internal */
  constructor(hold: Hold, again: (hold: Hold) => RLockGuard) {
    super(hold);
    this.#again = again;
  }

  /**
   * Takes the lock once more, for code that is called while this guard holds it. Never waits.
   * @returns one more guard of the same hold, to be released too
   * @throws {RingwayError} `ERR_RINGWAY_STATE` if this guard was released
   * @throws {ClosedError} if the handle was closed
   */
  relock(): RLockGuard {
    this.checkHeld();
    return this.#again(this.hold);
  }
}

/**
 * A lock that its owner can take again: by `guard.relock()` where tasks await, and by calling once more in the Sync forms,
 * whose owner is the thread. The latter do not tell the tasks of a thread apart: release what a Sync form has taken before
 * anything is awaited.
 *
 * `tryLock` is a task's: what it took is taken again through its guard. Deaths, fairness and the rest are as of a Lock,
 * and a Lock and an RLock of one name are one lock.
 */
export class RLock extends LockHandle<RLockGuard> {
  readonly #again = (hold: Hold) => this.addGuard(hold);

  /**
   * Makes a lock.
   * @throws {RangeError | TypeError} for options out of range, with the value
   * @throws {RingwayError} `EEXIST` if the name is taken; `ENOSPC` if there is no memory
   * @throws {RingwayError} `ERR_RINGWAY_NO_ADDON` for a name or `backend: 'shm'` where there is no addon
   */
  constructor(options?: LockOptions);
  /** @internal Over a segment that is open already. */
  constructor(ownership: Ownership);
  constructor(options: LockOptions | Ownership = {}) {
    super(options instanceof Ownership ? options : createLock(options));
  }

  /**
   * Opens a lock that another process or thread made.
   * @param target - a name, or the `handle` of a Lock or RLock
   * @throws {RingwayError} `ENOENT` if there is none; `EACCES` if it is another user's
   * @throws {CorruptSegmentError} if it is no lock of this version
   */
  static attach(target: string | SegmentHandle, options: AttachOptions = {}): RLock {
    return new RLock(attachLock(target, options));
  }

  /** Opens the lock of that name, or makes it. */
  static createOrAttach(options: NamedLockOptions): RLock {
    return createOrAttachLock(options, (ownership) => new RLock(ownership));
  }

  /**
   * Waits until a lock of that name is created, and opens it.
   * @throws {TimeoutError} after `timeoutMs`
   */
  static async whenCreated(name: string, options: WaitOptions & AttachOptions = {}): Promise<RLock> {
    return whenLockCreated(name, options, (ownership) => new RLock(ownership));
  }

  /**
   * Removes a name. Those who have the lock keep it.
   * @throws {RingwayError} `ENOENT` if there is none
   */
  static unlink(name: string): void {
    unlink(name);
  }

  /**
   * Waits for the lock, blocking the thread, unless a Sync form of this thread has it already; then it has it once more.
   * @throws {TimeoutError} after `timeoutMs`
   * @throws {OwnerDiedError} with `onOwnerDied: 'throw'`
   * @throws {RingwayError} `ERR_RINGWAY_WOULD_DEADLOCK` if a task of this thread has the lock
   * @throws {RingwayError} `EINTR` when a signal came that somebody listens to
   */
  override lockSync(options?: SyncLockWaitOptions): RLockGuard {
    const hold = this.heldByThread;
    return hold === undefined ? super.lockSync(options) : this.addGuard(hold);
  }

  /**
   * Takes the lock as `lockSync()` does, without a guard: `release()`, as often as this was called, gives it back.
   * @returns false after `timeoutMs`
   * @throws {OwnerDiedError} if the last owner did not release it; the lock stays free and marked: `lockSync()` takes it
   */
  acquireSync(options?: SyncWaitOptions): boolean {
    return this.heldByThread === undefined ? this.acquireByThread('acquireSync', options) : this.countAcquired();
  }

  /**
   * The same without waiting.
   * @throws {OwnerDiedError} if the last owner did not release it; the lock stays free and marked
   */
  tryAcquire(): boolean {
    return (this.heldByThread !== undefined || this.tryTake(true, Holding.byThread)) && this.countAcquired();
  }

  /** @internal */
  protected override readonly kind = 'RLock';

  /** @internal */
  protected override makeGuard(hold: Hold): RLockGuard {
    return new RLockGuard(hold, this.#again);
  }
}
