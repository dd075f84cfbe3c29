// An object for many clients: each that connects can call its methods.

import { Listener, type ListenerOptions } from '../channel/listener.js';
import { ClosedError } from '../errors.js';
import { checkExposed, type ExposeOptions, expose } from './expose.js';

export interface ServeOptions extends Omit<ListenerOptions, 'codec'>, ExposeOptions {}

/** What serve() has started. */
export interface Served extends AsyncDisposable {
  /** What connect() takes: with the port that was given, for `tcp://host:0`. */
  readonly address: string;
  /** Ends it, and the connections of all clients: their calls reject with `EPIPE`. Idempotent. */
  close(): Promise<void>;
}

/**
 * Listens at an address and exposes `api` to each client: `wrap(await connect(address))` calls its methods. It keeps the
 * process alive until it is closed.
 * @param address - as of Listener.listen()
 * @param api - as of expose(); one object for all clients
 * @throws as Listener.listen() and expose()
 */
export async function serve(address: string, api: object, options: ServeOptions = {}): Promise<Served> {
  const { concurrency, ...listening } = options;
  const exposing = concurrency === undefined ? {} : { concurrency };
  checkExposed(api, exposing);
  const listener = await Listener.listen(address, listening);
  const connections = new Set<Disposable>();
  const welcome = async () => {
    for (;;) {
      const connection = await listener.accept();
      connections.add(connection);
      const forget = () => connections.delete(connection);
      expose(connection, api, exposing).then(forget, forget); // One that does not speak as wrap() does is closed already.
    }
  };
  const welcoming = welcome().catch((error) => {
    if (!(error instanceof ClosedError)) throw error;
  });
  const close = async () => {
    await listener.close();
    for (const connection of connections) connection[Symbol.dispose]();
    await welcoming;
  };
  return { address: listener.address, close, [Symbol.asyncDispose]: close };
}
