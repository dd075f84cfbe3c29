// A call that was made: a promise of its result, and if that is a stream of values, an iterator of them.

import type { Caller } from './caller.js';
import { RemoteStream } from './remote-stream.js';

type Settle = (value: unknown) => void;

export class RemoteCall extends Promise<unknown> implements AsyncGenerator<unknown, unknown, undefined> {
  readonly id: number;
  readonly method: string;
  /** The other end knows of it, or will. */
  sent = false;
  /** The other end has said that its result is a stream. */
  opened = false;
  readonly #caller: Caller;
  readonly #resolve: Settle;
  readonly #reject: Settle;
  #settled = false;
  #failure: { error: unknown } | undefined;
  #stream: RemoteStream | undefined;
  #signals: { signal: AbortSignal; onAbort: () => void }[] | undefined;

  constructor(caller: Caller, id: number, method: string) {
    let resolve: Settle | undefined;
    let reject: Settle | undefined;
    super((resolver, rejecter) => {
      resolve = resolver;
      reject = rejecter;
    });
    this.#resolve = resolve as unknown as Settle;
    this.#reject = reject as unknown as Settle;
    this.#caller = caller;
    this.id = id;
    this.method = method;
  }

  /** Aborts of these signals go to the caller until release(). */
  watch(signals: readonly AbortSignal[]): void {
    this.#signals = signals.map((signal, index) => {
      const onAbort = () => this.#caller.abort(this, index, signal.reason);
      signal.addEventListener('abort', onAbort, { once: true });
      return { signal, onAbort };
    });
    for (const { signal, onAbort } of this.#signals) if (signal.aborted) onAbort(); // A getter may have done it.
  }

  /** It is over: nothing hangs on its signals any more. */
  release(): void {
    if (this.#signals === undefined) return;
    for (const { signal, onAbort } of this.#signals) signal.removeEventListener('abort', onAbort);
    this.#signals = undefined;
  }

  succeed(value: unknown): void {
    this.#settle(this.#resolve, value);
    if (!this.opened) this.#stream?.fail(this.#noStream());
  }

  /** @param now - what came of a stream before is not seen any more */
  fail(error: unknown, now = false): void {
    this.#failure = { error };
    this.#stream?.fail(error, now);
    this.#settle(this.#reject, error);
  }

  open(): void {
    this.opened = true;
    this.#settle(this.#resolve, this.stream);
  }

  #settle(settle: Settle, value: unknown): void {
    if (this.#settled) return;
    this.#settled = true;
    settle(value);
    this.#caller.waits(-1);
  }

  /** It was sent late. */
  ask(): void {
    this.#stream?.ask();
  }

  /** The values, if that is what it results in. */
  get stream(): RemoteStream {
    if (this.#stream === undefined) {
      this.#stream = new RemoteStream(this, this.#caller);
      if (this.#failure !== undefined) this.#stream.fail(this.#failure.error);
      else if (this.#settled && !this.opened) this.#stream.fail(this.#noStream());
    }
    return this.#stream;
  }

  #noStream(): TypeError {
    return new TypeError(`${this.method}() returned a value, not an iterable: await it`);
  }

  /** The stream of somebody who does not look at the promise. */
  #iterated(): RemoteStream {
    if (!this.#settled) this.catch(() => {});
    return this.stream;
  }

  next(): Promise<IteratorResult<unknown, unknown>> {
    return this.#iterated().next();
  }

  return(value?: unknown): Promise<IteratorResult<unknown, unknown>> {
    return this.#iterated().return(value);
  }

  throw(error?: unknown): Promise<IteratorResult<unknown, unknown>> {
    return this.#iterated().throw(error);
  }

  [Symbol.asyncIterator](): AsyncGenerator<unknown, unknown, undefined> {
    return this.#iterated();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}

// Whoever awaits a promise that says it is of another class than Promise gets one more promise, and two more turns.
Object.defineProperty(RemoteCall.prototype, 'constructor', { value: Promise, configurable: true, writable: true });
