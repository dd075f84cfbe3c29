// One producer, one consumer, records of any length up to half the capacity, in shared memory. Twin: src/ring/spsc.ts,
// on the same bytes. No Node-API in here. Source of the cached peer position: Rigtorp, SPSCQueue README.
//
//   A "records are filled"  publish()  tail, move  ->  next()     tail, load
//   B "bytes are free"      publish()  head, move  ->  reserve()  head, load
//   Both with position.hpp's order and its rules for sleepers.
//
// One store publishes. A producer that dies before it leaves nothing visible, and a new one goes on at `tail`. A
// consumer that dies before its release leaves the record in place, and a new one starts with it.
//
// What the peer wrote is never trusted: positions and lengths are checked against what was checked at bind() before
// they become addresses, so a hostile peer gets us an Outcome::corrupt and never an access outside the segment.
#pragma once

#include <cassert>
#include <span>
#include <vector>

#include "ringway/segment.hpp"
#include "ringway/wait.hpp"

namespace ringway {

enum class Outcome {
  ok,
  wouldBlock,  // full or empty just now
  timeout,
  peerClosed,  // the other end was closed (and, for a consumer, all was read)
  peerDied,    // the other end's process died (and, for a consumer, all was read)
  tooLong,     // longer than maxRecordByteLength()
  roleTaken,   // a live participant holds the role
  borrowed,    // a claim or peek is open
  corrupt,     // the segment contradicts itself
  failed,      // the system refused to tell who lives
};

struct WaitOptions {
  int64_t deadlineNs = kForever;  // On nowNs()'s clock. One that has passed: one attempt.
  bool waitForPeer = false;       // Wait for a replacement instead of returning peerClosed or peerDied.
};

// The fixed part of a ring, copied and checked once.
class SpscRing {
 public:
  // `segment` answers who lives; without one (a ring in private memory) nobody is ever found dead.
  [[nodiscard]] static bool bind(std::byte* body, uint64_t byteLength, Segment* segment, SpscRing& out) noexcept {
    if (byteLength < kSpscDataOffset) return false;
    auto* header = reinterpret_cast<SpscHeader*>(body);
    SpscRing ring;
    ring.header = header;
    ring.segment = segment;
    ring.capacity = header->capacity;
    ring.alignment = header->alignment;
    const uint32_t wait = header->wait, dataOffset = header->dataOffset;
    ring.wait = static_cast<WaitMode>(wait);
    if (ring.capacity < kMinSpscCapacity || ring.capacity > kMaxSpscCapacity) return false;
    if ((ring.capacity & (ring.capacity - 1)) != 0) return false;
    if (ring.alignment != 8 && ring.alignment != 64) return false;
    if (ring.capacity < 4 * ring.alignment && ring.alignment == 64) return false;
    if (dataOffset != kSpscDataOffset || wait > static_cast<uint32_t>(WaitMode::park)) return false;
    if (byteLength - kSpscDataOffset < ring.capacity) return false;
    ring.data = body + kSpscDataOffset;
    out = ring;
    return true;
  }

  static constexpr uint64_t byteLengthFor(uint32_t capacity) noexcept { return kSpscDataOffset + uint64_t{capacity}; }

  // Writes the header of an empty ring into zeroed memory.
  static void format(std::byte* body, uint32_t capacity, uint32_t alignment, WaitMode wait) noexcept {
    auto* header = new (body) SpscHeader{};
    header->capacity = capacity;
    header->alignment = alignment;
    header->dataOffset = kSpscDataOffset;
    header->wait = static_cast<uint32_t>(wait);
  }

  // Padding before a record is shorter than the record, so half the capacity always fits into an empty ring.
  [[nodiscard]] uint32_t maxRecordByteLength() const noexcept { return capacity / 2 - uint32_t{sizeof(RecordHeader)}; }
  [[nodiscard]] uint32_t strideOf(uint32_t byteLength) const noexcept {
    return (byteLength + uint32_t{sizeof(RecordHeader)} + alignment - 1) & ~(alignment - 1);
  }
  [[nodiscard]] std::byte* at(uint32_t position) const noexcept { return data + (position & (capacity - 1)); }
  // Bytes from a position to the end of the lap.
  [[nodiscard]] uint32_t contiguous(uint32_t position) const noexcept { return capacity - (position & (capacity - 1)); }
  // Whether two positions can be the head and the tail of this ring. An unaligned one would let a record header reach
  // over the end of the data.
  [[nodiscard]] bool plausible(uint32_t head, uint32_t tail) const noexcept {
    return tail - head <= capacity && ((head | tail) & (alignment - 1)) == 0;
  }

  // What the word of a role says about waiting for its holder; wouldBlock while there is, or may yet come, somebody.
  [[nodiscard]] static Outcome phaseOutcome(uint32_t word) noexcept {
    switch (rolePhase(word)) {
      case RolePhase::none:
      case RolePhase::held:
        return Outcome::wouldBlock;
      case RolePhase::closed:
        return Outcome::peerClosed;
      case RolePhase::died:
        return Outcome::peerDied;
    }
    return Outcome::corrupt;
  }

  // Asks the kernel whether the holder of a role lives, and settles the role if not: its word is no longer `word` then.
  // A system call or four. ok, corrupt or failed.
  [[nodiscard]] Outcome checkHolder(uint32_t word) const noexcept {
    if (rolePhase(word) != RolePhase::held || segment == nullptr) return Outcome::ok;
    if (roleHolder(word) >= segment->shape().maxParticipants) return Outcome::corrupt;
    const int alive = segment->alive(roleHolder(word));
    if (alive == 1) return Outcome::ok;
    return alive == 0 && segment->settle(roleHolder(word)) >= 0 ? Outcome::ok : Outcome::failed;
  }

  // Takes a role for our participant, from nobody, from one who left, or from the dead.
  [[nodiscard]] Outcome takeRole(RoleWords& role) const noexcept {
    const uint32_t mine = heldBy(segment == nullptr ? 0 : segment->participantId());
    for (;;) {
      uint32_t word = role.word.load(std::memory_order_seq_cst);  // role.hpp, A.
      if (phaseOutcome(word) == Outcome::corrupt) return Outcome::corrupt;
      if (rolePhase(word) == RolePhase::held) {
        if (const Outcome holder = checkHolder(word); holder != Outcome::ok) return holder;
        if (role.word.load(std::memory_order_seq_cst) == word) return Outcome::roleTaken;  // It lives.
        continue;
      }
      if (role.word.compare_exchange_strong(word, mine, std::memory_order_seq_cst)) {  // role.hpp, A.
        tellOfRoles(*header);
        return Outcome::ok;
      }
    }
  }

  void giveRoleBack(RoleWords& role) const noexcept {
    if (leaveRole(role, segment == nullptr ? 0 : segment->participantId())) tellOfRoles(*header);
  }

  [[nodiscard]] SharedPosition tail() const noexcept { return {header->tail, header->filled}; }
  [[nodiscard]] SharedPosition head() const noexcept { return {header->head, header->freed}; }

  SpscHeader* header = nullptr;
  Segment* segment = nullptr;
  std::byte* data = nullptr;
  uint32_t capacity = 0, alignment = 0;
  WaitMode wait = WaitMode::adaptive;
};

// What both ends share: how they wait for the other one.
class SpscEnd {
 public:
  SpscEnd(const SpscEnd&) = delete;
  SpscEnd& operator=(const SpscEnd&) = delete;

 protected:
  SpscEnd(const SpscRing& ring, RoleWords& mine, RoleWords& peer, EndCounters& counters) noexcept
      : ring_(ring), mine_(mine), peer_(peer), counters_(counters) {}

  // Waits until attempt() gives something else than wouldBlock. `watched` is the peer's position, `seen` what attempt()
  // last saw of it.
  template <class Attempt>
  Outcome waitUntil(const WaitOptions& options, SharedPosition watched, const uint32_t& seen,
                    Attempt&& attempt) noexcept {
    SleepLimit sleepLimit;
    int64_t startNs = 0;
    for (bool spun = false;;) {
      if (const Outcome outcome = attempt(); outcome != Outcome::wouldBlock) {
        if (startNs != 0) spin_.learn(nowNs() - startNs);
        return outcome;
      }
      const uint32_t role = peer_.word.load(std::memory_order_seq_cst);  // role.hpp, A.
      const Outcome gone = SpscRing::phaseOutcome(role);
      if (gone == Outcome::corrupt) return gone;
      if (gone != Outcome::wouldBlock && !options.waitForPeer) {
        const Outcome last = attempt();  // What the peer did before it went is visible now.
        return last == Outcome::wouldBlock ? gone : last;
      }
      const int64_t now = nowNs();
      if (startNs == 0) startNs = now;
      if (now >= options.deadlineNs) return Outcome::timeout;
      if (!spun) {
        count(counters_.spins);
        // Even an end that spins for ever asks now and then who lives.
        const int64_t limit = std::min({spin_.limitNs(ring_.wait), options.deadlineNs - now, kFirstSleepNs});
        if (spinUntilMoved(watched, seen, peer_.word, role, limit)) continue;
        spun = ring_.wait != WaitMode::spin;
      }
      // Before every sleep, so that a peer that died long ago is noticed now and not at the end of the sleep.
      count(counters_.livenessChecks);
      if (const Outcome holder = ring_.checkHolder(role); holder != Outcome::ok) return holder;
      if (!spun) continue;
      uint32_t position = 0;
      const uint32_t rung = watched.prepare(position);
      if (position != seen) continue;
      // position.hpp, B, and role.hpp, A: a role that changes after this load rings the bell after prepare() loaded it.
      if (peer_.word.load(std::memory_order_seq_cst) != role) continue;
      count(counters_.parks);
      const bool peerMatters = rolePhase(role) == RolePhase::held;
      const int64_t limitNs = peerMatters ? nowNs() + sleepLimit.nextNs() : kForever;
      if (futexWait(watched.bell(), rung, std::min(options.deadlineNs, limitNs)) == 0) {
        count(counters_.wakeUps);
      }
    }
  }

  // Only the role's holder writes its counters, so nothing can come between load and store. Relaxed: for people only.
  static void count(Atomic<double>& counter, double by = 1) noexcept {
    counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }

  const SpscRing ring_;
  RoleWords& mine_;
  RoleWords& peer_;
  EndCounters& counters_;
  AdaptiveSpin spin_;
};

class SpscProducer : SpscEnd {
 public:
  // The role must have been taken: SpscRing::takeRole(header->producer).
  explicit SpscProducer(const SpscRing& ring) noexcept
      : SpscEnd(ring, ring.header->producer, ring.header->consumer, ring.header->producerCounters),
        // Acquire, with our predecessor's last store: we go on where it stopped.
        tail_(ring.tail().load()),
        head_(ring.head().load()) {}
  ~SpscProducer() { close(); }

  // Room for one record, to be written in place and then committed. Wait-free. If we die before commit(), the room
  // simply stays free.
  [[nodiscard]] Outcome tryClaim(uint32_t byteLength, std::span<std::byte>& bytes) noexcept {
    if (claim_) return Outcome::borrowed;
    const Outcome outcome = reserve(tail_, byteLength, claimAt_);
    if (outcome != Outcome::ok) return outcome;
    claim_ = true;
    claimByteLength_ = byteLength;
    bytes = {ring_.at(claimAt_) + sizeof(RecordHeader), byteLength};
    return Outcome::ok;
  }
  [[nodiscard]] Outcome claim(uint32_t byteLength, std::span<std::byte>& bytes, WaitOptions options = {}) noexcept {
    return waitForRoom(byteLength, options, [&] { return tryClaim(byteLength, bytes); });
  }
  // Publishes the first `byteLength` bytes of the claim. Wait-free, but for a system call if the consumer sleeps.
  void commit(uint32_t byteLength) noexcept {
    assert(claim_ && byteLength <= claimByteLength_);  // Commit without a claim is our caller's bug.
    claim_ = false;
    tail_ = append(tail_, claimAt_, byteLength);
    publish(1);
  }
  void abort() noexcept { claim_ = false; }

  // Copies one record into the ring. Wait-free, but for a system call if the consumer sleeps.
  [[nodiscard]] Outcome tryPush(std::span<const std::byte> record) noexcept {
    return tryPushMany({&record, 1}) == 1 ? Outcome::ok : lastRefusal_;
  }
  [[nodiscard]] Outcome push(std::span<const std::byte> record, WaitOptions options = {}) noexcept {
    if (record.size() > ring_.maxRecordByteLength()) return Outcome::tooLong;
    return waitForRoom(static_cast<uint32_t>(record.size()), options, [&] { return tryPush(record); });
  }
  // Copies as many records as fit, in order, and publishes them with one store. How many; why not more is in
  // lastRefusal().
  [[nodiscard]] size_t tryPushMany(std::span<const std::span<const std::byte>> records) noexcept {
    lastRefusal_ = claim_ ? Outcome::borrowed : Outcome::ok;
    if (claim_) return 0;
    size_t taken = 0;
    uint32_t tail = tail_;
    for (const auto& record : records) {
      uint32_t at = 0;
      lastRefusal_ = record.size() > ring_.maxRecordByteLength()
                         ? Outcome::tooLong
                         : reserve(tail, static_cast<uint32_t>(record.size()), at);
      if (lastRefusal_ != Outcome::ok) break;
      if (!record.empty()) std::memcpy(ring_.at(at) + sizeof(RecordHeader), record.data(), record.size());
      tail = append(tail, at, static_cast<uint32_t>(record.size()));
      ++taken;
    }
    if (taken > 0) {
      tail_ = tail;
      publish(static_cast<double>(taken));
    }
    return taken;
  }
  [[nodiscard]] Outcome lastRefusal() const noexcept { return lastRefusal_; }

  // Gives the role back; the consumer reads what is left and then finds the ring closed. Idempotent.
  void close() noexcept {
    if (!open_) return;
    open_ = claim_ = false;
    ring_.giveRoleBack(mine_);
  }

 private:
  // Where a record of `byteLength` goes if it is written behind `tail`: there, or at the start of the next lap.
  Outcome reserve(uint32_t tail, uint32_t byteLength, uint32_t& at) noexcept {
    if (byteLength > ring_.maxRecordByteLength()) return Outcome::tooLong;
    const uint32_t stride = ring_.strideOf(byteLength);
    const uint32_t rest = ring_.contiguous(tail);
    const uint32_t needed = stride <= rest ? stride : rest + stride;
    if (!ring_.plausible(head_, tail) || ring_.capacity - (tail - head_) < needed) {
      head_ = ring_.head().load();  // B: the consumer is done with the bytes we reuse.
      if (!ring_.plausible(head_, tail)) return Outcome::corrupt;
      if (ring_.capacity - (tail - head_) < needed) {
        wanted_ = tail + needed - ring_.capacity;
        return Outcome::wouldBlock;
      }
    }
    at = stride <= rest ? tail : tail + rest;
    return Outcome::ok;
  }

  // Writes the headers of a record at `at`, and of the padding before it. The position behind it.
  uint32_t append(uint32_t tail, uint32_t at, uint32_t byteLength) noexcept {
    if (at != tail) writeHeader(tail, {0, kPaddingFlag});
    writeHeader(at, {byteLength, 0});
    return at + ring_.strideOf(byteLength);
  }
  void writeHeader(uint32_t position, RecordHeader header) noexcept {
    std::memcpy(ring_.at(position), &header, sizeof header);
  }

  void publish(double records) noexcept {
    count(counters_.records, records);
    if (ring_.tail().move(tail_)) ring_.tail().ring();  // A: payload before position.
  }

  template <class Attempt>
  Outcome waitForRoom(uint32_t byteLength, const WaitOptions& options, Attempt&& attempt) noexcept {
    if (byteLength > ring_.maxRecordByteLength()) return Outcome::tooLong;
    return waitUntil(options, ring_.head(), head_, [&] {
      const Outcome outcome = attempt();
      // Relaxed: published with the bit in prepare(), position.hpp, C.
      if (outcome == Outcome::wouldBlock) ring_.header->wantedHead.store(wanted_, std::memory_order_relaxed);
      return outcome;
    });
  }

  uint32_t tail_;        // Ours alone, so it needs no atomic.
  uint32_t head_;        // Last seen. Stale only under-reports free room.
  uint32_t wanted_ = 0;  // The head at which the last refused record fits.
  uint32_t claimAt_ = 0, claimByteLength_ = 0;
  bool claim_ = false;
  bool open_ = true;
  Outcome lastRefusal_ = Outcome::ok;
};

class SpscConsumer : SpscEnd {
 public:
  // The role must have been taken: SpscRing::takeRole(header->consumer).
  explicit SpscConsumer(const SpscRing& ring) noexcept
      : SpscEnd(ring, ring.header->consumer, ring.header->producer, ring.header->consumerCounters),
        // Acquire, with our predecessor's last store: the record it was reading comes again.
        head_(ring.head().load()),
        tail_(head_) {}
  ~SpscConsumer() { close(); }

  // The next record in place, which stays there until release(). Wait-free.
  [[nodiscard]] Outcome tryPeek(std::span<const std::byte>& record) noexcept {
    if (peek_) return Outcome::borrowed;
    const Outcome outcome = next(record);
    peek_ = outcome == Outcome::ok;
    return outcome;
  }
  [[nodiscard]] Outcome peek(std::span<const std::byte>& record, WaitOptions options = {}) noexcept {
    return waitForRecord(options, [&] { return tryPeek(record); });
  }
  // Gives the peeked record's bytes back to the producer. Wait-free, but for a system call if the producer sleeps.
  void release() noexcept {
    assert(peek_);  // Release without a peek is our caller's bug.
    peek_ = false;
    head_ = behind_;
    publish(1);
  }

  // Copies the next record out. Wait-free but for the copy's allocation, and a system call if the producer sleeps.
  [[nodiscard]] Outcome tryPop(std::vector<std::byte>& out) noexcept {
    std::span<const std::byte> record;
    const Outcome outcome = tryPeek(record);
    if (outcome != Outcome::ok) return outcome;
    out.assign(record.begin(), record.end());
    release();
    return outcome;
  }
  [[nodiscard]] Outcome pop(std::vector<std::byte>& out, WaitOptions options = {}) noexcept {
    return waitForRecord(options, [&] { return tryPop(out); });
  }

  // Hands records to handler(std::span<const std::byte>) in place, at most `limit`, and gives their bytes back every
  // quarter of the capacity and at the end. How many; `outcome` says why not more. If we die inside, those not yet
  // given back come again.
  template <class Handler>
  [[nodiscard]] size_t drain(Handler&& handler, size_t limit, Outcome& outcome) noexcept {
    size_t read = 0;
    outcome = peek_ ? Outcome::borrowed : Outcome::ok;
    if (peek_) return 0;
    double unpublished = 0;
    uint32_t published = head_;
    while (read < limit) {
      std::span<const std::byte> record;
      outcome = next(record);
      if (outcome != Outcome::ok) break;
      handler(record);
      head_ = behind_;
      ++read;
      ++unpublished;
      if (head_ - published >= ring_.capacity / 4) {
        publish(std::exchange(unpublished, 0));
        published = head_;
      }
    }
    if (unpublished > 0) publish(unpublished);
    return read;
  }

  // Waits until there is a record, takes nothing.
  [[nodiscard]] Outcome ready(WaitOptions options = {}) noexcept {
    return waitForRecord(options, [&] {
      std::span<const std::byte> record;
      return next(record);
    });
  }

  void close() noexcept {
    if (!open_) return;
    open_ = peek_ = false;
    ring_.giveRoleBack(mine_);
  }

 private:
  // The record at head_, and in behind_ the position after it.
  Outcome next(std::span<const std::byte>& record) noexcept {
    if (head_ == tail_) {
      const uint32_t tail = ring_.tail().load();  // A: all records before it are written.
      if (tail == head_) return Outcome::wouldBlock;
      if (!ring_.plausible(head_, tail)) return Outcome::corrupt;
      tail_ = tail;
    }
    uint32_t at = head_;
    RecordHeader header = readHeader(at);
    if (header.flags == kPaddingFlag) {
      // Padding comes with the record behind it, which starts a lap, where there is no padding.
      if (ring_.contiguous(at) >= tail_ - at) return Outcome::corrupt;
      at += ring_.contiguous(at);
      header = readHeader(at);
    }
    if (header.flags != 0 || header.byteLength > ring_.maxRecordByteLength()) return Outcome::corrupt;
    const uint32_t stride = ring_.strideOf(header.byteLength);
    if (stride > tail_ - at || stride > ring_.contiguous(at)) return Outcome::corrupt;
    record = {ring_.at(at) + sizeof(RecordHeader), header.byteLength};
    behind_ = at + stride;
    return Outcome::ok;
  }

  // One copy: the peer may change it between check and use.
  RecordHeader readHeader(uint32_t position) const noexcept {
    RecordHeader header;
    std::memcpy(&header, ring_.at(position), sizeof header);
    return header;
  }

  void publish(double records) noexcept {
    count(counters_.records, records);
    if (!ring_.head().move(head_)) return;  // B: we are done with the bytes.
    // A producer that needs more room than there is would only go back to sleep. Relaxed: position.hpp, C.
    const uint32_t wanted = ring_.header->wantedHead.load(std::memory_order_relaxed);
    if (static_cast<int32_t>(head_ - wanted) >= 0) {
      ring_.head().ring();
    } else {
      ring_.head().markAgain();
    }
  }

  template <class Attempt>
  Outcome waitForRecord(const WaitOptions& options, Attempt&& attempt) noexcept {
    return waitUntil(options, ring_.tail(), tail_, std::forward<Attempt>(attempt));
  }

  uint32_t head_;        // Ours alone, so it needs no atomic.
  uint32_t tail_;        // Last seen. Stale only under-reports what is there.
  uint32_t behind_ = 0;  // Where head_ goes when the record handed out last is released.
  bool peek_ = false;
  bool open_ = true;
};

}  // namespace ringway
