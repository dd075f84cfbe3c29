// What a process is started with.

import type { Readable, Stream, Writable } from 'node:stream';
import { describe } from '../memory/names.js';
import { inheritedExecArgv } from './exec-argv.js';

/** One of a child's standard streams: the parent's, a pipe to it, nothing, or a descriptor or stream of the parent's. */
export type ProcessStream = 'inherit' | 'pipe' | 'ignore' | number | Readable | Writable;

export interface ProcessOptions {
  /** What messages call it; `Process-1`, `Process-2`, … by default. */
  name?: string;
  /**
   * Whether it ends when the thread that started it ends, however that ends; true by default. It is killed with SIGKILL
   * then, on Linux also while it computes without returning to its event loop.
   */
  killWithParent?: boolean;
  /** Its standard input, output and errors: one for all three, or three; `inherit` by default. */
  stdio?: 'inherit' | 'pipe' | 'ignore' | readonly [ProcessStream, ProcessStream, ProcessStream];
  /** Its working directory; the parent's by default. */
  cwd?: string | URL;
  /** Environment variables, on top of the parent's; one that is `undefined` is taken away. */
  env?: Record<string, string | undefined>;
  /** Flags of Node's; by default the parent's, but for those that say what the parent was started for (`--inspect`, `--watch`, `--test`, `--eval`, …). */
  execArgv?: readonly string[];
}

/** Of Process.run(). */
export interface RunOptions extends ProcessOptions {
  /** An abort terminates the process and rejects with its reason. */
  signal?: AbortSignal;
}

export interface CheckedProcessOptions {
  name: string;
  killWithParent: boolean;
  stdio: ('inherit' | 'pipe' | 'ignore' | number | Stream)[];
  cwd: string | URL | undefined;
  env: Record<string, string | undefined>;
  execArgv: string[];
}

let unnamed = 0;

/** @throws {TypeError | RangeError} with the value that is wrong */
export function checkProcessOptions(options: ProcessOptions): CheckedProcessOptions {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`the options of a process are an object, not ${describe(options)}`);
  }
  const { name, killWithParent = true, stdio = 'inherit', cwd, env = {}, execArgv } = options;
  if (name !== undefined && (typeof name !== 'string' || name === '')) {
    throw new TypeError(`name must be a string that is not empty, not ${describe(name)}`);
  }
  if (typeof killWithParent !== 'boolean') {
    throw new TypeError(`killWithParent must be true or false, not ${describe(killWithParent)}`);
  }
  const streams: readonly unknown[] = Array.isArray(stdio) ? stdio : [stdio, stdio, stdio];
  if (streams.length !== 3) {
    throw new RangeError(`stdio has ${streams.length} entries: it takes one for each of stdin, stdout and stderr`);
  }
  for (const stream of streams) {
    if (stream === 'inherit' || stream === 'pipe' || stream === 'ignore' || typeof stream === 'number') continue;
    if (typeof stream === 'object' && stream !== null) continue; // Node checks that it has a descriptor.
    throw new TypeError(`stdio takes 'inherit', 'pipe', 'ignore', a descriptor or a stream, not ${describe(stream)}`);
  }
  if (typeof env !== 'object' || env === null) throw new TypeError(`env must be an object, not ${describe(env)}`);
  if (execArgv !== undefined && !Array.isArray(execArgv)) {
    throw new TypeError(`execArgv must be an array of flags, not ${describe(execArgv)}`);
  }
  return {
    name: name ?? `Process-${++unnamed}`,
    killWithParent,
    stdio: streams as CheckedProcessOptions['stdio'],
    cwd,
    env: { ...process.env, ...env },
    execArgv: execArgv === undefined ? inheritedExecArgv(process.execArgv) : [...execArgv],
  };
}
