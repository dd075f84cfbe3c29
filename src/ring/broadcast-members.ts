// Who publishes to a broadcast ring and who subscribes. An entry's word says phase and holder at once, so taking an entry
// and saying who took it are one atomic step. Entries of the dead are freed by whoever pins them (broadcast.hpp).
//
//   M "who is a member"   an entry's word, and `publishing`   ->   whoever scans the entries, or is about to sleep
//     Sequentially consistent. Whoever leaves changes `publishing` before the entry and tells sleepers after it.

import { RingwayError } from '../errors.js';
import { BroadcastHeader, Constants, PublisherEntry, RoleWords, SubscriberEntry } from '../layout.js';
import { notify } from '../memory/event-count.js';
import { participantPid } from '../memory/segment.js';
import type { BroadcastSlots } from './broadcast-slots.js';
import type { ParticipantInfo } from './participants.js';

const PHASE_MASK = (1 << Constants.roleIdShift) - 1;

export type Membership = 'publisher' | 'subscriber';

function memberWord(phase: number, participantId: number): number {
  return phase | (participantId << Constants.roleIdShift);
}

function holderOf(word: number): number {
  return word >>> Constants.roleIdShift;
}

function wordOf(slots: BroadcastSlots, membership: Membership, number: number): number {
  return membership === 'publisher'
    ? (slots.publisherAt(number) + PublisherEntry.word) >> 2
    : (slots.subscriberAt(number) + SubscriberEntry.word) >> 2;
}

/** Subscribers' entries from this number on were never used. */
export function subscribersEver(slots: BroadcastSlots): number {
  const { words, bodyOffset } = slots.segment;
  const ever = Atomics.load(words, (bodyOffset + BroadcastHeader.subscribersEver) >> 2) >>> 0; // M.
  return Math.min(ever, slots.shape.maxSubscribers);
}

/** The numbers of the entries that are, or are about to be, somebody's, with their words. */
export function* membersOf(slots: BroadcastSlots, membership: Membership): Generator<{ number: number; word: number }> {
  const count = membership === 'publisher' ? slots.shape.maxPublishers : subscribersEver(slots);
  for (let number = 0; number < count; number++) {
    const word = Atomics.load(slots.segment.words, wordOf(slots, membership, number)); // M.
    if ((word & PHASE_MASK) !== Constants.memberFree) yield { number, word };
  }
}

/** Subscribers whose cursors count, by their entries' numbers and words. */
export function* activeSubscribers(slots: BroadcastSlots): Generator<{ number: number; word: number }> {
  for (const member of membersOf(slots, 'subscriber')) {
    if (isActive(member.word)) yield member;
  }
}

/** The word of a subscriber's entry. */
export function subscriberWord(slots: BroadcastSlots, number: number): number {
  return Atomics.load(slots.segment.words, wordOf(slots, 'subscriber', number)); // M.
}

/** Whether the word of a subscriber's entry says that its cursor counts. */
export function isActive(word: number): boolean {
  return (word & PHASE_MASK) === Constants.memberActive;
}

/** Asks whether a member lives, and frees what it held if not. */
export function settleMember(slots: BroadcastSlots, word: number): void {
  const { segment } = slots;
  const id = holderOf(word);
  if (id >= segment.maxParticipants) throw slots.corrupt(`participant ${id} is a member`);
  if (segment.judgesDeath && id !== segment.participantId && !segment.alive(id)) segment.settle(id);
}

/** Whether a member is this handle's own. */
export function isOwn(slots: BroadcastSlots, word: number): boolean {
  return holderOf(word) === slots.segment.participantId;
}

/** Takes the first free entry; asks who lives if there is none. A publisher is active with that, a subscriber joins. */
function takeEntry(slots: BroadcastSlots, membership: Membership): number {
  const { segment, shape } = slots;
  const isPublisher = membership === 'publisher';
  const count = isPublisher ? shape.maxPublishers : shape.maxSubscribers;
  const mine = memberWord(isPublisher ? Constants.memberActive : Constants.memberJoining, segment.participantId);
  for (let round = 0; round < 2; round++) {
    for (let number = 0; number < count; number++) {
      const index = wordOf(slots, membership, number);
      const word = Atomics.load(segment.words, index);
      if (word !== 0) {
        if (round > 0) settleMember(slots, word);
        if (Atomics.load(segment.words, index) !== 0) continue;
      }
      if (Atomics.compareExchange(segment.words, index, 0, mine) === 0) return number; // M.
    }
  }
  const limit = isPublisher ? 'maxPublishers' : 'maxSubscribers';
  throw new RingwayError(
    `all ${count} ${membership}s of ${segment.label} are there: create it with more ${limit}`,
    'EUSERS',
  );
}

export function enterPublisher(slots: BroadcastSlots): number {
  const number = takeEntry(slots, 'publisher');
  changePublishing(slots, Constants.roleHeld);
  notify(slots.segment, slots.published);
  return number;
}

export function leavePublisher(slots: BroadcastSlots, number: number): void {
  changePublishing(slots, Constants.roleClosed);
  Atomics.store(slots.segment.words, wordOf(slots, 'publisher', number), 0); // M.
  notify(slots.segment, slots.published);
}

/** The number of an entry whose cursor does not count yet. */
export function enterSubscriber(slots: BroadcastSlots): number {
  const { words, bodyOffset } = slots.segment;
  const number = takeEntry(slots, 'subscriber');
  const index = (bodyOffset + BroadcastHeader.subscribersEver) >> 2;
  for (let ever = Atomics.load(words, index); ever >>> 0 <= number; ) {
    const found = Atomics.compareExchange(words, index, ever, number + 1); // M: before the entry is active.
    if (found === ever) break;
    ever = found;
  }
  return number;
}

/** From here on the entry's cursor, which must be there, holds publishers back. */
export function activateSubscriber(slots: BroadcastSlots, number: number): void {
  const { words, participantId } = slots.segment;
  Atomics.store(words, wordOf(slots, 'subscriber', number), memberWord(Constants.memberActive, participantId)); // M.
  Atomics.add(words, slots.subscribing >> 2, 1); // G.
}

export function leaveSubscriber(slots: BroadcastSlots, number: number): void {
  const { words } = slots.segment;
  Atomics.store(words, wordOf(slots, 'subscriber', number), 0); // M.
  Atomics.add(words, slots.subscribing >> 2, 1); // G.
  notify(slots.segment, slots.freed);
}

/** How the last publisher went, if a word of `publishing` says so. */
export function howPublishersWent(word: number): 'closed' | 'died' | undefined {
  const phase = word & PHASE_MASK;
  if (phase === Constants.roleClosed) return 'closed';
  return phase === Constants.roleDied ? 'died' : undefined;
}

/** The pid of the last publisher that died, for people only. */
export function diedPid(slots: BroadcastSlots): number {
  return slots.segment.words[(slots.publishing + RoleWords.diedPid) >> 2] >>> 0;
}

/** The members, for people. Asks the kernel once for each. */
export function memberInfos(slots: BroadcastSlots): { infos: ParticipantInfo[]; ids: Set<number> } {
  const { segment } = slots;
  const infos: ParticipantInfo[] = [];
  const ids = new Set<number>();
  for (const role of ['publisher', 'subscriber'] as const) {
    for (const { word } of membersOf(slots, role)) {
      const id = holderOf(word);
      if (id >= segment.maxParticipants) continue;
      ids.add(id);
      infos.push({ role, pid: participantPid(segment, id), alive: segment.alive(id) });
    }
  }
  return { infos, ids };
}

// A hint how publishers went, with a version, so that whoever is about to sleep sees that something changed: one try, since
// whoever changes it meanwhile has done the same. Whether there are publishers, the entries say.
function changePublishing(slots: BroadcastSlots, phase: number): void {
  const { words } = slots.segment;
  const index = (slots.publishing + RoleWords.word) >> 2;
  const word = Atomics.load(words, index);
  Atomics.compareExchange(words, index, word, ((word & ~PHASE_MASK) + PHASE_MASK + 1) | phase); // M.
}
