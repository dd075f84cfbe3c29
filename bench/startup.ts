// What it takes until there is a ring.

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Process, SpscRing } from 'ringway';
import { Bench } from 'tinybench';
import { runProcess } from './pair.js';
import { duration, median, printTable } from './report.js';
import { nothing } from './startup/nothing.js';

export interface StartupResult {
  importMs: number;
  firstMs: number;
  createAttachMs: number;
  /** A child that runs an empty task, from its start to its end, over one of fork() that imports the package, too. */
  runOverFork: number;
}

const LIMIT_MS = 10_000;
const CAPACITIES = [1 << 16, 1 << 20, 1 << 24];

export async function measureStartup(rounds: number, benchMs: number): Promise<StartupResult> {
  const started: Record<'empty' | 'import' | 'first', number[]> = { empty: [], import: [], first: [] };
  const firsts: number[] = [];
  for (let round = -1; round < rounds; round++) {
    for (const program of ['empty', 'import', 'first'] as const) {
      const path = fileURLToPath(new URL(`startup/${program}.js`, import.meta.url));
      const { stdout } = await runProcess(process.execPath, [path], LIMIT_MS);
      const { startedMs, firstMs } = JSON.parse(stdout) as { startedMs: number; firstMs?: number };
      if (round < 0) continue; // The first ones fill the system's file cache.
      started[program].push(startedMs);
      if (firstMs !== undefined) firsts.push(firstMs);
    }
  }
  const importMs = median(started.import.map((ms, round) => ms - started.empty[round]));
  const firstMs = median(firsts);
  const rows = [
    ['an empty module, from the start of the process', duration(median(started.empty) * 1e6)],
    ["import 'ringway', over that", duration(importMs * 1e6)],
    ['first create and attach of a process, 1 MiB', duration(firstMs * 1e6)],
  ];
  let createAttachMs = NaN;
  for (const { capacity, p50, p99 } of await createAndAttach(benchMs)) {
    rows.push([`create and attach, ${capacity / 1024} KiB`, `${duration(p50 * 1e6)} (p99 ${duration(p99 * 1e6)})`]);
    if (capacity === 1 << 20) createAttachMs = p50;
  }
  printTable(`### Start, median of ${rounds} processes each`, ['what', 'takes'], rows);
  return { importMs, firstMs, createAttachMs, runOverFork: await answers(rounds) };
}

// From the start of a child to its answer, side by side.
async function answers(rounds: number): Promise<number> {
  const forked = (program: string) => () =>
    new Promise<void>((resolve, reject) => {
      const child = fork(fileURLToPath(new URL(`startup/${program}.js`, import.meta.url)), { execArgv: [] });
      child.once('message', () => child.once('exit', () => resolve()));
      child.once('error', reject);
      child.send('answer');
    });
  const ways = {
    'Process.spawn() of a task that does nothing, join()': async () => {
      const process = await Process.spawn(nothing, [], { execArgv: [] });
      await process.join();
    },
    'fork() of a module that imports the package, a message there and back': forked('forked-import'),
    'fork() of an empty module, a message there and back': forked('forked'),
  };
  const taken = new Map<string, number[]>(Object.keys(ways).map((way) => [way, []]));
  for (let round = -1; round < rounds; round++) {
    for (const [way, run] of Object.entries(ways)) {
      const start = performance.now();
      await run();
      if (round >= 0) taken.get(way)?.push(performance.now() - start);
    }
  }
  const medians = [...taken.values()].map(median);
  const rows = [...taken.keys()].map((way, i) => [
    way,
    duration(medians[i] * 1e6),
    (medians[i] / medians[1]).toFixed(2),
  ]);
  printTable(`### A child from its start to its end, median of ${rounds}`, ['what', 'takes', 'ratio'], rows);
  return medians[0] / medians[1];
}

async function createAndAttach(benchMs: number): Promise<{ capacity: number; p50: number; p99: number }[]> {
  const bench = new Bench({ time: benchMs, warmupTime: benchMs / 5, timestampProvider: 'hrtimeNow', throws: true });
  const open: SpscRing[] = [];
  for (const capacity of CAPACITIES) {
    const create = () => {
      const ring = SpscRing.create({ capacity, backend: 'shm' });
      open.push(ring, SpscRing.attach(ring.handle));
    };
    // Closing is not part of it.
    bench.add(String(capacity), create, { afterEach: () => open.splice(0).forEach((ring) => void ring.close()) });
  }
  await bench.run();
  return bench.tasks.map(({ name, result }) => {
    if (!('latency' in result)) throw new Error(`no result for ${name}`);
    return { capacity: Number(name), p50: result.latency.p50, p99: result.latency.p99 };
  });
}
