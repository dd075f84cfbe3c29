// Shared objects that were never closed.

import { warn } from '../runtime.js';
import type { Segment } from './segment.js';

/**
 * Closes the segments of one class's objects when these are collected, with one warning for all of them.
 * @param release - gives back what the object held besides the segment
 */
export function closesWhenCollected<Held extends { segment: Segment }>(
  release: (held: Held) => void = () => {},
): FinalizationRegistry<Held> {
  let warned = false;
  return new FinalizationRegistry<Held>((held) => {
    const { segment } = held;
    if (!warned) {
      warned = true;
      warn(`${segment.label} was collected without close(); it is closed now`, 'RINGWAY_NOT_CLOSED');
    }
    release(held);
    segment.close();
  });
}
