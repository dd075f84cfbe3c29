// The options of a many-to-many ring, and what is refused.

import { Constants } from '../layout.js';
import {
  type CheckedSharedOptions,
  checkInteger,
  checkSharedOptions,
  type SharedOptions,
} from '../memory/shared-object.js';
import type { RecordDescription } from '../record/description.js';
import { checkRecordType, type RecordOption, type RecordType } from '../record/record.js';
import { checkWait, type WaitMode } from '../wait/adaptive-spin.js';
import { type MpmcShape, mpmcByteLength } from './mpmc-slots.js';
import { checkSlotByteLength, MAX_RING_BYTE_LENGTH } from './slot-options.js';
import { checkAlignment } from './spsc-options.js';

export interface MpmcRingOptions extends SharedOptions {
  /** How many messages fit, 1 to 65536; rounded up to a power of two, at least 2. */
  slots: number;
  /** The longest message, in bytes: 1 to 2^30, all slots together at most 2^30. */
  slotByteLength: number;
  /** How handles wait: `adaptive` (default) spins a little while traffic flows, `spin` takes a core, `park` never spins. */
  wait?: WaitMode;
  /** Where messages start: multiples of 8 (default) or 64 bytes. */
  alignment?: 8 | 64;
}

/** Of a ring of typed records: a slot has room for one, unless it should be larger. */
export type MpmcRecordRingOptions<Description extends RecordDescription> = Omit<MpmcRingOptions, 'slotByteLength'> &
  Partial<Pick<MpmcRingOptions, 'slotByteLength'>> &
  RecordOption<Description>;

interface CheckedOptions {
  shared: CheckedSharedOptions;
  shape: MpmcShape;
  record: RecordType | undefined;
}

export function checkMpmcOptions(options: Partial<MpmcRecordRingOptions<RecordDescription>>): CheckedOptions {
  const shared = checkSharedOptions(options, 'slots and a slotByteLength');
  const record = checkRecordType(options.record);
  const { slots, wait = 'adaptive', alignment = 8 } = options;
  checkInteger('maxParticipants', shared.maxParticipants, Constants.minParticipants, Constants.maxMpmcParticipants);
  checkInteger('slots', slots, 1, Constants.maxMpmcSlots);
  const slotByteLength = checkSlotByteLength(options.slotByteLength, record);
  checkAlignment(alignment);
  const shape: MpmcShape = {
    slots: Math.max(2 ** Math.ceil(Math.log2(slots)), Constants.minMpmcSlots),
    slotByteLength,
    alignment,
    wait: checkWait(wait),
  };
  const byteLength = mpmcByteLength(shape, shared.maxParticipants);
  if (byteLength > MAX_RING_BYTE_LENGTH) {
    throw new RangeError(
      `${shape.slots} slots of ${slotByteLength} bytes need ${byteLength} bytes, and a ring has at most ${MAX_RING_BYTE_LENGTH}`,
    );
  }
  return { shared, shape, record };
}
