// A barrier: how it is made, found and waited at. What arrives and how a generation ends is in generations.ts.

import { TimeoutError } from '../errors.js';
import { Constants } from '../layout.js';
import { closesWhenCollected } from '../memory/collected.js';
import { checkName, describe } from '../memory/names.js';
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
import { AdaptiveSpin, checkWait, LONGEST_POLL_MS, LONGEST_SPIN_MS, type WaitMode } from '../wait/adaptive-spin.js';
import { NOT_YET, type NotYet } from '../wait/condition.js';
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
import { barrierByteLength, Cause, formatBarrier, Generations } from './generations.js';
import { Visit } from './visit.js';

/** What each handle has of its own. */
export interface BarrierHandleOptions {
  /**
   * Run by this handle's party when it is the last to arrive, before anybody is released. If it throws, the barrier is
   * broken. wait() awaits what it returns; waitSync() takes no promise.
   */
  action?: () => unknown;
  /** The timeout of waits that are given none, in milliseconds; without one they wait for ever. */
  timeoutMs?: number;
}

export interface BarrierOptions extends SharedOptions, BarrierHandleOptions {
  /** How parties wait: `adaptive` (default) spins a little while the others come soon, `spin` takes a core, `park` never spins. */
  wait?: WaitMode;
}

export interface BarrierAttachOptions extends AttachOptions, BarrierHandleOptions {}

/** What is opened or made under a name. */
export interface NamedBarrierOptions extends BarrierOptions, BarrierAttachOptions {
  name: string;
  /** How many have to come, 1 to 4096. */
  parties: number;
}

/**
 * A place where a number of parties wait for one another: none goes on before all have come. Then the next generation
 * begins. A party is one call of wait(), from any thread of any process.
 *
 * When one of those that wait gives up (a timeout, an abort signal), closes its handle or is killed, and when anybody calls
 * abort(), the barrier is broken: all that wait are told with a BrokenBarrierError, and so is whoever comes, until reset().
 */
export class Barrier extends SegmentOwner {
  readonly #generations: Generations;
  readonly #segment: Segment;
  readonly #action: (() => unknown) | undefined;
  readonly #timeoutMs: number;
  readonly #spin: AdaptiveSpin;
  readonly #poll: AdaptiveSpin;
  readonly #pending = new Set<Waiters>();
  #referenced = true;
  #acting = 0;

  /**
   * Makes a barrier.
   * @param parties - how many have to come, 1 to 4096
   * @param options - by default with room for a handle of each party, 64 at least
   * @throws {RangeError | TypeError} for parties or options out of range, with the value
   * @throws {RingwayError} `EEXIST` if the name is taken; `ENOSPC` if there is no memory
   * @throws {RingwayError} `ERR_RINGWAY_NO_ADDON` for a name or `backend: 'shm'` where there is no addon
   */
  constructor(parties: number, options?: BarrierOptions);
  /** @internal Over a segment that is open already. */
  constructor(generations: Generations, options: BarrierHandleOptions);
  constructor(parties: number | Generations, options: BarrierOptions = {}) {
    const generations = parties instanceof Generations ? parties : create(parties, options);
    const { segment } = generations;
    super(segment);
    this.#generations = generations;
    this.#segment = segment;
    this.#action = options.action;
    this.#timeoutMs = options.timeoutMs ?? Infinity;
    this.#spin = new AdaptiveSpin(generations.mode, LONGEST_SPIN_MS);
    this.#poll = new AdaptiveSpin(generations.mode, LONGEST_POLL_MS);
    collected.register(this, { segment }, this);
  }

  /**
   * Opens a barrier that another process or thread made.
   * @param target - a name, or the `handle` of a barrier
   * @throws {RingwayError} `ENOENT` if there is none; `EACCES` if it is another user's
   * @throws {CorruptSegmentError} if it is no barrier of this version
   */
  static attach(target: string | SegmentHandle, options: BarrierAttachOptions = {}): Barrier {
    checkHandleOptions(options);
    const mode = checkAttachedWait(options);
    return new Barrier(bind(attachSegment(Constants.kindBarrier, target, options), mode), options);
  }

  /**
   * Opens the barrier of that name, or makes it.
   * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if it is there for another number of parties; shows both
   */
  static createOrAttach(options: NamedBarrierOptions): Barrier {
    const { parties } = checkOptions(options?.parties, options);
    const name = checkName(options.name);
    const check = (barrier: Barrier) => {
      if (barrier.parties === parties) return;
      throw otherShape(name, `${barrier.parties} parties`, `${parties} parties`);
    };
    return attachOrCreate(
      () => Barrier.attach(name, options),
      check,
      () => new Barrier(parties, options),
    );
  }

  /**
   * Waits until a barrier of that name is created, and opens it.
   * @throws {TimeoutError} after `timeoutMs`, which is for this call only
   */
  static async whenCreated(name: string, options: WaitOptions & BarrierAttachOptions = {}): Promise<Barrier> {
    checkName(name);
    checkWaitOptions(options);
    const { timeoutMs: _, ...ownOptions } = options;
    checkHandleOptions(ownOptions);
    return whenLinked(name, options, () => Barrier.attach(name, ownOptions));
  }

  /**
   * Removes a name. Those who have the barrier keep it.
   * @throws {RingwayError} `ENOENT` if there is none
   */
  static unlink(name: string): void {
    unlink(name);
  }

  /** How many have to come. */
  get parties(): number {
    return this.#generations.parties;
  }

  /** How many wait; 0 while the barrier is broken. */
  get waiting(): number {
    checkOpen(this.#segment);
    return this.#generations.waiting;
  }

  /** Whether it is broken. */
  get broken(): boolean {
    checkOpen(this.#segment);
    return this.#generations.broken;
  }

  /** How this handle waits. */
  get waitMode(): WaitMode {
    return this.#generations.mode;
  }

  /**
   * Waits until all parties have come. Waits for others, by design. While the last party's action runs, those who come wait
   * for the next generation.
   * @returns how many had come before, 0 to parties - 1: another number for each party
   * @throws {BrokenBarrierError} if the barrier is broken, or is while it waits; the message says by whom
   * @throws {TimeoutError} after `timeoutMs`; the others are told that the barrier is broken, as after an abort
   * @throws {ClosedError} if this handle is closed, also meanwhile
   * @throws what this party's action throws, or rejects with, if it is the last to come
   */
  async wait(options: WaitOptions = {}): Promise<number> {
    checkWaitOptions(options);
    checkOpen(this.#segment);
    const visit = new Visit(this.#generations, () => this.#acting > 0);
    const waiters = new Waiters(visit, this.#poll);
    waiters.referenced = this.#referenced;
    const timeoutMs = options.timeoutMs ?? this.#timeoutMs;
    this.#pending.add(waiters);
    try {
      const index = await waiters.wait(() => this.#attempt(visit, false), { ...options, timeoutMs, what: 'wait' });
      return settled(index);
    } catch (error) {
      return this.#giveUp(visit, error);
    } finally {
      this.#pending.delete(waiters);
    }
  }

  /**
   * The same, blocking the thread.
   * @throws {RingwayError} `EINTR` when a signal came that somebody listens to; the others are told that it is broken
   * @throws {TypeError} if the action returns a promise
   */
  waitSync(options: SyncWaitOptions = {}): number {
    checkWaitOptions(options);
    checkOpen(this.#segment);
    const visit = new Visit(this.#generations, () => this.#acting > 0);
    const attempt = () => {
      // Some may have to arrive before the others can go on; while our action runs, none can.
      if (this.#acting === 0) for (const waiters of this.#pending) waiters.serve();
      return this.#attempt(visit, true) as number | NotYet;
    };
    try {
      return waitSync('waitSync', visit, this.#spin, deadlineOf(options.timeoutMs ?? this.#timeoutMs), false, attempt);
    } catch (error) {
      return this.#giveUp(visit, error);
    }
  }

  /** Breaks the barrier, whether or not anybody waits. Lock-free; a system call if somebody sleeps. */
  abort(): void {
    checkOpen(this.#segment);
    this.#generations.abort();
  }

  /** Makes a broken barrier usable again. If somebody waits, it is broken for those first. Lock-free, as abort(). */
  reset(): void {
    checkOpen(this.#segment);
    this.#generations.reset();
  }

  /**
   * Gives up this handle; what waits on it is rejected with ClosedError, and the barrier is broken for those that wait
   * with it. The barrier stays, if it has a name or others hold it. Idempotent.
   */
  close(): void {
    if (this.closed) return;
    collected.unregister(this);
    this.#generations.leave();
    for (const waiters of this.#pending) waiters.close(`${this.#segment.label} was closed`);
    this.#segment.close();
  }

  /** A pending wait() keeps the process alive: the default. */
  ref(): this {
    return this.#reference(true);
  }

  /** Lets the process end though a wait() is pending. */
  unref(): this {
    return this.#reference(false);
  }

  #reference(referenced: boolean): this {
    this.#referenced = referenced;
    for (const waiters of this.#pending) waiters.referenced = referenced;
    return this;
  }

  #attempt(visit: Visit, sync: boolean): number | Promise<number> | NotYet {
    const index = visit.attempt();
    return index !== NOT_YET && visit.isLast ? this.#release(visit, sync) : index;
  }

  // Runs the action of the last party, then lets all go.
  #release(visit: Visit, sync: boolean): number | Promise<number> {
    const action = this.#action;
    if (action === undefined) return visit.release();
    let result: unknown;
    this.#acting++;
    try {
      result = action();
      if (isThenable(result) && sync) {
        throw new TypeError('the action of a barrier returned a promise, which waitSync() cannot await: use wait()');
      }
    } catch (error) {
      this.#acting--;
      if (!this.closed) visit.giveUp(Cause.action);
      throw error;
    }
    if (!isThenable(result)) {
      this.#acting--;
      checkOpen(this.#segment);
      return visit.release();
    }
    return this.#releaseAfter(visit, result);
  }

  async #releaseAfter(visit: Visit, result: PromiseLike<unknown>): Promise<number> {
    try {
      await result;
    } catch (error) {
      if (!this.closed) visit.giveUp(Cause.action);
      throw error;
    } finally {
      this.#acting--;
    }
    checkOpen(this.#segment);
    return visit.release();
  }

  // What a wait ends with that did not end well: its index all the same, if the others went on before they could be told.
  // The last one has told them already.
  #giveUp(visit: Visit, error: unknown): number {
    if (this.closed || visit.isLast) throw error;
    const index = visit.giveUp(error instanceof TimeoutError ? Cause.timeout : Cause.signal);
    if (index === undefined) throw error;
    return index;
  }
}

// Nothing waits on one that is collected.
const collected = closesWhenCollected();

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | undefined | null)?.then === 'function';
}

interface CheckedOptions extends CheckedSharedOptions {
  parties: number;
  wait: WaitMode;
}

function checkOptions(parties: unknown, options: BarrierOptions): CheckedOptions {
  checkInteger('parties', parties, 1, Constants.maxParties);
  const shared = checkSharedOptions(options, 'an action or a timeoutMs');
  checkHandleOptions(options);
  // A handle for each party, and one for who made it.
  const maxParticipants = options.maxParticipants ?? Math.min(Math.max(64, parties + 1), Constants.maxParticipants);
  return { ...shared, maxParticipants, parties, wait: checkWait(options.wait ?? 'adaptive') };
}

function checkHandleOptions(options: BarrierHandleOptions): void {
  const { action, timeoutMs } = options;
  if (action !== undefined && typeof action !== 'function') {
    throw new TypeError(`action must be a function, not ${describe(action)}`);
  }
  checkWaitOptions(timeoutMs === undefined ? {} : { timeoutMs });
}

function create(parties: number, options: BarrierOptions): Generations {
  const { parties: count, wait, ...shared } = checkOptions(parties, options);
  const format = (segment: Segment) => formatBarrier(segment, count, wait);
  return bind(createSegment(Constants.kindBarrier, barrierByteLength(count), shared, format));
}

function bind(segment: Segment, mode?: WaitMode): Generations {
  return makeOver(segment, () => new Generations(segment, mode));
}
