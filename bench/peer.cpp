// One end of a measurement in C++: the references that the TypeScript ends are compared with. bench/pair.ts starts two
// of these on rings that it made, as
//   ringway_bench_peer PROGRAM first|second BYTES WARMUP_MS MEASURE_MS MAX_SAMPLES THERE BACK
// where THERE and BACK are files of rings. The result is a line of JSON on stdout; samples go to descriptor 3, as 32-bit
// whole nanoseconds. What the programs measure, and what a message holds, is told in bench/contenders.ts.
#include <cstring>

#include "peer.hpp"
#include "ringway/mpmc_slots.hpp"
#include "ringway/spsc_ring.hpp"

using namespace ringway;
using namespace ringway::bench;

namespace {

// So that an end which never catches up looks at the clock now and then.
constexpr size_t kDrainLimit = 256;

// Of the rings from the first process to the second, and back.
struct Files {
  std::string there, back;
};

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
void bounce(const Spec& spec, const Files& files, bool pause) {
  Attached there(files.there, false);
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
void roundTripOverRings(const Spec& spec, const Files& files, bool park) {
  Attached there(files.there, park), back(files.back, park);
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

// tryPush and drain. With `copy` the payload is copied out and in, and only its first word is looked at, as memcpy does.
void stream(const Spec& spec, const Files& files, bool copy) {
  Attached there(files.there, false);
  Payload payload(spec.byteLength);
  if (!spec.first) {
    SpscConsumer consumer(there.asConsumer());
    std::vector<std::byte> inbox(spec.byteLength);
    receiveStream(spec, [&](auto&& count) {
      const auto read = [&](std::span<const std::byte> bytes) {
        double first = 0;
        if (copy) {
          std::memcpy(inbox.data(), bytes.data(), bytes.size());
          std::memcpy(&first, inbox.data(), sizeof first);
        } else {
          first = Payload::read(bytes);
        }
        count(first);
      };
      Outcome outcome = Outcome::ok;
      const size_t drained = consumer.drain(read, kDrainLimit, outcome);
      if (outcome != Outcome::ok && outcome != Outcome::wouldBlock) fail("the ring is corrupt");
      return drained;
    });
    return;
  }
  SpscProducer producer(there.asProducer());
  payload.write(0);
  auto* firstWord = const_cast<std::byte*>(payload.bytes().data());
  while (rolePhase(there.ring.header->consumer.word.load(std::memory_order_acquire)) != RolePhase::held) spinPause();
  sendStream(spec, 1, [&](double first) {
    if (copy) {
      std::memcpy(firstWord, &first, sizeof first);
    } else {
      payload.write(first);
    }
    while (producer.tryPush(payload.bytes()) != Outcome::ok) {
    }
  });
}

// The many-to-many ring: copies in, reads in place.
void streamMany(const Spec& spec, const Files& files) {
  Segment segment;
  MpmcSlots slots;
  if (Segment::attach(files.there, Kind::mpmc, false, segment)) fail("the ring cannot be attached");
  const SegmentShape& shape = segment.shape();
  if (!MpmcSlots::bind(segment.body(), shape.byteLength - shape.bodyOffset, shape.maxParticipants, slots)) {
    fail("the segment is no ring");
  }
  const auto me = static_cast<uint32_t>(segment.participantId());
  uint32_t index = 0;
  if (!spec.first) {
    receiveStream(spec, [&](auto&& count) {
      const auto found = slots.take(me, index);
      if (found == MpmcSlots::Found::corrupt) fail("the ring is corrupt");
      if (found == MpmcSlots::Found::nothing) return 0;
      const double first = Payload::read({slots.payload(index), spec.byteLength});
      slots.free(index);
      EventCount(slots.header->freed).notify();
      count(first);
      return 1;
    });
    return;
  }
  Payload payload(spec.byteLength);
  const auto send = [&](double first) {
    payload.write(first);
    while (!slots.claim(me, index)) spinPause();
    EventCount(slots.header->quiet).notify();
    std::memcpy(slots.payload(index), payload.bytes().data(), spec.byteLength);
    if (!slots.commit(me, index, spec.byteLength)) fail("the ring is corrupt");
    EventCount(slots.header->filled).notify();
  };
  send(0);
  while (slotPhase(slots.at(index).state.load(std::memory_order_acquire)) != SlotPhase::free) spinPause();
  sendStream(spec, 1, send);
}

// What one process needs to copy messages into memory of the size of a ring, or to one place that stays in its cache.
void copyMemory(const Spec& spec, const Files& files, bool walk) {
  const size_t byteLength = spec.byteLength;
  const size_t places = walk ? Attached(files.there, false).ring.capacity / byteLength : 1;
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
  const Spec spec = parseSpec(argv);
  const Files files{.there = argv[7], .back = argv[8]};

  if (spec.program == "bounce") {
    bounce(spec, files, false);
  } else if (spec.program == "bounce-pause") {
    bounce(spec, files, true);
  } else if (spec.program == "spin") {
    roundTripOverRings(spec, files, false);
  } else if (spec.program == "park") {
    roundTripOverRings(spec, files, true);
  } else if (spec.program == "stream") {
    stream(spec, files, false);
  } else if (spec.program == "copy") {
    stream(spec, files, true);
  } else if (spec.program == "memcpy") {
    copyMemory(spec, files, false);
  } else if (spec.program == "memcpy-walk") {
    copyMemory(spec, files, true);
  } else if (spec.program == "mpmc") {
    streamMany(spec, files);
  } else {
    fail("no such program");
  }
  return 0;
}
