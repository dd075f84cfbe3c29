// A result that is a stream: values are taken from the iterator as the consumer asks for them.

import { describe } from '../memory/names.js';
import type { Callee, IncomingCall } from './callee.js';

/** Async or not: what it returns is awaited. */
export type AnyIterator = AsyncIterator<unknown, unknown> | Iterator<unknown, unknown>;

export class OutgoingStream {
  readonly #callee: Callee;
  readonly #call: IncomingCall;
  readonly #iterator: AnyIterator;
  #running = false;
  #stopped = false;

  constructor(callee: Callee, call: IncomingCall, iterator: AnyIterator) {
    this.#callee = callee;
    this.#call = call;
    this.#iterator = iterator;
  }

  /** There may be credit. */
  wake(): void {
    if (!this.#running && !this.#stopped) void this.#run();
  }

  /** Nobody wants more: the iterator is told at once, since next() may wait for something that does not come. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#return().then(
      () => this.#callee.done(this.#call, undefined),
      (error) => this.#callee.fail(this.#call, error),
    );
  }

  async #return(): Promise<void> {
    await this.#iterator.return?.();
  }

  async #run(): Promise<void> {
    const call = this.#call;
    this.#running = true;
    while (call.credit > 0) {
      let step: IteratorResult<unknown, unknown>;
      try {
        step = await this.#iterator.next();
        if (this.#stopped) return;
        if (Object(step) !== step) throw new TypeError(`next() of an iterator returned ${describe(step)}`);
      } catch (error) {
        if (!this.#stopped) this.#callee.fail(call, error);
        this.#stopped = true;
        return;
      }
      try {
        if (step.done) {
          this.#stopped = true;
          this.#callee.done(call, step.value);
          return;
        }
        call.credit--;
        const sent = this.#callee.value(call, step.value);
        if (sent !== undefined) await sent;
        if (this.#stopped) return;
      } catch (error) {
        this.#stopped = true;
        this.#return().catch(() => {}); // It is not what the consumer has to know.
        this.#callee.fail(call, error);
        return;
      }
    }
    this.#running = false;
  }
}
