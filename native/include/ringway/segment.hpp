// A segment's life: create, publish, attach, close, unlink, sweep. A segment is one file in a shared-memory file
// system, mapped whole. No registry, no daemon, no second directory to fall out of step with.
//
// Create: an O_TMPFILE has no name, posix_fallocate reserves every page (a full file system is ENOSPC now, not SIGBUS
// later), and linkat gives it the name when it is complete. A process killed at any point leaves no half-made segment.
// Named segments stay until somebody unlinks them. Unnamed ones carry kUnnamedPrefix, which users' names cannot, and go with
// their last participant: in close(), or, if all were killed, in the next sweep().
//
// Two rules keep removal and attaching apart; each alone is not enough:
//   whoever removes a name on behalf of nobody first takes a write lock on all presence bytes, so no participant lives;
//   whoever attaches takes its byte's lock and then looks whether the file still has a link.
#pragma once

#include <cstdio>
#include <cstring>
#include <dirent.h>
#include <new>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <utility>

#include "ringway/barrier.hpp"
#include "ringway/broadcast.hpp"
#include "ringway/condition.hpp"
#include "ringway/lock.hpp"
#include "ringway/mpmc_slots.hpp"
#include "ringway/position.hpp"
#include "ringway/presence.hpp"
#include "ringway/queue.hpp"
#include "ringway/role.hpp"

namespace ringway {

inline constexpr std::string_view kUnnamedPrefix = "ringway~";

// Why a file is not attached though the system would allow it.
enum class Refusal : uint32_t {
  none,
  notRegular,  // a directory, fifo or device
  otherOwner,  // found: its uid
  tooSmall,    // found: its size
  badMagic,    // found: the word at offset 0
  otherByteOrder,
  otherVersion,     // found: its layout version
  unknownFeatures,  // found: its feature bits
  otherKind,        // found: its kind
  truncated,        // found: the size it should have
  badHeader,        // found: the offset of the field that does not fit
};

inline bool isUnnamed(std::string_view path) noexcept {
  return path.substr(path.rfind('/') + 1).starts_with(kUnnamedPrefix);
}

// What went wrong: an errno with the call that said so, or a refusal with the value found. Falsy when nothing did.
struct [[nodiscard]] Failure {
  int error = 0;
  const char* syscall = "";
  Refusal refusal = Refusal::none;
  uint64_t found = 0;
  explicit operator bool() const noexcept { return error != 0; }
  static Failure of(const char* call, int error) noexcept { return {error, call, Refusal::none, 0}; }
  static Failure refused(Refusal why, uint64_t found) noexcept { return {EPROTO, "", why, found}; }
};

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) noexcept : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const noexcept { return fd_; }
  int release() noexcept { return std::exchange(fd_, -1); }
  explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_;
};

// A path to an open file that works whether or not it has a name.
struct ProcPath {
  explicit ProcPath(int fd) noexcept { std::snprintf(text, sizeof text, "/proc/self/fd/%d", fd); }
  char text[32];
};

// The fields of a header that were checked, copied once: a peer may scribble over the original at any time.
struct SegmentShape {
  uint64_t byteLength = 0;
  Kind kind{};
  uint32_t participantsOffset = 0, maxParticipants = 0, bodyOffset = 0;
};

// Where the body starts: behind the participants, isolated from them.
constexpr uint32_t bodyOffsetFor(uint32_t maxParticipants) noexcept {
  constexpr uint32_t mask = kIsolationBytes - 1;
  return (uint32_t{sizeof(SegmentHeader)} + maxParticipants * uint32_t{sizeof(ParticipantEntry)} + mask) & ~mask;
}

// Whether `header`, found at the start of `fileByteLength` bytes, describes a segment that can be used.
inline Failure checkHeader(const void* header, uint64_t fileByteLength, SegmentShape& shape) noexcept {
  auto field = [header]<class T>(size_t offset, T value) noexcept {
    std::memcpy(&value, static_cast<const char*>(header) + offset, sizeof value);
    return value;
  };
  const auto u32 = [&](size_t offset) noexcept { return field(offset, uint32_t{}); };
  if (fileByteLength < sizeof(SegmentHeader)) return Failure::refused(Refusal::tooSmall, fileByteLength);
  const uint32_t magic = u32(offsetof(SegmentHeader, magic));
  if (magic == kMagicSwapped) return Failure::refused(Refusal::otherByteOrder, magic);
  if (magic != kMagic) return Failure::refused(Refusal::badMagic, magic);
  const uint32_t version = u32(offsetof(SegmentHeader, layoutVersion));
  if (version != kLayoutVersion) return Failure::refused(Refusal::otherVersion, version);
  const uint32_t features = u32(offsetof(SegmentHeader, featureBits));
  if ((features & ~kKnownFeatureBits) != 0) return Failure::refused(Refusal::unknownFeatures, features);
  shape.byteLength = field(offsetof(SegmentHeader, byteLength), uint64_t{});
  if (shape.byteLength > fileByteLength) return Failure::refused(Refusal::truncated, shape.byteLength);
  shape.kind = static_cast<Kind>(u32(offsetof(SegmentHeader, kind)));
  shape.participantsOffset = u32(offsetof(SegmentHeader, participantsOffset));
  shape.maxParticipants = u32(offsetof(SegmentHeader, maxParticipants));
  shape.bodyOffset = u32(offsetof(SegmentHeader, bodyOffset));
  const auto bad = [](size_t offset) noexcept { return Failure::refused(Refusal::badHeader, offset); };
  if (shape.byteLength != fileByteLength) return bad(offsetof(SegmentHeader, byteLength));
  if (shape.participantsOffset != sizeof(SegmentHeader)) return bad(offsetof(SegmentHeader, participantsOffset));
  if (shape.maxParticipants < kMinParticipants || shape.maxParticipants > kMaxParticipants) {
    return bad(offsetof(SegmentHeader, maxParticipants));
  }
  if (shape.bodyOffset % kIsolationBytes != 0 || shape.bodyOffset < bodyOffsetFor(shape.maxParticipants) ||
      shape.bodyOffset > shape.byteLength) {
    return bad(offsetof(SegmentHeader, bodyOffset));
  }
  return {};
}

// Call after a role has changed. Sleepers of both ends look at the roles before they sleep, and takers wait for nothing
// else. A process that is killed between taking a role and this never came back from taking it: those who sleep because
// nobody has come yet sleep on until the next one comes, which settles the dead one first.
inline void tellOfRoles(SpscHeader& ring) noexcept {
  SharedPosition(ring.tail, ring.filled).ring();
  SharedPosition(ring.head, ring.freed).ring();
  EventCount(ring.roleChanged).notify();
}

// How a participant went: `left` by itself, `died` while the caller pins its id (presence.hpp), so that nobody takes it.
enum class Departure { left, died };

// Clears every word of the segment that names participant `id`: one place for everybody who settles or leaves, since a
// word that is forgotten would name its dead for ever, or, worse, the next holder of the id. Messages that it held go to
// participant `heir`; without one (-1: a newcomer that has no id yet) they are left for later.
inline void clearParticipant(std::byte* base, const SegmentShape& shape, uint32_t id, int heir,
                             Departure how) noexcept {
  const auto& entry = reinterpret_cast<const ParticipantEntry*>(base + shape.participantsOffset)[id];
  std::byte* body = base + shape.bodyOffset;
  const uint64_t byteLength = shape.byteLength - shape.bodyOffset;
  if (shape.kind == Kind::spsc && byteLength >= sizeof(SpscHeader)) {
    auto& ring = *reinterpret_cast<SpscHeader*>(body);
    const auto clear = [&](RoleWords& role) {
      return how == Departure::left ? leaveRole(role, id) : settleRole(role, id, entry);
    };
    const bool producer = clear(ring.producer), consumer = clear(ring.consumer);
    if (producer || consumer) tellOfRoles(ring);
  }
  MpmcSlots slots;
  const bool isMpmc = shape.kind == Kind::mpmc || shape.kind == Kind::queue;
  if (isMpmc && MpmcSlots::bind(body, byteLength, shape.maxParticipants, slots)) {
    if (heir >= 0 && slots.settle(id, static_cast<uint32_t>(heir))) slots.wakeAll();
    if (shape.kind == Kind::queue) {
      const auto* entries = reinterpret_cast<const ParticipantEntry*>(base + shape.participantsOffset);
      leaveQueue(slots, body, byteLength, id, entries, shape.maxParticipants);
    }
  }
  if (shape.kind == Kind::barrier) {
    const auto cause = how == Departure::died ? BreakCause::died : BreakCause::closed;
    breakBarrierOf(id, body, byteLength, cause, entry.pid.load(std::memory_order_relaxed));
  }
  BroadcastSlots broadcast;
  if (shape.kind == Kind::broadcast && BroadcastSlots::bind(body, byteLength, broadcast)) {
    const bool died = how == Departure::died;
    broadcast.leave(id, died ? RolePhase::died : RolePhase::closed, entry.pid.load(std::memory_order_relaxed));
  }
  if (shape.kind == Kind::condition) leaveNotices(id, body, byteLength, shape.maxParticipants);
  if (LockHeader* lock = lockIn(shape.kind, body, byteLength)) {
    // Whoever leaves with the lock has not released it either. Killed between the two, we leave sleepers to their limit.
    if (abandonLock(*lock, id, entry)) EventCount(lock->released).notify();
  }
}

struct CreateOptions {
  uint64_t byteLength = 0;
  Kind kind = Kind::spsc;
  uint32_t maxParticipants = 64;
  mode_t mode = 0600;
  uint64_t unreservedByteLength = 0;  // Of byteLength, the end: its memory comes with reserve().
};

class Segment {
 public:
  Segment() = default;
  Segment(Segment&& other) noexcept { swap(other); }
  Segment& operator=(Segment&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Segment() {
    close();
    unmap();
  }

  // A segment without a name, invisible to others, its header and our participant in place. Publish it next.
  static Failure create(const char* directory, const CreateOptions& options, Segment& out) noexcept {
    Segment made;
    FileDescriptor file(::open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, options.mode));
    if (!file) return Failure::of("open(O_TMPFILE)", errno);
    if (fchmod(file.get(), options.mode) != 0) return Failure::of("fchmod", errno);  // Whatever the umask says.
    const uint64_t reserved = options.byteLength - options.unreservedByteLength;
    struct statvfs space = {};
    // Asked first, so that a hopeless request does not use up the space of others before it fails.
    if (fstatvfs(file.get(), &space) == 0 && space.f_blocks != 0 && reserved / space.f_bsize > space.f_bavail) {
      return Failure::of("posix_fallocate", ENOSPC);
    }
    int error = allocate(file.get(), 0, reserved);
    if (error != 0) return Failure::of("posix_fallocate", -error);
    if (options.unreservedByteLength > 0 && ftruncate(file.get(), static_cast<off_t>(options.byteLength)) != 0) {
      return Failure::of("ftruncate", errno);
    }
    made.shape_ = {options.byteLength, options.kind, sizeof(SegmentHeader), options.maxParticipants,
                   bodyOffsetFor(options.maxParticipants)};
    if (auto failure = made.map(file.get())) return failure;
    SegmentHeader& header = *new (made.base_) SegmentHeader{};
    header.layoutVersion = kLayoutVersion;
    header.kind = static_cast<uint32_t>(options.kind);
    header.byteLength = options.byteLength;
    header.participantsOffset = made.shape_.participantsOffset;
    header.maxParticipants = options.maxParticipants;
    header.bodyOffset = made.shape_.bodyOffset;
    header.creatorPid = static_cast<uint32_t>(getpid());
    header.createdAtMs = unixTimeMs();
    if (getrandom(&header.uniqueId, sizeof header.uniqueId, 0) < 0) return Failure::of("getrandom", errno);
    // Our lock stands before the name does: a sweeper that finds the name finds a living segment.
    error = setPresenceLock(file.get(), F_WRLCK, 0, 1);
    if (error != 0) return Failure::of("fcntl(F_OFD_SETLK)", -error);
    made.participant_ = 0;
    ParticipantEntry& entry = *made.participants();
    entry.pid.store(header.creatorPid, std::memory_order_relaxed);  // Relaxed: for people only.
    entry.threadId.store(static_cast<uint32_t>(gettid()), std::memory_order_relaxed);
    entry.attachedAtMs.store(header.createdAtMs, std::memory_order_relaxed);
    header.nextParticipant.store(1, std::memory_order_relaxed);  // Relaxed: only a hint.
    made.unpublished_ = std::move(file);
    out = std::move(made);
    return {};
  }

  // Gives the segment its name; from here on others find it complete. EEXIST if the name is taken.
  Failure publish(const std::string& path) noexcept {
    header()->magic.store(kMagic, std::memory_order_release);  // Pairs with the acquire of the file system's link.
    if (linkat(AT_FDCWD, ProcPath(unpublished_.get()).text, AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) != 0) {
      return Failure::of("linkat", errno);
    }
    path_ = path;
    unpublished_ = FileDescriptor();  // The mapping keeps the description, and with it our lock.
    return {};
  }

  // Finds a segment by its path. Nothing of it is changed unless all checks passed; it is never truncated or zeroed.
  static Failure attach(const std::string& path, Kind kind, bool anyOwner, Segment& out) noexcept {
    for (int attempt = 0;; ++attempt) {
      Segment made;
      const Failure failure = attachOnce(path, kind, anyOwner, made);
      if (!failure) out = std::move(made);
      // A cleaner holds all bytes. It removes the name at once, or dies and lets go: both take it microseconds, unless
      // it is stopped, and then the error says so.
      if (failure.error != EAGAIN || attempt == kCleanerAttempts) return failure;
      timespec pause = toTimespec(1'000'000);
      nanosleep(&pause, nullptr);
    }
  }

  // Lets the segment go: what we hold is given back, our lock dropped, and an unnamed segment removed if we were the
  // last. Views of the memory stay safe: they now read private zero pages, and writes go nowhere. Idempotent.
  void close() noexcept {
    if (!open()) return;
    clearParticipant(base_, shape_, participantId(), participant_, Departure::left);
    // One step for the other threads of this process, which may be inside a system call or a memcpy on these pages.
    // With the last mapping of its description gone, the kernel drops our presence lock.
    // Where the system refuses that (strict overcommit), the pages stay as they are until unmapped: a view that crashes
    // would be worse than a presence that ends late, and our roles are given back already.
    step();
    [[maybe_unused]] const void* replaced = mmap(base_, mappedByteLength(), PROT_READ | PROT_WRITE,
                                                 MAP_FIXED | MAP_ANONYMOUS | MAP_PRIVATE | MAP_NORESERVE, -1, 0);
    unpublished_ = FileDescriptor();
    if (isUnnamed(path_)) removeIfAbandoned(probe_.get(), path_.c_str());
    probe_ = FileDescriptor();
    participant_ = -1;
  }

  // Gives the closed segment's address range back, when nothing can touch it any more.
  void unmap() noexcept {
    if (base_ != nullptr) munmap(std::exchange(base_, nullptr), mappedByteLength());
  }

  // Is the participant behind `id` alive? 1, 0, or -errno.
  int alive(uint32_t id) const noexcept {
    if (const int error = checkProbe()) return error;
    const int presence = probePresence(probe_.get(), id);
    return presence < 0 ? presence : presence != static_cast<int>(Presence::gone);
  }

  // Marks the roles of participant `id` as lost if it is dead. 1 if it is dead, 0 if it lives, or -errno.
  int settle(uint32_t id) noexcept {
    if (id >= shape_.maxParticipants) return -EINVAL;
    if (const int error = checkProbe()) return error;
    const Pin pin(probe_.get(), id);
    if (!pin) return 0;
    clearParticipant(base_, shape_, id, participant_, Departure::died);
    return 1;
  }

  // Gives memory to bytes that were not reserved at creation, which nobody may touch before: with the file system full
  // that would be SIGBUS. 0 or -errno; after -ENOSPC nothing has changed. Idempotent.
  int reserve(uint64_t offset, uint64_t byteLength) const noexcept {
    if (!open() || offset > shape_.byteLength || byteLength > shape_.byteLength - offset) return -EINVAL;
    if (const int error = checkProbe()) return error;
    return allocate(probe_.get(), offset, byteLength);
  }

  [[nodiscard]] bool open() const noexcept { return participant_ >= 0; }
  [[nodiscard]] std::byte* base() const noexcept { return base_; }
  [[nodiscard]] std::byte* body() const noexcept { return base_ + shape_.bodyOffset; }
  [[nodiscard]] const SegmentShape& shape() const noexcept { return shape_; }
  [[nodiscard]] uint32_t participantId() const noexcept { return static_cast<uint32_t>(participant_); }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  // Equal for all attachments to one segment on this machine.
  [[nodiscard]] std::string identity() const { return std::to_string(device_) + ":" + std::to_string(inode_); }
  [[nodiscard]] SegmentHeader* header() const noexcept { return reinterpret_cast<SegmentHeader*>(base_); }
  [[nodiscard]] ParticipantEntry* participants() const noexcept {
    return reinterpret_cast<ParticipantEntry*>(base_ + shape_.participantsOffset);
  }
  // How many names the file has: 0 after an unlink or a clean-up by others. -1 if it cannot be told.
  [[nodiscard]] int linkCount() const noexcept {
    struct stat file = {};
    return probe_ && fstat(probe_.get(), &file) == 0 ? static_cast<int>(file.st_nlink) : -1;
  }

  // What is behind a path, without becoming a participant.
  static Failure inspect(const std::string& path, SegmentShape& shape) noexcept {
    FileDescriptor file;
    return openChecked(path, true, file, shape);
  }

  // Removes unnamed segments of this layout version whose participants are all gone, and nothing else: another version
  // may keep its locks elsewhere. How many.
  static int sweep(const char* directory) noexcept {
    DIR* entries = opendir(directory);
    if (entries == nullptr) return -errno;
    int removed = 0;
    while (const dirent* entry = readdir(entries)) {
      if (!isUnnamed(entry->d_name)) continue;
      const std::string path = std::string(directory) + "/" + entry->d_name;
      const FileDescriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
      struct stat status = {};
      if (!file || fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != geteuid()) continue;
      uint32_t start[2] = {};
      if (pread(file.get(), start, sizeof start, 0) != sizeof start) continue;
      if (start[0] != kMagic || start[1] != kLayoutVersion) continue;
      removed += removeIfAbandoned(file.get(), path.c_str());
    }
    closedir(entries);
    return removed;
  }

 private:
  static constexpr int kCleanerAttempts = 200;

  // 0 or -errno.
  static int allocate(int fd, uint64_t offset, uint64_t byteLength) noexcept {
    int error = 0;
    do error = posix_fallocate(fd, static_cast<off_t>(offset), static_cast<off_t>(byteLength));
    while (error == EINTR);
    return -error;
  }

  static Failure openChecked(const std::string& path, bool anyOwner, FileDescriptor& file,
                             SegmentShape& shape) noexcept {
    file = FileDescriptor(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!file) return errno == EISDIR ? Failure::refused(Refusal::notRegular, 0) : Failure::of("open", errno);
    struct stat status = {};
    if (fstat(file.get(), &status) != 0) return Failure::of("fstat", errno);
    if (!S_ISREG(status.st_mode)) return Failure::refused(Refusal::notRegular, status.st_mode);
    if (!anyOwner && status.st_uid != geteuid()) return Failure::refused(Refusal::otherOwner, status.st_uid);
    alignas(SegmentHeader) std::byte copy[sizeof(SegmentHeader)] = {};
    const ssize_t got = pread(file.get(), copy, sizeof copy, 0);
    if (got < 0) return Failure::of("pread", errno);
    const uint64_t size =
        static_cast<size_t>(got) < sizeof copy ? static_cast<uint64_t>(got) : static_cast<uint64_t>(status.st_size);
    return checkHeader(copy, size, shape);
  }

  static Failure attachOnce(const std::string& path, Kind kind, bool anyOwner, Segment& made) noexcept {
    FileDescriptor file;
    if (const auto failure = openChecked(path, anyOwner, file, made.shape_)) return failure;
    if (made.shape_.kind != kind) {
      return Failure::refused(Refusal::otherKind, static_cast<uint64_t>(made.shape_.kind));
    }
    if (const auto failure = made.map(file.get())) return failure;
    const int id =
        joinPresence(file.get(), *made.header(), made.participants(), made.shape_.maxParticipants,
                     [&made](uint32_t dead) { clearParticipant(made.base_, made.shape_, dead, -1, Departure::died); });
    if (id < 0) return Failure::of("fcntl(F_OFD_SETLK)", -id);
    made.participant_ = id;
    // What the last holder of our id left behind names us from now on, and nobody else may touch it.
    clearParticipant(made.base_, made.shape_, made.participantId(), id, Departure::died);
    made.path_ = path;
    return {};
  }

  // Maps the file, and opens the probe description beside the one that `fd` stands for.
  Failure map(int fd) noexcept {
    if (shape_.byteLength > SIZE_MAX - 4096) return Failure::of("mmap", ENOMEM);
    void* address = mmap(nullptr, mappedByteLength(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (address == MAP_FAILED) return Failure::of("mmap", errno);
    base_ = static_cast<std::byte*>(address);
    // A forked child would keep our description, and with it our lock, and look like us until it ends.
    if (madvise(address, mappedByteLength(), MADV_DONTFORK) != 0) return Failure::of("madvise", errno);
    madvise(address, mappedByteLength(), MADV_DONTDUMP);  // A core dump would hold the lock that much longer.
    probe_ = FileDescriptor(::open(ProcPath(fd).text, O_RDWR | O_CLOEXEC));
    if (!probe_) return Failure::of("open(/proc/self/fd)", errno);
    struct stat status = {};
    if (fstat(probe_.get(), &status) != 0) return Failure::of("fstat", errno);
    device_ = status.st_dev;
    inode_ = status.st_ino;
    return {};
  }

  // The probe's descriptor may have been closed by other code and its number reused. Another file has no locks of ours,
  // and everybody would look dead: better no answer.
  int checkProbe() const noexcept {
    struct stat status = {};
    if (fstat(probe_.get(), &status) != 0) return -errno;
    return status.st_dev == device_ && status.st_ino == inode_ ? 0 : -EBADF;
  }

  // Removes the name if no participant lives. `fd` holds no lock of its own.
  static bool removeIfAbandoned(int fd, const char* path) noexcept {
    if (setPresenceLock(fd, F_WRLCK, 0, kPresenceLockLength) != 0) return false;
    struct stat ours = {}, named = {};
    // The name may have been removed already and given to another segment.
    const bool removed = fstat(fd, &ours) == 0 && lstat(path, &named) == 0 && ours.st_dev == named.st_dev &&
                         ours.st_ino == named.st_ino && ::unlink(path) == 0;
    setPresenceLock(fd, F_UNLCK, 0, kPresenceLockLength);
    return removed;
  }

  size_t mappedByteLength() const noexcept { return static_cast<size_t>(shape_.byteLength); }

  void swap(Segment& other) noexcept {
    std::swap(base_, other.base_);
    std::swap(shape_, other.shape_);
    std::swap(participant_, other.participant_);
    std::swap(device_, other.device_);
    std::swap(inode_, other.inode_);
    std::swap(path_, other.path_);
    std::swap(unpublished_, other.unpublished_);
    std::swap(probe_, other.probe_);
  }

  std::byte* base_ = nullptr;
  SegmentShape shape_;
  int participant_ = -1;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  std::string path_;
  FileDescriptor unpublished_;  // The presence description, until it has a name.
  FileDescriptor probe_;
};

}  // namespace ringway
