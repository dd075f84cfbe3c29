// A child process of Node's with the channel to it: from the system's side, whatever it runs. What it is told and what it
// answers is process.ts's business.

import type { ChildProcess, SpawnOptions, StdioOptions } from 'node:child_process';
import type { Socket } from 'node:net';
import { BOOT_URL } from '../boot-url.js';
import { RingwayError, type SystemErrorCode } from '../errors.js';
import { builtin, nextTurn } from '../runtime.js';
import { BOOT_DESCRIPTOR, BootChannel } from './boot-channel.js';
import type { ProcessExit } from './exit.js';
import type { CheckedProcessOptions } from './options.js';

export class Child {
  readonly process: ChildProcess;
  readonly pid: number;
  readonly killWithParent: boolean;
  readonly channel: BootChannel;
  /** How it ended; undefined while it runs. */
  exit: ProcessExit | undefined;
  readonly exited: Promise<ProcessExit>;
  readonly #whenEnded: (exit: ProcessExit) => void;

  /** Over a process that has started. */
  constructor(process: ChildProcess, killWithParent: boolean, onEnd: () => void) {
    this.process = process;
    this.pid = process.pid as number;
    this.killWithParent = killWithParent;
    this.channel = new BootChannel(process.stdio[BOOT_DESCRIPTOR] as Socket);
    let settle!: (exit: ProcessExit) => void;
    this.exited = new Promise((resolve) => {
      settle = resolve;
    });
    this.#whenEnded = (exit) => {
      onEnd();
      settle(exit);
    };
    process.on('error', () => {}); // Of a signal that could not be sent: kill() says so.
    process.once('exit', (exitCode, signal) => {
      this.ended({ exitCode, signal });
      this.#closeWhenRead();
    });
  }

  /** It has ended, which the event loop may not know yet. */
  ended(exit: ProcessExit): void {
    if (this.exit !== undefined) return;
    this.exit = exit;
    this.#whenEnded(exit);
  }

  // What the child sent before it ended may not have been read yet. The channel's end need not come: a program that it
  // forked may have its descriptor. So it is closed when two turns of the loop have brought nothing.
  #closeWhenRead(): void {
    const { channel } = this;
    let read = channel.bytesRead;
    let quietTurns = 0;
    const look = () => {
      quietTurns = channel.bytesRead === read ? quietTurns + 1 : 0;
      read = channel.bytesRead;
      if (quietTurns === 2) channel.close();
      else nextTurn(look);
    };
    nextTurn(look);
  }
}

/**
 * Starts a process that runs our boot module.
 * @param streams - its standard streams and the channel, then descriptors that it gets
 * @throws {RingwayError} what the system says
 */
export async function startNode(
  label: string,
  streams: readonly unknown[],
  { execArgv, cwd, env }: CheckedProcessOptions,
  started: (child: ChildProcess) => void,
): Promise<void> {
  const { spawn } = builtin<typeof import('node:child_process')>(
    'node:child_process',
  ) as typeof import('node:child_process');
  const { fileURLToPath } = builtin<typeof import('node:url')>('node:url') as typeof import('node:url');
  const options: SpawnOptions = { stdio: streams as StdioOptions, cwd, env, windowsHide: true };
  const fail = (error: NodeJS.ErrnoException): never => {
    if (typeof error.errno !== 'number') throw error; // An option that Node refuses.
    const { code, errno, syscall, path } = error;
    const where = cwd === undefined ? '' : ` in ${String(cwd)}`;
    const details = { errno, ...(syscall && { syscall }), ...(path && { path }), cause: error };
    throw new RingwayError(`${label} cannot be started${where}: ${error.message}`, code as SystemErrorCode, details);
  };
  let child: ChildProcess;
  try {
    child = spawn(process.execPath, [...execArgv, fileURLToPath(BOOT_URL)], options);
  } catch (error) {
    return fail(error as NodeJS.ErrnoException);
  }
  if (child.pid !== undefined) return started(child);
  return fail(await new Promise<NodeJS.ErrnoException>((resolve) => child.once('error', resolve)));
}
