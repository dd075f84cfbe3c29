// Ends a test process whose main thread is blocked: the test runner's own timeouts can't run then.
import { Worker } from 'node:worker_threads';

/** Longer than anything in a test blocks on purpose. */
const LIMIT_MS = 60_000;

const WATCH = `
  const { rmSync } = require('node:fs');
  const { workerData: { beats, limitMs, directory } } = require('node:worker_threads');
  let seen = 0;
  let since = Date.now();
  setInterval(() => {
    const now = Atomics.load(beats, 0);
    if (now !== seen) {
      seen = now;
      since = Date.now();
    } else if (Date.now() - since > limitMs) {
      require('node:fs').writeSync(2, 'the test process was blocked for ' + limitMs + ' ms: it is killed\\n');
      rmSync(directory, { recursive: true, force: true });
      process.kill(process.pid, 'SIGKILL');
    }
  }, 1000);`;

/** Call once in a test file. `directory` is removed if it comes to that. */
export function startWatchdog(directory: string): void {
  const beats = new Int32Array(new SharedArrayBuffer(4));
  setInterval(() => Atomics.add(beats, 0, 1), 250).unref();
  const workerData = { beats, limitMs: LIMIT_MS, directory };
  new Worker(WATCH, { eval: true, execArgv: [], workerData }).unref();
}
