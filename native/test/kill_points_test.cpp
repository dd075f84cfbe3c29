// Death at every instruction: a child is stepped into an operation one machine instruction at a time and killed there.
// Whatever the point, those who live find the ring before the operation or after it, and nothing in between.
#include <doctest/doctest.h>

#include <filesystem>
#include <memory>
#include <thread>

#include "stepped.hpp"
#include "support.hpp"

// Its instrumentation multiplies the instructions, and sees nothing in processes that die.
#if !RINGWAY_UNDER_TSAN

using namespace ringway;
using namespace support;
using View = std::span<const std::byte>;

namespace {

// Kills a child at points all over its operation: before and behind every system call, and at some instructions, chosen
// by the seed. With RINGWAY_TORTURE=1 at every instruction, or every few of a long operation. make() prepares the stage
// and returns the child; judge(finished) says whether what it left is in order.
template <class Make, class Judge>
void killEverywhere(Make&& make, Judge&& judge) {
  const auto killAt = [&](auto&& run) {
    std::unique_ptr<Stepped> stepped = make();
    REQUIRE(stepped->ready());
    const bool finished = !run(*stepped);
    stepped->kill();
    judge(finished);
    return finished;
  };
  Random random(runSeed());
  {
    std::unique_ptr<Stepped> stepped = make();
    if (!stepped->ready()) {
      MESSAGE("skipped: ptrace is not allowed here");
      return;
    }
    REQUIRE(stepped->finish());
    stepped->kill();
    judge(true);
  }
  if (!RINGWAY_UNDER_ASAN) {  // It multiplies the instructions; system calls it leaves alone.
    uint32_t length = 0;
    {
      std::unique_ptr<Stepped> stepped = make();
      REQUIRE(stepped->ready());
      while (stepped->step()) ++length;
      stepped->kill();
      judge(true);
    }
    REQUIRE(length > 20);
    const char* torture = std::getenv("RINGWAY_TORTURE");
    const bool tortured = torture != nullptr && std::string_view(torture) == "1";
    // A step costs 10 to 20 microseconds, so these points cost half a second, or half a minute.
    const uint32_t points = std::clamp((tortured ? 1'500'000U : 25'000U) / length, 3U, tortured ? length : 60U);
    const uint32_t stride = std::max(1U, length / points);
    for (uint32_t at = random.below(stride); at < length; at += stride) {
      CAPTURE(at);
      killAt([&](Stepped& stepped) { return stepped.steps(at); });
    }
  }
  // What others can see changes in system calls and right behind them.
  for (uint32_t call = 1, finished = false; !finished; ++call) {
    const uint32_t behind = random.oneIn(2) ? 0 : 1 + random.below(40);
    CAPTURE(call);
    CAPTURE(behind);
    finished = killAt([&](Stepped& stepped) { return stepped.toSystemCalls(call) && stepped.steps(behind); });
  }
}

// A ring with a few records in it, and the ends of this process on it.
struct Stage {
  explicit Stage(std::string_view name) : path(scratchPath(name)) {
    REQUIRE_FALSE(createRingAt(segment, path, {.capacity = 256, .maxParticipants = 4}));
    REQUIRE(bindRing(segment, ring));
    // Behind it, every lap ends with padding.
    ring.header->tail.store(0U - 40);
    ring.header->head.store(0U - 40);
  }
  ~Stage() { ::unlink(path.c_str()); }
  std::string path;
  Segment segment;
  SpscRing ring;
};

std::vector<std::byte> record(uint32_t tag, size_t byteLength) {
  std::vector<std::byte> bytes(byteLength);
  for (size_t i = 0; i < byteLength; ++i) bytes[i] = static_cast<std::byte>(tag * 31 + i);
  return bytes;
}
bool same(View a, View b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

// What a child works with: made after the fork, never destroyed.
struct Victim {
  Segment segment;
  SpscRing ring;
  SpscProducer* producer = nullptr;
  SpscConsumer* consumer = nullptr;
  int join(const std::string& path, bool producing) {
    HOLDS_IN_CHILD(!attachRing(segment, path) && bindRing(segment, ring));
    HOLDS_IN_CHILD(ring.takeRole(producing ? ring.header->producer : ring.header->consumer) == Outcome::ok);
    if (producing) {
      producer = new SpscProducer(ring);
    } else {
      consumer = new SpscConsumer(ring);
    }
    return 0;
  }
};

}  // namespace

TEST_CASE("kill points: a push happens or does not") {
  for (const int form : {0, 1, 2}) {
    CAPTURE(form);
    std::unique_ptr<Stage> stage;
    int number = 0;
    const auto make = [&] {
      stage = std::make_unique<Stage>("ringway-kill-push-" + std::to_string(form) + "-" + std::to_string(number++));
      // As if the consumer slept: so that waking it up is stepped through too.
      uint32_t position = 0;
      (void)stage->ring.tail().prepare(position);
      auto* victim = new Victim;
      const auto prepare = [&] {
        const int wrong = victim->join(stage->path, true);
        return wrong != 0 ? wrong : static_cast<int>(victim->producer->tryPush(record(1, 10)));
      };
      const auto operate = [&, form] {
        const auto first = record(2, 30), second = record(3, 5);
        if (form == 0) (void)victim->producer->push(first);
        if (form == 1) {
          std::span<std::byte> claim;
          if (victim->producer->claim(60, claim) != Outcome::ok) _exit(1);
          std::copy(first.begin(), first.end(), claim.begin());
          victim->producer->commit(30);
        }
        if (form == 2) {
          const View batch[] = {first, second};
          (void)victim->producer->tryPushMany(batch);
        }
      };
      auto stepped = std::make_unique<Stepped>(prepare, operate);
      delete victim;  // The child has its own copy.
      return stepped;
    };
    const auto judge = [&](bool finished) {
      SpscRing& ring = stage->ring;
      REQUIRE(ring.takeRole(ring.header->producer) == Outcome::ok);
      REQUIRE(ring.takeRole(ring.header->consumer) == Outcome::ok);
      SpscProducer producer(ring);
      SpscConsumer consumer(ring);
      REQUIRE(producer.tryPush(record(9, 50)) == Outcome::ok);
      std::vector<std::byte> out;
      REQUIRE(consumer.tryPop(out) == Outcome::ok);
      REQUIRE(same(out, record(1, 10)));
      REQUIRE(consumer.tryPop(out) == Outcome::ok);
      const bool happened = same(out, record(2, 30));
      if (finished) REQUIRE(happened);
      if (happened) {
        REQUIRE(consumer.tryPop(out) == Outcome::ok);
        if (form == 2) {  // Published with one store: both or none.
          REQUIRE(same(out, record(3, 5)));
          REQUIRE(consumer.tryPop(out) == Outcome::ok);
        }
      }
      REQUIRE(same(out, record(9, 50)));
      REQUIRE(consumer.tryPop(out) == Outcome::wouldBlock);
    };
    killEverywhere(make, judge);
  }
}

TEST_CASE("kill points: a record is read or comes again") {
  for (const int form : {0, 1, 2}) {
    CAPTURE(form);
    std::unique_ptr<Stage> stage;
    int number = 0;
    const auto make = [&] {
      stage = std::make_unique<Stage>("ringway-kill-pop-" + std::to_string(form) + "-" + std::to_string(number++));
      uint32_t position = 0;
      stage->ring.header->wantedHead.store(stage->ring.tail().load());
      (void)stage->ring.head().prepare(position);  // As if the producer slept.
      REQUIRE(stage->ring.takeRole(stage->ring.header->producer) == Outcome::ok);
      SpscProducer producer(stage->ring);
      for (const uint32_t tag : {1U, 2U, 3U}) REQUIRE(producer.tryPush(record(tag, 30)) == Outcome::ok);
      auto* victim = new Victim;
      const auto prepare = [&] { return victim->join(stage->path, false); };
      const auto operate = [&, form] {
        std::vector<std::byte> out;
        View view;
        Outcome outcome;
        if (form == 0) (void)victim->consumer->pop(out);
        if (form == 1 && victim->consumer->peek(view) == Outcome::ok) victim->consumer->release();
        if (form == 2) (void)victim->consumer->drain([](View) {}, 2, outcome);
      };
      auto stepped = std::make_unique<Stepped>(prepare, operate);
      delete victim;
      return stepped;
    };
    const auto judge = [&](bool finished) {
      SpscRing& ring = stage->ring;
      REQUIRE(ring.takeRole(ring.header->consumer) == Outcome::ok);
      SpscConsumer consumer(ring);
      std::vector<std::byte> out;
      uint32_t next = 0;
      while (consumer.tryPop(out) == Outcome::ok) {
        uint32_t tag = 1;
        while (tag < 4 && !same(out, record(tag, 30))) ++tag;
        REQUIRE(tag < 4);
        if (next != 0) REQUIRE(tag == next);
        if (next == 0) REQUIRE(tag <= (form == 2 ? 3U : 2U));
        if (next == 0 && finished) REQUIRE(tag == (form == 2 ? 3U : 2U));
        next = tag + 1;
      }
      REQUIRE(next == 4);
      REQUIRE(ring.head().load() == ring.tail().load());
    };
    killEverywhere(make, judge);
  }
}

TEST_CASE("kill points: attaching, taking both roles and leaving costs nobody an entry or a role") {
  std::unique_ptr<Stage> stage;
  int number = 0;
  const auto make = [&] {
    stage = std::make_unique<Stage>("ringway-kill-join-" + std::to_string(number++));
    auto* segment = new Segment;
    auto* ring = new SpscRing;
    const auto operate = [&, path = stage->path] {
      if (attachRing(*segment, path) || !bindRing(*segment, *ring)) _exit(1);
      if (ring->takeRole(ring->header->producer) != Outcome::ok) _exit(1);
      if (ring->takeRole(ring->header->consumer) != Outcome::ok) _exit(1);
      ring->giveRoleBack(ring->header->consumer);
      segment->close();
    };
    auto stepped = std::make_unique<Stepped>([] { return 0; }, operate);
    delete segment;
    delete ring;
    return stepped;
  };
  const auto judge = [&](bool) {
    Segment others[3], late;
    for (Segment& other : others) REQUIRE_FALSE(attachRing(other, stage->path));
    REQUIRE(attachRing(late, stage->path).error == EUSERS);
    SpscRing ring;
    REQUIRE(bindRing(others[0], ring));
    REQUIRE(ring.takeRole(ring.header->producer) == Outcome::ok);
    REQUIRE(ring.takeRole(ring.header->consumer) == Outcome::ok);
  };
  killEverywhere(make, judge);
}

TEST_CASE("kill points: making, publishing and removing an unnamed segment leaves nothing that a sweep does not find") {
  const std::string folder = scratchPath("kill-create");
  std::filesystem::create_directory(folder);
  const auto make = [&] {
    auto* segment = new Segment;
    const auto operate = [&, folder] {
      if (createRing(*segment, {.capacity = 64, .maxParticipants = 2}, folder)) _exit(1);
      if (segment->publish(folder + "/ringway~a")) _exit(1);
      segment->close();
    };
    auto stepped = std::make_unique<Stepped>([] { return 0; }, operate);
    delete segment;
    return stepped;
  };
  const auto judge = [&](bool finished) {
    if (exists(folder + "/ringway~a")) {
      REQUIRE_FALSE(finished);
      Segment segment;
      REQUIRE_FALSE(attachRing(segment, folder + "/ringway~a"));  // What has a name is complete.
      SpscRing ring;
      REQUIRE(bindRing(segment, ring));
    }
    Segment::sweep(folder.c_str());
    REQUIRE(std::filesystem::is_empty(folder));
  };
  killEverywhere(make, judge);
  std::filesystem::remove(folder);
}

// The survivor sleeps while the other one is killed on its way into or out of the ring: it gets what was published, and
// then learns of the death.
TEST_CASE("kill points: a sleeping consumer gets the record or the news of the death, and never sleeps on") {
  std::unique_ptr<Stage> stage;
  int number = 0;
  std::thread reader;
  std::vector<std::byte> out;
  Outcome first{}, second{};
  const auto make = [&] {
    stage = std::make_unique<Stage>("ringway-kill-sleeper-" + std::to_string(number++));
    auto* victim = new Victim;
    const auto prepare = [&] { return victim->join(stage->path, true); };
    const auto operate = [&] { (void)victim->producer->push(record(2, 30)); };
    auto stepped = std::make_unique<Stepped>(prepare, operate);
    delete victim;
    REQUIRE(stage->ring.takeRole(stage->ring.header->consumer) == Outcome::ok);
    reader = std::thread([&] {
      SpscConsumer consumer(stage->ring);
      first = consumer.pop(out);
      if (first == Outcome::ok) second = consumer.pop(out);
    });
    eventually([&] { return (stage->ring.header->tail.load() & kAsleepBit) != 0; });
    return stepped;
  };
  const auto judge = [&](bool finished) {
    reader.join();
    if (finished) REQUIRE(first == Outcome::ok);
    REQUIRE((first == Outcome::ok ? second : first) == Outcome::peerDied);
    if (first == Outcome::ok) REQUIRE(same(out, record(2, 30)));
  };
  killEverywhere(make, judge);
}

#endif
