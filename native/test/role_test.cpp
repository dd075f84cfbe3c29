// Who holds an end of a ring: exactly one, and the dead are replaced.
#include <doctest/doctest.h>
#include <sys/mman.h>

#include "support.hpp"

using namespace ringway;
using namespace support;

namespace {

// Where two processes meet so that they start the next step at the same moment. In shared memory, by spinning.
class Barrier {
 public:
  Barrier() {
    void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) std::abort();
    arrived_ = new (page) std::atomic<uint32_t>(0);
  }
  ~Barrier() { munmap(arrived_, 4096); }
  Barrier(const Barrier&) = delete;
  Barrier& operator=(const Barrier&) = delete;
  void meet(uint32_t& count) const {
    count += 2;
    arrived_->fetch_add(1);
    for (int turn = 0; static_cast<int32_t>(arrived_->load() - count) < 0; ++turn) {
      if (turn > 1000) usleep(10);  // Two processes on a busy machine.
    }
  }

 private:
  std::atomic<uint32_t>* arrived_;
};

}  // namespace

TEST_CASE("role: is taken once, given back, and taken again") {
  const std::string path = scratchPath("ringway-role");
  Segment a, b;
  SpscRing ours, theirs;
  REQUIRE_FALSE(createRingAt(a, path));
  REQUIRE_FALSE(attachRing(b, path));
  REQUIRE((bindRing(a, ours) && bindRing(b, theirs)));
  RoleWords& role = ours.header->consumer;
  CHECK(rolePhase(role.word.load()) == RolePhase::none);
  CHECK(ours.takeRole(role) == Outcome::ok);
  CHECK(role.word.load() == heldBy(a.participantId()));
  CHECK(theirs.takeRole(theirs.header->consumer) == Outcome::roleTaken);
  CHECK(ours.takeRole(role) == Outcome::roleTaken);  // Not even by its own holder.
  theirs.giveRoleBack(theirs.header->consumer);      // Not theirs to give.
  CHECK(role.word.load() == heldBy(a.participantId()));
  ours.giveRoleBack(role);
  CHECK(rolePhase(role.word.load()) == RolePhase::closed);
  CHECK(theirs.takeRole(theirs.header->consumer) == Outcome::ok);
  CHECK(role.word.load() == heldBy(b.participantId()));
  ::unlink(path.c_str());
}

TEST_CASE("role: closing the segment gives both back and tells those who sleep") {
  const std::string path = scratchPath("ringway-role-close");
  Segment a, b;
  SpscRing ours, theirs;
  REQUIRE_FALSE(createRingAt(a, path));
  REQUIRE_FALSE(attachRing(b, path));
  REQUIRE((bindRing(a, ours) && bindRing(b, theirs)));
  REQUIRE(theirs.takeRole(theirs.header->producer) == Outcome::ok);
  REQUIRE(theirs.takeRole(theirs.header->consumer) == Outcome::ok);
  const uint32_t filled = ours.header->filled.load(), freed = ours.header->freed.load();
  const uint32_t roleChanged = EventCount(ours.header->roleChanged).prepare();
  b.close();
  CHECK(rolePhase(ours.header->producer.word.load()) == RolePhase::closed);
  CHECK(rolePhase(ours.header->consumer.word.load()) == RolePhase::closed);
  CHECK(ours.header->filled.load() != filled);
  CHECK(ours.header->freed.load() != freed);
  CHECK(ours.header->roleChanged.sequence.load() != roleChanged);
  ::unlink(path.c_str());
}

TEST_CASE("role: of a killed process is settled, tells its pid and those who sleep, and is replaced") {
  const std::string path = scratchPath("ringway-role-died");
  Segment segment;
  SpscRing ring;
  REQUIRE_FALSE(createRingAt(segment, path));
  REQUIRE(bindRing(segment, ring));
  Child child([&](const Wire& wire) {
    Segment mine;
    SpscRing ours;
    HOLDS_IN_CHILD(!attachRing(mine, path) && bindRing(mine, ours));
    HOLDS_IN_CHILD(ours.takeRole(ours.header->producer) == Outcome::ok);
    wire.say(static_cast<char>('0' + mine.participantId()));
    pause();
    return 1;
  });
  const auto id = static_cast<uint32_t>(child.hear() - '0');
  const auto pid = static_cast<uint32_t>(child.pid());
  child.killAndWait();
  const uint32_t filled = ring.header->filled.load();
  const uint32_t roleChanged = EventCount(ring.header->roleChanged).prepare();
  CHECK(segment.settle(id) == 1);
  CHECK(rolePhase(ring.header->producer.word.load()) == RolePhase::died);
  CHECK(ring.header->producer.diedPid.load() == pid);
  CHECK(ring.header->filled.load() != filled);
  CHECK(ring.header->roleChanged.sequence.load() != roleChanged);
  CHECK(segment.settle(id) == 1);  // Again is harmless.
  CHECK(rolePhase(ring.header->consumer.word.load()) == RolePhase::none);
  CHECK(ring.takeRole(ring.header->producer) == Outcome::ok);
  CHECK(segment.settle(id) == 1);
  CHECK(ring.header->producer.word.load() == heldBy(segment.participantId()));
  ::unlink(path.c_str());
}

TEST_CASE("role: words that nobody could have written are corrupt, not a crash") {
  const std::string path = scratchPath("ringway-role-corrupt");
  Segment segment;
  SpscRing ring;
  REQUIRE_FALSE(createRingAt(segment, path));
  REQUIRE(bindRing(segment, ring));
  for (const uint32_t word : {4U, 5U, 6U, 7U, 0xffffffffU, heldBy(8), heldBy(0x1fffffff)}) {
    CAPTURE(word);
    ring.header->producer.word.store(word);
    CHECK(ring.takeRole(ring.header->producer) == Outcome::corrupt);
    CHECK(ring.header->producer.word.load() == word);
  }
  ::unlink(path.c_str());
}

TEST_CASE("role: of two takers at once exactly one wins, whatever was before") {
  const std::string path = scratchPath("ringway-role-race");
  const int rounds = RINGWAY_UNDER_TSAN ? 1000 : 4000;
  Segment keeper;
  REQUIRE_FALSE(createRingAt(keeper, path, {.maxParticipants = 8}));
  const Barrier barrier;
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(page != MAP_FAILED);
  auto* wins = new (page) std::atomic<int>(0);

  const auto take = [&](bool first) {
    Segment segment;
    SpscRing ring;
    HOLDS_IN_CHILD(!attachRing(segment, path) && bindRing(segment, ring));
    RoleWords& role = ring.header->producer;
    uint32_t count = 0;
    for (int round = 0; round < rounds; ++round) {
      if (first) {
        wins->store(0);
        const uint32_t before[] = {static_cast<uint32_t>(RolePhase::none), static_cast<uint32_t>(RolePhase::closed),
                                   static_cast<uint32_t>(RolePhase::died), heldBy(7)};  // The last: a dead holder.
        role.word.store(before[round % 4]);
      }
      barrier.meet(count);
      const Outcome outcome = ring.takeRole(role);
      if (outcome == Outcome::ok) wins->fetch_add(1);
      HOLDS_IN_CHILD(outcome == Outcome::ok || outcome == Outcome::roleTaken);
      HOLDS_IN_CHILD(outcome != Outcome::ok || role.word.load() == heldBy(segment.participantId()));
      barrier.meet(count);
      HOLDS_IN_CHILD(wins->load() == 1);
      HOLDS_IN_CHILD(rolePhase(role.word.load()) == RolePhase::held);
      barrier.meet(count);
    }
    return 0;
  };
  Child a([&](const Wire&) { return take(true); });
  Child b([&](const Wire&) { return take(false); });
  // A child that has failed leaves the other at the barrier for ever.
  const int codeA = a.wait();
  if (codeA != 0) b.signal(SIGKILL);
  CHECK(codeA == 0);
  CHECK(b.wait() == 0);
  munmap(page, 4096);
  ::unlink(path.c_str());
}
