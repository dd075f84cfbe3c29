// Handles in flight: between a message with a handle being sent and its receiver attaching, the sender's attachment stays,
// also past close(), so that the object is still there. What is on its way is counted in the sender's own entry; the
// receiver counts down when it has attached.
//
// The word carries a random number beside the count, new for each series of messages: a receiver that comes when the
// sender is long gone, and its entry another's, finds another number and leaves the count alone.

import { RingwayError } from '../errors.js';
import { Constants, ParticipantEntry } from '../layout.js';
import { readDescription } from './description.js';
import { checkOpen, participantOffset, type Segment } from './segment.js';
import type { Departure, Route } from './travel.js';

/** Names an attachment that answers for a handle, and the series of messages. Part of a handle in a message. */
export interface Ticket {
  participant: number;
  series: number;
}

const COUNT_BITS = Constants.inFlightCountBits;
const COUNT_MASK = (1 << COUNT_BITS) - 1;

const countOf = (word: number) => word & COUNT_MASK;
const seriesOf = (word: number) => word >>> COUNT_BITS;

/**
 * How an object whose handle is all there is to it travels.
 * @param kind - the class that attaches to it, where several share one kind of segment
 * @throws {TypeError} to another machine
 * @throws {RingwayError} `ERR_RINGWAY_NOT_SENDABLE` for memory of threads
 */
export function departureOf(segment: Segment, route: Route, kind = segment.handle.kind): Departure {
  checkRoute(segment, route);
  const ticket = takeOff(segment);
  return {
    kind,
    data: { ...segment.handle, ticket, description: readDescription(segment) },
    sent: () => {},
    unsent: () => land(segment, ticket),
  };
}

/** @throws as departureOf() */
export function checkRoute(segment: Segment, route: Route): void {
  checkOpen(segment);
  if (route.reach === 'network') {
    throw new TypeError(`${segment.label} cannot go through ${route.label}: memory is shared on one machine only`);
  }
  if (segment.backend === 'shm') return;
  throw new RingwayError(
    `${segment.label} cannot go through ${route.label}: its memory is shared between threads; post its handle to one`,
    'ERR_RINGWAY_NOT_SENDABLE',
  );
}

/** From here on close() waits for a receiver. Call it before the message can be seen. */
export function takeOff(segment: Segment): Ticket {
  const { words, participantId } = segment;
  const index = (participantOffset(participantId) + ParticipantEntry.inFlight) >> 2;
  for (;;) {
    const word = Atomics.load(words, index);
    const count = countOf(word);
    if (count === COUNT_MASK) {
      throw new RingwayError(
        `${segment.label} is in ${count} messages that nobody has received yet: no more at once`,
        'ERR_RINGWAY_NOT_SENDABLE',
      );
    }
    const next = count === 0 ? (newSeries(seriesOf(word)) << COUNT_BITS) | 1 : word + 1;
    // A: with land(). Only receivers change the word beside us, and only downwards.
    if (Atomics.compareExchange(words, index, word, next) !== word) continue;
    return { participant: participantId, series: seriesOf(next) };
  }
}

/** The receiver has attached, or the message is not going to be received. */
export function land(segment: Segment, { participant, series }: Ticket): void {
  if (!(participant >= 0 && participant < segment.maxParticipants)) return; // Of a message that somebody made up.
  const { words } = segment;
  const entry = participantOffset(participant);
  const index = (entry + ParticipantEntry.inFlight) >> 2;
  for (;;) {
    const word = Atomics.load(words, index);
    if (countOf(word) === 0 || seriesOf(word) !== series) return;
    if (Atomics.compareExchange(words, index, word, word - 1) !== word) continue; // A: with takeOff(), whenLanded().
    if (countOf(word) === 1) segment.wake(entry + ParticipantEntry.landed);
    return;
  }
}

/** Whether the message of that ticket has not been received, so that its attachment answers for the object still. */
export function isInFlight({ words, maxParticipants }: Segment, { participant, series }: Ticket): boolean {
  if (!(participant >= 0 && participant < maxParticipants)) return false;
  const word = Atomics.load(words, (participantOffset(participant) + ParticipantEntry.inFlight) >> 2); // A: with land().
  return countOf(word) !== 0 && seriesOf(word) === series;
}

/** Whether the attachment that answered for the object is gone, and nobody else has it. */
export function isAbandoned(segment: Segment, { participant }: Ticket): boolean {
  const lives = (id: number) => id < segment.maxParticipants && id !== segment.participantId && segment.alive(id);
  if (lives(participant)) return false;
  for (let id = 0; id < segment.maxParticipants; id++) if (lives(id)) return false;
  return true;
}

/** What a receiver gets that was too late. */
export function goneInFlight(what: string, pid: number): RingwayError {
  return new RingwayError(`${what} is gone: process ${pid}, which sent it, ended before this one attached`, 'ENOENT');
}

/** What carries a message: something that stays open here until the message was received, or cannot be any more. */
export interface Hold {
  /** Nobody will receive the message: whoever could have is closed or its process gone. Asks the kernel. */
  isLost(): boolean;
  release(): void;
}

/** Why a closed attachment stays, besides what is in flight from it. */
interface Stay {
  /** Messages that it carries. */
  holds: number;
  /** Lets it go, if only they are in the way. */
  letGo: (() => void) | undefined;
  /** What became of the message that the object is in. */
  carrier: { readonly hold: Hold; readonly lost: () => void } | undefined;
}

const stays = new WeakMap<Segment, Stay>();

function stayOf(segment: Segment): Stay {
  const known = stays.get(segment);
  if (known !== undefined) return known;
  const stay: Stay = { holds: 0, letGo: undefined, carrier: undefined };
  stays.set(segment, stay);
  return stay;
}

/** Keeps an attachment past close(), since a message that it carries is not received yet. @returns releases it, once */
export function holdOpen(segment: Segment): () => void {
  const stay = stayOf(segment);
  stay.holds++;
  return () => {
    if (--stay.holds === 0) stay.letGo?.();
  };
}

/**
 * From close() on, asks now and then what became of the message that the one object in flight from here is in.
 * @param lost - called once if nobody will receive it; has to land() the object
 */
export function watchCarrier(segment: Segment, hold: Hold, lost: () => void): void {
  stayOf(segment).carrier = { hold, lost };
}

const FIRST_LOOK_MS = 20;
const LONGEST_PAUSE_MS = 1000;

/** Calls `then` when nothing is in flight, and nothing held open: at once, if so. Does not keep the process alive. */
export function whenLanded(segment: Segment, then: () => void, pauseMs = FIRST_LOOK_MS): void {
  const { words, participantId } = segment;
  const entry = participantOffset(participantId);
  const bell = entry + ParticipantEntry.landed;
  const rung = Atomics.load(words, bell >> 2); // Before the count: land() changes the count, then the bell.
  const isIn = () => countOf(Atomics.load(words, (entry + ParticipantEntry.inFlight) >> 2)) !== 0; // A: with land().
  const stay = stays.get(segment);
  // Whoever received the message before it was lost has attached by then.
  if (isIn() && stay?.carrier?.hold.isLost() && isIn()) stay.carrier.lost();
  if (isIn()) {
    // A receiver that is killed between the count and the bell does not ring it.
    const next = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
    segment.sleep(bell, rung, pauseMs, false, () => whenLanded(segment, then, next));
    return;
  }
  stay?.carrier?.hold.release();
  if (stay !== undefined) stay.carrier = undefined;
  if (stay === undefined || stay.holds === 0) then();
  else stay.letGo = then;
}

function newSeries(last: number): number {
  const most = 2 ** (32 - COUNT_BITS);
  const series = crypto.getRandomValues(new Uint32Array(1))[0] % most;
  return series === last ? (series + 1) % most : series;
}
