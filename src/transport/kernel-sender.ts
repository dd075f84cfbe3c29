// Frames into a byte stream: the length as 4 bytes, little-endian, then the bytes. At most one frame waits here.

import { ClosedError, MessageSizeError, RingwayError } from '../errors.js';
import { onExit } from '../runtime.js';
import type { NotYet } from '../wait/condition.js';
import { deadlineOf, type SyncWaitOptions, type WaitOptions } from '../wait/options.js';
import type { ByteSink } from './byte-stream.js';
import { writeError } from './descriptor-stream.js';
import type { FrameSender, FrameWriter } from './frames.js';
import { StreamLine } from './stream-line.js';

/** Bytes before each frame. */
export const FRAME_HEADER = 4;
/** The longest frame, in bytes: with its header, as much as a pipe holds by default. */
export const MAX_FRAME_BYTE_LENGTH = 65536 - FRAME_HEADER;

/** How long the end of a process waits for the kernel to take what was sent, in all. */
const EXIT_LIMIT_MS = 1000;

/**
 * The sending end of a kernel transport. A frame that the kernel does not take as a whole at once goes out when there is
 * room; until then there is no room for another one. A process that ends by itself waits for that, up to a second.
 */
export class KernelSender implements FrameSender {
  readonly maxFrameByteLength = MAX_FRAME_BYTE_LENGTH;
  readonly partByteLength = MAX_FRAME_BYTE_LENGTH;
  readonly #label: string;
  readonly #sink: ByteSink;
  readonly #peerIsHere: () => boolean;
  readonly #line: StreamLine;
  // The frame that is under way, of which the sink has taken #sent bytes.
  readonly #frame = new Uint8Array(FRAME_HEADER + MAX_FRAME_BYTE_LENGTH);
  readonly #header = new DataView(this.#frame.buffer);
  #sent = 0;
  #length = 0; // Of the frame with its header.
  #writing = false;
  #peerGone = false;
  #state: 'open' | 'closing' | 'closed' = 'open';

  /** @param peerIsHere - whether this thread holds the other end */
  constructor(label: string, sink: ByteSink, peerIsHere: () => boolean) {
    this.#label = label;
    this.#sink = sink;
    this.#peerIsHere = peerIsHere;
    this.#line = new StreamLine(sink, () => this.#sendRest());
  }

  get closed(): boolean {
    return this.#state !== 'open';
  }

  get hasWaiting(): boolean {
    return this.#line.any;
  }

  get peerIsGone(): boolean {
    return this.#peerGone;
  }

  /** Whether a part of a frame has not gone out yet. */
  get holdsBytes(): boolean {
    return this.#sent < this.#length || !this.#sink.drained;
  }

  /**
   * @throws {RingwayError} `EPIPE` when the other end is closed or gone
   * @throws {MessageSizeError} for more than maxFrameByteLength
   */
  tryWrite(byteLength: number, writer: FrameWriter): boolean {
    this.#check(byteLength);
    if (!this.#flush()) return false;
    this.#writing = true;
    try {
      writer(this.#frame, FRAME_HEADER, byteLength);
    } finally {
      this.#writing = false;
    }
    this.#header.setUint32(0, byteLength, true);
    this.#sent = 0;
    this.#length = FRAME_HEADER + byteLength;
    if (!this.#flush()) {
      finishing.add(this);
      this.#line.serve(); // Sees to it that the rest goes out though nobody waits for it.
    }
    return true;
  }

  until<Result>(what: string, options: WaitOptions | undefined, attempt: () => Result | NotYet): Promise<Result> {
    return this.#line.async(what, options ?? {}, attempt);
  }

  /** Waits for what was written to go out too, as far as the time allows: this thread may block somewhere else next. */
  untilSync<Result>(what: string, options: SyncWaitOptions | undefined, attempt: () => Result | NotYet): Result {
    const deadline = deadlineOf(options?.timeoutMs);
    const result = this.#line.sync(what, options ?? {}, attempt, this.#peerIsHere);
    this.finish(deadline);
    return result;
  }

  ref(): void {
    this.#line.referenced = true;
  }

  unref(): void {
    this.#line.referenced = false;
  }

  /** The other end reads what was written, then the end: what is under way goes out first, while the process lives. */
  close(): void {
    if (this.#state !== 'open') return;
    this.#state = 'closing';
    this.#line.close(`${this.#label} was closed`);
  }

  /** Nothing is written any more, and nothing is closed: another process has the descriptor. */
  abandon(): void {
    this.#state = 'closed';
    this.#line.close(`${this.#label} was moved`);
  }

  /** Sends what it can of what is under way. Whether nothing is left. */
  pushOn(): boolean {
    return !finishing.has(this) || this.#sendRest();
  }

  /** Blocks until all has gone out, or a signal comes that is heeded. */
  finish(deadline: number): void {
    while (!this.pushOn() && !this.#peerIsHere()) {
      const leftMs = deadline - performance.now();
      if (leftMs <= 0 || this.#sink.block(leftMs) === 'interrupted') return; // It goes on in the event loop.
    }
  }

  // Whether all that was begun has gone out.
  #flush(): boolean {
    try {
      while (this.#sent < this.#length) {
        const taken = this.#sink.write(this.#frame, this.#sent, this.#length - this.#sent);
        if (taken === 0) return false;
        this.#sent += taken;
      }
      return this.#sink.drained;
    } catch (error) {
      this.#sent = this.#length; // Nobody will ever read it.
      this.#peerGone = true;
      throw error;
    }
  }

  // Whether nothing is left to be sent. An error is for the next one who writes.
  #sendRest(): boolean {
    let done = true;
    try {
      done = this.#state === 'closed' || this.#flush();
    } catch {}
    if (done) finishing.delete(this);
    if (done && this.#state === 'closing') {
      this.#state = 'closed';
      this.#sink.close();
    }
    return done;
  }

  #check(byteLength: number): void {
    if (this.#state !== 'open') throw new ClosedError(`${this.#label} is closed`);
    if (this.#writing) throw new RingwayError(`${this.#label} is writing a frame already`, 'ERR_RINGWAY_BORROWED');
    if (this.#peerGone) throw writeError('EPIPE', { syscall: 'write' });
    if (byteLength <= MAX_FRAME_BYTE_LENGTH) return;
    throw new MessageSizeError(
      `a frame of ${byteLength} bytes is longer than the ${MAX_FRAME_BYTE_LENGTH} that ${this.#label} takes`,
      byteLength,
      MAX_FRAME_BYTE_LENGTH,
    );
  }
}

// Senders with a frame that has gone out in part.
const finishing = new Set<KernelSender>();

/** Call once: the process does not end before what was sent is with the kernel, for a limited time. */
export function finishAtExit(): void {
  onExit(() => {
    const deadline = performance.now() + EXIT_LIMIT_MS;
    for (const sender of finishing) {
      try {
        sender.finish(deadline);
      } catch {} // Only the event loop could send it: it is over.
    }
  });
}
