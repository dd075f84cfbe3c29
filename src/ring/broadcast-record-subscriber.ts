// The reading end of a broadcast ring of typed records, over the one that reads bytes.

import { RecordDecoder } from '../record/codec.js';
import type { RecordDescription } from '../record/description.js';
import { InPlaceReader, type ReadHandler } from '../record/in-place.js';
import type { RecordType, ValueOf } from '../record/record.js';
import { type Readiness, readiness } from '../wait/readiness.js';
import type { BroadcastPeek, BroadcastSubscriber } from './broadcast-subscriber.js';
import { RecordEnd } from './record-end.js';
import type { RingWaitOptions, SyncRingWaitOptions } from './ring-end.js';

/** A reading end of a broadcast ring of typed records, which sees every record from where it starts. */
export class BroadcastRecordSubscriber<Description extends RecordDescription = RecordDescription>
  extends RecordEnd<BroadcastSubscriber>
  implements AsyncIterable<ValueOf<Description>>
{
  readonly #decoder: RecordDecoder<Description>;
  readonly #inPlace: InPlaceReader<Description>;

  /** @internal */
  constructor(bytes: BroadcastSubscriber, type: RecordType<Description>) {
    super(bytes);
    this.#decoder = new RecordDecoder(type);
    this.#inPlace = new InPlaceReader(type);
  }

  /** Records that were overwritten before this subscriber got to them. Always 0 with `onSlow: 'block'`. */
  get missed(): number {
    return this.bytes.missed;
  }

  /** True when all was read and the last publisher was closed or died. Asks the kernel if need be. */
  get ended(): boolean {
    return this.bytes.ended;
  }

  /**
   * The next record as a plain object.
   * Progress: as for bytes, see BroadcastSubscriber.tryRead(). What is returned is whole.
   * @returns `null` when there is none
   * @throws {CorruptSegmentError} if what was there cannot be a record of this type
   */
  tryRead(): ValueOf<Description> | null {
    const bytes = this.bytes.tryRead();
    return bytes === null ? null : this.#decoder.decode(bytes);
  }

  /**
   * The next record, as soon as there is one.
   * @throws {TimeoutError} after `timeoutMs`; nothing was consumed
   * @throws {EndOfStreamError} when all was read and the last publisher was closed
   * @throws {PeerDiedError} when all was read and the last publisher's process died
   */
  async read(options?: RingWaitOptions): Promise<ValueOf<Description>> {
    return this.#decoder.decode(await this.bytes.read(options));
  }

  /** read() that blocks the thread. */
  readSync(options?: SyncRingWaitOptions): ValueOf<Description> {
    return this.#decoder.decode(this.bytes.readSync(options));
  }

  /**
   * Up to `limit` records.
   * @returns those that were there, in order
   */
  tryReadMany(limit: number): ValueOf<Description>[] {
    return this.bytes.tryReadMany(limit).map((bytes) => this.#decoder.decode(bytes));
  }

  /**
   * Hands the records that are there to `handler`. Nothing is allocated but for 64-bit integers, strings and arrays. With
   * `onSlow: 'block'` in place; with `'overwrite'` out of a private copy, so that a handler never sees a torn record.
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
   * The next record in the ring. One peek at a time. With `onSlow: 'block'` it keeps its room until it is released; with
   * `'overwrite'` it does not.
   * @returns `null` when there is none
   */
  tryPeek(): BroadcastRecordPeek<Description> | null {
    const peek = this.bytes.tryPeek();
    return peek === null ? null : new BroadcastRecordPeek(peek, this.#decoder);
  }

  /** tryPeek() as soon as there is a record; errors as of read(). */
  async peek(options?: RingWaitOptions): Promise<BroadcastRecordPeek<Description>> {
    return new BroadcastRecordPeek(await this.bytes.peek(options), this.#decoder);
  }

  /** peek() that blocks the thread. */
  peekSync(options?: SyncRingWaitOptions): BroadcastRecordPeek<Description> {
    return new BroadcastRecordPeek(this.bytes.peekSync(options), this.#decoder);
  }

  /** Waits until there is a record; takes nothing. Errors as of read(). */
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

  /** Records until the last publisher is closed. Throws PeerDiedError when its process died. */
  async *[Symbol.asyncIterator](): AsyncGenerator<ValueOf<Description>, void, undefined> {
    for await (const bytes of this.bytes) yield this.#decoder.decode(bytes);
  }
}

/** One record in the ring, until it is released. */
export class BroadcastRecordPeek<Description extends RecordDescription = RecordDescription> implements Disposable {
  readonly #peek: BroadcastPeek;
  readonly #decoder: RecordDecoder<Description>;

  /** @internal */
  constructor(peek: BroadcastPeek, decoder: RecordDecoder<Description>) {
    this.#peek = peek;
    this.#decoder = decoder;
  }

  /**
   * The record as a plain object, a whole copy. Once it was there, the record is not counted in `missed`.
   * @returns `null` when the record was overwritten; never with `onSlow: 'block'`
   * @throws {ClosedError} after release or the ring's close
   * @throws {CorruptSegmentError} if it cannot be a record of this type
   */
  get value(): ValueOf<Description> | null {
    const value = this.#decoder.decode(this.#peek.bytes);
    return this.#peek.stillValid ? value : null; // After the copy, which the answer is about.
  }

  /**
   * Whether the record is there still. See BroadcastPeek.stillValid.
   * @throws {ClosedError} after release or the ring's close
   */
  get stillValid(): boolean {
    return this.#peek.stillValid;
  }

  /**
   * Goes on to the next record.
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
