// What the two ends of a connection say to each other, each as one array: [kind, id, …]. An id names a call for as long
// as it is open; each end numbers its own calls.
//
//   from the caller
//     call   id, method, arguments   an AbortSignal in the arguments travels as a traveller of kind SIGNAL
//     abort  id, index, reason       the signal that is the index-th in the arguments was aborted
//     pull   id, count               so many more values of the stream may come
//     stop   id                      no more values are wanted
//   from the callee: result or error, or open, any number of values, and done or error
//     result id, value
//     error  id, what was thrown
//     open   id                      the result is a stream of values
//     value  id, value
//     done   id, return value        the stream is at its end
//
// Everything here comes from another process: it is checked before it is used, and what cannot be is the end of the
// connection.

import { protocolError } from '../channel/fragments.js';
import { describe } from '../memory/names.js';

export const Kind = { call: 1, abort: 2, pull: 3, stop: 4, result: 5, error: 6, open: 7, value: 8, done: 9 } as const;

/** A message that was received: [kind, id, …]. */
export type Message = readonly unknown[];

/** How many items a message of each kind has. */
const LENGTHS: readonly number[] = [0, 4, 4, 3, 2, 3, 3, 2, 3, 3];

/** The kind of a traveller that is an AbortSignal. */
export const SIGNAL = 'AbortSignal';

/** Calls and streams of one end that are open at once: more wait at the caller. */
export const MAX_OPEN = 1024;

/** How many values of a stream are on their way, or wait for the consumer, at once. */
export const WINDOW = 16;

/**
 * A message of the right form, whatever it carries.
 * @throws {RingwayError} `EPROTO` if it is none
 */
export function checkMessage(message: unknown): Message {
  if (!Array.isArray(message)) throw protocolError(`a message that is ${describe(message)}`);
  const [kind, id] = message;
  if (!Number.isInteger(kind) || message.length !== LENGTHS[kind] || kind === 0) {
    throw protocolError(`a message of kind ${describe(kind)} with ${message.length} items`);
  }
  if (!Number.isSafeInteger(id) || id < 1) throw protocolError(`a call with the id ${describe(id)}`);
  return message;
}

export { protocolError };
