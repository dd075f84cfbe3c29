// The end of a queue that can only put, and that consumers learn the end of.

import { ClosedError } from '../errors.js';
import { Constants } from '../layout.js';
import { closesWhenCollected } from '../memory/collected.js';
import { checkRoute, departureOf, land, watchCarrier } from '../memory/flight.js';
import type { Segment, SegmentHandle } from '../memory/segment.js';
import { SegmentOwner } from '../memory/segment-owner.js';
import { attachInFlight, attachSegment, makeOver } from '../memory/shared-object.js';
import { type Departure, type Route, travels } from '../memory/travel.js';
import type { WaitMode } from '../wait/adaptive-spin.js';
import { checkAttachedWait, type SyncWaitOptions, type WaitOptions } from '../wait/options.js';
import { Putting } from './putting.js';
import { QueueBody } from './queue-body.js';
import type { AttachQueueOptions } from './queue-options.js';

/**
 * The end of a queue that can only put. While there is one, somewhere, the queue goes on; when there has been one, and all
 * are closed or their processes dead, it ends by itself.
 *
 * It counts from the moment it is taken from its queue or attached. One that is sent on counts at its receiver instead, and
 * on the way: here it counts again only when something is put through it. So `queue.sender` can be sent to many, without one
 * being left behind that has to be closed.
 */
export class QueueSender<T = unknown> extends SegmentOwner {
  readonly #body: QueueBody;
  readonly #segment: Segment;
  readonly #putting: Putting;
  readonly #origin: { readonly closed: boolean } | undefined; // The queue whose segment it uses.
  #counts = false;
  #hasPut = false;
  #closed = false;

  /** @internal Use `queue.sender`, or attach(). */
  constructor(body: QueueBody, mode: WaitMode, origin?: { readonly closed: boolean }) {
    super(body.segment);
    this.#body = body;
    this.#segment = body.segment;
    this.#putting = new Putting(body, mode);
    this.#origin = origin;
    this.#count();
    if (origin === undefined) collected.register(this, { segment: this.#segment, body }, this);
  }

  /**
   * Opens another sender of a queue.
   * @param target - a name, or the `handle` of a queue or sender
   * @throws {RingwayError} `ENOENT` if there is no such queue; `EACCES` if it is another user's
   * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if it was made with another codec; shows both
   */
  static attach<T = unknown>(target: string | SegmentHandle, options: AttachQueueOptions = {}): QueueSender<T> {
    const mode = checkAttachedWait(options);
    const segment = attachInFlight(Constants.kindQueue, target, options);
    const sender = makeOver(segment, () => {
      const body = new QueueBody(segment, options.codec);
      return new QueueSender<T>(body, mode ?? body.slots.shape.wait);
    });
    // It counts here by now, so there is no moment at which it counts nowhere.
    if (typeof target !== 'string' && target.ticket !== undefined) land(segment, target.ticket);
    return sender;
  }

  /** @internal */
  override [travels](route: Route): Departure {
    this.#checkOpen();
    checkRoute(this.#segment, route);
    // By an attachment of its own, which counts until this one has arrived: what becomes of others does not matter.
    const segment = attachSegment(Constants.kindQueue, this.handle, { anyOwner: true });
    return makeOver(segment, () => {
      const departure = departureOf(segment, route, 'QueueSender');
      this.#body.producers.ofAttachment(segment).send();
      return {
        ...departure,
        sent: (_, carrier) => {
          const hold = carrier?.hold?.();
          if (hold !== undefined) watchCarrier(segment, hold, departure.unsent);
          segment.close();
          if (!this.#hasPut) this.#uncount();
        },
        unsent: () => {
          departure.unsent();
          segment.close();
        },
      };
    });
  }

  /** Whether this sender was closed. */
  override get closed(): boolean {
    return this.#closed;
  }

  /** As of the queue. */
  tryPut(value: T): boolean {
    this.#checkOpen();
    this.#willPut();
    return this.#putting.tryPut(value);
  }

  /** As of the queue. */
  put(value: T, options?: WaitOptions): Promise<void> {
    if (this.#closed) return Promise.reject(this.#closedError());
    this.#willPut();
    return this.#putting.put(value, options);
  }

  /** As of the queue. */
  putSync(value: T, options?: SyncWaitOptions): void {
    this.#checkOpen();
    this.#willPut();
    this.#putting.putSync(value, options);
  }

  /** Puts no more; what waits is rejected with ClosedError. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    collected.unregister(this);
    this.#putting.close(`the sender of ${this.#segment.label} was closed`);
    this.#uncount();
    if (this.#origin === undefined) this.#segment.close();
  }

  /** A pending put() keeps the process alive: the default. */
  ref(): this {
    this.#putting.referenced = true;
    return this;
  }

  /** Lets the process end though a put() is pending. */
  unref(): this {
    this.#putting.referenced = false;
    return this;
  }

  /** @internal It was taken from its queue once more. */
  takeAgain(): this {
    this.#count();
    return this;
  }

  #willPut(): void {
    if (this.#hasPut) return;
    this.#hasPut = true;
    this.#count();
  }

  #count(): void {
    if (this.#counts) return;
    this.#counts = true;
    this.#body.producers.add();
  }

  #uncount(): void {
    if (!this.#counts) return;
    this.#counts = false;
    this.#body.producers.remove();
  }

  #checkOpen(): void {
    if (this.#closed) throw this.#closedError();
  }

  #closedError(): ClosedError {
    return new ClosedError(`the sender of ${this.#segment.label} is closed`);
  }
}

const collected = closesWhenCollected<{ segment: Segment; body: QueueBody }>(({ segment, body }) => {
  if (!segment.closed) body.producers.remove();
});
