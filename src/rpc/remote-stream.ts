// The values of a call that results in a stream, as they come. Some come ahead of the consumer: WINDOW at most.

import type { Caller } from './caller.js';
import { Kind, protocolError, WINDOW } from './messages.js';
import type { RemoteCall } from './remote-call.js';

type Result = IteratorResult<unknown, unknown>;

interface Reader {
  resolve(result: Result): void;
  reject(error: unknown): void;
}

const DONE: Result = { value: undefined, done: true };

export class RemoteStream implements AsyncGenerator<unknown, unknown, undefined> {
  readonly #call: RemoteCall;
  readonly #caller: Caller;
  // That nobody has taken yet; there are no readers then.
  readonly #values: unknown[] = [];
  readonly #readers: Reader[] = [];
  // How many values were asked for and have not come.
  #expected = 0;
  // How it ended, until somebody was told; `over` afterwards too.
  #end: { error: unknown } | { value: unknown } | undefined;
  #over = false;
  #stopped: { promise: Promise<void>; reader: Reader } | undefined;

  constructor(call: RemoteCall, caller: Caller) {
    this.#call = call;
    this.#caller = caller;
  }

  next(): Promise<Result> {
    if (this.#values.length > 0) {
      const value = this.#values.shift();
      this.ask();
      return Promise.resolve({ value, done: false });
    }
    if (this.#over || this.#stopped !== undefined) return this.#last();
    return new Promise((resolve, reject) => {
      if (this.#readers.push({ resolve, reject }) === 1) this.#caller.waits(1);
      this.ask();
    });
  }

  /** Ends the stream there: its `finally` blocks have run when this resolves, and what they threw rejects. */
  async return(value?: unknown): Promise<Result> {
    this.#values.length = 0;
    for (const { resolve } of this.#takeReaders()) resolve(DONE);
    if (!this.#over) await this.#stop();
    this.#end = undefined;
    return { value: await value, done: true };
  }

  /** return() that rejects: the error stays here. */
  async throw(error?: unknown): Promise<Result> {
    await this.return();
    throw error;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  /** @internal What console.log() shows. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return `[values of ${this.#call.method}()${this.#over ? ', ended' : ''}]`;
  }

  // ---- for the caller

  /** Asks for more if there is room for a good part of the window. */
  ask(): void {
    if (!this.#call.sent || this.#over || this.#stopped !== undefined) return;
    if (this.#values.length === 0 && this.#readers.length === 0 && this.#expected === 0) return; // Nobody wants any yet.
    const room = WINDOW - this.#values.length - this.#expected;
    if (room < WINDOW / 2) return;
    this.#expected += room;
    this.#caller.tell([Kind.pull, this.#call.id, room]);
  }

  /** @throws {RingwayError} `EPROTO` if it was not asked for */
  push(value: unknown): void {
    if (this.#expected === 0) throw protocolError('a value of a stream that nobody asked for');
    this.#expected--;
    if (this.#over || this.#stopped !== undefined) return;
    const reader = this.#readers.shift();
    if (reader === undefined) {
      this.#values.push(value);
      return;
    }
    if (this.#readers.length === 0) this.#caller.waits(-1);
    reader.resolve({ value, done: false });
    this.ask();
  }

  finish(value: unknown): void {
    if (this.#over) return;
    this.#over = true;
    const [first, ...others] = this.#takeReaders();
    if (first === undefined) this.#end = { value };
    else first.resolve({ value, done: true });
    for (const { resolve } of others) resolve(DONE);
    this.#stopped?.reader.resolve(DONE);
  }

  /** What came ahead of the consumer is seen first, unless `now`. */
  fail(error: unknown, now = false): void {
    if (this.#over) return;
    this.#over = true;
    if (now) this.#values.length = 0;
    const [first, ...others] = this.#takeReaders();
    if (first === undefined) this.#end = { error };
    else first.reject(error);
    for (const { resolve } of others) resolve(DONE);
    this.#stopped?.reader.reject(error);
  }

  // The end is told once; later it is just the end.
  #last(): Promise<Result> {
    const end = this.#end;
    this.#end = undefined;
    if (end === undefined) return Promise.resolve(DONE);
    return 'error' in end ? Promise.reject(end.error) : Promise.resolve({ value: end.value, done: true });
  }

  #stop(): Promise<void> {
    if (this.#stopped !== undefined) return this.#stopped.promise;
    let reader: Reader | undefined;
    const promise = new Promise<unknown>((resolve, reject) => {
      reader = { resolve, reject };
    }).finally(() => this.#caller.waits(-1));
    this.#stopped = { promise: promise as Promise<void>, reader: reader as unknown as Reader };
    this.#caller.waits(1);
    this.#caller.stop(this.#call);
    return this.#stopped.promise;
  }

  #takeReaders(): Reader[] {
    if (this.#readers.length > 0) this.#caller.waits(-1);
    return this.#readers.splice(0);
  }
}
