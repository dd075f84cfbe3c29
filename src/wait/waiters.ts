// Operations that wait on the event loop for one condition, served in the order they were called. Only the first one is
// attempted; all share one sleep.
//
// While traffic flows the condition is polled between turns of the loop, so timers and I/O have theirs; when it stops,
// the sleep goes to the system, and a waiting end costs nothing.

import { ClosedError, TimeoutError } from '../errors.js';
import { EndCounters } from '../layout.js';
import { yieldProcessor } from '../memory/native-waits.js';
import { nextTurn } from '../runtime.js';
import { AdaptiveSpin, FIRST_SLEEP_MS, LONGEST_POLL_MS, SleepLimit } from './adaptive-spin.js';
import { type Condition, NOT_YET, type NotYet } from './condition.js';
import { checkWaitOptions, deadlineOf, type WaitOptions } from './options.js';
import { count } from './wait-sync.js';

/** A peer that runs on another processor answers within these; one that doesn't may be waiting for this processor. */
const TURNS_BEFORE_YIELD = 4;

interface Pending {
  readonly what: string;
  readonly attempt: () => unknown;
  readonly waitForPeer: boolean;
  readonly deadline: number;
  readonly resolve: (result: never) => void;
  readonly reject: (error: unknown) => void;
  readonly signal: AbortSignal | undefined;
  onAbort?: () => void;
}

/** What a waiting operation can be told. */
export interface Wait extends WaitOptions {
  /** The operation's name, for messages. */
  what: string;
  /** Wait for a replacement when the peer is gone. */
  waitForPeer?: boolean;
}

export class Waiters {
  readonly #condition: Condition;
  readonly #spin: AdaptiveSpin;
  readonly #line: Pending[] = [];
  #referenced = true;
  #polling = false;
  #turnsPolled = 0; // In this wait.
  #waitingSince = 0;
  #askAt = 0; // When to ask next who lives.
  #sleepLimit = new SleepLimit();
  #cancelSleep: (() => void) | undefined;
  #sleepReferenced = false;

  /** @param spin - what others have learnt who wait for the like; its own by default */
  constructor(condition: Condition, spin = new AdaptiveSpin(condition.mode, LONGEST_POLL_MS)) {
    this.#condition = condition;
    this.#spin = spin;
  }

  /** Whether operations wait. */
  get any(): boolean {
    return this.#line.length > 0;
  }

  /**
   * Waits until the attempt succeeds and all that were called before are served.
   * @param attempt - one try without effect if it returns NOT_YET; what it throws rejects
   */
  wait<Result>(attempt: () => Result | NotYet, options: Wait): Promise<Result> {
    const { what, waitForPeer = false, timeoutMs, signal } = options;
    return new Promise<Result>((resolve, reject) => {
      checkWaitOptions(options);
      const deadline = deadlineOf(timeoutMs);
      signal?.throwIfAborted();
      const pending: Pending = { what, attempt, waitForPeer, deadline, resolve, reject, signal };
      this.#line.push(pending);
      if (signal !== undefined) {
        pending.onAbort = () => {
          this.#remove(pending);
          reject(signal.reason);
          this.#step();
        };
        signal.addEventListener('abort', pending.onAbort, { once: true });
      }
      this.#step();
    });
  }

  /** Serves what can be served now, for a thread that is about to block. */
  serve(): void {
    if (this.#line.length > 0) this.#step();
  }

  /** Rejects everything. */
  close(message: string): void {
    this.#stopSleeping();
    for (const pending of this.#line.splice(0)) {
      this.#forget(pending);
      pending.reject(new ClosedError(message));
    }
  }

  set referenced(referenced: boolean) {
    this.#referenced = referenced;
    if (referenced && this.#polling) nextTurn(() => {}); // Until the poll that may have been scheduled without one.
    if (this.#cancelSleep !== undefined && this.#sleepReferenced !== referenced) {
      this.#stopSleeping();
      this.#step();
    }
  }

  // Serves the line as far as it goes, then sees to it that this is called again.
  #step(): void {
    this.#stopSleeping();
    const condition = this.#condition;
    const { words } = condition.segment;
    for (;;) {
      // Before the attempt, which looks at the role too: what happens to it after this load keeps us from sleeping.
      const roleSeen = Atomics.load(words, condition.role >> 2); // native/include/ringway/role.hpp, A.
      if (!this.#serveLine()) return;
      const now = performance.now();
      if (this.#waitingSince === 0) {
        this.#waitingSince = now;
        this.#turnsPolled = 0;
        this.#askAt = now + FIRST_SLEEP_MS;
      }
      const polling = now - this.#waitingSince < this.#spin.limitMs;
      if (polling && now < this.#askAt) {
        this.#poll();
        return;
      }
      try {
        this.#askAt = now + this.#sleepLimit.next();
        // Before every sleep, so that a peer that died long ago is noticed now and not at the end of the sleep.
        condition.checkPeer(roleSeen);
        if (polling) continue;
        const expected = condition.prepare();
        if (condition.hasMoved(Atomics.load(words, condition.watched >> 2))) continue;
        if (Atomics.load(words, condition.role >> 2) !== roleSeen) continue; // role.hpp, A.
        this.#sleep(expected, condition.peerHeld(roleSeen) ? this.#askAt - now : Infinity);
        return;
      } catch (error) {
        this.#settleFirst((pending) => pending.reject(error));
      }
    }
  }

  // Settles operations from the head of the line; true if one is left that has to wait.
  #serveLine(): boolean {
    const now = performance.now();
    // A later one's time may come before that of the first.
    for (let i = this.#line.length - 1; i > 0; i--) {
      const pending = this.#line[i];
      if (pending.deadline > now) continue;
      this.#remove(pending);
      pending.reject(new TimeoutError(`${pending.what} timed out`));
    }
    while (this.#line.length > 0) {
      const pending = this.#line[0];
      try {
        const result = this.#attempt(pending);
        if (result === NOT_YET) {
          if (pending.deadline > now) return true;
          this.#settleFirst(({ what, reject }) => reject(new TimeoutError(`${what} timed out`)));
        } else {
          this.#settleFirst(({ resolve }) => resolve(result as never));
        }
      } catch (error) {
        this.#settleFirst(({ reject }) => reject(error));
      }
    }
    return false;
  }

  #attempt(pending: Pending): unknown {
    const result = pending.attempt();
    if (result !== NOT_YET || pending.waitForPeer) return result;
    const { segment, role } = this.#condition;
    const gone = this.#condition.peerGone(Atomics.load(segment.words, role >> 2)); // native/include/ringway/role.hpp, A.
    if (gone === undefined) return NOT_YET;
    const last = pending.attempt(); // What the peer did before it went is visible now.
    if (last === NOT_YET) throw gone;
    return last;
  }

  #poll(): void {
    if (this.#polling) return;
    this.#polling = true;
    count(this.#condition, EndCounters.spins);
    nextTurn(() => {
      this.#polling = false;
      if (++this.#turnsPolled > TURNS_BEFORE_YIELD) yieldProcessor();
      if (this.#line.length > 0 && this.#cancelSleep === undefined) this.#step();
    }, this.#referenced);
  }

  #sleep(expected: number, limitMs: number): void {
    const { segment, sequence } = this.#condition;
    const deadline = this.#line.reduce((earliest, { deadline }) => Math.min(earliest, deadline), Infinity);
    const limit = Math.min(limitMs, Math.max(0, deadline - performance.now()));
    this.#sleepReferenced = this.#referenced;
    this.#cancelSleep = segment.sleep(sequence, expected, limit, this.#referenced, (end) => {
      this.#cancelSleep = undefined;
      if (end === 'woken') count(this.#condition, EndCounters.wakeUps);
      this.#step();
    });
    count(this.#condition, EndCounters.parks);
  }

  #stopSleeping(): void {
    this.#cancelSleep?.();
    this.#cancelSleep = undefined;
  }

  #settleFirst(settle: (pending: Pending) => void): void {
    if (this.#waitingSince !== 0) {
      this.#spin.learn(performance.now() - this.#waitingSince);
      this.#waitingSince = 0;
      this.#sleepLimit = new SleepLimit();
    }
    const pending = this.#line.shift();
    if (pending === undefined) return;
    this.#forget(pending);
    settle(pending);
  }

  #remove(pending: Pending): void {
    const index = this.#line.indexOf(pending);
    if (index >= 0) this.#line.splice(index, 1);
    if (this.#line.length === 0) this.#waitingSince = 0;
    this.#forget(pending);
  }

  #forget(pending: Pending): void {
    if (pending.onAbort !== undefined) pending.signal?.removeEventListener('abort', pending.onAbort);
  }
}

// Operations that succeed at once are settled without a turn of the event loop, and a program that only awaits such
// would starve timers and I/O. So one in TURN_EVERY waits for the next turn.
const TURN_EVERY = 256;
let sinceTurn = 0;
const DONE: Promise<void> = Promise.resolve();

/** A promise of something that is there already. */
export function settled<Result>(result: Result): Promise<Result> {
  if (++sinceTurn < TURN_EVERY) return result === undefined ? (DONE as Promise<Result>) : Promise.resolve(result);
  sinceTurn = 0;
  return new Promise((resolve) => nextTurn(() => resolve(result)));
}
