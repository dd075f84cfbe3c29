// The generations of a barrier: how parties arrive, and how a generation is completed, broken or reset. Atomics are
// sequentially consistent. Twin of what recovery needs: native/include/ringway/barrier.hpp. Model: model/barrier.pml.
//
// A generation is what passes the barrier together. The state word is its number, and whether it is broken:
//
//     open(g) --CAS--> open(g + 1)     completed, by the last party, which has run its action
//     open(g) --CAS--> broken(g)       by whoever gives up, aborts or resets it, or finds a party dead
//     broken(g) --CAS--> open(g + 1)   by reset()
//
// So that exactly one of them decides how a generation ends, and nobody has to leave before the next one begins: a party
// that comes back late, since it was stopped, still finds out how its own ended.
//
//   A "a party is here"      arrive()  arrivals[index], compare-exchange  ->  arrive(), checkPeer()  arrivals, load
//     The word names generation and participant at once: the arrival is one step, and with it, it is known who would have
//     to be found dead. Words are taken in order, so those of a generation are a prefix, whose length is the count of the
//     parties: there is no second count that could be behind. What another generation left counts as free. (20 bits of the
//     number stand there: a word deceives a generation that comes 2^20 later if all in between broke before they got to it.)
//   B "a generation ended"   release(), breakOpen(), reset(), breakBarrierOf()  state, compare-exchange
//                        ->  outcomeOf(), hasMoved()  state, load
//     What any party did before it arrived is seen by all after they were released: A, then B.
//   C "no wake-up is lost"   whoever does B, then notify()
//                        ->  hasMoved()  looks at the state between prepare() and the sleep: event_count.hpp, A
//     One that is killed between the two leaves sleepers behind, so nobody sleeps for longer than a SleepLimit gives.
//   D "it had been broken"   reset()  broken[g mod 32], compare-exchange, before B  ->  outcomeOf()  after B
//     A resetter that was stopped writes nothing any more when g is over: the word has changed, since nobody gets past g
//     without having written it.

import { BrokenBarrierError, CorruptSegmentError } from '../errors.js';
import { BarrierHeader, Constants, EventCountWords } from '../layout.js';
import { notify, prepareSleep } from '../memory/event-count.js';
import { participantPid, type Segment } from '../memory/segment.js';
import { WAIT_MODES, type WaitMode, waitModeOf } from '../wait/adaptive-spin.js';
import { NOT_YET, type NotYet } from '../wait/condition.js';

/** What broke a generation. */
export const Cause = {
  timeout: Constants.brokeTimeout,
  signal: Constants.brokeSignal,
  abort: Constants.brokeAbort,
  reset: Constants.brokeReset,
  action: Constants.brokeAction,
  died: Constants.brokeDied,
  closed: Constants.brokeClosed,
} as const;
export type Cause = (typeof Cause)[keyof typeof Cause];

const CAUSES: Readonly<Record<number, string>> = {
  [Cause.timeout]: 'gave up at its timeout',
  [Cause.signal]: 'gave up at a signal',
  [Cause.abort]: 'called abort()',
  [Cause.reset]: 'called reset() while others waited',
  [Cause.action]: 'ran an action that failed',
  [Cause.died]: 'died while it waited',
  [Cause.closed]: 'closed the barrier while it waited',
};

const BLAME_CAUSE_MASK = (1 << Constants.blamePidShift) - 1;
const BLAME_PID_MASK = ((1 << Constants.blameGenerationShift) - 1) & ~BLAME_CAUSE_MASK;
const GENERATION_MASK = 2 ** 31 - 1;
const ID_MASK = (1 << Constants.arrivalIdBits) - 1;

/** Writes the header of a new barrier into zeroed memory. */
export function formatBarrier({ bodyOffset, words }: Segment, parties: number, mode: WaitMode): void {
  words[(bodyOffset + BarrierHeader.parties) >> 2] = parties;
  words[(bodyOffset + BarrierHeader.wait) >> 2] = WAIT_MODES[mode];
  words[(bodyOffset + BarrierHeader.state) >> 2] = openAt(Constants.firstGeneration);
}

/** Bytes of a barrier's body. */
export function barrierByteLength(parties: number): number {
  return BarrierHeader.arrivals + 4 * parties;
}

/** A party's place: the generation in which it has arrived, and after how many others. */
export interface Place {
  readonly generation: number;
  readonly index: number;
}

export class Generations {
  readonly segment: Segment;
  readonly mode: WaitMode;
  readonly parties: number;
  /** Offset of the state word. */
  readonly state: number;
  /** Offset of the sequence word to sleep on. */
  readonly sequence: number;
  readonly #words: Int32Array;
  readonly #state: number;
  readonly #blame: number;
  readonly #broken: number;
  readonly #arrivals: number;
  readonly #ended: number;
  readonly #me: number;

  /**
   * Checks the body of a segment.
   * @throws {CorruptSegmentError} naming the field that does not fit
   */
  constructor(segment: Segment, mode?: WaitMode) {
    const { bodyOffset, words } = segment;
    const refuse = (why: string): never => {
      throw new CorruptSegmentError(`${segment.label} contradicts itself: ${why}`);
    };
    const bodyByteLength = segment.byteLength - bodyOffset;
    if (bodyByteLength < BarrierHeader.arrivals) refuse(`${segment.byteLength} bytes hold no barrier`);
    const parties = words[(bodyOffset + BarrierHeader.parties) >> 2] >>> 0;
    const wait = words[(bodyOffset + BarrierHeader.wait) >> 2] >>> 0;
    if (parties < 1 || parties > Constants.maxParties) refuse(`it is for ${parties} parties`);
    if (bodyByteLength < barrierByteLength(parties))
      refuse(`${segment.byteLength} bytes do not hold ${parties} parties`);
    const created = waitModeOf(wait);
    if (created === undefined) refuse(`wait is ${wait}`);
    this.segment = segment;
    this.mode = mode ?? (created as WaitMode);
    this.parties = parties;
    this.state = bodyOffset + BarrierHeader.state;
    this.#ended = bodyOffset + BarrierHeader.ended;
    this.sequence = this.#ended + EventCountWords.sequence;
    this.#words = words;
    this.#state = this.state >> 2;
    this.#blame = (bodyOffset + BarrierHeader.blame) >> 2;
    this.#broken = (bodyOffset + BarrierHeader.broken) >> 2;
    this.#arrivals = (bodyOffset + BarrierHeader.arrivals) >> 2;
    this.#me = segment.participantId;
  }

  /** The state word: of the generation at hand, and odd while that is broken. */
  look(): number {
    return Atomics.load(this.#words, this.#state); // B.
  }

  get broken(): boolean {
    return isBrokenAt(this.look());
  }

  /** How many have arrived in the generation at hand; of a broken one nobody waits. */
  get waiting(): number {
    for (;;) {
      const state = this.look();
      const count = isBrokenAt(state) ? 0 : this.#countAt(generationAt(state));
      if (this.look() === state) return count;
    }
  }

  /**
   * Arrives in the generation at hand. Lock-free: another's arrival is the only reason to try again. A process that dies
   * inside the call has arrived or has not, and if it has, others will find it dead.
   * @returns where, or undefined while all parties are there and the last one has not released them yet
   * @throws {BrokenBarrierError} if it is broken
   */
  arrive(): Place | undefined {
    for (;;) {
      const state = this.look();
      const generation = generationAt(state);
      if (isBrokenAt(state)) throw this.#brokenError(generation);
      const index = this.#countAt(generation);
      if (index === this.parties) return undefined;
      const found = Atomics.load(this.#words, this.#arrivals + index); // A.
      // Only while the generation is at hand do we know that the word is none of a later one.
      if (isOf(found, generation) || this.look() !== state) continue; // B.
      const arrival = arrivalOf(this.#me, generation);
      // A. If the generation was broken and reset since we looked, this leaves a word of the past, which nobody counts.
      if (Atomics.compareExchange(this.#words, this.#arrivals + index, found, arrival) === found) {
        return { generation, index };
      }
    }
  }

  /**
   * How the generation ended. Wait-free.
   * @returns whether it was completed; NOT_YET while it is open
   * @throws {BrokenBarrierError} if it was broken
   */
  outcomeOf(generation: number): true | NotYet {
    const state = this.look(); // B.
    if (state === openAt(generation)) return NOT_YET;
    if (generationAt(state) !== generation) {
      const broken = Atomics.load(this.#words, this.#brokenIndexOf(generation)); // D.
      // Only the last one of each residue is known. If it came after ours, we were stopped meanwhile, and nobody knows.
      const isKnown = isBrokenAt(broken); // Fresh memory is not.
      if (!isKnown || distance(generation, generationAt(broken)) >= distance(generation, generationAt(state)))
        return true;
    }
    throw this.#brokenError(generation);
  }

  /**
   * Ends the generation: all its parties pass. For the last one, once. Lock-free; a system call if somebody sleeps.
   * @throws {BrokenBarrierError} if it was broken meanwhile
   */
  release(generation: number): void {
    const state = openAt(generation);
    // B: after what the action did.
    if (Atomics.compareExchange(this.#words, this.#state, state, (state + 2) | 0) === state) {
      notify(this.segment, this.#ended); // C.
      return;
    }
    this.outcomeOf(generation);
  }

  /** Breaks the generation for all its parties, if it is open still. Whether it was. Lock-free, as release(). */
  breakOpen(generation: number, cause: Cause): boolean {
    const state = openAt(generation);
    if (this.look() !== state) return false;
    const blame = cause | (participantPid(this.segment, this.#me) << Constants.blamePidShift);
    // Published by B. For people: of two that break it at once, the later one may be named.
    this.#words[this.#blame] = blame | (generation << Constants.blameGenerationShift);
    if (Atomics.compareExchange(this.#words, this.#state, state, state + 1) !== state) return false; // B.
    notify(this.segment, this.#ended); // C.
    return true;
  }

  /** Breaks whichever generation is at hand. */
  abort(): void {
    for (;;) {
      const state = this.look();
      if (isBrokenAt(state) || this.breakOpen(generationAt(state), Cause.abort)) return;
    }
  }

  /**
   * Begins a new generation, unless nobody has arrived in the one at hand; who has is told that it is broken. If a process
   * dies inside the call, the barrier is broken, or as it was, or new.
   */
  reset(): void {
    const generation = generationAt(this.look());
    for (;;) {
      const state = this.look();
      // Another one was quicker, or all have passed: that is as good.
      if (generationAt(state) !== generation) return;
      if (!isBrokenAt(state)) {
        if (this.#countAt(generation) === 0) return;
        this.breakOpen(generation, Cause.reset);
        continue;
      }
      const index = this.#brokenIndexOf(generation);
      const before = Atomics.load(this.#words, index);
      if (this.look() !== state) return;
      Atomics.compareExchange(this.#words, index, before, state); // D.
      Atomics.compareExchange(this.#words, this.#state, state, (state + 1) | 0); // B.
      return;
    }
  }

  /** This handle is about to close: others do not wait for it. */
  leave(): void {
    const state = this.look();
    if (isBrokenAt(state)) return;
    const generation = generationAt(state);
    if (this.#isHere(this.#me, generation)) this.breakOpen(generation, Cause.closed);
  }

  /** Asks the kernel whether the other parties of the generation live, and has it broken if one is dead. */
  checkParties(generation: number): void {
    if (!this.segment.judgesDeath) return;
    const count = this.#countAt(generation);
    let last = this.#me;
    for (let index = 0; index < count; index++) {
      const arrival = Atomics.load(this.#words, this.#arrivals + index); // A.
      if (!isOf(arrival, generation)) return;
      const id = arrival & ID_MASK;
      if (id === last || id === this.#me) continue;
      last = id;
      if (!this.segment.alive(id)) this.segment.settle(id);
    }
  }

  /** The sequence to sleep on. */
  prepare(): number {
    return prepareSleep(this.#words, this.#ended); // C.
  }

  // How many have arrived: the words of a generation are a prefix, which only grows while it is at hand. Of one that is
  // over any number.
  #countAt(generation: number): number {
    let least = 0;
    let most = this.parties;
    while (least < most) {
      const middle = (least + most) >> 1;
      if (isOf(Atomics.load(this.#words, this.#arrivals + middle), generation))
        least = middle + 1; // A.
      else most = middle;
    }
    return least;
  }

  #isHere(id: number, generation: number): boolean {
    const arrival = arrivalOf(id, generation);
    for (let index = 0; index < this.parties; index++) {
      if (Atomics.load(this.#words, this.#arrivals + index) === arrival) return true; // A.
    }
    return false;
  }

  #brokenIndexOf(generation: number): number {
    return this.#broken + (generation & (Constants.brokenRemembered - 1));
  }

  #brokenError(generation: number): BrokenBarrierError {
    const blame = this.#words[this.#blame];
    const cause = CAUSES[blame & BLAME_CAUSE_MASK];
    const pid = (blame & BLAME_PID_MASK) >>> Constants.blamePidShift;
    const isItsOwn = (blame ^ (generation << Constants.blameGenerationShift)) >>> Constants.blameGenerationShift === 0;
    const why = isItsOwn && cause !== undefined ? `process ${pid} ${cause}` : 'one of those that waited did not go on';
    return new BrokenBarrierError(`${this.segment.label} is broken: ${why}; reset() makes it usable again`);
  }
}

function openAt(generation: number): number {
  return generation << 1;
}

function isBrokenAt(state: number): boolean {
  return (state & 1) === 1;
}

function generationAt(state: number): number {
  return state >>> 1;
}

// How many generations `to` comes after `from`.
function distance(from: number, to: number): number {
  return (to - from) & GENERATION_MASK;
}

function arrivalOf(id: number, generation: number): number {
  return (generation << Constants.arrivalIdBits) | id;
}

function isOf(arrival: number, generation: number): boolean {
  return (arrival ^ (generation << Constants.arrivalIdBits)) >>> Constants.arrivalIdBits === 0;
}
