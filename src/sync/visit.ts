// One wait at a barrier: it arrives as soon as there is a place, then waits for the others. Each has its own line, since
// one of them may have to arrive before another one of the same handle can go on.

import type { Segment } from '../memory/segment.js';
import type { WaitMode } from '../wait/adaptive-spin.js';
import { type Condition, NOT_YET, type NotYet } from '../wait/condition.js';
import type { Cause, Generations, Place } from './generations.js';

export class Visit implements Condition {
  readonly segment: Segment;
  readonly mode: WaitMode;
  readonly sequence: number;
  readonly watched: number;
  readonly role: number;
  readonly counters = -1;
  readonly #generations: Generations;
  readonly #isActing: () => boolean;
  #place: Place | undefined;
  #seen = 0;

  /** @param isActing - whether this thread is running the action of the generation at hand */
  constructor(generations: Generations, isActing: () => boolean) {
    this.segment = generations.segment;
    this.mode = generations.mode;
    this.sequence = generations.sequence;
    this.watched = generations.state;
    this.role = generations.state;
    this.#generations = generations;
    this.#isActing = isActing;
  }

  /**
   * Arrives, or finds out whether the others have.
   * @returns its index once they are released; at once for the last one, which has to release() them
   * @throws {BrokenBarrierError} if the generation was broken
   */
  attempt(): number | NotYet {
    const generations = this.#generations;
    // Before the attempt, so that what happens after it keeps us from sleeping.
    this.#seen = generations.look();
    if (this.#place === undefined) {
      this.#place = generations.arrive();
      if (this.#place === undefined) return NOT_YET;
      // A party that died while it waited has broken the generation, though nobody has noticed yet.
      if (this.isLast) generations.checkParties(this.#place.generation);
    }
    const { generation, index } = this.#place;
    const outcome = generations.outcomeOf(generation);
    return outcome === NOT_YET && !this.isLast ? NOT_YET : index;
  }

  /** Whether all others were there when it arrived. */
  get isLast(): boolean {
    return this.#place?.index === this.#generations.parties - 1;
  }

  /**
   * For the last one.
   * @returns its index
   * @throws {BrokenBarrierError} if the generation was broken meanwhile
   */
  release(): number {
    const { generation, index } = this.#place as Place;
    this.#generations.release(generation);
    return index;
  }

  /**
   * Gives up: breaks the generation for the others.
   * @returns its index if they were released before that; undefined if it has given up, or had not arrived
   * @throws {BrokenBarrierError} if the generation was broken before that
   */
  giveUp(cause: Cause): number | undefined {
    if (this.#place === undefined) return undefined;
    const { generation, index } = this.#place;
    if (this.#generations.breakOpen(generation, cause)) return undefined;
    this.#generations.outcomeOf(generation);
    return index;
  }

  // What a wait looks at: there is one word, and the peers are all that have arrived.

  prepare(): number {
    return this.#generations.prepare();
  }

  hasMoved(state: number): boolean {
    return state !== this.#seen;
  }

  peerGone(): undefined {}

  /** Always: any of the others may be killed. */
  peerHeld(): boolean {
    return true;
  }

  checkPeer(state: number): void {
    this.#generations.checkParties(state >>> 1);
  }

  /** Where it waits for the end of an action that this thread runs. */
  peerIsHere(): boolean {
    return this.#place === undefined && this.#isActing();
  }

  /** Only close() of the same thread closes a handle, which cannot come while that thread is blocked. */
  checkOpen(): void {}
}
