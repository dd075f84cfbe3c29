// Compiles bench/queues.cpp with those of other people's queues whose headers are on this machine.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** A library of Debian that a contender needs. */
export interface Library {
  readonly package: string;
  readonly header: string;
  /** What tells queues.cpp that it is there. */
  readonly macro: string;
}

export const CONCURRENT_QUEUE: Library = {
  package: 'libconcurrentqueue-dev',
  header: 'concurrentqueue/concurrentqueue.h',
  macro: 'WITH_CONCURRENTQUEUE',
};
export const READER_WRITER_QUEUE: Library = {
  package: 'libreaderwriterqueue-dev',
  header: 'readerwriterqueue/readerwriterqueue.h',
  macro: 'WITH_READERWRITERQUEUE',
};
export const ATOMIC_QUEUE: Library = {
  package: 'libatomic-queue-dev',
  header: 'atomic_queue/atomic_queue.h',
  macro: 'WITH_ATOMIC_QUEUE',
};
export const BOOST: Library = {
  package: 'libboost-dev',
  header: 'boost/lockfree/spsc_queue.hpp',
  macro: 'WITH_BOOST',
};

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
export const QUEUES = `${ROOT}build/bench/queues`;

export function isInstalled({ header }: Library): boolean {
  return existsSync(`/usr/include/${header}`);
}

/**
 * Compiled at each run and not with the addon, which must build, and stay as it is, whatever is installed.
 * @throws {Error} with what the compiler said
 */
export function buildQueues(libraries: readonly Library[]): void {
  mkdirSync(`${ROOT}build/bench`, { recursive: true });
  const defines = libraries.filter(isInstalled).map(({ macro }) => `-D${macro}`);
  const flags = ['-std=c++20', '-O2', '-DNDEBUG', '-pthread', '-Inative/include', ...defines];
  const { status, stderr, error } = spawnSync('c++', [...flags, 'bench/queues.cpp', '-o', QUEUES], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`bench/queues.cpp cannot be compiled: ${error?.message ?? stderr}`);
}
