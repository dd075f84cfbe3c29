// A condition: how it is made, found, and taken. What its guards do is in condition-guard.ts, who is notified in notices.ts.

import { ClosedError, RingwayError, TimeoutError } from '../errors.js';
import { Constants } from '../layout.js';
import { closesWhenCollected } from '../memory/collected.js';
import { readDescription } from '../memory/description.js';
import { checkName, describe } from '../memory/names.js';
import { checkOpen, type Segment, type SegmentHandle } from '../memory/segment.js';
import { SegmentOwner } from '../memory/segment-owner.js';
import {
  attachOrCreate,
  attachSegment,
  type CheckedSharedOptions,
  checkSharedOptions,
  createSegment,
  makeOver,
  otherShape,
  type SharedOptions,
  unlink,
} from '../memory/shared-object.js';
import { type Departure, type Route, travels } from '../memory/travel.js';
import { whenLinked } from '../memory/when-linked.js';
import { checkWait, type WaitMode } from '../wait/adaptive-spin.js';
import {
  type AttachOptions,
  checkAttachedWait,
  checkWaitOptions,
  deadlineOf,
  type SyncWaitOptions,
  type WaitOptions,
} from '../wait/options.js';
import { WaitingLine } from '../wait/waiting-line.js';
import { type Awaitable, ConditionGuard } from './condition-guard.js';
import type { Hold } from './hold.js';
import { Lock } from './lock.js';
import type { LockGuard } from './lock-guard.js';
import type { LockWaitOptions, OwnerDiedOptions, SyncLockWaitOptions } from './lock-handle.js';
import { checkLock, checkReference, departWith, openReferred, referTo, type WithLock } from './lock-reference.js';
import { conditionByteLength, Notices, type Woken } from './notices.js';
import { formatOwnership, Ownership } from './ownership.js';
import { RLock } from './rlock.js';

export interface ConditionOptions extends SharedOptions {
  /** How waiters wait: `adaptive` (default) spins a little while notices come soon, `spin` takes a core, `park` never spins. */
  wait?: WaitMode;
}

export interface ConditionAttachOptions extends AttachOptions {
  /** A handle of the condition's lock that is open here already; without one the condition opens one of its own. */
  lock?: Lock | RLock;
}

/** What is opened or made under a name. */
export interface NamedConditionOptions extends ConditionOptions, ConditionAttachOptions {
  name: string;
}

/** Leads to a condition, and to its lock if that is not its own. */
export type ConditionHandle = WithLock<SegmentHandle>;

/**
 * Where those who have a lock wait until others have changed what it protects, and notify them. Several conditions can
 * share one lock.
 *
 * A notice goes to one that waits, and to nobody else: if that one gives up, dies or closes its handle before it has the
 * lock again, to another one that waits. Who notifies waits for nobody, be it stopped or dead.
 */
export class Condition extends SegmentOwner implements Awaitable {
  readonly #segment: Segment;
  readonly #notices: Notices;
  readonly #line: WaitingLine;
  readonly #lock: Lock | RLock;
  readonly #has: 'its own lock' | 'a lock it opened' | 'a lock of others';

  /**
   * Makes a condition.
   * @param lock - which it shares; by default it has an RLock of its own
   * @throws {RangeError | TypeError} for options out of range, with the value; for a name though the lock has none
   * @throws {RingwayError} `EEXIST` if the name is taken; `ENOSPC` if there is no memory
   * @throws {RingwayError} `ERR_RINGWAY_NO_ADDON` for a name or `backend: 'shm'` where there is no addon
   * @throws {ClosedError} if the lock is closed
   */
  constructor(lock?: Lock | RLock, options?: ConditionOptions);
  constructor(options?: ConditionOptions);
  /** @internal Over a segment that is open already. */
  constructor(open: OpenCondition);
  constructor(first?: Lock | RLock | ConditionOptions | OpenCondition, second: ConditionOptions = {}) {
    const { segment, notices, lock, has } = first instanceof OpenCondition ? first : create(...sorted(first, second));
    super(segment);
    this.#segment = segment;
    this.#notices = notices;
    this.#line = new WaitingLine(notices);
    this.#lock = lock;
    this.#has = has;
    if (has !== 'its own lock') collected.register(this, { segment }, this); // Else the lock does that.
  }

  /**
   * Opens a condition that another process or thread made, and its lock.
   * @param target - a name, or the `handle` of a condition
   * @throws {RingwayError} `ENOENT` if there is none, or its lock is gone; `EACCES` if it is another user's
   * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if the given lock is not the condition's
   * @throws {CorruptSegmentError} if it is no condition of this version
   */
  static attach(target: string | ConditionHandle, options: ConditionAttachOptions = {}): Condition {
    const mode = checkAttachedWait(options);
    const { lock } = options;
    if (lock !== undefined) checkLock(lock);
    const handle = typeof target === 'string' ? undefined : target.lock;
    const segment = attachSegment(Constants.kindCondition, target, options);
    return new Condition(makeOver(segment, () => open(segment, mode, handle, lock)));
  }

  /**
   * Opens the condition of that name, or makes it.
   * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if it is there with another lock than the given one
   */
  static createOrAttach(options: NamedConditionOptions): Condition {
    checkOptions(options?.lock, options);
    const name = checkName(options.name);
    return attachOrCreate(
      () => Condition.attach(name, options),
      () => {}, // Attaching has compared the locks.
      () => new Condition(options.lock, options),
    );
  }

  /**
   * Waits until a condition of that name is created, and opens it.
   * @throws {TimeoutError} after `timeoutMs`
   */
  static async whenCreated(name: string, options: WaitOptions & ConditionAttachOptions = {}): Promise<Condition> {
    checkName(name);
    checkWaitOptions(options);
    return whenLinked(name, options, () => Condition.attach(name, options));
  }

  /**
   * Removes a name. Those who have the condition keep it. The lock's name is another one.
   * @throws {RingwayError} `ENOENT` if there is none
   */
  static unlink(name: string): void {
    unlink(name);
  }

  /** Whether somebody has the lock; a dead process counts until a waiter or a `try` form has noticed its death. */
  get locked(): boolean {
    this.checkOpen();
    return this.#lock.locked;
  }

  /** How many wait, in all processes, and have not been notified; the dead count until their death was noticed. */
  get waiting(): number {
    this.checkOpen();
    return this.#notices.waiting;
  }

  /** How this handle waits for notices. */
  get waitMode(): WaitMode {
    return this.#notices.mode;
  }

  /** Plain data that attach() takes: in another process for `shm`, in another thread for `sab`. */
  override get handle(): ConditionHandle {
    return this.#has === 'its own lock' ? super.handle : { ...super.handle, lock: this.#lock.handle };
  }

  override toJSON(): ConditionHandle {
    return this.handle;
  }

  /** @internal */
  override [travels](route: Route): Departure {
    const own = super[travels](route);
    return this.#has === 'its own lock' ? own : departWith(this.#lock, own, route);
  }

  /**
   * Waits for the lock, and takes it.
   * @returns its guard, which waits and notifies
   * @throws as the lock's `lock()`
   */
  async lock(options?: LockWaitOptions): Promise<ConditionGuard> {
    this.checkOpen();
    return this.#guardOf(await this.#lock.lock(options));
  }

  /**
   * The same, blocking the thread.
   * @throws as the lock's `lockSync()`
   */
  lockSync(options?: SyncLockWaitOptions): ConditionGuard {
    this.checkOpen();
    return this.#guardOf(this.#lock.lockSync(options));
  }

  /**
   * Takes the lock if it is to be had.
   * @returns null if it was not
   * @throws as the lock's `tryLock()`
   */
  tryLock(options?: OwnerDiedOptions): ConditionGuard | null {
    this.checkOpen();
    const guard: LockGuard | null = this.#lock.tryLock(options);
    return guard && this.#guardOf(guard);
  }

  /**
   * Makes a guard of another condition, or of the lock itself, one of this condition, too: so that who has waited on one
   * can notify another. It stands for the same hold: released by either, it is by both.
   * @param guard - of the same lock, through whichever handle of this thread
   * @throws {RingwayError} `ERR_RINGWAY_STATE` if that guard was released, or is of another lock
   */
  with(guard: LockGuard | ConditionGuard): ConditionGuard {
    this.checkOpen();
    const lockGuard = guard instanceof ConditionGuard ? guard.lockGuard : guard;
    lockGuard.checkHeld();
    const { lock } = lockGuard.hold;
    if (lock.uniqueId === this.#lock.uniqueId) return this.#guardOf(lockGuard);
    throw new RingwayError(
      `the guard of ${lock.label} is none of ${this.#lock.label}, the lock of ${this.#segment.label}`,
      'ERR_RINGWAY_STATE',
    );
  }

  /** Runs `fn` while it has the lock. Throws what `lock()` and `fn` throw; the lock is released in either case. */
  async withLock<Result>(
    fn: (guard: ConditionGuard) => Result | PromiseLike<Result>,
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
  withLockSync<Result>(fn: (guard: ConditionGuard) => Result, options?: SyncLockWaitOptions): Result {
    const guard = this.lockSync(options);
    try {
      return fn(guard);
    } finally {
      guard[Symbol.dispose]();
    }
  }

  /**
   * Gives up this handle; what waits through it is rejected with ClosedError, and its notices go to others. If the
   * condition's own lock is held through it, the next owner is told, as of a death; a lock that it was given stays as it
   * is. The condition stays, if it has a name or others hold it. Idempotent.
   */
  close(): void {
    if (this.closed) return;
    collected.unregister(this);
    this.#notices.close();
    this.#line.close(`${this.#segment.label} was closed`);
    if (this.#has !== 'a lock of others') this.#lock.close();
    this.#segment.close();
  }

  /** A pending operation keeps the process alive: the default. */
  ref(): this {
    return this.#reference(true);
  }

  /** Lets the process end though an operation is pending. */
  unref(): this {
    return this.#reference(false);
  }

  #reference(referenced: boolean): this {
    this.#line.referenced = referenced;
    if (this.#has === 'a lock of others') return this;
    if (referenced) this.#lock.ref();
    else this.#lock.unref();
    return this;
  }

  /** @internal */
  checkOpen(): void {
    checkOpen(this.#segment);
  }

  /** @internal */
  give(limit: number): number {
    return this.#notices.give(limit);
  }

  /** @internal */
  async waitHolding(hold: Hold, { timeoutMs, signal }: WaitOptions): Promise<boolean> {
    const deadline = deadlineOf(timeoutMs);
    this.#notices.join();
    for (;;) {
      hold.lock.suspend(hold);
      let woken: Woken | undefined;
      let ended: { error: unknown } | undefined;
      try {
        const options = { timeoutMs: deadline - performance.now(), ...(signal === undefined ? {} : { signal }) };
        woken = await this.#line.async('wait', options, () => this.#notices.attempt());
      } catch (error) {
        ended = { error };
      }
      await hold.lock.resume(hold).catch((error) => this.#abandon(woken, error));
      const isTimeout = ended?.error instanceof TimeoutError && ended.error !== signal?.reason;
      const notified = this.#end(woken, ended, isTimeout);
      if (notified !== undefined) return notified;
    }
  }

  /** @internal */
  waitHoldingSync(hold: Hold, { timeoutMs }: SyncWaitOptions): boolean {
    const deadline = deadlineOf(timeoutMs);
    this.#notices.join();
    for (;;) {
      hold.lock.suspend(hold);
      let woken: Woken | undefined;
      let ended: { error: unknown } | undefined;
      try {
        const options = { timeoutMs: deadline - performance.now() };
        woken = this.#line.sync('waitSync', options, () => this.#notices.attempt());
      } catch (error) {
        ended = { error };
      }
      let interruption: unknown;
      try {
        interruption = hold.lock.resumeSync(hold);
      } catch (error) {
        this.#abandon(woken, error);
      }
      if (interruption !== undefined) ended ??= { error: interruption };
      const notified = this.#end(woken, ended, ended?.error instanceof TimeoutError);
      if (notified !== undefined) return notified;
    }
  }

  // How a wait ends that holds the lock again. Undefined: it does not, since others were quicker.
  #end(woken: Woken | undefined, ended: { error: unknown } | undefined, isTimeout: boolean): boolean | undefined {
    this.checkOpen();
    if (ended !== undefined) {
      this.#notices.leave(woken);
      if (isTimeout) return false;
      throw ended.error;
    }
    return this.#notices.take(woken as Woken) || undefined;
  }

  // The lock is lost.
  #abandon(woken: Woken | undefined, error: unknown): never {
    if (!this.closed) this.#notices.abandon(woken);
    throw error;
  }

  #guardOf(guard: LockGuard): ConditionGuard {
    return new ConditionGuard(this, guard);
  }
}

// Nothing waits on one that is collected.
const collected = closesWhenCollected();

/** What a Condition is made over. */
class OpenCondition {
  constructor(
    readonly segment: Segment,
    readonly notices: Notices,
    readonly lock: Lock | RLock,
    readonly has: 'its own lock' | 'a lock it opened' | 'a lock of others',
  ) {}
}

interface CheckedOptions extends CheckedSharedOptions {
  wait: WaitMode;
}

// The constructor takes the lock, the options, or both.
function sorted(
  first: Lock | RLock | ConditionOptions | undefined,
  second: ConditionOptions,
): [lock: Lock | RLock | undefined, options: ConditionOptions] {
  if (first === undefined || first instanceof Lock || first instanceof RLock) return [first, second];
  return [undefined, first];
}

function checkOptions(lock: Lock | RLock | undefined, options: ConditionOptions): CheckedOptions {
  const shared = checkSharedOptions(options, 'a name or a wait');
  const wait = checkWait(options.wait ?? 'adaptive');
  if (lock === undefined) return { ...shared, wait };
  const { backend, name } = checkLock(lock);
  if (options.backend !== undefined && options.backend !== backend) {
    throw new TypeError(`a condition of ${lock.label} is made of ${backend} like its lock, not of ${options.backend}`);
  }
  if (shared.name !== undefined && name === undefined) {
    throw new TypeError(
      `${describe(shared.name)} would be a condition that outlives its lock, which has no name: give the lock one, too`,
    );
  }
  return { ...shared, wait, backend };
}

function create(lock: Lock | RLock | undefined, options: ConditionOptions): OpenCondition {
  const { wait, ...shared } = checkOptions(lock, options);
  if (lock?.closed) throw new ClosedError(`${lock.label} is closed`);
  const description = lock === undefined ? '' : JSON.stringify({ lock: referTo(lock) });
  const format = (segment: Segment) => formatOwnership(segment, wait);
  const byteLength = conditionByteLength(shared.maxParticipants);
  const segment = createSegment(Constants.kindCondition, byteLength, shared, format, description);
  return makeOver(segment, () => open(segment, undefined, undefined, lock));
}

function open(
  segment: Segment,
  mode: WaitMode | undefined,
  lockHandle: SegmentHandle | undefined,
  given: Lock | RLock | undefined,
): OpenCondition {
  const notices = new Notices(segment, mode);
  const description = readDescription(segment);
  if (description === '') {
    if (given === undefined) {
      return new OpenCondition(segment, notices, new RLock(new Ownership(segment, mode)), 'its own lock');
    }
    throw otherShape(segment.label, 'a lock of its own', given.label);
  }
  const reference = checkReference(parsed(description), segment.label);
  if (given === undefined) {
    const lock = openReferred(reference, lockHandle, segment.label);
    return new OpenCondition(segment, notices, lock, 'a lock it opened');
  }
  if (given.uniqueId !== reference.uniqueId) throw otherShape(segment.label, 'another lock', given.label);
  return new OpenCondition(segment, notices, given, 'a lock of others');
}

function parsed(description: string): unknown {
  try {
    return JSON.parse(description).lock;
  } catch {
    return undefined;
  }
}
