// What producers and consumers of a many-to-many ring wait for. docs/MPMC.md, "Waiting", has the argument.

import { EndOfStreamError, RingwayError } from '../errors.js';
import { EventCountWords, ParticipantCounters } from '../layout.js';
import { prepareSleep } from '../memory/event-count.js';
import { checkOpen, type Segment } from '../memory/segment.js';
import type { WaitMode } from '../wait/adaptive-spin.js';
import type { Condition } from '../wait/condition.js';
import type { Census, MpmcSlots } from './mpmc-slots.js';

abstract class SlotCondition implements Condition {
  readonly segment: Segment;
  readonly mode: WaitMode;
  readonly role: number;
  readonly counters: number;
  protected readonly slots: MpmcSlots;
  /** Whether a sleeper was announced since the last attempt, so that only the whole truth will do. */
  protected prepared = false;

  constructor(slots: MpmcSlots, mode: WaitMode) {
    this.slots = slots;
    this.segment = slots.segment;
    this.mode = mode;
    this.role = slots.ended;
    // An end's counters have their counts of waits where a participant's have them behind `pushed`.
    this.counters = slots.counters + ParticipantCounters.popped;
  }

  abstract get sequence(): number;
  abstract get watched(): number;
  abstract peerGone(ended: number): Error | undefined;
  abstract peerHeld(): boolean;
  abstract hasMoved(): boolean;
  abstract prepare(): number;

  checkPeer(): void {
    this.settleTheDead();
  }

  peerIsHere(): boolean {
    return false;
  }

  checkOpen(): void {
    checkOpen(this.segment);
  }

  /** Asks the kernel who of the holders lives, and gives back what the dead held. */
  protected settleTheDead(): Census {
    const census = this.slots.census();
    if (this.segment.judgesDeath) {
      for (const owner of census.owners) if (!this.segment.alive(owner)) this.segment.settle(owner);
    }
    return census;
  }
}

/** A message to take, or the end. */
export class MessageCondition extends SlotCondition {
  // Without anybody who writes, reads or has queued something, nobody's death matters: the sleep needs no limit.
  #quiet = false;

  get sequence(): number {
    return (this.#quiet ? this.slots.quiet : this.slots.filled) + EventCountWords.sequence;
  }

  get watched(): number {
    return this.slots.nextCell;
  }

  peerGone(ended: number): Error | undefined {
    this.prepared = this.#quiet = false;
    return ended !== 0 && this.#isOver()
      ? new EndOfStreamError(`${this.segment.label} has ended and is empty`)
      : undefined;
  }

  peerHeld(): boolean {
    return this.segment.judgesDeath && !this.#quiet;
  }

  override checkPeer(): void {
    this.#quiet = this.isQuiet(this.settleTheDead());
  }

  /** Whether nobody's death would matter. */
  protected isQuiet({ quiet }: Census): boolean {
    return quiet;
  }

  prepare(): number {
    this.prepared = true;
    return prepareSleep(this.segment.words, this.#quiet ? this.slots.quiet : this.slots.filled);
  }

  hasMoved(): boolean {
    if (this.slots.mayTake()) return true;
    if (!this.prepared) return false;
    if (this.#quiet && !this.isQuiet(this.slots.census())) return true;
    return Atomics.load(this.segment.words, this.role >> 2) !== 0 && this.#isOver();
  }

  // What others read may come again, so it is waited for, but not by one who reads something itself: two of them would
  // wait for each other.
  #isOver(): boolean {
    const { pending, lent, lentHere } = this.slots.census();
    return !pending && (!lent || lentHere);
  }
}

/** A free slot. */
export class RoomCondition extends SlotCondition {
  get sequence(): number {
    return this.slots.freed + EventCountWords.sequence;
  }

  get watched(): number {
    return this.slots.oldestState;
  }

  peerGone(ended: number): Error | undefined {
    this.prepared = false;
    return ended === 0 ? undefined : streamEnded(this.segment.label);
  }

  /** All slots are taken, by somebody whose death would free them. */
  peerHeld(): boolean {
    return this.segment.judgesDeath;
  }

  prepare(): number {
    this.prepared = true;
    return prepareSleep(this.segment.words, this.slots.freed);
  }

  hasMoved(): boolean {
    return this.prepared ? this.slots.mayClaim() : this.slots.oldestIsFree();
  }
}

/** Pushing after the end. */
export function streamEnded(label: string): RingwayError {
  return new RingwayError(`${label} has ended: nothing can be pushed any more`, 'EPIPE');
}
