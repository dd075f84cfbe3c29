// A typed record that is being looked at in a ring, over the peek at its bytes.

import type { RecordDecoder } from '../record/codec.js';
import type { RecordDescription } from '../record/description.js';
import type { ValueOf } from '../record/record.js';
import type { Peek } from './views.js';

/** One record that keeps its room in the ring until it is released. */
export class RecordPeek<Description extends RecordDescription = RecordDescription> implements Disposable {
  readonly #peek: Peek;
  readonly #decoder: RecordDecoder<Description>;

  /** @internal */
  constructor(peek: Peek, decoder: RecordDecoder<Description>) {
    this.#peek = peek;
    this.#decoder = decoder;
  }

  /**
   * The record as a plain object, a copy.
   * @throws {ClosedError} after release or the ring's close
   * @throws {CorruptSegmentError} if it cannot be a record of this type
   */
  get value(): ValueOf<Description> {
    return this.#decoder.decode(this.#peek.bytes);
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
