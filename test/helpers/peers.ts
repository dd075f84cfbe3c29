// Processes on one end of a ring: the C++ program native/test/peer.cpp and its twin test/programs/peer.ts.
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, expect } from 'vitest';

export type Engine = 'c++' | 'ts';

const CPP_PROGRAM = fileURLToPath(new URL('../../build/Release/ringway_peer', import.meta.url));
const TS_PROGRAM = fileURLToPath(new URL('../../build/ts/test/programs/peer.js', import.meta.url));

export interface End {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** What a peer says when it is done. */
export interface Report {
  engine: Engine;
  mode: string;
  records: number;
  bytes: number;
  ms: number;
}

const running = new Set<Peer>();
const watchers = new Set<(failure: Error) => void>();

export class Peer {
  readonly engine: Engine;
  readonly ended: Promise<End>;
  /** All it has printed. */
  output = '';
  readonly #child: ChildProcess;
  readonly #what: string;
  readonly #lines: string[] = [];
  #partial = '';
  #lastLine: string | undefined;
  #end: End | undefined;
  #notify: () => void = () => {}; // One waits at a time.

  constructor(engine: Engine, mode: string, parameters: Record<string, string | number>) {
    const args = [mode, ...Object.entries(parameters).map(([name, value]) => `${name}=${value}`)];
    this.engine = engine;
    this.#what = `${engine} ${args.join(' ')}`;
    const stdio = ['ignore', 'pipe', 'pipe'] as const;
    // stdio's file descriptors go with the child, not with this process.
    this.#child =
      engine === 'c++'
        ? spawn(CPP_PROGRAM, args, { stdio: [...stdio] })
        : spawn(process.execPath, [TS_PROGRAM, ...args], { stdio: [...stdio] });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.output += text;
      const lines = (this.#partial + text).split('\n');
      this.#partial = lines.pop() ?? '';
      this.#lines.push(...lines);
      this.#lastLine = lines.at(-1) ?? this.#lastLine;
      this.#notify();
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.output += text;
    });
    running.add(this);
    // 'close' and not 'exit': everything it has printed was read.
    this.ended = new Promise((resolve, reject) => {
      this.#child.on('error', (error) => {
        running.delete(this);
        reject(error);
      });
      this.#child.on('close', (code, signal) => {
        running.delete(this);
        this.#end = { code, signal };
        this.#notify();
        resolve(this.#end);
        if (code !== 0 && signal === null) for (const tell of watchers) tell(this.failure(`ended with code ${code}`));
      });
    });
    this.ended.catch(() => {});
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  get alive(): boolean {
    return this.#end === undefined;
  }

  /** Whether it had its role when it last printed something. */
  get wasReady(): boolean {
    return this.output.includes('ready\n');
  }

  /** Sends a signal at once, and does not wait for what comes of it. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Waits until it has its role. */
  async ready(): Promise<void> {
    while (!this.wasReady) await this.#more('ready');
  }

  /** Waits for a line; what was read already does not count. */
  async nextLine(wanted: string): Promise<void> {
    this.#lines.length = 0;
    while (!this.#lines.includes(wanted)) await this.#more(wanted);
  }

  /** The last line it has printed, as far as it was read here. */
  get lastLine(): string | undefined {
    return this.#lastLine;
  }

  /** Waits for its good end. */
  async report(): Promise<Report> {
    const { code, signal } = await this.ended;
    if (code !== 0) throw this.failure(`ended with code ${code}, signal ${signal}`);
    // A warning of the runtime's may come after it.
    const report = this.output.split('\n').findLast((line) => line.startsWith('{'));
    return report === undefined ? expect.unreachable(`no report: ${this.output}`) : JSON.parse(report);
  }

  // Resolves when it has printed something or ended.
  async #more(wanted: string): Promise<void> {
    if (this.#end !== undefined) throw this.failure(`ended before it said "${wanted}"`);
    await new Promise<void>((resolve) => {
      this.#notify = resolve;
    });
  }

  failure(how: string): Error {
    return new Error(`${this.#what}\n${how}; it printed:\n${this.output || '(nothing)'}`);
  }
}

/**
 * Runs something that must end. Fails as soon as a peer does; past the watchdog all peers are killed, and the error says
 * what they printed.
 */
export async function watched<Result>(watchdogMs: number, run: () => Promise<Result>): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  let watcher: (failure: Error) => void = () => {};
  const watchdog = new Promise<never>((_resolve, reject) => {
    watcher = reject;
    watchers.add(watcher);
    timer = setTimeout(() => {
      const peers = [...running];
      const said = peers.map((peer) => peer.failure('was still running').message).join('\n');
      for (const peer of peers) peer.signal('SIGKILL');
      reject(new Error(`the watchdog came after ${watchdogMs} ms\n${said}`));
    }, watchdogMs);
  });
  try {
    return await Promise.race([run(), watchdog]);
  } finally {
    clearTimeout(timer);
    watchers.delete(watcher);
  }
}

afterEach(async () => {
  const left = [...running];
  for (const peer of left) peer.signal('SIGKILL');
  await Promise.all(left.map((peer) => peer.ended));
});
// Also when the test runner gives up on this file.
process.on('exit', () => {
  for (const peer of running) peer.signal('SIGKILL');
});
