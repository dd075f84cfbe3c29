// A ring between two processes, on any runtime: `node`, `bun` or `deno run --allow-all` with this file and no arguments.
// Makes a ring, starts itself again with the handle, and checks every byte of what the other process sends, first with
// promises, then blocking; then what it sees of a process that ends without closing, and of one that is killed. Prints
// `ok` as its last line, or says what went wrong and ends with another exit code than 0.
import { spawn } from 'node:child_process';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { capabilities, SpscRing } from '../../dist/index.js';

const RECORDS = 50_000;
const WATCHDOG_MS = 100_000;
const byteLengthOf = (record) => (record * 7) % 1500;
const byteOf = (record, at) => (record * 31 + at * 7) & 255;

/** Numbered records that are checked as they come. */
class Checker {
  received = 0;
  take(bytes) {
    const expected = byteLengthOf(this.received);
    if (bytes.length !== expected) throw new Error(`record ${this.received} is ${bytes.length} bytes, not ${expected}`);
    for (let at = 0; at < expected; at++) {
      if (bytes[at] !== byteOf(this.received, at)) throw new Error(`record ${this.received} differs at ${at}`);
    }
    this.received++;
  }
  end() {
    if (this.received !== RECORDS) throw new Error(`${this.received} records of ${RECORDS}`);
  }
}

function recordOf(record) {
  const bytes = new Uint8Array(byteLengthOf(record));
  for (let at = 0; at < bytes.length; at++) bytes[at] = byteOf(record, at);
  return bytes;
}

/** This program again, on the same runtime. `expected` is its exit code, or null for one that is killed. */
function start(mode, handle, expected = 0) {
  const run = globalThis.Deno ? ['run', '--allow-all', '--no-lock'] : [];
  const child = spawn(process.execPath, [...run, fileURLToPath(import.meta.url), mode, JSON.stringify(handle)], {
    stdio: 'inherit',
  });
  return new Promise((resolve) => {
    child.on('error', (error) => fail(error));
    child.on('exit', (code, signal) => {
      if (code !== expected) fail(new Error(`the other process ended with ${code ?? signal}`));
      resolve();
    });
  });
}

function fail(error) {
  console.error(error);
  process.exit(1);
}

async function receive() {
  if (!capabilities.crossProcess) throw new Error(`no shared memory between processes: ${capabilities.reason}`);

  const ring = SpscRing.create({ capacity: 1 << 14 });
  const ended = start('async', ring.handle);
  const checker = new Checker();
  const consumer = ring.consumer();
  for (;;) {
    try {
      checker.take(await consumer.pop());
    } catch (error) {
      if (error.code !== 'ERR_RINGWAY_END') throw error;
      break;
    }
  }
  checker.end();
  if (!consumer.ended) throw new Error('not ended after the end');
  await ended;
  ring.close();
  console.log(`${RECORDS} records with promises`);

  const blocking = SpscRing.create({ capacity: 1 << 14 });
  const blockingEnded = start('sync', blocking.handle);
  const blockingChecker = new Checker();
  const blockingConsumer = blocking.consumer();
  for (;;) {
    try {
      blockingChecker.take(blockingConsumer.popSync());
    } catch (error) {
      if (error.code !== 'ERR_RINGWAY_END') throw error;
      break;
    }
  }
  blockingChecker.end();
  await blockingEnded;
  blocking.close();
  console.log(`${RECORDS} records blocking`);

  for (const [mode, expected, exitCode] of [
    ['exit', 'ERR_RINGWAY_END', 0],
    ['killed', 'ERR_RINGWAY_PEER_DIED', null],
  ]) {
    const left = SpscRing.create({ capacity: 1 << 14 });
    const leftEnded = start(mode, left.handle, exitCode);
    const leftConsumer = left.consumer();
    const leftChecker = new Checker();
    leftChecker.take(await leftConsumer.pop());
    const code = await leftConsumer.pop().then(
      () => 'another record',
      (error) => error.code,
    );
    if (code !== expected) throw new Error(`a process that is gone (${mode}) was seen as ${code}, not ${expected}`);
    await leftEnded;
    left.close();
    console.log(`a process that is gone (${mode}): ${code}`);
  }
}

async function send(mode, handle) {
  const ring = SpscRing.attach(handle);
  const producer = ring.producer();
  if (mode === 'exit' || mode === 'killed') {
    producer.pushSync(recordOf(0));
    if (mode === 'exit') process.exit(0);
    process.kill(process.pid, 'SIGKILL');
    await new Promise(() => {});
  }
  for (let record = 0; record < RECORDS; record++) {
    if (mode === 'sync') producer.pushSync(recordOf(record));
    else await producer.push(recordOf(record));
  }
  ring.close();
}

const watchdog = setTimeout(() => fail(new Error(`not done within ${WATCHDOG_MS} ms`)), WATCHDOG_MS);
watchdog.unref?.();
const [mode, handle] = process.argv.slice(2);
try {
  if (mode === undefined) {
    await receive();
    console.log('ok');
  } else {
    await send(mode, JSON.parse(handle));
  }
} catch (error) {
  fail(error);
}
