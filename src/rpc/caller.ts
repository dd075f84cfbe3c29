// The calls that are made at this end.

import type { Outgoing } from '../channel/outgoing.js';
import { nextTurn } from '../runtime.js';
import { inTheirWords, portable, remoteError, unanswered } from './call-errors.js';
import type { Arrived, Endpoint, Prepared } from './endpoint.js';
import { Kind, MAX_OPEN, type Message, protocolError } from './messages.js';
import { RemoteCall } from './remote-call.js';

export class Caller {
  readonly #endpoint: Endpoint;
  // By their ids: whatever the other end may still say something about.
  readonly #open = new Map<number, RemoteCall>();
  // Too many are open for these. Encoded already: what happens to their arguments is not seen.
  readonly #line = new Map<RemoteCall, Outgoing>();
  #lastId = 0;
  #waiting = 0;
  #relaxing = false;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
  }

  /** How many wait for something from the other end: they keep the process alive. */
  get waiting(): number {
    return this.#waiting;
  }

  waits(more: 1 | -1): void {
    this.#waiting += more;
    if (this.#waiting > 1 || (this.#waiting === 1 && more < 0) || this.#relaxing) return;
    if (this.#waiting === 1) {
      this.#endpoint.refer();
      return;
    }
    // Whoever calls again at once, as most do, need not be referred to again.
    this.#relaxing = true;
    nextTurn(() => {
      this.#relaxing = false;
      this.#endpoint.refer();
    });
  }

  call(method: string, args: readonly unknown[]): RemoteCall {
    const call = new RemoteCall(this, ++this.#lastId, method);
    this.waits(1);
    const { end } = this.#endpoint;
    if (end !== undefined) {
      call.fail(unanswered(method, end.error));
      return call;
    }
    let prepared: Prepared;
    try {
      prepared = this.#endpoint.prepare([Kind.call, call.id, method, args]);
    } catch (error) {
      call.fail(inTheirWords(error, 'value[3]', `${method}(): arguments`));
      return call;
    }
    if (this.#open.size < MAX_OPEN) this.#send(call, prepared.message);
    else this.#line.set(call, prepared.message.keep(true));
    if (prepared.signals !== undefined) call.watch(prepared.signals);
    return call;
  }

  #send(call: RemoteCall, message: Outgoing): void {
    this.#open.set(call.id, call);
    call.sent = true;
    try {
      // What was answered before the other end went can still be read: only this call has failed.
      this.#endpoint.send(message)?.catch((error) => this.#failed(call, error));
    } catch (error) {
      this.#failed(call, error);
    }
  }

  #failed(call: RemoteCall, error: unknown): void {
    this.#open.delete(call.id);
    call.release();
    call.fail(unanswered(call.method, error));
  }

  /** One of the call's signals was aborted. */
  abort(call: RemoteCall, index: number, reason: unknown): void {
    const inLine = this.#line.get(call);
    if (inLine !== undefined) {
      this.#line.delete(call);
      inLine.failed();
    } else if (this.#open.has(call.id)) {
      try {
        this.tell([Kind.abort, call.id, index, reason]);
      } catch {
        this.tell([Kind.abort, call.id, index, portable(reason)]);
      }
    }
    call.release();
    call.fail(reason, true);
  }

  /** The consumer of a call's values wants no more. */
  stop(call: RemoteCall): void {
    const inLine = this.#line.get(call);
    if (inLine === undefined) {
      if (this.#open.has(call.id)) this.tell([Kind.stop, call.id]);
      return;
    }
    this.#line.delete(call);
    inLine.failed();
    call.release();
    call.stream.finish(undefined);
    call.succeed(call.stream);
  }

  tell(message: Message): void {
    this.#endpoint.post(message);
  }

  /** @throws {RingwayError} `EPROTO` for an answer that answers nothing */
  take(message: Message, { controllers, failure }: Arrived): void {
    const [kind, id, value] = message as [number, number, unknown];
    const call = this.#open.get(id);
    if (call === undefined) throw protocolError(`an answer to the call ${id}, which is not open`);
    if (controllers !== undefined) throw protocolError('an AbortSignal in an answer');
    if (kind !== Kind.error && call.opened !== (kind === Kind.value || kind === Kind.done)) {
      throw protocolError(
        `an answer of kind ${kind} to a call that is ${call.opened ? '' : 'not '}answered by a stream`,
      );
    }
    if (kind === Kind.open) {
      call.open();
      return;
    }
    if (kind === Kind.value) {
      if (failure === undefined) {
        call.stream.push(value);
      } else {
        call.fail(failure.error);
        this.stop(call);
      }
      return;
    }
    this.#open.delete(id);
    call.release();
    if (failure !== undefined) call.fail(failure.error);
    else if (kind === Kind.result) call.succeed(value);
    else if (kind === Kind.error) call.fail(remoteError(call.method, value));
    else call.stream.finish(value);
    this.#sendNext();
  }

  #sendNext(): void {
    if (this.#line.size === 0 || this.#open.size >= MAX_OPEN) return;
    const [first] = this.#line;
    const [call, message] = first as [RemoteCall, Outgoing];
    this.#line.delete(call);
    this.#send(call, message);
    call.ask();
  }

  /** The connection is over. */
  end(error: unknown): void {
    const calls = [...this.#open.values(), ...this.#line.keys()];
    for (const message of this.#line.values()) message.failed();
    this.#open.clear();
    this.#line.clear();
    for (const call of calls) {
      call.release();
      call.fail(unanswered(call.method, error));
    }
  }
}
