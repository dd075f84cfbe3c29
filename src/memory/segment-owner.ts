// What every class of shared objects says of its segment.

import { departureOf } from './flight.js';
import type { Backend, Segment, SegmentHandle } from './segment.js';
import { nameOf } from './shared-object.js';
import { type Departure, type Route, travels } from './travel.js';

/** A handle to something shared. What is shared stays when it is closed, if it has a name or others hold it. */
export abstract class SegmentOwner implements Disposable {
  // What has to be quick reads the segment from a field of its own class: read here, for all classes, it is a slow lookup.
  readonly #segment: Segment;

  /** @internal */
  constructor(segment: Segment) {
    this.#segment = segment;
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

  /** Gives up this handle. Idempotent. */
  abstract close(): void;

  /** close(). */
  [Symbol.dispose](): void {
    this.close();
  }
}
