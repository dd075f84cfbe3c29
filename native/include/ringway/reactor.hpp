// Sleeps on words of shared memory on behalf of an event loop: a thread blocked in the kernel until one of the watched
// words changes or a deadline passes. No Node-API in here, and no libuv, which other runtimes lack.
//
// futex_waitv watches 127 words and the reactor's own control word; more words get more threads. Where the kernel does
// not have it (before 5.16) or a sandbox forbids it, a thread watches one word, and since nobody can then be told of a
// new deadline or a cancellation through a second word, it looks up every kBlindSleepNs.
#pragma once

#include <algorithm>
#include <memory>
#include <mutex>
#include <pthread.h>
#include <signal.h>
#include <utility>
#include <vector>

#include "ringway/futex.hpp"

namespace ringway {

class Reactor {
 public:
  enum class Reason : uint8_t { changed, timeout };
  struct Wake {
    uint32_t token;
    Reason reason;
  };
  // Called on a reactor thread when collect() has something to give that it had not before.
  using Signal = void (*)(void* context);

  Reactor(Signal signal, void* context) noexcept : signal_(signal), context_(context) {}
  ~Reactor() {
    for (auto& shard : shards_) shard->stop();
  }
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  // One wake for `token` when `word` is no longer `expected`, or at the deadline. The word must stay mapped until the
  // wake was collected or the watch cancelled. False if no thread could be started.
  [[nodiscard]] bool watch(uint32_t token, const std::atomic<uint32_t>& word, uint32_t expected, int64_t deadlineNs) {
    const size_t limit = hasFutexWaitAny() ? kMaxFutexWaiters - 1 : 1;
    for (auto& shard : shards_) {
      if (shard->add({token, expected, &word, deadlineNs}, limit)) return true;
    }
    auto shard = std::make_unique<Shard>(*this);
    if (!shard->start()) return false;
    shard->add({token, expected, &word, deadlineNs}, limit);
    shards_.push_back(std::move(shard));
    return true;
  }

  // No wake for `token` will be collected any more, and its word is not looked at again.
  void cancel(uint32_t token) {
    for (auto& shard : shards_) {
      if (shard->remove([token](const Watch& watch) { return watch.token == token; })) break;
    }
    const std::lock_guard guard(mutex_);
    std::erase_if(wakes_, [token](const Wake& wake) { return wake.token == token; });
  }

  // No word in a range of memory that is about to go is looked at again. Wakes that are waiting to be collected stay.
  void cancelRange(const void* base, size_t byteLength) {
    const auto first = reinterpret_cast<uintptr_t>(base);
    for (auto& shard : shards_) {
      shard->remove([=](const Watch& watch) {
        const auto address = reinterpret_cast<uintptr_t>(watch.word);
        return address >= first && address - first < byteLength;
      });
    }
  }

  [[nodiscard]] std::vector<Wake> collect() {
    const std::lock_guard guard(mutex_);
    signalled_ = false;
    return std::exchange(wakes_, {});
  }

 private:
  static constexpr int64_t kBlindSleepNs = 50'000'000;

  struct Watch {
    uint32_t token, expected;
    const std::atomic<uint32_t>* word;
    int64_t deadlineNs;
  };

  // One thread and the words it watches.
  class Shard {
   public:
    explicit Shard(Reactor& reactor) noexcept : reactor_(reactor) {}

    bool start() noexcept {
      // The runtime's signal handlers belong on its own threads.
      sigset_t all, before;
      sigfillset(&all);
      pthread_sigmask(SIG_SETMASK, &all, &before);
      const int error = pthread_create(
          &thread_, nullptr,
          [](void* self) -> void* {
            pthread_setname_np(pthread_self(), "ringway");
            static_cast<Shard*>(self)->run();
            return nullptr;
          },
          this);
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
      return error == 0;
    }

    void stop() noexcept {
      {
        const std::lock_guard guard(mutex_);
        stopping_ = true;
        touch();
      }
      pthread_join(thread_, nullptr);
    }

    bool add(const Watch& watch, size_t limit) {
      const std::lock_guard guard(mutex_);
      if (watches_.size() >= limit) return false;
      watches_.push_back(watch);
      touch();
      return true;
    }

    template <class Match>
    bool remove(Match&& match) {
      const std::lock_guard guard(mutex_);
      const bool any = std::erase_if(watches_, match) > 0;
      if (any) touch();
      return any;
    }

   private:
    // Makes the thread look at its list again. The mutex is held, so the thread has not yet read the new list or has
    // not yet read the control word: the kernel's compare tells it apart.
    void touch() noexcept {
      control_.fetch_add(1, std::memory_order_relaxed);  // Ordered by the mutex; the kernel compares the word itself.
      futexWakeAll(control_);
      if (!hasFutexWaitAny()) {
        for (const Watch& watch : watches_) futexWakeAll(*watch.word);  // The word the thread may be asleep on.
      }
    }

    void run() {
      std::vector<FutexWaiter> waiters;
      for (;;) {
        int64_t deadlineNs = kForever;
        Watch only{};
        {
          const std::lock_guard guard(mutex_);
          if (stopping_) return;
          waiters.clear();
          waiters.push_back(futexWaiter(control_, control_.load(std::memory_order_relaxed)));  // As in touch().
          for (const Watch& watch : watches_) {
            waiters.push_back(futexWaiter(*watch.word, watch.expected));
            deadlineNs = std::min(deadlineNs, watch.deadlineNs);
            only = watch;
          }
        }
        // Words are only named to the kernel here, never read: a mapping that is gone by now is EFAULT, not a crash.
        if (hasFutexWaitAny()) {
          futexWaitAny(waiters.data(), waiters.size(), deadlineNs);
        } else if (only.word == nullptr) {
          futexWait(control_, static_cast<uint32_t>(waiters[0].expected), kForever);
        } else {
          futexWait(*only.word, only.expected, std::min(deadlineNs, nowNs() + kBlindSleepNs));
        }
        settle();
      }
    }

    // Moves every watch that is due to the reactor's wakes. All words are looked at: the kernel names only one, though
    // several may have been woken.
    void settle() {
      const std::lock_guard guard(mutex_);
      const int64_t now = nowNs();
      std::erase_if(watches_, [&](const Watch& watch) {
        // Acquire, with event_count.hpp's sequence + 2: the condition was changed before it.
        const bool changed = watch.word->load(std::memory_order_acquire) != watch.expected;
        if (!changed && now < watch.deadlineNs) return false;
        reactor_.deliver({watch.token, changed ? Reason::changed : Reason::timeout});
        return true;
      });
    }

    Reactor& reactor_;
    std::mutex mutex_;
    std::vector<Watch> watches_;
    std::atomic<uint32_t> control_{0};
    bool stopping_ = false;
    pthread_t thread_{};
  };

  void deliver(Wake wake) {
    bool first;
    {
      const std::lock_guard guard(mutex_);
      wakes_.push_back(wake);
      first = !std::exchange(signalled_, true);
    }
    if (first) signal_(context_);
  }

  const Signal signal_;
  void* const context_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::mutex mutex_;
  std::vector<Wake> wakes_;
  bool signalled_ = false;
};

}  // namespace ringway
