// The options of a many-to-many ring, and what is refused.

import { Constants } from '../layout.js';
import {
  type CheckedSharedOptions,
  checkInteger,
  checkSharedOptions,
  type SharedOptions,
} from '../memory/shared-object.js';
import { checkWait, type WaitMode } from '../wait/adaptive-spin.js';
import { type MpmcShape, mpmcByteLength } from './mpmc-slots.js';
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

const MAX_BYTE_LENGTH = 2 ** 30;

export function checkMpmcOptions(options: MpmcRingOptions): { shared: CheckedSharedOptions; shape: MpmcShape } {
  const shared = checkSharedOptions(options, 'slots and a slotByteLength');
  const { slots, slotByteLength, wait = 'adaptive', alignment = 8 } = options;
  checkInteger('maxParticipants', shared.maxParticipants, Constants.minParticipants, Constants.maxMpmcParticipants);
  checkInteger('slots', slots, 1, Constants.maxMpmcSlots);
  checkInteger('slotByteLength', slotByteLength, 1, Constants.maxSlotByteLength);
  checkAlignment(alignment);
  const shape: MpmcShape = {
    slots: Math.max(2 ** Math.ceil(Math.log2(slots)), Constants.minMpmcSlots),
    slotByteLength,
    alignment,
    wait: checkWait(wait),
  };
  const byteLength = mpmcByteLength(shape, shared.maxParticipants);
  if (byteLength > MAX_BYTE_LENGTH) {
    throw new RangeError(
      `${shape.slots} slots of ${slotByteLength} bytes need ${byteLength} bytes, and a ring has at most ${MAX_BYTE_LENGTH}`,
    );
  }
  return { shared, shape };
}
