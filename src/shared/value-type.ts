// What a Value or the elements of a SharedArray are: the type, and the text that the segment carries for those who attach.

import { CorruptSegmentError, RingwayError } from '../errors.js';
import { readDescription } from '../memory/description.js';
import { describe } from '../memory/names.js';
import type { Segment } from '../memory/segment.js';
import { isScalarType, type ScalarType, scalarTypes } from '../record/description.js';
import { type RecordInput, RecordType, type RecordValue, record, type ScalarValue } from '../record/record.js';
import type { LockReference } from '../sync/lock-reference.js';

/** A scalar, by its name, or what record() returns. */
export type ValueType = ScalarType | RecordType;

/** What a value of that type is when it is read: a number, a bigint for 64-bit integers, a boolean, or a plain object. */
export type ValueRead<Type extends ValueType> = Type extends ScalarType
  ? ScalarValue<Type>
  : Type extends RecordType
    ? RecordValue<Type>
    : never;

/** What a value of that type can be set to. */
export type ValueInput<Type extends ValueType> = Type extends ScalarType
  ? ScalarValue<Type>
  : Type extends RecordType<infer Description>
    ? RecordInput<Description>
    : never;

/** @throws {TypeError | RangeError} unless it is a scalar's name or a record type */
export function checkType(type: unknown): ValueType {
  if (type instanceof RecordType || isScalarType(type)) return type;
  const message = `type must be one of ${scalarTypes()}, or what record({ … }) returns, not ${describe(type)}`;
  throw typeof type === 'string' ? new RangeError(message) : new TypeError(message);
}

/** What a segment of that type carries: equal for equal types. */
export function typeText(type: ValueType): string {
  return typeof type === 'string' ? JSON.stringify(type) : type.text;
}

/** What a segment carries whose type has that text, and which shares a lock. */
export function describeWith(text: string, reference: LockReference | undefined): string {
  return reference === undefined ? text : JSON.stringify([text, reference]);
}

// The two parts of that. No type's text is an array.
function partsOf(description: string): [text: string, reference: unknown] {
  if (!description.startsWith('[')) return [description, undefined];
  try {
    const [text, reference] = JSON.parse(description);
    return [String(text), reference ?? null];
  } catch {
    return [description, undefined];
  }
}

/** The reference to the lock that it shares, if its segment names one. */
export function readReference(segment: Segment): unknown {
  return partsOf(readDescription(segment))[1];
}

/**
 * The type of what is in a segment.
 * @param wanted - undefined: any
 * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if it is another one than was asked for; shows both
 * @throws {CorruptSegmentError} if the segment names none
 */
export function readType(segment: Segment, wanted: ValueType | undefined): ValueType {
  const [text] = partsOf(readDescription(segment));
  if (wanted !== undefined && text === typeText(wanted)) return wanted;
  const there = parse(text);
  if (there === undefined) {
    throw new CorruptSegmentError(`${segment.label} contradicts itself: ${describe(text)} is no type`);
  }
  if (wanted === undefined) return there;
  throw new RingwayError(
    `${segment.label} has type ${show(there)}; asked for was ${show(wanted)}`,
    'ERR_RINGWAY_SHAPE',
  );
}

// What typeText() gives, and nothing else.
function parse(text: string): ValueType | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    const type = isScalarType(parsed) ? parsed : record(parsed as never);
    return typeText(type) === text ? type : undefined;
  } catch {
    return undefined;
  }
}

const SHOWN_CHARACTERS = 500;

/** A type as messages name it. */
export function show(type: ValueType): string {
  if (typeof type === 'string') return type;
  return `record ${type.text.length > SHOWN_CHARACTERS ? `${type.text.slice(0, SHOWN_CHARACTERS)}…` : type.text}`;
}
