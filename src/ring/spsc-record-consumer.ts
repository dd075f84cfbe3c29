// The reading end of an SPSC ring of typed records, over the one that reads bytes.

import { RecordCodec } from '../record/codec.js';
import type { RecordDescription } from '../record/description.js';
import { checkHandler, InPlaceReader, type ReadHandler } from '../record/in-place.js';
import type { RecordType, ValueOf } from '../record/record.js';
import type { DrainHandler } from './in-place.js';
import type { RingWaitOptions, SyncRingWaitOptions } from './ring-end.js';
import type { SpscConsumer } from './spsc-consumer.js';
import type { Peek } from './views.js';

/** One record that keeps its room in the ring until it is released. */
export class RecordPeek<Description extends RecordDescription = RecordDescription> implements Disposable {
  readonly #peek: Peek;
  readonly #codec: RecordCodec<Description>;

  /** @internal */
  constructor(peek: Peek, codec: RecordCodec<Description>) {
    this.#peek = peek;
    this.#codec = codec;
  }

  /**
   * The record as a plain object, a copy.
   * @throws {ClosedError} after release or the ring's close
   * @throws {CorruptSegmentError} if it cannot be a record of this type
   */
  get value(): ValueOf<Description> {
    return this.#codec.decode(this.#peek.bytes);
  }

  /**
   * Gives the record's room back to the producer.
   * @throws {RingwayError} `ERR_RINGWAY_STATE` if it was released already
   * @throws {ClosedError} after the ring's close
   */
  release(): void {
    this.#peek.release();
  }

  /** Releases what was not released. */
  [Symbol.dispose](): void {
    this.#peek[Symbol.dispose]();
  }
}

/** The reading end of a ring of typed records. One process or thread holds it at a time. */
export class SpscRecordConsumer<Description extends RecordDescription = RecordDescription>
  implements AsyncIterable<ValueOf<Description>>, Disposable
{
  readonly #bytes: SpscConsumer;
  readonly #codec: RecordCodec<Description>;
  readonly #inPlace: InPlaceReader<Description>;
  #handler: ReadHandler<Description> | undefined; // Of the drain() that is running.
  readonly #reader: DrainHandler;

  /** @internal */
  constructor(bytes: SpscConsumer, type: RecordType<Description>) {
    this.#bytes = bytes;
    this.#codec = new RecordCodec(type);
    this.#inPlace = new InPlaceReader(type);
    this.#reader = (memory, byteOffset, byteLength) =>
      this.#inPlace.read(this.#handler as ReadHandler<Description>, memory, byteOffset, byteLength) as void;
  }

  /** Whether this end was closed, by itself or with its ring. */
  get closed(): boolean {
    return this.#bytes.closed;
  }

  /** True when the producer was closed or its process died, and everything was read. Asks the kernel if need be. */
  get ended(): boolean {
    return this.#bytes.ended;
  }

  /**
   * The next record as a plain object.
   * Progress: wait-free, but for a system call if the producer sleeps.
   * @returns `null` when the ring is empty
   * @throws {CorruptSegmentError} if what is there cannot be a record of this type
   */
  tryPop(): ValueOf<Description> | null {
    const bytes = this.#bytes.tryPop();
    return bytes === null ? null : this.#codec.decode(bytes);
  }

  /**
   * The next record, as soon as there is one.
   * @throws {TimeoutError} after `timeoutMs`; nothing was consumed
   * @throws {EndOfStreamError} when all was read and the producer was closed
   * @throws {PeerDiedError} when all was read and the producer's process died
   */
  async pop(options?: RingWaitOptions): Promise<ValueOf<Description>> {
    return this.#codec.decode(await this.#bytes.pop(options));
  }

  /** pop() that blocks the thread. */
  popSync(options?: SyncRingWaitOptions): ValueOf<Description> {
    return this.#codec.decode(this.#bytes.popSync(options));
  }

  /**
   * Up to `limit` records; their room goes back with one store: cheaper than as many pops.
   * @returns those that were there, in order
   */
  tryPopMany(limit: number): ValueOf<Description>[] {
    return this.#bytes.tryPopMany(limit).map((bytes) => this.#codec.decode(bytes));
  }

  /**
   * Hands the records that are there to `handler`, in place. Nothing is allocated but for 64-bit integers, strings and
   * arrays. When their room goes back is as for bytes: see SpscConsumer.drain().
   * @param handler - gets a record cursor, the same for each record, which throws ClosedError when the handler has returned
   * @param limit - how many at most
   * @returns how many were read
   * @throws what the handler throws; its record and those after it stay
   * @throws {TypeError} if the handler returns a promise
   * @throws {CorruptSegmentError} if what is there cannot be a record of this type; it stays
   */
  drain(handler: ReadHandler<Description>, limit?: number): number {
    checkHandler(handler);
    const outer = this.#handler; // Of a handler that calls us: refused below.
    this.#handler = handler;
    try {
      return this.#bytes.drain(this.#reader, limit);
    } finally {
      this.#handler = outer;
    }
  }

  /**
   * The next record, which keeps its room until it is released. One peek at a time.
   * Progress: wait-free. If the process dies before the release, the record comes again.
   * @returns `null` when the ring is empty
   */
  tryPeek(): RecordPeek<Description> | null {
    const peek = this.#bytes.tryPeek();
    return peek === null ? null : new RecordPeek(peek, this.#codec);
  }

  /** tryPeek() as soon as there is a record; errors as of pop(). */
  async peek(options?: RingWaitOptions): Promise<RecordPeek<Description>> {
    return new RecordPeek(await this.#bytes.peek(options), this.#codec);
  }

  /** peek() that blocks the thread. */
  peekSync(options?: SyncRingWaitOptions): RecordPeek<Description> {
    return new RecordPeek(this.#bytes.peekSync(options), this.#codec);
  }

  /** Waits until there is a record; takes nothing. Errors as of pop(). */
  ready(options?: RingWaitOptions): Promise<void> {
    return this.#bytes.ready(options);
  }

  /** ready() that blocks the thread. */
  readySync(options?: SyncRingWaitOptions): void {
    this.#bytes.readySync(options);
  }

  /** Records until the producer is closed. Throws PeerDiedError when its process died. */
  async *[Symbol.asyncIterator](): AsyncGenerator<ValueOf<Description>, void, undefined> {
    for await (const bytes of this.#bytes) yield this.#codec.decode(bytes);
  }

  /**
   * Gives the role back. Pending operations are rejected with ClosedError, a peek is released. Idempotent.
   */
  close(): void {
    this.#bytes.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** A pending asynchronous operation keeps the process alive: the default. */
  ref(): this {
    this.#bytes.ref();
    return this;
  }

  /** Lets the process end though an operation is pending. */
  unref(): this {
    this.#bytes.unref();
    return this;
  }
}
