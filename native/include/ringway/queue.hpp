// What a queue has besides its ring, as far as a participant's leaving or death concerns it. Twins: src/channel/producers.ts
// and src/channel/unfinished.ts, where the arguments stand; the extents of large messages need nothing (src/channel/arena.ts).
#pragma once

#include "ringway/mpmc_slots.hpp"

namespace ringway {

constexpr uint64_t queueOffsetFor(uint32_t slots, uint32_t slotByteLength, uint32_t payloadOffset,
                                  uint32_t maxParticipants) noexcept {
  constexpr uint64_t mask = kIsolationBytes - 1;
  return (MpmcSlots::byteLengthFor(slots, slotByteLength, payloadOffset, maxParticipants) + mask) & ~mask;
}

// Whether there has been a sender and none is left. False while senders come: who adds one looks again when it goes.
inline bool sendersAreGone(const QueueHeader& queue, const ParticipantCounters* counters,
                           const ParticipantEntry* entries, uint32_t maxParticipants) noexcept {
  if (queue.sendersEver.load(std::memory_order_seq_cst) == 0) return false;
  const uint32_t changes = queue.senderChanges.load(std::memory_order_seq_cst);  // A.
  for (uint32_t id = 0; id < maxParticipants; ++id) {
    const uint32_t sender = counters[id].sender.load(std::memory_order_seq_cst);
    if ((sender & kSenderHere) != 0) return false;
    constexpr uint32_t inFlightMask = (uint32_t{1} << kInFlightCountBits) - 1;
    const bool sends = (sender & kSenderSent) != 0;
    if (sends && (entries[id].inFlight.load(std::memory_order_seq_cst) & inFlightMask) != 0) return false;
  }
  return queue.senderChanges.load(std::memory_order_seq_cst) == changes;  // A.
}

// Participant `id` has left, or is dead and pinned: what it got and did not report done counts no more, and its senders are
// gone. Idempotent.
inline void leaveQueue(const MpmcSlots& slots, std::byte* body, uint64_t byteLength, uint32_t id,
                       const ParticipantEntry* entries, uint32_t maxParticipants) noexcept {
  const uint64_t offset = queueOffsetFor(slots.count, slots.slotByteLength, slots.payloadOffset, maxParticipants);
  if (byteLength < offset + sizeof(QueueHeader)) return;
  auto& queue = *reinterpret_cast<QueueHeader*>(body + offset);
  auto* counters = reinterpret_cast<ParticipantCounters*>(body + sizeof(MpmcHeader));
  counters[id].got.store(0, std::memory_order_seq_cst);
  counters[id].sender.store(0, std::memory_order_seq_cst);
  EventCount(queue.done).notify();
  if (!sendersAreGone(queue, counters, entries, maxParticipants)) return;
  slots.header->ended.store(1, std::memory_order_seq_cst);
  slots.wakeAll();
}

}  // namespace ringway
