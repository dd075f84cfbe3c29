// Types of records: a fixed layout, computed once from a description.

import { describe } from '../memory/names.js';
import { type CursorClass, cursorClass } from './cursor.js';
import {
  descriptionText,
  type FieldType,
  layOut,
  type RecordDescription,
  type RecordField,
  type ScalarType,
} from './description.js';
import { accessTo, type FieldAccess } from './field-access.js';

/** A type of records, made by record(). Its instances are frozen. */
export class RecordType<Description extends RecordDescription = RecordDescription> {
  /** The fields' types, as they were given to record(). */
  readonly description: Description;
  /** Of a record, in bytes, a multiple of 8. */
  readonly byteLength: number;
  /** Where each field lies, in the order of the description. */
  readonly fields: readonly RecordField[];
  /** @internal What a segment of such records carries. */
  readonly text: string;
  /** @internal */ readonly accesses: readonly FieldAccess[];
  /** @internal */ readonly ReadCursor: CursorClass;
  /** @internal */ readonly WriteCursor: CursorClass;

  /** @internal Use record(). */
  constructor(description: Description) {
    const { fields, byteLength } = layOut(description);
    this.description = Object.freeze({ ...description });
    this.byteLength = byteLength;
    this.fields = Object.freeze(
      fields.map(({ name, type, byteOffset, byteLength }) => Object.freeze({ name, type, byteOffset, byteLength })),
    );
    this.text = descriptionText(fields);
    this.accesses = fields.map(accessTo);
    this.ReadCursor = cursorClass(this.accesses, false);
    this.WriteCursor = cursorClass(this.accesses, true);
    Object.freeze(this);
  }
}

/**
 * Describes records of fixed layout. They lie in memory like a C struct of the same fields: in the order of the
 * description, each field at a multiple of its element's size, the whole rounded up to a multiple of 8 bytes.
 * @param description - names to types: `int8` to `uint32`, `int64`, `uint64` (bigints), `float32`, `float64`, `bool`; an array
 * of one of these, `float32[16]`; a string of up to so many bytes of UTF-8, `utf8[8]`
 * @throws {TypeError | RangeError} naming the field that cannot be
 * @example const Tick = record({ time: 'float64', size: 'uint32', symbol: 'utf8[8]' });
 */
export function record<const Description extends RecordDescription>(description: Description): RecordType<Description> {
  return new RecordType(description);
}

/** What a ring of typed records is made and attached with. */
export interface RecordOption<Description extends RecordDescription> {
  /** The type of the ring's records; the same at all who attach. */
  record: RecordType<Description>;
}

/** @throws {TypeError} unless it is a record type, or nothing */
export function checkRecordType(type: unknown): RecordType | undefined {
  if (type === undefined || type instanceof RecordType) return type;
  throw new TypeError(`record must be what record({ … }) returns, not ${describe(type)}`);
}

export interface ArrayTypes {
  int8: Int8Array;
  uint8: Uint8Array;
  int16: Int16Array;
  uint16: Uint16Array;
  int32: Int32Array;
  uint32: Uint32Array;
  int64: BigInt64Array;
  uint64: BigUint64Array;
  float32: Float32Array;
  float64: Float64Array;
  bool: boolean[];
}

/** What a scalar of that type is in JavaScript. */
export type ScalarValue<Type> = Type extends 'bool' ? boolean : Type extends 'int64' | 'uint64' ? bigint : number;

/** What a field of that type gives. */
export type FieldValue<Type extends FieldType> = Type extends `utf8[${number}]`
  ? string
  : Type extends `${infer Element extends ScalarType}[${number}]`
    ? ArrayTypes[Element]
    : ScalarValue<Type>;

/** What a field of that type takes; an array's length must be right. */
export type FieldInput<Type extends FieldType> = Type extends `utf8[${number}]`
  ? string
  : Type extends `${infer Element extends ScalarType}[${number}]`
    ? ArrayLike<ScalarValue<Element>>
    : ScalarValue<Type>;

/** A record as a plain object: `RecordValue<typeof Tick>`. Arrays of numbers are typed arrays. */
export type RecordValue<Type extends RecordType> = ValueOf<Type['description']>;

/** RecordValue from a description. */
export type ValueOf<Description extends RecordDescription> = {
  -readonly [Name in keyof Description]: FieldValue<Description[Name]>;
};

/** What can be pushed as a record: arrays may be anything with a length and numbers. */
export type RecordInput<Description extends RecordDescription> = {
  readonly [Name in keyof Description]: FieldInput<Description[Name]>;
};

/** The record at hand, to be read until the handler returns. Arrays of numbers are views of it. */
export type RecordReader<Description extends RecordDescription> = {
  readonly [Name in keyof Description]: Description[Name] extends `bool[${number}]`
    ? readonly boolean[]
    : FieldValue<Description[Name]>;
};

/**
 * The record at hand, to be written until the handler returns. Arrays of numbers can be assigned, or written by element;
 * arrays of bool can only be assigned.
 */
export type RecordWriter<Description extends RecordDescription> = {
  -readonly [Name in keyof Description]: Description[Name] extends `bool[${number}]`
    ? readonly boolean[]
    : Description[Name] extends `utf8[${number}]`
      ? string
      : Description[Name] extends `${infer Element extends ScalarType}[${number}]`
        ? ArrayTypes[Element] | ScalarValue<Element>[]
        : ScalarValue<Description[Name]>;
};
