// What the rings stand on: a piece of memory that several processes (POSIX shared memory) or threads
// (SharedArrayBuffer) see, in which participants are known and can be waited for.

import { ClosedError, CorruptSegmentError } from '../errors.js';
import { bodyOffsetFor, Constants, ParticipantEntry, SegmentHeader } from '../layout.js';
import type { Ticket } from './flight.js';

/** POSIX shared memory, between processes; or a SharedArrayBuffer, between threads. */
export type Backend = 'shm' | 'sab';

/** Plain data that finds a segment again: in another process for `shm`, in another thread for `sab`. */
export type SegmentHandle = ShmHandle | SabHandle;

/** Leads another process or thread to a segment in shared memory. Survives JSON. */
export interface ShmHandle {
  /** The class that attaches to it. */
  kind: string;
  backend: 'shm';
  /** A user's name, or one that no user can choose. */
  name: string;
  /** Of the process that the handle comes from, in its own pid namespace. */
  pid: number;
  /** @internal In a message: the attachment that answers for the object until the receiver has attached. */
  ticket?: Ticket;
}

/** Carries a segment to another thread. Survives postMessage, but not JSON. */
export interface SabHandle {
  /** The class that attaches to it. */
  kind: string;
  backend: 'sab';
  /** The segment itself. */
  memory: SharedArrayBuffer;
  /** @internal As of ShmHandle. */
  ticket?: Ticket;
}

/** Why a sleep ended. After `woken` and `limit` the caller looks at its condition again. */
export type SleepEnd = 'woken' | 'limit' | 'interrupted';

export type Wake = (end: SleepEnd) => void;

export interface Segment {
  readonly backend: Backend;
  readonly handle: SegmentHandle;
  /** Equal for all attachments to one segment. */
  readonly identity: string;
  /** What to call it in messages. */
  readonly label: string;
  readonly buffer: ArrayBuffer | SharedArrayBuffer;
  readonly byteLength: number;
  readonly words: Int32Array;
  readonly doubles: Float64Array;
  readonly bytes: Uint8Array;
  readonly bodyOffset: number;
  readonly participantId: number;
  readonly maxParticipants: number;
  readonly closed: boolean;
  /** Whether deaths are noticed here; between threads they are not. */
  readonly judgesDeath: boolean;
  /** Whether a name leads to it still; an unlinked segment goes on working for those who have it. */
  readonly linked: boolean;

  /** Whether the participant lives. Asks the kernel: a microsecond. */
  alive(participantId: number): boolean;
  /** Marks the roles of a participant as lost if it is dead. Whether it is. */
  settle(participantId: number): boolean;
  /**
   * Gives memory to bytes that were not reserved at creation; nobody touches them before. Idempotent.
   * @throws {RingwayError} `ENOSPC` if the memory does not fit; nothing has changed
   */
  reserve(byteOffset: number, byteLength: number): void;
  /** Wakes all who sleep on a sequence word: an event count's, or a bell. */
  wake(sequence: number): void;
  /** Call before a Sync wait starts to watch memory: signals that come from now on end its sleep. */
  heedSignals(): void;
  /** Blocks this thread while the sequence word is `expected`, at most `limitMs`. */
  sleepSync(sequence: number, expected: number, limitMs: number): SleepEnd;
  /**
   * Watches two words without sleeping, until one differs from what was seen of it, at most `limitMs`. Who waits for this
   * processor gets it now and then.
   */
  spinSync(a: number, seenA: number, b: number, seenB: number, limitMs: number): void;
  /**
   * Calls `wake` once when the sequence word differs from `expected`, or after `limitMs`. The call may come at once, but
   * never before this returns.
   * @returns cancels; afterwards `wake` is not called
   */
  sleep(sequence: number, expected: number, limitMs: number, referenced: boolean, wake: Wake): () => void;
  /** Lets the memory go. Idempotent. */
  close(): void;
}

/** @throws {ClosedError} if it was closed */
export function checkOpen(segment: Segment): void {
  if (segment.closed) throw new ClosedError(`${segment.label} is closed`);
}

/** The kinds of segment, as messages and handles name them. */
export const KIND_NAMES: Readonly<Record<number, string>> = {
  [Constants.kindSpsc]: 'SpscRing',
  [Constants.kindMpmc]: 'MpmcRing',
  [Constants.kindBroadcast]: 'BroadcastRing',
  [Constants.kindSemaphore]: 'Semaphore',
  [Constants.kindLock]: 'Lock',
  [Constants.kindEvent]: 'SharedEvent',
  [Constants.kindBarrier]: 'Barrier',
  [Constants.kindCondition]: 'Condition',
  [Constants.kindValue]: 'Value',
  [Constants.kindSharedMemory]: 'SharedMemory',
  [Constants.kindSharedArray]: 'SharedArray',
  [Constants.kindQueue]: 'Queue',
};

export function kindName(kind: number): string {
  return KIND_NAMES[kind] ?? `unknown kind ${kind}`;
}

export interface SegmentShape {
  byteLength: number;
  kind: number;
  maxParticipants: number;
}

/** Writes the header of a new segment, all but the magic, into zeroed memory. */
export function formatHeader(view: DataView, shape: SegmentShape, creatorPid: number): void {
  const put = (offset: number, value: number) => view.setUint32(offset, value, LITTLE_ENDIAN);
  put(SegmentHeader.layoutVersion, Constants.layoutVersion);
  put(SegmentHeader.kind, shape.kind);
  put(SegmentHeader.byteLength, shape.byteLength);
  put(SegmentHeader.participantsOffset, SegmentHeader.participants);
  put(SegmentHeader.maxParticipants, shape.maxParticipants);
  put(SegmentHeader.bodyOffset, bodyOffsetFor(shape.maxParticipants));
  put(SegmentHeader.creatorPid, creatorPid);
  view.setFloat64(SegmentHeader.createdAtMs, Date.now(), LITTLE_ENDIAN);
  const uniqueId = crypto.getRandomValues(new Uint32Array(2));
  put(SegmentHeader.uniqueId, uniqueId[0]);
  put(SegmentHeader.uniqueId + 4, uniqueId[1]);
}

/**
 * Checks a header that did not pass the addon's checks: twin of checkHeader() in segment.hpp.
 * @throws {CorruptSegmentError} naming the field that does not fit
 */
export function checkHeader(view: DataView, kind: number, label: string): SegmentShape {
  const refuse = (why: string): never => {
    throw new CorruptSegmentError(`${label} is not a segment that can be used: ${why}`);
  };
  if (view.byteLength < SegmentHeader.participants) refuse(`${view.byteLength} bytes are less than a header`);
  const get = (offset: number) => view.getUint32(offset, LITTLE_ENDIAN);
  const magic = get(SegmentHeader.magic);
  if (magic !== Constants.magic) refuse(`it starts with 0x${magic.toString(16)}`);
  const version = get(SegmentHeader.layoutVersion);
  if (version !== Constants.layoutVersion) refuse(`layout version ${version}, this is ${Constants.layoutVersion}`);
  const features = get(SegmentHeader.featureBits);
  if ((features & ~Constants.knownFeatureBits) !== 0) refuse(`it needs features 0x${features.toString(16)}`);
  const found = get(SegmentHeader.kind);
  if (found !== kind) refuse(`it is a ${kindName(found)}, not a ${kindName(kind)}`);
  const byteLength = Number(view.getBigUint64(SegmentHeader.byteLength, LITTLE_ENDIAN));
  if (byteLength !== view.byteLength) refuse(`it should have ${byteLength} bytes and has ${view.byteLength}`);
  const maxParticipants = get(SegmentHeader.maxParticipants);
  if (maxParticipants < Constants.minParticipants || maxParticipants > Constants.maxParticipants) {
    refuse(`maxParticipants is ${maxParticipants}`);
  }
  const bodyOffset = get(SegmentHeader.bodyOffset);
  if (get(SegmentHeader.participantsOffset) !== SegmentHeader.participants) refuse('its participants are elsewhere');
  if (bodyOffset !== bodyOffsetFor(maxParticipants) || bodyOffset > byteLength) refuse(`bodyOffset is ${bodyOffset}`);
  return { byteLength, kind, maxParticipants };
}

/** Offset of a participant's entry from the segment's start, in bytes. */
export function participantOffset(participantId: number): number {
  return SegmentHeader.participants + participantId * ParticipantEntry.next;
}

/** The pid that a participant wrote, for people only. */
export function participantPid(segment: Segment, participantId: number): number {
  return segment.words[(participantOffset(participantId) + ParticipantEntry.pid) >> 2] >>> 0;
}

/** The host's byte order, in which segments are written. */
const LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;
