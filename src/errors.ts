// Every error the package throws on its own account. Native functions return numbers and plain objects; the code that
// calls them turns those into these, so codes live in one place.

export type RingwayErrorCode =
  | 'ERR_RINGWAY_STATE'
  | 'ERR_RINGWAY_BORROWED'
  | 'ERR_RINGWAY_SHAPE'
  | 'ERR_RINGWAY_WOULD_DEADLOCK'
  | 'ERR_RINGWAY_NO_ADDON'
  | 'ERR_RINGWAY_TIMEOUT'
  | 'ERR_RINGWAY_CLOSED'
  | 'ERR_RINGWAY_END'
  | 'ERR_RINGWAY_PEER_DIED'
  | 'ERR_RINGWAY_ROLE_TAKEN'
  | 'ERR_RINGWAY_OWNER_DIED'
  | 'ERR_RINGWAY_MESSAGE_SIZE'
  | 'ERR_RINGWAY_BROKEN_BARRIER'
  | 'ERR_RINGWAY_CORRUPT_SEGMENT'
  | 'ERR_RINGWAY_NOT_SENDABLE'
  | 'ERR_RINGWAY_UNSERIALISABLE'
  | 'ERR_RINGWAY_AUTHENTICATION'
  | 'ERR_RINGWAY_REMOTE'
  | SystemErrorCode;

/** Names of the operating system's errors, as Node spells them. */
export type SystemErrorCode = `E${Uppercase<string>}`;

/** What the operating system said, where it said something. */
export interface SystemErrorDetails {
  /** Negative, as in Node's own errors. */
  errno?: number;
  syscall?: string;
  path?: string;
}

/** Base of all errors of this package. Callers branch on `code`; `message` is for people and may change. */
export class RingwayError extends Error {
  override readonly name: string = 'RingwayError';
  readonly code: RingwayErrorCode;
  declare readonly errno?: number;
  declare readonly syscall?: string;
  declare readonly path?: string;

  constructor(message: string, code: RingwayErrorCode, details: SystemErrorDetails & { cause?: unknown } = {}) {
    const { cause, ...system } = details;
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    Object.assign(this, system);
  }
}

/** The time given by `timeoutMs` has passed. Nothing was consumed. */
export class TimeoutError extends RingwayError {
  override readonly name: string = 'TimeoutError';
  constructor(message: string) {
    super(message, 'ERR_RINGWAY_TIMEOUT');
  }
}

/** The object was closed here, or the view was given back. */
export class ClosedError extends RingwayError {
  override readonly name: string = 'ClosedError';
  constructor(message: string) {
    super(message, 'ERR_RINGWAY_CLOSED');
  }
}

/** The other side is done, and all it sent was read. */
export class EndOfStreamError extends RingwayError {
  override readonly name: string = 'EndOfStreamError';
  constructor(message: string) {
    super(message, 'ERR_RINGWAY_END');
  }
}

/** The process at the other end died, and all it published was read. */
export class PeerDiedError extends RingwayError {
  override readonly name: string = 'PeerDiedError';
  /** In the dead process's own pid namespace. */
  readonly pid: number;
  constructor(message: string, pid: number) {
    super(message, 'ERR_RINGWAY_PEER_DIED');
    this.pid = pid;
  }
}

/** A live process or thread holds the role that was asked for. */
export class RoleTakenError extends RingwayError {
  override readonly name: string = 'RoleTakenError';
  /** In the holder's own pid namespace. */
  readonly pid: number;
  constructor(message: string, pid: number) {
    super(message, 'ERR_RINGWAY_ROLE_TAKEN');
    this.pid = pid;
  }
}

/** The last owner of a lock died, or closed its handle, without releasing it. The lock was not taken. */
export class OwnerDiedError extends RingwayError {
  override readonly name: string = 'OwnerDiedError';
  /** Of that owner, in its own pid namespace. */
  readonly pid: number;
  constructor(message: string, pid: number) {
    super(message, 'ERR_RINGWAY_OWNER_DIED');
    this.pid = pid;
  }
}

/** A message that can never fit. Nothing was consumed. */
export class MessageSizeError extends RingwayError {
  override readonly name: string = 'MessageSizeError';
  readonly byteLength: number;
  /** The longest that fits, in bytes. */
  readonly limit: number;
  constructor(message: string, byteLength: number, limit: number) {
    super(message, 'ERR_RINGWAY_MESSAGE_SIZE');
    this.byteLength = byteLength;
    this.limit = limit;
  }
}

/** A party of the barrier gave up, died or aborted it, or its action threw; `reset()` makes the barrier usable again. */
export class BrokenBarrierError extends RingwayError {
  override readonly name: string = 'BrokenBarrierError';
  constructor(message: string) {
    super(message, 'ERR_RINGWAY_BROKEN_BARRIER');
  }
}

/** A segment that contradicts itself: not one of ours, of another version, damaged, or written by a hostile process. */
export class CorruptSegmentError extends RingwayError {
  override readonly name: string = 'CorruptSegmentError';
  constructor(message: string, details: SystemErrorDetails = {}) {
    super(message, 'ERR_RINGWAY_CORRUPT_SEGMENT', details);
  }
}

/** The other side does not have the same key, or has one where this side has none. Said to both sides. */
export class AuthenticationError extends RingwayError {
  override readonly name: string = 'AuthenticationError';
  constructor(message: string) {
    super(message, 'ERR_RINGWAY_AUTHENTICATION');
  }
}

/** Something failed in another process. `cause` is its error, made again here, with the stack it had there. */
export class RemoteError extends RingwayError {
  override readonly name: string = 'RemoteError';
  constructor(message: string, cause: unknown) {
    super(message, 'ERR_RINGWAY_REMOTE', { cause });
  }
}
