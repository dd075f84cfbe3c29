// What is asked of the slots of a ring, whatever the ring.

import { Constants } from '../layout.js';
import { checkInteger } from '../memory/shared-object.js';
import type { RecordType } from '../record/record.js';

/** The most that a ring of slots takes, in bytes. */
export const MAX_RING_BYTE_LENGTH = 2 ** 30;

/**
 * @param slotByteLength - undefined: as long as a record
 * @throws {TypeError | RangeError} unless it is a number of bytes into which a record fits
 */
export function checkSlotByteLength(slotByteLength: number | undefined, record: RecordType | undefined): number {
  const wanted = slotByteLength ?? record?.byteLength;
  checkInteger('slotByteLength', wanted, 1, Constants.maxSlotByteLength);
  if (record === undefined || record.byteLength <= wanted) return wanted;
  throw new RangeError(`a record of ${record.byteLength} bytes does not fit into a slotByteLength of ${wanted}`);
}
