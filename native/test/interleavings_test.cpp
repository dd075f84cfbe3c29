// No wake-up is lost, by enumeration: one party is led into its sleep instruction by instruction, from where it first
// touches the words for it until the kernel has it, and at each point the other party does all of what ends the wait.
// Sleeps have no limit here, so that a lost wake-up never ends, and the watchdog says so.
#include <doctest/doctest.h>

#include <memory>

#include "stepped.hpp"

// ThreadSanitizer multiplies the instructions; only on x86-64 is the sleep's system call told from others.
#if !RINGWAY_UNDER_TSAN && defined(__x86_64__)

using namespace ringway;
using namespace support;

namespace {

struct Meeting {
  Meeting() {
    REQUIRE_FALSE(createRingAt(segment, path, {.capacity = 256, .maxParticipants = 4}));
    REQUIRE(bindRing(segment, ring));
    // One sleep of our own, so that the dynamic linker has found all functions before children are made.
    std::vector<std::byte> out;
    CHECK(SpscConsumer(ring).pop(out, {.deadlineNs = nowNs() + 100'000}) == Outcome::timeout);
  }
  ~Meeting() { ::unlink(path.c_str()); }
  // The ring as new. Nobody takes a role, so nobody is waited for in particular, and sleeps have no limit.
  void reset() {
    SpscHeader& header = *ring.header;
    for (auto* word : {&header.tail, &header.head, &header.producer.word, &header.consumer.word}) word->store(0);
  }
  // Where the child has mapped the body: it says so in bytes that the ring does not use.
  uintptr_t& bodyOfChild(std::byte* body) const { return *reinterpret_cast<uintptr_t*>(body + 1000); }

  // A child that attaches and then runs wait(ring).
  template <class Wait>
  std::unique_ptr<Stepped> child(Wait&& wait) {
    Segment theirs;
    SpscRing theirRing;
    return std::make_unique<Stepped>(
        [&] {
          HOLDS_IN_CHILD(!attachRing(theirs, path) && bindRing(theirs, theirRing));
          bodyOfChild(theirs.body()) = reinterpret_cast<uintptr_t>(theirs.body());
          return 0;
        },
        [&] { wait(theirRing); });
  }

  // make() gives a child that is about to sleep, end() ends its wait: at all points from the access number `access` to
  // one of two words of the header on, a read or write of the first or a write of the second; until its mark is in
  // `position`, or, where that is null, until it enters the kernel.
  template <class Make, class End>
  void everywhere(Make&& make, size_t first, size_t second, uint32_t access, const std::atomic<uint32_t>* position,
                  End&& end) {
    uint32_t points = 1;
    constexpr uint32_t kStride = RINGWAY_UNDER_ASAN ? 7 : 1;  // It multiplies the instructions.
    for (uint32_t at = Random(runSeed()).below(kStride); at < points + kStride; at += kStride) {
      CAPTURE(at);
      std::unique_ptr<Stepped> stepped = make();
      const uintptr_t body = bodyOfChild(segment.body());
      bool there = stepped->ready();
      for (uint32_t i = 0; i < access && there; ++i) there = stepped->toAccess(body + first, body + second);
      if (!there) {
        MESSAGE("skipped: ptrace or the debug registers cannot be used here");
        return;
      }
      bool asleep = false;
      for (uint32_t i = 0; i < at && !asleep; ++i) {
        asleep = stepped->isBefore(SYS_futex);
        if (!asleep) REQUIRE(stepped->step());
      }
      const bool marked = position != nullptr && (position->load() & kAsleepBit) != 0;
      if (!asleep && !marked) points = at + 1;
      end();
      CHECK(stepped->finish());
    }
    CHECK(points > 5);
  }

  std::string path = scratchPath("ringway-interleavings");
  Segment segment;
  SpscRing ring;
};

}  // namespace

TEST_CASE("interleavings: a push at any point of a consumer's way into sleep wakes it") {
  Meeting meeting;
  const std::byte bytes[20] = {};
  const auto make = [&] {
    meeting.reset();
    return meeting.child([](const SpscRing& ring) {
      std::vector<std::byte> out;
      if (SpscConsumer(ring).pop(out) != Outcome::ok) _exit(1);
    });
  };
  meeting.everywhere(make, offsetof(SpscHeader, filled), offsetof(SpscHeader, tail), 1, nullptr,
                     [&] { CHECK(SpscProducer(meeting.ring).tryPush(bytes) == Outcome::ok); });
}

// The first release gives back less than the producer wants, the second one enough.
TEST_CASE("interleavings: releases at any point of a producer's way into sleep wake it when its record fits") {
  Meeting meeting;
  static const std::byte bytes[100] = {};
  const auto make = [&] {
    meeting.reset();
    {
      SpscProducer producer(meeting.ring);
      while (producer.tryPush(std::span(bytes).first(24)) == Outcome::ok) continue;
    }
    meeting.ring.header->wantedHead.store(meeting.ring.tail().load());  // As an earlier sleeper may have left it.
    return meeting.child([](const SpscRing& ring) {
      if (SpscProducer(ring).push(std::span(bytes).first(56)) != Outcome::ok) _exit(1);
    });
  };
  meeting.everywhere(make, offsetof(SpscHeader, freed), offsetof(SpscHeader, head), 1, nullptr, [&] {
    SpscConsumer consumer(meeting.ring);
    std::vector<std::byte> out;
    CHECK(consumer.tryPop(out) == Outcome::ok);
    CHECK(consumer.tryPop(out) == Outcome::ok);
  });
}

TEST_CASE("interleavings: a producer that comes and goes at any point of a consumer's way into sleep is noticed") {
  Meeting meeting;
  const auto make = [&] {
    meeting.reset();
    return meeting.child([](const SpscRing& ring) {
      std::vector<std::byte> out;
      if (SpscConsumer(ring).pop(out) != Outcome::peerClosed) _exit(1);
    });
  };
  // It reads the role before it spins, and while it spins, once since it spins so little. What comes behind the mark is
  // the same as in the first test.
  meeting.everywhere(make, offsetof(SpscHeader, producer), offsetof(SpscHeader, tail), 2, &meeting.ring.header->tail,
                     [&] {
                       CHECK(meeting.ring.takeRole(meeting.ring.header->producer) == Outcome::ok);
                       SpscProducer(meeting.ring).close();
                     });
}

#endif
