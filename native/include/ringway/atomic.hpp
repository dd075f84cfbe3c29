// The type of every word in shared memory: std::atomic, by another name. In a build with RINGWAY_STEPS, which only
// ringway_death_matrix is (native/test), each operation on such a word calls `beforeStep` first, so a process can be made
// to die or to stop between any two of them.
#pragma once

#include <atomic>

namespace ringway {

#if !defined(RINGWAY_STEPS)

template <class T>
using Atomic = std::atomic<T>;

// Stands before a step that others can see and that is no atomic operation: a system call.
inline void step() noexcept {}

#else

inline void (*beforeStep)() noexcept = []() noexcept {};
inline void step() noexcept { beforeStep(); }

template <class T>
class Atomic : public std::atomic<T> {
  using Base = std::atomic<T>;
  using Order = std::memory_order;

 public:
  using Base::Base;

  T load(Order order = Order::seq_cst) const noexcept {
    step();
    return Base::load(order);
  }
  void store(T value, Order order = Order::seq_cst) noexcept {
    step();
    Base::store(value, order);
  }
  T fetch_add(T by, Order order = Order::seq_cst) noexcept {
    step();
    return Base::fetch_add(by, order);
  }
  T fetch_or(T bits, Order order = Order::seq_cst) noexcept {
    step();
    return Base::fetch_or(bits, order);
  }
  T exchange(T value, Order order = Order::seq_cst) noexcept {
    step();
    return Base::exchange(value, order);
  }
  bool compare_exchange_strong(T& expected, T desired, Order order = Order::seq_cst) noexcept {
    step();
    return Base::compare_exchange_strong(expected, desired, order);
  }
  bool compare_exchange_weak(T& expected, T desired, Order order = Order::seq_cst) noexcept {
    step();
    return Base::compare_exchange_weak(expected, desired, order);
  }
};

#endif

}  // namespace ringway
