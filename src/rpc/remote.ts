// The methods of an object in another process, as they look here.

import type { Connection } from '../channel/connection.js';
import { Endpoint } from './endpoint.js';

// biome-ignore lint/suspicious/noExplicitAny: any function, any connection
type Any = any;

/** What an iterator's values are, and what it returns at its end. */
type Iterated<Result> = [Result] extends [AsyncIterator<infer Value, infer Return, Any>]
  ? AsyncGenerator<Value, Return, undefined>
  : [Result] extends [AsyncIterable<infer Value>]
    ? AsyncGenerator<Value, unknown, undefined>
    : [Result] extends [Iterator<infer Value, infer Return, Any> & Iterable<Any>]
      ? AsyncGenerator<Value, Return, undefined>
      : never;

/** Never, unless its values are sent one by one: of async iterables and generators, but not of connections. */
type Stream<Result> = 0 extends 1 & Result
  ? never
  : [Result] extends [never]
    ? never
    : [Result] extends [Connection<Any, Any>]
      ? never
      : Iterated<Result>;

/** What a call of a method that returns `Result` gives. */
export type RemoteResult<Result> = [Stream<Result>] extends [never]
  ? Promise<[Stream<Awaited<Result>>] extends [never] ? Awaited<Result> : Stream<Awaited<Result>>>
  : Stream<Result>;

/** A method as it is called from another process. */
export type RemoteMethod<Method> = Method extends (...args: infer Args) => infer Result
  ? (...args: Args) => RemoteResult<Result>
  : never;

/**
 * The methods of an `Api` in another process. Each returns a promise of what the method returns; of an async iterable or a
 * generator, an AsyncGenerator. What is no method is not there.
 *
 * A remote can be awaited and returned from async functions: it is no promise. Disposing of it closes the connection.
 */
export type Remote<Api> = {
  readonly [Name in keyof Api as Api[Name] extends (...args: Any) => unknown
    ? Exclude<Name, 'then' | symbol | number>
    : never]: RemoteMethod<Api[Name]>;
} & Disposable &
  AsyncDisposable;

/**
 * Calls the methods of the object that the other end exposes. The connection belongs to its remotes from here on; the
 * other end's calls are answered if expose() was called for it too, in the same turn.
 *
 * A call rejects with a RemoteError whose `cause` is what the method threw; with `EPIPE` when the other end is closed or its
 * process is gone; with ClosedError when this end is closed; with `ERR_RINGWAY_UNSERIALISABLE` for arguments that cannot
 * travel; with the reason of an AbortSignal in its arguments once that is aborted.
 *
 * Only calls that wait keep the process alive.
 * @throws {RingwayError} `ERR_RINGWAY_STATE` if the connection does not send and receive, or is in use;
 *   `ERR_RINGWAY_SHAPE` if its codec is not the default one
 * @throws {ClosedError} if it is closed
 */
export function wrap<Api extends object>(connection: Connection<Any, Any>): Remote<Api> {
  const endpoint = Endpoint.of(connection);
  return new Proxy(remoteTarget(endpoint), new RemoteHandler(endpoint)) as Remote<Api>;
}

type Target = Record<PropertyKey, unknown>;

function remoteTarget(endpoint: Endpoint): Target {
  return Object.assign(Object.create(null), {
    [Symbol.dispose]: () => endpoint.close(),
    [Symbol.asyncDispose]: async () => endpoint.close(),
    [Symbol.toStringTag]: 'Remote',
    [Symbol.for('nodejs.util.inspect.custom')]: () =>
      `[Remote over ${endpoint.transport}${endpoint.end === undefined ? '' : ', ended'}]`,
  });
}

/** Methods are made as they are asked for, and kept. */
class RemoteHandler implements ProxyHandler<Target> {
  readonly #endpoint: Endpoint;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
  }

  get(target: Target, name: PropertyKey): unknown {
    const known = target[name as string];
    if (known !== undefined || typeof name === 'symbol' || name === 'then') return known;
    const { caller } = this.#endpoint;
    const method = { [name]: (...args: unknown[]) => caller.call(name as string, args) }[name];
    target[name as string] = method;
    return method;
  }

  set(_: Target, name: PropertyKey): boolean {
    throw new TypeError(`${String(name)} cannot be set: the methods of a remote are those of the other end`);
  }

  defineProperty(_: Target, name: PropertyKey): boolean {
    return this.set(_, name);
  }
}
