// A value that was taken from a queue and is not done yet.

import { ClosedError, RingwayError } from '../errors.js';
import type { QueueBody } from './queue-body.js';

/** What is lent out: by the queue that close() and the garbage collector give it back for. */
export class Loan {
  readonly body: QueueBody;
  readonly slot: number;
  /** How it ended: `acked`, `nacked`, `closed`. */
  ended: string | undefined;

  constructor(body: QueueBody, slot: number) {
    this.body = body;
    this.slot = slot;
  }
}

/** What a QueueLease calls back, when its loan has ended. */
export type EndLoan = (loan: Loan, done: boolean) => void;

/**
 * One value that is this process's until it is acked; nacked, or its process dead, it is delivered again. It holds up nobody,
 * but the queue has that much less room.
 */
export class QueueLease<T = unknown> implements Disposable {
  /** How often the value has been handed out, this time included. At least 2 if it came again. */
  readonly deliveries: number;
  readonly #loan: Loan;
  readonly #endLoan: EndLoan;
  #decoded: { value: T } | undefined;

  /** @internal */
  constructor(loan: Loan, endLoan: EndLoan) {
    this.deliveries = loan.body.slots.deliveriesOf(loan.slot);
    this.#loan = loan;
    this.#endLoan = endLoan;
  }

  /** Whether it was handed out before: to one who nacked it or died, and may have done a part of the work. */
  get redelivered(): boolean {
    return this.deliveries > 1;
  }

  /** Whether it was acked or nacked, or its queue closed. */
  get ended(): boolean {
    return this.#loan.ended !== undefined;
  }

  /**
   * The value: decoded when it is read for the first time, the same one afterwards, also after ack or nack. Shared objects in
   * it are attached to then, and a receiver that comes later may find that they are gone.
   * @throws {ClosedError} if it is read for the first time after ack, nack or the queue's close
   * @throws what decoding throws; ack() drops such a value
   */
  get value(): T {
    if (this.#decoded === undefined) {
      const { body, slot, ended } = this.#loan;
      if (ended !== undefined) throw new ClosedError(`this value was ${ended} before it was read`);
      this.#decoded = { value: body.read(slot) as T };
    }
    return this.#decoded.value;
  }

  /**
   * The value is done: nobody gets it again, and it counts as reported by taskDone().
   * @throws {RingwayError} `ERR_RINGWAY_STATE` after ack or nack
   * @throws {ClosedError} after the queue's close, which gave it back
   */
  ack(): void {
    this.#end('acked', 'ack');
    this.#endLoan(this.#loan, true);
  }

  /**
   * Gives the value back: it is delivered again, to anybody, behind what is in the queue.
   * @throws {RingwayError} `ERR_RINGWAY_STATE` after ack or nack
   * @throws {ClosedError} after the queue's close, which gave it back
   */
  nack(): void {
    this.#end('nacked', 'nack');
    this.#endLoan(this.#loan, false);
  }

  /** Nacks what was not acked. */
  [Symbol.dispose](): void {
    if (this.#loan.ended === undefined) this.nack();
  }

  // Before the slot changes hands, so that no second call can end what is somebody else's by then.
  #end(how: string, what: string): void {
    const { ended } = this.#loan;
    if (ended === 'closed') throw new ClosedError(`cannot ${what}: the queue was closed and took the value back`);
    if (ended !== undefined) {
      throw new RingwayError(`cannot ${what}: this value was ${ended} already`, 'ERR_RINGWAY_STATE');
    }
    this.#loan.ended = how;
  }
}
