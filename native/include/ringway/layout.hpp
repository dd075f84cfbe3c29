// The bytes every process agrees on, in host byte order. Twin: src/layout.ts; test/layout.test.ts compares the two
// through the addon, docs/LAYOUT.md describes them in prose, and test/golden holds images of whole segments.
//
// A segment is: SegmentHeader, ParticipantEntry[maxParticipants], then the body that belongs to its kind.
// Words that different processes write stand kIsolationBytes apart.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ringway/atomic.hpp"

namespace ringway {

inline constexpr uint32_t kMagic = 0x59415752;         // The bytes "RWAY" on a little-endian machine.
inline constexpr uint32_t kMagicSwapped = 0x52574159;  // What the same segment shows to a machine of the other kind.
inline constexpr uint32_t kLayoutVersion = 1;          // Grows when any row of this file changes.
inline constexpr uint32_t kKnownFeatureBits = 0;       // A segment that needs a bit we do not know is refused.
inline constexpr size_t kIsolationBytes = 128;  // Two 64-byte lines. Part of the format: not the compiler's guess.

enum class Kind : uint32_t {
  spsc = 1,
  mpmc = 2,
  broadcast = 3,
  semaphore = 4,
  lock = 5,
  event = 6,
  barrier = 7,
  condition = 8,
  value = 9,
  sharedMemory = 10,
  sharedArray = 11,
  queue = 12,
};

inline constexpr uint32_t kMinParticipants = 2;
inline constexpr uint32_t kMaxParticipants = 4096;
inline constexpr uint32_t kMaxDescriptionByteLength = uint32_t{1} << 16;

// Participant i holds an OFD write lock on byte kPresenceLockOffset + i of the file for as long as it lives. The bytes
// lie far beyond any data and need not exist. Whoever removes a segment's name locks all kPresenceLockLength of them.
inline constexpr int64_t kPresenceLockOffset = int64_t{1} << 46;
inline constexpr int64_t kPresenceLockLength = int64_t{1} << 16;
static_assert(kPresenceLockLength >= kMaxParticipants);

//   offset size field               writer       meaning
//        0    4 magic               creator      "RWAY"; stored last (release), so non-zero means the rest is ready
//        4    4 layoutVersion       creator      kLayoutVersion
//        8    4 kind                creator      what the body is: Kind
//       12    4 featureBits         creator      what a reader must understand beyond the version
//       16    8 byteLength          creator      of the whole segment
//       24    4 participantsOffset  creator      256
//       28    4 maxParticipants     creator      entries, kMinParticipants .. kMaxParticipants
//       32    4 bodyOffset          creator      from the segment's start, multiple of kIsolationBytes
//       36    4 creatorPid          creator      for people only; nothing decides by it
//       40    8 createdAtMs         creator      binary64, milliseconds since 1970; for people only
//       48    8 uniqueId            creator      random; attachments of one thread know by it that they are to one segment
//       56    4 descriptionOffset   creator      of the text that says what the records consist of, behind the body; or 0
//       60    4 descriptionByteLength creator    1 .. kMaxDescriptionByteLength; or 0
//      128    4 nextParticipant     newcomers    where the search for a free entry starts, a hint
struct SegmentHeader {
  Atomic<uint32_t> magic;
  uint32_t layoutVersion, kind, featureBits;
  uint64_t byteLength;
  uint32_t participantsOffset, maxParticipants, bodyOffset, creatorPid;
  double createdAtMs;
  uint64_t uniqueId;
  uint32_t descriptionOffset, descriptionByteLength;
  alignas(kIsolationBytes) Atomic<uint32_t> nextParticipant;
};
static_assert(sizeof(SegmentHeader) == 256 && offsetof(SegmentHeader, byteLength) == 16);
static_assert(offsetof(SegmentHeader, createdAtMs) == 40 && offsetof(SegmentHeader, nextParticipant) == 128);
static_assert(offsetof(SegmentHeader, descriptionOffset) == 56 && offsetof(SegmentHeader, descriptionByteLength) == 60);

//        0    4 pid                 participant  of the process, in its own pid namespace; for people only
//        4    4 threadId            participant  kernel id of the thread; for people only
//        8    8 attachedAtMs        participant  binary64, milliseconds since 1970; for people only
//       16    4 inFlight            all          messages on their way whose handles this attachment answers for: 12 bits
//                                                count them, the others tell one series of such messages from the next
//       20    4 landed              all          bell of who waits for inFlight to count 0
struct alignas(64) ParticipantEntry {
  Atomic<uint32_t> pid, threadId;
  Atomic<double> attachedAtMs;
  Atomic<uint32_t> inFlight, landed;
};
inline constexpr uint32_t kInFlightCountBits = 12;
static_assert(sizeof(ParticipantEntry) == 64 && offsetof(ParticipantEntry, inFlight) == 16);

// One condition that somebody may sleep on; see event_count.hpp.
//        0    4 sequence            notifiers    even, grows by 2 with every notification that met a sleeper
//        4    4 asleep              both         0: nobody sleeps; else 1 + the newest sequence that somebody sleeps on
struct EventCountWords {
  Atomic<uint32_t> sequence, asleep;
};
static_assert(sizeof(EventCountWords) == 8);

// Who holds one end of a ring; see role.hpp.
//        0    4 word                taker        phase in the low 3 bits, participant id above them
//        4    4 diedPid             recoverer    pid of the last holder that died; for people only
struct RoleWords {
  Atomic<uint32_t> word, diedPid;
};
static_assert(sizeof(RoleWords) == 8);

// What one end of a ring has done. Only its holder writes, nobody decides by it.
//        0   40 counts              holder       binary64 each: records, spins, parks, wakeUps, liveness checks
struct EndCounters {
  Atomic<double> records, spins, parks, wakeUps, livenessChecks;
};
static_assert(sizeof(EndCounters) == 40);

// Body of Kind::spsc. Positions are bytes, count up for ever, wrap at 2^32 and are compared by subtraction only.
//        0    4 capacity            creator      bytes, power of two, kMinSpscCapacity .. kMaxSpscCapacity
//        4    4 alignment           creator      8 or 64: payloads start at multiples of it
//        8    4 dataOffset          creator      from the body's start; 8 less than a multiple of 64
//       12    4 wait                creator      WaitMode that ends use unless told otherwise
//      128    4 tail                producer     position behind the last published record; bit 0: position.hpp
//      256    4 head                consumer     position of the first record not yet released; bit 0: position.hpp
//      384   16 producer, consumer  takers       who holds the two roles
//      400    8 roleChanged         both         event count: a role was taken, given back or lost
//      512    4 filled              both         bell: tail moved, or a role changed
//      640    4 freed               both         bell: head moved far enough, or a role changed
//      644    4 wantedHead          producer     the head position at which the sleeping producer's record fits
//      768   40 producerCounters    producer
//      896   40 consumerCounters    consumer
//     1080    . data                producer     capacity bytes: records and padding, each a multiple of alignment
struct SpscHeader {
  uint32_t capacity, alignment, dataOffset, wait;
  alignas(kIsolationBytes) Atomic<uint32_t> tail;
  alignas(kIsolationBytes) Atomic<uint32_t> head;
  alignas(kIsolationBytes) RoleWords producer;
  RoleWords consumer;
  EventCountWords roleChanged;
  alignas(kIsolationBytes) Atomic<uint32_t> filled;
  alignas(kIsolationBytes) Atomic<uint32_t> freed;
  Atomic<uint32_t> wantedHead;
  alignas(kIsolationBytes) EndCounters producerCounters;
  alignas(kIsolationBytes) EndCounters consumerCounters;
};
static_assert(sizeof(SpscHeader) == 1024 && offsetof(SpscHeader, tail) == 128 && offsetof(SpscHeader, head) == 256);
static_assert(offsetof(SpscHeader, producer) == 384 && offsetof(SpscHeader, roleChanged) == 400);
static_assert(offsetof(SpscHeader, filled) == 512 && offsetof(SpscHeader, freed) == 640);
static_assert(offsetof(SpscHeader, wantedHead) == 644);
static_assert(offsetof(SpscHeader, producerCounters) == 768 && offsetof(SpscHeader, consumerCounters) == 896);

inline constexpr uint32_t kMinSpscCapacity = 64;
inline constexpr uint32_t kMaxSpscCapacity = uint32_t{1} << 30;  // Differences of positions stay far below 2^31.

// A record header ends where its payload starts. With the data 8 bytes short of a 64-byte boundary, a record at a
// multiple of `alignment` has its payload at one too, and no record or header ever straddles the end of the data.
inline constexpr uint32_t kSpscDataOffset = 1080;
static_assert(kSpscDataOffset >= sizeof(SpscHeader) && (kSpscDataOffset + 8) % 64 == 0);

//        0    4 byteLength          producer     of the payload; of nothing for padding
//        4    4 flags               producer     kPaddingFlag, or 0
struct RecordHeader {
  uint32_t byteLength, flags;
};
static_assert(sizeof(RecordHeader) == 8);
inline constexpr uint32_t kPaddingFlag = 1;  // No record: the rest of this lap is empty, go on at its end.

// What a participant of a ring without roles has done. Only it writes, nobody decides by it; the next holder of the id
// counts on, so sums stay right.
//        0   48 counts              participant  binary64 each: pushed, popped, spins, parks, wakeUps, liveness checks
//       48    4 got                 participant  of a queue: messages that it has got and not yet reported done
//       52    4 sender              participant  of a queue: kSenderHere, kSenderSent
struct alignas(kIsolationBytes) ParticipantCounters {
  Atomic<double> pushed, popped, spins, parks, wakeUps, livenessChecks;
  Atomic<uint32_t> got, sender;  // Cleared when it leaves or is settled: queue.hpp.
};
static_assert(sizeof(ParticipantCounters) == kIsolationBytes && offsetof(ParticipantCounters, got) == 48);
static_assert(offsetof(ParticipantCounters, sender) == 52);

// Body of Kind::mpmc; the protocol is in mpmc_slots.hpp.
//        0    4 slots               creator      power of two, kMinMpmcSlots .. kMaxMpmcSlots
//        4    4 slotByteLength      creator      longest message, in bytes
//        8    4 payloadOffset       creator      from a slot's start: 24, or 64 if payloads start at multiples of 64
//       12    4 stride              creator      from a slot to the next, a multiple of 64
//       16    4 slotsOffset         creator      from the body's start, behind the counters
//       20    4 wait                creator      WaitMode that handles use unless told otherwise
//      128    4 tail                all          hint: position behind the last queued message, or some before it
//      256    4 head                all          hint: position of the first message not taken, or some before it
//      384    4 ended              all          1: no more messages
//      388    4 abandoned           recoverers   messages whose writer died
//      392    4 redelivered         all          messages that were queued again
//      512    8 filled              all          event count of consumers that sleep with a limit
//      520    8 quiet               all          event count of consumers that sleep without one
//      640    8 freed               all          event count of producers
//      768    . counters            participants ParticipantCounters[maxParticipants], then the slots
struct MpmcHeader {
  uint32_t slots, slotByteLength, payloadOffset, stride, slotsOffset, wait;
  alignas(kIsolationBytes) Atomic<uint32_t> tail;
  alignas(kIsolationBytes) Atomic<uint32_t> head;
  alignas(kIsolationBytes) Atomic<uint32_t> ended;
  Atomic<uint32_t> abandoned, redelivered;
  alignas(kIsolationBytes) EventCountWords filled;
  EventCountWords quiet;
  alignas(kIsolationBytes) EventCountWords freed;
};
static_assert(sizeof(MpmcHeader) == 768 && offsetof(MpmcHeader, tail) == 128 && offsetof(MpmcHeader, head) == 256);
static_assert(offsetof(MpmcHeader, ended) == 384 && offsetof(MpmcHeader, redelivered) == 392);
static_assert(offsetof(MpmcHeader, filled) == 512 && offsetof(MpmcHeader, quiet) == 520);
static_assert(offsetof(MpmcHeader, freed) == 640);

inline constexpr uint32_t kMinMpmcSlots = 2;
inline constexpr uint32_t kMaxMpmcSlots = uint32_t{1} << 16;
inline constexpr uint32_t kMaxSlotByteLength = uint32_t{1} << 30;
inline constexpr uint32_t kMaxMpmcParticipants = 4095;  // A slot's state has 12 bits for owner + 1.

//        0    4 state               all          phase, owner, version: mpmc_slots.hpp
//        4    8 order               all          the cells of positions slot, slot + slots: mpmc_slots.hpp
//       12    4 byteLength          owner        of the message
//       16    4 position            owner        where the message was queued, or was about to be
//       20    4 deliveries          owner        how often it was handed out, this time included
struct MpmcSlot {
  Atomic<uint32_t> state, order[2], byteLength, position, deliveries;
};
static_assert(sizeof(MpmcSlot) == 24 && offsetof(MpmcSlot, order) == 4 && offsetof(MpmcSlot, deliveries) == 20);

// Body of Kind::queue; see docs/QUEUE.md. First that of Kind::mpmc, whose slots from maxSize on are never free; behind it, at
// the next multiple of kIsolationBytes, this header and the extents; the segment ends with the arena.
//        0    4 maxSize             creator      messages, 1 .. slots
//        4    4 blockByteLength     creator      unit of the arena, a power of two
//        8    4 blocks              creator      of the arena, 1 .. kMaxArenaBlocks
//      128    4 reserved            all          bytes of the arena, from its start, that have memory; only grows
//      256    4 sendersEver         senders      1: there has been a sender
//      260    4 senderChanges       senders      how often one was added, wraps
//      384    8 done                all          event count of who waits for all messages to be done
//      512    . extents             owners       for each slot, a word: where in the arena its message lies, or 0; then a bit
//                                                each, 32 to a word: set if its word may be other than 0
struct QueueHeader {
  uint32_t maxSize, blockByteLength, blocks;
  alignas(kIsolationBytes) Atomic<uint32_t> reserved;
  alignas(kIsolationBytes) Atomic<uint32_t> sendersEver;
  Atomic<uint32_t> senderChanges;
  alignas(kIsolationBytes) EventCountWords done;
};
static_assert(sizeof(QueueHeader) == 512 && offsetof(QueueHeader, reserved) == 128);
static_assert(offsetof(QueueHeader, sendersEver) == 256 && offsetof(QueueHeader, senderChanges) == 260);
static_assert(offsetof(QueueHeader, done) == 384);

// An extent's word: bit 0 is set when nobody contests it any more, then 16 bits for how many blocks, 15 for the first.
inline constexpr uint32_t kMaxArenaBlocks = 0x8000;
inline constexpr uint32_t kSenderHere = 1;  // A sender of this participant is open.
inline constexpr uint32_t kSenderSent = 2;  // One is on its way while the participant's inFlight counts something.

// Body of Kind::broadcast; the protocol is in docs/BROADCAST.md. Behind the header stand the publishers' entries, the
// subscribers', the cells (one word each) and the slots; broadcast.hpp says how many and where.
//        0    4 slots               creator      power of two, kMinBroadcastSlots .. kMaxBroadcastSlots
//        4    4 slotByteLength      creator      longest message, in bytes
//        8    4 payloadOffset       creator      from a slot's start: 16, or 64 if payloads start at multiples of 64
//       12    4 maxPublishers       creator      entries, 1 .. kMaxPublishers
//       16    4 maxSubscribers      creator      entries, 1 .. kMaxSubscribers
//       20    4 onSlow              creator      OnSlow
//       24    4 wait                creator      WaitMode that ends use unless told otherwise
//      128    4 tail                publishers   position of the next message, at most one behind
//      256    8 published           both         event count: subscribers sleep here
//      384    8 freed               both         event count: publishers sleep here
//      512    8 publishing          publishers   a publisher came or went: RolePhase below a version, and who died last
//      520    4 subscribing         subscribers  a version that changes when a subscriber comes or goes
//      524    4 subscribersEver     subscribers  entries from here on were never used
struct BroadcastHeader {
  uint32_t slots, slotByteLength, payloadOffset, maxPublishers, maxSubscribers, onSlow, wait;
  alignas(kIsolationBytes) Atomic<uint32_t> tail;
  alignas(kIsolationBytes) EventCountWords published;
  alignas(kIsolationBytes) EventCountWords freed;
  alignas(kIsolationBytes) RoleWords publishing;
  Atomic<uint32_t> subscribing, subscribersEver;
};
static_assert(sizeof(BroadcastHeader) == 640 && offsetof(BroadcastHeader, tail) == 128);
static_assert(offsetof(BroadcastHeader, published) == 256 && offsetof(BroadcastHeader, freed) == 384);
static_assert(offsetof(BroadcastHeader, publishing) == 512 && offsetof(BroadcastHeader, subscribersEver) == 524);

//        0    4 word                holder       MemberPhase in the low 3 bits, participant id above them
//        4    4 spare               holder       the slot which is its own in the low bits, above them where it comes from
//        8   40 counters            holder
struct alignas(kIsolationBytes) PublisherEntry {
  Atomic<uint32_t> word, spare;
  EndCounters counters;
};
//        0    4 word                holder       as above
//        4    4 cursor              holder       position of the next message to read
//        8   40 counters            holder
//       48    8 missed              holder       binary64: messages that were overwritten before it got to them
struct alignas(kIsolationBytes) SubscriberEntry {
  Atomic<uint32_t> word, cursor;
  EndCounters counters;
  Atomic<double> missed;
};
static_assert(sizeof(PublisherEntry) == kIsolationBytes && sizeof(SubscriberEntry) == kIsolationBytes);
static_assert(offsetof(PublisherEntry, counters) == 8 && offsetof(SubscriberEntry, missed) == 48);

// Written by the publisher that owns the slot, before a cell names it.
//        0    4 position            owner        of the message
//        4    4 lapsOfPosition      owner        how often positions have wrapped
//        8    4 byteLength          owner        of the message
//       12    4 publisher           owner        its entry, or kNoPublisher
struct BroadcastSlot {
  Atomic<uint32_t> position, lapsOfPosition, byteLength, publisher;
};
static_assert(sizeof(BroadcastSlot) == 16);

inline constexpr uint32_t kMinBroadcastSlots = 2;
inline constexpr uint32_t kMaxBroadcastSlots = uint32_t{1} << 16;
inline constexpr uint32_t kMaxPublishers = 256;
inline constexpr uint32_t kMaxSubscribers = 4096;
inline constexpr uint32_t kNoPublisher = 0xffffffff;
enum class OnSlow : uint32_t { block = 0, overwrite = 1 };
enum class MemberPhase : uint32_t { free = 0, joining = 1, active = 2 };

// Body of Kind::semaphore; see src/sync/permits.ts. While nobody has to wait, only `permits` is written.
//        0    4 initial             creator      permits when it was created, 0 .. max
//        4    4 max                 creator      1 .. kMaxSemaphorePermits
//        8    4 wait                creator      WaitMode that handles use unless told otherwise
//      128    4 permits             all          how many are free, 0 .. max
//      256    8 released            all          event count: permits were given back, or a turn was given up
//      264    4 nextTicket          waiters      counts waits, wraps
//      268    4 turn                waiters      0: nobody comes before others; else participant id + 1 in the low
//                                                kTurnTicketShift bits and its ticket above them
struct SemaphoreHeader {
  uint32_t initial, max, wait;
  alignas(kIsolationBytes) Atomic<uint32_t> permits;
  alignas(kIsolationBytes) EventCountWords released;
  Atomic<uint32_t> nextTicket, turn;
};
static_assert(sizeof(SemaphoreHeader) == 384 && offsetof(SemaphoreHeader, permits) == 128);
static_assert(offsetof(SemaphoreHeader, released) == 256 && offsetof(SemaphoreHeader, turn) == 268);

inline constexpr uint32_t kMaxSemaphorePermits = 0x7fffffff;
inline constexpr uint32_t kTurnTicketShift = 13;
static_assert(kMaxParticipants < uint32_t{1} << kTurnTicketShift);

// Body of Kind::lock; see lock.hpp and src/sync/ownership.ts. While nobody has to wait, only `owner` is written.
//        0    4 wait                creator      WaitMode that handles use unless told otherwise
//      128    4 owner               all          0: free; kLockOwnerDied: free, and its last owner did not release it;
//                                                else the owner's participant id + 1
//      132    4 diedPid             recoverer    pid of the last owner that did not release it; for people only
//      256    8 released            all          event count: the lock came free, or a turn was given up
//      264    4 nextTicket          waiters      counts waits, wraps
//      268    4 turn                waiters      as of a semaphore
struct LockHeader {
  uint32_t wait;
  alignas(kIsolationBytes) Atomic<uint32_t> owner;
  Atomic<uint32_t> diedPid;
  alignas(kIsolationBytes) EventCountWords released;
  Atomic<uint32_t> nextTicket, turn;
};
static_assert(sizeof(LockHeader) == 384 && offsetof(LockHeader, owner) == 128 && offsetof(LockHeader, diedPid) == 132);
static_assert(offsetof(LockHeader, released) == 256 && offsetof(LockHeader, turn) == 268);

inline constexpr uint32_t kLockOwnerDied = 0x10000;
static_assert(kMaxParticipants < kLockOwnerDied, "no participant is taken for it");

// Body of Kind::event; see src/sync/event-word.ts.
//        0    4 wait                creator      WaitMode that handles use unless told otherwise
//      128    4 changes             all          how often it was set or cleared, wraps; odd: it is set
//      256    8 wasSet              all          event count: waiters sleep here
struct EventHeader {
  uint32_t wait;
  alignas(kIsolationBytes) Atomic<uint32_t> changes;
  alignas(kIsolationBytes) EventCountWords wasSet;
};
static_assert(sizeof(EventHeader) == 384 && offsetof(EventHeader, changes) == 128);
static_assert(offsetof(EventHeader, wasSet) == 256);

// Body of Kind::barrier, followed by one arrival word for each party; see barrier.hpp and src/sync/generations.ts.
//        0    4 parties             creator      1 .. kMaxParties
//        4    4 wait                creator      WaitMode that handles use unless told otherwise
//      128    4 state               all          generation above bit 0, which is set while it is broken
//      132    4 blame               breakers     who broke it and why, for people: barrier.hpp
//      256    8 ended               all          event count: parties sleep here until their generation is over
//      384  128 broken              resetters    state of the last broken generation of each residue modulo
//                                                kBrokenRemembered, or 0
//      512    . arrivals            parties      a word each: participant id in the low kArrivalIdBits, generation above
struct BarrierHeader {
  uint32_t parties, wait;
  alignas(kIsolationBytes) Atomic<uint32_t> state;
  Atomic<uint32_t> blame;
  alignas(kIsolationBytes) EventCountWords ended;
  alignas(kIsolationBytes) Atomic<uint32_t> broken[32];
};
static_assert(sizeof(BarrierHeader) == 512 && offsetof(BarrierHeader, state) == 128);
static_assert(offsetof(BarrierHeader, blame) == 132 && offsetof(BarrierHeader, ended) == 256);
static_assert(offsetof(BarrierHeader, broken) == 384);

inline constexpr uint32_t kMaxParties = 4096;
inline constexpr uint32_t kArrivalIdBits = 12;
static_assert(kMaxParticipants <= uint32_t{1} << kArrivalIdBits);
inline constexpr uint32_t kFirstGeneration = 1;  // Not 0, which words of fresh memory name.
inline constexpr uint32_t kBrokenRemembered = sizeof(BarrierHeader::broken) / 4;
// Low bits of `blame`: the cause, the pid, and as much of the generation as has room.
inline constexpr uint32_t kBlamePidShift = 3;
inline constexpr uint32_t kBlameGenerationShift = 25;
enum class BreakCause : uint32_t { timeout = 1, signal = 2, abort = 3, reset = 4, action = 5, died = 6, closed = 7 };

// Body of Kind::condition, followed by a row for each participant; see condition.hpp and src/sync/notices.ts.
//        0  384 lock                            its own lock; of no use if the description names another one
//      384    4 left                all          how often notices were left by one that is gone, wraps
//      388    4 nextRow             lock's owner hint: where the next notice goes first
//      392    4 rowsEver            lock's owner rows from here on were never used
//      512    . rows                             WaitingRow[maxParticipants]
struct ConditionHeader {
  LockHeader lock;
  alignas(kIsolationBytes) Atomic<uint32_t> left;
  Atomic<uint32_t> nextRow, rowsEver;
};
static_assert(sizeof(ConditionHeader) == 512 && offsetof(ConditionHeader, left) == 384);
static_assert(offsetof(ConditionHeader, nextRow) == 388 && offsetof(ConditionHeader, rowsEver) == 392);

//        0    4 counts              lock's owner waits of this participant in the low kNoticeShift bits; above them how
//                                                many notices it has been given and has not taken
//        4    8 notified            both         event count: the participant sleeps here
struct alignas(kIsolationBytes) WaitingRow {
  Atomic<uint32_t> counts;
  EventCountWords notified;
};
static_assert(sizeof(WaitingRow) == kIsolationBytes && offsetof(WaitingRow, notified) == 4);
inline constexpr uint32_t kNoticeShift = 16;

// Body of Kind::value; see src/shared/scalar-cell.ts and src/shared/record-cell.ts.
//        0    8 cell                all          a scalar: its value, in the first 4 bytes unless it has 8; a record: the
//                                                number of the current copy in the low kValueCopyBits bits, above them
//                                                how many there have been
//        8    4 lock                creator      where its own lock is, a LockHeader, from the body's start; 0: it has none
//      128    . copies              participants a record only: two for each participant, in order, each rounded up to
//                                                kIsolationBytes; written by that participant alone
struct ValueHeader {
  alignas(kIsolationBytes) Atomic<uint64_t> cell;
  uint32_t lock;
};
static_assert(sizeof(ValueHeader) == 128 && offsetof(ValueHeader, lock) == 8);

inline constexpr uint32_t kValueCopyBits = 13;
static_assert(2 * kMaxParticipants <= uint32_t{1} << kValueCopyBits);

// Body of Kind::sharedArray; the type of its elements is the segment's description.
//        0    4 length              creator      how many elements
//        4    4 lock                creator      as of a value
//      128    . elements            all
struct SharedArrayHeader {
  alignas(kIsolationBytes) uint32_t length;
  uint32_t lock;
};
static_assert(sizeof(SharedArrayHeader) == 128 && offsetof(SharedArrayHeader, lock) == 4);

// Longest body of Kind::sharedMemory (which is nothing but its bytes), value and sharedArray: with all that stands around
// it, what one typed array spans in every supported runtime.
inline constexpr uint32_t kMaxSharedByteLength = 0xfff00000;

enum class WaitMode : uint32_t { adaptive = 0, spin = 1, park = 2 };

static_assert(std::atomic<uint32_t>::is_always_lock_free, "a lock inside the atomic would not be shared");
static_assert(std::atomic<double>::is_always_lock_free && sizeof(std::atomic<double>) == 8);
static_assert(std::atomic<uint64_t>::is_always_lock_free && sizeof(Atomic<uint64_t>) == 8);
static_assert(sizeof(Atomic<uint32_t>) == 4 && sizeof(Atomic<double>) == 8);

}  // namespace ringway
