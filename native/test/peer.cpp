// One end of a named ring, as a process of its own: for tests of the engines against each other, and to be killed.
// Twin: test/programs/peer.ts, with the same command line.
//
//   peer produce   ring=NAME seed=N max=N count=N form=one|claim|many calls=blocking|spinning
//   peer consume   ring=NAME seed=N max=N count=N form=pop|peek|drain calls=blocking|spinning
//     The first `count` records of a stream (stream.hpp). Then the producer closes, and the consumer expects that and
//     nothing more.
//   peer produce-on   ring=NAME seed=N max=N epoch=N ack=FILE form=… gone=throw|wait
//   peer consume-on   ring=NAME seed=N max=N epoch=N ack=FILE form=… gone=throw|wait|end
//     Records of life `epoch` of the producer, for ever: 8 bytes (epoch, number), then record `number` of stream
//     (seed ^ epoch). What was done is acknowledged in FILE, 32-bit words:
//       producer   0: how many may have been published, stored before; 1: how many were, stored after
//       consumer   0: runs; then for each run of consecutive numbers: epoch, first, last
//     gone=throw: a peer's death is printed, then a replacement waited for; wait: just waited for; end: the end.
//   peer challenge   ring=NAME form=producer|consumer count=N
//     Tries `count` times to take a role that somebody holds.
//
// Prints `ready` when it has its role, `peer-died` when the ring said so, `going-on` when the call after that succeeded,
// and a line of JSON at the end. Exit code 1: a record is wrong (described on stderr), or the ring said something
// unexpected; 2: the command line.
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "ringway/spsc_ring.hpp"
#include "stream.hpp"

namespace {

using namespace ringway;
using View = std::span<const std::byte>;

struct Arguments {
  int count;
  char** values;
  std::string_view mode() const { return count > 1 ? values[1] : ""; }
  std::string text(std::string_view name) const {
    for (int i = 2; i < count; ++i) {
      const std::string_view argument = values[i];
      if (argument.substr(0, argument.find('=')) == name && argument.size() > name.size()) {
        return std::string(argument.substr(name.size() + 1));
      }
    }
    std::fprintf(stderr, "peer: %.*s= is missing\n", static_cast<int>(name.size()), name.data());
    std::exit(2);
  }
  uint32_t number(std::string_view name) const {
    return static_cast<uint32_t>(std::strtoul(text(name).c_str(), nullptr, 10));
  }
};

void print(const char* line) {
  std::puts(line);
  std::fflush(stdout);
}

const char* nameOf(Outcome outcome) {
  constexpr const char* kNames[] = {"ok",       "would block", "timeout",  "peer closed", "peer died",
                                    "too long", "role taken",  "borrowed", "corrupt",     "failed"};
  return kNames[static_cast<int>(outcome)];
}

[[noreturn]] void unexpected(const char* where, Outcome outcome) {
  std::fprintf(stderr, "peer: %s: %s\n", where, nameOf(outcome));
  std::_Exit(1);
}

[[noreturn]] void mismatch(uint32_t k, View got, View wanted) {
  size_t at = 0;
  while (at < got.size() && at < wanted.size() && got[at] == wanted[at]) ++at;
  const auto byte = [at](View bytes) { return at < bytes.size() ? static_cast<int>(bytes[at]) : -1; };
  std::fprintf(stderr, "peer: record %u has %zu bytes, %zu wanted; the first difference is at %zu: %d, %d wanted\n", k,
               got.size(), wanted.size(), at, byte(got), byte(wanted));
  std::_Exit(1);
}

// The ring of that name, with our role taken: it stays until the process ends.
struct Opened {
  Segment segment;
  SpscRing ring;
};
Opened& openRing(const Arguments& arguments) {
  static Opened opened;
  const char* directory = std::getenv("RINGWAY_SHM_DIR");
  const std::string path =
      std::string(directory != nullptr ? directory : "/dev/shm") + "/ringway-" + arguments.text("ring");
  if (const Failure failure = Segment::attach(path, Kind::spsc, false, opened.segment)) {
    std::fprintf(stderr, "peer: attaching to %s: %s: %s\n", path.c_str(), failure.syscall, strerror(failure.error));
    std::exit(1);
  }
  Segment& segment = opened.segment;
  if (!SpscRing::bind(segment.body(), segment.shape().byteLength - segment.shape().bodyOffset, &segment, opened.ring)) {
    unexpected("binding", Outcome::corrupt);
  }
  return opened;
}
const SpscRing& takeRing(const Arguments& arguments, RoleWords SpscHeader::*role) {
  const SpscRing& ring = openRing(arguments).ring;
  const Outcome outcome = ring.takeRole(ring.header->*role);
  if (outcome != Outcome::ok) unexpected("taking the role", outcome);
  print("ready");
  return ring;
}

// A try-form until it gives something else than wouldBlock.
template <class Attempt>
Outcome spin(Attempt&& attempt) {
  for (uint32_t turn = 1;; ++turn) {
    const Outcome outcome = attempt();
    if (outcome != Outcome::wouldBlock) return outcome;
    spinPause();
    if (turn % 1024 == 0) sched_yield();
  }
}

void expectOk(const char* where, Outcome outcome) {
  if (outcome != Outcome::ok) unexpected(where, outcome);
}

int report(const char* mode, uint32_t records, double bytes, int64_t startNs) {
  std::printf("{\"engine\":\"c++\",\"mode\":\"%s\",\"records\":%u,\"bytes\":%.0f,\"ms\":%.1f}\n", mode, records, bytes,
              static_cast<double>(nowNs() - startNs) / 1e6);
  std::fflush(stdout);
  return 0;
}

constexpr size_t kBatch = 16;

int produce(const Arguments& arguments) {
  const stream::Stream stream(arguments.number("seed"), arguments.number("max"));
  const uint32_t count = arguments.number("count");
  const std::string form = arguments.text("form");
  const bool blocking = arguments.text("calls") == "blocking";
  SpscProducer producer(takeRing(arguments, &SpscHeader::producer));
  const auto pushOne = [&](View record) {
    expectOk("push", blocking ? producer.push(record) : spin([&] { return producer.tryPush(record); }));
  };
  const int64_t startNs = nowNs();
  double bytes = 0;
  for (uint32_t k = 0; k < count;) {
    const View record = stream.record(k);
    if (form == "many") {
      View batch[kBatch];
      size_t size = 0;
      for (; size < kBatch && k + size < count; ++size) batch[size] = stream.record(k + static_cast<uint32_t>(size));
      const size_t taken = producer.tryPushMany({batch, size});
      for (size_t i = 0; i < taken; ++i) bytes += static_cast<double>(batch[i].size());
      k += static_cast<uint32_t>(taken);
      if (taken > 0) continue;
      pushOne(record);
    } else if (form == "claim") {
      std::span<std::byte> claim;
      const auto size = static_cast<uint32_t>(record.size());
      expectOk("claim", blocking ? producer.claim(size, claim) : spin([&] { return producer.tryClaim(size, claim); }));
      std::copy(record.begin(), record.end(), claim.begin());
      producer.commit(size);
    } else {
      pushOne(record);
    }
    bytes += static_cast<double>(record.size());
    ++k;
  }
  producer.close();
  return report("produce", count, bytes, startNs);
}

int consume(const Arguments& arguments) {
  const stream::Stream stream(arguments.number("seed"), arguments.number("max"));
  const uint32_t count = arguments.number("count");
  const std::string form = arguments.text("form");
  const bool blocking = arguments.text("calls") == "blocking";
  SpscConsumer consumer(takeRing(arguments, &SpscHeader::consumer));
  const int64_t startNs = nowNs();
  double bytes = 0;
  uint32_t k = 0;
  const auto check = [&](View record) {
    if (!stream.matches(k, record)) mismatch(k, record, stream.record(k));
    bytes += static_cast<double>(record.size());
    ++k;
  };
  std::vector<std::byte> out;
  View record;
  while (k < count) {
    if (form == "drain") {
      if (blocking) expectOk("ready", consumer.ready());
      Outcome outcome = Outcome::ok;
      (void)consumer.drain(check, count - k, outcome);
      if (outcome != Outcome::ok && outcome != Outcome::wouldBlock) unexpected("drain", outcome);
    } else if (form == "peek") {
      expectOk("peek", blocking ? consumer.peek(record) : spin([&] { return consumer.tryPeek(record); }));
      check(record);
      consumer.release();
    } else {
      expectOk("pop", blocking ? consumer.pop(out) : spin([&] { return consumer.tryPop(out); }));
      check(out);
    }
  }
  if (const Outcome end = consumer.ready(); end != Outcome::peerClosed) unexpected("after the last record", end);
  consumer.close();
  return report("consume", count, bytes, startNs);
}

// --- ends that live until they are killed

constexpr uint32_t kStampBytes = 8;
constexpr size_t kAckWords = 1 << 16;

// What this life has done, where it outlives us. Release: never before what it says is done.
std::atomic<uint32_t>* openAcks(const Arguments& arguments) {
  const int fd = open(arguments.text("ack").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  void* words = MAP_FAILED;
  if (fd >= 0 && ftruncate(fd, kAckWords * 4) == 0) {
    words = mmap(nullptr, kAckWords * 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  }
  if (words == MAP_FAILED) {
    std::perror("peer: ack file");
    std::exit(1);
  }
  return static_cast<std::atomic<uint32_t>*>(words);
}

// An operation that blocks, as a survivor does it.
class Patience {
 public:
  explicit Patience(const Arguments& arguments) : gone_(arguments.text("gone")) {}
  // False when the peer is gone and that is the end.
  template <class Operation>
  bool wait(const char* where, Operation&& operation) const {
    WaitOptions options{.waitForPeer = gone_ == "wait"};
    for (bool died = false;; died = true) {
      const Outcome outcome = operation(options);
      if (outcome == Outcome::ok) {
        if (died) print("going-on");
        return true;
      }
      if (outcome != Outcome::peerDied) unexpected(where, outcome);
      print("peer-died");
      if (gone_ == "end") return false;
      options.waitForPeer = true;
    }
  }

 private:
  std::string gone_;
};

int produceOn(const Arguments& arguments) {
  const uint32_t epoch = arguments.number("epoch");
  const stream::Stream stream(arguments.number("seed") ^ epoch, arguments.number("max"));
  const std::string form = arguments.text("form");
  const Patience patience(arguments);
  std::atomic<uint32_t>* acks = openAcks(arguments);
  SpscProducer producer(takeRing(arguments, &SpscHeader::producer));
  std::vector<std::byte> made[kBatch];
  View batch[kBatch];
  for (uint32_t number = 0;;) {
    // Batches of 1 to kBatch; of one otherwise.
    const size_t size = form == "many" ? 1 + stream::mix(number) % kBatch : 1;
    for (size_t i = 0; i < size; ++i) {
      const uint32_t k = number + static_cast<uint32_t>(i);
      const View tail = stream.record(k);
      made[i].resize(kStampBytes + tail.size());
      std::memcpy(made[i].data(), &epoch, 4);
      std::memcpy(made[i].data() + 4, &k, 4);
      std::copy(tail.begin(), tail.end(), made[i].begin() + kStampBytes);
      batch[i] = made[i];
    }
    acks[0].store(number + static_cast<uint32_t>(size), std::memory_order_seq_cst);  // Before anything is published.
    size_t taken = form == "many" ? producer.tryPushMany({batch, size}) : 0;
    if (taken == 0) {
      taken = 1;
      const bool there = patience.wait("push", [&](const WaitOptions& options) {
        if (form != "claim") return producer.push(batch[0], options);
        std::span<std::byte> claim;
        const Outcome outcome = producer.claim(static_cast<uint32_t>(batch[0].size()), claim, options);
        if (outcome != Outcome::ok) return outcome;
        std::copy(batch[0].begin(), batch[0].end(), claim.begin());
        producer.commit(static_cast<uint32_t>(batch[0].size()));
        return outcome;
      });
      if (!there) return 0;
    }
    number += static_cast<uint32_t>(taken);
    acks[1].store(number, std::memory_order_release);
  }
}

// The consumer's log.
class Runs {
 public:
  Runs(std::atomic<uint32_t>* acks, uint32_t seed, uint32_t maxByteLength)
      : acks_(acks), seed_(seed), stream_(seed, maxByteLength) {}

  // Checks a record against what its stamp says, and acknowledges it.
  void take(View record) {
    uint32_t epoch = 0, number = 0;
    if (record.size() < kStampBytes) mismatch(number_, record, record.first(0));
    std::memcpy(&epoch, record.data(), 4);
    std::memcpy(&number, record.data() + 4, 4);
    if (epoch != epoch_) stream_.reseed(seed_ ^ epoch);
    if (!stream_.matches(number, record.subspan(kStampBytes))) {
      std::fprintf(stderr, "peer: record %u of life %u is torn or invented\n", number, epoch);
      mismatch(number, record.subspan(kStampBytes), stream_.record(number));
    }
    if (runs_ == 0 || epoch != epoch_ || number != number_ + 1) {
      if (3 * runs_ + 3 >= kAckWords) unexpected("too many runs", Outcome::failed);
      acks_[3 * runs_ + 1].store(epoch, std::memory_order_relaxed);  // Relaxed: what follows publishes them.
      acks_[3 * runs_ + 2].store(number, std::memory_order_relaxed);
      acks_[3 * runs_ + 3].store(number, std::memory_order_relaxed);
      acks_[0].store(++runs_, std::memory_order_release);
    } else {
      acks_[3 * runs_].store(number, std::memory_order_release);
    }
    epoch_ = epoch;
    number_ = number;
  }

 private:
  std::atomic<uint32_t>* acks_;
  const uint32_t seed_;
  stream::Stream stream_;
  uint32_t runs_ = 0, epoch_ = 0, number_ = 0;
};

int consumeOn(const Arguments& arguments) {
  const std::string form = arguments.text("form");
  const Patience patience(arguments);
  Runs runs(openAcks(arguments), arguments.number("seed"), arguments.number("max"));
  SpscConsumer consumer(takeRing(arguments, &SpscHeader::consumer));
  std::vector<std::byte> out;
  View record;
  for (;;) {
    // A popped record is acknowledged after its room was given back; a peeked or drained one before.
    bool there;
    if (form == "pop") {
      there = patience.wait("pop", [&](const WaitOptions& options) { return consumer.pop(out, options); });
      if (there) runs.take(out);
    } else if (form == "peek") {
      there = patience.wait("peek", [&](const WaitOptions& options) { return consumer.peek(record, options); });
      if (there) {
        runs.take(record);
        consumer.release();
      }
    } else {
      there = patience.wait("ready", [&](const WaitOptions& options) { return consumer.ready(options); });
      Outcome outcome = Outcome::ok;
      (void)consumer.drain([&](View view) { runs.take(view); }, SIZE_MAX, outcome);
      if (outcome != Outcome::wouldBlock) unexpected("drain", outcome);
    }
    if (!there) return 0;
  }
}

int challenge(const Arguments& arguments) {
  const SpscRing& ring = openRing(arguments).ring;
  RoleWords& role = arguments.text("form") == "producer" ? ring.header->producer : ring.header->consumer;
  for (uint32_t i = arguments.number("count"); i > 0; --i) {
    const Outcome outcome = ring.takeRole(role);
    if (outcome != Outcome::roleTaken) unexpected("challenging a live holder", outcome);
  }
  print("refused");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments{argc, argv};
  if (arguments.mode() == "produce") return produce(arguments);
  if (arguments.mode() == "consume") return consume(arguments);
  if (arguments.mode() == "produce-on") return produceOn(arguments);
  if (arguments.mode() == "consume-on") return consumeOn(arguments);
  if (arguments.mode() == "challenge") return challenge(arguments);
  std::fprintf(stderr, "usage: see the start of native/test/peer.cpp\n");
  return 2;
}
