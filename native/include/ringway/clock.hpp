// Time as the core uses it: nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share.
#pragma once

#include <cstdint>
#include <ctime>
#include <limits>

namespace ringway {

inline constexpr int64_t kForever = std::numeric_limits<int64_t>::max();

inline int64_t nowNs() noexcept {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

inline double unixTimeMs() noexcept {
  timespec t{};
  clock_gettime(CLOCK_REALTIME, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
}

inline timespec toTimespec(int64_t ns) noexcept {
  if (ns < 0) ns = 0;
  return {.tv_sec = static_cast<time_t>(ns / 1'000'000'000), .tv_nsec = static_cast<long>(ns % 1'000'000'000)};
}

}  // namespace ringway
