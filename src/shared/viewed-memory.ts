// What values, arrays and blocks of memory have in common: nobody waits on them, and users keep views of them.

import { closesWithLastView } from '../memory/collected.js';
import { checkOpen, type Segment } from '../memory/segment.js';
import { SegmentOwner } from '../memory/segment-owner.js';

/** A handle to shared memory. */
export abstract class ViewedMemory extends SegmentOwner {
  readonly #segment: Segment;

  /** @internal */
  constructor(segment: Segment) {
    super(segment);
    this.#segment = segment;
    collected.register(this, segment);
  }

  /**
   * Gives up this handle. Views of its memory read zeros from then on, and what is written to them goes nowhere; between
   * threads (`sab`) they go on showing the memory. Idempotent.
   */
  close(): void {
    if (this.closed) return;
    collected.unregister(this.#segment);
    this.#segment.close();
  }

  /** @internal */
  protected checkOpen(): void {
    checkOpen(this.#segment);
  }
}

const collected = closesWithLastView();
