// A counting semaphore: how it is made, found and shared. What happens to the permits is in permits.ts.

import { TimeoutError } from '../errors.js';
import { Constants, SemaphoreHeader } from '../layout.js';
import { closesWhenCollected } from '../memory/collected.js';
import { checkName } from '../memory/names.js';
import { checkOpen, type Segment, type SegmentHandle } from '../memory/segment.js';
import { SegmentOwner } from '../memory/segment-owner.js';
import {
  attachOrCreate,
  attachSegment,
  type CheckedSharedOptions,
  checkInteger,
  checkSharedOptions,
  createSegment,
  makeOver,
  otherShape,
  type SharedOptions,
  unlink,
} from '../memory/shared-object.js';
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
import { formatPermits, Permits } from './permits.js';
import type { Place } from './turn.js';

export interface SemaphoreOptions extends SharedOptions {
  /** Most permits that can be free at once, 1 to 2^31 - 1 (default), at least as many as at first. */
  max?: number;
  /** How waiters wait: `adaptive` (default) spins a little while permits come soon, `spin` takes a core, `park` never spins. */
  wait?: WaitMode;
}

/** What is opened or made under a name. */
export interface NamedSemaphoreOptions extends SemaphoreOptions, AttachOptions {
  name: string;
  /** Permits that are free at first, 1 by default. */
  value?: number;
}

/**
 * A number of permits, taken and given back by any thread of any process that has the semaphore.
 *
 * A permit has no holder: one that was taken by a process that dies is gone. Who has waited for longer than 1 ms comes
 * before newcomers, in the order of the calls, unless it is stopped, or too busy to take a free permit within 20 ms.
 */
export class Semaphore extends SegmentOwner {
  readonly #permits: Permits;
  readonly #segment: Segment;
  readonly #waiters: Waiters;
  readonly #spin: AdaptiveSpin;

  /**
   * Makes a semaphore.
   * @param value - permits that are free at first, 0 to `max`
   * @throws {RangeError | TypeError} for a value or options out of range, with the value
   * @throws {RingwayError} `EEXIST` if the name is taken; `ENOSPC` if there is no memory
   * @throws {RingwayError} `ERR_RINGWAY_NO_ADDON` for a name or `backend: 'shm'` where there is no addon
   */
  constructor(value?: number, options?: SemaphoreOptions);
  /** @internal Over a segment that is open already. */
  constructor(permits: Permits);
  constructor(value: number | Permits = 1, options: SemaphoreOptions = {}) {
    const permits = value instanceof Permits ? value : create(value, options);
    const { segment } = permits;
    super(segment);
    this.#permits = permits;
    this.#segment = segment;
    this.#waiters = new Waiters(permits);
    this.#spin = new AdaptiveSpin(permits.mode, LONGEST_SPIN_MS);
    collected.register(this, { segment }, this);
  }

  /**
   * Opens a semaphore that another process or thread made.
   * @param target - a name, or the `handle` of a semaphore
   * @throws {RingwayError} `ENOENT` if there is none; `EACCES` if it is another user's
   * @throws {CorruptSegmentError} if it is no semaphore of this version
   */
  static attach(target: string | SegmentHandle, options: AttachOptions = {}): Semaphore {
    const mode = checkAttachedWait(options);
    return new Semaphore(bind(attachSegment(Constants.kindSemaphore, target, options), mode));
  }

  /**
   * Opens the semaphore of that name, or makes it.
   * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if it is there with another `max`, or began with another value; shows both
   */
  static createOrAttach(options: NamedSemaphoreOptions): Semaphore {
    const { value = 1, max } = checkOptions(options?.value, options);
    const name = checkName(options.name);
    const check = (semaphore: Semaphore) => {
      const there = semaphore.#permits;
      if (there.initial === value && there.max === max) return;
      const shapeOf = (value: number, max: number) => `value ${value} at first and max ${max}`;
      throw otherShape(name, shapeOf(there.initial, there.max), shapeOf(value, max));
    };
    return attachOrCreate(
      () => Semaphore.attach(name, options),
      check,
      () => new Semaphore(value, options),
    );
  }

  /**
   * Waits until a semaphore of that name is created, and opens it.
   * @throws {TimeoutError} after `timeoutMs`
   */
  static async whenCreated(name: string, options: WaitOptions & AttachOptions = {}): Promise<Semaphore> {
    checkName(name);
    checkWaitOptions(options);
    return whenLinked(name, options, () => Semaphore.attach(name, options));
  }

  /**
   * Removes a name. Those who have the semaphore keep it.
   * @throws {RingwayError} `ENOENT` if there is none
   */
  static unlink(name: string): void {
    unlink(name);
  }

  /** Permits that are free; others may take them at any moment. */
  get value(): number {
    checkOpen(this.#segment);
    return this.#permits.free;
  }

  /** Most permits that can be free at once. */
  get max(): number {
    return this.#permits.max;
  }

  /** How this handle waits. */
  get wait(): WaitMode {
    return this.#permits.mode;
  }

  /**
   * Takes a permit as soon as one is free and those who called before have theirs. Waits for others, by design.
   * @returns false after `timeoutMs`
   * @throws {ClosedError} if this handle is closed, also meanwhile
   */
  acquire(options?: WaitOptions): Promise<boolean> {
    try {
      if (options !== undefined) checkWaitOptions(options);
      if (!options?.signal?.aborted && this.tryAcquire()) return settled(true);
      checkOpen(this.#segment);
    } catch (error) {
      return Promise.reject(error);
    }
    const place = this.#permits.turn.line();
    const waiting = this.#waiters.wait(() => this.#attempt(place), { ...options, what: 'acquire' });
    return waiting.catch((error) => {
      if (!this.closed) this.#permits.turn.leave();
      if (error instanceof TimeoutError && error !== options?.signal?.reason) return false;
      throw error;
    });
  }

  /**
   * The same, blocking the thread.
   * @returns false after `timeoutMs`
   * @throws {RingwayError} `EINTR` when a signal came that somebody listens to
   */
  acquireSync(options?: SyncWaitOptions): boolean {
    if (options !== undefined) checkWaitOptions(options);
    if (this.tryAcquire()) return true;
    const permits = this.#permits;
    const waiters = this.#waiters;
    const place = permits.turn.line();
    const attempt = () => {
      waiters.serve(); // Those that wait already come first.
      return waiters.any ? NOT_YET : this.#attempt(place);
    };
    try {
      return waitSync('acquireSync', permits, this.#spin, deadlineOf(options?.timeoutMs), false, attempt);
    } catch (error) {
      permits.turn.leave();
      if (error instanceof TimeoutError) return false;
      throw error;
    }
  }

  /**
   * Takes a permit if one is free and nobody who has waited for longer than 1 ms is to have it. Lock-free; a system call
   * if somebody waits.
   */
  tryAcquire(): boolean {
    checkOpen(this.#segment);
    return !this.#waiters.any && this.#permits.tryTake();
  }

  /**
   * Gives permits back; also some that this process has not taken. Lock-free; a system call if somebody sleeps.
   * @param n - how many, 1 or more: all of them or none
   * @throws {RangeError | TypeError} unless it is a whole number from 1 to 2^31 - 1
   * @throws {RingwayError} `ERR_RINGWAY_STATE` if more than `max` were free then
   */
  release(n = 1): void {
    checkInteger('n', n, 1, Constants.maxSemaphorePermits);
    checkOpen(this.#segment);
    this.#permits.release(n);
  }

  /**
   * Gives up this handle; what waits on it is rejected with ClosedError. Permits it has taken stay taken. The semaphore
   * stays, if it has a name or others hold it. Idempotent.
   */
  close(): void {
    if (this.closed) return;
    collected.unregister(this);
    this.#waiters.close(`${this.#segment.label} was closed`);
    this.#permits.turn.leave();
    this.#segment.close();
  }

  /** A pending acquire() keeps the process alive: the default. */
  ref(): this {
    this.#waiters.referenced = true;
    return this;
  }

  /** Lets the process end though an acquire() is pending. */
  unref(): this {
    this.#waiters.referenced = false;
    return this;
  }

  #attempt(place: Place): true | typeof NOT_YET {
    return this.#permits.tryTake(place) || NOT_YET;
  }
}

// Nothing waits on one that is collected.
const collected = closesWhenCollected();

interface CheckedOptions extends CheckedSharedOptions {
  value: number;
  max: number;
  wait: WaitMode;
}

function checkOptions(value: number | undefined, options: SemaphoreOptions): CheckedOptions {
  const shared = checkSharedOptions(options, 'a name or a max');
  const { max = Constants.maxSemaphorePermits, wait = 'adaptive' } = options;
  checkInteger('max', max, 1, Constants.maxSemaphorePermits);
  const permits = value ?? 1;
  checkInteger('value', permits, 0, max);
  return { ...shared, value: permits, max, wait: checkWait(wait) };
}

function create(value: number, options: SemaphoreOptions): Permits {
  const { max, wait, ...shared } = checkOptions(value, options);
  const format = (segment: Segment) => formatPermits(segment, value, max, wait);
  return bind(createSegment(Constants.kindSemaphore, SemaphoreHeader.end, shared, format));
}

function bind(segment: Segment, mode?: WaitMode): Permits {
  return makeOver(segment, () => new Permits(segment, mode));
}
