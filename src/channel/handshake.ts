// What two processes say to each other over a new socket before it carries frames: who they are, that they have the same
// key, and whether they move to shared memory. The bytes are in docs/SOCKETS.md.
//
// Each message has its length before it, as frames have. All of them are short, so a length is checked before anything is
// read, and only as much is read as was announced: what follows belongs to the connection.

import type { Socket } from 'node:net';
import { AuthenticationError, RingwayError, type SystemErrorCode } from '../errors.js';
import { findNative } from '../memory/backend.js';
import { describe } from '../memory/names.js';
import { builtin } from '../runtime.js';
import type { FrameChannel } from '../transport/frames.js';
import { KernelChannel } from '../transport/kernel.js';
import { RingChannel } from '../transport/ring-channel.js';

export const PROTOCOL_VERSION = 1;
const MAGIC = new TextEncoder().encode('ringway\0');

/** A hello: magic, version (u16), flags (u16), 4 bytes of zeros, nonce. Little-endian. */
const HELLO_BYTES = 48;
const VERSION_OFFSET = 8;
const FLAGS_OFFSET = 10;
const NONCE_OFFSET = 16;
const NONCE_BYTES = 32;
const HAS_KEY = 1;
const CAN_MOVE = 2;

/** The first byte of every message but a hello. */
const Say = { proof: 1, refused: 2, open: 3, moved: 4, stay: 5, busy: 6, done: 7 } as const;

/** Before the other side is authenticated, and after. In bytes. */
const MAX_BEFORE = 256;
const MAX_AFTER = 4096;

/** Of each direction of a connection that moves to shared memory, in bytes. */
const RING_CAPACITY = 2 ** 20;

export interface HandshakeOptions {
  key: Uint8Array | undefined;
  /** Whether the other side runs on this machine as a user whom the socket's file, or the key, vouches for. */
  mayMove: boolean;
  kind: 'unix' | 'tcp';
  /** For messages: `the server at "shm:jobs"`. */
  other: string;
}

/**
 * @param authKey - as users give it
 * @throws {TypeError} if it is neither a string nor bytes; {RangeError} if it is empty
 */
export function checkKey(authKey: unknown): Uint8Array | undefined {
  if (authKey === undefined) return undefined;
  const key = typeof authKey === 'string' ? new TextEncoder().encode(authKey) : authKey;
  if (!(key instanceof Uint8Array))
    throw new TypeError(`authKey must be a string or a Uint8Array, not ${typeof authKey}`);
  if (key.length === 0) throw new RangeError('authKey must not be empty: leave it out for none');
  return key.slice();
}

/** Takes part in a handshake; ends with the socket. */
export class Conversation {
  readonly socket: Socket;
  readonly #other: string;
  #length: number | undefined;
  #failure: Error | undefined;
  #look: (() => void) | undefined;

  constructor(socket: Socket, other: string) {
    this.socket = socket;
    this.#other = other;
    socket.on('readable', this.#onReadable);
    socket.on('error', this.#onError);
    socket.on('end', this.#onEnd);
    socket.on('close', this.#onEnd);
  }

  /** Ends it: whoever takes part gets the error. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.socket.destroy();
    this.#look?.();
  }

  /** The socket is a connection's from now on. */
  leave(): Socket {
    this.socket.off('readable', this.#onReadable);
    this.socket.off('error', this.#onError);
    this.socket.off('end', this.#onEnd);
    this.socket.off('close', this.#onEnd);
    return this.socket;
  }

  /** Resolves when the kernel has it. */
  send(message: Uint8Array): Promise<void> {
    const frame = new Uint8Array(4 + message.length);
    new DataView(frame.buffer).setUint32(0, message.length, true);
    frame.set(message, 4);
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure);
      this.socket.write(frame, (error) => (error ? reject(this.#failure ?? this.#lost(error)) : resolve()));
    });
  }

  /** @throws {RingwayError} `EPROTO` if more than `limit` bytes are announced */
  receive(limit: number): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      this.#look = () => {
        try {
          const message = this.#tryReceive(limit);
          if (message === undefined) return;
          this.#look = undefined;
          resolve(message);
        } catch (error) {
          this.#look = undefined;
          reject(error);
        }
      };
      this.#look();
    });
  }

  #tryReceive(limit: number): Uint8Array | undefined {
    if (this.#length === undefined) {
      const header = this.#take(4);
      if (header === undefined) return undefined;
      const length = new DataView(header.buffer, header.byteOffset).getUint32(0, true);
      if (length === 0 || length > limit) {
        throw protocolError(this.#other, `it announces ${length} bytes where ${limit} are the most`);
      }
      this.#length = length;
    }
    const message = this.#take(this.#length);
    if (message !== undefined) this.#length = undefined;
    return message;
  }

  #take(byteLength: number): Uint8Array | undefined {
    const bytes = this.socket.read(byteLength) as Uint8Array | null;
    if (bytes?.length === byteLength) return bytes;
    if (this.#failure !== undefined) throw this.#failure;
    return undefined;
  }

  readonly #onReadable = () => this.#look?.();
  readonly #onError = (error: Error) => this.fail(this.#lost(error));
  readonly #onEnd = () => {
    this.#failure ??= this.#lost();
    this.#look?.();
  };

  #lost(cause?: Error): RingwayError {
    return new RingwayError(
      `${this.#other} closed the connection in the middle of the handshake: it has ended, or refuses, or is not ringway`,
      'ECONNRESET',
      cause === undefined ? {} : { cause },
    );
  }
}

interface Hello {
  bytes: Uint8Array;
  hasKey: boolean;
  canMove: boolean;
}

function makeHello({ key, mayMove }: HandshakeOptions): Hello {
  const bytes = new Uint8Array(HELLO_BYTES);
  const canMove = mayMove && findNative().native !== undefined;
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint16(VERSION_OFFSET, PROTOCOL_VERSION, true);
  view.setUint16(FLAGS_OFFSET, (key === undefined ? 0 : HAS_KEY) | (canMove ? CAN_MOVE : 0), true);
  crypto.getRandomValues(bytes.subarray(NONCE_OFFSET, NONCE_OFFSET + NONCE_BYTES));
  return { bytes, hasKey: key !== undefined, canMove };
}

// Later versions keep the first ten bytes, and may say more.
function readHello(bytes: Uint8Array, other: string): Hello {
  if (bytes.length < NONCE_OFFSET || MAGIC.some((byte, at) => bytes[at] !== byte)) {
    throw protocolError(other, `it begins with ${describe(new TextDecoder().decode(bytes.subarray(0, 16)))}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const version = view.getUint16(VERSION_OFFSET, true);
  if (version !== PROTOCOL_VERSION) {
    throw protocolError(other, `it speaks version ${version} of the protocol, this process speaks ${PROTOCOL_VERSION}`);
  }
  if (bytes.length !== HELLO_BYTES) throw protocolError(other, `its hello has ${bytes.length} bytes`);
  const flags = view.getUint16(FLAGS_OFFSET, true);
  return { bytes, hasKey: (flags & HAS_KEY) !== 0, canMove: (flags & CAN_MOVE) !== 0 };
}

function checkKeys(ours: Hello, theirs: Hello, other: string): void {
  if (ours.hasKey === theirs.hasKey) return;
  throw new AuthenticationError(
    ours.hasKey
      ? `${other} has no authKey, and this side has one: both need the same, or none`
      : `${other} has an authKey, and this side has none: both need the same, or none`,
  );
}

/**
 * What shows that a side has the key. It covers both hellos, so neither can be replaced or replayed, and says whose it is,
 * so that it is of no use to send it back.
 */
function proofOf(key: Uint8Array, whose: 'client' | 'server', client: Hello, server: Hello): Uint8Array {
  const { createHmac } = requireCrypto();
  const role = new TextEncoder().encode(`ringway ${PROTOCOL_VERSION} ${whose} sha256\0`);
  return createHmac('sha256', key).update(role).update(client.bytes).update(server.bytes).digest();
}

function isProof(message: Uint8Array, expected: Uint8Array): boolean {
  if (message[0] !== Say.proof || message.length !== 1 + expected.length) return false;
  return requireCrypto().timingSafeEqual(message.subarray(1), expected);
}

function requireCrypto(): typeof import('node:crypto') {
  const crypto = builtin<typeof import('node:crypto')>('node:crypto');
  if (crypto === undefined) throw new RingwayError('authKey needs node:crypto', 'ERR_RINGWAY_NO_ADDON');
  return crypto;
}

/** The client's side. The channel is there when the server has it too. */
export async function clientHandshake(talk: Conversation, options: HandshakeOptions): Promise<FrameChannel> {
  const { key, other, kind } = options;
  const ours = makeHello(options);
  await talk.send(ours.bytes);
  const theirs = readHello(await talk.receive(MAX_BEFORE), other);
  checkKeys(ours, theirs, other);
  if (key !== undefined) {
    await talk.send(say(Say.proof, proofOf(key, 'client', ours, theirs)));
    const reply = await talk.receive(MAX_BEFORE);
    if (reply[0] === Say.refused) throw new AuthenticationError(`${other} refuses: its authKey is another one`);
    if (!isProof(reply, proofOf(key, 'server', ours, theirs))) {
      throw new AuthenticationError(`${other} does not have the authKey of this side`);
    }
  }
  return ours.canMove && theirs.canMove ? moving(talk, options) : staying(talk, kind, other);
}

async function staying(talk: Conversation, kind: 'unix' | 'tcp', other: string): Promise<FrameChannel> {
  await talk.send(say(Say.open));
  checkOpened(await talk.receive(MAX_AFTER), other, [Say.stay]);
  await talk.send(say(Say.done));
  return KernelChannel.fromSocket(kind, talk.leave());
}

// Offers two rings; the server takes its ends, or says that it cannot.
async function moving(talk: Conversation, { kind, other }: HandshakeOptions): Promise<FrameChannel> {
  const [ours, theirs] = RingChannel.pair('shm', RING_CAPACITY, true);
  const { data, sent, unsent } = theirs.depart({ reach: 'machine', label: other });
  let moved = false;
  try {
    await talk.send(say(Say.open, new TextEncoder().encode(JSON.stringify(data))));
    const reply = await talk.receive(MAX_AFTER);
    checkOpened(reply, other, [Say.moved, Say.stay]);
    await talk.send(say(Say.done));
    moved = reply[0] === Say.moved;
  } finally {
    if (moved) {
      sent();
    } else {
      unsent();
      closeChannel(theirs);
      closeChannel(ours);
    }
  }
  if (!moved) return KernelChannel.fromSocket(kind, talk.leave());
  talk.socket.destroySoon();
  return ours;
}

function checkOpened(reply: Uint8Array, other: string, expected: number[]): void {
  if (reply[0] === Say.busy) {
    throw new RingwayError(
      `${other} has as many connections waiting to be accepted as its backlog allows`,
      'ECONNREFUSED',
    );
  }
  if (!expected.includes(reply[0] as number)) throw protocolError(other, `it says ${reply[0]} out of turn`);
}

/**
 * The server's side.
 * @param reserve - takes a place among those that wait to be accepted; false if there is none
 * @returns undefined if there was no place
 */
export async function serverHandshake(
  talk: Conversation,
  options: HandshakeOptions,
  reserve: () => boolean,
): Promise<FrameChannel | undefined> {
  const { key, other, kind } = options;
  const ours = makeHello(options);
  await talk.send(ours.bytes);
  const theirs = readHello(await talk.receive(MAX_BEFORE), other);
  checkKeys(ours, theirs, other);
  if (key !== undefined) {
    const proof = await talk.receive(MAX_BEFORE);
    if (!isProof(proof, proofOf(key, 'client', theirs, ours))) {
      await talk.send(say(Say.refused));
      throw new AuthenticationError(`${other} does not have the authKey of this side`);
    }
    await talk.send(say(Say.proof, proofOf(key, 'server', theirs, ours)));
  }
  const open = await talk.receive(MAX_AFTER);
  if (open[0] !== Say.open) throw protocolError(other, `it says ${open[0]} out of turn`);
  if (!reserve()) {
    await talk.send(say(Say.busy));
    talk.socket.destroySoon();
    return undefined;
  }
  const rings = ours.canMove && open.length > 1 ? takeRings(open.subarray(1)) : undefined;
  try {
    await talk.send(say(rings === undefined ? Say.stay : Say.moved));
    // A client that has gone by now is not worth accepting.
    const done = await talk.receive(MAX_AFTER);
    if (done[0] !== Say.done) throw protocolError(other, `it says ${done[0]} out of turn`);
  } catch (error) {
    closeChannel(rings);
    throw error;
  }
  if (rings === undefined) return KernelChannel.fromSocket(kind, talk.leave());
  talk.socket.destroySoon();
  return rings;
}

// Another user's rings, or those of another mount namespace, are not to be had: the connection stays where it is.
function takeRings(json: Uint8Array): RingChannel | undefined {
  try {
    return RingChannel.arrive(JSON.parse(new TextDecoder().decode(json)));
  } catch {
    return undefined;
  }
}

export function closeChannel(channel: FrameChannel | undefined): void {
  channel?.sender?.close();
  channel?.receiver?.close();
}

function say(what: number, rest: Uint8Array = new Uint8Array(0)): Uint8Array {
  const message = new Uint8Array(1 + rest.length);
  message[0] = what;
  message.set(rest, 1);
  return message;
}

function protocolError(other: string, why: string): RingwayError {
  return new RingwayError(`${other} does not speak as ringway does: ${why}`, 'EPROTO');
}

/** What the system said about a socket, in words. */
export function socketError(what: string, error: NodeJS.ErrnoException): RingwayError {
  const { code = 'EIO', errno, syscall } = error;
  return new RingwayError(`${what}: ${error.message}`, code as SystemErrorCode, {
    cause: error,
    ...(errno === undefined ? {} : { errno }),
    ...(syscall === undefined ? {} : { syscall }),
  });
}
