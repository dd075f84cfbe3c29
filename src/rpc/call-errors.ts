// What goes wrong with calls, in the words of calls.

import { ClosedError, EndOfStreamError, RemoteError, RingwayError } from '../errors.js';
import { describe } from '../memory/names.js';

/** What was thrown there, as an error here. */
export function remoteError(method: string, thrown: unknown): RemoteError {
  const what = thrown instanceof Error ? `failed: ${thrown.name}: ${thrown.message}` : `threw ${describe(thrown)}`;
  return new RemoteError(`${method}() ${what}`, thrown);
}

/** The connection was over before the call was. @param reason - of the end */
export function unanswered(method: string, reason: unknown): unknown {
  if (reason instanceof ClosedError) return new ClosedError(`${method}(): this end of the connection was closed`);
  if (!(reason instanceof EndOfStreamError) && (reason as Partial<RingwayError>)?.code !== 'EPIPE') return reason;
  return new RingwayError(
    `${method}() was not answered: the other end of the connection was closed, or its process is gone`,
    'EPIPE',
    { cause: reason },
  );
}

/**
 * An error of encoding a message: it names the path to what cannot travel, from the message on.
 * @param item - the path to what the user gave
 * @param called - what the user calls that
 */
export function inTheirWords(error: unknown, item: string, called: string): unknown {
  const isOurs = error instanceof RingwayError && error.code === 'ERR_RINGWAY_UNSERIALISABLE';
  if (!isOurs || !error.message.startsWith(item)) return error;
  const { cause, code, message } = error;
  return new RingwayError(called + message.slice(item.length), code, { cause });
}

/** An error that travels whatever the one it stands for carries: its name, message and stack, and simple properties. */
export function portable(thrown: unknown): Error {
  const made = new Error('an error that cannot be sent was thrown');
  try {
    if (!(thrown instanceof Error)) {
      made.message = `${describe(thrown)} was thrown, which cannot be sent`;
      return made;
    }
    const keep = (key: string, enumerable: boolean) => {
      const value = (thrown as unknown as Record<string, unknown>)[key];
      if (!isSimple(value)) return;
      Object.defineProperty(made, key, { value, enumerable, configurable: true, writable: true });
    };
    for (const key of ['name', 'message', 'stack']) keep(key, false);
    for (const key of Object.keys(thrown)) keep(key, true);
  } catch {
    // It has getters that throw. What is there will do.
  }
  return made;
}

function isSimple(value: unknown): boolean {
  return value === null || ['string', 'number', 'boolean', 'bigint'].includes(typeof value);
}

/** Whether a connection ended because somebody left or died: not because of what was sent. */
export function isOrderly(error: unknown): boolean {
  return error instanceof EndOfStreamError || error instanceof ClosedError;
}
