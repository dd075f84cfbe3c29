// Channels over what every operating system has: pipes, unix sockets, TCP. Baselines to compare with, what sockets between
// machines are made of, and what there is on systems without shared memory.

import type { Server, Socket } from 'node:net';
import { ClosedError, RingwayError } from '../errors.js';
import { findNative } from '../memory/backend.js';
import { systemError } from '../memory/shm.js';
import { failed, loadNative, type Native, type NativeEnd } from '../native.js';
import { builtin, environmentVariable, platform, warn } from '../runtime.js';
import type { ByteSink, ByteSource } from './byte-stream.js';
import { DescriptorSink, DescriptorSource } from './descriptor-stream.js';
import type { FrameChannel } from './frames.js';
import { KernelReceiver } from './kernel-receiver.js';
import { KernelSender } from './kernel-sender.js';
import { SocketEnd } from './socket-stream.js';

export type KernelKind = 'pipe' | 'unix' | 'tcp';
export const KERNEL_KINDS: readonly KernelKind[] = ['pipe', 'unix', 'tcp'];

/** Descriptors of one end, for a process that is being started. Those of a socket may be one and the same. */
export interface KernelDescriptors {
  readonly kind: KernelKind;
  readonly readFd?: number;
  readonly writeFd?: number;
}

/** What detach() gives: the descriptors are this process's still, until it gives them up. */
export interface DetachedChannel extends KernelDescriptors {
  /** Closes this process's copies: after the other process has its own, or when there will be none. */
  close(): void;
}

/** What a channel is made of. */
interface Carrier {
  readonly source: ByteSource | undefined;
  readonly sink: ByteSink | undefined;
  readonly established: Promise<void>;
  /** Gives the directions up without closing them. */
  detach(): DetachedChannel;
}

/** Frames over a connection of the kernel's. */
export class KernelChannel implements FrameChannel {
  readonly kind: KernelKind;
  readonly sender: KernelSender | undefined;
  readonly receiver: KernelReceiver | undefined;
  /** Settles when the connection is there: at once, but for a pair that was made without the addon. */
  readonly established: Promise<void>;
  readonly #carrier: Carrier;
  #detached = false;
  #peer: WeakRef<KernelChannel> | undefined;

  private constructor(kind: KernelKind, carrier: Carrier, received?: Uint8Array) {
    const { source, sink } = carrier;
    // Also keeps the channel from being collected while an end is in use.
    const peerIsHere = () => this.#peerIsHere;
    this.kind = kind;
    this.established = carrier.established;
    this.#carrier = carrier;
    this.receiver =
      source && new KernelReceiver(`the receiving end of a ${kind} connection`, source, peerIsHere, received);
    this.sender = sink && new KernelSender(`the sending end of a ${kind} connection`, sink, peerIsHere);
    uncollected.register(this, { source, sink }, this);
  }

  /**
   * Two connected channels.
   * @param duplex - false: the first one receives, the second one sends
   * @throws {RingwayError} what the system refuses: `EMFILE`, say
   */
  static pair(kind: KernelKind, duplex = true): [KernelChannel, KernelChannel] {
    const { native } = findDescriptors();
    if (native === undefined) return KernelChannel.#pairOfSockets(kind, duplex);
    const made = native.kernelPair(kind, duplex);
    if (failed(made)) throw systemError(`a pair of ${kind} ends cannot be made`, made.errno, made.syscall);
    const channels = made.map((ends) => new KernelChannel(kind, overDescriptors(kind, ends, native))) as [
      KernelChannel,
      KernelChannel,
    ];
    return introduce(channels);
  }

  static #pairOfSockets(kind: KernelKind, duplex: boolean): [KernelChannel, KernelChannel] {
    const sockets = connectedSockets(kind);
    const make = (index: 0 | 1, reads: boolean, writes: boolean) => {
      const end = new SocketEnd(sockets.then((pair) => pair[index]));
      return new KernelChannel(kind, overSocket(kind, end, reads, writes));
    };
    return introduce([make(0, true, duplex), make(1, duplex, true)]);
  }

  /**
   * A channel over descriptors that another process passed on. They are this channel's from then on.
   * @throws {RingwayError} `EBADF` if they are none
   */
  static fromDescriptors({ kind, readFd, writeFd }: KernelDescriptors): KernelChannel {
    const { native } = findDescriptors();
    if (native === undefined) {
      const net = requireNet();
      const reads = readFd !== undefined;
      const writes = writeFd !== undefined;
      if (reads && writes && readFd !== writeFd) throw noAddon('a pipe for both directions');
      const socket = new net.Socket({ fd: (readFd ?? writeFd) as number, readable: reads, writable: writes });
      return new KernelChannel(kind, overSocket(kind, new SocketEnd(socket), reads, writes));
    }
    const adopt = (fd: number, duplicate: boolean) => {
      const ours = native.adoptDescriptor(fd, duplicate);
      if (ours < 0) throw systemError(`descriptor ${fd} is none that a connection came with`, -ours, 'fcntl');
      return ours;
    };
    const ends: NativeEnd = {};
    if (readFd !== undefined) ends.read = adopt(readFd, false);
    if (writeFd !== undefined) ends.write = adopt(writeFd, writeFd === readFd);
    return new KernelChannel(kind, overDescriptors(kind, ends, native));
  }

  /**
   * A channel over a connected socket, which is the channel's from then on.
   * @param received - what was read of it already and belongs to frames
   */
  static fromSocket(kind: 'unix' | 'tcp', socket: Socket, received: Uint8Array = new Uint8Array(0)): KernelChannel {
    const { native } = findDescriptors();
    const fd = descriptorOf(socket);
    socket.pause();
    const rest = socket.read() as Uint8Array | null;
    const before = rest === null ? received : joined(received, rest);
    if (native === undefined || fd === undefined) {
      return new KernelChannel(kind, overSocket(kind, new SocketEnd(socket), true, true), before);
    }
    const ours = [native.adoptDescriptor(fd, true), native.adoptDescriptor(fd, true)] as const;
    socket.destroy(); // Closes its own descriptor; the connection lives on in ours.
    const refused = Math.min(...ours);
    if (refused < 0) {
      for (const fd of ours) native.closeDescriptor(fd);
      throw systemError('the descriptor of a socket cannot be duplicated', -refused, 'fcntl');
    }
    return new KernelChannel(kind, overDescriptors(kind, { read: ours[0], write: ours[1] }, native), before);
  }

  /**
   * Gives the connection up for another process to have, without closing it: for the arguments of a process.
   * @throws {RingwayError} `ERR_RINGWAY_STATE` if something was received that nobody has read, or written that has not gone
   * out: it would be lost
   * @throws {ClosedError} if an end is closed, or was given up already
   */
  detach(): DetachedChannel {
    const { sender, receiver } = this;
    if (this.#detached || sender?.closed || receiver?.closed) {
      throw new ClosedError(`the ${this.kind} connection is ${this.#detached ? 'moved' : 'closed'}`);
    }
    const stays = (what: string) =>
      new RingwayError(
        `this end of the ${this.kind} connection cannot move: ${what}, and would be lost`,
        'ERR_RINGWAY_STATE',
      );
    if (receiver?.holdsBytes) throw stays('something was received that has not been read');
    if (sender?.holdsBytes) throw stays('something was sent that has not gone out');
    const detached = this.#carrier.detach();
    this.#detached = true;
    uncollected.unregister(this);
    sender?.abandon();
    receiver?.abandon(`the ${this.kind} connection was moved`);
    return detached;
  }

  /** @internal */
  get isOpen(): boolean {
    return !this.#detached && this.receiver?.closed !== true && this.sender?.closed !== true;
  }

  get #peerIsHere(): boolean {
    return this.#peer?.deref()?.isOpen === true;
  }

  /** @internal */
  meet(peer: KernelChannel): void {
    this.#peer = new WeakRef(peer);
  }
}

// Channels that were never closed: the other side is told.
let warned = false;
const uncollected = new FinalizationRegistry<{ source: ByteSource | undefined; sink: ByteSink | undefined }>((left) => {
  if (left.source?.closed !== false && left.sink?.closed !== false) return;
  if (!warned) warn('a kernel connection was collected without close(); it is closed now', 'RINGWAY_NOT_CLOSED');
  warned = true;
  left.source?.close();
  left.sink?.close();
});

// Both know that the other one is in this thread.
function introduce(channels: [KernelChannel, KernelChannel]): [KernelChannel, KernelChannel] {
  const [first, second] = channels;
  first.meet(second);
  second.meet(first);
  return channels;
}

function overDescriptors(kind: KernelKind, { read, write }: NativeEnd, native: Native): Carrier {
  const source = read === undefined ? undefined : new DescriptorSource(native, read);
  const sink = write === undefined ? undefined : new DescriptorSink(native, write);
  return {
    source,
    sink,
    established: Promise.resolve(),
    detach: () => ({
      kind,
      ...(read === undefined ? {} : { readFd: read }),
      ...(write === undefined ? {} : { writeFd: write }),
      close: () => {
        source?.leave();
        sink?.leave();
      },
    }),
  };
}

function overSocket(kind: KernelKind, end: SocketEnd, reads: boolean, writes: boolean): Carrier {
  if (!reads) end.source.close();
  if (!writes) end.sink.close();
  return {
    source: reads ? end.source : undefined,
    sink: writes ? end.sink : undefined,
    established: end.established,
    detach: () => {
      const { socket } = end;
      const fd = socket && descriptorOf(socket);
      const stays = (why: string) =>
        new RingwayError(`this end of the ${kind} connection cannot move: ${why}`, 'ERR_RINGWAY_STATE');
      if (socket === undefined) throw stays('it is not connected yet, wait for it first');
      if (fd === undefined) throw stays('this runtime does not tell the descriptors of sockets');
      if (end.source.holdsBytes) throw stays('something was received that has not been read, and would be lost');
      return {
        kind,
        ...(reads ? { readFd: fd } : {}),
        ...(writes ? { writeFd: fd } : {}),
        close: () => socket.destroy(),
      };
    },
  };
}

// Descriptors are there wherever the addon is, also where segments are not.
function findDescriptors(): { native?: Native } {
  return environmentVariable('RINGWAY_BACKEND') === 'sab' ? {} : loadNative();
}

function noAddon(what: string): RingwayError {
  return new RingwayError(
    `${what} needs the addon, which there is not here: ${findNative().reason}`,
    'ERR_RINGWAY_NO_ADDON',
  );
}

function requireNet(): typeof import('node:net') {
  const net = builtin<typeof import('node:net')>('node:net');
  if (net === undefined) throw noAddon('a connection');
  return net;
}

/** The descriptor under a socket, where the runtime tells it. */
function descriptorOf(socket: Socket): number | undefined {
  const fd = (socket as { _handle?: { fd?: number } })._handle?.fd;
  return typeof fd === 'number' && fd >= 0 ? fd : undefined;
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

// Two sockets that are connected to one another, by a server that takes one connection. Where there is no addon, there are
// no anonymous pipes: those are sockets too.
async function connectedSockets(kind: KernelKind): Promise<[Socket, Socket]> {
  const net = requireNet();
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true });
  const secret = crypto.getRandomValues(new Uint8Array(32));
  try {
    const target = await listening(server, kind);
    // Anybody may connect before us: the right one shows a secret.
    const accepted = new Promise<Socket>((resolve) => {
      server.on('connection', (socket) => {
        socket.on('error', () => socket.destroy());
        const look = () => {
          const shown = socket.read(secret.length) as Uint8Array | null;
          if (shown === null) return;
          socket.off('readable', look);
          if (shown.every((byte, at) => byte === secret[at])) resolve(socket);
          else socket.destroy();
        };
        socket.on('readable', look);
      });
    });
    const socket = await new Promise<Socket>((resolve, reject) => {
      const connecting = net.connect({ ...target, allowHalfOpen: true }, () => resolve(connecting));
      connecting.once('error', reject);
      connecting.write(secret);
    });
    return [await accepted, socket];
  } finally {
    server.close();
  }
}

async function listening(server: Server, kind: KernelKind): Promise<{ path: string } | { port: number; host: string }> {
  const random = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16)).join('');
  const where =
    kind === 'tcp'
      ? { port: 0, host: '127.0.0.1' }
      : { path: platform.startsWith('win32') ? `\\\\.\\pipe\\ringway-${random}` : `${temporary()}/ringway-${random}` };
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, () => resolve());
  });
  if (!('port' in where)) return where as { path: string };
  return { ...where, port: (server.address() as { port: number }).port } as { port: number; host: string };
}

function temporary(): string {
  return builtin<typeof import('node:os')>('node:os')?.tmpdir() ?? '/tmp';
}
