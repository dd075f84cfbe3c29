// Memory for bytes that are about to arrive, many of them perhaps.

import { findNative } from './backend.js';

/**
 * From here on the kernel is asked for large pages, which most kernels give on request only. It makes and clears each page when
 * it is written first, 16384 small ones or 32 large ones for 64 MiB, and small ones take several times as long as the copy.
 */
const LARGE_BYTE_LENGTH = 4 * 2 ** 20;

/**
 * A new Uint8Array of zeros, quicker to fill if it is large.
 * @throws {RangeError} if there is not as much memory
 */
export function newBytes(byteLength: number): Uint8Array {
  const bytes = new Uint8Array(byteLength);
  if (byteLength >= LARGE_BYTE_LENGTH) findNative().native?.useLargePages(bytes);
  return bytes;
}
