// npm run bench [-- OPTIONS]: round trips, streams, idle cost and start-up, side by side in one run; goals at the end.
// docs/BENCHMARKS.md tells how to read it.

import { parseArgs } from 'node:util';
import { BYTE_LENGTHS, type Contender, QUEUE_BYTE_LENGTH, QUEUES, ROUND_TRIPS, STREAMS } from './contenders.js';
import { type IdleResult, measureIdle } from './idle.js';
import { endAll, processors, runSlice, type Slice, type Timing } from './pair.js';
import { buildQueues, isInstalled, type Library } from './queues.js';
import {
  describeMachine,
  duration,
  figures,
  groupedMedian,
  median,
  Neighbours,
  percentiles,
  printTable,
  times,
} from './report.js';
import { measureStartup, type StartupResult } from './startup.js';

const USAGE = `npm run bench -- [OPTIONS]
  --quick         a smoke run of some seconds; its figures mean little
  --long          more and longer slices, about a quarter of an hour
  --only NAMES    of roundtrip, oneway, mpmc, idle, startup; several with commas
  --bytes SIZES   of ${BYTE_LENGTHS.join(', ')}; several with commas`;

interface Plan extends Timing {
  rounds: number;
  byteLengths: readonly number[];
  idleSettleMs: number;
  idleMs: number;
  startups: number;
  benchMs: number;
}

const PLANS: Record<'quick' | 'usual' | 'long', Plan> = {
  quick: {
    rounds: 1,
    warmupMs: 50,
    measureMs: 50,
    maxSamples: 50_000,
    byteLengths: [64, 65536],
    idleSettleMs: 500,
    idleMs: 1000,
    startups: 2,
    benchMs: 100,
  },
  usual: {
    rounds: 5,
    warmupMs: 120,
    measureMs: 180,
    maxSamples: 200_000,
    byteLengths: BYTE_LENGTHS,
    idleSettleMs: 2500,
    idleMs: 4000,
    startups: 15,
    benchMs: 500,
  },
  long: {
    rounds: 15,
    warmupMs: 300,
    measureMs: 700,
    maxSamples: 1_000_000,
    byteLengths: BYTE_LENGTHS,
    idleSettleMs: 2500,
    idleMs: 30_000,
    startups: 40,
    benchMs: 2000,
  },
};

const SECTIONS = ['roundtrip', 'oneway', 'mpmc', 'idle', 'startup'] as const;

/** What a contender showed at one size: one slice a round, undefined where it failed. */
type Shown = Map<Contender, (Slice | undefined)[]>;

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
  const shown: Shown = new Map();
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

const middles = (slices: readonly (Slice | undefined)[]) => {
  return slices.map((slice) => (slice === undefined ? NaN : groupedMedian(slice.samples)));
};
const known = (values: readonly number[]) => values.filter((value) => Number.isFinite(value));

/** The median of what one contender took, divided by what another one took in the same round. */
function ratio(shown: Shown | undefined, language: string, program: string, to: string): number {
  const find = (wanted: (contender: Contender) => boolean) => {
    return [...(shown ?? [])].find(([contender]) => wanted(contender))?.[1] ?? [];
  };
  const divisors = middles(find((contender) => contender.language === 'C++' && contender.program === to));
  const values = middles(find((contender) => contender.language === language && contender.program === program));
  return median(known(values.map((value, round) => value / divisors[round])));
}

function perMessage(slices: readonly Slice[]): { cpuNs: number; switches: number } {
  const messages = slices.reduce((sum, slice) => sum + slice.messages, 0);
  return {
    cpuNs: (slices.reduce((sum, slice) => sum + slice.cpuUs, 0) * 1e3) / messages,
    switches: slices.reduce((sum, slice) => sum + slice.switches, 0) / messages,
  };
}

function range(values: readonly number[]): string {
  return values.length === 0 ? '-' : `${duration(Math.min(...values))} .. ${duration(Math.max(...values))}`;
}

function printRoundTrips(byteLength: number, shown: Shown, neighbours: number): void {
  const rows = [...shown].map(([{ label, language, program }, all]) => {
    const slices = all.filter((slice) => slice !== undefined);
    if (slices.length === 0) return [label, ...Array.from({ length: 10 }, () => 'failed')];
    const { p50, p99, p999, p9999, max, count } = percentiles(slices.map(({ samples }) => samples));
    const { cpuNs, switches } = perMessage(slices);
    return [
      label,
      ...[p50, p99, p999, count >= 100_000 ? p9999 : NaN, max].map(duration),
      range(known(middles(all))),
      times(ratio(shown, language, program, 'bounce')),
      times(ratio(shown, language, program, 'spin')),
      duration(cpuNs),
      figures(switches),
    ];
  });
  printTable(
    `### Round trip, ${byteLength} bytes (${neighboursText(neighbours)})`,
    ['', 'p50', 'p99', 'p99.9', 'p99.99', 'max', 'p50 of slices', 'to one word', 'to C++ ring', 'CPU', 'sleeps'],
    rows,
  );
}

/** Columns of speeds: heading, and the program in C++ that each is a ratio to. */
type Speeds = readonly (readonly [heading: string, to: string])[];

function printStreams(title: string, byteLength: number, shown: Shown, neighbours: number, speeds: Speeds): void {
  const rows = [...shown].map(([{ label, language, program }, all]) => {
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
      ...speeds.map(([, to]) => times(1 / ratio(shown, language, program, to))),
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
  printStreams('One way, many-to-many ring and queues', QUEUE_BYTE_LENGTH, shown, neighbours, [
    ['speed to ConcurrentQueue', 'concurrentqueue'],
    ['to it, 16 at once', 'concurrentqueue-16'],
  ]);
  console.log('\nRings are between two processes, the other queues between two threads of one.');
};

function neighboursText(share: number): string {
  const warning = share > 0.1 ? ', so do not trust this' : '';
  return `other programs took ${(100 * share).toFixed(0)} % of the machine${warning}`;
}

interface Measured {
  roundTrips: Map<number, Shown>;
  streams: Map<number, Shown>;
  queues?: Shown;
  idle?: IdleResult[];
  startup?: StartupResult;
}

function printGoals({ roundTrips, streams, queues, idle, startup }: Measured): void {
  const rows: string[][] = [];
  const goal = (what: string, value: number, atMost: boolean, bound: number, unit: string) => {
    const met = atMost ? value <= bound : value >= bound;
    const verdict = Number.isFinite(value) ? (met ? 'met' : 'missed') : 'not measured';
    rows.push([what, `${atMost ? '<=' : '>='} ${bound} ${unit}`, `${figures(value)} ${unit}`, verdict]);
  };
  const bounced = ratio(roundTrips.get(64), 'Node', 'spin', 'bounce');
  goal('round trip, 64 bytes, spinning, to one word bouncing', bounced, true, 1.6, 'x');
  goal(
    'one way, 64 bytes, speed to the C++ ring',
    1 / ratio(streams.get(64), 'Node', 'drain', 'stream'),
    false,
    0.5,
    'x',
  );
  const copied = 1 / ratio(streams.get(65536), 'Node', 'copy', 'memcpy-walk');
  goal('one way, 65536 bytes, copied in and out, speed to memcpy through 16 MiB', copied, false, 0.8, 'x');
  const single = 1 / ratio(queues, 'Node', 'mpmc', 'concurrentqueue');
  goal('many to many, 64 bytes, speed to moodycamel::ConcurrentQueue', single, false, 0.6, 'x');
  const batchesTo = (to: string) => 1 / ratio(queues, 'Node', 'mpmc-many', to);
  goal('many to many, 64 bytes, 16 at once, speed to the same', batchesTo('concurrentqueue'), false, 1, 'x');
  const bulk = batchesTo('concurrentqueue-16');
  goal('many to many, 64 bytes, 16 at once, speed to the same with 16 at once', bulk, false, 1, 'x');
  const [alone, ...consumers] = idle ?? [];
  const idleCpu = Math.max(...consumers.map(({ cpuMsPerSecond }) => cpuMsPerSecond - alone.cpuMsPerSecond));
  // A thousandth of a core: the least that top shows.
  goal('idle consumer, over a Node that waits for a timer, CPU a second', idleCpu, true, 1, 'ms');
  goal('import, over an empty module', startup?.importMs ?? NaN, true, 20, 'ms');
  goal('create and attach, 1 MiB', startup?.createAttachMs ?? NaN, true, 1, 'ms');
  printTable('### Goals', ['what', 'goal', 'measured', ''], rows);
}

// Contenders of a section whose library is here; says what is missing.
function withLibraries(contenders: readonly Contender[]): Contender[] {
  const libraryOf = ({ through }: Contender) => (typeof through === 'object' ? through : undefined);
  const libraries = new Set(contenders.flatMap((contender) => libraryOf(contender) ?? []));
  const missing = new Set([...libraries].filter((library) => !isInstalled(library)));
  if (missing.size > 0) {
    const packages = [...missing].map((library) => library.package).join(' ');
    console.log(`\nOther people's queues that are not installed are left out: apt-get install ${packages}`);
  }
  if (missing.size < libraries.size) buildQueues([...libraries]);
  return contenders.filter((contender) => !missing.has(libraryOf(contender) as Library));
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

  const measured: Measured = { roundTrips: new Map(), streams: new Map() };
  const runs = [
    ['roundtrip', ROUND_TRIPS, measured.roundTrips, printRoundTrips],
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
  if (sections.has('mpmc')) {
    const contenders = withLibraries(QUEUES);
    const neighbours = new Neighbours();
    measured.queues = await runRounds(contenders, QUEUE_BYTE_LENGTH, plan);
    printQueues(measured.queues, neighbours.share);
  }
  if (sections.has('idle')) {
    measured.idle = await measureIdle(plan.idleSettleMs, plan.idleMs);
  }
  if (sections.has('startup')) {
    measured.startup = await measureStartup(plan.startups, plan.benchMs);
  }
  printGoals(measured);
  if (failures.length > 0) {
    console.error(`\n${failures.length} slices failed; the first: ${failures[0]}`);
    process.exitCode = 1;
  }
}

await main();
