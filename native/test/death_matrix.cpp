// The death matrix of the many-to-many ring: a victim is killed, or stopped, before each step of each call, also of those
// in which it recovers what others left behind, while two workers push and take on the same ring. A ledger knows what must
// arrive. Built with RINGWAY_STEPS (ringway/atomic.hpp): a step is an operation on a shared word, or a presence lock.
//   RINGWAY_TORTURE=1   every pair of a death and a death of its recoverer, and twenty times as many at random
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>

#include "participant.hpp"

using namespace ringway;
using namespace support;

namespace {

constexpr uint32_t kParticipants = 16;

enum class Role { push, abort, pop, nack, pushTwo, takeTwo, close, attach, recover };
std::string nameOf(Role role) {
  constexpr const char* kNames[] = {"push",     "abort", "pop",    "nack",   "push two",
                                    "take two", "close", "attach", "recover"};
  return kNames[static_cast<int>(role)];
}
constexpr Role kHolders[] = {Role::push, Role::abort, Role::pop, Role::nack, Role::pushTwo, Role::takeTwo, Role::close};

bool tortured() {
  const char* torture = std::getenv("RINGWAY_TORTURE");
  return torture != nullptr && std::string_view(torture) == "1";
}

// In a victim: counts its steps, and sends it the signal before the one that was chosen.
class Doom {
 public:
  static void arm(Participant& participant, Board board, uint32_t at, int signal) {
    participant_ = &participant;
    ledger_ = &board.ledger;
    words_ = &board.words;
    left_ = at;
    signal_ = signal;
    beforeStep = []() noexcept {
      if (left_-- == 0) strike();
    };
  }
  static bool struck() { return struck_; }
  static void disarm() {
    beforeStep = []() noexcept {};
  }

 private:
  static void strike() noexcept {
    disarm();
    struck_ = true;
    if (signal_ == SIGKILL) {
      enterTruth();
      eachHeld([](uint32_t, uint32_t) { words_->diedHolding = nowNs(); });
      raise(SIGKILL);
    }
    // What we write or read is ours alone, however long we are stopped.
    struct Held {
      uint32_t index, state;
      std::byte payload[Message::kMaxByteLength];
    };
    std::vector<Held> before;
    eachHeld([&](uint32_t index, uint32_t state) {
      Held held{index, state, {}};
      std::memcpy(held.payload, participant_->slots.payload(index), sizeof held.payload);
      before.push_back(held);
    });
    raise(SIGSTOP);
    for (const Held& held : before) {
      if (peek(participant_->slots.at(held.index).state) != held.state ||
          std::memcmp(held.payload, participant_->slots.payload(held.index), sizeof held.payload) != 0) {
        participant_->fail("its slot was touched while it was stopped");
      }
    }
  }
  // Only we know whether our message was completed, or taken by us, before this step.
  static void enterTruth() {
    const auto& [index, state, id] = participant_->writing;
    if (id != ~uint64_t{} && peek(participant_->slots.at(index).state) != state) ledger_->of(id).complete = 1;
    eachHeld([](uint32_t held, uint32_t word) {
      uint64_t taken = 0;
      std::memcpy(&taken, participant_->slots.payload(held), sizeof taken);
      if (slotPhase(word) == SlotPhase::reading) ledger_->of(taken).mayComeAgain = 1;
    });
  }
  template <class Each>
  static void eachHeld(Each&& each) {
    const auto& slots = participant_->slots;
    if (!participant_->segment.open()) return;
    for (uint32_t index = 0; index < slots.count; ++index) {
      const uint32_t state = peek(slots.at(index).state);
      const bool held = slotPhase(state) == SlotPhase::writing || slotPhase(state) == SlotPhase::reading;
      if (held && slotOwner(state) == participant_->me() + 1) each(index, state);
    }
  }

  static inline Participant* participant_ = nullptr;
  static inline Ledger* ledger_ = nullptr;
  static inline Board::Words* words_ = nullptr;
  static inline uint32_t left_ = 0;
  static inline int signal_ = 0;
  static inline bool struck_ = false;
};

// In a child: one call, with the signal before its `at`th step. 0 if the call was over before.
int victim(Board board, const std::string& path, Role role, uint32_t at, int signal) {
  alarm(20);  // A call that never ends.
  Participant self(board, 2);
  if (role != Role::attach) HOLDS_IN_CHILD(self.attach(path));
  board.words.victim = role == Role::attach ? -1 : static_cast<int32_t>(self.me());
  uint32_t index[2] = {};
  Message message[2];
  // Repeats a call that could not do all, since the workers had left it nothing.
  const auto untilDone = [&](auto&& call) {
    for (int attempt = 0; attempt < 100; ++attempt) {
      if (!Doom::struck()) Doom::arm(self, board, at, signal);
      const bool done = call();
      Doom::disarm();
      if (done) return;
      sched_yield();
    }
  };
  switch (role) {
    case Role::push:
      untilDone([&] { return self.push(); });
      break;
    case Role::abort:
      untilDone([&] {
        if (!self.claim(index[0])) return false;
        self.abort(index[0]);
        return true;
      });
      break;
    case Role::pop:
      untilDone([&] { return self.pop(); });
      break;
    case Role::nack:
      untilDone([&] {
        if (!self.take(index[0], message[0])) return false;
        self.nack(index[0], message[0]);
        return true;
      });
      break;
    case Role::pushTwo:
      untilDone([&] {
        if (!self.claim(index[0])) return false;
        const bool second = self.claim(index[1]);
        self.commit(index[0]);
        if (second) self.commit(index[1]);
        return second;
      });
      break;
    case Role::takeTwo:
      untilDone([&] {
        if (!self.take(index[0], message[0])) return false;
        const bool second = self.take(index[1], message[1]);
        self.ack(index[0], message[0]);
        if (second) self.ack(index[1], message[1]);
        return second;
      });
      break;
    case Role::close:
      while (!self.claim(index[0])) sched_yield();
      while (!self.take(index[1], message[1])) sched_yield();
      board.ledger.of(message[1].id).mayComeAgain = 1;
      Doom::arm(self, board, at, signal);
      self.segment.close();
      Doom::disarm();
      break;
    case Role::attach:
      Doom::arm(self, board, at, signal);
      HOLDS_IN_CHILD(self.attach(path));
      Doom::disarm();
      break;
    case Role::recover:
      Doom::arm(self, board, at, signal);
      self.settleTheDead();
      Doom::disarm();
  }
  self.segment.close();
  return board.words.wrong != 0;
}

// The stage: a ring, two workers, and this process, which looks after the books.
class Matrix {
 public:
  explicit Matrix(uint32_t slots) : path_(scratchPath("ringway-matrix")), self_(board_, 3) {
    CreateOptions options{.kind = Kind::mpmc, .maxParticipants = kParticipants};
    constexpr uint32_t kStart = uint32_t{} - 1024;  // Positions wrap while the test goes on.
    options.byteLength = bodyOffsetFor(kParticipants) +
                         MpmcSlots::byteLengthFor(slots, Message::kMaxByteLength, sizeof(MpmcSlot), kParticipants);
    REQUIRE_FALSE(Segment::create(scratchFolder().c_str(), options, self_.segment));
    MpmcSlots::format(self_.segment.body(), slots, Message::kMaxByteLength, sizeof(MpmcSlot), kParticipants,
                      WaitMode::adaptive);
    REQUIRE(self_.bind());
    self_.slots.header->tail.store(kStart);
    self_.slots.header->head.store(kStart);
    for (uint32_t index = 0; index < slots; ++index) {
      for (auto& cell : self_.slots.at(index).order) cell.store(kStart);
    }
    ::unlink(path_.c_str());  // A case that failed has left it.
    REQUIRE_FALSE(self_.segment.publish(path_));
    for (uint32_t number = 0; number < 2; ++number) {
      workers_[number] = std::make_unique<Child>([&](const Wire&) { return work(board_, path_, number); });
    }
    progress();
  }
  ~Matrix() {
    ::unlink(path_.c_str());
    for (auto& worker : workers_) worker.reset();
    Ledger::drop(board_.ledger);
    munmap(&board_.words, sizeof board_.words);
  }

  // Kills a victim before that step of its call. False if the call was over before. `id`: which entry it should get, if
  // that is free; else the next one.
  bool kill(Role role, uint32_t at, int64_t id = -1) {
    const std::unique_ptr<Child> child = start(role, at, SIGKILL, id);
    const bool killed = ended(*child, role, at);
    checkBooksNow();
    progress();
    return killed;
  }
  // Two at once.
  void killTwo(Role first, uint32_t firstAt, Role second, uint32_t secondAt) {
    const auto one = start(first, firstAt, SIGKILL, -1), two = start(second, secondAt, SIGKILL, -1);
    ended(*one, first, firstAt);
    ended(*two, second, secondAt);
    checkBooksNow();
    progress();
  }
  // Stops a victim, lets the others work and recover, and lets it go on. False if the call was over before.
  bool stop(Role role, uint32_t at, int64_t id = -1) {
    const std::unique_ptr<Child> child = start(role, at, SIGSTOP, id);
    siginfo_t info{};
    while (waitid(P_PID, static_cast<id_t>(child->pid()), &info, WSTOPPED | WEXITED | WNOWAIT) != 0) continue;
    const bool stopped = info.si_code == CLD_STOPPED;
    if (stopped) {
      ++stops_;
      progress();
      (void)self_.settleTheDead();
      const int32_t id = board_.words.victim;
      if (id >= 0 && role != Role::close) {  // On its way out it may have let go already.
        CHECK(self_.segment.alive(static_cast<uint32_t>(id)) == 1);
        CHECK(self_.segment.settle(static_cast<uint32_t>(id)) == 0);
      }
      child->signal(SIGCONT);
    }
    CAPTURE(nameOf(role));
    CAPTURE(at);
    REQUIRE(child->wait() == 0);
    checkBooksNow();
    return stopped;
  }

  // From the kill of a victim until no slot names it any more; -1 if it held none. It says itself when it was killed, and
  // whether it held one: workers are often done before its death is reported here, so that only slow recoveries would count.
  int64_t recoveryNs(Role role, uint32_t at) {
    checkBooksNow();
    board_.words.diedHolding = 0;
    const std::unique_ptr<Child> child = start(role, at, SIGKILL, -1);
    (void)child->hear();  // It says nothing: its end of the pipe closes as it dies, before waitpid() returns.
    const int64_t died = board_.words.diedHolding;
    int64_t ns = -1;
    if (died != 0) {
      await("the dead are settled", [&] { return !someSlotNames(victimId()); });
      ns = nowNs() - died;
    }
    ended(*child, role, at);
    return ns;
  }
  // While the workers rest, a process holds the only message that somebody waits for, and is killed after that long: from
  // its death until the other one has the message.
  int64_t redeliveryNs(uint32_t heldUs) {
    rest(true);
    emptyTheRing();
    REQUIRE(self_.push());
    const auto hold = [&](const Wire& wire) {
      Participant self(board_, 2);
      HOLDS_IN_CHILD(self.attach(path_));
      uint32_t index = 0;
      Message message;
      HOLDS_IN_CHILD(self.take(index, message));
      board_.ledger.of(message.id).mayComeAgain = 1;
      wire.say('h');
      return static_cast<int>(wire.hear());
    };
    Child holder(hold);
    REQUIRE(holder.hear() == 'h');
    Child waiter([&](const Wire& wire) {
      Participant self(board_, 2);
      HOLDS_IN_CHILD(self.attach(path_));
      wire.say('w');
      self.until(true, [&] { return self.pop(); });
      wire.say('m');
      self.segment.close();
      return 0;
    });
    REQUIRE(waiter.hear() == 'w');
    usleep(heldUs);
    REQUIRE(holder.killAndWait() == -SIGKILL);
    const int64_t died = nowNs();
    REQUIRE(waiter.hear() == 'm');
    const int64_t ns = nowNs() - died;
    REQUIRE(waiter.wait() == 0);
    checkBooks();
    return ns;
  }

  // Who died last, as far as it had an id.
  int32_t victimId() const { return board_.words.victim; }
  void leaveTheDead(bool leave) { board_.words.leaveTheDead = leave; }
  void recoverHere() {
    leaveTheDead(false);
    (void)self_.settleTheDead();
  }
  bool someSlotNames(int32_t id) const {
    for (uint32_t index = 0; index < self_.slots.count; ++index) {
      if (slotOwner(peek(self_.slots.at(index).state)) == static_cast<uint32_t>(id + 1)) return true;
    }
    return false;
  }

  // Everyone else goes on.
  void progress() {
    const uint32_t before[2] = {board_.words.done[0], board_.words.done[1]};
    for (uint32_t number = 0; number < 2; ++number) {
      await("the workers go on", [&] { return board_.words.done[number] - before[number] >= 4; });
    }
  }

  // Lets the workers rest, empties the ring and compares what came with what was sent.
  void checkBooks() {
    rest(true);
    emptyTheRing();
    rest(false);
  }
  void emptyTheRing() {
    leaveTheDead(false);
    while (anybodyIsNamed()) (void)self_.settleTheDead();
    while (self_.pop()) continue;
    CHECK(self_.settleTheDead());  // Every slot is free.
    const std::string wrong = board_.ledger.close();
    CHECK(wrong == "");
    REQUIRE(board_.words.wrong == 0);
  }

  void rest(bool resting) {
    board_.words.resting = resting;
    self_.slots.wakeAll();  // They look at it before they sleep.
    for (auto& rests : board_.words.rests) {
      await("the workers rest, or go back to work", [&] { return (rests != 0) == resting; });
    }
  }

  uint32_t kills() const { return kills_; }
  uint32_t stops() const { return stops_; }

 private:
  std::unique_ptr<Child> start(Role role, uint32_t at, int signal, int64_t id) {
    role_ = role;
    at_ = at;
    // Where newcomers look first for a free entry is a hint that anybody may write.
    if (id >= 0) self_.segment.header()->nextParticipant.store(static_cast<uint32_t>(id));
    return std::make_unique<Child>([&](const Wire&) { return victim(board_, path_, role, at, signal); });
  }
  bool ended(Child& child, Role role, uint32_t at) {
    CAPTURE(nameOf(role));
    CAPTURE(at);
    const int end = child.wait();
    const bool killed = end == -SIGKILL;
    kills_ += killed;
    if (!killed) REQUIRE(end == 0);
    return killed;
  }
  void checkBooksNow() {
    REQUIRE(board_.words.wrong == 0);
    if (board_.ledger.used() > Ledger::kCapacity / 2) checkBooks();
  }
  // By somebody who is dead: everybody else rests, or has nothing.
  bool anybodyIsNamed() const {
    for (uint32_t index = 0; index < self_.slots.count; ++index) {
      const uint32_t state = peek(self_.slots.at(index).state);
      if (slotPhase(state) != SlotPhase::free && slotPhase(state) != SlotPhase::ready) return true;
      const uint32_t owner = slotOwner(state);
      if (slotPhase(state) == SlotPhase::ready && owner != 0 && self_.segment.alive(owner - 1) == 0) return true;
    }
    return false;
  }
  // For who looks into a hang.
  std::string states() const {
    std::string text = board_.words.leaveTheDead != 0 ? "; the dead are left alone" : "";
    for (uint32_t index = 0; index < self_.slots.count; ++index) {
      const uint32_t state = peek(self_.slots.at(index).state), owner = slotOwner(state);
      if (slotPhase(state) == SlotPhase::free) continue;
      text += "; slot " + std::to_string(index) + " is in phase " + std::to_string(state & kSlotPhaseMask) +
              ", owner " + std::to_string(static_cast<int>(owner) - 1);
      if (owner != 0 && self_.segment.alive(owner - 1) == 0) text += " is dead";
    }
    return text;
  }
  template <class Condition>
  void await(const std::string& what, Condition&& condition) {
    const int64_t end = nowNs() + 20'000'000'000;  // Not a limit that anything is measured by: the end of a hang.
    while (!condition()) {
      REQUIRE(board_.words.wrong == 0);
      if (nowNs() > end) FAIL("it never came that " << what << ", step " << at_ << " of " << nameOf(role_) << states());
      usleep(20);
    }
  }

  const std::string path_;
  Board board_ = Board::make();
  Participant self_;
  std::unique_ptr<Child> workers_[2];
  uint32_t kills_ = 0, stops_ = 0;
  Role role_{};
  uint32_t at_ = 0;
};

// Calls visit(at) for every step: until it says kOver times running that the call was over before, since others at work
// make a call longer or shorter. How many steps there were.
template <class Visit>
uint32_t everyStep(Visit&& visit) {
  constexpr uint32_t kOver = 3;
  uint32_t at = 0;
  for (uint32_t over = 0; over < kOver; ++at) over = visit(at) ? 0 : over + 1;
  return at - kOver;
}

}  // namespace

TEST_CASE("death matrix: a kill before every step of every call") {
  Matrix matrix(4);
  std::string visited;
  for (const bool leave : {false, true}) {
    for (const Role role : kHolders) {
      const uint32_t steps = everyStep([&](uint32_t at) {
        matrix.leaveTheDead(leave);
        const bool killed = matrix.kill(role, at);
        if (leave) matrix.recoverHere();
        return killed;
      });
      matrix.checkBooks();
      visited += ", " + nameOf(role) + " " + std::to_string(steps);
    }
  }
  std::printf("steps visited: %s\n", visited.substr(2).c_str());
  std::printf("killed in calls: %u\n", matrix.kills());
}

TEST_CASE("death matrix: a kill before every step of those who recover, and of those who recover from that") {
  Matrix matrix(4);
  Random random(runSeed());
  const uint32_t stride = tortured() ? 1 : 16;
  for (const Role role : {Role::recover, Role::attach}) {
    for (const Role holder : kHolders) {
      everyStep([&](uint32_t holderAt) {
        bool holderDied = true, died = true;
        for (uint32_t at = random.below(stride); holderDied && died; at += stride) {
          matrix.leaveTheDead(true);
          holderDied = matrix.kill(holder, holderAt);
          const int32_t dead = matrix.victimId();
          // One who attaches gets the entry of the dead, one who recovers another.
          died = matrix.kill(role, at, role == Role::attach ? dead : dead + 1);
          if (died && random.oneIn(2)) matrix.kill(Role::recover, random.below(48));
          matrix.recoverHere();
          REQUIRE(!matrix.someSlotNames(dead));
        }
        return holderDied;
      });
    }
    matrix.checkBooks();
  }
  std::printf("killed in calls and in recovery: %u\n", matrix.kills());
}

TEST_CASE("death matrix: one who is stopped before any step of any call is not robbed, and holds up nobody") {
  Matrix matrix(4);
  Random random(runSeed());
  for (const Role role : kHolders) {
    everyStep([&](uint32_t at) { return matrix.stop(role, at); });
    matrix.checkBooks();
  }
  // One who recovers is stopped, and somebody else recovers meanwhile.
  for (uint32_t round = 0; round < (tortured() ? 40 : 4); ++round) {
    for (const Role role : {Role::recover, Role::attach}) {
      for (const Role holder : kHolders) {
        everyStep([&](uint32_t at) {
          matrix.leaveTheDead(true);
          while (!matrix.kill(holder, random.below(20))) continue;
          const bool stopped = matrix.stop(role, at, role == Role::attach ? matrix.victimId() : -1);
          matrix.recoverHere();
          return stopped;
        });
      }
      matrix.checkBooks();
    }
  }
  std::printf("stopped and continued: %u\n", matrix.stops());
}

TEST_CASE("death matrix: two victims at a time, at random") {
  Random random(runSeed());
  const uint32_t kills = tortured() ? 40'000 : 2'000;
  uint32_t killed = 0;
  for (const uint32_t slots : {8u, 64u}) {
    Matrix matrix(slots);
    constexpr Role kRoles[] = {Role::push,    Role::abort, Role::pop,    Role::nack,   Role::pushTwo,
                               Role::takeTwo, Role::close, Role::attach, Role::recover};
    for (uint32_t round = 0; matrix.kills() < kills / 2; ++round) {
      matrix.leaveTheDead(random.oneIn(8));
      matrix.killTwo(random.pick(kRoles), random.below(40), random.pick(kRoles), random.below(40));
      matrix.recoverHere();
      if (round % 256 == 0) matrix.checkBooks();
    }
    matrix.checkBooks();
    killed += matrix.kills();
  }
  std::printf("killed at random: %u\n", killed);
}

namespace {

void printFigures(const char* what, std::vector<int64_t> ns) {
  std::sort(ns.begin(), ns.end());
  const auto ms = [&](size_t percent) { return static_cast<double>(ns[(ns.size() - 1) * percent / 100]) / 1e6; };
  std::printf("%s: median %.2f ms, p99 %.2f ms, longest %.2f ms, %zu deaths\n", what, ms(50), ms(99), ms(100),
              ns.size());
}

}  // namespace

TEST_CASE("death matrix: how long it takes until what the dead held is back") {
  Random random(runSeed());
  const uint32_t deaths = tortured() ? 1'000 : 100;
  {
    Matrix matrix(4);
    std::vector<int64_t> took;
    while (took.size() < deaths) {
      const int64_t ns = matrix.recoveryNs(random.pick(kHolders), random.below(20));
      if (ns >= 0) took.push_back(ns);
    }
    matrix.checkBooks();
    printFigures("recovered by processes at work", took);
  }
  for (const uint32_t holdMs : {20u, 200u}) {
    Matrix matrix(4);
    std::vector<int64_t> took;
    while (took.size() < deaths / 4) took.push_back(matrix.redeliveryNs(random.below(holdMs * 1000)));
    const std::string what = "recovered by one who has waited for up to " + std::to_string(holdMs) + " ms";
    printFigures(what.c_str(), took);
  }
}
