// What every end of a ring of typed records is: the end that has the bytes, as others see it.

import type { RingEnd } from './ring-end.js';

/** One end of a ring of typed records. */
export abstract class RecordEnd<Bytes extends RingEnd> implements Disposable {
  /** @internal */
  protected readonly bytes: Bytes;

  /** @internal */
  protected constructor(bytes: Bytes) {
    this.bytes = bytes;
  }

  /** Whether this end was closed, by itself or with its ring. */
  get closed(): boolean {
    return this.bytes.closed;
  }

  /**
   * Gives the role back. Pending operations are rejected with ClosedError, what was lent out is given back. Idempotent.
   */
  close(): void {
    this.bytes.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** A pending asynchronous operation keeps the process alive: the default. */
  ref(): this {
    this.bytes.ref();
    return this;
  }

  /** Lets the process end though an operation is pending. */
  unref(): this {
    this.bytes.unref();
    return this;
  }
}
