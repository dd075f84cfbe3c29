// The socket between a process and its child: messages of 4 bytes length (little-endian), 1 byte kind, and a value. Its end
// tells either side that the other one is gone.

import type { Socket } from 'node:net';
import type { Encoded } from '../codec/codec.js';
import { MessageSizeError } from '../errors.js';

/** Number of the descriptor in the child. */
export const BOOT_DESCRIPTOR = 3;

/** What a message is about. */
export const Message = {
  /** Parent to child, first: a BootRecord. */
  record: 1,
  /** Parent to child, second: the task's arguments. */
  arguments: 2,
  /** Child to parent: module, task and arguments are there; the task runs. Nothing else. */
  ready: 3,
  /** Child to parent, instead: a Refusal. */
  refused: 4,
  /** Child to parent: what the task returned. */
  result: 5,
  /** Child to parent, instead: what the task threw. */
  failed: 6,
  /** Parent to child: the objects in the result have been attached to. Nothing else. */
  received: 7,
} as const;

/** What a child is told before its arguments. */
export interface BootRecord {
  module: string;
  task: string;
  name: string;
  killWithParent: boolean;
  parentName: string;
  parentPid: number;
  /** Whether the parent waits for what the task returns. */
  wantsResult: boolean;
}

/** Why a child does not run its task. */
export interface Refusal {
  /** Of the shared objects in the arguments, how many were attached to. */
  arrived: number;
  error: unknown;
}

const HEADER_BYTES = 5;
const LONGEST = 2 ** 32 - 1;

export interface BootMessage {
  kind: number;
  bytes: Uint8Array;
}

export class BootChannel {
  readonly #socket: Socket;
  readonly #unread: BootMessage[] = [];
  readonly #readers: ((message: BootMessage | null) => void)[] = [];
  readonly #header = new Uint8Array(HEADER_BYTES);
  #headerLength = 0;
  #body: Uint8Array | undefined;
  #bodyLength = 0;
  #ended = false;
  #holds = 0;
  /** Settles when nothing comes any more: the other side has ended. */
  readonly ended: Promise<void>;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.ended = new Promise((resolve) => {
      const end = () => {
        if (this.#ended) return;
        this.#ended = true;
        for (const reader of this.#readers.splice(0)) reader(null);
        resolve();
      };
      socket.on('end', end);
      socket.on('close', end);
    });
    socket.on('error', () => {}); // The other side is gone: 'close' follows.
    socket.on('data', (chunk) => this.#take(chunk));
    socket.unref();
  }

  /** How many bytes have come, whether or not they are whole messages. */
  get bytesRead(): number {
    return this.#socket.bytesRead;
  }

  /** Whether all that was sent has been handed to the system. */
  get flushed(): boolean {
    return this.#socket.writableLength === 0;
  }

  /** Keeps the event loop alive until what it returns is called. */
  hold(): () => void {
    if (++this.#holds === 1) this.#socket.ref();
    let held = true;
    return () => {
      if (held && --this.#holds === 0) this.#socket.unref();
      held = false;
    };
  }

  /** The next message; null when there are no more. */
  next(): Promise<BootMessage | null> {
    const message = this.#unread.shift();
    if (message !== undefined) return Promise.resolve(message);
    if (this.#ended) return Promise.resolve(null);
    return new Promise((resolve) => this.#readers.push(resolve));
  }

  /**
   * Sends a message; small ones are with the system when this returns. Nothing is thrown if the other side is gone.
   * @returns settles when the system has all of it, or the other side is gone
   * @throws {MessageSizeError} for 4 GiB and more
   */
  send(kind: number, value?: Encoded): Promise<void> {
    const byteLength = value?.byteLength ?? 0;
    if (byteLength > LONGEST) {
      throw new MessageSizeError(
        `a value of ${byteLength} bytes cannot go to another process: up to ${LONGEST} can. Use SharedMemory`,
        byteLength,
        LONGEST,
      );
    }
    const bytes = new Uint8Array(HEADER_BYTES + byteLength);
    new DataView(bytes.buffer).setUint32(0, byteLength, true);
    bytes[4] = kind;
    value?.copyTo(bytes, HEADER_BYTES, 0, byteLength);
    return new Promise((resolve) => {
      if (this.#socket.destroyed || !this.#socket.writable) resolve();
      else this.#socket.write(bytes, () => resolve());
    });
  }

  /** The other side sees the end. */
  close(): void {
    this.#socket.destroy();
  }

  #take(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length || this.#bodyLength === this.#body?.length) {
      if (this.#body === undefined) {
        const taken = Math.min(HEADER_BYTES - this.#headerLength, chunk.length - at);
        this.#header.set(chunk.subarray(at, at + taken), this.#headerLength);
        this.#headerLength += taken;
        at += taken;
        if (this.#headerLength < HEADER_BYTES) return;
        this.#body = new Uint8Array(new DataView(this.#header.buffer).getUint32(0, true));
        this.#bodyLength = 0;
      } else {
        const taken = Math.min(this.#body.length - this.#bodyLength, chunk.length - at);
        this.#body.set(chunk.subarray(at, at + taken), this.#bodyLength);
        this.#bodyLength += taken;
        at += taken;
        if (this.#bodyLength < this.#body.length) return;
        const message = { kind: this.#header[4], bytes: this.#body };
        this.#headerLength = 0;
        this.#body = undefined;
        const reader = this.#readers.shift();
        if (reader === undefined) this.#unread.push(message);
        else reader(message);
      }
    }
  }
}
