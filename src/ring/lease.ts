// A message that was taken from a many-to-many ring and is not done yet.

import { ClosedError, RingwayError } from '../errors.js';
import type { Loan, ViewConstructor } from './views.js';

/** What a Lease calls back. */
export interface Lessor {
  endLease(slot: number, done: boolean): void;
}

/**
 * One message in place. It is this process's until it is acked; nacked, or its process dead, it is delivered again. It holds
 * up nobody.
 */
export class Lease implements Disposable {
  /** How often the message has been handed out, this time included. At least 2 if it came again. */
  readonly deliveries: number;
  readonly #lessor: Lessor;
  readonly #slot: number;
  readonly #loan: Loan;

  /** @internal */
  constructor(lessor: Lessor, slot: number, loan: Loan, deliveries: number) {
    this.#lessor = lessor;
    this.#slot = slot;
    this.#loan = loan;
    this.deliveries = deliveries;
  }

  /** Whether it was handed out before: to one who nacked it or died, and may have done a part of the work. */
  get redelivered(): boolean {
    return this.deliveries > 1;
  }

  /** Whether it was acked or nacked, or its ring closed. */
  get ended(): boolean {
    return this.#loan.ended !== undefined;
  }

  get byteLength(): number {
    return this.#loan.byteLength;
  }

  /**
   * The message, shape [byteLength].
   * @throws {ClosedError} after ack, nack or the ring's close
   */
  get bytes(): Uint8Array {
    this.#checkView();
    return this.#loan.bytes;
  }

  /**
   * The same bytes as another typed array or a DataView, shape [byteLength / BYTES_PER_ELEMENT].
   * @throws {RangeError} unless the length is a multiple of the element's
   * @throws {ClosedError} after ack, nack or the ring's close
   */
  as<View>(View: ViewConstructor<View>): View {
    this.#checkView();
    return this.#loan.as(View);
  }

  /**
   * The message is done: nobody gets it again, its slot is free.
   * @throws {RingwayError} `ERR_RINGWAY_STATE` after ack or nack
   * @throws {ClosedError} after the ring's close, which gave it back
   */
  ack(): void {
    this.#end('acked', 'ack');
    this.#lessor.endLease(this.#slot, true);
  }

  /**
   * Gives the message back: it is delivered again, to anybody, behind what is in the ring.
   * @throws {RingwayError} `ERR_RINGWAY_STATE` after ack or nack
   * @throws {ClosedError} after the ring's close, which gave it back
   */
  nack(): void {
    this.#end('nacked', 'nack');
    this.#lessor.endLease(this.#slot, false);
  }

  /** Nacks what was not acked. */
  [Symbol.dispose](): void {
    if (this.#loan.ended === undefined) this.nack();
  }

  // Before the slot changes hands, so that no second call can end what is somebody else's by then.
  #end(how: string, what: string): void {
    if (this.#loan.ended === 'closed')
      throw new ClosedError(`cannot ${what}: the ring was closed and took the message back`);
    if (this.#loan.ended !== undefined) {
      throw new RingwayError(`cannot ${what}: this message was ${this.#loan.ended} already`, 'ERR_RINGWAY_STATE');
    }
    this.#loan.end(how);
  }

  #checkView(): void {
    if (this.#loan.ended !== undefined)
      throw new ClosedError(`this message was ${this.#loan.ended}; its bytes are not yours any more`);
  }
}
