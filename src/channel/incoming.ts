// Messages on their way in: frames put together to messages, and checked against what whoever receives them can take.

import type { ValueCodec } from '../codec/codec.js';
import { MessageSizeError, RingwayError } from '../errors.js';
import type { Arrive } from '../memory/travel.js';
import type { FrameReceiver } from '../transport/frames.js';
import { NOT_YET, type NotYet } from '../wait/condition.js';
import { Receiving } from './arrivals.js';
import type { ConnectionBody } from './connection-body.js';
import {
  Arriving,
  FIRST_HEADER_BYTES,
  FrameKind,
  HEADER_BYTES,
  lostView,
  MessageKind,
  protocolError,
  readTotal,
} from './fragments.js';

/** What takes a message that has arrived: `owned` memory is its to keep. Throws what leaves the message where it is. */
export type Taker<Result> = (
  kind: MessageKind,
  memory: Uint8Array,
  byteOffset: number,
  byteLength: number,
  owned: boolean,
) => Result;

export class Incoming {
  readonly #receiver: FrameReceiver | undefined;
  readonly #codec: ValueCodec;
  #receiving = new Receiving();
  // What has come of a message in several frames.
  #arriving: Arriving | undefined;
  // What #look() reads for, and what it found.
  #limit = 0;
  #into: Uint8Array | undefined;
  #wanted: MessageKind | 0 = 0;
  #take: Taker<unknown> | undefined;
  #taken = false;
  #nextIsBytes = false; // A whole message that can be lent where it lies.
  #result: unknown;
  #failure: { error: unknown } | undefined;

  constructor(body: ConnectionBody) {
    this.#receiver = body.channel.receiver;
    this.#codec = body.codec;
  }

  /** Makes the objects that come in values. */
  set arrive(arrive: Arrive) {
    this.#receiving = new Receiving(arrive);
  }

  /** How many bytes the message has that has begun to arrive in parts and was not taken; undefined if none has. */
  get begun(): number | undefined {
    return this.#arriving?.byteLength;
  }

  /** Whether the message that read() has found without taking it is one of bytes that can be lent where it lies. */
  get canBeLent(): boolean {
    return this.#arriving === undefined && this.#nextIsBytes;
  }

  /** Whose memory a message was arriving in has that back. */
  leaveMemory(): void {
    this.#arriving?.goOnIn(undefined);
  }

  /** Nobody is going to receive what has come in part. */
  forget(): void {
    this.#arriving = undefined;
  }

  /**
   * Takes the next message if all of it is there. One in several frames is collected in `into`, or in memory of its own.
   * @param wanted - what the message has to be; 0 for any
   * @param take - undefined to find the message and leave it where it is
   */
  read<Result>(
    limit: number,
    wanted: MessageKind | 0,
    take: Taker<Result> | undefined,
    into?: Uint8Array,
  ): Result | NotYet {
    this.#arriving?.goOnIn(into);
    this.#limit = limit;
    this.#into = into;
    this.#wanted = wanted;
    this.#take = take;
    this.#taken = false;
    const receiver = this.#receiver as FrameReceiver;
    try {
      do {
        const arriving = this.#arriving;
        if (arriving?.complete && arriving.lost) {
          this.#arriving = undefined;
        } else if (arriving?.complete) {
          this.#checkWanted(arriving.kind, arriving.byteLength);
          this.#result = take?.(arriving.kind, arriving.bytes, 0, arriving.byteLength, true);
          this.#taken = true;
          if (take !== undefined) this.#arriving = undefined;
        } else if (!receiver.tryRead(this.#look)) {
          return NOT_YET;
        }
      } while (!this.#taken);
      if (this.#failure !== undefined) throw this.#failure.error;
      return this.#result as Result;
    } finally {
      this.#take = this.#result = this.#failure = this.#into = undefined;
    }
  }

  // Looks at one frame; whether it is done with it. What it throws leaves the frame where it is.
  readonly #look = (memory: Uint8Array, byteOffset: number, byteLength: number): boolean => {
    if (byteLength < HEADER_BYTES) throw protocolError(`a frame of ${byteLength} bytes`);
    const frame = memory[byteOffset];
    if (frame === FrameKind.dropped) {
      this.#arriving = undefined;
      return true;
    }
    const arriving = this.#arriving;
    if (frame === FrameKind.more) {
      if (arriving === undefined) throw protocolError('a message goes on that never began');
      arriving.add(memory, byteOffset + HEADER_BYTES, byteLength - HEADER_BYTES);
      return true;
    }
    const kind = memory[byteOffset + 1] as MessageKind;
    if (kind !== MessageKind.value && kind !== MessageKind.bytes) throw protocolError(`a message of kind ${kind}`);
    if (arriving !== undefined) throw protocolError('a message begins in the middle of another');
    if (frame === FrameKind.whole) {
      this.#taken = true;
      if (this.#take === undefined) {
        this.#nextIsBytes = kind === MessageKind.bytes && byteLength - HEADER_BYTES <= this.#limit;
        return false;
      }
      this.#checkWanted(kind, byteLength - HEADER_BYTES);
      this.#result = this.#take(kind, memory, byteOffset + HEADER_BYTES, byteLength - HEADER_BYTES, false);
      return true;
    }
    if (frame !== FrameKind.first) throw protocolError(`a frame of kind ${frame}`);
    const total = byteLength < FIRST_HEADER_BYTES ? Number.NaN : readTotal(memory, byteOffset + HEADER_BYTES);
    if (!Number.isSafeInteger(total) || total < byteLength - FIRST_HEADER_BYTES) {
      throw protocolError(`a message of ${total} bytes begins with ${byteLength - FIRST_HEADER_BYTES}`);
    }
    if (this.#take === undefined && total > this.#limit) {
      this.#nextIsBytes = false;
      this.#taken = true; // What receives it says what is wrong with it.
      return false;
    }
    this.#checkWanted(kind, total);
    this.#arriving = new Arriving(kind, total, this.#into);
    this.#arriving.add(memory, byteOffset + FIRST_HEADER_BYTES, byteLength - FIRST_HEADER_BYTES);
    return true;
  };

  #checkWanted(kind: MessageKind, byteLength: number): void {
    if (this.#take === undefined) return;
    if (this.#wanted === MessageKind.bytes && kind !== MessageKind.bytes) {
      throw new RingwayError('the next message is a value, not bytes: recv() receives it', 'ERR_RINGWAY_STATE');
    }
    if (byteLength <= this.#limit) return;
    throw new MessageSizeError(
      `a message of ${byteLength} bytes has come where ${this.#limit} are the limit; it stays until it is received with a higher one`,
      byteLength,
      this.#limit,
    );
  }

  /** Makes a value of a message. */
  readonly takeValue: Taker<unknown> = (kind, memory, byteOffset, byteLength, owned) => {
    if (kind === MessageKind.bytes) return takeBytes(kind, memory, byteOffset, byteLength, owned);
    try {
      return this.#receiving.decode(this.#codec, memory, byteOffset, byteLength, owned);
    } catch (error) {
      this.#failure = { error }; // It is consumed: it would fail again and again.
      return undefined;
    }
  };
}

/** The bytes, in memory of their own. */
export const takeBytes: Taker<Uint8Array> = (_, memory, byteOffset, byteLength, owned) =>
  owned ? memory.subarray(byteOffset, byteOffset + byteLength) : memory.slice(byteOffset, byteOffset + byteLength);

/** The bytes, in `target`; how many they are. */
export const takeInto =
  (target: Uint8Array): Taker<number> =>
  (_, memory, byteOffset, byteLength) => {
    if (memory === target) return byteLength; // It has arrived there.
    if (target.length < byteLength) throw lostView(byteLength, 'it stays until it is received');
    target.set(memory.subarray(byteOffset, byteOffset + byteLength));
    return byteLength;
  };
