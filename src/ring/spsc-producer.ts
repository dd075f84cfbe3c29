// The writing end of an SPSC ring; twin of SpscProducer in native/include/ringway/spsc_ring.hpp, with the same sync
// points: A "records are filled", B "bytes are free". Atomics are sequentially consistent.

import { MessageSizeError } from '../errors.js';
import { Constants, EndCounters, RecordHeader, SpscHeader } from '../layout.js';
import { describe } from '../memory/names.js';
import { checkInteger } from '../memory/shared-object.js';
import { NOT_YET, type NotYet } from '../wait/condition.js';
import { checkByteLength, checkWriter, type Writer, writeInPlace } from './in-place.js';
import { loadPosition, movePosition } from './position.js';
import { checkBytes } from './record-bytes.js';
import { EndState, type RingWaitOptions, type SyncRingWaitOptions } from './ring-end.js';
import { brokenPipe, type Giver, SpscEnd, type SpscLayout } from './spsc-end.js';
import { Claim, type Claimer, Loan } from './views.js';

/** The writing end. One process or thread holds it at a time. */
export class SpscProducer extends SpscEnd {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #doubles: Float64Array;
  readonly #capacity: number;
  readonly #mask: number;
  readonly #alignmentMask: number;
  readonly #maxByteLength: number;
  readonly #data: number; // Offset of the data from the segment's start, in bytes.
  readonly #tailIndex: number;
  readonly #headIndex: number;
  readonly #pushedIndex: number;
  #state: number = EndState.free;
  #tail: number; // Ours alone: what was published, or is about to be.
  #head: number; // Last seen. Stale only under-reports free room.
  #wanted = 0; // The head at which the last refused record fits.
  #claim: Claim | undefined;
  #claimAt = 0;
  readonly #claimer: Claimer;

  /** @internal Takes the role. */
  constructor(ring: object, layout: SpscLayout, from?: Giver) {
    const { segment } = layout;
    const { bodyOffset } = segment;
    super(ring, layout, {
      mine: layout.producer,
      peer: layout.consumer,
      watched: bodyOffset + SpscHeader.head,
      bell: layout.freed,
      counters: bodyOffset + SpscHeader.producerCounters,
      from,
    });
    this.#words = segment.words;
    this.#bytes = segment.bytes;
    this.#doubles = segment.doubles;
    this.#capacity = layout.capacity;
    this.#mask = layout.capacity - 1;
    this.#alignmentMask = layout.alignment - 1;
    this.#maxByteLength = layout.maxRecordByteLength;
    this.#data = layout.data;
    this.#tailIndex = (bodyOffset + SpscHeader.tail) >> 2;
    this.#headIndex = (bodyOffset + SpscHeader.head) >> 2;
    this.#pushedIndex = (this.counters + EndCounters.records) >> 3;
    // With our predecessor's last store: we go on where it stopped.
    this.#tail = loadPosition(this.#words, this.#tailIndex);
    this.#head = loadPosition(this.#words, this.#headIndex);
    this.checkPositions(this.#head, this.#tail);
    this.#claimer = { commitClaim: (_, byteLength) => this.#commit(byteLength), abortClaim: () => this.#endClaim() };
  }

  /**
   * Copies one record into the ring.
   * Progress: wait-free, but for a system call if the consumer sleeps. If the process dies inside, nothing is seen.
   * @param record - shape [0 .. maxRecordByteLength], any bytes
   * @returns `false` when there is no room
   * @throws {MessageSizeError} if it is longer than `maxRecordByteLength`
   * @see Rigtorp, SPSCQueue README, "Implementation" (the cached peer position)
   */
  tryPush(record: Uint8Array): boolean {
    if (this.#state !== EndState.free) this.refuse(this.#state);
    checkBytes(record);
    const byteLength = record.length;
    const at = this.#reserve(this.#tail, byteLength);
    if (at === NO_ROOM) return false;
    if (byteLength > 0) this.#bytes.set(record, this.#payloadOffset(at));
    this.#publish(this.#append(this.#tail, at, byteLength), 1);
    return true;
  }

  /**
   * Copies one record into the ring as soon as there is room.
   * @param record - shape [0 .. maxRecordByteLength]; read when there is room, so leave it alone until then
   * @throws {TimeoutError} after `timeoutMs`
   * @throws {PeerDiedError} when there is no room and the consumer's process died
   * @throws {RingwayError} `EPIPE` when there is no room and the consumer was closed
   */
  push(record: Uint8Array, options?: RingWaitOptions): Promise<void> {
    return this.waitAsync<void>('push', options, () => (this.tryPush(record) ? undefined : NOT_YET));
  }

  /** push() that blocks the thread. */
  pushSync(record: Uint8Array, options?: SyncRingWaitOptions): void {
    this.waitSync<void>('pushSync', options, () => (this.tryPush(record) ? undefined : NOT_YET));
  }

  /**
   * Copies as many records as fit, in order, and publishes them with one store: cheaper than as many pushes.
   * @returns how many were taken, from the start of `records`
   * @throws {MessageSizeError} if the first that was not taken is too long; those before it were not taken either
   */
  tryPushMany(records: readonly Uint8Array[]): number {
    if (this.#state !== EndState.free) this.refuse(this.#state);
    if (!Array.isArray(records))
      throw new TypeError(`records must be an array of Uint8Array, not ${describe(records)}`);
    for (const record of records) {
      checkBytes(record);
      if (record.length > this.#maxByteLength) throw this.#tooLong(record.length);
    }
    let tail = this.#tail;
    let taken = 0;
    for (; taken < records.length; taken++) {
      const record = records[taken];
      const at = this.#reserve(tail, record.length);
      if (at === NO_ROOM) break;
      if (record.length > 0) this.#bytes.set(record, this.#payloadOffset(at));
      tail = this.#append(tail, at, record.length);
    }
    if (taken > 0) this.#publish(tail, taken);
    return taken;
  }

  /**
   * Room for one record, to be written in place. One claim at a time.
   * Progress: wait-free. If the process dies before the commit, the room simply stays free.
   * @param byteLength - 0 to `maxRecordByteLength`; commit() may take less
   * @returns `null` when there is no room
   * @throws {MessageSizeError} if it is more than `maxRecordByteLength`
   */
  tryClaim(byteLength: number): Claim | null {
    if (this.#state !== EndState.free) this.refuse(this.#state);
    checkByteLength(byteLength);
    const at = this.#reserve(this.#tail, byteLength);
    if (at === NO_ROOM) return null;
    this.#claimAt = at;
    this.#claim = new Claim(this.#claimer, new Loan(this.segment, this.#payloadOffset(at), byteLength));
    this.#state = EndState.borrowed;
    return this.#claim;
  }

  /**
   * Lets `writer` write one record in place: tryClaim() and commit() without allocating anything.
   * Progress: wait-free but for the writer, and a system call if the consumer sleeps.
   * @param byteLength - how much room the writer gets, 0 to `maxRecordByteLength`
   * @returns `false` when there is no room; the writer was not called
   * @throws what the writer throws; nothing becomes visible
   * @throws {TypeError} if the writer returns something else than a length or nothing: a promise, say
   * @throws {MessageSizeError} if `byteLength` is more than `maxRecordByteLength`
   */
  tryWrite(byteLength: number, writer: Writer): boolean {
    if (this.#state !== EndState.free) this.refuse(this.#state);
    checkWriter(writer);
    checkByteLength(byteLength);
    const at = this.#reserve(this.#tail, byteLength);
    if (at === NO_ROOM) return false;
    const offset = this.#payloadOffset(at);
    let written = byteLength;
    this.#state = EndState.borrowed;
    try {
      written = writeInPlace(this.segment, offset, byteLength, writer);
    } finally {
      if (!this.closed) this.#state = EndState.free;
    }
    this.checkOpen(); // The writer may have closed us, memory and all.
    this.#publish(this.#append(this.#tail, at, written), 1);
    return true;
  }

  /**
   * tryWrite() for several records, which are published with one store: cheaper than as many calls.
   * @param count - how many at most; the writer is called once for each
   * @param byteLength - how much room each gets, 0 to `maxRecordByteLength`
   * @returns how many were written: fewer than `count` when there is no more room
   * @throws what the writer throws; none of them becomes visible
   * @throws {TypeError} if the writer returns something else than a length or nothing: a promise, say
   * @throws {MessageSizeError} if `byteLength` is more than `maxRecordByteLength`
   */
  tryWriteMany(count: number, byteLength: number, writer: Writer): number {
    if (this.#state !== EndState.free) this.refuse(this.#state);
    if (typeof writer !== 'function') throw new TypeError(`writer must be a function, not ${describe(writer)}`);
    checkInteger('count', count, 0, Number.MAX_SAFE_INTEGER);
    checkByteLength(byteLength);
    let tail = this.#tail;
    let written = 0;
    this.#state = EndState.borrowed;
    try {
      for (; written < count; written++) {
        const at = this.#reserve(tail, byteLength);
        if (at === NO_ROOM) break;
        const length = writeInPlace(this.segment, this.#payloadOffset(at), byteLength, writer);
        this.checkOpen(); // The writer may have closed us, memory and all.
        tail = this.#append(tail, at, length);
      }
    } finally {
      if (!this.closed) this.#state = EndState.free;
    }
    if (written > 0) this.#publish(tail, written);
    return written;
  }

  /** tryWrite() as soon as there is room; the writer is called then. Errors as of push(). */
  write(byteLength: number, writer: Writer, options?: RingWaitOptions): Promise<void> {
    return this.waitAsync<void>('write', options, () => (this.tryWrite(byteLength, writer) ? undefined : NOT_YET));
  }

  /** write() that blocks the thread. */
  writeSync(byteLength: number, writer: Writer, options?: SyncRingWaitOptions): void {
    this.waitSync<void>('writeSync', options, () => (this.tryWrite(byteLength, writer) ? undefined : NOT_YET));
  }

  /** tryClaim() as soon as there is room; errors as of push(). */
  claim(byteLength: number, options?: RingWaitOptions): Promise<Claim> {
    return this.waitAsync('claim', options, () => this.tryClaim(byteLength) ?? NOT_YET);
  }

  /** claim() that blocks the thread. */
  claimSync(byteLength: number, options?: SyncRingWaitOptions): Claim {
    return this.waitSync('claimSync', options, (): Claim | NotYet => this.tryClaim(byteLength) ?? NOT_YET);
  }

  /** @internal */
  hasMoved(watched: number): boolean {
    return (watched & ~Constants.asleepBit) !== this.#head;
  }

  /** @internal What we need is published with our mark: position.hpp, C. */
  override prepare(): number {
    Atomics.store(this.#words, (this.segment.bodyOffset + SpscHeader.wantedHead) >> 2, this.#wanted);
    return super.prepare();
  }

  protected override endLoans(): void {
    this.#state = EndState.closed;
    this.#claim?.endByClose();
    this.#claim = undefined;
  }

  protected override closedPeerError(): Error {
    return brokenPipe(this.segment.label);
  }

  #stride(byteLength: number): number {
    return (byteLength + RecordHeader.payload + this.#alignmentMask) & ~this.#alignmentMask;
  }

  // Where a record goes if it is written behind `tail`: there, or at the start of the next lap. NO_ROOM if it must wait.
  #reserve(tail: number, byteLength: number): number {
    if (byteLength > this.#maxByteLength) throw this.#tooLong(byteLength);
    const stride = this.#stride(byteLength);
    const rest = this.#capacity - (tail & this.#mask);
    const needed = stride <= rest ? stride : rest + stride;
    if (((tail - this.#head) | 0) > this.#capacity - needed) {
      const head = loadPosition(this.#words, this.#headIndex); // B: the consumer is done with the bytes we reuse.
      this.checkPositions(head, tail);
      this.#head = head;
      if (((tail - head) | 0) > this.#capacity - needed) {
        this.#wanted = (tail + needed - this.#capacity) | 0;
        return NO_ROOM;
      }
    }
    return stride <= rest ? tail : (tail + rest) | 0;
  }

  #payloadOffset(at: number): number {
    return this.#data + (at & this.#mask) + RecordHeader.payload;
  }

  // Writes the headers of a record at position `at`, and of the padding before it. The position behind it.
  //
  // Call it after the payload was copied: the copy is a call that waits for the stores before it, and these miss the
  // cache, since the other end has just read the line.
  #append(tail: number, at: number, byteLength: number): number {
    if (at !== tail) this.#writeHeader(tail, 0, Constants.paddingFlag);
    this.#writeHeader(at, byteLength, 0);
    return (at + this.#stride(byteLength)) | 0;
  }

  #writeHeader(at: number, byteLength: number, flags: number): void {
    const index = (this.#data + (at & this.#mask)) >> 2;
    this.#words[index] = byteLength;
    this.#words[index + 1] = flags;
  }

  #publish(tail: number, records: number): void {
    this.#tail = tail;
    this.#doubles[this.#pushedIndex] += records;
    // A: payload before position.
    if (movePosition(this.#words, this.#tailIndex, tail)) this.segment.wake(this.layout.filled);
  }

  #commit(byteLength: number): void {
    const tail = this.#append(this.#tail, this.#claimAt, byteLength);
    this.#endClaim();
    this.#publish(tail, 1);
  }

  #endClaim(): void {
    this.#claim = undefined;
    this.#state = EndState.free;
  }

  #tooLong(byteLength: number): MessageSizeError {
    const limit = this.#maxByteLength;
    return new MessageSizeError(
      `a record of ${byteLength} bytes is longer than the ${limit} that fit into ${this.segment.label} with a ` +
        `capacity of ${this.#capacity}`,
      byteLength,
      limit,
    );
  }
}

// No position: those are multiples of the alignment.
const NO_ROOM = 1;
