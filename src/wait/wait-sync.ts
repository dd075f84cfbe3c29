// Blocks the thread until an attempt succeeds: spins in JavaScript for as long as traffic suggests, then in the system.

import { RingwayError, TimeoutError } from '../errors.js';
import { EndCounters } from '../layout.js';
import type { SleepEnd } from '../memory/segment.js';
import { type AdaptiveSpin, LONGEST_SPIN_MS, SleepLimit } from './adaptive-spin.js';
import { type Condition, NOT_YET, type NotYet } from './condition.js';

/** How long native code spins before it lets us ask who lives. */
const SPIN_SLICE_MS = 20;

/** Most waits of a busy ring end after a few looks: the clock, which costs as much as several, is not asked before. */
const LOOKS_BEFORE_CLOCK = 64;

/**
 * @param what - the operation's name, for messages
 * @param attempt - one try; NOT_YET while it has to wait
 * @param waitForPeer - wait for a replacement when the peer is gone
 * @throws {TimeoutError} at the deadline
 * @throws {RingwayError} `EINTR` when a signal came that somebody listens to; `ERR_RINGWAY_WOULD_DEADLOCK`
 */
export function waitSync<Result>(
  what: string,
  condition: Condition,
  spin: AdaptiveSpin,
  deadline: number,
  waitForPeer: boolean,
  attempt: () => Result | NotYet,
): Result {
  const { segment, role } = condition;
  const { words } = segment;
  const sleepLimit = new SleepLimit();
  let start = 0;
  let looked = deadline === -Infinity;
  let spun = false;
  for (;;) {
    // Before the attempt, which looks at the role too: what happens to it after this load keeps us from sleeping.
    const roleSeen = Atomics.load(words, role >> 2); // native/include/ringway/role.hpp, A.
    const result = attempt();
    if (result !== NOT_YET) {
      if (start !== 0) spin.learn(performance.now() - start);
      return result;
    }
    const gone = condition.peerGone(roleSeen);
    if (gone !== undefined && !waitForPeer) {
      const last = attempt(); // What the peer did before it went is visible now.
      if (last !== NOT_YET) return last;
      throw gone;
    }
    if (!looked) {
      looked = true;
      if (movesAtOnce(condition)) continue;
    }
    const now = performance.now();
    if (start === 0) start = now;
    if (now >= deadline) throw new TimeoutError(`${what} timed out`);
    if (condition.peerIsHere(roleSeen)) {
      throw new RingwayError(
        `${what} would block for ever: this thread holds the other end of ${segment.label}`,
        'ERR_RINGWAY_WOULD_DEADLOCK',
      );
    }
    const limitMs = spin.limitMs;
    if (!spun) {
      spun = true;
      segment.heedSignals();
      count(condition, EndCounters.spins);
      if (watch(condition, roleSeen, Math.min(limitMs, LONGEST_SPIN_MS, deadline - now))) continue;
    }
    // Before every sleep, so that a peer that died long ago is noticed now and not at the end of the sleep.
    condition.checkPeer(roleSeen);
    if (limitMs === Infinity) {
      if (watchOn(condition, roleSeen, deadline - now) === 'interrupted') throw interrupted(what);
      condition.checkOpen();
      continue;
    }
    const expected = condition.prepare();
    if (condition.hasMoved(Atomics.load(words, condition.watched >> 2))) continue;
    if (Atomics.load(words, role >> 2) !== roleSeen) continue; // role.hpp, A.
    count(condition, EndCounters.parks);
    const sleepMs = condition.peerHeld(roleSeen) ? sleepLimit.next() : Infinity;
    const end = segment.sleepSync(condition.sequence, expected, Math.min(sleepMs, deadline - performance.now()));
    if (end === 'interrupted') throw interrupted(what);
    if (end === 'woken') count(condition, EndCounters.wakeUps);
    condition.checkOpen();
  }
}

function interrupted(what: string): RingwayError {
  return new RingwayError(`${what} was interrupted by a signal`, 'EINTR', { syscall: 'futex' });
}

// Whether the condition may hold, or the role has changed, within `limitMs`. A change that does not help is no reason to sleep.
function watch(condition: Condition, roleSeen: number, limitMs: number): boolean {
  const { segment, watched, role } = condition;
  const { words } = segment;
  for (const end = performance.now() + limitMs; ; ) {
    const seen = Atomics.load(words, watched >> 2); // position.hpp, A. The attempt that follows loads it again.
    if (condition.hasMoved(seen) || Atomics.load(words, role >> 2) !== roleSeen) return true; // role.hpp, A.
    const leftMs = end - performance.now();
    if (leftMs <= 0) return false;
    segment.spinSync(watched, seen, role, roleSeen, leftMs);
  }
}

function movesAtOnce(condition: Condition): boolean {
  const { words } = condition.segment;
  for (let look = 0; look < LOOKS_BEFORE_CLOCK; look++) {
    // position.hpp, A. The attempt that follows loads it again.
    if (condition.hasMoved(Atomics.load(words, condition.watched >> 2))) return true;
  }
  return false;
}

// A slice of watching for an end that never sleeps.
function watchOn(condition: Condition, roleSeen: number, limitMs: number): SleepEnd {
  const { segment, sequence } = condition;
  watch(condition, roleSeen, Math.min(SPIN_SLICE_MS, limitMs));
  // Only to see whether a signal has come: this sleep is over before it starts.
  return segment.sleepSync(sequence, ~Atomics.load(segment.words, sequence >> 2), 0);
}

/** Adds one to a counter that only this end writes. */
export function count(condition: Condition, counter: number): void {
  if (condition.counters >= 0) condition.segment.doubles[(condition.counters + counter) >> 3]++;
}
