// The other side of a Listener.

import type { Socket } from 'node:net';
import { type RingwayError, TimeoutError } from '../errors.js';
import { checkWaitOptions, deadlineOf, type WaitOptions } from '../wait/options.js';
import { parseAddress } from './address.js';
import { Connection } from './connection.js';
import { Conversation, clientHandshake, closeChannel, socketError } from './handshake.js';
import { checkSocketOptions, kindOf, mayMove, prepareTcp, requireNet, type SocketOptions } from './listener.js';

export type ConnectOptions = SocketOptions & WaitOptions;

/**
 * Connects to a Listener, once.
 * @param address - of the listener: `shm:name`, `unix:/path`, `unix:@name` (Linux) or `tcp://host:port`
 * @throws {TypeError | RangeError} for addresses of another form, and options out of range, with the value
 * @throws {RingwayError} `ENOENT` or `ECONNREFUSED` if nobody listens there; `EPROTO` if it is not ringway, or of another
 *   version; `ECONNRESET` if it ended in the middle
 * @throws {AuthenticationError} if the other side does not have this `authKey`, or one side has none
 * @throws {TimeoutError} after `timeoutMs`
 */
export async function connect<Out = unknown, In = Out>(
  address: string,
  options: ConnectOptions = {},
): Promise<Connection<Out, In>> {
  const place = parseAddress(address);
  const { key, codec, maxMessageByteLength } = checkSocketOptions(options);
  checkWaitOptions(options);
  const { signal } = options;
  signal?.throwIfAborted();
  const deadline = deadlineOf(options.timeoutMs);
  const net = requireNet();
  const other = `the server at ${address}`;
  const kind = kindOf(place);
  const target = place.scheme === 'tcp' ? { host: place.host, port: place.port } : { path: place.path };
  const socket = net.connect({ ...target, allowHalfOpen: true });
  const talk = new Conversation(socket, other);
  // Ends the handshake, which gives back what it has made.
  let givenUp: { error: unknown } | undefined;
  const giveUp = (error: unknown) => {
    givenUp ??= { error };
    talk.fail(new TimeoutError('given up'));
  };
  const onAbort = () => giveUp(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  let timer: ReturnType<typeof setTimeout> | undefined;
  const setTimer = () => {
    const leftMs = deadline - performance.now();
    if (leftMs <= 0) giveUp(new TimeoutError(`connecting to ${address} timed out`));
    else timer = setTimeout(setTimer, Math.min(Math.ceil(leftMs), 2 ** 31 - 1));
  };
  if (deadline !== Infinity && deadline !== -Infinity) setTimer();
  if (deadline === -Infinity) timer = setTimeout(setTimer, 0);
  try {
    await connected(socket, other);
    if (kind === 'tcp') prepareTcp(socket);
    const options = { key, mayMove: mayMove(place, key), kind, other };
    const channel = await clientHandshake(talk, options);
    if (givenUp === undefined) return new Connection<Out, In>(channel, { codec, maxMessageByteLength });
    closeChannel(channel);
    throw givenUp;
  } catch (error) {
    socket.destroy();
    throw givenUp === undefined ? error : givenUp.error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}

function connected(socket: Socket, other: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('close', () => reject(new TimeoutError('given up')));
    socket.once('error', (error) => reject(notThere(other, error)));
  });
}

function notThere(other: string, error: NodeJS.ErrnoException): RingwayError {
  const hints: Record<string, string> = {
    ENOENT: 'nobody listens there',
    ECONNREFUSED: 'nobody listens there any more',
    ENOTSOCK: 'what is there is no listener',
  };
  const hint = hints[error.code ?? ''];
  return socketError(`cannot connect to ${other}${hint === undefined ? '' : `: ${hint}`}`, error);
}
