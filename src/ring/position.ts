// A position that one end of a ring moves and the other end may sleep on; twin of native/include/ringway/position.hpp,
// where the argument stands that no wake-up is lost. Atomics are sequentially consistent, more than it needs.
//
// `index` is that of the position's word in the segment, `bell` the offset of the bell in bytes.

import { Constants } from '../layout.js';

const ASLEEP = Constants.asleepBit;

export function loadPosition(words: Int32Array, index: number): number {
  return Atomics.load(words, index) & ~ASLEEP; // A.
}

/** By the end that owns the position. True if the other end sleeps, and must be woken or marked again. */
export function movePosition(words: Int32Array, index: number, position: number): boolean {
  return (Atomics.exchange(words, index, position) & ASLEEP) !== 0; // A; B and C, with prepareToSleep().
}

/** The sleeper that movePosition() found is not to be woken yet. */
export function markAgain(words: Int32Array, index: number): void {
  Atomics.or(words, index, ASLEEP);
}

/** By the other end, before it sleeps: the value of the bell to sleep on. The caller must look at the position again. */
export function prepareToSleep(words: Int32Array, index: number, bell: number): number {
  const rung = Atomics.load(words, bell >> 2); // B: before the bit, so never newer.
  Atomics.or(words, index, ASLEEP); // A, B, C: with movePosition().
  return rung;
}
