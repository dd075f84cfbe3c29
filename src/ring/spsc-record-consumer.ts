// The reading end of an SPSC ring of typed records, over the one that reads bytes.

import { RecordDecoder } from '../record/codec.js';
import type { RecordDescription } from '../record/description.js';
import { InPlaceReader, type ReadHandler } from '../record/in-place.js';
import type { RecordType, ValueOf } from '../record/record.js';
import { type Readiness, readiness } from '../wait/readiness.js';
import { RecordEnd } from './record-end.js';
import { RecordPeek } from './record-peek.js';
import type { RingWaitOptions, SyncRingWaitOptions } from './ring-end.js';
import type { SpscConsumer } from './spsc-consumer.js';

/** The reading end of a ring of typed records. One process or thread holds it at a time. */
export class SpscRecordConsumer<Description extends RecordDescription = RecordDescription>
  extends RecordEnd<SpscConsumer>
  implements AsyncIterable<ValueOf<Description>>
{
  readonly #decoder: RecordDecoder<Description>;
  readonly #inPlace: InPlaceReader<Description>;

  /** @internal */
  constructor(bytes: SpscConsumer, type: RecordType<Description>) {
    super(bytes);
    this.#decoder = new RecordDecoder(type);
    this.#inPlace = new InPlaceReader(type);
  }

  /** True when the producer was closed or its process died, and everything was read. Asks the kernel if need be. */
  get ended(): boolean {
    return this.bytes.ended;
  }

  /**
   * The next record as a plain object.
   * Progress: wait-free, but for a system call if the producer sleeps.
   * @returns `null` when the ring is empty
   * @throws {CorruptSegmentError} if what is there cannot be a record of this type
   */
  tryPop(): ValueOf<Description> | null {
    const bytes = this.bytes.tryPop();
    return bytes === null ? null : this.#decoder.decode(bytes);
  }

  /**
   * The next record, as soon as there is one.
   * @throws {TimeoutError} after `timeoutMs`; nothing was consumed
   * @throws {EndOfStreamError} when all was read and the producer was closed
   * @throws {PeerDiedError} when all was read and the producer's process died
   */
  async pop(options?: RingWaitOptions): Promise<ValueOf<Description>> {
    return this.#decoder.decode(await this.bytes.pop(options));
  }

  /** pop() that blocks the thread. */
  popSync(options?: SyncRingWaitOptions): ValueOf<Description> {
    return this.#decoder.decode(this.bytes.popSync(options));
  }

  /**
   * Up to `limit` records; their room goes back with one store: cheaper than as many pops.
   * @returns those that were there, in order
   */
  tryPopMany(limit: number): ValueOf<Description>[] {
    return this.bytes.tryPopMany(limit).map((bytes) => this.#decoder.decode(bytes));
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
    return this.#inPlace.drain(this.bytes, handler, limit);
  }

  /**
   * The next record, which keeps its room until it is released. One peek at a time.
   * Progress: wait-free. If the process dies before the release, the record comes again.
   * @returns `null` when the ring is empty
   */
  tryPeek(): RecordPeek<Description> | null {
    const peek = this.bytes.tryPeek();
    return peek === null ? null : new RecordPeek(peek, this.#decoder);
  }

  /** tryPeek() as soon as there is a record; errors as of pop(). */
  async peek(options?: RingWaitOptions): Promise<RecordPeek<Description>> {
    return new RecordPeek(await this.bytes.peek(options), this.#decoder);
  }

  /** peek() that blocks the thread. */
  peekSync(options?: SyncRingWaitOptions): RecordPeek<Description> {
    return new RecordPeek(this.bytes.peekSync(options), this.#decoder);
  }

  /** Waits until there is a record; takes nothing. Errors as of pop(). */
  ready(options?: RingWaitOptions): Promise<void> {
    return this.bytes.ready(options);
  }

  /** @internal */
  get [readiness](): Readiness {
    return this.bytes[readiness];
  }

  /** ready() that blocks the thread. */
  readySync(options?: SyncRingWaitOptions): void {
    this.bytes.readySync(options);
  }

  /** Records until the producer is closed. Throws PeerDiedError when its process died. */
  async *[Symbol.asyncIterator](): AsyncGenerator<ValueOf<Description>, void, undefined> {
    for await (const bytes of this.bytes) yield this.#decoder.decode(bytes);
  }
}
