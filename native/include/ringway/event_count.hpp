// An event count: sleep until a condition in shared memory may have changed, without a system call for a notifier that
// meets no sleeper. Twin: src/wait/event-count.ts.
//
//   A "no wake-up is lost"   the one who changes:   change the condition; load asleep
//                            the one who waits:     raise asleep; look at the condition again
//     All four are sequentially consistent, so at least one of the two sees the other: a waiter that misses the change
//     is seen by the notifier, and a notifier that sees nobody is seen by the waiter. Release and acquire would allow
//     both loads to be early (store buffering), which x86 does too.
//   B "awake in between"     notify()  sequence + 2  ->  futexWait(sequence, seen): the kernel compares and falls asleep
//     in one step, so a notification after prepare() ends the sleep before it starts.
//
// `asleep` is not a count: a sleeper that is killed would never be counted out, and every notifier would make system
// calls for ever. It holds the newest sequence slept on, is only raised by sleepers and cleared by the notifier with a
// compare-exchange after its wake, so that it never wipes out the mark of somebody who came meanwhile. A mark that a
// dead sleeper left costs one empty wake.
//
// A notifier that dies between changing the condition and waking leaves sleepers behind. Therefore whoever sleeps while
// the death of a live peer would matter sleeps with a limit (see wait.hpp) and looks again.
#pragma once

#include "ringway/futex.hpp"

namespace ringway {

class EventCount {
 public:
  explicit EventCount(EventCountWords& words) noexcept : words_(words) {}

  // Announces a sleeper and returns the sequence to sleep on. The caller must look at its condition once more before
  // it sleeps (A). Lock-free.
  [[nodiscard]] uint32_t prepare() noexcept {
    const uint32_t sequence = words_.sequence.load(std::memory_order_seq_cst);  // B: before the mark, so never newer.
    const uint32_t mark = sequence | 1;
    uint32_t asleep = words_.asleep.load(std::memory_order_seq_cst);
    while (asleep == 0 || static_cast<int32_t>(mark - asleep) > 0) {
      if (words_.asleep.compare_exchange_weak(asleep, mark, std::memory_order_seq_cst)) break;  // A: with notify().
    }
    return sequence;
  }

  // Call after the condition was changed by a sequentially consistent store. Wait-free; a system call only if somebody
  // may sleep.
  void notify() noexcept {
    const uint32_t asleep = words_.asleep.load(std::memory_order_seq_cst);  // A: with prepare().
    if (asleep != 0) wake(asleep);
  }

  [[nodiscard]] const Atomic<uint32_t>& sequence() const noexcept { return words_.sequence; }

 private:
  void wake(uint32_t asleep) noexcept {
    words_.sequence.fetch_add(2, std::memory_order_seq_cst);  // B: who prepared before this does not fall asleep.
    futexWakeAll(words_.sequence);
    // After the wake, so a notifier that dies before it leaves the mark standing for the next one.
    words_.asleep.compare_exchange_strong(asleep, 0, std::memory_order_seq_cst);
  }

  EventCountWords& words_;
};

}  // namespace ringway
