// What a message can carry besides plain data: the classes that attach to what a Departure left in it.

import type { ValueCodec } from '../codec/codec.js';
import { RingwayError } from '../errors.js';
import { describe } from '../memory/names.js';
import type { SegmentHandle } from '../memory/segment.js';
import type { Arrive } from '../memory/travel.js';
import { type RecordType, record } from '../record/record.js';
import { BroadcastRing } from '../ring/broadcast.js';
import { MpmcRing } from '../ring/mpmc.js';
import { SpscRing } from '../ring/spsc.js';
import { SharedArray } from '../shared/shared-array.js';
import { SharedMemory } from '../shared/shared-memory.js';
import { Value } from '../shared/value.js';
import { Barrier } from '../sync/barrier.js';
import { Condition, type ConditionHandle } from '../sync/condition.js';
import { Lock } from '../sync/lock.js';
import { RLock } from '../sync/rlock.js';
import { Semaphore } from '../sync/semaphore.js';
import { SharedEvent } from '../sync/shared-event.js';
import { Connection, type ConnectionHandle } from './connection.js'; // Which imports this file: ends carry ends.
import { Queue } from './queue.js';
import { QueueSender } from './queue-sender.js';

type Data = SegmentHandle & { description?: unknown };

// A ring of typed records says which they are; attach() without them is for one of bytes.
const ring =
  <Made>(attach: (handle: SegmentHandle, options: { record: RecordType }) => Made) =>
  (data: Data): Made =>
    attach(data, { record: data.description ? record(JSON.parse(String(data.description))) : undefined } as never);

const CLASSES: Readonly<Record<string, (data: never) => unknown>> = {
  SpscRing: ring((handle, options) => SpscRing.attach(handle, options)),
  MpmcRing: ring((handle, options) => MpmcRing.attach(handle, options)),
  BroadcastRing: ring((handle, options) => BroadcastRing.attach(handle, options)),
  Semaphore: (handle: SegmentHandle) => Semaphore.attach(handle),
  Lock: (handle: SegmentHandle) => Lock.attach(handle),
  RLock: (handle: SegmentHandle) => RLock.attach(handle),
  SharedEvent: (handle: SegmentHandle) => SharedEvent.attach(handle),
  Barrier: (handle: SegmentHandle) => Barrier.attach(handle),
  Condition: (handle: ConditionHandle) => Condition.attach(handle),
  Value: (handle: SegmentHandle) => Value.attach(handle),
  SharedArray: (handle: SegmentHandle) => SharedArray.attach(handle),
  Connection: (handle: ConnectionHandle) => Connection.attach(handle),
  SharedMemory: (handle: SegmentHandle) => SharedMemory.attach(handle),
  Queue: (handle: SegmentHandle) => Queue.attach(handle),
  QueueSender: (handle: SegmentHandle) => QueueSender.attach(handle),
};

/**
 * Makes the receiver's object.
 * @throws {RingwayError} `ENOENT` if the sender's process ended before; `ERR_RINGWAY_UNSERIALISABLE` for other kinds
 */
export const arrive: Arrive = (kind, data) => {
  if (Object.hasOwn(CLASSES, kind)) return CLASSES[kind](data as never);
  throw new RingwayError(`a message carries ${describe(kind)}, which is no class`, 'ERR_RINGWAY_UNSERIALISABLE');
};

/**
 * Makes values of messages. When one object in a message cannot be attached to, all others are, and closed: their senders
 * answer for them until then, and whoever is at the other end of a connection would wait for them.
 */
export class Receiving {
  readonly #arriveAt: Arrive;
  #arrived: unknown[] | undefined;
  #failure: { error: unknown } | undefined;

  constructor(arriveAt: Arrive = arrive) {
    this.#arriveAt = arriveAt;
  }

  /** As ValueCodec.decode(). Throws also what attaching to an object in the message throws. */
  decode(codec: ValueCodec, memory: Uint8Array, byteOffset: number, byteLength: number, owned: boolean): unknown {
    const arrivedOutside = this.#arrived; // A codec of the user's may receive meanwhile.
    const failureOutside = this.#failure;
    this.#arrived = this.#failure = undefined;
    let isWhole = false;
    try {
      const value = codec.decode(memory, byteOffset, byteLength, this.#arrive, owned);
      if (this.#failure !== undefined) throw (this.#failure as { error: unknown }).error;
      isWhole = true;
      return value;
    } finally {
      if (!isWhole) for (const object of this.#arrived ?? []) (object as { close?(): void } | undefined)?.close?.();
      this.#arrived = arrivedOutside;
      this.#failure = failureOutside;
    }
  }

  readonly #arrive: Arrive = (kind, data) => {
    try {
      const object = this.#arriveAt(kind, data);
      this.#arrived ??= [];
      this.#arrived.push(object);
      return object;
    } catch (error) {
      this.#failure ??= { error };
      return undefined;
    }
  };
}
