// The death matrix of a lock's recovery: whoever settles a dead owner, takes its place, or closes while it owns the lock is
// killed, or stopped, before each step, and somebody else goes on. Built with RINGWAY_STEPS, like death_matrix.cpp. What
// TypeScript does of the protocol, taking, releasing and waiting, is in test/lock-kill.test.ts.
#include <doctest/doctest.h>

#include "support.hpp"

using namespace ringway;
using namespace support;

namespace {

enum class Role { settle, attach, close };

LockHeader& lockOf(const Segment& segment) { return *reinterpret_cast<LockHeader*>(segment.body()); }

bool take(const Segment& segment) {
  uint32_t owner = lockOf(segment).owner.load();
  if (owner != 0 && owner != kLockOwnerDied) return false;
  return lockOf(segment).owner.compare_exchange_strong(owner, segment.participantId() + 1);
}

uint32_t stepsLeft;
int fatalSignal;
void doom(uint32_t at, int signal) {
  stepsLeft = at;
  fatalSignal = signal;
  beforeStep = []() noexcept {
    if (stepsLeft-- == 0) raise(fatalSignal);
  };
}

}  // namespace

TEST_CASE("lock deaths: a kill or a stop before every step of those who recover, replace or leave") {
  const std::string path = scratchPath("ringway-lock-deaths");
  uint32_t struck = 0;
  for (const int signal : {SIGKILL, SIGSTOP}) {
    for (const Role role : {Role::settle, Role::attach, Role::close}) {
      bool over = false;
      for (uint32_t at = 0; !over; ++at) {
        CAPTURE(static_cast<int>(role));
        CAPTURE(at);
        ::unlink(path.c_str());
        Segment self;
        REQUIRE_FALSE(
            Segment::create(scratchFolder().c_str(), {bodyOffsetFor(4) + sizeof(LockHeader), Kind::lock, 4}, self));
        REQUIRE_FALSE(self.publish(path));
        LockHeader& lock = lockOf(self);
        uint32_t diedPid = 0;
        if (role != Role::close) {
          Child owner([&](const Wire& wire) {
            Segment mine;
            HOLDS_IN_CHILD(!Segment::attach(path, Kind::lock, false, mine) && take(mine));
            wire.say('o');
            pause();
            return 1;
          });
          REQUIRE(owner.hear() == 'o');
          diedPid = static_cast<uint32_t>(owner.pid());
          owner.killAndWait();
          REQUIRE(lock.owner.load() == 2);
          if (role == Role::attach) self.header()->nextParticipant.store(1);  // It gets the dead one's entry.
        }
        Child victim([&](const Wire&) {
          Segment mine;
          if (role != Role::attach) HOLDS_IN_CHILD(!Segment::attach(path, Kind::lock, false, mine));
          if (role == Role::close) HOLDS_IN_CHILD(take(mine));
          doom(at, signal);
          if (role == Role::settle) HOLDS_IN_CHILD(mine.settle(1) == 1);
          if (role == Role::attach) HOLDS_IN_CHILD(!Segment::attach(path, Kind::lock, false, mine));
          if (role == Role::close) mine.close();
          beforeStep = []() noexcept {};
          return 0;
        });
        if (role == Role::close) diedPid = static_cast<uint32_t>(victim.pid());
        siginfo_t end{};
        REQUIRE(waitid(P_PID, static_cast<id_t>(victim.pid()), &end, WEXITED | WSTOPPED | WNOWAIT) == 0);
        over = end.si_code == CLD_EXITED;
        if (over) REQUIRE(end.si_status == 0);
        struck += !over;
        if (end.si_code == CLD_STOPPED) {
          // It lives: what it owns stays its own, and what it was settling is settled by us.
          const uint32_t before = lock.owner.load();
          (void)self.settle(1);
          CHECK(lock.owner.load() == (role == Role::close ? before : kLockOwnerDied));
        }
        victim.killAndWait();
        for (uint32_t id = 1; id < 4; ++id) CHECK(self.settle(id) == 1);
        CHECK(lock.owner.load() == kLockOwnerDied);
        CHECK(lock.diedPid.load() == diedPid);
        REQUIRE(take(self));
        for (uint32_t id = 1; id < 4; ++id) CHECK(self.settle(id) == 1);
        CHECK(lock.owner.load() == 1);
      }
    }
  }
  CHECK(struck > 20);
  ::unlink(path.c_str());
}
