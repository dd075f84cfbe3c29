// run.ts: what every example does around its own work: signals end it, and a failure is one line and an exit code.

import { constants } from 'node:os';
import { RingwayError } from 'ringway';
import { Failure } from './failure.js';

/** @param main - gets a signal that is aborted when the user wants to end */
export async function run(name: string, main: (signal: AbortSignal) => Promise<void>): Promise<void> {
  // A signal ends what is going on, and the `using` declarations on the way out leave nothing behind.
  const user = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      process.exitCode = 128 + constants.signals[signal];
      user.abort(new Failure(`ended by ${signal}`));
    });
  }
  process.stdout.on('error', (error) => user.abort(new Failure(`the output can't be written: ${error.message}`)));

  try {
    await main(user.signal);
  } catch (error) {
    process.exitCode ??= 1;
    if (!(error instanceof Failure || error instanceof RingwayError)) throw error;
    console.error(`${name}: ${error.message}`);
  }
}
