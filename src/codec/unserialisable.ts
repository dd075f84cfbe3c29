import { RingwayError } from '../errors.js';

/** What cannot be encoded, or bytes that are no value. */
export function unserialisable(message: string, cause?: unknown): RingwayError {
  return new RingwayError(message, 'ERR_RINGWAY_UNSERIALISABLE', { cause });
}
