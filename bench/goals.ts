// The project's goals, as met or missed.

import type { IdleResult } from './idle.js';
import type { PipeResult } from './pipe.js';
import type { RecoveryResult } from './recovery.js';
import { figures, printTable } from './report.js';
import { AT_ONCE, type RpcResult, rpcRatio } from './rpc.js';
import { ratio, type Shown, slicesOf } from './shown.js';
import type { StartupResult } from './startup.js';
import { OPERATIONS, type SyncResult } from './sync.js';

/** What was measured; a section that was left out has nothing here. */
export interface Measured {
  /** By the length of messages, in bytes. */
  roundTrips: Map<number, Shown>;
  streams: Map<number, Shown>;
  queues?: Shown;
  records?: Shown;
  objects?: Shown;
  publishing: { block?: Shown; overwrite?: Shown };
  rpc?: readonly RpcResult[];
  pipe?: PipeResult;
  recovery?: readonly RecoveryResult[];
  idle?: IdleResult[];
  startup?: StartupResult;
  sync?: SyncResult;
}

/** Goals of sections that were left out are not shown. */
export function printGoals(measured: Measured): void {
  const rows: string[][] = [];
  let others = 0;
  const goal = (what: string, value: number, atMost: boolean, bound: number, unit: string) => {
    if (!Number.isFinite(value)) {
      others++;
      return;
    }
    const met = atMost ? value <= bound : value >= bound;
    rows.push([what, `${atMost ? '<=' : '>='} ${bound} ${unit}`, `${figures(value)} ${unit}`, met ? 'met' : 'missed']);
  };
  const time = (shown: Shown | undefined, program: string, to: string) => {
    return ratio(slicesOf(shown, 'Node', program), slicesOf(shown, 'C++', to));
  };
  const speed = (shown: Shown | undefined, program: string, to: string) => 1 / time(shown, program, to);
  const { roundTrips, streams, queues, records, objects, publishing, pipe, recovery, idle, startup, sync } = measured;

  const bounced = time(roundTrips.get(64), 'spin', 'bounce');
  goal('round trip, 64 bytes, spinning, to one word bouncing', bounced, true, 1.6, 'x');
  goal('one way, 64 bytes, speed to the C++ ring', speed(streams.get(64), 'drain', 'stream'), false, 0.5, 'x');
  const copied = speed(streams.get(65536), 'copy', 'memcpy-walk');
  goal('one way, 65536 bytes, copied in and out, speed to memcpy through 16 MiB', copied, false, 0.8, 'x');
  const recordsTo = (program: string) => speed(records, program, 'boost-spsc-record');
  goal('records of 64 bytes, speed to boost::lockfree::spsc_queue', recordsTo('records'), false, 0.7, 'x');
  goal('records of 64 bytes, 16 at once, speed to the same', recordsTo('records-many'), false, 0.7, 'x');
  const single = speed(queues, 'mpmc', 'concurrentqueue');
  goal('many to many, 64 bytes, speed to moodycamel::ConcurrentQueue', single, false, 0.6, 'x');
  const batches = (to: string) => speed(queues, 'mpmc-many', to);
  goal('many to many, 64 bytes, 16 at once, speed to the same', batches('concurrentqueue'), false, 1, 'x');
  const bulk = batches('concurrentqueue-16');
  goal('many to many, 64 bytes, 16 at once, speed to the same with 16 at once', bulk, false, 1, 'x');
  const toObjects = (language: 'Python' | 'Node', program: string) => {
    return 1 / ratio(slicesOf(objects, 'Node', 'queue-await'), slicesOf(objects, language, program));
  };
  goal("objects through a queue, speed to Python's", toObjects('Python', 'queue'), false, 10, 'x');
  goal('objects through a queue, speed to child_process', toObjects('Node', 'ipc-objects'), false, 20, 'x');
  for (const onSlow of ['block', 'overwrite'] as const) {
    for (const when of ['after', 'along'] as const) {
      const shown = publishing[onSlow];
      const flat = ratio(slicesOf(shown, 'Node', `${when}-64`), slicesOf(shown, 'Node', `${when}-1`));
      const reading = when === 'after' ? 'between bursts' : 'all the time';
      goal(`publishing, '${onSlow}', 64 subscribers that read ${reading}, to one`, flat, true, 1.2, 'x');
    }
  }
  for (const atOnce of AT_ONCE) {
    const faster = rpcRatio(measured.rpc, 'net', atOnce);
    goal(`calls in another process, ${atOnce} at once, speed to a unix socket`, faster, false, 5, 'x');
  }
  for (const name of OPERATIONS) goal(`${name}, uncontended`, sync?.uncontendedNs[name] ?? NaN, true, 100, 'ns');
  goal('a lock from process to process, to a robust mutex', sync?.handOverToMutex ?? NaN, true, 1.5, 'x');
  goal("Lock, speed to Python's", sync?.lockToPython ?? NaN, false, 10, 'x');
  goal("Value.add, speed to Python's with its lock", sync?.valueToPython ?? NaN, false, 10, 'x');
  const pipeTime = (shown: Shown | undefined, program: string, to: string) => {
    return ratio(slicesOf(shown, 'Node', program), slicesOf(shown, 'Node', to));
  };
  for (const [how, program] of [
    ['async', 'shm-echo'],
    ['Sync', 'shm-echo-sync'],
  ]) {
    const toFork = pipeTime(pipe?.roundTrips, program, 'fork-echo');
    goal(`round trip of a small object, ${how}, to child_process`, toFork, true, 0.1, 'x');
  }
  for (const [how, program] of [
    ["into one's own, async", 'shm-into'],
    ["into one's own, Sync", 'shm-into-sync'],
    ['as a new value, async', 'shm-large'],
    ['as a new value, Sync', 'shm-large-sync'],
  ]) {
    const largeSpeed = (to: string) => 1 / pipeTime(pipe?.large, program, to);
    goal(`a typed array of 64 MiB ${how}, speed to memcpy`, largeSpeed('memcpy-large'), false, 0.7, 'x');
    goal(`a typed array of 64 MiB ${how}, speed to a unix socket`, largeSpeed('socket-large'), false, 5, 'x');
  }
  for (const { label, medianMs } of recovery ?? [{ label: '', medianMs: NaN }]) {
    goal(`going on after a SIGKILL, median: ${label}`, medianMs, true, 50, 'ms');
  }
  const [alone, ...consumers] = idle ?? [];
  const idleCpu = Math.max(...consumers.map(({ cpuMsPerSecond }) => cpuMsPerSecond - alone.cpuMsPerSecond));
  // A thousandth of a core: the least that top shows.
  goal('idle consumer, over a Node that waits for a timer, CPU a second', idleCpu, true, 1, 'ms');
  goal('import, over an empty module', startup?.importMs ?? NaN, true, 20, 'ms');
  goal('a child with a task, over fork() and import', startup?.runOverFork ?? NaN, true, 1.2, 'x');
  goal('create and attach, 1 MiB', startup?.createAttachMs ?? NaN, true, 1, 'ms');
  if (rows.length > 0) printTable('### Goals', ['what', 'goal', 'measured', ''], rows);
  const met = rows.filter((row) => row[3] === 'met').length;
  const rest = others > 0 ? `; ${others} more were not measured` : '';
  console.log(`\n${met} of ${rows.length} goals met${rest}.`);
}
