// What stands for a lock that is held: whoever has the guard owns the lock, whichever task of a thread that is.

import { ClosedError, RingwayError } from '../errors.js';

/** What a guard gives the lock back to. */
export interface Guarded {
  readonly closed: boolean;
  /** @internal */
  readonly label: string;
  /** @internal */
  endGuard(): void;
}

/**
 * A lock that is held, until `release()` or the end of a `using` block. A guard that is forgotten keeps the lock until its
 * handle is closed or its process ends, and then the next owner is told as of a death.
 */
export class LockGuard implements Disposable {
  /**
   * The pid of the last owner, in its own pid namespace, if that died, or closed its handle, without releasing the lock;
   * else undefined.
   */
  readonly diedPid: number | undefined;
  readonly #lock: Guarded;
  #released = false;

  /** @internal */
  constructor(lock: Guarded, diedPid: number | undefined) {
    this.#lock = lock;
    this.diedPid = diedPid;
  }

  /**
   * Whether the last owner died, or closed its handle, without releasing the lock: what the lock protects may be half
   * changed. Told once: releasing this guard says that it is in order again.
   */
  get ownerDied(): boolean {
    return this.diedPid !== undefined;
  }

  /** Whether this guard holds the lock no more. */
  get released(): boolean {
    return this.#released || this.#lock.closed;
  }

  /**
   * Releases the lock. Wait-free; a system call if somebody sleeps.
   * @throws {RingwayError} `ERR_RINGWAY_STATE` if this guard was released already
   * @throws {ClosedError} if the handle was closed, which gave the lock up
   */
  release(): void {
    this.checkHeld();
    this.#released = true;
    this.#lock.endGuard();
  }

  /** Releases the lock, unless that was done. */
  [Symbol.dispose](): void {
    if (!this.released) this.release();
  }

  /** @internal Throws unless this guard holds the lock. */
  protected checkHeld(): void {
    if (this.#released) throw new RingwayError(`this guard of ${this.#lock.label} was released`, 'ERR_RINGWAY_STATE');
    if (this.#lock.closed) throw new ClosedError(`${this.#lock.label} was closed, and this guard's hold given up`);
  }
}
