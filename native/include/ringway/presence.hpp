// Who is alive, asked of the kernel and nobody else. A participant holds an OFD write lock on its own byte of the
// segment's file. The kernel drops it when the last reference to the open file goes, however the process ends; it works
// across containers that share the mount, and pids, which are reused, are never asked.
//
// Two descriptions of the same file serve one attachment:
//   the presence description holds the write lock. The mapping keeps it open, so its descriptor is closed at once and a
//     stray close() elsewhere cannot drop the lock. It is never used to ask: a read lock there would downgrade it.
//   the probe description asks and pins. OFD read locks are not counted, so each thread that asks has its own.
//
// Recovery and reuse of ids must not meet: between "its lock is free" and the recoverer's compare-exchange a newcomer
// could take the id and be robbed. So the recoverer first takes a read lock on the byte (a pin: it succeeds only while
// nobody holds the write lock, and keeps newcomers out), and a newcomer pins, settles every word that still names the
// id, and only then turns its pin into the write lock, which fails while anybody else pins.
#pragma once

#include <cerrno>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "ringway/clock.hpp"
#include "ringway/layout.hpp"

namespace ringway {

// One lock operation on `length` bytes from `first` on. 0 or -errno; -EAGAIN: somebody else's lock is in the way.
inline int setPresenceLock(int fd, short type, int64_t first, int64_t length) noexcept {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = kPresenceLockOffset + first;
  lock.l_len = length;
  step();
  while (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
    if (errno == EACCES) return -EAGAIN;
    if (errno != EINTR) return -errno;
  }
  return 0;
}

inline constexpr uint32_t kJoinRounds = 100;

enum class Presence : int { gone = 0, alive = 1, cleaned = 2 };  // cleaned: somebody is about to remove the name.

// Who holds byte `id`? Never through the presence description. A Presence, or -errno.
inline int probePresence(int fd, uint32_t id) noexcept {
  struct flock lock = {};
  lock.l_type = F_RDLCK;  // Conflicts with write locks only: pins do not look like life.
  lock.l_whence = SEEK_SET;
  lock.l_start = kPresenceLockOffset + id;
  lock.l_len = 1;
  if (fcntl(fd, F_OFD_GETLK, &lock) != 0) return -errno;
  if (lock.l_type == F_UNLCK) return static_cast<int>(Presence::gone);
  return static_cast<int>(lock.l_len == 1 ? Presence::alive : Presence::cleaned);
}

// Keeps newcomers out of entry `id` while words that name its dead holder are settled. False while the holder lives.
class Pin {
 public:
  Pin(int probeFd, uint32_t id) noexcept : fd_(probeFd), id_(id), error_(setPresenceLock(probeFd, F_RDLCK, id, 1)) {}
  ~Pin() {
    if (error_ == 0) setPresenceLock(fd_, F_UNLCK, id_, 1);
  }
  Pin(const Pin&) = delete;
  Pin& operator=(const Pin&) = delete;
  explicit operator bool() const noexcept { return error_ == 0; }

 private:
  const int fd_;
  const uint32_t id_;
  const int error_;
};

// Takes a free entry for the description behind `fd`, which must not hold any lock yet. `settle(id)` is called while
// nobody can own the id and must clear every word of the segment that still names it. The id, or -errno:
// -EUSERS when all entries are taken, -ENOENT when the segment is being removed.
template <class Settle>
int joinPresence(int fd, SegmentHeader& header, ParticipantEntry* entries, uint32_t maxParticipants,
                 Settle&& settle) noexcept {
  // Round robin, so an id that a stopped recoverer still pins is not tried again and again. Relaxed: only a hint.
  const uint32_t start = header.nextParticipant.fetch_add(1, std::memory_order_relaxed);
  uint32_t arrivals = start + 1;
  // One round may pass free entries by: newcomers that meet at an entry all leave it to the others, and a holder may
  // leave one behind us and join at one before us. Each round of ours starts elsewhere than theirs; after kJoinRounds of
  // others coming and going the entries are as good as taken.
  for (uint32_t round = 0; round < kJoinRounds; ++round) {
    bool collided = false;
    for (uint32_t i = 0; i < maxParticipants; ++i) {
      const uint32_t id = (start + round * static_cast<uint32_t>(gettid()) + i) % maxParticipants;
      const int pinned = setPresenceLock(fd, F_RDLCK, id, 1);
      if (pinned == -EAGAIN) {
        const int holder = probePresence(fd, id);
        // One lock over all bytes is held by whoever removes the name. It may die before it does, and lets go then: the
        // caller tries again.
        if (holder == static_cast<int>(Presence::cleaned)) return -EAGAIN;
        collided |= holder == static_cast<int>(Presence::gone);  // It left, or was only pinned, since.
        continue;
      }
      if (pinned != 0) return pinned;
      settle(id);
      const int locked = setPresenceLock(fd, F_WRLCK, id, 1);
      if (locked != 0) {
        setPresenceLock(fd, F_UNLCK, id, 1);
        if (locked != -EAGAIN) return locked;
        collided = true;  // Another newcomer or a recoverer pins it too. Insisting, all of us could retry for ever.
        continue;
      }
      struct stat file = {};
      if (fstat(fd, &file) != 0) return -errno;
      // With our lock held nobody may remove the name any more; that it still has one is therefore lasting.
      if (file.st_nlink == 0) return -ENOENT;
      ParticipantEntry& entry = entries[id];
      entry.pid.store(static_cast<uint32_t>(getpid()), std::memory_order_relaxed);  // Relaxed: for people only.
      entry.threadId.store(static_cast<uint32_t>(gettid()), std::memory_order_relaxed);
      entry.attachedAtMs.store(unixTimeMs(), std::memory_order_relaxed);
      // Relaxed: nobody answers for this attachment's handles before it has sent one.
      entry.inFlight.store(0, std::memory_order_relaxed);
      return static_cast<int>(id);
    }
    const uint32_t arrivalsNow = header.nextParticipant.load(std::memory_order_relaxed);  // Only a hint, again.
    if (!collided && arrivalsNow == std::exchange(arrivals, arrivalsNow)) break;
    sched_yield();
  }
  return -EUSERS;
}

}  // namespace ringway
