// Hands the record at hand to a user's function, as a cursor on the ring's memory. One reader or writer for each end of a
// ring, which calls the end that reads or writes bytes.

import { describe } from '../memory/names.js';
import { checkByteLength } from './codec.js';
import type { RecordDescription } from './description.js';
import type { RecordReader, RecordType, RecordWriter } from './record.js';
import { RecordMemory } from './record-memory.js';

/** Reads the record at hand; it is no longer the reader's once the function returns. */
export type ReadHandler<Description extends RecordDescription> = (record: RecordReader<Description>) => unknown;

/** Writes the record at hand, all of whose fields are 0, false or empty before. */
export type WriteHandler<Description extends RecordDescription> = (record: RecordWriter<Description>) => unknown;

type BytesReader = (memory: Uint8Array, byteOffset: number, byteLength: number) => void;
type BytesWriter = (memory: Uint8Array, byteOffset: number) => void;

interface DrainsBytes {
  drain(reader: BytesReader, limit?: number): number;
}

interface WritesBytes {
  tryWrite(byteLength: number, writer: BytesWriter): boolean;
}

interface WritesManyBytes {
  tryWriteMany(count: number, byteLength: number, writer: BytesWriter): number;
}

export class InPlaceReader<Description extends RecordDescription> {
  readonly #type: RecordType<Description>;
  readonly #memory = new RecordMemory();
  readonly #cursor: RecordReader<Description>;
  #handler: ReadHandler<Description> | undefined; // Of the drain() that is running.
  readonly #reader: BytesReader;

  constructor(type: RecordType<Description>) {
    this.#type = type;
    this.#cursor = new type.ReadCursor(this.#memory) as unknown as RecordReader<Description>;
    this.#reader = (memory, byteOffset, byteLength) => this.#read(memory, byteOffset, byteLength) as void;
  }

  /**
   * drain() of `bytes`, without allocating.
   * @throws {TypeError} unless the handler is a function
   * @throws {CorruptSegmentError} for what cannot be a record of this type; the handler is not called
   */
  drain(bytes: DrainsBytes, handler: ReadHandler<Description>, limit?: number): number {
    checkHandler(handler);
    const outer = this.#handler; // Of a handler that calls us: `bytes` refuses that.
    this.#handler = handler;
    try {
      return bytes.drain(this.#reader, limit);
    } finally {
      this.#handler = outer;
    }
  }

  // What the handler returns, so that a ring can refuse a promise.
  #read(memory: Uint8Array, byteOffset: number, byteLength: number): unknown {
    checkByteLength(this.#type, byteLength);
    this.#memory.moveTo(memory, byteOffset);
    try {
      return (this.#handler as ReadHandler<Description>)(this.#cursor);
    } finally {
      this.#memory.leave();
    }
  }
}

export class InPlaceWriter<Description extends RecordDescription> {
  /** Of a record. */
  readonly byteLength: number;
  readonly #memory = new RecordMemory();
  readonly #cursor: RecordWriter<Description>;
  #handler: WriteHandler<Description> | undefined; // Of the tryWrite() or tryWriteMany() that is running.
  readonly #writer: BytesWriter;

  constructor(type: RecordType<Description>) {
    this.byteLength = type.byteLength;
    this.#cursor = new type.WriteCursor(this.#memory) as unknown as RecordWriter<Description>;
    this.#writer = (memory, byteOffset) => this.#write(this.#handler as WriteHandler<Description>, memory, byteOffset);
  }

  /**
   * tryWrite() of `bytes`, without allocating.
   * @throws {TypeError} unless the handler is a function that does not return a promise
   */
  tryWrite(bytes: WritesBytes, handler: WriteHandler<Description>): boolean {
    checkHandler(handler);
    const outer = this.#handler; // Of a handler that calls us: `bytes` refuses that.
    this.#handler = handler;
    try {
      return bytes.tryWrite(this.byteLength, this.#writer);
    } finally {
      this.#handler = outer;
    }
  }

  /** tryWriteMany() of `bytes`; otherwise as tryWrite(). */
  tryWriteMany(bytes: WritesManyBytes, count: number, handler: WriteHandler<Description>): number {
    checkHandler(handler);
    const outer = this.#handler; // As in tryWrite().
    this.#handler = handler;
    try {
      return bytes.tryWriteMany(count, this.byteLength, this.#writer);
    } finally {
      this.#handler = outer;
    }
  }

  /**
   * The handler as a function that writes bytes, for an end that calls it later.
   * @throws {TypeError} unless it is a function
   */
  writerOf(handler: WriteHandler<Description>): BytesWriter {
    checkHandler(handler);
    return (memory, byteOffset) => this.#write(handler, memory, byteOffset);
  }

  // Refuses a promise: the memory is not the handler's own once it returns.
  #write(handler: WriteHandler<Description>, memory: Uint8Array, byteOffset: number): void {
    this.#memory.moveTo(memory, byteOffset);
    this.#memory.clear(this.byteLength);
    let result: unknown;
    try {
      result = handler(this.#cursor);
    } finally {
      this.#memory.leave();
    }
    if (typeof (result as PromiseLike<unknown> | null | undefined)?.then === 'function') {
      throw new TypeError('a handler must not return a promise: the record is not its own once it returns');
    }
  }
}

function checkHandler(handler: unknown): void {
  if (typeof handler !== 'function') throw new TypeError(`handler must be a function, not ${describe(handler)}`);
}
