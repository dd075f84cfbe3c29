// Frames out of a byte stream, read in place from a buffer of fixed size. Twin of kernel-sender.ts, which has the format.

import { ClosedError, EndOfStreamError, RingwayError } from '../errors.js';
import { DEBUG_VIEWS, detach } from '../ring/views.js';
import { NOT_YET, type NotYet } from '../wait/condition.js';
import type { SyncWaitOptions, WaitOptions } from '../wait/options.js';
import { type ByteSource, END, NO_BYTES } from './byte-stream.js';
import type { FrameLoan, FrameReader, FrameReceiver } from './frames.js';
import { FRAME_HEADER, MAX_FRAME_BYTE_LENGTH } from './kernel-sender.js';
import { StreamLine } from './stream-line.js';

/** Two of the longest frames: one can stay where it is while the next one is read. */
const BUFFER_BYTE_LENGTH = 2 * (FRAME_HEADER + MAX_FRAME_BYTE_LENGTH);

/** The receiving end of a kernel transport. Reads nothing ahead of what is asked for but what one read brings. */
export class KernelReceiver implements FrameReceiver {
  readonly #label: string;
  readonly #source: ByteSource;
  readonly #peerIsHere: () => boolean;
  readonly #alongside: () => boolean;
  readonly #line: StreamLine;
  // What was received and not consumed is from #start to #end.
  readonly #memory = new Uint8Array(BUFFER_BYTE_LENGTH);
  readonly #view = new DataView(this.#memory.buffer);
  #start = 0;
  #end = 0;
  #ended = false;
  #broken: RingwayError | undefined;
  #lent: Loan | 'to a reader' | undefined;
  #closed = false;

  /**
   * @param peerIsHere - whether this thread holds the other end
   * @param alongside - sends what the channel's other direction still has to send; whether that is nothing
   * @param received - what was read of the source already; shape [0 .. a frame with its header]
   */
  constructor(
    label: string,
    source: ByteSource,
    peerIsHere: () => boolean,
    alongside: () => boolean,
    received: Uint8Array = new Uint8Array(0),
  ) {
    this.#alongside = alongside;
    this.#label = label;
    this.#source = source;
    this.#peerIsHere = peerIsHere;
    this.#line = new StreamLine(source);
    this.#memory.set(received);
    this.#end = received.length;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get hasWaiting(): boolean {
    return this.#line.any;
  }

  /** Whether something was received that nobody has consumed: also a part of a frame. */
  get holdsBytes(): boolean {
    return this.#end > this.#start;
  }

  /** @throws {RingwayError} `EPROTO` if the other side announces a frame that is too long; the connection is broken then */
  tryRead(reader: FrameReader): boolean {
    this.#checkFree();
    if (!this.#next()) return false;
    const { start, length } = this.#frame();
    this.#lent = 'to a reader';
    let done = false;
    try {
      const copy = DEBUG_VIEWS ? this.#memory.slice(start, start + length) : undefined;
      done = copy ? reader(copy, 0, length) : reader(this.#memory, start, length);
      if (copy) detach(copy);
    } finally {
      this.#lent = undefined;
      if (done) this.#consume(length);
    }
    return true;
  }

  /** @throws {RingwayError} as tryRead() */
  tryBorrow(): FrameLoan | null {
    this.#checkFree();
    if (!this.#next()) return null;
    const { start, length } = this.#frame();
    const loan = new Loan(this.#memory.subarray(start, start + length), () => {
      this.#lent = undefined;
      this.#consume(length);
    });
    this.#lent = loan;
    return loan;
  }

  until<Result>(what: string, options: WaitOptions | undefined, attempt: () => Result | NotYet): Promise<Result> {
    return this.#line.async(what, options ?? {}, this.#orEnd(attempt));
  }

  untilSync<Result>(what: string, options: SyncWaitOptions | undefined, attempt: () => Result | NotYet): Result {
    return this.#line.sync(what, options ?? {}, this.#orEnd(attempt), this.#peerIsHere, this.#alongside);
  }

  ref(): void {
    this.#line.referenced = true;
  }

  unref(): void {
    this.#line.referenced = false;
  }

  close(): void {
    if (this.#closed) return;
    this.abandon(`${this.#label} was closed`);
    this.#source.close();
  }

  /** Nothing is read any more, and nothing is closed: the descriptor goes to another process. */
  abandon(message: string): void {
    this.#closed = true;
    if (this.#lent instanceof Loan) this.#lent.end('closed');
    this.#line.close(message);
  }

  // An attempt that has to wait has read all that was there. Nothing may be read after it: what comes then would be here,
  // and the kernel would not tell of it.
  #orEnd<Result>(attempt: () => Result | NotYet): () => Result | NotYet {
    return () => {
      const result = attempt();
      if (result !== NOT_YET || !this.#ended || this.#lent !== undefined || this.#next()) return result;
      throw new EndOfStreamError(`${this.#label} is at its end: the other end is closed or gone, and all was read`);
    };
  }

  // Whether a whole frame is at #start.
  #next(): boolean {
    if (this.#broken !== undefined) throw this.#broken;
    for (;;) {
      const there = this.#end - this.#start;
      if (there >= FRAME_HEADER) {
        const length = this.#view.getUint32(this.#start, true);
        if (length > MAX_FRAME_BYTE_LENGTH) throw this.#break(length);
        if (there >= FRAME_HEADER + length) return true;
      }
      if (this.#ended) return false;
      const read = this.#fill();
      if (read === NO_BYTES) return false;
      if (read === END)
        this.#ended = true; // What is there of a frame never becomes one.
      else this.#end += read;
    }
  }

  #fill(): number {
    if (this.#start === this.#end) this.#start = this.#end = 0;
    const longest = FRAME_HEADER + MAX_FRAME_BYTE_LENGTH;
    if (this.#memory.length - this.#start < longest) {
      this.#memory.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    return this.#source.read(this.#memory, this.#end, this.#memory.length - this.#end);
  }

  #frame(): { start: number; length: number } {
    return { start: this.#start + FRAME_HEADER, length: this.#view.getUint32(this.#start, true) };
  }

  #consume(length: number): void {
    this.#start += FRAME_HEADER + length;
  }

  #break(length: number): RingwayError {
    this.#broken = new RingwayError(
      `${this.#label} is broken: a frame of ${length} bytes is announced, and the longest has ${MAX_FRAME_BYTE_LENGTH}. ` +
        'The other end is not ringway, or of another version',
      'EPROTO',
    );
    this.#source.close();
    return this.#broken;
  }

  #checkFree(): void {
    if (this.#closed) throw new ClosedError(`${this.#label} is closed`);
    if (this.#lent === undefined) return;
    throw new RingwayError(`${this.#label} has lent out a frame: release it first`, 'ERR_RINGWAY_BORROWED');
  }
}

class Loan implements FrameLoan {
  readonly #give: () => void;
  #bytes: Uint8Array;
  #ended: 'released' | 'closed' | undefined;

  constructor(bytes: Uint8Array, give: () => void) {
    this.#bytes = DEBUG_VIEWS ? bytes.slice() : bytes;
    this.#give = give;
  }

  get bytes(): Uint8Array {
    if (this.#ended !== undefined)
      throw new ClosedError(`this frame was ${this.#ended}; its bytes are not yours any more`);
    return this.#bytes;
  }

  release(): void {
    if (this.#ended === 'closed')
      throw new ClosedError('cannot release: the connection was closed and the frame with it');
    if (this.#ended !== undefined) throw new RingwayError('this frame was released already', 'ERR_RINGWAY_STATE');
    this.end('released');
    this.#give();
  }

  end(how: 'released' | 'closed'): void {
    this.#ended = how;
    if (DEBUG_VIEWS) detach(this.#bytes);
    this.#bytes = new Uint8Array(0);
  }
}
