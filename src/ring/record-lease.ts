// A typed record that was taken from a many-to-many ring and is not done yet.

import type { RecordDecoder } from '../record/codec.js';
import type { RecordDescription } from '../record/description.js';
import type { ValueOf } from '../record/record.js';
import type { Lease } from './lease.js';

/** One record that is this process's until it is acked; nacked, or its process dead, it is delivered again. */
export class RecordLease<Description extends RecordDescription = RecordDescription> implements Disposable {
  readonly #lease: Lease;
  readonly #decoder: RecordDecoder<Description>;

  /** @internal */
  constructor(lease: Lease, decoder: RecordDecoder<Description>) {
    this.#lease = lease;
    this.#decoder = decoder;
  }

  /**
   * The record as a plain object, a copy.
   * @throws {ClosedError} after ack, nack or the ring's close
   * @throws {CorruptSegmentError} if it cannot be a record of this type
   */
  get value(): ValueOf<Description> {
    return this.#decoder.decode(this.#lease.bytes);
  }

  /** How often the record has been handed out, this time included. At least 2 if it came again. */
  get deliveries(): number {
    return this.#lease.deliveries;
  }

  /** Whether it was handed out before: to one who nacked it or died, and may have done a part of the work. */
  get redelivered(): boolean {
    return this.#lease.redelivered;
  }

  /** Whether it was acked or nacked, or its ring closed. */
  get ended(): boolean {
    return this.#lease.ended;
  }

  /**
   * The record is done: nobody gets it again, its slot is free.
   * @throws {RingwayError} `ERR_RINGWAY_STATE` after ack or nack
   * @throws {ClosedError} after the ring's close, which gave it back
   */
  ack(): void {
    this.#lease.ack();
  }

  /**
   * Gives the record back: it is delivered again, to anybody, behind what is in the ring.
   * @throws {RingwayError} `ERR_RINGWAY_STATE` after ack or nack
   * @throws {ClosedError} after the ring's close, which gave it back
   */
  nack(): void {
    this.#lease.nack();
  }

  /** Nacks what was not acked. */
  [Symbol.dispose](): void {
    this.#lease[Symbol.dispose]();
  }
}
