// A position that one end of a ring moves and the other end may sleep on. Twin: src/ring/position.ts.
//
// Positions are multiples of 8, so bit 0 of the word is free to say that the other end sleeps, or is about to. Moving the
// position and learning of a sleeper are one atomic step, and a mover that meets no sleeper makes no system call.
//
//   A "the bytes are yours"   move()     word, exchange, release      ->  load(), prepare()  word, acquire
//   B "no wake-up is lost"    prepare()  bell, acquire; word |= bit   ->  move()             word, exchange; then the bell
//     Both are read-modify-writes of one word, so one comes first. Is it prepare(), the mover gets the bit and rings, and
//     the bell differs from what prepare() loaded before it set the bit, so futexWait() does not fall asleep or is woken.
//     Is it move(), prepare() returns the new position, and the sleeper has what it waited for.
//   C "what I need"           prepare()  word |= bit, release         ->  move()             word, exchange, acquire
//     What the sleeper wrote before prepare() is visible to a mover that gets the bit (wantedHead, in spsc_ring.hpp).
//
// A bit that a dead sleeper left costs one empty wake. A mover that dies between the exchange and the bell leaves a sleeper
// behind, which is why whoever sleeps while a live peer holds the other role sleeps with a limit (wait.hpp).
#pragma once

#include "ringway/futex.hpp"

namespace ringway {

inline constexpr uint32_t kAsleepBit = 1;

class SharedPosition {
 public:
  // `bell` is the word that sleepers sleep on: it grows by 2 with every ring.
  SharedPosition(Atomic<uint32_t>& word, Atomic<uint32_t>& bell) noexcept : word_(word), bell_(bell) {}

  [[nodiscard]] uint32_t load() const noexcept { return word_.load(std::memory_order_acquire) & ~kAsleepBit; }  // A.

  // By the end that owns the position. True if the other end sleeps and must be rung for, or must be marked again.
  [[nodiscard]] bool move(uint32_t position) noexcept {
    return (word_.exchange(position, std::memory_order_acq_rel) & kAsleepBit) != 0;  // A; B and C, with prepare().
  }
  void ring() noexcept {
    bell_.fetch_add(2,
                    std::memory_order_release);  // B. Whoever wakes by it sees what came before, a change of roles too.
    futexWakeAll(bell_);
  }
  // The sleeper that move() found is not to be woken yet. If we die before this, its limit ends the sleep.
  void markAgain() noexcept {
    word_.fetch_or(kAsleepBit, std::memory_order_relaxed);
  }  // It published its needs already.

  // By the other end, before it sleeps: the value of the bell to sleep on. If `position` has moved meanwhile, or whatever
  // else is waited for has come, the caller does not sleep.
  [[nodiscard]] uint32_t prepare(uint32_t& position) noexcept {
    const uint32_t rung = bell_.load(std::memory_order_acquire);  // B: before the bit, so never newer.
    position = word_.fetch_or(kAsleepBit, std::memory_order_acq_rel) & ~kAsleepBit;  // A, B, C: with move().
    return rung;
  }

  [[nodiscard]] const Atomic<uint32_t>& word() const noexcept { return word_; }
  [[nodiscard]] const Atomic<uint32_t>& bell() const noexcept { return bell_; }

 private:
  Atomic<uint32_t>& word_;
  Atomic<uint32_t>& bell_;
};

}  // namespace ringway
