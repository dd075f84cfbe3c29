// Other people's queues, for comparison: a producer's thread and a consumer's in one process, bound to the processors that
// the ends of a ring have. Messages are copied in and out and hold what those of the rings hold. bench/queues.ts compiles
// it, and leaves out the libraries that are missing; pair.ts starts it as
//   queues PROGRAM first 64 WARMUP_MS MEASURE_MS MAX_SAMPLES
#include <array>
#include <memory>
#include <sched.h>
#include <thread>

#include "peer.hpp"

#ifdef WITH_CONCURRENTQUEUE
#include <concurrentqueue/concurrentqueue.h>
#endif
#ifdef WITH_READERWRITERQUEUE
#include <readerwriterqueue/readerwriterqueue.h>
#endif
#ifdef WITH_ATOMIC_QUEUE
#include <atomic_queue/atomic_queue.h>
#endif
#ifdef WITH_BOOST
#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#endif

using namespace ringway;
using namespace ringway::bench;

namespace {

struct Message {
  std::array<double, 8> words;
};
// Its fields stand for those of a record: twin of Quote in record-ends.ts.
struct Quote {
  double number, bid, ask, last, high, low;
  uint32_t bidSize, askSize, venue;
  int32_t change;
};
static_assert(sizeof(Quote) == 64);
// As many as the many-to-many ring has slots: pair.ts.
constexpr size_t kCapacity = 4096;
constexpr uint32_t kBatch = 16;

// The calling thread, to the `n`th of the processors that the process may use.
void bindTo(int n) {
  cpu_set_t allowed, one;
  CPU_ZERO(&one);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) fail("sched_getaffinity failed");
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed) && n-- == 0) CPU_SET(cpu, &one);
  }
  if (CPU_COUNT(&one) == 1 && sched_setaffinity(0, sizeof one, &one) != 0) fail("sched_setaffinity failed");
}

void write(Message& message, double first) noexcept { Payload::write(message.words, first); }
double read(const Message& message) noexcept { return Payload::read(std::as_bytes(std::span(message.words))); }

void write(Quote& quote, double first) noexcept {
  const double other = Payload::otherWord(first);
  const auto whole = static_cast<uint32_t>(other);
  quote = {first, other, other, other, other, other, whole, whole, whole, static_cast<int32_t>(whole)};
}
double read(const Quote& quote) noexcept {
  const double floats = quote.bid + quote.ask + quote.last + quote.high + quote.low;
  const double sum = floats + quote.bidSize + quote.askSize + quote.venue + quote.change;
  if (sum != 9 * Payload::otherWord(quote.number)) fail("a record arrived that was not sent");
  return quote.number;
}

// push(messages, count) and pop(messages, limit) say how many they took or gave; a batch of one uses the single calls.
template <class Item = Message, class Push, class Pop>
void run(const Spec& spec, uint32_t batch, Push&& push, Pop&& pop) {
  std::thread receiver([&] {
    bindTo(1);
    std::array<Item, kBatch> inbox;
    receiveStream(spec, [&](auto&& count) {
      const size_t received = pop(inbox.data(), batch);
      for (size_t i = 0; i < received; ++i) count(read(inbox[i]));
      return received;
    });
  });
  bindTo(0);
  std::array<Item, kBatch> outbox;
  sendStream(spec, batch, [&](double first) {
    const uint32_t count = first < 0 ? 1 : batch;  // The marks come alone.
    for (uint32_t i = 0; i < count; ++i) write(outbox[i], first + i);
    for (size_t sent = 0; sent < count;) {
      const size_t taken = push(outbox.data() + sent, count - sent);
      sent += taken;
      if (taken == 0) spinPause();
    }
  });
  receiver.join();
}

// Of the queues without calls for batches.
template <class Item = Message, class TryPush, class TryPop>
void runSingle(const Spec& spec, TryPush&& tryPush, TryPop&& tryPop) {
  run<Item>(
      spec, 1, [&](const Item* from, size_t) { return size_t{tryPush(*from)}; },
      [&](Item* to, size_t) { return size_t{tryPop(*to)}; });
}

#ifdef WITH_CONCURRENTQUEUE
// With tokens and without allocating, its fastest way.
void concurrentQueue(const Spec& spec, uint32_t batch) {
  moodycamel::ConcurrentQueue<Message> queue(kCapacity);
  moodycamel::ProducerToken producer(queue);
  moodycamel::ConsumerToken consumer(queue);
  if (batch == 1) {
    return runSingle(
        spec, [&](const Message& from) { return queue.try_enqueue(producer, from); },
        [&](Message& to) { return queue.try_dequeue(consumer, to); });
  }
  run(
      spec, batch,
      [&](const Message* from, size_t count) { return queue.try_enqueue_bulk(producer, from, count) ? count : 0; },
      [&](Message* to, size_t limit) { return queue.try_dequeue_bulk(consumer, to, limit); });
}
#endif

#ifdef WITH_READERWRITERQUEUE
void readerWriterQueue(const Spec& spec) {
  moodycamel::ReaderWriterQueue<Message> queue(kCapacity);
  runSingle(
      spec, [&](const Message& from) { return queue.try_enqueue(from); },
      [&](Message& to) { return queue.try_dequeue(to); });
}
#endif

#ifdef WITH_ATOMIC_QUEUE
void atomicQueue(const Spec& spec) {
  const auto queue = std::make_unique<atomic_queue::AtomicQueue2<Message, kCapacity>>();
  runSingle(
      spec, [&](const Message& from) { return queue->try_push(from); },
      [&](Message& to) { return queue->try_pop(to); });
}
#endif

#ifdef WITH_BOOST
void boostSpsc(const Spec& spec, uint32_t batch) {
  boost::lockfree::spsc_queue<Message> queue(kCapacity);
  if (batch == 1) {
    return runSingle(
        spec, [&](const Message& from) { return queue.push(from); }, [&](Message& to) { return queue.pop(to); });
  }
  run(
      spec, batch, [&](const Message* from, size_t count) { return queue.push(from, count); },
      [&](Message* to, size_t limit) { return queue.pop(to, limit); });
}

void boostSpscOfQuotes(const Spec& spec) {
  boost::lockfree::spsc_queue<Quote> queue(kCapacity);
  runSingle<Quote>(
      spec, [&](const Quote& from) { return queue.push(from); }, [&](Quote& to) { return queue.pop(to); });
}

void boostQueue(const Spec& spec) {
  boost::lockfree::queue<Message, boost::lockfree::fixed_sized<true>> queue(kCapacity);
  runSingle(
      spec, [&](const Message& from) { return queue.push(from); }, [&](Message& to) { return queue.pop(to); });
}
#endif

}  // namespace

int main(int argc, char** argv) {
  if (argc < 7) fail("started by bench/pair.ts, not by hand");
  Spec spec = parseSpec(argv);
  spec.oneProcess = true;
  if (spec.byteLength != sizeof(Message)) fail("these queues are compared with messages of 64 bytes");
#ifdef WITH_CONCURRENTQUEUE
  if (spec.program == "concurrentqueue") return concurrentQueue(spec, 1), 0;
  if (spec.program == "concurrentqueue-16") return concurrentQueue(spec, kBatch), 0;
#endif
#ifdef WITH_READERWRITERQUEUE
  if (spec.program == "readerwriterqueue") return readerWriterQueue(spec), 0;
#endif
#ifdef WITH_ATOMIC_QUEUE
  if (spec.program == "atomic_queue") return atomicQueue(spec), 0;
#endif
#ifdef WITH_BOOST
  if (spec.program == "boost-spsc") return boostSpsc(spec, 1), 0;
  if (spec.program == "boost-spsc-16") return boostSpsc(spec, kBatch), 0;
  if (spec.program == "boost-spsc-record") return boostSpscOfQuotes(spec), 0;
  if (spec.program == "boost-queue") return boostQueue(spec), 0;
#endif
  fail("no such program");
}
