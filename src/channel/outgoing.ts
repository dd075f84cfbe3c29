// Messages on their way out: what they have in common for the connection that sends them in one frame or in several.

import type { Encoded } from '../codec/codec.js';
import { describe } from '../memory/names.js';
import { checkInteger } from '../memory/shared-object.js';
import type { Carrier } from '../memory/travel.js';
import { lostView, MessageKind } from './fragments.js';

export interface Outgoing {
  readonly kind: MessageKind;
  readonly byteLength: number;
  /** Bytes that the other end can see already, of a message in several frames. */
  sent: number;
  copyTo(target: Uint8Array, targetOffset: number, from: number, byteLength: number): void;
  /**
   * The same message for later, when the codec has encoded others.
   * @param asItIs - what happens to the value's memory meanwhile is not seen either
   */
  keep(asItIs: boolean): Outgoing;
  /** All of it is on its way. Call as soon as it is. */
  arrives(carrier: Carrier): void;
  /** It is not going to be sent, or not all of it. */
  failed(): void;
}

/** A value. */
export class OutgoingValue implements Outgoing {
  readonly kind = MessageKind.value;
  readonly byteLength: number;
  sent = 0;
  readonly #encoded: Encoded;

  constructor(encoded: Encoded) {
    this.#encoded = encoded;
    this.byteLength = encoded.byteLength;
  }

  copyTo(target: Uint8Array, targetOffset: number, from: number, byteLength: number): void {
    this.#encoded.copyTo(target, targetOffset, from, byteLength);
  }

  keep(asItIs: boolean): OutgoingValue {
    const kept = new OutgoingValue(this.#encoded.keep(asItIs));
    kept.sent = this.sent;
    return kept;
  }

  arrives(carrier: Carrier): void {
    for (const departure of this.#encoded.departures) departure.sent(undefined, carrier);
  }

  failed(): void {
    for (const departure of this.#encoded.departures) departure.unsent();
  }
}

/** Bytes as they are. */
export class OutgoingBytes implements Outgoing {
  readonly kind = MessageKind.bytes;
  readonly byteLength: number;
  sent = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.byteLength = bytes.length; // It was announced, whatever becomes of the memory.
  }

  /** @throws {RingwayError} `ERR_RINGWAY_STATE` if the memory was transferred or resized */
  copyTo(target: Uint8Array, targetOffset: number, from: number, byteLength: number): void {
    if (this.#bytes.length < this.byteLength) throw lostView(this.byteLength, 'it will not arrive');
    if (byteLength > 0) target.set(this.#bytes.subarray(from, from + byteLength), targetOffset);
  }

  keep(asItIs: boolean): OutgoingBytes {
    const kept = new OutgoingBytes(asItIs ? this.#bytes.slice() : this.#bytes);
    kept.sent = this.sent;
    return kept;
  }

  arrives(): void {}

  failed(): void {}
}

/** Which part of a view. */
export interface SliceOptions {
  /** Where it starts, in bytes; 0 by default. */
  byteOffset?: number;
  /** How long it is, in bytes; to the view's end by default. */
  byteLength?: number;
}

/**
 * The bytes of a view, or a part of them.
 * @throws {TypeError} unless it is an ArrayBuffer view
 * @throws {RangeError} for a part that is not inside
 */
export function slice(view: ArrayBufferView, { byteOffset = 0, byteLength }: SliceOptions = {}): Uint8Array {
  if (!ArrayBuffer.isView(view)) throw new TypeError(`bytes are an ArrayBuffer view, not ${describe(view)}`);
  checkInteger('byteOffset', byteOffset, 0, view.byteLength);
  const rest = view.byteLength - byteOffset;
  if (byteLength !== undefined) checkInteger('byteLength', byteLength, 0, rest);
  return new Uint8Array(view.buffer, view.byteOffset + byteOffset, byteLength ?? rest);
}
