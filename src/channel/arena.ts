// Room for messages that do not fit into a slot: the end of a queue's segment, in blocks. Each slot has a word that says
// which blocks its message has, if it has any; free is what no slot that is in use names. No list of free blocks is stored, so
// a death leaves nothing to repair: the slot of whoever died is settled as any other, and its blocks go with it. A bit for each
// slot says which words are worth a look.
//
// An extent is announced, then checked against all others, by whoever writes in the slot:
//
//   A "no two have the same block"   take()  bit, word = proposal;  load the bits, words and slots' states of all others
//     Store, then loads, all sequentially consistent: of two who announce blocks in common, at least one sees the other.
//     Whoever sees that the other has them for good, or proposes them for a lower slot, withdraws. Whoever sees a proposal
//     for a higher slot waits a moment for that one to withdraw, and withdraws if it does not, for it may be stopped. So a
//     proposal that was kept overlaps none that was kept.
//   B "the blocks are free"   clear()  word = 0, bit, before the slot's state is FREE  ->  the loads of take()
//     Who read or wrote the bytes is done with them. The state of a slot with a message is WRITING then, also after reading:
//     if we die in between, the message does not come again. If a slot is FREE at any moment after our announcement, whatever
//     is announced for it later is announced by one who finds ours.
//
// A word that a dead one left in a slot that is FREE counts for nothing. Whoever claims the slot clears it first. A bit
// without a word does no harm.
// docs/QUEUE.md has the whole argument, model/arena.pml checks it.

import { CorruptSegmentError } from '../errors.js';
import { Constants, QueueHeader } from '../layout.js';
import type { Segment } from '../memory/segment.js';
import type { MpmcSlots } from '../ring/mpmc-slots.js';

/** How often to look whether a proposal is withdrawn: some ten microseconds. */
const LOOKS = 1000;
/** Memory is taken from the system in steps of at least that. */
const RESERVE_BYTE_LENGTH = 2 ** 18;

// A word: bit 0, it is for good; 16 bits, how many blocks; 15 bits, the first one.
const KEPT = 1;
const wordOf = (start: number, blocks: number) => (start << 17) | (blocks << 1);
const startOf = (word: number) => word >>> 17;
const blocksOf = (word: number) => (word >>> 1) & 0xffff;

const lowestBit = (bits: number) => 31 - Math.clz32(bits & -bits);

/** Of the words and bits of so many slots. */
export function extentsByteLength(slots: number): number {
  return 4 * (slots + Math.ceil(slots / 32));
}

export class Arena {
  /** In bytes. */
  readonly byteLength: number;
  readonly #segment: Segment;
  readonly #slots: MpmcSlots;
  readonly #words: Int32Array;
  readonly #count: number; // Slots that can have an extent.
  readonly #extents: number; // The first slot's word.
  readonly #bits: number; // The word of the first 32 slots' bits.
  readonly #reserved: number;
  readonly #blocks: number;
  readonly #blockByteLength: number;
  readonly #offset: number; // From the segment's start, in bytes.
  readonly #found: Uint32Array; // Of the last look: extents in use, then sorted by where they start.
  #seen = -1; // Where mayHold() saw room.
  #next = 0; // The block behind the one that this handle took last.

  /**
   * Checks the header's part that concerns it.
   * @param header - where the queue's header is, in bytes from the segment's start
   * @throws {CorruptSegmentError} naming the field that does not fit
   */
  constructor(slots: MpmcSlots, header: number, count: number) {
    const { segment } = slots;
    const { words } = segment;
    const refuse = (why: string): never => {
      throw new CorruptSegmentError(`${segment.label} contradicts itself: ${why}`);
    };
    const blocks = words[(header + QueueHeader.blocks) >> 2] >>> 0;
    const blockByteLength = words[(header + QueueHeader.blockByteLength) >> 2] >>> 0;
    if (blocks === 0 || blocks > Constants.maxArenaBlocks) refuse(`its arena has ${blocks} blocks`);
    if (blockByteLength < 64 || (blockByteLength & (blockByteLength - 1)) !== 0) {
      refuse(`the blocks of its arena have ${blockByteLength} bytes`);
    }
    this.byteLength = blocks * blockByteLength;
    this.#offset = segment.byteLength - this.byteLength;
    if (this.#offset < header + QueueHeader.extents + extentsByteLength(slots.shape.slots)) {
      refuse(`an arena of ${this.byteLength} bytes in ${segment.byteLength}`);
    }
    this.#segment = segment;
    this.#slots = slots;
    this.#words = words;
    this.#count = count;
    this.#extents = (header + QueueHeader.extents) >> 2;
    this.#bits = this.#extents + slots.shape.slots;
    this.#reserved = (header + QueueHeader.reserved) >> 2;
    this.#blocks = blocks;
    this.#blockByteLength = blockByteLength;
    this.#found = new Uint32Array(count);
  }

  /** Whether there is room for so many bytes now. */
  mayHold(byteLength: number): boolean {
    this.#seen = this.#find(this.#blocksFor(byteLength), -1);
    return this.#seen >= 0;
  }

  /**
   * Takes room for a message, by whoever writes in the slot, after mayHold() of as many bytes. Lock-free: it goes round again only if another one announced
   * blocks meanwhile.
   * @returns where it is, in bytes from the segment's start, or -1: there is none
   * @throws {RingwayError} `ENOSPC` if the system has no memory for it
   */
  take(slot: number, byteLength: number): number {
    const blocks = this.#blocksFor(byteLength);
    const at = this.#extents + slot;
    for (let start = this.#seen; start >= 0; start = this.#find(blocks, slot)) {
      const proposal = wordOf(start, blocks);
      Atomics.or(this.#words, this.#bits + (slot >>> 5), 1 << (slot & 31)); // A.
      Atomics.store(this.#words, at, proposal); // A.
      if (this.#mayKeep(slot, start, start + blocks)) {
        Atomics.store(this.#words, at, proposal | KEPT); // A.
        this.#next = start + blocks;
        this.#reserve((start + blocks) * this.#blockByteLength);
        return this.#offset + start * this.#blockByteLength;
      }
      this.clear(slot); // A: withdrawn.
      this.#slots.tellOfRoom(); // Somebody may have found no room because of it.
    }
    return -1;
  }

  /** Whether the message in a slot that was taken is in the arena. */
  has(slot: number): boolean {
    return this.#words[this.#extents + slot] !== 0;
  }

  /**
   * Where a message is whose slot is ours, in bytes from the segment's start.
   * @throws {CorruptSegmentError} if it cannot be there
   */
  offsetOf(slot: number, byteLength: number): number {
    const word = this.#words[this.#extents + slot];
    const start = startOf(word) * this.#blockByteLength;
    const room = blocksOf(word) * this.#blockByteLength;
    // Behind what is reserved there is no memory, and to touch it could be the end of the process.
    if (byteLength <= room && start + byteLength <= this.#words[this.#reserved] >>> 0) return this.#offset + start;
    throw new CorruptSegmentError(
      `${this.#segment.label} contradicts itself: slot ${slot} has ${byteLength} bytes in ${room} of its arena, at ${start}`,
    );
  }

  /** By the slot's writer, before anything else with it, and before it is freed: MpmcSlots.finish(). */
  clear(slot: number): void {
    const at = this.#extents + slot;
    if (this.#words[at] === 0) return;
    Atomics.store(this.#words, at, 0); // B.
    Atomics.and(this.#words, this.#bits + (slot >>> 5), ~(1 << (slot & 31))); // B.
  }

  #blocksFor(byteLength: number): number {
    return Math.ceil(byteLength / this.#blockByteLength);
  }

  // The first of so many free blocks: behind what we took last, which is likely to be free, if that is in memory that is there
  // already and somebody has something; or else the first ones there are. -1: nowhere.
  #find(blocks: number, exceptSlot: number): number {
    const next = this.#next + blocks <= this.#blocks ? this.#next : 0;
    let used = 0;
    let nextIsFree = (next + blocks) * this.#blockByteLength <= this.#words[this.#reserved] >>> 0;
    for (let first = 0; first < this.#count; first += 32) {
      let bits = Atomics.load(this.#words, this.#bits + (first >>> 5)); // B.
      for (; bits !== 0; bits &= bits - 1) {
        const slot = first + lowestBit(bits);
        const word = Atomics.load(this.#words, this.#extents + slot); // B.
        if (word === 0 || slot === exceptSlot || this.#slots.isFree(slot)) continue;
        this.#found[used++] = word;
        if (startOf(word) < next + blocks && next < startOf(word) + blocksOf(word)) nextIsFree = false;
      }
    }
    if (nextIsFree && used > 0) return next;
    let free = 0;
    for (const word of this.#found.subarray(0, used).sort()) {
      if (startOf(word) - free >= blocks) return free;
      free = Math.max(free, startOf(word) + blocksOf(word));
    }
    return this.#blocks - free >= blocks ? free : -1;
  }

  // Whether nobody else has, or is about to have, one of the blocks from `start` to `end` that we have announced.
  #mayKeep(slot: number, start: number, end: number): boolean {
    for (let first = 0; first < this.#count; first += 32) {
      let bits = Atomics.load(this.#words, this.#bits + (first >>> 5)); // A, B.
      for (; bits !== 0; bits &= bits - 1) {
        const other = first + lowestBit(bits);
        if (other !== slot && !this.#isOurs(slot, start, end, other)) return false;
      }
    }
    return true;
  }

  // Whether another slot has no claim to them, or gives it up.
  #isOurs(slot: number, start: number, end: number, other: number): boolean {
    for (let look = 0; look < LOOKS; look++) {
      const word = Atomics.load(this.#words, this.#extents + other); // A, B.
      if (word === 0 || startOf(word) >= end || start >= startOf(word) + blocksOf(word)) return true;
      if (this.#slots.isFree(other)) return true;
      if ((word & KEPT) !== 0 || other < slot) return false;
    }
    return false;
  }

  // Memory for the first `byteLength` bytes of the arena. The word follows the memory, so who finds it in the word has it.
  #reserve(byteLength: number): void {
    for (;;) {
      const reserved = Atomics.load(this.#words, this.#reserved) >>> 0;
      if (byteLength <= reserved) return;
      let end = Math.min(Math.max(byteLength, reserved + RESERVE_BYTE_LENGTH), this.byteLength);
      try {
        this.#segment.reserve(this.#offset + reserved, end - reserved);
      } catch (error) {
        if ((error as { code?: string }).code !== 'ENOSPC' || end === byteLength) throw error;
        end = byteLength; // No more than we need, then.
        this.#segment.reserve(this.#offset + reserved, end - reserved);
      }
      Atomics.compareExchange(this.#words, this.#reserved, reserved | 0, end | 0); // Who was quicker has reserved as well.
    }
  }
}
