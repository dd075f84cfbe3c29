// What a record consists of, as users write it: the names and types of its fields.

import { Constants } from '../layout.js';
import { describe } from '../memory/names.js';

/** Bytes of one element, which is also what it is aligned to. */
const ELEMENT_BYTES = {
  int8: 1,
  uint8: 1,
  int16: 2,
  uint16: 2,
  int32: 4,
  uint32: 4,
  int64: 8,
  uint64: 8,
  float32: 4,
  float64: 8,
  bool: 1,
  utf8: 1,
} as const;

export type ElementType = keyof typeof ELEMENT_BYTES;

/** The type of one value of a field; 64-bit integers are bigints. */
export type ScalarType = Exclude<ElementType, 'utf8'>;

/** Whether it names the type of one value. */
export function isScalarType(type: unknown): type is ScalarType {
  return typeof type === 'string' && type !== 'utf8' && Object.hasOwn(ELEMENT_BYTES, type);
}

/** The scalar types, for messages. */
export function scalarTypes(): string {
  const { utf8: _, ...scalars } = ELEMENT_BYTES;
  return Object.keys(scalars).join(' ');
}

/** A field's type: a scalar, `float32[16]` for so many of them, or `utf8[8]` for a string of up to so many bytes. */
export type FieldType = ScalarType | `${ScalarType}[${number}]` | `utf8[${number}]`;

/** The fields of a record in the order in which they lie in memory. */
export interface RecordDescription {
  readonly [name: string]: FieldType;
}

/** Where a field lies. */
export interface RecordField {
  readonly name: string;
  readonly type: FieldType;
  /** From the record's start, in bytes. */
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** A field, taken apart. */
export interface PlacedField extends RecordField {
  readonly element: ElementType;
  /** Elements of an array, bytes of a string; undefined for a scalar. */
  readonly length: number | undefined;
}

// No integers, which JavaScript would move to the front, and nothing that needs an escape in JSON.
const NAME = /^[A-Za-z_$][A-Za-z0-9_$]{0,63}$/;
const TYPE = /^([a-z]+[0-9]*)(?:\[([1-9][0-9]{0,9})\])?$/;
const MAX_BYTE_LENGTH = 2 ** 30;

/**
 * Lays a record out as a C compiler lays out a struct of the same fields: in the order of the description, each at the
 * next multiple of its element's size; the whole is rounded up to a multiple of 8 bytes.
 * @throws {TypeError | RangeError} naming the field that cannot be
 */
export function layOut(description: unknown): { fields: PlacedField[]; byteLength: number } {
  if (typeof description !== 'object' || description === null || Array.isArray(description)) {
    throw new TypeError(`a record is described by an object of field types, not ${describe(description)}`);
  }
  let end = 0;
  const fields = Object.entries(description).map(([name, type]): PlacedField => {
    if (!NAME.test(name) || name === '__proto__') {
      throw new RangeError(
        `a field's name must be 1 to 64 of A-Z a-z 0-9 _ $, not start with a digit, and not be __proto__: ${describe(name)}`,
      );
    }
    const { element, length } = parseType(name, type);
    const size = ELEMENT_BYTES[element];
    const byteOffset = Math.ceil(end / size) * size;
    const byteLength = size * (length ?? 1);
    end = byteOffset + byteLength;
    return { name, type: type as FieldType, byteOffset, byteLength, element, length };
  });
  if (fields.length === 0) throw new RangeError('a record needs at least one field');
  const byteLength = Math.ceil(end / 8) * 8;
  if (byteLength > MAX_BYTE_LENGTH) {
    throw new RangeError(`a record has at most ${MAX_BYTE_LENGTH} bytes, and this description needs ${byteLength}`);
  }
  return { fields, byteLength };
}

function parseType(name: string, type: unknown): { element: ElementType; length: number | undefined } {
  if (typeof type !== 'string') {
    throw new TypeError(`the type of field ${describe(name)} must be a string, not ${describe(type)}`);
  }
  const [, element, length] = TYPE.exec(type) ?? [];
  const known = element !== undefined && Object.hasOwn(ELEMENT_BYTES, element);
  if (known && (element !== 'utf8' || length !== undefined)) {
    return { element: element as ElementType, length: length === undefined ? undefined : Number(length) };
  }
  throw new RangeError(
    `the type of field ${describe(name)} must be one of ${scalarTypes()}, such a type with a length, ` +
      `float32[16], or utf8[8], not ${describe(type)}`,
  );
}

/**
 * The text that a segment carries: equal for equal layouts, different for different ones.
 * @throws {RangeError} if it is too long
 */
export function descriptionText(fields: readonly PlacedField[]): string {
  const text = JSON.stringify(Object.fromEntries(fields.map(({ name, type }) => [name, type])));
  if (text.length <= Constants.maxDescriptionByteLength) return text;
  throw new RangeError(
    `a record's description has at most ${Constants.maxDescriptionByteLength} characters as JSON, and this one has ` +
      `${text.length}: use arrays`,
  );
}
