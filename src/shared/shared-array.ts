// An array of values of one type between processes.

import { CorruptSegmentError } from '../errors.js';
import { Constants, SharedArrayHeader } from '../layout.js';
import { checkName, describe } from '../memory/names.js';
import type { Segment, SegmentHandle } from '../memory/segment.js';
import {
  attachOrCreate,
  attachSegment,
  checkInteger,
  checkSharedOptions,
  createSegment,
  makeOver,
  type OpenOptions,
  otherShape,
  type SharedOptions,
  unlink,
} from '../memory/shared-object.js';
import { whenLinked } from '../memory/when-linked.js';
import type { ScalarType } from '../record/description.js';
import type { ArrayTypes } from '../record/record.js';
import type { WithLock } from '../sync/lock-reference.js';
import { checkWaitOptions, type WaitOptions } from '../wait/options.js';
import { type ElementCodec, type ElementView, elementCodec } from './element-codec.js';
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
import {
  checkType,
  describeWith,
  readReference,
  readType,
  show,
  typeText,
  type ValueInput,
  type ValueRead,
  type ValueType,
} from './value-type.js';

export interface SharedArrayOptions extends SharedOptions, LockOption {}

/** What an array is attached with. */
export interface AttachSharedArrayOptions<Type extends ValueType> extends OpenOptions, AttachLockOption {
  /** What its elements are expected to be: another type is an error. Without it they are what it was made with. */
  type?: Type;
}

/** What is opened or made under a name. */
export interface NamedSharedArrayOptions<Type extends ValueType> extends SharedArrayOptions, OpenOptions {
  /** As in SharedOptions. */
  name: string;
  /** What its elements are, and are to be if it is there. */
  type: Type;
  /** How many elements there are, and are to be if it is there. */
  length: number;
}

/** The typed array of a type: `Uint8Array` for `bool`, 0 or 1 each, and for the bytes of records. */
export type SharedArrayView<Type extends ValueType> = Type extends 'bool'
  ? Uint8Array
  : Type extends ScalarType
    ? ArrayTypes[Type]
    : Uint8Array;

/**
 * Values of one type side by side, which any thread of any process that has the array reads and writes.
 *
 * A scalar is read and written whole, as its typed array does it, and `Atomics` work on the view of integers. Several
 * elements, or a record, may be seen half changed by others that read meanwhile.
 */
export class SharedArray<Type extends ValueType = ValueType> extends Lockable implements Iterable<ValueRead<Type>> {
  /** What the elements are. */
  readonly type: Type;
  /** How many elements there are. */
  readonly length: number;
  readonly #codec: ElementCodec;
  readonly #view: ElementView;

  /**
   * Makes an array.
   * @param type - a scalar, `int8` to `uint32`, `int64`, `uint64`, `float32`, `float64`, `bool`, or a record type
   * @param lengthOrValues - how many elements, all of them 0, false, or records of these; or the elements
   * @throws {RangeError | TypeError} for a type, a length, a value or options that cannot be; names the first such element
   * @throws {RingwayError} `EEXIST` if the name is taken; `ENOSPC` if there is no memory
   * @throws {RingwayError} `ERR_RINGWAY_NO_ADDON` for a name or `backend: 'shm'` where there is no addon
   */
  constructor(type: Type, lengthOrValues: number | Iterable<ValueInput<Type>>, options?: SharedArrayOptions);
  /** @internal Over a segment that is open already. */
  constructor(type: Opened<Type>);
  constructor(
    type: Type | Opened<Type>,
    lengthOrValues: number | Iterable<ValueInput<Type>> = 0,
    options: SharedArrayOptions = {},
  ) {
    const opened = type instanceof Opened ? type : create(type, lengthOrValues, options);
    super(opened.segment, opened.lock);
    this.type = opened.type;
    this.length = opened.length;
    this.#codec = opened.codec;
    this.#view = opened.view;
  }

  /**
   * Opens an array that another process or thread made. Never changes it.
   * @param target - a name, or the `handle` of an array
   * @throws {RingwayError} `ENOENT` if there is none; `EACCES` if it is another user's
   * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if its elements have another type than was asked for; shows both
   * @throws {CorruptSegmentError} if it is no array of this version
   */
  static attach<Type extends ValueType = ValueType>(
    target: string | WithLock<SegmentHandle>,
    options: AttachSharedArrayOptions<Type> = {},
  ): SharedArray<Type> {
    const wanted = options.type === undefined ? undefined : checkType(options.type);
    if (options.lock !== undefined) checkLockOption(options.lock);
    const segment = attachSegment(Constants.kindSharedArray, target, options);
    const handle = typeof target === 'string' ? undefined : target.lock;
    return new SharedArray(open(segment, () => readType(segment, wanted) as Type, options.lock, handle));
  }

  /**
   * Opens the array of that name, or makes it, of zeros.
   * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if it is there with another type or length; shows both
   */
  static createOrAttach<Type extends ValueType>(options: NamedSharedArrayOptions<Type>): SharedArray<Type> {
    checkSharedOptions(options, 'a name, a type and a length');
    const { type, length } = options;
    const name = checkName(options.name);
    checkLength(length, elementCodec(checkType(type)).byteLength);
    const check = (there: SharedArray<Type>) => {
      if (there.length === length) return;
      throw otherShape(name, `${there.length} elements of type ${show(there.type)}`, String(length));
    };
    return attachOrCreate(
      () => SharedArray.attach(name, options as AttachSharedArrayOptions<Type>),
      check,
      () => new SharedArray(type, length, options),
    );
  }

  /**
   * Waits until an array of that name is created, and opens it.
   * @throws {TimeoutError} after `timeoutMs`
   */
  static async whenCreated<Type extends ValueType = ValueType>(
    name: string,
    options: WaitOptions & AttachSharedArrayOptions<Type> = {},
  ): Promise<SharedArray<Type>> {
    checkName(name);
    checkWaitOptions(options);
    return whenLinked(name, options, () => SharedArray.attach(name, options));
  }

  /**
   * Removes a name. Those who have the array keep it.
   * @throws {RingwayError} `ENOENT` if there is none
   */
  static unlink(name: string): void {
    unlink(name);
  }

  /**
   * The elements as a typed array on the shared memory, always the same one; of bools and records, their bytes.
   * @throws {ClosedError} if this handle was closed
   */
  get view(): SharedArrayView<Type> {
    this.checkOpen();
    return this.#view as unknown as SharedArrayView<Type>;
  }

  /**
   * One element. A record is a copy.
   * @param index - from 0; a negative one counts from the end
   * @returns undefined where there is none
   * @throws {RangeError | TypeError} unless `index` is a whole number
   */
  at(index: number): ValueRead<Type> | undefined {
    checkInteger('index', index, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
    this.checkOpen();
    const at = index < 0 ? index + this.length : index;
    if (at < 0 || at >= this.length) return undefined;
    return this.#codec.get(this.#view, at) as ValueRead<Type>;
  }

  /**
   * Sets one element.
   * @param index - from 0; a negative one counts from the end
   * @throws {RangeError | TypeError} if there is no such element, or for a value that it cannot hold; nothing has changed
   */
  set(index: number, value: ValueInput<Type>): void;
  /**
   * Sets several elements, one after the other.
   * @param values - what the elements from `offset` on are then
   * @param offset - 0 by default
   * @throws {RangeError | TypeError} if there are not so many elements, or for values that they cannot hold, naming the
   * first; nothing has changed
   */
  set(values: Iterable<ValueInput<Type>>, offset?: number): void;
  set(target: number | Iterable<ValueInput<Type>>, value?: ValueInput<Type> | number): void {
    this.checkOpen();
    const { length } = this;
    if (typeof target === 'number') {
      checkInteger('index', target, -length, length - 1);
      this.#codec.set(this.#view, target < 0 ? target + length : target, value);
      return;
    }
    const values = this.#codec.prepare(listOf(target));
    const offset = value ?? 0;
    checkInteger('offset', offset, 0, length);
    const { stride } = this.#codec;
    const count = values.length / stride;
    if (count > length - offset) {
      throw new RangeError(`${count} values from element ${offset} on do not fit in an array of ${length}`);
    }
    this.checkOpen(); // An iterable, or a getter of a record, may have closed it.
    this.#view.set(values, offset * stride);
  }

  /** The elements from first to last, each as it is when the loop comes to it. */
  *[Symbol.iterator](): IterableIterator<ValueRead<Type>> {
    for (let index = 0; index < this.length; index++) yield this.at(index) as ValueRead<Type>;
  }
}

// A segment whose type and length are known.
class Opened<Type extends ValueType> {
  readonly segment: Segment;
  readonly type: Type;
  readonly length: number;
  readonly codec: ElementCodec;
  readonly view: ElementView;
  readonly lock: OpenLock;

  constructor(segment: Segment, type: Type, lock: () => OpenLock) {
    const { bodyOffset, buffer, byteLength, words } = segment;
    const elements = bodyOffset + SharedArrayHeader.elements;
    const codec = elementCodec(type);
    const length = elements <= byteLength ? words[(bodyOffset + SharedArrayHeader.length) >> 2] >>> 0 : 0;
    const lockAt = words[(bodyOffset + SharedArrayHeader.lock) >> 2] >>> 0;
    const end = lockAt === 0 ? byteLength : Math.min(bodyOffset + lockAt, byteLength);
    if (elements + length * codec.byteLength > end) {
      throw new CorruptSegmentError(
        `${segment.label} contradicts itself: ${byteLength} bytes hold no ${length} elements of type ${show(type)}`,
      );
    }
    this.segment = segment;
    this.type = type;
    this.length = length;
    this.codec = codec;
    this.view = codec.viewOf(buffer, elements, length);
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
    return new Opened(segment, type, () =>
      openLock(segment, SharedArrayHeader.lock, reference, wantedLock, lockHandle),
    );
  });
}

function create<Type extends ValueType>(
  type: Type,
  lengthOrValues: number | Iterable<unknown>,
  options: SharedArrayOptions,
): Opened<Type> {
  const checked = checkSharedOptions(withBackendOf(options), 'a name or a backend');
  const codec = elementCodec(checkType(type));
  const values = typeof lengthOrValues === 'number' ? undefined : codec.prepare(listOf(lengthOrValues));
  const length = values === undefined ? (lengthOrValues as number) : values.length / codec.stride;
  const elements = SharedArrayHeader.elements + checkLength(length, codec.byteLength);
  const lock = planLock(options.lock, elements, SharedArrayHeader.lock, checked);
  const format = (segment: Segment) => {
    const { bodyOffset, buffer, words } = segment;
    words[(bodyOffset + SharedArrayHeader.length) >> 2] = length;
    if (values !== undefined) codec.viewOf(buffer, bodyOffset + SharedArrayHeader.elements, length).set(values);
    lock.format(segment);
  };
  const description = describeWith(typeText(type), lock.reference);
  const segment = createSegment(Constants.kindSharedArray, lock.bodyByteLength, checked, format, description);
  return open(segment, () => type, options.lock);
}

// How many bytes so many elements take.
function checkLength(length: number, byteLength: number): number {
  checkInteger('length', length, 0, Math.floor(Constants.maxSharedByteLength / byteLength));
  return length * byteLength;
}

// Elements that can be counted; a typed array as it is.
function listOf(values: unknown): ArrayLike<unknown> {
  if (ArrayBuffer.isView(values) && !(values instanceof DataView)) return values as unknown as ArrayLike<unknown>;
  if (typeof values === 'object' && values !== null && Symbol.iterator in values) {
    return Array.from(values as Iterable<unknown>);
  }
  throw new TypeError(`values must be an array or another iterable, not ${describe(values)}`);
}
