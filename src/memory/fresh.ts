// Memory of this process's own for what is about to arrive, with whatever bytes are in it.

import { findNative } from './backend.js';

/**
 * From here on the kernel is asked for large pages. A page is made when it is written first, which takes several times as long
 * as the copy into it: for 64 MiB, 16384 small pages or 32 large ones. Most kernels give large ones on request only.
 */
const LARGE_BYTE_LENGTH = 4 * 2 ** 20;

/**
 * Memory that nobody else has. Its bytes may be those of anything that this process has freed: hand none out that was not
 * written.
 * @throws {RangeError} if there is not as much
 */
export function freshMemory(byteLength: number): Uint8Array {
  const buffer = globalThis.Buffer?.allocUnsafeSlow(byteLength);
  if (buffer === undefined) return new Uint8Array(byteLength);
  const bytes = new Uint8Array(buffer.buffer, buffer.byteOffset, byteLength);
  if (byteLength >= LARGE_BYTE_LENGTH) findNative().native?.useLargePages(bytes);
  return bytes;
}
