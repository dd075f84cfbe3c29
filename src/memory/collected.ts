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
  const warn = warnsOnce();
  return new FinalizationRegistry<Held>((held) => {
    const { segment } = held;
    warn(segment.label);
    release(held);
    segment.close();
  });
}

/** What closesWithLastView() makes. */
export interface ViewedObjects {
  register(owner: object, segment: Segment): void;
  unregister(segment: Segment): void;
}

/**
 * The same for classes whose users keep views of the memory: a view that is all that is left of an object still works, so
 * the segment is closed when the object and all of its views are collected.
 */
export function closesWithLastView(): ViewedObjects {
  const warn = warnsOnce();
  const registry = new FinalizationRegistry<{ label: string; segment?: Segment }>(({ label, segment }) => {
    warn(label);
    segment?.close();
  });
  return {
    register(owner, segment) {
      const { label } = segment;
      // The addon closes a segment with its buffer; held here, the segment would keep that for ever. A SharedArrayBuffer
      // outlives its segment: only the participant's entry is to be given back.
      if (segment.backend === 'shm') registry.register(segment.buffer, { label }, segment);
      else registry.register(owner, { label, segment }, segment);
    },
    unregister(segment) {
      registry.unregister(segment);
    },
  };
}

function warnsOnce(): (label: string) => void {
  let warned = false;
  return (label) => {
    if (warned) return;
    warned = true;
    warn(`${label} was collected without close(); it is closed now`, 'RINGWAY_NOT_CLOSED');
  };
}
