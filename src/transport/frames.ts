// The seam between connections and what carries their bytes: one direction of frames. A frame arrives whole or not at
// all, in order. Rings carry frames as their records; kernel pipes and sockets put a length before each.

import type { SyncWaitOptions, WaitOptions } from '../wait/options.js';

/** Writes a frame in place: `memory` from `byteOffset`, exactly `byteLength` bytes. */
export type FrameWriter = (memory: Uint8Array, byteOffset: number, byteLength: number) => void;

/** Looks at a frame in place; whether it is done with it. One that is not comes again. */
export type FrameReader = (memory: Uint8Array, byteOffset: number, byteLength: number) => boolean;

/** The sending end of one direction. */
export interface FrameSender {
  /** In bytes. */
  readonly maxFrameByteLength: number;
  readonly closed: boolean;
  /**
   * @returns false if there is no room now; the writer was not called then
   * @throws {RingwayError} `EPIPE` when the other end is closed or gone, as far as that is known without asking the kernel
   */
  tryWrite(byteLength: number, writer: FrameWriter): boolean;
  /** tryWrite() as soon as there is room; the writer is called then. @throws {RingwayError} `EPIPE` when nobody reads */
  write(byteLength: number, writer: FrameWriter, options?: WaitOptions): Promise<void>;
  writeSync(byteLength: number, writer: FrameWriter, options?: SyncWaitOptions): void;
  ref(): unknown;
  unref(): unknown;
  /** The other end reads what was written, then the end of the stream. Idempotent. */
  close(): void;
}

/** A frame that stays where it is until it is released. */
export interface FrameLoan {
  readonly bytes: Uint8Array;
  release(): void;
}

/** The receiving end of one direction. */
export interface FrameReceiver {
  readonly closed: boolean;
  /** Shows the next frame to `reader`. @returns false if there is none now */
  tryRead(reader: FrameReader): boolean;
  /** The next frame in place, not consumed before it is released; null if there is none now. */
  tryBorrow(): FrameLoan | null;
  /** Waits until there is a frame; consumes nothing. @throws {EndOfStreamError} when none will come any more */
  ready(options?: WaitOptions): Promise<void>;
  readySync(options?: SyncWaitOptions): void;
  /** No frame is there and none will come any more. */
  readonly ended: boolean;
  ref(): unknown;
  unref(): unknown;
  /** The other end gets EPIPE from then on. Idempotent. */
  close(): void;
}

/** Both directions, or one of them. */
export interface FrameChannel {
  readonly sender: FrameSender | undefined;
  readonly receiver: FrameReceiver | undefined;
}
