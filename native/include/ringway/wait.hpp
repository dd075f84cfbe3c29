// How long to watch a word before sleeping on it, and how long to sleep. What is waited for is the caller's.
//
// Sleeping without a limit is right only while nobody's death would matter. A sleeper that waits for a live peer sleeps
// kFirstSleepNs, then twice as long, up to kLongestSleepNs, and asks the kernel each time whether the peer lives: no
// wake-up is sent by a process that was killed, and the one that a dying process owed may be missing.
#pragma once

#include <algorithm>
#include <sched.h>

#include "ringway/position.hpp"

namespace ringway {

inline void spinPause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

// What one does between two looks at a word. A peer that runs on another processor answers within the first looks; after
// those it may be waiting for the very processor that this thread watches on, for a whole time slice (4 ms and more under
// Linux) unless it is given away now and then. Without anybody who wants it, that costs a system call.
class Pause {
 public:
  // True now and then: that the clock, which costs as much as 20 turns, is worth a look.
  bool operator()() noexcept {
    if (++turns_ % kTurnsPerYield != 0) {
      spinPause();
      return false;
    }
    if (turns_ > kTurnsPerYield) sched_yield();
    return true;
  }

 private:
  static constexpr uint32_t kTurnsPerYield = 64;
  uint32_t turns_ = 0;
};

// Watching for longer than a sleep and a wake-up cost is never worth it: with this limit the worst case is twice the
// best (Karlin, Manasse, McGeoch, Owicki, "Competitive randomized algorithms for nonuniform problems", 1990).
inline constexpr int64_t kLongestSpinNs = 200'000;
inline constexpr int64_t kShortestSpinNs = 8'000;
inline constexpr int64_t kFirstSleepNs = 20'000'000;
inline constexpr int64_t kLongestSleepNs = 1'000'000'000;

// How long to spin, learnt from the gaps that were met. Twin: src/wait/adaptive-spin.ts.
class AdaptiveSpin {
 public:
  [[nodiscard]] int64_t limitNs(WaitMode mode) const noexcept {
    if (mode == WaitMode::park) return 0;
    if (mode == WaitMode::spin) return kForever;
    return gapNs_ > kLongestSpinNs ? kShortestSpinNs : std::clamp(2 * gapNs_, kShortestSpinNs, kLongestSpinNs);
  }
  // A wait has ended after `gapNs`. One long gap is capped, so that a burst after a pause is noticed soon.
  void learn(int64_t gapNs) noexcept { gapNs_ += (std::min(gapNs, 4 * kLongestSpinNs) - gapNs_) / 8; }

 private:
  int64_t gapNs_ = kLongestSpinNs / 4;
};

// Spins until the position is no longer `seen`, or `role` no longer `roleSeen`; false if the limit came first. The role
// changes rarely and is looked at less often.
inline bool spinUntilMoved(const SharedPosition& position, uint32_t seen, const std::atomic<uint32_t>& role,
                           uint32_t roleSeen, int64_t limitNs) noexcept {
  const int64_t end = limitNs == kForever ? kForever : nowNs() + limitNs;
  for (Pause pause;;) {
    if (position.load() != seen) return true;
    if (!pause()) continue;
    if (role.load(std::memory_order_acquire) != roleSeen) return true;  // role.hpp, A; looked at again by the caller.
    if (nowNs() >= end) return false;
  }
}

// The limit of the next sleep while a live peer is waited for.
class SleepLimit {
 public:
  [[nodiscard]] int64_t nextNs() noexcept {
    const int64_t limit = limitNs_;
    limitNs_ = std::min(2 * limitNs_, kLongestSleepNs);
    return limit;
  }

 private:
  int64_t limitNs_ = kFirstSleepNs;
};

}  // namespace ringway
