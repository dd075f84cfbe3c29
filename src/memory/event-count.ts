// An event count: sleep until a condition in shared memory may have changed. Twin of
// native/include/ringway/event_count.hpp, where the argument stands that no wake-up is lost. Atomics are sequentially
// consistent, as that argument needs.

import { EventCountWords } from '../layout.js';
import type { Segment } from './segment.js';

/** Call after the condition was changed by an Atomics.store. A system call only if somebody may sleep. */
export function notify(segment: Segment, eventCount: number): void {
  const { words } = segment;
  const index = (eventCount + EventCountWords.asleep) >> 2;
  const asleep = Atomics.load(words, index); // A: with prepareSleep().
  if (asleep === 0) return;
  segment.wake(eventCount + EventCountWords.sequence); // B.
  // After the wake, so a notifier that dies before it leaves the mark standing for the next one.
  Atomics.compareExchange(words, index, asleep, 0);
}

/** Announces a sleeper. The caller must look at its condition once more before it sleeps. The sequence to sleep on. */
export function prepareSleep(words: Int32Array, eventCount: number): number {
  const sequence = Atomics.load(words, (eventCount + EventCountWords.sequence) >> 2); // B: before the mark.
  const mark = sequence | 1;
  const index = (eventCount + EventCountWords.asleep) >> 2;
  let asleep = Atomics.load(words, index);
  while (asleep === 0 || ((mark - asleep) | 0) > 0) {
    const found = Atomics.compareExchange(words, index, asleep, mark); // A: with notify().
    if (found === asleep) break;
    asleep = found;
  }
  return sequence;
}
