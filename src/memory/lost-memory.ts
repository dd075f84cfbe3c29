// A program may transfer or resize the memory that it has lent to an operation under way.

import { RingwayError } from '../errors.js';

/**
 * @param what - whose memory it was
 * @param outcome - what becomes of the message
 */
export function lostMemory(what: string, outcome: string): RingwayError {
  return new RingwayError(
    `${what} has lost its memory, which was transferred or resized: ${outcome}`,
    'ERR_RINGWAY_STATE',
  );
}
