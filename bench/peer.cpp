// One end of a measurement in C++: the references that the TypeScript ends are compared with. bench/pair.ts starts two
// of these on rings that it made, as
//   ringway_bench_peer PROGRAM first|second BYTES WARMUP_MS MEASURE_MS MAX_SAMPLES THERE BACK
// where THERE and BACK are files of rings. The result is a line of JSON on stdout; samples go to descriptor 3, as 32-bit
// whole nanoseconds. What the programs measure, and what a message holds, is told in bench/contenders.ts.
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <vector>

#include "ringway/spsc_ring.hpp"

using namespace ringway;

namespace {

// What a message's first word says instead of its number: bench/payload.ts.
constexpr double kMeasure = -1;
constexpr double kStop = -2;

// So that an end which never catches up looks at the clock now and then.
constexpr size_t kDrainLimit = 256;

struct Spec {
  std::string_view program;
  bool first = false;
  uint32_t byteLength = 0;
  int64_t warmupNs = 0, measureNs = 0;
  size_t maxSamples = 0;
  std::string there, back;
};

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "%s\n", what);
  std::exit(1);
}

class Payload {
 public:
  explicit Payload(uint32_t byteLength) : words_(byteLength / sizeof(double)) {}
  void write(double first) noexcept {
    words_[0] = first;
    const double other = otherWord(first);
    for (size_t i = 1; i < words_.size(); ++i) words_[i] = other;
  }
  std::span<const std::byte> bytes() const noexcept { return std::as_bytes(std::span(words_)); }

  static double otherWord(double first) noexcept {
    return first < 0 ? 0 : static_cast<double>(static_cast<uint64_t>(first) & 0xffff);
  }
  // Reads the whole message and checks it. Its first word.
  static double read(std::span<const std::byte> bytes) noexcept {
    const auto* words = reinterpret_cast<const double*>(bytes.data());
    const size_t count = bytes.size() / sizeof(double);
    double sums[4] = {};  // Four, or each addition would wait for the one before it.
    size_t i = 1;
    for (; i + 4 <= count; i += 4) {
      for (size_t j = 0; j < 4; ++j) sums[j] += words[i + j];
    }
    for (; i < count; ++i) sums[0] += words[i];
    const double sum = sums[0] + sums[1] + sums[2] + sums[3];
    if (sum != static_cast<double>(count - 1) * otherWord(words[0])) fail("a message arrived that was not sent");
    return words[0];
  }

 private:
  std::vector<double> words_;
};

// CPU time and sleeps of this process between start() and stop().
class Usage {
 public:
  void start() noexcept { getrusage(RUSAGE_SELF, &from_); }
  void stop() noexcept { getrusage(RUSAGE_SELF, &to_); }
  double cpuUs() const noexcept {
    const auto us = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_usec);
    };
    return us(to_.ru_utime) + us(to_.ru_stime) - us(from_.ru_utime) - us(from_.ru_stime);
  }
  long switches() const noexcept { return to_.ru_nvcsw - from_.ru_nvcsw; }

 private:
  rusage from_ = {}, to_ = {};
};

// What two looks at the clock are apart with nothing between them.
int64_t clockCostNs() {
  std::vector<int64_t> costs(1001);
  for (int64_t& cost : costs) {
    const int64_t start = nowNs();
    cost = nowNs() - start;
  }
  std::nth_element(costs.begin(), costs.begin() + 500, costs.end());
  return costs[500];
}

// Samples of the first or only measuring end, less the clock's own cost.
class Samples {
 public:
  explicit Samples(size_t limit) : limit_(limit) { ns_.reserve(limit); }
  bool full() const noexcept { return ns_.size() == limit_; }
  size_t count() const noexcept { return ns_.size(); }
  void add(int64_t ns) noexcept { ns_.push_back(static_cast<uint32_t>(std::clamp<int64_t>(ns, 1, UINT32_MAX))); }
  void send() const {
    const auto bytes = std::as_bytes(std::span(ns_));
    for (size_t sent = 0; sent < bytes.size();) {
      const ssize_t wrote = ::write(3, bytes.data() + sent, bytes.size() - sent);
      if (wrote <= 0) fail("nobody reads the samples");
      sent += static_cast<size_t>(wrote);
    }
  }

 private:
  size_t limit_;
  std::vector<uint32_t> ns_;
};

void report(const Usage& usage, double messages) {
  std::printf("{\"cpuUs\":%.0f,\"switches\":%ld,\"messages\":%.0f}\n", usage.cpuUs(), usage.switches(), messages);
}

// One ring as one process sees it. The rings are attached and their roles taken as in any other program.
struct Attached {
  Attached(const std::string& path, bool park) {
    if (Segment::attach(path, Kind::spsc, false, segment)) fail("the ring cannot be attached");
    if (!SpscRing::bind(segment.body(), segment.shape().byteLength - segment.shape().bodyOffset, &segment, ring)) {
      fail("the segment is no ring");
    }
    ring.wait = park ? WaitMode::park : WaitMode::spin;
  }
  SpscRing& asProducer() {
    if (ring.takeRole(ring.header->producer) != Outcome::ok) fail("somebody else is the producer");
    return ring;
  }
  SpscRing& asConsumer() {
    if (ring.takeRole(ring.header->consumer) != Outcome::ok) fail("somebody else is the consumer");
    return ring;
  }
  Segment segment;
  SpscRing ring;
};

// Runs roundTrip(first word) until the time is over, then tells the other end to stop.
template <class RoundTrip>
void measure(const Spec& spec, RoundTrip&& roundTrip) {
  Samples samples(spec.maxSamples);
  double sequence = 0;
  roundTrip(sequence++);  // The other end is there from now on.
  for (const int64_t end = nowNs() + spec.warmupNs; nowNs() < end;) roundTrip(sequence++);
  const int64_t clockNs = clockCostNs();
  roundTrip(kMeasure);
  Usage usage;
  usage.start();
  int64_t end = nowNs();
  for (const int64_t last = end + spec.measureNs; end < last && !samples.full();) {
    const int64_t start = nowNs();
    roundTrip(sequence++);
    end = nowNs();
    samples.add(end - start - clockNs);
  }
  usage.stop();
  roundTrip(kStop);
  report(usage, static_cast<double>(samples.count()));
  samples.send();
}

// Answers until told to stop. answer() gives the first word of what it received.
template <class Answer>
void serve(Answer&& answer) {
  Usage usage;
  double messages = 0;
  for (;;) {
    const double first = answer();
    if (first == kMeasure) usage.start();
    if (first == kStop) break;
    ++messages;
  }
  usage.stop();
  report(usage, messages);
}

// Two processes and one word: whoever sees an odd (even) number makes it even (odd). The reference for round trips.
void bounce(const Spec& spec, bool pause) {
  Attached there(spec.there, false);
  // In the data of a ring that is otherwise not used, a cache line of its own.
  auto& word = *reinterpret_cast<std::atomic<uint32_t>*>(there.ring.data + 8);
  constexpr uint32_t kStopWord = UINT32_MAX;
  if (spec.first) {
    uint32_t next = 1;
    measure(spec, [&](double first) {
      word.store(first == kStop ? kStopWord : next, std::memory_order_seq_cst);
      if (first != kStop) {
        while (word.load(std::memory_order_acquire) == next) {
          if (pause) spinPause();
        }
      }
      next += 2;
    });
    return;
  }
  Usage usage;
  usage.start();
  double messages = 0;
  for (uint32_t next = 1;; next += 2) {
    uint32_t seen = 0;
    while ((seen = word.load(std::memory_order_acquire)) != next && seen != kStopWord) {
      if (pause) spinPause();
    }
    if (seen == kStopWord) break;
    word.store(next + 1, std::memory_order_seq_cst);
    ++messages;
  }
  usage.stop();
  report(usage, messages);
}

// Copies in, reads in place: `spin` tries again and again, `park` sleeps at once.
void roundTripOverRings(const Spec& spec, bool park) {
  Attached there(spec.there, park), back(spec.back, park);
  SpscProducer producer(spec.first ? there.asProducer() : back.asProducer());
  SpscConsumer consumer(spec.first ? back.asConsumer() : there.asConsumer());
  Payload payload(spec.byteLength);
  const auto send = [&](double first) {
    payload.write(first);
    if (park) {
      if (producer.push(payload.bytes()) != Outcome::ok) fail("the other end is gone");
    } else {
      while (producer.tryPush(payload.bytes()) != Outcome::ok) {
      }
    }
  };
  const auto receive = [&]() -> double {
    double first = 0;
    Outcome outcome = Outcome::ok;
    const auto read = [&first](std::span<const std::byte> bytes) { first = Payload::read(bytes); };
    while (consumer.drain(read, 1, outcome) == 0) {
      if (park && consumer.ready() != Outcome::ok) fail("the other end is gone");
      if (outcome != Outcome::wouldBlock) fail("the ring is corrupt");
      if (!park) spinPause();  // Looking without a pause takes the line away from the one who is about to write it.
    }
    return first;
  };
  if (spec.first) {
    measure(spec, [&](double first) {
      send(first);
      receive();
    });
  } else {
    serve([&] {
      const double first = receive();
      send(first);
      return first;
    });
  }
}

// The receiving end of a stream cuts it into windows of about a millisecond: samples are picoseconds a message in each.
class Windows {
 public:
  explicit Windows(const Spec& spec) : samples_(spec.maxSamples), startNs_(nowNs()) {}
  // False when the stream is over.
  bool count(double first) noexcept {
    if (first >= 0) {
      ++messages_;
      return true;
    }
    const int64_t now = nowNs();
    if (first == kMeasure) {
      const double warmMs = std::max(1.0, static_cast<double>(now - startNs_) / 1e6);
      perWindow_ = std::max(1.0, std::floor(messages_ / warmMs));
      messages_ = windowFrom_ = 0;
      startNs_ = windowStartNs_ = now;
      measuring_ = true;
      usage_.start();
      return true;
    }
    usage_.stop();
    // A slice too short for one window is one.
    if (samples_.count() == 0 && messages_ > 0) sample(messages_);
    return false;
  }
  // Call now and then.
  void cut() noexcept {
    const double count = messages_ - windowFrom_;
    if (measuring_ && count >= perWindow_ && !samples_.full()) sample(count);
  }
  void finish() const {
    report(usage_, messages_);
    samples_.send();
  }

 private:
  void sample(double count) noexcept {
    const int64_t now = nowNs();
    samples_.add(static_cast<int64_t>(static_cast<double>(now - windowStartNs_) * 1e3 / count));
    windowStartNs_ = now;
    windowFrom_ = messages_;
  }

  Samples samples_;
  Usage usage_;
  int64_t startNs_, windowStartNs_ = 0;
  double messages_ = 0, windowFrom_ = 0, perWindow_ = 1;
  bool measuring_ = false;
};

// tryPush and drain. With `copy` the payload is copied out and in, and only its first word is looked at, as memcpy does.
void stream(const Spec& spec, bool copy) {
  Attached there(spec.there, false);
  Payload payload(spec.byteLength);
  if (!spec.first) {
    SpscConsumer consumer(there.asConsumer());
    std::vector<std::byte> inbox(spec.byteLength);
    Windows windows(spec);
    bool more = true;
    const auto read = [&](std::span<const std::byte> bytes) {
      double first = 0;
      if (copy) {
        std::memcpy(inbox.data(), bytes.data(), bytes.size());
        std::memcpy(&first, inbox.data(), sizeof first);
      } else {
        first = Payload::read(bytes);
      }
      more = windows.count(first);
    };
    while (more) {
      Outcome outcome = Outcome::ok;
      if (consumer.drain(read, kDrainLimit, outcome) > 0) {
        windows.cut();
      } else {
        spinPause();
      }
      if (outcome != Outcome::ok && outcome != Outcome::wouldBlock) fail("the ring is corrupt");
    }
    windows.finish();
    return;
  }
  SpscProducer producer(there.asProducer());
  Usage usage;
  double sequence = 0;
  payload.write(0);
  auto* firstWord = const_cast<std::byte*>(payload.bytes().data());
  const auto send = [&](double first) {
    if (copy) {
      std::memcpy(firstWord, &first, sizeof first);
    } else {
      payload.write(first);
    }
    while (producer.tryPush(payload.bytes()) != Outcome::ok) {
    }
  };
  const uint32_t perLook = spec.byteLength >= 4096 ? 1 : 64;
  const auto sendFor = [&](int64_t ns) {
    for (const int64_t end = nowNs() + ns; nowNs() < end;) {
      for (uint32_t i = 0; i < perLook; ++i) send(sequence++);
    }
  };
  while (rolePhase(there.ring.header->consumer.word.load(std::memory_order_acquire)) != RolePhase::held) spinPause();
  sendFor(spec.warmupNs);
  send(kMeasure);
  usage.start();
  sendFor(spec.measureNs);
  usage.stop();
  send(kStop);
  report(usage, sequence);
}

// What one process needs to copy messages into memory of the size of a ring, or to one place that stays in its cache.
void copyMemory(const Spec& spec, bool walk) {
  const size_t byteLength = spec.byteLength;
  const size_t places = walk ? Attached(spec.there, false).ring.capacity / byteLength : 1;
  std::vector<std::byte> from(byteLength, std::byte{1}), to(byteLength * places, std::byte{2});
  Windows windows(spec);
  size_t place = 0;
  double sequence = 0;
  const size_t perLook = std::max<size_t>(1, 16384 / byteLength);
  const auto copyFor = [&](int64_t ns) {
    for (const int64_t end = nowNs() + ns; nowNs() < end;) {
      for (size_t i = 0; i < perLook; ++i) {
        std::memcpy(to.data() + place * byteLength, from.data(), byteLength);
        asm volatile("" : : "r"(to.data()) : "memory");  // Or the compiler would leave it out.
        place = place + 1 == places ? 0 : place + 1;
        windows.count(sequence++);
      }
      windows.cut();
    }
  };
  copyFor(spec.warmupNs);
  windows.count(kMeasure);
  copyFor(spec.measureNs);
  windows.count(kStop);
  windows.finish();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 9) fail("started by bench/pair.ts, not by hand");
  // Whoever started us and is gone cannot end us; spinning on would take a core for ever.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const auto number = [&](int i) { return std::strtoll(argv[i], nullptr, 10); };
  Spec spec;
  spec.program = argv[1];
  spec.first = std::string_view(argv[2]) == "first";
  spec.byteLength = static_cast<uint32_t>(number(3));
  spec.warmupNs = number(4) * 1'000'000;
  spec.measureNs = number(5) * 1'000'000;
  spec.maxSamples = static_cast<size_t>(number(6));
  spec.there = argv[7];
  spec.back = argv[8];
  if (spec.byteLength < 8 || spec.byteLength % 8 != 0) fail("messages are whole words of 8 bytes");

  if (spec.program == "bounce") {
    bounce(spec, false);
  } else if (spec.program == "bounce-pause") {
    bounce(spec, true);
  } else if (spec.program == "spin") {
    roundTripOverRings(spec, false);
  } else if (spec.program == "park") {
    roundTripOverRings(spec, true);
  } else if (spec.program == "stream") {
    stream(spec, false);
  } else if (spec.program == "copy") {
    stream(spec, true);
  } else if (spec.program == "memcpy") {
    copyMemory(spec, false);
  } else if (spec.program == "memcpy-walk") {
    copyMemory(spec, true);
  } else {
    fail("no such program");
  }
  return 0;
}
