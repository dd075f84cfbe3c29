// The bytes every process agrees on, as offsets. Twin: native/include/ringway/layout.hpp, where each row says who writes
// it and what it means; test/layout.test.ts compares the two through the addon. docs/LAYOUT.md has them in prose.

/** Offsets from the segment's start, in bytes. */
export const SegmentHeader = {
  magic: 0,
  layoutVersion: 4,
  kind: 8,
  featureBits: 12,
  byteLength: 16,
  participantsOffset: 24,
  maxParticipants: 28,
  bodyOffset: 32,
  creatorPid: 36,
  createdAtMs: 40,
  uniqueId: 48,
  descriptionOffset: 56,
  descriptionByteLength: 60,
  nextParticipant: 128,
  participants: 256,
} as const;

/** Offsets from the entry's start, in bytes; `next` is the distance between entries. */
export const ParticipantEntry = {
  pid: 0,
  threadId: 4,
  attachedAtMs: 8,
  inFlight: 16,
  landed: 20,
  next: 64,
} as const;

export const EventCountWords = { sequence: 0, asleep: 4 } as const;

export const RoleWords = { word: 0, diedPid: 4 } as const;

export const EndCounters = { records: 0, spins: 8, parks: 16, wakeUps: 24, livenessChecks: 32 } as const;

/** Offsets from the body's start, in bytes. */
export const SpscHeader = {
  capacity: 0,
  alignment: 4,
  dataOffset: 8,
  wait: 12,
  tail: 128,
  head: 256,
  producer: 384,
  consumer: 392,
  roleChanged: 400,
  filled: 512,
  freed: 640,
  wantedHead: 644,
  producerCounters: 768,
  consumerCounters: 896,
  data: 1080,
} as const;

/** Offsets from the body's start, in bytes. Publishers' entries are followed by subscribers', cells and slots. */
export const BroadcastHeader = {
  slots: 0,
  slotByteLength: 4,
  payloadOffset: 8,
  maxPublishers: 12,
  maxSubscribers: 16,
  onSlow: 20,
  wait: 24,
  tail: 128,
  published: 256,
  freed: 384,
  publishing: 512,
  subscribing: 520,
  subscribersEver: 524,
  publishers: 640,
} as const;

/** Offsets from the entry's start, in bytes; `next` is the distance between entries. */
export const PublisherEntry = { word: 0, spare: 4, counters: 8, next: 128 } as const;

/** Offsets from the entry's start, in bytes; `next` is the distance between entries. */
export const SubscriberEntry = { word: 0, cursor: 4, counters: 8, missed: 48, next: 128 } as const;

/** Offsets from the slot's start, in bytes. */
export const BroadcastSlot = {
  position: 0,
  lapsOfPosition: 4,
  byteLength: 8,
  publisher: 12,
  payload: 16,
} as const;

/** Offsets from the body's start, in bytes. */
export const SemaphoreHeader = {
  initial: 0,
  max: 4,
  wait: 8,
  permits: 128,
  released: 256,
  nextTicket: 264,
  turn: 268,
  end: 384,
} as const;

/** Offsets from the body's start, in bytes. */
export const LockHeader = {
  wait: 0,
  owner: 128,
  diedPid: 132,
  released: 256,
  nextTicket: 264,
  turn: 268,
  end: 384,
} as const;
export const EventHeader = { wait: 0, changes: 128, wasSet: 256, end: 384 } as const;

/** Offsets from the body's start, in bytes. */
export const BarrierHeader = {
  parties: 0,
  wait: 4,
  state: 128,
  blame: 132,
  ended: 256,
  broken: 384,
  arrivals: 512,
} as const;

/**
 * Offsets from the body's start, in bytes. Starts as a lock's, which is the condition's own lock unless it has been given
 * another one; a row for each participant follows.
 */
export const ConditionHeader = { left: 384, nextRow: 388, rowsEver: 392, rows: 512 } as const;

/** Offsets from the row's start, in bytes; `next` is the distance between rows. */
export const WaitingRow = { counts: 0, notified: 4, next: 128 } as const;

/** Offsets from the body's start, in bytes. A scalar has no copies. */
export const ValueHeader = { cell: 0, lock: 8, copies: 128 } as const;

/** Offsets from the body's start, in bytes. */
export const SharedArrayHeader = { length: 0, lock: 4, elements: 128 } as const;

/** Offsets from the record's start, in bytes. */
export const RecordHeader = { byteLength: 0, flags: 4, payload: 8 } as const;

/** Offsets from one participant's counters, in bytes; `next` is the distance between participants. */
export const ParticipantCounters = {
  pushed: 0,
  popped: 8,
  spins: 16,
  parks: 24,
  wakeUps: 32,
  livenessChecks: 40,
  got: 48,
  sender: 52,
  next: 128,
} as const;

/** Offsets from the body's start, in bytes. */
export const MpmcHeader = {
  slots: 0,
  slotByteLength: 4,
  payloadOffset: 8,
  stride: 12,
  slotsOffset: 16,
  wait: 20,
  tail: 128,
  head: 256,
  ended: 384,
  abandoned: 388,
  redelivered: 392,
  filled: 512,
  quiet: 520,
  freed: 640,
  counters: 768,
} as const;

/** Offsets from the slot's start, in bytes. */
export const MpmcSlot = { state: 0, order: 4, byteLength: 12, position: 16, deliveries: 20, payload: 24 } as const;

/** Offsets from the queue's own header, in bytes; it follows the slots. */
export const QueueHeader = {
  maxSize: 0,
  blockByteLength: 4,
  blocks: 8,
  reserved: 128,
  sendersEver: 256,
  senderChanges: 260,
  done: 384,
  extents: 512,
} as const;

export const Constants = {
  magic: 0x59415752,
  layoutVersion: 1,
  knownFeatureBits: 0,
  isolationBytes: 128,
  minParticipants: 2,
  maxParticipants: 4096,
  maxDescriptionByteLength: 2 ** 16,
  kindSpsc: 1,
  kindMpmc: 2,
  kindBroadcast: 3,
  kindSemaphore: 4,
  kindLock: 5,
  kindEvent: 6,
  kindBarrier: 7,
  kindCondition: 8,
  kindValue: 9,
  kindSharedMemory: 10,
  kindSharedArray: 11,
  kindQueue: 12,
  minSpscCapacity: 64,
  maxSpscCapacity: 2 ** 30,
  minMpmcSlots: 2,
  maxMpmcSlots: 2 ** 16,
  maxSlotByteLength: 2 ** 30,
  maxMpmcParticipants: 4095,
  slotFree: 0,
  slotWriting: 1,
  slotReady: 2,
  slotReading: 3,
  slotAgainBit: 4,
  slotOwnerShift: 3,
  slotOwnerMask: 0xfff,
  slotVersionUnit: 2 ** 15,
  maxArenaBlocks: 2 ** 15,
  senderHere: 1,
  senderSent: 2,
  minBroadcastSlots: 2,
  maxBroadcastSlots: 2 ** 16,
  maxPublishers: 256,
  maxSubscribers: 4096,
  noPublisher: 0xffffffff,
  onSlowBlock: 0,
  onSlowOverwrite: 1,
  memberFree: 0,
  memberJoining: 1,
  memberActive: 2,
  maxSemaphorePermits: 2 ** 31 - 1,
  turnTicketShift: 13,
  inFlightCountBits: 12,
  lockOwnerDied: 0x10000,
  maxParties: 4096,
  arrivalIdBits: 12,
  firstGeneration: 1,
  brokenRemembered: 32,
  blamePidShift: 3,
  blameGenerationShift: 25,
  brokeTimeout: 1,
  brokeSignal: 2,
  brokeAbort: 3,
  brokeReset: 4,
  brokeAction: 5,
  brokeDied: 6,
  brokeClosed: 7,
  noticeShift: 16,
  valueCopyBits: 13,
  maxSharedByteLength: 2 ** 32 - 2 ** 20,
  paddingFlag: 1,
  asleepBit: 1,
  roleIdShift: 3,
  roleNone: 0,
  roleHeld: 1,
  roleClosed: 2,
  roleDied: 3,
  waitAdaptive: 0,
  waitSpin: 1,
  waitPark: 2,
} as const;

/** Where the body of a segment with `maxParticipants` entries starts. */
export function bodyOffsetFor(maxParticipants: number): number {
  const mask = Constants.isolationBytes - 1;
  return (SegmentHeader.participants + maxParticipants * ParticipantEntry.next + mask) & ~mask;
}
