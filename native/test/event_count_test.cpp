// Sleeping until something may have changed: no wake-up is lost, and nobody is woken for nothing.
#include <doctest/doctest.h>
#include <sys/mman.h>

#include <thread>

#include "support.hpp"

using namespace ringway;
using namespace support;

TEST_CASE("event count: a notification that meets no sleeper changes nothing") {
  EventCountWords words{};
  EventCount(words).notify();
  CHECK(words.sequence.load() == 0);
  CHECK(words.asleep.load() == 0);
}

TEST_CASE("event count: a notification after prepare ends the sleep before it starts") {
  EventCountWords words{};
  EventCount events(words);
  const uint32_t sequence = events.prepare();
  CHECK(words.asleep.load() == 1);
  events.notify();
  CHECK(words.asleep.load() == 0);
  CHECK(words.sequence.load() == 2);
  CHECK(futexWait(events.sequence(), sequence, kForever) == -EAGAIN);
}

TEST_CASE("event count: a sleep ends at its deadline") {
  EventCountWords words{};
  EventCount events(words);
  const uint32_t sequence = events.prepare();
  CHECK(futexWait(events.sequence(), sequence, nowNs() + 1'000'000) == -ETIMEDOUT);
  CHECK(futexWait(events.sequence(), sequence, 0) == -ETIMEDOUT);
}

TEST_CASE("event count: the mark of a sleeper that was killed costs one empty wake and is gone") {
  EventCountWords words{};
  EventCount events(words);
  (void)events.prepare();
  (void)events.prepare();
  events.notify();
  CHECK(words.sequence.load() == 2);
  events.notify();
  CHECK(words.sequence.load() == 2);
}

TEST_CASE("event count: marks are only raised, by sequence and not by arrival") {
  EventCountWords words{};
  EventCount events(words);
  words.sequence.store(10);
  words.asleep.store(13);  // Somebody newer sleeps already.
  CHECK(events.prepare() == 10);
  CHECK(words.asleep.load() == 13);
  words.sequence.store(20);
  CHECK(events.prepare() == 20);
  CHECK(words.asleep.load() == 21);
}

TEST_CASE("event count: sequences wrap at 2^32") {
  EventCountWords words{};
  EventCount events(words);
  words.sequence.store(0xfffffffe);
  const uint32_t sequence = events.prepare();
  CHECK(words.asleep.load() == 0xffffffff);
  events.notify();
  CHECK(words.sequence.load() == 0);
  CHECK(futexWait(events.sequence(), sequence, kForever) == -EAGAIN);
  (void)events.prepare();
  CHECK(words.asleep.load() == 1);
  words.asleep.store(0xffffffff);
  (void)events.prepare();
  CHECK(words.asleep.load() == 1);
}

namespace {

// Two parties hand a counter to and fro. Each sleeps without a limit until it is its turn, so that one lost wake-up
// stops both for good and the watchdog tells.
struct PingPong {
  alignas(kIsolationBytes) std::atomic<uint32_t> turn{0};
  alignas(kIsolationBytes) EventCountWords words[2]{};

  void play(uint32_t me, uint32_t rounds, Random random) {
    EventCount mine(words[me]), other(words[1 - me]);
    for (uint32_t round = me; round < 2 * rounds; round += 2) {
      while (turn.load(std::memory_order_acquire) != round) {
        const uint32_t sequence = mine.prepare();
        if (turn.load(std::memory_order_seq_cst) == round) break;
        futexWait(mine.sequence(), sequence, kForever);
      }
      // Now soon, now late, so that every interleaving with the other's prepare() comes up.
      for (uint32_t spin = random.below(200); spin > 0; --spin) spinPause();
      turn.store(round + 1, std::memory_order_seq_cst);
      other.notify();
    }
  }
};

}  // namespace

TEST_CASE("event count: no wake-up is lost between two threads") {
  const uint32_t rounds = RINGWAY_UNDER_TSAN ? 10'000 : 25'000;
  PingPong game;
  std::thread other([&] { game.play(1, rounds, Random(runSeed() + 1)); });
  game.play(0, rounds, Random(runSeed()));
  other.join();
  CHECK(game.turn.load() == 2 * rounds);
}

TEST_CASE("event count: no wake-up is lost between two processes") {
  const uint32_t rounds = RINGWAY_UNDER_TSAN ? 5'000 : 20'000;
  void* page = mmap(nullptr, sizeof(PingPong), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(page != MAP_FAILED);
  auto& game = *new (page) PingPong;
  Child other([&](const Wire&) {
    game.play(1, rounds, Random(runSeed() + 1));
    return 0;
  });
  game.play(0, rounds, Random(runSeed()));
  CHECK(other.wait() == 0);
  munmap(page, sizeof(PingPong));
}

TEST_CASE("event count: one notification wakes all who sleep") {
  const uint32_t rounds = RINGWAY_UNDER_TSAN ? 1'000 : 5'000;
  std::atomic<uint32_t> round{0}, seen{0};
  EventCountWords changedWords{}, seenWords{};
  EventCount changed(changedWords), allSeen(seenWords);
  const auto waitFor = [](EventCount events, const std::atomic<uint32_t>& word, uint32_t value) {
    while (word.load(std::memory_order_acquire) != value) {
      const uint32_t sequence = events.prepare();
      if (word.load(std::memory_order_seq_cst) == value) break;
      futexWait(events.sequence(), sequence, kForever);
    }
  };
  std::thread sleepers[3];
  for (auto& sleeper : sleepers) {
    sleeper = std::thread([&] {
      for (uint32_t i = 1; i <= rounds; ++i) {
        waitFor(changed, round, i);
        if (seen.fetch_add(1, std::memory_order_seq_cst) + 1 == 3 * i) allSeen.notify();
      }
    });
  }
  for (uint32_t i = 1; i <= rounds; ++i) {
    round.store(i, std::memory_order_seq_cst);
    changed.notify();
    waitFor(allSeen, seen, 3 * i);
  }
  for (auto& sleeper : sleepers) sleeper.join();
  CHECK(seen.load() == 3 * rounds);
}
