// Values to bytes, in one pass. Twin of structured-decoder.ts.

import { type Departure, type Route, type Traveller, travels } from '../memory/travel.js';
import {
  AGGREGATE_ERROR,
  ARRAY_BUFFER,
  BUFFER,
  binaryClassOf,
  DATA_VIEW,
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
  SIZE_64,
  Tag,
} from './format.js';
import { Message, NO_DEPARTURES, NO_PIECES, type Piece } from './message.js';
import { MAP_KEY, MAP_VALUE, pathOf, SET_MEMBER, type Step } from './path.js';
import { type Shape, Shapes } from './shapes.js';
import { writeLatin1, writeUtf16 } from './text.js';
import { unserialisable } from './unserialisable.js';

const INITIAL_BYTE_LENGTH = 4096;
/** A buffer that grew beyond that is not kept for the next message. */
const KEPT_BYTE_LENGTH = 1 << 20;
/** What is written after one check of the room: a tag and a number, a size, or both. */
const ROOM = 32;
/** Binary values from this size on are copied once, not twice. */
const PIECE_BYTE_LENGTH = 2048;
/** Up to so many objects are found by looking at all of them. */
const FEW_OBJECTS = 12;
/** So many holes in a row, and the next index is looked up in the list of keys. */
const MANY_HOLES = 256;

const { getPrototypeOf, hasOwn, keys: keysOf } = Object;
const ObjectPrototype = Object.prototype;
const toStringOf = ObjectPrototype.toString;
const isEnumerable = ObjectPrototype.propertyIsEnumerable;
const mapEntries = Map.prototype.entries;
const setValues = Set.prototype.values;
const timeOf = Date.prototype.getTime;

function getterOf<Result>(prototype: object, property: PropertyKey): (this: unknown) => Result {
  return Object.getOwnPropertyDescriptor(prototype, property)?.get as (this: unknown) => Result;
}
// These look at what an object is, whatever it or its class says.
const viewName = getterOf<string | undefined>(getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag);
const mapSize = getterOf<number>(Map.prototype, 'size');
const setSize = getterOf<number>(Set.prototype, 'size');
const bufferByteLength = getterOf<number>(ArrayBuffer.prototype, 'byteLength');
const regexpSource = getterOf<string>(RegExp.prototype, 'source');

type Brand = 'map' | 'set' | 'date' | 'regexp' | 'error' | 'boxed' | 'buffer' | 'refused' | 'plain';

const BRANDS: Readonly<Record<string, Brand>> = {
  '[object Map]': 'map',
  '[object Set]': 'set',
  '[object Date]': 'date',
  '[object RegExp]': 'regexp',
  '[object Error]': 'error',
  '[object DOMException]': 'error',
  '[object Number]': 'boxed',
  '[object String]': 'boxed',
  '[object Boolean]': 'boxed',
  '[object BigInt]': 'boxed',
  '[object ArrayBuffer]': 'buffer',
  '[object Symbol]': 'refused',
  '[object SharedArrayBuffer]': 'refused',
  '[object Promise]': 'refused',
  '[object WeakMap]': 'refused',
  '[object WeakSet]': 'refused',
  '[object WeakRef]': 'refused',
  '[object FinalizationRegistry]': 'refused',
  '[object Generator]': 'refused',
  '[object AsyncGenerator]': 'refused',
  '[object AbortSignal]': 'refused',
};

const CLASSES: readonly (readonly [unknown, Brand])[] = [
  [Map, 'map'],
  [Set, 'set'],
  [Date, 'date'],
  [RegExp, 'regexp'],
  [Error, 'error'],
  [ArrayBuffer, 'buffer'],
  [Promise, 'refused'],
  [WeakMap, 'refused'],
  [WeakSet, 'refused'],
];

export class StructuredEncoder {
  #bytes = new Uint8Array(INITIAL_BYTE_LENGTH);
  #view = new DataView(this.#bytes.buffer);
  /** The next byte in #bytes. */
  #at = 0;
  /** The bytes of all #pieces. */
  #pieceBytes = 0;
  #pieces: Piece[] | undefined;
  #departures: Departure[] | undefined;
  #route!: Route;
  #isEncoding = false;
  readonly #message = new Message();
  readonly #shapes: Shapes;

  /** The objects so far, numbered in the order in which they begin: the first ones, then all of them. */
  #objectCount = 0;
  readonly #firstObjects: (object | undefined)[] = new Array(FEW_OBJECTS).fill(undefined);
  #allObjects: Map<object, number> | undefined;

  /** The way to the value at hand, for messages. */
  #depth = 0;
  readonly #path: Step[] = [];
  readonly #maps: (Map<unknown, unknown> | undefined)[] = [];

  /** Object.prototype has enumerable properties: for-in shows them, too. */
  #isPolluted = false;

  constructor(shapes = new Shapes()) {
    this.#shapes = shapes;
  }

  /** As ValueCodec.encode(). */
  encode(value: unknown, route: Route): Message {
    // A getter in the value that is being encoded encodes another one.
    if (this.#isEncoding) return new StructuredEncoder(this.#shapes).encode(value, route);
    this.#isEncoding = true;
    try {
      this.#route = route;
      this.#isPolluted = isPolluted();
      this.#at = 1;
      this.#bytes[0] = HEADER;
      this.#value(value, '');
      if (this.#pieces !== undefined) this.#checkPieces(this.#pieces);
      return this.#message.set(this.#bytes, this.#at, this.#pieces ?? NO_PIECES, this.#departures ?? NO_DEPARTURES);
    } catch (error) {
      for (const departure of this.#departures ?? NO_DEPARTURES) departure.unsent();
      throw error;
    } finally {
      this.#forget();
      this.#isEncoding = false;
    }
  }

  // Nothing that belonged to the value stays alive because of us, but for the pieces of the message.
  #forget(): void {
    const few = Math.min(this.#objectCount, FEW_OBJECTS);
    for (let i = 0; i < few; i++) this.#firstObjects[i] = undefined;
    this.#objectCount = 0;
    this.#depth = 0;
    this.#allObjects = undefined;
    if (this.#pieces !== undefined) {
      this.#pieces = undefined;
      this.#pieceBytes = 0;
    }
    if (this.#departures !== undefined) this.#departures = undefined;
    if (this.#maps.length > 0) this.#maps.length = 0;
    if (this.#bytes.length > KEPT_BYTE_LENGTH) this.#setBuffer(new Uint8Array(INITIAL_BYTE_LENGTH));
  }

  // ---- bytes

  #setBuffer(bytes: Uint8Array<ArrayBuffer>): void {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }

  #reserve(byteLength: number): void {
    if (this.#at + byteLength > this.#bytes.length) this.#grow(byteLength);
  }

  #grow(byteLength: number): void {
    const bytes = new Uint8Array(Math.max(2 * this.#bytes.length, this.#at + byteLength));
    bytes.set(this.#bytes.subarray(0, this.#at));
    this.#setBuffer(bytes);
  }

  /** Needs ROOM. */
  #size(size: number): void {
    if (size <= MAX_SIZE_8) {
      this.#bytes[this.#at++] = size;
    } else if (size <= 0xffffffff) {
      this.#bytes[this.#at] = SIZE_32;
      this.#view.setUint32(this.#at + 1, size, true);
      this.#at += 5;
    } else {
      this.#bytes[this.#at] = SIZE_64;
      this.#view.setFloat64(this.#at + 1, size, true);
      this.#at += 9;
    }
  }

  #tag(tag: number): void {
    this.#reserve(ROOM);
    this.#bytes[this.#at++] = tag;
  }

  // ---- values

  /** @param step - where in its container the value is */
  #value(value: unknown, step: Step): void {
    if (typeof value === 'number') this.#number(value);
    else if (typeof value === 'string') this.#string(value);
    else if (typeof value === 'boolean') this.#tag(value ? Tag.true : Tag.false);
    else if (value === undefined) this.#tag(Tag.undefined);
    else if (value === null) this.#tag(Tag.null);
    else if (typeof value === 'bigint') this.#bigint(value);
    else {
      this.#path[this.#depth] = step;
      if (typeof value === 'object') this.#object(value);
      else if (typeof value === 'symbol') throw this.#refusal('is a symbol', 'send a string');
      else throw this.#refusal('is a function', 'code does not travel; make it a task, which the receiver imports');
    }
  }

  #number(value: number): void {
    this.#reserve(ROOM);
    const bytes = this.#bytes;
    const at = this.#at;
    const int = value | 0;
    if (int !== value || (int === 0 && Object.is(value, -0))) {
      bytes[at] = Tag.float64;
      this.#view.setFloat64(at + 1, value, true);
      this.#at = at + 9;
    } else if (int >= 0 && int <= MAX_SMALL_INT) {
      bytes[at] = Tag.smallInt + int;
      this.#at = at + 1;
    } else if ((int << 24) >> 24 === int) {
      bytes[at] = Tag.int8;
      bytes[at + 1] = int;
      this.#at = at + 2;
    } else if ((int << 16) >> 16 === int) {
      bytes[at] = Tag.int16;
      bytes[at + 1] = int;
      bytes[at + 2] = int >> 8;
      this.#at = at + 3;
    } else {
      bytes[at] = Tag.int32;
      bytes[at + 1] = int;
      bytes[at + 2] = int >> 8;
      bytes[at + 3] = int >> 16;
      bytes[at + 4] = int >> 24;
      this.#at = at + 5;
    }
  }

  #string(text: string): void {
    const { length } = text;
    this.#reserve(ROOM + length);
    const start = this.#at;
    if (length <= MAX_SHORT_LATIN1) {
      this.#bytes[this.#at++] = Tag.shortLatin1 + length;
    } else {
      this.#bytes[this.#at++] = Tag.latin1;
      this.#size(length);
    }
    if (writeLatin1(this.#bytes, this.#at, text)) {
      this.#at += length;
      return;
    }
    this.#at = start;
    this.#reserve(ROOM + 2 * length);
    this.#bytes[this.#at++] = Tag.utf16;
    this.#size(length);
    writeUtf16(this.#bytes, this.#at, text);
    this.#at += 2 * length;
  }

  #bigint(value: bigint): void {
    this.#reserve(ROOM);
    if (BigInt.asIntN(64, value) === value) {
      this.#bytes[this.#at] = Tag.bigint64;
      this.#view.setBigInt64(this.#at + 1, value, true);
      this.#at += 9;
      return;
    }
    this.#bytes[this.#at++] = Tag.bigint;
    this.#bytes[this.#at++] = value < 0n ? 1 : 0;
    this.#string((value < 0n ? -value : value).toString(16));
  }

  // ---- objects

  #object(value: object): void {
    if (this.#isReference(value)) return;
    const prototype = this.#prototypeOf(value);
    if (typeof (value as Partial<Traveller>)[travels] === 'function') this.#traveller(value as Traveller);
    else if (prototype === ObjectPrototype) this.#plain(value, !this.#isPolluted);
    else if (Array.isArray(value)) this.#array(value);
    else if (prototype === null) this.#plain(value, true);
    else if (ArrayBuffer.isView(value)) this.#binaryView(value);
    else this.#branded(value, brandOf(value));
  }

  #branded(value: object, brand: Brand): void {
    if (brand === 'plain') this.#plain(value, false);
    else if (brand === 'map') this.#map(value as Map<unknown, unknown>);
    else if (brand === 'set') this.#set(value as Set<unknown>);
    else if (brand === 'date') this.#date(value as Date);
    else if (brand === 'regexp') this.#regexp(value as RegExp);
    else if (brand === 'error') this.#error(value as Error);
    else if (brand === 'boxed') this.#boxed(value);
    else if (brand === 'buffer') this.#buffer(value as ArrayBuffer);
    else this.#foreign(value);
  }

  /** It travels where this route knows how. */
  #foreign(value: object): void {
    const departure = this.#route.departureOf?.(value);
    if (departure === undefined) throw this.#refuse(value);
    this.#depart(departure);
  }

  /** Whether the value is in the message already; notes it if not. */
  #isReference(value: object): boolean {
    const count = this.#objectCount;
    let number: number | undefined;
    if (this.#allObjects !== undefined) {
      number = this.#allObjects.get(value);
      if (number === undefined) this.#allObjects.set(value, count);
    } else {
      for (let i = 0; i < count; i++) {
        if (this.#firstObjects[i] === value) {
          number = i;
          break;
        }
      }
      if (number === undefined) {
        if (count < FEW_OBJECTS) this.#firstObjects[count] = value;
        else {
          const all = new Map<object, number>();
          for (let i = 0; i < count; i++) all.set(this.#firstObjects[i] as object, i);
          all.set(value, count);
          this.#allObjects = all;
        }
      }
    }
    if (number === undefined) {
      this.#objectCount = count + 1;
      return false;
    }
    this.#bytes[0] = HEADER | HAS_REFERENCES;
    this.#tag(Tag.reference);
    this.#size(number);
    return true;
  }

  #prototypeOf(value: object): unknown {
    try {
      return getPrototypeOf(value);
    } catch (error) {
      throw this.#refusal('is a proxy that refuses to be looked at', 'send what it stands for', error);
    }
  }

  #enter(): void {
    if (++this.#depth < MAX_DEPTH) return;
    this.#depth--;
    throw this.#refusal(`is nested ${MAX_DEPTH} levels deep`, 'send long chains as arrays');
  }

  /** @param isBare - for-in shows own keys and no others */
  #plain(value: object, isBare: boolean): void {
    this.#enter();
    const shapes = this.#shapes;
    let shape: Shape | undefined = shapes.root;
    let keys: string[] | undefined;
    if (isBare) {
      for (const key in value) {
        const next: Shape | undefined = shape.next;
        shape = next !== undefined && next.key === key ? next : shapes.step(shape, key);
        if (shape === undefined) break;
      }
    } else {
      keys = this.#keysOf(value);
      for (let i = 0; i < keys.length && shape !== undefined; i++) shape = shapes.step(shape, keys[i]);
    }
    const block: Uint8Array | undefined = shape === undefined ? undefined : shapes.block(shape);
    if (shape === undefined || block === undefined) {
      this.#tag(Tag.dictionary);
      this.#properties(value, keys ?? this.#keysOf(value));
    } else {
      this.#block(block);
      if (isBare) this.#bareValues(value, shape.keys);
      else this.#values(value, shape.keys);
    }
    this.#depth--;
  }

  #keysOf(value: object): string[] {
    try {
      return keysOf(value);
    } catch (error) {
      throw this.#refusal('is a proxy that refuses to be looked at', 'send what it stands for', error);
    }
  }

  #block(block: Uint8Array): void {
    const { length } = block;
    this.#reserve(length);
    const bytes = this.#bytes;
    const at = this.#at;
    if (length <= 64) for (let i = 0; i < length; i++) bytes[at + i] = block[i];
    else bytes.set(block, at);
    this.#at = at + length;
  }

  // A loop over the keys with the object at hand is the quickest way to its values. Getters may delete keys meanwhile.
  #bareValues(value: object, keys: readonly string[]): void {
    let i = 0;
    for (const key in value) {
      const property = (value as Readonly<Record<string, unknown>>)[key];
      if (key !== keys[i]) {
        const found = keys.indexOf(key, i);
        if (found < 0) continue;
        for (; i < found; i++) this.#tag(Tag.absent);
      }
      i++;
      this.#value(property, key);
    }
    for (; i < keys.length; i++) this.#tag(Tag.absent);
  }

  #values(value: object, keys: readonly string[]): void {
    for (const key of keys) {
      if (hasOwn(value, key)) this.#value((value as Readonly<Record<string, unknown>>)[key], key);
      else this.#tag(Tag.absent);
    }
  }

  #properties(value: object, keys: readonly string[]): void {
    this.#reserve(ROOM);
    this.#size(keys.length);
    for (const key of keys) {
      this.#string(key);
      if (hasOwn(value, key)) this.#value((value as Readonly<Record<string, unknown>>)[key], key);
      else this.#tag(Tag.absent);
    }
  }

  #array(value: readonly unknown[]): void {
    this.#enter();
    this.#tag(Tag.array);
    const tagAt = this.#at - 1;
    const { length } = value;
    this.#size(length);
    let present = length;
    for (let i = 0; i < length; i++) {
      const element = value[i];
      if (element === undefined && !hasOwn(value, i)) {
        const end = endOfHoles(value, i, length);
        this.#tag(Tag.holes);
        this.#size(end - i);
        present -= end - i;
        i = end - 1;
      } else this.#value(element, i);
    }
    // The quickest way to see whether there are properties besides: it makes no strings of the indices.
    if (Object.values(value).length !== present) {
      const keys = this.#keysOf(value).filter((key) => !isIndex(key));
      if (keys.length > 0) {
        this.#bytes[tagAt] = Tag.arrayWithProperties;
        this.#properties(value, keys);
      }
    }
    this.#depth--;
  }

  // Entries that are added meanwhile, by a getter, do not travel; fewer are announced as what they are.
  #map(value: Map<unknown, unknown>): void {
    this.#enter();
    this.#maps[this.#depth] = value;
    const sizeAt = this.#count(Tag.map);
    const size = mapSize.call(value);
    let count = 0;
    for (const [key, item] of mapEntries.call(value)) {
      if (count === size) break;
      this.#value(key, MAP_KEY + count);
      this.#value(item, MAP_VALUE + count);
      count++;
    }
    this.#view.setUint32(sizeAt, count, true);
    this.#maps[this.#depth] = undefined;
    this.#depth--;
  }

  #set(value: Set<unknown>): void {
    this.#enter();
    const sizeAt = this.#count(Tag.set);
    const size = setSize.call(value);
    let count = 0;
    for (const item of setValues.call(value)) {
      if (count === size) break;
      this.#value(item, SET_MEMBER + count);
      count++;
    }
    this.#view.setUint32(sizeAt, count, true);
    this.#depth--;
  }

  /** Leaves room for a number of entries that is known at the end. */
  #count(tag: number): number {
    this.#tag(tag);
    this.#bytes[this.#at] = SIZE_32;
    this.#at += 5;
    return this.#at - 4;
  }

  #error(value: Error): void {
    this.#enter();
    const kind = errorClassOf(value);
    this.#tag(Tag.error);
    this.#bytes[this.#at++] = kind;
    const fieldsAt = this.#at++;
    let fields = 0;
    for (let i = 0; i < ERROR_FIELDS.length; i++) {
      const field = ERROR_FIELDS[i];
      if (isEnumerable.call(value, field)) continue; // It goes with the others like it.
      const content = (value as unknown as Readonly<Record<string, unknown>>)[field];
      if (!hasOwn(value, field)) {
        // Names and messages may stand in a class.
        if (i > 1 || typeof content !== 'string') continue;
        if (content === (kind === DOM_EXCEPTION ? '' : (nameless(kind) as unknown as Record<string, unknown>)[field]))
          continue;
      }
      if (field === 'stack' && typeof content !== 'string') continue;
      fields |= 1 << i;
      this.#value(content, field);
    }
    this.#bytes[fieldsAt] = fields;
    this.#properties(value, this.#keysOf(value));
    this.#depth--;
  }

  #date(value: Date): void {
    this.#tag(Tag.date);
    this.#view.setFloat64(this.#at, timeOf.call(value), true);
    this.#at += 8;
  }

  #regexp(value: RegExp): void {
    this.#tag(Tag.regexp);
    this.#string(value.source);
    this.#string(value.flags);
  }

  #boxed(value: object): void {
    this.#tag(Tag.boxed);
    this.#value(value.valueOf(), '');
  }

  #traveller(value: Traveller): void {
    this.#depart(value[travels](this.#route));
  }

  #depart(departure: Departure): void {
    this.#departures ??= [];
    this.#departures.push(departure);
    this.#tag(Tag.traveller);
    this.#string(departure.kind);
    this.#enter();
    this.#value(departure.data, 'data');
    this.#depth--;
  }

  // ---- binary values

  #buffer(value: ArrayBuffer): void {
    let bytes: Uint8Array;
    try {
      bytes = new Uint8Array(value);
    } catch (error) {
      throw this.#refusal('is an ArrayBuffer that was transferred away', 'send it before, or a copy', error);
    }
    this.#binary(ARRAY_BUFFER, bytes);
  }

  #binaryView(value: ArrayBufferView): void {
    const name = viewName.call(value);
    const { buffer } = value;
    let bytes: Uint8Array;
    try {
      bytes = new Uint8Array(buffer, value.byteOffset, value.byteLength); // A DataView of nothing throws, too.
    } catch (error) {
      throw this.#refusal('is a view of an ArrayBuffer that was transferred away', 'send it before, or a copy', error);
    }
    const isBuffer = name === 'Uint8Array' && globalThis.Buffer?.isBuffer(value);
    const kind = isBuffer ? BUFFER : name === undefined ? DATA_VIEW : binaryClassOf.get(name);
    if (kind === undefined) throw this.#refusal(`is a ${name}`, 'send its bytes');
    this.#binary(kind, bytes);
  }

  #binary(kind: number, bytes: Uint8Array): void {
    const { length } = bytes;
    const isPiece = length >= PIECE_BYTE_LENGTH;
    this.#tag(isPiece ? Tag.alignedBinary : Tag.binary);
    this.#bytes[this.#at++] = kind;
    this.#size(length);
    if (!isPiece) {
      this.#reserve(length);
      this.#bytes.set(bytes, this.#at);
      this.#at += length;
      return;
    }
    while (((this.#at + this.#pieceBytes) & 7) !== 0) this.#bytes[this.#at++] = 0; // Within ROOM.
    this.#pieces ??= [];
    this.#pieces.push({ at: this.#at, from: this.#at + this.#pieceBytes, bytes, byteLength: bytes.length });
    this.#pieceBytes += length;
  }

  // A getter may have transferred or shrunk what was only pointed at.
  #checkPieces(pieces: readonly Piece[]): void {
    let byteLength = 0;
    for (const { bytes } of pieces) byteLength += bytes.length;
    if (byteLength === this.#pieceBytes) return;
    throw unserialisable('an ArrayBuffer in the value was transferred or resized by a getter while it was encoded');
  }

  // ---- what does not travel

  #refusal(what: string, wayOut: string, cause?: unknown): Error {
    const path = pathOf(this.#path.slice(1, this.#depth + 1), this.#maps.slice(1));
    return unserialisable(`${path} ${what}: ${wayOut}`, cause);
  }

  #refuse(value: object): Error {
    const name = toStringOf.call(value).slice('[object '.length, -1);
    if (name === 'SharedArrayBuffer') {
      return this.#refusal('is a SharedArrayBuffer', 'post it to a thread, or use SharedMemory between processes');
    }
    if (name === 'Promise') return this.#refusal('is a Promise', 'await it first');
    if (name === 'AbortSignal') {
      return this.#refusal('is an AbortSignal', 'it travels in the arguments of remote calls only');
    }
    return this.#refusal(`is a ${name}`, 'it has no meaning in another process');
  }
}

function isPolluted(): boolean {
  for (const _ in ObjectPrototype) return true;
  return false;
}

/** What the object is inside: what it calls itself is only a hint, and classes may extend the built-in ones. */
function brandOf(value: object): Brand {
  const tag = toStringOf.call(value);
  if (tag === '[object Object]') return 'plain';
  let brand = BRANDS[tag];
  if (brand === undefined) {
    const known = CLASSES.find(([Class]) => value instanceof (Class as typeof Object));
    if (known === undefined) return 'plain';
    brand = known[1];
  }
  return isReally(brand, value) ? brand : 'plain';
}

function isReally(brand: Brand, value: object): boolean {
  try {
    if (brand === 'map') mapSize.call(value);
    else if (brand === 'set') setSize.call(value);
    else if (brand === 'date') timeOf.call(value);
    else if (brand === 'buffer') bufferByteLength.call(value);
    else if (brand === 'regexp') regexpSource.call(value);
    else if (brand === 'boxed') return typeof (value as { valueOf(): unknown }).valueOf() !== 'object';
    return true;
  } catch {
    return false;
  }
}

function errorClassOf(value: Error): number {
  if (typeof DOMException === 'function' && value instanceof DOMException) return DOM_EXCEPTION;
  if (value instanceof AggregateError) return AGGREGATE_ERROR;
  for (let i = 1; i < AGGREGATE_ERROR; i++) if (value instanceof ERROR_CLASSES[i]) return i;
  if (value instanceof Error) return 0;
  // Of another realm.
  const { name } = value;
  if (name === 'AggregateError') return AGGREGATE_ERROR;
  return Math.max(
    0,
    ERROR_CLASSES.findIndex((Class) => Class.name === name),
  );
}

const nameless = (kind: number): Error => (kind === AGGREGATE_ERROR ? AggregateError : ERROR_CLASSES[kind]).prototype;

function isIndex(key: string): boolean {
  const index = Number(key) >>> 0;
  return String(index) === key && index !== 0xffffffff;
}

/** The first index after `from` that is there, or the length. */
function endOfHoles(value: readonly unknown[], from: number, length: number): number {
  const limit = Math.min(length, from + MANY_HOLES);
  let end = from + 1;
  while (end < limit && !hasOwn(value, end)) end++;
  if (end < limit || end === length) return end;
  // Indices come first in the list of keys, in order.
  const keys = keysOf(value);
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const key = keys[middle];
    if (isIndex(key) && Number(key) < end) low = middle + 1;
    else high = middle;
  }
  return low < keys.length && isIndex(keys[low]) ? Number(keys[low]) : length;
}
