// sender.ts: the program that started us, seen from a receiver.

import { isMainThread, parentPort, workerData } from 'node:worker_threads';

/** What it gave us to start with. */
export const argument: string = isMainThread ? process.argv[2] : workerData;

export function tell(message: unknown): void {
  if (parentPort === null) process.send?.(message);
  else parentPort.postMessage(message);
}

if (isMainThread) {
  // It has our summary, or it has died. Either way, there is nothing left to do.
  process.once('disconnect', () => process.exit());
  // Ctrl-C reaches every process of a terminal. The sender answers it, and ends us.
  process.on('SIGINT', () => {});
}
