// What became of every message, written down in memory that outlives who wrote it. Deaths happen only before a step
// (ringway/atomic.hpp), so a line that follows an operation is written if and only if its last step was done: the ledger
// is exact, also about the dead.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "ringway/mpmc_slots.hpp"

namespace support {

// A message as it lies in a slot: its number, who made it, and bytes that depend on both, as many as the number says.
struct Message {
  static constexpr uint32_t kMaxByteLength = 40;
  uint64_t id = 0;
  uint32_t producer = 0, byteLength = 0;

  static uint32_t byteLengthOf(uint64_t id) noexcept { return 16 + static_cast<uint32_t>(id % 25); }
  void write(std::byte* to) const noexcept {
    std::memcpy(to, &id, sizeof id);
    ringway::step();  // So that some die in the middle of a message.
    std::memcpy(to + 8, &producer, sizeof producer);
    std::memcpy(to + 12, &byteLength, sizeof byteLength);
    for (uint32_t at = 16; at < byteLength; ++at) to[at] = fill(at);
  }
  // False if it is not what write() made.
  [[nodiscard]] bool read(const std::byte* from, uint32_t length) noexcept {
    if (length < 16 || length > kMaxByteLength) return false;
    std::memcpy(&id, from, sizeof id);
    std::memcpy(&producer, from + 8, sizeof producer);
    std::memcpy(&byteLength, from + 12, sizeof byteLength);
    if (byteLength != length || length != byteLengthOf(id)) return false;
    for (uint32_t at = 16; at < length; ++at) {
      if (from[at] != fill(at)) return false;
    }
    return true;
  }

 private:
  std::byte fill(uint32_t at) const noexcept { return static_cast<std::byte>(id * 31 + producer * 7 + at); }
};

// Of one message.
struct Fate {
  std::atomic<uint8_t> complete;      // S3 was done: it must arrive.
  std::atomic<uint8_t> mayComeAgain;  // It was given back, or somebody died who read it.
  std::atomic<uint8_t> deliveries;    // Times that somebody took it.
  std::atomic<uint8_t> unmarked;      // Those in which it was not marked as coming again.
  std::atomic<uint8_t> acked;         // Times that its slot was freed by who had taken it.
};

class Ledger {
 public:
  static constexpr uint64_t kCapacity = 1 << 20;

  // In memory that forked processes share.
  static Ledger& make() {
    void* memory = mmap(nullptr, sizeof(Ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    return *static_cast<Ledger*>(memory);
  }
  static void drop(Ledger& ledger) { munmap(&ledger, sizeof(Ledger)); }

  uint64_t newId() noexcept { return next_.fetch_add(1); }
  uint64_t used() const noexcept { return next_.load() - first_.load(); }
  Fate& of(uint64_t id) noexcept { return fates_[id % kCapacity]; }

  // Somebody has taken a message. What is wrong with that, or nullptr.
  const char* delivered(const Message& message, bool again, uint32_t deliveries) noexcept {
    if (message.id < first_.load() || message.id >= next_.load()) return "nobody sent it";
    Fate& fate = of(message.id);
    if (fate.acked.load() != 0) return "it was acked already";
    if (fate.deliveries.fetch_add(1) + 1u != deliveries) return "its count of deliveries is wrong";
    if (!again && fate.unmarked.fetch_add(1) != 0) return "it comes again without a mark";
    if (again && fate.mayComeAgain.load() == 0) return "it is marked, but nobody gave it back or died with it";
    return nullptr;
  }

  // When the ring is empty and nobody works: what is wrong with the accounts, or an empty text. Starts new ones.
  std::string close() {
    std::string wrong;
    for (uint64_t id = first_.load(); id < next_.load(); ++id) {
      const Fate& fate = of(id);
      const uint32_t complete = fate.complete.load(), acked = fate.acked.load();
      if (complete == acked && (complete == 1 || fate.deliveries.load() == 0)) continue;
      wrong += "message " + std::to_string(id) + (complete != 0 ? " was committed" : " was not committed") +
               ", delivered " + std::to_string(fate.deliveries.load()) + " times, acked " + std::to_string(acked) +
               " times\n";
    }
    first_.store(next_.load());
    std::memset(static_cast<void*>(fates_), 0, sizeof fates_);
    return wrong;
  }

 private:
  std::atomic<uint64_t> next_, first_;
  Fate fates_[kCapacity];
};

}  // namespace support
