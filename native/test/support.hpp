// What the tests of the core share: seeds, a scratch folder, child processes, and waiting for what must come.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "ringway/spsc_ring.hpp"

#if defined(__SANITIZE_THREAD__)
#define RINGWAY_UNDER_TSAN 1
#elif defined(__SANITIZE_ADDRESS__)
#define RINGWAY_UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RINGWAY_UNDER_TSAN 1
#elif __has_feature(address_sanitizer)
#define RINGWAY_UNDER_ASAN 1
#endif
#endif
#ifndef RINGWAY_UNDER_ASAN
#define RINGWAY_UNDER_ASAN 0
#endif
#ifndef RINGWAY_UNDER_TSAN
#define RINGWAY_UNDER_TSAN 0
#endif

namespace support {

// Set by main(): a folder in shared memory that is removed when the tests are over, however they end.
inline constexpr const char* kScratchVariable = "RINGWAY_TEST_SCRATCH";

inline std::string scratchFolder() {
  const char* folder = std::getenv(kScratchVariable);
  return folder != nullptr ? folder : "/dev/shm";
}
inline std::string scratchPath(std::string_view name) { return scratchFolder() + "/" + std::string(name); }

// SplitMix64: every seed gives a good sequence, also 0.
class Random {
 public:
  explicit Random(uint64_t seed) noexcept : state_(seed) {}
  uint64_t next() noexcept {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  uint32_t word() noexcept { return static_cast<uint32_t>(next() >> 32); }
  uint32_t below(uint32_t limit) noexcept { return limit == 0 ? 0 : static_cast<uint32_t>(next() % limit); }
  template <class Item, size_t kCount>
  const Item& pick(const Item (&items)[kCount]) noexcept {
    return items[below(kCount)];
  }
  bool oneIn(uint32_t n) noexcept { return below(n) == 0; }

 private:
  uint64_t state_;
};

// The seed of this run: RINGWAY_SEED, or one that main() chose and printed.
inline uint64_t runSeed() {
  const char* text = std::getenv("RINGWAY_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 1;
}

// Waits for what must come. The watchdog in main() ends a test in which it does not.
template <class Condition>
void eventually(Condition&& condition) {
  while (!condition()) usleep(200);
}

// A pair of pipes: single characters, so that tests can say "now" without any sleep.
class Wire {
 public:
  Wire(int in, int out) noexcept : in_(in), out_(out) {}
  void say(char word) const {
    if (write(out_, &word, 1) != 1) std::abort();
  }
  // The next character, or 0 when the other side is gone.
  char hear() const {
    char word = 0;
    ssize_t got;
    do got = read(in_, &word, 1);
    while (got < 0 && errno == EINTR);
    return got == 1 ? word : '\0';
  }

 private:
  int in_, out_;
};

// A forked process that runs body(wire) and ends with what it returns, without running any destructor: the parent's
// segments are not mapped there. It is killed with the parent, and when this object goes.
class Child {
 public:
  template <class Body>
  explicit Child(Body&& body) {
    int down[2], up[2];
    if (pipe2(down, O_CLOEXEC) != 0 || pipe2(up, O_CLOEXEC) != 0) std::abort();
    std::fflush(nullptr);
    pid_ = fork();
    if (pid_ < 0) std::abort();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::close(down[1]);
      ::close(up[0]);
      const int code = body(Wire(down[0], up[1]));
      std::fflush(nullptr);
      _exit(code);
    }
    ::close(down[0]);
    ::close(up[1]);
    in_ = up[0];
    out_ = down[1];
  }
  ~Child() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      (void)wait();
    }
    ::close(in_);
    ::close(out_);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const noexcept { return pid_; }
  void say(char word) const { Wire(in_, out_).say(word); }
  char hear() const { return Wire(in_, out_).hear(); }
  void signal(int number) const { ::kill(pid_, number); }
  // Stopped when this returns.
  void stop() const {
    signal(SIGSTOP);
    int status = 0;
    while (waitpid(pid_, &status, WUNTRACED) == pid_ && !WIFSTOPPED(status)) continue;
  }
  // Its exit code, or minus the signal that ended it.
  int wait() {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) continue;
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  int killAndWait() {
    signal(SIGKILL);
    return wait();
  }

 private:
  pid_t pid_ = -1;
  int in_ = -1, out_ = -1;
};

// In a child: says what does not hold and ends the child's body with 1.
#define HOLDS_IN_CHILD(condition)                                                                            \
  do {                                                                                                       \
    if (!(condition)) {                                                                                      \
      std::fprintf(stderr, "%s:%d: in a child process: %s does not hold\n", __FILE__, __LINE__, #condition); \
      return 1;                                                                                              \
    }                                                                                                        \
  } while (false)

struct RingOptions {
  uint32_t capacity = 1024;
  uint32_t alignment = 8;
  uint32_t maxParticipants = 8;
  ringway::WaitMode wait = ringway::WaitMode::park;
};

// A formatted ring's segment, not yet published.
inline ringway::Failure createRing(ringway::Segment& out, const RingOptions& options = {},
                                   const std::string& folder = scratchFolder()) {
  ringway::CreateOptions create;
  create.maxParticipants = options.maxParticipants;
  create.byteLength =
      ringway::bodyOffsetFor(options.maxParticipants) + ringway::SpscRing::byteLengthFor(options.capacity);
  if (auto failure = ringway::Segment::create(folder.c_str(), create, out)) return failure;
  ringway::SpscRing::format(out.body(), options.capacity, options.alignment, options.wait);
  return {};
}

// The same, published at `path`.
inline ringway::Failure createRingAt(ringway::Segment& out, const std::string& path, const RingOptions& options = {}) {
  if (auto failure = createRing(out, options)) return failure;
  return out.publish(path);
}

inline ringway::Failure attachRing(ringway::Segment& out, const std::string& path) {
  return ringway::Segment::attach(path, ringway::Kind::spsc, false, out);
}

// The ring in a segment, bound; its segment must stay where it is.
inline bool bindRing(ringway::Segment& segment, ringway::SpscRing& out) {
  return ringway::SpscRing::bind(segment.body(), segment.shape().byteLength - segment.shape().bodyOffset, &segment,
                                 out);
}

inline bool exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

// A ring in a block of private memory of exactly its size, so that AddressSanitizer sees any access outside.
class PrivateRing {
 public:
  explicit PrivateRing(const RingOptions& options, uint32_t startPosition = 0)
      : byteLength_(ringway::SpscRing::byteLengthFor(options.capacity)) {
    void* block = nullptr;
    if (posix_memalign(&block, ringway::kIsolationBytes, byteLength_) != 0) std::abort();
    std::memset(block, 0, byteLength_);
    body_ = static_cast<std::byte*>(block);
    ringway::SpscRing::format(body_, options.capacity, options.alignment, options.wait);
    header().tail.store(startPosition);
    header().head.store(startPosition);
    bound_ = ringway::SpscRing::bind(body_, byteLength_, nullptr, ring_);
  }
  ~PrivateRing() { std::free(body_); }
  PrivateRing(const PrivateRing&) = delete;
  PrivateRing& operator=(const PrivateRing&) = delete;

  bool bound() const noexcept { return bound_; }
  const ringway::SpscRing& ring() const noexcept { return ring_; }
  ringway::SpscHeader& header() const noexcept { return *reinterpret_cast<ringway::SpscHeader*>(body_); }
  std::byte* body() const noexcept { return body_; }
  uint64_t byteLength() const noexcept { return byteLength_; }

 private:
  uint64_t byteLength_;
  std::byte* body_ = nullptr;
  ringway::SpscRing ring_;
  bool bound_ = false;
};

}  // namespace support
