// Tasks that test/process.test.ts runs in processes of their own.
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import {
  activeChildren,
  type Connection,
  currentProcess,
  isMain,
  type Lock,
  MpmcRing,
  Process,
  parentProcess,
  Queue,
  type QueueSender,
  Semaphore,
  type SharedEvent,
  task,
  type Value,
} from 'ringway';

export const echo = task(import.meta, 'echo', (...args: unknown[]) => args);

export const whoAmI = task(import.meta, 'whoAmI', () => ({
  name: currentProcess.name,
  pid: process.pid,
  killWithParent: currentProcess.killWithParent,
  parent: parentProcess && { name: parentProcess.name, pid: parentProcess.pid, alive: parentProcess.alive },
  children: activeChildren().length,
  isMain: isMain(import.meta),
  cwd: process.cwd(),
  execArgv: process.execArgv,
  variable: process.env.RINGWAY_TEST_VARIABLE ?? null,
  home: process.env.HOME ?? null,
}));

export const failing = task(import.meta, 'failing', () => {
  throw Object.assign(new RangeError('no such thing', { cause: new Error('below') }), { code: 'E_OWN', detail: 42 });
});
export const throwingText = task(import.meta, 'throwingText', () => {
  throw 'just text';
});
export const throwingUnsendable = task(import.meta, 'throwingUnsendable', () => {
  throw Object.assign(new Error('with a function'), { code: 'E_FN', callback: () => {} });
});

export const exiting = task(import.meta, 'exiting', (code: number) => process.exit(code));
export const never = task(import.meta, 'never', () => new Promise<void>(() => {}));
export const unsendable = task(import.meta, 'unsendable', () => ({ deep: [() => {}] }));
export const large = task(import.meta, 'large', (bytes: Uint8Array) => bytes.map((byte) => byte ^ 255));
export const killsItself = task(import.meta, 'killsItself', () => void process.kill(process.pid, 'SIGKILL'));
export const thenDies = task(import.meta, 'thenDies', (byteLength: number) => {
  setImmediate(() => process.kill(process.pid, 'SIGKILL'));
  return new Uint8Array(byteLength).fill(7);
});
/** Never returns, nor ends. */
export const waits = task(import.meta, 'waits', () => new Promise((resolve) => setInterval(resolve, 2 ** 31 - 1)));
export const forever = task(import.meta, 'forever', () => {
  setInterval(() => {}, 1000);
});
export const deaf = task(import.meta, 'deaf', (listens: SharedEvent) => {
  process.on('SIGTERM', () => {});
  listens.set();
  setInterval(() => {}, 1000);
});

/** Holds the lock, says so, and computes for ever. */
export const busyWith = task(import.meta, 'busyWith', (lock: Lock, held: SharedEvent) => {
  lock.lockSync();
  held.set();
  for (;;);
});
/** Holds the lock, says so, and waits for ever. */
export const idleWith = task(import.meta, 'idleWith', async (lock: Lock, held: SharedEvent) => {
  await lock.lock();
  held.set();
  await new Promise((resolve) => setInterval(resolve, 2 ** 31 - 1));
});
/** Sees its parent end, and says so. */
export const survivor = task(import.meta, 'survivor', async (lock: Lock, held: SharedEvent, seen: SharedEvent) => {
  const guard = await lock.lock();
  held.set();
  if ((await parentProcess?.join()) && !parentProcess?.alive) seen.set();
  guard.release();
});

export const borrow = task(import.meta, 'borrow', async (permits: Semaphore, count: Value<'int32'>, jobs: MpmcRing) => {
  const taken = permits.tryAcquire();
  count.add(5);
  await jobs.push(Buffer.from('a job'));
  return taken;
});
export const makeShared = task(import.meta, 'makeShared', () => {
  const jobs = MpmcRing.create({ slots: 4, slotByteLength: 16 });
  jobs.tryPush(Buffer.from('from the child'));
  return { jobs, permits: new Semaphore(3) };
});

export const upperCase = task(import.meta, 'upperCase', async (words: Connection<string, string>) => {
  for await (const word of words) await words.send(word.toUpperCase());
});

export const sendsAndExits = task(import.meta, 'sendsAndExits', async (words: Connection<string, never>) => {
  await words.send('the last word');
  process.exit(0);
});

export const recurse = task(import.meta, 'recurse', async (jobs: Queue<number[]>, path: number[]): Promise<void> => {
  await jobs.put(path);
  if (path.length === 2) return;
  for (let i = 0; i < 2; i++) {
    const child: Process = await Process.spawn(recurse, [jobs, [...path, i]]);
    await child.join();
  }
});

export const queueInside = task(import.meta, 'queueInside', async (values: number) => {
  const queue = new Queue<{ value: number }>({ maxSize: values });
  for (let value = 0; value < values; value++) await queue.put({ value });
  const [jobs, results] = [new Queue<number>(), new Queue<number>()];
  const child = await Process.spawn(doubling, [jobs, results.sender]);
  for (let i = 0; i < values; i++) await jobs.put((await queue.get()).value);
  jobs.end();
  let sum = 0;
  for await (const result of results) sum += result;
  await child.join();
  await queue.put({ value: sum });
  return queue;
});

const doubling = task(import.meta, 'doubling', async (jobs: Queue<number>, results: QueueSender<number>) => {
  for await (const job of jobs) await results.put(job * 2);
  results.close();
});

export const exitsAfterSend = task(
  import.meta,
  'exitsAfterSend',
  async (conn: Connection<Uint8Array | string, never>, queue: Queue<Uint8Array | string>, byteLength: number) => {
    await conn.send(new Uint8Array(byteLength).fill(7));
    await conn.send('last');
    await queue.put(new Uint8Array(byteLength).fill(7));
    await queue.put('last');
    process.exit(0);
  },
);

export const laterTimer = task(import.meta, 'laterTimer', (done: SharedEvent) => {
  setTimeout(() => done.set(), 20);
});
export const unreferencedTimer = task(import.meta, 'unreferencedTimer', (done: SharedEvent) => {
  setTimeout(() => done.set(), 3_600_000).unref();
});
export const exitHandler = task(import.meta, 'exitHandler', (order: Value<'int32'>) => {
  process.on('exit', (code) => void order.set(100 + code));
});
export const settingExitCode = task(import.meta, 'settingExitCode', () => {
  process.exitCode = 7;
});
export const throwingLater = task(import.meta, 'throwingLater', () => {
  setImmediate(() => {
    throw new Error('nobody waits for this');
  });
});

export const readsInput = task(import.meta, 'readsInput', () => text(process.stdin));
export const writesOutput = task(import.meta, 'writesOutput', (lines: number) => {
  for (let i = 0; i < lines; i++) console.log(`line ${i}`);
  console.error('an error line');
});
/** Writes though nobody reads, and then closes what it has itself. */
export const loseOutput = task(import.meta, 'loseOutput', async () => {
  process.stdout.on('error', () => {});
  process.stderr.on('error', () => {});
  await new Promise((resolve) => process.stdout.write('nobody reads this', resolve));
  process.stdout.destroy();
  process.stderr.destroy();
  return 'done';
});
/** Leaves a program behind that has its end of the channel, and ends. */
export const leavesDescriptors = task(import.meta, 'leavesDescriptors', (pid: Value<'int32'>) => {
  const program = ['-e', 'setInterval(() => {}, 1000)'];
  const left = spawn(process.execPath, program, { stdio: ['ignore', 'ignore', 'ignore', 3], detached: true });
  pid.set(left.pid as number);
  process.exit(0);
});

export const grandparent = task(import.meta, 'grandparent', async (lock: Lock, held: SharedEvent) => {
  await Process.spawn(busyWith, [lock, held]);
  setInterval(() => {}, 1000);
});
