// Two ends of a new connection.

import { type CodecOptions, checkCodec } from '../codec/option.js';
import { Constants } from '../layout.js';
import { findNative } from '../memory/backend.js';
import { describe } from '../memory/names.js';
import { checkInteger } from '../memory/shared-object.js';
import type { FrameChannel, Transport } from '../transport/frames.js';
import { KernelChannel } from '../transport/kernel.js';
import { RingChannel } from '../transport/ring-channel.js';
import { Connection } from './connection.js';
import { checkMaxMessageByteLength } from './connection-body.js';

export interface PipeOptions extends CodecOptions {
  /** Both ends send and receive: the default. With false, the first end receives and the second one sends. */
  duplex?: boolean;
  /** Of each direction, in bytes; rounded up to a power of two. 1 MiB by default. The kernel's transports have their own. */
  capacity?: number;
  /** What carries the bytes: shared memory where there is any (`auto`), threads' (`sab`), or the kernel. */
  transport?: 'auto' | Transport;
  /** What is received at most, in bytes. No limit by default. */
  maxMessageByteLength?: number;
}

const DEFAULT_CAPACITY = 2 ** 20;
const MIN_CAPACITY = 2 ** 12;

/**
 * A connection between two ends, for messages of any size. An end goes to another process as an argument of a Process or
 * in a message, and is closed here then.
 * @returns `[receiving, sending]` with `duplex: false`
 * @throws {RangeError | TypeError} for options out of range, with the value
 * @throws {RingwayError} `ENOSPC` if there is no memory; `ERR_RINGWAY_NO_ADDON` for a transport that needs it
 */
export function Pipe<Value>(
  options: PipeOptions & { duplex: false },
): [Connection<never, Value>, Connection<Value, never>];
export function Pipe<Out, In = Out>(options?: PipeOptions): [Connection<Out, In>, Connection<In, Out>];
export function Pipe(options: PipeOptions = {}): [Connection, Connection] {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`Pipe takes an object with options, not ${describe(options)}`);
  }
  const { duplex = true, capacity = DEFAULT_CAPACITY, maxMessageByteLength = Infinity } = options;
  const transport = checkTransport(options.transport);
  if (typeof duplex !== 'boolean') throw new TypeError(`duplex must be a boolean, not ${describe(duplex)}`);
  checkInteger('capacity', capacity, MIN_CAPACITY, Constants.maxSpscCapacity);
  checkMaxMessageByteLength(maxMessageByteLength);
  const codec = checkCodec(options.codec);
  const [first, second] = channels(transport, capacity, duplex);
  const end = (channel: FrameChannel) => new Connection(channel, { codec, maxMessageByteLength });
  return [end(first), end(second)];
}

function channels(transport: Transport, capacity: number, duplex: boolean): [FrameChannel, FrameChannel] {
  if (transport === 'shm' || transport === 'sab') return RingChannel.pair(transport, capacity, duplex);
  return KernelChannel.pair(transport, duplex);
}

const TRANSPORTS = ['auto', 'shm', 'sab', 'pipe', 'unix', 'tcp'];

function checkTransport(transport: 'auto' | Transport = 'auto'): Transport {
  if (!TRANSPORTS.includes(transport)) {
    throw new RangeError(`transport must be one of ${TRANSPORTS.join(', ')}, not ${describe(transport)}`);
  }
  if (transport !== 'auto') return transport;
  return findNative().native === undefined ? 'unix' : 'shm';
}
