// The examples as a user runs them: what they print last, how they end, and that they leave nothing behind.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { segmentFiles, useOwnDirectory } from './helpers/directory.js';
import { BACKENDS } from './helpers/rings.js';

useOwnDirectory();

const LIMIT_MS = 120_000; // A watchdog.

class Example {
  static readonly running = new Set<Example>();
  readonly lines: string[] = [];
  readonly process: ChildProcess;
  readonly #end: Promise<unknown[]>;
  errors = '';

  constructor(name: string, env: NodeJS.ProcessEnv = {}) {
    const file = name.includes('/') ? name : `${name}/main`;
    const program = fileURLToPath(new URL(`../build/ts/examples/${file}.js`, import.meta.url));
    this.process = spawn(process.execPath, [program], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#end = once(this.process, 'close'); // Also of its children, who have the same output.
    this.process.stderr?.on('data', (chunk) => {
      this.errors += chunk;
    });
    createInterface(this.process.stdout as NodeJS.ReadableStream).on('line', (line) => {
      this.lines.push(line);
      this.process.emit('line');
    });
    Example.running.add(this);
  }

  /** Returns when it has printed a line like this. */
  async printed(line: RegExp): Promise<void> {
    while (!this.lines.some((printed) => line.test(printed))) {
      await Promise.race([once(this.process, 'line'), this.#end]);
      if (this.process.exitCode !== null) break;
    }
    expect(this.lines.join('\n')).toMatch(line);
  }

  /** The exit code, when it and its children have ended. */
  async end(): Promise<unknown> {
    const [code] = await this.#end;
    Example.running.delete(this);
    return code;
  }

  children(): number[] {
    const { pid } = this.process;
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  }
}

afterEach(() => {
  for (const { process } of Example.running) process.kill('SIGKILL');
  Example.running.clear();
});

describe('the pool of workers', () => {
  it(
    'counts each job once though two processes die',
    async () => {
      const example = new Example('workers');
      expect(await example.end(), example.errors).toBe(0);
      expect(example.lines.filter((line) => line.includes('was ended by SIGKILL'))).toHaveLength(2);
      expect(example.lines).toContainEqual(expect.stringMatching(/^> job {2}5: .* delivery 2/));
      expect(example.lines).toContainEqual(expect.stringMatching(/^> job 11: .* delivery 2, counted already/));
      expect(example.lines.at(-1)).toBe('verified: 664,579 primes, each job counted once');
      expect(segmentFiles()).toEqual([]);
    },
    LIMIT_MS,
  );

  it('says why not, where processes share no memory', async () => {
    const example = new Example('workers', { RINGWAY_BACKEND: 'sab' });
    expect(await example.end()).toBe(1);
    expect(example.errors).toContain('workers: a pool of processes needs memory that processes share');
  });

  it(
    'fails if all workers are killed',
    async () => {
      const example = new Example('workers');
      await example.printed(/job/);
      for (const pid of example.children()) process.kill(pid, 'SIGKILL');
      expect(await example.end()).toBe(1);
      expect(example.errors).toMatch(/^workers: found .* primes, and there are 664,579/);
    },
    LIMIT_MS,
  );
});

describe('the tour', () => {
  it(
    'shows what each mechanism does',
    async () => {
      const example = new Example('tour');
      expect(await example.end(), example.errors).toBe(0);
      const lines = example.lines.join('\n');
      expect(lines).toContain("received [ 'hello', 'IPC' ]\nthe sender has ended: end of the stream");
      expect(lines).toMatch(/two consumers got \d+ and \d+: 499500 in all/);
      expect(lines).toContain('4 processes added 1 to a value 1000 times each: 4000');
      expect(lines).toContain('each doubled what was in the array before: 1, 2, 4, 8');
      expect(lines).toContain('add(2, 3) is 5\ncounted 1\ncounted 2\ncounted 3');
      expect(example.errors).toBe('');
      expect(segmentFiles()).toEqual([]);
    },
    LIMIT_MS,
  );

  it(
    'sends through the kernel where processes share no memory',
    async () => {
      const example = new Example('tour/pipe', { RINGWAY_BACKEND: 'sab' });
      expect(await example.end(), example.errors).toBe(0);
      expect(example.lines).toEqual(["received [ 'hello', 'IPC' ]", 'the sender has ended: end of the stream']);
    },
    LIMIT_MS,
  );
});

describe('the counter', () => {
  it(
    'counts exactly, though a process is killed with the lock',
    async () => {
      const example = new Example('counter');
      expect(await example.end(), example.errors).toBe(0);
      expect(example.lines.filter((line) => /^! process \d+ was ended by SIGKILL/.test(line))).toHaveLength(1);
      const told = example.lines.filter((line) => line.startsWith('>'));
      expect(told).toEqual([expect.stringMatching(/^> (this )?process.* is told that process \d+ died with the lock/)]);
      expect(example.lines.filter((line) => line.startsWith('│ the '))).toHaveLength(1);
      expect(example.lines.at(-1)).toMatch(/^verified: [\d,]+ words, [\d,]+ different ones, each counted exactly$/);
      expect(segmentFiles()).toEqual([]);
    },
    LIMIT_MS,
  );

  it('says why not, where processes share no memory', async () => {
    const example = new Example('counter', { RINGWAY_BACKEND: 'sab' });
    expect(await example.end()).toBe(1);
    expect(example.errors).toContain('counter: processes that count together need memory that they share');
  });
});

describe('market data', () => {
  it.each(BACKENDS)(
    'is received or known to be missed, over %s',
    async (backend) => {
      const example = new Example('ticks', backend === 'sab' ? { RINGWAY_BACKEND: 'sab' } : {});
      expect(await example.end(), example.errors).toBe(0);
      expect(example.lines.filter((line) => line.includes('last price, slowly'))).toHaveLength(2);
      expect(example.lines.at(-1)).toBe(
        "verified: received + missed = 120,000 for each; with 'block' nobody missed any",
      );
      expect(segmentFiles()).toEqual([]);
    },
    LIMIT_MS,
  );
});

describe.each([
  ['workers', /jobs for 4 processes/],
  ['ticks', /onSlow: 'overwrite'/],
  ['counter', /parts of this project/],
])('%s', (name, line) => {
  it(
    'leaves nothing behind on Ctrl-C',
    async () => {
      const example = new Example(name);
      await example.printed(line);
      example.process.kill('SIGINT');
      expect(await example.end()).toBe(130);
      expect(example.errors).toBe(`${name}: ended by SIGINT\n`);
      expect(segmentFiles()).toEqual([]);
    },
    LIMIT_MS,
  );
});
