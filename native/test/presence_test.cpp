// Who is alive: the kernel's answer, through every way a process can end or not end.
#include <doctest/doctest.h>

#include <set>
#include <vector>

#include "support.hpp"

using namespace ringway;
using namespace support;

namespace {

// A descriptor of its own description of the same file, as another observer or cleaner has it.
class Observer {
 public:
  explicit Observer(const std::string& path) : fd_(open(path.c_str(), O_RDWR | O_CLOEXEC)) {}
  ~Observer() { close(fd_); }
  int fd() const { return fd_; }

 private:
  int fd_;
};

// A word for every participant id in the ring's data, where whoever believes to own the id says so.
std::atomic<uint32_t>& ownerWord(const Segment& segment, uint32_t id) {
  return *reinterpret_cast<std::atomic<uint32_t>*>(segment.body() + kSpscDataOffset + 8 * id);
}

}  // namespace

TEST_CASE("presence: a participant is alive to everybody until it closes") {
  const std::string path = scratchPath("ringway-alive");
  Segment a, b;
  REQUIRE_FALSE(createRingAt(a, path));
  REQUIRE_FALSE(attachRing(b, path));
  const uint32_t id = b.participantId();
  CHECK(a.alive(id) == 1);
  CHECK(a.alive(0) == 1);
  CHECK(b.alive(0) == 1);
  CHECK(a.alive(7) == 0);
  b.close();
  CHECK(a.alive(id) == 0);
  ::unlink(path.c_str());
}

TEST_CASE("presence: asking about oneself does not weaken one's own lock") {
  const std::string path = scratchPath("ringway-self");
  Segment a, b;
  REQUIRE_FALSE(createRingAt(a, path));
  REQUIRE_FALSE(attachRing(b, path));
  for (int i = 0; i < 3; ++i) {
    CHECK(a.alive(a.participantId()) == 1);
    CHECK(a.settle(a.participantId()) == 0);
  }
  CHECK(b.alive(a.participantId()) == 1);
  ::unlink(path.c_str());
}

TEST_CASE("presence: every participant has an entry that says who it is") {
  const std::string path = scratchPath("ringway-entries");
  Segment a, b;
  REQUIRE_FALSE(createRingAt(a, path));
  REQUIRE_FALSE(attachRing(b, path));
  for (const Segment* segment : {&a, &b}) {
    const ParticipantEntry& entry = a.participants()[segment->participantId()];
    CHECK(entry.pid.load() == static_cast<uint32_t>(getpid()));
    CHECK(entry.threadId.load() == static_cast<uint32_t>(gettid()));
    CHECK(entry.attachedAtMs.load() > 1e12);
  }
  ::unlink(path.c_str());
}

TEST_CASE("presence: ends with the process, however it ends") {
  const std::string path = scratchPath("ringway-ends");
  Segment observer;
  REQUIRE_FALSE(createRingAt(observer, path));
  for (const int ending : {0, SIGKILL, SIGTERM, SIGSEGV}) {
    CAPTURE(ending);
    Child child([&](const Wire& wire) {
      signal(SIGSEGV, SIG_DFL);  // Sanitizers have a handler of their own.
      Segment segment;
      HOLDS_IN_CHILD(!attachRing(segment, path));
      wire.say(static_cast<char>('0' + segment.participantId()));
      return wire.hear() == 'x' ? 0 : 1;
    });
    const auto id = static_cast<uint32_t>(child.hear() - '0');
    CHECK(observer.alive(id) == 1);
    CHECK(observer.settle(id) == 0);
    ending == 0 ? child.say('x') : child.signal(ending);
    CHECK(child.wait() == -ending);
    CHECK(observer.alive(id) == 0);
    CHECK(observer.settle(id) == 1);
  }
  ::unlink(path.c_str());
}

TEST_CASE("presence: a stopped process is alive, and so is its role") {
  const std::string path = scratchPath("ringway-stopped");
  Segment segment;
  REQUIRE_FALSE(createRingAt(segment, path));
  SpscRing ring;
  REQUIRE(bindRing(segment, ring));
  Child child([&](const Wire& wire) {
    Segment mine;
    SpscRing ours;
    HOLDS_IN_CHILD(!attachRing(mine, path) && bindRing(mine, ours));
    HOLDS_IN_CHILD(ours.takeRole(ours.header->producer) == Outcome::ok);
    wire.say(static_cast<char>('0' + mine.participantId()));
    return wire.hear() == 0 ? 0 : 1;
  });
  const auto id = static_cast<uint32_t>(child.hear() - '0');
  child.stop();
  CHECK(segment.alive(id) == 1);
  CHECK(segment.settle(id) == 0);
  CHECK(ring.takeRole(ring.header->producer) == Outcome::roleTaken);
  CHECK(ring.header->producer.word.load() == heldBy(id));
  child.signal(SIGCONT);
  CHECK(child.killAndWait() == -SIGKILL);
  CHECK(ring.takeRole(ring.header->producer) == Outcome::ok);
  ::unlink(path.c_str());
}

TEST_CASE("presence: with all entries taken, attaching is EUSERS until somebody leaves") {
  const std::string path = scratchPath("ringway-full-house");
  Segment first, others[3], late;
  REQUIRE_FALSE(createRingAt(first, path, {.maxParticipants = 4}));
  std::set<uint32_t> ids{first.participantId()};
  for (Segment& other : others) {
    REQUIRE_FALSE(attachRing(other, path));
    ids.insert(other.participantId());
  }
  CHECK(ids.size() == 4);
  CHECK(attachRing(late, path).error == EUSERS);
  const uint32_t freed = others[1].participantId();
  others[1].close();
  REQUIRE_FALSE(attachRing(late, path));
  CHECK(late.participantId() == freed);
  ::unlink(path.c_str());
}

TEST_CASE("presence: a newcomer settles what the dead holder of its id left behind") {
  const std::string path = scratchPath("ringway-reused-id");
  Segment observer, newcomer;
  REQUIRE_FALSE(createRingAt(observer, path, {.maxParticipants = 2}));
  Child child([&](const Wire& wire) {
    Segment segment;
    SpscRing ring;
    HOLDS_IN_CHILD(!attachRing(segment, path) && bindRing(segment, ring));
    HOLDS_IN_CHILD(ring.takeRole(ring.header->producer) == Outcome::ok);
    HOLDS_IN_CHILD(ring.takeRole(ring.header->consumer) == Outcome::ok);
    wire.say('r');
    pause();
    return 1;
  });
  REQUIRE(child.hear() == 'r');
  const auto pid = static_cast<uint32_t>(child.pid());
  CHECK(child.killAndWait() == -SIGKILL);
  SpscRing ring;
  REQUIRE(bindRing(observer, ring));
  CHECK(rolePhase(ring.header->producer.word.load()) == RolePhase::held);  // Nobody has asked yet.
  REQUIRE_FALSE(attachRing(newcomer, path));
  CHECK(newcomer.participantId() == 1);
  for (const RoleWords* role : {&ring.header->producer, &ring.header->consumer}) {
    CHECK(rolePhase(role->word.load()) == RolePhase::died);
    CHECK(role->diedPid.load() == pid);
  }
  ::unlink(path.c_str());
}

TEST_CASE("presence: a pin keeps newcomers from the id, and is refused while its holder lives") {
  const std::string path = scratchPath("ringway-pin");
  Segment a;
  REQUIRE_FALSE(createRingAt(a, path, {.maxParticipants = 3}));
  const Observer observer(path);
  CHECK_FALSE(bool(Pin(observer.fd(), 0)));
  {
    const Pin pin(observer.fd(), 1);
    REQUIRE(pin);
    CHECK(a.alive(1) == 0);   // A pin does not look like life,
    CHECK(a.settle(1) == 1);  // and several may recover at once.
    REQUIRE(pin);
    Segment b, c;
    REQUIRE_FALSE(attachRing(b, path));
    CHECK(b.participantId() == 2);
    CHECK(attachRing(c, path).error == EUSERS);
  }
  Segment c;
  REQUIRE_FALSE(attachRing(c, path));
  CHECK(c.participantId() == 1);
  ::unlink(path.c_str());
}

// Between "its lock is free" and the recoverer's compare-exchange, a newcomer could take the id, take the role, and be
// robbed of it. The pin stands in between.
TEST_CASE("presence: a slow recoverer cannot rob a newcomer that reuses the id") {
  const std::string path = scratchPath("ringway-slow-recoverer");
  Segment survivor;
  REQUIRE_FALSE(createRingAt(survivor, path, {.maxParticipants = 3}));
  SpscRing ring;
  REQUIRE(bindRing(survivor, ring));
  RoleWords& role = ring.header->producer;
  role.word.store(heldBy(1));  // Its holder is dead: nobody has the lock.
  const Observer observer(path);
  Segment newcomer;
  {
    const Pin pin(observer.fd(), 1);  // The recoverer is stopped here.
    REQUIRE(pin);
    REQUIRE_FALSE(attachRing(newcomer, path));
    CHECK(newcomer.participantId() != 1);
    SpscRing theirs;
    REQUIRE(bindRing(newcomer, theirs));
    REQUIRE(theirs.takeRole(theirs.header->producer) == Outcome::ok);  // Recovers it itself.
    CHECK_FALSE(settleRole(role, 1, survivor.participants()[1]));      // The recoverer goes on.
    CHECK(role.word.load() == heldBy(newcomer.participantId()));
  }
  Segment late;
  REQUIRE_FALSE(attachRing(late, path));
  CHECK(late.participantId() == 1);
  CHECK(survivor.settle(1) == 0);
  CHECK(role.word.load() == heldBy(newcomer.participantId()));
  ::unlink(path.c_str());
}

TEST_CASE("presence: whoever is removing the name is not mistaken for a full house, and is waited for") {
  const std::string path = scratchPath("ringway~cleaned");
  Child maker([&](const Wire&) {
    Segment segment;
    HOLDS_IN_CHILD(!createRingAt(segment, path));
    _exit(0);  // As a killed process: without the removal that its last participant owes.
  });
  REQUIRE(maker.wait() == 0);
  REQUIRE(exists(path));
  Child cleaner([&](const Wire& wire) {
    const Observer observer(path);
    HOLDS_IN_CHILD(setPresenceLock(observer.fd(), F_WRLCK, 0, kPresenceLockLength) == 0);
    wire.say('l');
    return wire.hear() == 0 ? 0 : 1;
  });
  REQUIRE(cleaner.hear() == 'l');
  Segment segment;
  CHECK(attachRing(segment, path).error == EAGAIN);
  CHECK(Segment::sweep(scratchFolder().c_str()) == 0);
  cleaner.killAndWait();
  CHECK_FALSE(attachRing(segment, path));
  segment.close();
  CHECK_FALSE(exists(path));
}

// Two processes, three entries, one of them held for good: there is always room for both.
TEST_CASE("presence: processes that attach at once get different ids, and room is never missed") {
  const std::string path = scratchPath("ringway-attach-race");
  const int rounds = RINGWAY_UNDER_TSAN || RINGWAY_UNDER_ASAN ? 4000 : 15000;
  Segment keeper;
  REQUIRE_FALSE(createRingAt(keeper, path, {.maxParticipants = 3}));
  const auto attachAndLeave = [&] {
    int missed = 0;
    for (int i = 0; i < rounds; ++i) {
      Segment segment;
      const Failure failure = attachRing(segment, path);
      if (failure.error == EUSERS) {
        ++missed;
        continue;
      }
      HOLDS_IN_CHILD(!failure);
      HOLDS_IN_CHILD(segment.participantId() == 1 || segment.participantId() == 2);
      auto& word = ownerWord(segment, segment.participantId());
      HOLDS_IN_CHILD(word.exchange(static_cast<uint32_t>(getpid())) == 0);
      HOLDS_IN_CHILD(word.exchange(0) == static_cast<uint32_t>(getpid()));
    }
    if (missed > 0) std::fprintf(stderr, "%d of %d attaches found no room\n", missed, rounds);
    return missed == 0 ? 0 : 2;
  };
  Child a([&](const Wire&) { return attachAndLeave(); });
  Child b([&](const Wire&) { return attachAndLeave(); });
  CHECK(a.wait() == 0);
  CHECK(b.wait() == 0);
  ::unlink(path.c_str());
}
