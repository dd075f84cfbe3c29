// Ends a blocking wait on the main thread when SIGINT, SIGTERM or SIGHUP arrives and the runtime has a handler for it.
//
// A handler installed with SA_RESTART, as runtimes do, lets the kernel resume the sleep, and its listener can only run
// when the blocked thread is back in its loop. So our handler stands before the runtime's: it calls that one, so nothing is
// lost, then changes a word that a sleep can watch beside its own. Signals that nobody listens to keep their disposition,
// and kill; a runtime that takes its handler away takes ours with it.
#pragma once

#include <atomic>
#include <csignal>
#include <iterator>

#include "ringway/futex.hpp"

namespace ringway {

class Interrupts {
 public:
  static constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};

  // Stands before the handlers of the signals in `mask`: bit i is kSignals[i]. By the main thread only.
  static void watch(uint32_t mask) noexcept {
    for (size_t i = 0; i < std::size(kSignals); ++i) {
      if ((mask >> i & 1) == 0) continue;
      struct sigaction current = {};
      if (sigaction(kSignals[i], nullptr, &current) != 0 || isOurs(current) || !isHandler(current)) continue;
      struct sigaction ours = current;  // Its mask and flags, SA_ONSTACK say, go on to hold.
      ours.sa_sigaction = &handle;
      ours.sa_flags |= SA_SIGINFO;
      previous_[i] = current;
      sigaction(kSignals[i], &ours, nullptr);
    }
  }

  // Puts the runtime's handlers back, where ours still stand.
  static void unwatch() noexcept {
    for (size_t i = 0; i < std::size(kSignals); ++i) {
      struct sigaction current = {};
      if (sigaction(kSignals[i], nullptr, &current) == 0 && isOurs(current)) {
        sigaction(kSignals[i], &previous_[i], nullptr);
      }
    }
  }

  // How many have come. Relaxed: it is only compared, and the kernel compares the word itself before a sleep.
  static uint32_t count() noexcept { return count_.load(std::memory_order_relaxed); }
  // For futexWaitAny(): a signal that has come since `seen` ends the sleep before it starts.
  static FutexWaiter waiter(uint32_t seen) noexcept { return futexWaiter(count_, seen); }

 private:
  static bool isOurs(const struct sigaction& action) noexcept {
    return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == &handle;
  }
  static bool isHandler(const struct sigaction& action) noexcept {
    return (action.sa_flags & SA_SIGINFO) != 0 || (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
  }

  static void handle(int signal, siginfo_t* info, void* context) noexcept {
    const int before = errno;
    for (size_t i = 0; i < std::size(kSignals); ++i) {
      if (kSignals[i] != signal) continue;
      // Somebody who stood before us and stands behind us now, or we twice: each is called once.
      const pid_t self = gettid();
      if (inside_[i].load(std::memory_order_relaxed) == self) return;  // Ours alone to compare: it names this thread.
      inside_[i].store(self, std::memory_order_relaxed);
      const struct sigaction& runtime = previous_[i];
      if ((runtime.sa_flags & SA_SIGINFO) != 0) {
        runtime.sa_sigaction(signal, info, context);
      } else {
        runtime.sa_handler(signal);
      }
      inside_[i].store(0, std::memory_order_relaxed);  // As above.
    }
    count_.fetch_add(1, std::memory_order_relaxed);  // As in count().
    futexWakeAll(count_);
    errno = before;
  }

  inline static std::atomic<uint32_t> count_{0};
  inline static std::atomic<pid_t> inside_[std::size(kSignals)] = {};
  inline static struct sigaction previous_[std::size(kSignals)] = {};
};

}  // namespace ringway
