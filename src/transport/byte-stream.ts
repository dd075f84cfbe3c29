// What kernel transports stand on: bytes in one direction that are there or are not, without frames. Descriptors with the
// addon, sockets of node:net without it.

import type { SleepEnd } from '../memory/segment.js';

/** How to wait for a stream. After a wake, and after `woken` and `limit`, the caller looks again. */
export interface Readiness {
  /**
   * Calls `wake` once when the stream may have something, or room; never before this returns.
   * @returns cancels; afterwards `wake` is not called
   */
  whenReady(referenced: boolean, wake: () => void): () => void;
  /**
   * Blocks the thread.
   * @throws {RingwayError} `ERR_RINGWAY_NO_ADDON` where only the event loop moves the bytes
   */
  block(limitMs: number): SleepEnd;
}

/** What read() says when there are no bytes now, and when there will be none any more. */
export const NO_BYTES = 0;
export const END = -1;

export interface ByteSource extends Readiness {
  readonly closed: boolean;
  /** @returns how many bytes were read, NO_BYTES or END. @throws {RingwayError} what the system said */
  read(target: Uint8Array, byteOffset: number, byteLength: number): number;
  /** The other side gets EPIPE, as far as the kernel tells it. Idempotent. */
  close(): void;
}

export interface ByteSink extends Readiness {
  readonly closed: boolean;
  /** @returns how many bytes were taken, 0 if there is no room now. @throws {RingwayError} `EPIPE` when nobody reads */
  write(source: Uint8Array, byteOffset: number, byteLength: number): number;
  /** Whether all that was taken is with the kernel: it arrives though this process ends. */
  readonly drained: boolean;
  /** The other side reads what was written, then the end. Idempotent. */
  close(): void;
}
