// The many-to-many ring's protocol: in one thread, with many of them at work, and with participants that die at every
// phase of a slot while others go on.
#include <doctest/doctest.h>

#include <set>
#include <thread>
#include <vector>

#include "support.hpp"

using namespace ringway;
using namespace support;

namespace {

constexpr uint32_t kParticipants = 16;

// A ring in private memory.
struct Ring {
  explicit Ring(uint32_t count, uint32_t slotByteLength = 40, uint32_t start = 0)
      : byteLength(MpmcSlots::byteLengthFor(count, slotByteLength, sizeof(MpmcSlot), kParticipants)),
        memory(byteLength / sizeof(Line) + 1) {
    MpmcSlots::format(body(), count, slotByteLength, sizeof(MpmcSlot), kParticipants, WaitMode::adaptive);
    REQUIRE(MpmcSlots::bind(body(), byteLength, kParticipants, slots));
    // As if that many messages had passed through it.
    slots.header->tail = slots.header->head = start;
    for (uint32_t i = 0; i < count; ++i) {
      for (auto& cell : slots.at(i).order) cell = start & ~(2 * count - 1);
    }
  }
  std::byte* body() { return reinterpret_cast<std::byte*>(memory.data()); }

  bool push(uint32_t me, uint64_t value) const {
    uint32_t index = 0;
    if (!slots.claim(me, index)) return false;
    std::memcpy(slots.payload(index), &value, sizeof value);
    return slots.commit(me, index, sizeof value);
  }
  uint64_t valueOf(uint32_t index) const {
    uint64_t value = 0;
    std::memcpy(&value, slots.payload(index), sizeof value);
    return value;
  }
  // The value, or -1 if nothing is queued.
  int64_t pop(uint32_t me) const {
    uint32_t index = 0;
    const auto found = slots.take(me, index);
    CHECK(found != MpmcSlots::Found::corrupt);
    if (found != MpmcSlots::Found::message) return -1;
    const auto value = static_cast<int64_t>(valueOf(index));
    slots.free(index);
    return value;
  }
  bool again(uint32_t index) const { return (slots.at(index).state.load() & kSlotAgainBit) != 0; }

  struct alignas(kIsolationBytes) Line {
    std::byte bytes[kIsolationBytes];
  };
  uint64_t byteLength;
  std::vector<Line> memory;
  MpmcSlots slots;
};

}  // namespace

TEST_CASE("mpmc: messages come in the order of their commits, also where positions wrap") {
  for (const uint32_t count : {2u, 8u, 64u}) {
    for (const uint32_t start : {0u, uint32_t{} - 4 * count}) {
      const Ring ring(count, 40, start);
      for (uint64_t lap = 0; lap < 10; ++lap) {
        for (uint64_t i = 0; i < count; ++i) CHECK(ring.push(1, lap * count + i));
        CHECK(!ring.push(1, 0));
        for (uint64_t i = 0; i < count; ++i) CHECK(ring.pop(2) == static_cast<int64_t>(lap * count + i));
        CHECK(ring.pop(2) == -1);
      }
    }
  }
}

TEST_CASE("mpmc: what is held holds up nobody") {
  const Ring ring(4);
  uint32_t claimed = 0, lent = 0;
  CHECK(ring.push(1, 7));
  CHECK(ring.slots.claim(1, claimed));
  CHECK(ring.slots.take(2, lent) == MpmcSlots::Found::message);
  for (uint64_t i = 0; i < 100; ++i) {
    CHECK(ring.push(3, i));
    CHECK(ring.pop(4) == static_cast<int64_t>(i));
  }
  CHECK(ring.valueOf(lent) == 7);
  CHECK(ring.slots.nack(2, lent));
  CHECK(ring.slots.commit(1, claimed, 8));
  CHECK(ring.slots.take(4, lent) == MpmcSlots::Found::message);
  CHECK(ring.again(lent));
  CHECK(ring.slots.at(lent).deliveries == 2);
}

TEST_CASE("mpmc: a body that contradicts itself is refused") {
  Ring ring(8);
  MpmcSlots out;
  const auto refused = [&](uint32_t& field, uint32_t value) {
    const uint32_t was = std::exchange(field, value);
    const bool bound = MpmcSlots::bind(ring.body(), ring.byteLength, kParticipants, out);
    field = was;
    return !bound;
  };
  MpmcHeader& header = *ring.slots.header;
  for (const uint32_t value : {0u, 1u, 3u, 16u, 1u << 17, ~0u}) CHECK(refused(header.slots, value));
  for (const uint32_t value : {0u, 41u, ~0u}) CHECK(refused(header.slotByteLength, value));
  for (const uint32_t value : {0u, 23u, 32u, ~0u}) CHECK(refused(header.payloadOffset, value));
  for (const uint32_t value : {0u, 65u, 128u, ~0u}) CHECK(refused(header.stride, value));
  for (const uint32_t value : {0u, 768u, ~0u}) CHECK(refused(header.slotsOffset, value));
  CHECK(!MpmcSlots::bind(ring.body(), ring.byteLength - 64, kParticipants, out));
  CHECK(!MpmcSlots::bind(ring.body(), 100, kParticipants, out));
  CHECK(MpmcSlots::bind(ring.body(), ring.byteLength, kParticipants, out));
}

TEST_CASE("mpmc: hostile hints and cells end in corruption, not in an endless loop") {
  Random random(runSeed());
  for (int round = 0; round < 2000; ++round) {
    const Ring ring(4);
    for (uint32_t i = random.below(5); i > 0; --i) CHECK(ring.push(1, i));
    for (uint32_t pokes = 1 + random.below(4); pokes > 0; --pokes) {
      const uint32_t word = random.oneIn(2) ? random.word() : random.below(16);
      MpmcSlot& slot = ring.slots.at(random.below(4));
      switch (random.below(5)) {
        case 0:
          ring.slots.header->tail = word;
          break;
        case 1:
          ring.slots.header->head = word;
          break;
        case 2:
          slot.state = word;
          break;
        case 3:
          slot.order[random.below(2)] = word;
          break;
        default:
          slot.position = word;
      }
    }
    uint32_t index = 0;
    for (int act = 0; act < 8; ++act) {
      if (ring.slots.claim(1, index)) [[maybe_unused]]
        const bool queued = ring.slots.commit(1, index, 8);
      if (ring.slots.take(2, index) == MpmcSlots::Found::message) ring.slots.free(index);
      ring.slots.settle(random.below(kParticipants), 3);
    }
  }
}

TEST_CASE("mpmc: whatever a participant held when it died is settled by one of those who find it") {
  // Where the dead one was: after S1; S3; Q1 (also: taken since); S4, before and after Q4; S6.
  enum class At { claimed, complete, queued, taken, takenAndEmptied, nacked, count };
  for (int at = 0; at < static_cast<int>(At::count); ++at) {
    for (const bool twice : {false, true}) {
      CAPTURE(at);
      const Ring ring(4);
      const uint32_t dead = 5, heir = 6, other = 7;
      uint32_t index = 0;
      MpmcSlot* slot = nullptr;
      const auto queuedFirst = [&] {
        REQUIRE(ring.push(1, 42));
        REQUIRE(ring.push(1, 43));
      };
      const auto setPhase = [&](SlotPhase phase, uint32_t again) {
        slot->state = slotState(slot->state.load() | again, phase, dead + 1);
      };
      switch (static_cast<At>(at)) {
        case At::claimed:
        case At::complete:
          REQUIRE(ring.slots.claim(dead, index));
          slot = &ring.slots.at(index);
          std::memcpy(ring.slots.payload(index), "\x2a\0\0\0\0\0\0\0", 8);
          slot->byteLength = 8;
          if (static_cast<At>(at) == At::complete) setPhase(SlotPhase::ready, 0);
          REQUIRE(ring.push(1, 43));
          break;
        case At::queued:
          REQUIRE(ring.push(dead, 42));
          REQUIRE(ring.push(1, 43));
          break;
        case At::taken: {
          queuedFirst();
          const uint32_t cell = ring.slots.at(0).order[0];
          REQUIRE(ring.slots.take(dead, index) == MpmcSlots::Found::message);
          ring.slots.at(0).order[0] = cell;
          ring.slots.header->head = 0;
          break;
        }
        case At::takenAndEmptied:
          queuedFirst();
          REQUIRE(ring.slots.take(dead, index) == MpmcSlots::Found::message);
          break;
        default:
          queuedFirst();
          REQUIRE(ring.slots.take(dead, index) == MpmcSlots::Found::message);
          slot = &ring.slots.at(index);
          setPhase(SlotPhase::ready, kSlotAgainBit);
      }
      CHECK(ring.slots.settle(dead, heir));
      if (twice) ring.slots.settle(dead, other);
      CHECK(!ring.slots.settle(dead, other));
      std::multiset<int64_t> left;
      for (int64_t value = ring.pop(8); value >= 0; value = ring.pop(8)) left.insert(value);
      CHECK(left == (static_cast<At>(at) == At::claimed ? std::multiset<int64_t>{43} : std::multiset<int64_t>{42, 43}));
      CHECK(ring.slots.header->abandoned == (static_cast<At>(at) == At::claimed ? 1u : 0u));
      for (uint64_t i = 0; i < 4; ++i) CHECK(ring.push(1, i));  // Every slot is back.
    }
  }
}

TEST_CASE("mpmc: threads that write, read, give back, die and settle the dead") {
  constexpr uint32_t kProducers = 3, kConsumers = 3, kRecoverers = 2;
  const uint32_t each = RINGWAY_UNDER_TSAN || RINGWAY_UNDER_ASAN ? 10'000 : 60'000;
  for (const uint32_t count : {2u, 4u, 64u}) {
    const Ring ring(count, 40, uint32_t{} - 1024);
    std::vector<std::atomic<uint32_t>> arrived(kProducers * each);
    std::atomic<uint32_t> total{0};
    std::atomic<bool> wrong{false};
    std::atomic<uint32_t> working{kConsumers};
    std::atomic<uint32_t> dead[kProducers + kConsumers] = {};
    std::vector<std::thread> threads;
    for (uint32_t me = 0; me < kProducers; ++me) {
      threads.emplace_back([&, me] {
        for (uint32_t i = 0; i < each;) {
          if (ring.push(me, uint64_t{me} * each + i))
            ++i;
          else
            sched_yield();
        }
      });
    }
    for (uint32_t me = kProducers; me < kProducers + kConsumers; ++me) {
      threads.emplace_back([&, me] {
        Random random(runSeed() + me);
        int64_t last[kProducers] = {-1, -1, -1};
        while (total.load() < kProducers * each) {
          uint32_t index = 0;
          const auto found = ring.slots.take(me, index);
          if (found == MpmcSlots::Found::corrupt) wrong = true;
          if (found != MpmcSlots::Found::message) {
            sched_yield();
            continue;
          }
          const uint64_t value = ring.valueOf(index);
          const auto producer = static_cast<uint32_t>(value / each);
          if (!ring.again(index)) {
            if (producer >= kProducers || static_cast<int64_t>(value % each) <= last[producer])
              wrong = true;
            else
              last[producer] = static_cast<int64_t>(value % each);
          }
          if (random.oneIn(50)) {
            if (random.oneIn(2)) {
              if (!ring.slots.nack(me, index)) wrong = true;
            } else {
              // As if it had died, until both recoverers have let go of it, as a newcomer to its id would wait.
              dead[me].store((1u << kRecoverers) - 1);  // A bit for each recoverer.
              while (dead[me].load() != 0) sched_yield();
            }
            continue;
          }
          arrived[value].fetch_add(1);
          total.fetch_add(1);
          ring.slots.free(index);
        }
        working.fetch_sub(1);
      });
    }
    for (uint32_t r = 0; r < kRecoverers; ++r) {
      threads.emplace_back([&, r] {
        while (working.load() > 0) {
          for (uint32_t id = kProducers; id < kProducers + kConsumers; ++id) {
            if ((dead[id].load() >> r & 1) == 0) continue;
            ring.slots.settle(id, kProducers + kConsumers + r);
            dead[id].fetch_and(~(1u << r));
          }
          sched_yield();
        }
      });
    }
    for (auto& thread : threads) thread.join();
    CHECK(!wrong.load());
    uint32_t missing = 0;
    for (const auto& times : arrived) missing += times.load() != 1;
    CHECK(missing == 0);
    for (uint64_t i = 0; i < count; ++i) CHECK(ring.push(1, i));
  }
}
