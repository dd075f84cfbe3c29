// What becomes of a lock whose owner is gone. Taking, releasing and waiting are in src/sync/ownership.ts; one word says
// who owns the lock, so taking it and saying who took it are one atomic step.
//
//   FREE, OWNER_DIED --CAS--> id + 1        by whoever takes it, and learns from the word it replaced which it was
//   id + 1 --CAS--> FREE                    by its owner
//   id + 1 --CAS--> OWNER_DIED              by its owner, whose handle is closed; or by whoever pinned id
//                                           (presence.hpp), so it is dead and stays dead
//
// No version stands in the word: a recoverer's compare-exchange that comes late can only find id + 1 again if id has
// another holder, and while it is pinned it has none.
//
//   A "the lock is free"      abandonLock()  owner, compare-exchange  ->  tryTake()  owner, compare-exchange
//     Who takes it sees all that the owner did: of a dead one, the kernel's lock orders its last stores before the pin.
//   B "no wake-up is lost"    abandonLock() changes owner; its caller notifies `released`: event_count.hpp, A
#pragma once

#include "ringway/event_count.hpp"

namespace ringway {

// Sets the lock free, with the mark, if `id` owns it: the caller, or one whose death the caller has pinned. True if so.
inline bool abandonLock(LockHeader& lock, uint32_t id, const ParticipantEntry& entry) noexcept {
  uint32_t owner = id + 1;
  if (lock.owner.load(std::memory_order_seq_cst) != owner) return false;
  lock.diedPid.store(entry.pid.load(std::memory_order_relaxed), std::memory_order_relaxed);     // Published by A.
  return lock.owner.compare_exchange_strong(owner, kLockOwnerDied, std::memory_order_seq_cst);  // A.
}

// The lock that a segment of that kind has in its body, or nullptr. Offsets are a peer's to write, so they are checked.
inline LockHeader* lockIn(Kind kind, std::byte* body, uint64_t byteLength) noexcept {
  if (byteLength < sizeof(LockHeader)) return nullptr;
  uint32_t offset = 0;
  if (kind == Kind::value || kind == Kind::sharedArray) {
    offset = kind == Kind::value ? reinterpret_cast<const ValueHeader*>(body)->lock
                                 : reinterpret_cast<const SharedArrayHeader*>(body)->lock;
    if (offset == 0 || offset % kIsolationBytes != 0 || offset > byteLength - sizeof(LockHeader)) return nullptr;
  } else if (kind != Kind::lock && kind != Kind::condition) {
    return nullptr;
  }
  return reinterpret_cast<LockHeader*>(body + offset);
}

}  // namespace ringway
