// What recovery needs of a broadcast ring: where its parts are, and how what a participant held is given back. Publishing
// and reading are in src/ring/broadcast-slots.ts; docs/BROADCAST.md has the protocol and the argument, whose steps (P6) and
// rules (N) are cited here.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>

#include "ringway/event_count.hpp"
#include "ringway/role.hpp"

namespace ringway {

class BroadcastSlots {
 public:
  // False unless the fixed part makes sense. It is copied: a peer may scribble over the original at any time.
  static bool bind(std::byte* body, uint64_t byteLength, BroadcastSlots& out) noexcept {
    if (byteLength < sizeof(BroadcastHeader)) return false;
    BroadcastSlots made;
    made.header = reinterpret_cast<BroadcastHeader*>(body);
    const uint32_t slots = made.header->slots;
    const uint32_t slotByteLength = made.header->slotByteLength;
    const uint32_t payloadOffset = made.header->payloadOffset;
    const uint32_t onSlow = made.header->onSlow;
    made.publisherCount_ = made.header->maxPublishers;
    made.subscriberCount_ = made.header->maxSubscribers;
    if (slots < kMinBroadcastSlots || slots > kMaxBroadcastSlots || !std::has_single_bit(slots)) return false;
    if (slotByteLength == 0 || slotByteLength > kMaxSlotByteLength) return false;
    if (payloadOffset != sizeof(BroadcastSlot) && payloadOffset != 64) return false;
    if (made.publisherCount_ == 0 || made.publisherCount_ > kMaxPublishers) return false;
    if (made.subscriberCount_ == 0 || made.subscriberCount_ > kMaxSubscribers) return false;
    if (onSlow > static_cast<uint32_t>(OnSlow::overwrite)) return false;
    made.count_ = slots;
    made.slotCount_ = slots + made.publisherCount_;
    made.cellCount_ = std::bit_ceil(std::max(2 * slots + 1, made.slotCount_));
    made.indexBits_ = static_cast<uint32_t>(std::bit_width(made.slotCount_ - 1));
    made.stride_ = (payloadOffset + slotByteLength + 63) & ~uint32_t{63};
    const uint64_t subscribersAt = sizeof(BroadcastHeader) + uint64_t{made.publisherCount_} * sizeof(PublisherEntry);
    const uint64_t cellsAt = subscribersAt + uint64_t{made.subscriberCount_} * sizeof(SubscriberEntry);
    const uint64_t slotsAt = (cellsAt + uint64_t{made.cellCount_} * 4 + kIsolationBytes - 1) & ~(kIsolationBytes - 1);
    if (byteLength < slotsAt + uint64_t{made.slotCount_} * made.stride_) return false;
    made.publishers_ = reinterpret_cast<PublisherEntry*>(body + sizeof(BroadcastHeader));
    made.subscribers_ = reinterpret_cast<SubscriberEntry*>(body + subscribersAt);
    made.cells_ = reinterpret_cast<Atomic<uint32_t>*>(body + cellsAt);
    made.slots_ = body + slotsAt;
    out = made;
    return true;
  }

  // Gives back every entry of participant `id`, which is leaving, or dead and pinned. `how` and `pid` are for those who
  // ask why there is no publisher any more.
  void leave(uint32_t id, RolePhase how, uint32_t pid) const noexcept {
    bool unsubscribed = false, unpublished = false;
    for (uint32_t i = 0; i < subscriberCount_; ++i) unsubscribed |= leaveEntry(subscribers_[i].word, id);
    for (uint32_t i = 0; i < publisherCount_; ++i) {
      if (!holds(publishers_[i].word.load(std::memory_order_seq_cst), id)) continue;
      settleSpare(i);
      // Before the entry is free: a recoverer that dies in between is followed by one that finds the entry.
      if (how == RolePhase::died) header->publishing.diedPid.store(pid, std::memory_order_relaxed);  // For people only.
      uint32_t word = header->publishing.word.load(std::memory_order_seq_cst);
      const uint32_t next = ((word & ~kRolePhaseMask) + (uint32_t{1} << kRoleIdShift)) | static_cast<uint32_t>(how);
      // One try: whoever changes it meanwhile has sleepers look as well.
      header->publishing.word.compare_exchange_strong(word, next, std::memory_order_seq_cst);  // M.
      unpublished |= leaveEntry(publishers_[i].word, id);
    }
    if (unsubscribed) {
      header->subscribing.fetch_add(1, std::memory_order_seq_cst);  // G.
      EventCount(header->freed).notify();
    }
    if (unpublished) EventCount(header->published).notify();
  }

  BroadcastHeader* header = nullptr;

 private:
  static bool holds(uint32_t word, uint32_t id) noexcept {
    return word == memberWord(MemberPhase::joining, id) || word == memberWord(MemberPhase::active, id);
  }
  static constexpr uint32_t memberWord(MemberPhase phase, uint32_t id) noexcept {
    return static_cast<uint32_t>(phase) | id << kRoleIdShift;
  }
  static bool leaveEntry(Atomic<uint32_t>& word, uint32_t id) noexcept {
    uint32_t found = word.load(std::memory_order_seq_cst);
    return holds(found, id) && word.compare_exchange_strong(found, 0, std::memory_order_seq_cst);  // M.
  }

  // N. Makes up for P7 of a publisher that did P6 and no more: then a cell names the slot for a message that is still
  // there. A message whose slot has become somebody's spare was displaced, and before that P7 was made up for (P4).
  void settleSpare(uint32_t publisher) const noexcept {
    uint32_t spare = publishers_[publisher].spare.load(std::memory_order_seq_cst);
    const uint32_t index = spare & indexMask();
    if (index >= slotCount_) return;  // Nonsense from a hostile peer stays what it is.
    const auto& slot = *reinterpret_cast<const BroadcastSlot*>(slots_ + uint64_t{index} * stride_);
    const uint32_t position = slot.position.load(std::memory_order_seq_cst);
    if (cellOf(position).load(std::memory_order_seq_cst) != (lapOf(position) | index)) return;  // P6 was not done.
    const uint32_t displaced = cellOf(position - count_).load(std::memory_order_seq_cst);
    const uint32_t next = position + count_;
    // Last, as in P4.
    if ((cellOf(next).load(std::memory_order_seq_cst) & ~indexMask()) != lapOf(next - cellCount_)) return;
    const uint32_t settled = (position - count_) << indexBits_ | (displaced & indexMask());
    publishers_[publisher].spare.compare_exchange_strong(spare, settled, std::memory_order_seq_cst);
  }

  [[nodiscard]] uint32_t lapOf(uint32_t position) const noexcept {
    return (position >> std::countr_zero(cellCount_)) << indexBits_;
  }
  [[nodiscard]] Atomic<uint32_t>& cellOf(uint32_t position) const noexcept {
    return cells_[position & (cellCount_ - 1)];
  }
  [[nodiscard]] uint32_t indexMask() const noexcept { return (uint32_t{1} << indexBits_) - 1; }

  PublisherEntry* publishers_ = nullptr;
  SubscriberEntry* subscribers_ = nullptr;
  Atomic<uint32_t>* cells_ = nullptr;
  std::byte* slots_ = nullptr;
  uint32_t publisherCount_ = 0, subscriberCount_ = 0, count_ = 0, slotCount_ = 0, cellCount_ = 0, indexBits_ = 0,
           stride_ = 0;
};

}  // namespace ringway
