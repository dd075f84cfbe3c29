// What recovery needs of a barrier: how the generation breaks in which a party died or left. Arriving, releasing and
// resetting are in src/sync/generations.ts, whose points are cited here.
#pragma once

#include <cstddef>

#include "ringway/event_count.hpp"

namespace ringway {

constexpr uint32_t arrivalOf(uint32_t id, uint32_t generation) noexcept { return generation << kArrivalIdBits | id; }

constexpr uint32_t blameOf(BreakCause cause, uint32_t pid, uint32_t generation) noexcept {
  return static_cast<uint32_t>(cause) | pid << kBlamePidShift | generation << kBlameGenerationShift;
}

// Breaks the current generation if participant `id`, which is leaving, or dead and pinned, has arrived in it. It arrives
// in no other one meanwhile. Lock-free; wait-free unless the generation ends at that moment.
inline void breakBarrierOf(uint32_t id, std::byte* body, uint64_t byteLength, BreakCause cause, uint32_t pid) noexcept {
  if (byteLength < sizeof(BarrierHeader)) return;
  auto& header = *reinterpret_cast<BarrierHeader*>(body);
  const uint32_t parties = header.parties;  // Copied: a peer may scribble over it.
  if (parties > kMaxParties || byteLength < sizeof(BarrierHeader) + uint64_t{parties} * 4) return;
  const auto* arrivals = reinterpret_cast<const Atomic<uint32_t>*>(body + sizeof(BarrierHeader));
  uint32_t state = header.state.load(std::memory_order_seq_cst);  // B.
  if ((state & 1) != 0) return;
  const uint32_t generation = state >> 1;
  for (uint32_t i = 0; i < parties; ++i) {
    if (arrivals[i].load(std::memory_order_seq_cst) != arrivalOf(id, generation)) continue;  // A.
    header.blame.store(blameOf(cause, pid, generation), std::memory_order_relaxed);          // Published by B.
    // If this fails, the generation is over: it was completed, or broken by somebody else.
    if (header.state.compare_exchange_strong(state, state + 1, std::memory_order_seq_cst)) {  // B.
      EventCount(header.ended).notify();                                                      // C.
    }
    return;
  }
}

}  // namespace ringway
