// A record of any size as one value that nobody sees half of, and for which nobody waits. Atomics are sequentially
// consistent.
//
// Each participant has two copies of the record that nobody else writes, and a word names the current one of all these
// copies. A writer fills the one of its own two that is not current, and makes it current by compare-exchange. Only its
// owner can make a copy current, so a copy that was not current when its owner looked is not read by anybody who will
// find it valid, until the owner is done. There is nothing to clean up after a death: the word was changed, or was not,
// and whoever comes to be that participant finds by the word which copy is not current.
//
//   A "the record is whole"     #publish()  copy, plain; then cell, compare-exchange  ->  #takeSnapshot()  cell, load; then copy
//   B "what was read was whole" #publish()  cell, load; then copy, plain
//                           ->  #takeSnapshot()  copy, plain; then cell, load of the same word as before
//     Above the copy's number the word counts changes, in 51 bits, so the same word means that there was none. If a reader
//     saw a byte of a later record, that one's writer had found another word before it wrote, and then the reader's
//     second load finds another one too: its loads of the copy stand before that by an atomic store in between, for
//     processors that would do them later (docs/BROADCAST.md, rule V).
//
// model/value.pml goes through the interleavings of small cases.
//
// One spare copy would do for each participant, if it took over the one that it replaces; then a death between the two
// steps would have to be made up for. Memory is cheaper.

import { CorruptSegmentError } from '../errors.js';
import { Constants, ValueHeader } from '../layout.js';
import { checkOpen, type Segment } from '../memory/segment.js';
import { RecordDecoder, RecordEncoder } from '../record/codec.js';
import type { RecordType } from '../record/record.js';
import type { ValueCell } from './value-cell.js';

const COPY_BITS = BigInt(Constants.valueCopyBits);
const COPY_MASK = (1n << COPY_BITS) - 1n;

/** From one copy to the next, in bytes. */
function strideOf(type: RecordType): number {
  return Math.ceil(type.byteLength / Constants.isolationBytes) * Constants.isolationBytes;
}

/** Of the body of a record's segment. */
export function recordBodyByteLength(type: RecordType, maxParticipants: number): number {
  return ValueHeader.copies + 2 * maxParticipants * strideOf(type);
}

export class RecordCell implements ValueCell {
  readonly #segment: Segment;
  readonly #byteLength: number;
  readonly #stride: number;
  readonly #copies: number;
  readonly #cell: BigUint64Array;
  readonly #snapshot: Uint8Array;
  readonly #reader: RecordDecoder<RecordType['description']>;
  readonly #writer: RecordEncoder<RecordType['description']>;
  readonly #fence = new Int32Array(1);

  /** @throws {CorruptSegmentError} if the segment has no room for it */
  constructor(segment: Segment, type: RecordType) {
    const { bodyOffset, buffer, byteLength, maxParticipants } = segment;
    if (byteLength - bodyOffset < recordBodyByteLength(type, maxParticipants)) {
      throw new CorruptSegmentError(
        `${segment.label} contradicts itself: ${byteLength} bytes hold no ${type.byteLength} for each participant twice`,
      );
    }
    this.#segment = segment;
    this.#byteLength = type.byteLength;
    this.#stride = strideOf(type);
    this.#copies = bodyOffset + ValueHeader.copies;
    this.#cell = new BigUint64Array(buffer, bodyOffset + ValueHeader.cell, 1);
    this.#snapshot = new Uint8Array(type.byteLength);
    this.#reader = new RecordDecoder(type);
    this.#writer = new RecordEncoder(type);
  }

  /** Lock-free: reads again whenever the value was changed meanwhile. */
  load(): unknown {
    this.#takeSnapshot();
    return this.#reader.decode(this.#snapshot);
  }

  /** Lock-free. */
  exchange(value: unknown): unknown {
    const bytes = this.#writer.encode(value as never);
    while (!this.#publish(this.#takeSnapshot(), bytes));
    return this.#reader.decode(this.#snapshot);
  }

  /** Lock-free. Equal are records of the same bytes. */
  compareExchange(expected: unknown, value: unknown): unknown {
    const wanted = this.#writer.encode(expected as never).slice();
    const bytes = this.#writer.encode(value as never);
    for (;;) {
      const word = this.#takeSnapshot();
      if (!isEqual(this.#snapshot, wanted) || this.#publish(word, bytes)) return this.#reader.decode(this.#snapshot);
    }
  }

  /** Lock-free, but for what `next` does. */
  update(next: (value: unknown) => unknown): unknown {
    for (;;) {
      const word = this.#takeSnapshot();
      const found = this.#reader.decode(this.#snapshot);
      const value = next(this.#reader.decode(this.#snapshot)); // Its own, to change and return.
      if (this.#publish(word, this.#writer.encode(value as never))) return found;
    }
  }

  add(): never {
    throw new TypeError('add() needs numbers, and this value is a record: use update()');
  }

  // The word that names the copy which #snapshot then is.
  #takeSnapshot(): bigint {
    for (;;) {
      const word = Atomics.load(this.#cell, 0); // A.
      const at = this.#offsetOf(Number(word & COPY_MASK));
      this.#snapshot.set(this.#segment.bytes.subarray(at, at + this.#byteLength));
      Atomics.store(this.#fence, 0, 0); // B.
      if (Atomics.load(this.#cell, 0) === word) return word; // B.
    }
  }

  // Whether it came to pass; not if the word is another one by now. Calls nothing of the user's, which could publish too.
  #publish(word: bigint, bytes: Uint8Array): boolean {
    checkOpen(this.#segment); // What the user's functions and getters closed may be another participant's by now.
    if (Atomics.load(this.#cell, 0) !== word) return false; // B.
    const first = 2 * this.#segment.participantId;
    const mine = Number(word & COPY_MASK) === first ? first + 1 : first;
    this.#segment.bytes.set(bytes, this.#offsetOf(mine));
    const next = BigInt.asUintN(64, ((word >> COPY_BITS) + 1n) << COPY_BITS) | BigInt(mine);
    return Atomics.compareExchange(this.#cell, 0, word, next) === word; // A.
  }

  #offsetOf(copy: number): number {
    const { label, maxParticipants } = this.#segment;
    if (copy < 2 * maxParticipants) return this.#copies + copy * this.#stride;
    throw new CorruptSegmentError(`${label} contradicts itself: copy ${copy} of ${2 * maxParticipants} is current`);
  }
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((byte, i) => byte === b[i]);
}
