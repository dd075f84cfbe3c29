// What wait() needs to know of an object: whether an operation that waits would not have to.

/** How to wait for one object. None of it consumes anything. */
export interface Readiness {
  /** Whether it is ready now: something is there, or nothing will come any more. */
  isReady(): boolean;
  /** Settles when it is ready, fails, or the signal aborts; looked at again by the caller. */
  whenReady(signal: AbortSignal): Promise<unknown>;
  /** Blocks the thread until it is ready, at most `timeoutMs`; looked at again by the caller. */
  blockUntilReady(timeoutMs: number): void;
}

/** The property by which wait() asks an object. */
export const readiness: unique symbol = Symbol('ringway.readiness');

/** Something that wait() takes. */
export interface Waitable {
  /** @internal */
  readonly [readiness]: Readiness;
}

/** The readiness of an object with `ready()` and `readySync()`, whose errors mean that waiting would not help. */
export function readinessOf(end: {
  isReady(): boolean;
  ready(options: { signal: AbortSignal }): Promise<unknown>;
  readySync(options: { timeoutMs: number }): unknown;
}): Readiness {
  return {
    isReady: () => end.isReady(),
    whenReady: (signal) => end.ready({ signal }),
    blockUntilReady: (timeoutMs) => end.readySync({ timeoutMs }),
  };
}
