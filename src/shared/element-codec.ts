// How the elements of an array of each type stand in a typed array, side by side.

import { RecordDecoder, RecordEncoder } from '../record/codec.js';
import type { ScalarType } from '../record/description.js';
import type { RecordType } from '../record/record.js';
import { NUMBERS } from '../record/scalar-values.js';
import { checkScalar } from './scalar-cell.js';
import type { ValueType } from './value-type.js';

/** As much of a typed array as is used here. */
export interface ElementView extends ArrayBufferView {
  readonly length: number;
  [index: number]: unknown;
  set(values: ArrayLike<unknown>, offset?: number): void;
  subarray(begin: number, end: number): ElementView;
}

type Memory = ArrayBuffer | SharedArrayBuffer;

export interface ElementCodec {
  /** Of one element, in bytes. */
  readonly byteLength: number;
  /** How many numbers of the view one element takes. */
  readonly stride: number;
  viewOf(buffer: Memory, byteOffset: number, length: number): ElementView;
  get(view: ElementView, index: number): unknown;
  /** @throws {TypeError | RangeError} for a value that does not fit; nothing was written */
  set(view: ElementView, index: number, value: unknown): void;
  /**
   * Values as a view has them, in memory of their own unless they are such a view already.
   * @throws {TypeError | RangeError} naming the first that does not fit
   */
  prepare(values: ArrayLike<unknown>): ElementView;
}

export function elementCodec(type: ValueType): ElementCodec {
  if (typeof type !== 'string') return recordElements(type);
  return type === 'bool' ? boolElements : numberElements(type);
}

interface ViewConstructor {
  new (length: number): ElementView;
  new (buffer: Memory, byteOffset: number, length: number): ElementView;
  readonly BYTES_PER_ELEMENT: number;
}

function numberElements(type: Exclude<ScalarType, 'bool'>): ElementCodec {
  const View = NUMBERS[type].View as unknown as ViewConstructor;
  return {
    byteLength: View.BYTES_PER_ELEMENT,
    stride: 1,
    viewOf: (buffer, byteOffset, length) => new View(buffer, byteOffset, length),
    get: (view, index) => view[index],
    set(view, index, value) {
      checkScalar(type, value);
      view[index] = value;
    },
    prepare(values) {
      if (values instanceof (View as unknown as new () => ElementView)) return values; // Then all of it fits.
      const prepared = new View(values.length);
      for (let i = 0; i < prepared.length; i++) {
        const value = values[i];
        checkScalar(type, value, `element ${i}, of type ${type},`);
        prepared[i] = value;
      }
      return prepared;
    },
  };
}

const boolElements: ElementCodec = {
  byteLength: 1,
  stride: 1,
  viewOf: (buffer, byteOffset, length) => new Uint8Array(buffer, byteOffset, length) as unknown as ElementView,
  get: (view, index) => view[index] !== 0,
  set(view, index, value) {
    checkScalar('bool', value);
    view[index] = value ? 1 : 0;
  },
  prepare(values) {
    const prepared = new Uint8Array(values.length);
    for (let i = 0; i < prepared.length; i++) {
      const value = values[i];
      checkScalar('bool', value, `element ${i}, of type bool,`);
      prepared[i] = value ? 1 : 0;
    }
    return prepared as unknown as ElementView;
  },
};

function recordElements(type: RecordType): ElementCodec {
  const { byteLength } = type;
  const reader = new RecordDecoder(type);
  const writer = new RecordEncoder(type);
  return {
    byteLength,
    stride: byteLength,
    viewOf: (buffer, byteOffset, length) =>
      new Uint8Array(buffer, byteOffset, length * byteLength) as unknown as ElementView,
    get: (view, index) =>
      reader.decode(view.subarray(index * byteLength, (index + 1) * byteLength) as unknown as Uint8Array),
    set: (view, index, value) => view.set(writer.encode(value as never), index * byteLength),
    prepare(values) {
      const prepared = new Uint8Array(values.length * byteLength);
      for (let i = 0; i < values.length; i++) prepared.set(writer.encode(values[i] as never), i * byteLength);
      return prepared as unknown as ElementView;
    },
  };
}
