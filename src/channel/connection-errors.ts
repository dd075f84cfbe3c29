// What the ends of channels say, in the words of connections.

import { EndOfStreamError, RingwayError } from '../errors.js';

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
