// The options of a queue, what is refused, and how its segment is laid out.

import type { ValueCodec } from '../codec/codec.js';
import { type CodecOption, checkCodec } from '../codec/option.js';
import { Constants, QueueHeader } from '../layout.js';
import type { Segment } from '../memory/segment.js';
import {
  type CheckedSharedOptions,
  checkInteger,
  checkSharedOptions,
  type SharedOptions,
} from '../memory/shared-object.js';
import { formatMpmc, type MpmcShape, mpmcByteLength, withholdSlots } from '../ring/mpmc-slots.js';

import { checkWait, type WaitMode } from '../wait/adaptive-spin.js';
import type { AttachOptions } from '../wait/options.js';
import { extentsByteLength } from './arena.js';

const DEFAULT_MAX_SIZE = 1024;
const DEFAULT_CAPACITY = 2 ** 26;
const MAX_CAPACITY = 2 ** 31;
const PAGE_BYTE_LENGTH = 4096;
const SMALLEST_BLOCK = 64;

/** What fits into a slot. With the slot's own words an odd number of cache lines, so that slots' first lines spread over the cache. */
const SLOT_BYTE_LENGTH = 1064;

export interface QueueOptions extends SharedOptions {
  /** Most values at once, those that are leased included: 1 to 65536, 1024 by default. */
  maxSize?: number;
  /**
   * How much room values have together that take more than about 1 KiB, in bytes: 4096 to 2^31, 64 MiB by default, rounded up
   * to a multiple of 4096 at least. It is only taken from the system as it is needed.
   */
  capacity?: number;
  /** How handles wait: `adaptive` (default) spins a little while traffic flows, `spin` takes a core, `park` never spins. */
  wait?: WaitMode;
  /** How values become bytes; `'structured'` by default. All who attach need the same. */
  codec?: CodecOption;
}

/** What a queue takes to be attached to. */
export interface AttachQueueOptions extends AttachOptions {
  /** By default what the queue was made with, if that is one of the package's own. */
  codec?: CodecOption;
}

/** What is opened or made under a name. */
export interface NamedQueueOptions extends QueueOptions, AttachQueueOptions {
  name: string;
}

export interface QueueShape {
  maxSize: number;
  capacity: number;
  codec: ValueCodec;
}

export interface CheckedQueueOptions extends QueueShape {
  shared: CheckedSharedOptions;
  ring: MpmcShape;
  blockByteLength: number;
}

export function checkQueueOptions(options: QueueOptions): CheckedQueueOptions {
  const shared = checkSharedOptions(options, 'a name or a maxSize');
  const { maxSize = DEFAULT_MAX_SIZE, capacity = DEFAULT_CAPACITY, wait = 'adaptive' } = options;
  checkInteger('maxParticipants', shared.maxParticipants, Constants.minParticipants, Constants.maxMpmcParticipants);
  checkInteger('maxSize', maxSize, 1, Constants.maxMpmcSlots);
  checkInteger('capacity', capacity, PAGE_BYTE_LENGTH, MAX_CAPACITY);
  const blockByteLength = Math.max(2 ** Math.ceil(Math.log2(capacity / Constants.maxArenaBlocks)), SMALLEST_BLOCK);
  const unit = Math.max(blockByteLength, PAGE_BYTE_LENGTH);
  const ring: MpmcShape = {
    slots: Math.max(2 ** Math.ceil(Math.log2(maxSize)), Constants.minMpmcSlots),
    slotByteLength: SLOT_BYTE_LENGTH,
    alignment: 8,
    wait: checkWait(wait),
  };
  return {
    shared,
    ring,
    maxSize,
    capacity: Math.ceil(capacity / unit) * unit,
    blockByteLength,
    codec: checkCodec(options.codec),
  };
}

/** Where the queue's own header is, from the body's start, in bytes. */
export function queueOffsetFor(ring: MpmcShape, maxParticipants: number): number {
  const { isolationBytes } = Constants;
  return Math.ceil(mpmcByteLength(ring, maxParticipants) / isolationBytes) * isolationBytes;
}

/** Of the body without the arena, in bytes. */
export function queueByteLength({ ring, shared }: CheckedQueueOptions): number {
  return queueOffsetFor(ring, shared.maxParticipants) + QueueHeader.extents + extentsByteLength(ring.slots);
}

/** Writes the body of an empty queue into zeroed memory. */
export function formatQueue(segment: Segment, { ring, maxSize, capacity, blockByteLength }: CheckedQueueOptions): void {
  formatMpmc(segment, ring);
  withholdSlots(segment, ring, maxSize);
  const start = segment.bodyOffset + queueOffsetFor(ring, segment.maxParticipants);
  segment.words[(start + QueueHeader.maxSize) >> 2] = maxSize;
  segment.words[(start + QueueHeader.blockByteLength) >> 2] = blockByteLength;
  segment.words[(start + QueueHeader.blocks) >> 2] = capacity / blockByteLength;
}
