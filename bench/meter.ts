// What one end of a measurement counts, and how it hands it to pair.ts: one line of JSON on stdout, and samples on
// descriptor 3 as 32-bit whole numbers. Twin of the classes of the same names in peer.cpp.

import { writeSync } from 'node:fs';
import type { SegmentHandle } from 'ringway';
import { MEASURE, STOP } from './payload.js';

/** What a process is told to do; see contenders.ts. */
export interface Spec {
  program: string;
  side: 'first' | 'second';
  byteLength: number;
  warmupMs: number;
  measureMs: number;
  maxSamples: number;
  /** How long the receiving end of a stream counts messages for one sample. */
  windowMs: number;
  /** Rings from the first process to the second, and back. */
  there: SegmentHandle;
  back: SegmentHandle;
  /** Address of a socket. */
  socket: string;
}

export interface EndReport {
  cpuUs: number;
  /** Voluntary context switches of all threads: how often one of them went to sleep. */
  switches: number;
  messages: number;
  /** The other end's, if it was not started by pair.ts. */
  peer?: EndReport;
}

/** Nanoseconds. */
export const now = process.hrtime.bigint;

/** What two looks at the clock are apart with nothing between them. */
function clockCostNs(): number {
  const costs: number[] = [];
  for (let i = 0; i < 20_001; i++) {
    const start = now();
    costs.push(Number(now() - start));
  }
  return costs.slice(-1001).sort((a, b) => a - b)[500]; // The last ones, by when it runs as optimised code.
}

/** CPU time and sleeps of this process between start() and stop(). */
export class Usage {
  #from = process.resourceUsage();
  #to = this.#from;

  start(): void {
    this.#from = process.resourceUsage();
  }

  stop(): void {
    this.#to = process.resourceUsage();
  }

  report(messages: number): EndReport {
    const [from, to] = [this.#from, this.#to];
    return {
      cpuUs: to.userCPUTime + to.systemCPUTime - from.userCPUTime - from.systemCPUTime,
      switches: to.voluntaryContextSwitches - from.voluntaryContextSwitches,
      messages,
    };
  }
}

export class Samples {
  readonly #values: Uint32Array;
  #count = 0;

  constructor(limit: number) {
    this.#values = new Uint32Array(limit);
  }

  get full(): boolean {
    return this.#count === this.#values.length;
  }

  get count(): number {
    return this.#count;
  }

  add(value: number): void {
    this.#values[this.#count++] = Math.min(Math.max(Math.round(value), 1), 2 ** 32 - 1);
  }

  get bytes(): Uint8Array {
    return new Uint8Array(this.#values.buffer, 0, 4 * this.#count);
  }
}

/** Hands the results to pair.ts. */
export function deliver(report: EndReport, samples?: Uint8Array): void {
  for (let sent = 0; samples !== undefined && sent < samples.length; ) sent += writeSync(3, samples, sent);
  writeSync(1, `${JSON.stringify(report)}\n`);
}

/** Makes round trips until the time is over, then tells the other end to stop. Samples are nanoseconds. */
export function measure(spec: Spec, roundTrip: (first: number) => void): [EndReport, Samples] {
  const usage = new Usage();
  let sequence = 0;
  // One loop for both, or the measurement would start in code that the engine has not optimised yet.
  const run = (ms: number, clockNs: number) => {
    const samples = new Samples(spec.maxSamples);
    let end = now();
    for (const last = end + ns(ms); end < last && !samples.full; ) {
      const start = now();
      roundTrip(sequence++);
      end = now();
      samples.add(Number(end - start) - clockNs);
    }
    return samples;
  };
  roundTrip(sequence++); // The other end is there from now on.
  run(spec.warmupMs, 0);
  const clockNs = clockCostNs();
  roundTrip(MEASURE);
  usage.start();
  const samples = run(spec.measureMs, clockNs);
  usage.stop();
  roundTrip(STOP);
  return [usage.report(samples.count), samples];
}

/** measure() for round trips that end on the event loop. */
export async function measureAsync(
  spec: Spec,
  roundTrip: (first: number) => Promise<void>,
): Promise<[EndReport, Samples]> {
  const usage = new Usage();
  let sequence = 0;
  const run = async (ms: number, clockNs: number) => {
    const samples = new Samples(spec.maxSamples);
    let end = now();
    for (const last = end + ns(ms); end < last && !samples.full; ) {
      const start = now();
      await roundTrip(sequence++);
      end = now();
      samples.add(Number(end - start) - clockNs);
    }
    return samples;
  };
  await roundTrip(sequence++);
  await run(spec.warmupMs, 0);
  const clockNs = clockCostNs();
  await roundTrip(MEASURE);
  usage.start();
  const samples = await run(spec.measureMs, clockNs);
  usage.stop();
  await roundTrip(STOP);
  return [usage.report(samples.count), samples];
}

/** Counts what the answering end has received. */
export class Served {
  readonly #usage = new Usage();
  #messages = 0;

  /** False when that was the last one. */
  count(first: number): boolean {
    if (first === MEASURE) this.#usage.start();
    if (first === STOP) this.#usage.stop();
    else this.#messages++;
    return first !== STOP;
  }

  report(): EndReport {
    return this.#usage.report(this.#messages);
  }
}

/** Cuts a stream at its receiving end into windows of about `windowMs`. Samples are picoseconds a message in each. */
export class Windows {
  readonly samples: Samples;
  readonly #usage = new Usage();
  readonly #windowMs: number;
  #start = now();
  #windowStart = 0n;
  #messages = 0;
  #windowFrom = 0;
  #perWindow = Infinity;

  constructor(spec: Spec) {
    this.samples = new Samples(spec.maxSamples);
    this.#windowMs = spec.windowMs;
  }

  /** False when that was the last one. */
  count(first: number): boolean {
    if (first >= 0) {
      this.#messages++;
      return true;
    }
    if (first === MEASURE) {
      const at = now();
      const warmMs = Math.max(1, Number(at - this.#start) / 1e6);
      this.#perWindow = Math.max(1, Math.floor((this.#messages / warmMs) * this.#windowMs));
      this.#messages = this.#windowFrom = 0;
      this.#start = this.#windowStart = at;
      this.#usage.start();
      return true;
    }
    this.#usage.stop();
    // A slice too short for one window is one.
    if (this.samples.count === 0 && this.#messages > 0) this.#sample(this.#messages);
    return false;
  }

  /** Call now and then. */
  cut(): void {
    const count = this.#messages - this.#windowFrom;
    if (count >= this.#perWindow && !this.samples.full) this.#sample(count);
  }

  #sample(count: number): void {
    const at = now();
    this.samples.add((Number(at - this.#windowStart) * 1e3) / count);
    this.#windowStart = at;
    this.#windowFrom = this.#messages;
  }

  report(): EndReport {
    return this.#usage.report(this.#messages);
  }
}

export function ns(ms: number): bigint {
  return BigInt(Math.round(ms * 1e6));
}

const GIVE_UP_MS = 20_000;

/** For loops that spin: an end whose other end is gone must not take a core for ever. Cheap to ask. */
export class Patience {
  #turns = 0;
  #since = 0;

  spend(): void {
    if ((++this.#turns & 0xfffff) !== 0) return;
    const at = performance.now();
    if (this.#since === 0) this.#since = at;
    if (at - this.#since > GIVE_UP_MS) throw new Error(`nothing moved for ${GIVE_UP_MS} ms`);
  }

  /** Something moved. */
  renew(): void {
    this.#since = 0;
  }
}
