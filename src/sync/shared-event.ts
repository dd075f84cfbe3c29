// An event: how it is made, found and shared. What set() and clear() do is in event-word.ts.

import { TimeoutError } from '../errors.js';
import { Constants, EventHeader } from '../layout.js';
import { closesWhenCollected } from '../memory/collected.js';
import { checkName } from '../memory/names.js';
import { checkOpen, type Segment, type SegmentHandle } from '../memory/segment.js';
import { SegmentOwner } from '../memory/segment-owner.js';
import {
  attachOrCreate,
  attachSegment,
  checkSharedOptions,
  createSegment,
  makeOver,
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
import { type Readiness, readiness } from '../wait/readiness.js';
import { waitSync } from '../wait/wait-sync.js';
import { settled, Waiters } from '../wait/waiters.js';
import { EventWord, formatEvent, isSetAt } from './event-word.js';

export interface SharedEventOptions extends SharedOptions {
  /** How waiters wait: `adaptive` (default) spins a little while it is set soon, `spin` takes a core, `park` never spins. */
  wait?: WaitMode;
}

/** What is opened or made under a name. */
export interface NamedSharedEventOptions extends SharedEventOptions, AttachOptions {
  name: string;
}

/**
 * A flag that any thread of any process that has it sets, clears and waits for.
 *
 * A set() wakes all that wait, also if it is cleared at once, and waits for none of them.
 */
export class SharedEvent extends SegmentOwner {
  readonly #word: EventWord;
  readonly #segment: Segment;
  readonly #waiters: Waiters;
  readonly #spin: AdaptiveSpin;

  /**
   * Makes an event that is not set.
   * @throws {RangeError | TypeError} for options out of range, with the value
   * @throws {RingwayError} `EEXIST` if the name is taken; `ENOSPC` if there is no memory
   * @throws {RingwayError} `ERR_RINGWAY_NO_ADDON` for a name or `backend: 'shm'` where there is no addon
   */
  constructor(options?: SharedEventOptions);
  /** @internal Over a segment that is open already. */
  constructor(word: EventWord);
  constructor(options: SharedEventOptions | EventWord = {}) {
    const word = options instanceof EventWord ? options : create(options);
    const { segment } = word;
    super(segment);
    this.#word = word;
    this.#segment = segment;
    this.#waiters = new Waiters(word);
    this.#spin = new AdaptiveSpin(word.mode, LONGEST_SPIN_MS);
    collected.register(this, { segment }, this);
  }

  /**
   * Opens an event that another process or thread made.
   * @param target - a name, or the `handle` of an event
   * @throws {RingwayError} `ENOENT` if there is none; `EACCES` if it is another user's
   * @throws {CorruptSegmentError} if it is no event of this version
   */
  static attach(target: string | SegmentHandle, options: AttachOptions = {}): SharedEvent {
    const mode = checkAttachedWait(options);
    return new SharedEvent(bind(attachSegment(Constants.kindEvent, target, options), mode));
  }

  /** Opens the event of that name, or makes it, not set. */
  static createOrAttach(options: NamedSharedEventOptions): SharedEvent {
    checkOptions(options);
    const name = checkName(options.name);
    return attachOrCreate(
      () => SharedEvent.attach(name, options),
      () => {}, // All events have the same shape.
      () => new SharedEvent(options),
    );
  }

  /**
   * Waits until an event of that name is created, and opens it.
   * @throws {TimeoutError} after `timeoutMs`
   */
  static async whenCreated(name: string, options: WaitOptions & AttachOptions = {}): Promise<SharedEvent> {
    checkName(name);
    checkWaitOptions(options);
    return whenLinked(name, options, () => SharedEvent.attach(name, options));
  }

  /**
   * Removes a name. Those who have the event keep it.
   * @throws {RingwayError} `ENOENT` if there is none
   */
  static unlink(name: string): void {
    unlink(name);
  }

  /** Whether it is set; others may change it at any moment. Wait-free, one load. */
  get isSet(): boolean {
    checkOpen(this.#segment);
    return isSetAt(this.#word.look());
  }

  /** How this handle waits. */
  get waitMode(): WaitMode {
    return this.#word.mode;
  }

  /**
   * Sets the event and wakes all that wait. Lock-free; a system call if somebody sleeps. Waits for nobody, so that it may
   * be called wherever code runs, also where the same thread awaits the event.
   */
  set(): void {
    checkOpen(this.#segment);
    this.#word.set();
  }

  /** Whoever calls wait() from now on waits for the next set(). Lock-free. */
  clear(): void {
    checkOpen(this.#segment);
    this.#word.clear();
  }

  /**
   * Waits until the event is set, or has been since the call, though it was cleared at once. Waits for others, by design.
   * @returns false after `timeoutMs`
   * @throws {ClosedError} if this handle is closed, also meanwhile
   */
  wait(options?: WaitOptions): Promise<boolean> {
    let began: number;
    try {
      if (options !== undefined) checkWaitOptions(options);
      checkOpen(this.#segment);
      began = this.#word.look();
    } catch (error) {
      return Promise.reject(error);
    }
    if (isSetAt(began) && !options?.signal?.aborted) return settled(true);
    const waiting = this.#waiters.wait(() => this.#attempt(began), { ...options, what: 'wait' });
    return waiting.catch((error) => {
      if (error instanceof TimeoutError && error !== options?.signal?.reason) return false;
      throw error;
    });
  }

  /** @internal */
  get [readiness](): Readiness {
    return {
      isReady: () => this.isSet,
      whenReady: (signal) => this.wait({ signal }),
      blockUntilReady: (timeoutMs) => this.waitSync({ timeoutMs }),
    };
  }

  /**
   * The same, blocking the thread.
   * @returns false after `timeoutMs`
   * @throws {RingwayError} `EINTR` when a signal came that somebody listens to
   */
  waitSync(options?: SyncWaitOptions): boolean {
    if (options !== undefined) checkWaitOptions(options);
    checkOpen(this.#segment);
    const began = this.#word.look();
    if (isSetAt(began)) return true;
    try {
      return waitSync('waitSync', this.#word, this.#spin, deadlineOf(options?.timeoutMs), false, () =>
        this.#attempt(began),
      );
    } catch (error) {
      if (error instanceof TimeoutError) return false;
      throw error;
    }
  }

  /**
   * Gives up this handle; what waits on it is rejected with ClosedError. The event stays as it is, if it has a name or
   * others hold it. Idempotent.
   */
  close(): void {
    if (this.closed) return;
    collected.unregister(this);
    this.#waiters.close(`${this.#segment.label} was closed`);
    this.#segment.close();
  }

  /** A pending wait() keeps the process alive: the default. */
  ref(): this {
    this.#waiters.referenced = true;
    return this;
  }

  /** Lets the process end though a wait() is pending. */
  unref(): this {
    this.#waiters.referenced = false;
    return this;
  }

  #attempt(began: number): true | typeof NOT_YET {
    return this.#word.wasSetSince(began) || NOT_YET;
  }
}

// Nothing waits on one that is collected.
const collected = closesWhenCollected();

function checkOptions(options: SharedEventOptions) {
  const shared = checkSharedOptions(options, 'a name or a wait');
  return { ...shared, wait: checkWait(options.wait ?? 'adaptive') };
}

function create(options: SharedEventOptions): EventWord {
  const { wait, ...shared } = checkOptions(options);
  const format = (segment: Segment) => formatEvent(segment, wait);
  return bind(createSegment(Constants.kindEvent, EventHeader.end, shared, format));
}

function bind(segment: Segment, mode?: WaitMode): EventWord {
  return makeOver(segment, () => new EventWord(segment, mode));
}
