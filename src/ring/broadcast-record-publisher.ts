// The writing end of a broadcast ring of typed records, over the one that writes bytes.

import { RecordEncoder } from '../record/codec.js';
import type { RecordDescription } from '../record/description.js';
import { InPlaceWriter, type WriteHandler } from '../record/in-place.js';
import type { RecordInput, RecordType } from '../record/record.js';
import type { SyncWaitOptions, WaitOptions } from '../wait/options.js';
import type { BroadcastPublisher } from './broadcast-publisher.js';
import { RecordEnd } from './record-end.js';

/** A writing end of a broadcast ring of typed records. */
export class BroadcastRecordPublisher<
  Description extends RecordDescription = RecordDescription,
> extends RecordEnd<BroadcastPublisher> {
  readonly #encoder: RecordEncoder<Description>;
  readonly #inPlace: InPlaceWriter<Description>;

  /** @internal */
  constructor(bytes: BroadcastPublisher, type: RecordType<Description>) {
    super(bytes);
    this.#encoder = new RecordEncoder(type);
    this.#inPlace = new InPlaceWriter(type);
  }

  /**
   * Copies one record into the ring, for every subscriber.
   * Progress: lock-free, but for a system call if subscribers sleep. If the process dies inside, it was published or not.
   * @param record - an object with all fields and no others
   * @returns `false` when a subscriber is a whole ring behind; never with `onSlow: 'overwrite'`
   * @throws {TypeError | RangeError} naming the field that is missing, unknown, or has a value that does not fit
   */
  tryPublish(record: RecordInput<Description>): boolean {
    return this.bytes.tryPublish(this.#encoder.encode(record));
  }

  /**
   * Copies one record into the ring as soon as there is room.
   * @param record - an object with all fields and no others; read at once
   * @throws {TypeError | RangeError} naming the field that is missing, unknown, or has a value that does not fit
   * @throws {TimeoutError} after `timeoutMs`
   */
  async publish(record: RecordInput<Description>, options?: WaitOptions): Promise<void> {
    await this.bytes.publish(this.#encoder.encodeCopy(record), options);
  }

  /** publish() that blocks the thread. */
  publishSync(record: RecordInput<Description>, options?: SyncWaitOptions): void {
    this.bytes.publishSync(this.#encoder.encodeCopy(record), options);
  }

  /**
   * Copies as many records as there is room for, in order, and tells sleepers once; others' may come in between.
   * @returns how many were taken, from the start of `records`
   * @throws {TypeError | RangeError} naming the field that does not fit in one of the records; none was taken
   */
  tryPublishMany(records: readonly RecordInput<Description>[]): number {
    return this.bytes.tryPublishMany(this.#encoder.encodeMany(records));
  }

  /**
   * Lets `handler` write one record in place. Nothing is allocated but for 64-bit integers and arrays; fields that are
   * not set are 0, false or empty.
   * Progress: lock-free but for the handler, and a system call if subscribers sleep.
   * @param handler - gets a record cursor, the same each time, which throws ClosedError when the handler has returned
   * @returns `false` when a subscriber is a whole ring behind; the handler was not called
   * @throws what the handler throws; nothing becomes visible
   * @throws {TypeError} if the handler returns a promise
   */
  tryWrite(handler: WriteHandler<Description>): boolean {
    return this.#inPlace.tryWrite(this.bytes, handler);
  }

  /** tryWrite() as soon as there is room; the handler is called then. Errors as of publish(). */
  async write(handler: WriteHandler<Description>, options?: WaitOptions): Promise<void> {
    await this.bytes.write(this.#inPlace.byteLength, this.#inPlace.writerOf(handler), options);
  }

  /** write() that blocks the thread. */
  writeSync(handler: WriteHandler<Description>, options?: SyncWaitOptions): void {
    this.bytes.writeSync(this.#inPlace.byteLength, this.#inPlace.writerOf(handler), options);
  }
}
