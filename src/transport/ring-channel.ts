// Frames as records of SPSC rings: between processes in shared memory, between threads in a SharedArrayBuffer.

import { RingwayError } from '../errors.js';
import type { Hold, Ticket } from '../memory/flight.js';
import { describe } from '../memory/names.js';
import type { Backend, SegmentHandle } from '../memory/segment.js';
import type { Carrier, Departure, Route } from '../memory/travel.js';
import { SpscRing } from '../ring/spsc.js';
import type { SpscConsumer } from '../ring/spsc-consumer.js';
import type { SpscEnd } from '../ring/spsc-end.js';
import type { SpscProducer } from '../ring/spsc-producer.js';
import type { Peek } from '../ring/views.js';
import type { NotYet } from '../wait/condition.js';
import type { SyncWaitOptions, WaitOptions } from '../wait/options.js';
import type { FrameChannel, FrameReader, FrameReceiver, FrameSender, FrameWriter, Transport } from './frames.js';

/** A pair has one handle for each end of each ring: two, and whoever takes one over before the other has left. */
const MAX_PARTICIPANTS = 8;

/**
 * With several parts in the ring the other end reads one while the next is written, and neither waits for the other at every
 * part; of many small ones each costs more than it copies.
 */
const PARTS_PER_FRAME = 4;

/** Who sends asks the kernel this often whether the other end's process lives: it costs a microsecond. */
const ASK_AGAIN_MS = 1;

/** Where an end lies in a message. */
type EndHandle = SegmentHandle & { ticket: Ticket };

/** What a channel leaves in a message. */
interface Handles {
  sender?: EndHandle;
  receiver?: EndHandle;
}

abstract class RingFrameEnd<End extends SpscEnd> {
  readonly ring: SpscRing;
  protected readonly end: End;

  constructor(ring: SpscRing, end: End) {
    this.ring = ring;
    this.end = end;
    end.deathIsClose = true;
  }

  get closed(): boolean {
    return this.end.closed;
  }

  get hasWaiting(): boolean {
    return this.end.hasWaiting;
  }

  until<Result>(what: string, options: WaitOptions | undefined, attempt: () => Result | NotYet): Promise<Result> {
    return this.end.waitAsync(what, options, attempt);
  }

  untilSync<Result>(what: string, options: SyncWaitOptions | undefined, attempt: () => Result | NotYet): Result {
    return this.end.waitSync(what, options, attempt);
  }

  /** Whether the end is in a message that may have been received already. */
  setLeaving(isLeaving: boolean): void {
    this.end.isLeaving = isLeaving;
  }

  ref(): void {
    this.end.ref();
  }

  unref(): void {
    this.end.unref();
  }

  close(): void {
    this.ring.close();
  }

  /** The end is in a message: it stays with us until it is taken from there, or `carrier` will not get it there. */
  giveAway(ticket: Ticket, carrier: Carrier | undefined): void {
    const hold = carrier?.hold?.();
    if (hold !== undefined) {
      this.ring.watchCarrier(hold, () => {
        this.end.takeBack();
        this.ring.land(ticket);
      });
    }
    this.end.giveAway();
    this.ring.close();
  }
}

class RingFrameSender extends RingFrameEnd<SpscProducer> implements FrameSender {
  #askedAt = -Infinity;

  get maxFrameByteLength(): number {
    return this.ring.maxRecordByteLength;
  }

  get partByteLength(): number {
    return this.maxFrameByteLength / PARTS_PER_FRAME;
  }

  get peerIsGone(): boolean {
    if (this.end.peerIsKnownGone()) return true;
    const now = performance.now();
    if (now - this.#askedAt < ASK_AGAIN_MS) return false;
    this.#askedAt = now;
    return this.end.peerIsGone();
  }

  hold(): Hold {
    return { isLost: () => this.end.peerIsGone(), release: this.ring.holdOpen() };
  }

  tryWrite(byteLength: number, writer: FrameWriter): boolean {
    return this.end.tryWrite(byteLength, writer);
  }
}

class RingFrameReceiver extends RingFrameEnd<SpscConsumer> implements FrameReceiver {
  tryRead(reader: FrameReader): boolean {
    return this.end.lookAtNext(reader);
  }

  tryBorrow(): Peek | null {
    return this.end.tryPeek();
  }
}

/** One end of a pair of rings, or of one of them. */
export class RingChannel implements FrameChannel {
  readonly transport: Transport;
  readonly sender: RingFrameSender | undefined;
  readonly receiver: RingFrameReceiver | undefined;

  private constructor(
    transport: Backend,
    sender: RingFrameSender | undefined,
    receiver: RingFrameReceiver | undefined,
  ) {
    this.transport = transport;
    this.sender = sender;
    this.receiver = receiver;
  }

  /**
   * Two ends that lead to each other; with `duplex: false` the first one receives and the second one sends.
   * @param capacity - of each ring, in bytes
   * @throws {RingwayError} `ENOSPC` if there is no memory; `ERR_RINGWAY_NO_ADDON`
   */
  static pair(backend: Backend, capacity: number, duplex: boolean): [RingChannel, RingChannel] {
    const made: { close(): void }[] = [];
    try {
      const line = () => {
        const sending = SpscRing.create({ capacity, backend, maxParticipants: MAX_PARTICIPANTS });
        made.push(sending);
        // The receiver's attachment is its own, since it may move while the sender stays.
        const receiving = SpscRing.attach(sending.handle);
        made.push(receiving);
        return {
          sender: new RingFrameSender(sending, sending.producer()),
          receiver: new RingFrameReceiver(receiving, receiving.consumer()),
        };
      };
      const there = line();
      const back = duplex ? line() : undefined;
      return [
        new RingChannel(backend, back?.sender, there.receiver),
        new RingChannel(backend, there.sender, back?.receiver),
      ];
    } catch (error) {
      for (const ring of made) ring.close();
      throw error;
    }
  }

  /**
   * Takes over the ends that a message carried.
   * @throws {RingwayError} `ENOENT` if their sender ended before; `ERR_RINGWAY_STATE` if somebody has them already
   */
  static arrive(data: unknown): RingChannel {
    const handles = checkHandles(data);
    let sender: RingFrameSender | undefined;
    try {
      if (handles.sender !== undefined) {
        const { ring, end } = SpscRing.arrive(handles.sender, 'producer');
        sender = new RingFrameSender(ring, end);
      }
      let receiver: RingFrameReceiver | undefined;
      if (handles.receiver !== undefined) {
        const { ring, end } = SpscRing.arrive(handles.receiver, 'consumer');
        receiver = new RingFrameReceiver(ring, end);
      }
      return new RingChannel((handles.sender ?? handles.receiver)?.backend ?? 'shm', sender, receiver);
    } catch (error) {
      sender?.close();
      throw error;
    }
  }

  depart(route: Route): Omit<Departure, 'kind'> {
    for (const end of this.#ends()) end.ring.checkRoute(route);
    const data = this.#takeOff();
    this.#setLeaving(true);
    return {
      data,
      sent: (_, carrier) => this.#giveAway(data, carrier),
      unsent: () => {
        this.#setLeaving(false);
        if (data.sender !== undefined) this.sender?.ring.land(data.sender.ticket);
        if (data.receiver !== undefined) this.receiver?.ring.land(data.receiver.ticket);
      },
    };
  }

  giveAway(): Handles {
    const data = this.#takeOff();
    this.#giveAway(data, undefined);
    return data;
  }

  #setLeaving(isLeaving: boolean): void {
    for (const end of this.#ends()) end.setLeaving(isLeaving);
  }

  #takeOff(): Handles {
    const handleOf = ({ ring }: { ring: SpscRing }): EndHandle => ({ ...ring.handle, ticket: ring.takeOff() });
    return {
      ...(this.sender === undefined ? {} : { sender: handleOf(this.sender) }),
      ...(this.receiver === undefined ? {} : { receiver: handleOf(this.receiver) }),
    };
  }

  #giveAway({ sender, receiver }: Handles, carrier: Carrier | undefined): void {
    if (sender !== undefined) this.sender?.giveAway(sender.ticket, carrier);
    if (receiver !== undefined) this.receiver?.giveAway(receiver.ticket, carrier);
  }

  #ends(): RingFrameEnd<SpscEnd>[] {
    return [this.sender, this.receiver].filter((end) => end !== undefined) as RingFrameEnd<SpscEnd>[];
  }
}

function checkHandles(data: unknown): Handles {
  const isEnd = (handle: unknown) =>
    handle === undefined || Number.isInteger((handle as Partial<EndHandle> | null)?.ticket?.participant);
  const { sender, receiver } = (data ?? {}) as Handles;
  if ((sender ?? receiver) !== undefined && isEnd(sender) && isEnd(receiver)) return { sender, receiver } as Handles;
  throw new RingwayError(
    `a message carries an end of a connection that leads nowhere: ${describe(data)}`,
    'ERR_RINGWAY_UNSERIALISABLE',
  );
}
