// What the two ends of an SPSC ring share: the checked fixed part of the ring, who holds which role, how to wait for the
// other end. Twin of SpscRing and SpscEnd in native/include/ringway/spsc_ring.hpp.

import { CorruptSegmentError, EndOfStreamError, PeerDiedError, RingwayError } from '../errors.js';
import { Constants, EndCounters, RecordHeader, SpscHeader } from '../layout.js';
import type { Ticket } from '../memory/flight.js';
import type { Segment } from '../memory/segment.js';
import { WAIT_MODES, type WaitMode, waitModeOf } from '../wait/adaptive-spin.js';
import { prepareToSleep } from './position.js';
import { RingEnd } from './ring-end.js';
import {
  checkHolder,
  diedPid,
  hasDied,
  isClosed,
  isHeld,
  leaveRole,
  loadRole,
  type Role,
  roleAt,
  takeRole,
  takeRoleFrom,
} from './role.js';

/** The fixed part of a ring, copied and checked once: a peer may scribble over the original at any time. */
export interface SpscLayout {
  readonly segment: Segment;
  readonly capacity: number;
  readonly alignment: 8 | 64;
  readonly mode: WaitMode;
  readonly maxRecordByteLength: number;
  /** Offsets from the segment's start, in bytes. */
  readonly data: number;
  readonly filled: number;
  readonly freed: number;
  readonly roleChanged: number;
  readonly producer: Role;
  readonly consumer: Role;
}

/**
 * Checks the body of a segment.
 * @throws {CorruptSegmentError} naming the field that does not fit
 */
export function bindSpsc(segment: Segment, mode?: WaitMode): SpscLayout {
  const { bodyOffset, words } = segment;
  const refuse = (why: string): never => {
    throw new CorruptSegmentError(`${segment.label} contradicts itself: ${why}`);
  };
  if (segment.byteLength - bodyOffset < SpscHeader.data) refuse(`${segment.byteLength} bytes hold no ring`);
  const field = (offset: number) => words[(bodyOffset + offset) >> 2] >>> 0;
  const capacity = field(SpscHeader.capacity);
  const alignment = field(SpscHeader.alignment);
  const dataOffset = field(SpscHeader.dataOffset);
  const wait = field(SpscHeader.wait);
  if (alignment !== 8 && alignment !== 64) refuse(`alignment is ${alignment}`);
  const inRange = capacity >= minCapacity(alignment) && capacity <= Constants.maxSpscCapacity;
  if (!inRange || (capacity & (capacity - 1)) !== 0) refuse(`capacity is ${capacity}`);
  if (dataOffset !== SpscHeader.data) refuse(`dataOffset is ${dataOffset}`);
  if (segment.byteLength - bodyOffset - dataOffset < capacity) {
    refuse(`a capacity of ${capacity} in ${segment.byteLength} bytes`);
  }
  const created = waitModeOf(wait);
  if (created === undefined) refuse(`wait is ${wait}`);
  const bells = [bodyOffset + SpscHeader.filled, bodyOffset + SpscHeader.freed];
  const roleChanged = bodyOffset + SpscHeader.roleChanged;
  return {
    segment,
    capacity,
    alignment: alignment as 8 | 64,
    mode: mode ?? (created as WaitMode),
    maxRecordByteLength: maxRecordByteLengthOf(capacity),
    data: bodyOffset + SpscHeader.data,
    filled: bodyOffset + SpscHeader.filled,
    freed: bodyOffset + SpscHeader.freed,
    roleChanged,
    producer: roleAt(segment, 'producer', bodyOffset + SpscHeader.producer, bells, roleChanged),
    consumer: roleAt(segment, 'consumer', bodyOffset + SpscHeader.consumer, bells, roleChanged),
  };
}

/** Half the capacity less a header: wherever the ends stand, it fits when the ring is empty. */
export function maxRecordByteLengthOf(capacity: number): number {
  return capacity / 2 - RecordHeader.payload;
}

/** The smallest ring that still has a third of its capacity for one record. */
export function minCapacity(alignment: number): number {
  return alignment === 64 ? 256 : Constants.minSpscCapacity;
}

/** Writes the header of an empty ring into zeroed memory. */
export function formatSpsc(segment: Segment, capacity: number, alignment: number, mode: WaitMode): void {
  const { bodyOffset, words } = segment;
  words[(bodyOffset + SpscHeader.capacity) >> 2] = capacity;
  words[(bodyOffset + SpscHeader.alignment) >> 2] = alignment;
  words[(bodyOffset + SpscHeader.dataOffset) >> 2] = SpscHeader.data;
  words[(bodyOffset + SpscHeader.wait) >> 2] = WAIT_MODES[mode];
}

/** Whoever gave a role away, and answers for it until it is taken. */
export interface Giver {
  readonly ticket: Ticket;
  /** For people. */
  readonly pid: number;
}

export interface EndWords {
  readonly mine: Role;
  readonly peer: Role;
  /** Offsets from the segment's start, in bytes: the position that the peer moves, and the bell it rings. */
  readonly watched: number;
  readonly bell: number;
  readonly counters: number;
  /** Who gave the role away in a message; otherwise it has to be free. */
  readonly from: Giver | undefined;
}

// The ends that this thread holds, by segment: the same end is handed out again, and a thread does not block for itself.
const openEnds = new Map<string, Map<string, WeakRef<SpscEnd>>>();

/** The end that this thread holds already. */
export function openEnd(role: Role): SpscEnd | undefined {
  const end = openEnds.get(role.segment.identity)?.get(role.name)?.deref();
  return end === undefined || end.closed || end.isLeaving ? undefined : end;
}

/** This attachment to the segment is gone, and its ends with it. */
export function forgetEnds(segment: Segment): void {
  const ends = openEnds.get(segment.identity);
  for (const [role, end] of ends ?? []) if ((end.deref()?.segment ?? segment) === segment) ends?.delete(role);
  if (ends?.size === 0) openEnds.delete(segment.identity);
}

/**
 * Makes an end, which takes its role; gives the role back if the ring turns out to be corrupt.
 * @throws {RoleTakenError} while another live participant holds the role
 */
export function takeEnd(role: Role, make: () => SpscEnd): SpscEnd {
  const { identity } = role.segment;
  let end: SpscEnd;
  try {
    end = make();
  } catch (error) {
    leaveRole(role);
    throw error;
  }
  const ends = openEnds.get(identity) ?? new Map<string, WeakRef<SpscEnd>>();
  openEnds.set(identity, ends.set(role.name, new WeakRef(end)));
  return end;
}

/** One end of the ring. */
export abstract class SpscEnd extends RingEnd {
  /** @internal */ readonly sequence: number;
  /** @internal */ readonly watched: number;
  /** @internal */ readonly role: number;
  /** @internal */ readonly counters: number;
  /** @internal */ protected readonly layout: SpscLayout;
  readonly #mine: Role;
  readonly #peer: Role;
  #givenAway = false;

  /** @internal The role is taken here. */
  protected constructor(ring: object, layout: SpscLayout, words: EndWords) {
    super(ring, layout.segment, layout.mode, words.mine.name);
    this.layout = layout;
    this.#mine = words.mine;
    this.#peer = words.peer;
    this.sequence = words.bell;
    this.watched = words.watched;
    this.role = words.peer.word;
    this.counters = words.counters;
    if (words.from === undefined) takeRole(words.mine);
    else takeRoleFrom(words.mine, words.from.ticket, words.from.pid);
  }

  /** @internal In a message: others may take the role while this thread blocks. */
  isLeaving = false;

  /** @internal The peer's death ends the stream as its close does. */
  deathIsClose = false;

  /** @internal From here on the role is somebody else's to take: it is not given back at the close. */
  giveAway(): void {
    this.#givenAway = true;
  }

  /** @internal Nobody takes what was given away: the end is closed after all. */
  takeBack(): void {
    leaveRole(this.#mine);
  }

  /** @internal */
  prepare(): number {
    return prepareToSleep(this.segment.words, this.watched >> 2, this.sequence);
  }
  /** @internal What a wait ends with when the peer was closed. */
  protected abstract closedPeerError(): Error;

  protected override leave(): void {
    const { identity } = this.segment;
    if (!this.segment.closed && !this.#givenAway) leaveRole(this.#mine);
    const ends = openEnds.get(identity);
    if (ends?.get(this.#mine.name)?.deref() === this) ends.delete(this.#mine.name);
    if (ends?.size === 0) openEnds.delete(identity);
  }

  /** @internal */
  peerGone(word: number): Error | undefined {
    if (isClosed(word)) return this.closedPeerError();
    if (!hasDied(word)) return undefined;
    if (this.deathIsClose) return this.closedPeerError();
    const pid = diedPid(this.#peer);
    return new PeerDiedError(`the ${this.#peer.name} of ${this.segment.label}, process ${pid}, died`, pid);
  }

  /** @internal */
  peerHeld(word: number): boolean {
    return this.segment.judgesDeath && isHeld(word);
  }

  /** @internal */
  checkPeer(word: number): void {
    this.segment.doubles[(this.counters + EndCounters.livenessChecks) >> 3]++;
    checkHolder(this.#peer, word);
  }

  /** @internal */
  peerIsHere(word: number): boolean {
    return isHeld(word) && openEnd(this.#peer) !== undefined;
  }

  /** @internal The other end was closed, or somebody noticed its death; asks nobody. */
  peerIsKnownGone(): boolean {
    const word = loadRole(this.#peer);
    return isClosed(word) || hasDied(word);
  }

  /** @internal The other end was closed or died; asks the kernel if need be. */
  peerIsGone(): boolean {
    const word = loadRole(this.#peer);
    return isClosed(word) || hasDied(word) || (isHeld(word) && !checkHolder(this.#peer, word));
  }

  /**
   * @internal Whether two positions can be the head and the tail of this ring. Unaligned ones would split headers.
   * @throws {CorruptSegmentError} if not
   */
  protected checkPositions(head: number, tail: number): void {
    const { capacity, alignment } = this.layout;
    if ((tail - head) >>> 0 <= capacity && ((head | tail) & (alignment - 1)) === 0) return;
    throw this.corrupt(`head ${head >>> 0} and tail ${tail >>> 0} in a capacity of ${capacity}`);
  }

  /** @internal */
  protected corrupt(why: string): CorruptSegmentError {
    return new CorruptSegmentError(`${this.segment.label} contradicts itself: ${why}`);
  }
}

/** The end of the stream for a consumer. */
export function endOfStream(label: string): EndOfStreamError {
  return new EndOfStreamError(`the producer of ${label} was closed and everything was read`);
}

/** A closed consumer for a producer. */
export function brokenPipe(label: string): RingwayError {
  return new RingwayError(`the consumer of ${label} was closed`, 'EPIPE');
}
