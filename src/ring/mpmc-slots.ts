// The many-to-many ring's protocol, without its waits; twin of native/include/ringway/mpmc_slots.hpp, which has the
// states, the steps (S1, Q1) and the argument. Recovery (S7 to S9) is there alone: between threads, nobody is judged dead.
// Atomics are sequentially consistent, as much as any step needs. A call of one costs as much as ten plain accesses, so what
// is only a guess is loaded without, and hints are moved in steps: each handle remembers how far it has come itself.

import { CorruptSegmentError } from '../errors.js';
import { Constants, EventCountWords, MpmcHeader, MpmcSlot, ParticipantCounters } from '../layout.js';
import { notify } from '../memory/event-count.js';
import type { Segment } from '../memory/segment.js';
import { WAIT_MODES, type WaitMode, waitModeOf } from '../wait/adaptive-spin.js';

const { slotFree, slotWriting, slotReady, slotReading, slotAgainBit, slotOwnerShift, slotOwnerMask, slotVersionUnit } =
  Constants;
/** How many positions a hint is moved by at a time, a power of two: so far it lags, and a newcomer walks. */
const HINT_STEP = 8;
const PHASE_MASK = 3;
const VERSION_MASK = -slotVersionUnit;

export interface MpmcShape {
  slots: number;
  slotByteLength: number;
  alignment: 8 | 64;
  wait: WaitMode;
}

function payloadOffsetFor(alignment: number): number {
  return alignment === 64 ? 64 : MpmcSlot.payload;
}

function strideFor(slotByteLength: number, payloadOffset: number): number {
  return Math.ceil((payloadOffset + slotByteLength) / 64) * 64;
}

function slotsOffsetFor(maxParticipants: number): number {
  return MpmcHeader.counters + maxParticipants * ParticipantCounters.next;
}

export function mpmcByteLength({ slots, slotByteLength, alignment }: MpmcShape, maxParticipants: number): number {
  return slotsOffsetFor(maxParticipants) + slots * strideFor(slotByteLength, payloadOffsetFor(alignment));
}

/** Writes the header of an empty ring into zeroed memory. */
export function formatMpmc(segment: Segment, { slots, slotByteLength, alignment, wait }: MpmcShape): void {
  const put = (offset: number, value: number) => {
    segment.words[(segment.bodyOffset + offset) >> 2] = value;
  };
  const payloadOffset = payloadOffsetFor(alignment);
  put(MpmcHeader.slots, slots);
  put(MpmcHeader.slotByteLength, slotByteLength);
  put(MpmcHeader.payloadOffset, payloadOffset);
  put(MpmcHeader.stride, strideFor(slotByteLength, payloadOffset));
  put(MpmcHeader.slotsOffset, slotsOffsetFor(segment.maxParticipants));
  put(MpmcHeader.wait, WAIT_MODES[wait]);
}

/** Takes slots from `first` on away from an empty ring: they are being written by nobody, whom no recovery settles. */
export function withholdSlots(segment: Segment, { slots, slotByteLength, alignment }: MpmcShape, first: number): void {
  const start = segment.bodyOffset + slotsOffsetFor(segment.maxParticipants);
  const stride = strideFor(slotByteLength, payloadOffsetFor(alignment));
  for (let slot = first; slot < slots; slot++) {
    segment.words[(start + slot * stride + MpmcSlot.state) >> 2] = slotWriting;
  }
}

/** Who holds the slots at one moment. */
export interface Census {
  /** Slots that are not free. */
  used: number;
  /** Slots with a message in them, queued or being read. */
  messages: number;
  /** Nobody holds anything and nothing is queued. */
  quiet: boolean;
  /** Something may still be queued without anybody's death or nack: it is being written, or is there. */
  pending: boolean;
  /** Another participant reads a message, which may come again. */
  lent: boolean;
  /** This participant reads a message. */
  lentHere: boolean;
  /** Participants, other than this one, that are named. */
  owners: Set<number>;
}

export class MpmcSlots {
  readonly segment: Segment;
  readonly shape: MpmcShape;
  /** Offsets from the segment's start, in bytes. */
  readonly filled: number;
  readonly quiet: number;
  readonly freed: number;
  readonly ended: number;
  readonly counters: number;
  readonly #words: Int32Array;
  readonly #count: number;
  #usable: number; // Slots that were not withheld: the first ones.
  readonly #indexMask: number;
  readonly #lapMask: number;
  readonly #maxSteps: number;
  readonly #first: number; // The first slot, as an index of a word; so is the stride.
  readonly #stride: number;
  readonly #payload: number; // From a slot's start, in bytes.
  readonly #tailIndex: number;
  readonly #headIndex: number;
  readonly #filledIndex: number;
  readonly #quietIndex: number;
  readonly #freedIndex: number;
  readonly #owner: number; // Our id in the place where a state has it.
  // Our own hints: all positions before #tail were queued, all before #head were emptied. Like the shared ones they lag.
  #tail: number;
  #head: number;
  #claimed: number; // Where the slot after the last one that we claimed is likely to be queued.

  /**
   * Checks the body of a segment; what is fixed is copied, since a peer may scribble over it at any time.
   * @throws {CorruptSegmentError} naming the field that does not fit
   */
  constructor(segment: Segment) {
    const { words, bodyOffset, maxParticipants } = segment;
    const refuse = (why: string): never => {
      throw new CorruptSegmentError(`${segment.label} contradicts itself: ${why}`);
    };
    if (segment.byteLength - bodyOffset < MpmcHeader.counters) refuse(`${segment.byteLength} bytes hold no ring`);
    const field = (offset: number) => words[(bodyOffset + offset) >> 2] >>> 0;
    const slots = field(MpmcHeader.slots);
    const slotByteLength = field(MpmcHeader.slotByteLength);
    const payloadOffset = field(MpmcHeader.payloadOffset);
    const stride = field(MpmcHeader.stride);
    const slotsOffset = field(MpmcHeader.slotsOffset);
    const wait = field(MpmcHeader.wait);
    if (maxParticipants > Constants.maxMpmcParticipants) refuse(`maxParticipants is ${maxParticipants}`);
    if (slots < Constants.minMpmcSlots || slots > Constants.maxMpmcSlots || (slots & (slots - 1)) !== 0) {
      refuse(`slots is ${slots}`);
    }
    if (slotByteLength === 0 || slotByteLength > Constants.maxSlotByteLength) {
      refuse(`slotByteLength is ${slotByteLength}`);
    }
    if (payloadOffset !== MpmcSlot.payload && payloadOffset !== 64) refuse(`payloadOffset is ${payloadOffset}`);
    if (stride !== strideFor(slotByteLength, payloadOffset)) refuse(`stride is ${stride}`);
    if (slotsOffset !== slotsOffsetFor(maxParticipants)) refuse(`slotsOffset is ${slotsOffset}`);
    if (segment.byteLength - bodyOffset < slotsOffset + slots * stride) {
      refuse(`${slots} slots of ${stride} bytes in ${segment.byteLength}`);
    }
    const mode = waitModeOf(wait);
    if (mode === undefined) refuse(`wait is ${wait}`);
    this.segment = segment;
    this.shape = { slots, slotByteLength, alignment: payloadOffset === 64 ? 64 : 8, wait: mode as WaitMode };
    this.filled = bodyOffset + MpmcHeader.filled;
    this.quiet = bodyOffset + MpmcHeader.quiet;
    this.freed = bodyOffset + MpmcHeader.freed;
    this.ended = bodyOffset + MpmcHeader.ended;
    this.counters = bodyOffset + MpmcHeader.counters + segment.participantId * ParticipantCounters.next;
    this.#words = words;
    this.#count = slots;
    this.#usable = slots;
    this.#indexMask = slots - 1;
    this.#lapMask = -2 * slots;
    this.#maxSteps = 8 * slots + 10_000;
    this.#first = (bodyOffset + slotsOffset) >> 2;
    this.#stride = stride >> 2;
    this.#payload = payloadOffset;
    this.#tailIndex = (bodyOffset + MpmcHeader.tail) >> 2;
    this.#headIndex = (bodyOffset + MpmcHeader.head) >> 2;
    this.#filledIndex = (this.filled + EventCountWords.asleep) >> 2;
    this.#quietIndex = (this.quiet + EventCountWords.asleep) >> 2;
    this.#freedIndex = (this.freed + EventCountWords.asleep) >> 2;
    this.#owner = (segment.participantId + 1) << slotOwnerShift;
    this.#tail = words[this.#tailIndex];
    this.#head = words[this.#headIndex];
    this.#claimed = this.#tail;
  }

  /** Slots from `usable` on were withheld when the ring was made. */
  limit(usable: number): void {
    this.#usable = usable;
  }

  /** Where a slot's payload starts, in bytes from the segment's start. */
  payloadOf(slot: number): number {
    return ((this.#first + slot * this.#stride) << 2) + this.#payload;
  }

  /**
   * The length of a message that was taken.
   * @throws {CorruptSegmentError} if it cannot be
   */
  byteLengthOf(slot: number): number {
    const byteLength = this.#words[this.#first + slot * this.#stride + (MpmcSlot.byteLength >> 2)] >>> 0;
    if (byteLength > this.shape.slotByteLength) throw this.#corrupt(`slot ${slot} holds ${byteLength} bytes`);
    return byteLength;
  }

  /** How often a message that was taken has been handed out, this time included. At least 2 if it came again. */
  deliveriesOf(slot: number): number {
    const at = this.#first + slot * this.#stride;
    const again = (this.#words[at] & slotAgainBit) !== 0;
    return Math.max(this.#words[at + (MpmcSlot.deliveries >> 2)] >>> 0, again ? 2 : 1);
  }

  /** S1. A slot to write a message in, or -1 if none is free. */
  claim(): number {
    const words = this.#words;
    const tail = this.#start(this.#tail, this.#tailIndex);
    // A guess: slots come free in about the order of the queue, and we may have claimed some that are not queued yet.
    const start = (this.#claimed - tail) >>> 0 < this.#count ? this.#claimed : tail;
    for (let i = 0; i < this.#count; i++) {
      const slot = (start + i) & this.#indexMask;
      const at = this.#first + slot * this.#stride;
      const found = words[at]; // A guess too: the compare-exchange decides.
      if ((found & PHASE_MASK) !== slotFree) {
        if (i === 0 && this.#everySlotIsQueued(tail)) return -1;
        continue;
      }
      const mine = (found & VERSION_MASK) | this.#owner | slotWriting;
      if (Atomics.compareExchange(words, at, found, mine) !== found) continue; // A.
      words[at + (MpmcSlot.deliveries >> 2)] = 0; // Ours now.
      this.#claimed = (start + i + 1) | 0;
      return slot;
    }
    return -1;
  }

  /** S2, S5. By its owner: the slot is free. */
  free(slot: number): void {
    const at = this.#first + slot * this.#stride;
    Atomics.store(this.#words, at, (this.#words[at] & VERSION_MASK) + slotVersionUnit); // A.
  }

  /**
   * By the owner of a message that was taken: it is done, but the slot not free yet. If we die, it is given back as that of a
   * writer (S7), and the message does not come again.
   */
  finish(slot: number): void {
    const at = this.#first + slot * this.#stride;
    Atomics.store(this.#words, at, (this.#words[at] & VERSION_MASK) | this.#owner | slotWriting); // A.
  }

  /** S3, Q1. By its owner: the message is whole and queued. */
  commit(slot: number, byteLength: number): void {
    const at = this.#first + slot * this.#stride;
    this.#words[at + (MpmcSlot.byteLength >> 2)] = byteLength;
    Atomics.store(this.#words, at, (this.#words[at] & VERSION_MASK) | this.#owner | slotReady); // A.
    this.#queue(slot);
  }

  /** S6. By its owner: the message goes to the end of the queue, marked. */
  nack(slot: number): void {
    const at = this.#first + slot * this.#stride;
    Atomics.add(this.#words, (this.segment.bodyOffset + MpmcHeader.redelivered) >> 2, 1); // For people only.
    Atomics.store(this.#words, at, (this.#words[at] & VERSION_MASK) | slotAgainBit | this.#owner | slotReady); // A.
    this.#queue(slot);
  }

  /**
   * Q3, S4. Takes the message at the head of the queue.
   * @returns its slot, or -1 if nothing is queued
   */
  take(): number {
    const words = this.#words;
    let position = this.#start(this.#head, this.#headIndex);
    for (let step = 0; step < this.#maxSteps; step++) {
      const cell = this.#cellOf(position);
      let word = words[cell]; // A guess, if it names a slot: it is loaded again after the state.
      if ((word & 1) === 0 || this.#lapsAhead(word, position) !== 0) {
        word = Atomics.load(words, cell); // B.
        const ahead = this.#lapsAhead(word, position);
        if (ahead !== 0) {
          position = this.#past(this.#headIndex, position, ahead);
          continue;
        }
        if ((word & 1) === 0) {
          this.#head = position;
          return -1;
        }
      }
      const slot = (word & ~this.#lapMask) >>> 1;
      const at = this.#first + slot * this.#stride;
      const found = Atomics.load(words, at); // A.
      if ((found & PHASE_MASK) === slotReady) {
        // B. Somebody was quicker, if it differs; what the state says is of this message, and not of a later one, if not.
        if (Atomics.load(words, cell) !== word) continue;
        const mine = (found & (VERSION_MASK | slotAgainBit)) | this.#owner | slotReading;
        if (Atomics.compareExchange(words, at, found, mine) !== found) continue; // A.
        this.#head = this.#empty(cell, word, position);
        words[at + (MpmcSlot.deliveries >> 2)]++; // Ours now.
        return slot;
      }
      position = this.#empty(cell, word, position); // Q4, for whoever took it and is slow.
    }
    throw this.#corrupt(`the head of its queue is ${position >>> 0}`);
  }

  /** Where the next message will be announced, in bytes: the word changes when it is. */
  get nextCell(): number {
    return this.#cellOf(this.#start(this.#head, this.#headIndex)) << 2;
  }

  /** Where the slot has its state, in bytes, that is likely the first to come free: the word changes when it does. */
  get oldestState(): number {
    return (this.#first + (this.#start(this.#tail, this.#tailIndex) & this.#indexMask) * this.#stride) << 2;
  }

  /** Whether take() would find a message now, or has to go on before it can tell. */
  mayTake(): boolean {
    const position = this.#start(this.#head, this.#headIndex);
    const word = Atomics.load(this.#words, this.#cellOf(position)); // B; and A of event_count.hpp, before a sleep.
    return this.#lapsAhead(word, position) !== 0 || (word & 1) !== 0;
  }

  /** Whether a slot is free, for producers before they sleep. As claim() sees it, so that nobody retries for nothing. */
  mayClaim(): boolean {
    if (this.#everySlotIsQueued(this.#start(this.#tail, this.#tailIndex))) return false;
    for (let slot = 0; slot < this.#usable; slot++) {
      const state = Atomics.load(this.#words, this.#first + slot * this.#stride); // event_count.hpp, A.
      if ((state & PHASE_MASK) === slotFree) return true;
    }
    return false;
  }

  /** Whether nobody has the slot. */
  isFree(slot: number): boolean {
    return (Atomics.load(this.#words, this.#first + slot * this.#stride) & PHASE_MASK) === slotFree; // A.
  }

  /** Where the next message will be queued: a position that grows with every message, and with every one that comes again. */
  get tail(): number {
    let tail = this.#start(this.#tail, this.#tailIndex);
    for (let step = 0; step < this.#maxSteps; step++) {
      if (!this.#isFilled(Atomics.load(this.#words, this.#cellOf(tail)), tail)) {
        this.#tail = tail; // B.
        return tail;
      }
      tail = (tail + 1) | 0;
    }
    throw this.#corrupt(`the tail of its queue is ${tail >>> 0}`);
  }

  /** Messages that wait to be taken. */
  get queued(): number {
    const { tail } = this;
    let head = this.#start(this.#head, this.#headIndex);
    for (let step = 0; step < this.#maxSteps && head !== tail; step++) {
      if (this.#lapsAhead(Atomics.load(this.#words, this.#cellOf(head)), head) <= 0) break;
      head = (head + 1) | 0; // B: it was emptied.
    }
    this.#head = head;
    return Math.min((tail - head) >>> 0, this.#usable);
  }

  /** Whether the slot is free that is likely the first to come free: a cheap look while spinning. */
  oldestIsFree(): boolean {
    return (Atomics.load(this.#words, this.oldestState >> 2) & PHASE_MASK) === slotFree; // A.
  }

  census(): Census {
    const me = this.segment.participantId;
    const owners = new Set<number>();
    const found: Census = { used: 0, messages: 0, quiet: true, pending: false, lent: false, lentHere: false, owners };
    for (let slot = 0; slot < this.#usable; slot++) {
      const state = Atomics.load(this.#words, this.#first + slot * this.#stride); // event_count.hpp, A.
      const phase = state & PHASE_MASK;
      if (phase === slotFree) continue;
      found.quiet = false;
      found.used++;
      if (phase !== slotWriting) found.messages++;
      const owner = ((state >>> slotOwnerShift) & slotOwnerMask) - 1;
      if (phase !== slotReading) found.pending = true;
      else if (owner === me) found.lentHere = true;
      else found.lent = true;
      if (owner >= 0 && owner !== me) owners.add(owner);
    }
    return found;
  }

  /** The stream was ended, or what kept it from being over has gone. */
  tellOfEnd(): void {
    for (const eventCount of [this.filled, this.quiet, this.freed]) notify(this.segment, eventCount);
  }

  /** After S1, before S3: whoever sleeps without a limit learns that something is being written. */
  tellOfClaim(): void {
    if (Atomics.load(this.#words, this.#quietIndex) !== 0) notify(this.segment, this.quiet); // event_count.hpp, A.
  }

  /** After Q1. */
  tellOfMessage(): void {
    if (Atomics.load(this.#words, this.#filledIndex) !== 0) notify(this.segment, this.filled); // event_count.hpp, A.
  }

  /** After S2, S5. */
  tellOfRoom(): void {
    if (Atomics.load(this.#words, this.#freedIndex) !== 0) notify(this.segment, this.freed); // event_count.hpp, A.
  }

  // Spares those who push into a full ring a look at every slot, and those who work on them the loss of their cache lines.
  // If the position as many before the one that is to be filled next as there are slots is not emptied, all cells from
  // there on name slots, each another one. Queueing goes on from where this has looked.
  #everySlotIsQueued(from: number): boolean {
    let tail = from;
    let word = Atomics.load(this.#words, this.#cellOf(tail)); // B.
    for (let step = 0; step < 2 * HINT_STEP && this.#isFilled(word, tail); step++) {
      tail = (tail + 1) | 0;
      word = Atomics.load(this.#words, this.#cellOf(tail)); // B.
    }
    this.#tail = tail;
    const oldest = (tail - this.#usable) | 0;
    word = Atomics.load(this.#words, this.#cellOf(oldest)); // B.
    return this.#lapsAhead(word, oldest) === 0 && (word & 1) !== 0;
  }

  // The word of the cell that a position belongs to.
  #cellOf(position: number): number {
    const at = this.#first + (position & this.#indexMask) * this.#stride + (MpmcSlot.order >> 2);
    return (position & this.#count) === 0 ? at : at + 1;
  }

  // How far a cell is ahead of a position that it belongs to: 0 if it stands for that position still.
  #lapsAhead(word: number, position: number): number {
    return ((word & this.#lapMask) - (position & this.#lapMask)) | 0;
  }

  #isFilled(word: number, position: number): boolean {
    const ahead = this.#lapsAhead(word, position);
    return ahead > 0 || (ahead === 0 && (word & 1) !== 0);
  }

  // Q1. Puts a READY slot at the end of the queue.
  #queue(slot: number): void {
    const words = this.#words;
    let position = this.#start(this.#tail, this.#tailIndex);
    for (let step = 0; step < this.#maxSteps; step++) {
      const cell = this.#cellOf(position);
      const empty = position & this.#lapMask;
      // A guess: the compare-exchange decides.
      if (words[cell] === empty) {
        words[this.#first + slot * this.#stride + (MpmcSlot.position >> 2)] = position; // Before the cell: S9.
        if (Atomics.compareExchange(words, cell, empty, empty | (slot << 1) | 1) === empty) {
          this.#tail = this.#next(this.#tailIndex, position); // B.
          return;
        }
      }
      const word = Atomics.load(words, cell);
      if (word === empty) continue; // It came free since the guess.
      position = this.#past(this.#tailIndex, position, this.#isFilled(word, position) ? 1 : -1);
    }
    throw this.#corrupt(`the tail of its queue is ${position >>> 0}`);
  }

  // Q4, Q5. The position after it.
  #empty(cell: number, word: number, position: number): number {
    Atomics.compareExchange(this.#words, cell, word, ((position & this.#lapMask) + 2 * this.#count) | 0);
    return this.#next(this.#headIndex, position);
  }

  // Q2, Q5. The position after one that was filled, or emptied; whoever comes past the end of a step moves the hint there.
  #next(hint: number, position: number): number {
    const next = (position + 1) | 0;
    if ((next & (HINT_STEP - 1)) === 0) {
      const lagging = Atomics.load(this.#words, hint);
      if (((next - lagging) | 0) > 0) Atomics.compareExchange(this.#words, hint, lagging, next);
    }
    return next;
  }

  // How far this handle has come, if it is less than a step ahead of the hint; else the hint, which is newer, or the memory
  // is so old that numbers may have wrapped since. A guess: what the cell there holds decides.
  #start(own: number, hint: number): number {
    const shared = this.#words[hint];
    return (own - shared) >>> 0 < HINT_STEP ? own : shared;
  }

  // Where to look after a cell that does not stand for its position any more.
  #past(hint: number, position: number, ahead: number): number {
    const next = ahead > 0 ? this.#next(hint, position) : position;
    const now = Atomics.load(this.#words, hint);
    return ((now - next) | 0) > 0 ? now : next;
  }

  #corrupt(why: string): CorruptSegmentError {
    return new CorruptSegmentError(`${this.segment.label} contradicts itself: ${why}`);
  }
}
