// One end of a connection: values and bytes, in messages of any size, to one other end.

import type { ValueCodec } from '../codec/codec.js';
import type { CodecOptions } from '../codec/option.js';
import { EndOfStreamError } from '../errors.js';
import { type Arrive, type Departure, type Route, travels } from '../memory/travel.js';
import type { FrameChannel, Transport } from '../transport/frames.js';
import type { SyncWaitOptions, WaitOptions } from '../wait/options.js';
import { type Readiness, readiness } from '../wait/readiness.js';
import type { Borrowed } from './borrowed.js';
import { ConnectionBody } from './connection-body.js';
import { channelOf, checkHandle, Handover } from './handover.js';
import { MessageReceiver } from './message-receiver.js';
import { MessageSender } from './message-sender.js';
import type { Outgoing, SliceOptions } from './outgoing.js';

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

/**
 * One end of a connection. There is one of each: sending it to another process moves it there.
 *
 * The other end reads everything that was sent, then the end of the stream, when this one is closed or its process is
 * gone in any way; a message of which the sender died or gave up in the middle never arrives.
 */
export class Connection<Out = unknown, In = Out> implements AsyncIterable<In>, Disposable {
  readonly #body: ConnectionBody;
  readonly #sender: MessageSender;
  readonly #receiver: MessageReceiver;
  readonly #handover: Handover;

  /** @internal Use Pipe(), Listener or connect(). */
  constructor(channel: FrameChannel, options: ConnectionOptions) {
    const body = new ConnectionBody(channel, options);
    this.#body = body;
    this.#sender = new MessageSender(body);
    this.#receiver = new MessageReceiver(body);
    this.#handover = new Handover(body, this.#sender, this.#receiver);
  }

  /**
   * Takes over the end that a handle leads to.
   * @param handle - the `handle` of a connection; it can be used once
   * @throws {RingwayError} `ENOENT` if the process it comes from ended before; `ERR_RINGWAY_STATE` if it was used already
   */
  static attach<Out = unknown, In = Out>(handle: ConnectionHandle, options: CodecOptions = {}): Connection<Out, In> {
    const agreed = checkHandle(handle, options);
    return new Connection<Out, In>(channelOf(handle), agreed);
  }

  /** What carries the bytes. */
  get transport(): Transport {
    return this.#body.channel.transport;
  }

  /** @internal Settles when it can move, if that needs time. */
  get established(): Promise<void> | undefined {
    return this.#body.channel.established;
  }

  /** Whether this end can receive. */
  get readable(): boolean {
    return this.#body.channel.receiver !== undefined;
  }

  /** Whether this end can send. */
  get writable(): boolean {
    return this.#body.channel.sender !== undefined;
  }

  /** Whether this end was closed, or moved away. */
  get closed(): boolean {
    return this.#body.gone !== undefined;
  }

  /**
   * Sends a value as soon as there is room. The value is encoded before this returns: what happens to it later is not
   * seen, but for large typed arrays in messages longer than the connection's capacity, which are read as they go.
   * @throws {RingwayError} `ERR_RINGWAY_UNSERIALISABLE` with the path to what cannot be sent
   * @throws {RingwayError} `EPIPE` when the other end is closed or gone
   * @throws {TimeoutError} after `timeoutMs`; nothing was sent
   */
  send(value: Out, options?: WaitOptions): Promise<void> {
    return this.#sender.send(value, options);
  }

  /** send() that blocks the thread. */
  sendSync(value: Out, options?: SyncWaitOptions): void {
    this.#sender.sendSync(value, options);
  }

  /**
   * Sends a value if there is room at once.
   * @returns false if there is none; nothing was sent
   * @throws {MessageSizeError} if it is longer than what the connection can ever take at once: send() takes it
   */
  trySend(value: Out): boolean {
    return this.#sender.trySend(value);
  }

  /**
   * Sends bytes as they are. Those of a message longer than the connection's capacity are read as they go: do not change
   * them before the promise resolves.
   * @param view - any ArrayBuffer view; its bytes, or the part that the options name
   * @throws {RangeError} for a part that is not inside
   * @throws as send()
   */
  sendBytes(view: ArrayBufferView, options?: SliceOptions & WaitOptions): Promise<void> {
    return this.#sender.sendBytes(view, options);
  }

  /** sendBytes() that blocks the thread. */
  sendBytesSync(view: ArrayBufferView, options?: SliceOptions & SyncWaitOptions): void {
    this.#sender.sendBytesSync(view, options);
  }

  /** trySend() of bytes. */
  trySendBytes(view: ArrayBufferView, options?: SliceOptions): boolean {
    return this.#sender.trySendBytes(view, options);
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
    return this.#receiver.recv(options) as Promise<In>;
  }

  /** recv() that blocks the thread. */
  recvSync(options?: SyncWaitOptions): In {
    return this.#receiver.recvSync(options) as In;
  }

  /** The next value, if it is there: `{ ok: true, value }`. Errors as of recv(). */
  tryRecv(): Received<In> {
    return this.#receiver.tryRecv() as Received<In>;
  }

  /**
   * The next message of bytes.
   * @returns shape [byteLength of the message], memory of its own
   * @throws {MessageSizeError} if it is longer than `maxByteLength`; it stays
   * @throws {RingwayError} `ERR_RINGWAY_STATE` if the next message is a value; it stays
   * @throws as recv()
   */
  recvBytes(options?: ReceiveBytesOptions & WaitOptions): Promise<Uint8Array> {
    return this.#receiver.recvBytes(options);
  }

  /** recvBytes() that blocks the thread. */
  recvBytesSync(options?: ReceiveBytesOptions & SyncWaitOptions): Uint8Array {
    return this.#receiver.recvBytesSync(options);
  }

  /** The next message of bytes, if it is there; else null. Errors as of recvBytes(). */
  tryRecvBytes(options?: ReceiveBytesOptions): Uint8Array | null {
    return this.#receiver.tryRecvBytes(options);
  }

  /**
   * Receives the next message of bytes into a view. A message longer than the connection's capacity is written there as it
   * comes: leave the view alone until the promise settles. If it rejects in the middle, the view may hold a part of the message,
   * which stays to be received. The rest of the view stays as it is, unless the sender gave up another message in the middle.
   * @param view - any ArrayBuffer view
   * @returns how many bytes came
   * @throws {MessageSizeError} if the message is longer than what the view holds from `byteOffset` on, or than
   *   `maxMessageByteLength`; it stays
   * @throws {RingwayError} `ERR_RINGWAY_STATE` if the view's memory was transferred meanwhile: what had come is lost with it
   * @throws as recvBytes()
   */
  recvBytesInto(view: ArrayBufferView, options?: ReceiveIntoOptions & WaitOptions): Promise<number> {
    return this.#receiver.recvBytesInto(view, options);
  }

  /** recvBytesInto() that blocks the thread. */
  recvBytesIntoSync(view: ArrayBufferView, options?: ReceiveIntoOptions & SyncWaitOptions): number {
    return this.#receiver.recvBytesIntoSync(view, options);
  }

  /**
   * The next message of bytes where it lies, without a copy if it came in one piece: one up to about half the capacity
   * does. It keeps its room until it is released. One at a time.
   * @throws as recvBytes(); `ERR_RINGWAY_BORROWED` while another one is lent
   */
  borrow(options?: WaitOptions): Promise<Borrowed> {
    return this.#receiver.borrow(options);
  }

  /** borrow() that blocks the thread. */
  borrowSync(options?: SyncWaitOptions): Borrowed {
    return this.#receiver.borrowSync(options);
  }

  /** The next message of bytes in place, if it is there; else null. Errors as of borrow(). */
  tryBorrow(): Borrowed | null {
    return this.#receiver.tryBorrow();
  }

  /**
   * Waits until recv() would not have to: a message is there, or the end of the stream. Consumes nothing.
   * @param options - `timeoutMs` is 0 by default
   * @returns whether that came in time
   */
  poll(options?: WaitOptions): Promise<boolean> {
    return this.#receiver.poll(options);
  }

  /** poll() that blocks the thread. */
  pollSync(options?: SyncWaitOptions): boolean {
    return this.#receiver.pollSync(options);
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
    return this.#handover.giveAway();
  }

  /** The handle. */
  toJSON(): ConnectionHandle {
    return this.handle;
  }

  /** @internal */
  [travels](route: Route): Departure {
    return this.#handover.depart(route);
  }

  /**
   * Closes this end: the other one reads what was sent, then the end of the stream. Pending operations are rejected with
   * ClosedError. Idempotent.
   */
  close(): void {
    if (this.#body.gone !== undefined) return;
    this.#body.gone = 'was closed';
    this.#sender.close();
    this.#receiver.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** A pending operation keeps the process alive: the default. */
  ref(): this {
    this.#sender.ref();
    this.#receiver.ref();
    return this;
  }

  /** Lets the process end though an operation is pending. */
  unref(): this {
    this.#sender.unref();
    this.#receiver.unref();
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
    this.#handover.takeOver(owner, extras);
  }

  /**
   * A value as a message that dispatch() sends. Valid until the next one is made, unless kept.
   * @internal
   */
  prepare(value: unknown): Outgoing {
    return this.#sender.prepare(value);
  }

  /**
   * Sends a message.
   * @returns undefined if it is on its way, which needs no promise; else when it is. Errors as of send()
   * @internal
   */
  dispatch(message: Outgoing): Promise<void> | undefined {
    return this.#sender.dispatch(message);
  }

  /** recv() whose errors are the channel's. @internal */
  receive(): Promise<unknown> {
    return this.#receiver.receive();
  }

  /** receive() of what is there. @internal */
  tryReceive(): unknown {
    return this.#receiver.tryReceive();
  }

  /** Whether receive() keeps the process alive. @internal */
  set receiveReferenced(referenced: boolean) {
    if (referenced) this.#receiver.ref();
    else this.#receiver.unref();
  }

  /** @internal What console.log() shows. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    const does = [this.readable ? 'receives' : '', this.writable ? 'sends' : ''].filter(Boolean).join(', ');
    return `[Connection over ${this.transport}, ${this.#body.gone ?? does}]`;
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
