// Lets the other end of a connection call the methods of an object.

import type { Connection } from '../channel/connection.js';
import { describe } from '../memory/names.js';
import { checkInteger } from '../memory/shared-object.js';
import { Endpoint } from './endpoint.js';
import { MAX_OPEN } from './messages.js';
import { methodsOf } from './methods.js';

export interface ExposeOptions {
  /** How many calls of one connection run at once, from 1 to 1024; 64 by default. Others wait for one of them to return. */
  concurrency?: number;
}

const DEFAULT_CONCURRENCY = 64;

/**
 * Answers the calls of the other end with the methods of `api`: its own and those of its classes, as they are now. The
 * connection belongs to expose() from here on.
 *
 * An AbortSignal in a call's arguments arrives as one, which is aborted also when the connection ends. A returned async
 * iterable or generator is sent value by value as the caller asks for them.
 * @param api - an object with methods; not getters, not those of Object.prototype and other built-in classes
 * @returns resolves when the connection ends in whatever way; rejects with `EPROTO` if the other end does not speak as
 *   wrap() does, which closes the connection. A rejection that nobody handles is not reported
 * @throws {TypeError} if there is no method
 * @throws {RingwayError} `ERR_RINGWAY_STATE` if the connection exposes something already
 * @throws as wrap()
 */
// biome-ignore lint/suspicious/noExplicitAny: whatever the connection was for
export function expose(connection: Connection<any, any>, api: object, options: ExposeOptions = {}): Promise<void> {
  try {
    const { methods, concurrency } = checkExposed(api, options);
    return Endpoint.of(connection).callee.expose(api, methods, concurrency);
  } catch (error) {
    return Promise.reject(error);
  }
}

/** @throws {TypeError | RangeError} for what cannot be exposed, or not so */
export function checkExposed(api: object, options: ExposeOptions) {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`expose takes an object with options, not ${describe(options)}`);
  }
  const { concurrency = DEFAULT_CONCURRENCY } = options;
  checkInteger('concurrency', concurrency, 1, MAX_OPEN);
  return { methods: methodsOf(api), concurrency };
}
