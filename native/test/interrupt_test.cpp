// Signals that must be able to end a blocking wait, although the runtime's handlers restart system calls.
#include "ringway/interrupt.hpp"

#include <doctest/doctest.h>

#include "support.hpp"

using namespace ringway;
using namespace support;

namespace {

constexpr uint32_t kInterrupt = 1, kAll = 7;  // Of Interrupts::kSignals.

volatile sig_atomic_t handled = 0;

// A handler as runtimes install it: interrupted system calls are resumed.
void listen(int number) {
  struct sigaction action = {};
  action.sa_handler = [](int) { handled = handled + 1; };
  action.sa_flags = SA_RESTART;
  sigaction(number, &action, nullptr);
}

struct sigaction handlerOf(int number) {
  struct sigaction action = {};
  sigaction(number, nullptr, &action);
  return action;
}

// In a child, since signals and their handlers belong to the whole process.
template <class Body>
int inChild(Body&& body) {
  return Child([&](const Wire&) { return body(); }).wait();
}

}  // namespace

TEST_CASE("interrupt: a signal ends a sleep, and the runtime's handler was called") {
  // ThreadSanitizer keeps signals back until a function that it knows is called, and a sleep in the kernel is none.
  if (!hasFutexWaitAny() || RINGWAY_UNDER_TSAN) return;
  Child child([](const Wire& wire) {
    listen(SIGINT);
    Interrupts::watch(kInterrupt);
    const uint32_t seen = Interrupts::count();
    const std::atomic<uint32_t> quiet{0};
    wire.say('r');
    while (Interrupts::count() == seen) {
      const FutexWaiter waiters[] = {futexWaiter(quiet, 0), Interrupts::waiter(seen)};
      futexWaitAny(waiters, 2, kForever);
    }
    HOLDS_IN_CHILD(handled == 1);
    return 0;
  });
  CHECK(child.hear() == 'r');
  child.signal(SIGINT);
  CHECK(child.wait() == 0);
}

TEST_CASE("interrupt: a signal that comes before the sleep prevents it") {
  if (!hasFutexWaitAny()) return;
  CHECK(inChild([] {
          listen(SIGTERM);
          Interrupts::watch(kAll);
          const uint32_t seen = Interrupts::count();
          raise(SIGTERM);
          HOLDS_IN_CHILD(Interrupts::count() != seen && handled == 1);
          const FutexWaiter waiter = Interrupts::waiter(seen);
          HOLDS_IN_CHILD(futexWaitAny(&waiter, 1, kForever) == -EAGAIN);
          return 0;
        }) == 0);
}

TEST_CASE("interrupt: watching again changes nothing, and unwatching puts the handlers back") {
  CHECK(inChild([] {
          listen(SIGHUP);
          const auto before = handlerOf(SIGHUP);
          Interrupts::watch(kAll);
          Interrupts::watch(kAll);
          const uint32_t seen = Interrupts::count();
          raise(SIGHUP);
          HOLDS_IN_CHILD(handled == 1 && Interrupts::count() == seen + 1);
          Interrupts::unwatch();
          HOLDS_IN_CHILD(handlerOf(SIGHUP).sa_handler == before.sa_handler);
          HOLDS_IN_CHILD(handlerOf(SIGHUP).sa_flags == before.sa_flags);
          raise(SIGHUP);
          HOLDS_IN_CHILD(handled == 2 && Interrupts::count() == seen + 1);
          return 0;
        }) == 0);
}

TEST_CASE("interrupt: a signal that nobody listens to keeps its disposition, and kills or is ignored as ever") {
  CHECK(inChild([] {
          signal(SIGTERM, SIG_DFL);
          signal(SIGHUP, SIG_IGN);
          Interrupts::watch(kAll);
          raise(SIGHUP);
          HOLDS_IN_CHILD(Interrupts::count() == 0);
          raise(SIGTERM);
          return 1;
        }) == -SIGTERM);
}

TEST_CASE("interrupt: a runtime that takes its handler away, or installs another, has its way") {
  CHECK(inChild([] {
          listen(SIGINT);
          Interrupts::watch(kAll);
          signal(SIGINT, SIG_IGN);
          Interrupts::watch(kAll);
          const uint32_t seen = Interrupts::count();
          raise(SIGINT);
          HOLDS_IN_CHILD(handled == 0 && Interrupts::count() == seen);
          listen(SIGINT);
          Interrupts::unwatch();
          raise(SIGINT);
          HOLDS_IN_CHILD(handled == 1);
          return 0;
        }) == 0);
}

namespace {

struct sigaction chained;
void chain(int number, siginfo_t* info, void* context) {
  handled = handled + 1;
  if ((chained.sa_flags & SA_SIGINFO) != 0) chained.sa_sigaction(number, info, context);
}

}  // namespace

// Other libraries stand before handlers as we do. One that came after us calls us, and would be called by us again.
TEST_CASE("interrupt: handlers that call each other do so once") {
  CHECK(inChild([] {
          listen(SIGINT);
          Interrupts::watch(kInterrupt);
          struct sigaction theirs = {};
          theirs.sa_sigaction = chain;
          theirs.sa_flags = SA_SIGINFO | SA_RESTART;
          sigaction(SIGINT, &theirs, &chained);  // What they will call is ours.
          Interrupts::watch(kInterrupt);
          const uint32_t seen = Interrupts::count();
          raise(SIGINT);
          HOLDS_IN_CHILD(handled > 0 && handled <= 3 && Interrupts::count() != seen);
          return 0;
        }) == 0);
}
