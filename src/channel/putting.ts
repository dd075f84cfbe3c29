// The putting side of one handle to a queue. A value is encoded when put() is called, also if it has to wait.

import type { Encoded } from '../codec/codec.js';
import type { Departure, Route } from '../memory/travel.js';
import type { WaitMode } from '../wait/adaptive-spin.js';
import { NOT_YET, type NotYet } from '../wait/condition.js';
import { checkWaitOptions, type SyncWaitOptions, type WaitOptions } from '../wait/options.js';
import { settled } from '../wait/waiters.js';
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
    let message: Encoded | undefined;
    try {
      if (options !== undefined) checkWaitOptions(options);
      message = this.#body.codec.encode(value, this.#route);
      const needed = this.#body.roomFor(message);
      const mayTry = !this.#line.any && options?.signal?.aborted !== true;
      if (mayTry && this.#attempt(message, needed) !== NOT_YET) return settled(undefined);
      return this.#putLater(message.keep(true), needed, options);
    } catch (error) {
      if (message !== undefined) giveUp(message.departures);
      return Promise.reject(error);
    }
  }

  putSync(value: unknown, options?: SyncWaitOptions): void {
    if (options !== undefined) checkWaitOptions(options);
    const message = this.#body.codec.encode(value, this.#route); // Nothing else is encoded while the thread is blocked.
    let isPut = false;
    try {
      const needed = this.#body.roomFor(message);
      isPut = !this.#line.any && this.#attempt(message, needed) !== NOT_YET;
      if (isPut) return;
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

  async #putLater(message: Encoded, needed: number, options: WaitOptions | undefined): Promise<void> {
    try {
      await this.#line.async<void>('put', options, () => this.#attempt(message, needed));
    } catch (error) {
      giveUp(message.departures);
      throw error;
    }
  }

  #attempt(message: Encoded, needed: number): undefined | NotYet {
    this.#room.needed = needed;
    if (!this.#body.tryPut(message, needed)) return NOT_YET;
    const { departures } = message;
    for (let i = 0; i < departures.length; i++) departures[i].sent();
    return undefined;
  }
}

function giveUp(departures: readonly Departure[]): void {
  for (const departure of departures) departure.unsent();
}
