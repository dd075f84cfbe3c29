// What becomes of a lock when its owner dies or leaves: the mark, the pid, and those who sleep.
#include <doctest/doctest.h>

#include "support.hpp"

using namespace ringway;
using namespace support;

namespace {

Failure createLockAt(Segment& segment, const std::string& path, uint32_t maxParticipants = 4) {
  const uint64_t byteLength = bodyOffsetFor(maxParticipants) + sizeof(LockHeader);
  ::unlink(path.c_str());
  if (auto failure = Segment::create(scratchFolder().c_str(), {byteLength, Kind::lock, maxParticipants}, segment)) {
    return failure;
  }
  return segment.publish(path);
}

LockHeader& lockOf(const Segment& segment) { return *reinterpret_cast<LockHeader*>(segment.body()); }

bool take(const Segment& segment) {
  uint32_t free = 0;
  return lockOf(segment).owner.compare_exchange_strong(free, segment.participantId() + 1);
}

}  // namespace

TEST_CASE("lock: of a killed owner comes free with the mark, tells its pid and those who sleep") {
  const std::string path = scratchPath("ringway-lock-died");
  Segment segment;
  REQUIRE_FALSE(createLockAt(segment, path));
  LockHeader& lock = lockOf(segment);
  Child child([&](const Wire& wire) {
    Segment mine;
    HOLDS_IN_CHILD(!Segment::attach(path, Kind::lock, false, mine) && take(mine));
    wire.say(static_cast<char>('0' + mine.participantId()));
    pause();
    return 1;
  });
  const auto id = static_cast<uint32_t>(child.hear() - '0');
  const auto pid = static_cast<uint32_t>(child.pid());
  CHECK(segment.settle(id) == 0);
  child.stop();
  CHECK(segment.settle(id) == 0);
  CHECK(lock.owner.load() == id + 1);  // Stopped is not dead.
  child.killAndWait();
  const uint32_t sequence = EventCount(lock.released).prepare();
  CHECK(segment.settle(id) == 1);
  CHECK(lock.owner.load() == kLockOwnerDied);
  CHECK(lock.diedPid.load() == pid);
  CHECK(lock.released.sequence.load() != sequence);
  // Again is harmless, also when somebody else owns it by now, or it was released.
  for (const uint32_t owner : {segment.participantId() + 1, uint32_t{0}}) {
    lock.owner.store(owner);
    CHECK(segment.settle(id) == 1);
    CHECK(lock.owner.load() == owner);
  }
  ::unlink(path.c_str());
}

TEST_CASE("lock: of an owner that closes comes free with the mark; others' closing changes nothing") {
  const std::string path = scratchPath("ringway-lock-close");
  Segment a, b, c;
  REQUIRE_FALSE(createLockAt(a, path));
  REQUIRE_FALSE(Segment::attach(path, Kind::lock, false, b));
  REQUIRE_FALSE(Segment::attach(path, Kind::lock, false, c));
  REQUIRE(take(b));
  const uint32_t sequence = EventCount(lockOf(a).released).prepare();
  c.close();
  CHECK(lockOf(a).owner.load() == b.participantId() + 1);
  CHECK(lockOf(a).released.sequence.load() == sequence);
  b.close();
  CHECK(lockOf(a).owner.load() == kLockOwnerDied);
  CHECK(lockOf(a).diedPid.load() == static_cast<uint32_t>(getpid()));
  CHECK(lockOf(a).released.sequence.load() != sequence);
  ::unlink(path.c_str());
}

TEST_CASE("lock: a newcomer settles what the dead owner of its place left behind") {
  const std::string path = scratchPath("ringway-lock-newcomer");
  Segment observer, newcomer;
  REQUIRE_FALSE(createLockAt(observer, path, 2));
  Child child([&](const Wire& wire) {
    Segment mine;
    HOLDS_IN_CHILD(!Segment::attach(path, Kind::lock, false, mine) && take(mine));
    wire.say('r');
    pause();
    return 1;
  });
  REQUIRE(child.hear() == 'r');
  const auto pid = static_cast<uint32_t>(child.pid());
  child.killAndWait();
  CHECK(lockOf(observer).owner.load() == 2);  // Nobody has asked yet.
  REQUIRE_FALSE(Segment::attach(path, Kind::lock, false, newcomer));
  CHECK(newcomer.participantId() == 1);
  CHECK(lockOf(observer).owner.load() == kLockOwnerDied);
  CHECK(lockOf(observer).diedPid.load() == pid);
  ::unlink(path.c_str());
}

TEST_CASE("lock: a file that is too short for one is left alone") {
  const std::string path = scratchPath("ringway-lock-short");
  ::unlink(path.c_str());
  Segment segment;
  REQUIRE_FALSE(Segment::create(scratchFolder().c_str(), {bodyOffsetFor(4) + 128, Kind::lock, 4}, segment));
  REQUIRE_FALSE(segment.publish(path));
  CHECK(segment.settle(1) == 1);
  segment.close();
  ::unlink(path.c_str());
}
