// A scalar in a word of its own. Atomics are sequentially consistent.
//
//   A "what came before a change"  exchange(), compareExchange(), update(), add()  cell, exchange or compare-exchange
//                              ->  load() and all of these  cell, load
//     Who sees a value sees what was done before it was set. All changes of a cell have one order, in which each of them
//     finds what the one before it left. A process that dies inside has changed the cell, or has not.
//
// A cell of 32 bits holds an integer of up to 32 bits, a bool, or the bits of a float32, one of 64 bits the rest. Floats are
// numbers only while they are looked at: as bits, a NaN keeps its payload and equals itself, so that a loop ends.

import { CorruptSegmentError } from '../errors.js';
import { ValueHeader } from '../layout.js';
import { describe } from '../memory/names.js';
import { checkOpen, type Segment } from '../memory/segment.js';
import type { ScalarType } from '../record/description.js';
import { FITS, refuse, wantedBy } from '../record/scalar-values.js';
import type { ValueCell } from './value-cell.js';

/** What stands in a cell. */
type Bits = number | bigint;

type Cells = Int32Array | Uint32Array | BigInt64Array | BigUint64Array;

// One signature for cells of 32 and of 64 bits.
const ATOMICS = Atomics as unknown as {
  load(cells: Cells, index: number): Bits;
  exchange(cells: Cells, index: number, bits: Bits): Bits;
  compareExchange(cells: Cells, index: number, expected: Bits, bits: Bits): Bits;
};

/** How values of a type stand in its cell. */
interface Encoding {
  readonly View: new (buffer: ArrayBuffer | SharedArrayBuffer, byteOffset: number, length: number) => Cells;
  toValue(bits: Bits): unknown;
  toBits(value: unknown): Bits;
  /** A sum that may be out of range; undefined where there is no adding. */
  sum(value: unknown, n: unknown, type: ScalarType): unknown;
}

const same = (bits: unknown) => bits as Bits;

const sumOfNumbers = (value: unknown, n: unknown, type: ScalarType): number => {
  if (!Number.isInteger(n)) refuse(n, { label: `add() of ${type}`, type: 'number', takes: 'a whole number' });
  return (value as number) + (n as number);
};

const sumOfBigints = (value: unknown, n: unknown, type: ScalarType): bigint => {
  if (typeof n !== 'bigint') refuse(n, { label: `add() of ${type}`, type: 'bigint', takes: 'a bigint' });
  return (value as bigint) + n;
};

const sumOfFloats = (value: unknown, n: unknown, type: ScalarType): number => {
  if (typeof n !== 'number') refuse(n, { label: `add() of ${type}`, type: 'number', takes: 'a number' });
  return (value as number) + n;
};

const signed: Encoding = { View: Int32Array, toValue: same, toBits: same, sum: sumOfNumbers };
const unsigned: Encoding = { ...signed, View: Uint32Array };

const float32 = new Float32Array(1);
const bits32 = new Int32Array(float32.buffer);
const float64 = new Float64Array(1);
const bits64 = new BigInt64Array(float64.buffer);

const ENCODINGS: Readonly<Record<ScalarType, Encoding>> = {
  int8: signed,
  uint8: unsigned,
  int16: signed,
  uint16: unsigned,
  int32: signed,
  uint32: unsigned,
  int64: { View: BigInt64Array, toValue: same, toBits: same, sum: sumOfBigints },
  uint64: { View: BigUint64Array, toValue: same, toBits: same, sum: sumOfBigints },
  float32: {
    View: Int32Array,
    toValue(bits) {
      bits32[0] = bits as number;
      return float32[0];
    },
    toBits(value) {
      float32[0] = value as number;
      return bits32[0] as number;
    },
    sum: sumOfFloats,
  },
  float64: {
    View: BigInt64Array,
    toValue(bits) {
      bits64[0] = bits as bigint;
      return float64[0];
    },
    toBits(value) {
      float64[0] = value as number;
      return bits64[0] as bigint;
    },
    sum: sumOfFloats,
  },
  bool: {
    View: Uint32Array,
    toValue: (bits) => (bits === 0 || bits === 1 ? bits === 1 : bits),
    toBits: (value) => (value ? 1 : 0),
    sum(_value, _n, type) {
      throw new TypeError(`add() needs numbers, and this value is a ${type}`);
    },
  },
};

/** @throws {TypeError | RangeError} for a value that the type cannot hold */
export function checkScalar(type: ScalarType, value: unknown, label = `a value of type ${type}`): void {
  if (!FITS[type](value)) refuse(value, wantedBy(type, label));
}

export class ScalarCell implements ValueCell {
  readonly #segment: Segment;
  readonly #type: ScalarType;
  readonly #encoding: Encoding;
  readonly #fits: (value: unknown) => boolean;
  readonly #cells: Cells;

  /** @throws {CorruptSegmentError} if the segment has no room for it */
  constructor(segment: Segment, type: ScalarType) {
    const { bodyOffset, buffer, byteLength } = segment;
    if (byteLength - bodyOffset < ValueHeader.copies) {
      throw new CorruptSegmentError(`${segment.label} contradicts itself: ${byteLength} bytes hold no value`);
    }
    this.#segment = segment;
    this.#type = type;
    this.#encoding = ENCODINGS[type];
    this.#fits = FITS[type];
    this.#cells = new this.#encoding.View(buffer, bodyOffset + ValueHeader.cell, 1);
  }

  /** Wait-free. */
  load(): unknown {
    return this.#valueOf(ATOMICS.load(this.#cells, 0)); // A.
  }

  /** Wait-free. */
  exchange(value: unknown): unknown {
    checkScalar(this.#type, value);
    return this.#valueOf(ATOMICS.exchange(this.#cells, 0, this.#encoding.toBits(value))); // A.
  }

  /** Lock-free. Values are the same as for Object.is(): NaN is NaN, and 0 is not -0. */
  compareExchange(expected: unknown, value: unknown): unknown {
    checkScalar(this.#type, expected, `the expected value, of type ${this.#type},`);
    checkScalar(this.#type, value);
    const rounded = this.#encoding.toValue(this.#encoding.toBits(expected)); // To a float32.
    const next = this.#encoding.toBits(value);
    for (;;) {
      const bits = ATOMICS.load(this.#cells, 0); // A.
      const found = this.#valueOf(bits);
      if (!Object.is(found, rounded)) return found;
      if (ATOMICS.compareExchange(this.#cells, 0, bits, next) === bits) return found; // A.
    }
  }

  /** Lock-free, but for what `next` does. */
  update(next: (value: unknown) => unknown): unknown {
    for (;;) {
      const bits = ATOMICS.load(this.#cells, 0); // A.
      const found = this.#valueOf(bits);
      const value = next(found);
      checkScalar(this.#type, value);
      checkOpen(this.#segment);
      if (ATOMICS.compareExchange(this.#cells, 0, bits, this.#encoding.toBits(value)) === bits) return found; // A.
    }
  }

  /**
   * Lock-free. By compare-exchange, not by Atomics.add, which would have wrapped before anybody could object.
   * @throws {RangeError} for a sum out of range; nothing has changed
   */
  add(n: unknown): unknown {
    for (;;) {
      const bits = ATOMICS.load(this.#cells, 0); // A.
      const found = this.#valueOf(bits);
      const sum = this.#encoding.sum(found, n, this.#type);
      if (!this.#fits(sum) || isOverflow(found, n, sum)) {
        const { takes } = wantedBy(this.#type, '');
        throw new RangeError(`${describe(found)} + ${describe(n)} does not fit ${this.#type}, which takes ${takes}`);
      }
      if (ATOMICS.compareExchange(this.#cells, 0, bits, this.#encoding.toBits(sum)) === bits) return found; // A.
    }
  }

  #valueOf(bits: Bits): unknown {
    const value = this.#encoding.toValue(bits);
    if (this.#fits(value)) return value;
    throw new CorruptSegmentError(`${this.#segment.label} contradicts itself: ${bits} is no ${this.#type}`);
  }
}

// Infinity is a value, but no sum of finite ones.
function isOverflow(value: unknown, n: unknown, sum: unknown): boolean {
  return typeof sum === 'number' && !Number.isFinite(sum) && Number.isFinite(value) && Number.isFinite(n);
}
