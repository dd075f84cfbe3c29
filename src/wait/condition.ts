// What is waited for, apart from how: the rings implement it, `waitSync` and `Waiters` wait on it.

import type { Segment } from '../memory/segment.js';
import type { WaitMode } from './adaptive-spin.js';

/** The result of an attempt that has to wait. */
export const NOT_YET: unique symbol = Symbol('not yet');
export type NotYet = typeof NOT_YET;

export interface Condition {
  readonly segment: Segment;
  readonly mode: WaitMode;
  /** Offset of the sequence word to sleep on. */
  readonly sequence: number;
  /** Offset of the word that the peer moves next. */
  readonly watched: number;
  /** Offset of the word that says who holds the peer's role. */
  readonly role: number;
  /** Offset of this end's EndCounters, or -1. */
  readonly counters: number;

  /** Throws what a wait must end with now that the role's word is `word`: the peer is gone, the segment is corrupt. */
  peerGone(word: number): Error | undefined;
  /** Whether somebody in particular is waited for, whose death would matter. */
  peerHeld(word: number): boolean;
  /** Asks the kernel whether the holder lives, and settles the role if not; its word differs then. */
  checkPeer(word: number): void;
  /** Whether only this thread could end the wait. */
  peerIsHere(word: number): boolean;
  /** Whether the watched word, as it was loaded just now, differs from what the last attempt saw. */
  hasMoved(watched: number): boolean;
  /**
   * Announces a sleeper. The caller looks at both words once more before it sleeps.
   * @returns the value of the sequence word to sleep on
   */
  prepare(): number;
  /** Throws if the object was closed. */
  checkOpen(): void;
}
