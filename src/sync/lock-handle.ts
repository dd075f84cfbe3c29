// What Lock and RLock have in common: one handle, through which the tasks and the Sync calls of one thread take a lock.
// Which process and thread owns it is in the segment (ownership.ts); which task does, only this handle knows.

import { RingwayError, TimeoutError } from '../errors.js';
import { Constants, LockHeader, SegmentHeader } from '../layout.js';
import { closesWhenCollected } from '../memory/collected.js';
import { departureOf } from '../memory/flight.js';
import { checkName, describe } from '../memory/names.js';
import { checkOpen, type Segment, type SegmentHandle } from '../memory/segment.js';
import { SegmentOwner } from '../memory/segment-owner.js';
import {
  attachOrCreate,
  attachSegment,
  checkSharedOptions,
  createSegment,
  makeOver,
  type SharedOptions,
} from '../memory/shared-object.js';
import { type Departure, type Route, travels } from '../memory/travel.js';
import { whenLinked } from '../memory/when-linked.js';
import { AdaptiveSpin, checkWait, LONGEST_SPIN_MS, type WaitMode } from '../wait/adaptive-spin.js';
import { NOT_YET } from '../wait/condition.js';
import {
  type AttachOptions,
  checkAttachedWait,
  checkWaitOptions,
  deadlineOf,
  type SyncWaitOptions,
  type WaitOptions,
} from '../wait/options.js';
import { waitSync } from '../wait/wait-sync.js';
import { settled, Waiters } from '../wait/waiters.js';
import { Hold, type Holdable, Holding } from './hold.js';
import { formatOwnership, Ownership, Taken } from './ownership.js';
import type { Place } from './turn.js';

/** How often a Sync call tries for a lock that comes free at once, before it waits as others do. */
const SHORT_ROUNDS = 4;

export interface LockOptions extends SharedOptions {
  /** How waiters wait: `adaptive` (default) spins a little while the lock comes soon, `spin` takes a core, `park` never spins. */
  wait?: WaitMode;
}

/** What is opened or made under a name. */
export interface NamedLockOptions extends LockOptions, AttachOptions {
  name: string;
}

export interface OwnerDiedOptions {
  /**
   * When the last owner died, or closed its handle, without releasing the lock: `take` (default) takes the lock and tells
   * by the guard, `throw` throws OwnerDiedError and leaves the lock free and marked.
   */
  onOwnerDied?: 'take' | 'throw';
}

/** For operations that return a promise. */
export interface LockWaitOptions extends WaitOptions, OwnerDiedOptions {}

/** For operations that block the thread. */
export interface SyncLockWaitOptions extends SyncWaitOptions, OwnerDiedOptions {}

/** One thread's handle to a lock; what Lock and RLock have in common. */
export abstract class LockHandle<Guard extends Disposable> extends SegmentOwner implements Holdable {
  readonly #ownership: Ownership;
  readonly #segment: Segment;
  readonly #waiters: Waiters;
  readonly #spin: AdaptiveSpin;
  #hold: Hold | undefined; // What this handle has the lock by, while it has it.
  #spare: Hold | undefined; // One that is over.

  constructor(ownership: Ownership) {
    const { segment } = ownership;
    super(segment);
    this.#ownership = ownership;
    this.#segment = segment;
    this.#waiters = new Waiters(ownership);
    this.#spin = new AdaptiveSpin(ownership.mode, LONGEST_SPIN_MS);
    (ownership.inside ? collectedInside : collected).register(this, { segment, ownership }, this);
  }

  /** @internal The class, where a message carries the lock. */
  protected abstract readonly kind: string;

  /** @internal One more guard of a hold. */
  protected abstract makeGuard(hold: Hold): Guard;

  /** Whether somebody has the lock; a dead process counts until a waiter or a `try` form has noticed its death. */
  get locked(): boolean {
    checkOpen(this.#segment);
    return this.#ownership.owned;
  }

  /** How this handle waits. */
  get wait(): WaitMode {
    return this.#ownership.mode;
  }

  /** @internal */
  override [travels](route: Route): Departure {
    return departureOf(this.#segment, route, this.kind);
  }

  /** @internal */
  get label(): string {
    return this.#segment.label;
  }

  /** @internal The random number that tells this lock from all others. */
  get uniqueId(): string {
    const { words } = this.#segment;
    const at = SegmentHeader.uniqueId >> 2;
    return [words[at], words[at + 1]].map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
  }

  /**
   * Waits until the lock is free and those who called before have had it, and takes it.
   * @returns its guard
   * @throws {TimeoutError} after `timeoutMs`
   * @throws {OwnerDiedError} with `onOwnerDied: 'throw'`
   * @throws {ClosedError} if this handle is closed, also meanwhile
   */
  lock(options?: LockWaitOptions): Promise<Guard> {
    return this.waitAsync('lock', options, false, () => this.#newGuard());
  }

  /**
   * The same, blocking the thread. Comes before calls of this handle that wait already: while the thread is blocked those
   * cannot go on, nor release the lock.
   * @throws {RingwayError} `ERR_RINGWAY_WOULD_DEADLOCK` if this thread has the lock
   * @throws {RingwayError} `EINTR` when a signal came that somebody listens to
   */
  lockSync(options?: SyncLockWaitOptions): Guard {
    this.#waitSync('lockSync', options, heedsMark(options));
    return this.#newGuard();
  }

  /**
   * Takes the lock if it is free and nobody who has waited for longer than 1 ms is to have it. Lock-free; system calls if
   * another one has it, to see whether that one lives.
   * @returns null if it was not to be had
   * @throws {OwnerDiedError} with `onOwnerDied: 'throw'`
   */
  tryLock(options?: OwnerDiedOptions): Guard | null {
    return this.tryTake(heedsMark(options), Holding.byTask) ? this.#newGuard() : null;
  }

  /** Runs `fn` while it has the lock. Throws what `lock()` and `fn` throw; the lock is released in either case. */
  async withLock<Result>(
    fn: (guard: Guard) => Result | PromiseLike<Result>,
    options?: LockWaitOptions,
  ): Promise<Result> {
    const guard = await this.lock(options);
    try {
      return await fn(guard);
    } finally {
      guard[Symbol.dispose]();
    }
  }

  /** The same, blocking the thread. Not for functions that return a promise: it would go on after the release. */
  withLockSync<Result>(fn: (guard: Guard) => Result, options?: SyncLockWaitOptions): Result {
    const guard = this.lockSync(options);
    try {
      return fn(guard);
    } finally {
      guard[Symbol.dispose]();
    }
  }

  /**
   * Releases what an `acquire` form of this handle has taken. Wait-free; a system call if somebody sleeps.
   * @throws {RingwayError} `ERR_RINGWAY_STATE` if none has: guards release themselves, other handles their own
   */
  release(): void {
    checkOpen(this.#segment);
    const hold = this.#hold;
    if (hold === undefined || hold.acquired === 0) {
      const why = hold === undefined ? 'this handle has not acquired it' : 'its guard has to release it';
      throw new RingwayError(`${this.label} cannot be released: ${why}`, 'ERR_RINGWAY_STATE');
    }
    hold.acquired--;
    this.releaseIfLast(hold);
  }

  /**
   * Gives up this handle; what waits on it is rejected with ClosedError. If it has the lock, the next owner is told, as of a
   * death. The lock stays, if it has a name or others hold it. Idempotent.
   */
  close(): void {
    if (this.closed) return;
    (this.#ownership.inside ? collectedInside : collected).unregister(this);
    this.#hold = undefined;
    this.#waiters.close(`${this.label} was closed`);
    this.#ownership.close();
    if (!this.#ownership.inside) this.#segment.close();
  }

  /** A pending operation keeps the process alive: the default. */
  ref(): this {
    this.#waiters.referenced = true;
    return this;
  }

  /** Lets the process end though an operation is pending. */
  unref(): this {
    this.#waiters.referenced = false;
    return this;
  }

  /** @internal */
  releaseIfLast(hold: Hold): void {
    if (hold.guards + hold.acquired > 0) return;
    this.#hold = undefined;
    this.#spare = hold;
    this.#ownership.release();
  }

  /** @internal */
  suspend(hold: Hold): void {
    hold.suspended = true;
    this.#hold = undefined;
    this.#ownership.release();
  }

  /** @internal */
  async resume(hold: Hold): Promise<void> {
    try {
      await this.waitAsync('wait', undefined, false, () => this.#goOn(hold));
    } catch (error) {
      hold.lost = true;
      throw error;
    }
  }

  /** @internal */
  resumeSync(hold: Hold): unknown {
    let interruption: unknown;
    for (;;) {
      try {
        this.#waitSync('waitSync', undefined, false);
        this.#goOn(hold);
        return interruption;
      } catch (error) {
        // The lock has to be held at the end, or the caller would touch what others are changing.
        if ((error as RingwayError).code !== 'EINTR') {
          hold.lost = true;
          throw error;
        }
        interruption = error;
      }
    }
  }

  // In place of the hold that was begun by taking the lock.
  #goOn(hold: Hold): void {
    this.#spare = this.#hold;
    hold.diedPid = this.#hold?.diedPid;
    hold.suspended = false;
    this.#hold = hold;
  }

  /** @internal One more guard of a hold. */
  protected addGuard(hold: Hold): Guard {
    hold.guards++;
    return this.makeGuard(hold);
  }

  /** @internal What a Sync call of this thread holds the lock by, through this handle. */
  protected get heldByThread(): Hold | undefined {
    return this.#hold?.by === Holding.byThread ? this.#hold : undefined;
  }

  /** @internal Counts what an `acquire` form has taken. */
  protected countAcquired(): true {
    (this.#hold as Hold).acquired++;
    return true;
  }

  /** @internal `result()` as soon as the lock is taken. */
  protected waitAsync<Result>(
    what: string,
    options: LockWaitOptions | undefined,
    alwaysHeedMark: boolean,
    result: () => Result,
  ): Promise<Result> {
    let heedMark: boolean;
    try {
      checkOpen(this.#segment);
      heedMark = alwaysHeedMark || heedsMark(options);
      if (options !== undefined) checkWaitOptions(options);
      if (!options?.signal?.aborted && !this.#waiters.any && this.#take(undefined, heedMark, Holding.byTask)) {
        return settled(result());
      }
    } catch (error) {
      return Promise.reject(error);
    }
    const { turn } = this.#ownership;
    const place = turn.line();
    const attempt = () => (this.#take(place, heedMark, Holding.byTask) ? result() : NOT_YET);
    return this.#waiters.wait(attempt, { ...options, what }).catch((error) => {
      if (!this.closed) turn.leave();
      throw error;
    });
  }

  /** @internal Takes the lock without a guard, blocking the thread. False after `timeoutMs`. */
  protected acquireByThread(what: string, options: SyncWaitOptions | undefined): boolean {
    try {
      this.#waitSync(what, options, true);
    } catch (error) {
      if (error instanceof TimeoutError) return false;
      throw error;
    }
    return this.countAcquired();
  }

  /** @internal Takes the lock if that does not take waiting. */
  protected tryTake(heedMark: boolean, holding: Holding): boolean {
    checkOpen(this.#segment);
    if (this.#waiters.any) return false;
    if (this.#take(undefined, heedMark, holding)) return true;
    this.#ownership.checkOwnerLives();
    return this.#take(undefined, heedMark, holding);
  }

  #waitSync(what: string, options: SyncWaitOptions | undefined, heedMark: boolean): void {
    checkOpen(this.#segment);
    if (options !== undefined) checkWaitOptions(options);
    const ownership = this.#ownership;
    // Most are held for a moment only: a place in the line costs more than that.
    for (let round = 0; round < SHORT_ROUNDS; round++) {
      if (this.#take(undefined, heedMark, Holding.byThread)) return;
      if (ownership.mode === 'park' || !ownership.comesFreeAtOnce()) break;
    }
    const place = ownership.turn.line();
    const attempt = () => this.#take(place, heedMark, Holding.byThread) || NOT_YET;
    try {
      waitSync(what, ownership, this.#spin, deadlineOf(options?.timeoutMs), false, attempt);
    } catch (error) {
      ownership.turn.leave();
      throw error;
    }
  }

  #take(place: Place | undefined, heedMark: boolean, holding: Holding): boolean {
    const taken = this.#ownership.tryTake(place, heedMark);
    if (taken === Taken.no) return false;
    const hold = this.#spare ?? new Hold(this);
    this.#spare = undefined;
    hold.by = holding;
    hold.diedPid = taken === Taken.abandoned ? this.#ownership.diedPid : undefined;
    this.#hold = hold;
    return true;
  }

  // Of what was taken just now.
  #newGuard(): Guard {
    return this.addGuard(this.#hold as Hold);
  }
}

// Nothing waits on one that is collected, and nobody has a guard of it.
const collected = closesWhenCollected<{ segment: Segment; ownership: Ownership }>(({ segment, ownership }) => {
  if (!segment.closed) ownership.close();
});

// The segment goes when that does which it belongs to, and perhaps not before the last view of it.
const collectedInside = new FinalizationRegistry<{ segment: Segment; ownership: Ownership }>(
  ({ segment, ownership }) => {
    if (!segment.closed) ownership.close();
  },
);

/** Whether an abandoned lock is to be left alone. */
export function heedsMark(options: OwnerDiedOptions | undefined): boolean {
  const choice = options?.onOwnerDied;
  if (choice === undefined || choice === 'take') return false;
  if (choice === 'throw') return true;
  throw new RangeError(`onOwnerDied must be 'take' or 'throw', not ${describe(choice)}`);
}

/** A new lock's segment. */
export function createLock(options: LockOptions): Ownership {
  const shared = checkSharedOptions(options, 'a name or a wait');
  const wait = checkWait(options.wait ?? 'adaptive');
  return bind(createSegment(Constants.kindLock, LockHeader.end, shared, (segment) => formatOwnership(segment, wait)));
}

/** The segment behind a name or a handle. */
export function attachLock(target: string | SegmentHandle, options: AttachOptions): Ownership {
  const mode = checkAttachedWait(options);
  return bind(attachSegment(Constants.kindLock, target, options), mode);
}

/** The lock of that name, found or made. */
export function createOrAttachLock<Made extends { close(): void }>(
  options: NamedLockOptions,
  open: (ownership: Ownership) => Made,
): Made {
  checkSharedOptions(options, 'a name');
  const name = checkName(options.name);
  return attachOrCreate(
    () => open(attachLock(name, options)),
    () => {},
    () => open(createLock(options)),
  );
}

/** The lock of that name, as soon as there is one. */
export async function whenLockCreated<Made>(
  name: string,
  options: WaitOptions & AttachOptions,
  open: (ownership: Ownership) => Made,
): Promise<Made> {
  checkName(name);
  checkWaitOptions(options);
  return whenLinked(name, options, () => open(attachLock(name, options)));
}

function bind(segment: Segment, mode?: WaitMode): Ownership {
  return makeOver(segment, () => new Ownership(segment, mode));
}
