// The receiving side of one end of a connection: values, bytes in new memory, in the caller's or where they lie, and whether
// there is anything to receive.

import { EndOfStreamError, RingwayError, TimeoutError } from '../errors.js';
import { checkInteger } from '../memory/shared-object.js';
import type { Arrive } from '../memory/travel.js';
import type { FrameReceiver } from '../transport/frames.js';
import { NOT_YET, type NotYet } from '../wait/condition.js';
import { checkWaitOptions, type SyncWaitOptions, type WaitOptions } from '../wait/options.js';
import { settled } from '../wait/waiters.js';
import { type Borrowed, LentFrame, LentMemory } from './borrowed.js';
import type { ReceiveBytesOptions, Received, ReceiveIntoOptions } from './connection.js';
import type { ConnectionBody } from './connection-body.js';
import { connectionError } from './connection-errors.js';
import { MessageKind } from './fragments.js';
import { Incoming, type Taker, takeBytes, takeInto } from './incoming.js';
import { slice } from './outgoing.js';

export class MessageReceiver {
  readonly #body: ConnectionBody;
  readonly #receiver: FrameReceiver | undefined;
  readonly #incoming: Incoming;
  readonly #maxByteLength: number;

  constructor(body: ConnectionBody) {
    this.#body = body;
    this.#receiver = body.channel.receiver;
    this.#incoming = new Incoming(body);
    this.#maxByteLength = body.maxByteLength;
  }

  recv(options?: WaitOptions): Promise<unknown> {
    return this.#receive('recv', options, this.#maxByteLength, 0, this.#incoming.takeValue);
  }

  recvSync(options?: SyncWaitOptions): unknown {
    return this.#receiveSync('recvSync', options, this.#maxByteLength, 0, this.#incoming.takeValue);
  }

  tryRecv(): Received<unknown> {
    const value = this.#tryReceive('tryRecv', this.#maxByteLength, 0, this.#incoming.takeValue);
    return value === NOT_YET ? { ok: false } : { ok: true, value };
  }

  recvBytes(options?: ReceiveBytesOptions & WaitOptions): Promise<Uint8Array> {
    try {
      return this.#receive('recvBytes', options, this.#limitOf(options), MessageKind.bytes, takeBytes);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  recvBytesSync(options?: ReceiveBytesOptions & SyncWaitOptions): Uint8Array {
    return this.#receiveSync('recvBytesSync', options, this.#limitOf(options), MessageKind.bytes, takeBytes);
  }

  tryRecvBytes(options?: ReceiveBytesOptions): Uint8Array | null {
    const bytes = this.#tryReceive('tryRecvBytes', this.#limitOf(options), MessageKind.bytes, takeBytes);
    return bytes === NOT_YET ? null : bytes;
  }

  recvBytesInto(view: ArrayBufferView, options?: ReceiveIntoOptions & WaitOptions): Promise<number> {
    try {
      const target = targetOf(view, options);
      const limit = Math.min(target.length, this.#maxByteLength);
      return this.#receive('recvBytesInto', options, limit, MessageKind.bytes, takeInto(target), target);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  recvBytesIntoSync(view: ArrayBufferView, options?: ReceiveIntoOptions & SyncWaitOptions): number {
    const target = targetOf(view, options);
    const limit = Math.min(target.length, this.#maxByteLength);
    return this.#receiveSync('recvBytesIntoSync', options, limit, MessageKind.bytes, takeInto(target), target);
  }

  borrow(options?: WaitOptions): Promise<Borrowed> {
    try {
      return this.#reading('borrow')
        .until('borrow', options, () => this.#lend())
        .catch(this.#receiveFailed);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  borrowSync(options?: SyncWaitOptions): Borrowed {
    const receiver = this.#reading('borrowSync');
    return this.#untilSync(receiver, 'borrowSync', options, () => this.#lend());
  }

  tryBorrow(): Borrowed | null {
    if (this.#reading('tryBorrow').hasWaiting) return null;
    const lent = this.#lend();
    return lent === NOT_YET ? null : lent;
  }

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

  // ---- For the owner of a connection.

  /** Makes the objects that come in the owner's values. */
  set arrive(arrive: Arrive) {
    this.#incoming.arrive = arrive;
  }

  /** recv() whose errors are the channel's. */
  receive(): Promise<unknown> {
    this.#body.checkNotGone();
    return (this.#receiver as FrameReceiver).until('recv', undefined, this.#attemptValue);
  }

  /** receive() of what is there. */
  tryReceive(): unknown {
    this.#body.checkNotGone();
    return this.#attemptValue();
  }

  readonly #attemptValue = (): unknown => this.#incoming.read(this.#maxByteLength, 0, this.#incoming.takeValue);

  // ---- For the connection as a whole: whether it can move, and its end.

  get hasWaiting(): boolean {
    return this.#receiver?.hasWaiting === true;
  }

  /** How many bytes the message has that has been received in part; undefined if none has. */
  get begun(): number | undefined {
    return this.#incoming.begun;
  }

  ref(): void {
    this.#receiver?.ref();
  }

  unref(): void {
    this.#receiver?.unref();
  }

  close(): void {
    this.#receiver?.close();
    this.#incoming.forget();
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
        const result = this.#incoming.read(limit, wanted, take, into);
        if (result !== NOT_YET) return settled(result);
      }
      return receiver
        .until(what, options, () => this.#incoming.read(limit, wanted, take, into))
        .catch(this.#receiveFailed);
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
    return this.#untilSync(receiver, what, options, () => this.#incoming.read(limit, wanted, take, into));
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
    this.#incoming.leaveMemory(); // Whose memory it was arriving in has that back.
    if (error instanceof EndOfStreamError) this.#body.ended = true;
    throw connectionError(error);
  };

  #tryReceive<Result>(what: string, limit: number, wanted: MessageKind | 0, take: Taker<Result>): Result | NotYet {
    if (this.#reading(what).hasWaiting) return NOT_YET;
    return this.#incoming.read(limit, wanted, take);
  }

  // What poll() makes of an error.
  #endOrTimeout(error: unknown): boolean {
    if (error instanceof TimeoutError) return false;
    if (!(error instanceof EndOfStreamError)) throw error;
    this.#body.ended = true;
    return true;
  }

  // Whether recv() would end at once. A message in several frames is collected for it.
  #hasMessage(): boolean {
    return this.#incoming.read(this.#maxByteLength, 0, undefined) !== NOT_YET;
  }

  #lend(): Borrowed | NotYet {
    if (!this.#hasMessage()) return NOT_YET;
    const receiver = this.#receiver as FrameReceiver;
    if (this.#incoming.canBeLent) {
      const loan = receiver.tryBorrow();
      if (loan !== null) return new LentFrame(loan);
    }
    return new LentMemory(this.#incoming.read(this.#maxByteLength, MessageKind.bytes, takeBytes) as Uint8Array);
  }

  #limitOf(options: ReceiveBytesOptions | undefined): number {
    const limit = options?.maxByteLength;
    if (limit === undefined) return this.#maxByteLength;
    checkInteger('maxByteLength', limit, 0, Number.MAX_SAFE_INTEGER);
    return Math.min(limit, this.#maxByteLength);
  }

  #reading(what: string): FrameReceiver {
    this.#body.checkOpen();
    if (this.#receiver !== undefined) return this.#receiver;
    throw new RingwayError(`this end of the connection only sends: no ${what}() here`, 'ERR_RINGWAY_STATE');
  }
}

// Where in the view to put what comes.
function targetOf(view: ArrayBufferView, options: ReceiveIntoOptions | undefined): Uint8Array {
  return slice(view, options?.byteOffset === undefined ? {} : { byteOffset: options.byteOffset });
}
