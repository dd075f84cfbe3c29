// Who owns a lock: how it is taken, released and waited for, and how a dead owner is replaced. Atomics are sequentially
// consistent. The states of the owner word, and the settling of a death, are in native/include/ringway/lock.hpp.
//
//   A "the lock is free"      release(), abandon()  owner, compare-exchange  ->  tryTake()  owner, compare-exchange
//     Who takes the lock sees all that its last owner did. The word names the owner from the moment of taking until the
//     moment of release, so a death at any step leaves it free, or found to be the dead one's.
//   B "no wake-up is lost"    release(), abandon()  change owner, then notify()
//                         ->  hasMoved()  looks at owner and turn between prepare() and the sleep: event_count.hpp, A
//     All are woken, since one alone may be stopped or killed before it acts. A process that is killed between releasing
//     and notify() leaves sleepers behind, so nobody sleeps for longer than a SleepLimit gives.
//
// Who comes first among those that wait is in turn.ts.

import { CorruptSegmentError, OwnerDiedError } from '../errors.js';
import { Constants, LockHeader } from '../layout.js';
import { notify, prepareSleep } from '../memory/event-count.js';
import { participantPid, type Segment } from '../memory/segment.js';
import { WAIT_MODES, type WaitMode, waitModeOf } from '../wait/adaptive-spin.js';
import type { Condition } from '../wait/condition.js';
import { type Place, Turn } from './turn.js';

const FREE = 0;
const OWNER_DIED = Constants.lockOwnerDied;

/** How an attempt to take the lock went. */
export const Taken = {
  /** It was not. */
  no: 0,
  /** Its last owner released it, or it never had one. */
  released: 1,
  /** Its last owner died, or closed its handle, without releasing it. */
  abandoned: 2,
} as const;
export type Taken = (typeof Taken)[keyof typeof Taken];

/** Writes the header of a new lock into zeroed memory, at the body's start unless told otherwise. */
export function formatOwnership(segment: Segment, mode: WaitMode, offset = segment.bodyOffset): void {
  segment.words[(offset + LockHeader.wait) >> 2] = WAIT_MODES[mode];
}

// The participants of this thread's open handles, as `identity/participant`: a Sync wait for one of them cannot end.
const ofThisThread = new Set<string>();

/** In comesFreeAtOnce(): about a microsecond. */
const LOOKS = 64;

/** One participant's view of a lock. */
export class Ownership implements Condition {
  readonly segment: Segment;
  readonly mode: WaitMode;
  readonly turn: Turn;
  readonly sequence: number;
  readonly watched: number;
  readonly role: number;
  readonly counters = -1;
  readonly #words: Int32Array;
  readonly #owner: number;
  readonly #diedPid: number;
  readonly #released: number;
  readonly #me: number;
  // Of the last attempt, by which a sleeper knows whether it may go on.
  #place: Place | undefined;

  /** Whether the segment is something else's, which has the lock beside its own data. */
  readonly inside: boolean;

  /**
   * Checks the header of a lock.
   * @param offset - where it starts, from the segment's start: where the body does, unless the lock is something else's
   * @throws {CorruptSegmentError} naming the field that does not fit
   */
  constructor(segment: Segment, mode?: WaitMode, offset = segment.bodyOffset) {
    const { words } = segment;
    const refuse = (why: string): never => {
      throw new CorruptSegmentError(`${segment.label} contradicts itself: ${why}`);
    };
    if (segment.byteLength - offset < LockHeader.end) refuse(`${segment.byteLength} bytes hold no lock`);
    const wait = words[(offset + LockHeader.wait) >> 2] >>> 0;
    const created = waitModeOf(wait);
    if (created === undefined) refuse(`wait is ${wait}`);
    this.segment = segment;
    this.inside = offset !== segment.bodyOffset;
    this.mode = mode ?? (created as WaitMode);
    this.watched = offset + LockHeader.owner;
    this.#words = words;
    this.#owner = this.watched >> 2;
    this.#diedPid = (offset + LockHeader.diedPid) >> 2;
    this.#released = offset + LockHeader.released;
    this.#me = segment.participantId + 1;
    const offsets = {
      turn: offset + LockHeader.turn,
      nextTicket: offset + LockHeader.nextTicket,
      released: this.#released,
    };
    this.turn = new Turn(segment, offsets, () => isFree(Atomics.load(words, this.#owner)));
    this.role = this.turn.word;
    this.sequence = this.turn.sequence;
    ofThisThread.add(`${segment.identity}/${this.#me}`);
  }

  /**
   * Whether somebody owns the lock; a dead one counts until its death was noticed.
   * @throws {CorruptSegmentError} if the word names nobody that can be
   */
  get owned(): boolean {
    const owner = Atomics.load(this.#words, this.#owner);
    if (isFree(owner)) return false;
    this.#checkOwner(owner);
    return true;
  }

  /** The pid of the last owner that did not release the lock, for people only. */
  get diedPid(): number {
    return this.#words[this.#diedPid] >>> 0; // Published by A.
  }

  /**
   * Takes the lock, if it is free and nobody comes first. Lock-free; a system call if the turn is another's. If a process
   * dies inside the call, it was the owner, or was not.
   * @param place - of an operation that waits; without one it comes behind any turn
   * @param heedMark - leave a lock that was abandoned as it is
   * @throws {OwnerDiedError} if it was abandoned, with `heedMark`
   */
  tryTake(place: Place | undefined, heedMark: boolean): Taken {
    this.#place = place;
    for (;;) {
      const owner = this.#words[this.#owner]; // A guess, which costs a tenth: the compare-exchange decides.
      if (!isFree(owner)) {
        this.#checkOwner(owner);
        if (place !== undefined) this.turn.claim(place);
        return Taken.no;
      }
      if (owner === OWNER_DIED && heedMark) {
        if (Atomics.load(this.#words, this.#owner) === OWNER_DIED) throw this.#ownerDied(); // A: with whose death it was.
        continue;
      }
      if (!this.turn.admits(place)) return Taken.no;
      if (Atomics.compareExchange(this.#words, this.#owner, owner, this.#me) !== owner) continue; // A.
      if (place !== undefined) this.turn.leave();
      return owner === FREE ? Taken.released : Taken.abandoned;
    }
  }

  /**
   * Releases the lock. Wait-free; a system call if somebody sleeps. If a process dies inside the call, the lock is
   * released, or abandoned, and sleepers notice within a second.
   * @throws {CorruptSegmentError} if somebody else has written the owner's word
   */
  release(): void {
    const found = Atomics.compareExchange(this.#words, this.#owner, this.#me, FREE); // A: after all that was done.
    if (found !== this.#me) {
      throw new CorruptSegmentError(
        `${this.segment.label} contradicts itself: its owner word was ${found >>> 0} instead of ${this.#me}`,
      );
    }
    notify(this.segment, this.#released); // B.
  }

  /** Leaves the lock free, with the mark that it was not released, if this participant owns it. Twin of abandonLock(). */
  abandon(): void {
    if (Atomics.load(this.#words, this.#owner) !== this.#me) return;
    this.#words[this.#diedPid] = participantPid(this.segment, this.segment.participantId); // Published by A.
    Atomics.compareExchange(this.#words, this.#owner, this.#me, OWNER_DIED); // A.
    notify(this.segment, this.#released); // B.
  }

  /** The segment is about to be closed. */
  close(): void {
    this.abandon();
    this.turn.leave();
    ofThisThread.delete(`${this.segment.identity}/${this.#me}`);
  }

  /** Watches for about as long as it takes to wait for it properly: whether it has come free. */
  comesFreeAtOnce(): boolean {
    for (let look = 0; look < LOOKS; look++) if (isFree(Atomics.load(this.#words, this.#owner))) return true;
    return false;
  }

  /** Asks the kernel whether the owner lives, and frees the lock, with the mark, if not. */
  checkOwnerLives(): void {
    const owner = Atomics.load(this.#words, this.#owner);
    if (isFree(owner) || owner === this.#me || !this.segment.judgesDeath) return;
    this.#checkOwner(owner);
    if (!this.segment.alive(owner - 1)) this.segment.settle(owner - 1);
  }

  #checkOwner(owner: number): void {
    if (owner > 0 && owner <= this.segment.maxParticipants) return;
    throw new CorruptSegmentError(
      `${this.segment.label} contradicts itself: its owner word is ${owner >>> 0}, of ${this.segment.maxParticipants} participants`,
    );
  }

  #ownerDied(): OwnerDiedError {
    const pid = this.diedPid;
    return new OwnerDiedError(`process ${pid} had ${this.segment.label} and did not release it`, pid);
  }

  // What a wait looks at: the owner is the watched word, and whoever has the turn is the peer.

  prepare(): number {
    return prepareSleep(this.#words, this.#released); // B.
  }

  hasMoved(owner: number): boolean {
    return isFree(owner) && this.turn.comesFirst(this.#place); // B.
  }

  peerGone(): undefined {}

  /** Always: the owner may die, and so may whoever is about to wake us. */
  peerHeld(): boolean {
    return true;
  }

  checkPeer(turn: number): void {
    this.checkOwnerLives();
    this.turn.check(turn);
  }

  /** Whether a handle of this thread owns the lock. */
  peerIsHere(): boolean {
    const owner = Atomics.load(this.#words, this.#owner);
    return !isFree(owner) && ofThisThread.has(`${this.segment.identity}/${owner}`);
  }

  /** Only close() of the same thread closes a handle, which cannot come while that thread is blocked. */
  checkOpen(): void {}
}

function isFree(owner: number): boolean {
  return owner === FREE || owner === OWNER_DIED;
}
