// Which values each scalar type takes.

import { describe } from '../memory/names.js';
import type { ScalarType } from './description.js';

export const isInt8 = (value: unknown): value is number => typeof value === 'number' && (value << 24) >> 24 === value;
export const isUint8 = (value: unknown): value is number => typeof value === 'number' && (value & 0xff) === value;
export const isInt16 = (value: unknown): value is number => typeof value === 'number' && (value << 16) >> 16 === value;
export const isUint16 = (value: unknown): value is number => typeof value === 'number' && (value & 0xffff) === value;
export const isInt32 = (value: unknown): value is number => typeof value === 'number' && (value | 0) === value;
export const isUint32 = (value: unknown): value is number => typeof value === 'number' && value >>> 0 === value;
export const isInt64 = (value: unknown): value is bigint =>
  typeof value === 'bigint' && BigInt.asIntN(64, value) === value;
export const isUint64 = (value: unknown): value is bigint =>
  typeof value === 'bigint' && BigInt.asUintN(64, value) === value;
// No finite number becomes Infinity; others are rounded.
export const isFloat32 = (value: unknown): value is number =>
  typeof value === 'number' && (Number.isFinite(Math.fround(value)) || !Number.isFinite(value));
export const isFloat64 = (value: unknown): value is number => typeof value === 'number';
export const isBool = (value: unknown): value is boolean => typeof value === 'boolean';

/** The type of a scalar's values, and how a message puts it. */
const TAKES: Record<ScalarType, [type: string, takes: string]> = {
  int8: ['number', 'a whole number from -128 to 127'],
  uint8: ['number', 'a whole number from 0 to 255'],
  int16: ['number', 'a whole number from -32768 to 32767'],
  uint16: ['number', 'a whole number from 0 to 65535'],
  int32: ['number', 'a whole number from -2^31 to 2^31 - 1'],
  uint32: ['number', 'a whole number from 0 to 2^32 - 1'],
  int64: ['bigint', 'a bigint from -2^63 to 2^63 - 1'],
  uint64: ['bigint', 'a bigint from 0 to 2^64 - 1'],
  float32: ['number', 'a number that a float32 does not round to Infinity'],
  float64: ['number', 'a number'],
  bool: ['boolean', 'true or false'],
};

/** What a message says that a field, or a value, takes. */
export interface Wanted {
  readonly label: string;
  readonly type: string;
  readonly takes: string;
}

export function wantedBy(element: ScalarType, label: string): Wanted {
  const [type, takes] = TAKES[element];
  return { label, type, takes };
}

/**
 * A value of the right type that does not fit is out of range.
 * @throws {TypeError | RangeError} always, with the value
 */
export function refuse(value: unknown, { label, type, takes }: Wanted): never {
  const message = `${label} takes ${takes}, not ${describe(value)}`;
  throw typeof value === type ? new RangeError(message) : new TypeError(message);
}

/** The typed array of each numeric type. */
export const NUMBERS = {
  int8: { View: Int8Array, fits: isInt8 },
  uint8: { View: Uint8Array, fits: isUint8 },
  int16: { View: Int16Array, fits: isInt16 },
  uint16: { View: Uint16Array, fits: isUint16 },
  int32: { View: Int32Array, fits: isInt32 },
  uint32: { View: Uint32Array, fits: isUint32 },
  int64: { View: BigInt64Array, fits: isInt64 },
  uint64: { View: BigUint64Array, fits: isUint64 },
  float32: { View: Float32Array, fits: isFloat32 },
  float64: { View: Float64Array, fits: isFloat64 },
};

/** Whether a value is one of the type. */
export const FITS: Readonly<Record<ScalarType, (value: unknown) => boolean>> = {
  int8: isInt8,
  uint8: isUint8,
  int16: isInt16,
  uint16: isUint16,
  int32: isInt32,
  uint32: isUint32,
  int64: isInt64,
  uint64: isUint64,
  float32: isFloat32,
  float64: isFloat64,
  bool: isBool,
};
