// Streams of records that two processes can make up independently of each other and compare byte by byte. Twin:
// native/test/stream.hpp, which explains them. Nothing here allocates per record but record().

const OFFSETS = 1 << 16;

/** The finaliser of MurmurHash3. */
export function mix(value: number): number {
  let h = value | 0;
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

export class Stream {
  readonly table: Buffer;
  /** Where in the table the record is that seek() found, and how long it is. */
  at = 0;
  byteLength = 0;
  #seed = 0;
  readonly #lengths: number;

  constructor(seed: number, maxByteLength: number) {
    this.reseed(seed);
    this.#lengths = maxByteLength + 1;
    this.table = Buffer.alloc(OFFSETS + maxByteLength);
    for (let i = 0; i < this.table.length; i++) this.table[i] = mix(i + 1) & 255;
  }

  reseed(seed: number): void {
    this.#seed = mix(seed);
  }

  /** Finds record `k`, counted from 0. */
  seek(k: number): void {
    const at = mix(this.#seed ^ k);
    this.at = at % OFFSETS;
    this.byteLength = mix((at + 0x9e3779b9) | 0) % this.#lengths;
  }

  record(k: number): Uint8Array {
    this.seek(k);
    return this.table.subarray(this.at, this.at + this.byteLength);
  }

  matches(k: number, memory: Uint8Array, byteOffset: number, byteLength: number): boolean {
    this.seek(k);
    const { at, table } = this;
    if (byteLength !== this.byteLength) return false;
    return table.compare(memory, byteOffset, byteOffset + byteLength, at, at + byteLength) === 0;
  }
}
