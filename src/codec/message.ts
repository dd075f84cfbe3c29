// A message under construction: a buffer that grows and is used again, and large binary values that are only pointed at,
// so that they are copied once, to where the message goes.

import { lostMemory } from '../memory/lost-memory.js';
import type { Departure } from '../memory/travel.js';
import type { Encoded } from './codec.js';

/** Bytes of a message that are not in its buffer. */
export interface Piece {
  /** Where they belong, in the buffer. */
  readonly at: number;
  /** And in the message. */
  readonly from: number;
  readonly bytes: Uint8Array;
  /** Of the bytes when they were encoded: their memory may go away while the message is sent. */
  readonly byteLength: number;
}

/** Up to here a loop is faster than a view and set(). */
const LOOP_BYTE_LENGTH = 48;

export const NO_DEPARTURES: readonly Departure[] = Object.freeze([]);
export const NO_PIECES: readonly Piece[] = Object.freeze([]);

/** What a codec hands out: set anew by each encode(), or kept. */
export class Message implements Encoded {
  byteLength = 0;
  departures: readonly Departure[] = NO_DEPARTURES;
  #buffer: Uint8Array = new Uint8Array(0);
  /** In the order of the message. */
  #pieces: readonly Piece[] = NO_PIECES;

  /** @param bufferByteLength - of the buffer, what of it belongs to the message */
  set(
    buffer: Uint8Array,
    bufferByteLength: number,
    pieces: readonly Piece[] = NO_PIECES,
    departures: readonly Departure[] = NO_DEPARTURES,
  ): this {
    this.#buffer = buffer;
    this.#pieces = pieces;
    this.departures = departures;
    this.byteLength = bufferByteLength;
    for (let i = 0; i < pieces.length; i++) this.byteLength += pieces[i].bytes.length;
    return this;
  }

  /** @throws {RingwayError} `ERR_RINGWAY_STATE` if the memory of a large binary value was transferred or resized */
  copyTo(target: Uint8Array, targetOffset: number, from: number, byteLength: number): void {
    if (this.#pieces.length === 0) copy(this.#buffer, from, target, targetOffset, byteLength);
    else this.#copyPieces(target, targetOffset, from, byteLength);
  }

  keep(asItIs: boolean): Message {
    const kept = new Message();
    if (!asItIs && this.#pieces.length > 0) {
      const ofPieces = this.#pieces.reduce((sum, { bytes }) => sum + bytes.length, 0);
      const own = this.#buffer.slice(0, this.byteLength - ofPieces);
      return kept.set(own, own.length, this.#pieces, this.departures);
    }
    const bytes = new Uint8Array(this.byteLength);
    this.copyTo(bytes, 0, 0, bytes.length);
    return kept.set(bytes, bytes.length, NO_PIECES, this.departures);
  }

  #copyPieces(target: Uint8Array, targetOffset: number, from: number, byteLength: number): void {
    const pieces = this.#pieces;
    const end = from + byteLength;
    // The last piece that starts at `from` or before it; what lies before the first one is in the buffer.
    let index = -1;
    for (let low = 0, high = pieces.length - 1; low <= high; ) {
      const middle = (low + high) >> 1;
      if (pieces[middle].from <= from) {
        index = middle;
        low = middle + 1;
      } else high = middle - 1;
    }
    let at = from;
    const put = (source: Uint8Array, sourceOffset: number, limit: number) => {
      const length = Math.min(end, limit) - at;
      if (length <= 0) return;
      copy(source, sourceOffset, target, targetOffset + at - from, length);
      at += length;
    };
    for (; at < end; index++) {
      const piece = index < 0 ? undefined : pieces[index];
      const pieceEnd = piece === undefined ? 0 : piece.from + piece.byteLength;
      if (piece !== undefined && at < pieceEnd) {
        if (piece.bytes.length < piece.byteLength) {
          throw lostMemory(`a part of a value of ${piece.byteLength} bytes`, 'it will not arrive');
        }
        put(piece.bytes, at - piece.from, pieceEnd);
      }
      const next = index + 1 < pieces.length ? pieces[index + 1].from : this.byteLength;
      put(this.#buffer, (piece?.at ?? 0) + at - pieceEnd, next);
    }
  }
}

function copy(source: Uint8Array, from: number, target: Uint8Array, to: number, byteLength: number): void {
  if (byteLength <= LOOP_BYTE_LENGTH) {
    for (let i = 0; i < byteLength; i++) target[to + i] = source[from + i];
  } else {
    target.set(from === 0 && byteLength === source.length ? source : source.subarray(from, from + byteLength), to);
  }
}
