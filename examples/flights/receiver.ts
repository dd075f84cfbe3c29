// receiver.ts: the program at the other end, seen from the sender: a process, or a thread where processes can't share
// memory. It says 'ready' when it can receive, and its summary when it has received everything.

import { type ChildProcess, fork } from 'node:child_process';
import { type EventEmitter, on } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Summary } from './aggregate.js';
import { Failure } from './failure.js';

export class Receiver implements AsyncDisposable {
  /** `process 4711`, say. */
  readonly name: string;
  /** Aborted when the receiver has ended, or when the user wants to end. Its reason says which. */
  readonly gone: AbortSignal;
  readonly #peer: ChildProcess | Worker;
  readonly #messages: AsyncIterator<[unknown]>;
  readonly #exited: Promise<void>;
  #done = false;

  private constructor(peer: ChildProcess | Worker, name: string, signal: AbortSignal) {
    this.#peer = peer;
    this.name = name;
    const events: EventEmitter = peer;
    const ended = new AbortController();
    this.gone = AbortSignal.any([signal, ended.signal]);
    this.#messages = on(events, 'message', { signal: this.gone }) as AsyncIterator<[unknown]>;
    this.#exited = new Promise((resolve) => {
      events.once('error', (error: Error) => {
        ended.abort(new Failure(`the receiver, ${name}, failed: ${error.message}`));
        if (!(peer instanceof Worker) && peer.pid === undefined) resolve(); // It was never started.
      });
      events.once('exit', (code: number | null, killedBy?: string) => {
        const how = killedBy ? `was ended by ${killedBy}` : `ended with code ${code}`;
        ended.abort(new Failure(`the receiver, ${name}, ${how} before it was done`));
        resolve();
      });
    });
  }

  /** Starts a program in a process of its own; `stdin` is where a pipe may lead. */
  static process(program: URL, argument: string, signal: AbortSignal, stdin: 'pipe' | 'ignore' = 'ignore'): Receiver {
    const child = fork(program, [argument], { stdio: [stdin, 'inherit', 'inherit', 'ipc'] });
    return new Receiver(child, `process ${child.pid}`, signal);
  }

  /** Starts a program in a thread of this process. */
  static thread(program: URL, data: unknown, signal: AbortSignal): Receiver {
    const worker = new Worker(program, { workerData: data });
    return new Receiver(worker, `thread ${worker.threadId}`, signal);
  }

  /** The writable end of the pipe, if it was started with one. */
  get stdin(): NodeJS.WritableStream {
    return this.#peer.stdin as NodeJS.WritableStream;
  }

  async ready(): Promise<void> {
    await this.#next();
  }

  async summary(): Promise<Summary> {
    const summary = (await this.#next()) as Summary;
    this.#done = true;
    return summary;
  }

  /** Returns when it has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    const peer = this.#peer;
    if (peer instanceof Worker) await peer.terminate();
    else if (this.#done) peer.disconnect();
    else peer.kill('SIGKILL');
    await this.#exited;
  }

  async #next(): Promise<unknown> {
    try {
      return (await this.#messages.next()).value[0];
    } catch (error) {
      this.gone.throwIfAborted(); // A better reason than "aborted".
      throw error;
    }
  }
}
