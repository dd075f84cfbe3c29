// Recovery of a broadcast ring's members: a recoverer is killed, or stopped, before each step of BroadcastSlots::leave(),
// and another one does the same work. The dead publisher had come to any point of a publication (docs/BROADCAST.md). Built
// with RINGWAY_STEPS (ringway/atomic.hpp).
#include <doctest/doctest.h>

#include "ringway/broadcast.hpp"
#include "support.hpp"

using namespace ringway;
using namespace support;

namespace {

constexpr uint32_t kSlots = 2, kPublishers = 2, kSubscribers = 2, kCells = 8, kIndexBits = 2, kStride = 64;
constexpr uint32_t kDead = 5, kOther = 6, kNewcomer = 7;
constexpr size_t kCellsAt =
    sizeof(BroadcastHeader) + kPublishers * sizeof(PublisherEntry) + kSubscribers * sizeof(SubscriberEntry);
constexpr size_t kSlotsAt = (kCellsAt + kCells * 4 + kIsolationBytes - 1) / kIsolationBytes * kIsolationBytes;
constexpr size_t kByteLength = kSlotsAt + (kSlots + kPublishers) * kStride;

// How far a publication has come. Named as the steps after which it stopped.
enum class Done { nothing, p5, p6, p7, displacedByOther };
constexpr Done kAllDone[] = {Done::nothing, Done::p5, Done::p6, Done::p7, Done::displacedByOther};

constexpr uint32_t word(MemberPhase phase, uint32_t id) { return static_cast<uint32_t>(phase) | id << kRoleIdShift; }

// The body of a ring in memory that forked processes share, and what a publisher does to it, as in
// src/ring/broadcast-slots.ts. Participant kDead holds the first entry of each kind, kOther the second.
class Stage {
 public:
  explicit Stage(uint32_t start) {
    memory_ = mmap(nullptr, kByteLength, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory_ != MAP_FAILED);
    auto* body = static_cast<std::byte*>(memory_);
    header = reinterpret_cast<BroadcastHeader*>(body);
    header->slots = kSlots;
    header->slotByteLength = 8;
    header->payloadOffset = sizeof(BroadcastSlot);
    header->maxPublishers = kPublishers;
    header->maxSubscribers = kSubscribers;
    publishers = reinterpret_cast<PublisherEntry*>(body + sizeof(BroadcastHeader));
    subscribers = reinterpret_cast<SubscriberEntry*>(publishers + kPublishers);
    cells_ = reinterpret_cast<Atomic<uint32_t>*>(body + kCellsAt);
    slots_ = body + kSlotsAt;
    REQUIRE(BroadcastSlots::bind(body, kByteLength, slots));
    header->tail.store(start);
    for (uint32_t back = 1; back <= kCells; ++back) {
      cell(start - back).store(lap(start - back) | (back <= kSlots ? back - 1 : 0));
      if (back <= kSlots) slot(back - 1).position.store(start - back);
    }
    for (uint32_t i = 0; i < kSlots + kPublishers; ++i) slot(i).publisher.store(kNoPublisher);
    for (uint32_t i = 0; i < kPublishers; ++i) {
      publishers[i].spare.store((start - kSlots - 1 - i) << kIndexBits | (kSlots + i));
      publishers[i].word.store(word(MemberPhase::active, i == 0 ? kDead : kOther));
    }
    for (uint32_t i = 0; i < kSubscribers; ++i) {
      subscribers[i].word.store(word(i == 0 ? MemberPhase::joining : MemberPhase::active, i == 0 ? kDead : kOther));
    }
    header->publishing.word.store(word(MemberPhase::joining, 1));
  }
  ~Stage() { munmap(memory_, kByteLength); }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  // A message by the holder of an entry, as far as `last`. Makes up for the one that it displaces (P4).
  void publish(uint32_t entry, Done last) {
    if (last == Done::nothing) return;
    const uint32_t position = header->tail + (isTaken(header->tail) ? 1 : 0);
    const uint32_t index = publishers[entry].spare & (kSlots + kPublishers - 1);
    const uint32_t displaced = cell(position - kSlots) & (kSlots + kPublishers - 1);
    const uint32_t other = slot(displaced).publisher;
    if (other < kPublishers && other != entry && (publishers[other].spare & 3) == displaced) {
      publishers[other].spare.store(spareFrom(position - 2 * kSlots));
    }
    slot(index).publisher.store(entry);
    slot(index).position.store(position);  // P5.
    if (last == Done::p5) return;
    cell(position).store(lap(position) | index);  // P6.
    if (last == Done::p6) return;
    publishers[entry].spare.store(spareFrom(position - kSlots));  // P7.
    header->tail.store(position + 1);
  }
  uint32_t spareFrom(uint32_t position) const { return position << kIndexBits | (cell(position) & 3); }

  // Each slot is one publisher's or that of a message, and of one only.
  void checkSlots() const {
    const uint32_t tail = header->tail + (isTaken(header->tail) ? 1 : 0);
    uint32_t owned = 0;
    const auto own = [&](uint32_t index) {
      CHECK((owned & 1U << index) == 0);
      owned |= 1U << index;
    };
    for (uint32_t back = 1; back <= kSlots; ++back) own(cell(tail - back) & 3);
    for (uint32_t i = 0; i < kPublishers; ++i) own(publishers[i].spare & 3);
  }

  BroadcastHeader* header;
  PublisherEntry* publishers;
  SubscriberEntry* subscribers;
  BroadcastSlots slots;

 private:
  static uint32_t lap(uint32_t position) { return position / kCells << kIndexBits; }
  bool isTaken(uint32_t position) const { return (cell(position) & ~3U) == lap(position); }
  Atomic<uint32_t>& cell(uint32_t position) const { return cells_[position % kCells]; }
  BroadcastSlot& slot(uint32_t index) const { return *reinterpret_cast<BroadcastSlot*>(slots_ + index * kStride); }

  void* memory_;
  Atomic<uint32_t>* cells_;
  std::byte* slots_;
};

// What a child is told: before which of its steps it gets which signal.
uint32_t stepsLeft = 0;
int signalAtStep = 0;

// A recoverer that gets the signal before step `at`. Exits with 0 if it was over before, else with 1.
int recoverUntil(const Stage& stage, uint32_t at, int signal) {
  static bool struck;
  struck = false;
  stepsLeft = at;
  signalAtStep = signal;
  beforeStep = []() noexcept {
    if (stepsLeft-- != 0) return;
    struck = true;
    raise(signalAtStep);
  };
  stage.slots.leave(kDead, RolePhase::died, 1234);
  beforeStep = []() noexcept {};
  return struck ? 1 : 0;
}

void checkRecovered(const Stage& stage, Done done, uint32_t spareBefore, uint32_t spareAfterP7) {
  const bool isPublished = done != Done::nothing && done != Done::p5;
  CHECK(stage.publishers[0].spare == (isPublished ? spareAfterP7 : spareBefore));
  CHECK(stage.publishers[0].word == 0);
  CHECK(stage.subscribers[0].word == 0);
  CHECK(stage.publishers[1].word == word(MemberPhase::active, kOther));
  CHECK(stage.subscribers[1].word == word(MemberPhase::active, kOther));
  CHECK(rolePhase(stage.header->publishing.word) == RolePhase::died);
  CHECK(stage.header->publishing.diedPid == 1234);
  stage.checkSlots();
}

// What every case starts with: a ring in use, and a publication that came as far as `done`.
struct Case {
  explicit Case(uint32_t start, Done done) : stage(start) {
    stage.publish(0, Done::p7);
    stage.publish(1, Done::p7);
    stage.publish(0, Done::p7);
    spareBefore = stage.publishers[0].spare;
    spareAfterP7 = stage.spareFrom(stage.header->tail - kSlots);
    stage.publish(0, done == Done::displacedByOther ? Done::p6 : done);
    if (done == Done::displacedByOther) {
      stage.publish(1, Done::p7);
      stage.publish(1, Done::p7);
    }
  }
  Stage stage;
  uint32_t spareBefore, spareAfterP7;
};

constexpr uint32_t kStarts[] = {0, 13, uint32_t{} - 4};  // The last: positions wrap.

}  // namespace

TEST_CASE("broadcast: recovery that dies before any of its steps is finished by the next one") {
  uint32_t killed = 0;
  for (const uint32_t start : kStarts) {
    for (const Done done : kAllDone) {
      bool died = true;
      for (uint32_t at = 0; died; ++at) {
        CAPTURE(start);
        CAPTURE(static_cast<int>(done));
        CAPTURE(at);
        Case made(start, done);
        Child recoverer([&](const Wire&) { return recoverUntil(made.stage, at, SIGKILL); });
        const int end = recoverer.wait();
        died = end == -SIGKILL;
        if (!died) REQUIRE(end == 0);
        killed += died ? 1 : 0;
        made.stage.slots.leave(kDead, RolePhase::died, 1234);
        checkRecovered(made.stage, done, made.spareBefore, made.spareAfterP7);
        // Everybody's slots are good to use.
        made.stage.publish(0, Done::p7);
        made.stage.publish(1, Done::p7);
        made.stage.checkSlots();
      }
    }
  }
  std::printf("recoverers killed: %u\n", killed);
}

TEST_CASE("broadcast: recovery that is stopped before any of its steps harms nobody who has the entries then") {
  uint32_t stops = 0;
  for (const Done newcomers : {Done::nothing, Done::p5, Done::p6, Done::p7}) {
    for (const Done done : kAllDone) {
      bool stopped = true;
      for (uint32_t at = 0; stopped; ++at) {
        CAPTURE(static_cast<int>(newcomers));
        CAPTURE(static_cast<int>(done));
        CAPTURE(at);
        Case made(13, done);
        Stage& stage = made.stage;
        Child recoverer([&](const Wire&) { return recoverUntil(stage, at, SIGSTOP); });
        siginfo_t info{};
        while (waitid(P_PID, static_cast<id_t>(recoverer.pid()), &info, WSTOPPED | WEXITED | WNOWAIT) != 0) continue;
        stopped = info.si_code == CLD_STOPPED;
        if (stopped) {
          ++stops;
          stage.slots.leave(kDead, RolePhase::died, 1234);
          checkRecovered(stage, done, made.spareBefore, made.spareAfterP7);
          stage.publishers[0].word.store(word(MemberPhase::active, kNewcomer));
          stage.subscribers[0].word.store(word(MemberPhase::active, kNewcomer));
          stage.publish(1, Done::p7);
          const uint32_t before = stage.publishers[0].spare;
          const uint32_t after = stage.spareFrom(stage.header->tail - kSlots);
          stage.publish(0, newcomers);
          recoverer.signal(SIGCONT);
          REQUIRE(recoverer.wait() == 1);
          CHECK(stage.publishers[0].word == word(MemberPhase::active, kNewcomer));
          CHECK(stage.subscribers[0].word == word(MemberPhase::active, kNewcomer));
          // After P6 anybody may make up for P7; before it nobody may.
          const uint32_t spare = stage.publishers[0].spare;
          CHECK((spare == (newcomers == Done::p7 ? after : before) || (newcomers == Done::p6 && spare == after)));
        }
      }
    }
  }
  std::printf("recoverers stopped: %u\n", stops);
}
