// A lock: one owner at a time, in all threads of all processes that have it.

import { TimeoutError } from '../errors.js';
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
  whenLockCreated,
} from './lock-handle.js';
import { Ownership } from './ownership.js';

/**
 * A lock that one task, thread or process has at a time. Who holds it holds a guard; tasks of one thread exclude each
 * other like processes do. Not re-entrant: see RLock.
 *
 * If its owner dies, or closes its handle, without releasing it, the lock comes free and the next owner is told: by
 * `guard.ownerDied` from the `lock` forms, by an OwnerDiedError from the `acquire` forms. Who has waited for longer than
 * 1 ms comes before newcomers, in the order of the calls, unless it is stopped, or too busy to take the free lock within
 * 20 ms.
 */
export class Lock extends LockHandle<LockGuard> {
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
  static attach(target: string | SegmentHandle, options: AttachOptions = {}): Lock {
    return new Lock(attachLock(target, options));
  }

  /** Opens the lock of that name, or makes it. */
  static createOrAttach(options: NamedLockOptions): Lock {
    return createOrAttachLock(options, (ownership) => new Lock(ownership));
  }

  /**
   * Waits until a lock of that name is created, and opens it.
   * @throws {TimeoutError} after `timeoutMs`
   */
  static async whenCreated(name: string, options: WaitOptions & AttachOptions = {}): Promise<Lock> {
    return whenLockCreated(name, options, (ownership) => new Lock(ownership));
  }

  /**
   * Removes a name. Those who have the lock keep it.
   * @throws {RingwayError} `ENOENT` if there is none
   */
  static unlink(name: string): void {
    unlink(name);
  }

  /**
   * Takes the lock as `lock()` does, without a guard: `release()` of this handle gives it back.
   * @returns false after `timeoutMs`
   * @throws {OwnerDiedError} if the last owner did not release it; the lock stays free and marked: `lock()` takes it
   * @throws {ClosedError} if this handle is closed, also meanwhile
   */
  acquire(options?: WaitOptions): Promise<boolean> {
    const acquired: Promise<boolean> = this.waitAsync('acquire', options, true, () => this.countAcquired());
    return acquired.catch((error) => {
      if (error instanceof TimeoutError && error !== options?.signal?.reason) return false;
      throw error;
    });
  }

  /**
   * The same, blocking the thread.
   * @throws {RingwayError} `ERR_RINGWAY_WOULD_DEADLOCK` if this thread has the lock
   * @throws {RingwayError} `EINTR` when a signal came that somebody listens to
   */
  acquireSync(options?: SyncWaitOptions): boolean {
    return this.acquireByThread('acquireSync', options);
  }

  /**
   * Takes the lock as `tryLock()` does, without a guard.
   * @throws {OwnerDiedError} if the last owner did not release it; the lock stays free and marked
   */
  tryAcquire(): boolean {
    return this.tryTake(true, Holding.byTask) && this.countAcquired();
  }

  /** @internal */
  protected override readonly kind = 'Lock';

  /** @internal */
  protected override makeGuard(hold: Hold): LockGuard {
    return new LockGuard(hold);
  }
}
