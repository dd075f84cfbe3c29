// How a field of each type is read from memory and written to it, and which values it takes.
//
// Each scalar type has functions of its own, so that each of them meets one kind of typed array only: the engine
// specialises a function by what all of its copies have seen.

import { describe } from '../memory/names.js';
import type { ElementType, PlacedField, ScalarType } from './description.js';
import type { RecordMemory } from './record-memory.js';

/** What can be done with one field of the record at `memory.at`. */
export interface FieldAccess {
  readonly name: string;
  /** The value; of an array of numbers a view of the memory. */
  read(memory: RecordMemory): unknown;
  /** The value, never a view. */
  copy(memory: RecordMemory): unknown;
  /** @throws {TypeError | RangeError} naming the field, for a value that it cannot hold */
  write(memory: RecordMemory, value: unknown): void;
}

type Access = Pick<FieldAccess, 'read' | 'write'>;

export function accessTo({ name, element, length, byteOffset }: PlacedField): FieldAccess {
  const label = `the field ${describe(name)}`;
  if (element === 'utf8') return { name, ...plain(stringAccess(label, byteOffset, length as number)) };
  if (length === undefined) return { name, ...plain(SCALARS[element](label, byteOffset)) };
  if (element === 'bool') return { name, ...boolsAccess(label, byteOffset, length) };
  return { name, ...numbersAccess(label, byteOffset, length, element) };
}

function plain(access: Access): Omit<FieldAccess, 'name'> {
  return { ...access, copy: access.read };
}

const SCALARS: Record<ScalarType, (label: string, offset: number) => Access> = {
  int8: (label, offset) => ({
    read: (memory) => memory.int8[memory.at + offset],
    write: (memory, value) => {
      memory.int8[memory.at + offset] = int8(value, label);
    },
  }),
  uint8: (label, offset) => ({
    read: (memory) => memory.uint8[memory.at + offset],
    write: (memory, value) => {
      memory.uint8[memory.at + offset] = uint8(value, label);
    },
  }),
  int16: (label, offset) => ({
    read: (memory) => memory.int16[(memory.at + offset) >> 1],
    write: (memory, value) => {
      memory.int16[(memory.at + offset) >> 1] = int16(value, label);
    },
  }),
  uint16: (label, offset) => ({
    read: (memory) => memory.uint16[(memory.at + offset) >> 1],
    write: (memory, value) => {
      memory.uint16[(memory.at + offset) >> 1] = uint16(value, label);
    },
  }),
  int32: (label, offset) => ({
    read: (memory) => memory.int32[(memory.at + offset) >> 2],
    write: (memory, value) => {
      memory.int32[(memory.at + offset) >> 2] = int32(value, label);
    },
  }),
  uint32: (label, offset) => ({
    read: (memory) => memory.uint32[(memory.at + offset) >> 2],
    write: (memory, value) => {
      memory.uint32[(memory.at + offset) >> 2] = uint32(value, label);
    },
  }),
  int64: (label, offset) => ({
    read: (memory) => memory.int64[(memory.at + offset) >> 3],
    write: (memory, value) => {
      memory.int64[(memory.at + offset) >> 3] = int64(value, label);
    },
  }),
  uint64: (label, offset) => ({
    read: (memory) => memory.uint64[(memory.at + offset) >> 3],
    write: (memory, value) => {
      memory.uint64[(memory.at + offset) >> 3] = uint64(value, label);
    },
  }),
  float32: (label, offset) => ({
    read: (memory) => memory.float32[(memory.at + offset) >> 2],
    write: (memory, value) => {
      memory.float32[(memory.at + offset) >> 2] = float32(value, label);
    },
  }),
  float64: (label, offset) => ({
    read: (memory) => memory.float64[(memory.at + offset) >> 3],
    write: (memory, value) => {
      memory.float64[(memory.at + offset) >> 3] = float64(value, label);
    },
  }),
  bool: (label, offset) => ({
    read: (memory) => memory.uint8[memory.at + offset] !== 0,
    write: (memory, value) => {
      memory.uint8[memory.at + offset] = bool(value, label);
    },
  }),
};

const int8 = (value: unknown, label: string) => whole(value, label, -(2 ** 7), 2 ** 7 - 1);
const uint8 = (value: unknown, label: string) => whole(value, label, 0, 2 ** 8 - 1);
const int16 = (value: unknown, label: string) => whole(value, label, -(2 ** 15), 2 ** 15 - 1);
const uint16 = (value: unknown, label: string) => whole(value, label, 0, 2 ** 16 - 1);
const int32 = (value: unknown, label: string) => whole(value, label, -(2 ** 31), 2 ** 31 - 1);
const uint32 = (value: unknown, label: string) => whole(value, label, 0, 2 ** 32 - 1);
const int64 = (value: unknown, label: string) => bigWhole(value, label, -(2n ** 63n), 2n ** 63n - 1n);
const uint64 = (value: unknown, label: string) => bigWhole(value, label, 0n, 2n ** 64n - 1n);

function whole(value: unknown, label: string, least: number, most: number): number {
  if (typeof value === 'number' && value >= least && value <= most && Math.trunc(value) === value) return value;
  return refuse(value, label, 'number', `a whole number from ${least} to ${most}`);
}

function bigWhole(value: unknown, label: string, least: bigint, most: bigint): bigint {
  if (typeof value === 'bigint' && value >= least && value <= most) return value;
  return refuse(value, label, 'bigint', `a bigint from ${least}n to ${most}n`);
}

function float64(value: unknown, label: string): number {
  return typeof value === 'number' ? value : refuse(value, label, 'number', 'a number');
}

function float32(value: unknown, label: string): number {
  if (typeof value === 'number' && (Number.isFinite(Math.fround(value)) || !Number.isFinite(value))) return value;
  return refuse(value, label, 'number', 'a number that a float32 does not round to Infinity');
}

function bool(value: unknown, label: string): number {
  if (typeof value === 'boolean') return value ? 1 : 0;
  return refuse(value, label, 'boolean', 'true or false');
}

/** A value of the right type that does not fit is out of range. */
function refuse(value: unknown, label: string, type: string, takes: string): never {
  const message = `${label} takes ${takes}, not ${describe(value)}`;
  throw typeof value === type ? new RangeError(message) : new TypeError(message);
}

const NUMBERS = {
  int8: { View: Int8Array, check: int8 },
  uint8: { View: Uint8Array, check: uint8 },
  int16: { View: Int16Array, check: int16 },
  uint16: { View: Uint16Array, check: uint16 },
  int32: { View: Int32Array, check: int32 },
  uint32: { View: Uint32Array, check: uint32 },
  int64: { View: BigInt64Array, check: int64 },
  uint64: { View: BigUint64Array, check: uint64 },
  float32: { View: Float32Array, check: float32 },
  float64: { View: Float64Array, check: float64 },
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
  const { check } = NUMBERS[element];
  const View = NUMBERS[element].View as unknown as new (
    buffer: ArrayBufferLike,
    byteOffset: number,
    length: number,
  ) => NumbersView;
  const read = (memory: RecordMemory) => new View(memory.buffer, memory.at + offset, length);
  return {
    read,
    copy: (memory) => read(memory).slice(),
    write: (memory, value) => {
      const values = arrayOf(value, label, length, `${element}s`);
      // What comes in an array of the same kind fits.
      if (!(value instanceof View)) for (let i = 0; i < length; i++) check(values[i], `element ${i} of ${label}`);
      read(memory).set(values);
    },
  };
}

function boolsAccess(label: string, offset: number, length: number): Omit<FieldAccess, 'name'> {
  const copy = (memory: RecordMemory) => {
    const start = memory.at + offset;
    return Array.from({ length }, (_, i) => memory.uint8[start + i] !== 0);
  };
  return {
    copy,
    // Frozen, since it is no view: what is assigned to its elements would go nowhere.
    read: (memory) => Object.freeze(copy(memory)),
    write: (memory, value) => {
      const values = arrayOf(value, label, length, 'booleans');
      const start = memory.at + offset;
      for (let i = 0; i < length; i++) memory.uint8[start + i] = bool(values[i], `element ${i} of ${label}`);
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
    read: ({ uint8, at }) => {
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
    write: ({ uint8, at }, value) => {
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
