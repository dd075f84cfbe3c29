// Channels over what every operating system has: pipes, unix sockets, TCP. Baselines to compare with, what sockets between
// machines are made of, and what there is on systems without shared memory.

import type { Server, Socket } from 'node:net';
import { ClosedError, RingwayError } from '../errors.js';
import { findNative } from '../memory/backend.js';
import { describe } from '../memory/names.js';
import { systemError } from '../memory/shm.js';
import type { Departure, Route } from '../memory/travel.js';
import { failed, loadNative, type Native, type NativeEnd } from '../native.js';
import { builtin, environmentVariable, platform, warn } from '../runtime.js';
import type { ByteSink, ByteSource } from './byte-stream.js';
import { DescriptorSink, DescriptorSource } from './descriptor-stream.js';
import type { FrameChannel } from './frames.js';
import { KernelReceiver } from './kernel-receiver.js';
import { finishAtExit, KernelSender } from './kernel-sender.js';
import { SocketEnd } from './socket-stream.js';

export type KernelKind = 'pipe' | 'unix' | 'tcp';
export const KERNEL_KINDS: readonly KernelKind[] = ['pipe', 'unix', 'tcp'];

/** Descriptors of one end, for a process that is being started. Those of a socket may be one and the same. */
export interface KernelDescriptors {
  readonly kind: KernelKind;
  readonly readFd?: number;
  readonly writeFd?: number;
}

/** What a channel is made of. */
interface Carrier {
  readonly source: ByteSource | undefined;
  readonly sink: ByteSink | undefined;
  readonly established: Promise<void> | undefined;
  /** What another process needs to take it over, and what gives it up here. Throws what `stays` makes if it cannot. */
  depart(stays: (why: string) => RingwayError): {
    descriptors: { readFd?: number; writeFd?: number };
    leave(): void;
  };
}

/** Frames over a connection of the kernel's. */
export class KernelChannel implements FrameChannel {
  readonly transport: KernelKind;
  readonly sender: KernelSender | undefined;
  readonly receiver: KernelReceiver | undefined;
  readonly established: Promise<void> | undefined;
  readonly #carrier: Carrier;
  #detached = false;
  #peer: WeakRef<KernelChannel> | undefined;

  private constructor(kind: KernelKind, carrier: Carrier, received?: Uint8Array) {
    const { source, sink } = carrier;
    // Also keeps the channel from being collected while an end is in use.
    const peerIsHere = () => this.#peerIsHere;
    this.transport = kind;
    this.established = carrier.established;
    this.#carrier = carrier;
    this.sender = sink && new KernelSender(`the sending end of a ${kind} connection`, sink, peerIsHere);
    const alongside = () => this.sender?.pushOn() ?? true;
    const label = `the receiving end of a ${kind} connection`;
    this.receiver = source && new KernelReceiver(label, source, peerIsHere, alongside, received);
    uncollected.register(this, { source, sink }, this);
    if (!finishes) finishAtExit();
    finishes = true;
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
      return new KernelChannel(kind, overSocket(end, reads, writes));
    };
    return introduce([make(0, true, duplex), make(1, duplex, true)]);
  }

  /**
   * Takes over the descriptors that came with a message; see depart().
   * @throws {RingwayError} `EBADF` if they are none
   */
  static arrive(data: unknown): KernelChannel {
    const { kind, readFd, writeFd } = checkDescriptors(data);
    const { native } = findDescriptors();
    if (native === undefined) {
      const net = requireNet();
      const reads = readFd !== undefined;
      const writes = writeFd !== undefined;
      if (reads && writes && readFd !== writeFd) throw noAddon('a pipe for both directions');
      const socket = new net.Socket({ fd: (readFd ?? writeFd) as number, readable: reads, writable: writes });
      return new KernelChannel(kind, overSocket(new SocketEnd(socket), reads, writes));
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
      return new KernelChannel(kind, overSocket(new SocketEnd(socket), true, true), before);
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
   * The descriptors go along with the message: only the arguments of a process take them.
   * @throws {RingwayError} `ERR_RINGWAY_NOT_SENDABLE` through anything else; `ERR_RINGWAY_STATE` if something was received
   * that nobody has read, or sent that has not gone out: it would be lost
   * @throws {ClosedError} if an end is closed
   */
  depart(route: Route): Omit<Departure, 'kind'> {
    const { sender, receiver, transport } = this;
    if (!this.isOpen) throw new ClosedError(`the ${transport} connection is closed`);
    const { passDescriptor } = route;
    if (passDescriptor === undefined) {
      throw new RingwayError(
        `an end of a ${transport} connection cannot go through ${route.label}: only as an argument of a Process`,
        'ERR_RINGWAY_NOT_SENDABLE',
      );
    }
    const stays = (why: string) =>
      new RingwayError(`this end of the ${transport} connection cannot move: ${why}`, 'ERR_RINGWAY_STATE');
    if (receiver?.holdsBytes) throw stays('what was received and has not been read would be lost');
    if (sender?.holdsBytes) throw stays('something that was sent has not gone out');
    const { descriptors, leave } = this.#carrier.depart(stays);
    const passed = new Map<number, number>(); // Of a socket, both directions go with one descriptor.
    const pass = (fd: number) => {
      if (!passed.has(fd)) passed.set(fd, passDescriptor(fd));
      return passed.get(fd) as number;
    };
    const { readFd, writeFd } = descriptors;
    const data: KernelDescriptors = {
      kind: transport,
      ...(readFd === undefined ? {} : { readFd: pass(readFd) }),
      ...(writeFd === undefined ? {} : { writeFd: pass(writeFd) }),
    };
    return {
      data,
      sent: () => {
        this.#detached = true;
        uncollected.unregister(this);
        sender?.abandon();
        receiver?.abandon(`the ${transport} connection was moved`);
        leave();
      },
      unsent: () => {},
    };
  }

  giveAway(): never {
    throw new RingwayError(
      `an end of a ${this.transport} connection has no handle: it goes to another process as an argument of a Process`,
      'ERR_RINGWAY_NOT_SENDABLE',
    );
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

let finishes = false;

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
    established: undefined,
    depart: () => ({
      descriptors: {
        ...(read === undefined ? {} : { readFd: read }),
        ...(write === undefined ? {} : { writeFd: kind === 'pipe' ? write : (read ?? write) }),
      },
      leave: () => {
        source?.leave();
        sink?.leave();
      },
    }),
  };
}

function overSocket(end: SocketEnd, reads: boolean, writes: boolean): Carrier {
  if (!reads) end.source.close();
  if (!writes) end.sink.close();
  return {
    source: reads ? end.source : undefined,
    sink: writes ? end.sink : undefined,
    established: end.established,
    depart: (stays) => {
      const { socket } = end;
      const fd = socket && descriptorOf(socket);
      if (socket === undefined) throw stays('it is not connected yet');
      if (fd === undefined) throw stays('this runtime does not tell the descriptors of sockets');
      if (end.source.holdsBytes) throw stays('what was received and has not been read would be lost');
      return {
        descriptors: { ...(reads ? { readFd: fd } : {}), ...(writes ? { writeFd: fd } : {}) },
        leave: () => socket.destroy(),
      };
    },
  };
}

function checkDescriptors(data: unknown): KernelDescriptors {
  const { kind, readFd, writeFd } = (data ?? {}) as Partial<KernelDescriptors>;
  const isDescriptor = (fd: unknown) => fd === undefined || (Number.isInteger(fd) && (fd as number) >= 0);
  const isKind = KERNEL_KINDS.includes(kind as KernelKind);
  if (isKind && isDescriptor(readFd) && isDescriptor(writeFd) && (readFd ?? writeFd) !== undefined) {
    return data as KernelDescriptors;
  }
  throw new RingwayError(
    `a message carries an end of a connection that leads nowhere: ${describe(data)}`,
    'ERR_RINGWAY_UNSERIALISABLE',
  );
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
