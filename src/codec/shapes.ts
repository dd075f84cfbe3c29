// Keys of objects are written and read as one block. Most objects that go through a codec have few different lists of
// keys: the encoder finds the block of a list that it has seen, and the decoder the list of a block, in caches of
// bounded size. A block is in each message that needs it, so every message stands for itself.

import { MAX_BLOCK_BYTE_LENGTH, MAX_BLOCK_KEYS, MAX_SHORT_LATIN1, Tag } from './format.js';
import { readLatin1, writeLatin1 } from './text.js';

/** A list of keys as far as it was read: where a walk through the keys of an object has come. */
export class Shape {
  /** The one that the last walk from here went to: most go the same way again. */
  next: Shape | undefined;
  /** All keys, in order. */
  readonly keys: readonly string[];
  /** What a message has before the values: tag, hash, length, the block. Undefined until an object has ended here. */
  block: Uint8Array | undefined;
  #others: Map<string, Shape> | undefined;

  constructor(
    /** The last of the keys. */
    readonly key: string,
    before: readonly string[],
  ) {
    this.keys = before;
  }

  find(key: string): Shape | undefined {
    const found = this.#others?.get(key);
    if (found !== undefined) this.next = found;
    return found;
  }

  add(key: string): Shape {
    const shape = new Shape(key, [...this.keys, key]);
    this.#others ??= new Map();
    this.#others.set(key, shape);
    this.next = shape;
    return shape;
  }
}

/** How many shapes an encoder remembers, prefixes of others included. */
const MAX_SHAPES = 4096;
/** What a new shape costs, in objects of known ones: programs that use objects as dictionaries soon make no more. */
const SHAPE_PRICE = 16;

export class Shapes {
  #root = new Shape('', []);
  #count = 0;
  #budget = MAX_SHAPES * SHAPE_PRICE;

  get root(): Shape {
    return this.#root;
  }

  /** The shape after `shape` with that key, or undefined if it is not worth one. */
  step(shape: Shape, key: string): Shape | undefined {
    const found = shape.find(key);
    if (found !== undefined) return found;
    if (this.#budget < SHAPE_PRICE || shape.keys.length === MAX_BLOCK_KEYS || key.length > MAX_SHORT_LATIN1) {
      return undefined;
    }
    this.#budget -= SHAPE_PRICE;
    if (this.#count === MAX_SHAPES) {
      this.#count = 0;
      this.#root = new Shape('', []); // Walks that are under way end in the old ones.
    }
    this.#count++;
    return shape.add(key);
  }

  /** The block of a shape in which an object ends; undefined if its keys have no block. */
  block(shape: Shape): Uint8Array | undefined {
    if (this.#budget < MAX_SHAPES * SHAPE_PRICE) this.#budget++;
    shape.block ??= makeBlock(shape.keys);
    return shape.block;
  }
}

/** Tag, hash and length. */
export const BLOCK_HEADER_BYTE_LENGTH = 5;

function makeBlock(keys: readonly string[]): Uint8Array | undefined {
  const bytes = new Uint8Array(BLOCK_HEADER_BYTE_LENGTH + MAX_BLOCK_BYTE_LENGTH + MAX_SHORT_LATIN1 + 1);
  let end = BLOCK_HEADER_BYTE_LENGTH;
  for (const key of keys) {
    bytes[end++] = key.length;
    if (!writeLatin1(bytes, end, key)) return undefined;
    end += key.length;
    if (end > BLOCK_HEADER_BYTE_LENGTH + MAX_BLOCK_BYTE_LENGTH) return undefined;
  }
  const hash = hashOf(bytes, BLOCK_HEADER_BYTE_LENGTH, end);
  const byteLength = end - BLOCK_HEADER_BYTE_LENGTH;
  bytes[0] = Tag.object;
  bytes[1] = hash;
  bytes[2] = hash >> 8;
  bytes[3] = byteLength;
  bytes[4] = byteLength >> 8;
  return bytes.slice(0, end);
}

/** FNV-1a, folded. It only chooses a place in the decoder's cache. */
function hashOf(bytes: Uint8Array, from: number, to: number): number {
  let hash = 0x811c9dc5;
  for (let i = from; i < to; i++) hash = Math.imul(hash ^ bytes[i], 0x01000193);
  return (hash ^ (hash >>> 16)) & 0xffff;
}

/** The keys of a block, as a decoder keeps them. */
export interface KeyList {
  readonly keys: readonly string[];
  /**
   * Assigning one of the keys would reach Object.prototype, as with `__proto__`: they are defined instead. Empty if
   * none would.
   */
  readonly inherited: ReadonlySet<string>;
  readonly block: Uint8Array;
}

const PLACES = 512;
const NONE: ReadonlySet<string> = new Set();

/** At most PLACES lists, whatever peers send. */
export class KeyLists {
  readonly #places: (KeyList | undefined)[] = new Array(PLACES).fill(undefined);

  /**
   * @param hash - as the message has it; a wrong one costs time only
   * @returns undefined if the bytes are no block. They are read again, so a peer that changes them meanwhile gets keys
   *   that nobody sent, and no more.
   */
  read(memory: Uint8Array, byteOffset: number, byteLength: number, hash: number): KeyList | undefined {
    const place = hash % PLACES;
    const known = this.#places[place];
    if (known !== undefined && isSame(known.block, memory, byteOffset, byteLength)) return known;
    // Everything after this is of the copy.
    const block = memory.slice(byteOffset, byteOffset + byteLength);
    const keys = readKeys(block);
    if (keys === undefined) return undefined;
    const inherited = keys.filter((key) => key in Object.prototype);
    const list = { keys, inherited: inherited.length === 0 ? NONE : new Set(inherited), block };
    this.#places[place] = list;
    return list;
  }
}

function isSame(block: Uint8Array, memory: Uint8Array, byteOffset: number, byteLength: number): boolean {
  if (block.length !== byteLength) return false;
  for (let i = 0; i < byteLength; i++) if (block[i] !== memory[byteOffset + i]) return false;
  return true;
}

function readKeys(block: Uint8Array): string[] | undefined {
  const keys: string[] = [];
  for (let at = 0; at < block.length; ) {
    const length = block[at];
    if (length > MAX_SHORT_LATIN1 || at + 1 + length > block.length || keys.length === MAX_BLOCK_KEYS) return undefined;
    keys.push(asKey(readLatin1(block, at + 1, length)));
    at += 1 + length;
  }
  return keys;
}

/** The same string as the engine keeps it for property names: it need not look it up then. */
const asKey = (text: string): string => Object.keys({ [text]: 0 })[0];
