// The operations of one object that wait for one condition, in both forms, served in the order they were called.

import { AdaptiveSpin, LONGEST_SPIN_MS } from './adaptive-spin.js';
import { type Condition, NOT_YET, type NotYet } from './condition.js';
import { deadlineOf, type SyncWaitOptions, type WaitOptions } from './options.js';
import { waitSync } from './wait-sync.js';
import { settled, Waiters } from './waiters.js';

export class WaitingLine {
  readonly #condition: Condition;
  readonly #spin: AdaptiveSpin;
  readonly #waiters: Waiters;

  constructor(condition: Condition) {
    this.#condition = condition;
    this.#spin = new AdaptiveSpin(condition.mode, LONGEST_SPIN_MS);
    this.#waiters = new Waiters(condition);
  }

  /** `attempt` as soon as it succeeds; at once, without a turn of the event loop, if nobody waits before. */
  async<Result>(
    what: string,
    options: WaitOptions | undefined,
    attempt: () => Result | NotYet,
    waitForPeer = false,
  ): Promise<Result> {
    try {
      if (!this.#waiters.any && !options?.signal?.aborted) {
        const result = attempt();
        if (result !== NOT_YET) return settled(result);
      }
      return this.#waiters.wait(attempt, { ...options, what, waitForPeer });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** The same, blocking the thread. */
  sync<Result>(
    what: string,
    options: SyncWaitOptions | undefined,
    attempt: () => Result | NotYet,
    waitForPeer = false,
  ): Result {
    const waiters = this.#waiters;
    return waitSync(what, this.#condition, this.#spin, deadlineOf(options?.timeoutMs), waitForPeer, () => {
      if (!waiters.any) return attempt();
      waiters.serve(); // Those that wait already come first.
      return waiters.any ? NOT_YET : attempt();
    });
  }

  /** Whether operations wait. */
  get any(): boolean {
    return this.#waiters.any;
  }

  /** Whether pending operations keep the event loop alive. */
  set referenced(referenced: boolean) {
    this.#waiters.referenced = referenced;
  }

  /** Rejects what is pending. */
  close(message: string): void {
    this.#waiters.close(message);
  }
}
