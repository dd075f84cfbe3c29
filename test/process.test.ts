// Tasks in processes of their own: what arrives there, what comes back, and that nobody waits for one that has ended,
// however it ended.
import { execFile } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import {
  activeChildren,
  ClosedError,
  currentProcess,
  EndOfStreamError,
  isMain,
  Lock,
  MpmcRing,
  Pipe,
  Process,
  type ProcessExit,
  parentProcess,
  Queue,
  RemoteError,
  Semaphore,
  SharedEvent,
  SpscRing,
  task,
  Value,
  wait,
  waitSync,
} from 'ringway';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { inheritedExecArgv } from '../src/process/exec-argv.js';
import { opening, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random, seed } from './helpers/random.js';
import { WATCHDOG_MS } from './helpers/remote.js';
import { rejectionOf } from './helpers/rings.js';
import { startScript } from './helpers/script.js';
import type * as Tasks from './programs/process-tasks.js';

useOwnDirectory();

const PROGRAM = new URL('../build/ts/test/programs/process-tasks.js', import.meta.url).href;
const tasks = (await import(PROGRAM)) as typeof Tasks;
const RINGWAY = new URL('../dist/index.js', import.meta.url).href;

// Modules that a test writes.
const folder = mkdtempSync(join(tmpdir(), 'ringway-process-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
function fileOf(source: string, extension = 'mjs'): string {
  const file = join(folder, `module-${++files}.${extension}`);
  writeFileSync(file, source.replaceAll("'ringway'", JSON.stringify(RINGWAY)));
  return file;
}
const moduleOf = (source: string) => pathToFileURL(fileOf(source)).href;

function folderWithIndex(file: string): string {
  const made = join(folder, `folder-${++files}`);
  mkdirSync(made);
  copyFileSync(file, join(made, 'index.js'));
  return made;
}

/** Runs `node` with these arguments to its end. */
function runProgram(argv: string[]): Promise<{ code: number; lines: string[]; errors: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, argv, { timeout: WATCHDOG_MS, killSignal: 'SIGKILL' }, (error, output, errors) => {
      const code = error === null ? 0 : Number(error.code ?? -1);
      resolve({ code, lines: output.split('\n').filter(Boolean), errors });
    });
  });
}

/** Waits until the process has ended, whoever is to reap it. */
async function untilGone(pid: number): Promise<void> {
  for (;;) {
    try {
      if (/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))) return;
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** Waits until the main thread of a process is blocked in ppoll, as joinSync is. */
async function untilPolling(pid: number): Promise<void> {
  const call = process.arch === 'arm64' ? '73' : '271';
  while (readFileSync(`/proc/${pid}/syscall`, 'utf8').split(' ', 1)[0] !== call) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

afterEach(async () => {
  for (const child of activeChildren()) {
    child.kill('SIGKILL');
    await child.join();
  }
});

// What the promise rejects with.
const errorOf = (promise: Promise<unknown>) =>
  promise.then(
    (value) => expect.fail(`it resolved with ${String(value)}`),
    (error) => error as RemoteError & { cause: Error & Record<string, unknown> },
  );

describe('a process', () => {
  it('gets its arguments, and gives back what its task returns', async () => {
    const args = [1, 'str', [1], [], null, undefined, { deep: new Map([[1n, new Set(['x'])]]) }, new Date(5)];
    expect(await Process.run(tasks.echo, args)).toEqual(args);
    expect(await Process.run(tasks.echo)).toEqual([]);
  });

  it('knows itself and its parent', async () => {
    expect(currentProcess).toMatchObject({ name: 'MainProcess', pid: process.pid, killWithParent: false });
    expect(parentProcess).toBe(null);
    expect(activeChildren()).toEqual([]);
    const told = await Process.run(tasks.whoAmI, [], { name: 'worker' });
    expect(told).toMatchObject({
      name: 'worker',
      killWithParent: true,
      parent: { name: 'MainProcess', pid: process.pid, alive: true },
      children: 0,
      isMain: false,
    });
    expect(told.pid).not.toBe(process.pid);
  });

  it('has a life cycle', async () => {
    const p = new Process(tasks.forever);
    expect(p).toMatchObject({ alive: false, pid: null, exitCode: null, signalCode: null });
    expect(p.name).toMatch(/^Process-\d+$/);
    expect(() => p.exited).toThrow(expect.objectContaining({ code: 'ERR_RINGWAY_STATE' }));
    for (const early of [() => p.join(), async () => p.kill(), async () => p.joinSync()]) {
      expect(await errorOf(early())).toMatchObject({
        code: 'ERR_RINGWAY_STATE',
        message: expect.stringContaining('start()'),
      });
    }
    expect(activeChildren()).toEqual([]);
    expect(await p.start()).toBe(p);
    expect(p.alive).toBe(true);
    expect(activeChildren()).toEqual([p]);
    expect(await errorOf(p.start())).toMatchObject({ code: 'ERR_RINGWAY_STATE' });
    expect(() => p.close()).toThrow(expect.objectContaining({ code: 'ERR_RINGWAY_STATE' }));
    expect(await p.join({ timeoutMs: 0 })).toBe(null);
    expect(await p.join({ timeoutMs: 5 })).toBe(null);
    expect(p.terminate()).toBe(true);
    const end = { exitCode: null, signal: 'SIGTERM' };
    expect(await p.join()).toEqual(end);
    expect(await p.exited).toEqual(end);
    expect(await p.join({ timeoutMs: 0 })).toEqual(end);
    expect(p.joinSync()).toEqual(end);
    expect(p).toMatchObject({ alive: false, exitCode: null, signalCode: 'SIGTERM' });
    expect(activeChildren()).toEqual([]);
    expect(p.terminate()).toBe(false);
    p.close();
    p.close();
    expect(await errorOf(p.join())).toBeInstanceOf(ClosedError);
    expect(() => p.joinSync()).toThrow(ClosedError);
    expect(() => p.terminate()).toThrow(ClosedError);
  });

  it('gives up a join at its abort, and goes on', async () => {
    const p = await Process.spawn(tasks.forever);
    const controller = new AbortController();
    const joined = p.join({ signal: controller.signal });
    controller.abort(new Error('enough'));
    expect(await errorOf(joined)).toMatchObject({ message: 'enough' });
    expect(p.alive).toBe(true);
    await expect(p.join({ timeoutMs: Number.NaN })).rejects.toThrow(RangeError);
  });

  it('is killed when the run that waits for it is aborted', async () => {
    const lock = opening(new Lock());
    const held = opening(new SharedEvent());
    const controller = new AbortController();
    const run = errorOf(Process.run(tasks.idleWith, [lock, held], { signal: controller.signal }));
    const other = errorOf(Process.run(tasks.waits, [], { signal: controller.signal }));
    await held.wait();
    controller.abort(new Error('enough'));
    expect(await run).toMatchObject({ message: 'enough' });
    expect(await other).toMatchObject({ message: 'enough' });
    expect((await lock.lock()).ownerDied).toBe(true);
    await expect(Process.run(tasks.never, [], { signal: AbortSignal.abort() })).rejects.toThrow();
  });

  it('blocks a thread that joins it so', async () => {
    const p = await Process.spawn(tasks.exiting, [3]);
    expect(p.joinSync()).toEqual({ exitCode: 3, signal: null });
    expect(p.joinSync({ timeoutMs: 0 })).toEqual({ exitCode: 3, signal: null });
    expect(await p.join()).toEqual({ exitCode: 3, signal: null });
    const q = await Process.spawn(tasks.forever);
    expect(q.joinSync({ timeoutMs: 0 })).toBe(null);
    expect(q.joinSync({ timeoutMs: 20 })).toBe(null);
    q.kill('SIGUSR2');
    expect(q.joinSync()).toEqual({ exitCode: null, signal: 'SIGUSR2' });
    expect(() => q.joinSync({ timeoutMs: 'x' as never })).toThrow(TypeError);
  });

  it('does not block for a child that waits for its arguments', async () => {
    const p = new Process(tasks.large, [new Uint8Array(1 << 24)]);
    const started = p.start();
    expect(() => p.joinSync()).toThrow(expect.objectContaining({ code: 'ERR_RINGWAY_WOULD_DEADLOCK' }));
    await started;
    expect(p.joinSync()).toEqual({ exitCode: 0, signal: null });
  });

  it('ends a Sync join at a signal that somebody listens to', async () => {
    const script = startScript(
      `const heard = new Promise((resolve) => process.once('SIGINT', resolve)).then(() => print('listener'));
       const { tasks } = { tasks: await import(input) };
       const p = await ringway.Process.spawn(tasks.forever);
       print(p.pid);
       try { p.joinSync(); } catch (error) { print(error.code); }
       await heard;
       p.kill(); print(p.joinSync().signal);`,
      { input: PROGRAM },
    );
    const pid = Number(await script.line());
    await untilPolling(script.pid);
    script.kill('SIGINT');
    const end = await script.end;
    expect(end, end.errors).toMatchObject({ code: 0, lines: [String(pid), 'EINTR', 'listener', 'SIGKILL'] });
  });

  it('terminates and joins when it is disposed of', async () => {
    const p = await Process.spawn(tasks.forever);
    await p[Symbol.asyncDispose]();
    expect(p.signalCode).toBe('SIGTERM');
    await p[Symbol.asyncDispose]();
    await new Process(tasks.forever)[Symbol.asyncDispose]();
    const early = new Process(tasks.forever);
    const started = errorOf(early.start());
    await early[Symbol.asyncDispose]();
    expect((await started).message).toMatch(/SIGTERM before task "forever" began/);
  });

  it('is killed if it does not follow', async () => {
    const listens = opening(new SharedEvent());
    const p = await Process.spawn(tasks.deaf, [listens]);
    await listens.wait();
    await p[Symbol.asyncDispose]();
    expect(p.signalCode).toBe('SIGKILL');
  });

  it('takes arguments and gives results larger than any buffer between the two', async () => {
    const random = new Random();
    const bytes = new Uint8Array(new Uint32Array(5 << 18).map(() => random.next()).buffer);
    const inverted = await Process.run(tasks.large, [bytes]);
    expect(inverted.length).toBe(bytes.length);
    expect(
      Buffer.compare(
        inverted,
        bytes.map((byte) => byte ^ 255),
      ),
    ).toBe(0);
  });

  it('starts others, to any depth', async () => {
    const jobs = opening(new Queue<number[]>());
    await (await Process.spawn(tasks.recurse, [jobs, []])).join();
    jobs.end();
    const seen: number[][] = [];
    for await (const path of jobs) seen.push(path);
    expect(seen.map((path) => JSON.stringify(path)).sort()).toEqual([
      '[0,0]',
      '[0,1]',
      '[0]',
      '[1,0]',
      '[1,1]',
      '[1]',
      '[]',
    ]);
  });

  it('makes queues of its own, for its children and as a result', async () => {
    const queue = opening(await Process.run(tasks.queueInside, [10]));
    expect(await queue.get()).toEqual({ value: 90 });
    // It closes its queues on its way out; killed in the middle of that, as below, it would leave them to a sweep.
    for (const child of activeChildren()) await child.join();
  });

  it('exits right after a send and a put, and all of it arrives', async () => {
    for (const byteLength of [10, 100_000]) {
      const [receiving, sending] = Pipe<Uint8Array | string>({ duplex: false });
      opening(receiving);
      const queue = opening(new Queue<Uint8Array | string>());
      const child = await Process.spawn(tasks.exitsAfterSend, [sending, queue, byteLength]);
      expect(await child.join()).toEqual({ exitCode: 0, signal: null }); // Before anybody reads.
      for (const next of [() => receiving.recv(), () => queue.get()]) {
        expect(((await next()) as Uint8Array).length).toBe(byteLength);
        expect(await next()).toBe('last');
      }
      expect(await rejectionOf(receiving.recv())).toBeInstanceOf(EndOfStreamError);
    }
  });

  it('inherits directory, environment and flags, and has its own where it is told so', async () => {
    const inherited = await Process.run(tasks.whoAmI);
    expect(inherited).toMatchObject({ cwd: process.cwd(), home: process.env.HOME ?? null, variable: null });
    const own = await Process.run(tasks.whoAmI, [], {
      cwd: pathToFileURL(folder),
      env: { RINGWAY_TEST_VARIABLE: 'set', HOME: undefined },
      execArgv: ['--no-warnings', '--stack-size=900'],
    });
    expect(own).toMatchObject({ cwd: folder, home: null, variable: 'set' });
    expect(own.execArgv).toEqual(['--no-warnings', '--stack-size=900']);
  });

  it('does not keep a process that does not care', async () => {
    const end = await startScript(
      `const tasks = await import(input);
       const p = await ringway.Process.spawn(tasks.forever);
       p.unref();
       process.on('exit', () => print(p.pid));`,
      { input: PROGRAM },
    ).end;
    expect(end).toMatchObject({ code: 0, errors: '' });
    await untilGone(Number(end.lines[0]));
  });
});

describe('shared objects', () => {
  it('arrive in the child as themselves', async () => {
    const permits = opening(new Semaphore(1));
    const count = opening(new Value('int32', 1));
    const jobs = opening(MpmcRing.create({ slots: 4, slotByteLength: 16 }));
    expect(await Process.run(tasks.borrow, [permits, count, jobs])).toBe(true);
    expect(permits.value).toBe(0);
    expect(count.value).toBe(6);
    expect(Buffer.from((await jobs.pop()) as Uint8Array).toString()).toBe('a job');
  });

  it('stay until the child has them, though they are closed here', async () => {
    const permits = new Semaphore(1);
    const count = opening(new Value('int32', 1));
    const jobs = opening(MpmcRing.create({ slots: 4, slotByteLength: 16 }));
    const run = Process.run(tasks.borrow, [permits, count, jobs]);
    const [child] = activeChildren();
    permits.close();
    expect(await run).toBe(true);
    await child?.join(); // It has the last handle, and closes it.
  });

  it.each(['shm', 'pipe', 'unix', 'tcp'] as const)(
    'move into the child, ends of %s, and come back if it does not start',
    async (transport) => {
      const [ours, theirs] = Pipe<string>({ transport });
      opening(ours);
      await errorOf(
        Process.spawn(
          task(moduleOf(''), 'absent', (_: unknown) => {}),
          [theirs],
        ),
      );
      await errorOf(Process.spawn(tasks.upperCase, [theirs], { cwd: join(folder, 'nowhere') }));
      expect(theirs.closed).toBe(false);
      const p = await Process.spawn(tasks.upperCase, [theirs]);
      expect(() => theirs.trySend('x')).toThrow(new RegExp(`moved to process "${p.name}" \\(pid ${p.pid}\\)`));
      await ours.send('hello');
      await ours.send('world');
      expect([await ours.recv(), await ours.recv()]).toEqual(['HELLO', 'WORLD']);
      ours.close();
      expect(await p.join()).toEqual({ exitCode: 0, signal: null });
    },
  );

  it('have what was sent before an exit', async () => {
    const [receiving, sending] = Pipe<string>({ duplex: false });
    opening(receiving);
    const p = await Process.spawn(tasks.sendsAndExits, [sending]);
    await p.join();
    expect(await receiving.recv()).toBe('the last word');
    expect(await errorOf(receiving.recv())).toMatchObject({ code: 'ERR_RINGWAY_END' });
  });

  it('can be waited for together with processes', async () => {
    const [ours, theirs] = Pipe<string>();
    opening(ours);
    const p = await Process.spawn(tasks.upperCase, [theirs]);
    const q = await Process.spawn(tasks.forever);
    expect(await wait([p, q, ours], { timeoutMs: 0 })).toEqual([]);
    await ours.send('x');
    expect(await wait([p, q, ours])).toEqual([ours]);
    expect(await ours.recv()).toBe('X');
    q.kill();
    expect(await wait([p, q])).toEqual([q]);
    p.kill();
    expect(waitSync([p, ours]).length).toBeGreaterThan(0); // The end of the stream may come first.
    expect(waitSync([p])).toEqual([p]);
    expect(() => waitSync([new Process(tasks.never)])).toThrow(expect.objectContaining({ code: 'ERR_RINGWAY_STATE' }));
  });

  it('come back from the child, which stays until they have', async () => {
    const { jobs, permits } = await Process.run(tasks.makeShared);
    opening(jobs);
    opening(permits);
    expect(Buffer.from(jobs.tryPop() as Uint8Array).toString()).toBe('from the child');
    expect(permits.value).toBe(3);
  });

  it('are given back when nothing starts', async () => {
    const lock = opening(new Lock());
    const bad = task(moduleOf(`throw new Error('does not load')`), 'work', (_: Lock) => {});
    await errorOf(Process.spawn(bad, [lock]));
    await errorOf(Process.spawn(tasks.echo, [lock, () => {}]));
    await errorOf(Process.spawn(tasks.echo, [lock], { cwd: join(folder, 'nowhere') }));
    await errorOf(Process.spawn(tasks.echo, [lock], { execArgv: ['--no-such-flag'], stdio: 'ignore' }));
    // useOwnDirectory() sees a lock that stays because it waits for a receiver.
  });
});

describe('a task that fails', () => {
  it('rejects run() with its error', async () => {
    const error = await errorOf(Process.run(tasks.failing, [], { name: 'worker' }));
    expect(error).toBeInstanceOf(RemoteError);
    expect(error.message).toMatch(/^task "failing" failed in process "worker" \(pid \d+\): RangeError: no such thing$/);
    expect(error.cause).toMatchObject({ name: 'RangeError', message: 'no such thing', code: 'E_OWN', detail: 42 });
    expect(error.cause.stack).toContain('process-tasks.js');
    expect(error.cause.cause).toMatchObject({ message: 'below' });
    expect(await errorOf(Process.run(tasks.throwingText))).toMatchObject({ cause: 'just text' });
    const rest = await errorOf(Process.run(tasks.throwingUnsendable));
    expect(rest.cause).toMatchObject({ message: 'with a function', code: 'E_FN' });
    expect(rest.cause.stack).toContain('process-tasks.js');
  });

  it('rejects run() when its result cannot travel', async () => {
    const error = await errorOf(Process.run(tasks.unsendable));
    expect(error.cause).toMatchObject({ code: 'ERR_RINGWAY_UNSERIALISABLE' });
    expect(error.message).toContain('deep[0]');
  });

  it('prints its stack and ends with exit code 1', async () => {
    for (const [failing, what] of [
      [tasks.failing, 'no such thing'],
      [tasks.throwingLater, 'nobody waits for this'],
    ] as const) {
      const p = new Process(failing, [], { stdio: ['ignore', 'ignore', 'pipe'] });
      await p.start();
      const errors = text(p.stderr as NodeJS.ReadableStream);
      expect(await p.join()).toEqual({ exitCode: 1, signal: null });
      expect(await errors).toContain(what);
      expect(await errors).toContain('process-tasks.js');
    }
  });

  it('has its whole stack in a file that its errors go to', async () => {
    const file = join(folder, 'errors');
    const descriptor = openSync(file, 'w');
    const p = await Process.spawn(tasks.failing, [], { stdio: ['ignore', 'ignore', descriptor] });
    expect(await p.join()).toEqual({ exitCode: 1, signal: null });
    const errors = readFileSync(file, 'utf8');
    expect(errors).toContain('throw Object.assign'); // The line of the source.
    expect(errors).toContain('RangeError: no such thing');
    expect(errors).toContain('detail: 42');
  });
});

describe('a process that ends', () => {
  it.each([
    ['exit code 0', tasks.exiting, [0], /ended with exit code 0 before task "exiting" had settled/],
    ['exit code 3', tasks.exiting, [3], /ended with exit code 3/],
    ['a signal', tasks.killsItself, [], /killed by SIGKILL|undefined/],
  ] as const)('by %s leaves no run waiting', async (_, ending, args, message) => {
    if (ending === tasks.killsItself) {
      // Its result and its death race; neither may leave anybody waiting.
      await Process.run(tasks.killsItself).then(
        (value) => expect(value).toBe(undefined),
        (error) => expect(error.message).toMatch(message),
      );
      return;
    }
    expect((await errorOf(Process.run(ending as typeof tasks.exiting, args as [number]))).message).toMatch(message);
  });

  it('leaves no run waiting when its task never settles, and says why it ends', async () => {
    const p = await Process.spawn(tasks.never, [], { stdio: ['ignore', 'ignore', 'pipe'] });
    const errors = text(p.stderr as NodeJS.ReadableStream);
    expect(await p.join()).toEqual({ exitCode: 13, signal: null });
    expect(await errors).toMatch(/task "never" of file:.*process-tasks.js never settled in process "Process-\d+"/);
    const run = Process.run(tasks.never, [], { stdio: 'ignore' });
    expect((await errorOf(run)).message).toMatch(/exit code 13/);
  });

  it('leaves no run waiting, though others have its end of the channel', async () => {
    const pid = opening(new Value('int32', 0));
    const run = Process.run(tasks.leavesDescriptors, [pid]);
    expect((await errorOf(run)).message).toMatch(/ended with exit code 0 before/);
    process.kill(pid.value, 'SIGKILL');
  });

  it('has given its whole result, though it dies at once', async () => {
    for (const byteLength of [10, 100_000]) {
      const result = await Process.run(tasks.thenDies, [byteLength]).catch((error) => error);
      if (result instanceof RemoteError) expect(result.message).toMatch(/killed by SIGKILL before/);
      else expect(result).toEqual(new Uint8Array(byteLength).fill(7));
    }
  });

  it('runs its exit handlers, and has the exit code that it sets', async () => {
    const order = opening(new Value('int32', 0));
    expect(await (await Process.spawn(tasks.exitHandler, [order])).join()).toEqual({ exitCode: 0, signal: null });
    expect(order.value).toBe(100);
    expect(await (await Process.spawn(tasks.settingExitCode)).join()).toEqual({ exitCode: 7, signal: null });
  });

  it('does so when its loop is empty, and not before', async () => {
    const done = opening(new SharedEvent());
    await (await Process.spawn(tasks.laterTimer, [done])).join();
    expect(done.isSet).toBe(true);
    done.clear();
    await (await Process.spawn(tasks.unreferencedTimer, [done])).join();
    expect(done.isSet).toBe(false);
  });

  it('is noticed in each of 50 that are terminated as they start', { timeout: 120_000 }, async () => {
    announceSeed('terminating as they start');
    const random = new Random(seed);
    for (let round = 0; round < 10; round++) {
      const started = Array.from({ length: 5 }, async () => {
        const p = new Process(tasks.forever);
        const start = p.start().catch((error) => error);
        for (let turns = random.below(40); turns > 0; turns--) await new Promise((resolve) => setTimeout(resolve, 2));
        p.terminate();
        expect(await p.join()).toEqual({ exitCode: null, signal: 'SIGTERM' });
        const outcome = await start;
        if (outcome !== p) expect(outcome.message).toMatch(/killed by SIGTERM before task "forever" began/);
      });
      await Promise.all(started);
    }
    expect(activeChildren()).toEqual([]);
  });
});

describe('the standard streams', () => {
  it('are pipes if asked for', async () => {
    const p = new Process(tasks.readsInput, [], { stdio: 'pipe' });
    await p.start();
    p.stdin?.end('typed');
    expect(await p.join()).toEqual({ exitCode: 0, signal: null });
    const q = await Process.spawn(tasks.writesOutput, [3], { stdio: ['ignore', 'pipe', 'pipe'] });
    expect(q.stdin).toBe(null);
    const [out, errors] = await Promise.all([
      text(q.stdout as NodeJS.ReadableStream),
      text(q.stderr as NodeJS.ReadableStream),
    ]);
    expect([out, errors]).toEqual(['line 0\nline 1\nline 2\n', 'an error line\n']);
    expect((await Process.spawn(tasks.forever)).stdout).toBe(null);
  });

  it('may be closed by either side', async () => {
    const p = new Process(tasks.loseOutput, [], { stdio: 'pipe' });
    const started = p.start();
    p.stdout?.destroy();
    p.stderr?.destroy();
    p.stdin?.destroy();
    await started;
    expect(await p.join()).toEqual({ exitCode: 0, signal: null });
    expect(await Process.run(tasks.loseOutput, [], { stdio: 'ignore' })).toBe('done');
  });

  it('do not mix with a child that was closed out of them by its parent', async () => {
    const program = fileOf(
      `import { Process } from 'ringway'; import * as tasks from ${JSON.stringify(PROGRAM)}; import fs from 'node:fs';
       fs.closeSync(0); fs.closeSync(2);
       const report = fs.openSync(process.argv[2], 'w');
       fs.writeSync(report, JSON.stringify(await Process.run(tasks.echo, [1], { stdio: ['ignore', 'inherit', 'ignore'] })));`,
    );
    const file = join(folder, 'report');
    const end = await runProgram([program, file]);
    expect(end, end.errors).toMatchObject({ code: 0 });
    expect(readFileSync(file, 'utf8')).toBe('[1]');
  });
});

describe('a parent that ends', () => {
  // A program that starts a child which holds the lock, and then does what `ends` says.
  const parent = (ends: string, taskName = 'busyWith', env: NodeJS.ProcessEnv = {}, options = '{}') => {
    const lock = opening(new Lock());
    const held = opening(new SharedEvent());
    const seen = opening(new SharedEvent());
    const script = startScript(
      `const tasks = await import(input.program);
       const { Process, Lock, SharedEvent } = ringway;
       const [lock, held, seen] = [Lock.attach(input.lock), SharedEvent.attach(input.held), SharedEvent.attach(input.seen)];
       const p = await Process.spawn(tasks[input.task], [lock, held, seen].slice(0, tasks[input.task].length), ${options});
       await held.wait();
       print(p.pid);
       ${ends}`,
      { input: { program: PROGRAM, task: taskName, lock: lock.handle, held: held.handle, seen: seen.handle }, env },
    );
    return { lock, held, seen, script };
  };
  const idle = 'setInterval(() => {}, 1000);';

  it.each(['busyWith', 'idleWith'])('takes its child along, SIGKILLed, while that is in %s', async (taskName) => {
    const { lock, script } = parent(idle, taskName);
    await script.line();
    script.kill('SIGKILL');
    expect((await lock.lock()).ownerDied).toBe(true); // The kernel frees it when the child has ended.
    await script.end;
  });

  it.each([
    ['process.exit(0)', 'process.exit(0);', 0],
    ['an uncaught error', "setImmediate(() => { throw new Error('parent'); });", 1],
    ['an empty loop', 'p.unref();', 0],
  ])('takes its child along at %s', async (_, ends, code) => {
    const { lock, script } = parent(ends);
    await script.line();
    expect((await lock.lock()).ownerDied).toBe(true);
    expect((await script.end).code).toBe(code);
  });

  it('takes along the children of its children', async () => {
    const { lock, script } = parent(idle, 'grandparent');
    await script.line();
    script.kill('SIGKILL');
    expect((await lock.lock()).ownerDied).toBe(true);
    await script.end;
  });

  it('takes along a child that a worker thread started, when the thread ends', async () => {
    const lock = opening(new Lock());
    const held = opening(new SharedEvent());
    const worker = new Worker(
      `const { workerData } = require('node:worker_threads');
       const { Process, Lock, SharedEvent } = require(${JSON.stringify(fileURLToPath(RINGWAY))});
       import(workerData.program).then((tasks) =>
         Process.spawn(tasks.busyWith, [Lock.attach(workerData.lock), SharedEvent.attach(workerData.held)]));`,
      { eval: true, execArgv: [], workerData: { program: PROGRAM, lock: lock.handle, held: held.handle } },
    );
    await held.wait();
    await worker.terminate();
    expect((await lock.lock()).ownerDied).toBe(true);
  });

  it('leaves a child that is to go on, which sees its end', async () => {
    const { lock, seen, script } = parent(idle, 'survivor', {}, '{ killWithParent: false }');
    await script.line();
    script.kill('SIGKILL');
    await seen.wait();
    expect((await lock.lock()).ownerDied).toBe(false);
    await script.end;
  });
});

describe('without the addon', () => {
  const RINGWAY_ADDON = join(folder, 'nowhere.node');

  it('everything works but joinSync', async () => {
    const end = await startScript(
      `const tasks = await import(input);
       const { Process } = ringway;
       print(JSON.stringify(await Process.run(tasks.echo, [1, 'two'])));
       const p = await Process.spawn(tasks.forever);
       try { p.joinSync(); } catch (error) { print(error.code); }
       p.terminate();
       print((await p.join()).signal);
       print((await Process.run(tasks.failing).catch((error) => error)).cause.code);
`,
      { input: PROGRAM, env: { RINGWAY_ADDON } },
    ).end;
    expect(end, end.errors).toMatchObject({
      code: 0,
      lines: ['[1,"two"]', 'ERR_RINGWAY_NO_ADDON', 'SIGTERM', 'E_OWN'],
    });
  });

  it.each(['SIGKILL', 'SIGTERM'] as const)('a child that is idle ends with its parent at %s', async (signal) => {
    const script = startScript(
      `const tasks = await import(input);
       print((await ringway.Process.spawn(tasks.forever, [], { stdio: ['ignore', 'inherit', 'inherit'] })).pid);`,
      { input: PROGRAM, env: { RINGWAY_ADDON } },
    );
    await script.line();
    script.kill(signal);
    await script.end; // The child has the same standard output: its end comes when both have ended.
  });

  it('a child that computes ends with a parent that ends by itself', async () => {
    const module = moduleOf(
      `import { task } from 'ringway'; import fs from 'node:fs';
       export const busy = task(import.meta, 'busy', () => { fs.writeSync(1, 'busy\\n'); for (;;); });`,
    );
    const script = startScript(
      `const { busy } = await import(input);
       await ringway.Process.spawn(busy);
       process.stdin.once('data', () => process.exit(0));`,
      { input: module, env: { RINGWAY_ADDON } },
    );
    expect(await script.line()).toBe('busy');
    script.write('now\n');
    expect(await script.end).toMatchObject({ code: 0 });
  });
});

describe('a module', () => {
  it('that does not load is the error', async () => {
    const bad = task(moduleOf(`throw new SyntaxError('bad module')`), 'work', () => {});
    const error = await errorOf(Process.spawn(bad));
    expect(error).toBeInstanceOf(RemoteError);
    expect(error.message).toMatch(/cannot run task "work" of file:.*: SyntaxError: bad module/);
    expect(error.cause).toMatchObject({ name: 'SyntaxError', message: 'bad module' });
    const missing = task(pathToFileURL(join(folder, 'not-there.mjs')), 'work', () => {});
    expect((await errorOf(Process.run(missing))).cause).toMatchObject({ code: 'ERR_MODULE_NOT_FOUND' });
  });

  it('that never finishes loading leaves nobody waiting', async () => {
    const stuck = task(moduleOf('await new Promise(() => {});'), 'work', () => {});
    const error = await errorOf(Process.spawn(stuck, [], { stdio: 'ignore' }));
    expect(error.message).toMatch(/ended with exit code 13 before task "work" began/);
    const exits = task(moduleOf('process.exit(4);'), 'work', () => {});
    expect((await errorOf(Process.spawn(exits))).message).toMatch(/ended with exit code 4 before task "work" began/);
  });

  it('without the task says which are there', async () => {
    const url = moduleOf(
      `import { task } from 'ringway'; task(import.meta, 'one', () => {}); task(import.meta, 'two', () => {});`,
    );
    const error = await errorOf(Process.spawn(task(url, 'three', () => {})));
    expect(error.message).toMatch(/has no task "three": there are "one", "two"/);
    expect(error.cause).toMatchObject({ code: 'ERR_RINGWAY_STATE' });
    expect((await errorOf(Process.spawn(task(moduleOf(''), 'x', () => {})))).message).toMatch(/there are none/);
  });

  it.each([
    ['awaited', 'await Process.spawn(work);'],
    ['not awaited', 'Process.spawn(work);'],
    ['in a function that looks away', 'Process.run(work).catch(() => {});'],
  ])('that starts a process at its top level is told how to do it, %s', async (_, start) => {
    const file = fileOf(
      `import { Process, task } from 'ringway';
       export const work = task(import.meta, 'work', () => {});
       ${start}`,
    );
    const outcome = await errorOf(
      Process.run(
        task(pathToFileURL(file), 'work', () => {}),
        [],
        { stdio: 'ignore' },
      ),
    );
    expect(outcome.message).toContain('if (isMain(import.meta)) await main()');
    expect(outcome.cause).toMatchObject({ code: 'ERR_RINGWAY_STATE' });
  });

  it('may be CommonJS', async () => {
    const program = fileOf(
      `const { Process, isMain, task } = require(${JSON.stringify(fileURLToPath(RINGWAY))});
       const work = task(__filename, 'work', (n) => [n + 1, isMain(module)]);
       if (isMain(module)) Process.run(work, [1]).then((result) => console.log(JSON.stringify(result)));`,
      'cjs',
    );
    expect(await runProgram([program])).toMatchObject({ code: 0, lines: ['[2,false]'] });
  });

  it('is found through a loader that its parent was started with', async () => {
    const source = `import { task } from ${JSON.stringify(RINGWAY)}; export const work = task(import.meta, 'work', () => 'made up');`;
    const hooks = fileOf(
      `export const load = (url, context, next) => url.endsWith('.made-up')
         ? { format: 'module', shortCircuit: true, source: ${JSON.stringify(source)} }
         : next(url, context);`,
    );
    const register = fileOf(
      `import { register } from 'node:module'; register(${JSON.stringify(pathToFileURL(hooks).href)});`,
    );
    const made = join(folder, 'work.made-up');
    writeFileSync(made, '');
    const program = fileOf(
      `import { Process } from 'ringway'; const { work } = await import(${JSON.stringify(pathToFileURL(made).href)});
       console.log(await Process.run(work), process.execArgv.length);`,
    );
    const end = await runProgram(['--import', pathToFileURL(register).href, '--no-deprecation', program]);
    expect(end, end.errors).toMatchObject({ code: 0, lines: ['made up 3'] });
  });

  it('sees the flags of its grandparent', async () => {
    const program = fileOf(
      `import { Process, task, isMain } from 'ringway';
       const flags = task(import.meta, 'flags', () => process.execArgv);
       const between = task(import.meta, 'between', () => Process.run(flags));
       if (isMain(import.meta)) console.log(JSON.stringify(await Process.run(between)));`,
    );
    const end = await runProgram(['--stack-size=950', '--conditions=own', program]);
    expect(end).toMatchObject({ code: 0, lines: ['["--stack-size=950","--conditions=own"]'] });
  });

  it('does not pass on what its program was started for', async () => {
    const module = moduleOf(
      `import { task } from 'ringway'; export const flags = task(import.meta, 'flags', () => process.execArgv);`,
    );
    const end = await startScript(
      `const { flags } = await import(input); print(JSON.stringify(await ringway.Process.run(flags)));`,
      { input: module, execArgv: ['--inspect-port=0', '--no-warnings', '--input-type', 'module'] },
    ).end;
    expect(end, end.errors).toMatchObject({ code: 0, lines: ['["--no-warnings"]'] });
  });

  it('has the objects of its top level in each process, and leaves nothing of them', async () => {
    const module = moduleOf(
      `import { Lock, task } from 'ringway';
       const lock = new Lock();
       export const work = task(import.meta, 'work', () => lock.tryLock() !== null);`,
    );
    const p = await Process.spawn(
      task(module, 'work', () => {}),
      [],
      { stdio: ['ignore', 'inherit', 'pipe'] },
    );
    const errors = text(p.stderr as NodeJS.ReadableStream);
    await p.join();
    expect(await errors).toBe('');
  });
});

describe('flags of Node', () => {
  it.each([
    ['--import tsx --conditions=a -r ./x.cjs --loader l', '--import tsx --conditions=a -r ./x.cjs --loader l'],
    ['--inspect --inspect-brk=0 --inspect-port 9230 --inspect-publish-uid=http --no-warnings', '--no-warnings'],
    ['--watch --watch-path ./src --watch-preserve-output --max-old-space-size=64', '--max-old-space-size=64'],
    ['--test --test-reporter tap --test-only --test-name-pattern=x --stack-size=900', '--stack-size=900'],
    ['--input-type module -e code --no-warnings', '--no-warnings'],
    ['--input-type=module --eval code -p', ''],
    ['-p --no-warnings', '--no-warnings'],
    ['-i -c --no-warnings -pe code', '--no-warnings'],
  ])('%s', (given, inherited) => {
    const flags = (text: string) => text.split(' ').filter(Boolean);
    expect(inheritedExecArgv(flags(given))).toEqual(flags(inherited));
  });
});

describe('the types', () => {
  it('are those of the task', async () => {
    const add = task(import.meta, 'add', async (a: number, b?: number) => a + (b ?? 0));
    const compiled = async () => {
      const sum: number = await Process.run(add, [1, 2]);
      await Process.spawn(add, [sum]);
      await Process.run(task(import.meta, 'none', () => {}));
      // @ts-expect-error: an argument is missing
      await Process.run(add);
      // @ts-expect-error: of another type
      new Process(add, ['1']);
      // @ts-expect-error: one too many
      await Process.spawn(add, [1, 2, 3]);
      // @ts-expect-error: a plain function
      await Process.spawn(() => {});
      const end: number | null = (await (await Process.spawn(add, [1])).join()).exitCode;
      // @ts-expect-error: it may run still
      const late: ProcessExit = await (await Process.spawn(add, [1])).join({ timeoutMs: end ?? 1 });
      return late;
    };
    expect(compiled).toBeTypeOf('function');
  });
});

describe('isMain', () => {
  it('knows the program through links, folders and missing extensions', async () => {
    const program = `import { isMain } from 'ringway'; console.log(isMain(import.meta));`;
    const file = fileOf(program);
    const link = join(folder, 'link.mjs');
    symlinkSync(file, link);
    const plain = fileOf(
      `const { isMain } = require(${JSON.stringify(fileURLToPath(RINGWAY))}); console.log(isMain(module));`,
      'js',
    );
    const importing = fileOf(`await import(${JSON.stringify(pathToFileURL(file).href)});`);
    expect((await runProgram([file])).lines).toEqual(['true']);
    expect((await runProgram([link])).lines).toEqual(['true']);
    expect((await runProgram([plain])).lines).toEqual(['true']);
    expect((await runProgram([plain.slice(0, -3)])).lines).toEqual(['true']);
    expect((await runProgram([importing])).lines).toEqual(['false']);
    expect((await runProgram([folderWithIndex(plain)])).lines).toEqual(['true']);
    expect(isMain(import.meta)).toBe(false);
    expect(() => isMain('here' as never)).toThrow(/import\.meta, or module in CommonJS/);
  });
});

describe('what is no task', () => {
  it('is refused with the right way', () => {
    const plain = () => {};
    expect(() => new Process(plain as unknown as typeof tasks.never)).toThrow(
      /not the function plain.*const plain = task\(import\.meta, 'plain'/,
    );
    expect(() => new Process(undefined as unknown as typeof tasks.never)).toThrow(
      /Process takes a task, not undefined/,
    );
    expect(() => task('./worker.js', 'x', plain)).toThrow(/"\.\/worker\.js" is relative.*task\(import\.meta, …\)/);
    expect(() => task('worker', 'x', plain)).toThrow(TypeError);
    expect(() => task(7 as never, 'x', plain)).toThrow(TypeError);
    expect(() => task(import.meta, '', plain)).toThrow(TypeError);
    expect(() => task(import.meta, 'x', 'y' as never)).toThrow(TypeError);
    task(import.meta, 'twice', () => {});
    expect(() => task(import.meta, 'twice', () => {})).toThrow(/two tasks "twice" in file:/);
    task({ url: import.meta.url }, 'twice', () => {}); // Another evaluation of the module.
    const evaluated = task('file:///somewhere/[eval1]', 'x', () => {});
    expect(() => new Process(evaluated)).toThrow(/no file/);
  });

  it('is a function when it is called', () => {
    expect(tasks.echo(1, 2)).toEqual([1, 2]);
    expect(task(import.meta, 'here', (n: number) => n + 1)(1)).toBe(2);
  });

  it('and options that make no sense', async () => {
    const wrong: [object, RegExp][] = [
      [{ name: '' }, /name must be/],
      [{ killWithParent: 1 }, /killWithParent must be/],
      [{ stdio: ['pipe'] }, /stdio has 1 entries/],
      [{ stdio: 'ipc' }, /stdio takes/],
      [{ execArgv: '--x' }, /execArgv must be/],
      [{ env: 'x' }, /env must be/],
    ];
    for (const [options, message] of wrong) expect(() => new Process(tasks.never, [], options)).toThrow(message);
    expect(() => new Process(tasks.never, 'x' as never)).toThrow(/arguments of task "never" are an array/);
    expect(() => new Process(tasks.never, [], 7 as never)).toThrow(TypeError);
    const unsendable = await errorOf(Process.spawn(tasks.echo, [{ callback() {} }]));
    expect(unsendable).toMatchObject({ code: 'ERR_RINGWAY_UNSERIALISABLE' });
    expect(unsendable.message).toContain('callback');
    const nowhere = await errorOf(Process.spawn(tasks.echo, [], { cwd: join(folder, 'nowhere') }));
    expect(nowhere).toMatchObject({ code: 'ENOENT' });
    expect(nowhere.message).toContain('nowhere');
    const p = await Process.spawn(tasks.forever);
    expect(() => p.kill('SIGNOT' as never)).toThrow(TypeError);
    expect(
      await errorOf(Process.spawn(tasks.echo, [opening(SpscRing.create({ capacity: 64, backend: 'sab' }))])),
    ).toMatchObject({
      code: 'ERR_RINGWAY_NOT_SENDABLE',
    });
  });
});
