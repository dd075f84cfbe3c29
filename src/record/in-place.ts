// Hands the record at hand to a user's function, as a cursor on the ring's memory.

import { describe } from '../memory/names.js';
import { checkByteLength } from './codec.js';
import type { RecordDescription } from './description.js';
import type { RecordReader, RecordType, RecordWriter } from './record.js';
import { RecordMemory } from './record-memory.js';

/** Reads the record at hand; it is no longer the reader's once the function returns. */
export type ReadHandler<Description extends RecordDescription> = (record: RecordReader<Description>) => unknown;

/** Writes the record at hand, all of whose fields are 0, false or empty before. */
export type WriteHandler<Description extends RecordDescription> = (record: RecordWriter<Description>) => unknown;

/** One cursor for reading, for one end of a ring. */
export class InPlaceReader<Description extends RecordDescription> {
  readonly #type: RecordType<Description>;
  readonly #memory = new RecordMemory();
  readonly #cursor: RecordReader<Description>;

  constructor(type: RecordType<Description>) {
    this.#type = type;
    this.#cursor = new type.ReadCursor(this.#memory) as unknown as RecordReader<Description>;
  }

  /**
   * @returns what the handler returns, so that a ring can refuse a promise
   * @throws {CorruptSegmentError} if it cannot be a record of this type; the handler is not called
   */
  read(handler: ReadHandler<Description>, memory: Uint8Array, byteOffset: number, byteLength: number): unknown {
    checkByteLength(this.#type, byteLength);
    this.#memory.moveTo(memory, byteOffset);
    try {
      return handler(this.#cursor);
    } finally {
      this.#memory.leave();
    }
  }
}

/** One cursor for writing, for one end of a ring. */
export class InPlaceWriter<Description extends RecordDescription> {
  readonly #byteLength: number;
  readonly #memory = new RecordMemory();
  readonly #cursor: RecordWriter<Description>;

  constructor(type: RecordType<Description>) {
    this.#byteLength = type.byteLength;
    this.#cursor = new type.WriteCursor(this.#memory) as unknown as RecordWriter<Description>;
  }

  /** @throws {TypeError} if the handler returns a promise: the memory is not its own once it returns */
  write(handler: WriteHandler<Description>, memory: Uint8Array, byteOffset: number): void {
    this.#memory.moveTo(memory, byteOffset);
    this.#memory.clear(this.#byteLength);
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

/** @throws {TypeError} unless it is a function */
export function checkHandler(handler: unknown): void {
  if (typeof handler !== 'function') throw new TypeError(`handler must be a function, not ${describe(handler)}`);
}
