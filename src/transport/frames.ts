// The seam between connections and what carries their bytes: one direction of frames. A frame arrives whole or not at
// all, in order. Rings carry frames as their records; kernel pipes and sockets put a length before each.

import type { Carrier, Departure, Route } from '../memory/travel.js';
import type { NotYet } from '../wait/condition.js';
import type { SyncWaitOptions, WaitOptions } from '../wait/options.js';

/** Writes a frame in place: `memory` from `byteOffset`, exactly `byteLength` bytes. */
export type FrameWriter = (memory: Uint8Array, byteOffset: number, byteLength: number) => void;

/** Looks at a frame in place; whether it is done with it. One that is not comes again. */
export type FrameReader = (memory: Uint8Array, byteOffset: number, byteLength: number) => boolean;

/** What both ends have in common: operations that wait are served in the order they were called. */
interface FrameEnd {
  readonly closed: boolean;
  /** Whether operations wait. */
  readonly hasWaiting: boolean;
  /**
   * Calls `attempt` until it does not return NOT_YET: now, and whenever the other end has moved. Operations called later
   * are not attempted before. What it throws rejects.
   * @param what - the operation's name, for messages
   * @throws {TimeoutError} after `timeoutMs`; {ClosedError} if this end is closed meanwhile
   */
  until<Result>(what: string, options: WaitOptions | undefined, attempt: () => Result | NotYet): Promise<Result>;
  /** until() that blocks the thread. */
  untilSync<Result>(what: string, options: SyncWaitOptions | undefined, attempt: () => Result | NotYet): Result;
  /** A pending operation keeps the process alive: the default. */
  ref(): unknown;
  unref(): unknown;
  /** Idempotent. */
  close(): void;
}

/** The sending end of one direction. A wait ends with `EPIPE` when nobody will read any more. */
export interface FrameSender extends FrameEnd, Carrier {
  /** In bytes. */
  readonly maxFrameByteLength: number;
  /** In bytes: how long the frames of a message should be that does not fit into one. */
  readonly partByteLength: number;
  /** Whether the other end is closed or its process gone; a death may be noticed a millisecond late. */
  readonly peerIsGone: boolean;
  /** @returns false if there is no room now; the writer was not called then */
  tryWrite(byteLength: number, writer: FrameWriter): boolean;
}

/** A frame that stays where it is until it is released. */
export interface FrameLoan {
  readonly bytes: Uint8Array;
  release(): void;
}

/** The receiving end of one direction. A wait ends with EndOfStreamError when no frame will come any more. */
export interface FrameReceiver extends FrameEnd {
  /** Shows the next frame to `reader`. @returns false if there is none now */
  tryRead(reader: FrameReader): boolean;
  /** The next frame in place, consumed when it is released; null if there is none now. */
  tryBorrow(): FrameLoan | null;
}

/** How connections travel; what carries the bytes. */
export type Transport = 'shm' | 'sab' | 'pipe' | 'unix' | 'tcp';

/** Both directions, or one of them. */
export interface FrameChannel {
  readonly transport: Transport;
  readonly sender: FrameSender | undefined;
  readonly receiver: FrameReceiver | undefined;
  /** Settles when the other end is there, if it was not from the start: a pair of sockets that was made without the addon. */
  readonly established?: Promise<void> | undefined;
  /**
   * Starts the way of this channel's ends to another process. Nobody uses them until `sent` or `unsent` is called.
   * @throws if it cannot go there
   */
  depart(route: Route): Omit<Departure, 'kind'>;
  /** The ends' handle for another thread or process: gives them away at once. */
  giveAway(): unknown;
}
