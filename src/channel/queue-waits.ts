// What is waited for at a queue: as at a many-to-many ring (ring/mpmc-waits.ts, docs/MPMC.md), and besides for room in the
// arena, for the end when no sender is left, and for all messages to be done.

import { EventCountWords } from '../layout.js';
import { prepareSleep } from '../memory/event-count.js';
import { checkOpen, type Segment } from '../memory/segment.js';
import type { Census } from '../ring/mpmc-slots.js';
import { MessageCondition, RoomCondition } from '../ring/mpmc-waits.js';
import type { WaitMode } from '../wait/adaptive-spin.js';
import type { Condition } from '../wait/condition.js';
import { type QueueBody, queueEnded } from './queue-body.js';

/** A free slot, and room in the arena. */
export class QueueRoom extends RoomCondition {
  /** What the first that waits needs in the arena, in bytes. */
  needed = 0;
  readonly #body: QueueBody;

  constructor(body: QueueBody, mode: WaitMode) {
    super(body.slots, mode);
    this.#body = body;
  }

  override peerGone(ended: number): Error | undefined {
    return super.peerGone(ended) === undefined ? undefined : queueEnded(this.segment);
  }

  override hasMoved(): boolean {
    if (this.needed === 0) return super.hasMoved();
    return this.slots.mayClaim() && this.#body.arena.mayHold(this.needed);
  }
}

/** A message, or the end. */
export class QueueMessages extends MessageCondition {
  readonly #body: QueueBody;

  constructor(body: QueueBody, mode: WaitMode) {
    super(body.slots, mode);
    this.#body = body;
  }

  protected override settleTheDead(): Census {
    this.#body.producers.settleTheDead();
    return super.settleTheDead();
  }

  protected override isQuiet(census: Census): boolean {
    return super.isQuiet(census) && !this.#body.producers.any;
  }
}

/** All messages done. */
export class AllDone implements Condition {
  readonly segment: Segment;
  readonly mode: WaitMode;
  readonly sequence: number;
  readonly watched: number;
  readonly role: number;
  readonly counters = -1;
  readonly #body: QueueBody;
  #prepared = false;

  constructor(body: QueueBody, mode: WaitMode) {
    this.segment = body.segment;
    this.mode = mode;
    this.sequence = body.unfinished.done + EventCountWords.sequence;
    this.watched = this.sequence;
    this.role = body.slots.ended; // Nobody in particular is waited for.
    this.#body = body;
  }

  peerGone(): undefined {
    this.#prepared = false;
  }

  /** Whoever has got something may die. */
  peerHeld(): boolean {
    return this.segment.judgesDeath;
  }

  checkPeer(): void {
    this.#body.unfinished.settleTheDead();
  }

  peerIsHere(): boolean {
    return false;
  }

  prepare(): number {
    this.#prepared = true;
    return prepareSleep(this.segment.words, this.#body.unfinished.done);
  }

  /** The whole truth before a sleep; while watching, only whether anything is queued. */
  hasMoved(): boolean {
    return this.#prepared && this.#body.unfinished.isEmpty; // event_count.hpp, A.
  }

  checkOpen(): void {
    checkOpen(this.segment);
  }
}
