// Records as plain objects, to bytes and back. A writing end of a ring has an encoder, a reading end a decoder.

import { CorruptSegmentError } from '../errors.js';
import { describe } from '../memory/names.js';
import type { RecordDescription } from './description.js';
import type { HasMemory } from './field-access.js';
import type { RecordInput, RecordType, ValueOf } from './record.js';
import { RecordMemory } from './record-memory.js';

export class RecordEncoder<Description extends RecordDescription> {
  readonly #type: RecordType<Description>;
  readonly #scratch: Uint8Array;
  readonly #cursor: HasMemory;
  #isEncoding = false;

  constructor(type: RecordType<Description>) {
    this.#type = type;
    this.#scratch = new Uint8Array(type.byteLength);
    const memory = new RecordMemory();
    memory.moveTo(this.#scratch, 0);
    this.#cursor = new type.WriteCursor(memory);
  }

  /**
   * @returns the record, valid until the next call, which anything that runs code of the user can make
   * @throws {TypeError | RangeError} naming the field that is missing, unknown, or has a value that does not fit
   */
  encode(value: RecordInput<Description>): Uint8Array {
    // A getter of the value that is being read encodes another one.
    if (this.#isEncoding) return new RecordEncoder(this.#type).encode(value);
    this.#isEncoding = true;
    try {
      this.#read(value);
    } finally {
      this.#isEncoding = false;
    }
    return this.#scratch;
  }

  /** encode() for a call that may wait, while handlers of the user run and encode others: the bytes stay. */
  encodeCopy(value: RecordInput<Description>): Uint8Array {
    return this.encode(value).slice();
  }

  /**
   * encodeCopy() of each.
   * @throws {TypeError | RangeError} for the first of which encode() throws, or if `values` is no array
   */
  encodeMany(values: readonly RecordInput<Description>[]): Uint8Array[] {
    if (!Array.isArray(values)) throw new TypeError(`records must be an array of objects, not ${describe(values)}`);
    return values.map((value) => this.encodeCopy(value));
  }

  #read(value: RecordInput<Description>): void {
    if (typeof value !== 'object' || value === null) {
      throw new TypeError(`a record must be an object with its fields, not ${describe(value)}`);
    }
    const fields = value as Readonly<Record<string, unknown>>;
    for (const access of this.#type.accesses) {
      const field = fields[access.name];
      if (field === undefined) throw new TypeError(`the field ${describe(access.name)} is missing`);
      access.set.call(this.#cursor, field);
    }
    let names = 0;
    for (const _ in fields) names++; // The quick way to see that there are no others.
    if (names !== this.#type.accesses.length) this.#refuseUnknown(fields);
  }

  #refuseUnknown(fields: object): void {
    for (const name in fields) {
      if (Object.hasOwn(this.#type.description, name)) continue;
      const known = Object.keys(this.#type.description).join(', ');
      throw new TypeError(`a record has no field ${describe(name)}; its fields are ${known}`);
    }
  }
}

export class RecordDecoder<Description extends RecordDescription> {
  readonly #type: RecordType<Description>;
  readonly #scratch: Uint8Array;
  readonly #cursor: HasMemory;

  constructor(type: RecordType<Description>) {
    this.#type = type;
    this.#scratch = new Uint8Array(type.byteLength);
    const memory = new RecordMemory();
    memory.moveTo(this.#scratch, 0);
    this.#cursor = new type.ReadCursor(memory);
  }

  /**
   * @throws {CorruptSegmentError} if the bytes are no record of this type: its peers wrote something else
   */
  decode(bytes: Uint8Array): ValueOf<Description> {
    checkByteLength(this.#type, bytes.length);
    this.#scratch.set(bytes);
    const value: Record<string, unknown> = {};
    for (const access of this.#type.accesses) value[access.name] = access.copy.call(this.#cursor);
    return value as ValueOf<Description>;
  }
}

/** @throws {CorruptSegmentError} unless a record of this type has that many bytes */
export function checkByteLength(type: RecordType, byteLength: number): void {
  if (byteLength === type.byteLength) return;
  throw new CorruptSegmentError(
    `a record of ${byteLength} bytes stands in a ring of records of ${type.byteLength}: somebody pushed bytes into it`,
  );
}
