// A directory of its own for the segments of a test file, so that nothing else's come in between and what was left
// behind can be seen, and the order in which a test is cleaned up after.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { endRemotes } from './remote.js';
import { startWatchdog } from './watchdog.js';

let directory: string | undefined;
const opened: { close(): void }[] = [];

/** Closes the ring after the test. */
export function opening<Ring extends { close(): void }>(ring: Ring): Ring {
  opened.push(ring);
  return ring;
}

/** Call at the top of a test file. Every test must leave the directory as it found it: empty. */
export function useOwnDirectory(): void {
  beforeAll(() => {
    directory = mkdtempSync('/dev/shm/test-of-ringway-');
    process.env.RINGWAY_SHM_DIR = directory;
    startWatchdog(directory);
  });
  afterEach(async () => {
    await endRemotes(); // First: those who are killed do not clean up, and we may be the last to close.
    for (const shared of opened.splice(0)) shared.close();
    // What was sent and has arrived is closed by its sender a turn of the loop later.
    for (let turn = 0; turn < 500 && segmentFiles().length > 0; turn++)
      await new Promise((resolve) => setTimeout(resolve, 2));
    const left = segmentFiles();
    for (const file of left) rmSync(`${directory}/${file}`, { recursive: true }); // The next test is not to blame.
    expect(left, 'files that the test left behind').toEqual([]);
  });
  afterAll(() => {
    if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
    delete process.env.RINGWAY_SHM_DIR;
  });
}

export function segmentDirectory(): string {
  if (directory === undefined) throw new Error('useOwnDirectory() was not called');
  return directory;
}

/** What is in the directory. */
export function segmentFiles(): string[] {
  return readdirSync(segmentDirectory()).sort();
}

let lastName = 0;

/** A name that nobody else uses. */
export function freshName(): string {
  lastName++;
  return `test-${process.pid}-${lastName}`;
}
