// One value between processes: how it is made, found and shared. What is done with it is in scalar-cell.ts and
// record-cell.ts.

import { Constants, ValueHeader } from '../layout.js';
import { checkName, describe } from '../memory/names.js';
import type { Segment, SegmentHandle } from '../memory/segment.js';
import {
  attachOrCreate,
  attachSegment,
  checkSharedOptions,
  createSegment,
  makeOver,
  type OpenOptions,
  type SharedOptions,
  unlink,
} from '../memory/shared-object.js';
import { whenLinked } from '../memory/when-linked.js';
import { RecordEncoder } from '../record/codec.js';
import type { ScalarType } from '../record/description.js';
import type { WithLock } from '../sync/lock-reference.js';
import { checkWaitOptions, type WaitOptions } from '../wait/options.js';
import {
  type AttachLockOption,
  checkLockOption,
  Lockable,
  type LockOption,
  type OpenLock,
  openLock,
  planLock,
  withBackendOf,
} from './lockable.js';
import { RecordCell, recordBodyByteLength } from './record-cell.js';
import { checkScalar, ScalarCell } from './scalar-cell.js';
import type { ValueCell } from './value-cell.js';
import {
  checkType,
  describeWith,
  readReference,
  readType,
  typeText,
  type ValueInput,
  type ValueRead,
  type ValueType,
} from './value-type.js';

export interface ValueOptions extends SharedOptions, LockOption {}

/** What a value is attached with. */
export interface AttachValueOptions<Type extends ValueType> extends OpenOptions, AttachLockOption {
  /** What is expected: another type is an error. Without it the value has the type it was made with. */
  type?: Type;
}

/** What is opened or made under a name. */
export interface NamedValueOptions<Type extends ValueType> extends ValueOptions, OpenOptions {
  /** As in SharedOptions. */
  name: string;
  /** What it is, and is to be if it is there. */
  type: Type;
  /** What it is if it is made now: 0, false, or a record of these, by default. */
  value?: ValueInput<Type>;
}

/** What add() takes: a bigint for 64-bit integers, a number for other numbers, nothing else. */
export type Addend<Type extends ValueType> = Type extends 'int64' | 'uint64'
  ? bigint
  : Type extends 'bool'
    ? never
    : Type extends ScalarType
      ? number
      : never;

/**
 * One value that any thread of any process that has it reads and changes: an integer, a float, a bool, or a record.
 *
 * Each method is one indivisible step, none waits for anybody, and none changes anything if it throws. What a process did
 * before it changed a value is seen by those that see the new one. A value is not changed by assignment, since
 * `v.value += 1` would be two steps.
 *
 * A scalar takes 128 bytes of its segment, its lock 384. A record takes two copies for each of `maxParticipants`, 64 by default, each
 * rounded up to 128 bytes.
 */
export class Value<Type extends ValueType = ValueType> extends Lockable {
  /** What it is. */
  readonly type: Type;
  readonly #cell: ValueCell;

  /**
   * Makes a value.
   * @param type - `int8`, `uint8`, `int16`, `uint16`, `int32`, `uint32`, `int64`, `uint64`, `float32`, `float64`, `bool`, or
   * a record type
   * @param initial - what it is at first: 0, false, or a record of these, by default
   * @throws {RangeError | TypeError} for a type, a value or options that cannot be
   * @throws {RingwayError} `EEXIST` if the name is taken; `ENOSPC` if there is no memory
   * @throws {RingwayError} `ERR_RINGWAY_NO_ADDON` for a name or `backend: 'shm'` where there is no addon
   */
  constructor(type: Type, initial?: ValueInput<Type>, options?: ValueOptions);
  /** @internal Over a segment that is open already. */
  constructor(type: Opened<Type>);
  constructor(type: Type | Opened<Type>, initial?: ValueInput<Type>, options: ValueOptions = {}) {
    const opened = type instanceof Opened ? type : create(type, initial, options);
    super(opened.segment, opened.lock);
    this.type = opened.type;
    this.#cell = opened.cell;
  }

  /**
   * Opens a value that another process or thread made. Never changes it.
   * @param target - a name, or the `handle` of a value
   * @throws {RingwayError} `ENOENT` if there is none; `EACCES` if it is another user's
   * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if it has another type than was asked for; shows both
   * @throws {CorruptSegmentError} if it is no value of this version
   */
  static attach<Type extends ValueType = ValueType>(
    target: string | WithLock<SegmentHandle>,
    options: AttachValueOptions<Type> = {},
  ): Value<Type> {
    const wanted = options.type === undefined ? undefined : checkType(options.type);
    if (options.lock !== undefined) checkLockOption(options.lock);
    const segment = attachSegment(Constants.kindValue, target, options);
    const handle = typeof target === 'string' ? undefined : target.lock;
    return new Value(open(segment, () => readType(segment, wanted) as Type, options.lock, handle));
  }

  /**
   * Opens the value of that name, whatever it is by now, or makes it.
   * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if it is there with another type; shows both
   */
  static createOrAttach<Type extends ValueType>(options: NamedValueOptions<Type>): Value<Type> {
    checkSharedOptions(options, 'a name and a type');
    const name = checkName(options.name);
    bodyOf(checkType(options.type), options.value); // A wrong value is told of, though it may not be needed.
    return attachOrCreate(
      () => Value.attach(name, options as AttachValueOptions<Type>),
      () => {},
      () => new Value(options.type, options.value, options),
    );
  }

  /**
   * Waits until a value of that name is created, and opens it.
   * @throws {TimeoutError} after `timeoutMs`
   */
  static async whenCreated<Type extends ValueType = ValueType>(
    name: string,
    options: WaitOptions & AttachValueOptions<Type> = {},
  ): Promise<Value<Type>> {
    checkName(name);
    checkWaitOptions(options);
    return whenLinked(name, options, () => Value.attach(name, options));
  }

  /**
   * Removes a name. Those who have the value keep it.
   * @throws {RingwayError} `ENOENT` if there is none
   */
  static unlink(name: string): void {
    unlink(name);
  }

  /**
   * What it is now. A record is a copy. Wait-free for scalars; of a record lock-free: it is read again if it was changed
   * meanwhile.
   * @throws {ClosedError} if this handle was closed
   */
  get value(): ValueRead<Type> {
    this.checkOpen();
    return this.#cell.load() as ValueRead<Type>;
  }

  /**
   * Cannot be assigned.
   * @throws {TypeError} always, naming the methods that change the value
   */
  set value(_value: never) {
    throw new TypeError('value cannot be assigned, since value += 1 would be two steps: use set(), add() or update()');
  }

  /**
   * Replaces the value: exchange() by the name that one looks for.
   * @returns what it was before
   * @throws {RangeError | TypeError} for a value that the type cannot hold
   */
  set(value: ValueInput<Type>): ValueRead<Type> {
    return this.exchange(value);
  }

  /**
   * Replaces the value. Wait-free for scalars, lock-free for records.
   * @returns what it was before
   * @throws {RangeError | TypeError} for a value that the type cannot hold
   */
  exchange(value: ValueInput<Type>): ValueRead<Type> {
    this.checkOpen();
    return this.#cell.exchange(value) as ValueRead<Type>;
  }

  /**
   * Adds to a number. Lock-free.
   * @param n - a whole number for integers, a bigint for those of 64 bits; may be negative
   * @returns what it was before
   * @throws {RangeError} if the sum is out of the type's range, or infinite though both are finite
   * @throws {TypeError} for a bool or a record, and for `n` of another type
   */
  add(n: Addend<Type>): ValueRead<Type> {
    this.checkOpen();
    return this.#cell.add(n) as ValueRead<Type>;
  }

  /**
   * Replaces the value if it is `expected`. Lock-free. Numbers are compared as by `Object.is()` (NaN is NaN, 0 is not -0),
   * after `expected` was rounded to a float32 where the value is one; records are equal if all of their bytes are.
   * @returns what it was before: it was replaced if that is `expected`
   * @throws {RangeError | TypeError} for a value that the type cannot hold, also as `expected`
   */
  compareExchange(expected: ValueInput<Type>, value: ValueInput<Type>): ValueRead<Type> {
    this.checkOpen();
    return this.#cell.compareExchange(expected, value) as ValueRead<Type>;
  }

  /**
   * Replaces the value by what a function makes of it. Lock-free but for the function, which is called again with the new
   * value when another one was quicker: it should do nothing else. A record may be changed and returned.
   * @param fn - from the value to the next one, not a promise
   * @returns what it was before
   * @throws {RangeError | TypeError} for a value that the type cannot hold; what `fn` throws
   */
  update(fn: (value: ValueRead<Type>) => ValueInput<Type>): ValueRead<Type> {
    if (typeof fn !== 'function') throw new TypeError(`update() takes a function, not ${describe(fn)}`);
    this.checkOpen();
    return this.#cell.update(fn as (value: unknown) => unknown) as ValueRead<Type>;
  }
}

// A segment whose type is known.
class Opened<Type extends ValueType> {
  readonly segment: Segment;
  readonly type: Type;
  readonly cell: ValueCell;
  readonly lock: OpenLock;

  constructor(segment: Segment, type: Type, lock: () => OpenLock) {
    this.segment = segment;
    this.type = type;
    this.cell = typeof type === 'string' ? new ScalarCell(segment, type) : new RecordCell(segment, type);
    this.lock = lock(); // Last: it may open another segment.
  }
}

function open<Type extends ValueType>(
  segment: Segment,
  typeOf: () => Type,
  wantedLock: unknown,
  lockHandle?: SegmentHandle,
): Opened<Type> {
  return makeOver(segment, () => {
    const type = typeOf();
    const reference = readReference(segment);
    return new Opened(segment, type, () => openLock(segment, ValueHeader.lock, reference, wantedLock, lockHandle));
  });
}

function create<Type extends ValueType>(type: Type, initial: unknown, options: ValueOptions): Opened<Type> {
  const checked = checkSharedOptions(withBackendOf(options), 'a name or a backend');
  const { byteLength, format } = bodyOf(checkType(type), initial);
  const body = byteLength(checked.maxParticipants);
  const lock = planLock(options.lock, body, ValueHeader.lock, checked);
  const formatBoth = (segment: Segment) => {
    format(segment);
    lock.format(segment);
  };
  const description = describeWith(typeText(type), lock.reference);
  const segment = createSegment(Constants.kindValue, lock.bodyByteLength, checked, formatBoth, description);
  return open(segment, () => type, options.lock);
}

interface Body {
  byteLength(maxParticipants: number): number;
  /** Writes the initial value, which was checked, into zeroed memory. */
  format(segment: Segment): void;
}

function bodyOf(type: ValueType, initial: unknown): Body {
  return typeof type === 'string' ? scalarBody(type, initial) : recordBody(type, initial);
}

function scalarBody(type: ScalarType, initial: unknown): Body {
  if (initial !== undefined) checkScalar(type, initial);
  return {
    byteLength: () => ValueHeader.copies,
    format: (segment) => {
      if (initial !== undefined) new ScalarCell(segment, type).exchange(initial);
    },
  };
}

// The creator's first copy is current: its participant has number 0, and the word is 0 too.
function recordBody(type: Exclude<ValueType, ScalarType>, initial: unknown): Body {
  const bytes = initial === undefined ? undefined : new RecordEncoder(type).encode(initial as never);
  return {
    byteLength: (maxParticipants) => {
      const byteLength = recordBodyByteLength(type, maxParticipants);
      if (byteLength <= Constants.maxSharedByteLength) return byteLength;
      throw new RangeError(
        `a record of ${type.byteLength} bytes with two copies for each of ${maxParticipants} participants takes ` +
          `${byteLength} bytes, and there can be ${Constants.maxSharedByteLength}: use a smaller maxParticipants`,
      );
    },
    format: (segment) => {
      if (bytes !== undefined) segment.bytes.set(bytes, segment.bodyOffset + ValueHeader.copies);
    },
  };
}
