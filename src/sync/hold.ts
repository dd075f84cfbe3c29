// What a handle holds its lock by: guards, and acquire forms. The lock is released with the last of them.

/** Who holds a lock through a handle: one of the thread's tasks, by a guard, or whatever the thread runs. */
export const Holding = { byTask: 1, byThread: 2 } as const;
export type Holding = (typeof Holding)[keyof typeof Holding];

/** What a hold is of. */
export interface Holdable {
  readonly closed: boolean;
  readonly label: string;
  /** Equal for all handles of one lock. */
  readonly uniqueId: string;
  /** Releases the lock if nothing is left of the hold. */
  releaseIfLast(hold: Hold): void;
  /** Releases the lock though the hold goes on: it is restored before anything else is done with it. */
  suspend(hold: Hold): void;
  /** Waits for the lock, however long that takes, and goes on with the hold. */
  resume(hold: Hold): Promise<void>;
  /** The same, blocking the thread. Returns the `EINTR` that came meanwhile. */
  resumeSync(hold: Hold): unknown;
}

/** From taking the lock to releasing it. Then nobody refers to it but its handle, which uses it again. */
export class Hold {
  readonly lock: Holdable;
  by: Holding = Holding.byTask;
  guards = 0;
  acquired = 0;
  /** While a task waits on a condition, others have the lock. */
  suspended = false;
  /** It was suspended, and could not go on. */
  lost = false;
  /** The pid of the owner before, if that died without releasing the lock. */
  diedPid: number | undefined;

  constructor(lock: Holdable) {
    this.lock = lock;
  }

  /** Whether there is nothing to release any more. */
  get over(): boolean {
    return this.lost || this.lock.closed;
  }

  endGuard(): void {
    this.guards--;
    this.lock.releaseIfLast(this);
  }
}
