// What the two ends of a ring do, one step at a time.
#include <doctest/doctest.h>

#include <array>
#include <deque>
#include <memory>
#include <thread>

#include "stream.hpp"
#include "support.hpp"

using namespace ringway;
using namespace support;
using Bytes = std::vector<std::byte>;
using View = std::span<const std::byte>;

namespace {

Bytes filled(size_t byteLength, uint32_t tag) {
  Bytes bytes(byteLength);
  for (size_t i = 0; i < byteLength; ++i)
    bytes[i] = static_cast<std::byte>(stream::mix(tag + static_cast<uint32_t>(i)));
  return bytes;
}

bool same(View a, View b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

// A ring in private memory with both of its ends.
struct Ends {
  explicit Ends(const RingOptions& options, uint32_t start = 0)
      : memory(options, start), producer(memory.ring()), consumer(memory.ring()) {
    REQUIRE(memory.bound());
  }
  const SpscRing& ring() const { return memory.ring(); }
  uint32_t tail() const { return ring().tail().load(); }
  uint32_t head() const { return ring().head().load(); }
  // Whether the end that waits for the other's position says that it sleeps.
  bool consumerSleeps() const { return (memory.header().tail.load() & kAsleepBit) != 0; }
  bool producerSleeps() const { return (memory.header().head.load() & kAsleepBit) != 0; }

  PrivateRing memory;
  SpscProducer producer;
  SpscConsumer consumer;
};

// Positions around the places where something special happens: the start, and the wrap at 2^32.
std::vector<uint32_t> startPositions(uint32_t capacity, uint32_t alignment) {
  std::vector<uint32_t> positions;
  for (uint32_t at = 0; at < capacity; at += alignment) {
    positions.push_back(at);
    positions.push_back(at - capacity);
  }
  return positions;
}

// Where a record goes and how much room it takes, worked out anew and not by the code under test.
struct Placement {
  uint32_t padding, stride;
};
Placement place(uint32_t capacity, uint32_t alignment, uint32_t tail, size_t byteLength) {
  const auto stride = static_cast<uint32_t>((byteLength + 8 + alignment - 1) / alignment * alignment);
  const uint32_t rest = capacity - tail % capacity;
  return {stride <= rest ? 0 : rest, stride};
}

}  // namespace

TEST_CASE("spsc: a body whose header does not fit is not bound") {
  const auto binds = [](auto&& spoil) {
    PrivateRing memory({.capacity = 256});
    uint64_t byteLength = memory.byteLength();
    spoil(memory.header(), byteLength);
    SpscRing ring;
    return SpscRing::bind(memory.body(), byteLength, nullptr, ring);
  };
  using Header = SpscHeader;
  CHECK(binds([](Header&, uint64_t&) {}));
  for (const uint32_t capacity : {0U, 32U, 100U, 512U, 0x80000000U, 0xffffffffU}) {
    CAPTURE(capacity);
    CHECK_FALSE(binds([=](Header& header, uint64_t&) { header.capacity = capacity; }));
  }
  for (const uint32_t alignment : {0U, 1U, 4U, 16U, 128U}) {
    CAPTURE(alignment);
    CHECK_FALSE(binds([=](Header& header, uint64_t&) { header.alignment = alignment; }));
  }
  CHECK_FALSE(binds([](Header& header, uint64_t&) { header.capacity = 128, header.alignment = 64; }));
  CHECK_FALSE(binds([](Header& header, uint64_t&) { header.dataOffset += 8; }));
  CHECK_FALSE(binds([](Header& header, uint64_t&) { header.wait = 3; }));
  CHECK_FALSE(binds([](Header&, uint64_t& byteLength) { byteLength -= 1; }));
  CHECK_FALSE(binds([](Header&, uint64_t& byteLength) { byteLength = 100; }));
}

TEST_CASE("spsc: takes exactly its capacity, then is full, and takes as much again as was read") {
  for (const uint32_t alignment : {8U, 64U}) {
    for (const uint32_t capacity : {256U, 1024U, 65536U}) {
      CAPTURE(alignment);
      CAPTURE(capacity);
      Ends ends({.capacity = capacity, .alignment = alignment}, 0U - capacity / 2);
      const Bytes record = filled(alignment - 8, 1);  // With its header, one unit.
      for (uint32_t i = 0; i < capacity / alignment; ++i) REQUIRE(ends.producer.tryPush(record) == Outcome::ok);
      CHECK(ends.producer.tryPush(record) == Outcome::wouldBlock);
      std::span<std::byte> claim;
      CHECK(ends.producer.tryClaim(0, claim) == Outcome::wouldBlock);
      CHECK(ends.tail() - ends.head() == capacity);
      Bytes out;
      for (uint32_t round = 1; round < 4; ++round) {
        for (uint32_t i = 0; i < round; ++i) REQUIRE(ends.consumer.tryPop(out) == Outcome::ok);
        for (uint32_t i = 0; i < round; ++i) REQUIRE(ends.producer.tryPush(record) == Outcome::ok);
        CHECK(ends.producer.tryPush(record) == Outcome::wouldBlock);
      }
      for (uint32_t i = 0; i < capacity / alignment; ++i) REQUIRE(ends.consumer.tryPop(out) == Outcome::ok);
      CHECK(same(out, record));
      CHECK(ends.consumer.tryPop(out) == Outcome::wouldBlock);
      CHECK(ends.head() == ends.tail());
    }
  }
}

TEST_CASE("spsc: carries every length at every position of a lap, and over 2^32") {
  for (const auto& shape : {std::pair{64U, 8U}, {128U, 8U}, {256U, 8U}, {256U, 64U}, {512U, 64U}}) {
    const uint32_t capacity = shape.first, alignment = shape.second;
    CAPTURE(capacity);
    CAPTURE(alignment);
    for (const uint32_t start : startPositions(capacity, alignment)) {
      CAPTURE(start);
      for (uint32_t byteLength = 0; byteLength <= capacity / 2 - 8; ++byteLength) {
        Ends ends({.capacity = capacity, .alignment = alignment}, start);
        const Bytes record = filled(byteLength, start + byteLength);
        REQUIRE(ends.producer.tryPush(record) == Outcome::ok);
        const auto [padding, stride] = place(capacity, alignment, start, byteLength);
        REQUIRE(ends.tail() - start == padding + stride);
        View view;
        REQUIRE(ends.consumer.tryPeek(view) == Outcome::ok);
        REQUIRE(same(view, record));
        REQUIRE(reinterpret_cast<uintptr_t>(view.data()) % alignment == 0);
        REQUIRE(ends.head() == start);
        ends.consumer.release();
        REQUIRE(ends.head() == ends.tail());
        REQUIRE(ends.consumer.tryPeek(view) == Outcome::wouldBlock);
      }
    }
  }
}

TEST_CASE("spsc: the longest record fits into an empty ring wherever its positions stand") {
  for (const uint32_t start : startPositions(1024, 8)) {
    Ends ends({.capacity = 1024}, start);
    CHECK(ends.ring().maxRecordByteLength() == 504);
    REQUIRE(ends.producer.tryPush(filled(504, 1)) == Outcome::ok);
  }
}

TEST_CASE("spsc: a record that could never fit is refused at once, and nothing is written") {
  Ends ends({.capacity = 256});
  const uint32_t limit = ends.ring().maxRecordByteLength();
  const Bytes tooLong = filled(limit + 1, 1), fits = filled(limit, 2);
  std::span<std::byte> claim;
  CHECK(ends.producer.tryPush(tooLong) == Outcome::tooLong);
  CHECK(ends.producer.push(tooLong) == Outcome::tooLong);
  CHECK(ends.producer.tryClaim(limit + 1, claim) == Outcome::tooLong);
  CHECK(ends.producer.claim(0xffffffff, claim) == Outcome::tooLong);
  const View batch[] = {fits, tooLong, fits};
  CHECK(ends.producer.tryPushMany(batch) == 1);
  CHECK(ends.producer.lastRefusal() == Outcome::tooLong);
  Bytes out;
  CHECK(ends.consumer.tryPop(out) == Outcome::ok);
  CHECK(same(out, fits));
  CHECK(ends.consumer.tryPop(out) == Outcome::wouldBlock);
}

TEST_CASE("spsc: shows nothing of a claim before commit, and nothing at all of one that was aborted") {
  Ends ends({.capacity = 256}, 240);
  std::span<std::byte> claim;
  View view;
  REQUIRE(ends.producer.tryClaim(100, claim) == Outcome::ok);
  CHECK(claim.size() == 100);
  std::memset(claim.data(), 0x55, claim.size());
  CHECK(ends.consumer.tryPeek(view) == Outcome::wouldBlock);
  ends.producer.abort();
  CHECK(ends.consumer.tryPeek(view) == Outcome::wouldBlock);
  CHECK(ends.tail() == 240);
  REQUIRE(ends.producer.tryClaim(0, claim) == Outcome::ok);
  CHECK(claim.empty());
  ends.producer.commit(0);
  REQUIRE(ends.consumer.tryPeek(view) == Outcome::ok);
  CHECK(view.empty());
}

TEST_CASE("spsc: a commit of fewer bytes gives the rest of the claim back") {
  for (const uint32_t start : startPositions(256, 8)) {
    for (const uint32_t committed : {0U, 1U, 40U, 99U, 100U}) {
      Ends ends({.capacity = 256}, start);
      std::span<std::byte> claim;
      REQUIRE(ends.producer.tryClaim(100, claim) == Outcome::ok);
      const Bytes record = filled(100, start);
      std::memcpy(claim.data(), record.data(), 100);
      ends.producer.commit(committed);
      const uint32_t padding = place(256, 8, start, 100).padding;  // It was placed for 100.
      CHECK(ends.tail() - start == padding + place(256, 8, 0, committed).stride);
      View view;
      REQUIRE(ends.consumer.tryPeek(view) == Outcome::ok);
      CHECK(same(view, View(record).first(committed)));
    }
  }
}

TEST_CASE("spsc: an end with an open claim or peek does nothing else") {
  Ends ends({.capacity = 256});
  std::span<std::byte> claim;
  View view;
  Bytes out;
  Outcome outcome;
  const Bytes record = filled(8, 1);
  REQUIRE(ends.producer.tryPush(record) == Outcome::ok);
  REQUIRE(ends.producer.tryClaim(8, claim) == Outcome::ok);
  CHECK(ends.producer.tryClaim(8, claim) == Outcome::borrowed);
  CHECK(ends.producer.tryPush(record) == Outcome::borrowed);
  CHECK(ends.producer.push(record) == Outcome::borrowed);
  CHECK(ends.producer.tryPushMany({}) == 0);
  CHECK(ends.producer.lastRefusal() == Outcome::borrowed);
  REQUIRE(ends.consumer.tryPeek(view) == Outcome::ok);
  CHECK(ends.consumer.tryPeek(view) == Outcome::borrowed);
  CHECK(ends.consumer.tryPop(out) == Outcome::borrowed);
  CHECK(ends.consumer.pop(out) == Outcome::borrowed);
  CHECK(ends.consumer.drain([](View) {}, 1, outcome) == 0);
  CHECK(outcome == Outcome::borrowed);
  ends.consumer.release();
  ends.producer.commit(8);
  CHECK(ends.consumer.tryPop(out) == Outcome::ok);
}

TEST_CASE("spsc: a batch is taken as far as there is room, in order, and published with one store") {
  for (const uint32_t start : startPositions(256, 8)) {
    Ends ends({.capacity = 256}, start);
    std::vector<Bytes> records;
    for (uint32_t i = 0; i < 20; ++i) records.push_back(filled(i * 3, i));
    const std::vector<View> views(records.begin(), records.end());
    size_t expected = 0;
    for (uint32_t tail = start; expected < views.size(); ++expected) {
      const auto [padding, stride] = place(256, 8, tail, views[expected].size());
      if (tail - start + padding + stride > 256) break;
      tail += padding + stride;
    }
    CHECK(ends.producer.tryPushMany(views) == expected);
    CHECK(ends.producer.lastRefusal() == Outcome::wouldBlock);
    Bytes out;
    for (size_t i = 0; i < expected; ++i) {
      REQUIRE(ends.consumer.tryPop(out) == Outcome::ok);
      REQUIRE(same(out, records[i]));
    }
    CHECK(ends.consumer.tryPop(out) == Outcome::wouldBlock);
    CHECK(ends.producer.tryPushMany({views.data() + expected, 1}) == 1);
    CHECK(ends.producer.lastRefusal() == Outcome::ok);
  }
}

TEST_CASE("spsc: drain hands records over in place, keeps what it did not reach, and gives room back as it goes") {
  Ends ends({.capacity = 1024});
  std::vector<Bytes> records;
  while (records.size() < 1000) {
    Bytes record = filled(records.size() % 40, static_cast<uint32_t>(records.size()));
    if (ends.producer.tryPush(record) != Outcome::ok) break;
    records.push_back(std::move(record));
  }
  const uint32_t start = ends.head();
  size_t at = 0;
  Outcome outcome;
  uint32_t longestHeld = 0, read = 0;
  const auto check = [&](View view) {
    longestHeld = std::max(longestHeld, start + read - ends.head());
    read += place(1024, 8, 0, view.size()).stride;
    CHECK(same(view, records[at++]));
  };
  CHECK(ends.consumer.drain(check, 3, outcome) == 3);
  CHECK(outcome == Outcome::ok);
  CHECK(ends.head() == start + read);
  CHECK(ends.consumer.drain(check, 0, outcome) == 0);
  CHECK(ends.consumer.drain(check, SIZE_MAX, outcome) == records.size() - 3);
  CHECK(outcome == Outcome::wouldBlock);
  CHECK(ends.head() == ends.tail());
  CHECK(longestHeld > 0);
  CHECK(longestHeld < 1024 / 4 + 48);
  CHECK(ends.consumer.drain(check, 5, outcome) == 0);
  CHECK(outcome == Outcome::wouldBlock);
}

// Padding is published together with the record behind it, so a tail right behind padding, and then one before its end,
// is nothing an honest producer shows. Taken at its word, the second one would lie 2^32 bytes ahead.
TEST_CASE("spsc: a tail that goes back behind padding is corrupt, and stays so") {
  Ends ends({.capacity = 256}, 240);
  const RecordHeader padding{0, kPaddingFlag};
  std::memcpy(ends.ring().at(240), &padding, sizeof padding);
  View view;
  for (const uint32_t tail : {256U, 248U, 256U}) {
    ends.memory.header().tail.store(tail);
    CHECK(ends.consumer.tryPeek(view) == Outcome::corrupt);
  }
}

TEST_CASE("spsc: ready waits for a record and takes nothing") {
  Ends ends({.capacity = 256});
  CHECK(ends.consumer.ready({.deadlineNs = 0}) == Outcome::timeout);
  REQUIRE(ends.producer.tryPush(filled(5, 1)) == Outcome::ok);
  CHECK(ends.consumer.ready() == Outcome::ok);
  CHECK(ends.consumer.ready() == Outcome::ok);
  Bytes out;
  CHECK(ends.consumer.pop(out) == Outcome::ok);
  CHECK(same(out, filled(5, 1)));
}

TEST_CASE("spsc: an operation that timed out had no effect") {
  for (const WaitMode wait : {WaitMode::park, WaitMode::adaptive, WaitMode::spin}) {
    Ends ends({.capacity = 64, .wait = wait});
    Bytes out;
    View view;
    std::span<std::byte> claim;
    for (const int64_t aheadNs : {int64_t{-1}, int64_t{300'000}}) {
      CHECK(ends.consumer.pop(out, {.deadlineNs = nowNs() + aheadNs}) == Outcome::timeout);
      CHECK(ends.consumer.peek(view, {.deadlineNs = nowNs() + aheadNs}) == Outcome::timeout);
    }
    REQUIRE(ends.producer.push(filled(24, 1)) == Outcome::ok);
    REQUIRE(ends.producer.push(filled(24, 2)) == Outcome::ok);
    for (const int64_t aheadNs : {int64_t{-1}, int64_t{300'000}}) {
      CHECK(ends.producer.push(filled(1, 3), {.deadlineNs = nowNs() + aheadNs}) == Outcome::timeout);
      CHECK(ends.producer.claim(1, claim, {.deadlineNs = nowNs() + aheadNs}) == Outcome::timeout);
    }
    for (const uint32_t tag : {1U, 2U}) {
      CHECK(ends.consumer.pop(out, {.deadlineNs = 0}) == Outcome::ok);  // One attempt is made whatever the deadline.
      CHECK(same(out, filled(24, tag)));
    }
    CHECK(ends.consumer.tryPop(out) == Outcome::wouldBlock);
    CHECK(ends.producer.push(filled(1, 3), {.deadlineNs = 0}) == Outcome::ok);
  }
}

TEST_CASE("spsc: counts records, and nothing else when nobody had to wait") {
  Ends ends({.capacity = 1024});
  Bytes out;
  Outcome outcome;
  for (int i = 0; i < 10; ++i) REQUIRE(ends.producer.push(filled(8, 1)) == Outcome::ok);
  for (int i = 0; i < 4; ++i) REQUIRE(ends.consumer.pop(out) == Outcome::ok);
  CHECK(ends.consumer.drain([](View) {}, 3, outcome) == 3);
  const SpscHeader& header = ends.memory.header();
  CHECK(header.producerCounters.records.load() == 10);
  CHECK(header.consumerCounters.records.load() == 7);
  for (const EndCounters* counters : {&header.producerCounters, &header.consumerCounters}) {
    CHECK(counters->spins.load() == 0);
    CHECK(counters->parks.load() == 0);
    CHECK(counters->livenessChecks.load() == 0);
  }
  CHECK(header.filled.load() == 0);
  CHECK(header.freed.load() == 0);
}

TEST_CASE("spsc: any mix of operations does what a queue of bounded size does") {
  Random random(runSeed());
  for (int round = 0; round < 60; ++round) {
    const uint32_t alignment = random.oneIn(3) ? 64 : 8;
    const uint32_t capacity = (alignment == 64 ? 256U : 64U) << random.below(4);
    const uint32_t start = (random.oneIn(2) ? 0U - random.below(3) * capacity : random.word()) & ~(alignment - 1);
    CAPTURE(alignment);
    CAPTURE(capacity);
    CAPTURE(start);
    Ends ends({.capacity = capacity, .alignment = alignment}, start);
    const uint32_t limit = ends.ring().maxRecordByteLength();

    struct Entry {
      Bytes bytes;
      uint32_t behind;  // The position behind it.
    };
    std::deque<Entry> queue;
    uint32_t tail = start, head = start, tag = 0;
    const auto length = [&] { return random.oneIn(2) ? random.below(limit + 1) : random.below(std::min(limit, 40U)); };
    const auto fits = [&](uint32_t at, size_t byteLength) {
      const auto [padding, stride] = place(capacity, alignment, at, byteLength);
      return at - head + padding + stride <= capacity;
    };
    const auto append = [&](Bytes bytes, size_t placedFor) {
      tail += place(capacity, alignment, tail, placedFor).padding + place(capacity, alignment, 0, bytes.size()).stride;
      queue.push_back({std::move(bytes), tail});
    };

    for (int step = 0; step < 400; ++step) {
      switch (random.below(7)) {
        case 0: {
          const Bytes record = filled(length(), ++tag);
          const bool room = fits(tail, record.size());
          REQUIRE((ends.producer.tryPush(record) == Outcome::ok) == room);
          if (room) append(record, record.size());
          break;
        }
        case 1: {
          std::vector<Bytes> records;
          for (uint32_t i = random.below(6); i > 0; --i) records.push_back(filled(length(), ++tag));
          const std::vector<View> views(records.begin(), records.end());
          size_t expected = 0;
          while (expected < records.size() && fits(tail, records[expected].size())) {
            append(records[expected], records[expected].size());
            ++expected;
          }
          REQUIRE(ends.producer.tryPushMany(views) == expected);
          break;
        }
        case 2: {
          const uint32_t claimed = length(), committed = random.below(claimed + 1);
          std::span<std::byte> claim;
          const Outcome outcome = ends.producer.tryClaim(claimed, claim);
          REQUIRE((outcome == Outcome::ok) == fits(tail, claimed));
          if (outcome != Outcome::ok) break;
          std::memset(claim.data(), 0xee, claim.size());
          if (random.oneIn(4)) {
            ends.producer.abort();
            break;
          }
          const Bytes record = filled(committed, ++tag);
          std::copy(record.begin(), record.end(), claim.begin());
          ends.producer.commit(committed);
          append(record, claimed);
          break;
        }
        case 3:
        case 4: {
          Bytes out;
          const Outcome outcome = ends.consumer.tryPop(out);
          REQUIRE((outcome == Outcome::ok) == !queue.empty());
          if (queue.empty()) break;
          REQUIRE(same(out, queue.front().bytes));
          head = queue.front().behind;
          queue.pop_front();
          break;
        }
        case 5: {
          View view;
          const Outcome outcome = ends.consumer.tryPeek(view);
          REQUIRE((outcome == Outcome::ok) == !queue.empty());
          if (queue.empty()) break;
          REQUIRE(same(view, queue.front().bytes));
          REQUIRE(reinterpret_cast<uintptr_t>(view.data()) % alignment == 0);
          ends.consumer.release();
          head = queue.front().behind;
          queue.pop_front();
          break;
        }
        case 6: {
          const size_t most = random.below(8);
          const size_t expected = std::min(most, queue.size());
          Outcome outcome;
          size_t read = 0;
          const auto check = [&](View view) {
            REQUIRE(same(view, queue.front().bytes));
            head = queue.front().behind;
            queue.pop_front();
            ++read;
          };
          REQUIRE(ends.consumer.drain(check, most, outcome) == expected);
          REQUIRE(read == expected);
          break;
        }
      }
      REQUIRE(ends.tail() == tail);
      REQUIRE(ends.head() == head);
    }
  }
}

// --- the other end: closed, dead, stopped, not there yet

namespace {

// A ring in a segment, with this process on one end of it.
struct SharedRing {
  explicit SharedRing(std::string_view name, const RingOptions& options = {}) : path(scratchPath(name)) {
    REQUIRE_FALSE(createRingAt(segment, path, options));
    REQUIRE(bindRing(segment, ring));
  }
  ~SharedRing() { ::unlink(path.c_str()); }
  std::string path;
  Segment segment;
  SpscRing ring;
};

// A process that holds the producer's or consumer's role: says 'r', then works off single letters.
//   p: pushes one record of 4 bytes   f: pushes till full   P: claims and pushes nothing   t: pops one   k: peeks
//   c: gives the role back   x: ends
int roleHolder(const Wire& wire, const std::string& path, bool producing) {
  Segment segment;
  SpscRing ring;
  HOLDS_IN_CHILD(!attachRing(segment, path) && bindRing(segment, ring));
  HOLDS_IN_CHILD(ring.takeRole(producing ? ring.header->producer : ring.header->consumer) == Outcome::ok);
  SpscProducer* producer = producing ? new SpscProducer(ring) : nullptr;  // Never destroyed: the process just ends.
  SpscConsumer* consumer = producing ? nullptr : new SpscConsumer(ring);
  wire.say('r');
  for (;;) {
    Bytes out;
    View view;
    std::span<std::byte> claim;
    bool ok = true;
    switch (wire.hear()) {
      case 'p':
        ok = producer->tryPush(filled(4, 1)) == Outcome::ok;
        break;
      case 'f':
        while (producer->tryPush(filled(4, 1)) == Outcome::ok) continue;
        break;
      case 'P':
        ok = producer->tryClaim(16, claim) == Outcome::ok;
        std::memset(claim.data(), 0x77, claim.size());
        break;
      case 't':
        ok = consumer->tryPop(out) == Outcome::ok;
        break;
      case 'k':
        ok = consumer->tryPeek(view) == Outcome::ok;
        break;
      case 'c':
        producing ? producer->close() : consumer->close();
        break;
      case 'x':
        _exit(0);
      default:
        return 1;
    }
    HOLDS_IN_CHILD(ok);
    wire.say('r');
  }
}

char tell(const Child& child, char word) {
  child.say(word);
  return child.hear();
}

}  // namespace

TEST_CASE("spsc: a consumer reads what is left, then learns that the producer closed, and of the next one") {
  SharedRing shared("ringway-closed");
  REQUIRE(shared.ring.takeRole(shared.ring.header->consumer) == Outcome::ok);
  SpscConsumer consumer(shared.ring);
  Bytes out;
  for (int round = 0; round < 2; ++round) {
    Child producer([&](const Wire& wire) { return roleHolder(wire, shared.path, true); });
    REQUIRE(producer.hear() == 'r');
    REQUIRE(tell(producer, 'p') == 'r');
    REQUIRE(tell(producer, 'p') == 'r');
    REQUIRE(tell(producer, 'c') == 'r');
    CHECK(consumer.pop(out) == Outcome::ok);
    CHECK(consumer.ready() == Outcome::ok);
    CHECK(consumer.pop(out) == Outcome::ok);
    CHECK(consumer.pop(out) == Outcome::peerClosed);
    CHECK(consumer.ready() == Outcome::peerClosed);
    CHECK(consumer.tryPop(out) == Outcome::wouldBlock);
    CHECK(consumer.pop(out, {.deadlineNs = 0, .waitForPeer = true}) == Outcome::timeout);
  }
}

TEST_CASE("spsc: a consumer reads what is left, then learns that the producer died; its open claim leaves no trace") {
  SharedRing shared("ringway-producer-died");
  REQUIRE(shared.ring.takeRole(shared.ring.header->consumer) == Outcome::ok);
  SpscConsumer consumer(shared.ring);
  Bytes out;
  for (int round = 0; round < 2; ++round) {
    Child producer([&](const Wire& wire) { return roleHolder(wire, shared.path, true); });
    REQUIRE(producer.hear() == 'r');
    REQUIRE(tell(producer, 'p') == 'r');
    REQUIRE(tell(producer, 'P') == 'r');
    const auto pid = static_cast<uint32_t>(producer.pid());
    producer.killAndWait();
    CHECK(consumer.pop(out) == Outcome::ok);
    CHECK(same(out, filled(4, 1)));
    CHECK(consumer.pop(out) == Outcome::peerDied);
    CHECK(consumer.pop(out) == Outcome::peerDied);
    CHECK(shared.ring.header->producer.diedPid.load() == pid);
  }
}

TEST_CASE("spsc: a producer pushes while there is room whoever is there; without room it learns of a close or death") {
  for (const bool dies : {false, true}) {
    SharedRing shared(dies ? "ringway-consumer-died" : "ringway-consumer-closed", {.capacity = 64});
    REQUIRE(shared.ring.takeRole(shared.ring.header->producer) == Outcome::ok);
    SpscProducer producer(shared.ring);
    CHECK(producer.push(filled(8, 1)) == Outcome::ok);  // Nobody has come yet.
    Child consumer([&](const Wire& wire) { return roleHolder(wire, shared.path, false); });
    REQUIRE(consumer.hear() == 'r');
    REQUIRE(tell(consumer, 'k') == 'r');
    dies ? (void)consumer.killAndWait() : (void)tell(consumer, 'c');
    for (int i = 0; i < 3; ++i) CHECK(producer.push(filled(8, 1)) == Outcome::ok);
    const Outcome gone = dies ? Outcome::peerDied : Outcome::peerClosed;
    std::span<std::byte> claim;
    CHECK(producer.push(filled(8, 1)) == gone);
    CHECK(producer.claim(8, claim) == gone);
    CHECK(producer.tryPush(filled(8, 1)) == Outcome::wouldBlock);
    CHECK(producer.push(filled(8, 1), {.deadlineNs = 0, .waitForPeer = true}) == Outcome::timeout);
    // A replacement starts with the record that was being read.
    Child next([&](const Wire& wire) { return roleHolder(wire, shared.path, false); });
    REQUIRE(next.hear() == 'r');
    for (int i = 0; i < 4; ++i) REQUIRE(tell(next, 't') == 'r');
    CHECK(producer.push(filled(8, 1)) == Outcome::ok);
  }
}

// The death comes at any moment of the wait: before it, while it spins, while it sleeps.
TEST_CASE("spsc: a blocked end learns of a death by itself") {
  Random random(runSeed());
  for (uint32_t round = 0; round < 12; ++round) {
    const bool consuming = round % 2 == 0;
    const WaitMode wait = std::array{WaitMode::park, WaitMode::adaptive, WaitMode::spin}[round / 2 % 3];
    SharedRing shared("ringway-blocked-" + std::to_string(round), {.capacity = 64, .wait = wait});
    SpscHeader& header = *shared.ring.header;
    REQUIRE(shared.ring.takeRole(consuming ? header.consumer : header.producer) == Outcome::ok);
    Child peer([&](const Wire& wire) { return roleHolder(wire, shared.path, consuming); });
    REQUIRE(peer.hear() == 'r');
    std::thread killer([&] {
      usleep(random.below(30'000));
      peer.signal(SIGKILL);
    });
    if (consuming) {
      SpscConsumer consumer(shared.ring);
      Bytes out;
      CHECK(consumer.pop(out) == Outcome::peerDied);
    } else {
      SpscProducer producer(shared.ring);
      Outcome outcome;
      do outcome = producer.push(filled(20, 1));
      while (outcome == Outcome::ok);
      CHECK(outcome == Outcome::peerDied);
    }
    killer.join();
    CHECK(peer.wait() == -SIGKILL);
  }
}

TEST_CASE("spsc: a blocked end that waits for a peer goes on with the replacement") {
  SharedRing shared("ringway-replaced");
  REQUIRE(shared.ring.takeRole(shared.ring.header->consumer) == Outcome::ok);
  auto first = std::make_unique<Child>([&](const Wire& wire) { return roleHolder(wire, shared.path, true); });
  REQUIRE(first->hear() == 'r');
  std::atomic<int> popped{0};
  std::thread reader([&] {
    SpscConsumer consumer(shared.ring);
    Bytes out;
    while (consumer.pop(out, {.waitForPeer = true}) == Outcome::ok && ++popped < 2) continue;
  });
  REQUIRE(tell(*first, 'p') == 'r');
  eventually([&] { return popped.load() == 1; });
  first->killAndWait();
  eventually([&] { return rolePhase(shared.ring.header->producer.word.load()) == RolePhase::died; });  // By the reader.
  Child second([&](const Wire& wire) { return roleHolder(wire, shared.path, true); });
  REQUIRE(second.hear() == 'r');
  REQUIRE(tell(second, 'p') == 'r');
  reader.join();
  CHECK(popped.load() == 2);
}

TEST_CASE("spsc: a blocked end waits for a stopped peer however long") {
  SharedRing shared("ringway-peer-stopped");
  REQUIRE(shared.ring.takeRole(shared.ring.header->consumer) == Outcome::ok);
  Child producer([&](const Wire& wire) { return roleHolder(wire, shared.path, true); });
  REQUIRE(producer.hear() == 'r');
  producer.stop();
  SpscConsumer consumer(shared.ring);
  Bytes out;
  // Long enough for several looks at who lives.
  CHECK(consumer.pop(out, {.deadlineNs = nowNs() + 150'000'000}) == Outcome::timeout);
  CHECK(shared.ring.header->consumerCounters.livenessChecks.load() >= 2);
  CHECK(rolePhase(shared.ring.header->producer.word.load()) == RolePhase::held);
  producer.signal(SIGCONT);
  REQUIRE(tell(producer, 'p') == 'r');
  CHECK(consumer.pop(out) == Outcome::ok);
}

TEST_CASE("spsc: a replacement goes on where the dead end stopped") {
  SharedRing shared("ringway-resume", {.capacity = 256});
  for (int round = 0; round < 20; ++round) {
    Child producer([&](const Wire& wire) { return roleHolder(wire, shared.path, true); });
    REQUIRE(producer.hear() == 'r');
    REQUIRE(tell(producer, 'p') == 'r');
    REQUIRE(tell(producer, 'p') == 'r');
    REQUIRE(tell(producer, 'P') == 'r');  // Scribbles behind tail, publishes nothing.
    producer.killAndWait();
    Child consumer([&](const Wire& wire) { return roleHolder(wire, shared.path, false); });
    REQUIRE(consumer.hear() == 'r');
    REQUIRE(tell(consumer, 't') == 'r');
    REQUIRE(tell(consumer, 'k') == 'r');
    consumer.killAndWait();
    REQUIRE(shared.ring.takeRole(shared.ring.header->consumer) == Outcome::ok);
    SpscConsumer mine(shared.ring);
    Bytes out;
    CHECK(mine.tryPop(out) == Outcome::ok);
    CHECK(same(out, filled(4, 1)));
    CHECK(mine.tryPop(out) == Outcome::wouldBlock);
  }
}

// --- wake-ups

TEST_CASE("spsc: a blocked producer is woken exactly when its record fits") {
  Ends ends({.capacity = 1024, .wait = WaitMode::park});
  for (int i = 0; i < 32; ++i) REQUIRE(ends.producer.push(filled(24, 1)) == Outcome::ok);
  std::atomic<bool> pushed{false};
  std::thread blocked([&] {
    if (ends.producer.push(filled(312, 2)) == Outcome::ok) pushed.store(true);  // 320 bytes: ten small ones.
  });
  const SpscHeader& header = ends.memory.header();
  eventually([&] { return ends.producerSleeps(); });
  Bytes out;
  for (int i = 0; i < 9; ++i) {
    CHECK(ends.consumer.tryPop(out) == Outcome::ok);
    CHECK(header.freed.load() == 0);
  }
  CHECK_FALSE(pushed.load());
  CHECK(ends.consumer.tryPop(out) == Outcome::ok);
  CHECK(header.freed.load() == 2);
  blocked.join();
  CHECK(pushed.load());
  CHECK_FALSE(ends.producerSleeps());
}

TEST_CASE("spsc: a blocked consumer is woken by the first record, and by nothing before it") {
  Ends ends({.capacity = 1024, .wait = WaitMode::park});
  std::thread blocked([&] {
    Bytes out;
    if (ends.consumer.pop(out) != Outcome::ok) std::abort();
  });
  const SpscHeader& header = ends.memory.header();
  eventually([&] { return ends.consumerSleeps(); });
  std::span<std::byte> claim;
  REQUIRE(ends.producer.tryClaim(8, claim) == Outcome::ok);
  CHECK(header.filled.load() == 0);
  ends.producer.commit(8);
  CHECK(header.filled.load() == 2);
  blocked.join();
  REQUIRE(ends.producer.tryPush(filled(8, 1)) == Outcome::ok);
  CHECK(header.filled.load() == 2);  // Nobody sleeps: no system call.
}

TEST_CASE("spsc: an end that sleeps because nobody has come yet is woken by whoever comes and does something") {
  SharedRing shared("ringway-nobody-yet");
  REQUIRE(shared.ring.takeRole(shared.ring.header->consumer) == Outcome::ok);
  std::atomic<int> outcome{-1};
  std::thread reader([&] {
    SpscConsumer consumer(shared.ring);
    Bytes out;
    outcome.store(static_cast<int>(consumer.pop(out)));
  });
  eventually([&] { return (shared.ring.header->tail.load() & kAsleepBit) != 0; });
  Child producer([&](const Wire& wire) { return roleHolder(wire, shared.path, true); });
  REQUIRE(producer.hear() == 'r');
  producer.killAndWait();  // It came and went without a word.
  reader.join();
  CHECK(outcome.load() == static_cast<int>(Outcome::peerDied));
}
