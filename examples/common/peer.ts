// peer.ts: a program that an example starts: a process, or a thread where processes can't share memory. It says 'ready'
// when it has what it needs, and its result when it has done its work.

import { type ChildProcess, fork } from 'node:child_process';
import { type EventEmitter, on } from 'node:events';
import { Worker } from 'node:worker_threads';
import { Failure } from './failure.js';

export class Peer<Result> implements AsyncDisposable {
  /** `process 4711`, say. */
  readonly name: string;
  /** Aborted when the program has ended, or when the user wants to end. Its reason says which. */
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
        ended.abort(new Failure(`${name} failed: ${error.message}`));
        if (!(peer instanceof Worker) && peer.pid === undefined) resolve(); // It was never started.
      });
      events.once('exit', (code: number | null, killedBy?: string) => {
        const how = killedBy ? `was ended by ${killedBy}` : `ended with code ${code}`;
        ended.abort(new Failure(`${name} ${how} before it was done`));
        resolve();
      });
    });
  }

  /** Starts a program in a process of its own; `stdin` is where a pipe may lead. */
  static process<Result>(
    program: URL,
    argument: string,
    signal: AbortSignal,
    stdin: 'pipe' | 'ignore' = 'ignore',
  ): Peer<Result> {
    const child = fork(program, [argument], { stdio: [stdin, 'inherit', 'inherit', 'ipc'] });
    return new Peer(child, `process ${child.pid}`, signal);
  }

  /** Starts a program in a thread of this process. */
  static thread<Result>(program: URL, data: unknown, signal: AbortSignal): Peer<Result> {
    const worker = new Worker(program, { workerData: data });
    return new Peer(worker, `thread ${worker.threadId}`, signal);
  }

  /** The writable end of the pipe, if it was started with one. */
  get stdin(): NodeJS.WritableStream {
    return this.#peer.stdin as NodeJS.WritableStream;
  }

  /** @throws {Failure} if it ends before that, as result() does */
  async ready(): Promise<void> {
    await this.#next();
  }

  async result(): Promise<Result> {
    const result = (await this.#next()) as Result;
    this.#done = true;
    return result;
  }

  /** Ends it, if it is not done. Returns when it has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    const peer = this.#peer;
    if (peer instanceof Worker) await peer.terminate();
    else if (!this.#done) peer.kill('SIGKILL');
    else if (peer.connected) peer.disconnect();
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

/** Disposes several peers as one. */
export function together(peers: readonly Peer<unknown>[]): AsyncDisposable {
  return {
    async [Symbol.asyncDispose]() {
      await Promise.all(peers.map((peer) => peer[Symbol.asyncDispose]()));
    },
  };
}
