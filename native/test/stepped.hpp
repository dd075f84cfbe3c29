// A child process that is led through an operation one machine instruction or one system call at a time, so that others
// can be let in, or the child killed, at any chosen point.
#pragma once

#include <sys/ptrace.h>
#include <sys/user.h>

#include "support.hpp"

namespace support {

class Stepped {
 public:
  // `prepare` returns 0 or what is wrong; the child stops right before `operate`, and again right after it.
  template <class Prepare, class Operate>
  Stepped(Prepare&& prepare, Operate&& operate)
      : child_([&](const Wire&) {
          const int wrong = prepare();
          if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) return 77;
          if (wrong != 0) return wrong;
          raise(SIGSTOP);
          operate();
          raise(SIGSTOP);
          return 0;
        }) {
    ready_ = waitForStop();
  }
  // Whether it has stopped before the operation: not if ptrace is forbidden.
  bool ready() const noexcept { return ready_; }

  // Executes one instruction, or one system call. False when the operation is over.
  bool step() { return resume(PTRACE_SINGLESTEP); }
  bool steps(uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
      if (!step()) return false;
    }
    return true;
  }
  // To the `count`th time that it enters or leaves a system call.
  bool toSystemCalls(uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
      if (!resume(PTRACE_SYSCALL)) return false;
    }
    return true;
  }
  // Lets it go on alone, and waits until the operation is over.
  bool finish() {
    while (resume(PTRACE_CONT)) continue;
    return lastStop_ == SIGSTOP;
  }
#if defined(__x86_64__)
  // Goes on until it has read or written the 4 bytes at `first`, or written those at `second`: addresses of its own.
  // False if the processor's debug registers cannot be used, or it ended before.
  bool toAccess(uintptr_t first, uintptr_t second) {
    // Of register 7: enable both; conditions read-or-write and write; four bytes each.
    constexpr uint64_t kBoth = 1U << 0 | 1U << 2 | 0b1111U << 16 | 0b1101U << 20;
    const auto poke = [this](size_t index, uint64_t value) {
      return ptrace(PTRACE_POKEUSER, child_.pid(), offsetof(user, u_debugreg) + 8 * index, value) == 0;
    };
    if (!poke(0, first) || !poke(1, second) || !poke(7, kBoth)) return false;
    const bool accessed = resume(PTRACE_CONT);
    return poke(7, 0) && accessed;
  }
#endif
  // Whether its next instruction is the system call `number`.
  bool isBefore([[maybe_unused]] long number) const {
#if defined(__x86_64__)
    user_regs_struct registers{};
    if (ptrace(PTRACE_GETREGS, child_.pid(), nullptr, &registers) != 0) return false;
    if (registers.rax != static_cast<unsigned long long>(number)) return false;
    constexpr long kSyscall = 0x050f;
    return (ptrace(PTRACE_PEEKTEXT, child_.pid(), registers.rip, nullptr) & 0xffff) == kSyscall;
#else
    return false;
#endif
  }

  void kill() { (void)child_.killAndWait(); }

 private:
  template <class Request>
  bool resume(Request request) {
    return ptrace(request, child_.pid(), nullptr, nullptr) == 0 && waitForStop() && lastStop_ == SIGTRAP;
  }
  bool waitForStop() {
    int status = 0;
    if (waitpid(child_.pid(), &status, 0) != child_.pid() || !WIFSTOPPED(status)) return false;
    lastStop_ = WSTOPSIG(status);
    return true;
  }

  Child child_;
  bool ready_ = false;
  int lastStop_ = 0;
};

}  // namespace support
