// Streams of records that two processes can make up independently of each other and compare byte by byte. Twin:
// test/programs/stream.ts.
//
// There is one table of pseudo-random bytes. Record k of a stream is the slice of it at offset and of length as mix()
// gives for (seed, k), so that making one is a memcpy and checking one a memcmp.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace stream {

inline constexpr uint32_t kOffsets = 1 << 16;

// The finaliser of MurmurHash3.
constexpr uint32_t mix(uint32_t h) noexcept {
  h ^= h >> 16;
  h *= 0x85ebca6b;
  h ^= h >> 13;
  h *= 0xc2b2ae35;
  return h ^ h >> 16;
}

class Stream {
 public:
  Stream(uint32_t seed, uint32_t maxByteLength) : lengths_(maxByteLength + 1) {
    reseed(seed);
    table_.resize(kOffsets + maxByteLength);
    for (uint32_t i = 0; i < table_.size(); ++i) table_[i] = static_cast<std::byte>(mix(i + 1));
  }
  void reseed(uint32_t seed) noexcept { seed_ = mix(seed); }
  // Record `k`, counted from 0.
  [[nodiscard]] std::span<const std::byte> record(uint32_t k) const noexcept {
    const uint32_t at = mix(seed_ ^ k);
    return {table_.data() + at % kOffsets, mix(at + 0x9e3779b9) % lengths_};
  }
  [[nodiscard]] bool matches(uint32_t k, std::span<const std::byte> bytes) const noexcept {
    const auto wanted = record(k);
    return bytes.size() == wanted.size() &&
           (wanted.empty() || std::memcmp(bytes.data(), wanted.data(), wanted.size()) == 0);
  }

 private:
  uint32_t seed_ = 0, lengths_;
  std::vector<std::byte> table_;
};

}  // namespace stream
