// What the kernel offers to know of the end of other processes: a child can be tied to the life of its parent, and a parent
// can wait for its child without reaping it, which is the runtime's business. No Node-API in here.
#pragma once

#include <csignal>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ringway/segment.hpp"

// Headers older than Linux 5.4 and glibc 2.36 do not have these.
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

namespace ringway {

// The kernel kills this process when the thread that started it ends, however it ends and whatever we are doing. If that
// has happened already it kills us now: the parent is another one, or nobody has the other end of `channel`, which the
// thread that started us has until it ends. -errno where the kernel does not do it.
inline int dieWithParent(pid_t parent, int channel) noexcept {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return -errno;
  // After prctl(): a parent that ends from here on is the kernel's to notice.
  pollfd watched{channel, POLLRDHUP, 0};
  const bool closed = poll(&watched, 1, 0) > 0 && (watched.revents & (POLLRDHUP | POLLHUP)) != 0;
  if (closed || getppid() != parent) raise(SIGKILL);
  return 0;
}

// A descriptor that becomes readable when the process ends. Its pid must be a child's that nobody has reaped.
inline int openProcess(pid_t pid) noexcept {
  const long fd = syscall(SYS_pidfd_open, pid, 0);  // Closed on exec without asking.
  return fd < 0 ? -errno : static_cast<int>(fd);
}

// How a child ended, which stays to be reaped: its exit code, or 256 and the signal that killed it. -EAGAIN while it runs.
inline int howEnded(int pidfd) noexcept {
  constexpr auto kByDescriptor = static_cast<idtype_t>(3);  // P_PIDFD
  siginfo_t info = {};
  if (waitid(kByDescriptor, static_cast<id_t>(pidfd), &info, WEXITED | WNOWAIT | WNOHANG) != 0) return -errno;
  if (info.si_pid == 0) return -EAGAIN;
  return info.si_code == CLD_EXITED ? info.si_status : 256 + info.si_status;
}

}  // namespace ringway
