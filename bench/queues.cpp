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

// push(messages, count) and pop(messages, limit) say how many they took or gave; a batch of one uses the single calls.
template <class Push, class Pop>
void run(const Spec& spec, uint32_t batch, Push&& push, Pop&& pop) {
  std::thread receiver([&] {
    bindTo(1);
    std::array<Message, kBatch> inbox;
    receiveStream(spec, [&](auto&& count) {
      const size_t received = pop(inbox.data(), batch);
      for (size_t i = 0; i < received; ++i) count(Payload::read(std::as_bytes(std::span(inbox[i].words))));
      return received;
    });
  });
  bindTo(0);
  std::array<Message, kBatch> outbox;
  sendStream(spec, batch, [&](double first) {
    const uint32_t count = first < 0 ? 1 : batch;  // The marks come alone.
    for (uint32_t i = 0; i < count; ++i) Payload::write(outbox[i].words, first + i);
    for (size_t sent = 0; sent < count;) {
      const size_t taken = push(outbox.data() + sent, count - sent);
      sent += taken;
      if (taken == 0) spinPause();
    }
  });
  receiver.join();
}

// Of the queues without calls for batches.
template <class TryPush, class TryPop>
void runSingle(const Spec& spec, TryPush&& tryPush, TryPop&& tryPop) {
  run(
      spec, 1, [&](const Message* from, size_t) { return size_t{tryPush(*from)}; },
      [&](Message* to, size_t) { return size_t{tryPop(*to)}; });
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
  if (spec.program == "boost-queue") return boostQueue(spec), 0;
#endif
  fail("no such program");
}
