// Messages of bytes that are lent where they lie.

import { ClosedError, RingwayError } from '../errors.js';
import type { FrameLoan } from '../transport/frames.js';
import { HEADER_BYTES } from './fragments.js';

/** A message of bytes where it lies. */
export interface Borrowed extends Disposable {
  /** Shape [byteLength of the message]; reading it after release() throws ClosedError. */
  readonly bytes: Uint8Array;
  /**
   * Done with the bytes: their room goes back to the sender.
   * @throws {RingwayError} `ERR_RINGWAY_STATE` if they were released already
   */
  release(): void;
}

/** In the channel's own memory. */
export class LentFrame implements Borrowed {
  readonly #loan: FrameLoan;

  constructor(loan: FrameLoan) {
    this.#loan = loan;
  }

  get bytes(): Uint8Array {
    return this.#loan.bytes.subarray(HEADER_BYTES);
  }

  release(): void {
    this.#loan.release();
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

/** In memory of its own, since it came in several frames. */
export class LentMemory implements Borrowed {
  #bytes: Uint8Array | undefined;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get bytes(): Uint8Array {
    if (this.#bytes === undefined) throw new ClosedError('this message was released');
    return this.#bytes;
  }

  release(): void {
    if (this.#bytes === undefined) throw new RingwayError('this message was released already', 'ERR_RINGWAY_STATE');
    this.#bytes = undefined;
  }

  [Symbol.dispose](): void {
    this.#bytes = undefined;
  }
}
