// The calls of the other end: what is exposed to them.

import { brokenPipe } from '../channel/connection-errors.js';
import { RingwayError } from '../errors.js';
import { describe } from '../memory/names.js';
import { travels } from '../memory/travel.js';
import { inTheirWords, isOrderly, portable } from './call-errors.js';
import type { Arrived, Endpoint } from './endpoint.js';
import { Kind, MAX_OPEN, type Message, protocolError, WINDOW } from './messages.js';
import { type Method, noSuchMethod } from './methods.js';
import { type AnyIterator, OutgoingStream } from './outgoing-stream.js';

/** A caller has MAX_OPEN calls open at most; those whose answers are on their way may still be counted here. */
const MOST_OPEN = 2 * MAX_OPEN;

/** A call of the other end, from its message to its answer. */
export class IncomingCall {
  readonly id: number;
  readonly name: string;
  /** Of the signals in the arguments. */
  readonly controllers: readonly AbortController[] | undefined;
  args: readonly unknown[];
  /** Nobody waits for the values of a stream, or for anything if it was aborted. */
  abandoned = false;
  aborted = false;
  /** How many values of a stream may be sent. */
  credit = 0;
  stream: OutgoingStream | undefined;

  constructor(id: number, name: string, args: readonly unknown[], controllers: IncomingCall['controllers']) {
    this.id = id;
    this.name = name;
    this.args = args;
    this.controllers = controllers;
  }

  /** @throws {RingwayError} `EPROTO` if no signal in the arguments has this index */
  controllerAt(index: unknown): AbortController {
    const controller = Number.isInteger(index) ? this.controllers?.[index as number] : undefined;
    if (controller !== undefined) return controller;
    throw protocolError(`an abort of the signal ${describe(index)} of a call`);
  }

  /** Nobody wants the result, or the rest of it. */
  abandon(): void {
    this.abandoned = true;
    this.stream?.stop();
  }
}

interface Exposed {
  readonly api: object;
  readonly methods: ReadonlyMap<string, Method>;
  readonly concurrency: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class Callee {
  readonly #endpoint: Endpoint;
  // By their ids, until the answer is on its way.
  readonly #open = new Map<number, IncomingCall>();
  // Those of them that have not begun, since enough run.
  readonly #line = new Set<IncomingCall>();
  #lastId = 0;
  #running = 0;
  #beginning = false;
  #exposed: Exposed | undefined;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
  }

  get exposed(): boolean {
    return this.#exposed !== undefined;
  }

  /**
   * @param concurrency - how many calls run at once; others wait
   * @returns settles at the end of the connection
   * @throws {RingwayError} `ERR_RINGWAY_STATE` if something is exposed already
   */
  expose(api: object, methods: ReadonlyMap<string, Method>, concurrency: number): Promise<void> {
    if (this.#exposed !== undefined) {
      throw new RingwayError('this connection exposes an object already: one at a time', 'ERR_RINGWAY_STATE');
    }
    const ended = new Promise<void>((resolve, reject) => {
      this.#exposed = { api, methods, concurrency, resolve, reject };
    });
    ended.catch(() => {}); // What a peer sends must not end a process that does not look at this.
    this.#endpoint.refer();
    return ended;
  }

  /** @throws {RingwayError} `EPROTO` for what no caller sends */
  take(message: Message, { controllers, failure }: Arrived): void {
    const [kind, id] = message as [number, number];
    if (kind === Kind.call) {
      this.#call(message, controllers, failure);
      return;
    }
    if (controllers !== undefined) throw protocolError('an AbortSignal that is not in the arguments of a call');
    const call = this.#open.get(id);
    if (call === undefined) {
      if (id > this.#lastId) throw protocolError(`a message about the call ${id}, which was not made`);
      return; // It has just been answered.
    }
    if (kind === Kind.pull) {
      call.credit = checkedCredit(call.credit, message[2]);
      call.stream?.wake();
      return;
    }
    const controller = kind === Kind.abort ? call.controllerAt(message[2]) : undefined;
    // One that has not begun never will.
    if (this.#line.delete(call)) this.fail(call, new Error('the call was aborted before it began'));
    call.aborted ||= controller !== undefined;
    call.abandon();
    controller?.abort(message[3]);
  }

  #call(message: Message, controllers: IncomingCall['controllers'], failure: Arrived['failure']): void {
    const [, id, name, args] = message as [number, number, unknown, unknown];
    if (typeof name !== 'string') throw protocolError(`a call of ${describe(name)}`);
    if (!Array.isArray(args)) throw protocolError(`a call with the arguments ${describe(args)}`);
    if (this.#open.has(id)) throw protocolError(`two calls with the id ${id}`);
    if (this.#open.size >= MOST_OPEN) throw protocolError(`more than ${MOST_OPEN} calls at once`);
    const call = new IncomingCall(id, name, args, controllers);
    if (id > this.#lastId) this.#lastId = id;
    this.#open.set(id, call);
    const exposed = this.#exposed;
    if (failure !== undefined) this.fail(call, failure.error);
    else if (exposed === undefined) this.fail(call, new TypeError('nothing is exposed at the other end'));
    else if (!exposed.methods.has(name)) this.fail(call, noSuchMethod(name, exposed.methods));
    else if (this.#running < exposed.concurrency) this.#run(call, exposed);
    else this.#line.add(call);
  }

  #run(call: IncomingCall, { api, methods }: Exposed): void {
    const { args } = call;
    call.args = [];
    this.#running++;
    let result: unknown;
    try {
      result = Reflect.apply(methods.get(call.name) as Method, api, args);
      if (isThenable(result)) {
        Promise.resolve(result).then(
          (value) => this.#returned(call, value),
          (error) => this.#threw(call, error),
        );
        return;
      }
    } catch (error) {
      this.#threw(call, error);
      return;
    }
    this.#returned(call, result);
  }

  #returned(call: IncomingCall, result: unknown): void {
    this.#running--;
    try {
      const iterator = iteratorOf(result);
      // What nobody looks at stays here: it may be large, or the only one of its kind.
      if (iterator === undefined) this.#close(call, [Kind.result, call.id, call.aborted ? undefined : result]);
      else this.#stream(call, iterator);
    } catch (error) {
      this.fail(call, inTheirWords(error, 'value[2]', `the result of ${call.name}()`));
    }
    this.#runNext();
  }

  #threw(call: IncomingCall, error: unknown): void {
    this.#running--;
    this.fail(call, error);
    this.#runNext();
  }

  #runNext(): void {
    if (this.#line.size === 0 || this.#beginning) return;
    this.#beginning = true; // Not one inside the other: methods that return at once would fill the stack.
    const exposed = this.#exposed as Exposed;
    for (const call of this.#line) {
      if (this.#running >= exposed.concurrency) break;
      this.#line.delete(call);
      this.#run(call, exposed);
    }
    this.#beginning = false;
  }

  // ---- answers

  #stream(call: IncomingCall, iterator: AnyIterator): void {
    this.#endpoint.post([Kind.open, call.id]);
    call.stream = new OutgoingStream(this, call, iterator);
    if (call.abandoned) call.stream.stop();
    else call.stream.wake();
  }

  /** A value of a stream. @returns undefined if it is on its way, else a promise. Throws what encoding throws */
  value(call: IncomingCall, value: unknown): Promise<void> | undefined {
    try {
      return this.#endpoint.post([Kind.value, call.id, value]);
    } catch (error) {
      throw inTheirWords(error, 'value[2]', `a value of ${call.name}()`);
    }
  }

  /** The end of a stream. */
  done(call: IncomingCall, value: unknown): void {
    try {
      this.#close(call, [Kind.done, call.id, value]);
    } catch (error) {
      this.fail(call, inTheirWords(error, 'value[2]', `what ${call.name}() returned at its end`));
    }
  }

  fail(call: IncomingCall, error: unknown): void {
    try {
      this.#close(call, [Kind.error, call.id, error]);
    } catch {
      this.#close(call, [Kind.error, call.id, portable(error)]);
    }
  }

  // The last that is said about a call. It is open until that is on its way: a peer that does not read runs out of calls.
  #close(call: IncomingCall, message: Message): void {
    const sent = this.#endpoint.post(message);
    if (sent === undefined) this.#open.delete(call.id);
    else void sent.then(() => this.#open.delete(call.id));
  }

  /** The connection is over. */
  end(error: unknown): void {
    const calls = [...this.#open.values()];
    this.#open.clear();
    this.#line.clear();
    for (const call of calls) call.abandon();
    for (const { controllers } of calls)
      for (const controller of controllers ?? []) controller.abort(brokenPipe(error));
    if (isOrderly(error)) this.#exposed?.resolve();
    else this.#exposed?.reject(error);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' && value !== null && typeof (value as Partial<PromiseLike<unknown>>).then === 'function'
  );
}

/** Of an async iterable, or a generator. Not of what travels as it is: arrays, or a connection. */
function iteratorOf(result: unknown): AnyIterator | undefined {
  if (typeof result !== 'object' || result === null) return undefined;
  const { [travels]: isShared, [Symbol.asyncIterator]: isAsync, [Symbol.iterator]: isSync, next } = result as Iterated;
  if (isShared !== undefined) return undefined;
  if (typeof isAsync === 'function') return (result as AsyncIterable<unknown>)[Symbol.asyncIterator]();
  if (typeof isSync === 'function' && typeof next === 'function')
    return (result as Iterable<unknown>)[Symbol.iterator]();
  return undefined;
}

interface Iterated {
  [travels]?: unknown;
  [Symbol.asyncIterator]?: unknown;
  [Symbol.iterator]?: unknown;
  next?: unknown;
}

function checkedCredit(credit: number, more: unknown): number {
  if (Number.isInteger(more) && (more as number) > 0 && credit + (more as number) <= WINDOW)
    return credit + (more as number);
  throw protocolError(`a stream is asked for ${describe(more)} values, ${credit} of which were not sent`);
}
