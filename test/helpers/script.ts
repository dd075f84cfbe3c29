// Whole programs for tests, where it matters how a process ends or what keeps it alive. Unlike those of remote.ts they
// have no channel to the test but what they print.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach } from 'vitest';
import { type End, WATCHDOG_MS } from './remote.js';

/** Where `import 'ringway'` finds the package by its own name. */
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface ScriptEnd extends End {
  /** What it printed, line by line. */
  lines: string[];
  errors: string;
}

export interface Script {
  readonly pid: number;
  readonly end: Promise<ScriptEnd>;
  /** The next line it prints. */
  line(): Promise<string>;
  kill(signal: NodeJS.Signals): void;
  write(text: string): void;
}

export interface ScriptOptions {
  /** Parsed from the program's last argument, as `input`. */
  input?: unknown;
  env?: NodeJS.ProcessEnv;
  execArgv?: string[];
  /** The program imports what it needs itself. */
  bare?: boolean;
  watchdogMs?: number;
}

const running = new Set<ReturnType<typeof spawn>>();

/** Starts a program: a module in which `ringway`, `fs` and `input` are there. Killed if it takes too long. */
export function startScript(source: string, options: ScriptOptions = {}): Script {
  const { input = null, env = {}, execArgv = [], bare = false, watchdogMs = WATCHDOG_MS } = options;
  const imports = bare ? '' : "import * as ringway from 'ringway'; const { SpscRing, capabilities } = ringway; ";
  const program =
    `${imports}import * as fs from 'node:fs';` +
    `const input = JSON.parse(process.argv.at(-1)); const print = (line) => fs.writeSync(1, String(line) + '\\n');\n${source}`;
  const child = spawn(
    process.execPath,
    [...execArgv, '--input-type=module', '-e', program, '--', JSON.stringify(input)],
    { cwd: ROOT, env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] },
  );
  running.add(child);
  const lines: string[] = [];
  const unread: string[] = [];
  const readers: ((line: string) => void)[] = [];
  let errors = '';
  child.stderr.on('data', (text) => {
    errors += text;
  });
  child.stdin.on('error', () => {}); // It may be gone already.
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    const reader = readers.shift();
    if (reader) reader(line);
    else unread.push(line);
  });
  const end = new Promise<ScriptEnd>((resolve, reject) => {
    const watchdog = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`not done within ${watchdogMs} ms. It printed:\n${lines.join('\n')}\n${errors}`));
    }, watchdogMs);
    child.on('close', (code, signal) => {
      clearTimeout(watchdog);
      running.delete(child);
      resolve({ code, signal, lines, errors });
    });
  });
  end.catch(() => {});
  return {
    pid: child.pid as number,
    end,
    line: () => {
      const line = unread.shift();
      if (line !== undefined) return Promise.resolve(line);
      const next = new Promise<string>((resolve) => readers.push(resolve));
      const ended = end.then((how) => {
        throw new Error(`it ended instead of printing: ${JSON.stringify(how)}`);
      });
      return Promise.race([next, ended]);
    },
    kill: (signal) => child.kill(signal),
    write: (text) => child.stdin.write(text),
  };
}

/** Runs a program to its end. */
export function runScript(source: string, options?: ScriptOptions): Promise<ScriptEnd> {
  return startScript(source, options).end;
}

afterEach(() => {
  for (const child of running) child.kill('SIGKILL');
});
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

// The kernel's numbers of futex and futex_waitv.
const FUTEX_CALLS = process.arch === 'arm64' ? ['98', '449'] : ['202', '449'];

/** Waits until the main thread of a process is blocked on a futex, as a Sync wait is. */
export async function untilAsleep(pid: number): Promise<void> {
  for (;;) {
    const call = readFileSync(`/proc/${pid}/syscall`, 'utf8').split(' ', 1)[0] as string;
    if (FUTEX_CALLS.includes(call.trim())) return;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** Waits until the main thread of a process has used another 100 ms of processor time, as one that spins does. */
export async function untilBusy(pid: number): Promise<void> {
  const ticks = () => Number(readFileSync(`/proc/${pid}/task/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[11]);
  const from = ticks();
  while (ticks() < from + 10) await new Promise((resolve) => setTimeout(resolve, 1));
}
