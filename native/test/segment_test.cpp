// A segment's life: create, publish, attach, refuse, close, sweep.
#include <doctest/doctest.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include "support.hpp"

using namespace ringway;
using namespace support;

namespace {

// A folder of its own inside the scratch folder, for tests that sweep or count files.
class Folder {
 public:
  explicit Folder(std::string_view name) : path_(scratchPath(name)) { std::filesystem::create_directory(path_); }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }
  const std::string& path() const { return path_; }
  size_t files() const {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(path_)) ++count;
    return count;
  }

 private:
  std::string path_;
};

std::vector<char> contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void writeFile(const std::string& path, const std::vector<char>& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// The image of a valid ring segment, to be spoilt.
std::vector<char> validImage(const Folder& folder) {
  const std::string path = folder / "ringway-image";
  {
    Segment segment;
    REQUIRE_FALSE(createRingAt(segment, path));
  }
  auto image = contents(path);
  ::unlink(path.c_str());
  return image;
}

template <class T>
void put(std::vector<char>& image, size_t offset, T value) {
  std::memcpy(image.data() + offset, &value, sizeof value);
}

}  // namespace

TEST_CASE("segment: has no file that anybody could see before it is published") {
  const Folder folder("invisible");
  Segment segment;
  REQUIRE_FALSE(createRing(segment, {}, folder.path()));
  CHECK(folder.files() == 0);
  REQUIRE_FALSE(segment.publish(folder / "ringway-a"));
  CHECK(folder.files() == 1);
}

TEST_CASE("segment: is complete for whoever finds its name") {
  const Folder folder("complete");
  Segment creator, other;
  REQUIRE_FALSE(createRingAt(creator, folder / "ringway-a", {.capacity = 4096}));
  REQUIRE_FALSE(attachRing(other, folder / "ringway-a"));
  CHECK(other.header()->magic.load() == kMagic);
  CHECK(other.header()->creatorPid == static_cast<uint32_t>(getpid()));
  CHECK(other.shape().byteLength == std::filesystem::file_size(folder / "ringway-a"));
  CHECK(other.shape().kind == Kind::spsc);
  CHECK(creator.participantId() == 0);
  CHECK(other.participantId() != 0);
  SpscRing ring;
  REQUIRE(bindRing(other, ring));
  CHECK(ring.capacity == 4096);
  creator.body()[2000] = std::byte{77};
  CHECK(other.body()[2000] == std::byte{77});
}

TEST_CASE("segment: publishing under a taken name is EEXIST, and another name can be tried") {
  const Folder folder("taken");
  Segment first, second, found;
  REQUIRE_FALSE(createRingAt(first, folder / "ringway-a", {.capacity = 64}));
  REQUIRE_FALSE(createRing(second, {.capacity = 128}, folder.path()));
  CHECK(second.publish(folder / "ringway-a").error == EEXIST);
  REQUIRE_FALSE(second.publish(folder / "ringway-b"));
  REQUIRE_FALSE(attachRing(found, folder / "ringway-a"));
  CHECK(found.shape().byteLength == first.shape().byteLength);
}

TEST_CASE("segment: gets the mode that was asked for, whatever the umask says") {
  const Folder folder("mode");
  const mode_t before = umask(0077);
  Segment segment;
  CreateOptions options{.byteLength = 8192, .mode = 0666};
  const Failure failure = Segment::create(folder.path().c_str(), options, segment);
  umask(before);
  REQUIRE_FALSE(failure);
  REQUIRE_FALSE(segment.publish(folder / "ringway-a"));
  struct stat status {};
  REQUIRE(stat((folder / "ringway-a").c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0666);
}

TEST_CASE("segment: attaching to nothing is ENOENT") {
  Segment segment;
  CHECK(attachRing(segment, scratchPath("ringway-nothing")).error == ENOENT);
  CHECK_FALSE(segment.open());
}

TEST_CASE("segment: attaching refuses what is not a regular file") {
  const Folder folder("irregular");
  Segment segment;
  SUBCASE("a directory") {
    std::filesystem::create_directory(folder / "ringway-a");
    CHECK(attachRing(segment, folder / "ringway-a").refusal == Refusal::notRegular);
  }
  SUBCASE("a fifo, without waiting for its other end") {
    REQUIRE(mkfifo((folder / "ringway-a").c_str(), 0600) == 0);
    CHECK(attachRing(segment, folder / "ringway-a").refusal == Refusal::notRegular);
  }
  SUBCASE("a symbolic link, even to a good segment") {
    Segment target;
    REQUIRE_FALSE(createRingAt(target, folder / "ringway-target"));
    std::filesystem::create_symlink(folder / "ringway-target", folder / "ringway-a");
    CHECK(attachRing(segment, folder / "ringway-a").error == ELOOP);
  }
  SUBCASE("a socket") {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (folder / "ringway-a").copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    CHECK(attachRing(segment, folder / "ringway-a"));
    close(fd);
  }
  CHECK_FALSE(segment.open());
}

TEST_CASE("segment: attaching refuses another user's file unless told otherwise") {
  const Folder folder("owner");
  const std::string path = folder / "ringway-a";
  {
    Segment creator;
    REQUIRE_FALSE(createRingAt(creator, path));
  }
  if (chown(path.c_str(), 12345, 12345) != 0) {
    MESSAGE("skipped: giving a file away needs root");
    return;
  }
  Segment segment;
  const Failure failure = attachRing(segment, path);
  CHECK(failure.refusal == Refusal::otherOwner);
  CHECK(failure.found == 12345);
  CHECK_FALSE(Segment::attach(path, Kind::spsc, true, segment));
  CHECK(segment.open());
}

TEST_CASE("segment: attaching refuses every header that does not fit, says what it found, and changes nothing") {
  const Folder folder("headers");
  const std::string path = folder / "ringway-a";
  auto image = validImage(folder);
  const auto size = static_cast<uint64_t>(image.size());
  Kind kind = Kind::spsc;
  Refusal refusal{};
  uint64_t found = 0;
  SUBCASE("an empty file") { image.clear(), refusal = Refusal::tooSmall, found = 0; }
  SUBCASE("a file one byte shorter than the header") { image.resize(255), refusal = Refusal::tooSmall, found = 255; }
  SUBCASE("zeros") { image.assign(8192, 0), refusal = Refusal::badMagic, found = 0; }
  SUBCASE("other bytes") { put(image, 0, 0x464c457fU), refusal = Refusal::badMagic, found = 0x464c457f; }
  SUBCASE("a machine of the other byte order") {
    put(image, 0, kMagicSwapped), refusal = Refusal::otherByteOrder, found = kMagicSwapped;
  }
  SUBCASE("a later layout") {
    put(image, 4, kLayoutVersion + 1), refusal = Refusal::otherVersion, found = kLayoutVersion + 1;
  }
  SUBCASE("a feature nobody knows yet") {
    put(image, 12, 0x80000000U), refusal = Refusal::unknownFeatures, found = 0x80000000;
  }
  SUBCASE("another kind in the file") { put(image, 8, 99U), refusal = Refusal::otherKind, found = 99; }
  SUBCASE("another kind asked for") { kind = Kind{7}, refusal = Refusal::otherKind, found = 1; }
  SUBCASE("a file that was cut short") { image.resize(image.size() - 1), refusal = Refusal::truncated, found = size; }
  SUBCASE("a length beyond any file") {
    put(image, 16, ~uint64_t{0}), refusal = Refusal::truncated, found = ~uint64_t{0};
  }
  SUBCASE("a file longer than it says") { image.push_back(0), refusal = Refusal::badHeader, found = 16; }
  SUBCASE("participants elsewhere") { put(image, 24, 320U), refusal = Refusal::badHeader, found = 24; }
  SUBCASE("too few participants") { put(image, 28, 1U), refusal = Refusal::badHeader, found = 28; }
  SUBCASE("too many participants") { put(image, 28, kMaxParticipants + 1), refusal = Refusal::badHeader, found = 28; }
  SUBCASE("more participants than lie before the body") {
    put(image, 28, 64U), refusal = Refusal::badHeader, found = 32;
  }
  SUBCASE("a body that is not isolated") {
    put(image, 32, bodyOffsetFor(8) + 64), refusal = Refusal::badHeader, found = 32;
  }
  SUBCASE("a body on top of the participants") { put(image, 32, 256U), refusal = Refusal::badHeader, found = 32; }
  SUBCASE("a body beyond the end") { put(image, 32, 0xffffff80U), refusal = Refusal::badHeader, found = 32; }

  writeFile(path, image);
  Segment segment;
  const Failure failure = Segment::attach(path, kind, false, segment);
  CHECK(failure);
  CHECK(failure.refusal == refusal);
  CHECK(failure.found == found);
  CHECK_FALSE(segment.open());
  CHECK(contents(path) == image);
}

TEST_CASE("segment: a body that ends behind the header's own fields is refused when it is bound") {
  const Folder folder("short-body");
  auto image = validImage(folder);
  image.resize(bodyOffsetFor(8) + 512);
  put(image, 16, static_cast<uint64_t>(image.size()));
  writeFile(folder / "ringway-a", image);
  Segment segment;
  REQUIRE_FALSE(attachRing(segment, folder / "ringway-a"));
  SpscRing ring;
  CHECK_FALSE(bindRing(segment, ring));
}

TEST_CASE("segment: inspect tells what is there without becoming a participant") {
  const Folder folder("inspect");
  Segment segment;
  REQUIRE_FALSE(createRingAt(segment, folder / "ringway-a"));
  const auto before = contents(folder / "ringway-a");
  SegmentShape shape;
  REQUIRE_FALSE(Segment::inspect(folder / "ringway-a", shape));
  CHECK(shape.kind == Kind::spsc);
  CHECK(shape.maxParticipants == 8);
  CHECK(contents(folder / "ringway-a") == before);
}

TEST_CASE("segment: a named one stays when everybody has left, an unnamed one goes with the last") {
  const Folder folder("last");
  for (const bool named : {true, false}) {
    CAPTURE(named);
    const std::string path = folder / (named ? "ringway-a" : "ringway~a");
    Segment first, second;
    REQUIRE_FALSE(createRingAt(first, path));
    REQUIRE_FALSE(attachRing(second, path));
    first.close();
    CHECK(exists(path));
    second.close();
    CHECK(exists(path) == named);
  }
}

TEST_CASE("segment: the last one out leaves the name alone when it was given to another segment") {
  const Folder folder("reused-name");
  const std::string path = folder / "ringway~a";
  Segment first, second;
  REQUIRE_FALSE(createRingAt(first, path));
  ::unlink(path.c_str());
  REQUIRE_FALSE(createRingAt(second, path));
  first.close();
  CHECK(exists(path));
  second.close();
  CHECK_FALSE(exists(path));
}

TEST_CASE("segment: those who are attached learn of an unlink, and go on; newcomers find nothing") {
  const Folder folder("unlinked");
  Segment first, second, late;
  REQUIRE_FALSE(createRingAt(first, folder / "ringway-a"));
  REQUIRE_FALSE(attachRing(second, folder / "ringway-a"));
  CHECK(second.linkCount() == 1);
  ::unlink((folder / "ringway-a").c_str());
  CHECK(second.linkCount() == 0);
  CHECK(attachRing(late, folder / "ringway-a").error == ENOENT);
  CHECK(first.alive(second.participantId()) == 1);
}

TEST_CASE("segment: close leaves old pointers readable as zeros, and writes go nowhere") {
  const Folder folder("closed-views");
  const std::string path = folder / "ringway-a";
  Segment segment, other;
  REQUIRE_FALSE(createRingAt(segment, path));
  REQUIRE_FALSE(attachRing(other, path));
  std::byte* const view = segment.base();
  const auto size = static_cast<size_t>(segment.shape().byteLength);
  segment.close();
  segment.close();
  CHECK_FALSE(segment.open());
  CHECK(std::all_of(view, view + size, [](std::byte b) { return b == std::byte{0}; }));
  const auto before = contents(path);
  std::memset(view, 0xab, size);
  CHECK(contents(path) == before);
  CHECK(other.header()->magic.load() == kMagic);
  CHECK(segment.base() == view);
  CHECK(view[size - 1] == std::byte{0xab});
  segment.unmap();
  CHECK(segment.base() == nullptr);
}

TEST_CASE("segment: a closed one answers no question about the living, rather than that all are dead") {
  Segment segment;
  REQUIRE_FALSE(createRing(segment));
  segment.close();
  CHECK(segment.alive(0) < 0);
  CHECK(segment.settle(0) < 0);
  CHECK(segment.linkCount() == -1);
}

TEST_CASE("segment: moving it moves the presence with it") {
  const Folder folder("moved");
  Segment first, other;
  REQUIRE_FALSE(createRingAt(first, folder / "ringway-a"));
  REQUIRE_FALSE(attachRing(other, folder / "ringway-a"));
  {
    Segment moved = std::move(first);
    CHECK_FALSE(first.open());
    CHECK(other.alive(0) == 1);
  }
  CHECK(other.alive(0) == 0);
}

TEST_CASE("segment: sweep removes what killed processes left, and nothing else") {
  const Folder folder("sweep");
  Segment live, kept;
  REQUIRE_FALSE(createRingAt(live, folder / "ringway~live"));
  Child child([&](const Wire& wire) {
    Segment orphans[3], named, shared;
    for (int i = 0; i < 3; ++i) {
      HOLDS_IN_CHILD(!createRingAt(orphans[i], folder / ("ringway~orphan" + std::to_string(i))));
    }
    HOLDS_IN_CHILD(!createRingAt(named, folder / "ringway-named"));
    HOLDS_IN_CHILD(!createRingAt(shared, folder / "ringway~shared"));
    wire.say('r');
    return wire.hear() == 0 ? 0 : 1;
  });
  REQUIRE(child.hear() == 'r');
  REQUIRE_FALSE(attachRing(kept, folder / "ringway~shared"));
  writeFile(folder / "ringway-user~x", {'u'});
  writeFile(folder / "other", {'o'});
  std::filesystem::create_symlink(folder / "ringway-named", folder / "ringway~link");
  std::filesystem::create_directory(folder / "ringway~folder");
  REQUIRE(mkfifo((folder / "ringway~fifo").c_str(), 0600) == 0);
  CHECK(Segment::sweep(folder.path().c_str()) == 0);  // Everybody lives.

  CHECK(child.killAndWait() == -SIGKILL);
  CHECK(Segment::sweep(folder.path().c_str()) == 3);
  for (const char* stays : {"ringway~live", "ringway~shared", "ringway-named", "ringway-user~x", "other",
                            "ringway~folder", "ringway~fifo"}) {
    CAPTURE(stays);
    CHECK(exists(folder / stays));
  }
  CHECK(std::filesystem::is_symlink(folder / "ringway~link"));
  CHECK(folder.files() == 8);
  kept.close();
  CHECK_FALSE(exists(folder / "ringway~shared"));
}

TEST_CASE("segment: sweep leaves other users' files alone") {
  const Folder folder("sweep-owner");
  const std::string path = folder / "ringway~a";
  writeFile(path, validImage(folder));
  if (chown(path.c_str(), 12345, 12345) != 0) {
    MESSAGE("skipped: giving a file away needs root");
    return;
  }
  CHECK(Segment::sweep(folder.path().c_str()) == 0);
  REQUIRE(chown(path.c_str(), geteuid(), getegid()) == 0);
  CHECK(Segment::sweep(folder.path().c_str()) == 1);
}

TEST_CASE("segment: sweep never takes a stopped process for a dead one") {
  const Folder folder("sweep-stopped");
  Child child([&](const Wire& wire) {
    Segment segment;
    HOLDS_IN_CHILD(!createRingAt(segment, folder / "ringway~a"));
    wire.say('r');
    return wire.hear() == 0 ? 0 : 1;
  });
  REQUIRE(child.hear() == 'r');
  child.stop();
  CHECK(Segment::sweep(folder.path().c_str()) == 0);
  CHECK(exists(folder / "ringway~a"));
  child.signal(SIGCONT);
  CHECK(child.killAndWait() == -SIGKILL);
  CHECK(Segment::sweep(folder.path().c_str()) == 1);
}

// Both rules at once: whoever removes a name holds all presence bytes, and whoever attaches looks at the link count
// with its own byte locked. Without either, somebody ends up on a segment that newcomers cannot find.
TEST_CASE("segment: nobody ever attaches to a segment that its last participant is removing") {
  const Folder folder("remove-race");
  const std::string path = folder / "ringway~a";
  const int rounds = RINGWAY_UNDER_TSAN ? 2000 : 8000;
  Child child([&](const Wire& wire) {
    int attached = 0;
    Random random(runSeed());
    while (!exists(folder / "stop")) {
      Segment segment;
      const Failure failure = attachRing(segment, path);
      if (failure) {
        HOLDS_IN_CHILD(failure.error == ENOENT || failure.error == EAGAIN);
        continue;
      }
      HOLDS_IN_CHILD(segment.linkCount() == 1);
      for (uint32_t turn = random.below(400); turn > 0; --turn) spinPause();
      HOLDS_IN_CHILD(segment.linkCount() == 1);
      struct stat ours {};
      HOLDS_IN_CHILD(stat(path.c_str(), &ours) == 0);
      if (++attached == 1) writeFile(folder / "attached", {});
    }
    wire.say(attached > 0 ? 'y' : 'n');
    return 0;
  });
  int made = 0;
  // A busy machine may keep the child from ever meeting a segment in so many rounds.
  for (int round = 0; round < rounds || !exists(folder / "attached"); ++round) {
    Segment segment;
    REQUIRE_FALSE(createRing(segment, {.capacity = 64}));
    const Failure failure = segment.publish(path);  // The child may still hold the one before.
    if (failure) {
      REQUIRE(failure.error == EEXIST);
      Segment::sweep(folder.path().c_str());
      continue;
    }
    ++made;
  }
  writeFile(folder / "stop", {});
  CHECK(child.hear() == 'y');
  CHECK(child.wait() == 0);
  CHECK(made > 0);
  CHECK_FALSE(exists(path));
}

TEST_CASE("segment: presence survives a stray close of every descriptor, and questions fail rather than lie") {
  const Folder folder("stray-close");
  const std::string path = folder / "ringway-a";
  Segment parent;
  REQUIRE_FALSE(createRingAt(parent, path));
  Child child([&](const Wire& wire) {
    Segment segment;
    HOLDS_IN_CHILD(!attachRing(segment, path));
    std::vector<int> ours;
    for (int fd = 3; fd < 256; ++fd) {
      struct stat mine {
      }, file{};
      if (fstat(fd, &mine) == 0 && stat(path.c_str(), &file) == 0 && mine.st_ino == file.st_ino) ours.push_back(fd);
    }
    HOLDS_IN_CHILD(ours.size() == 2);  // The parent's probe, inherited, and ours. The lock has none.
    for (const int fd : ours) close(fd);
    HOLDS_IN_CHILD(segment.alive(0) < 0);
    HOLDS_IN_CHILD(segment.settle(0) < 0);
    // The numbers get reused for a file that has no locks at all.
    for ([[maybe_unused]] const int fd : ours) HOLDS_IN_CHILD(open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0);
    HOLDS_IN_CHILD(segment.alive(0) < 0);
    HOLDS_IN_CHILD(segment.settle(0) < 0);
    wire.say(static_cast<char>('0' + segment.participantId()));
    return wire.hear() == 'x' ? 0 : 1;
  });
  const char id = child.hear();
  REQUIRE(id >= '0');
  CHECK(parent.alive(static_cast<uint32_t>(id - '0')) == 1);
  child.say('x');
  CHECK(child.wait() == 0);
  CHECK(parent.alive(static_cast<uint32_t>(id - '0')) == 0);
}

TEST_CASE("segment: a forked child does not keep its parent's presence") {
  const Folder folder("forked");
  const std::string path = folder / "ringway-a";
  Segment observer;
  REQUIRE_FALSE(createRingAt(observer, path));
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  Child victim([&](const Wire& wire) {
    Segment segment;
    HOLDS_IN_CHILD(!attachRing(segment, path));
    const pid_t grandchild = fork();
    if (grandchild == 0) {
      wire.say('r');
      (void)wire.hear();  // Until the test drops the wire.
      _exit(0);
    }
    wire.say(static_cast<char>('0' + segment.participantId()));
    pause();
    return 0;
  });
  char words[2] = {victim.hear(), victim.hear()};
  const char id = words[0] == 'r' ? words[1] : words[0];
  REQUIRE((words[0] == 'r' || words[1] == 'r'));
  CHECK(observer.alive(static_cast<uint32_t>(id - '0')) == 1);
  CHECK(victim.killAndWait() == -SIGKILL);
  CHECK(observer.alive(static_cast<uint32_t>(id - '0')) == 0);
  victim.say('x');
  int status = 0;
  CHECK(waitpid(-1, &status, 0) > 0);
  CHECK(WIFEXITED(status));
  prctl(PR_SET_CHILD_SUBREAPER, 0);
}

TEST_CASE("segment: a full file system is ENOSPC at creation, and takes nothing from others") {
  const Folder folder("small");
  Child child([&](const Wire&) {
    // A mount of our own, which goes with this process.
    if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=256k") != 0) {
      return 77;
    }
    const auto freeBlocks = [&] {
      struct statvfs space {};
      return statvfs(folder.path().c_str(), &space) == 0 ? space.f_bavail : 0;
    };
    const auto before = freeBlocks();
    Segment segment;
    CreateOptions options{.byteLength = 1 << 20};
    const Failure failure = Segment::create(folder.path().c_str(), options, segment);
    HOLDS_IN_CHILD(failure.error == ENOSPC);
    HOLDS_IN_CHILD(std::string_view(failure.syscall) == "posix_fallocate");
    HOLDS_IN_CHILD(!segment.open());
    HOLDS_IN_CHILD(freeBlocks() == before);
    // What is promised at creation can be written later, whatever others take.
    options.byteLength = 192 << 10;
    HOLDS_IN_CHILD(!Segment::create(folder.path().c_str(), options, segment));
    writeFile(folder / "greedy", std::vector<char>(256 << 10));
    std::memset(segment.base() + 4096, 1, (192 << 10) - 4096);
    return 0;
  });
  const int code = child.wait();
  if (code == 77) {
    MESSAGE("skipped: mounting a small tmpfs is not allowed here");
    return;
  }
  CHECK(code == 0);
}
