// The death matrices of a barrier's and a condition's recovery: whoever settles a dead party or waiter, takes its place, or
// closes while it is one, is killed, or stopped, before each step, and somebody else goes on. As lock_deaths.cpp. What
// TypeScript does of the protocols is in test/barrier.test.ts and test/condition-kill.test.ts.
#include <doctest/doctest.h>

#include "support.hpp"

using namespace ringway;
using namespace support;

namespace {

enum class Role { settle, attach, close };

constexpr uint32_t kEntries = 4;

uint32_t stepsLeft;
int fatalSignal;
void doom(uint32_t at, int signal) {
  stepsLeft = at;
  fatalSignal = signal;
  beforeStep = []() noexcept {
    if (stepsLeft-- == 0) raise(fatalSignal);
  };
}

// For each step of each role: `enter` is what the one does in the segment that will be gone, `holds` what must be so when
// all that are gone have been settled.
template <class Enter, class Holds>
uint32_t strikeEverywhere(const std::string& path, Kind kind, uint64_t bodyByteLength, Enter enter, Holds holds) {
  uint32_t struck = 0;
  for (const int signal : {SIGKILL, SIGSTOP}) {
    for (const Role role : {Role::settle, Role::attach, Role::close}) {
      bool over = false;
      for (uint32_t at = 0; !over; ++at) {
        CAPTURE(static_cast<int>(role));
        CAPTURE(at);
        ::unlink(path.c_str());
        Segment self;
        const uint64_t byteLength = bodyOffsetFor(kEntries) + bodyByteLength;
        REQUIRE_FALSE(Segment::create(scratchFolder().c_str(), {byteLength, kind, kEntries}, self));
        enter(self, true);
        REQUIRE_FALSE(self.publish(path));
        if (role != Role::close) {
          Child gone([&](const Wire& wire) {
            Segment mine;
            HOLDS_IN_CHILD(!Segment::attach(path, kind, false, mine));
            enter(mine, false);
            wire.say('e');
            pause();
            return 1;
          });
          REQUIRE(gone.hear() == 'e');
          gone.killAndWait();
          if (role == Role::attach) self.header()->nextParticipant.store(1);  // It gets the dead one's entry.
        }
        Child victim([&](const Wire&) {
          Segment mine;
          if (role != Role::attach) HOLDS_IN_CHILD(!Segment::attach(path, kind, false, mine));
          if (role == Role::close) enter(mine, false);
          doom(at, signal);
          if (role == Role::settle) HOLDS_IN_CHILD(mine.settle(1) == 1);
          if (role == Role::attach) HOLDS_IN_CHILD(!Segment::attach(path, kind, false, mine));
          if (role == Role::close) mine.close();
          beforeStep = []() noexcept {};
          return 0;
        });
        siginfo_t end{};
        REQUIRE(waitid(P_PID, static_cast<id_t>(victim.pid()), &end, WEXITED | WSTOPPED | WNOWAIT) == 0);
        over = end.si_code == CLD_EXITED;
        if (over) REQUIRE(end.si_status == 0);
        struck += !over;
        victim.killAndWait();
        for (uint32_t id = 1; id < kEntries; ++id) CHECK(self.settle(id) == 1);
        holds(self);
        for (uint32_t id = 1; id < kEntries; ++id) CHECK(self.settle(id) == 1);
        holds(self);
      }
    }
  }
  ::unlink(path.c_str());
  return struck;
}

BarrierHeader& barrierOf(const Segment& segment) { return *reinterpret_cast<BarrierHeader*>(segment.body()); }

ConditionHeader& conditionOf(const Segment& segment) { return *reinterpret_cast<ConditionHeader*>(segment.body()); }

WaitingRow& rowOf(const Segment& segment, uint32_t id) {
  return reinterpret_cast<WaitingRow*>(segment.body() + sizeof(ConditionHeader))[id];
}

}  // namespace

TEST_CASE("barrier deaths: a kill or a stop before every step of those who recover, replace or leave") {
  constexpr uint32_t kParties = 3;
  const auto enter = [](const Segment& segment, bool isFirst) {
    BarrierHeader& barrier = barrierOf(segment);
    if (isFirst) {
      barrier.parties = kParties;
      barrier.state.store(kFirstGeneration << 1);
    }
    auto* arrivals = reinterpret_cast<Atomic<uint32_t>*>(segment.body() + sizeof(BarrierHeader));
    arrivals[isFirst ? 0 : 1].store(arrivalOf(segment.participantId(), kFirstGeneration));
  };
  // The generation is broken, once, and says why; one of the others waits in it.
  const auto holds = [](const Segment& self) {
    CHECK(barrierOf(self).state.load() == ((kFirstGeneration << 1) | 1));
    const uint32_t cause = barrierOf(self).blame.load() & ((uint32_t{1} << kBlamePidShift) - 1);
    const bool known =
        cause == static_cast<uint32_t>(BreakCause::died) || cause == static_cast<uint32_t>(BreakCause::closed);
    CHECK(known);
  };
  const uint64_t byteLength = sizeof(BarrierHeader) + kParties * 4;
  CHECK(strikeEverywhere(scratchPath("ringway-barrier-deaths"), Kind::barrier, byteLength, enter, holds) > 20);
}

TEST_CASE("condition deaths: a kill or a stop before every step of those who recover, replace or leave") {
  // Two waits, one of which has been notified; the first one waits too, without a notice.
  const auto enter = [](const Segment& segment, bool isFirst) {
    rowOf(segment, segment.participantId()).counts.store(isFirst ? 1 : 2 | uint32_t{1} << kNoticeShift);
  };
  // The waits are over, and the notice is there; nobody else's row has changed.
  const auto holds = [](const Segment& self) {
    CHECK(rowOf(self, 0).counts.load() == 1);
    uint32_t notices = 0;
    for (uint32_t id = 1; id < kEntries; ++id) {
      CHECK(waitsIn(rowOf(self, id).counts.load()) == 0);
      notices += noticesIn(rowOf(self, id).counts.load());
    }
    CHECK(notices == 1);
    CHECK(conditionOf(self).left.load() > 0);
  };
  const uint64_t byteLength = sizeof(ConditionHeader) + kEntries * sizeof(WaitingRow);
  CHECK(strikeEverywhere(scratchPath("ringway-condition-deaths"), Kind::condition, byteLength, enter, holds) > 20);
}
