// A block of memory between processes, as bytes and nothing else.

import { Constants } from '../layout.js';
import { checkName } from '../memory/names.js';
import type { Segment, SegmentHandle } from '../memory/segment.js';
import {
  attachOrCreate,
  attachSegment,
  checkInteger,
  checkSharedOptions,
  createSegment,
  type OpenOptions,
  otherShape,
  type SharedOptions,
  unlink,
} from '../memory/shared-object.js';
import { whenLinked } from '../memory/when-linked.js';
import { checkWaitOptions, type WaitOptions } from '../wait/options.js';
import { ViewedMemory } from './viewed-memory.js';

export interface SharedMemoryOptions extends SharedOptions {
  /** How many bytes, 1 to 2^32 - 2^20. */
  byteLength: number;
}

/** What is opened or made under a name. */
export interface NamedSharedMemoryOptions extends SharedMemoryOptions, OpenOptions {
  name: string;
}

/**
 * A block of bytes that any thread of any process that has it reads and writes. It is zero when it is created; attaching
 * changes nothing of it, and closing neither, nor does the end of any process, if it has a name.
 */
export class SharedMemory extends ViewedMemory {
  readonly #segment: Segment;
  readonly #bytes: Uint8Array;

  /** @internal Use create() or attach(). */
  constructor(segment: Segment) {
    super(segment);
    this.#segment = segment;
    this.#bytes = new Uint8Array(segment.buffer, segment.bodyOffset); // The body is all that follows.
  }

  /**
   * Makes a block of zeros. All of it is reserved at once.
   * @throws {RangeError | TypeError} for options out of range, with the value
   * @throws {RingwayError} `EEXIST` if the name is taken; `ENOSPC` if there is no memory
   * @throws {RingwayError} `ERR_RINGWAY_NO_ADDON` for a name or `backend: 'shm'` where there is no addon
   */
  static create(options: SharedMemoryOptions): SharedMemory {
    const { byteLength, shared } = checkOptions(options);
    return new SharedMemory(createSegment(Constants.kindSharedMemory, byteLength, shared, () => {}));
  }

  /**
   * Opens a block that another process or thread made.
   * @param target - a name, or the `handle` of a block
   * @throws {RingwayError} `ENOENT` if there is none; `EACCES` if it is another user's
   * @throws {CorruptSegmentError} if it is no block of this version
   */
  static attach(target: string | SegmentHandle, options: OpenOptions = {}): SharedMemory {
    return new SharedMemory(attachSegment(Constants.kindSharedMemory, target, options));
  }

  /**
   * Opens the block of that name, or makes it.
   * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if it is there with another `byteLength`; shows both
   */
  static createOrAttach(options: NamedSharedMemoryOptions): SharedMemory {
    const { byteLength } = checkOptions(options);
    const name = checkName(options.name);
    const check = (there: SharedMemory) => {
      if (there.byteLength === byteLength) return;
      throw otherShape(name, `${there.byteLength} bytes`, String(byteLength));
    };
    return attachOrCreate(
      () => SharedMemory.attach(name, options),
      check,
      () => SharedMemory.create(options),
    );
  }

  /**
   * Waits until a block of that name is created, and opens it.
   * @throws {TimeoutError} after `timeoutMs`
   */
  static async whenCreated(name: string, options: WaitOptions & OpenOptions = {}): Promise<SharedMemory> {
    checkName(name);
    checkWaitOptions(options);
    return whenLinked(name, options, () => SharedMemory.attach(name, options));
  }

  /**
   * Removes a name. Those who have the block keep it.
   * @throws {RingwayError} `ENOENT` if there is none
   */
  static unlink(name: string): void {
    unlink(name);
  }

  /** How many bytes, exactly as many as were asked for. */
  get byteLength(): number {
    return this.#bytes.length;
  }

  /**
   * The bytes, shape [byteLength]: always the same view. It starts at a multiple of 128 in its buffer, so typed arrays of
   * any type can be made of it: `new Float64Array(bytes.buffer, bytes.byteOffset, length)`.
   * @throws {ClosedError} if this handle was closed
   */
  get bytes(): Uint8Array {
    this.checkOpen();
    return this.#bytes;
  }

  /**
   * What `bytes` is a view of. The block is from `bytes.byteOffset` on; before it stands what makes the block work, which
   * is not to be written.
   * @throws {ClosedError} if this handle was closed
   */
  get buffer(): ArrayBuffer | SharedArrayBuffer {
    this.checkOpen();
    return this.#segment.buffer;
  }
}

function checkOptions(options: SharedMemoryOptions) {
  const shared = checkSharedOptions(options, 'a byteLength');
  const { byteLength } = options;
  checkInteger('byteLength', byteLength, 1, Constants.maxSharedByteLength);
  return { byteLength, shared };
}
