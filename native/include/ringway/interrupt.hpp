// Ends a blocking wait on the main thread when SIGINT, SIGTERM or SIGHUP arrives and the runtime has a handler for it.
//
// A handler installed with SA_RESTART, as runtimes do, lets the kernel resume the sleep, and its listener can only run
// when the blocked thread is back in its loop. So for the time of the wait our handler stands before the runtime's:
// it calls that one, so nothing is lost, then changes a word that the sleep watches beside its own. Signals that nobody
// listens to keep their disposition, and kill.
#pragma once

#include <atomic>
#include <csignal>
#include <iterator>

#include "ringway/futex.hpp"

namespace ringway {

class InterruptGuard {
 public:
  static constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};
  static constexpr uint32_t kAll = 7;

  // `mask`: bit i stands for kSignals[i]. Only one guard can be active in a process; a second one guards nothing.
  explicit InterruptGuard(uint32_t mask) noexcept {
    if (mask == 0 || inUse_.exchange(true, std::memory_order_acquire)) return;  // Pairs with ~InterruptGuard().
    active_ = mask;
    seen_ = interrupts_.load(std::memory_order_relaxed);  // Same thread as the handler's usual one; only compared.
    struct sigaction ours = {};
    ours.sa_sigaction = &handle;
    ours.sa_flags = SA_SIGINFO | SA_RESTART;
    for (size_t i = 0; i < std::size(kSignals); ++i) {
      if ((active_ >> i & 1) != 0) sigaction(kSignals[i], &ours, &previous_[i]);
    }
  }
  ~InterruptGuard() {
    if (active_ == 0) return;
    for (size_t i = 0; i < std::size(kSignals); ++i) {
      if ((active_ >> i & 1) != 0) sigaction(kSignals[i], &previous_[i], nullptr);
    }
    inUse_.store(false, std::memory_order_release);
  }
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  [[nodiscard]] bool active() const noexcept { return active_ != 0; }
  [[nodiscard]] bool interrupted() const noexcept {
    return active_ != 0 && interrupts_.load(std::memory_order_relaxed) != seen_;  // Only compared.
  }
  // For futexWaitAny(): a signal that came since construction ends the sleep before it starts.
  [[nodiscard]] FutexWaiter waiter() const noexcept { return futexWaiter(interrupts_, seen_); }

 private:
  static void handle(int signal, siginfo_t* info, void* context) noexcept {
    const int before = errno;
    for (size_t i = 0; i < std::size(kSignals); ++i) {
      if (kSignals[i] != signal) continue;
      const struct sigaction& runtime = previous_[i];
      if ((runtime.sa_flags & SA_SIGINFO) != 0) {
        runtime.sa_sigaction(signal, info, context);
      } else if (runtime.sa_handler != SIG_DFL && runtime.sa_handler != SIG_IGN) {
        runtime.sa_handler(signal);
      }
    }
    interrupts_.fetch_add(1, std::memory_order_relaxed);  // The kernel's compare in the futex call does the ordering.
    futexWakeAll(interrupts_);
    errno = before;
  }

  inline static std::atomic<bool> inUse_{false};
  inline static std::atomic<uint32_t> interrupts_{0};
  inline static struct sigaction previous_[std::size(kSignals)] = {};

  uint32_t active_ = 0;
  uint32_t seen_ = 0;
};

}  // namespace ringway
