// Where other processes connect to. Handshakes are off the accept path: each has its own deadline, their number is bounded,
// and only connections that have come through one wait to be accepted.

import type { Server, Socket } from 'node:net';
import type { ValueCodec } from '../codec/codec.js';
import { type CodecOptions, checkCodec } from '../codec/option.js';
import { ClosedError, RingwayError, TimeoutError } from '../errors.js';
import { describe } from '../memory/names.js';
import { checkInteger } from '../memory/shared-object.js';
import { builtin } from '../runtime.js';
import type { FrameChannel } from '../transport/frames.js';
import { checkWaitOptions, deadlineOf, type WaitOptions } from '../wait/options.js';
import { type Readiness, readiness, type Waitable } from '../wait/readiness.js';
import { type Place, parseAddress } from './address.js';
import { Connection } from './connection.js';
import { checkMaxMessageByteLength } from './connection-body.js';
import {
  Conversation,
  checkKey,
  closeChannel,
  type HandshakeOptions,
  serverHandshake,
  socketError,
} from './handshake.js';
import { listenAt, listening, type SocketFile } from './socket-file.js';

/** What both sides of a socket take. */
export interface SocketOptions extends CodecOptions {
  /** What both sides must know; without one on either side, anybody who can reach the address is served. */
  authKey?: string | Uint8Array;
  /** What is received at most in one message, in bytes; 64 MiB by default. */
  maxMessageByteLength?: number;
}

export interface ListenerOptions extends SocketOptions {
  /** How many connections wait to be accepted at most; 128 by default. Others are told so. */
  backlog?: number;
  /** How long a client may take to show who it is, in milliseconds; 10 s by default. */
  handshakeTimeoutMs?: number;
}

/** What a process of its own choice may send at once without being asked. */
export const DEFAULT_MAX_MESSAGE_BYTES = 64 * 2 ** 20;

/** Clients that have not come through the handshake. Past it, the one that has been silent for longest goes. */
const MAX_HANDSHAKES = 128;

/** A TCP peer whose machine is gone is noticed after this and ten probes, a second apart. */
export const KEEP_ALIVE_MS = 30_000;

interface Pending {
  resolve(connection: Connection): void;
  reject(error: unknown): void;
  stop(): void;
}

/** Takes connections from other processes, at an address. Listener.listen() makes one. */
export class Listener<Out = unknown, In = Out>
  implements AsyncIterable<Connection<Out, In>>, AsyncDisposable, Waitable
{
  readonly #server: Server;
  readonly #address: string;
  readonly #file: SocketFile | undefined;
  readonly #handshake: Omit<HandshakeOptions, 'other'>;
  readonly #handshakeTimeoutMs: number;
  readonly #backlog: number;
  readonly #connection: { codec: ValueCodec; maxMessageByteLength: number };
  readonly #handshakes = new Set<Conversation>();
  readonly #accepted: Connection[] = [];
  #reserved = 0; // Places of handshakes that are about to end.
  readonly #pending: Pending[] = [];
  #referenced = true;
  #closed: Promise<void> | undefined;

  private constructor(
    server: Server,
    address: string,
    file: SocketFile | undefined,
    place: Place,
    options: ReturnType<typeof checkListenerOptions>,
  ) {
    this.#server = server;
    this.#address = address;
    this.#file = file;
    this.#handshake = { key: options.key, mayMove: mayMove(place, options.key), kind: kindOf(place) };
    this.#handshakeTimeoutMs = options.handshakeTimeoutMs;
    this.#backlog = options.backlog;
    this.#connection = { codec: options.codec, maxMessageByteLength: options.maxMessageByteLength };
    server.on('connection', (socket) => void this.#welcome(socket));
    server.on('error', () => {}); // Of a single accept: the next one may succeed.
    server.unref();
  }

  /**
   * Listens at an address.
   * @param address - `shm:name`, `unix:/path`, `unix:@name` (Linux) or `tcp://host:port`, where port 0 is any
   * @throws {TypeError | RangeError} for addresses of another form, and options out of range, with the value
   * @throws {RingwayError} `EADDRINUSE` if a live server is there, for `shm:` `EEXIST`, which says what it is; `EACCES`,
   *   `ENOENT` and what else the system refuses
   */
  static async listen<Out = unknown, In = Out>(
    address: string,
    options: ListenerOptions = {},
  ): Promise<Listener<Out, In>> {
    const place = parseAddress(address);
    const checked = checkListenerOptions(options);
    const net = requireNet();
    const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: false });
    if (place.scheme === 'tcp') {
      await listening(server, place).catch((error) => {
        throw socketError(`cannot listen at ${address}`, error);
      });
      const { port } = server.address() as { port: number };
      const host = place.host.includes(':') ? `[${place.host}]` : place.host;
      return new Listener<Out, In>(server, `tcp://${host}:${port}`, undefined, place, checked);
    }
    if (place.abstract || place.path.startsWith('\\\\')) {
      await listening(server, place.path).catch((error) => {
        throw socketError(`cannot listen at ${address}`, error);
      });
      return new Listener<Out, In>(server, address, undefined, place, checked);
    }
    const file = await listenAt(server, place.path, address, place.scheme === 'shm' ? 'EEXIST' : 'EADDRINUSE');
    return new Listener<Out, In>(server, address, file, place, checked);
  }

  /** What connect() takes: with the port that was given, for `tcp://host:0`. */
  get address(): string {
    return this.#address;
  }

  get closed(): boolean {
    return this.#closed !== undefined;
  }

  /**
   * The next connection that has come through the handshake. Clients that have not, for whatever reason, are not seen.
   * @throws {TimeoutError} after `timeoutMs`
   * @throws {ClosedError} if the listener is closed, or is closed meanwhile
   */
  accept(options: WaitOptions = {}): Promise<Connection<Out, In>> {
    return new Promise<Connection>((resolve, reject) => {
      checkWaitOptions(options);
      const { signal } = options;
      if (this.closed) throw this.#closedError();
      signal?.throwIfAborted();
      const there = this.#pending.length === 0 ? this.#accepted.shift() : undefined;
      if (there !== undefined) return resolve(there);
      const deadline = deadlineOf(options.timeoutMs);
      if (deadline === -Infinity) throw timedOut();
      const giveUp = (error: unknown) => {
        this.#pending.splice(this.#pending.indexOf(pending), 1);
        pending.stop();
        reject(error);
        this.#update();
      };
      const onAbort = () => giveUp(signal?.reason);
      let timer: ReturnType<typeof setTimeout> | undefined;
      const setTimer = () => {
        const leftMs = deadline - performance.now();
        if (leftMs <= 0) return giveUp(timedOut());
        timer = setTimeout(setTimer, Math.min(Math.ceil(leftMs), 2 ** 31 - 1));
        timer.unref?.(); // The server keeps the process alive.
      };
      const pending: Pending = {
        resolve,
        reject,
        stop: () => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', onAbort);
        },
      };
      this.#pending.push(pending);
      signal?.addEventListener('abort', onAbort, { once: true });
      if (deadline !== Infinity) setTimer();
      this.#update();
    }) as Promise<Connection<Out, In>>;
  }

  /** Connections until the listener is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Connection<Out, In>, void, undefined> {
    for (;;) {
      let connection: Connection<Out, In>;
      try {
        connection = await this.accept();
      } catch (error) {
        if (error instanceof ClosedError && this.closed) return;
        throw error;
      }
      yield connection;
    }
  }

  /**
   * Takes no connections any more: pending accepts are rejected with ClosedError, what was not accepted is closed, the
   * socket's file goes. Accepted connections stay. Resolves when the address is free. Idempotent.
   */
  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      this.#file?.remove();
      this.#server.close(() => resolve());
      for (const talk of this.#handshakes) talk.fail(this.#closedError());
      for (const connection of this.#accepted.splice(0)) connection.close();
      for (const pending of this.#pending.splice(0)) {
        pending.stop();
        pending.reject(this.#closedError());
      }
    });
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** A pending accept() keeps the process alive: the default. */
  ref(): this {
    this.#referenced = true;
    this.#update();
    return this;
  }

  /** Lets the process end though an accept() is pending. */
  unref(): this {
    this.#referenced = false;
    this.#update();
    return this;
  }

  /** @internal */
  get [readiness](): Readiness {
    return {
      isReady: () => this.closed || this.#accepted.length > 0,
      whenReady: async (signal) => {
        const connection = (await this.accept({ signal })) as Connection;
        this.#giveBack(connection);
      },
      blockUntilReady: () => {
        throw new RingwayError(
          `waitSync would block for ever: only the event loop of this thread takes connections at ${this.#address}`,
          'ERR_RINGWAY_WOULD_DEADLOCK',
        );
      },
    };
  }

  #closedError(): ClosedError {
    return new ClosedError(`the listener at ${this.#address} is closed`);
  }

  #update(): void {
    if (this.#referenced && this.#pending.length > 0) this.#server.ref();
    else this.#server.unref();
  }

  async #welcome(socket: Socket): Promise<void> {
    socket.unref();
    if (this.#handshake.kind === 'tcp') prepareTcp(socket);
    const other = `a client of ${this.#address}`;
    const talk = new Conversation(socket, other);
    if (this.#handshakes.size >= MAX_HANDSHAKES) {
      const [oldest] = this.#handshakes;
      oldest?.fail(new TimeoutError(`${other} was too slow: others came`));
    }
    this.#handshakes.add(talk);
    const timer = setTimeout(() => {
      talk.fail(new TimeoutError(`${other} took more than ${this.#handshakeTimeoutMs} ms for the handshake`));
    }, this.#handshakeTimeoutMs);
    timer.unref?.();
    let reserved = false;
    const reserve = () => {
      if (this.#accepted.length + this.#reserved - this.#pending.length >= this.#backlog) return false;
      this.#reserved++;
      reserved = true;
      return true;
    };
    try {
      const channel = await serverHandshake(talk, { ...this.#handshake, other }, reserve);
      if (channel !== undefined) this.#take(channel);
    } catch {
      socket.destroySoon(); // What it was told last goes out. Whoever it was learns it there; nobody here waits for it.
    } finally {
      if (reserved) this.#reserved--;
      clearTimeout(timer);
      this.#handshakes.delete(talk);
    }
  }

  #take(channel: FrameChannel): void {
    if (this.closed) {
      closeChannel(channel);
      return;
    }
    this.#accepted.push(new Connection(channel, this.#connection));
    this.#serve();
  }

  // Somebody only wanted to know that it is there.
  #giveBack(connection: Connection): void {
    if (this.closed) connection.close();
    else this.#accepted.unshift(connection);
    this.#serve();
  }

  #serve(): void {
    while (this.#pending.length > 0 && this.#accepted.length > 0) {
      const pending = this.#pending.shift() as Pending;
      pending.stop();
      pending.resolve(this.#accepted.shift() as Connection);
    }
    this.#update();
  }
}

function timedOut(): TimeoutError {
  return new TimeoutError('accept timed out');
}

/** Small messages go at once, and a machine that is gone is noticed. */
export function prepareTcp(socket: Socket): void {
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
}

export function kindOf(place: Place): 'unix' | 'tcp' {
  return place.scheme === 'tcp' ? 'tcp' : 'unix';
}

/** Whom a file of mode 0600 does not vouch for, a key must. */
export function mayMove(place: Place, key: Uint8Array | undefined): boolean {
  return place.scheme !== 'tcp' && (!place.abstract || key !== undefined);
}

/** @throws {RingwayError} `ERR_RINGWAY_NO_ADDON` in a browser */
export function requireNet(): typeof import('node:net') {
  const net = builtin<typeof import('node:net')>('node:net');
  if (net === undefined) throw new RingwayError('there are no sockets in this runtime', 'ERR_RINGWAY_NO_ADDON');
  return net;
}

/** @throws {TypeError | RangeError} for what is out of range */
export function checkSocketOptions(options: SocketOptions): {
  key: Uint8Array | undefined;
  codec: ValueCodec;
  maxMessageByteLength: number;
} {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`options must be an object, not ${describe(options)}`);
  }
  const { authKey, maxMessageByteLength = DEFAULT_MAX_MESSAGE_BYTES } = options;
  checkMaxMessageByteLength(maxMessageByteLength);
  return { key: checkKey(authKey), codec: checkCodec(options.codec), maxMessageByteLength };
}

function checkListenerOptions(options: ListenerOptions) {
  const checked = checkSocketOptions(options);
  const { backlog = 128, handshakeTimeoutMs = 10_000 } = options;
  checkInteger('backlog', backlog, 1, 2 ** 16);
  checkInteger('handshakeTimeoutMs', handshakeTimeoutMs, 1, 2 ** 31 - 1);
  return { ...checked, backlog, handshakeTimeoutMs };
}
