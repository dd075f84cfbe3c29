// What every end of a ring is: something that waits for its peers, lends out memory, and can be closed.

import { ClosedError, RingwayError } from '../errors.js';
import { describe } from '../memory/names.js';
import type { Segment } from '../memory/segment.js';
import type { WaitMode } from '../wait/adaptive-spin.js';
import type { Condition, NotYet } from '../wait/condition.js';
import { checkWaitOptions, type SyncWaitOptions, type WaitOptions } from '../wait/options.js';
import { WaitingLine } from '../wait/waiting-line.js';

/** What to do while the other end is away. */
export interface PeerOptions {
  /** `'wait'`: wait for a replacement when the other end was closed or its process died. `'throw'` by default. */
  onPeerGone?: 'throw' | 'wait';
}

export type RingWaitOptions = WaitOptions & PeerOptions;
export type SyncRingWaitOptions = SyncWaitOptions & PeerOptions;

function checkRingWaitOptions(options: RingWaitOptions): void {
  checkWaitOptions(options);
  const { onPeerGone } = options;
  if (onPeerGone === undefined || onPeerGone === 'throw' || onPeerGone === 'wait') return;
  throw new RangeError(`onPeerGone must be 'throw' or 'wait', not ${describe(onPeerGone)}`);
}

/** What an end can do at the moment. */
export const EndState = { free: 0, borrowed: 1, closed: 2 } as const;

/** One end of a ring. */
export abstract class RingEnd implements Condition, Disposable {
  /** @internal */ readonly segment: Segment;
  /** @internal */ readonly mode: WaitMode;
  /** @internal */ abstract readonly sequence: number;
  /** @internal */ abstract readonly watched: number;
  /** @internal */ abstract readonly role: number;
  /** @internal */ abstract readonly counters: number;
  /** @internal `the producer of SpscRing "x"`, for messages. */
  readonly label: string;
  /** @internal Kept from being collected, and its segment closed, while an end is in use. */
  protected readonly ring: object;
  readonly #line: WaitingLine;
  #closed = false;

  /** @internal */
  protected constructor(ring: object, segment: Segment, mode: WaitMode, name: string) {
    this.ring = ring;
    this.segment = segment;
    this.mode = mode;
    this.label = `the ${name} of ${segment.label}`;
    this.#line = new WaitingLine(this);
  }

  /** Whether this end was closed, by itself or with its ring. */
  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Gives the role back. Pending operations are rejected with ClosedError, what was lent out is given back. Idempotent.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.endLoans();
    this.#line.close(`${this.label} was closed`);
    this.leave();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal What console.log() shows: not the segment, byte by byte. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return `[${this.label.replace(/^the /, '')}${this.closed ? ', closed' : ''}]`;
  }

  /** A pending asynchronous operation keeps the process alive: the default. */
  ref(): this {
    this.#line.referenced = true;
    return this;
  }

  /** Lets the process end though an operation is pending. */
  unref(): this {
    this.#line.referenced = false;
    return this;
  }

  /** @internal */
  abstract hasMoved(watched: number): boolean;
  /** @internal */
  abstract prepare(): number;
  /** @internal */
  abstract peerGone(word: number): Error | undefined;
  /** @internal */
  abstract peerHeld(word: number): boolean;
  /** @internal */
  abstract checkPeer(word: number): void;
  /** @internal */
  abstract peerIsHere(word: number): boolean;
  /** @internal Gives back what was lent out, on the way to being closed. */
  protected abstract endLoans(): void;
  /** @internal Gives the place in the segment back, if that is open still. */
  protected abstract leave(): void;

  /** @internal */
  checkOpen(): void {
    if (this.#closed) throw new ClosedError(`${this.label} is closed`);
  }

  /** @internal Whether operations wait, which come before any that is called now. */
  get hasWaiting(): boolean {
    return this.#line.any;
  }

  /** @internal `attempt` as soon as it succeeds; at once, without a turn of the event loop, if nobody waits before us. */
  waitAsync<Result>(
    what: string,
    options: RingWaitOptions | undefined,
    attempt: () => Result | NotYet,
  ): Promise<Result> {
    try {
      if (options !== undefined) checkRingWaitOptions(options);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#line.async(what, options, attempt, options?.onPeerGone === 'wait');
  }

  /** @internal The same, blocking the thread. */
  waitSync<Result>(what: string, options: SyncRingWaitOptions | undefined, attempt: () => Result | NotYet): Result {
    if (options !== undefined) checkRingWaitOptions(options);
    return this.#line.sync(what, options, attempt, options?.onPeerGone === 'wait');
  }

  /** @internal */
  protected refuse(state: number): never {
    this.checkOpen();
    if (state !== EndState.borrowed) throw new ClosedError(`${this.segment.label} is closed`);
    throw new RingwayError(
      `${this.label} has lent out a record: commit, abort or release it first`,
      'ERR_RINGWAY_BORROWED',
    );
  }
}
