// The operations that wait for one direction of a byte stream, in both forms, served in the order they were called. What
// src/wait/waiting-line.ts is to memory, whose words can be watched; here only the kernel tells.

import { ClosedError, RingwayError, TimeoutError } from '../errors.js';
import { NOT_YET, type NotYet } from '../wait/condition.js';
import { checkWaitOptions, deadlineOf, type SyncWaitOptions, type WaitOptions } from '../wait/options.js';
import { settled } from '../wait/waiters.js';
import type { Readiness } from './byte-stream.js';

interface Pending {
  readonly what: string;
  readonly attempt: () => unknown;
  readonly resolve: (result: never) => void;
  readonly reject: (error: unknown) => void;
  readonly signal: AbortSignal | undefined;
  onAbort?: () => void;
  timer?: ReturnType<typeof setTimeout> | undefined;
}

/** How long a blocked thread lets other work of its own lie. */
const SLICE_MS = 5;

/** The longest that a timer runs. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export class StreamLine {
  readonly #readiness: Readiness;
  readonly #beforehand: () => boolean;
  readonly #line: Pending[] = [];
  #referenced = true;
  #serving = false;
  #cancel: (() => void) | undefined;

  /** @param beforehand - work of the stream's own that comes before all operations; whether it is done */
  constructor(readiness: Readiness, beforehand: () => boolean = () => true) {
    this.#readiness = readiness;
    this.#beforehand = beforehand;
  }

  /** Whether operations wait. */
  get any(): boolean {
    return this.#line.length > 0;
  }

  /** `attempt` as soon as it succeeds; at once if nobody waits before. */
  async<Result>(what: string, options: WaitOptions, attempt: () => Result | NotYet): Promise<Result> {
    try {
      checkWaitOptions(options);
      if (!this.any && !options.signal?.aborted) {
        const result = attempt();
        if (result !== NOT_YET) return settled(result);
      }
      return this.#wait(what, options, attempt);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * The same, blocking the thread.
   * @param peerIsHere - whether only this thread could end the wait
   * @param alongside - work that must not stand still while the thread is blocked; whether it is done
   */
  sync<Result>(
    what: string,
    options: SyncWaitOptions,
    attempt: () => Result | NotYet,
    peerIsHere: () => boolean,
    alongside: () => boolean = () => true,
  ): Result {
    checkWaitOptions(options);
    const deadline = deadlineOf(options.timeoutMs);
    for (;;) {
      this.serve(); // Those that wait already come first.
      if (!this.any) {
        const result = attempt();
        if (result !== NOT_YET) return result;
      }
      const now = performance.now();
      if (now >= deadline) throw timedOut(what);
      if (peerIsHere()) {
        throw new RingwayError(
          `${what} would block for ever: this thread holds the other end of the connection`,
          'ERR_RINGWAY_WOULD_DEADLOCK',
        );
      }
      const limitMs = Math.min(deadline - now, alongside() ? Infinity : SLICE_MS);
      if (this.#readiness.block(limitMs) === 'interrupted') {
        throw new RingwayError(`${what} was interrupted by a signal`, 'EINTR', { syscall: 'ppoll' });
      }
    }
  }

  /** Serves what can be served now. */
  serve(): void {
    this.#step();
  }

  /** Whether pending operations keep the event loop alive. */
  set referenced(referenced: boolean) {
    if (this.#referenced === referenced) return;
    this.#referenced = referenced;
    for (const { timer } of this.#line) referenced ? timer?.ref?.() : timer?.unref?.();
    if (this.#cancel === undefined) return;
    this.#stopWatching();
    this.#watch();
  }

  /** Rejects what is pending. */
  close(message: string): void {
    this.#stopWatching();
    for (const pending of this.#line.splice(0)) {
      this.#forget(pending);
      pending.reject(new ClosedError(message));
    }
    this.#step();
  }

  #wait<Result>(what: string, options: WaitOptions, attempt: () => Result | NotYet): Promise<Result> {
    return new Promise((resolve, reject) => {
      const { timeoutMs, signal } = options;
      signal?.throwIfAborted();
      const deadline = deadlineOf(timeoutMs);
      const pending: Pending = { what, attempt, resolve, reject, signal };
      this.#line.push(pending);
      if (signal !== undefined) {
        pending.onAbort = () => this.#giveUp(pending, signal.reason);
        signal.addEventListener('abort', pending.onAbort, { once: true });
      }
      this.#step();
      if (this.#line.includes(pending)) this.#setTimer(pending, deadline);
    });
  }

  #setTimer(pending: Pending, deadline: number): void {
    if (deadline === Infinity) return;
    const leftMs = deadline - performance.now();
    if (leftMs <= 0) {
      this.#giveUp(pending, timedOut(pending.what));
      return;
    }
    // Timers are a fraction of a millisecond early.
    pending.timer = setTimeout(() => this.#setTimer(pending, deadline), Math.min(Math.ceil(leftMs), LONGEST_TIMER_MS));
    if (!this.#referenced) pending.timer.unref?.();
  }

  #giveUp(pending: Pending, error: unknown): void {
    this.#line.splice(this.#line.indexOf(pending), 1);
    this.#forget(pending);
    pending.reject(error);
    this.#step();
  }

  // Serves the line as far as it goes, then sees to it that this is called again.
  #step(): void {
    if (this.#serving) return; // What an attempt calls comes round here.
    this.#serving = true;
    this.#stopWatching();
    let idle = this.#beforehand();
    while (this.any && this.#serveFirst()) idle = this.#beforehand();
    this.#serving = false;
    if (this.any || !idle) this.#watch();
  }

  #serveFirst(): boolean {
    const pending = this.#line[0] as Pending;
    let settle: () => void;
    try {
      const result = pending.attempt();
      if (result === NOT_YET) return false;
      settle = () => pending.resolve(result as never);
    } catch (error) {
      settle = () => pending.reject(error);
    }
    if (this.#line[0] === pending) this.#line.shift(); // The attempt may have closed everything.
    this.#forget(pending);
    settle();
    return true;
  }

  #watch(): void {
    try {
      this.#cancel = this.#readiness.whenReady(this.#referenced, () => {
        this.#cancel = undefined;
        this.#step();
      });
    } catch (error) {
      for (const pending of this.#line.splice(0)) {
        this.#forget(pending);
        pending.reject(error);
      }
    }
  }

  #stopWatching(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #forget(pending: Pending): void {
    clearTimeout(pending.timer);
    if (pending.onAbort !== undefined) pending.signal?.removeEventListener('abort', pending.onAbort);
  }
}

function timedOut(what: string): TimeoutError {
  return new TimeoutError(`${what} timed out`);
}
