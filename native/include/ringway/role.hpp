// Who holds one end of a ring. The word says phase and holder at once, so taking a role and saying who took it are one
// atomic step.
//
//   NONE --CAS--> HELD(id) --store--> CLOSED        by its holder
//                 HELD(id) --CAS----> DIED          by whoever pinned id (presence.hpp), so it is dead and stays dead
//   CLOSED, DIED --CAS--> HELD(id)                  by the replacement
//
//   A "a role changed hands"   takeRole(), leaveRole(), settleRole()   word, sequentially consistent
//                          ->  the other end before it sleeps          word, sequentially consistent
//     The new holder also sees the positions as its predecessor left them: the compare-exchange acquires what the
//     predecessor's last release in the same word published, and after a death the kernel's lock orders the two.
#pragma once

#include "ringway/event_count.hpp"
#include "ringway/presence.hpp"

namespace ringway {

enum class RolePhase : uint32_t { none = 0, held = 1, closed = 2, died = 3 };

inline constexpr uint32_t kRolePhaseMask = 7;
inline constexpr uint32_t kRoleIdShift = 3;

constexpr uint32_t heldBy(uint32_t id) noexcept { return static_cast<uint32_t>(RolePhase::held) | id << kRoleIdShift; }
constexpr RolePhase rolePhase(uint32_t word) noexcept { return static_cast<RolePhase>(word & kRolePhaseMask); }
constexpr uint32_t roleHolder(uint32_t word) noexcept { return word >> kRoleIdShift; }

// Marks the role as lost if it is still held by `id`, whose death the caller has pinned. True if it was.
inline bool settleRole(RoleWords& role, uint32_t id, const ParticipantEntry& entry) noexcept {
  uint32_t word = heldBy(id);
  if (role.word.load(std::memory_order_seq_cst) != word) return false;                       // A.
  role.diedPid.store(entry.pid.load(std::memory_order_relaxed), std::memory_order_relaxed);  // Published by the CAS.
  return role.word.compare_exchange_strong(word, static_cast<uint32_t>(RolePhase::died), std::memory_order_seq_cst);
}

// Gives the role back if `id`, the caller, holds it. True if it did.
inline bool leaveRole(RoleWords& role, uint32_t id) noexcept {
  uint32_t word = heldBy(id);
  return role.word.compare_exchange_strong(word, static_cast<uint32_t>(RolePhase::closed),
                                           std::memory_order_seq_cst);  // A: releases our last position.
}

}  // namespace ringway
