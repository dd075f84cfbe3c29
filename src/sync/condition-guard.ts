// A guard of a condition's lock, which can also wait and notify.

import { checkInteger } from '../memory/shared-object.js';
import { checkWaitOptions, deadlineOf, type SyncWaitOptions, type WaitOptions } from '../wait/options.js';
import type { Hold } from './hold.js';
import type { LockGuard } from './lock-guard.js';

/** What the guard is of. */
export interface Awaitable {
  /** @internal Throws if the handle was closed. */
  checkOpen(): void;
  /** @internal */
  waitHolding(hold: Hold, options: WaitOptions): Promise<boolean>;
  /** @internal */
  waitHoldingSync(hold: Hold, options: SyncWaitOptions): boolean;
  /** @internal */
  give(limit: number): number;
}

/** More waits than there can be. */
const ALL = Number.MAX_SAFE_INTEGER;

/**
 * The lock of a condition, held until `release()` or the end of a `using` block, but for the time of a wait. What it holds
 * is as of a LockGuard.
 */
export class ConditionGuard implements Disposable {
  readonly #condition: Awaitable;
  readonly #guard: LockGuard;

  /** @internal */
  constructor(condition: Awaitable, guard: LockGuard) {
    this.#condition = condition;
    this.#guard = guard;
  }

  /** @internal */
  get lockGuard(): LockGuard {
    return this.#guard;
  }

  /**
   * Whether the last owner died, or closed its handle, without releasing the lock: what the lock protects may be half
   * changed. Each wait takes the lock anew, so look again after it.
   */
  get ownerDied(): boolean {
    return this.#guard.ownerDied;
  }

  /** The pid of that owner, in its own pid namespace; else undefined. */
  get diedPid(): number | undefined {
    return this.#guard.diedPid;
  }

  /** Whether this guard holds the lock no more. */
  get released(): boolean {
    return this.#guard.released;
  }

  /**
   * Releases the lock, waits for a notice, and takes the lock again: it is held at the end, however that comes. An RLock is
   * released whatever the number of its guards, and has them all again afterwards. What was true before need not be true
   * any more: see waitFor().
   * @returns false after `timeoutMs`, and however long it then takes to get the lock
   * @throws {unknown} the signal's reason; a notice that came meanwhile goes to another one that waits
   * @throws {RingwayError} `ERR_RINGWAY_STATE` if this guard was released, or waits already
   * @throws {ClosedError} if the condition or its lock is closed, also meanwhile
   */
  async wait(options: WaitOptions = {}): Promise<boolean> {
    checkWaitOptions(options);
    this.#checkHeld();
    options.signal?.throwIfAborted();
    return this.#condition.waitHolding(this.#guard.hold, options);
  }

  /**
   * The same, blocking the thread.
   * @returns false after `timeoutMs`, and however long it then takes to get the lock
   * @throws {RingwayError} `EINTR` when a signal came that somebody listens to, as soon as the lock is held again
   */
  waitSync(options: SyncWaitOptions = {}): boolean {
    checkWaitOptions(options);
    this.#checkHeld();
    return this.#condition.waitHoldingSync(this.#guard.hold, options);
  }

  /**
   * Waits until `predicate`, called with the lock held, before the first wait and after each, gives something truthy.
   * @param options - `timeoutMs` is for all waits together
   * @returns what the predicate gave last; something falsy only after `timeoutMs`
   * @throws as `wait()`, and what the predicate throws, with the lock held
   */
  async waitFor<Result>(predicate: () => Result | PromiseLike<Result>, options: WaitOptions = {}): Promise<Result> {
    checkWaitOptions(options);
    this.#checkHeld();
    const { timeoutMs, ...rest } = options;
    const deadline = deadlineOf(timeoutMs);
    for (;;) {
      options.signal?.throwIfAborted();
      const result = await predicate();
      const leftMs = deadline - performance.now();
      if (result || leftMs <= 0) return result;
      await this.wait({ ...rest, timeoutMs: leftMs });
    }
  }

  /** The same, blocking the thread. Not for predicates that return a promise, which is truthy. */
  waitForSync<Result>(predicate: () => Result, options: SyncWaitOptions = {}): Result {
    checkWaitOptions(options);
    this.#checkHeld();
    const deadline = deadlineOf(options.timeoutMs);
    for (;;) {
      const result = predicate();
      const leftMs = deadline - performance.now();
      if (result || leftMs <= 0) return result;
      this.waitSync({ timeoutMs: leftMs });
    }
  }

  /**
   * Notifies `n` of those that wait, or all if they are fewer. They go on one after the other, as they get the lock. A
   * handle's waits are notified in the order of their calls, handles in turn. Waits for nobody.
   * @param n - a whole number from 0
   * @returns how many were notified
   * @throws {RingwayError} `ERR_RINGWAY_STATE` if this guard was released, or waits
   * @throws {ClosedError} if the condition or its lock is closed
   */
  notify(n = 1): number {
    checkInteger('n', n, 0, ALL);
    this.#checkHeld();
    return this.#condition.give(n);
  }

  /**
   * Notifies all that wait.
   * @returns how many were notified
   */
  notifyAll(): number {
    this.#checkHeld();
    return this.#condition.give(ALL);
  }

  /**
   * Releases the lock.
   * @throws {RingwayError} `ERR_RINGWAY_STATE` if this guard was released already, or waits
   * @throws {ClosedError} if the lock was closed, which gave it up
   */
  release(): void {
    this.#guard.release();
  }

  /** Releases the lock, unless that was done. */
  [Symbol.dispose](): void {
    this.#guard[Symbol.dispose]();
  }

  #checkHeld(): void {
    this.#condition.checkOpen();
    this.#guard.checkHeld();
  }
}
