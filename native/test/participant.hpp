// One process at a many-to-many ring: every operation, with an entry in the ledger for each of its effects, and the waits
// of src/ring/mpmc-waits.ts.
#pragma once

#include <vector>

#include "ledger.hpp"
#include "ringway/segment.hpp"
#include "ringway/wait.hpp"
#include "support.hpp"

namespace support {

// What all processes of a test see, besides the ring.
struct Board {
  Ledger& ledger;
  struct Words {
    std::atomic<uint32_t> wrong;         // Somebody has met what must not be, and said so.
    std::atomic<uint32_t> resting;       // Workers are to rest; how many do.
    std::atomic<uint32_t> rests[2];      //   1: this worker rests.
    std::atomic<uint32_t> leaveTheDead;  // Workers are not to settle anybody.
    std::atomic<uint32_t> done[2];       // Operations that each worker has done.
    std::atomic<int32_t> victim;         // The participant id of the last victim that has attached.
    std::atomic<int64_t> diedHolding;    // When a victim that held a slot was killed, as of nowNs(). 0: none was.
  } & words;

  static Board make() {
    void* memory = mmap(nullptr, sizeof(Words), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    return {Ledger::make(), *static_cast<Words*>(memory)};
  }
};

// A load that is no step of anybody: what the test itself looks at.
inline uint32_t peek(const std::atomic<uint32_t>& word) noexcept { return word.load(); }

class Participant {
 public:
  using Slots = ringway::MpmcSlots;

  // `producer` stands in its messages. Those of 0 and 1 are checked for their order.
  Participant(Board board, uint32_t producer) noexcept : board_(board), producer_(producer) {}

  bool attach(const std::string& path) {
    if (ringway::Segment::attach(path, ringway::Kind::mpmc, false, segment)) return false;
    return bind();
  }
  bool bind() {
    return Slots::bind(segment.body(), segment.shape().byteLength - segment.shape().bodyOffset,
                       segment.shape().maxParticipants, slots);
  }
  uint32_t me() const noexcept { return segment.participantId(); }

  // A slot, claimed and told of. False if none is free.
  bool claim(uint32_t& index) {
    if (!slots.claim(me(), index)) return false;
    ringway::EventCount(slots.header->quiet).notify();
    return true;
  }
  void commit(uint32_t index) {
    const uint64_t id = board_.ledger.newId();
    const Message message{id, producer_, Message::byteLengthOf(id)};
    message.write(slots.payload(index));
    writing = {index, peek(slots.at(index).state), id};
    if (!slots.commit(me(), index, message.byteLength)) fail("the queue is corrupt");
    board_.ledger.of(id).complete = 1;
    writing = {};
    ringway::EventCount(slots.header->filled).notify();
  }
  void abort(uint32_t index) {
    Message{1, producer_, 20}.write(slots.payload(index));  // Nobody must see it.
    free(index);
  }
  bool push() {
    uint32_t index = 0;
    if (!claim(index)) return false;
    commit(index);
    return true;
  }

  // The next message, checked. False if nothing is queued.
  bool take(uint32_t& index, Message& message) {
    const auto found = slots.take(me(), index);
    if (found == Slots::Found::corrupt) fail("the queue is corrupt");
    if (found != Slots::Found::message) return false;
    MessageView view(slots, index);
    if (!message.read(slots.payload(index), view.byteLength)) {
      fail("a message is torn");
      return true;
    }
    const char* wrong = board_.ledger.delivered(message, view.again, view.deliveries);
    if (wrong != nullptr) fail(wrong, message.id);
    if (!view.again && message.producer < 2) {
      if (message.id < next_[message.producer]) fail("it comes after a later one", message.id);
      next_[message.producer] = message.id + 1;
    }
    return true;
  }
  void ack(uint32_t index, const Message& message) {
    slots.free(index);
    board_.ledger.of(message.id).acked++;
    ringway::EventCount(slots.header->freed).notify();
  }
  void nack(uint32_t index, const Message& message) {
    board_.ledger.of(message.id).mayComeAgain = 1;
    if (!slots.nack(me(), index)) fail("the queue is corrupt");
    ringway::EventCount(slots.header->filled).notify();
  }
  bool pop() {
    uint32_t index = 0;
    Message message;
    if (!take(index, message)) return false;
    ack(index, message);
    return true;
  }

  // Asks who of the holders lives and settles the others. True if every slot is free, so that nobody's death matters.
  bool settleTheDead(bool settle = true) {
    bool quiet = true;
    for (uint32_t index = 0; index < slots.count; ++index) {
      const uint32_t state = slots.at(index).state.load();
      if (ringway::slotPhase(state) == ringway::SlotPhase::free) continue;
      quiet = false;
      const uint32_t owner = ringway::slotOwner(state);
      if (owner == 0 || owner - 1 == me() || !settle) continue;
      if (segment.alive(owner - 1) == 0) segment.settle(owner - 1);
    }
    return quiet;
  }

  // Repeats `attempt` until it gives true. In between it sleeps as those do who wait for a message, or for room.
  template <class Attempt>
  void until(bool forMessage, Attempt&& attempt) {
    ringway::SleepLimit limit;
    while (!attempt()) {
      const bool quiet = settleTheDead(board_.words.leaveTheDead == 0) && forMessage;
      auto& header = *slots.header;
      ringway::EventCount waited(!forMessage ? header.freed : quiet ? header.quiet : header.filled);
      const uint32_t seen = waited.prepare();
      std::atomic_thread_fence(std::memory_order_seq_cst);  // event_count.hpp, A: not every load of an attempt is.
      if (attempt()) return;
      if (quiet && !everySlotIsFree()) continue;
      ringway::futexWait(waited.sequence(), seen, quiet ? ringway::kForever : ringway::nowNs() + limit.nextNs());
    }
  }

  void fail(const char* why, uint64_t id = ~uint64_t{}) {
    std::fprintf(stderr, "participant %u, producer %u: %s", me(), producer_, why);
    if (id != ~uint64_t{}) std::fprintf(stderr, " (message %llu)", static_cast<unsigned long long>(id));
    std::fprintf(stderr, "\n");
    board_.words.wrong = 1;
  }

  ringway::Segment segment;
  Slots slots;
  // While a message is committed: its slot, the state before S3, and its number.
  struct {
    uint32_t index = 0, state = 0;
    uint64_t id = ~uint64_t{};
  } writing;

 private:
  // What a slot says of its message.
  struct MessageView {
    MessageView(const Slots& slots, uint32_t index)
        : byteLength(peek(slots.at(index).byteLength)),
          deliveries(peek(slots.at(index).deliveries)),
          again((peek(slots.at(index).state) & ringway::kSlotAgainBit) != 0) {}
    uint32_t byteLength, deliveries;
    bool again;
  };

  void free(uint32_t index) {
    slots.free(index);
    ringway::EventCount(slots.header->freed).notify();
  }
  bool everySlotIsFree() const {
    for (uint32_t index = 0; index < slots.count; ++index) {
      if (ringway::slotPhase(slots.at(index).state.load()) != ringway::SlotPhase::free) return false;
    }
    return true;
  }

  Board board_;
  uint32_t producer_;
  uint64_t next_[2] = {0, 0};
};

// A worker: pushes if it is the first, takes if it is the second, now and then the other way round; sometimes it aborts or
// nacks. Goes on until it is killed.
inline int work(Board board, const std::string& path, uint32_t number) {
  Participant self(board, number);
  HOLDS_IN_CHILD(self.attach(path));
  Random random(runSeed() + number);
  auto& words = board.words;
  while (words.wrong == 0) {
    if (words.resting != 0) {
      words.rests[number] = 1;
      while (words.resting != 0) usleep(50);
      words.rests[number] = 0;
    }
    const bool swapped = random.oneIn(32), takes = (number == 1) != swapped;
    const auto attempt = [&] {
      uint32_t index = 0;
      Message message;
      if (words.resting != 0) return true;
      if (takes) {
        if (!self.take(index, message)) return false;
        random.oneIn(16) ? self.nack(index, message) : self.ack(index, message);
        return true;
      }
      if (board.ledger.used() > Ledger::kCapacity / 8 * 7) return true;
      if (!self.claim(index)) return false;
      random.oneIn(16) ? self.abort(index) : self.commit(index);
      return true;
    };
    if (swapped) {
      attempt();  // If both waited for a message, or for room, nobody would come.
    } else {
      self.until(takes, attempt);
    }
    words.done[number]++;
  }
  return 1;
}

}  // namespace support
