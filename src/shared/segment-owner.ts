// What values, arrays and blocks of memory have in common: a segment of their own that nobody waits on.

import { ClosedError } from '../errors.js';
import { closesWithLastView } from '../memory/collected.js';
import { departureOf } from '../memory/flight.js';
import type { Backend, Segment, SegmentHandle } from '../memory/segment.js';
import { nameOf } from '../memory/shared-object.js';
import { type Departure, type Route, travels } from '../memory/travel.js';

/** A handle to shared memory. The memory stays when it is closed, if it has a name or others hold it. */
export abstract class SegmentOwner implements Disposable {
  readonly #segment: Segment;

  /** @internal */
  constructor(segment: Segment) {
    this.#segment = segment;
    collected.register(this, segment);
  }

  /** What it is made of. */
  get backend(): Backend {
    return this.#segment.backend;
  }

  /** What another process finds it by; undefined for an unnamed one. */
  get name(): string | undefined {
    return nameOf(this.#segment);
  }

  /** Plain data that attach() takes: in another process for `shm`, in another thread for `sab`. */
  get handle(): SegmentHandle {
    return this.#segment.handle;
  }

  /** The handle. */
  toJSON(): SegmentHandle {
    return this.handle;
  }

  /** @internal */
  [travels](route: Route): Departure {
    return departureOf(this.#segment, route);
  }

  /** Whether this handle was closed. */
  get closed(): boolean {
    return this.#segment.closed;
  }

  /**
   * Gives up this handle. Views of its memory read zeros from then on, and what is written to them goes nowhere; between
   * threads (`sab`) they go on showing the memory. Idempotent.
   */
  close(): void {
    if (this.closed) return;
    collected.unregister(this.#segment);
    this.#segment.close();
  }

  /** close(). */
  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal */
  protected checkOpen(): void {
    checkOpen(this.#segment);
  }
}

/** @throws {ClosedError} if it was closed */
export function checkOpen(segment: Segment): void {
  if (segment.closed) throw new ClosedError(`${segment.label} is closed`);
}

const collected = closesWithLastView();
