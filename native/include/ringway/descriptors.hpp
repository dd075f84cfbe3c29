// What the kernel offers to carry bytes: pipes, unix socket pairs, TCP connections on the loopback. How a connected pair is
// made, how a thread blocks until a descriptor is ready, and how an event loop is told. No Node-API in here, and no libuv,
// which other runtimes lack.
#pragma once

#include <arpa/inet.h>
#include <array>
#include <fcntl.h>
#include <mutex>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string_view>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <vector>

#include "ringway/interrupt.hpp"
#include "ringway/reactor.hpp"
#include "ringway/segment.hpp"

namespace ringway {

// One end of a connection. Each direction has a descriptor of its own, also of a socket, so that it is watched and closed
// by itself. Empty where the end does not read, or does not write.
struct KernelEnd {
  FileDescriptor read, write;
};
using KernelPair = std::array<KernelEnd, 2>;

// The same open file under another number, closed on exec.
inline Failure duplicate(const FileDescriptor& from, FileDescriptor& to) noexcept {
  to = FileDescriptor(fcntl(from.get(), F_DUPFD_CLOEXEC, 0));
  return to ? Failure{} : Failure::of("fcntl(F_DUPFD_CLOEXEC)", errno);
}

// Reads and writes do not block, and programs that this process starts do not get it.
inline int makeOurs(int fd) noexcept {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) return -errno;
  return 0;
}

inline Failure pipeInto(FileDescriptor& read, FileDescriptor& write) noexcept {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) return Failure::of("pipe2", errno);
  read = FileDescriptor(fds[0]);
  write = FileDescriptor(fds[1]);
  return {};
}

inline Failure unixSockets(FileDescriptor& a, FileDescriptor& b) noexcept {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0) {
    return Failure::of("socketpair", errno);
  }
  a = FileDescriptor(fds[0]);
  b = FileDescriptor(fds[1]);
  return {};
}

inline Failure tcpSockets(FileDescriptor& a, FileDescriptor& b) noexcept {
  const FileDescriptor listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  a = FileDescriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener || !a) return Failure::of("socket", errno);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(listener.get(), generic, size) != 0) return Failure::of("bind", errno);
  if (listen(listener.get(), 8) != 0) return Failure::of("listen", errno);
  if (getsockname(listener.get(), generic, &size) != 0) return Failure::of("getsockname", errno);
  if (connect(a.get(), generic, size) != 0) return Failure::of("connect", errno);
  sockaddr_in ours{}, theirs{};
  size = sizeof ours;
  if (getsockname(a.get(), reinterpret_cast<sockaddr*>(&ours), &size) != 0) return Failure::of("getsockname", errno);
  do {  // Anybody on this machine may have connected before us.
    size = sizeof theirs;
    b = FileDescriptor(accept4(listener.get(), reinterpret_cast<sockaddr*>(&theirs), &size, SOCK_CLOEXEC));
    if (!b && errno != EINTR && errno != ECONNABORTED) return Failure::of("accept4", errno);
  } while (!b || theirs.sin_port != ours.sin_port || theirs.sin_addr.s_addr != ours.sin_addr.s_addr);
  const int on = 1;
  for (const int fd : {a.get(), b.get()}) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (const int error = makeOurs(fd); error < 0) return Failure::of("fcntl", -error);
  }
  return {};
}

// `kind` is pipe, unix or tcp. With one direction, the first end reads and the second one writes.
inline Failure makeKernelPair(std::string_view kind, bool duplex, KernelPair& pair) noexcept {
  auto& [first, second] = pair;
  if (kind == "pipe") {
    if (auto failure = pipeInto(first.read, second.write)) return failure;
    return duplex ? pipeInto(second.read, first.write) : Failure{};
  }
  auto failure = kind == "unix" ? unixSockets(first.read, second.write) : tcpSockets(first.read, second.write);
  if (failure) return failure;
  if (!duplex) {
    shutdown(first.read.get(), SHUT_WR);
    return {};
  }
  if ((failure = duplicate(first.read, first.write))) return failure;
  return duplicate(second.write, second.read);
}

enum class Direction : uint32_t { readable = 0, writable = 1 };

// Blocks until the descriptor can be read from or written to, or the other end is gone: 0. -ETIMEDOUT, or -EINTR when a
// signal came that is heeded. A signal that another thread handles is noticed at the end of a slice.
inline int waitDescriptor(int fd, Direction direction, int64_t deadlineNs, bool heedsSignals,
                          uint32_t signalsSeen) noexcept {
  constexpr int64_t kSliceNs = 50'000'000;
  pollfd watched{fd, static_cast<short>(direction == Direction::readable ? POLLIN | POLLRDHUP : POLLOUT), 0};
  for (;;) {
    if (heedsSignals && Interrupts::count() != signalsSeen) return -EINTR;
    const int64_t now = nowNs();
    const int64_t leftNs = deadlineNs == kForever ? kForever : std::max<int64_t>(0, deadlineNs - now);
    const int64_t sleepNs = heedsSignals ? std::min(leftNs, kSliceNs) : leftNs;
    const timespec limit = toTimespec(sleepNs);
    const int result = ppoll(&watched, 1, sleepNs == kForever ? nullptr : &limit, nullptr);
    if (result > 0) return (watched.revents & POLLNVAL) != 0 ? -EBADF : 0;
    if (result < 0 && errno != EINTR) return -errno;
    if (result == 0 && sleepNs == leftNs) return -ETIMEDOUT;
  }
}

// Watches descriptors on behalf of an event loop: a thread blocked in epoll_wait.
class DescriptorReactor {
 public:
  DescriptorReactor(Reactor::Signal signal, void* context) noexcept : signal_(signal), context_(context) {}
  ~DescriptorReactor() {
    if (!started_) return;
    const uint64_t one = 1;
    if (write(stop_.get(), &one, sizeof one) == sizeof one) pthread_join(thread_, nullptr);
  }
  DescriptorReactor(const DescriptorReactor&) = delete;
  DescriptorReactor& operator=(const DescriptorReactor&) = delete;

  // 0 | -errno
  [[nodiscard]] int start() noexcept {
    epoll_ = FileDescriptor(epoll_create1(EPOLL_CLOEXEC));
    stop_ = FileDescriptor(eventfd(0, EFD_CLOEXEC));
    if (!epoll_ || !stop_) return -errno;
    epoll_event stopping{EPOLLIN, {.u64 = kStop}};
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, stop_.get(), &stopping) != 0) return -errno;
    // The runtime's signal handlers belong on its own threads.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(
        &thread_, nullptr,
        [](void* self) -> void* {
          pthread_setname_np(pthread_self(), "ringway");
          static_cast<DescriptorReactor*>(self)->run();
          return nullptr;
        },
        this);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    started_ = error == 0;
    return -error;
  }

  // One wake for `token` when the descriptor is ready or its other end is gone. One watch of a descriptor at a time.
  // 0 | -errno
  [[nodiscard]] int watch(uint32_t token, int fd, Direction direction) noexcept {
    epoll_event wanted{EPOLLONESHOT, {.u64 = token}};
    wanted.events |= direction == Direction::readable ? EPOLLIN | EPOLLRDHUP : EPOLLOUT;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &wanted) == 0) return 0;  // It was watched before.
    return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &wanted) == 0 ? 0 : -errno;
  }

  // The descriptor is not looked at any more. Must come before it is closed: epoll keeps the open file, not the number. A
  // wake that was under way may still be collected; its token is known to nobody.
  void forget(int fd) noexcept { epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

  [[nodiscard]] std::vector<uint32_t> collect() {
    const std::lock_guard guard(mutex_);
    signalled_ = false;
    return std::exchange(wakes_, {});
  }

 private:
  static constexpr uint64_t kStop = ~uint64_t{0};  // No token: those have 32 bits.

  void run() {
    std::array<epoll_event, 64> events;
    for (;;) {
      const int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
      bool first = false;
      {
        const std::lock_guard guard(mutex_);
        for (int i = 0; i < count; ++i) {
          if (events[static_cast<size_t>(i)].data.u64 == kStop) return;
          wakes_.push_back(static_cast<uint32_t>(events[static_cast<size_t>(i)].data.u64));
        }
        if (count > 0) first = !std::exchange(signalled_, true);
      }
      if (first) signal_(context_);
    }
  }

  const Reactor::Signal signal_;
  void* const context_;
  FileDescriptor epoll_, stop_;
  pthread_t thread_{};
  bool started_ = false;
  std::mutex mutex_;
  std::vector<uint32_t> wakes_;
  bool signalled_ = false;
};

}  // namespace ringway
