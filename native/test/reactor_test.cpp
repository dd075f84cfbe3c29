// The event loop's sleeper: every watch ends exactly once, or not at all when it was cancelled.
#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <thread>

#include "ringway/reactor.hpp"
#include "support.hpp"

using namespace ringway;
using namespace support;

namespace {

// Collects as an event loop does: after a signal, on the thread that owns the reactor.
class Loop {
 public:
  bool watch(uint32_t token, const std::atomic<uint32_t>& word, uint32_t expected, int64_t deadlineNs = kForever) {
    return reactor.watch(token, word, expected, deadlineNs);
  }
  // Waits until `count` wakes in all were collected.
  void run(size_t count) {
    while (total < count) {
      eventually([&] { return signals_.load() > handled_; });
      turn();
    }
  }
  void turn() {
    handled_ = signals_.load();
    for (const Reactor::Wake wake : reactor.collect()) {
      ++total;
      wakes[wake.token].push_back(wake.reason);
    }
  }
  uint32_t signals() const { return signals_.load(); }

  std::map<uint32_t, std::vector<Reactor::Reason>> wakes;
  size_t total = 0;

 private:
  std::atomic<uint32_t> signals_{0};
  uint32_t handled_ = 0;

 public:
  Reactor reactor{[](void* loop) { static_cast<Loop*>(loop)->signals_.fetch_add(1); }, this};
};

void change(std::atomic<uint32_t>& word) {
  word.fetch_add(2);
  futexWakeAll(word);
}

}  // namespace

TEST_CASE("reactor: tells of a word that changes, once") {
  std::atomic<uint32_t> word{0};
  Loop loop;
  REQUIRE(loop.watch(7, word, 0));
  change(word);
  loop.run(1);
  change(word);
  CHECK(loop.wakes.size() == 1);
  CHECK(loop.wakes[7] == std::vector{Reactor::Reason::changed});
}

TEST_CASE("reactor: tells of a word that had changed before it was watched") {
  std::atomic<uint32_t> word{2};
  Loop loop;
  REQUIRE(loop.watch(1, word, 0));
  loop.run(1);
  CHECK(loop.wakes[1] == std::vector{Reactor::Reason::changed});
}

TEST_CASE("reactor: tells of deadlines, also of those that have passed") {
  std::atomic<uint32_t> words[4] = {};
  Loop loop;
  const int64_t now = nowNs();
  REQUIRE(loop.watch(0, words[0], 0, kForever));
  REQUIRE(loop.watch(1, words[1], 0, now + 20'000'000));
  REQUIRE(loop.watch(2, words[2], 0, now + 5'000'000));
  REQUIRE(loop.watch(3, words[3], 0, now - 1));
  loop.run(3);
  for (uint32_t token = 1; token <= 3; ++token) {
    CHECK(loop.wakes[token] == std::vector{Reactor::Reason::timeout});
  }
  CHECK(nowNs() >= now + 20'000'000);
  change(words[0]);
  loop.run(4);
  CHECK(loop.wakes[0] == std::vector{Reactor::Reason::changed});
}

TEST_CASE("reactor: a deadline that comes later than a sleep began is still kept") {
  std::atomic<uint32_t> words[2] = {};
  Loop loop;
  REQUIRE(loop.watch(0, words[0], 0));
  usleep(1000);  // Likely asleep by now; true either way.
  REQUIRE(loop.watch(1, words[1], 0, nowNs() + 1'000'000));
  loop.run(1);
  CHECK(loop.wakes[1] == std::vector{Reactor::Reason::timeout});
}

TEST_CASE("reactor: watches more words than the kernel takes at once") {
  constexpr uint32_t kWords = 300;
  std::vector<std::atomic<uint32_t>> words(kWords);
  Loop loop;
  const uint32_t watched = hasFutexWaitAny() ? kWords : 12;  // One thread each where the kernel takes only one.
  for (uint32_t i = 0; i < watched; ++i) REQUIRE(loop.watch(i, words[i], 0));
  for (uint32_t i = watched; i-- > 0;) change(words[i]);
  loop.run(watched);
  CHECK(loop.wakes.size() == watched);
  for (const auto& [token, reasons] : loop.wakes) CHECK(reasons == std::vector{Reactor::Reason::changed});
}

TEST_CASE("reactor: one signal for all wakes until they are collected") {
  std::atomic<uint32_t> words[8] = {};
  Loop loop;
  for (uint32_t i = 0; i < 8; ++i) REQUIRE(loop.watch(i, words[i], 0, 0));
  // All are due. Nothing is collected until the last one must have been delivered.
  std::atomic<uint32_t> last{0};
  REQUIRE(loop.watch(8, last, 0, 0));
  eventually([&] { return loop.signals() > 0; });
  usleep(1000);
  CHECK(loop.signals() == 1);
  loop.run(9);
  CHECK(loop.total == 9);
}

TEST_CASE("reactor: a cancelled watch is never heard of again, whether it was due or not") {
  std::atomic<uint32_t> quiet{0}, due{2}, other{0};
  Loop loop;
  REQUIRE(loop.watch(1, quiet, 0));
  REQUIRE(loop.watch(2, due, 0));
  eventually([&] { return loop.signals() > 0; });  // The second is waiting to be collected.
  loop.reactor.cancel(1);
  loop.reactor.cancel(2);
  loop.reactor.cancel(3);  // Nobody's.
  change(quiet);
  REQUIRE(loop.watch(1, other, 0));  // The token again, for another word.
  loop.turn();
  CHECK(loop.total == 0);
  change(other);
  loop.run(1);
  CHECK(loop.wakes.size() == 1);
  CHECK(loop.wakes[1].size() == 1);
}

TEST_CASE("reactor: memory may go as soon as its words were cancelled") {
  Loop loop;
  for (int round = 0; round < 50; ++round) {
    void* page = mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(page != MAP_FAILED);
    auto* words = static_cast<std::atomic<uint32_t>*>(page);
    std::atomic<uint32_t> outside{0};
    for (uint32_t i = 0; i < 4; ++i) REQUIRE(loop.watch(i, words[i * 512], 0));
    REQUIRE(loop.watch(9, outside, 0));
    loop.reactor.cancelRange(page, 8192);
    munmap(page, 8192);
    const size_t before = loop.total;
    change(outside);
    loop.run(before + 1);
  }
  CHECK(loop.wakes.size() == 1);
  CHECK(loop.wakes[9].size() == 50);
}

TEST_CASE("reactor: can be destroyed while words change and signals are under way") {
  for (int round = 0; round < 100; ++round) {
    std::atomic<uint32_t> words[6] = {}, quiet{0};
    std::atomic<bool> stop{false};
    auto loop = std::make_unique<Loop>();
    for (uint32_t i = 0; i < 6; ++i) REQUIRE(loop->watch(i, words[i], 0));
    REQUIRE(loop->watch(6, quiet, 0));
    std::thread changer([&] {
      for (uint32_t i = 0; !stop.load(); ++i) change(words[i % 6]);
    });
    if (round % 2 == 0) eventually([&] { return loop->signals() > 0; });
    loop.reset();
    stop.store(true);
    changer.join();
  }
}

TEST_CASE("reactor: in any mix of watches, changes, deadlines and cancellations each watch ends at most once") {
  Random random(runSeed());
  constexpr uint32_t kWords = 40;
  std::vector<std::atomic<uint32_t>> words(kWords);
  Loop loop;
  std::map<uint32_t, uint32_t> open;  // token -> word
  uint32_t token = 0;
  size_t watched = 0, cancelled = 0;
  const uint32_t limit = hasFutexWaitAny() ? 200 : 8;
  for (int step = 0; step < (RINGWAY_UNDER_TSAN ? 3000 : 10'000); ++step) {
    const uint32_t which = random.below(kWords);
    if (random.oneIn(3)) {
      change(words[which]);
    } else if (open.size() < limit && !random.oneIn(4)) {
      const int64_t deadline = random.oneIn(4) ? nowNs() + random.below(200'000) : kForever;
      REQUIRE(loop.watch(++token, words[which], words[which].load(), deadline));
      open[token] = which;
      ++watched;
    } else if (!open.empty()) {
      auto victim = open.lower_bound(random.below(token + 1));
      if (victim == open.end()) victim = open.begin();
      loop.reactor.cancel(victim->first);
      open.erase(victim);
      ++cancelled;
    }
    const size_t before = loop.total;
    loop.wakes.clear();
    loop.turn();
    for (const auto& [woken, reasons] : loop.wakes) {
      REQUIRE(reasons.size() == 1);
      REQUIRE(open.erase(woken) == 1);  // Neither cancelled nor told before.
    }
    REQUIRE(loop.total - before == loop.wakes.size());
  }
  // What is still open ends when its word changes.
  loop.wakes.clear();
  for (auto& word : words) change(word);
  loop.run(watched - cancelled);
  CHECK(loop.wakes.size() == open.size());
  for (const auto& [woken, reasons] : loop.wakes) CHECK(reasons.size() == 1);
}

TEST_CASE("reactor: does all of that on kernels without futex_waitv") {
  if (!hasFutexWaitAny()) return;  // This is the inner run.
  Child again([](const Wire&) {
    setenv("RINGWAY_TEST_NO_FUTEX_WAITV", "1", 1);
    if (freopen("/dev/null", "w", stdout) == nullptr) return 1;
    execl("/proc/self/exe", "ringway_core_tests", "--test-case=reactor:*", nullptr);
    return 1;
  });
  const int code = again.wait();
  if (code == 77) {
    MESSAGE("skipped: seccomp is not available");
    return;
  }
  CHECK(code == 0);
}
