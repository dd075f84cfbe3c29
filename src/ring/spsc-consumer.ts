// The reading end of an SPSC ring; twin of SpscConsumer in native/include/ringway/spsc_ring.hpp, with the same sync
// points: A "records are filled", B "bytes are free". Atomics are sequentially consistent.

import { EndOfStreamError } from '../errors.js';
import { Constants, EndCounters, RecordHeader, SpscHeader } from '../layout.js';
import { NOT_YET, type NotYet } from '../wait/condition.js';
import { type Readiness, readiness, readinessOf } from '../wait/readiness.js';
import { checkHandler, checkLimit, type DrainHandler, readInPlace } from './in-place.js';
import { loadPosition, markAgain, movePosition } from './position.js';
import { EndState, type RingWaitOptions, type SyncRingWaitOptions } from './ring-end.js';
import { endOfStream, type Giver, SpscEnd, type SpscLayout } from './spsc-end.js';
import { DEBUG_VIEWS, Loan, Peek, type Peeker, poison } from './views.js';

/** The reading end. One process or thread holds it at a time. */
export class SpscConsumer extends SpscEnd implements AsyncIterable<Uint8Array> {
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
  readonly #wantedIndex: number;
  readonly #poppedIndex: number;
  #state: number = EndState.free;
  #head: number; // Ours alone: behind what was read.
  #released: number; // What the producer knows of it.
  #unreleased = 0; // Records between the two.
  #tail: number; // Last seen. Stale only under-reports what is there.
  // The record that #next() found: where its payload starts, how long it is, and the position behind it.
  #recordOffset = 0;
  #recordLength = 0;
  #behind = 0;
  #peek: Peek | undefined;
  readonly #peeker: Peeker;

  /** @internal Takes the role. */
  constructor(ring: object, layout: SpscLayout, from?: Giver) {
    const { segment } = layout;
    const { bodyOffset } = segment;
    super(ring, layout, {
      mine: layout.consumer,
      peer: layout.producer,
      watched: bodyOffset + SpscHeader.tail,
      bell: layout.filled,
      counters: bodyOffset + SpscHeader.consumerCounters,
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
    this.#wantedIndex = (bodyOffset + SpscHeader.wantedHead) >> 2;
    this.#poppedIndex = (this.counters + EndCounters.records) >> 3;
    // With our predecessor's last store: the record it was reading comes again.
    this.#head = loadPosition(this.#words, this.#headIndex);
    this.#tail = this.#released = this.#head;
    this.checkPositions(this.#head, loadPosition(this.#words, this.#tailIndex));
    this.#peeker = { releasePeek: () => this.#releasePeek() };
  }

  /**
   * Copies the next record out.
   * Progress: wait-free, but for a system call if the producer sleeps.
   * @returns shape [0 .. maxRecordByteLength], or `null` when the ring is empty
   * @throws {CorruptSegmentError} if what is there cannot be a record; nothing is consumed
   */
  tryPop(): Uint8Array | null {
    if (this.#state !== EndState.free) this.refuse(this.#state);
    if (!this.#next()) return null;
    const record = this.#copy();
    this.#read();
    this.#release();
    return record;
  }

  /**
   * The next record, copied out as soon as there is one.
   * @throws {TimeoutError} after `timeoutMs`; nothing was consumed
   * @throws {EndOfStreamError} when all was read and the producer was closed
   * @throws {PeerDiedError} when all was read and the producer's process died
   */
  pop(options?: RingWaitOptions): Promise<Uint8Array> {
    return this.waitAsync('pop', options, () => this.tryPop() ?? NOT_YET);
  }

  /** pop() that blocks the thread. */
  popSync(options?: SyncRingWaitOptions): Uint8Array {
    return this.waitSync('popSync', options, (): Uint8Array | NotYet => this.tryPop() ?? NOT_YET);
  }

  /**
   * Copies up to `limit` records out and gives their room back with one store: cheaper than as many pops.
   * @returns those that were there, in order
   */
  tryPopMany(limit: number): Uint8Array[] {
    if (this.#state !== EndState.free) this.refuse(this.#state);
    checkLimit(limit);
    const records: Uint8Array[] = [];
    try {
      while (records.length < limit && this.#next()) {
        records.push(this.#copy());
        this.#read();
      }
    } catch (error) {
      this.#head = this.#released; // Nothing is consumed.
      this.#unreleased = 0;
      throw error;
    }
    this.#release();
    return records;
  }

  /**
   * Hands the records that are there to `handler`, in place and without allocating. Their room goes back to the producer
   * when a quarter of the ring was read, and at the end; if the process dies inside, what has not gone back comes again.
   * @param limit - how many at most
   * @returns how many were read
   * @throws what the handler throws; its record and those after it stay
   * @throws {TypeError} if the handler returns a promise: it would read memory that is not its own any more
   */
  drain(handler: DrainHandler, limit = Infinity): number {
    if (this.#state !== EndState.free) this.refuse(this.#state);
    checkHandler(handler);
    checkLimit(limit);
    const quarter = this.#capacity >> 2;
    let read = 0;
    this.#state = EndState.borrowed;
    try {
      while (read < limit && this.#next()) {
        readInPlace(this.segment, this.#recordOffset, this.#recordLength, handler);
        if (this.closed) return read; // By the handler: its record was still lent out, and stays.
        this.#read();
        read++;
        if (((this.#head - this.#released) | 0) >= quarter) this.#release();
      }
    } finally {
      if (!this.closed) {
        this.#state = EndState.free;
        this.#release();
      }
    }
    return read;
  }

  /**
   * @internal Shows the next record in place. It stays unless `look` says that it is done with it.
   * @returns whether there was one
   */
  lookAtNext(look: (memory: Uint8Array, byteOffset: number, byteLength: number) => boolean): boolean {
    if (this.#state !== EndState.free) this.refuse(this.#state);
    if (!this.#next()) return false;
    let done = false;
    this.#state = EndState.borrowed;
    try {
      done = look(this.#bytes, this.#recordOffset, this.#recordLength);
    } finally {
      if (!this.closed) this.#state = EndState.free;
    }
    if (done && !this.closed) {
      this.#read();
      this.#release();
    }
    return true;
  }

  /**
   * The next record in place. It keeps its room until it is released. One peek at a time.
   * Progress: wait-free. If the process dies before the release, the record comes again.
   * @returns `null` when the ring is empty
   * @throws {CorruptSegmentError} if what is there cannot be a record; nothing is consumed
   */
  tryPeek(): Peek | null {
    if (this.#state !== EndState.free) this.refuse(this.#state);
    if (!this.#next()) return null;
    this.#peek = new Peek(this.#peeker, new Loan(this.segment, this.#recordOffset, this.#recordLength));
    this.#state = EndState.borrowed;
    return this.#peek;
  }

  /** tryPeek() as soon as there is a record; errors as of pop(). */
  peek(options?: RingWaitOptions): Promise<Peek> {
    return this.waitAsync('peek', options, () => this.tryPeek() ?? NOT_YET);
  }

  /** peek() that blocks the thread. */
  peekSync(options?: SyncRingWaitOptions): Peek {
    return this.waitSync('peekSync', options, (): Peek | NotYet => this.tryPeek() ?? NOT_YET);
  }

  /** Waits until there is a record; takes nothing. Errors as of pop(). */
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

  /** True when the producer was closed or its process died, and everything was read. Asks the kernel if need be. */
  get ended(): boolean {
    this.checkOpen();
    if (this.#state !== EndState.free) return false;
    return !this.#next() && this.peerIsGone() && !this.#next();
  }

  /** Records until the producer is closed. Throws PeerDiedError when its process died. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      let record: Uint8Array;
      try {
        record = await this.pop();
      } catch (error) {
        if (error instanceof EndOfStreamError) return;
        throw error;
      }
      yield record;
    }
  }

  /** @internal */
  hasMoved(watched: number): boolean {
    return (watched & ~Constants.asleepBit) !== this.#tail;
  }

  protected override endLoans(): void {
    this.#release(); // A drain handler may close us: what it read before is done.
    this.#state = EndState.closed;
    this.#peek?.endByClose();
    this.#peek = undefined;
  }

  protected override closedPeerError(): Error {
    return endOfStream(this.segment.label);
  }

  #isReady(): boolean {
    if (this.#state !== EndState.free) this.refuse(this.#state);
    return this.#next();
  }

  // Finds the record at #head. What the peer wrote is checked before it is used.
  #next(): boolean {
    const words = this.#words;
    let at = this.#head;
    if (at === this.#tail) {
      const tail = loadPosition(words, this.#tailIndex); // A: all records before it are written.
      if (tail === at) return false;
      this.checkPositions(at, tail);
      this.#tail = tail;
    }
    let used = (this.#tail - at) | 0;
    let rest = this.#capacity - (at & this.#mask);
    let header = (this.#data + (at & this.#mask)) >> 2;
    if (words[header + 1] === Constants.paddingFlag) {
      // Padding comes with the record behind it, which starts a lap.
      if (rest >= used) throw this.corrupt(`padding of ${rest} bytes where ${used} are used`);
      at = (at + rest) | 0;
      used -= rest;
      rest = this.#capacity;
      header = this.#data >> 2;
    }
    const byteLength = words[header] >>> 0;
    const flags = words[header + 1];
    const stride = (byteLength + RecordHeader.payload + this.#alignmentMask) & ~this.#alignmentMask;
    if (flags !== 0 || byteLength > this.#maxByteLength || stride > used || stride > rest) {
      throw this.corrupt(`at position ${at >>> 0} stands a record of ${byteLength} bytes with flags ${flags >>> 0}`);
    }
    this.#recordOffset = (header << 2) + RecordHeader.payload;
    this.#recordLength = byteLength;
    this.#behind = (at + stride) | 0;
    return true;
  }

  #copy(): Uint8Array {
    return this.#bytes.slice(this.#recordOffset, this.#recordOffset + this.#recordLength);
  }

  // Done with the record that #next() found; the producer is not told yet.
  #read(): void {
    this.#head = this.#behind;
    this.#unreleased++;
  }

  // Gives back the room of all that was read.
  #release(): void {
    if (this.#unreleased === 0) return;
    if (DEBUG_VIEWS) this.#poison();
    this.#doubles[this.#poppedIndex] += this.#unreleased;
    this.#released = this.#head;
    this.#unreleased = 0;
    if (!movePosition(this.#words, this.#headIndex, this.#head)) return; // B: we are done with the bytes.
    // A producer that needs more room than there is would only go back to sleep. position.hpp, C.
    const wanted = Atomics.load(this.#words, this.#wantedIndex);
    if (((this.#head - wanted) | 0) >= 0) this.segment.wake(this.layout.freed);
    else markAgain(this.#words, this.#headIndex);
  }

  #releasePeek(): void {
    this.#peek = undefined;
    this.#state = EndState.free;
    this.#read();
    this.#release();
  }

  // The bytes that go back, which may reach over the end of the data.
  #poison(): void {
    const start = this.#released & this.#mask;
    const length = (this.#head - this.#released) | 0;
    const first = Math.min(length, this.#capacity - start);
    poison(this.segment, this.#data + start, first);
    poison(this.segment, this.#data, length - first);
  }
}
