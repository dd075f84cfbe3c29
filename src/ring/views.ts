// Views on ring memory that users hold for a while, and the mode that finds those who hold them too long.
//
// RINGWAY_DEBUG=views: every view is a private copy that is detached when it is given back, so a late access throws or
// reads nothing, and memory that was given back is filled with 0xDB, so that nobody relies on old bytes.

import { ClosedError, RingwayError } from '../errors.js';
import type { Segment } from '../memory/segment.js';
import { environmentVariable } from '../runtime.js';

export const DEBUG_VIEWS: boolean = (environmentVariable('RINGWAY_DEBUG') ?? '').split(',').includes('views');

const RELEASED = 0xdb;

/** Constructors of typed arrays, and of DataView. */
export type ViewConstructor<View> = (new (
  buffer: ArrayBuffer,
  byteOffset: number,
  length: number,
) => View) & {
  readonly BYTES_PER_ELEMENT?: number;
};

/** A stretch of a segment lent to the user. */
export class Loan {
  readonly #segment: Segment;
  readonly #byteOffset: number;
  readonly #byteLength: number;
  #copy: Uint8Array | undefined;
  #bytes: Uint8Array | undefined;
  #ended: string | undefined;

  constructor(segment: Segment, byteOffset: number, byteLength: number) {
    this.#segment = segment;
    this.#byteOffset = byteOffset;
    this.#byteLength = byteLength;
    if (DEBUG_VIEWS) this.#copy = segment.bytes.slice(byteOffset, byteOffset + byteLength);
  }

  get byteLength(): number {
    return this.#byteLength;
  }

  get bytes(): Uint8Array {
    this.#bytes ??= this.as(Uint8Array as ViewConstructor<Uint8Array>);
    return this.#bytes;
  }

  as<View>(View: ViewConstructor<View>): View {
    const size = View.BYTES_PER_ELEMENT ?? 1;
    if (this.#byteLength % size !== 0) {
      throw new RangeError(`${this.#byteLength} bytes are no whole number of ${View.name} elements of ${size} bytes`);
    }
    const buffer = (this.#copy?.buffer ?? this.#segment.buffer) as ArrayBuffer;
    const view = new View(buffer, this.#copy?.byteOffset ?? this.#byteOffset, this.#byteLength / size);
    if (!ArrayBuffer.isView(view))
      throw new TypeError(`as() takes a typed array's constructor or DataView, not ${View.name}`);
    return view;
  }

  /** Puts what the user wrote where it belongs; nothing to do unless it was written into a private copy. */
  writeBack(): void {
    if (this.#copy !== undefined && !this.#segment.closed) this.#segment.bytes.set(this.#copy, this.#byteOffset);
  }

  /** How it ended: committed, acked, closed and so on; undefined as long as it is lent. */
  get ended(): string | undefined {
    return this.#ended;
  }

  /** The user must not touch it any more. */
  end(how: string): void {
    this.#ended = how;
    this.#bytes = undefined;
    if (this.#copy === undefined) return;
    detach(this.#copy);
    this.#copy = undefined;
  }
}

/** Takes a private copy away from whoever has a view of it, in debug mode. */
export function detach({ buffer }: Uint8Array): void {
  structuredClone(buffer, { transfer: [buffer as ArrayBuffer] });
}

/** Fills memory that was given back, in debug mode. */
export function poison(segment: Segment, byteOffset: number, byteLength: number): void {
  segment.bytes.fill(RELEASED, byteOffset, byteOffset + byteLength);
}

/** What a Claim calls back. */
export interface Claimer {
  commitClaim(claim: Claim, byteLength: number): void;
  abortClaim(claim: Claim): void;
}

/** Room for one record in a ring, to be written in place and then committed. */
export class Claim implements Disposable {
  readonly #claimer: Claimer;
  readonly #loan: Loan;

  /** @internal */
  constructor(claimer: Claimer, loan: Loan) {
    this.#claimer = claimer;
    this.#loan = loan;
  }

  /** How long the record may become, in bytes. */
  get byteLength(): number {
    return this.#loan.byteLength;
  }

  /**
   * The room, shape [byteLength]. What it holds before you write is undefined.
   * @throws {ClosedError} after commit, abort, or the ring's close
   */
  get bytes(): Uint8Array {
    this.#checkView();
    return this.#loan.bytes;
  }

  /**
   * The same bytes as another typed array or a DataView, shape [byteLength / BYTES_PER_ELEMENT].
   * @throws {RangeError} unless the length is a multiple of the element's
   * @throws {ClosedError} after commit, abort, or the ring's close
   */
  as<View>(View: ViewConstructor<View>): View {
    this.#checkView();
    return this.#loan.as(View);
  }

  /**
   * Publishes the first `byteLength` bytes, all by default.
   * @throws {RangeError} if that is more than was claimed; the claim stays open
   * @throws {RingwayError} `ERR_RINGWAY_STATE` after commit or abort
   * @throws {ClosedError} after the ring's close
   */
  commit(byteLength: number = this.byteLength): void {
    this.#checkOpen('commit');
    if (!Number.isInteger(byteLength) || byteLength < 0 || byteLength > this.byteLength) {
      throw new RangeError(`commit takes 0 to ${this.byteLength} bytes of this claim, not ${byteLength}`);
    }
    this.#loan.writeBack();
    this.#loan.end('committed');
    this.#claimer.commitClaim(this, byteLength);
  }

  /**
   * Gives the room back; nothing becomes visible.
   * @throws {RingwayError} `ERR_RINGWAY_STATE` after commit or abort
   */
  abort(): void {
    this.#checkOpen('abort');
    this.#loan.end('aborted');
    this.#claimer.abortClaim(this);
  }

  /** Aborts what was not committed. */
  [Symbol.dispose](): void {
    if (this.#loan.ended === undefined) this.abort();
  }

  /** @internal The end of the ring it came from was closed. */
  endByClose(): void {
    if (this.#loan.ended === undefined) this.#loan.end('closed');
  }

  #checkView(): void {
    if (this.#loan.ended !== undefined)
      throw new ClosedError(`this claim was ${this.#loan.ended}; its bytes are not yours any more`);
  }

  #checkOpen(what: string): void {
    if (this.#loan.ended === undefined) return;
    if (this.#loan.ended === 'closed')
      throw new ClosedError(`cannot ${what}: the ring was closed and the claim with it`);
    throw new RingwayError(`cannot ${what}: this claim was ${this.#loan.ended} already`, 'ERR_RINGWAY_STATE');
  }
}

/** What a Peek calls back. */
export interface Peeker {
  releasePeek(peek: Peek): void;
}

/** One record in place, which keeps its room in the ring until it is released. */
export class Peek implements Disposable {
  readonly #peeker: Peeker;
  readonly #loan: Loan;

  /** @internal */
  constructor(peeker: Peeker, loan: Loan) {
    this.#peeker = peeker;
    this.#loan = loan;
  }

  get byteLength(): number {
    return this.#loan.byteLength;
  }

  /**
   * The record, shape [byteLength].
   * @throws {ClosedError} after release or the ring's close
   */
  get bytes(): Uint8Array {
    this.checkView();
    return this.#loan.bytes;
  }

  /**
   * The same bytes as another typed array or a DataView, shape [byteLength / BYTES_PER_ELEMENT].
   * @throws {RangeError} unless the length is a multiple of the element's
   * @throws {ClosedError} after release or the ring's close
   */
  as<View>(View: ViewConstructor<View>): View {
    this.checkView();
    return this.#loan.as(View);
  }

  /**
   * Gives the record's room back to the producer.
   * @throws {RingwayError} `ERR_RINGWAY_STATE` if it was released already
   * @throws {ClosedError} after the ring's close
   */
  release(): void {
    if (this.#loan.ended === 'closed')
      throw new ClosedError('cannot release: the ring was closed and the peek with it');
    if (this.#loan.ended !== undefined) throw new RingwayError('this peek was released already', 'ERR_RINGWAY_STATE');
    this.#loan.end('released');
    this.#peeker.releasePeek(this);
  }

  /** Releases what was not released. */
  [Symbol.dispose](): void {
    if (this.#loan.ended === undefined) this.release();
  }

  /** @internal The end of the ring it came from was closed. */
  endByClose(): void {
    if (this.#loan.ended === undefined) this.#loan.end('closed');
  }

  /** @internal */
  protected checkView(): void {
    if (this.#loan.ended !== undefined)
      throw new ClosedError(`this peek was ${this.#loan.ended}; its bytes are not yours any more`);
  }
}
