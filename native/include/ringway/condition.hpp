// What recovery needs of a condition: what becomes of the waits and the notices of a participant that died or left. Waiting
// and notifying are in src/sync/notices.ts, whose points are cited here.
#pragma once

#include <cstddef>

#include "ringway/event_count.hpp"

namespace ringway {

constexpr uint32_t waitsIn(uint32_t counts) noexcept { return counts & ((uint32_t{1} << kNoticeShift) - 1); }
constexpr uint32_t noticesIn(uint32_t counts) noexcept { return counts >> kNoticeShift; }

// Ends the waits of participant `id`, which is leaving, or dead and pinned. Its notices stay where they are, with nobody
// to take them: the next owner of the lock passes them on. Lock-free; a system call for each sleeper that is to do that.
inline void leaveNotices(uint32_t id, std::byte* body, uint64_t byteLength, uint32_t maxParticipants) noexcept {
  if (byteLength < sizeof(ConditionHeader) + uint64_t{maxParticipants} * sizeof(WaitingRow)) return;
  auto& header = *reinterpret_cast<ConditionHeader*>(body);
  auto* rows = reinterpret_cast<WaitingRow*>(body + sizeof(ConditionHeader));
  uint32_t counts = rows[id].counts.load(std::memory_order_seq_cst);
  while (waitsIn(counts) != 0 &&
         !rows[id].counts.compare_exchange_weak(counts, counts - waitsIn(counts), std::memory_order_seq_cst)) {  // A.
  }
  if (noticesIn(counts) == 0) return;
  header.left.fetch_add(1, std::memory_order_seq_cst);  // C. Killed before this, we leave it to those who look.
  for (uint32_t i = 0; i < maxParticipants; ++i) {
    const uint32_t others = rows[i].counts.load(std::memory_order_seq_cst);
    if (waitsIn(others) > noticesIn(others)) EventCount(rows[i].notified).notify();  // B.
  }
}

}  // namespace ringway
