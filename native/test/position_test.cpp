// A position that carries the mark of a sleeper in its lowest bit.
#include <doctest/doctest.h>

#include <thread>

#include "support.hpp"

using namespace ringway;
using namespace support;

namespace {

struct Words {
  alignas(kIsolationBytes) std::atomic<uint32_t> word{0};
  alignas(kIsolationBytes) std::atomic<uint32_t> bell{0};
  SharedPosition position() { return {word, bell}; }
};

}  // namespace

TEST_CASE("position: moving it tells whether somebody sleeps, once") {
  Words words;
  SharedPosition position = words.position();
  uint32_t seen = 99;
  CHECK_FALSE(position.move(8));
  CHECK(position.prepare(seen) == 0);
  CHECK(seen == 8);
  CHECK(position.load() == 8);
  CHECK(position.move(16));
  CHECK_FALSE(position.move(24));
  CHECK(words.word.load() == 24);
  CHECK(words.bell.load() == 0);
}

TEST_CASE("position: a bell that rings after prepare ends the sleep before it starts") {
  Words words;
  SharedPosition position = words.position();
  uint32_t seen = 0;
  const uint32_t rung = position.prepare(seen);
  position.ring();
  CHECK(futexWait(position.bell(), rung, kForever) == -EAGAIN);
}

TEST_CASE("position: a sleeper that is not to be woken yet is found again by the next move") {
  Words words;
  SharedPosition position = words.position();
  uint32_t seen = 0;
  (void)position.prepare(seen);
  CHECK(position.move(8));
  position.markAgain();
  CHECK(position.load() == 8);
  CHECK(position.move(16));
}

TEST_CASE("position: the mark stays out of positions, also beyond 2^32") {
  Words words;
  SharedPosition position = words.position();
  (void)position.move(0U - 8);
  uint32_t seen = 0;
  (void)position.prepare(seen);
  CHECK(seen == 0U - 8);
  CHECK(position.load() == 0U - 8);
  CHECK(position.move(0));
  CHECK(position.load() == 0);
}

// Two threads move a position each, in turns, and sleep without limit until it is their turn: one lost wake-up stops
// both for good, and the watchdog tells.
TEST_CASE("position: no wake-up is lost between two threads") {
  const uint32_t rounds = RINGWAY_UNDER_TSAN ? 10'000 : 25'000;
  Words words[2];
  const auto play = [&](uint32_t me, Random random) {
    SharedPosition mine = words[me].position(), other = words[1 - me].position();
    for (uint32_t round = 0; round < rounds; ++round) {
      // The first player moves to round + 1 when the other stands at round, the second follows.
      const uint32_t wanted = 8 * (round + me);
      for (;;) {
        uint32_t seen = 0;
        if (other.load() == wanted) break;
        const uint32_t rung = other.prepare(seen);
        if (seen == wanted) break;
        futexWait(other.bell(), rung, kForever);
      }
      for (uint32_t turn = random.below(200); turn > 0; --turn) spinPause();
      if (mine.move(8 * (round + 1))) mine.ring();
    }
  };
  std::thread second([&] { play(1, Random(runSeed() + 1)); });
  play(0, Random(runSeed()));
  second.join();
  CHECK(words[0].position().load() == 8 * rounds);
  CHECK(words[1].position().load() == 8 * rounds);
}
