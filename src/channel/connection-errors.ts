// What the ends of channels say, in the words of connections.

import { EndOfStreamError, RingwayError, TimeoutError } from '../errors.js';

export function brokenPipe(cause?: unknown): RingwayError {
  const details = cause === undefined ? {} : { cause };
  return new RingwayError('the other end of the connection was closed, or its process is gone', 'EPIPE', details);
}

/** A channel's error as a connection's. */
export function connectionError(error: unknown): unknown {
  if (error instanceof EndOfStreamError) {
    return new EndOfStreamError(
      'the other end of the connection was closed, or its process is gone, and everything was received',
    );
  }
  return error instanceof RingwayError && error.code === 'EPIPE' ? brokenPipe(error) : error;
}

/** For promises: connectionError() that rejects. */
export function toConnectionError(error: unknown): never {
  throw connectionError(error);
}

/** For Sync forms: what `operation` returns, its errors as a connection's. */
export function orConnectionError<Result>(operation: () => Result): Result {
  try {
    return operation();
  } catch (error) {
    throw connectionError(error);
  }
}

/** What poll() makes of an error: true at the end of the stream, false at the end of the time. */
export function endOrTimeout(error: unknown): boolean {
  if (error instanceof EndOfStreamError) return true;
  if (error instanceof TimeoutError) return false;
  throw error;
}
