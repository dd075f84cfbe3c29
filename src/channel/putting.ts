// The putting side of one handle to a queue. A value is encoded when put() is called, also if it has to wait.

import type { Encoded } from '../codec/codec.js';
import type { Departure, Route } from '../memory/travel.js';
import type { WaitMode } from '../wait/adaptive-spin.js';
import { NOT_YET, type NotYet } from '../wait/condition.js';
import { checkWaitOptions, type SyncWaitOptions, type WaitOptions } from '../wait/options.js';
import { WaitingLine } from '../wait/waiting-line.js';
import type { QueueBody } from './queue-body.js';
import { QueueRoom } from './queue-waits.js';

export class Putting {
  readonly #body: QueueBody;
  readonly #room: QueueRoom;
  readonly #line: WaitingLine;
  readonly #route: Route;

  constructor(body: QueueBody, mode: WaitMode) {
    this.#body = body;
    this.#room = new QueueRoom(body, mode);
    this.#line = new WaitingLine(this.#room);
    this.#route = { reach: 'machine', label: body.segment.label };
  }

  /** Whether there was room. */
  tryPut(value: unknown): boolean {
    const message = this.#body.codec.encode(value, this.#route);
    let isPut = false;
    try {
      isPut = !this.#line.any && this.#attempt(message, this.#body.roomFor(message)) !== NOT_YET;
    } finally {
      if (!isPut) giveUp(message.departures);
    }
    return isPut;
  }

  put(value: unknown, options?: WaitOptions): Promise<void> {
    let message: Encoded;
    let needed: number;
    try {
      if (options !== undefined) checkWaitOptions(options);
      message = this.#body.codec.encode(value, this.#route);
    } catch (error) {
      return Promise.reject(error);
    }
    const { departures } = message;
    try {
      needed = this.#body.roomFor(message);
    } catch (error) {
      giveUp(departures);
      return Promise.reject(error);
    }
    let isPut = false;
    const pending = this.#line.async<void>('put', options, () => {
      if (this.#attempt(message, needed) === NOT_YET) return NOT_YET;
      isPut = true;
      return undefined;
    });
    if (isPut) return pending;
    message = message.keep(true);
    if (departures.length === 0) return pending;
    return pending.catch((error) => {
      giveUp(departures);
      throw error;
    });
  }

  putSync(value: unknown, options?: SyncWaitOptions): void {
    if (options !== undefined) checkWaitOptions(options);
    const message = this.#body.codec.encode(value, this.#route); // Nothing else is encoded while the thread is blocked.
    let isPut = false;
    try {
      const needed = this.#body.roomFor(message);
      this.#line.sync<void>('putSync', options, () => this.#attempt(message, needed));
      isPut = true;
    } finally {
      if (!isPut) giveUp(message.departures);
    }
  }

  set referenced(referenced: boolean) {
    this.#line.referenced = referenced;
  }

  close(message: string): void {
    this.#line.close(message);
  }

  #attempt(message: Encoded, needed: number): undefined | NotYet {
    this.#room.needed = needed;
    if (!this.#body.tryPut(message, needed)) return NOT_YET;
    for (const departure of message.departures) departure.sent();
    return undefined;
  }
}

function giveUp(departures: readonly Departure[]): void {
  for (const departure of departures) departure.unsent();
}
