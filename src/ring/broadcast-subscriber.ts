// The reading end of a broadcast ring. The rules (V) are those of docs/BROADCAST.md.

import { EndOfStreamError, PeerDiedError } from '../errors.js';
import { EndCounters, EventCountWords, RoleWords, SubscriberEntry } from '../layout.js';
import { notify, prepareSleep } from '../memory/event-count.js';
import type { Segment } from '../memory/segment.js';
import type { WaitMode } from '../wait/adaptive-spin.js';
import { NOT_YET, type NotYet } from '../wait/condition.js';
import { type Readiness, readiness, readinessOf } from '../wait/readiness.js';
import {
  activateSubscriber,
  diedPid,
  howPublishersWent,
  isOwn,
  leaveSubscriber,
  membersOf,
  settleMember,
} from './broadcast-members.js';
import { type BroadcastSlots, LAPPED, NOTHING } from './broadcast-slots.js';
import { checkHandled, checkHandler, checkLimit, type DrainHandler, readInPlace } from './in-place.js';
import { EndState, RingEnd, type RingWaitOptions, type SyncRingWaitOptions } from './ring-end.js';
import { DEBUG_VIEWS, detach, Loan, Peek, type Peeker } from './views.js';

export interface SubscriberOptions {
  /** Where to start: behind the last message there is (default), or at the oldest that is still there. */
  from?: 'latest' | 'oldest';
}

/** Attempts to read a message whole before it is overwritten, after which a try says that there is none. */
const MOST_LAPS = 64;

/** Longest message that a drain with `onSlow: 'overwrite'` copies without allocating. */
const MOST_LOOPED_BYTES = 256;

/** A reading end, which sees every message from where it starts. */
export class BroadcastSubscriber extends RingEnd implements AsyncIterable<Uint8Array> {
  /** @internal */ readonly sequence: number;
  /** @internal */ readonly role: number;
  /** @internal */ readonly counters: number;
  readonly #slots: BroadcastSlots;
  readonly #number: number;
  readonly #cursor: number; // Index of our cursor's word.
  readonly #freedAsleep: number;
  #state: number = EndState.free;
  #position: number; // Of the next message to read.
  #laps: number; // How often positions have wrapped there.
  #shared: number; // What the cursor says.
  // The message that #next() found: where its payload starts, how long it is.
  #offset = 0;
  #length = 0;
  #missed = 0;
  #peek: BroadcastPeek | undefined;
  readonly #peeker: Peeker;
  #scratch: Scratch | undefined;
  // What the next sleep turns on: whether the last publisher was on its way out when we looked before we announced
  // ourselves, and whether there are publishers since then.
  #mayEnd = false;
  #announced = false;
  #hasPublishers = false;

  /** @internal `number` is that of an entry that is joining. */
  constructor(ring: object, slots: BroadcastSlots, mode: WaitMode, number: number, from: 'latest' | 'oldest') {
    super(ring, slots.segment, mode, 'subscriber');
    const { words, doubles } = slots.segment;
    const { slots: capacity } = slots.shape;
    this.#slots = slots;
    this.#number = number;
    const entry = slots.subscriberAt(this.#number);
    this.sequence = slots.published + EventCountWords.sequence;
    this.role = slots.publishing + RoleWords.word;
    this.counters = entry + SubscriberEntry.counters;
    this.#cursor = (entry + SubscriberEntry.cursor) >> 2;
    this.#freedAsleep = (slots.freed + EventCountWords.asleep) >> 2;
    doubles[(entry + SubscriberEntry.missed) >> 3] = 0;
    // G. Not above what we shall read; where that is is known when publishers know of us.
    Atomics.store(words, this.#cursor, (slots.tail - capacity) | 0);
    activateSubscriber(slots, this.#number);
    const end = slots.lookBack(0);
    const ever = end.laps * 2 ** 32 + (end.position >>> 0);
    const back = from === 'oldest' ? Math.max(0, Math.min(capacity, ever)) : 0;
    this.#position = (end.position - back) | 0;
    this.#laps = end.position >>> 0 < back ? end.laps - 1 : end.laps;
    this.#shared = this.#position;
    Atomics.store(words, this.#cursor, this.#position);
    notify(this.segment, slots.freed); // Who looked in between saw us further behind.
    this.#peeker = { releasePeek: () => this.#releasePeek() };
  }

  /**
   * Copies the next message out.
   * Progress: wait-free with `onSlow: 'block'`, but for a system call if a publisher sleeps. With `'overwrite'` messages
   * that were overwritten, before or while they were copied, are counted in `missed`; what is returned is whole.
   * @returns shape [0 .. slotByteLength], or `null` when there is none
   * @throws {CorruptSegmentError} if what is there cannot be a message
   */
  tryRead(): Uint8Array | null {
    if (this.#state !== EndState.free) this.refuse(this.#state);
    for (let lap = 0; lap < MOST_LAPS && this.#next(); lap++) {
      const message = this.segment.bytes.slice(this.#offset, this.#offset + this.#length);
      if (!this.#isWhole()) {
        this.#resume();
        continue;
      }
      this.#advance();
      this.#countRead();
      this.#share();
      return message;
    }
    return null;
  }

  /**
   * The next message, copied out as soon as there is one.
   * @throws {TimeoutError} after `timeoutMs`; nothing was consumed
   * @throws {EndOfStreamError} when all was read and the last publisher was closed
   * @throws {PeerDiedError} when all was read and the last publisher's process died
   */
  read(options?: RingWaitOptions): Promise<Uint8Array> {
    return this.waitAsync('read', options, () => this.tryRead() ?? NOT_YET);
  }

  /** read() that blocks the thread. */
  readSync(options?: SyncRingWaitOptions): Uint8Array {
    return this.waitSync('readSync', options, (): Uint8Array | NotYet => this.tryRead() ?? NOT_YET);
  }

  /**
   * Copies up to `limit` messages out.
   * @returns those that were there, in order
   */
  tryReadMany(limit: number): Uint8Array[] {
    checkLimit(limit);
    const messages: Uint8Array[] = [];
    while (messages.length < limit) {
      const message = this.tryRead();
      if (message === null) break;
      messages.push(message);
    }
    return messages;
  }

  /**
   * Hands the messages that are there to `handler`, without allocating. With `onSlow: 'block'` in place: their room goes
   * back when a quarter of the ring was read, and at the end. With `'overwrite'` out of a private copy, since publishers
   * do not wait: a handler never sees a torn message. There messages of more than 256 bytes allocate a view each.
   * @param limit - how many at most
   * @returns how many were read
   * @throws what the handler throws; its message and those after it stay
   * @throws {TypeError} if the handler returns a promise: it would read memory that is not its own any more
   */
  drain(handler: DrainHandler, limit = Infinity): number {
    if (this.#state !== EndState.free) this.refuse(this.#state);
    checkHandler(handler);
    checkLimit(limit);
    const quarter = this.#slots.shape.slots >> 2;
    let read = 0;
    let laps = 0;
    this.#state = EndState.borrowed;
    try {
      while (read < limit && this.#next()) {
        if (this.#slots.blocks) readInPlace(this.segment, this.#offset, this.#length, handler);
        else if (this.#copyWhole()) this.#handleCopy(handler);
        else {
          this.#resume();
          if (++laps < MOST_LAPS) continue;
          break;
        }
        if (this.closed) return read; // By the handler.
        this.#advance();
        this.#countRead();
        read++;
        if (((this.#position - this.#shared) | 0) > quarter) this.#share();
      }
    } finally {
      if (!this.closed) {
        this.#state = EndState.free;
        this.#share();
      }
    }
    return read;
  }

  /**
   * The next message in place. One peek at a time. With `onSlow: 'block'` it keeps its room until it is released; with
   * `'overwrite'` it does not: `stillValid` says whether what was read of it counts.
   * @returns `null` when there is none
   * @throws {CorruptSegmentError} if what is there cannot be a message
   */
  tryPeek(): BroadcastPeek | null {
    if (!this.#isReady()) return null;
    const loan = new Loan(this.segment, this.#offset, this.#length);
    this.#peek = new BroadcastPeek(this.#peeker, loan, () => this.#isWhole());
    this.#state = EndState.borrowed;
    return this.#peek;
  }

  /** tryPeek() as soon as there is a message; errors as of read(). */
  peek(options?: RingWaitOptions): Promise<BroadcastPeek> {
    return this.waitAsync('peek', options, () => this.tryPeek() ?? NOT_YET);
  }

  /** peek() that blocks the thread. */
  peekSync(options?: SyncRingWaitOptions): BroadcastPeek {
    return this.waitSync('peekSync', options, (): BroadcastPeek | NotYet => this.tryPeek() ?? NOT_YET);
  }

  /** Waits until there is a message; takes nothing. Errors as of read(). */
  ready(options?: RingWaitOptions): Promise<void> {
    return this.waitAsync<void>('ready', options, () => (this.#isReady() ? undefined : NOT_YET));
  }

  /** @internal */
  get [readiness](): Readiness {
    return readinessOf(this);
  }

  /** @internal Whether ready() would not wait. */
  isReady(): boolean {
    this.checkOpen();
    return this.#isReady() || this.ended;
  }

  /** ready() that blocks the thread. */
  readySync(options?: SyncRingWaitOptions): void {
    this.waitSync<void>('readySync', options, () => (this.#isReady() ? undefined : NOT_YET));
  }

  /** Messages that were overwritten before this subscriber got to them. Always 0 with `onSlow: 'block'`. */
  get missed(): number {
    return this.#missed;
  }

  /** True when all was read and the last publisher was closed or died. Asks the kernel if need be. */
  get ended(): boolean {
    this.checkOpen();
    if (this.#state !== EndState.free || this.#next()) return false;
    this.checkPeer();
    return this.peerGone(Atomics.load(this.segment.words, this.role >> 2)) !== undefined && !this.#next();
  }

  /** Messages until the last publisher is closed. Throws PeerDiedError when its process died. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      let message: Uint8Array;
      try {
        message = await this.read();
      } catch (error) {
        if (error instanceof EndOfStreamError) return;
        throw error;
      }
      yield message;
    }
  }

  /** @internal The cell that the next message comes to. */
  get watched(): number {
    return this.#slots.cellAt(this.#position);
  }

  /** @internal */
  hasMoved(watched: number): boolean {
    if (!this.#slots.isBefore(watched, this.#position)) return true;
    if (!this.#announced || !this.#mayEnd || this.#hasPublishers) return false;
    this.#mayEnd = false; // One look more is enough: one who waits for a replacement sleeps after it.
    return true;
  }

  /** @internal */
  prepare(): number {
    const sequence = prepareSleep(this.segment.words, this.#slots.published);
    this.#announced = true;
    this.#hasPublishers = this.#publishers().length > 0; // M: whoever leaves after this look finds us asleep.
    return sequence;
  }

  /** @internal */
  peerGone(word: number): Error | undefined {
    this.#announced = this.#mayEnd = false;
    const how = howPublishersWent(word);
    if (how === undefined) return undefined;
    if (this.#publishers().length > 0) {
      this.#mayEnd = true;
      return undefined;
    }
    // M. One may have come, to an entry that we had passed, before the last one that we looked for left.
    if (Atomics.load(this.segment.words, this.role >> 2) !== word) return undefined;
    const { label } = this.segment;
    if (how === 'closed') {
      return new EndOfStreamError(`the last publisher of ${label} was closed and everything was read`);
    }
    const pid = diedPid(this.#slots);
    return new PeerDiedError(`the last publisher of ${label}, process ${pid}, died`, pid);
  }

  /** @internal */
  peerHeld(): boolean {
    return this.segment.judgesDeath && this.#hasPublishers;
  }

  /** @internal */
  checkPeer(): void {
    this.segment.doubles[(this.counters + EndCounters.livenessChecks) >> 3]++;
    for (const word of this.#publishers()) settleMember(this.#slots, word);
  }

  /** @internal */
  peerIsHere(word: number): boolean {
    const publishers = this.#publishers();
    if (publishers.length === 0 || !publishers.every((publisher) => isOwn(this.#slots, publisher))) return false;
    return Atomics.load(this.segment.words, this.role >> 2) === word; // M, as in peerGone().
  }

  protected override endLoans(): void {
    this.#state = EndState.closed;
    this.#peek?.endByClose();
    this.#peek = undefined;
  }

  protected override leave(): void {
    if (!this.segment.closed) leaveSubscriber(this.#slots, this.#number);
  }

  #publishers(): number[] {
    return Array.from(membersOf(this.#slots, 'publisher'), ({ word }) => word);
  }

  #isReady(): boolean {
    if (this.#state !== EndState.free) this.refuse(this.#state);
    for (let lap = 0; lap < MOST_LAPS && this.#next(); lap++) {
      if (this.#isWhole()) return true;
      this.#resume();
    }
    return false;
  }

  // Finds the message at #position, or the one at which a lapped subscriber goes on.
  #next(): boolean {
    for (let lap = 0; lap < MOST_LAPS; lap++) {
      const slot = this.#slots.find(this.#position, this.#laps);
      if (slot === NOTHING) return false;
      if (slot !== LAPPED) {
        this.#offset = this.#slots.payloadAt(slot);
        this.#length = this.#slots.byteLengthAt(slot);
        return true;
      }
      this.#resume();
    }
    return false;
  }

  // Whether all that was read of the message until now is of it.
  #isWhole(): boolean {
    if (this.#slots.blocks) return true;
    // V. The store of the cursor, though it says nothing new: reads before it are done before displaced() looks.
    Atomics.store(this.segment.words, this.#cursor, this.#shared);
    return !this.#slots.displaced(this.#position);
  }

  // Copies the message to where nobody overwrites it.
  #copyWhole(): boolean {
    this.#scratch ??= new Scratch(this.#slots.shape.slotByteLength);
    this.#scratch.copy(this.segment, this.#offset, this.#length);
    return this.#isWhole();
  }

  #handleCopy(handler: DrainHandler): void {
    const { bytes } = this.#scratch as Scratch;
    try {
      checkHandled(handler(bytes, 0, this.#length));
    } finally {
      if (DEBUG_VIEWS) {
        detach(bytes); // Or a handler that keeps it would find the next message there, unnoticed.
        this.#scratch = undefined;
      }
    }
  }

  // Half a ring behind the publishers, so that we are not lapped again at once. What lies between is missed.
  #resume(): void {
    if (this.#slots.blocks) throw this.#slots.corrupt(`message ${this.#position >>> 0} was overwritten unread`);
    const { position, laps } = this.#slots.lookBack(this.#slots.shape.slots >> 1);
    const missed = (laps - this.#laps) * 2 ** 32 + (position >>> 0) - (this.#position >>> 0);
    if (missed <= 0) throw this.#slots.corrupt(`message ${position >>> 0} comes after ${this.#position >>> 0}`);
    this.#position = position;
    this.#laps = laps;
    this.#countMissed(missed);
    this.#share();
  }

  #countMissed(messages: number): void {
    this.#missed += messages;
    this.segment.doubles[(this.#slots.subscriberAt(this.#number) + SubscriberEntry.missed) >> 3] = this.#missed;
  }

  // Done with the message that #next() found; publishers are not told yet.
  #advance(): void {
    this.#position = (this.#position + 1) | 0;
    if (this.#position === 0) this.#laps = (this.#laps + 1) | 0;
  }

  #countRead(): void {
    this.segment.doubles[(this.counters + EndCounters.records) >> 3]++;
  }

  // Tells publishers how far we are.
  #share(): void {
    const from = this.#shared;
    if (from === this.#position) return;
    this.#shared = this.#position;
    Atomics.store(this.segment.words, this.#cursor, this.#position); // G: we are done with what is below.
    if (!this.#slots.blocks || Atomics.load(this.segment.words, this.#freedAsleep) === 0) return; // event_count.hpp, A.
    // A publisher that sleeps since before this has a tail that we see, and was held up by us or by somebody else.
    if (((this.#slots.tail - from) | 0) >= this.#slots.shape.slots) notify(this.segment, this.#slots.freed);
  }

  #releasePeek(): void {
    const whole = this.#peek?.wasWhole === true || this.#isWhole();
    this.#peek = undefined;
    this.#state = EndState.free;
    this.#advance();
    if (whole) this.#countRead();
    else this.#countMissed(1);
    this.#share();
  }
}

// Private memory for one message.
class Scratch {
  readonly bytes: Uint8Array;
  readonly #words: Int32Array;

  constructor(byteLength: number) {
    this.#words = new Int32Array(Math.ceil(byteLength / 4));
    this.bytes = new Uint8Array(this.#words.buffer, 0, byteLength);
  }

  /** @param offset - a multiple of 4 */
  copy({ words, bytes }: Segment, offset: number, byteLength: number): void {
    // Above this a call is quicker than a loop, though it needs a view.
    if (byteLength > MOST_LOOPED_BYTES) {
      this.bytes.set(bytes.subarray(offset, offset + byteLength));
      return;
    }
    const from = offset >> 2;
    const count = (byteLength + 3) >> 2;
    for (let i = 0; i < count; i++) this.#words[i] = words[from + i] as number;
  }
}

/** One message in place. */
export class BroadcastPeek extends Peek {
  readonly #isWhole: () => boolean;
  /** @internal Somebody was told that it was, and may count on what was read until then. */
  wasWhole = false;

  /** @internal */
  constructor(peeker: Peeker, loan: Loan, isWhole: () => boolean) {
    super(peeker, loan);
    this.#isWhole = isWhole;
  }

  /**
   * Whether all that was read of the message until now is of it, and not of one that came later. Ask after reading. Once it
   * was true, the message is not counted in `missed`.
   * @throws {ClosedError} after release or the ring's close
   */
  get stillValid(): boolean {
    this.checkView();
    const whole = this.#isWhole();
    if (whole) this.wasWhole = true;
    return whole;
  }
}
