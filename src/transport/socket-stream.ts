// Streams over a socket of node:net, for systems without the addon, and for runtimes that do not tell a socket's descriptor.
// The event loop moves the bytes, so no thread can block for them.

import type { Socket } from 'node:net';
import { RingwayError, type SystemErrorCode } from '../errors.js';
import type { SleepEnd } from '../memory/segment.js';
import { nextTurn } from '../runtime.js';
import { type ByteSink, type ByteSource, END, NO_BYTES } from './byte-stream.js';
import { writeError } from './descriptor-stream.js';

/** One end of a connection that is there, or will be. Closed when both directions are. */
export class SocketEnd {
  readonly source: SocketSource;
  readonly sink: SocketSink;
  /** Settles when the socket is there; undefined if it was from the start. */
  readonly established: Promise<void> | undefined;
  #socket: Socket | undefined;
  #halves = 2;

  constructor(socket: Socket | Promise<Socket>) {
    this.source = new SocketSource(this);
    this.sink = new SocketSink(this);
    if (socket instanceof Promise) {
      this.established = socket.then(
        (there) => this.#take(there),
        (error) => this.#fail(error),
      );
    } else {
      this.#take(socket);
    }
  }

  get socket(): Socket | undefined {
    return this.#socket;
  }

  closeHalf(): void {
    if (--this.#halves === 0) this.#socket?.destroySoon();
  }

  #take(socket: Socket): void {
    this.#socket = socket;
    socket.unref();
    socket.allowHalfOpen = true;
    socket.on('readable', () => this.source.wake());
    socket.on('end', () => this.source.end());
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => {
      this.source.end();
      this.sink.wake();
    });
    if (socket.readableEnded || socket.destroyed) this.source.end();
    if (this.#halves === 0) socket.destroy();
    this.source.wake();
    this.sink.wake();
  }

  #fail(error: NodeJS.ErrnoException): void {
    this.sink.fail(error);
    this.source.fail(error);
  }
}

/** Who waits for one direction of the socket. */
class Half {
  protected readonly end_: SocketEnd;
  #wake: (() => void) | undefined;
  #error: NodeJS.ErrnoException | undefined;
  #closed = false;

  constructor(end: SocketEnd) {
    this.end_ = end;
  }

  get error(): NodeJS.ErrnoException | undefined {
    return this.#error;
  }

  get closed(): boolean {
    return this.#closed;
  }

  whenReady(referenced: boolean, wake: () => void): () => void {
    const { socket } = this.end_;
    if (referenced) socket?.ref();
    let waiting = true;
    const done = () => {
      waiting = false;
      if (referenced) this.end_.socket?.unref();
      if (this.#wake === woken) this.#wake = undefined;
    };
    const woken = () => {
      if (!waiting) return;
      done();
      wake();
    };
    this.#wake = woken;
    if (this.#error !== undefined) nextTurn(woken);
    return () => {
      if (waiting) done();
    };
  }

  wake(): void {
    this.#wake?.();
  }

  fail(error: NodeJS.ErrnoException): void {
    this.#error ??= error;
    this.wake();
  }

  block(_limitMs: number): SleepEnd {
    throw new RingwayError(
      'a Sync operation on this connection needs the addon, or a runtime that tells the descriptors of sockets: here ' +
        'only the event loop moves its bytes. Use the form that returns a promise',
      'ERR_RINGWAY_NO_ADDON',
    );
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.end_.closeHalf();
  }
}

export class SocketSource extends Half implements ByteSource {
  #chunk: Uint8Array | undefined;
  #ended = false;

  read(target: Uint8Array, byteOffset: number, byteLength: number): number {
    this.#chunk ??= (this.end_.socket?.read() as Uint8Array | null | undefined) ?? undefined;
    const chunk = this.#chunk;
    if (chunk === undefined) {
      if (this.#ended) return END;
      const { error } = this;
      if (error === undefined || this.end_.socket?.destroyed === false) return NO_BYTES;
      if (error.code === 'ECONNRESET') return END;
      throw new RingwayError(`the connection cannot be read: ${error.message}`, error.code as SystemErrorCode, {
        cause: error,
      });
    }
    const length = Math.min(chunk.length, byteLength);
    target.set(chunk.subarray(0, length), byteOffset);
    this.#chunk = length < chunk.length ? chunk.subarray(length) : undefined;
    return length;
  }

  /** Whether bytes were received that nobody has read. */
  get holdsBytes(): boolean {
    return this.#chunk !== undefined || (this.end_.socket?.readableLength ?? 0) > 0;
  }

  end(): void {
    this.#ended = true;
    this.wake();
  }
}

export class SocketSink extends Half implements ByteSink {
  #underWay = 0;

  get drained(): boolean {
    return this.#underWay === 0;
  }

  write(source: Uint8Array, byteOffset: number, byteLength: number): number {
    const { socket } = this.end_;
    const { error } = this;
    if (error !== undefined) throw writeError(error.code ?? 'EIO', { cause: error });
    if (socket === undefined || this.#underWay > 0) return 0;
    if (socket.destroyed || socket.writableEnded) throw writeError('EPIPE', { syscall: 'write' });
    this.#underWay++;
    // A copy: the socket holds on to it, and the caller's memory is written again.
    socket.write(source.slice(byteOffset, byteOffset + byteLength), () => {
      this.#underWay--;
      this.wake();
    });
    return byteLength;
  }

  override close(): void {
    if (this.closed) return;
    this.end_.socket?.end();
    super.close();
  }
}
