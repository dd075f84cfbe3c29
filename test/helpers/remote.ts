// Other processes and worker threads for tests: each runs the functions it is sent. A function is sent as its source, so
// it can use nothing but its arguments and the context; see test/programs/remote.ts.
import { type ChildProcess, type ForkOptions, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Worker, type WorkerOptions } from 'node:worker_threads';
import { afterEach } from 'vitest';
import type { Call, Context, Reply } from '../programs/remote.js';

export type { Context } from '../programs/remote.js';

/** How long anything may take before the other side is killed and the test told what it printed. */
export const WATCHDOG_MS = 20_000;

const PROGRAM = fileURLToPath(new URL('../../build/ts/test/programs/remote.js', import.meta.url));

export interface End {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** An error that was thrown on the other side, with the properties it had there. */
export class ThrownThere extends Error {
  readonly ours!: boolean;
  readonly code!: string;
  constructor(properties: Record<string, unknown>) {
    super(String(properties.message ?? JSON.stringify(properties)));
    Object.assign(this, properties);
  }
}

type Sendable<Args extends unknown[], Result> = (context: Context, ...args: Args) => Result | Promise<Result>;

abstract class Remote {
  readonly told: unknown[] = [];
  output = '';
  #lastId = 0;
  #calls = new Map<number, { resolve: (result: never) => void; reject: (error: Error) => void }>();
  #tellers: ((message: unknown) => void)[] = [];
  protected ready!: () => void;
  protected failed!: (error: Error) => void;
  protected readonly started = new Promise<void>((resolve, reject) => {
    this.ready = resolve;
    this.failed = reject;
  });

  protected abstract post(call: Call): void;
  protected abstract destroy(): void;

  /** Runs a function there; its result or error comes back. */
  async run<Args extends unknown[], Result>(fn: Sendable<Args, Result>, ...args: Args): Promise<Result> {
    const { result } = await this.start(fn, ...args);
    return result;
  }

  /** Sends a function; `result` settles when it has ended there. */
  async start<Args extends unknown[], Result>(
    fn: Sendable<Args, Result>,
    ...args: Args
  ): Promise<{ result: Promise<Result> }> {
    await this.started;
    const id = ++this.#lastId;
    const result = new Promise<Result>((resolve, reject) => {
      const watchdog = setTimeout(() => {
        this.destroy();
        reject(new Error(`no answer within ${WATCHDOG_MS} ms from\n${fn}\nIt printed:\n${this.output}`));
      }, WATCHDOG_MS);
      const settle =
        <Value>(settler: (value: Value) => void) =>
        (value: Value) => {
          clearTimeout(watchdog);
          settler(value);
        };
      this.#calls.set(id, { resolve: settle(resolve), reject: settle(reject) });
    });
    result.catch(() => {}); // A test that kills the other side need not look at what was going on there.
    this.post({ id, source: fn.toString(), args });
    return { result };
  }

  /** The next thing that a function tells. */
  async nextTold(): Promise<unknown> {
    if (this.told.length > 0) return this.told.shift();
    return new Promise((resolve, reject) => {
      const watchdog = setTimeout(() => {
        this.destroy();
        reject(new Error(`nothing told within ${WATCHDOG_MS} ms. It printed:\n${this.output}`));
      }, WATCHDOG_MS);
      this.#tellers.push((message) => {
        clearTimeout(watchdog);
        resolve(message);
      });
    });
  }

  protected take(reply: Reply): void {
    if (reply.kind === 'ready') {
      this.ready();
      return;
    }
    if (reply.kind === 'told') {
      const teller = this.#tellers.shift();
      if (teller) teller(reply.message);
      else this.told.push(reply.message);
      return;
    }
    const call = this.#calls.get(reply.id);
    this.#calls.delete(reply.id);
    if (reply.error) call?.reject(new ThrownThere(reply.error));
    else call?.resolve(reply.result as never);
  }

  protected gone(how: string): void {
    const error = new Error(`the other side ended (${how}). It printed:\n${this.output}`);
    this.failed(error);
    for (const { reject } of this.#calls.values()) reject(error);
    this.#calls.clear();
  }
}

export class RemoteProcess extends Remote {
  readonly child: ChildProcess;
  readonly ended: Promise<End>;

  constructor(options: ForkOptions = {}) {
    super();
    this.started.catch(() => {});
    // Not this process's own arguments: the test runner's loaders have no business there.
    this.child = fork(PROGRAM, [], { execArgv: [], serialization: 'advanced', silent: true, ...options });
    this.child.stdout?.on('data', (text) => {
      this.output += text;
    });
    this.child.stderr?.on('data', (text) => {
      this.output += text;
    });
    this.child.on('message', (reply) => this.take(reply as Reply));
    this.ended = new Promise((resolve) => {
      this.child.on('exit', (code, signal) => {
        this.gone(`code ${code}, signal ${signal}`);
        resolve({ code, signal });
      });
    });
    this.child.on('error', () => {}); // Sending to one that is gone; the exit tells.
  }

  get pid(): number {
    return this.child.pid as number;
  }

  protected post(call: Call): void {
    this.child.send(call);
  }

  protected destroy(): void {
    this.child.kill('SIGKILL');
  }

  /** Sends a signal and waits for the end. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<End> {
    this.child.kill(signal);
    return this.end();
  }

  /** Waits until it has ended by itself. */
  async end(): Promise<End> {
    const watchdog = setTimeout(() => this.destroy(), WATCHDOG_MS);
    const end = await this.ended;
    clearTimeout(watchdog);
    return end;
  }
}

export class RemoteThread extends Remote {
  readonly worker: Worker;

  constructor(options: WorkerOptions = {}) {
    super();
    this.started.catch(() => {});
    this.worker = new Worker(PROGRAM, { execArgv: [], stdout: false, stderr: false, ...options });
    this.worker.on('message', (reply) => this.take(reply as Reply));
    this.worker.on('error', (error) => {
      this.output += `${error.stack}\n`;
    });
    this.worker.on('exit', (code) => this.gone(`code ${code}`));
  }

  protected post(call: Call): void {
    this.worker.postMessage(call);
  }

  protected destroy(): void {
    void this.worker.terminate();
  }

  async terminate(): Promise<void> {
    await this.worker.terminate();
  }
}

const processes = new Set<RemoteProcess>();
const threads = new Set<RemoteThread>();

/** A process that is killed after the test if it has not ended. */
export async function startProcess(options: ForkOptions & { env?: NodeJS.ProcessEnv } = {}): Promise<RemoteProcess> {
  const started = new RemoteProcess({ ...options, env: { ...process.env, ...options.env } });
  processes.add(started);
  await started.run(() => {});
  return started;
}

/** A worker thread that is terminated after the test. */
export async function startThread(options: WorkerOptions = {}): Promise<RemoteThread> {
  const started = new RemoteThread(options);
  threads.add(started);
  await started.run(() => {});
  return started;
}

/** Ends all that were started. */
export async function endRemotes(): Promise<void> {
  await Promise.all([...processes].map((started) => started.kill('SIGKILL')));
  await Promise.all([...threads].map((started) => started.terminate()));
  processes.clear();
  threads.clear();
}
afterEach(endRemotes);
// Also when the test runner gives up on this file.
process.on('exit', () => {
  for (const { child } of processes) child.kill('SIGKILL');
});
