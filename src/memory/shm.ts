// A segment in POSIX shared memory, through the addon. The life of the file is in native/include/ringway/segment.hpp.

import { ClosedError, CorruptSegmentError, RingwayError, type SystemErrorCode } from '../errors.js';
import { Constants } from '../layout.js';
import { errnoName, failed, type Native, type NativeFailure, type NativeSegment, Refusal } from '../native.js';
import { builtin, pid } from '../runtime.js';
import { whenLanded } from './flight.js';
import { isUnnamed, pathOf, segmentDirectory, unnamedName } from './names.js';
import { block, heedSignals, whenWoken } from './native-waits.js';
import { kindName, type Segment, type SegmentHandle, type SleepEnd, type Wake } from './segment.js';

/** Orphans are swept by the first create of a process, and then at most this often: it opens every unnamed segment. */
const SWEEP_INTERVAL_MS = 60_000;
let lastSweepMs = -SWEEP_INTERVAL_MS;

export interface ShmCreateOptions {
  /** None: the segment goes with its last participant. */
  name?: string | undefined;
  byteLength: number;
  /** Of byteLength, the end: its memory comes with reserve(). */
  unreservedByteLength: number;
  kind: number;
  maxParticipants: number;
  mode: number;
}

export class ShmSegment implements Segment {
  readonly backend = 'shm';
  readonly handle: SegmentHandle;
  readonly identity: string;
  readonly label: string;
  readonly buffer: ArrayBuffer;
  readonly byteLength: number;
  readonly words: Int32Array;
  readonly doubles: Float64Array;
  readonly bytes: Uint8Array;
  readonly bodyOffset: number;
  readonly participantId: number;
  readonly maxParticipants: number;
  readonly judgesDeath = true;
  readonly #native: Native;
  readonly #id: number;
  #closed = false;

  private constructor(native: Native, found: NativeSegment, kind: number, name: string) {
    this.#native = native;
    this.#id = found.id;
    this.handle = { kind: kindName(kind), backend: 'shm', name, pid };
    this.identity = found.identity;
    this.label = `${kindName(kind)} ${isUnnamed(name) ? '(unnamed)' : JSON.stringify(name)}`;
    this.buffer = found.buffer;
    this.byteLength = found.buffer.byteLength;
    this.words = new Int32Array(found.buffer, 0, this.byteLength >> 2);
    this.doubles = new Float64Array(found.buffer, 0, this.byteLength >> 3);
    this.bytes = new Uint8Array(found.buffer);
    this.bodyOffset = found.bodyOffset;
    this.participantId = found.participantId;
    this.maxParticipants = found.maxParticipants;
  }

  /**
   * Makes a segment and gives it its name when `format` has written the body, so that nobody ever finds half of one.
   * @throws {RingwayError} `EEXIST` if the name is taken, `ENOSPC`, and what else the system refuses
   */
  static create(native: Native, options: ShmCreateOptions, format: (segment: Segment) => void): ShmSegment {
    const directory = segmentDirectory();
    const now = performance.now();
    if (now - lastSweepMs >= SWEEP_INTERVAL_MS) {
      lastSweepMs = now;
      native.sweep(directory);
    }
    const { byteLength, unreservedByteLength, kind, maxParticipants, mode } = options;
    const name = options.name ?? unnamedName();
    const made = native.create(directory, byteLength, unreservedByteLength, kind, maxParticipants, mode);
    if (failed(made)) throw createError(native, made, directory, byteLength - unreservedByteLength);
    const segment = new ShmSegment(native, made, kind, name);
    try {
      format(segment);
      const refused = native.publish(segment.#id, pathOf(name));
      if (refused) throw publishError(native, refused, name);
    } catch (error) {
      segment.close();
      throw error;
    }
    return segment;
  }

  /**
   * @param from - where the name came from: the pid of the process that sent the handle
   * @throws {RingwayError} `ENOENT`, `EACCES`, and what else the system refuses
   * @throws {CorruptSegmentError} if the file is not a segment of this kind and version
   */
  static attach(native: Native, name: string, kind: number, anyOwner: boolean, from?: number): ShmSegment {
    const path = pathOf(name);
    const found = native.attach(path, kind, anyOwner);
    if (failed(found)) throw attachError(found, path, name, kind, from);
    return new ShmSegment(native, found, kind, name);
  }

  get closed(): boolean {
    return this.#closed;
  }

  get linked(): boolean {
    return !this.#closed && this.#native.linkCount(this.#id) !== 0;
  }

  alive(participantId: number): boolean {
    return this.#answer(this.#native.alive(this.#id, participantId), participantId);
  }

  settle(participantId: number): boolean {
    return this.#answer(this.#native.settle(this.#id, participantId), participantId);
  }

  #answer(result: number, participantId: number): boolean {
    if (result >= 0) return result === 1;
    if (this.#closed) throw new ClosedError(`${this.label} is closed`);
    if (participantId >= this.maxParticipants) {
      throw new CorruptSegmentError(
        `${this.label}: participant ${participantId} of ${this.maxParticipants} holds a role`,
      );
    }
    throw systemError(`${this.label}: the system does not tell who lives`, -result, 'fcntl(F_OFD_SETLK)');
  }

  reserve(byteOffset: number, byteLength: number): void {
    const error = this.#native.reserve(this.#id, byteOffset, byteLength);
    if (error === 0) return;
    if (this.#closed) throw new ClosedError(`${this.label} is closed`);
    const failure = { errno: -error, syscall: 'posix_fallocate', refusal: Refusal.none, found: 0 };
    throw createError(this.#native, failure, segmentDirectory(), byteLength);
  }

  wake(sequence: number): void {
    this.#native.wake(this.#id, sequence);
  }

  sleepSync(sequence: number, expected: number, limitMs: number): SleepEnd {
    const end = block(this.#native, limitMs, (limit, signals, seen) =>
      this.#native.sleep(this.#id, sequence, expected, limit, signals, seen),
    );
    if (typeof end === 'number') throw new ClosedError(`${this.label} is closed`);
    return end;
  }

  heedSignals(): void {
    heedSignals(this.#native);
  }

  spinSync(a: number, seenA: number, b: number, seenB: number, limitMs: number): void {
    if (this.#native.spin(this.#id, a, seenA, b, seenB, limitMs) < 0) throw new ClosedError(`${this.label} is closed`);
  }

  sleep(sequence: number, expected: number, limitMs: number, referenced: boolean, wake: Wake): () => void {
    const native = this.#native;
    return whenWoken(native, referenced, wake, {
      start: (token) => {
        const error = native.watch(token, this.#id, sequence, expected, limitMs);
        if (error < 0)
          throw systemError('no thread can be started that waits for the event loop', -error, 'pthread_create');
      },
      cancel: (token) => native.cancel(token),
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    whenLanded(this, () => this.#native.close(this.#id));
  }
}

/**
 * Removes a name. Those who have the object keep it; the name is free at once.
 * @throws {RingwayError} `ENOENT` if there is none
 */
export function unlinkName(native: Native, name: string): void {
  const path = pathOf(name);
  const error = native.unlink(path);
  if (error < 0) throw systemError(`${JSON.stringify(name)} cannot be unlinked`, -error, 'unlink', path);
}

export function systemError(what: string, errno: number, syscall: string, path?: string): RingwayError {
  const code = errnoName(errno) as SystemErrorCode;
  const details = { errno: -errno, syscall, ...(path === undefined ? {} : { path }) };
  return new RingwayError(`${what}: ${code} from ${syscall}${path === undefined ? '' : ` on ${path}`}`, code, details);
}

const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

function createError(native: Native, failure: NativeFailure, directory: string, byteLength: number): RingwayError {
  const { errno, syscall } = failure;
  if (errnoName(errno) === 'ENOSPC') {
    const { total, free } = native.space(directory);
    return new RingwayError(
      `${directory} has no room for ${byteLength} bytes (${mebibytes(byteLength)}): ${mebibytes(free)} of ` +
        `${mebibytes(total)} are free. In a container, start it with a larger --shm-size; elsewhere, remount ` +
        `${directory} larger, or set RINGWAY_SHM_DIR to another tmpfs`,
      'ENOSPC',
      { errno: -errno, syscall, path: directory },
    );
  }
  return systemError(`a segment of ${byteLength} bytes cannot be created`, errno, syscall, directory);
}

function publishError(native: Native, failure: NativeFailure, name: string): RingwayError {
  const { errno, syscall } = failure;
  const path = pathOf(name);
  if (errnoName(errno) !== 'EEXIST') return systemError(`${JSON.stringify(name)} cannot be made`, errno, syscall, path);
  const there = native.inspect(path);
  const isSocket = () =>
    builtin<typeof import('node:fs')>('node:fs')?.lstatSync(path, { throwIfNoEntry: false })?.isSocket();
  const stranger = () => (isSocket() ? 'a Listener' : 'a file that is not one of ours');
  const what = failed(there) ? stranger() : `a ${kindName(there.kind)}`;
  return new RingwayError(
    `the name ${JSON.stringify(name)} is taken by ${what} at ${path}: attach to it, unlink it, or use createOrAttach`,
    'EEXIST',
    { errno: -errno, syscall, path },
  );
}

function attachError(
  failure: NativeFailure,
  path: string,
  name: string,
  kind: number,
  from: number | undefined,
): RingwayError {
  const { errno, syscall, refusal, found } = failure;
  const wanted = kindName(kind);
  const corrupt = (why: string) =>
    new CorruptSegmentError(`${path} is not a ${wanted} that can be used: ${why}`, { path });
  switch (refusal) {
    case Refusal.none:
      break;
    case Refusal.notRegular:
      return corrupt('it is no regular file');
    case Refusal.otherOwner:
      return new RingwayError(
        `${path} belongs to user ${found}, and anybody may put a file there: pass { anyOwner: true } if that is meant`,
        'EACCES',
        { path },
      );
    case Refusal.tooSmall:
      return corrupt(`${found} bytes are less than a header`);
    case Refusal.badMagic:
      return corrupt(`it starts with 0x${found.toString(16)}`);
    case Refusal.otherByteOrder:
      return corrupt('it was made on a machine of the other byte order');
    case Refusal.otherVersion:
      return corrupt(`its layout has version ${found}, this package reads ${Constants.layoutVersion}`);
    case Refusal.unknownFeatures:
      return corrupt(`it needs features 0x${found.toString(16)} that this version does not know`);
    case Refusal.otherKind:
      return corrupt(`it is a ${kindName(found)}`);
    case Refusal.truncated:
      return corrupt(`it was truncated, its header speaks of ${found} bytes`);
    default:
      return corrupt(`the header's field at offset ${found} does not fit`);
  }
  const code = errnoName(errno);
  if (code === 'ENOENT' && from !== undefined) {
    return new RingwayError(
      `the ${wanted} that process ${from} sent is gone: its last holder closed it or ended before this one attached`,
      'ENOENT',
      { errno: -errno, syscall, path },
    );
  }
  if (code === 'ENOENT') {
    return new RingwayError(`there is no ${wanted} named ${JSON.stringify(name)} (${path})`, 'ENOENT', {
      errno: -errno,
      syscall,
      path,
    });
  }
  if (code === 'EUSERS') {
    return new RingwayError(
      `all participant entries of ${path} are taken: create it with a larger maxParticipants`,
      'EUSERS',
      { errno: -errno, syscall, path },
    );
  }
  return systemError(`${JSON.stringify(name)} cannot be attached`, errno, syscall, path);
}
