// The options of an SPSC ring, and what is refused.

import { Constants } from '../layout.js';
import { describe } from '../memory/names.js';
import {
  type CheckedSharedOptions,
  checkInteger,
  checkSharedOptions,
  type SharedOptions,
} from '../memory/shared-object.js';
import { checkWait, type WaitMode } from '../wait/adaptive-spin.js';
import { minCapacity } from './spsc-end.js';

export interface SpscRingOptions extends SharedOptions {
  /** Bytes, 1 to 2^30; rounded up to a power of two. */
  capacity: number;
  /** How ends wait: `adaptive` (default) spins a little while traffic flows, `spin` takes a core, `park` never spins. */
  wait?: WaitMode;
  /** Where records start: multiples of 8 (default) or 64 bytes. */
  alignment?: 8 | 64;
}

interface CheckedOptions extends CheckedSharedOptions {
  capacity: number;
  wait: WaitMode;
  alignment: 8 | 64;
}

export function checkOptions(options: SpscRingOptions): CheckedOptions {
  const shared = checkSharedOptions(options, 'a capacity');
  const { capacity, wait = 'adaptive', alignment = 8 } = options;
  checkAlignment(alignment);
  checkInteger('capacity', capacity, 1, Constants.maxSpscCapacity);
  return {
    ...shared,
    capacity: Math.max(2 ** Math.ceil(Math.log2(capacity)), minCapacity(alignment)),
    wait: checkWait(wait),
    alignment,
  };
}

export function checkAlignment(alignment: unknown): void {
  if (alignment !== 8 && alignment !== 64)
    throw new RangeError(`alignment must be 8 or 64, not ${describe(alignment)}`);
}
