// The memory that a record lies in, as the typed arrays through which its fields are read and written.

/**
 * Views are made when the memory changes, not for each record: an end of a ring always has the same memory, but for
 * RINGWAY_DEBUG=views, where each record is a private copy.
 */
export class RecordMemory {
  /** Where the record starts in the views, in bytes, a multiple of 8; -1: there is none. */
  at = -1;
  buffer!: ArrayBufferLike;
  uint8!: Uint8Array;
  int8!: Int8Array;
  int16!: Int16Array;
  uint16!: Uint16Array;
  int32!: Int32Array;
  uint32!: Uint32Array;
  int64!: BigInt64Array;
  uint64!: BigUint64Array;
  float32!: Float32Array;
  float64!: Float64Array;
  #memory: Uint8Array | undefined;
  #start = 0; // Of the memory in its buffer.

  /** @param byteOffset - where the record starts in `memory`; a multiple of 8, as seen from the buffer's start */
  moveTo(memory: Uint8Array, byteOffset: number): void {
    // By identity: asking a typed array for its buffer is a call into the engine.
    if (memory !== this.#memory) this.#view(memory);
    this.at = this.#start + byteOffset;
  }

  /** The record is not ours to touch any more. */
  leave(): void {
    this.at = -1;
  }

  /** Sets `byteLength` bytes of the record, a multiple of 8, to 0. */
  clear(byteLength: number): void {
    const { at, float64 } = this;
    // Below this a loop of stores is quicker than the call.
    if (byteLength > 256) {
      this.uint8.fill(0, at, at + byteLength);
      return;
    }
    const end = (at + byteLength) >> 3;
    for (let i = at >> 3; i < end; i++) float64[i] = 0;
  }

  #view(memory: Uint8Array): void {
    const { buffer, byteOffset } = memory;
    this.#memory = memory;
    this.#start = byteOffset;
    if (buffer === this.buffer) return;
    const { byteLength } = buffer;
    this.buffer = buffer;
    this.uint8 = new Uint8Array(buffer);
    this.int8 = new Int8Array(buffer);
    this.int16 = new Int16Array(buffer, 0, byteLength >> 1);
    this.uint16 = new Uint16Array(buffer, 0, byteLength >> 1);
    this.int32 = new Int32Array(buffer, 0, byteLength >> 2);
    this.uint32 = new Uint32Array(buffer, 0, byteLength >> 2);
    this.int64 = new BigInt64Array(buffer, 0, byteLength >> 3);
    this.uint64 = new BigUint64Array(buffer, 0, byteLength >> 3);
    this.float32 = new Float32Array(buffer, 0, byteLength >> 2);
    this.float64 = new Float64Array(buffer, 0, byteLength >> 3);
  }
}
