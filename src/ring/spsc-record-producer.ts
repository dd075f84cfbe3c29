// The writing end of an SPSC ring of typed records, over the one that writes bytes.

import { RecordEncoder } from '../record/codec.js';
import type { RecordDescription } from '../record/description.js';
import { InPlaceWriter, type WriteHandler } from '../record/in-place.js';
import type { RecordInput, RecordType } from '../record/record.js';
import { RecordEnd } from './record-end.js';
import type { RingWaitOptions, SyncRingWaitOptions } from './ring-end.js';
import type { SpscProducer } from './spsc-producer.js';

/** The writing end of a ring of typed records. One process or thread holds it at a time. */
export class SpscRecordProducer<
  Description extends RecordDescription = RecordDescription,
> extends RecordEnd<SpscProducer> {
  readonly #encoder: RecordEncoder<Description>;
  readonly #inPlace: InPlaceWriter<Description>;

  /** @internal */
  constructor(bytes: SpscProducer, type: RecordType<Description>) {
    super(bytes);
    this.#encoder = new RecordEncoder(type);
    this.#inPlace = new InPlaceWriter(type);
  }

  /**
   * Copies one record into the ring.
   * Progress: wait-free, but for a system call if the consumer sleeps. If the process dies inside, nothing is seen.
   * @param record - an object with all fields and no others
   * @returns `false` when there is no room
   * @throws {TypeError | RangeError} naming the field that is missing, unknown, or has a value that does not fit
   */
  tryPush(record: RecordInput<Description>): boolean {
    return this.bytes.tryPush(this.#encoder.encode(record));
  }

  /**
   * Copies one record into the ring as soon as there is room.
   * @param record - an object with all fields and no others; read at once
   * @throws {TypeError | RangeError} naming the field that is missing, unknown, or has a value that does not fit
   * @throws {TimeoutError} after `timeoutMs`
   * @throws {PeerDiedError} when there is no room and the consumer's process died
   * @throws {RingwayError} `EPIPE` when there is no room and the consumer was closed
   */
  async push(record: RecordInput<Description>, options?: RingWaitOptions): Promise<void> {
    await this.bytes.push(this.#encoder.encodeCopy(record), options);
  }

  /** push() that blocks the thread. */
  pushSync(record: RecordInput<Description>, options?: SyncRingWaitOptions): void {
    this.bytes.pushSync(this.#encoder.encodeCopy(record), options);
  }

  /**
   * Copies as many records as fit, in order, and publishes them with one store: cheaper than as many pushes.
   * @returns how many were taken, from the start of `records`
   * @throws {TypeError | RangeError} naming the field that does not fit in one of the records; none was taken
   */
  tryPushMany(records: readonly RecordInput<Description>[]): number {
    return this.bytes.tryPushMany(this.#encoder.encodeMany(records));
  }

  /**
   * Lets `handler` write one record in place. Nothing is allocated but for 64-bit integers and arrays; fields that are
   * not set are 0, false or empty.
   * Progress: wait-free but for the handler, and a system call if the consumer sleeps.
   * @param handler - gets a record cursor, the same each time, which throws ClosedError when the handler has returned
   * @returns `false` when there is no room; the handler was not called
   * @throws what the handler throws; nothing becomes visible
   * @throws {TypeError} if the handler returns a promise
   */
  tryWrite(handler: WriteHandler<Description>): boolean {
    return this.#inPlace.tryWrite(this.bytes, handler);
  }

  /**
   * tryWrite() for several records, which are published with one store: cheaper than as many calls.
   * @param count - how many at most; the handler is called once for each
   * @returns how many were written: fewer than `count` when there is no more room
   * @throws what the handler throws; none of them becomes visible
   * @throws {TypeError} if the handler returns a promise
   */
  tryWriteMany(count: number, handler: WriteHandler<Description>): number {
    return this.#inPlace.tryWriteMany(this.bytes, count, handler);
  }

  /** tryWrite() as soon as there is room; the handler is called then. Errors as of push(). */
  async write(handler: WriteHandler<Description>, options?: RingWaitOptions): Promise<void> {
    await this.bytes.write(this.#inPlace.byteLength, this.#inPlace.writerOf(handler), options);
  }

  /** write() that blocks the thread. */
  writeSync(handler: WriteHandler<Description>, options?: SyncRingWaitOptions): void {
    this.bytes.writeSync(this.#inPlace.byteLength, this.#inPlace.writerOf(handler), options);
  }
}
