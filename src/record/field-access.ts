// How a field of each type is read from memory and written to it: the accessors of cursors.
//
// Each scalar type has functions of its own, so that each of them meets one kind of typed array only: the engine
// specialises a function by what all of its copies have seen.

import { ClosedError } from '../errors.js';
import { describe } from '../memory/names.js';
import type { ElementType, PlacedField, ScalarType } from './description.js';
import type { RecordMemory } from './record-memory.js';
import {
  isBool,
  isFloat32,
  isFloat64,
  isInt8,
  isInt16,
  isInt32,
  isInt64,
  isUint8,
  isUint16,
  isUint32,
  isUint64,
  NUMBERS,
  refuse,
  type Wanted,
  wantedBy,
} from './scalar-values.js';

/** What the functions of a field find the record by: a cursor. */
export interface HasMemory {
  readonly '~memory': RecordMemory;
}

/** What can be done with one field of the record that a cursor stands at. */
export interface FieldAccess {
  readonly name: string;
  /** The value; of an array of numbers a view of the memory. */
  get(this: HasMemory): unknown;
  /** The value, never a view. */
  copy(this: HasMemory): unknown;
  /** @throws {TypeError | RangeError} naming the field, for a value that it cannot hold */
  set(this: HasMemory, value: unknown): void;
}

type Access = Pick<FieldAccess, 'get' | 'set'>;

export function accessTo({ name, element, length, byteOffset }: PlacedField): FieldAccess {
  const label = `the field ${describe(name)}`;
  if (element === 'utf8') return { name, ...plain(stringAccess(label, byteOffset, length as number)) };
  if (length === undefined) return { name, ...plain(SCALARS[element](wantedBy(element, label), byteOffset)) };
  if (element === 'bool') return { name, ...boolsAccess(label, byteOffset, length) };
  return { name, ...numbersAccess(label, byteOffset, length, element) };
}

function plain(access: Access): Omit<FieldAccess, 'name'> {
  return { ...access, copy: access.get };
}

function ended(): ClosedError {
  return new ClosedError('the handler that this record was handed to has returned: copy what you keep');
}

// Written out for each type, without helpers, and short: the engine inlines the accessors of a whole record into its
// handler up to so many bytes of code. One more argument of refuse() made the writing of ten fields a third slower.
const SCALARS: Record<ScalarType, (wanted: Wanted, offset: number) => Access> = {
  int8: (wanted, offset) => ({
    get() {
      const memory = this['~memory'];
      if (memory.at < 0) throw ended();
      return memory.int8[memory.at + offset];
    },
    set(value) {
      const memory = this['~memory'];
      if (memory.at < 0) throw ended();
      if (!isInt8(value)) refuse(value, wanted);
      memory.int8[memory.at + offset] = value;
    },
  }),
  uint8: (wanted, offset) => ({
    get() {
      const memory = this['~memory'];
      if (memory.at < 0) throw ended();
      return memory.uint8[memory.at + offset];
    },
    set(value) {
      const memory = this['~memory'];
      if (memory.at < 0) throw ended();
      if (!isUint8(value)) refuse(value, wanted);
      memory.uint8[memory.at + offset] = value;
    },
  }),
  int16: (wanted, offset) => ({
    get() {
      const memory = this['~memory'];
      if (memory.at < 0) throw ended();
      return memory.int16[(memory.at + offset) >> 1];
    },
    set(value) {
      const memory = this['~memory'];
      if (memory.at < 0) throw ended();
      if (!isInt16(value)) refuse(value, wanted);
      memory.int16[(memory.at + offset) >> 1] = value;
    },
  }),
  uint16: (wanted, offset) => ({
    get() {
      const memory = this['~memory'];
      if (memory.at < 0) throw ended();
      return memory.uint16[(memory.at + offset) >> 1];
    },
    set(value) {
      const memory = this['~memory'];
      if (memory.at < 0) throw ended();
      if (!isUint16(value)) refuse(value, wanted);
      memory.uint16[(memory.at + offset) >> 1] = value;
    },
  }),
  int32: (wanted, offset) => ({
    get() {
      const memory = this['~memory'];
      if (memory.at < 0) throw ended();
      return memory.int32[(memory.at + offset) >> 2];
    },
    set(value) {
      const memory = this['~memory'];
      if (memory.at < 0) throw ended();
      if (!isInt32(value)) refuse(value, wanted);
      memory.int32[(memory.at + offset) >> 2] = value;
    },
  }),
  uint32: (wanted, offset) => ({
    get() {
      const memory = this['~memory'];
      if (memory.at < 0) throw ended();
      return memory.uint32[(memory.at + offset) >> 2];
    },
    set(value) {
      const memory = this['~memory'];
      if (memory.at < 0) throw ended();
      if (!isUint32(value)) refuse(value, wanted);
      memory.uint32[(memory.at + offset) >> 2] = value;
    },
  }),
  int64: (wanted, offset) => ({
    get() {
      const memory = this['~memory'];
      if (memory.at < 0) throw ended();
      return memory.int64[(memory.at + offset) >> 3];
    },
    set(value) {
      const memory = this['~memory'];
      if (memory.at < 0) throw ended();
      if (!isInt64(value)) refuse(value, wanted);
      memory.int64[(memory.at + offset) >> 3] = value;
    },
  }),
  uint64: (wanted, offset) => ({
    get() {
      const memory = this['~memory'];
      if (memory.at < 0) throw ended();
      return memory.uint64[(memory.at + offset) >> 3];
    },
    set(value) {
      const memory = this['~memory'];
      if (memory.at < 0) throw ended();
      if (!isUint64(value)) refuse(value, wanted);
      memory.uint64[(memory.at + offset) >> 3] = value;
    },
  }),
  float32: (wanted, offset) => ({
    get() {
      const memory = this['~memory'];
      if (memory.at < 0) throw ended();
      return memory.float32[(memory.at + offset) >> 2];
    },
    set(value) {
      const memory = this['~memory'];
      if (memory.at < 0) throw ended();
      if (!isFloat32(value)) refuse(value, wanted);
      memory.float32[(memory.at + offset) >> 2] = value;
    },
  }),
  float64: (wanted, offset) => ({
    get() {
      const memory = this['~memory'];
      if (memory.at < 0) throw ended();
      return memory.float64[(memory.at + offset) >> 3];
    },
    set(value) {
      const memory = this['~memory'];
      if (memory.at < 0) throw ended();
      if (!isFloat64(value)) refuse(value, wanted);
      memory.float64[(memory.at + offset) >> 3] = value;
    },
  }),
  bool: (wanted, offset) => ({
    get() {
      const memory = this['~memory'];
      if (memory.at < 0) throw ended();
      return memory.uint8[memory.at + offset] !== 0;
    },
    set(value) {
      const memory = this['~memory'];
      if (memory.at < 0) throw ended();
      if (!isBool(value)) refuse(value, wanted);
      memory.uint8[memory.at + offset] = value ? 1 : 0;
    },
  }),
};

interface NumbersView {
  set(values: ArrayLike<unknown>): void;
  slice(): unknown;
}

function numbersAccess(
  label: string,
  offset: number,
  length: number,
  element: Exclude<ElementType, 'bool' | 'utf8'>,
): Omit<FieldAccess, 'name'> {
  const { fits } = NUMBERS[element];
  const View = NUMBERS[element].View as unknown as new (
    buffer: ArrayBufferLike,
    byteOffset: number,
    length: number,
  ) => NumbersView;
  const viewOf = ({ at, buffer }: RecordMemory) => {
    if (at < 0) throw ended();
    return new View(buffer, at + offset, length);
  };
  return {
    get() {
      return viewOf(this['~memory']);
    },
    copy() {
      return viewOf(this['~memory']).slice();
    },
    set(value) {
      const values = arrayOf(value, label, length, `${element}s`);
      const isSameKind = value instanceof View; // Then all of it fits.
      for (let i = 0; i < length && !isSameKind; i++) {
        if (!fits(values[i])) refuse(values[i], wantedBy(element, `element ${i} of ${label}`));
      }
      viewOf(this['~memory']).set(values);
    },
  };
}

function boolsAccess(label: string, offset: number, length: number): Omit<FieldAccess, 'name'> {
  const valuesOf = ({ at, uint8 }: RecordMemory) => {
    if (at < 0) throw ended();
    return Array.from({ length }, (_, i) => uint8[at + offset + i] !== 0);
  };
  return {
    // Frozen, since it is no view: what is assigned to its elements would go nowhere.
    get() {
      return Object.freeze(valuesOf(this['~memory']));
    },
    copy() {
      return valuesOf(this['~memory']);
    },
    set(value) {
      const { at, uint8 } = this['~memory'];
      if (at < 0) throw ended();
      const values = arrayOf(value, label, length, 'booleans');
      for (let i = 0; i < length; i++) {
        if (!isBool(values[i])) refuse(values[i], wantedBy('bool', `element ${i} of ${label}`));
        uint8[at + offset + i] = values[i] ? 1 : 0;
      }
    },
  };
}

function arrayOf(value: unknown, label: string, length: number, elements: string): ArrayLike<unknown> {
  const found = typeof value === 'object' && value !== null ? (value as ArrayLike<unknown>).length : undefined;
  if (found === length) return value as ArrayLike<unknown>;
  const takes = `${label} takes an array of ${length} ${elements}`;
  if (typeof found === 'number') throw new RangeError(`${takes}, not of ${found}`);
  throw new TypeError(`${takes}, not ${describe(value)}`);
}

// A string ends at its first byte 0, or where the field does.
function stringAccess(label: string, offset: number, length: number): Access {
  return {
    get() {
      const { at, uint8 } = this['~memory'];
      if (at < 0) throw ended();
      const start = at + offset;
      let text = '';
      for (let i = 0; i < length; i++) {
        const byte = uint8[start + i];
        if (byte === 0) break;
        // A copy: decoders of browsers refuse shared memory.
        if (byte > 0x7f) return decode(uint8.slice(start, start + length));
        text += String.fromCharCode(byte);
      }
      return text;
    },
    set(value) {
      const { at, uint8 } = this['~memory'];
      if (at < 0) throw ended();
      if (typeof value !== 'string') throw new TypeError(`${label} takes a string, not ${describe(value)}`);
      const start = at + offset;
      const bytes = isShortAscii(value, length) ? undefined : encode(value, label, length);
      const end = bytes?.length ?? value.length;
      for (let i = 0; i < end; i++) uint8[start + i] = bytes === undefined ? value.charCodeAt(i) : bytes[i];
      for (let i = end; i < length; i++) uint8[start + i] = 0;
    },
  };
}

function isShortAscii(text: string, length: number): boolean {
  if (text.length > length) return false;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit === 0 || unit > 0x7f) return false;
  }
  return true;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

function encode(text: string, label: string, length: number): Uint8Array {
  if (text.includes('\0')) {
    throw new RangeError(`${label} takes a string without U+0000, where strings end, not ${describe(text)}`);
  }
  if (!text.isWellFormed()) throw new RangeError(`${label} takes no lone surrogates, as in ${describe(text)}`);
  const bytes = encoder.encode(text);
  if (bytes.length <= length) return bytes;
  throw new RangeError(`${label} takes up to ${length} bytes of UTF-8, not the ${bytes.length} of ${describe(text)}`);
}

function decode(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
}
