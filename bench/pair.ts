// Runs one slice of a measurement: fresh rings, two fresh processes, a watchdog. Whatever happens, no process stays behind.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { BroadcastRing, MpmcRing, Queue, SpscRing } from 'ringway';
import { pathOf } from '#ringway/memory/names.js';
import type { Contender } from './contenders.js';
import type { EndReport, Spec } from './meter.js';
import { QUEUES } from './queues.js';
import { Quote } from './record-ends.js';

export interface Timing {
  warmupMs: number;
  measureMs: number;
  /** A slice ends early when it has as many. */
  maxSamples: number;
}

export interface Slice {
  /** What the measuring end took: nanoseconds a round trip, or picoseconds a message. */
  samples: Uint32Array;
  /** Of both ends. */
  cpuUs: number;
  switches: number;
  messages: number;
}

/**
 * Of the rings, in bytes. Large messages get one that is larger than a core's own caches: what is still in the other core's
 * cache when its room is written again has to be fetched from there, which takes three times as long as from memory.
 */
const capacityFor = (byteLength: number) => (byteLength < 65536 ? 1 << 20 : 1 << 24);
/** Of the many-to-many ring; other people's queues have as many (kCapacity in queues.cpp). */
const SLOTS = 4096;
/** Of the rings of typed records: the power of two that holds nearest to as many. */
const RECORDS_CAPACITY = 1 << 18;
/** Of broadcast rings: BURST and BURSTS_IN_A_LAP in broadcast-ends.ts go with it. */
const BROADCAST = { slots: 1024, maxPublishers: 2, maxSubscribers: 64 };
const CHILD = fileURLToPath(new URL('child.js', import.meta.url));
const PYTHON_PROGRAM = fileURLToPath(new URL('../../../bench/python_queue.py', import.meta.url));
const PEER = fileURLToPath(new URL('../../Release/ringway_bench_peer', import.meta.url));
/** Messages of the kernel's transports come in bursts, which windows must be longer than. */
const WINDOW_MS = { spinning: 1, sleeping: 20 };
const PATIENCE_MS = 15_000;

const running = new Set<ChildProcess>();

/** Ends every process that is still there, by its id. */
export function endAll(): void {
  for (const child of running) end(child);
}

/** Remembers a process until it has ended. */
export function keep<Child extends ChildProcess>(child: Child): Child {
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

function end(child: ChildProcess): void {
  if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
    process.kill(child.pid, 'SIGKILL');
  }
}

export interface Ended {
  stdout: string;
  samples: Buffer;
}

/**
 * Runs a process to its end.
 * @throws {Error} with what it wrote to stderr if it fails or is not through after `limitMs`
 */
export function runProcess(command: string, args: readonly string[], limitMs: number, cancel?: AbortSignal) {
  return new Promise<Ended>((resolve, reject) => {
    const child = keep(spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] }));
    const received: Buffer[][] = [[], [], []];
    for (const i of [0, 1, 2]) {
      child.stdio[i + 1]?.on('data', (chunk: Buffer) => received[i].push(chunk));
    }
    let overdue = false;
    const watchdog = setTimeout(() => {
      overdue = true;
      end(child);
    }, limitMs);
    const onCancel = () => end(child);
    cancel?.addEventListener('abort', onCancel);
    const finish = (how: string | undefined) => {
      clearTimeout(watchdog);
      cancel?.removeEventListener('abort', onCancel);
      const [stdout, stderr, samples] = received.map((chunks) => Buffer.concat(chunks));
      if (how === undefined) resolve({ stdout: stdout.toString(), samples });
      else reject(new Error(`process ${child.pid} ${how}; its stderr:\n${stderr.toString().trim() || '(nothing)'}`));
    };
    child.on('error', (error) => finish(`did not start: ${error.message}`));
    child.on('close', (code, signal) => {
      if (overdue) finish(`was not through after ${limitMs} ms and was ended`);
      else finish(code === 0 ? undefined : `ended with ${signal ?? `exit code ${code}`}`);
    });
  });
}

/** Two processors for two ends that spin, if they can be told apart; undefined leaves it to the system. */
export const processors = findProcessors();

function findProcessors(): { first: string; second: string } | undefined {
  if (spawnSync('taskset', ['--version']).status !== 0) return undefined;
  const allowed = /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '';
  const cpus = allowed.split(',').flatMap((range) => {
    const [from, to = from] = range.split('-').map(Number);
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
  const siblings = (cpu: number) => {
    const path = `/sys/devices/system/cpu/cpu${cpu}/topology/thread_siblings_list`;
    return existsSync(path) ? readFileSync(path, 'utf8') : String(cpu);
  };
  // Not two threads of one core, unless there is nothing else.
  const second = cpus.slice(1).find((cpu) => siblings(cpu) !== siblings(cpus[0])) ?? cpus[1];
  return second === undefined ? undefined : { first: String(cpus[0]), second: String(second) };
}

function createRing({ through }: Contender, byteLength: number) {
  const backend = 'shm';
  switch (through) {
    case 'mpmc':
      return MpmcRing.create({ slots: SLOTS, slotByteLength: byteLength, backend });
    case 'queue':
      return new Queue({ backend });
    case 'records':
      return SpscRing.create({ capacity: RECORDS_CAPACITY, record: Quote, backend });
    case 'broadcast':
      return BroadcastRing.create({ ...BROADCAST, slotByteLength: byteLength, onSlow: 'block', backend });
    case 'broadcast-overwrite':
      return BroadcastRing.create({ ...BROADCAST, slotByteLength: byteLength, onSlow: 'overwrite', backend });
    default:
      return SpscRing.create({ capacity: capacityFor(byteLength), backend });
  }
}

/** Whether there is a Python to be compared with. */
export const hasPython = () => spawnSync('python3', ['--version']).status === 0;

let sockets = 0;

export async function runSlice(contender: Contender, byteLength: number, timing: Timing): Promise<Slice> {
  if (contender.language === 'C++' && !existsSync(PEER)) throw new Error(`${PEER} is not built: npm run build:native`);
  // Held here, so that they are removed whatever becomes of the two processes.
  const there = createRing(contender, byteLength);
  const back = createRing(contender, byteLength);
  const isQueue = typeof contender.through === 'object';
  const windowMs = contender.spins ? WINDOW_MS.spinning : WINDOW_MS.sleeping;
  const base = { program: contender.program, byteLength, windowMs, ...timing };
  const socket = `\0ringway-bench-${process.pid}-${++sockets}`; // A name without a file.
  const failed = new AbortController();
  const start = async (side: 'first' | 'second') => {
    const { warmupMs, measureMs, maxSamples } = timing;
    const limitMs = warmupMs + measureMs + PATIENCE_MS;
    const spec: Spec = { ...base, side, there: there.handle, back: back.handle, socket };
    try {
      const cpus = processors && (isQueue ? `${processors.first},${processors.second}` : processors[side]);
      const pin = contender.spins && cpus !== undefined ? ['taskset', '--cpu-list', cpus] : [];
      const files = [there.handle, back.handle].map((handle) => (handle.backend === 'shm' ? pathOf(handle.name) : ''));
      const numbers = [byteLength, warmupMs, measureMs, maxSamples].map(String);
      const program =
        contender.language === 'Node'
          ? [process.execPath, CHILD, JSON.stringify(spec)]
          : contender.language === 'Python'
            ? ['python3', PYTHON_PROGRAM, JSON.stringify(spec)]
            : [isQueue ? QUEUES : PEER, contender.program, side, ...numbers, ...files];
      const [command, ...args] = [...pin, ...program];
      return await runProcess(command, args, limitMs, failed.signal);
    } catch (error) {
      failed.abort(); // The other one would wait for it.
      throw error;
    }
  };
  const sides = contender.alone || contender.forks ? (['first'] as const) : (['first', 'second'] as const);
  try {
    const results = await Promise.allSettled(sides.map(start));
    const reasons = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as Error] : []));
    // The one that was ended because of the other has nothing to say.
    const reason = reasons.find(({ message }) => !message.includes('SIGKILL')) ?? reasons[0];
    if (reason !== undefined) throw reason;
    const ended = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    return combine(ended);
  } finally {
    there.close();
    back.close();
  }
}

function combine(ended: Ended[]): Slice {
  const reports = ended.map(({ stdout }) => JSON.parse(stdout) as EndReport);
  reports.push(...reports.flatMap(({ peer }) => peer ?? []));
  const raw = Buffer.concat(ended.map(({ samples }) => samples)); // Only one end has any.
  const samples = new Uint32Array(raw.length / 4);
  new Uint8Array(samples.buffer).set(raw);
  return {
    samples,
    cpuUs: reports.reduce((sum, { cpuUs }) => sum + cpuUs, 0),
    switches: reports.reduce((sum, { switches }) => sum + switches, 0),
    messages: reports.reduce((least, { messages }) => Math.min(least, messages), Infinity),
  };
}
