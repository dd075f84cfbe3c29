// The sending side of one end of a connection: messages in one frame, or in parts while there is room for some. A value is
// encoded when send() is called, also if it has to wait.

import type { ValueCodec } from '../codec/codec.js';
import { MessageSizeError, RingwayError } from '../errors.js';
import type { Route } from '../memory/travel.js';
import type { FrameSender } from '../transport/frames.js';
import { NOT_YET, type NotYet } from '../wait/condition.js';
import { checkWaitOptions, type SyncWaitOptions, type WaitOptions } from '../wait/options.js';
import { settled } from '../wait/waiters.js';
import type { ConnectionBody } from './connection-body.js';
import { brokenPipe, connectionError } from './connection-errors.js';
import { FIRST_HEADER_BYTES, FrameKind, HEADER_BYTES, writeHeader, writeTotal } from './fragments.js';
import { type Outgoing, OutgoingBytes, OutgoingValue, type SliceOptions, slice } from './outgoing.js';

export class MessageSender {
  readonly #body: ConnectionBody;
  readonly #sender: FrameSender | undefined;
  readonly #codec: ValueCodec;
  #route: Route;
  // The other end has the beginning of a message that will not be continued.
  #mustDrop = false;
  // The message that #write copies from; where it is in it.
  #outgoing: Outgoing | undefined;

  constructor(body: ConnectionBody) {
    const { channel } = body;
    this.#body = body;
    this.#sender = channel.sender;
    this.#codec = body.codec;
    this.#route = {
      reach: channel.transport === 'tcp' ? 'network' : 'machine',
      label: `a connection over ${channel.transport}`,
    };
  }

  send(value: unknown, options?: WaitOptions): Promise<void> {
    try {
      return this.#send('send', this.#encode(value), options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  sendSync(value: unknown, options?: SyncWaitOptions): void {
    this.#sendSync('sendSync', this.#encode(value), options);
  }

  /** Whether there was room. */
  trySend(value: unknown): boolean {
    return this.#trySend('trySend', this.#encode(value));
  }

  sendBytes(view: ArrayBufferView, options?: SliceOptions & WaitOptions): Promise<void> {
    try {
      const message = new OutgoingBytes(slice(view, options));
      this.#writing();
      return this.#send('sendBytes', message, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  sendBytesSync(view: ArrayBufferView, options?: SliceOptions & SyncWaitOptions): void {
    this.#sendSync('sendBytesSync', new OutgoingBytes(slice(view, options)), options);
  }

  trySendBytes(view: ArrayBufferView, options?: SliceOptions): boolean {
    return this.#trySend('trySendBytes', new OutgoingBytes(slice(view, options)));
  }

  // ---- For the owner of a connection.

  /** Takes along what else travels in the owner's values. */
  set departureOf(departureOf: NonNullable<Route['departureOf']>) {
    this.#route = { ...this.#route, departureOf };
  }

  prepare(value: unknown): Outgoing {
    this.#body.checkNotGone(); // An object in the value would be on its way already.
    return new OutgoingValue(this.#codec.encode(value, this.#route));
  }

  /** @returns undefined if the message is on its way */
  dispatch(message: Outgoing): Promise<void> | undefined {
    return this.#dispatch('send', message, undefined);
  }

  // ---- For the connection as a whole: whether it can move, and its end.

  get hasWaiting(): boolean {
    return this.#sender?.hasWaiting === true;
  }

  /**
   * Says that a message will not be continued, if the other end has the beginning of one.
   * @returns false if there is no room for that
   */
  tryDrop(): boolean {
    if (!this.#mustDrop) return true;
    if (!(this.#sender as FrameSender).tryWrite(HEADER_BYTES, writeDropped)) return false;
    this.#mustDrop = false;
    return true;
  }

  ref(): void {
    this.#sender?.ref();
  }

  unref(): void {
    this.#sender?.unref();
  }

  close(): void {
    this.#sender?.close();
  }

  #encode(value: unknown): Outgoing {
    this.#writing(); // An object in the value would be on its way already.
    return new OutgoingValue(this.#codec.encode(value, this.#route));
  }

  #send(what: string, message: Outgoing, options: WaitOptions | undefined): Promise<void> {
    return this.#dispatch(what, message, options) ?? settled(undefined);
  }

  #dispatch(what: string, message: Outgoing, options: WaitOptions | undefined): Promise<void> | undefined {
    const sender = this.#sender as FrameSender;
    try {
      this.#body.checkNotGone(); // It may be in its own message.
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
    try {
      const sender = this.#writing();
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
    if (this.#body.ended || sender.peerIsGone) throw brokenPipe();
    if (this.#mustDrop && !this.tryDrop()) return false;
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
      this.tryDrop();
    } catch {
      // The other end is gone, and with it whoever would have to know.
    }
  }

  #writing(): FrameSender {
    this.#body.checkOpen();
    if (this.#sender !== undefined) return this.#sender;
    throw new RingwayError('this end of the connection only receives: the other one sends', 'ERR_RINGWAY_STATE');
  }
}

const writeDropped = (memory: Uint8Array, byteOffset: number) => writeHeader(memory, byteOffset, FrameKind.dropped, 0);
