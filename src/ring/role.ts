// Who holds one end of a ring; twin of native/include/ringway/role.hpp, which has the states and the argument.

import { CorruptSegmentError, RingwayError, RoleTakenError } from '../errors.js';
import { Constants, RoleWords } from '../layout.js';
import { notify } from '../memory/event-count.js';
import { goneInFlight, isInFlight, type Ticket } from '../memory/flight.js';
import { participantPid, type Segment } from '../memory/segment.js';

const PHASE_MASK = (1 << Constants.roleIdShift) - 1;

/** One end's role in one segment. Offsets are from the segment's start, in bytes. */
export interface Role {
  readonly segment: Segment;
  /** `producer`, say. */
  readonly name: string;
  readonly word: number;
  readonly diedPid: number;
  /** Bells of those who look at the role before they sleep. */
  readonly bells: readonly number[];
  /** The event count of those who wait for a role. */
  readonly changed: number;
}

export function roleAt(
  segment: Segment,
  name: string,
  offset: number,
  bells: readonly number[],
  changed: number,
): Role {
  return { segment, name, word: offset + RoleWords.word, diedPid: offset + RoleWords.diedPid, bells, changed };
}

export function loadRole(role: Role): number {
  return Atomics.load(role.segment.words, role.word >> 2); // role.hpp, A.
}

export function isHeld(word: number): boolean {
  return (word & PHASE_MASK) === Constants.roleHeld;
}

export function isClosed(word: number): boolean {
  return (word & PHASE_MASK) === Constants.roleClosed;
}

export function hasDied(word: number): boolean {
  return (word & PHASE_MASK) === Constants.roleDied;
}

function holderOf(word: number): number {
  return word >>> Constants.roleIdShift;
}

function heldBy(participantId: number): number {
  return Constants.roleHeld | (participantId << Constants.roleIdShift);
}

/** The pid of the last holder that died, for people only. */
export function diedPid(role: Role): number {
  return role.segment.words[role.diedPid >> 2] >>> 0;
}

/** The pid of the holder, for people only. */
export function holderPid(role: Role, word: number): number {
  return participantPid(role.segment, holderOf(word));
}

/**
 * Asks whether the holder named by `word` lives, and settles the role if not: its word differs then.
 * @returns whether it is held by somebody alive
 * @throws {CorruptSegmentError} if the word cannot be
 */
export function checkHolder(role: Role, word: number): boolean {
  if ((word & PHASE_MASK) > Constants.roleDied) {
    throw new CorruptSegmentError(`${role.segment.label}: the ${role.name}'s role is 0x${(word >>> 0).toString(16)}`);
  }
  if (!isHeld(word)) return false;
  const holder = holderOf(word);
  if (holder >= role.segment.maxParticipants) {
    throw new CorruptSegmentError(
      `${role.segment.label}: participant ${holder} of ${role.segment.maxParticipants} is its ${role.name}`,
    );
  }
  return role.segment.alive(holder) || !role.segment.settle(holder);
}

/**
 * Takes a role from nobody, from one who left, or from the dead.
 * @throws {RoleTakenError} while a live participant holds it
 */
export function takeRole(role: Role): void {
  const { segment } = role;
  for (;;) {
    const word = loadRole(role);
    if (checkHolder(role, word)) {
      if (loadRole(role) !== word) continue;
      const pid = holderPid(role, word);
      throw new RoleTakenError(`process ${pid} is the ${role.name} of ${segment.label}, and it lives`, pid);
    }
    if (isHeld(word)) continue; // It was dead; the word says so by now.
    // role.hpp, A.
    if (Atomics.compareExchange(segment.words, role.word >> 2, word, heldBy(segment.participantId)) === word) break;
  }
  tellOfRole(role);
}

/**
 * Takes a role from a participant that gave it away in a message, and does not use it any more.
 * @param ticket - the message's
 * @throws {RingwayError} `ERR_RINGWAY_STATE` if somebody else was first; `ENOENT` if its holder ended meanwhile
 */
export function takeRoleFrom(role: Role, ticket: Ticket, pid: number): void {
  const { segment } = role;
  const at = role.word >> 2;
  const given = heldBy(ticket.participant);
  const mine = heldBy(segment.participantId);
  // The giver answers for the role while it lives; settled, the word differs.
  if (loadRole(role) === given) checkHolder(role, given);
  // A second copy of the message finds another series, or nothing in flight: its giver's entry may be that of somebody who
  // got the role since, and is not to be robbed. Before and after: it is in flight until whoever has taken the role lands
  // it, so if it is so after we took the role, it was the giver's that we took.
  let word = loadRole(role);
  if (isInFlight(segment, ticket)) {
    // role.hpp, A: with the giver's last store before the message. One receiver gets it, however many have the message.
    word = Atomics.compareExchange(segment.words, at, given, mine);
    if (word === given) {
      if (isInFlight(segment, ticket)) {
        tellOfRole(role);
        return;
      }
      Atomics.compareExchange(segment.words, at, mine, given); // role.hpp, A.
    }
  }
  if (!isHeld(word) || !checkHolder(role, word)) throw goneInFlight(`the ${role.name} of ${segment.label}`, pid);
  throw new RingwayError(
    `this end of ${segment.label} was attached already, by process ${holderPid(role, word)}: there is one of each`,
    'ERR_RINGWAY_STATE',
  );
}

/** Gives the role back if this participant holds it. */
export function leaveRole(role: Role): void {
  const { segment } = role;
  const mine = heldBy(segment.participantId);
  // role.hpp, A: releases our last position.
  if (Atomics.compareExchange(segment.words, role.word >> 2, mine, Constants.roleClosed) === mine) tellOfRole(role);
}

// Sleepers look at the roles before they sleep. A process that is killed between taking a role and this never came back
// from taking it: those who sleep because nobody has come yet sleep on until the next one comes, which settles the dead
// one first.
function tellOfRole(role: Role): void {
  for (const bell of role.bells) role.segment.wake(bell);
  notify(role.segment, role.changed);
}
