// The bytes of a structured value; docs/CODEC.md has the table. Both sides are of one version of the package, in one
// place at one time, so the format may change with any version: the header says which it is.

/** The first byte of a message: the version of the format in the upper bits, and what the decoder must keep track of. */
export const HEADER = 0x10;
/** Added to HEADER where an object occurs more than once, so that the decoder keeps a list of objects. */
export const HAS_REFERENCES = 1;

/** The first byte of a value. */
export const Tag = {
  undefined: 0,
  null: 1,
  false: 2,
  true: 3,
  /** Two's complement, 1, 2 and 4 bytes, for whole numbers but -0. */
  int8: 4,
  int16: 5,
  int32: 6,
  float64: 7,
  /** Two's complement, 8 bytes. */
  bigint64: 8,
  /** A byte that is 1 for negative ones; the magnitude as a string of hexadecimal digits. */
  bigint: 9,
  /** Size, then one byte a character. */
  latin1: 10,
  /** Size in characters, then two bytes each: lone surrogates stay. */
  utf16: 11,
  /** A key block, then the values of the keys in it. */
  object: 12,
  /** Size, then so many keys, each with its value: an object with keys that are not worth a place in the caches. */
  dictionary: 13,
  /** Size, then so many values; holes counts for as many as it says. */
  array: 14,
  /** array, then its further properties as in dictionary. */
  arrayWithProperties: 15,
  /** In arrays: size, so many indices are not there. */
  holes: 16,
  /** In objects: the key was deleted while the object was read. */
  absent: 17,
  map: 18,
  set: 19,
  /** Milliseconds as float64; NaN is an invalid date. */
  date: 20,
  /** Source and flags, both strings. */
  regexp: 21,
  /** The primitive in it. */
  boxed: 22,
  /** The class as a byte, a byte of which fields follow, these, then enumerable properties as in dictionary. */
  error: 23,
  /** The class as a byte, size in bytes, the bytes. */
  binary: 24,
  /** binary, with zeros before the bytes so that they start at a multiple of 8 from the start of the message. */
  alignedBinary: 25,
  /** Size: the number of the object, in the order in which objects begin in the message. */
  reference: 26,
  /** The kind, a string, and what its class attaches to. */
  traveller: 27,
  /** Plus the length: a string of up to 63 characters, one byte each. */
  shortLatin1: 0x40,
  /** Plus the number: 0 to 127. */
  smallInt: 0x80,
} as const;

export const MAX_SHORT_LATIN1 = 0x3f;
export const MAX_SMALL_INT = 0x7f;

/** A size is one byte up to here, then SIZE_32 and a uint32, then SIZE_64 and a float64. */
export const MAX_SIZE_8 = 253;
export const SIZE_32 = 254;
export const SIZE_64 = 255;

/** How many values may lie in one another: what a call stack holds with room to spare. */
export const MAX_DEPTH = 1000;

/** Objects of more keys travel as dictionaries. */
export const MAX_BLOCK_KEYS = 64;
/** In bytes. */
export const MAX_BLOCK_BYTE_LENGTH = 1024;

type Views = Record<string, new (buffer: ArrayBufferLike, byteOffset?: number, length?: number) => ArrayBufferView>;

export interface BinaryClass {
  readonly name: string;
  readonly bytesPerElement: number;
  /** A view of `byteLength` bytes; absent for ArrayBuffer, and where the runtime does not have the class. */
  readonly view?: (buffer: ArrayBufferLike, byteOffset: number, byteLength: number) => ArrayBufferView;
}

function viewClass(name: string, bytesPerElement: number): BinaryClass {
  const View = (globalThis as unknown as Partial<Views>)[name];
  if (View === undefined) return { name, bytesPerElement };
  return {
    name,
    bytesPerElement,
    view: (buffer, byteOffset, byteLength) => new View(buffer, byteOffset, byteLength / bytesPerElement),
  };
}

export const ARRAY_BUFFER = 0;
export const DATA_VIEW = 1;
export const BUFFER = 2;

/** The classes of binary values; the index is what a message has. */
export const BINARY_CLASSES: readonly BinaryClass[] = [
  { name: 'ArrayBuffer', bytesPerElement: 1 },
  viewClass('DataView', 1),
  {
    name: 'Buffer',
    bytesPerElement: 1,
    // A runtime without Buffer gets what it extends.
    view: (buffer, byteOffset, byteLength) =>
      globalThis.Buffer === undefined
        ? new Uint8Array(buffer, byteOffset, byteLength)
        : globalThis.Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength),
  },
  viewClass('Int8Array', 1),
  viewClass('Uint8Array', 1),
  viewClass('Uint8ClampedArray', 1),
  viewClass('Int16Array', 2),
  viewClass('Uint16Array', 2),
  viewClass('Int32Array', 4),
  viewClass('Uint32Array', 4),
  viewClass('Float32Array', 4),
  viewClass('Float64Array', 8),
  viewClass('BigInt64Array', 8),
  viewClass('BigUint64Array', 8),
  viewClass('Float16Array', 2),
];

export const binaryClassOf: ReadonlyMap<string, number> = new Map(
  BINARY_CLASSES.map(({ name }, index) => [name, index]),
);

/** The classes of errors; the index is what a message has. Others arrive as the nearest of these, with their own name. */
export const ERROR_CLASSES: readonly (new (message?: string) => Error)[] = [
  Error,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
  class extends Error {}, // In the place of AggregateError and DOMException, which are made in another way.
  class extends Error {},
];
export const AGGREGATE_ERROR = 7;
export const DOM_EXCEPTION = 8;

/** Fields of errors that are not enumerable: which bit says that one is there. */
export const ERROR_FIELDS = ['name', 'message', 'stack', 'cause', 'errors'] as const;
