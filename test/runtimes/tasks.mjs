// Tasks in processes of their own, on any runtime: `node`, `bun` or `deno run --allow-all` with this file and no arguments.
// Prints `ok` as its last line, or says what went wrong and ends with another exit code than 0.
import { isMain, Lock, Process, parentProcess, Semaphore, SharedEvent, task } from '../../dist/index.js';

const WATCHDOG_MS = 100_000;

const take = task(import.meta, 'take', (permits, by) => [permits.tryAcquire(), by * 2, parentProcess.pid]);
const fail = task(import.meta, 'fail', () => {
  throw new RangeError('as it should');
});
const later = task(import.meta, 'later', (done) => void setTimeout(() => done.set(), 20));
const busy = task(import.meta, 'busy', (lock, held) => {
  lock.lockSync();
  held.set();
  for (;;);
});
const parent = task(import.meta, 'parent', async (lock, held) => {
  await Process.spawn(busy, [lock, held]);
  setInterval(() => {}, 1000);
});

if (isMain(import.meta)) {
  setTimeout(() => {
    console.error(`not done within ${WATCHDOG_MS} ms`);
    process.exit(1);
  }, WATCHDOG_MS).unref();
  await main();
  console.log('ok');
}

async function main() {
  const permits = new Semaphore(1);
  const [taken, doubled, pid] = await Process.run(take, [permits, 21]);
  check('result', [taken, doubled, pid, permits.value], [true, 42, process.pid, 0]);
  permits.close();

  const error = await Process.run(fail).catch((error) => error);
  check('error', [error.name, error.cause.name, error.cause.message], ['RemoteError', 'RangeError', 'as it should']);

  const done = new SharedEvent();
  check('join', await (await Process.spawn(later, [done])).join(), { exitCode: 0, signal: null });
  check('done', done.isSet, true);
  done.close();

  const lock = new Lock();
  const held = new SharedEvent();
  const between = await Process.spawn(parent, [lock, held]);
  await held.wait();
  between.kill();
  check('killed', await between.join(), { exitCode: null, signal: 'SIGKILL' });
  check('its child', (await lock.lock()).ownerDied, true); // Free when the child has ended.
  lock.close();
  held.close();
}

function check(what, found, expected) {
  if (JSON.stringify(found) === JSON.stringify(expected)) return;
  throw new Error(`${what}: ${JSON.stringify(found)}, not ${JSON.stringify(expected)}`);
}
