// What it takes until there is a ring.

import { fileURLToPath } from 'node:url';
import { SpscRing } from 'ringway';
import { Bench } from 'tinybench';
import { runProcess } from './pair.js';
import { duration, median, printTable } from './report.js';

export interface StartupResult {
  importMs: number;
  firstMs: number;
  createAttachMs: number;
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
  return { importMs, firstMs, createAttachMs };
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
