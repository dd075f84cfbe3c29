// parent.ts: the program that started us, seen from a peer.

import { isMainThread, parentPort, workerData } from 'node:worker_threads';

/** What it gave us to start with: text for a process, anything for a thread. */
export const argument: string = isMainThread ? process.argv[2] : workerData;

export function tell(message: unknown): void {
  if (parentPort === null) process.send?.(message);
  else parentPort.postMessage(message);
}

if (isMainThread) {
  // It has our result, or it has died. Either way, there is nothing left to do.
  process.once('disconnect', () => process.exit());
  // Ctrl-C reaches every process of a terminal. The program that started us answers it, and ends us.
  process.on('SIGINT', () => {});
}
