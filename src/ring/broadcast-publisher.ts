// The writing end of a broadcast ring. The steps (P1) are those of docs/BROADCAST.md.

import { MessageSizeError } from '../errors.js';
import { EndCounters, EventCountWords, PublisherEntry } from '../layout.js';
import { notify, prepareSleep } from '../memory/event-count.js';
import { describe } from '../memory/names.js';
import { FIRST_SLEEP_MS, type WaitMode } from '../wait/adaptive-spin.js';
import { NOT_YET, type NotYet } from '../wait/condition.js';
import type { SyncWaitOptions, WaitOptions } from '../wait/options.js';
import { isOwn, leavePublisher } from './broadcast-members.js';
import { Room } from './broadcast-room.js';
import type { BroadcastSlots } from './broadcast-slots.js';
import { checkByteLength, checkWriter, type Writer, writeInPlace } from './in-place.js';
import { checkBytes } from './record-bytes.js';
import { EndState, RingEnd } from './ring-end.js';
import { Claim, type Claimer, DEBUG_VIEWS, Loan, poison } from './views.js';

/** A writing end. What it has not published yet is seen by nobody and holds up nobody. */
export class BroadcastPublisher extends RingEnd {
  /** @internal */ readonly sequence: number;
  /** @internal */ readonly role: number;
  /** @internal */ readonly counters: number;
  readonly #slots: BroadcastSlots;
  readonly #room: Room;
  readonly #number: number;
  readonly #asleep: number; // The word that says whether subscribers sleep, as an index.
  readonly #claimer: Claimer;
  #state: number = EndState.free;
  #spare: number; // The word that names the slot which is ours to write in.
  #claim: Claim | undefined;
  #askAt = 0; // When to ask next who lives, for one who never waits.

  /** @internal `number` is that of an entry that is ours. */
  constructor(ring: object, slots: BroadcastSlots, mode: WaitMode, number: number) {
    super(ring, slots.segment, mode, 'publisher');
    this.#slots = slots;
    this.#room = new Room(slots);
    this.#number = number;
    const entry = slots.publisherAt(this.#number);
    this.sequence = slots.freed + EventCountWords.sequence;
    this.role = slots.subscribing;
    this.counters = entry + PublisherEntry.counters;
    this.#asleep = (slots.published + EventCountWords.asleep) >> 2;
    // With the compare-exchange that took the entry: as our predecessor, or who settled it, left it.
    this.#spare = Atomics.load(this.segment.words, (entry + PublisherEntry.spare) >> 2);
    this.#claimer = { commitClaim: (_, byteLength) => this.#commit(byteLength), abortClaim: () => this.#endClaim() };
  }

  /**
   * Copies one message into the ring, for every subscriber.
   * Progress: lock-free, but for a system call if subscribers sleep. If the process dies inside, it was published or not.
   * @param message - shape [0 .. slotByteLength], any bytes
   * @returns `false` when a subscriber is a whole ring behind; never with `onSlow: 'overwrite'`
   * @throws {MessageSizeError} if it is longer than `slotByteLength`
   */
  tryPublish(message: Uint8Array): boolean {
    if (this.#state !== EndState.free) this.refuse(this.#state);
    this.#check(message);
    if (!this.#hasRoom()) return false;
    this.#put(message);
    this.#tell();
    return true;
  }

  /**
   * Copies one message into the ring as soon as there is room.
   * @param message - shape [0 .. slotByteLength]; read when there is room, so leave it alone until then
   * @throws {TimeoutError} after `timeoutMs`
   */
  publish(message: Uint8Array, options?: WaitOptions): Promise<void> {
    return this.waitAsync<void>('publish', options, () => (this.tryPublish(message) ? undefined : NOT_YET));
  }

  /** publish() that blocks the thread. */
  publishSync(message: Uint8Array, options?: SyncWaitOptions): void {
    this.waitSync<void>('publishSync', options, () => (this.tryPublish(message) ? undefined : NOT_YET));
  }

  /**
   * Copies as many messages as there is room for, in order, and tells sleepers once; others' may come in between.
   * @returns how many were taken, from the start of `messages`
   * @throws {MessageSizeError} if one is too long; none was taken
   */
  tryPublishMany(messages: readonly Uint8Array[]): number {
    if (this.#state !== EndState.free) this.refuse(this.#state);
    if (!Array.isArray(messages)) {
      throw new TypeError(`messages must be an array of Uint8Array, not ${describe(messages)}`);
    }
    for (const message of messages) this.#check(message);
    let taken = 0;
    try {
      for (; taken < messages.length && this.#hasRoom(); taken++) this.#put(messages[taken]);
    } finally {
      if (taken > 0) this.#tell();
    }
    return taken;
  }

  /**
   * A slot to write one message in, in place. One claim at a time. Its place in the order is that of commit().
   * @param byteLength - 0 to `slotByteLength`, which is the default; commit() may take less
   * @returns `null` when a subscriber is a whole ring behind
   * @throws {MessageSizeError} if it is more than `slotByteLength`
   */
  tryClaim(byteLength: number = this.#slots.shape.slotByteLength): Claim | null {
    if (this.#state !== EndState.free) this.refuse(this.#state);
    this.#checkByteLength(byteLength);
    if (!this.#hasRoom()) return null;
    this.#claim = new Claim(this.#claimer, new Loan(this.segment, this.#slots.payloadOf(this.#spare), byteLength));
    this.#state = EndState.borrowed;
    return this.#claim;
  }

  /** tryClaim() as soon as there is room; errors as of publish(). */
  claim(byteLength?: number, options?: WaitOptions): Promise<Claim> {
    return this.waitAsync('claim', options, () => this.tryClaim(byteLength) ?? NOT_YET);
  }

  /** claim() that blocks the thread. */
  claimSync(byteLength?: number, options?: SyncWaitOptions): Claim {
    return this.waitSync('claimSync', options, (): Claim | NotYet => this.tryClaim(byteLength) ?? NOT_YET);
  }

  /**
   * Lets `writer` write one message in place, without allocating.
   * @param byteLength - room for the writer, at most `slotByteLength`
   * @returns `false` when a subscriber is a whole ring behind; the writer was not called
   * @throws what the writer throws; nothing becomes visible
   * @throws {TypeError} if the writer returns something else than a length or nothing: a promise, say
   * @throws {MessageSizeError} if `byteLength` is more than `slotByteLength`
   */
  tryWrite(byteLength: number, writer: Writer): boolean {
    if (this.#state !== EndState.free) this.refuse(this.#state);
    checkWriter(writer);
    this.#checkByteLength(byteLength);
    if (!this.#hasRoom()) return false;
    let written = byteLength;
    this.#state = EndState.borrowed;
    try {
      written = writeInPlace(this.segment, this.#slots.payloadOf(this.#spare), byteLength, writer);
    } finally {
      if (!this.closed) this.#state = EndState.free;
    }
    this.checkOpen(); // The writer may have closed us, memory and all.
    this.#publish(written);
    this.#tell();
    return true;
  }

  /** tryWrite() as soon as there is room; the writer is called then. Errors as of publish(). */
  write(byteLength: number, writer: Writer, options?: WaitOptions): Promise<void> {
    return this.waitAsync<void>('write', options, () => (this.tryWrite(byteLength, writer) ? undefined : NOT_YET));
  }

  /** write() that blocks the thread. */
  writeSync(byteLength: number, writer: Writer, options?: SyncWaitOptions): void {
    this.waitSync<void>('writeSync', options, () => (this.tryWrite(byteLength, writer) ? undefined : NOT_YET));
  }

  /** @internal */
  get watched(): number {
    return this.#room.watched;
  }

  /** @internal */
  hasMoved(watched: number): boolean {
    return this.#room.hasMoved(watched);
  }

  /** @internal */
  prepare(): number {
    return prepareSleep(this.segment.words, this.#slots.freed);
  }

  /** @internal Without subscribers there is room. */
  peerGone(): undefined {}

  /** @internal */
  peerHeld(): boolean {
    return this.segment.judgesDeath;
  }

  /** @internal */
  checkPeer(): void {
    this.segment.doubles[(this.counters + EndCounters.livenessChecks) >> 3]++;
    this.#room.evictTheDead();
  }

  /** @internal */
  peerIsHere(): boolean {
    for (const word of this.#room.blockers()) if (isOwn(this.#slots, word)) return true;
    return false;
  }

  protected override endLoans(): void {
    this.#state = EndState.closed;
    this.#claim?.endByClose();
    this.#claim = undefined;
  }

  protected override leave(): void {
    if (!this.segment.closed) leavePublisher(this.#slots, this.#number);
  }

  // P3. What our spare held was read, so we may write there; publishing displaces a message, but writes nowhere else.
  #hasRoom(): boolean {
    if (!this.#slots.blocks) return true;
    const hasRoom = this.#readersLeaveRoom();
    // Not before: while it waits, the message that our spare held may still be read.
    if (DEBUG_VIEWS && hasRoom) this.#poisonSpare();
    return hasRoom;
  }

  #readersLeaveRoom(): boolean {
    if (this.#room.isThere()) return true;
    if (!this.segment.judgesDeath) return false;
    // Who only ever tries would be held up by the dead for ever.
    const now = performance.now();
    if (now < this.#askAt) return false;
    this.#askAt = now + FIRST_SLEEP_MS;
    this.checkPeer();
    return this.#room.isThere();
  }

  // P1 to P7.
  #put(message: Uint8Array): void {
    if (message.length > 0) this.segment.bytes.set(message, this.#slots.payloadOf(this.#spare));
    this.#publish(message.length);
  }

  #publish(byteLength: number): void {
    this.#spare = this.#slots.publish(this.#number, this.#spare, byteLength);
    this.segment.doubles[(this.counters + EndCounters.records) >> 3]++;
    if (DEBUG_VIEWS && !this.#slots.blocks) this.#poisonSpare();
  }

  #poisonSpare(): void {
    poison(this.segment, this.#slots.payloadOf(this.#spare), this.#slots.shape.slotByteLength);
  }

  #tell(): void {
    if (Atomics.load(this.segment.words, this.#asleep) !== 0) notify(this.segment, this.#slots.published); // event_count.hpp, A.
  }

  #commit(byteLength: number): void {
    this.#endClaim();
    this.#publish(byteLength);
    this.#tell();
  }

  #endClaim(): void {
    this.#claim = undefined;
    this.#state = EndState.free;
  }

  #check(message: Uint8Array): void {
    checkBytes(message);
    if (message.length > this.#slots.shape.slotByteLength) throw this.#tooLong(message.length);
  }

  #checkByteLength(byteLength: number): void {
    checkByteLength(byteLength);
    if (byteLength > this.#slots.shape.slotByteLength) throw this.#tooLong(byteLength);
  }

  #tooLong(byteLength: number): MessageSizeError {
    const limit = this.#slots.shape.slotByteLength;
    return new MessageSizeError(
      `${byteLength} bytes do not fit into a slot of ${limit}: create the ring with a larger slotByteLength`,
      byteLength,
      limit,
    );
  }
}
