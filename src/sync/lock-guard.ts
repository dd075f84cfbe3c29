// What stands for a lock that is held: whoever has the guard owns the lock, whichever task of a thread that is.

import { ClosedError, RingwayError } from '../errors.js';
import type { Hold } from './hold.js';

/**
 * A lock that is held, until `release()` or the end of a `using` block. A guard that is forgotten keeps the lock until its
 * handle is closed or its process ends, and then the next owner is told as of a death.
 */
export class LockGuard implements Disposable {
  /** @internal What the guard is of. */
  readonly hold: Hold;
  #released = false;
  #diedPid: number | undefined; // Once it is released, for the hold may be another one by now.

  /** @internal */
  constructor(hold: Hold) {
    this.hold = hold;
  }

  /**
   * The pid of the last owner, in its own pid namespace, if that died, or closed its handle, without releasing the lock;
   * else undefined.
   */
  get diedPid(): number | undefined {
    return this.#released ? this.#diedPid : this.hold.diedPid;
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
    return this.#released || this.hold.over;
  }

  /**
   * Releases the lock. Wait-free; a system call if somebody sleeps.
   * @throws {RingwayError} `ERR_RINGWAY_STATE` if this guard was released already
   * @throws {ClosedError} if the handle was closed, which gave the lock up
   */
  release(): void {
    this.checkHeld();
    this.#released = true;
    this.#diedPid = this.hold.diedPid;
    this.hold.endGuard();
  }

  /** Releases the lock, unless that was done. */
  [Symbol.dispose](): void {
    if (!this.released) this.release();
  }

  /** @internal Throws unless this guard holds the lock. */
  checkHeld(): void {
    const { hold } = this;
    const { label } = hold.lock;
    if (this.#released) throw new RingwayError(`this guard of ${label} was released`, 'ERR_RINGWAY_STATE');
    if (hold.lock.closed) throw new ClosedError(`${label} was closed, and this guard's hold given up`);
    if (hold.lost) throw new RingwayError(`this guard of ${label} has lost its hold`, 'ERR_RINGWAY_STATE');
    if (hold.suspended) {
      throw new RingwayError(`this guard of ${label} waits, and does not hold the lock meanwhile`, 'ERR_RINGWAY_STATE');
    }
  }
}
