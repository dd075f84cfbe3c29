// What locks, events and values cost: uncontended, in one process, beside Python's; and a lock that goes to and fro between
// two processes, beside a robust mutex of POSIX threads. They take turns, slice by slice.

import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Lock, SharedArray, SharedEvent, Value } from 'ringway';
import { runProcess } from './pair.js';
import { duration, median, Neighbours, neighboursText, printTable, times } from './report.js';
import type { SyncHandles } from './sync-child.js';

export interface SyncResult {
  /** Nanoseconds of each operation, uncontended. */
  uncontendedNs: Record<Operation, number>;
  /** A lock and a release of Python's Lock to those of ours. */
  lockToPython: number;
  /** `with v.get_lock(): v.value += 1` to add(). */
  valueToPython: number;
  /** A hand-over between two processes to that of the mutex. */
  handOverToMutex: number;
}

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const MUTEX = `${ROOT}build/bench/mutex`;
const CHILD = fileURLToPath(new URL('sync-child.js', import.meta.url));
const LIMIT_MS = 20_000;

/** Prints nanoseconds of a lock and a release, and of an addition. */
const PYTHON = `
import json, multiprocessing as mp, sys, time
lock, value, until = mp.Lock(), mp.Value('i', 0), float(sys.argv[1]) / 1e3
def measure(step):
    count, began = 0, time.perf_counter()
    while True:
        for _ in range(1000): step()
        count += 1000
        took = time.perf_counter() - began
        if took >= until: return took / count * 1e9
def pair():
    lock.acquire()
    lock.release()
def add():
    with value.get_lock(): value.value += 1
print(json.dumps({'lockNs': measure(pair), 'addNs': measure(add)}))
`;

export const OPERATIONS = ['tryAcquire, release', 'lockSync, release', 'Value.add', 'SharedEvent.isSet'] as const;
type Operation = (typeof OPERATIONS)[number];

export async function measureSync(rounds: number, warmupMs: number, measureMs: number): Promise<SyncResult> {
  const neighbours = new Neighbours();
  buildMutex();
  using lock = new Lock({ backend: 'shm' });
  using value = new Value('int32', 0, { backend: 'shm' });
  using event = new SharedEvent({ backend: 'shm' });
  let seen = 0;
  const steps: Record<Operation, () => void> = {
    'tryAcquire, release': () => {
      lock.tryAcquire();
      lock.release();
    },
    'lockSync, release': () => lock.lockSync().release(),
    'Value.add': () => void value.add(1),
    'SharedEvent.isSet': () => {
      if (event.isSet) seen++;
    },
  };
  const tookNs = Object.fromEntries(OPERATIONS.map((name) => [name, []])) as unknown as Record<Operation, number[]>;
  const other = { python: [] as number[], pythonAdd: [] as number[], mutex: [] as number[] };
  const handOver = { ours: [] as number[], mutex: [] as number[] };
  for (const name of OPERATIONS) measure(steps[name], measureMs); // Until the engine has compiled them.
  for (let round = 0; round < rounds; round++) {
    for (const name of OPERATIONS) tookNs[name].push(measure(steps[name], measureMs));
    const python = await runProcess('python3', ['-c', PYTHON, String(measureMs)], LIMIT_MS);
    const { lockNs, addNs } = JSON.parse(python.stdout) as { lockNs: number; addNs: number };
    other.python.push(lockNs);
    other.pythonAdd.push(addNs);
    const mutex = JSON.parse(
      (await runProcess(MUTEX, [String(warmupMs), String(measureMs)], LIMIT_MS)).stdout,
    ) as Mutex;
    other.mutex.push(mutex.pairNs);
    handOver.mutex.push(mutex.handOverNs);
    handOver.ours.push(await handOverNs(warmupMs, measureMs));
  }
  if (seen > 0) throw new Error('the event was set by nobody');
  const range = (values: readonly number[]) => `${duration(Math.min(...values))} .. ${duration(Math.max(...values))}`;
  const ratio = (to: readonly number[], of: readonly number[]) => median(to.map((ns, i) => ns / of[i]));
  const row = (label: string, values: readonly number[], against?: readonly number[]) => [
    label,
    duration(median(values)),
    range(values),
    against === undefined ? '-' : times(ratio(against, values)),
  ];
  const ours = tookNs['tryAcquire, release'];
  printTable(
    `### Locks, events, values, uncontended (${neighboursText(neighbours.share)})`,
    ['', 'takes', 'slices', "Python's takes"],
    [
      row('Lock: tryAcquire, release', ours, other.python),
      row('Lock: lockSync, guard.release', tookNs['lockSync, release'], other.python),
      row('Value: add', tookNs['Value.add'], other.pythonAdd),
      row('SharedEvent: isSet', tookNs['SharedEvent.isSet']),
      row('Python: Lock acquire, release', other.python),
      row('Python: Value += 1 with its lock', other.pythonAdd),
      row('C++: robust mutex, lock, unlock', other.mutex),
    ],
  );
  printTable(
    `### A lock from one process to another that waits for it (${neighboursText(neighbours.share)})`,
    ['', 'a hand-over', 'slices', 'to the mutex'],
    [
      [...row('Lock: lockSync, guard.release', handOver.ours).slice(0, 3), times(ratio(handOver.ours, handOver.mutex))],
      [...row('C++: robust mutex', handOver.mutex).slice(0, 3), times(1)],
    ],
  );
  return {
    uncontendedNs: Object.fromEntries(OPERATIONS.map((name) => [name, median(tookNs[name])])) as never,
    lockToPython: ratio(other.python, ours),
    valueToPython: ratio(other.pythonAdd, tookNs['Value.add']),
    handOverToMutex: ratio(handOver.ours, handOver.mutex),
  };
}

interface Mutex {
  pairNs: number;
  handOverNs: number;
}

// Nanoseconds of a step.
function measure(step: () => void, measureMs: number): number {
  const began = performance.now();
  for (let count = 0; ; ) {
    for (let i = 0; i < 1000; i++) step();
    count += 1000;
    const tookMs = performance.now() - began;
    if (tookMs >= measureMs) return (tookMs * 1e6) / count;
  }
}

async function handOverNs(warmupMs: number, measureMs: number): Promise<number> {
  using lock = new Lock({ backend: 'shm' });
  using words = new SharedArray('int32', 3, { backend: 'shm', lock: false });
  const ends = await Promise.all(
    ([0, 1] as const).map((me) => {
      const handles: SyncHandles = { lock: lock.handle, words: words.handle, me, warmupMs, measureMs };
      return runProcess(process.execPath, [CHILD, JSON.stringify(handles)], LIMIT_MS);
    }),
  );
  return median(ends.map(({ stdout }) => (JSON.parse(stdout) as { handOverNs: number }).handOverNs));
}

// Not with the addon, which must build whatever this needs.
function buildMutex(): void {
  mkdirSync(`${ROOT}build/bench`, { recursive: true });
  const flags = ['-std=c++20', '-O2', '-DNDEBUG', '-pthread'];
  const { status, stderr, error } = spawnSync('c++', [...flags, 'bench/mutex.cpp', '-o', MUTEX], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`bench/mutex.cpp cannot be compiled: ${error?.message ?? stderr}`);
}
