// The writing end of an SPSC ring of typed records, over the one that writes bytes.

import { describe } from '../memory/names.js';
import { RecordCodec } from '../record/codec.js';
import type { RecordDescription } from '../record/description.js';
import { checkHandler, InPlaceWriter, type WriteHandler } from '../record/in-place.js';
import type { RecordInput, RecordType } from '../record/record.js';
import type { Writer } from './in-place.js';
import type { RingWaitOptions, SyncRingWaitOptions } from './ring-end.js';
import type { SpscProducer } from './spsc-producer.js';

/** The writing end of a ring of typed records. One process or thread holds it at a time. */
export class SpscRecordProducer<Description extends RecordDescription = RecordDescription> implements Disposable {
  readonly #bytes: SpscProducer;
  readonly #byteLength: number;
  readonly #codec: RecordCodec<Description>;
  readonly #inPlace: InPlaceWriter<Description>;
  #handler: WriteHandler<Description> | undefined; // Of the tryWrite() or tryWriteMany() that is running.
  readonly #writer: Writer;

  /** @internal */
  constructor(bytes: SpscProducer, type: RecordType<Description>) {
    this.#bytes = bytes;
    this.#byteLength = type.byteLength;
    this.#codec = new RecordCodec(type);
    this.#inPlace = new InPlaceWriter(type);
    this.#writer = (memory, byteOffset) =>
      this.#inPlace.write(this.#handler as WriteHandler<Description>, memory, byteOffset);
  }

  /** Whether this end was closed, by itself or with its ring. */
  get closed(): boolean {
    return this.#bytes.closed;
  }

  /**
   * Copies one record into the ring.
   * Progress: wait-free, but for a system call if the consumer sleeps. If the process dies inside, nothing is seen.
   * @param record - an object with all fields and no others
   * @returns `false` when there is no room
   * @throws {TypeError | RangeError} naming the field that is missing, unknown, or has a value that does not fit
   */
  tryPush(record: RecordInput<Description>): boolean {
    return this.#bytes.tryPush(this.#codec.encode(record));
  }

  /**
   * Copies one record into the ring as soon as there is room.
   * @param record - an object with all fields and no others; read at once
   * @throws {TypeError | RangeError} naming the field that is missing, unknown, or has a value that does not fit
   * @throws {TimeoutError} after `timeoutMs`
   * @throws {PeerDiedError} when there is no room and the consumer's process died
   * @throws {RingwayError} `EPIPE` when there is no room and the consumer was closed
   */
  push(record: RecordInput<Description>, options?: RingWaitOptions): Promise<void> {
    try {
      return this.#bytes.push(this.#codec.encode(record).slice(), options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** push() that blocks the thread. */
  pushSync(record: RecordInput<Description>, options?: SyncRingWaitOptions): void {
    this.#bytes.pushSync(this.#codec.encode(record), options);
  }

  /**
   * Copies as many records as fit, in order, and publishes them with one store: cheaper than as many pushes.
   * @returns how many were taken, from the start of `records`
   * @throws {TypeError | RangeError} naming the field that does not fit in one of the records; none was taken
   */
  tryPushMany(records: readonly RecordInput<Description>[]): number {
    if (!Array.isArray(records)) throw new TypeError(`records must be an array of objects, not ${describe(records)}`);
    return this.#bytes.tryPushMany(records.map((record) => this.#codec.encode(record).slice()));
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
    checkHandler(handler);
    const outer = this.#handler; // Of a handler that calls us: refused below.
    this.#handler = handler;
    try {
      return this.#bytes.tryWrite(this.#byteLength, this.#writer);
    } finally {
      this.#handler = outer;
    }
  }

  /**
   * tryWrite() for several records, which are published with one store: cheaper than as many calls.
   * @param count - how many at most; the handler is called once for each
   * @returns how many were written: fewer than `count` when there is no more room
   * @throws what the handler throws; none of them becomes visible
   * @throws {TypeError} if the handler returns a promise
   */
  tryWriteMany(count: number, handler: WriteHandler<Description>): number {
    checkHandler(handler);
    const outer = this.#handler; // Of a handler that calls us: refused below.
    this.#handler = handler;
    try {
      return this.#bytes.tryWriteMany(count, this.#byteLength, this.#writer);
    } finally {
      this.#handler = outer;
    }
  }

  /** tryWrite() as soon as there is room; the handler is called then. Errors as of push(). */
  write(handler: WriteHandler<Description>, options?: RingWaitOptions): Promise<void> {
    try {
      return this.#bytes.write(this.#byteLength, this.#writerOf(handler), options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** write() that blocks the thread. */
  writeSync(handler: WriteHandler<Description>, options?: SyncRingWaitOptions): void {
    this.#bytes.writeSync(this.#byteLength, this.#writerOf(handler), options);
  }

  /**
   * Gives the role back. Pending operations are rejected with ClosedError. Idempotent.
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

  #writerOf(handler: WriteHandler<Description>): Writer {
    checkHandler(handler);
    return (memory, byteOffset) => this.#inPlace.write(handler, memory, byteOffset);
  }
}
