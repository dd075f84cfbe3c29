// One end of a connection: values and bytes, in messages of any size, to one other end.

import type { ValueCodec } from '../codec/codec.js';
import { type CodecOptions, checkCodec, isBuiltIn } from '../codec/option.js';
import { ClosedError, EndOfStreamError, MessageSizeError, RingwayError, TimeoutError } from '../errors.js';
import { describe } from '../memory/names.js';
import { checkInteger } from '../memory/shared-object.js';
import { type Arrive, type Departure, type Route, travels } from '../memory/travel.js';
import type { FrameChannel, FrameReceiver, FrameSender, Transport } from '../transport/frames.js';
import { KernelChannel } from '../transport/kernel.js';
import { RingChannel } from '../transport/ring-channel.js';
import { NOT_YET, type NotYet } from '../wait/condition.js';
import { checkWaitOptions, type SyncWaitOptions, type WaitOptions } from '../wait/options.js';
import { type Readiness, readiness } from '../wait/readiness.js';
import { settled } from '../wait/waiters.js';
import { arrive, Receiving } from './arrivals.js';
import { type Borrowed, LentFrame, LentMemory } from './borrowed.js';
import { brokenPipe, connectionError } from './connection-errors.js';
import {
  Arriving,
  FIRST_HEADER_BYTES,
  FrameKind,
  HEADER_BYTES,
  lostMemory,
  MessageKind,
  protocolError,
  readTotal,
  writeHeader,
  writeTotal,
} from './fragments.js';
import { type Outgoing, OutgoingBytes, OutgoingValue, type SliceOptions, slice } from './outgoing.js';

/** What an attempt to receive found. */
export type Received<Value> = { ok: true; value: Value } | { ok: false };

/** How much to receive at most. */
export interface ReceiveBytesOptions {
  /** In bytes; by default the connection's `maxMessageByteLength`. */
  maxByteLength?: number;
}

/** Where in a view to put what comes. */
export interface ReceiveIntoOptions {
  /** In bytes; 0 by default. */
  byteOffset?: number;
}

/** @internal */
export interface ConnectionOptions {
  codec: ValueCodec;
  /** What is received at most, in bytes. */
  maxMessageByteLength: number;
}

/**
 * What else travels in the values of a connection that has an owner.
 * @internal
 */
export interface Extras {
  departureOf: NonNullable<Route['departureOf']>;
  /** Makes what Connection's own classes do not. */
  arrive(kind: string, data: unknown, others: Arrive): unknown;
}

/** What takes a message that has arrived: `owned` memory is its to keep. Throws what leaves the message where it is. */
type Taker<Result> = (
  kind: MessageKind,
  memory: Uint8Array,
  byteOffset: number,
  byteLength: number,
  owned: boolean,
) => Result;

/**
 * One end of a connection. There is one of each: sending it to another process moves it there.
 *
 * The other end reads everything that was sent, then the end of the stream, when this one is closed or its process is
 * gone in any way; a message of which the sender died or gave up in the middle never arrives.
 */
export class Connection<Out = unknown, In = Out> implements AsyncIterable<In>, Disposable {
  readonly #channel: FrameChannel;
  readonly #sender: FrameSender | undefined;
  readonly #receiver: FrameReceiver | undefined;
  readonly #codec: ValueCodec;
  readonly #maxByteLength: number;
  #route: Route;
  #receiving = new Receiving();
  // Whose the connection is, if not the user's own.
  #owner: string | undefined;
  // Why nothing can be done here any more; undefined as long as something can.
  #gone: string | undefined;
  // The other end has the beginning of a message that will not be continued.
  #mustDrop = false;
  // The other end will send no more, so it is closed or gone, and receives no more either.
  #ended = false;
  // What has come of a message in several frames.
  #arriving: Arriving | undefined;
  // The message that #write copies from; where it is in it.
  #outgoing: Outgoing | undefined;

  /** @internal Use Pipe(), Listener or connect(). */
  constructor(channel: FrameChannel, options: ConnectionOptions) {
    this.#channel = channel;
    this.#sender = channel.sender;
    this.#receiver = channel.receiver;
    this.#codec = options.codec;
    this.#maxByteLength = options.maxMessageByteLength;
    this.#route = {
      reach: channel.transport === 'tcp' ? 'network' : 'machine',
      label: `a connection over ${channel.transport}`,
    };
  }

  /**
   * Takes over the end that a handle leads to.
   * @param handle - the `handle` of a connection; it can be used once
   * @throws {RingwayError} `ENOENT` if the process it comes from ended before; `ERR_RINGWAY_STATE` if it was used already
   */
  static attach<Out = unknown, In = Out>(handle: ConnectionHandle, options: CodecOptions = {}): Connection<Out, In> {
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
    return new Connection<Out, In>(channelOf(handle), { codec, maxMessageByteLength });
  }

  /** What carries the bytes. */
  get transport(): Transport {
    return this.#channel.transport;
  }

  /** @internal Settles when it can move, if that needs time. */
  get established(): Promise<void> | undefined {
    return this.#channel.established;
  }

  /** Whether this end can receive. */
  get readable(): boolean {
    return this.#receiver !== undefined;
  }

  /** Whether this end can send. */
  get writable(): boolean {
    return this.#sender !== undefined;
  }

  /** Whether this end was closed, or moved away. */
  get closed(): boolean {
    return this.#gone !== undefined;
  }

  /**
   * Sends a value as soon as there is room. The value is encoded before this returns: what happens to it later is not
   * seen, but for large typed arrays in messages longer than the connection's capacity, which are read as they go.
   * @throws {RingwayError} `ERR_RINGWAY_UNSERIALISABLE` with the path to what cannot be sent
   * @throws {RingwayError} `EPIPE` when the other end is closed or gone
   * @throws {TimeoutError} after `timeoutMs`; nothing was sent
   */
  send(value: Out, options?: WaitOptions): Promise<void> {
    try {
      return this.#send('send', this.#encode(value), options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** send() that blocks the thread. */
  sendSync(value: Out, options?: SyncWaitOptions): void {
    this.#sendSync('sendSync', this.#encode(value), options);
  }

  /**
   * Sends a value if there is room at once.
   * @returns false if there is none; nothing was sent
   * @throws {MessageSizeError} if it is longer than what the connection can ever take at once: send() takes it
   */
  trySend(value: Out): boolean {
    return this.#trySend('trySend', this.#encode(value));
  }

  /**
   * Sends bytes as they are. Those of a message longer than the connection's capacity are read as they go: do not change
   * them before the promise resolves.
   * @param view - any ArrayBuffer view; its bytes, or the part that the options name
   * @throws {RangeError} for a part that is not inside
   * @throws as send()
   */
  sendBytes(view: ArrayBufferView, options?: SliceOptions & WaitOptions): Promise<void> {
    try {
      return this.#send('sendBytes', new OutgoingBytes(slice(view, options)), options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** sendBytes() that blocks the thread. */
  sendBytesSync(view: ArrayBufferView, options?: SliceOptions & SyncWaitOptions): void {
    this.#sendSync('sendBytesSync', new OutgoingBytes(slice(view, options)), options);
  }

  /** trySend() of bytes. */
  trySendBytes(view: ArrayBufferView, options?: SliceOptions): boolean {
    return this.#trySend('trySendBytes', new OutgoingBytes(slice(view, options)));
  }

  /**
   * The next value, as soon as there is one; a message of bytes arrives as a Uint8Array.
   * @throws {EndOfStreamError} when all was received and the other end is closed, or its process is gone
   * @throws {MessageSizeError} for a message longer than `maxMessageByteLength`; it stays
   * @throws {RingwayError} `ERR_RINGWAY_UNSERIALISABLE` if the message is no value; `ENOENT` if it carries an object whose
   *   sender ended before this process attached. Such a message is consumed
   * @throws {TimeoutError} after `timeoutMs`; nothing was consumed
   */
  recv(options?: WaitOptions): Promise<In> {
    return this.#receive('recv', options, this.#maxByteLength, 0, this.#takeValue) as Promise<In>;
  }

  /** recv() that blocks the thread. */
  recvSync(options?: SyncWaitOptions): In {
    return this.#receiveSync('recvSync', options, this.#maxByteLength, 0, this.#takeValue) as In;
  }

  /** The next value, if it is there: `{ ok: true, value }`. Errors as of recv(). */
  tryRecv(): Received<In> {
    const value = this.#tryReceive('tryRecv', this.#maxByteLength, 0, this.#takeValue);
    return value === NOT_YET ? { ok: false } : { ok: true, value: value as In };
  }

  /**
   * The next message of bytes.
   * @returns shape [byteLength of the message], memory of its own
   * @throws {MessageSizeError} if it is longer than `maxByteLength`; it stays
   * @throws {RingwayError} `ERR_RINGWAY_STATE` if the next message is a value; it stays
   * @throws as recv()
   */
  recvBytes(options?: ReceiveBytesOptions & WaitOptions): Promise<Uint8Array> {
    try {
      return this.#receive('recvBytes', options, this.#limitOf(options), MessageKind.bytes, takeBytes);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** recvBytes() that blocks the thread. */
  recvBytesSync(options?: ReceiveBytesOptions & SyncWaitOptions): Uint8Array {
    return this.#receiveSync('recvBytesSync', options, this.#limitOf(options), MessageKind.bytes, takeBytes);
  }

  /** The next message of bytes, if it is there; else null. Errors as of recvBytes(). */
  tryRecvBytes(options?: ReceiveBytesOptions): Uint8Array | null {
    const bytes = this.#tryReceive('tryRecvBytes', this.#limitOf(options), MessageKind.bytes, takeBytes);
    return bytes === NOT_YET ? null : bytes;
  }

  /**
   * Receives the next message of bytes into a view; the rest of the view stays as it is. A message longer than the connection's
   * capacity is written there as it comes: leave the view alone until the promise settles. If it rejects in the middle, the view
   * may hold a part of the message, which stays to be received.
   * @param view - any ArrayBuffer view
   * @returns how many bytes came
   * @throws {MessageSizeError} if the message is longer than what the view holds from `byteOffset` on; it stays
   * @throws {RingwayError} `ERR_RINGWAY_STATE` if the view's memory was transferred meanwhile: what had come is lost with it
   * @throws as recvBytes()
   */
  recvBytesInto(view: ArrayBufferView, options?: ReceiveIntoOptions & WaitOptions): Promise<number> {
    try {
      const target = slice(view, options?.byteOffset === undefined ? {} : { byteOffset: options.byteOffset });
      return this.#receive('recvBytesInto', options, target.length, MessageKind.bytes, takeInto(target), target);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** recvBytesInto() that blocks the thread. */
  recvBytesIntoSync(view: ArrayBufferView, options?: ReceiveIntoOptions & SyncWaitOptions): number {
    const target = slice(view, options?.byteOffset === undefined ? {} : { byteOffset: options.byteOffset });
    const take = takeInto(target);
    return this.#receiveSync('recvBytesIntoSync', options, target.length, MessageKind.bytes, take, target);
  }

  /**
   * The next message of bytes where it lies, without a copy if it came in one piece: one up to about half the capacity
   * does. It keeps its room until it is released. One at a time.
   * @throws as recvBytes(); `ERR_RINGWAY_BORROWED` while another one is lent
   */
  borrow(options?: WaitOptions): Promise<Borrowed> {
    try {
      return this.#reading('borrow')
        .until('borrow', options, () => this.#lend())
        .catch(this.#receiveFailed);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** borrow() that blocks the thread. */
  borrowSync(options?: SyncWaitOptions): Borrowed {
    const receiver = this.#reading('borrowSync');
    return this.#untilSync(receiver, 'borrowSync', options, () => this.#lend());
  }

  /** The next message of bytes in place, if it is there; else null. Errors as of borrow(). */
  tryBorrow(): Borrowed | null {
    if (this.#reading('tryBorrow').hasWaiting) return null;
    const lent = this.#lend();
    return lent === NOT_YET ? null : lent;
  }

  /**
   * Waits until recv() would not have to: a message is there, or the end of the stream. Consumes nothing.
   * @param options - `timeoutMs` is 0 by default
   * @returns whether that came in time
   */
  async poll(options: WaitOptions = {}): Promise<boolean> {
    checkWaitOptions(options);
    const wait = { ...options, timeoutMs: options.timeoutMs ?? 0 };
    try {
      await this.#reading('poll').until<void>('poll', wait, () => (this.#hasMessage() ? undefined : NOT_YET));
      return true;
    } catch (error) {
      return this.#endOrTimeout(error);
    }
  }

  /** poll() that blocks the thread. */
  pollSync(options: SyncWaitOptions = {}): boolean {
    checkWaitOptions(options);
    const wait = { timeoutMs: options.timeoutMs ?? 0 };
    try {
      this.#reading('pollSync').untilSync<void>('pollSync', wait, () => (this.#hasMessage() ? undefined : NOT_YET));
      return true;
    } catch (error) {
      return this.#endOrTimeout(error);
    }
  }

  /** @internal */
  get [readiness](): Readiness {
    return {
      isReady: () => this.pollSync(),
      whenReady: (signal) => this.poll({ timeoutMs: Infinity, signal }),
      blockUntilReady: (timeoutMs) => this.pollSync({ timeoutMs }),
    };
  }

  /** Values until the end of the stream. */
  async *[Symbol.asyncIterator](): AsyncGenerator<In, void, undefined> {
    for (;;) {
      let value: In;
      try {
        value = await this.recv();
      } catch (error) {
        if (error instanceof EndOfStreamError) return;
        throw error;
      }
      yield value;
    }
  }

  /**
   * What attach() takes in another process, or for `sab` in another thread. Reading it gives this end away: it is closed
   * here, and whoever attaches first has it.
   * @throws {RingwayError} `ERR_RINGWAY_STATE` in the middle of a message; `ERR_RINGWAY_NOT_SENDABLE` over the kernel
   */
  get handle(): ConnectionHandle {
    this.#checkIdle();
    const ends = this.#channel.giveAway();
    this.#gone = 'was given away by its handle';
    return this.#handleOf(ends);
  }

  /** The handle. */
  toJSON(): ConnectionHandle {
    return this.handle;
  }

  /** @internal */
  [travels](route: Route): Departure {
    this.#checkIdle();
    if (!isBuiltIn(this.#codec.name)) {
      throw new RingwayError(
        `a connection with a codec of your own (${describe(this.#codec.name)}) cannot go through ${route.label}: send its handle and attach with { codec }`,
        'ERR_RINGWAY_NOT_SENDABLE',
      );
    }
    const { data, sent, unsent } = this.#channel.depart(route);
    this.#gone = `is on its way through ${route.label}`;
    return {
      kind: 'Connection',
      data: this.#handleOf(data),
      sent: (to, carrier) => {
        this.#gone = `moved ${to === undefined ? `away through ${route.label}` : `to ${to}`}`;
        sent(to, carrier);
      },
      unsent: () => {
        this.#gone = undefined;
        unsent();
      },
    };
  }

  /**
   * Closes this end: the other one reads what was sent, then the end of the stream. Pending operations are rejected with
   * ClosedError. Idempotent.
   */
  close(): void {
    if (this.#gone !== undefined) return;
    this.#gone = 'was closed';
    this.#sender?.close();
    this.#receiver?.close();
    this.#arriving = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** A pending operation keeps the process alive: the default. */
  ref(): this {
    this.#sender?.ref();
    this.#receiver?.ref();
    return this;
  }

  /** Lets the process end though an operation is pending. */
  unref(): this {
    this.#sender?.unref();
    this.#receiver?.unref();
    return this;
  }

  // ---- For the layer above. A connection that it owns is used through these alone.

  /**
   * Takes the connection over for good: send(), recv() and so on throw from here on.
   * @param owner - who it is, for messages
   * @throws {RingwayError} `ERR_RINGWAY_STATE` if it cannot both send and receive, or is in use; `ERR_RINGWAY_SHAPE` with
   *   a codec that is not the default one
   * @internal
   */
  own(owner: string, extras: Extras): void {
    this.#checkIdle('be taken over');
    if (!this.readable || !this.writable) {
      const does = this.readable ? 'receives' : 'sends';
      throw new RingwayError(
        `${owner} need a connection that sends and receives; this end only ${does}: make it with duplex: true`,
        'ERR_RINGWAY_STATE',
      );
    }
    if (this.#codec.name !== 'structured') {
      throw new RingwayError(
        `${owner} need a connection with the codec 'structured', not ${describe(this.#codec.name)}`,
        'ERR_RINGWAY_SHAPE',
      );
    }
    this.#owner = owner;
    this.#route = { ...this.#route, departureOf: extras.departureOf };
    this.#receiving = new Receiving((kind, data) => extras.arrive(kind, data, arrive));
  }

  /**
   * A value as a message that dispatch() sends. Valid until the next one is made, unless kept.
   * @internal
   */
  prepare(value: unknown): Outgoing {
    this.#checkNotGone(); // An object in the value would be on its way already.
    return new OutgoingValue(this.#codec.encode(value, this.#route));
  }

  /**
   * Sends a message.
   * @returns undefined if it is on its way, which needs no promise; else when it is. Errors as of send()
   * @internal
   */
  dispatch(message: Outgoing): Promise<void> | undefined {
    this.#checkNotGone();
    return this.#dispatch('send', message, undefined);
  }

  /** recv() whose errors are the channel's. @internal */
  receive(): Promise<unknown> {
    this.#checkNotGone();
    return (this.#receiver as FrameReceiver).until('recv', undefined, this.#attemptValue);
  }

  /** receive() of what is there. @internal */
  tryReceive(): unknown {
    this.#checkNotGone();
    return this.#attemptValue();
  }

  readonly #attemptValue = (): unknown => this.#read(this.#maxByteLength, 0, this.#takeValue);

  /** Whether receive() keeps the process alive. @internal */
  set receiveReferenced(referenced: boolean) {
    if (referenced) this.#receiver?.ref();
    else this.#receiver?.unref();
  }

  /** @internal What console.log() shows. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    const does = [this.readable ? 'receives' : '', this.writable ? 'sends' : ''].filter(Boolean).join(', ');
    return `[Connection over ${this.transport}, ${this.#gone ?? does}]`;
  }

  #handleOf(ends: unknown): ConnectionHandle {
    const limit = this.#maxByteLength === Infinity ? {} : { maxMessageByteLength: this.#maxByteLength };
    return { kind: 'Connection', transport: this.transport, codec: this.#codec.name, ...limit, ends };
  }

  #encode(value: unknown): Outgoing {
    this.#writing(); // An object in the value would be on its way already.
    return new OutgoingValue(this.#codec.encode(value, this.#route));
  }

  #send(what: string, message: Outgoing, options: WaitOptions | undefined): Promise<void> {
    this.#writing();
    return this.#dispatch(what, message, options) ?? settled(undefined);
  }

  #dispatch(what: string, message: Outgoing, options: WaitOptions | undefined): Promise<void> | undefined {
    const sender = this.#sender as FrameSender;
    try {
      if (options !== undefined) checkWaitOptions(options);
      if (!sender.hasWaiting && !options?.signal?.aborted && this.#write(message)) {
        message.arrives(sender);
        return undefined;
      }
    } catch (error) {
      this.#giveUp(message);
      throw error;
    }
    const kept = message.keep(message.byteLength <= sender.maxFrameByteLength);
    return sender
      .until<void>(what, options, () => this.#sendOff(kept))
      .catch((error) => {
        this.#giveUp(kept);
        throw connectionError(error);
      });
  }

  #sendSync(what: string, message: Outgoing, options: SyncWaitOptions | undefined): void {
    try {
      this.#writing().untilSync<void>(what, options, () => this.#sendOff(message));
    } catch (error) {
      this.#giveUp(message);
      throw connectionError(error);
    }
  }

  #sendOff(message: Outgoing): undefined | NotYet {
    if (!this.#write(message)) return NOT_YET;
    message.arrives(this.#sender as FrameSender);
    return undefined;
  }

  #trySend(what: string, message: Outgoing): boolean {
    const sender = this.#writing();
    try {
      const limit = sender.maxFrameByteLength - HEADER_BYTES;
      if (message.byteLength > limit) {
        throw new MessageSizeError(
          `${what} takes messages of up to ${limit} bytes at once, this one has ${message.byteLength}: send() sends it in parts`,
          message.byteLength,
          limit,
        );
      }
      if (!sender.hasWaiting && this.#write(message)) {
        message.arrives(sender);
        return true;
      }
    } catch (error) {
      this.#giveUp(message);
      throw error;
    }
    this.#giveUp(message);
    return false;
  }

  // Writes what fits; whether that was all of it. Called again, it goes on.
  #write(message: Outgoing): boolean {
    const sender = this.#sender as FrameSender;
    if (this.#ended || sender.peerIsGone) throw brokenPipe();
    if (this.#mustDrop) {
      if (!sender.tryWrite(HEADER_BYTES, writeDropped)) return false;
      this.#mustDrop = false;
    }
    const { byteLength } = message;
    this.#outgoing = message;
    if (byteLength + HEADER_BYTES <= sender.maxFrameByteLength) {
      return sender.tryWrite(byteLength + HEADER_BYTES, this.#writeWhole);
    }
    while (message.sent < byteLength) {
      const header = message.sent === 0 ? FIRST_HEADER_BYTES : HEADER_BYTES;
      const frame = Math.min(sender.partByteLength, header + byteLength - message.sent);
      if (!sender.tryWrite(frame, this.#writePart)) return false;
      message.sent += frame - header;
    }
    return true;
  }

  readonly #writeWhole = (memory: Uint8Array, byteOffset: number): void => {
    const { kind, byteLength } = this.#outgoing as Outgoing;
    writeHeader(memory, byteOffset, FrameKind.whole, kind);
    (this.#outgoing as Outgoing).copyTo(memory, byteOffset + HEADER_BYTES, 0, byteLength);
  };

  readonly #writePart = (memory: Uint8Array, byteOffset: number, frameByteLength: number): void => {
    const message = this.#outgoing as Outgoing;
    const { sent } = message;
    const header = sent === 0 ? FIRST_HEADER_BYTES : HEADER_BYTES;
    writeHeader(memory, byteOffset, sent === 0 ? FrameKind.first : FrameKind.more, message.kind);
    if (sent === 0) writeTotal(memory, byteOffset + HEADER_BYTES, message.byteLength);
    message.copyTo(memory, byteOffset + header, sent, frameByteLength - header);
  };

  // The message is not going to arrive.
  #giveUp(message: Outgoing): void {
    message.failed();
    const sender = this.#sender as FrameSender;
    if (message.sent === 0 || sender.closed) return;
    this.#mustDrop = true;
    try {
      if (sender.tryWrite(HEADER_BYTES, writeDropped)) this.#mustDrop = false;
    } catch {
      // The other end is gone, and with it whoever would have to know.
    }
  }

  #receive<Result>(
    what: string,
    options: WaitOptions | undefined,
    limit: number,
    wanted: MessageKind | 0,
    take: Taker<Result>,
    into?: Uint8Array,
  ): Promise<Result> {
    try {
      const receiver = this.#reading(what);
      if (options !== undefined) checkWaitOptions(options);
      if (!receiver.hasWaiting && !options?.signal?.aborted) {
        const result = this.#read(limit, wanted, take, into);
        if (result !== NOT_YET) return settled(result);
      }
      return receiver.until(what, options, () => this.#read(limit, wanted, take, into)).catch(this.#receiveFailed);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #receiveSync<Result>(
    what: string,
    options: SyncWaitOptions | undefined,
    limit: number,
    wanted: MessageKind | 0,
    take: Taker<Result>,
    into?: Uint8Array,
  ): Result {
    const receiver = this.#reading(what);
    return this.#untilSync(receiver, what, options, () => this.#read(limit, wanted, take, into));
  }

  #untilSync<Result>(
    receiver: FrameReceiver,
    what: string,
    options: SyncWaitOptions | undefined,
    attempt: () => Result | NotYet,
  ): Result {
    try {
      return receiver.untilSync(what, options, attempt);
    } catch (error) {
      return this.#receiveFailed(error);
    }
  }

  readonly #receiveFailed = (error: unknown): never => {
    this.#arriving?.goOnIn(undefined); // Whose memory it was arriving in has that back.
    if (error instanceof EndOfStreamError) this.#ended = true;
    throw connectionError(error);
  };

  #tryReceive<Result>(what: string, limit: number, wanted: MessageKind | 0, take: Taker<Result>): Result | NotYet {
    if (this.#reading(what).hasWaiting) return NOT_YET;
    return this.#read(limit, wanted, take);
  }

  // What #look() reads for, and what it found.
  #limit = 0;
  #into: Uint8Array | undefined;
  #wanted: MessageKind | 0 = 0;
  #take: Taker<unknown> | undefined;
  #taken = false;
  #nextIsBytes = false; // A whole message that can be lent where it lies.
  #result: unknown;
  #failure: { error: unknown } | undefined;

  // Takes the next message if all of it is there. One in several frames is collected in `into`, or in memory of its own.
  #read<Result>(
    limit: number,
    wanted: MessageKind | 0,
    take: Taker<Result> | undefined,
    into?: Uint8Array,
  ): Result | NotYet {
    this.#arriving?.goOnIn(into);
    this.#limit = limit;
    this.#into = into;
    this.#wanted = wanted;
    this.#take = take;
    this.#taken = false;
    const receiver = this.#receiver as FrameReceiver;
    try {
      do {
        const arriving = this.#arriving;
        if (arriving?.complete && arriving.lost) {
          this.#arriving = undefined;
        } else if (arriving?.complete) {
          this.#checkWanted(arriving.kind, arriving.byteLength);
          this.#result = take?.(arriving.kind, arriving.bytes, 0, arriving.byteLength, true);
          this.#taken = true;
          if (take !== undefined) this.#arriving = undefined;
        } else if (!receiver.tryRead(this.#look)) {
          return NOT_YET;
        }
      } while (!this.#taken);
      if (this.#failure !== undefined) throw this.#failure.error;
      return this.#result as Result;
    } finally {
      this.#take = this.#result = this.#failure = this.#into = undefined;
    }
  }

  // Looks at one frame; whether it is done with it. What it throws leaves the frame where it is.
  readonly #look = (memory: Uint8Array, byteOffset: number, byteLength: number): boolean => {
    if (byteLength < HEADER_BYTES) throw protocolError(`a frame of ${byteLength} bytes`);
    const frame = memory[byteOffset];
    if (frame === FrameKind.dropped) {
      this.#arriving = undefined;
      return true;
    }
    const arriving = this.#arriving;
    if (frame === FrameKind.more) {
      if (arriving === undefined) throw protocolError('a message goes on that never began');
      arriving.add(memory, byteOffset + HEADER_BYTES, byteLength - HEADER_BYTES);
      return true;
    }
    const kind = memory[byteOffset + 1] as MessageKind;
    if (kind !== MessageKind.value && kind !== MessageKind.bytes) throw protocolError(`a message of kind ${kind}`);
    if (arriving !== undefined) throw protocolError('a message begins in the middle of another');
    if (frame === FrameKind.whole) {
      this.#taken = true;
      if (this.#take === undefined) {
        this.#nextIsBytes = kind === MessageKind.bytes && byteLength - HEADER_BYTES <= this.#limit;
        return false;
      }
      this.#checkWanted(kind, byteLength - HEADER_BYTES);
      this.#result = this.#take(kind, memory, byteOffset + HEADER_BYTES, byteLength - HEADER_BYTES, false);
      return true;
    }
    if (frame !== FrameKind.first) throw protocolError(`a frame of kind ${frame}`);
    const total = byteLength < FIRST_HEADER_BYTES ? Number.NaN : readTotal(memory, byteOffset + HEADER_BYTES);
    if (!Number.isSafeInteger(total) || total < byteLength - FIRST_HEADER_BYTES) {
      throw protocolError(`a message of ${total} bytes begins with ${byteLength - FIRST_HEADER_BYTES}`);
    }
    if (this.#take === undefined && total > this.#limit) {
      this.#nextIsBytes = false;
      this.#taken = true; // What receives it says what is wrong with it.
      return false;
    }
    this.#checkWanted(kind, total);
    this.#arriving = new Arriving(kind, total, this.#into);
    this.#arriving.add(memory, byteOffset + FIRST_HEADER_BYTES, byteLength - FIRST_HEADER_BYTES);
    return true;
  };

  #checkWanted(kind: MessageKind, byteLength: number): void {
    if (this.#take === undefined) return;
    if (this.#wanted === MessageKind.bytes && kind !== MessageKind.bytes) {
      throw new RingwayError('the next message is a value, not bytes: recv() receives it', 'ERR_RINGWAY_STATE');
    }
    if (byteLength <= this.#limit) return;
    throw new MessageSizeError(
      `a message of ${byteLength} bytes has come where ${this.#limit} are the limit; it stays until it is received with a higher one`,
      byteLength,
      this.#limit,
    );
  }

  readonly #takeValue: Taker<unknown> = (kind, memory, byteOffset, byteLength, owned) => {
    if (kind === MessageKind.bytes) return takeBytes(kind, memory, byteOffset, byteLength, owned);
    try {
      return this.#receiving.decode(this.#codec, memory, byteOffset, byteLength, owned);
    } catch (error) {
      this.#failure = { error }; // It is consumed: it would fail again and again.
      return undefined;
    }
  };

  // What poll() makes of an error.
  #endOrTimeout(error: unknown): boolean {
    if (error instanceof TimeoutError) return false;
    if (!(error instanceof EndOfStreamError)) throw error;
    this.#ended = true;
    return true;
  }

  // Whether recv() would end at once. A message in several frames is collected for it.
  #hasMessage(): boolean {
    return this.#read(this.#maxByteLength, 0, undefined) !== NOT_YET;
  }

  #lend(): Borrowed | NotYet {
    if (!this.#hasMessage()) return NOT_YET;
    const receiver = this.#receiver as FrameReceiver;
    if (this.#arriving === undefined && this.#nextIsBytes) {
      const loan = receiver.tryBorrow();
      if (loan !== null) return new LentFrame(loan);
    }
    return new LentMemory(this.#read(this.#maxByteLength, MessageKind.bytes, takeBytes) as Uint8Array);
  }

  #limitOf(options: ReceiveBytesOptions | undefined): number {
    const limit = options?.maxByteLength;
    if (limit === undefined) return this.#maxByteLength;
    checkInteger('maxByteLength', limit, 0, Number.MAX_SAFE_INTEGER);
    return Math.min(limit, this.#maxByteLength);
  }

  #writing(): FrameSender {
    this.#checkOpen();
    if (this.#sender !== undefined) return this.#sender;
    throw new RingwayError('this end of the connection only receives: the other one sends', 'ERR_RINGWAY_STATE');
  }

  #reading(what: string): FrameReceiver {
    this.#checkOpen();
    if (this.#receiver !== undefined) return this.#receiver;
    throw new RingwayError(`this end of the connection only sends: no ${what}() here`, 'ERR_RINGWAY_STATE');
  }

  #checkOpen(): void {
    this.#checkNotGone();
    if (this.#owner === undefined) return;
    throw new RingwayError(`this end of the connection belongs to ${this.#owner}`, 'ERR_RINGWAY_STATE');
  }

  #checkNotGone(): void {
    if (this.#gone !== undefined) throw new ClosedError(`this end of the connection ${this.#gone}`);
  }

  // An end that moves leaves nothing behind.
  #checkIdle(what = 'move'): void {
    this.#checkOpen();
    if (this.#mustDrop && this.#sender?.tryWrite(HEADER_BYTES, writeDropped)) this.#mustDrop = false;
    const busy =
      this.#sender?.hasWaiting || this.#receiver?.hasWaiting
        ? 'operations are pending'
        : this.#arriving !== undefined
          ? `${this.#arriving.byteLength} bytes of a message have been received in part`
          : this.#mustDrop
            ? 'it is full of a message that was given up: the other end has to receive first'
            : undefined;
    if (busy === undefined) return;
    throw new RingwayError(`this end of the connection cannot ${what} while ${busy}`, 'ERR_RINGWAY_STATE');
  }
}

/** What leads to one end of a connection. Survives JSON for `shm`, postMessage for both. */
export interface ConnectionHandle {
  readonly kind: 'Connection';
  readonly transport: Transport;
  readonly codec: string;
  /** Absent: no limit. */
  readonly maxMessageByteLength?: number;
  /** @internal */
  readonly ends: unknown;
}

// The ends that a message or a handle carried.
function channelOf({ transport, ends }: ConnectionHandle): FrameChannel {
  return transport === 'shm' || transport === 'sab' ? RingChannel.arrive(ends) : KernelChannel.arrive(ends);
}

/** @throws {TypeError | RangeError} unless it is a number of bytes, or Infinity */
export function checkMaxMessageByteLength(value: number): void {
  if (value !== Infinity) checkInteger('maxMessageByteLength', value, 0, Number.MAX_SAFE_INTEGER);
}

const takeBytes: Taker<Uint8Array> = (_, memory, byteOffset, byteLength, owned) =>
  owned ? memory.subarray(byteOffset, byteOffset + byteLength) : memory.slice(byteOffset, byteOffset + byteLength);

const takeInto =
  (target: Uint8Array): Taker<number> =>
  (_, memory, byteOffset, byteLength) => {
    if (memory === target) return byteLength; // It has arrived there.
    if (target.length < byteLength) throw lostMemory(byteLength, 'it stays until it is received');
    target.set(memory.subarray(byteOffset, byteOffset + byteLength));
    return byteLength;
  };

const writeDropped = (memory: Uint8Array, byteOffset: number) => writeHeader(memory, byteOffset, FrameKind.dropped, 0);
