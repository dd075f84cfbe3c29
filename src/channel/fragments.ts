// Messages of any size over frames. A message that fits is one frame; a longer one travels as a run of frames, so that
// it never needs more room than the channel has, and arrives when the last of them has.
//
//   offset type field
//        0  u8  kind    what the frame is, below
//        1  u8  what    value or bytes; of the message's first frame
//        8  f64 total   of a message in several frames: its length in bytes; of its first frame only
//   The payload follows: at 8, or at 16 in a first frame. Its length is what is left of the frame.

import { RingwayError } from '../errors.js';
import { lostMemory } from '../memory/lost-memory.js';
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
  // Why it is lost, until somebody has been told.
  #untold: RingwayError | undefined;

  /**
   * @param into - the caller's memory, with room for all of the message unless it went away already; its own by default
   * @throws {RingwayError} `ENOMEM`
   */
  constructor(kind: MessageKind, byteLength: number, into?: Uint8Array) {
    this.kind = kind;
    this.byteLength = byteLength;
    this.#into = into !== undefined && into.length >= byteLength ? into : undefined;
    this.#bytes = this.#into ?? allocate(Math.min(byteLength, BELIEVED_BYTES));
  }

  get complete(): boolean {
    return this.#received === this.byteLength;
  }

  /** What had come is gone, and the rest is not kept: add() tells why, once. */
  get lost(): boolean {
    return this.#lost;
  }

  /** A complete message, from the first byte on. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /**
   * @throws {RingwayError} `EPROTO` for more bytes than were announced; if the message is lost, `ERR_RINGWAY_STATE` where the
   *   caller's memory went away, or `ENOMEM`. Nothing was added
   */
  add(memory: Uint8Array, byteOffset: number, byteLength: number): void {
    const received = this.#received + byteLength;
    if (received > this.byteLength) {
      throw protocolError(`${received} bytes have come of a message of ${this.byteLength}`);
    }
    if (this.#into !== undefined && this.#into.length < this.byteLength) this.goOnIn(undefined); // Transferred, or resized.
    if (this.#untold !== undefined) {
      const error = this.#untold;
      this.#untold = undefined;
      throw error;
    }
    if (!this.#lost) {
      if (received > this.#bytes.length) this.#grow();
      this.#bytes.set(memory.subarray(byteOffset, byteOffset + byteLength), this.#received);
    }
    this.#received = received;
  }

  /**
   * Whoever receives the rest has `into`, or no memory to receive it in. What has come in other memory is moved out of it, or
   * lost where that cannot be: its owner may do with that memory what it likes from here on.
   */
  goOnIn(into: Uint8Array | undefined): void {
    const memory = this.#into;
    if (memory === undefined || memory === into) return;
    const came = this.#received;
    this.#into = undefined;
    const outcome = `${came} bytes of it are lost, the rest is dropped`;
    if (memory.length < came) {
      this.#lose(lostView(this.byteLength, outcome));
      return;
    }
    try {
      this.#bytes = allocate(Math.max(came, Math.min(this.byteLength, BELIEVED_BYTES)));
      if (came > 0) this.#bytes.set(memory.subarray(0, came));
    } catch (cause) {
      this.#lose(new RingwayError(`${(cause as Error).message}: ${outcome}`, 'ENOMEM', { cause }));
    }
  }

  #lose(why: RingwayError): void {
    this.#lost = true;
    this.#untold = why;
    this.#bytes = new Uint8Array(0);
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
export function lostView(byteLength: number, outcome: string): RingwayError {
  return lostMemory(`the view for a message of ${byteLength} bytes`, outcome);
}

/** The other end does not keep to the format. */
export function protocolError(why: string): RingwayError {
  return new RingwayError(`the other end does not speak as a connection does: ${why}`, 'EPROTO');
}
