// What happens before each atomic operation of a call: another one acts, in the same thread, or a process dies or stops.
import { existsSync, readFileSync } from 'node:fs';

const OPERATIONS = ['load', 'store', 'add', 'exchange', 'compareExchange', 'or'] as const;
const real = Object.fromEntries(OPERATIONS.map((name) => [name, Atomics[name]]));
const realWaitAsync = (Atomics as unknown as { waitAsync: (...args: unknown[]) => unknown }).waitAsync;

/** Undoes interruptAt() and sleepWithoutLimit(). */
export function restoreAtomics(): void {
  Object.assign(Atomics, real, { waitAsync: realWaitAsync });
}

/** Calls `act` before the `at`th atomic operation from now on, counted from 1. Whether it did. */
export function interruptAt(at: number, act: () => void): { acted: boolean } {
  const state = { acted: false };
  let count = 0;
  for (const name of OPERATIONS) {
    const call = (...args: never[]) => {
      if (++count === at) {
        Object.assign(Atomics, real); // What the other one does is not counted.
        state.acted = true;
        act();
      }
      return (real[name] as (...args: never[]) => unknown)(...args);
    };
    Object.assign(Atomics, { [name]: call });
  }
  return state;
}

/** Between threads: a wake-up that is lost is lost for ever, and no look after a while makes up for it. */
export function sleepWithoutLimit(): void {
  Object.assign(Atomics, { waitAsync: (...args: unknown[]) => realWaitAsync(...args.slice(0, 3)) });
}

/** Whether the process has ended, or was stopped by a signal. */
export function stopped(pid: number): boolean {
  return !existsSync(`/proc/${pid}/stat`) || /\) [TZ]/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
}
