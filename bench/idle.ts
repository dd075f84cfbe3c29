// What a consumer costs while nothing comes.

import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Pipe, SpscRing } from 'ringway';
import { keep } from './pair.js';
import { figures, printTable } from './report.js';

export interface IdleResult {
  label: string;
  /** Of the process, all threads. */
  cpuMsPerSecond: number;
  sleepsPerSecond: number;
}

const CHILD = fileURLToPath(new URL('idle-child.js', import.meta.url));

interface Idler {
  label: string;
  mode: 'nothing' | 'await' | 'sync' | 'recv';
  /** A live process holds the other end. */
  peer: boolean;
}

const IDLERS: readonly Idler[] = [
  { label: 'Node alone, waiting for a timer', mode: 'nothing', peer: false },
  { label: 'await pop(), producer alive', mode: 'await', peer: true },
  { label: 'await pop(), no producer yet', mode: 'await', peer: false },
  { label: 'popSync(), producer alive', mode: 'sync', peer: true },
  { label: 'popSync(), no producer yet', mode: 'sync', peer: false },
  { label: "await recv() on a Pipe 'shm', other end alive", mode: 'recv', peer: true },
];

/** All at the same time: they are idle. */
export async function measureIdle(settleMs: number, measureMs: number): Promise<IdleResult[]> {
  const held: { close(): void }[] = [];
  const children: ChildProcess[] = [];
  const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  try {
    for (const { mode, peer } of IDLERS) {
      if (mode === 'recv') {
        const [ours, theirs] = Pipe({ transport: 'shm' });
        held.push(ours);
        children.push(await startIdler(mode, theirs.handle));
        continue;
      }
      const ring = SpscRing.create({ capacity: 4096, backend: 'shm' });
      held.push(ring);
      if (peer) ring.producer();
      children.push(await startIdler(mode, ring.handle));
    }
    await sleep(settleMs); // Sleeps grow longer until they are a second each.
    const from = children.map(usageOf);
    await sleep(measureMs);
    const to = children.map(usageOf);
    const results = IDLERS.map(({ label }, i) => ({
      label,
      cpuMsPerSecond: (to[i].cpuMs - from[i].cpuMs) / (measureMs / 1e3),
      sleepsPerSecond: (to[i].sleeps - from[i].sleeps) / (measureMs / 1e3),
    }));
    printTable(
      `### Idle, over ${measureMs / 1e3} s`,
      ['consumer', 'CPU ms a second', 'sleeps a second'],
      results.map(({ label, cpuMsPerSecond, sleepsPerSecond }) => [
        label,
        figures(cpuMsPerSecond),
        figures(sleepsPerSecond),
      ]),
    );
    return results;
  } finally {
    for (const child of children) child.kill('SIGKILL');
    for (const object of held) object.close();
  }
}

function startIdler(mode: string, handle: object): Promise<ChildProcess> {
  const child = keep(
    spawn(process.execPath, [CHILD, mode, JSON.stringify(handle)], { stdio: ['ignore', 'pipe', 'pipe'] }),
  );
  return new Promise((resolve, reject) => {
    let stderr = '';
    child.stderr?.on('data', (chunk) => {
      stderr += chunk;
    });
    child.stdout?.once('data', () => resolve(child)); // It says when it is about to wait.
    child.once('error', reject);
    child.once('close', (code, signal) => {
      reject(new Error(`the idle consumer (${mode}) ended with ${signal ?? code}; its stderr:\n${stderr.trim()}`));
    });
  });
}

// Of all threads.
function usageOf(child: ChildProcess): { cpuMs: number; sleeps: number } {
  if (child.exitCode !== null || child.signalCode !== null) throw new Error('an idle consumer has ended by itself');
  const tasks = `/proc/${child.pid}/task`;
  let cpuMs = 0;
  let sleeps = 0;
  for (const task of readdirSync(tasks)) {
    cpuMs += Number(readFileSync(`${tasks}/${task}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
    const status = readFileSync(`${tasks}/${task}/status`, 'utf8');
    sleeps += Number(/^voluntary_ctxt_switches:\s*(\d+)$/m.exec(status)?.[1]);
  }
  return { cpuMs, sleeps };
}
