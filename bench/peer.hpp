// What one end of a measurement in C++ counts, and how it hands it to pair.ts: a line of JSON on stdout; samples go to
// descriptor 3, as 32-bit whole numbers. Twin of bench/meter.ts and bench/payload.ts.
#pragma once

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

#include "ringway/wait.hpp"

namespace ringway::bench {

// What a message's first word says instead of its number: bench/payload.ts.
constexpr double kMeasure = -1;
constexpr double kStop = -2;

struct Spec {
  std::string_view program;
  bool first = false;
  uint32_t byteLength = 0;
  int64_t warmupNs = 0, measureNs = 0;
  size_t maxSamples = 0;
  bool oneProcess = false;  // Both ends are in it, so the receiving one reports for both.
};

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "%s\n", what);
  std::exit(1);
}

class Payload {
 public:
  explicit Payload(uint32_t byteLength) : words_(byteLength / sizeof(double)) {}
  void write(double first) noexcept { write(words_, first); }
  static void write(std::span<double> words, double first) noexcept {
    words[0] = first;
    const double other = otherWord(first);
    for (size_t i = 1; i < words.size(); ++i) words[i] = other;
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
inline int64_t clockCostNs() {
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

inline void report(const Usage& usage, double messages) {
  std::printf("{\"cpuUs\":%.0f,\"switches\":%ld,\"messages\":%.0f}\n", usage.cpuUs(), usage.switches(), messages);
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

// The sending end of a stream: send(first word) waits for room. `batch` messages are sent with one call, of which the
// first word is the first one's. The receiving end is there already.
template <class Send>
void sendStream(const Spec& spec, uint32_t batch, Send&& send) {
  double sequence = 0;
  const uint32_t perLook = spec.byteLength >= 4096 ? batch : std::max(64U, batch);
  const auto sendFor = [&](int64_t ns) {
    for (const int64_t end = nowNs() + ns; nowNs() < end;) {
      for (uint32_t i = 0; i < perLook; i += batch, sequence += batch) send(sequence);
    }
  };
  Usage usage;
  sendFor(spec.warmupNs);
  send(kMeasure);
  usage.start();
  sendFor(spec.measureNs);
  usage.stop();
  send(kStop);
  if (!spec.oneProcess) report(usage, sequence);
}

// The receiving end: receive(count) calls count(first word) for each message that is there, and says how many there were.
template <class Receive>
void receiveStream(const Spec& spec, Receive&& receive) {
  Windows windows(spec);
  bool more = true;
  const auto count = [&](double first) { more = windows.count(first); };
  while (more) {
    if (receive(count) > 0) {
      windows.cut();
    } else {
      spinPause();
    }
  }
  windows.finish();
}

// Of the command line that bench/pair.ts writes, without the files of rings.
inline Spec parseSpec(char** argv) {
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
  if (spec.byteLength < 8 || spec.byteLength % 8 != 0) fail("messages are whole words of 8 bytes");
  return spec;
}

}  // namespace ringway::bench
