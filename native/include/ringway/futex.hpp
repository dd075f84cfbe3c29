// The kernel's wait on a word of shared memory. Never FUTEX_PRIVATE: the other side is another process.
#pragma once

#include <cerrno>
#include <climits>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ringway/clock.hpp"
#include "ringway/layout.hpp"

// Headers older than Linux 5.16 do not have these; the call is asked for at run time.
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

namespace ringway {

struct FutexWaiter {
  uint64_t expected;
  uint64_t address;
  uint32_t flags;
  uint32_t reserved;
};
inline constexpr uint32_t kFutex32 = 2;
inline constexpr size_t kMaxFutexWaiters = 128;  // The kernel's FUTEX_WAITV_MAX.

inline FutexWaiter futexWaiter(const std::atomic<uint32_t>& word, uint32_t expected) noexcept {
  return {expected, reinterpret_cast<uintptr_t>(&word), kFutex32, 0};
}

// Sleeps while `word` is `expected`, until a wake or the deadline. 0, or -EAGAIN (the word differs already),
// -ETIMEDOUT, -EINTR. The kernel compares and falls asleep in one step with respect to futexWakeAll.
inline int futexWait(const std::atomic<uint32_t>& word, uint32_t expected, int64_t deadlineNs) noexcept {
  const timespec deadline = toTimespec(deadlineNs);
  const long result = syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, expected,
                              deadlineNs == kForever ? nullptr : &deadline, nullptr, FUTEX_BITSET_MATCH_ANY);
  return result < 0 ? -errno : 0;
}

// The same over several words at once. -ENOSYS or -EPERM where the kernel or a sandbox does not offer it. A return
// tells of one word only, though several may have been woken: callers must look at every word again.
inline int futexWaitAny(const FutexWaiter* waiters, size_t count, int64_t deadlineNs) noexcept {
  const timespec deadline = toTimespec(deadlineNs);
  const long result =
      syscall(SYS_futex_waitv, waiters, count, 0, deadlineNs == kForever ? nullptr : &deadline, CLOCK_MONOTONIC);
  return result < 0 ? -errno : 0;
}

inline bool hasFutexWaitAny() noexcept {
  static const bool has = [] {
    const std::atomic<uint32_t> word{1};
    const FutexWaiter waiter = futexWaiter(word, 0);
    return futexWaitAny(&waiter, 1, nowNs()) == -EAGAIN;
  }();
  return has;
}

inline void futexWakeAll(const std::atomic<uint32_t>& word) noexcept {
  syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace ringway
