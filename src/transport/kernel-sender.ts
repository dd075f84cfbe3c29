// Frames into a byte stream: the length as 4 bytes, little-endian, then the bytes. At most one frame waits here.

import { ClosedError, MessageSizeError, RingwayError } from '../errors.js';
import { NOT_YET, type NotYet } from '../wait/condition.js';
import type { SyncWaitOptions, WaitOptions } from '../wait/options.js';
import type { ByteSink } from './byte-stream.js';
import type { FrameSender, FrameWriter } from './frames.js';
import { type Attempt, StreamLine } from './stream-line.js';

/** Bytes before each frame. */
export const FRAME_HEADER = 4;
/** The longest frame, in bytes: with its header, as much as a pipe holds by default. */
export const MAX_FRAME_BYTE_LENGTH = 65536 - FRAME_HEADER;

/**
 * The sending end of a kernel transport. A frame that has begun to go out is sent whole unless this process ends: a timeout
 * or an abort after that ends the wait without an error, and the rest goes out when there is room.
 */
export class KernelSender implements FrameSender {
  readonly maxFrameByteLength = MAX_FRAME_BYTE_LENGTH;
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
  #state: 'open' | 'closing' | 'closed' = 'open';

  /** @param peerIsHere - whether this thread holds the other end */
  constructor(label: string, sink: ByteSink, peerIsHere: () => boolean) {
    this.#label = label;
    this.#sink = sink;
    this.#peerIsHere = peerIsHere;
    this.#line = new StreamLine(sink);
  }

  get closed(): boolean {
    return this.#state !== 'open';
  }

  /** Whether a part of a frame has not gone out yet. */
  get holdsBytes(): boolean {
    return this.#sent < this.#length || !this.#sink.drained;
  }

  /**
   * Writes a frame if all before it has gone out. What the kernel does not take of it at once goes out when there is room,
   * as long as this process lives: write() waits for that.
   */
  tryWrite(byteLength: number, writer: FrameWriter): boolean {
    this.#check(byteLength);
    this.#line.serve();
    if (this.#line.any || !this.#begin(byteLength, writer)) return false;
    this.#seeOff();
    return true;
  }

  write(byteLength: number, writer: FrameWriter, options: WaitOptions = {}): Promise<void> {
    try {
      this.#check(byteLength);
    } catch (error) {
      return Promise.reject(error);
    }
    const written = this.#line.async('write', options, this.#attempt(byteLength, writer));
    // One that gave up has left its rest here.
    if (options.timeoutMs !== undefined || options.signal !== undefined) written.then(() => this.#seeOff(), noop);
    return written;
  }

  writeSync(byteLength: number, writer: FrameWriter, options: SyncWaitOptions = {}): void {
    this.#check(byteLength);
    this.#line.sync('writeSync', options, this.#attempt(byteLength, writer), this.#peerIsHere);
    this.#seeOff();
  }

  ref(): this {
    this.#line.referenced = true;
    return this;
  }

  unref(): this {
    this.#line.referenced = false;
    return this;
  }

  /** What is under way goes out first, while the process lives; pending writes that have not begun are rejected. */
  close(): void {
    if (this.#state !== 'open') return;
    this.#state = 'closing';
    this.#line.close(`${this.#label} was closed`);
    if (this.#tryFlush() !== NOT_YET) {
      this.#end();
      return;
    }
    const end = () => this.#end();
    this.#line.async('close', {}, { run: () => this.#tryFlush() }).then(end, end);
  }

  /** Nothing is written any more, and nothing is closed: the descriptor goes to another process. */
  abandon(): void {
    this.#state = 'closed';
    this.#line.close(`${this.#label} was moved`);
  }

  #end(): void {
    this.#state = 'closed';
    this.#sink.close();
  }

  #attempt(byteLength: number, writer: FrameWriter): Attempt<void> {
    let begun = false;
    return {
      run: (): void | NotYet => {
        if (!begun) {
          if (this.#state !== 'open') throw new ClosedError(`${this.#label} is closed`);
          if (!this.#begin(byteLength, writer)) return NOT_YET;
          begun = true;
        }
        return this.#flush() ? undefined : NOT_YET;
      },
      begun: () => begun,
    };
  }

  // Whether the frame is under way; not while an earlier one is.
  #begin(byteLength: number, writer: FrameWriter): boolean {
    if (this.#writing) throw new RingwayError(`${this.#label} is writing a frame already`, 'ERR_RINGWAY_BORROWED');
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
    try {
      this.#flush();
    } catch (error) {
      this.#length = 0; // Nobody will ever read it.
      throw error;
    }
    return true;
  }

  // Whether all that was begun has gone out.
  #flush(): boolean {
    while (this.#sent < this.#length) {
      const taken = this.#sink.write(this.#frame, this.#sent, this.#length - this.#sent);
      if (taken === 0) return false;
      this.#sent += taken;
    }
    return this.#sink.drained;
  }

  #tryFlush(): void | NotYet {
    try {
      return this.#flush() ? undefined : NOT_YET;
    } catch {
      this.#sent = this.#length; // Nobody reads: there is nobody to send it to.
    }
  }

  // Sees to it that the rest of a frame goes out though nobody waits for it.
  #seeOff(): void {
    if (this.#state !== 'open' || this.#line.any || !this.holdsBytes) return;
    this.#line.async('flush', {}, { run: () => this.#tryFlush() }).catch(noop);
  }

  #check(byteLength: number): void {
    if (this.#state !== 'open') throw new ClosedError(`${this.#label} is closed`);
    if (byteLength <= MAX_FRAME_BYTE_LENGTH) return;
    throw new MessageSizeError(
      `a frame of ${byteLength} bytes is longer than the ${MAX_FRAME_BYTE_LENGTH} that ${this.#label} takes`,
      byteLength,
      MAX_FRAME_BYTE_LENGTH,
    );
  }
}

const noop = () => {};
