// Bytes to values. Twin of structured-encoder.ts. The bytes may be anything, and lie in memory that others write to:
// every length is read once and checked against what is left before something is made of that size.

import { newBytes } from '../memory/new-bytes.js';
import type { Arrive } from '../memory/travel.js';
import {
  AGGREGATE_ERROR,
  ARRAY_BUFFER,
  BINARY_CLASSES,
  DOM_EXCEPTION,
  ERROR_CLASSES,
  ERROR_FIELDS,
  HAS_REFERENCES,
  HEADER,
  MAX_DEPTH,
  MAX_SHORT_LATIN1,
  MAX_SIZE_8,
  MAX_SMALL_INT,
  SIZE_32,
  Tag,
} from './format.js';
import { KeyLists } from './shapes.js';
import { readLatin1, readUtf16 } from './text.js';
import { unserialisable } from './unserialisable.js';

/** What stands for a value that is not there. Never handed out. */
const ABSENT = Symbol('absent');

const MAX_ARRAY_LENGTH = 2 ** 32 - 1;
/** An array that has so many holes more than values is made without room for them. */
const MANY_HOLES = 1024;

// Numbers are put together from bytes here: a DataView of the message would cost more than all numbers of a small one.
const float64 = new Float64Array(1);
const bigint64 = new BigInt64Array(float64.buffer);
const words = new Uint32Array(float64.buffer);

export class StructuredDecoder {
  #memory: Uint8Array = new Uint8Array(0);
  #start = 0;
  #at = 0;
  #end = 0;
  #owned = false;
  #arrive!: Arrive;
  #depth = 0;
  /** The objects so far, if the message refers to some. */
  #objects: unknown[] | undefined;
  #isDecoding = false;
  readonly #keyLists: KeyLists;

  constructor(keyLists = new KeyLists()) {
    this.#keyLists = keyLists;
  }

  /** As ValueCodec.decode(). */
  decode(memory: Uint8Array, byteOffset: number, byteLength: number, arrive: Arrive, owned: boolean): unknown {
    // A class that attaches to what has arrived may decode something itself.
    if (this.#isDecoding) {
      return new StructuredDecoder(this.#keyLists).decode(memory, byteOffset, byteLength, arrive, owned);
    }
    this.#isDecoding = true;
    try {
      this.#memory = memory;
      this.#start = byteOffset;
      this.#at = byteOffset;
      this.#end = Math.min(byteOffset + byteLength, memory.length);
      this.#arrive = arrive;
      this.#owned = owned;
      this.#depth = 0;
      const header = this.#byte();
      if ((header & ~HAS_REFERENCES) !== HEADER) throw this.#damaged(`starts with ${header}, not with ${HEADER}`);
      this.#objects = header === HEADER ? undefined : [];
      const value = this.#value();
      if (value === ABSENT) throw this.#damaged('has no value');
      if (this.#at !== this.#end) throw this.#damaged(`has ${this.#end - this.#at} bytes too many`);
      return value;
    } finally {
      this.#memory = NOTHING;
      this.#objects = undefined;
      this.#isDecoding = false;
    }
  }

  #damaged(what: string): Error {
    const where = `at byte ${this.#at - this.#start} of ${this.#end - this.#start}`;
    return unserialisable(`the message is not a structured value: ${where} it ${what}`);
  }

  // ---- bytes

  #byte(): number {
    if (this.#at >= this.#end) throw this.#damaged('ends too early');
    return this.#memory[this.#at++];
  }

  /** The offset of so many bytes, which are behind us then. */
  #take(byteLength: number): number {
    const at = this.#at;
    if (byteLength > this.#end - at) throw this.#damaged(`ends, with ${byteLength} bytes to come`);
    this.#at = at + byteLength;
    return at;
  }

  #float64(): number {
    const m = this.#memory;
    const at = this.#take(8);
    words[0] = m[at] | (m[at + 1] << 8) | (m[at + 2] << 16) | (m[at + 3] << 24);
    words[1] = m[at + 4] | (m[at + 5] << 8) | (m[at + 6] << 16) | (m[at + 7] << 24);
    return float64[0];
  }

  #int32(): number {
    const m = this.#memory;
    const at = this.#take(4);
    return m[at] | (m[at + 1] << 8) | (m[at + 2] << 16) | (m[at + 3] << 24);
  }

  /** A whole number that is not negative. What it counts is not there yet. */
  #size(): number {
    const first = this.#byte();
    if (first <= MAX_SIZE_8) return first;
    if (first === SIZE_32) return this.#int32() >>> 0;
    const size = this.#float64();
    if (!(Number.isSafeInteger(size) && size >= 0)) throw this.#damaged(`has the size ${size}`);
    return size;
  }

  // ---- values

  /** A value, or ABSENT. */
  #value(): unknown {
    const tag = this.#byte();
    if (tag >= Tag.smallInt) return tag & MAX_SMALL_INT;
    if (tag >= Tag.shortLatin1) {
      const length = tag & MAX_SHORT_LATIN1;
      return readLatin1(this.#memory, this.#take(length), length);
    }
    switch (tag) {
      case Tag.undefined:
        return undefined;
      case Tag.null:
        return null;
      case Tag.false:
        return false;
      case Tag.true:
        return true;
      case Tag.int8:
        return (this.#byte() << 24) >> 24;
      case Tag.int16: {
        const at = this.#take(2);
        return ((this.#memory[at] | (this.#memory[at + 1] << 8)) << 16) >> 16;
      }
      case Tag.int32:
        return this.#int32();
      case Tag.float64:
        return this.#float64();
      case Tag.object:
        return this.#object();
      case Tag.absent:
        return ABSENT;
      default:
        return this.#other(tag);
    }
  }

  /** A value that must be there. */
  #present(): unknown {
    const value = this.#value();
    if (value === ABSENT) throw this.#damaged('lacks a value');
    return value;
  }

  #other(tag: number): unknown {
    switch (tag) {
      case Tag.latin1: {
        const length = this.#size();
        return readLatin1(this.#memory, this.#take(length), length);
      }
      case Tag.utf16: {
        const length = this.#size();
        return readUtf16(this.#memory, this.#take(2 * length), length);
      }
      case Tag.bigint64:
        this.#float64();
        return bigint64[0];
      case Tag.bigint:
        return this.#bigint();
      case Tag.dictionary:
        return this.#dictionary();
      case Tag.array:
      case Tag.arrayWithProperties:
        return this.#array(tag === Tag.arrayWithProperties);
      case Tag.map:
        return this.#map();
      case Tag.set:
        return this.#set();
      case Tag.date:
        return this.#note(new Date(this.#float64()));
      case Tag.regexp:
        return this.#regexp();
      case Tag.boxed:
        return this.#boxed();
      case Tag.error:
        return this.#error();
      case Tag.binary:
        return this.#binary(false);
      case Tag.alignedBinary:
        return this.#binary(true);
      case Tag.reference:
        return this.#reference();
      case Tag.traveller:
        return this.#traveller();
      default:
        this.#at--;
        throw this.#damaged(`has the tag ${tag}`);
    }
  }

  #string(): string {
    const value = this.#value();
    if (typeof value !== 'string') throw this.#damaged('lacks a string');
    return value;
  }

  #bigint(): bigint {
    const isNegative = this.#byte() === 1;
    const digits = this.#string();
    if (!HEXADECIMAL.test(digits)) throw this.#damaged('lacks the digits of a bigint');
    const magnitude = this.#make(() => BigInt(`0x${digits}`));
    return isNegative ? -magnitude : magnitude;
  }

  /** For constructors that may not like what they get. */
  #make<Made>(make: () => Made): Made {
    try {
      return make();
    } catch (error) {
      throw this.#damaged(`has what cannot be made: ${(error as Error).message}`);
    }
  }

  // ---- objects

  /** In the order in which the encoder numbers them: each before what is in it. */
  #note<Made>(object: Made): Made {
    if (this.#objects !== undefined) this.#objects.push(object);
    return object;
  }

  #reference(): unknown {
    const number = this.#size();
    const object = this.#objects?.[number];
    if (object === undefined) throw this.#damaged(`refers to the object ${number}, which is not there`);
    return object;
  }

  #enter(): void {
    if (++this.#depth > MAX_DEPTH) throw this.#damaged(`is nested more than ${MAX_DEPTH} levels deep`);
  }

  #object(): unknown {
    this.#enter();
    const header = this.#take(4);
    const memory = this.#memory;
    const hash = memory[header] | (memory[header + 1] << 8);
    const byteLength = memory[header + 2] | (memory[header + 3] << 8);
    const list = this.#keyLists.read(memory, this.#take(byteLength), byteLength, hash);
    if (list === undefined) throw this.#damaged('lacks a list of keys');
    const { keys, inherited } = list;
    const object: Record<string, unknown> = {};
    if (this.#objects !== undefined) this.#objects.push(object);
    for (let i = 0; i < keys.length; i++) {
      const value = this.#value();
      if (value === ABSENT) continue;
      if (inherited.size > 0 && inherited.has(keys[i])) define(object, keys[i], value, true);
      else object[keys[i]] = value;
    }
    this.#depth--;
    return object;
  }

  #dictionary(): unknown {
    this.#enter();
    const object = this.#note({});
    this.#properties(object);
    this.#depth--;
    return object;
  }

  #properties(object: object): void {
    const size = this.#size();
    for (let i = 0; i < size; i++) {
      const key = this.#string();
      const value = this.#value();
      if (value === ABSENT) continue;
      // Of arrays and errors, too: what their classes have is never reached.
      if (key in object) this.#define(object, key, value);
      else (object as Record<string, unknown>)[key] = value;
    }
  }

  #define(object: object, key: string, value: unknown): void {
    if (define(object, key, value, true)) return;
    throw this.#damaged(`has the property ${JSON.stringify(key)}, which cannot be there`); // The length of an array.
  }

  #array(hasProperties: boolean): unknown {
    this.#enter();
    const length = this.#size();
    if (length > MAX_ARRAY_LENGTH) throw this.#damaged(`has an array of ${length} elements`);
    const array: unknown[] = this.#note([]);
    let i = 0;
    while (i < length) {
      if (this.#at < this.#end && this.#memory[this.#at] === Tag.holes) {
        this.#at++;
        const holes = this.#size();
        if (holes > length - i) throw this.#damaged(`has ${holes} holes in an array of ${length} elements`);
        i += holes;
      } else {
        array[i++] = this.#present();
      }
    }
    if (array.length !== length) {
      // Longer ones have no room for their elements, but a table of those that are there.
      if (length - array.length > MANY_HOLES) array.length = MAX_ARRAY_LENGTH;
      array.length = length;
    }
    if (hasProperties) this.#arrayProperties(array, length);
    this.#depth--;
    return array;
  }

  #arrayProperties(array: unknown[], length: number): void {
    this.#properties(array);
    if (array.length !== length) throw this.#damaged('has properties of an array that are elements');
  }

  #map(): unknown {
    this.#enter();
    const map = this.#note(new Map<unknown, unknown>());
    const size = this.#size();
    for (let i = 0; i < size; i++) {
      const key = this.#present();
      mapSet.call(map, key, this.#present());
    }
    this.#depth--;
    return map;
  }

  #set(): unknown {
    this.#enter();
    const set = this.#note(new Set<unknown>());
    const size = this.#size();
    for (let i = 0; i < size; i++) setAdd.call(set, this.#present());
    this.#depth--;
    return set;
  }

  #regexp(): RegExp {
    const source = this.#string();
    const flags = this.#string();
    return this.#note(this.#make(() => new RegExp(source, flags)));
  }

  #boxed(): unknown {
    // The encoder numbers the object only.
    const value = this.#value();
    switch (typeof value) {
      case 'number':
      case 'string':
      case 'boolean':
      case 'bigint':
        return this.#note(Object(value));
      default:
        throw this.#damaged('lacks what is in an object of a primitive');
    }
  }

  #error(): Error {
    this.#enter();
    const kind = this.#byte();
    const fields = this.#byte();
    if (kind >= ERROR_CLASSES.length) throw this.#damaged(`has an error of the class ${kind}`);
    if (fields >= 1 << ERROR_FIELDS.length) throw this.#damaged(`has the fields ${fields} in an error`);
    const number = this.#objects?.push(undefined);
    let error: Error | undefined;
    if (kind !== DOM_EXCEPTION) {
      error = kind === AGGREGATE_ERROR ? new AggregateError([]) : new ERROR_CLASSES[kind]();
      if (number !== undefined) this.#objects![number - 1] = error;
    }
    const name = fields & 1 ? this.#present() : undefined;
    const message = fields & 2 ? this.#present() : undefined;
    if (error === undefined) {
      error = this.#make(() => domException(asText(message), asText(name)));
      if (number !== undefined) this.#objects![number - 1] = error;
    } else {
      if (fields & 1) define(error, 'name', name, false);
      if (fields & 2) define(error, 'message', message, false);
    }
    // What was not there is not there: neither the stack of this place nor a list of no errors.
    for (let i = 2; i < ERROR_FIELDS.length; i++) {
      if (fields & (1 << i)) define(error, ERROR_FIELDS[i], this.#present(), false);
      else Reflect.deleteProperty(error, ERROR_FIELDS[i]);
    }
    this.#properties(error);
    this.#depth--;
    return error;
  }

  #traveller(): unknown {
    this.#enter();
    const number = this.#objects?.push(undefined);
    const kind = this.#string();
    const object = this.#arrive(kind, this.#present());
    if (number !== undefined) this.#objects![number - 1] = object;
    this.#depth--;
    return object;
  }

  // ---- binary values

  #binary(isAligned: boolean): unknown {
    const kind = this.#byte();
    const byteLength = this.#size();
    if (kind >= BINARY_CLASSES.length) throw this.#damaged(`has a binary value of the class ${kind}`);
    const { name, view, bytesPerElement } = BINARY_CLASSES[kind];
    if (byteLength % bytesPerElement !== 0) throw this.#damaged(`has a ${name} of ${byteLength} bytes`);
    if (isAligned) this.#take(-(this.#at - this.#start) & 7);
    const memory = this.#memory;
    const at = this.#take(byteLength);
    if (kind !== ARRAY_BUFFER && view === undefined) throw this.#damaged(`has a ${name}, which this runtime has not`);
    // Small ones would keep the whole message.
    if (isAligned && this.#owned && view !== undefined && (memory.byteOffset + at) % bytesPerElement === 0) {
      return this.#note(view(memory.buffer, memory.byteOffset + at, byteLength));
    }
    const bytes = newBytes(byteLength);
    bytes.set(memory.subarray(at, at + byteLength));
    return this.#note(view === undefined ? bytes.buffer : view(bytes.buffer, 0, byteLength));
  }
}

const NOTHING = new Uint8Array(0);
const HEXADECIMAL = /^[0-9a-f]+$/;
const mapSet = Map.prototype.set;
const setAdd = Set.prototype.add;

const asText = (value: unknown) => (typeof value === 'string' ? value : '');

function define(object: object, key: string, value: unknown, enumerable: boolean): boolean {
  return Reflect.defineProperty(object, key, { value, writable: true, configurable: true, enumerable });
}

function domException(message: string, name: string): Error {
  if (typeof DOMException === 'function') return new DOMException(message, name);
  const error = new Error(message);
  define(error, 'name', name, false);
  return error;
}
