// The many-to-many ring's protocol, without its waits. Twin: src/ring/mpmc-slots.ts. docs/MPMC.md has the argument,
// model/mpmc.pml checks it; the names of the steps (S1, Q1) are those of both.
//
// A slot's state word decides who has the message:
//
//   FREE --CAS--> WRITING(me) --store--> READY(me) --CAS--> READING(other) --store--> FREE
//                     |                      ^                    |
//                     +--store--> FREE       +-------store--------+   nack, or the reader died: READY again, marked
//
//   A "the bytes are yours"   every change of a state word -> the load or compare-exchange that finds it
//     Release and acquire: the payload, byteLength, deliveries and position of a slot belong to who owns its state.
//     WRITING and READING words are changed by their live owner alone, so those changes are stores. Words of the dead are
//     changed under a pin of the dead id (presence.hpp), so nobody alive can be taken for their owner.
//
// The order queue says which slot comes next, and nothing else. Position P belongs to cell P mod 2 * slots, which holds
// the lap of its position and either nothing or a slot's index. A slot is named by one cell at most: only its owner
// queues it, and who takes it empties the cell before the slot can be queued anew. So there is always an empty cell.
//
//   B "what is queued is found"   queue()  cell, CAS -> take()  cell, load
//     READY comes before the cell, so a consumer that finds the cell finds READY, or what came after it.
//
// tail and head are hints that anybody helps forward: they lag, and never decide. Here they move with every message, which
// costs less than walking; the twin, whose atomics cost more, moves them kHintStep positions at a time. What a hostile peer writes is bounded:
// indices are masked, and a walk that takes longer than any honest ring could make it is corruption.
#pragma once

#include <cstring>

#include "ringway/event_count.hpp"

namespace ringway {

inline constexpr uint32_t kHintStep = 8;

enum class SlotPhase : uint32_t { free = 0, writing = 1, ready = 2, reading = 3 };

inline constexpr uint32_t kSlotPhaseMask = 3;
inline constexpr uint32_t kSlotAgainBit = 4;
inline constexpr uint32_t kSlotOwnerShift = 3;
inline constexpr uint32_t kSlotOwnerMask = 0xfff;  // owner + 1; 0: nobody
inline constexpr uint32_t kSlotVersionUnit = uint32_t{1} << 15;
inline constexpr uint32_t kSlotVersionMask = ~(kSlotVersionUnit - 1);

constexpr SlotPhase slotPhase(uint32_t state) noexcept { return static_cast<SlotPhase>(state & kSlotPhaseMask); }
constexpr uint32_t slotOwner(uint32_t state) noexcept { return (state >> kSlotOwnerShift) & kSlotOwnerMask; }
// The same message in another phase.
constexpr uint32_t slotState(uint32_t state, SlotPhase phase, uint32_t owner) noexcept {
  return (state & (kSlotVersionMask | kSlotAgainBit)) | owner << kSlotOwnerShift | static_cast<uint32_t>(phase);
}
// A free slot, and then one for the next message. The version keeps a taker that was stopped for long from taking a later
// message of the slot out of turn; taking it would be no more than that.
constexpr uint32_t freeState(uint32_t state) noexcept { return (state & kSlotVersionMask) + kSlotVersionUnit; }

class MpmcSlots {
 public:
  // Checks the header of a body; the fixed part is copied, since a peer may scribble over it at any time.
  [[nodiscard]] static bool bind(std::byte* body, uint64_t byteLength, uint32_t maxParticipants,
                                 MpmcSlots& out) noexcept {
    if (byteLength < sizeof(MpmcHeader) || maxParticipants > kMaxMpmcParticipants) return false;
    MpmcSlots made;
    made.header = reinterpret_cast<MpmcHeader*>(body);
    made.count = made.header->slots;
    made.slotByteLength = made.header->slotByteLength;
    made.payloadOffset = made.header->payloadOffset;
    made.stride_ = made.header->stride;
    const uint32_t slotsOffset = made.header->slotsOffset;
    if (made.count < kMinMpmcSlots || made.count > kMaxMpmcSlots || (made.count & (made.count - 1)) != 0) return false;
    if (made.slotByteLength == 0 || made.slotByteLength > kMaxSlotByteLength) return false;
    if (made.payloadOffset != sizeof(MpmcSlot) && made.payloadOffset != 64) return false;
    if (made.stride_ != strideFor(made.slotByteLength, made.payloadOffset)) return false;
    if (slotsOffset != slotsOffsetFor(maxParticipants)) return false;
    if (byteLength < slotsOffset + uint64_t{made.count} * made.stride_) return false;
    made.slots_ = body + slotsOffset;
    made.lapMask_ = ~(2 * made.count - 1);
    out = made;
    return true;
  }
  static constexpr uint32_t strideFor(uint32_t slotByteLength, uint32_t payloadOffset) noexcept {
    return (payloadOffset + slotByteLength + 63) & ~uint32_t{63};
  }
  static constexpr uint32_t slotsOffsetFor(uint32_t maxParticipants) noexcept {
    return uint32_t{sizeof(MpmcHeader)} + maxParticipants * uint32_t{sizeof(ParticipantCounters)};
  }
  static constexpr uint64_t byteLengthFor(uint32_t slots, uint32_t slotByteLength, uint32_t payloadOffset,
                                          uint32_t maxParticipants) noexcept {
    return slotsOffsetFor(maxParticipants) + uint64_t{slots} * strideFor(slotByteLength, payloadOffset);
  }
  // Writes the header of an empty ring into zeroed memory.
  static void format(std::byte* body, uint32_t slots, uint32_t slotByteLength, uint32_t payloadOffset,
                     uint32_t maxParticipants, WaitMode wait) noexcept {
    auto* header = new (body) MpmcHeader{};
    header->slots = slots;
    header->slotByteLength = slotByteLength;
    header->payloadOffset = payloadOffset;
    header->stride = strideFor(slotByteLength, payloadOffset);
    header->slotsOffset = slotsOffsetFor(maxParticipants);
    header->wait = static_cast<uint32_t>(wait);
  }

  [[nodiscard]] MpmcSlot& at(uint32_t index) const noexcept {
    return *reinterpret_cast<MpmcSlot*>(slots_ + uint64_t{index} * stride_);
  }
  [[nodiscard]] std::byte* payload(uint32_t index) const noexcept {
    return slots_ + uint64_t{index} * stride_ + payloadOffset;
  }

  // S1. A slot to write a message in; false if none is free. Lock-free: it loses a slot only to another claim.
  [[nodiscard]] bool claim(uint32_t me, uint32_t& index) const noexcept {
    // Slots come free about in the order in which they were queued. Relaxed: where to look first is a guess.
    const uint32_t start = header->tail.load(std::memory_order_relaxed);
    for (uint32_t i = 0; i < count; ++i) {
      index = (start + i) & (count - 1);
      auto& state = at(index).state;
      uint32_t found = state.load(std::memory_order_acquire);  // A.
      if (slotPhase(found) != SlotPhase::free) {
        if (i == 0 && everySlotIsQueued(start)) return false;
        continue;
      }
      // A; sequentially consistent, as the claimer looks for sleepers next (event_count.hpp, A).
      if (state.compare_exchange_strong(found, slotState(found & kSlotVersionMask, SlotPhase::writing, me + 1),
                                        std::memory_order_seq_cst)) {
        at(index).deliveries.store(0, std::memory_order_relaxed);  // Ours now; published by complete().
        return true;
      }
    }
    return false;
  }

  // S2, S5. By the owner: the slot is free again. Wait-free.
  void free(uint32_t index) const noexcept {
    auto& state = at(index).state;
    // A; sequentially consistent, as the caller looks for sleepers next (event_count.hpp, A). Relaxed load: it is ours.
    state.store(freeState(state.load(std::memory_order_relaxed)), std::memory_order_seq_cst);
  }

  // S3, Q1. By the owner: the message is whole, and then in the queue. False if the queue is corrupt.
  [[nodiscard]] bool commit(uint32_t me, uint32_t index, uint32_t byteLength) const noexcept {
    MpmcSlot& slot = at(index);
    slot.byteLength.store(byteLength, std::memory_order_relaxed);  // Published by the next line.
    const uint32_t mine = slot.state.load(std::memory_order_relaxed);
    slot.state.store(slotState(mine, SlotPhase::ready, me + 1), std::memory_order_release);  // A.
    return queue(index);
  }

  // S6. By the owner: the message goes to the end of the queue, marked. False if the queue is corrupt.
  [[nodiscard]] bool nack(uint32_t me, uint32_t index) const noexcept {
    auto& state = at(index).state;
    const uint32_t again = state.load(std::memory_order_relaxed) | kSlotAgainBit;
    state.store(slotState(again, SlotPhase::ready, me + 1), std::memory_order_release);  // A.
    header->redelivered.fetch_add(1, std::memory_order_relaxed);                         // For people only.
    return queue(index);
  }

  enum class Found { message, nothing, corrupt };

  // Q3, S4. Takes the message at the head of the queue. Lock-free: it loses a message only to another taker.
  [[nodiscard]] Found take(uint32_t me, uint32_t& index) const noexcept {
    uint32_t position = header->head.load(std::memory_order_acquire);
    for (uint32_t step = 0; step < maxSteps(); ++step) {
      auto& cell = cellAt(position);
      const uint32_t word = cell.load(std::memory_order_seq_cst);  // B; and event_count.hpp, A, before a sleep.
      const int32_t ahead = lapsAhead(word, position);
      if (ahead != 0) {
        position = past(header->head, position, ahead);
        continue;
      }
      if ((word & 1) == 0) return Found::nothing;
      index = (word & ~lapMask_) >> 1;
      auto& state = at(index).state;
      uint32_t found = state.load(std::memory_order_acquire);  // A.
      if (slotPhase(found) == SlotPhase::ready) {
        if (cell.load(std::memory_order_acquire) != word) continue;  // Somebody was quicker; not a later message of it.
        if (!state.compare_exchange_strong(found, slotState(found, SlotPhase::reading, me + 1),
                                           std::memory_order_acq_rel)) {  // A.
          continue;
        }
        empty(cell, word, position);
        auto& deliveries = at(index).deliveries;  // Ours now.
        deliveries.store(deliveries.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        return Found::message;
      }
      empty(cell, word, position);  // Q4, for whoever took it and is slow.
    }
    return Found::corrupt;
  }

  // S7, S8, S9. Settles every slot that names `id`: a dead participant that the caller pins, or `me`, who comes or
  // leaves. A message goes to `me`, who queues it, so that there is one who does; if we die before that, it names us.
  // True if sleepers should look.
  bool settle(uint32_t id, uint32_t me) const noexcept {
    bool changed = false;
    for (uint32_t index = 0; index < count; ++index) changed |= settleSlot(id, me, index);
    return changed;
  }
  void wakeAll() const noexcept {
    for (auto* words : {&header->filled, &header->quiet, &header->freed}) EventCount(*words).notify();
  }

  MpmcHeader* header = nullptr;
  uint32_t count = 0, slotByteLength = 0, payloadOffset = 0;

 private:
  // Spares those who push into a full ring a look at every slot, and those who work on them the loss of their cache lines.
  // If the position a lap before one that is to be filled next is not emptied, all cells from there on name slots, each
  // another one.
  [[nodiscard]] bool everySlotIsQueued(uint32_t tail) const noexcept {
    for (uint32_t step = 0; step < 2 * kHintStep; ++step, ++tail) {
      const uint32_t word = cellAt(tail).load(std::memory_order_acquire);  // B.
      const int32_t ahead = lapsAhead(word, tail);
      if (ahead < 0 || (ahead == 0 && (word & 1) == 0)) break;
    }
    const uint32_t oldest = tail - count;
    const uint32_t word = cellAt(oldest).load(std::memory_order_acquire);  // B.
    return lapsAhead(word, oldest) == 0 && (word & 1) != 0;
  }

  [[nodiscard]] Atomic<uint32_t>& cellAt(uint32_t position) const noexcept {
    return at(position & (count - 1)).order[(position & count) != 0];
  }
  [[nodiscard]] uint32_t cellWord(uint32_t position, uint32_t index) const noexcept {
    return (position & lapMask_) | index << 1 | 1;
  }
  bool settleSlot(uint32_t id, uint32_t me, uint32_t index) const noexcept {
    MpmcSlot& slot = at(index);
    // Who queued it wrote the position before the cell: it is named there, or nowhere. Both are loaded before the state:
    // if that still names the dead, nobody has queued it anew meanwhile, and the position is where the dead found it.
    const uint32_t position = slot.position.load(std::memory_order_acquire);
    uint32_t named = cellWord(position, index);
    const bool isNamed = cellAt(position).load(std::memory_order_seq_cst) == named;
    uint32_t found = slot.state.load(std::memory_order_acquire);  // A.
    if (slotOwner(found) != id + 1) return false;
    if (slotPhase(found) == SlotPhase::writing) {
      if (slot.state.compare_exchange_strong(found, freeState(found), std::memory_order_seq_cst)) {  // S7, with A.
        header->abandoned.fetch_add(1, std::memory_order_relaxed);                                   // For people only.
      }
      return true;
    }
    if (slotPhase(found) == SlotPhase::ready && isNamed) {
      // S9. It is in the queue. Fails if a consumer was quicker.
      slot.state.compare_exchange_strong(found, slotState(found, SlotPhase::ready, 0),
                                         std::memory_order_acq_rel);  // A.
      return true;
    }
    const bool again = slotPhase(found) == SlotPhase::reading;
    if (again && isNamed) empty(cellAt(position), named, position);  // Q4, which the dead did not come to.
    const uint32_t ours = slotState(again ? found | kSlotAgainBit : found, SlotPhase::ready, me + 1);
    if (slot.state.compare_exchange_strong(found, ours, std::memory_order_acq_rel)) {  // S8, S9, with A: one recoverer.
      if (again) header->redelivered.fetch_add(1, std::memory_order_relaxed);          // For people only.
      // A corrupt queue is reported to whoever takes from it next.
      [[maybe_unused]] const bool queued = queue(index);
    }
    return true;
  }

  // How far a cell is ahead of a position that it belongs to: 0 if it stands for that position still.
  [[nodiscard]] int32_t lapsAhead(uint32_t word, uint32_t position) const noexcept {
    return static_cast<int32_t>((word & lapMask_) - (position & lapMask_));
  }
  // An honest walk passes each cell about once. Others may be quicker than we are for a while, but not for this long.
  [[nodiscard]] uint32_t maxSteps() const noexcept { return 8 * count + 10'000; }

  // Q1. Puts a READY slot at the end of the queue.
  [[nodiscard]] bool queue(uint32_t index) const noexcept {
    uint32_t position = header->tail.load(std::memory_order_acquire);
    for (uint32_t step = 0; step < maxSteps(); ++step) {
      auto& cell = cellAt(position);
      uint32_t word = cell.load(std::memory_order_acquire);
      const int32_t ahead = lapsAhead(word, position);
      if (ahead == 0 && (word & 1) == 0) {
        at(index).position.store(position, std::memory_order_relaxed);  // Before the cell: S9.
        // B; sequentially consistent, as the caller looks for sleepers next (event_count.hpp, A).
        if (!cell.compare_exchange_strong(word, cellWord(position, index), std::memory_order_seq_cst)) continue;
        help(header->tail, position);
        return true;
      }
      position = past(header->tail, position, ahead == 0 ? 1 : ahead);
    }
    return false;
  }

  // Q4, Q5.
  void empty(Atomic<uint32_t>& cell, uint32_t word, uint32_t position) const noexcept {
    cell.compare_exchange_strong(word, (position & lapMask_) + 2 * count, std::memory_order_acq_rel);
    help(header->head, position);
  }

  // Q2, Q5.
  static void help(Atomic<uint32_t>& hint, uint32_t position) noexcept {
    hint.compare_exchange_strong(position, position + 1, std::memory_order_acq_rel);
  }
  // Where to look after a cell that does not stand for its position any more.
  static uint32_t past(Atomic<uint32_t>& hint, uint32_t position, int32_t ahead) noexcept {
    if (ahead > 0) help(hint, position++);
    const uint32_t now = hint.load(std::memory_order_acquire);
    return static_cast<int32_t>(now - position) > 0 ? now : position;
  }

  std::byte* slots_ = nullptr;
  uint32_t stride_ = 0, lapMask_ = 0;
};

}  // namespace ringway
