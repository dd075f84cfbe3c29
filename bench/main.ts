// npm run bench [-- OPTIONS]: round trips, streams, idle cost and start-up, side by side in one run; goals at the end.
// docs/BENCHMARKS.md tells how to read it.

import { parseArgs } from 'node:util';
import { measureCodec } from './codec.js';
import {
  BROADCAST_ROUND_TRIPS,
  BROADCAST_STREAMS,
  BYTE_LENGTHS,
  type Contender,
  OBJECTS,
  PUBLISHING,
  QUEUES,
  RECORDS,
  ROUND_TRIPS,
  SMALL_BYTE_LENGTH,
  STREAMS,
} from './contenders.js';
import { type Measured, printGoals } from './goals.js';
import { measureIdle } from './idle.js';
import { endAll, hasPython, processors, runSlice, type Slice, type Timing } from './pair.js';
import { measurePipe } from './pipe.js';
import { buildQueues, isInstalled } from './queues.js';
import { measureRecovery } from './recovery.js';
import {
  describeMachine,
  duration,
  figures,
  median,
  Neighbours,
  neighboursText,
  percentiles,
  printTable,
  times,
} from './report.js';
import { measureRpc } from './rpc.js';
import { known, middles, perMessage, ratio, type Shown, slicesOf } from './shown.js';
import { measureStartup } from './startup.js';
import { measureSync } from './sync.js';

const SECTIONS = [
  'roundtrip',
  'oneway',
  'records',
  'mpmc',
  'broadcast',
  'queue',
  'codec',
  'rpc',
  'sync',
  'pipe',
  'recovery',
  'idle',
  'startup',
] as const;

const USAGE = `npm run bench -- [OPTIONS]
  --quick         a smoke run of some seconds; its figures mean little
  --long          more and longer slices, about a quarter of an hour
  --only NAMES    of ${SECTIONS.join(', ')}; several with commas
  --bytes SIZES   of ${BYTE_LENGTHS.join(', ')}; several with commas`;

interface Plan extends Timing {
  rounds: number;
  /** The warm-up where both ends run much code of their own: until the engine has compiled it. */
  compileMs: number;
  byteLengths: readonly number[];
  idleSettleMs: number;
  idleMs: number;
  kills: number;
  startups: number;
  benchMs: number;
}

const PLANS: Record<'quick' | 'usual' | 'long', Plan> = {
  quick: {
    rounds: 1,
    warmupMs: 50,
    measureMs: 50,
    maxSamples: 50_000,
    compileMs: 50,
    byteLengths: [64, 65536],
    idleSettleMs: 500,
    idleMs: 1000,
    kills: 3,
    startups: 2,
    benchMs: 100,
  },
  usual: {
    rounds: 5,
    warmupMs: 120,
    measureMs: 180,
    maxSamples: 200_000,
    compileMs: 1000,
    byteLengths: BYTE_LENGTHS,
    idleSettleMs: 2500,
    idleMs: 4000,
    kills: 50,
    startups: 15,
    benchMs: 500,
  },
  long: {
    rounds: 15,
    warmupMs: 300,
    measureMs: 700,
    maxSamples: 1_000_000,
    compileMs: 1500,
    byteLengths: BYTE_LENGTHS,
    idleSettleMs: 2500,
    idleMs: 30_000,
    kills: 200,
    startups: 40,
    benchMs: 2000,
  },
};

const failures: string[] = [];

function options(): { plan: Plan; sections: Set<string>; name: string } {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean' },
      long: { type: 'boolean' },
      only: { type: 'string' },
      bytes: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) {
    console.log(USAGE);
    process.exit();
  }
  const name = values.quick ? 'quick' : values.long ? 'long' : 'usual';
  const plan = { ...PLANS[name] };
  const sections = new Set(values.only?.split(',') ?? SECTIONS);
  for (const section of sections) {
    if (!(SECTIONS as readonly string[]).includes(section)) throw new Error(`--only ${section}?\n${USAGE}`);
  }
  if (values.bytes !== undefined) plan.byteLengths = values.bytes.split(',').map(Number);
  for (const byteLength of plan.byteLengths) {
    if (!(BYTE_LENGTHS as readonly number[]).includes(byteLength)) throw new Error(`--bytes ${byteLength}?\n${USAGE}`);
  }
  return { plan, sections, name };
}

// The contenders take turns, so that what changes on the machine meets them all.
async function runRounds(contenders: readonly Contender[], byteLength: number, plan: Plan): Promise<Shown> {
  const shown = new Map<Contender, (Slice | undefined)[]>();
  const present = contenders.filter(({ only }) => only?.includes(byteLength) ?? true);
  for (let round = 0; round < plan.rounds; round++) {
    for (const contender of present) {
      const slices = shown.get(contender) ?? [];
      shown.set(contender, slices);
      try {
        const slice = await runSlice(contender, byteLength, plan);
        if (slice.samples.length === 0) throw new Error('it measured nothing');
        slices.push(slice);
      } catch (error) {
        slices.push(undefined);
        const text = `${contender.label}, ${byteLength} bytes, round ${round + 1}: ${(error as Error).message}`;
        failures.push(text);
        console.error(`\nFAILED ${text}`);
      }
    }
  }
  return shown;
}

function range(values: readonly number[]): string {
  return values.length === 0 ? '-' : `${duration(Math.min(...values))} .. ${duration(Math.max(...values))}`;
}

function printRoundTrips(title: string, byteLength: number, shown: Shown, neighbours: number): void {
  const rows = [...shown].map(([{ label }, all]) => {
    const slices = all.filter((slice) => slice !== undefined);
    if (slices.length === 0) return [label, ...Array.from({ length: 10 }, () => 'failed')];
    const { p50, p99, p999, p9999, max, count } = percentiles(slices.map(({ samples }) => samples));
    const { cpuNs, switches } = perMessage(slices);
    return [
      label,
      ...[p50, p99, p999, count >= 100_000 ? p9999 : NaN, max].map(duration),
      range(known(middles(all))),
      times(ratio(all, slicesOf(shown, 'C++', 'bounce'))),
      times(ratio(all, slicesOf(shown, 'C++', 'spin'))),
      duration(cpuNs),
      figures(switches),
    ];
  });
  printTable(
    `### ${title}, ${byteLength} bytes (${neighboursText(neighbours)})`,
    ['', 'p50', 'p99', 'p99.9', 'p99.99', 'max', 'p50 of slices', 'to one word', 'to C++ ring', 'CPU', 'sleeps'],
    rows,
  );
}

/** Columns of speeds: heading, and the program in C++ that each is a ratio to. */
type Speeds = readonly (readonly [heading: string, to: string])[];

function printStreams(title: string, byteLength: number, shown: Shown, neighbours: number, speeds: Speeds): void {
  const rows = [...shown].map(([{ label }, all]) => {
    const slices = all.filter((slice) => slice !== undefined);
    if (slices.length === 0) return [label, ...Array.from({ length: 6 + speeds.length }, () => 'failed')];
    const perNs = known(middles(all)).map((ps) => ps / 1e3);
    const middle = median(perNs);
    const { cpuNs, switches } = perMessage(slices);
    return [
      label,
      duration(middle),
      range(perNs),
      figures(1e3 / middle),
      figures(byteLength / middle),
      ...speeds.map(([, to]) => times(1 / ratio(all, slicesOf(shown, 'C++', to)))),
      duration(cpuNs),
      figures(switches),
    ];
  });
  printTable(
    `### ${title}, ${byteLength} bytes (${neighboursText(neighbours)})`,
    ['', 'a message', 'slices', 'million/s', 'GB/s', ...speeds.map(([heading]) => heading), 'CPU', 'sleeps'],
    rows,
  );
}

const printOneWay = (byteLength: number, shown: Shown, neighbours: number) => {
  printStreams('One way', byteLength, shown, neighbours, [['speed to C++ ring', 'stream']]);
};

const printQueues = (shown: Shown, neighbours: number) => {
  printStreams('One way, many-to-many ring and queues', SMALL_BYTE_LENGTH, shown, neighbours, [
    ['speed to ConcurrentQueue', 'concurrentqueue'],
    ['to it, 16 at once', 'concurrentqueue-16'],
  ]);
  console.log(BETWEEN_THREADS);
};

const printRecords = (shown: Shown, neighbours: number) => {
  printStreams('One way, typed records of 10 fields', SMALL_BYTE_LENGTH, shown, neighbours, [
    ['speed to spsc_queue', 'boost-spsc-record'],
    ['to C++ ring', 'stream'],
  ]);
  console.log(BETWEEN_THREADS);
};

const printBroadcastStreams = (shown: Shown, neighbours: number) => {
  printStreams('One way, broadcast, 1 subscriber', SMALL_BYTE_LENGTH, shown, neighbours, [
    ['speed to spsc_queue', 'boost-spsc'],
    ['to C++ ring', 'stream'],
  ]);
  console.log(BETWEEN_THREADS);
};

function printPublishing(onSlow: string, shown: Shown, neighbours: number): void {
  const rows = [...shown].map(([{ label, program }, all]) => {
    const perNs = known(middles(all)).map((ps) => ps / 1e3);
    if (perNs.length === 0) return [label, ...Array.from({ length: 4 }, () => 'failed')];
    const { p99 } = percentiles(all.flatMap((slice) => slice?.samples ?? []));
    const toOne = ratio(all, slicesOf(shown, 'Node', program.replace('64', '1')));
    return [label, duration(median(perNs)), range(perNs), duration(p99 / 1e3), times(toOne)];
  });
  printTable(
    `### Publishing, broadcast with '${onSlow}', ${SMALL_BYTE_LENGTH} bytes (${neighboursText(neighbours)})`,
    ['', 'a message', 'slices', 'p99', 'to 1 subscriber'],
    rows,
  );
}

function printObjects(shown: Shown, neighbours: number): void {
  const rows = [...shown].map(([{ label }, all]) => {
    const slices = all.filter((slice) => slice !== undefined);
    if (slices.length === 0) return [label, ...Array.from({ length: 7 }, () => 'failed')];
    const perNs = known(middles(all)).map((ps) => ps / 1e3);
    const { cpuNs, switches } = perMessage(slices);
    const to = [slicesOf(shown, 'Python', 'queue'), slicesOf(shown, 'Node', 'ipc-objects')];
    return [
      label,
      duration(median(perNs)),
      range(perNs),
      figures(1e3 / median(perNs)),
      ...to.map((other) => times(1 / ratio(all, other))),
      duration(cpuNs),
      figures(switches),
    ];
  });
  printTable(
    `### One way, objects { id, name, ok, ts } (${neighboursText(neighbours)})`,
    ['', 'an object', 'slices', 'million/s', "speed to Python's", 'to child_process', 'CPU', 'sleeps'],
    rows,
  );
}

/** Under tables that have both. */
const BETWEEN_THREADS = '\nRings are between two processes, the other queues between two threads of one.';

const libraryOf = ({ through }: Contender) => (typeof through === 'object' ? through : undefined);

const isPresent = (contender: Contender) => {
  if (contender.language === 'Python') return hasPython();
  const library = libraryOf(contender);
  return library === undefined || isInstalled(library);
};

// Once for all sections that run; says what is missing.
function prepareQueues(contenders: readonly Contender[]): void {
  const libraries = new Set(contenders.flatMap((contender) => libraryOf(contender) ?? []));
  const missing = [...libraries].filter((library) => !isInstalled(library));
  if (missing.length > 0) {
    const packages = missing.map((library) => library.package).join(' ');
    console.log(`\nOther people's queues that are not installed are left out: apt-get install ${packages}`);
  }
  if (missing.length < libraries.size) buildQueues([...libraries]);
}

async function main(): Promise<void> {
  const { plan, sections, name } = options();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  process.once('exit', endAll);

  console.log('## ringway benchmarks\n');
  for (const [what, value] of Object.entries(describeMachine())) console.log(`- ${what}: ${value}`);
  console.log(
    `- slices: ${plan.rounds} of ${plan.measureMs} ms a row (${name}); ends that spin ` +
      (processors ? `run on processors ${processors.first} and ${processors.second}` : 'are not bound to processors'),
  );

  const all = new Neighbours();
  const measured: Measured = { roundTrips: new Map(), streams: new Map(), publishing: {} };
  const runs = [
    ['roundtrip', ROUND_TRIPS, measured.roundTrips, printRoundTrips.bind(undefined, 'Round trip')],
    ['oneway', STREAMS, measured.streams, printOneWay],
  ] as const;
  for (const [section, contenders, results, print] of runs) {
    if (!sections.has(section)) continue;
    for (const byteLength of plan.byteLengths) {
      const neighbours = new Neighbours();
      const shown = await runRounds(contenders, byteLength, plan);
      results.set(byteLength, shown);
      print(byteLength, shown, neighbours.share);
    }
  }
  // One table of contenders that have messages of 64 bytes only.
  const run = async (
    contenders: readonly Contender[],
    print: (shown: Shown, neighbours: number) => void,
    warmupMs = plan.warmupMs,
  ) => {
    const neighbours = new Neighbours();
    const shown = await runRounds(contenders.filter(isPresent), SMALL_BYTE_LENGTH, { ...plan, warmupMs });
    print(shown, neighbours.share);
    return shown;
  };
  const withQueues = { records: RECORDS, mpmc: QUEUES, broadcast: BROADCAST_STREAMS };
  prepareQueues(
    Object.entries(withQueues).flatMap(([section, contenders]) => (sections.has(section) ? contenders : [])),
  );
  if (sections.has('records')) measured.records = await run(RECORDS, printRecords);
  if (sections.has('mpmc')) measured.queues = await run(QUEUES, printQueues);
  if (sections.has('broadcast')) {
    for (const onSlow of ['block', 'overwrite'] as const) {
      measured.publishing[onSlow] = await run(PUBLISHING[onSlow], printPublishing.bind(undefined, onSlow));
    }
    await run(BROADCAST_ROUND_TRIPS, printRoundTrips.bind(undefined, 'Round trip, broadcast', SMALL_BYTE_LENGTH));
    await run(BROADCAST_STREAMS, printBroadcastStreams);
  }
  if (sections.has('queue')) {
    if (!hasPython()) console.log('\nThere is no python3: its queue is left out');
    measured.objects = await run(OBJECTS, printObjects, plan.compileMs);
  }
  if (sections.has('codec')) await measureCodec(plan.benchMs);
  if (sections.has('rpc')) measured.rpc = await measureRpc(plan.rounds, plan.compileMs, 2 * plan.measureMs);
  if (sections.has('sync')) measured.sync = await measureSync(plan.rounds, plan.compileMs, plan.measureMs);
  if (sections.has('pipe')) {
    measured.pipe = await measurePipe((contenders, byteLength, factor) => {
      return runRounds(contenders, byteLength, {
        ...plan,
        warmupMs: plan.compileMs,
        measureMs: factor * plan.measureMs,
      });
    });
  }
  if (sections.has('recovery')) measured.recovery = await measureRecovery(plan.kills);
  if (sections.has('idle')) {
    measured.idle = await measureIdle(plan.idleSettleMs, plan.idleMs);
  }
  if (sections.has('startup')) {
    measured.startup = await measureStartup(plan.startups, plan.benchMs);
  }
  printGoals(measured);
  console.log(`In the whole run ${neighboursText(all.share)}.`);
  if (failures.length > 0) {
    console.error(`\n${failures.length} slices failed; the first: ${failures[0]}`);
    process.exitCode = 1;
  }
}

await main();
