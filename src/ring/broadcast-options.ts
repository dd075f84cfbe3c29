// The options of a broadcast ring, and what is refused.

import { Constants } from '../layout.js';
import { describe } from '../memory/names.js';
import {
  type CheckedSharedOptions,
  checkInteger,
  checkSharedOptions,
  type SharedOptions,
} from '../memory/shared-object.js';
import type { RecordDescription } from '../record/description.js';
import { checkRecordType, type RecordOption, type RecordType } from '../record/record.js';
import { checkWait, type WaitMode } from '../wait/adaptive-spin.js';
import { type BroadcastShape, broadcastByteLength, type OnSlow } from './broadcast-slots.js';
import { checkSlotByteLength, MAX_RING_BYTE_LENGTH } from './slot-options.js';
import { checkAlignment } from './spsc-options.js';

export interface BroadcastRingOptions extends SharedOptions {
  /** How far behind a subscriber may be, in messages: 1 to 65536; rounded up to a power of two, at least 2. */
  slots: number;
  /** The longest message, in bytes: 1 to 2^30, all slots together at most 2^30. */
  slotByteLength: number;
  /** What publishers do when a subscriber is that far behind: wait for it, or overwrite what it has not read. */
  onSlow: OnSlow;
  /** How many can publish at once, 1 to 256; 8 by default. Each takes one slot more. */
  maxPublishers?: number;
  /** How many can subscribe at once, 1 to 4096; 1024 by default. Each takes 128 bytes. */
  maxSubscribers?: number;
  /** How ends wait: `adaptive` (default) spins a little while traffic flows, `spin` takes a core, `park` never spins. */
  wait?: WaitMode;
  /** Where messages start: multiples of 8 (default) or 64 bytes. */
  alignment?: 8 | 64;
}

/** Of a ring of typed records: a slot has room for one, unless it should be larger. */
export type BroadcastRecordRingOptions<Description extends RecordDescription> = Omit<
  BroadcastRingOptions,
  'slotByteLength'
> &
  Partial<Pick<BroadcastRingOptions, 'slotByteLength'>> &
  RecordOption<Description>;

interface CheckedOptions {
  shared: CheckedSharedOptions;
  shape: BroadcastShape;
  record: RecordType | undefined;
}

export function checkBroadcastOptions(options: Partial<BroadcastRecordRingOptions<RecordDescription>>): CheckedOptions {
  const shared = checkSharedOptions(options, 'slots, a slotByteLength and onSlow');
  const record = checkRecordType(options.record);
  const { slots, onSlow, maxPublishers = 8, maxSubscribers = 1024 } = options;
  const { wait = 'adaptive', alignment = 8 } = options;
  checkInteger('slots', slots, 1, Constants.maxBroadcastSlots);
  const slotByteLength = checkSlotByteLength(options.slotByteLength, record);
  if (onSlow !== 'block' && onSlow !== 'overwrite') {
    throw new RangeError(`onSlow must be 'block' or 'overwrite', not ${describe(onSlow)}`);
  }
  checkInteger('maxPublishers', maxPublishers, 1, Constants.maxPublishers);
  checkInteger('maxSubscribers', maxSubscribers, 1, Constants.maxSubscribers);
  checkAlignment(alignment);
  const shape: BroadcastShape = {
    slots: Math.max(2 ** Math.ceil(Math.log2(slots)), Constants.minBroadcastSlots),
    slotByteLength,
    alignment,
    maxPublishers,
    maxSubscribers,
    onSlow,
    wait: checkWait(wait),
  };
  const byteLength = broadcastByteLength(shape);
  if (byteLength > MAX_RING_BYTE_LENGTH) {
    throw new RangeError(
      `${shape.slots} slots of ${slotByteLength} bytes for ${maxPublishers} publishers need ${byteLength} bytes, and a ring ` +
        `has at most ${MAX_RING_BYTE_LENGTH}`,
    );
  }
  return { shared, shape, record };
}
