// What a lock between processes costs in C++: a robust mutex of POSIX threads in shared memory, as bench/sync.ts measures
// its like. Started by that: `mutex WARMUP_MS MEASURE_MS`. Prints nanoseconds for lock and unlock, uncontended, and for a hand-over.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

struct Shared {
  pthread_mutex_t mutex;
  alignas(128) int turn;  // Whose, by the lock.
  bool over;
};

int64_t nowNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

// Both want the lock all the time; a hand-over is that the one whose turn it is has it. How many were given by `me` after
// the warm-up.
int64_t handOver(Shared& shared, int me, int64_t fromNs, int64_t untilNs) {
  int64_t given = 0;
  for (;;) {
    pthread_mutex_lock(&shared.mutex);
    const bool over = shared.over;
    if (shared.turn == me) {
      shared.turn = 1 - me;
      const int64_t now = nowNs();
      if (now >= fromNs) ++given;
      if (now >= untilNs) shared.over = true;
    }
    pthread_mutex_unlock(&shared.mutex);
    if (over) return given;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const int64_t warmupNs = std::atoll(argv[1]) * 1'000'000, measureNs = std::atoll(argv[2]) * 1'000'000;
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 1;
  auto& shared = *static_cast<Shared*>(memory);
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&shared.mutex, &attributes);

  int64_t pairs = 0;
  const int64_t from = nowNs();
  int64_t to = from;
  while (to - from < measureNs) {
    for (int i = 0; i < 1000; ++i, ++pairs) {
      pthread_mutex_lock(&shared.mutex);
      pthread_mutex_unlock(&shared.mutex);
    }
    to = nowNs();
  }
  const double pairNs = static_cast<double>(to - from) / static_cast<double>(pairs);

  const int64_t begin = nowNs() + warmupNs;
  const pid_t child = fork();
  if (child < 0) return 1;
  if (child == 0) {
    handOver(shared, 1, begin, begin + measureNs);
    _exit(0);
  }
  const int64_t given = handOver(shared, 0, begin, begin + measureNs);
  const int64_t tookNs = nowNs() - begin;
  waitpid(child, nullptr, 0);
  // The other one has given as many.
  std::printf("{\"pairNs\":%.3f,\"handOverNs\":%.3f}\n", pairNs, static_cast<double>(tookNs) / (2.0 * given));
  return 0;
}
