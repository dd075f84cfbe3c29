// Hostile bytes: whatever stands in a segment, nothing outside it is read or written, nothing hangs, and nothing that a
// caller gets lies outside. Blocks have exactly the size of what is in them, so AddressSanitizer sees one byte too many.
//   RINGWAY_SEED=n          the seed
//   RINGWAY_FUZZ_TIMES=n    so many times as many rounds
#include <doctest/doctest.h>

#include <fstream>
#include <memory>
#include <thread>

#include "support.hpp"

using namespace ringway;
using namespace support;
using View = std::span<const std::byte>;

namespace {

int rounds(int base) {
  const char* text = std::getenv("RINGWAY_FUZZ_TIMES");
  return base * std::max(1, text != nullptr ? std::atoi(text) : 1) / (RINGWAY_UNDER_TSAN ? 4 : 1);
}

// A number from where mistakes live.
uint32_t nasty(Random& random, uint32_t capacity) {
  const uint32_t edges[] = {0,        1,          4,          7,         8, 63, 64, capacity / 2, capacity - 8,
                            capacity, 0x7fffffff, 0x80000000, 0xffffffff};
  const uint32_t base = random.oneIn(3) ? random.word() : edges[random.below(std::size(edges))];
  return random.oneIn(2) ? base : base + random.below(17) - 8;
}

void scribble(Random& random, void* memory, size_t byteLength) {
  auto* bytes = static_cast<unsigned char*>(memory);
  for (size_t i = 0; i < byteLength; ++i) bytes[i] = static_cast<unsigned char>(random.word());
}

// Reads or writes every byte, so that one outside is an access and not only a pointer.
volatile uint32_t sink;
void touch(View bytes) {
  uint32_t sum = 0;
  for (const std::byte b : bytes) sum += static_cast<uint32_t>(b);
  sink = sum;
}

class Hostile {
 public:
  explicit Hostile(Random& random)
      : random_(random),
        alignment_(random.oneIn(3) ? 64 : 8),
        capacity_((alignment_ == 64 ? 256U : 64U) << random.below(5)),
        memory_({.capacity = capacity_, .alignment = alignment_, .wait = WaitMode{random.below(3)}}) {
    scribbleAll();
  }

  // Everything but the fields that bind() checks: those a hostile peer can change, but nobody reads them again.
  void scribbleAll() {
    SpscHeader& header = memory_.header();
    const uint32_t kept[4] = {header.capacity, header.alignment, header.dataOffset, header.wait};
    scribble(random_, memory_.body(), memory_.byteLength());
    header.capacity = kept[0], header.alignment = kept[1], header.dataOffset = kept[2], header.wait = kept[3];
    if (random_.oneIn(4)) scribble(random_, memory_.body(), 16);  // Also those; the copies must do.
    positions();
    roles();
    for (int i = 0; i < 20; ++i) record();
  }
  // One change, as a peer makes it between two steps of ours.
  void nudge() {
    switch (random_.below(5)) {
      case 0:
        return positions();
      case 1:
        return roles();
      case 2: {
        const auto at = static_cast<uint32_t>(random_.below(static_cast<uint32_t>(memory_.byteLength() / 4))) * 4;
        const uint32_t value = nasty(random_, capacity_);
        std::memcpy(memory_.body() + at, &value, 4);
        return;
      }
      default:
        return record();
    }
  }

  const SpscRing& ring() const { return memory_.ring(); }
  bool inside(View bytes) const {
    const auto* data = memory_.body() + kSpscDataOffset;
    return bytes.data() >= data && bytes.size() <= capacity_ && bytes.data() + bytes.size() <= data + capacity_;
  }
  uint32_t capacity() const { return capacity_; }

 private:
  void positions() {
    SpscHeader& header = memory_.header();
    uint32_t head = nasty(random_, capacity_), tail = nasty(random_, capacity_);
    if (!random_.oneIn(4)) tail = head + random_.below(capacity_ + 1);
    if (!random_.oneIn(4)) head &= ~(alignment_ - 1), tail &= ~(alignment_ - 1);
    if (random_.oneIn(4)) head |= kAsleepBit, tail |= kAsleepBit;
    if (random_.oneIn(2)) header.head.store(head);
    if (random_.oneIn(2)) header.tail.store(tail);
  }
  void roles() {
    SpscHeader& header = memory_.header();
    for (RoleWords* role : {&header.producer, &header.consumer}) {
      role->word.store(random_.oneIn(3) ? random_.word() : random_.below(24));
    }
  }
  // A record header somewhere, of a length that may even be right.
  void record() {
    const uint32_t at = random_.below(capacity_ / 8) * 8;
    const RecordHeader header{random_.oneIn(2) ? random_.below(capacity_) : nasty(random_, capacity_),
                              random_.oneIn(4)   ? kPaddingFlag
                              : random_.oneIn(8) ? random_.word()
                                                 : 0};
    std::memcpy(memory_.body() + kSpscDataOffset + at, &header, sizeof header);
  }

  Random& random_;
  const uint32_t alignment_, capacity_;
  PrivateRing memory_;
};

// One operation of an end, whatever comes of it. None may wait: their deadlines have passed.
void produceOnce(SpscProducer& producer, const Hostile& hostile, Random& random) {
  static const std::vector<std::byte> bytes(4096, std::byte{0x5a});
  const uint32_t limit = hostile.ring().maxRecordByteLength();
  const auto length = [&] { return random.oneIn(8) ? nasty(random, hostile.capacity()) : random.below(limit + 2); };
  const auto record = [&] { return View(bytes).first(std::min<size_t>(length(), bytes.size())); };
  std::span<std::byte> claim;
  switch (random.below(5)) {
    case 0:
      (void)producer.tryPush(record());
      break;
    case 1:
      (void)producer.push(record(), {.deadlineNs = 0, .waitForPeer = random.oneIn(2)});
      break;
    case 2: {
      View batch[8];
      for (View& view : batch) view = record();
      (void)producer.tryPushMany({batch, random.below(9)});
      break;
    }
    default: {
      const Outcome outcome =
          random.oneIn(2) ? producer.tryClaim(length(), claim) : producer.claim(length(), claim, {.deadlineNs = 0});
      if (outcome != Outcome::ok) break;
      REQUIRE(hostile.inside(claim));
      std::memset(claim.data(), 0xa5, claim.size());
      random.oneIn(4) ? producer.abort() : producer.commit(random.below(static_cast<uint32_t>(claim.size()) + 1));
    }
  }
}

void consumeOnce(SpscConsumer& consumer, const Hostile& hostile, Random& random) {
  std::vector<std::byte> out;
  View view;
  switch (random.below(5)) {
    case 0:
      (void)consumer.tryPop(out);
      break;
    case 1:
      (void)consumer.pop(out, {.deadlineNs = 0, .waitForPeer = random.oneIn(2)});
      break;
    case 2:
      (void)consumer.ready({.deadlineNs = 0});
      break;
    case 3: {
      Outcome outcome;
      size_t bytes = 0;
      const auto check = [&](View record) {
        REQUIRE(hostile.inside(record));
        touch(record);
        bytes += record.size();
      };
      // What lies still between two positions is at most one ring full, however its records are chained.
      const size_t read = consumer.drain(check, SIZE_MAX, outcome);
      REQUIRE(read <= 2 * hostile.capacity() / 8);
      REQUIRE(bytes <= 2 * hostile.capacity());
      break;
    }
    default:
      if (consumer.tryPeek(view) != Outcome::ok) break;
      REQUIRE(hostile.inside(view));
      touch(view);
      consumer.release();
  }
}

}  // namespace

TEST_CASE("fuzz: random headers are refused or describe what lies inside the file") {
  Random random(runSeed());
  uint32_t accepted = 0;
  for (int round = 0; round < rounds(300'000); ++round) {
    // As long as a header or shorter; what lies behind it nobody may look at.
    const size_t present = random.oneIn(10) ? random.below(sizeof(SegmentHeader)) : sizeof(SegmentHeader);
    const auto block = std::make_unique<std::byte[]>(present);
    scribble(random, block.get(), present);
    const uint64_t fileByteLength =
        present < sizeof(SegmentHeader) ? present : uint64_t{nasty(random, 1 << 20)} + present;
    const auto put = [&](size_t offset, auto value) {
      if (offset + sizeof value <= present) std::memcpy(block.get() + offset, &value, sizeof value);
    };
    const auto mostly = [&] { return !random.oneIn(12); };
    if (mostly()) put(0, kMagic);
    if (mostly()) put(4, kLayoutVersion);
    if (mostly()) put(8, uint32_t{1});
    if (mostly()) put(12, kKnownFeatureBits);
    if (mostly()) put(16, fileByteLength);
    if (mostly()) put(24, uint32_t{sizeof(SegmentHeader)});
    const uint32_t participants = random.below(20);
    if (mostly()) put(28, participants);
    if (mostly()) put(32, bodyOffsetFor(participants) + (random.oneIn(3) ? random.below(3) * 64 : 0));
    SegmentShape shape;
    const Failure failure = checkHeader(block.get(), fileByteLength, shape);
    if (failure) {
      REQUIRE(failure.refusal != Refusal::none);
      continue;
    }
    ++accepted;
    REQUIRE(shape.byteLength == fileByteLength);
    REQUIRE(shape.maxParticipants >= kMinParticipants);
    REQUIRE(shape.maxParticipants <= kMaxParticipants);
    REQUIRE(shape.bodyOffset <= shape.byteLength);
    REQUIRE(shape.bodyOffset % kIsolationBytes == 0);
    REQUIRE(shape.participantsOffset + shape.maxParticipants * sizeof(ParticipantEntry) <= shape.bodyOffset);
  }
  CHECK(accepted > 0);
}

TEST_CASE("fuzz: files with random bytes are refused, or attached and used without harm") {
  Random random(runSeed());
  const std::string path = scratchPath("ringway-fuzz");
  std::vector<char> valid;
  {
    Segment segment;
    REQUIRE_FALSE(createRingAt(segment, path, {.capacity = 256, .maxParticipants = 4}));
    valid.assign(reinterpret_cast<char*>(segment.base()),
                 reinterpret_cast<char*>(segment.base()) + segment.shape().byteLength);
  }
  uint32_t attached = 0;
  for (int round = 0; round < rounds(4000); ++round) {
    std::vector<char> image = valid;
    for (uint32_t i = random.below(6); i > 0; --i) {
      const uint32_t at = random.oneIn(2) ? random.below(48) : random.below(static_cast<uint32_t>(image.size()));
      image[at] = static_cast<char>(random.word());
    }
    if (random.oneIn(2)) scribble(random, image.data() + bodyOffsetFor(4) + 128, 600);  // Positions, roles, events.
    if (random.oneIn(10)) image.resize(random.below(static_cast<uint32_t>(image.size())));
    std::ofstream(path, std::ios::binary | std::ios::trunc)
        .write(image.data(), static_cast<std::streamsize>(image.size()));

    Segment segment;
    if (attachRing(segment, path)) continue;
    ++attached;
    for (uint32_t id = 0; id < 6; ++id) (void)segment.settle(id);
    SpscRing ring;
    if (!bindRing(segment, ring)) continue;
    std::vector<std::byte> out;
    Outcome outcome;
    if (ring.takeRole(ring.header->producer) == Outcome::ok) {
      SpscProducer producer(ring);
      (void)producer.push(View(reinterpret_cast<const std::byte*>(valid.data()), 20), {.deadlineNs = 0});
    }
    if (ring.takeRole(ring.header->consumer) == Outcome::ok) {
      SpscConsumer consumer(ring);
      (void)consumer.pop(out, {.deadlineNs = 0});
      (void)consumer.drain(touch, SIZE_MAX, outcome);
    }
  }
  CHECK(attached > 0);
  ::unlink(path.c_str());
}

TEST_CASE("fuzz: ends over random bytes stay inside the ring, and return") {
  Random random(runSeed());
  for (int round = 0; round < rounds(20'000); ++round) {
    Hostile hostile(random);
    (void)hostile.ring().takeRole(hostile.ring().header->producer);
    (void)hostile.ring().takeRole(hostile.ring().header->consumer);
    SpscProducer producer(hostile.ring());
    SpscConsumer consumer(hostile.ring());
    for (int step = 0; step < 30; ++step) {
      random.oneIn(2) ? produceOnce(producer, hostile, random) : consumeOnce(consumer, hostile, random);
      if (random.oneIn(3)) hostile.nudge();
    }
  }
}

#if !RINGWAY_UNDER_TSAN
// The peer writes while we read: a value that was checked must not be read again. Data races by intention, so not for
// ThreadSanitizer.
TEST_CASE("fuzz: a peer that scribbles all the time gets nothing but outcomes") {
  Random random(runSeed());
  for (int round = 0; round < rounds(40); ++round) {
    Random theirs(random.next());
    Hostile hostile(theirs);
    std::atomic<bool> stop{false};
    std::thread scribbler([&] {
      while (!stop.load(std::memory_order_relaxed)) hostile.nudge();
    });
    {
      SpscProducer producer(hostile.ring());
      SpscConsumer consumer(hostile.ring());
      for (int step = 0; step < 2000; ++step) {
        if (random.oneIn(2)) {
          produceOnce(producer, hostile, random);
        } else if (random.oneIn(4)) {
          Outcome outcome;
          (void)consumer.drain(
              [&](View record) {
                REQUIRE(hostile.inside(record));
                touch(record);
              },
              64, outcome);
        } else {
          View view;
          if (consumer.tryPeek(view) != Outcome::ok) continue;
          REQUIRE(hostile.inside(view));
          touch(view);
          consumer.release();
        }
      }
    }
    stop.store(true);
    scribbler.join();
  }
}
#endif
