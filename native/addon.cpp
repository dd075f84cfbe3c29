// The control path between JavaScript and the core: segments, liveness, sleeping and waking. The only file that speaks
// Node-API, and nothing else of the runtime: no libuv, no V8, so one binary serves Node, Bun and Deno. Data does not
// pass through here; JavaScript reads and writes the mapped memory itself. Twin: src/native.ts.
//
// Everything here belongs to one environment (the main thread or one worker) and runs on its thread, but for the
// reactor's threads, which only touch the reactor and the thread-safe function.
#include <node_api.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "ringway/descriptors.hpp"
#include "ringway/interrupt.hpp"
#include "ringway/processes.hpp"
#include "ringway/reactor.hpp"
#include "ringway/segment.hpp"
#include "ringway/spsc_ring.hpp"

namespace ringway {
namespace {

class Environment {
 public:
  explicit Environment(napi_env env) : env_(env) {
    napi_add_env_cleanup_hook(env_, &closeHook, this);
    const std::lock_guard guard(all().mutex);
    all().environments.push_back(this);
  }
  // The runtime lets go of us; ArrayBuffers may still refer to us. Some runtimes do so before the hooks run, and to
  // remove a hook that has run is an error in some.
  void leave() {
    closeAll();
    {
      const std::lock_guard guard(all().mutex);
      std::erase(all().environments, this);
    }
    if (closeHookPending_) napi_remove_env_cleanup_hook(env_, &closeHook, this);
    if (stopHookPending_) napi_remove_env_cleanup_hook(env_, &stopHook, this);
  }

  std::shared_ptr<Segment> find(uint32_t id) const {
    const auto found = segments_.find(id);
    return found == segments_.end() ? nullptr : found->second;
  }
  uint32_t add(std::shared_ptr<Segment> segment) {
    segments_.emplace(++lastId_, std::move(segment));
    return lastId_;
  }
  void closeNewest() { close(lastId_); }
  void close(uint32_t id) {
    const auto found = segments_.find(id);
    if (found == segments_.end()) return;
    close(*found->second);
    segments_.erase(found);
  }
  // No reactor thread looks at the segment's words any more; views of it are safe, but it is not.
  void close(Segment& segment) {
    if (reactor_ != nullptr) reactor_->cancelRange(segment.base(), segment.shape().byteLength);
    segment.close();
  }

  // The environment ends by itself or is terminated: what it held is given back as by close(), not as by a death.
  void closeAll() {
    closed_ = true;
    stopReactor();
    if (std::exchange(watchesSignals_, false)) Interrupts::unwatch();
    for (auto& [id, segment] : segments_) segment->close();
    segments_.clear();
    for (const int fd : descriptors_) ::close(fd);
    descriptors_.clear();
  }

  // Descriptors that are closed with the environment, so that the other end of a terminated worker's pipe is told.
  int own(int fd) {
    descriptors_.insert(fd);
    return fd;
  }
  void closeDescriptor(int fd) {
    if (descriptors_.erase(fd) == 0) return;
    if (descriptorReactor_ != nullptr) descriptorReactor_->forget(fd);
    ::close(fd);
  }

  // Starts with the first watch of a descriptor; null if it cannot.
  DescriptorReactor* descriptorReactor() {
    if (descriptorReactor_ == nullptr && reactor() != nullptr) {
      auto started = std::make_unique<DescriptorReactor>(&signalWakes, this);
      if (started->start() == 0) descriptorReactor_ = std::move(started);
    }
    return descriptorReactor_.get();
  }

  // The reactor starts with the first watch; programs that never wait asynchronously have no thread of ours.
  Reactor* reactor() {
    if (reactor_ == nullptr && wakeHandler_ != nullptr && !closed_) startReactor();
    return reactor_.get();
  }
  void setWakeHandler(napi_value handler) { napi_create_reference(env_, handler, 1, &wakeHandler_); }
  void watchSignals(uint32_t mask) {
    if (mask == 0) return;
    watchesSignals_ = true;
    Interrupts::watch(mask);
  }
  void keepLoopAlive(bool keep) {
    if (reactor() == nullptr) return;
    keep ? napi_ref_threadsafe_function(env_, signal_) : napi_unref_threadsafe_function(env_, signal_);
  }

 private:
  // All environments of the process. Runtimes run no clean-up hooks on the main thread when process.exit() is called or
  // an error is not caught; exit() still runs handlers, after the last JavaScript.
  struct All {
    std::mutex mutex;
    std::vector<Environment*> environments;
    All() { std::atexit(&closeAtExit); }
  };
  static All& all() {
    static All* const instance = new All;  // Never destroyed: the handler comes late.
    return *instance;
  }
  static void closeAtExit() {
    const std::lock_guard guard(all().mutex);
    for (Environment* environment : all().environments) {
      // Workers that still run are not ours to touch; the kernel tells others that they are gone.
      if (environment->thread_ != pthread_self()) continue;
      for (auto& [id, segment] : environment->segments_) segment->close();
    }
  }
  static void closeHook(void* self) {
    static_cast<Environment*>(self)->closeHookPending_ = false;
    static_cast<Environment*>(self)->closeAll();
  }
  static void stopHook(void* self) {
    static_cast<Environment*>(self)->stopHookPending_ = false;
    static_cast<Environment*>(self)->stopReactor();
  }

  void startReactor() {
    napi_value name, handler;
    napi_get_reference_value(env_, wakeHandler_, &handler);
    napi_create_string_utf8(env_, "ringway", NAPI_AUTO_LENGTH, &name);
    if (napi_create_threadsafe_function(env_, handler, nullptr, name, 0, 1, nullptr, nullptr, this, &deliverWakes,
                                        &signal_) != napi_ok) {
      return;
    }
    napi_unref_threadsafe_function(env_, signal_);
    reactor_ = std::make_unique<Reactor>(&signalWakes, this);
    // Hooks run in reverse order: this one before the thread-safe function's own, so no reactor thread calls a dead one.
    napi_add_env_cleanup_hook(env_, &stopHook, this);
    stopHookPending_ = true;
  }

  void stopReactor() {
    if (reactor_ == nullptr) return;
    reactor_.reset();
    descriptorReactor_.reset();
    napi_release_threadsafe_function(signal_, napi_tsfn_release);
  }

  static void signalWakes(void* self) {
    napi_call_threadsafe_function(static_cast<Environment*>(self)->signal_, nullptr, napi_tsfn_nonblocking);
  }

  static void deliverWakes(napi_env env, napi_value handler, void* context, void*) {
    auto* self = static_cast<Environment*>(context);
    if (env == nullptr || self->reactor_ == nullptr) return;  // The environment is going.
    napi_value undefined;
    napi_get_undefined(env, &undefined);
    const auto deliver = [&](uint32_t token, bool timedOut) {
      std::array<napi_value, 2> arguments;
      napi_create_uint32(env, token, &arguments[0]);
      napi_get_boolean(env, timedOut, &arguments[1]);
      napi_call_function(env, undefined, handler, arguments.size(), arguments.data(), nullptr);
    };
    for (const Reactor::Wake& wake : self->reactor_->collect()) {
      deliver(wake.token, wake.reason == Reactor::Reason::timeout);
    }
    if (self->descriptorReactor_ == nullptr) return;
    for (const uint32_t token : self->descriptorReactor_->collect()) deliver(token, false);
  }

  const napi_env env_;
  const pthread_t thread_ = pthread_self();
  std::unordered_map<uint32_t, std::shared_ptr<Segment>> segments_;
  uint32_t lastId_ = 0;
  std::unique_ptr<Reactor> reactor_;
  std::unique_ptr<DescriptorReactor> descriptorReactor_;
  std::unordered_set<int> descriptors_;
  napi_threadsafe_function signal_ = nullptr;
  napi_ref wakeHandler_ = nullptr;
  bool closeHookPending_ = true;
  bool stopHookPending_ = false;
  bool watchesSignals_ = false;
  bool closed_ = false;
};

// The arguments of one call. JavaScript checks what users pass; here a wrong type reads as zero or empty, and ids and
// offsets are checked where they are used.
template <size_t N>
class Arguments {
 public:
  Arguments(napi_env env, napi_callback_info info) : env_(env) {
    size_t count = N;
    napi_get_cb_info(env, info, &count, values_.data(), nullptr, nullptr);
  }
  const std::shared_ptr<Environment>& owner() const {
    void* data = nullptr;
    napi_get_instance_data(env_, &data);
    return *static_cast<std::shared_ptr<Environment>*>(data);
  }
  Environment& environment() const { return *owner(); }
  uint32_t u32(size_t i) const {
    uint32_t value = 0;
    napi_get_value_uint32(env_, values_[i], &value);
    return value;
  }
  int32_t i32(size_t i) const {
    int32_t value = -1;
    napi_get_value_int32(env_, values_[i], &value);
    return value;
  }
  double number(size_t i) const {
    double value = 0;
    napi_get_value_double(env_, values_[i], &value);
    return value;
  }
  bool boolean(size_t i) const {
    bool value = false;
    napi_get_value_bool(env_, values_[i], &value);
    return value;
  }
  std::string string(size_t i) const {
    size_t length = 0;
    if (napi_get_value_string_utf8(env_, values_[i], nullptr, 0, &length) != napi_ok) return {};
    std::string value(length, '\0');
    napi_get_value_string_utf8(env_, values_[i], value.data(), length + 1, &length);
    return value;
  }
  napi_value operator[](size_t i) const { return values_[i]; }

 private:
  napi_env env_;
  std::array<napi_value, N> values_{};
};

napi_value toNumber(napi_env env, double value) {
  napi_value result;
  napi_create_double(env, value, &result);
  return result;
}

class ObjectBuilder {
 public:
  explicit ObjectBuilder(napi_env env) : env_(env) { napi_create_object(env, &object_); }
  ObjectBuilder& set(const char* key, double value) { return set(key, toNumber(env_, value)); }
  ObjectBuilder& set(const char* key, const char* value) {
    napi_value string;
    napi_create_string_utf8(env_, value, NAPI_AUTO_LENGTH, &string);
    return set(key, string);
  }
  ObjectBuilder& set(const char* key, napi_value value) {
    napi_set_named_property(env_, object_, key, value);
    return *this;
  }
  operator napi_value() const { return object_; }

 private:
  napi_env env_;
  napi_value object_ = nullptr;
};

napi_value describe(napi_env env, const Failure& failure) {
  return ObjectBuilder(env)
      .set("errno", failure.error)
      .set("syscall", failure.syscall)
      .set("refusal", static_cast<double>(failure.refusal))
      .set("found", static_cast<double>(failure.found));
}

// A duration in milliseconds from JavaScript, where Infinity is for ever, as a deadline.
int64_t deadlineAfter(double ms) { return ms < 9e12 ? nowNs() + static_cast<int64_t>(ms * 1e6) : kForever; }

// What an ArrayBuffer owns: the address range. It is unmapped when the buffer is collected, and not before, since views of
// it may be at work in native code. A buffer that is collected while its segment is open closes it. When an environment
// ends, runtimes collect its buffers before our hooks run.
struct BufferOwner {
  std::shared_ptr<Environment> environment;
  std::shared_ptr<Segment> segment;
  static void collect(napi_env, void*, void* hint) {
    const std::unique_ptr<BufferOwner> self(static_cast<BufferOwner*>(hint));
    self->environment->close(*self->segment);
    self->segment->unmap();
  }
};

// Hands a segment to JavaScript.
napi_value toJavaScript(napi_env env, const std::shared_ptr<Environment>& environment, Segment&& opened,
                        Failure& failure) {
  auto segment = std::make_shared<Segment>(std::move(opened));
  auto owner = std::make_unique<BufferOwner>(environment, segment);
  napi_value buffer;
  const napi_status status =
      napi_create_external_arraybuffer(env, segment->base(), static_cast<size_t>(segment->shape().byteLength),
                                       &BufferOwner::collect, owner.get(), &buffer);
  if (status != napi_ok) {
    failure = Failure::of("napi_create_external_arraybuffer", ENOTSUP);  // Electron, for one, forbids it.
    return describe(env, failure);
  }
  owner.release();
  return ObjectBuilder(env)
      .set("buffer", buffer)
      .set("id", environment->add(segment))
      .set("identity", segment->identity().c_str())
      .set("participantId", segment->participantId())
      .set("maxParticipants", segment->shape().maxParticipants)
      .set("participantsOffset", segment->shape().participantsOffset)
      .set("bodyOffset", segment->shape().bodyOffset);
}

// create(directory, byteLength, unreservedByteLength, kind, maxParticipants, mode) -> segment | failure
napi_value create(napi_env env, napi_callback_info info) {
  const Arguments<6> arguments(env, info);
  Segment segment;
  const CreateOptions options{static_cast<uint64_t>(arguments.number(1)), static_cast<Kind>(arguments.u32(3)),
                              arguments.u32(4), arguments.u32(5), static_cast<uint64_t>(arguments.number(2))};
  auto failure = Segment::create(arguments.string(0).c_str(), options, segment);
  if (failure) return describe(env, failure);
  return toJavaScript(env, arguments.owner(), std::move(segment), failure);
}

// publish(id, path) -> undefined | failure
napi_value publish(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  const auto segment = arguments.environment().find(arguments.u32(0));
  if (segment == nullptr) return describe(env, Failure::of("publish", EBADF));
  const auto failure = segment->publish(arguments.string(1));
  return failure ? describe(env, failure) : nullptr;
}

// attach(path, kind, anyOwner) -> segment | failure
napi_value attach(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  Segment segment;
  auto failure =
      Segment::attach(arguments.string(0), static_cast<Kind>(arguments.u32(1)), arguments.boolean(2), segment);
  if (failure) return describe(env, failure);
  return toJavaScript(env, arguments.owner(), std::move(segment), failure);
}

// inspect(path) -> { kind, byteLength } | failure
napi_value inspect(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  SegmentShape shape;
  if (const auto failure = Segment::inspect(arguments.string(0), shape)) return describe(env, failure);
  return ObjectBuilder(env)
      .set("kind", static_cast<double>(shape.kind))
      .set("byteLength", static_cast<double>(shape.byteLength));
}

// close(id)
napi_value close(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  arguments.environment().close(arguments.u32(0));
  return nullptr;
}

// closeAll(): as the end of the environment does, where a runtime runs nothing of ours then
napi_value closeAll(napi_env env, napi_callback_info info) {
  Arguments<1>(env, info).environment().closeAll();
  return nullptr;
}

// unlink(path) -> 0 | -errno
napi_value unlink(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  return toNumber(env, ::unlink(arguments.string(0).c_str()) == 0 ? 0 : -errno);
}

// sweep(directory) -> how many were removed | -errno
napi_value sweep(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  return toNumber(env, Segment::sweep(arguments.string(0).c_str()));
}

// space(directory) -> { total, free } in bytes, of the file system
napi_value space(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  struct statvfs found = {};
  statvfs(arguments.string(0).c_str(), &found);
  return ObjectBuilder(env)
      .set("total", static_cast<double>(found.f_blocks) * static_cast<double>(found.f_frsize))
      .set("free", static_cast<double>(found.f_bavail) * static_cast<double>(found.f_frsize));
}

// linkCount(id) -> how many names the segment has | -1
napi_value linkCount(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  const auto segment = arguments.environment().find(arguments.u32(0));
  return toNumber(env, segment == nullptr ? -1 : segment->linkCount());
}

// reserve(id, byteOffset, byteLength) -> 0 | -errno
napi_value reserve(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  const auto segment = arguments.environment().find(arguments.u32(0));
  if (segment == nullptr) return toNumber(env, -EBADF);
  const auto offset = static_cast<uint64_t>(arguments.number(1));
  return toNumber(env, segment->reserve(offset, static_cast<uint64_t>(arguments.number(2))));
}

// alive(id, participantId) -> 1 | 0 | -errno
napi_value alive(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  const auto segment = arguments.environment().find(arguments.u32(0));
  return toNumber(env, segment == nullptr ? -EBADF : segment->alive(arguments.u32(1)));
}

// settle(id, participantId) -> 1: it is dead, and its roles are marked so | 0: it lives | -errno
napi_value settle(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  const auto segment = arguments.environment().find(arguments.u32(0));
  return toNumber(env, segment == nullptr ? -EBADF : segment->settle(arguments.u32(1)));
}

// A word of a segment, or nothing if the offset does not lie in it.
template <class Word = std::atomic<uint32_t>>
Word* wordAt(const std::shared_ptr<Segment>& segment, uint32_t byteOffset) {
  if (segment == nullptr || byteOffset % alignof(Word) != 0) return nullptr;
  if (segment->shape().byteLength < sizeof(Word) || byteOffset > segment->shape().byteLength - sizeof(Word)) {
    return nullptr;
  }
  return reinterpret_cast<Word*>(segment->base() + byteOffset);
}

// wake(id, sequenceOffset): wakes all who sleep on a sequence word, an event count's or a bell
napi_value wake(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  const auto segment = arguments.environment().find(arguments.u32(0));
  if (auto* sequence = wordAt(segment, arguments.u32(1))) {
    sequence->fetch_add(2, std::memory_order_seq_cst);  // event_count.hpp, B; position.hpp, B.
    futexWakeAll(*sequence);
  }
  return nullptr;
}

enum class Blocked : int { changed = 0, timeout = 1, interrupted = 2 };

// sleep(id, sequenceOffset, expected, limitMs, signals, signalsSeen) -> Blocked | -errno
// Blocks while the sequence is what the caller loaded before it announced itself. `signals` is a mask of those that
// end the sleep, `signalsSeen` what watchSignals() said when the caller last heeded them.
napi_value sleep(napi_env env, napi_callback_info info) {
  const Arguments<6> arguments(env, info);
  const auto segment = arguments.environment().find(arguments.u32(0));
  const auto* sequence = wordAt(segment, arguments.u32(1));
  if (sequence == nullptr) return toNumber(env, -EBADF);
  const uint32_t expected = arguments.u32(2), signals = arguments.u32(4), signalsSeen = arguments.u32(5);
  const int64_t deadlineNs = deadlineAfter(arguments.number(3));
  arguments.environment().watchSignals(signals);
  for (;;) {
    if (signals != 0 && Interrupts::count() != signalsSeen)
      return toNumber(env, static_cast<int>(Blocked::interrupted));
    int result = 0;
    if (signals == 0) {
      result = futexWait(*sequence, expected, deadlineNs);
    } else if (hasFutexWaitAny()) {
      const std::array waiters{futexWaiter(*sequence, expected), Interrupts::waiter(signalsSeen)};
      result = futexWaitAny(waiters.data(), waiters.size(), deadlineNs);
    } else {
      // One word only: a signal that comes just before the sleep is noticed at the end of this slice.
      const int64_t sliceNs = nowNs() + 50'000'000;
      result = futexWait(*sequence, expected, std::min(deadlineNs, sliceNs));
      if (result == -ETIMEDOUT && sliceNs < deadlineNs) result = -EINTR;
    }
    if (signals != 0 && Interrupts::count() != signalsSeen) continue;
    if (result == -ETIMEDOUT) return toNumber(env, static_cast<int>(Blocked::timeout));
    if (result != -EINTR) return toNumber(env, static_cast<int>(Blocked::changed));
  }
}

// spin(id, aOffset, seenA, bOffset, seenB, limitMs) -> Blocked | -errno: watches two words without sleeping
napi_value spin(napi_env env, napi_callback_info info) {
  const Arguments<6> arguments(env, info);
  const auto segment = arguments.environment().find(arguments.u32(0));
  const auto* a = wordAt(segment, arguments.u32(1));
  const auto* b = wordAt(segment, arguments.u32(3));
  if (a == nullptr || b == nullptr) return toNumber(env, -EBADF);
  const uint32_t seenA = arguments.u32(2), seenB = arguments.u32(4);
  const int64_t deadlineNs = deadlineAfter(arguments.number(5));
  // Acquire: what was published with the new value is visible to the caller, who looks at both words again.
  for (Pause pause; !pause() || nowNs() < deadlineNs;) {
    if (a->load(std::memory_order_acquire) != seenA || b->load(std::memory_order_acquire) != seenB) {
      return toNumber(env, static_cast<int>(Blocked::changed));
    }
  }
  return toNumber(env, static_cast<int>(Blocked::timeout));
}

// yieldProcessor(): lets another thread run that waits for this processor
napi_value yieldProcessor(napi_env, napi_callback_info) {
  sched_yield();
  return nullptr;
}

// watchSignals(signals) -> how many signals have come so far to those that were ever watched
napi_value watchSignals(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  arguments.environment().watchSignals(arguments.u32(0));
  return toNumber(env, Interrupts::count());
}

// watch(token, id, sequenceOffset, expected, limitMs) -> 0 | -errno: one call of the wake handler for token
napi_value watch(napi_env env, napi_callback_info info) {
  const Arguments<5> arguments(env, info);
  const auto* word = wordAt(arguments.environment().find(arguments.u32(1)), arguments.u32(2));
  Reactor* reactor = arguments.environment().reactor();
  if (word == nullptr || reactor == nullptr) return toNumber(env, -EBADF);
  return toNumber(
      env, reactor->watch(arguments.u32(0), *word, arguments.u32(3), deadlineAfter(arguments.number(4))) ? 0 : -EAGAIN);
}

// cancel(token)
napi_value cancel(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  if (Reactor* reactor = arguments.environment().reactor()) reactor->cancel(arguments.u32(0));
  return nullptr;
}

// setWakeHandler((token, timedOut) => void), once
napi_value setWakeHandler(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  arguments.environment().setWakeHandler(arguments[0]);
  return nullptr;
}

// keepLoopAlive(keep): whether pending watches keep the event loop running
napi_value keepLoopAlive(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  arguments.environment().keepLoopAlive(arguments.boolean(0));
  return nullptr;
}

// kernelPair(kind, duplex) -> [{ read?, write? }, { read?, write? }] | failure: connected descriptors that do not block.
// With one direction, the first end reads and the second one writes.
napi_value kernelPair(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  KernelPair pair;
  if (const auto failure = makeKernelPair(arguments.string(0), arguments.boolean(1), pair))
    return describe(env, failure);
  napi_value ends;
  napi_create_array_with_length(env, pair.size(), &ends);
  for (uint32_t i = 0; i < pair.size(); ++i) {
    ObjectBuilder end(env);
    if (pair[i].read) end.set("read", arguments.environment().own(pair[i].read.release()));
    if (pair[i].write) end.set("write", arguments.environment().own(pair[i].write.release()));
    napi_set_element(env, ends, i, end);
  }
  return ends;
}

// adoptDescriptor(fd, duplicate) -> fd | -errno: makes a descriptor, or a duplicate of it, one of ours
napi_value adoptDescriptor(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  const int fd = arguments.i32(0);
  if (const int error = makeOurs(fd); error < 0) return toNumber(env, error);
  if (!arguments.boolean(1)) return toNumber(env, arguments.environment().own(fd));
  const int another = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  return toNumber(env, another < 0 ? -errno : arguments.environment().own(another));
}

// closeDescriptor(fd): one of ours
napi_value closeDescriptor(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  arguments.environment().closeDescriptor(arguments.i32(0));
  return nullptr;
}

// shutdownDescriptor(fd, direction) -> 0 | -errno: nothing is read from the socket any more, or written to it
napi_value shutdownDescriptor(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  const auto direction = static_cast<Direction>(arguments.u32(1));
  const int result = ::shutdown(arguments.i32(0), direction == Direction::readable ? SHUT_RD : SHUT_WR);
  return toNumber(env, result == 0 ? 0 : -errno);
}

// The part of a Uint8Array that three arguments name; empty unless it lies within.
std::pair<std::byte*, size_t> bytesOf(napi_env env, const Arguments<4>& arguments) {
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, arguments[1], nullptr, &length, &data, nullptr, nullptr) != napi_ok) return {};
  const size_t offset = arguments.u32(2), wanted = arguments.u32(3);
  if (offset > length || wanted > length - offset) return {};
  return {static_cast<std::byte*>(data) + offset, wanted};
}

// useLargePages(bytes): a hint, for memory that nobody has written to
napi_value useLargePages(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, arguments[0], nullptr, &length, &data, nullptr, nullptr) != napi_ok) return nullptr;
  // With the page that it begins in: the allocator's own bytes before it would cost the first large page otherwise.
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto start = reinterpret_cast<uintptr_t>(data) & ~(page - 1);
  const auto end = (reinterpret_cast<uintptr_t>(data) + length + page - 1) & ~(page - 1);
  if (length > 0) madvise(reinterpret_cast<void*>(start), end - start, MADV_HUGEPAGE);
  return nullptr;
}

// readDescriptor(fd, bytes, byteOffset, byteLength) -> how many were read, 0 at the end | -errno
napi_value readDescriptor(napi_env env, napi_callback_info info) {
  const Arguments<4> arguments(env, info);
  const auto [data, byteLength] = bytesOf(env, arguments);
  if (byteLength == 0) return toNumber(env, -EINVAL);
  ssize_t result;
  do result = ::read(arguments.i32(0), data, byteLength);
  while (result < 0 && errno == EINTR);
  return toNumber(env, result < 0 ? -errno : static_cast<double>(result));
}

// writeDescriptor(fd, bytes, byteOffset, byteLength) -> how many were written | -errno
napi_value writeDescriptor(napi_env env, napi_callback_info info) {
  const Arguments<4> arguments(env, info);
  const auto [data, byteLength] = bytesOf(env, arguments);
  if (byteLength == 0) return toNumber(env, -EINVAL);
  ssize_t result;
  do result = ::write(arguments.i32(0), data, byteLength);
  while (result < 0 && errno == EINTR);
  return toNumber(env, result < 0 ? -errno : static_cast<double>(result));
}

// waitDescriptor(fd, direction, limitMs, signals, signalsSeen) -> Blocked | -errno; the last two as of sleep()
napi_value waitDescriptor(napi_env env, napi_callback_info info) {
  const Arguments<5> arguments(env, info);
  const uint32_t signals = arguments.u32(3);
  arguments.environment().watchSignals(signals);
  const int result = waitDescriptor(arguments.i32(0), static_cast<Direction>(arguments.u32(1)),
                                    deadlineAfter(arguments.number(2)), signals != 0, arguments.u32(4));
  if (result == -ETIMEDOUT) return toNumber(env, static_cast<int>(Blocked::timeout));
  if (result == -EINTR) return toNumber(env, static_cast<int>(Blocked::interrupted));
  return toNumber(env, result);
}

// watchDescriptor(token, fd, direction) -> 0 | -errno: one call of the wake handler for token
napi_value watchDescriptor(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  DescriptorReactor* reactor = arguments.environment().descriptorReactor();
  if (reactor == nullptr) return toNumber(env, -EAGAIN);
  return toNumber(env, reactor->watch(arguments.u32(0), arguments.i32(1), static_cast<Direction>(arguments.u32(2))));
}

// forgetDescriptor(fd): it is not watched any more
napi_value forgetDescriptor(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  if (DescriptorReactor* reactor = arguments.environment().descriptorReactor()) reactor->forget(arguments.i32(0));
  return nullptr;
}

// dieWithParent(parentPid, channel) -> 0 | -errno: this process is killed when the thread that started it ends
napi_value dieWithParent(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  return toNumber(env, ringway::dieWithParent(arguments.i32(0), arguments.i32(1)));
}

// openProcess(pid) -> fd | -errno: a descriptor of ours to wait for the end of a child, for waitDescriptor()
napi_value openProcess(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  const int fd = ringway::openProcess(arguments.i32(0));
  return toNumber(env, fd < 0 ? fd : arguments.environment().own(fd));
}

// howEnded(fd) -> exit code | 256 + signal | -errno, -EAGAIN while it runs
napi_value howEnded(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  return toNumber(env, ringway::howEnded(arguments.i32(0)));
}

// selfTest(directory) -> undefined | failure: can segments live there, and be seen from JavaScript?
napi_value selfTest(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  Segment segment;
  const CreateOptions options{bodyOffsetFor(kMinParticipants), Kind::spsc, kMinParticipants, 0600};
  auto failure = Segment::create(arguments.string(0).c_str(), options, segment);
  if (failure) return describe(env, failure);
  // Some file systems accept locks that other descriptions do not see.
  const int seen = segment.alive(segment.participantId());
  if (seen != 1) return describe(env, Failure::of("fcntl(F_OFD_GETLK)", seen < 0 ? -seen : ENOLCK));
  toJavaScript(env, arguments.owner(), std::move(segment), failure);
  if (failure) return describe(env, failure);
  arguments.environment().closeNewest();
  return nullptr;
}

// layout() -> { structure: { field: offset or value } } as this binary sees them, to be compared with src/layout.ts
napi_value layout(napi_env env, napi_callback_info) {
#define RINGWAY_FIELD(type, field) \
  { #type, #field, offsetof(type, field) }
  static constexpr struct {
    const char* structure;
    const char* field;
    size_t value;
  } kRows[] = {
      RINGWAY_FIELD(SegmentHeader, magic),
      RINGWAY_FIELD(SegmentHeader, layoutVersion),
      RINGWAY_FIELD(SegmentHeader, kind),
      RINGWAY_FIELD(SegmentHeader, featureBits),
      RINGWAY_FIELD(SegmentHeader, byteLength),
      RINGWAY_FIELD(SegmentHeader, participantsOffset),
      RINGWAY_FIELD(SegmentHeader, maxParticipants),
      RINGWAY_FIELD(SegmentHeader, bodyOffset),
      RINGWAY_FIELD(SegmentHeader, creatorPid),
      RINGWAY_FIELD(SegmentHeader, createdAtMs),
      RINGWAY_FIELD(SegmentHeader, nextParticipant),
      RINGWAY_FIELD(SegmentHeader, uniqueId),
      RINGWAY_FIELD(SegmentHeader, descriptionOffset),
      RINGWAY_FIELD(SegmentHeader, descriptionByteLength),
      {"SegmentHeader", "participants", sizeof(SegmentHeader)},
      RINGWAY_FIELD(ParticipantEntry, pid),
      RINGWAY_FIELD(ParticipantEntry, threadId),
      RINGWAY_FIELD(ParticipantEntry, attachedAtMs),
      RINGWAY_FIELD(ParticipantEntry, inFlight),
      RINGWAY_FIELD(ParticipantEntry, landed),
      {"ParticipantEntry", "next", sizeof(ParticipantEntry)},
      RINGWAY_FIELD(EventCountWords, sequence),
      RINGWAY_FIELD(EventCountWords, asleep),
      RINGWAY_FIELD(RoleWords, word),
      RINGWAY_FIELD(RoleWords, diedPid),
      RINGWAY_FIELD(EndCounters, records),
      RINGWAY_FIELD(EndCounters, spins),
      RINGWAY_FIELD(EndCounters, parks),
      RINGWAY_FIELD(EndCounters, wakeUps),
      RINGWAY_FIELD(EndCounters, livenessChecks),
      RINGWAY_FIELD(SpscHeader, capacity),
      RINGWAY_FIELD(SpscHeader, alignment),
      RINGWAY_FIELD(SpscHeader, dataOffset),
      RINGWAY_FIELD(SpscHeader, wait),
      RINGWAY_FIELD(SpscHeader, tail),
      RINGWAY_FIELD(SpscHeader, head),
      RINGWAY_FIELD(SpscHeader, producer),
      RINGWAY_FIELD(SpscHeader, consumer),
      RINGWAY_FIELD(SpscHeader, roleChanged),
      RINGWAY_FIELD(SpscHeader, filled),
      RINGWAY_FIELD(SpscHeader, freed),
      RINGWAY_FIELD(SpscHeader, wantedHead),
      RINGWAY_FIELD(SpscHeader, producerCounters),
      RINGWAY_FIELD(SpscHeader, consumerCounters),
      {"SpscHeader", "data", kSpscDataOffset},
      RINGWAY_FIELD(SemaphoreHeader, initial),
      RINGWAY_FIELD(SemaphoreHeader, max),
      RINGWAY_FIELD(SemaphoreHeader, wait),
      RINGWAY_FIELD(SemaphoreHeader, permits),
      RINGWAY_FIELD(SemaphoreHeader, released),
      RINGWAY_FIELD(SemaphoreHeader, nextTicket),
      RINGWAY_FIELD(SemaphoreHeader, turn),
      {"SemaphoreHeader", "end", sizeof(SemaphoreHeader)},
      RINGWAY_FIELD(LockHeader, wait),
      RINGWAY_FIELD(LockHeader, owner),
      RINGWAY_FIELD(LockHeader, diedPid),
      RINGWAY_FIELD(LockHeader, released),
      RINGWAY_FIELD(LockHeader, nextTicket),
      RINGWAY_FIELD(LockHeader, turn),
      {"LockHeader", "end", sizeof(LockHeader)},
      RINGWAY_FIELD(EventHeader, wait),
      RINGWAY_FIELD(EventHeader, changes),
      RINGWAY_FIELD(EventHeader, wasSet),
      {"EventHeader", "end", sizeof(EventHeader)},
      RINGWAY_FIELD(BarrierHeader, parties),
      RINGWAY_FIELD(BarrierHeader, wait),
      RINGWAY_FIELD(BarrierHeader, state),
      RINGWAY_FIELD(BarrierHeader, blame),
      RINGWAY_FIELD(BarrierHeader, ended),
      RINGWAY_FIELD(BarrierHeader, broken),
      {"BarrierHeader", "arrivals", sizeof(BarrierHeader)},
      RINGWAY_FIELD(ConditionHeader, left),
      RINGWAY_FIELD(ConditionHeader, nextRow),
      RINGWAY_FIELD(ConditionHeader, rowsEver),
      {"ConditionHeader", "rows", sizeof(ConditionHeader)},
      RINGWAY_FIELD(WaitingRow, counts),
      RINGWAY_FIELD(WaitingRow, notified),
      {"WaitingRow", "next", sizeof(WaitingRow)},
      RINGWAY_FIELD(ValueHeader, cell),
      RINGWAY_FIELD(ValueHeader, lock),
      {"ValueHeader", "copies", sizeof(ValueHeader)},
      RINGWAY_FIELD(SharedArrayHeader, length),
      RINGWAY_FIELD(SharedArrayHeader, lock),
      {"SharedArrayHeader", "elements", sizeof(SharedArrayHeader)},
      RINGWAY_FIELD(RecordHeader, byteLength),
      RINGWAY_FIELD(RecordHeader, flags),
      {"RecordHeader", "payload", sizeof(RecordHeader)},
      RINGWAY_FIELD(ParticipantCounters, pushed),
      RINGWAY_FIELD(ParticipantCounters, popped),
      RINGWAY_FIELD(ParticipantCounters, spins),
      RINGWAY_FIELD(ParticipantCounters, parks),
      RINGWAY_FIELD(ParticipantCounters, wakeUps),
      RINGWAY_FIELD(ParticipantCounters, livenessChecks),
      RINGWAY_FIELD(ParticipantCounters, got),
      RINGWAY_FIELD(ParticipantCounters, sender),
      {"ParticipantCounters", "next", sizeof(ParticipantCounters)},
      RINGWAY_FIELD(MpmcHeader, slots),
      RINGWAY_FIELD(MpmcHeader, slotByteLength),
      RINGWAY_FIELD(MpmcHeader, payloadOffset),
      RINGWAY_FIELD(MpmcHeader, stride),
      RINGWAY_FIELD(MpmcHeader, slotsOffset),
      RINGWAY_FIELD(MpmcHeader, wait),
      RINGWAY_FIELD(MpmcHeader, tail),
      RINGWAY_FIELD(MpmcHeader, head),
      RINGWAY_FIELD(MpmcHeader, ended),
      RINGWAY_FIELD(MpmcHeader, abandoned),
      RINGWAY_FIELD(MpmcHeader, redelivered),
      RINGWAY_FIELD(MpmcHeader, filled),
      RINGWAY_FIELD(MpmcHeader, quiet),
      RINGWAY_FIELD(MpmcHeader, freed),
      {"MpmcHeader", "counters", sizeof(MpmcHeader)},
      RINGWAY_FIELD(MpmcSlot, state),
      RINGWAY_FIELD(MpmcSlot, order),
      RINGWAY_FIELD(MpmcSlot, byteLength),
      RINGWAY_FIELD(MpmcSlot, position),
      RINGWAY_FIELD(MpmcSlot, deliveries),
      {"MpmcSlot", "payload", sizeof(MpmcSlot)},
      RINGWAY_FIELD(QueueHeader, maxSize),
      RINGWAY_FIELD(QueueHeader, blockByteLength),
      RINGWAY_FIELD(QueueHeader, blocks),
      RINGWAY_FIELD(QueueHeader, reserved),
      RINGWAY_FIELD(QueueHeader, sendersEver),
      RINGWAY_FIELD(QueueHeader, senderChanges),
      RINGWAY_FIELD(QueueHeader, done),
      {"QueueHeader", "extents", sizeof(QueueHeader)},
      RINGWAY_FIELD(BroadcastHeader, slots),
      RINGWAY_FIELD(BroadcastHeader, slotByteLength),
      RINGWAY_FIELD(BroadcastHeader, payloadOffset),
      RINGWAY_FIELD(BroadcastHeader, maxPublishers),
      RINGWAY_FIELD(BroadcastHeader, maxSubscribers),
      RINGWAY_FIELD(BroadcastHeader, onSlow),
      RINGWAY_FIELD(BroadcastHeader, wait),
      RINGWAY_FIELD(BroadcastHeader, tail),
      RINGWAY_FIELD(BroadcastHeader, published),
      RINGWAY_FIELD(BroadcastHeader, freed),
      RINGWAY_FIELD(BroadcastHeader, publishing),
      RINGWAY_FIELD(BroadcastHeader, subscribing),
      RINGWAY_FIELD(BroadcastHeader, subscribersEver),
      {"BroadcastHeader", "publishers", sizeof(BroadcastHeader)},
      RINGWAY_FIELD(PublisherEntry, word),
      RINGWAY_FIELD(PublisherEntry, spare),
      RINGWAY_FIELD(PublisherEntry, counters),
      {"PublisherEntry", "next", sizeof(PublisherEntry)},
      RINGWAY_FIELD(SubscriberEntry, word),
      RINGWAY_FIELD(SubscriberEntry, cursor),
      RINGWAY_FIELD(SubscriberEntry, counters),
      RINGWAY_FIELD(SubscriberEntry, missed),
      {"SubscriberEntry", "next", sizeof(SubscriberEntry)},
      RINGWAY_FIELD(BroadcastSlot, position),
      RINGWAY_FIELD(BroadcastSlot, lapsOfPosition),
      RINGWAY_FIELD(BroadcastSlot, byteLength),
      RINGWAY_FIELD(BroadcastSlot, publisher),
      {"BroadcastSlot", "payload", sizeof(BroadcastSlot)},
      {"Constants", "magic", kMagic},
      {"Constants", "layoutVersion", kLayoutVersion},
      {"Constants", "knownFeatureBits", kKnownFeatureBits},
      {"Constants", "isolationBytes", kIsolationBytes},
      {"Constants", "minParticipants", kMinParticipants},
      {"Constants", "maxParticipants", kMaxParticipants},
      {"Constants", "maxDescriptionByteLength", kMaxDescriptionByteLength},
      {"Constants", "kindSpsc", static_cast<size_t>(Kind::spsc)},
      {"Constants", "kindMpmc", static_cast<size_t>(Kind::mpmc)},
      {"Constants", "kindBroadcast", static_cast<size_t>(Kind::broadcast)},
      {"Constants", "kindSemaphore", static_cast<size_t>(Kind::semaphore)},
      {"Constants", "kindLock", static_cast<size_t>(Kind::lock)},
      {"Constants", "kindEvent", static_cast<size_t>(Kind::event)},
      {"Constants", "kindBarrier", static_cast<size_t>(Kind::barrier)},
      {"Constants", "kindCondition", static_cast<size_t>(Kind::condition)},
      {"Constants", "kindValue", static_cast<size_t>(Kind::value)},
      {"Constants", "kindSharedMemory", static_cast<size_t>(Kind::sharedMemory)},
      {"Constants", "kindSharedArray", static_cast<size_t>(Kind::sharedArray)},
      {"Constants", "kindQueue", static_cast<size_t>(Kind::queue)},
      {"Constants", "minSpscCapacity", kMinSpscCapacity},
      {"Constants", "maxSpscCapacity", kMaxSpscCapacity},
      {"Constants", "minMpmcSlots", kMinMpmcSlots},
      {"Constants", "maxMpmcSlots", kMaxMpmcSlots},
      {"Constants", "maxSlotByteLength", kMaxSlotByteLength},
      {"Constants", "maxMpmcParticipants", kMaxMpmcParticipants},
      {"Constants", "slotFree", static_cast<size_t>(SlotPhase::free)},
      {"Constants", "slotWriting", static_cast<size_t>(SlotPhase::writing)},
      {"Constants", "slotReady", static_cast<size_t>(SlotPhase::ready)},
      {"Constants", "slotReading", static_cast<size_t>(SlotPhase::reading)},
      {"Constants", "slotAgainBit", kSlotAgainBit},
      {"Constants", "slotOwnerShift", kSlotOwnerShift},
      {"Constants", "slotOwnerMask", kSlotOwnerMask},
      {"Constants", "slotVersionUnit", kSlotVersionUnit},
      {"Constants", "maxArenaBlocks", kMaxArenaBlocks},
      {"Constants", "senderHere", kSenderHere},
      {"Constants", "senderSent", kSenderSent},
      {"Constants", "minBroadcastSlots", kMinBroadcastSlots},
      {"Constants", "maxBroadcastSlots", kMaxBroadcastSlots},
      {"Constants", "maxPublishers", kMaxPublishers},
      {"Constants", "maxSubscribers", kMaxSubscribers},
      {"Constants", "noPublisher", kNoPublisher},
      {"Constants", "onSlowBlock", static_cast<size_t>(OnSlow::block)},
      {"Constants", "onSlowOverwrite", static_cast<size_t>(OnSlow::overwrite)},
      {"Constants", "memberFree", static_cast<size_t>(MemberPhase::free)},
      {"Constants", "memberJoining", static_cast<size_t>(MemberPhase::joining)},
      {"Constants", "memberActive", static_cast<size_t>(MemberPhase::active)},
      {"Constants", "maxSemaphorePermits", kMaxSemaphorePermits},
      {"Constants", "turnTicketShift", kTurnTicketShift},
      {"Constants", "inFlightCountBits", kInFlightCountBits},
      {"Constants", "lockOwnerDied", kLockOwnerDied},
      {"Constants", "maxParties", kMaxParties},
      {"Constants", "arrivalIdBits", kArrivalIdBits},
      {"Constants", "firstGeneration", kFirstGeneration},
      {"Constants", "brokenRemembered", kBrokenRemembered},
      {"Constants", "blamePidShift", kBlamePidShift},
      {"Constants", "blameGenerationShift", kBlameGenerationShift},
      {"Constants", "brokeTimeout", static_cast<size_t>(BreakCause::timeout)},
      {"Constants", "brokeSignal", static_cast<size_t>(BreakCause::signal)},
      {"Constants", "brokeAbort", static_cast<size_t>(BreakCause::abort)},
      {"Constants", "brokeReset", static_cast<size_t>(BreakCause::reset)},
      {"Constants", "brokeAction", static_cast<size_t>(BreakCause::action)},
      {"Constants", "brokeDied", static_cast<size_t>(BreakCause::died)},
      {"Constants", "brokeClosed", static_cast<size_t>(BreakCause::closed)},
      {"Constants", "noticeShift", kNoticeShift},
      {"Constants", "valueCopyBits", kValueCopyBits},
      {"Constants", "maxSharedByteLength", kMaxSharedByteLength},
      {"Constants", "paddingFlag", kPaddingFlag},
      {"Constants", "asleepBit", kAsleepBit},
      {"Constants", "roleIdShift", kRoleIdShift},
      {"Constants", "roleNone", static_cast<size_t>(RolePhase::none)},
      {"Constants", "roleHeld", static_cast<size_t>(RolePhase::held)},
      {"Constants", "roleClosed", static_cast<size_t>(RolePhase::closed)},
      {"Constants", "roleDied", static_cast<size_t>(RolePhase::died)},
      {"Constants", "waitAdaptive", static_cast<size_t>(WaitMode::adaptive)},
      {"Constants", "waitSpin", static_cast<size_t>(WaitMode::spin)},
      {"Constants", "waitPark", static_cast<size_t>(WaitMode::park)},
  };
#undef RINGWAY_FIELD
  napi_value tables, table = nullptr;
  napi_create_object(env, &tables);
  const char* current = "";
  for (const auto& row : kRows) {
    if (std::strcmp(current, row.structure) != 0) {
      napi_create_object(env, &table);
      napi_set_named_property(env, tables, current = row.structure, table);
    }
    napi_set_named_property(env, table, row.field, toNumber(env, static_cast<double>(row.value)));
  }
  return tables;
}

napi_value initialise(napi_env env, napi_value exports) {
  const auto leave = [](napi_env, void* data, void*) {
    const std::unique_ptr<std::shared_ptr<Environment>> environment(static_cast<std::shared_ptr<Environment>*>(data));
    (*environment)->leave();
  };
  napi_set_instance_data(env, new std::shared_ptr<Environment>(std::make_shared<Environment>(env)), leave, nullptr);
  constexpr struct {
    const char* name;
    napi_callback call;
  } kFunctions[] = {{"create", create},
                    {"publish", publish},
                    {"attach", attach},
                    {"inspect", inspect},
                    {"close", close},
                    {"closeAll", closeAll},
                    {"unlink", unlink},
                    {"sweep", sweep},
                    {"space", space},
                    {"linkCount", linkCount},
                    {"reserve", reserve},
                    {"alive", alive},
                    {"settle", settle},
                    {"wake", wake},
                    {"sleep", sleep},
                    {"spin", spin},
                    {"yieldProcessor", yieldProcessor},
                    {"watchSignals", watchSignals},
                    {"watch", watch},
                    {"cancel", cancel},
                    {"setWakeHandler", setWakeHandler},
                    {"keepLoopAlive", keepLoopAlive},
                    {"kernelPair", kernelPair},
                    {"adoptDescriptor", adoptDescriptor},
                    {"closeDescriptor", closeDescriptor},
                    {"shutdownDescriptor", shutdownDescriptor},
                    {"useLargePages", useLargePages},
                    {"readDescriptor", readDescriptor},
                    {"writeDescriptor", writeDescriptor},
                    {"waitDescriptor", waitDescriptor},
                    {"watchDescriptor", watchDescriptor},
                    {"forgetDescriptor", forgetDescriptor},
                    {"dieWithParent", dieWithParent},
                    {"openProcess", openProcess},
                    {"howEnded", howEnded},
                    {"selfTest", selfTest},
                    {"layout", layout}};
  for (const auto& function : kFunctions) {
    napi_value value;
    napi_create_function(env, function.name, NAPI_AUTO_LENGTH, function.call, nullptr, &value);
    napi_set_named_property(env, exports, function.name, value);
  }
  return exports;
}

}  // namespace
}  // namespace ringway

NAPI_MODULE_INIT() { return ringway::initialise(env, exports); }
