// A segment in a SharedArrayBuffer, for threads of one process and for browsers. Same bytes as in shared memory. What
// threads lack: a thread that is terminated keeps its roles, since nothing tells the others that it is gone.

import { RingwayError } from '../errors.js';
import { Constants, ParticipantEntry, SegmentHeader } from '../layout.js';
import { pid } from '../runtime.js';
import { whenLanded } from './flight.js';
import { yieldProcessor } from './native-waits.js';
import {
  checkHeader,
  formatHeader,
  kindName,
  participantOffset,
  type Segment,
  type SegmentHandle,
  type SegmentShape,
  type SleepEnd,
  type Wake,
} from './segment.js';

/** setInterval's longest period: a timer that only keeps the event loop alive. */
const LONGEST_INTERVAL_MS = 2 ** 31 - 1;

export class SabSegment implements Segment {
  readonly backend = 'sab';
  readonly handle: SegmentHandle;
  readonly identity: string;
  readonly label: string;
  readonly buffer: SharedArrayBuffer;
  readonly byteLength: number;
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly doubles: Float64Array;
  readonly bytes: Uint8Array;
  readonly bodyOffset: number;
  readonly participantId: number;
  readonly maxParticipants: number;
  readonly judgesDeath = false;
  readonly linked = true;
  #closed = false;

  private constructor(memory: SharedArrayBuffer, shape: SegmentShape) {
    this.buffer = memory;
    this.handle = { kind: kindName(shape.kind), backend: 'sab', memory };
    this.label = `${kindName(shape.kind)} (SharedArrayBuffer)`;
    this.byteLength = memory.byteLength;
    this.words = new Int32Array(memory, 0, this.byteLength >> 2);
    this.doubles = new Float64Array(memory, 0, this.byteLength >> 3);
    this.bytes = new Uint8Array(memory);
    // A SharedArrayBuffer that came through a message is another object over the same memory.
    this.identity = String(new DataView(memory).getBigUint64(SegmentHeader.uniqueId));
    this.maxParticipants = shape.maxParticipants;
    this.bodyOffset = this.words[SegmentHeader.bodyOffset >> 2];
    this.participantId = this.#join();
  }

  static create(shape: SegmentShape, format: (segment: Segment) => void): SabSegment {
    let memory: SharedArrayBuffer;
    try {
      memory = new SharedArrayBuffer(shape.byteLength);
    } catch (cause) {
      throw new RingwayError(`no memory for a SharedArrayBuffer of ${shape.byteLength} bytes`, 'ENOMEM', { cause });
    }
    formatHeader(new DataView(memory), shape, pid);
    const segment = new SabSegment(memory, shape);
    format(segment);
    // Last: a thread that got hold of the memory early finds no segment. Pairs with the load in checkHeader(), which
    // needs no order of its own: a message carried the buffer there.
    Atomics.store(segment.words, SegmentHeader.magic >> 2, Constants.magic);
    return segment;
  }

  static attach(memory: SharedArrayBuffer, kind: number): SabSegment {
    return new SabSegment(memory, checkHeader(new DataView(memory), kind, `this ${kindName(kind)}'s memory`));
  }

  // An entry is free while its pid is 0; threads of one process take them by compare-exchange.
  #join(): number {
    for (let id = 0; id < this.maxParticipants; id++) {
      const entry = participantOffset(id);
      if (Atomics.compareExchange(this.words, (entry + ParticipantEntry.pid) >> 2, 0, pid || 1) !== 0) continue;
      this.doubles[(entry + ParticipantEntry.attachedAtMs) >> 3] = Date.now();
      Atomics.store(this.words, (entry + ParticipantEntry.inFlight) >> 2, 0);
      return id;
    }
    throw new RingwayError(
      `all ${this.maxParticipants} participant entries of ${this.label} are taken: create it with a larger maxParticipants`,
      'EUSERS',
    );
  }

  get closed(): boolean {
    return this.#closed;
  }

  alive(participantId: number): boolean {
    if (participantId >= this.maxParticipants) return false;
    return Atomics.load(this.words, (participantOffset(participantId) + ParticipantEntry.pid) >> 2) !== 0;
  }

  settle(): boolean {
    return false;
  }

  /** The runtime gives memory to pages when they are touched. */
  reserve(): void {}

  wake(sequence: number): void {
    Atomics.add(this.words, sequence >> 2, 2); // event_count.hpp, B; position.hpp, B.
    Atomics.notify(this.words, sequence >> 2);
  }

  sleepSync(sequence: number, expected: number, limitMs: number): SleepEnd {
    return Atomics.wait(this.words, sequence >> 2, expected, limitMs) === 'timed-out' ? 'limit' : 'woken';
  }

  heedSignals(): void {}

  spinSync(a: number, seenA: number, b: number, seenB: number, limitMs: number): void {
    const { words } = this;
    const end = performance.now() + limitMs;
    do {
      for (let turn = 0; turn < 64; turn++) {
        if (Atomics.load(words, a >> 2) !== seenA || Atomics.load(words, b >> 2) !== seenB) return;
      }
      yieldProcessor();
    } while (performance.now() < end);
  }

  sleep(sequence: number, expected: number, limitMs: number, referenced: boolean, wake: Wake): () => void {
    let pending = true;
    // A pending waitAsync does not keep the event loop alive by itself.
    const anchor = referenced ? setInterval(() => {}, LONGEST_INTERVAL_MS) : undefined;
    const settle = () => {
      if (!pending) return false;
      pending = false;
      clearInterval(anchor);
      return true;
    };
    // Not in TypeScript's library for this target.
    const { waitAsync } = Atomics as unknown as {
      waitAsync(words: Int32Array, index: number, value: number, timeoutMs: number): { value: unknown };
    };
    const { value } = waitAsync(this.words, sequence >> 2, expected, limitMs);
    void Promise.resolve(value).then((end) => {
      if (settle()) wake(end === 'timed-out' ? 'limit' : 'woken');
    });
    return () => {
      // Frees the abandoned wait; others who sleep here look again.
      if (settle()) Atomics.notify(this.words, sequence >> 2);
    };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    whenLanded(this, () => {
      Atomics.store(this.words, (participantOffset(this.participantId) + ParticipantEntry.pid) >> 2, 0);
    });
  }
}
