// Both ends at work at once, in threads, so that ThreadSanitizer sees every access. Each record is checked byte by byte
// and the order with it.
#include <doctest/doctest.h>

#include <thread>

#include "stream.hpp"
#include "support.hpp"

using namespace ringway;
using namespace support;
using View = std::span<const std::byte>;

namespace {

struct Plan {
  RingOptions ring;
  uint32_t start, records, maxByteLength;
  bool blocking;
  enum Push { one, claim, many } push;
  enum Pop { pop, peek, drain } pop_;
};

// One end's try-form until it gives something else than wouldBlock.
template <class Attempt>
Outcome spin(Attempt&& attempt) {
  for (uint32_t turn = 1;; ++turn) {
    const Outcome outcome = attempt();
    if (outcome != Outcome::wouldBlock) return outcome;
    if (turn % 256 == 0) sched_yield();  // Both threads may be on one core.
    spinPause();
  }
}

// All return how many records went well; fewer than asked for is a failure.
uint32_t produce(const SpscRing& ring, const Plan& plan, const stream::Stream& stream) {
  SpscProducer producer(ring);
  Random random(runSeed());
  for (uint32_t k = 0; k < plan.records;) {
    Outcome outcome = Outcome::ok;
    if (plan.push == Plan::one) {
      outcome =
          plan.blocking ? producer.push(stream.record(k)) : spin([&] { return producer.tryPush(stream.record(k)); });
      ++k;
    } else if (plan.push == Plan::claim) {
      const View record = stream.record(k++);
      const uint32_t claimed =
          std::min(static_cast<uint32_t>(record.size()) + random.below(64), ring.maxRecordByteLength());
      std::span<std::byte> bytes;
      outcome =
          plan.blocking ? producer.claim(claimed, bytes) : spin([&] { return producer.tryClaim(claimed, bytes); });
      if (outcome == Outcome::ok) {
        std::copy(record.begin(), record.end(), bytes.begin());
        producer.commit(static_cast<uint32_t>(record.size()));
      }
    } else {
      View batch[16];
      size_t count = 0;
      for (; count < 1 + random.below(16) && k + count < plan.records; ++count) {
        batch[count] = stream.record(k + static_cast<uint32_t>(count));
      }
      const size_t taken = producer.tryPushMany({batch, count});
      k += static_cast<uint32_t>(taken);
      if (taken == 0) {
        outcome = plan.blocking ? producer.push(batch[0]) : spin([&] { return producer.tryPush(batch[0]); });
        ++k;
      }
    }
    if (outcome != Outcome::ok) return k - 1;
  }
  return plan.records;
}

uint32_t consume(const SpscRing& ring, const Plan& plan, const stream::Stream& stream) {
  SpscConsumer consumer(ring);
  std::vector<std::byte> out;
  View view;
  uint32_t k = 0;
  bool good = true;
  while (good && k < plan.records) {
    if (plan.pop_ == Plan::pop) {
      const Outcome outcome = plan.blocking ? consumer.pop(out) : spin([&] { return consumer.tryPop(out); });
      good = outcome == Outcome::ok && stream.matches(k++, out);
    } else if (plan.pop_ == Plan::peek) {
      const Outcome outcome = plan.blocking ? consumer.peek(view) : spin([&] { return consumer.tryPeek(view); });
      good = outcome == Outcome::ok && stream.matches(k++, view);
      if (outcome == Outcome::ok) consumer.release();
    } else {
      if (plan.blocking) good = consumer.ready() == Outcome::ok;
      Outcome outcome = Outcome::ok;
      const auto check = [&](View record) { good = good && stream.matches(k++, record); };
      (void)consumer.drain(check, plan.records - k, outcome);
      good = good && (outcome == Outcome::ok || outcome == Outcome::wouldBlock);
      if (!plan.blocking && outcome == Outcome::wouldBlock) sched_yield();
    }
  }
  return good ? k : k - 1;
}

void run(const Plan& plan) {
  const PrivateRing memory(plan.ring, plan.start);
  REQUIRE(memory.bound());
  const stream::Stream stream(static_cast<uint32_t>(runSeed()), plan.maxByteLength);
  uint32_t produced = 0;
  std::thread producer([&] { produced = produce(memory.ring(), plan, stream); });
  const uint32_t consumed = consume(memory.ring(), plan, stream);
  CHECK(consumed == plan.records);  // A mismatch leaves the producer blocked; the watchdog ends it.
  producer.join();
  CHECK(produced == plan.records);
  CHECK(memory.ring().tail().load() == memory.ring().head().load());
  CHECK(memory.header().producerCounters.records.load() == plan.records);
  CHECK(memory.header().consumerCounters.records.load() == plan.records);
}

constexpr uint32_t kShare = RINGWAY_UNDER_TSAN ? 150'000 : RINGWAY_UNDER_ASAN ? 200'000 : 400'000;

}  // namespace

TEST_CASE("spsc threads: small ring, all lengths, spinning, over 2^32") {
  for (const auto push : {Plan::one, Plan::claim, Plan::many}) {
    for (const auto pop : {Plan::pop, Plan::peek, Plan::drain}) {
      run({{.capacity = 4096}, 0U - 65536, kShare, 300, false, push, pop});
    }
  }
}

TEST_CASE("spsc threads: tiny ring, blocking in every way of waiting, over 2^32") {
  for (const WaitMode wait : {WaitMode::park, WaitMode::adaptive, WaitMode::spin}) {
    for (const auto push : {Plan::one, Plan::many}) {
      for (const auto pop : {Plan::pop, Plan::drain}) {
        // Spinning without end, two threads on a busy machine hand over only when the scheduler takes one away.
        const uint32_t records = wait == WaitMode::spin ? kShare / 200 : kShare / 20;
        run({{.capacity = 256, .wait = wait}, 0U - 8192, records, 100, true, push, pop});
      }
    }
  }
}

TEST_CASE("spsc threads: what was pushed just before a close is never missed") {
  const PrivateRing memory({.capacity = 256, .wait = WaitMode::park});
  const SpscRing& ring = memory.ring();
  const uint32_t rounds = RINGWAY_UNDER_TSAN ? 5'000 : 30'000;
  const std::byte record[8] = {};
  alignas(kIsolationBytes) std::atomic<uint32_t> begun{0}, ended{0};
  std::thread producing([&] {
    Random random(runSeed() + 1);
    for (uint32_t round = 1; round <= rounds; ++round) {
      if (ring.takeRole(ring.header->producer) != Outcome::ok) std::abort();
      SpscProducer producer(ring);
      begun.store(round);
      for (uint32_t turn = random.below(100); turn > 0; --turn) spinPause();
      if (producer.push(record) != Outcome::ok) std::abort();
      producer.close();
      for (uint32_t turn = 0; ended.load() != round; ++turn) turn % 256 == 255 ? (void)sched_yield() : spinPause();
    }
  });
  SpscConsumer consumer(ring);
  std::vector<std::byte> out;
  uint32_t missed = 0;
  for (uint32_t round = 1; round <= rounds; ++round) {
    for (uint32_t turn = 0; begun.load() != round; ++turn) turn % 256 == 255 ? (void)sched_yield() : spinPause();
    // Asked at once or after a sleep: the record first, and then the close.
    if (consumer.pop(out) != Outcome::ok) {
      ++missed;
      (void)consumer.tryPop(out);
    }
    if (consumer.pop(out) != Outcome::peerClosed) ++missed;
    ended.store(round);
  }
  producing.join();
  CHECK(missed == 0);
}

// Waits that time out leave marks behind, and ask for room that nobody wants any more. Nobody has a role here, so all
// sleeps are without limit: one lost wake-up stops both ends for good.
TEST_CASE("spsc threads: no wake-up is lost among waits of which many time out") {
  const PrivateRing memory({.capacity = 512, .wait = WaitMode::park}, 0U - 4096);
  const uint32_t records = kShare / 8;
  const stream::Stream stream(static_cast<uint32_t>(runSeed()), memory.ring().maxRecordByteLength());
  const auto deadline = [](Random& random) { return random.oneIn(2) ? kForever : nowNs() + random.below(20'000); };
  std::atomic<uint32_t> timeouts{0};
  std::thread producing([&] {
    SpscProducer producer(memory.ring());
    Random random(runSeed() + 1);
    for (uint32_t k = 0; k < records;) {
      // A long one that may give up, then the record itself, which needs less room.
      std::span<std::byte> bytes;
      if (random.oneIn(4)) {
        const Outcome outcome =
            producer.claim(memory.ring().maxRecordByteLength(), bytes, {.deadlineNs = nowNs() + random.below(10'000)});
        if (outcome == Outcome::ok) producer.abort();
      }
      const Outcome outcome = producer.push(stream.record(k), {.deadlineNs = deadline(random)});
      if (outcome == Outcome::ok) ++k;
      if (outcome == Outcome::timeout) timeouts.fetch_add(1, std::memory_order_relaxed);
    }
  });
  SpscConsumer consumer(memory.ring());
  Random random(runSeed() + 2);
  std::vector<std::byte> out;
  for (uint32_t k = 0; k < records;) {
    const Outcome outcome = consumer.pop(out, {.deadlineNs = deadline(random)});
    if (outcome == Outcome::timeout) continue;
    REQUIRE(outcome == Outcome::ok);
    REQUIRE(stream.matches(k++, out));
    for (uint32_t turn = random.oneIn(8) ? random.below(400) : 0; turn > 0; --turn) spinPause();
  }
  producing.join();
  CHECK(timeouts.load() > 0);
}

TEST_CASE("spsc threads: 64-byte alignment, claims and peeks") {
  run({{.capacity = 1 << 14, .alignment = 64}, 0U - (1 << 20), kShare, 1000, false, Plan::claim, Plan::peek});
  run({{.capacity = 1 << 12, .alignment = 64, .wait = WaitMode::adaptive},
       0,
       kShare / 4,
       2000,
       true,
       Plan::claim,
       Plan::peek});
}
