// What both directions of one end of a connection work on: what carries the bytes, what is agreed on, whose the end is, and
// who is there no more.

import type { ValueCodec } from '../codec/codec.js';
import { ClosedError, RingwayError } from '../errors.js';
import { checkInteger } from '../memory/shared-object.js';
import type { FrameChannel } from '../transport/frames.js';
import type { ConnectionOptions } from './connection.js';

export class ConnectionBody {
  readonly channel: FrameChannel;
  readonly codec: ValueCodec;
  /** What is received at most, in bytes. */
  readonly maxByteLength: number;
  /** Whose the connection is, if not the user's own. */
  owner: string | undefined;
  /** Why nothing can be done here any more; undefined as long as something can. */
  gone: string | undefined;
  /** The other end will send no more, so it is closed or gone, and receives no more either. */
  ended = false;

  constructor(channel: FrameChannel, options: ConnectionOptions) {
    this.channel = channel;
    this.codec = options.codec;
    this.maxByteLength = options.maxMessageByteLength;
  }

  checkOpen(): void {
    this.checkNotGone();
    if (this.owner === undefined) return;
    throw new RingwayError(`this end of the connection belongs to ${this.owner}`, 'ERR_RINGWAY_STATE');
  }

  checkNotGone(): void {
    if (this.gone !== undefined) throw new ClosedError(`this end of the connection ${this.gone}`);
  }
}

/** @throws {TypeError | RangeError} unless it is a number of bytes, or Infinity */
export function checkMaxMessageByteLength(value: number): void {
  if (value !== Infinity) checkInteger('maxMessageByteLength', value, 0, Number.MAX_SAFE_INTEGER);
}
