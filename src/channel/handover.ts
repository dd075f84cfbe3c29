// One end of a connection passes into other hands: of whoever attaches to its handle, of the receiver of the message that it is
// in, or of the layer above. Only one that is idle can, since it leaves nothing behind.

import { type CodecOptions, checkCodec, isBuiltIn } from '../codec/option.js';
import { RingwayError } from '../errors.js';
import { describe } from '../memory/names.js';
import type { Departure, Route } from '../memory/travel.js';
import type { FrameChannel } from '../transport/frames.js';
import { KernelChannel } from '../transport/kernel.js';
import { RingChannel } from '../transport/ring-channel.js';
import { arrive } from './arrivals.js';
import type { ConnectionHandle, ConnectionOptions, Extras } from './connection.js';
import { type ConnectionBody, checkMaxMessageByteLength } from './connection-body.js';
import type { MessageReceiver } from './message-receiver.js';
import type { MessageSender } from './message-sender.js';

export class Handover {
  readonly #body: ConnectionBody;
  readonly #sender: MessageSender;
  readonly #receiver: MessageReceiver;

  constructor(body: ConnectionBody, sender: MessageSender, receiver: MessageReceiver) {
    this.#body = body;
    this.#sender = sender;
    this.#receiver = receiver;
  }

  /** To whoever attaches first. */
  giveAway(): ConnectionHandle {
    this.#checkIdle();
    const ends = this.#body.channel.giveAway();
    this.#body.gone = 'was given away by its handle';
    return this.#handleOf(ends);
  }

  /** To the receiver of a message. */
  depart(route: Route): Departure {
    this.#checkIdle();
    if (!isBuiltIn(this.#body.codec.name)) {
      throw new RingwayError(
        `a connection with a codec of your own (${describe(this.#body.codec.name)}) cannot go through ${route.label}: send its handle and attach with { codec }`,
        'ERR_RINGWAY_NOT_SENDABLE',
      );
    }
    const { data, sent, unsent } = this.#body.channel.depart(route);
    this.#body.gone = `is on its way through ${route.label}`;
    return {
      kind: 'Connection',
      data: this.#handleOf(data),
      sent: (to, carrier) => {
        this.#body.gone = `moved ${to === undefined ? `away through ${route.label}` : `to ${to}`}`;
        sent(to, carrier);
      },
      unsent: () => {
        this.#body.gone = undefined;
        unsent();
      },
    };
  }

  /** To the layer above, for good. */
  takeOver(owner: string, extras: Extras): void {
    this.#checkIdle('be taken over');
    const { sender, receiver } = this.#body.channel;
    if (sender === undefined || receiver === undefined) {
      const does = receiver === undefined ? 'sends' : 'receives';
      throw new RingwayError(
        `${owner} need a connection that sends and receives; this end only ${does}: make it with duplex: true`,
        'ERR_RINGWAY_STATE',
      );
    }
    if (this.#body.codec.name !== 'structured') {
      throw new RingwayError(
        `${owner} need a connection with the codec 'structured', not ${describe(this.#body.codec.name)}`,
        'ERR_RINGWAY_SHAPE',
      );
    }
    this.#body.owner = owner;
    this.#sender.departureOf = extras.departureOf;
    this.#receiver.arrive = (kind, data) => extras.arrive(kind, data, arrive);
  }

  #handleOf(ends: unknown): ConnectionHandle {
    const { channel, codec, maxByteLength } = this.#body;
    const limit = maxByteLength === Infinity ? {} : { maxMessageByteLength: maxByteLength };
    return { kind: 'Connection', transport: channel.transport, codec: codec.name, ...limit, ends };
  }

  // An end that moves leaves nothing behind.
  #checkIdle(what = 'move'): void {
    this.#body.checkOpen();
    const hasDropped = this.#sender.tryDrop();
    const { begun } = this.#receiver;
    const busy =
      this.#sender.hasWaiting || this.#receiver.hasWaiting
        ? 'operations are pending'
        : begun !== undefined
          ? `${begun} bytes of a message have been received in part`
          : !hasDropped
            ? 'it is full of a message that was given up: the other end has to receive first'
            : undefined;
    if (busy === undefined) return;
    throw new RingwayError(`this end of the connection cannot ${what} while ${busy}`, 'ERR_RINGWAY_STATE');
  }
}

/**
 * What the connection that a handle leads to is like.
 * @throws as Connection.attach()
 */
export function checkHandle(handle: ConnectionHandle, options: CodecOptions): ConnectionOptions {
  if (typeof handle !== 'object' || handle === null || handle.kind !== 'Connection') {
    throw new TypeError(`attach takes the handle of a Connection, not ${describe(handle)}`);
  }
  const codec = checkCodec(options.codec ?? handle.codec);
  if (codec.name !== handle.codec) {
    throw new RingwayError(
      `the connection speaks ${describe(handle.codec)}; asked for was ${describe(codec.name)}`,
      'ERR_RINGWAY_SHAPE',
    );
  }
  const maxMessageByteLength = handle.maxMessageByteLength ?? Infinity;
  checkMaxMessageByteLength(maxMessageByteLength);
  return { codec, maxMessageByteLength };
}

/** The ends that a message or a handle carried. */
export function channelOf({ transport, ends }: ConnectionHandle): FrameChannel {
  return transport === 'shm' || transport === 'sab' ? RingChannel.arrive(ends) : KernelChannel.arrive(ends);
}
