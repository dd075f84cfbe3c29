// One end of a connection that carries calls. The one reader of the connection: it hands each message to the side it
// is for, the calls made here or the calls of the other end.

import type { Connection } from '../channel/connection.js';
import { connectionError } from '../channel/connection-errors.js';
import type { Outgoing } from '../channel/outgoing.js';
import { ClosedError, RingwayError } from '../errors.js';
import type { Arrive, Departure } from '../memory/travel.js';
import { nextTurn } from '../runtime.js';
import { NOT_YET } from '../wait/condition.js';
import { Callee } from './callee.js';
import { Caller } from './caller.js';
import { checkMessage, Kind, type Message, SIGNAL } from './messages.js';

/** So many messages, then timers and I/O have their turn. */
const MESSAGES_A_TURN = 256;

const endpoints = new WeakMap<object, Endpoint>();

/** A message and the signals in it. */
export interface Prepared {
  readonly message: Outgoing;
  readonly signals: readonly AbortSignal[] | undefined;
}

/** What came along with a message that is no plain data. */
export interface Arrived {
  /** Of the signals in it, in their order. */
  readonly controllers: readonly AbortController[] | undefined;
  /** Why a shared object in it could not be attached to; undefined stands in its place. */
  readonly failure: { error: unknown } | undefined;
}

const NOTHING: Arrived = { controllers: undefined, failure: undefined };

export class Endpoint {
  readonly caller: Caller;
  readonly callee: Callee;
  readonly #connection: Connection;
  #handled = 0;
  #referenced = true;
  // Why it is over.
  #end: { error: unknown } | undefined;
  // Signals in the message that is being encoded: undefined where none may be.
  #departing: AbortSignal[] | undefined;
  // In the message that was decoded last.
  #controllers: AbortController[] | undefined;
  #failure: { error: unknown } | undefined;

  private constructor(connection: Connection) {
    connection.own('expose() and wrap()', {
      departureOf: (object) => this.#departureOf(object),
      arrive: (kind, data, others) => this.#arrive(kind, data, others),
    });
    this.#connection = connection;
    this.caller = new Caller(this);
    this.callee = new Callee(this);
    this.refer();
    this.#listen();
  }

  /**
   * The endpoint of a connection; it is made when it is asked for first.
   * @throws {ClosedError} if the connection is over
   * @throws as Connection.own()
   */
  static of(connection: Connection): Endpoint {
    const known = endpoints.get(connection);
    if (known !== undefined) {
      if (connection.closed) throw new ClosedError('this end of the connection was closed, or the other end left');
      return known;
    }
    const made = new Endpoint(connection);
    endpoints.set(connection, made);
    return made;
  }

  get transport(): string {
    return this.#connection.transport;
  }

  /** Why it is over, if it is. */
  get end(): { error: unknown } | undefined {
    return this.#end;
  }

  /** A message for send(). What a getter in the value calls is prepared meanwhile, and has signals of its own. */
  prepare(value: unknown): Prepared {
    const outer = this.#departing;
    const signals: AbortSignal[] = [];
    this.#departing = signals;
    try {
      const message = this.#connection.prepare(value);
      return { message, signals: signals.length === 0 ? undefined : signals };
    } finally {
      this.#departing = outer;
    }
  }

  /**
   * @returns undefined if it is on its way, else a promise
   * @throws {RingwayError} `EPIPE` when nobody will read it
   */
  send(message: Outgoing): Promise<void> | undefined {
    return this.#connection.dispatch(message);
  }

  /**
   * Sends a value without signals, if there is anybody to read it: that there is nobody, the reader learns.
   * @returns undefined if it is on its way, else a promise that never rejects
   * @throws what encoding the value throws
   */
  post(value: Message): Promise<void> | undefined {
    if (this.#connection.closed) return undefined;
    const outer = this.#departing;
    this.#departing = undefined;
    let message: Outgoing;
    try {
      message = this.#connection.prepare(value);
    } finally {
      this.#departing = outer;
    }
    try {
      return this.#connection.dispatch(message)?.catch(this.#unsent);
    } catch (error) {
      this.#unsent(error);
      return undefined;
    }
  }

  // There may be something to read that was sent before the other end left.
  readonly #unsent = (error: unknown): void => {
    if (!isGone(error)) this.#finish(error);
  };

  /** Keeps the process alive, or not, as the calls of both directions need it. */
  refer(): void {
    const referenced = this.callee.exposed || this.caller.waiting > 0;
    if (referenced === this.#referenced) return;
    this.#referenced = referenced;
    this.#connection.receiveReferenced = referenced;
  }

  /** Ends it from this side. */
  close(): void {
    this.#finish(new ClosedError('the connection was closed here'));
  }

  readonly #listen = (): void => {
    if (this.#end !== undefined) return;
    try {
      this.#connection.receive().then(this.#take, this.#finish);
    } catch (error) {
      this.#finish(error);
    }
  };

  readonly #take = (first: unknown): void => {
    try {
      for (let message = first; message !== NOT_YET; message = this.#connection.tryReceive()) {
        this.#handle(message);
        if (this.#end !== undefined) return;
        if (++this.#handled % MESSAGES_A_TURN !== 0) continue;
        nextTurn(this.#listen); // A turn that keeps the process alive: one that does not may never come.
        return;
      }
    } catch (error) {
      this.#finish(error);
      return;
    }
    this.#listen();
  };

  #handle(received: unknown): void {
    const arrived = this.#arrived();
    const message = checkMessage(received);
    const kind = message[0] as number;
    if (kind >= Kind.result) this.caller.take(message, arrived);
    else this.callee.take(message, arrived);
  }

  #arrived(): Arrived {
    if (this.#controllers === undefined && this.#failure === undefined) return NOTHING;
    const arrived = { controllers: this.#controllers, failure: this.#failure };
    this.#controllers = this.#failure = undefined;
    return arrived;
  }

  readonly #finish = (reason: unknown): void => {
    if (this.#end !== undefined) return;
    const error = connectionError(reason);
    this.#end = { error };
    this.#connection.close();
    this.caller.end(error);
    this.callee.end(error);
  };

  #departureOf(object: object): Departure | undefined {
    if (this.#departing === undefined || !(object instanceof AbortSignal)) return undefined;
    object.throwIfAborted(); // A call that is aborted already is not made.
    this.#departing.push(object);
    return { kind: SIGNAL, data: undefined, sent: ignore, unsent: ignore };
  }

  // What throws here would end the connection, since nobody would know whose message it was.
  #arrive(kind: string, data: unknown, others: Arrive): unknown {
    if (kind === SIGNAL) {
      const controller = new AbortController();
      this.#controllers ??= [];
      this.#controllers.push(controller);
      return controller.signal;
    }
    try {
      return others(kind, data);
    } catch (error) {
      this.#failure ??= { error };
      return undefined;
    }
  }
}

function ignore(): void {}

function isGone(error: unknown): boolean {
  return error instanceof RingwayError && (error.code === 'EPIPE' || error.code === 'ERR_RINGWAY_CLOSED');
}
