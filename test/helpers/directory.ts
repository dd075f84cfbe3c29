// A directory of its own for the segments of a test file, so that nothing else's come in between and what was left
// behind can be seen.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';

let directory: string | undefined;

/** Call at the top of a test file. Every test must leave the directory as it found it: empty. */
export function useOwnDirectory(): void {
  beforeAll(() => {
    directory = mkdtempSync('/dev/shm/test-of-ringway-');
    process.env.RINGWAY_SHM_DIR = directory;
  });
  afterEach(() => {
    expect(segmentFiles(), 'files that the test left behind').toEqual([]);
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
