// Messages of any size over frames. A message that fits is one frame; a longer one travels as a run of frames, so that
// it never needs more room than the channel has, and arrives when the last of them has.
//
//   offset type field
//        0  u8  kind    what the frame is, below
//        1  u8  what    value or bytes; of the message's first frame
//        8  f64 total   of a message in several frames: its length in bytes; of its first frame only
//   The payload follows: at 8, or at 16 in a first frame. Its length is what is left of the frame.

import { RingwayError } from '../errors.js';
import { newBytes } from '../memory/new-bytes.js';

/** What a frame is. A message of which the sender gave up in the middle ends with `dropped` and never arrives. */
export const FrameKind = { whole: 1, first: 2, more: 3, dropped: 4 } as const;

/** What a message is. */
export const MessageKind = { value: 1, bytes: 2 } as const;
export type MessageKind = (typeof MessageKind)[keyof typeof MessageKind];

export const HEADER_BYTES = 8;
export const FIRST_HEADER_BYTES = 16;

const total = new Float64Array(1);
const totalBytes = new Uint8Array(total.buffer);

/** Writes the first 8 bytes of a frame. */
export function writeHeader(memory: Uint8Array, byteOffset: number, frame: number, kind: number): void {
  memory[byteOffset] = frame;
  memory[byteOffset + 1] = kind;
  for (let i = 2; i < HEADER_BYTES; i++) memory[byteOffset + i] = 0;
}

/** Writes the length of a message in several frames. */
export function writeTotal(memory: Uint8Array, byteOffset: number, byteLength: number): void {
  total[0] = byteLength;
  memory.set(totalBytes, byteOffset);
}

/** Whatever stands there: not a length, perhaps. */
export function readTotal(memory: Uint8Array, byteOffset: number): number {
  totalBytes.set(memory.subarray(byteOffset, byteOffset + totalBytes.length));
  return total[0];
}

/**
 * Announced lengths are believed up to this: more is allocated only as it arrives. 64 MiB and what a value has around them are
 * allocated at once.
 */
const BELIEVED_BYTES = 96 * 2 ** 20;
/** How many times as much each time. What has come is copied then. */
const GROWTH = 4;

/** A message that has arrived in part or as a whole, in memory of its own or the caller's. */
export class Arriving {
  readonly kind: MessageKind;
  readonly byteLength: number;
  #bytes: Uint8Array;
  #received = 0;
  #into: Uint8Array | undefined;
  #lost = false;

  /** @param into - the caller's memory, with room for all of the message; its own by default */
  constructor(kind: MessageKind, byteLength: number, into?: Uint8Array) {
    this.kind = kind;
    this.byteLength = byteLength;
    this.#into = into;
    this.#bytes = into ?? allocate(Math.min(byteLength, BELIEVED_BYTES));
  }

  get complete(): boolean {
    return this.#received === this.byteLength;
  }

  /** The caller's memory went away with what had come: the rest is not kept. */
  get lost(): boolean {
    return this.#lost;
  }

  /** A complete message, from the first byte on. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /**
   * @throws {RingwayError} `EPROTO` for more bytes than were announced; `ERR_RINGWAY_STATE` if the caller's memory went away:
   *   nothing was added
   */
  add(memory: Uint8Array, byteOffset: number, byteLength: number): void {
    const received = this.#received + byteLength;
    if (received > this.byteLength) {
      throw protocolError(`${received} bytes have come of a message of ${this.byteLength}`);
    }
    if (!this.#lost) {
      this.#checkInto();
      if (received > this.#bytes.length) this.#grow();
      this.#bytes.set(memory.subarray(byteOffset, byteOffset + byteLength), this.#received);
    }
    this.#received = received;
  }

  /** Whoever receives the rest has `into`, or no memory to receive it in. What has come in other memory is moved out of it. */
  goOnIn(into: Uint8Array | undefined): void {
    if (this.#into === undefined || this.#into === into) return;
    const came = this.#received;
    this.#lost = this.#into.length < came;
    this.#into = undefined;
    if (this.#lost) return;
    const bytes = allocate(Math.max(came, Math.min(this.byteLength, BELIEVED_BYTES)));
    if (came > 0) bytes.set(this.#bytes.subarray(0, came));
    this.#bytes = bytes;
  }

  // It may have been transferred to another thread, or resized.
  #checkInto(): void {
    if (this.#into === undefined || this.#into.length >= this.byteLength) return;
    const came = this.#received;
    this.goOnIn(undefined);
    if (!this.#lost) return;
    throw lostMemory(this.byteLength, `${came} bytes of it are lost, the rest is dropped`);
  }

  #grow(): void {
    const bytes = allocate(Math.min(this.byteLength, GROWTH * this.#bytes.length));
    bytes.set(this.#bytes.subarray(0, this.#received));
    this.#bytes = bytes;
  }
}

function allocate(byteLength: number): Uint8Array {
  try {
    return newBytes(byteLength);
  } catch (cause) {
    throw new RingwayError(`there is no memory for a message of ${byteLength} bytes`, 'ENOMEM', { cause });
  }
}

/** The caller's view has no memory any more. */
export function lostMemory(byteLength: number, outcome: string): RingwayError {
  return new RingwayError(
    `the view for a message of ${byteLength} bytes has lost its memory, which was transferred or resized: ${outcome}`,
    'ERR_RINGWAY_STATE',
  );
}

/** The other end does not keep to the format. */
export function protocolError(why: string): RingwayError {
  return new RingwayError(`the other end does not speak as a connection does: ${why}`, 'EPROTO');
}
