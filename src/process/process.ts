// A child process that runs a task: how it is started, waited for and ended. What goes on in the child is in boot.ts.

import type { Readable, Writable } from 'node:stream';
import { arrive, Receiving } from '../channel/arrivals.js';
import { Connection } from '../channel/connection.js';
import { structuredCodec as codec } from '../codec/structured.js';
import { ClosedError, RemoteError, RingwayError } from '../errors.js';
import { describe } from '../memory/names.js';
import type { Departure, Route } from '../memory/travel.js';
import { checkWaitOptions, type SyncWaitOptions, type WaitOptions } from '../wait/options.js';
import { type Readiness, readiness } from '../wait/readiness.js';
import { within } from '../wait/within.js';
import { type BootMessage, type BootRecord, Message, type Refusal } from './boot-channel.js';
import { Child, startNode } from './child.js';
import { currentProcess } from './current.js';
import { inWords, type ProcessExit, waitForExitSync } from './exit.js';
import { checkNotLoading } from './loading.js';
import { type CheckedProcessOptions, checkProcessOptions, type ProcessOptions, type RunOptions } from './options.js';
import { addressOf, type Task, type TaskAddress } from './task.js';

/** How long a process that is disposed of has to follow SIGTERM, before it is killed. */
const DISPOSE_GRACE_MS = 5_000;

/** Arguments may be left out if the task takes none, or only optional ones. */
type ArgsAndOptions<Args extends unknown[], Options> = [] extends Args
  ? [args?: Readonly<Args>, options?: Options]
  : [args: Readonly<Args>, options?: Options];

// In the order in which they were started.
const active = new Map<Process<never>, Child>();
let endsThemAtExit = false;

/** The processes that this thread has started and that have not ended yet. */
export function activeChildren(): Process<never>[] {
  return [...active.keys()];
}

function keep(process: Process<never>, child: Child): void {
  active.set(process, child);
  if (endsThemAtExit) return;
  endsThemAtExit = true;
  // The kernel, or the end of the channel, tells them as well; where there is no addon, a child that computes hears nothing.
  globalThis.process.on('exit', () => {
    for (const { killWithParent, process } of active.values()) if (killWithParent) process.kill('SIGKILL');
  });
}

/**
 * A task in a process of its own. It is a new Node process with memory of its own, which imports the module that declares
 * the task; arguments and result travel as copies, shared objects as themselves.
 *
 * It ends when its task has settled and its event loop is empty. An error that the task throws ends it as an uncaught one
 * ends any program: its stack is printed to stderr, the exit code is 1.
 * @example
 * const p = await Process.spawn(worker, [jobs]);
 * const { exitCode } = await p.join();
 */
export class Process<Args extends unknown[] = never> implements AsyncDisposable {
  /** What messages call it. */
  readonly name: string;
  readonly #address: TaskAddress;
  readonly #options: CheckedProcessOptions;
  #args: readonly unknown[] | undefined;
  #child: Child | undefined;
  #closed = false;

  /**
   * Describes a process; start() starts it.
   * @param task - what task() returned
   * @param args - its arguments: anything that structuredClone() takes, and shared objects
   * @throws {TypeError | RangeError} for what is no task, and for options that make no sense
   */
  constructor(task: Task<Args>, ...[args, options]: ArgsAndOptions<NoInfer<Args>, ProcessOptions>) {
    this.#address = addressOf(task, 'Process');
    if (args !== undefined && !Array.isArray(args)) {
      throw new TypeError(`the arguments of task ${describe(this.#address.name)} are an array, not ${describe(args)}`);
    }
    this.#args = args ?? [];
    this.#options = checkProcessOptions(options ?? {});
    this.name = this.#options.name;
  }

  /**
   * Starts a process. Resolves when it has loaded the task's module, found the task and attached its arguments.
   * @throws {RemoteError} if it cannot, with the child's error as `cause`; or if it ends before that
   * @throws {RingwayError} `ERR_RINGWAY_UNSERIALISABLE` for arguments that cannot travel; nothing was started then
   * @throws {RingwayError} what the system says when it starts no process: `EAGAIN`, `ENOENT`
   * @throws {RingwayError} `ERR_RINGWAY_STATE` at the top level of a module while a child loads it
   */
  static async spawn<Args extends unknown[]>(
    task: Task<Args>,
    ...rest: ArgsAndOptions<NoInfer<Args>, ProcessOptions>
  ): Promise<Process<Args>> {
    return new Process(task, ...rest).start();
  }

  /**
   * Starts a process and resolves with what its task returns; shared objects in it arrive as such. The process ends by
   * itself, when its event loop is empty.
   * @throws {RemoteError} if the task throws, with its error as `cause`; if the process ends before the task has settled
   * @throws the reason of an aborted `signal`
   * @throws as spawn()
   */
  static async run<Args extends unknown[], Result>(
    task: Task<Args, Result>,
    ...rest: ArgsAndOptions<NoInfer<Args>, RunOptions>
  ): Promise<Awaited<Result>> {
    const signal = rest[1]?.signal;
    signal?.throwIfAborted();
    const process = new Process<Args>(task, ...rest);
    const result = process.#start(true).then((child) => process.#result(child)) as Promise<Awaited<Result>>;
    if (signal === undefined) return result;
    const terminate = () => process.#child?.process.kill('SIGTERM');
    signal.addEventListener('abort', terminate, { once: true });
    try {
      return (await within(result, { signal }, () => {})) as Awaited<Result>;
    } finally {
      signal.removeEventListener('abort', terminate);
    }
  }

  /**
   * Starts it; a process can be started once.
   * @returns itself, when it has loaded the task's module, found the task and attached its arguments
   * @throws {RingwayError} `ERR_RINGWAY_STATE` if it was started before
   * @throws as spawn()
   */
  async start(): Promise<this> {
    await this.#start(false);
    return this;
  }

  async #start(wantsResult: boolean): Promise<Child> {
    this.#checkOpen();
    checkNotLoading();
    const connecting = (this.#args ?? []).flatMap((arg) => (arg instanceof Connection ? (arg.established ?? []) : []));
    if (connecting.length > 0) await Promise.all(connecting);
    if (this.#args === undefined) {
      throw new RingwayError(`${this.#label} was started before: make another one`, 'ERR_RINGWAY_STATE');
    }
    const { name, killWithParent, stdio } = this.#options;
    const { module, name: task } = this.#address;
    const streams: unknown[] = [...stdio, 'pipe'];
    const route: Route = {
      reach: 'machine',
      label: `the arguments of ${describe(task)}`,
      passDescriptor: (descriptor) => streams.push(descriptor) - 1,
    };
    const parent = { parentName: currentProcess.name, parentPid: globalThis.process.pid };
    const record: BootRecord = { module, task, name, killWithParent, ...parent, wantsResult };
    const told = codec.encode(record, route).keep(true);
    const args = codec.encode(this.#args, route);
    const { departures } = args;
    this.#args = undefined;
    try {
      await startNode(this.#label, streams, this.#options, (process) => {
        this.#child = new Child(process, killWithParent, () => active.delete(this as never));
        keep(this as never, this.#child);
        void this.#child.channel.send(Message.record, told);
        void this.#child.channel.send(Message.arguments, args); // No other encode() has come between.
      });
    } catch (error) {
      for (const departure of departures) departure.unsent();
      (this.#child as Child | undefined)?.process.kill('SIGKILL'); // Its arguments were too large to be sent.
      throw error;
    }
    const child = this.#child as unknown as Child;
    await this.#ready(child, departures);
    return child;
  }

  // Until the child has its arguments, or says or shows that it will not.
  async #ready(child: Child, departures: readonly Departure[]): Promise<void> {
    const message = await this.#next(child);
    if (message?.kind === Message.ready) {
      for (const departure of departures) departure.sent(this.#label);
      return;
    }
    const { module, name } = this.#address;
    if (message?.kind !== Message.refused) {
      for (const departure of departures) departure.unsent();
      throw new RemoteError(
        `${this.#label} ${await this.#ending(child)} before task ${describe(name)} began`,
        undefined,
      );
    }
    const { arrived, error } = codec.decode(message.bytes, 0, message.bytes.length, arrive, true) as Refusal;
    departures.forEach((departure, index) => void (index < arrived ? departure.sent(this.#label) : departure.unsent()));
    throw new RemoteError(
      `${this.#label} cannot run task ${describe(name)} of ${module}: ${errorInWords(error)}`,
      error,
    );
  }

  async #result(child: Child): Promise<unknown> {
    const message = await this.#next(child);
    const { name } = this.#address;
    if (message === null) {
      throw new RemoteError(
        `${this.#label} ${await this.#ending(child)} before task ${describe(name)} had settled`,
        undefined,
      );
    }
    try {
      const value = new Receiving().decode(codec, message.bytes, 0, message.bytes.length, true);
      if (message.kind === Message.result) return value;
      throw new RemoteError(`task ${describe(name)} failed in ${this.#label}: ${errorInWords(value)}`, value);
    } finally {
      void child.channel.send(Message.received);
    }
  }

  // Keeps the event loop alive meanwhile.
  async #next({ channel }: Child): Promise<BootMessage | null> {
    const release = channel.hold();
    try {
      return await channel.next();
    } finally {
      release();
    }
  }

  async #ending(child: Child): Promise<string> {
    return inWords(await child.exited);
  }

  get #label(): string {
    const pid = this.pid;
    return `process ${describe(this.name)}${pid === null ? '' : ` (pid ${pid})`}`;
  }

  #checkOpen(): void {
    if (this.#closed) throw new ClosedError(`${this.#label} is closed`);
  }

  #checkStarted(): Child {
    this.#checkOpen();
    if (this.#child !== undefined) return this.#child;
    throw new RingwayError(
      `${this.#label} does not run: ${this.#args ? 'start() starts it' : 'it could not be started'}`,
      'ERR_RINGWAY_STATE',
    );
  }

  /** Of the system; null before it was started. */
  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  /** Whether it was started and has not ended, as far as the event loop knows. */
  get alive(): boolean {
    return this.#child !== undefined && this.#child.exit === undefined;
  }

  /** Of a process that has ended by itself; null otherwise. */
  get exitCode(): number | null {
    return this.#child?.exit?.exitCode ?? null;
  }

  /** The signal that killed it; null otherwise. */
  get signalCode(): NodeJS.Signals | null {
    return this.#child?.exit?.signal ?? null;
  }

  /** Resolves when it has ended. @throws {RingwayError} `ERR_RINGWAY_STATE` before it was started */
  get exited(): Promise<ProcessExit> {
    return this.#checkStarted().exited;
  }

  /** Writes to its standard input, with `stdio: 'pipe'`; else null. */
  get stdin(): Writable | null {
    return this.#child?.process.stdin ?? null;
  }

  /** Reads its standard output, with `stdio: 'pipe'`; else null. A child waits for who reads too little. */
  get stdout(): Readable | null {
    return this.#child?.process.stdout ?? null;
  }

  /** As stdout, of its errors. */
  get stderr(): Readable | null {
    return this.#child?.process.stderr ?? null;
  }

  /**
   * Waits until it has ended.
   * @returns how it ended
   * @throws {RingwayError} `ERR_RINGWAY_STATE` before it was started
   * @throws {ClosedError} after close()
   */
  join(options?: WaitOptions & { timeoutMs?: undefined }): Promise<ProcessExit>;
  /** The same with a limit: null if it runs still after `timeoutMs`. */
  join(options?: WaitOptions): Promise<ProcessExit | null>;
  async join(options: WaitOptions = {}): Promise<ProcessExit | null> {
    const { exited } = this.#checkStarted();
    return within(exited, options, () => this.#child?.exit ?? null);
  }

  /**
   * Blocks this thread until it has ended. A child that waits for its parent to read a pipe, or to send it the rest of
   * large arguments, waits meanwhile: `await start()` first.
   * @returns as join()
   * @throws {RingwayError} `EINTR` when a signal came that somebody listens to; `ERR_RINGWAY_NO_ADDON`
   * @throws {RingwayError} `ERR_RINGWAY_WOULD_DEADLOCK` while the arguments are on their way
   * @throws as join()
   */
  joinSync(options?: SyncWaitOptions & { timeoutMs?: undefined }): ProcessExit;
  /** The same with a limit: null if it runs still after `timeoutMs`. */
  joinSync(options?: SyncWaitOptions): ProcessExit | null;
  joinSync(options: SyncWaitOptions = {}): ProcessExit | null {
    const child = this.#checkStarted();
    checkWaitOptions(options);
    if (child.exit !== undefined) return child.exit;
    if (!child.channel.flushed) {
      throw new RingwayError(
        `joinSync would block for ever: ${this.#label} has not got all of its arguments yet. Await start() first`,
        'ERR_RINGWAY_WOULD_DEADLOCK',
      );
    }
    const exit = waitForExitSync('joinSync', child.pid, options);
    if (exit !== null) child.ended(exit);
    return exit;
  }

  /** @internal For wait(): it is ready when it has ended. */
  get [readiness](): Readiness {
    const child = this.#checkStarted();
    return {
      isReady: () => child.exit !== undefined,
      whenReady: (signal) => this.join({ signal }),
      blockUntilReady: (timeoutMs) => this.joinSync({ timeoutMs }),
    };
  }

  /**
   * Asks it to end, with SIGTERM. The processes that it has started with `killWithParent` end, too.
   * @returns false if it has ended already
   * @throws as join()
   */
  terminate(): boolean {
    return this.kill('SIGTERM');
  }

  /**
   * Sends it a signal.
   * @returns false if it has ended already
   * @throws {TypeError} for a signal that the system does not know
   * @throws as join()
   */
  kill(signal: NodeJS.Signals | number = 'SIGKILL'): boolean {
    return this.#checkStarted().process.kill(signal);
  }

  /** It keeps this process alive while it runs, as it does by default. */
  ref(): this {
    this.#child?.process.ref();
    return this;
  }

  /** This process may end before it. With `killWithParent` it ends then, too. */
  unref(): this {
    this.#child?.process.unref();
    return this;
  }

  /**
   * Gives up this handle to a process that has ended, or was never started; its methods throw afterwards. Idempotent.
   * @throws {RingwayError} `ERR_RINGWAY_STATE` while it runs
   */
  close(): void {
    if (this.alive) {
      throw new RingwayError(`${this.#label} runs: terminate() and join() it before close()`, 'ERR_RINGWAY_STATE');
    }
    this.#closed = true;
    this.#args = undefined;
  }

  /** Terminates it, waits for its end and closes it. One that does not follow within 5 s is killed. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.alive) {
      this.terminate();
      if ((await this.join({ timeoutMs: DISPOSE_GRACE_MS })) === null) {
        this.kill('SIGKILL');
        await this.join();
      }
    }
    this.close();
  }
}

function errorInWords(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : describe(error);
}
