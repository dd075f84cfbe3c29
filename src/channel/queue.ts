// A queue of values between processes or threads: how it is made, found and shared, and what users do with it. What is in
// the segment is in queue-body.ts; docs/QUEUE.md has the guarantees and the argument.

import { ClosedError, CorruptSegmentError, EndOfStreamError, RingwayError } from '../errors.js';
import { Constants } from '../layout.js';
import { closesWhenCollected } from '../memory/collected.js';
import { checkName } from '../memory/names.js';
import type { Segment, SegmentHandle } from '../memory/segment.js';
import { SegmentOwner } from '../memory/segment-owner.js';
import { attachOrCreate, attachSegment, createSegment, makeOver, otherShape, unlink } from '../memory/shared-object.js';
import { whenLinked } from '../memory/when-linked.js';
import type { WaitMode } from '../wait/adaptive-spin.js';
import { NOT_YET } from '../wait/condition.js';
import { checkAttachedWait, checkWaitOptions, type SyncWaitOptions, type WaitOptions } from '../wait/options.js';
import { type Readiness, readiness } from '../wait/readiness.js';
import { settled } from '../wait/waiters.js';
import { WaitingLine } from '../wait/waiting-line.js';
import { Putting } from './putting.js';
import { QueueBody } from './queue-body.js';
import { type EndLoan, Loan, QueueLease } from './queue-lease.js';
import {
  type AttachQueueOptions,
  checkQueueOptions,
  formatQueue,
  type NamedQueueOptions,
  type QueueOptions,
  queueByteLength,
} from './queue-options.js';
import { QueueSender } from './queue-sender.js';
import { AllDone, QueueMessages } from './queue-waits.js';

/** What tryGet() gives. */
export type Got<T> = { ok: true; value: T } | { ok: false };

const DONE: IteratorReturnResult<undefined> = Object.freeze({ done: true, value: undefined });
const NOTHING: { readonly ok: false } = Object.freeze({ ok: false });

/**
 * A queue of values between any number of producers and consumers, in different processes or threads: each value goes to
 * exactly one consumer. It is bounded: by the number of values, and by the bytes of the large ones.
 *
 * A put is complete when it returns: the value is encoded then and there, and in the queue. Values of one producer come in the
 * order of its puts; those of several are in the order in which they were put. A value of which the producer died in the
 * middle never arrives. `get` delivers at most once, `take` at least once: what somebody took and did not ack is delivered
 * again if its process dies. Not durable: gone at reboot.
 */
export class Queue<T = unknown> extends SegmentOwner implements AsyncIterable<T> {
  readonly #body: QueueBody;
  readonly #segment: Segment;
  readonly #mode: WaitMode;
  readonly #putting: Putting;
  readonly #message: QueueMessages;
  readonly #messages: WaitingLine;
  readonly #allDone: WaitingLine;
  readonly #loans: Set<Loan> = new Set();
  readonly #endLoan: EndLoan;
  #sender: QueueSender<T> | undefined;
  #closed = false;

  /**
   * Makes a queue.
   * @throws {RangeError | TypeError} for options out of range, with the value
   * @throws {RingwayError} `EEXIST` if the name is taken; `ENOSPC` if the memory does not fit, before anything is used
   * @throws {RingwayError} `ERR_RINGWAY_NO_ADDON` for a name or `backend: 'shm'` where there is no addon
   */
  constructor(options?: QueueOptions);
  /** @internal Over a segment that is open already. */
  constructor(body: QueueBody, mode: WaitMode | undefined);
  constructor(options: QueueOptions | QueueBody = {}, mode?: WaitMode) {
    const body = options instanceof QueueBody ? options : create(options);
    const { segment } = body;
    super(segment);
    this.#body = body;
    this.#segment = segment;
    this.#mode = mode ?? body.slots.shape.wait;
    this.#putting = new Putting(body, this.#mode);
    this.#message = new QueueMessages(body, this.#mode);
    this.#messages = new WaitingLine(this.#message);
    this.#allDone = new WaitingLine(new AllDone(body, this.#mode));
    this.#endLoan = (loan, done) => this.#endLease(loan, done);
    collected.register(this, { segment, body }, this);
  }

  /**
   * Opens a queue that another process or thread made.
   * @param target - a name, or the `handle` of a queue
   * @throws {RingwayError} `ENOENT` if there is none; `EACCES` if it is another user's
   * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if it was made with another codec; shows both
   * @throws {CorruptSegmentError} if it is no queue of this version
   */
  static attach<T = unknown>(target: string | SegmentHandle, options: AttachQueueOptions = {}): Queue<T> {
    const mode = checkAttachedWait(options);
    const segment = attachSegment(Constants.kindQueue, target, options);
    return makeOver(segment, () => {
      const body = new QueueBody(segment, options.codec);
      // The one that sent the handle may have had a sender on its way as well, which counts no more if that has come too.
      body.producers.endIfGone();
      return new Queue<T>(body, mode);
    });
  }

  /**
   * Opens the queue of that name, or makes it.
   * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if it is there with another maxSize, capacity or codec; shows both
   */
  static createOrAttach<T = unknown>(options: NamedQueueOptions): Queue<T> {
    const wanted = checkQueueOptions(options);
    const name = checkName(options.name);
    const check = (queue: Queue<T>) => {
      if (queue.maxSize === wanted.maxSize && queue.capacity === wanted.capacity) return;
      const shapeOf = (maxSize: number, capacity: number) => `maxSize ${maxSize} and capacity ${capacity}`;
      throw otherShape(name, shapeOf(queue.maxSize, queue.capacity), shapeOf(wanted.maxSize, wanted.capacity));
    };
    const codec = options.codec ?? 'structured';
    return attachOrCreate(
      () => Queue.attach<T>(name, { ...options, codec }),
      check,
      () => new Queue<T>(options),
    );
  }

  /**
   * Waits until a queue of that name is created, and opens it.
   * @throws {TimeoutError} after `timeoutMs`
   */
  static async whenCreated<T = unknown>(
    name: string,
    options: WaitOptions & AttachQueueOptions = {},
  ): Promise<Queue<T>> {
    checkName(name);
    checkWaitOptions(options);
    return whenLinked(name, options, () => Queue.attach<T>(name, options));
  }

  /**
   * Removes a name. Those who have the queue keep it.
   * @throws {RingwayError} `ENOENT` if there is none
   */
  static unlink(name: string): void {
    unlink(name);
  }

  /** Most values at once, those that are leased included. */
  get maxSize(): number {
    return this.#body.maxSize;
  }

  /** How much room values have together that do not fit into a slot, in bytes. */
  get capacity(): number {
    return this.#body.arena.byteLength;
  }

  /** How this handle waits. */
  get wait(): WaitMode {
    return this.#mode;
  }

  /** Whether this handle was closed. */
  override get closed(): boolean {
    return this.#closed;
  }

  /** Whether somebody called end(), or the last sender has gone. */
  get ended(): boolean {
    this.#checkOpen();
    return this.#body.hasEnded;
  }

  /** Values that wait to be got; not those that are leased. True when it is read: others go on. */
  get size(): number {
    this.#checkOpen();
    return this.#body.slots.queued;
  }

  /** Whether there is nothing to get. */
  get empty(): boolean {
    return this.size === 0;
  }

  /** Whether a put would have to wait: there are `maxSize` values in the queue, leased, or being put. */
  get full(): boolean {
    this.#checkOpen();
    return !this.#body.slots.mayClaim();
  }

  /**
   * The end of the queue that can only put, to be kept or sent. From the moment it is read it counts as a producer: when there
   * has been one, and all are closed or dead, the queue ends by itself. The same one until it is closed, with this handle at
   * the latest.
   */
  get sender(): QueueSender<T> {
    this.#checkOpen();
    if (this.#sender === undefined || this.#sender.closed) {
      this.#sender = new QueueSender<T>(this.#body, this.#mode, this);
      return this.#sender;
    }
    return this.#sender.takeAgain();
  }

  /**
   * Puts a value if there is room.
   * Progress: lock-free, but for a system call if a consumer sleeps, and for memory the first time it is needed.
   * @returns `false` when `maxSize` values are in the queue, or the value is large and the arena is full
   * @throws {RingwayError} `ERR_RINGWAY_UNSERIALISABLE` naming the path to what cannot be encoded
   * @throws {MessageSizeError} if it never fits; @throws {RingwayError} `ENOSPC` if the system has no memory for it
   * @throws {RingwayError} `EPIPE` after the end
   */
  tryPut(value: T): boolean {
    this.#checkOpen();
    return this.#putting.tryPut(value);
  }

  /**
   * Puts a value as soon as there is room. It is encoded now: what happens to it afterwards does not matter.
   * @throws {TimeoutError} after `timeoutMs`; others as of tryPut(). Nothing was put
   */
  put(value: T, options?: WaitOptions): Promise<void> {
    if (this.#closed) return Promise.reject(this.#closedError());
    return this.#putting.put(value, options);
  }

  /** put() that blocks the thread. */
  putSync(value: T, options?: SyncWaitOptions): void {
    this.#checkOpen();
    this.#putting.putSync(value, options);
  }

  /**
   * Gets the next value if there is one. It is gone then; if the process dies inside, it is delivered again.
   * Progress: lock-free, but for a system call if a producer sleeps.
   * @throws what decoding throws: `ENOENT` for a shared object whose sender ended before. The value is gone
   */
  tryGet(): Got<T> {
    this.#checkOpen();
    if (this.#messages.any) return NOTHING;
    const value = this.#get();
    return value === NOT_YET ? NOTHING : { ok: true, value };
  }

  /**
   * Gets the next value as soon as there is one.
   * @throws {TimeoutError} after `timeoutMs`; nothing was consumed
   * @throws {EndOfStreamError} after the end, when nothing is left that could still be delivered
   * @throws as tryGet()
   */
  get(options?: WaitOptions): Promise<T> {
    if (options !== undefined || this.#messages.any || this.#closed) return this.#getLater(options);
    try {
      const value = this.#get();
      return value === NOT_YET ? this.#getLater(options) : settled(value);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** get() that blocks the thread. */
  getSync(options?: SyncWaitOptions): T {
    if (options === undefined && !this.#messages.any && !this.#closed) {
      const value = this.#get();
      if (value !== NOT_YET) return value;
    }
    return this.#waitSync(this.#messages, 'getSync', options, () => this.#get());
  }

  /** @internal */
  get [readiness](): Readiness {
    const isReady = () => this.size > 0 || (this.#body.hasEnded && this.#message.peerGone(1) !== undefined);
    const attempt = () => (isReady() ? undefined : NOT_YET);
    return {
      isReady,
      whenReady: (signal) => this.#wait<void>(this.#messages, 'wait', { signal }, attempt),
      blockUntilReady: (timeoutMs) => this.#waitSync<void>(this.#messages, 'waitSync', { timeoutMs }, attempt),
    };
  }

  /**
   * Takes the next value until it is acked. If it is nacked, or this process dies, it is delivered again. A lease that the
   * program forgets is nacked when it is collected.
   * Progress: lock-free.
   * @returns `null` when there is none
   */
  tryTake(): QueueLease<T> | null {
    this.#checkOpen();
    return this.#messages.any ? null : this.#take();
  }

  /** tryTake() as soon as there is a value; errors as of get(). */
  take(options?: WaitOptions): Promise<QueueLease<T>> {
    return this.#wait(this.#messages, 'take', options, () => this.#take() ?? NOT_YET);
  }

  /** take() that blocks the thread. */
  takeSync(options?: SyncWaitOptions): QueueLease<T> {
    return this.#waitSync(this.#messages, 'takeSync', options, () => this.#take() ?? NOT_YET);
  }

  /** Leases until the end. Leaving the loop early nacks the last one, unless it was acked or nacked. */
  async *leases(): AsyncGenerator<QueueLease<T>, void, undefined> {
    for (;;) {
      let lease: QueueLease<T>;
      try {
        lease = await this.take();
      } catch (error) {
        if (error instanceof EndOfStreamError) return;
        throw error;
      }
      let left = true;
      try {
        yield lease;
        left = false;
      } finally {
        if (left) lease[Symbol.dispose]();
      }
    }
  }

  /** Values until the end. Leaving the loop early leaves the queue open. */
  [Symbol.asyncIterator](): AsyncIterableIterator<T, undefined, undefined> {
    // No generator: that would take as long again as all the rest.
    let left = false;
    return {
      next: () => {
        if (left) return Promise.resolve(DONE);
        if (this.#messages.any || this.#closed) return this.#nextLater();
        try {
          const value = this.#get();
          return value === NOT_YET ? this.#nextLater() : settled({ done: false, value });
        } catch (error) {
          return Promise.reject(error);
        }
      },
      return: () => {
        left = true;
        return Promise.resolve(DONE);
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  /**
   * One of the values that this handle has got is done. For those that were taken, ack() says so.
   * @throws {RingwayError} `ERR_RINGWAY_STATE` if it has got none that is not done
   */
  taskDone(): void {
    this.#checkOpen();
    if (this.#body.unfinished.remove()) return;
    throw new RingwayError(
      `taskDone() was called more often than this handle of ${this.#segment.label} has got values`,
      'ERR_RINGWAY_STATE',
    );
  }

  /**
   * Waits until all that was put is done: got by somebody who called taskDone() for it, or acked. What a process had got that
   * died or closed its handle counts as done; what it had taken is delivered again.
   * @throws {TimeoutError} after `timeoutMs`
   */
  joined(options?: WaitOptions): Promise<void> {
    return this.#wait<void>(this.#allDone, 'joined', options, () => this.#isDone());
  }

  /** joined() that blocks the thread. */
  joinedSync(options?: SyncWaitOptions): void {
    this.#waitSync<void>(this.#allDone, 'joinedSync', options, () => this.#isDone());
  }

  /**
   * No more puts, by anybody: they fail with `EPIPE`. Consumers get what is queued, then the end. It comes when nothing is
   * left that could be delivered: also nothing that others have taken and might nack or die with; but one that holds a lease
   * itself is not made to wait for theirs. Idempotent.
   */
  end(): void {
    this.#checkOpen();
    this.#body.end();
  }

  /**
   * Gives up this handle: its leases are nacked, what waits is rejected with ClosedError, what it has got and not reported done
   * counts as done, and its `sender` is closed. The queue stays, if it has a name or others hold it. Idempotent.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    collected.unregister(this);
    const message = `${this.#segment.label} was closed`;
    this.#putting.close(message);
    this.#messages.close(message);
    this.#allDone.close(message);
    for (const loan of this.#loans) {
      loan.ended = 'closed';
      giveBack(loan);
    }
    this.#loans.clear();
    this.#body.unfinished.drop();
    this.#sender?.close();
    this.#segment.close();
  }

  /** A pending operation keeps the process alive: the default. */
  ref(): this {
    this.#putting.referenced = this.#messages.referenced = this.#allDone.referenced = true;
    return this;
  }

  /** Lets the process end though an operation is pending. */
  unref(): this {
    this.#putting.referenced = this.#messages.referenced = this.#allDone.referenced = false;
    return this;
  }

  #get(): T | typeof NOT_YET {
    const body = this.#body;
    const slot = body.slots.take();
    if (slot < 0) return NOT_YET;
    let isRead = false;
    try {
      const value = body.read(slot) as T;
      isRead = true;
      return value;
    } finally {
      // Closed meanwhile by a codec of the user's: close() has given everything back.
      if (!this.#segment.closed) {
        if (isRead) body.unfinished.add();
        body.free(slot);
        if (!isRead) body.unfinished.tell();
      }
    }
  }

  #getLater(options: WaitOptions | undefined): Promise<T> {
    return this.#wait(this.#messages, 'get', options, () => this.#get());
  }

  async #nextLater(): Promise<IteratorResult<T, undefined>> {
    try {
      return { done: false, value: await this.#getLater(undefined) };
    } catch (error) {
      if (error instanceof EndOfStreamError) return DONE;
      throw error;
    }
  }

  #take(): QueueLease<T> | null {
    const slot = this.#body.slots.take();
    if (slot < 0) return null;
    const loan = new Loan(this.#body, slot);
    const lease = new QueueLease<T>(loan, this.#endLoan);
    this.#loans.add(loan);
    forgotten.register(lease, { loan, loans: this.#loans }, loan);
    return lease;
  }

  #endLease(loan: Loan, done: boolean): void {
    this.#loans.delete(loan);
    // Or the registry would remember each in a program that never returns to the event loop.
    forgotten.unregister(loan);
    if (done) {
      this.#body.free(loan.slot);
      this.#body.unfinished.tell();
    } else {
      this.#body.giveBack(loan.slot);
    }
  }

  #isDone(): undefined | typeof NOT_YET {
    return this.#body.unfinished.isEmpty ? undefined : NOT_YET;
  }

  #checkOpen(): void {
    if (this.#closed) throw this.#closedError();
  }

  #closedError(): ClosedError {
    return new ClosedError(`${this.#segment.label} is closed`);
  }

  #wait<Result>(
    line: WaitingLine,
    what: string,
    options: WaitOptions | undefined,
    attempt: () => Result | typeof NOT_YET,
  ): Promise<Result> {
    try {
      if (options !== undefined) checkWaitOptions(options);
      this.#checkOpen();
    } catch (error) {
      return Promise.reject(error);
    }
    return line.async(what, options, attempt);
  }

  #waitSync<Result>(
    line: WaitingLine,
    what: string,
    options: SyncWaitOptions | undefined,
    attempt: () => Result | typeof NOT_YET,
  ): Result {
    if (options !== undefined) checkWaitOptions(options);
    this.#checkOpen();
    return line.sync(what, options, attempt);
  }
}

function create(options: QueueOptions): QueueBody {
  const checked = checkQueueOptions(options);
  const segment = createSegment(
    Constants.kindQueue,
    queueByteLength(checked),
    checked.shared,
    (made) => formatQueue(made, checked),
    checked.codec.name,
    checked.capacity,
  );
  return makeOver(segment, () => new QueueBody(segment, options.codec));
}

// Leases that the program has lost: a live process's are nobody else's to give back.
const forgotten = new FinalizationRegistry<{ loan: Loan; loans: Set<Loan> }>(({ loan, loans }) => {
  if (!loans.delete(loan) || loan.body.segment.closed) return;
  giveBack(loan);
});

// Where nobody is left to be told that the queue is corrupt: the next one who uses it is.
function giveBack({ body, slot }: Loan): void {
  if (body.segment.closed) return;
  try {
    body.giveBack(slot);
    body.slots.tellOfEnd();
  } catch (error) {
    if (!(error instanceof CorruptSegmentError)) throw error;
  }
}

// The addon gives back what a collected queue held; between threads this does.
const collected = closesWhenCollected<{ segment: Segment; body: QueueBody }>(({ segment, body }) => {
  if (segment.closed) return;
  body.unfinished.drop();
  body.producers.remove();
});
