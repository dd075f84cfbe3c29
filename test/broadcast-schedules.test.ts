// Broadcast rings under thousands of random schedules: publishers and subscribers in worker threads, of which only one moves
// at a time, for as many steps (test/programs/schedule.ts) as the seed says. Some die, as terminated workers do. All that
// was published is read, once, whole and in one order; what was missed is counted; and nobody waits who could go on.
import { once } from 'node:events';
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { BroadcastRing, type OnSlow } from 'ringway';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { opening, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random, seed } from './helpers/random.js';
import { BACKENDS, startBroadcastAt } from './helpers/rings.js';
import type { Outcome, Part } from './programs/schedule.js';
import { Control, Own, State } from './programs/schedule-control.js';

useOwnDirectory();
announceSeed('broadcast-schedules');

const ROUNDS = Number(process.env.RINGWAY_SCHEDULES ?? 80); // Of each kind.
const PROGRAM = new URL('../build/ts/test/programs/schedule.js', import.meta.url);
const WORKERS = 5;
const ALL = 1000; // More than are published.
const BURSTS = [1, 1, 1, 2, 3, 5, 8, 20, 60];

const control = new Int32Array(new SharedArrayBuffer(4 * (Control.workers + WORKERS * Control.next)));
let failed = false; // Somebody is in the middle of a part, and stays there.
const actors: { worker: Worker; port: MessagePort }[] = [];

const own = (actor: number, word: number) => Control.workers + actor * Control.next + word;
const stateOf = (actor: number) => Atomics.load(control, own(actor, Own.state));

/** Lets one go on until it reports. */
function grant(actor: number, steps: number): void {
  const reports = Atomics.load(control, Control.reports);
  Atomics.store(control, own(actor, Own.state), State.running);
  Atomics.store(control, own(actor, Own.turn), steps);
  Atomics.notify(control, own(actor, Own.turn));
  while (stateOf(actor) === State.running) {
    if (Atomics.wait(control, Control.reports, reports, 10_000) === 'timed-out') throw new Error('a step does not end');
  }
}

beforeAll(async () => {
  for (let worker = 0; worker < WORKERS; worker++) {
    const { port1, port2 } = new MessageChannel();
    const made = new Worker(PROGRAM, {
      workerData: { control, worker, port: port2 },
      transferList: [port2],
      execArgv: [],
    });
    await once(made, 'message');
    actors.push({ worker: made, port: port1 });
  }
  for (let actor = 0; actor < WORKERS; actor++) while (stateOf(actor) !== State.idle) await new Promise(setImmediate);
});
afterAll(async () => {
  for (const { worker, port } of actors) {
    await worker.terminate();
    port.close();
  }
});

/** Gives everybody a part and lets them play, one at a time. */
function play(parts: Part[], random: Random, deaths: number, onPublished: () => void): Outcome[] {
  control.fill(0, Control.nowMs, Control.workers);
  parts.forEach((part, actor) => {
    actors[actor]?.port.postMessage(part);
    grant(actor, 1);
  });
  let left = deaths;
  let idle = 0;
  let isPublished = false;
  for (let turn = 0; ; turn++) {
    const all = parts.map((_, actor) => actor);
    const wakeAll = () => {
      for (const actor of all) Atomics.store(control, own(actor, Own.woken), 1);
    };
    const asleep = all.filter((actor) => stateOf(actor) === State.asleep);
    if (!isPublished && all.every((actor) => parts[actor]?.role === 'subscriber' || stateOf(actor) === State.idle)) {
      isPublished = true;
      onPublished();
      wakeAll();
    }
    const awake = all.filter(
      (actor) =>
        stateOf(actor) === State.ready ||
        (stateOf(actor) === State.asleep && Atomics.load(control, own(actor, Own.woken)) !== 0),
    );
    if (awake.length === 0) {
      if (asleep.length === 0) break;
      const limited = asleep.filter((actor) => Atomics.load(control, own(actor, Own.limited)) !== 0);
      Atomics.add(control, Control.nowMs, 1000);
      if (limited.length === 0 || ++idle > 50) throw new Error(`${asleep} sleep for ever, of ${all}`);
      for (const actor of limited) grant(actor, random.pick(BURSTS));
      continue;
    }
    if (turn > 100_000) throw new Error('they get nowhere');
    const actor = random.pick(awake);
    if (left > 0 && random.below(40) === 0) {
      left--;
      Atomics.store(control, own(actor, Own.dies), 1);
      wakeAll(); // The addon wakes sleepers itself, unseen by us.
    }
    grant(actor, random.pick(BURSTS));
  }
  return parts.map((_, actor) => receiveMessageOnPort(actors[actor]?.port as MessagePort)?.message as Outcome);
}

interface Kind {
  backend: 'shm' | 'sab';
  onSlow: OnSlow;
  dies: boolean;
}

function round({ backend, onSlow, dies }: Kind, random: Random): void {
  const shape = { slots: random.pick([2, 2, 4]), slotByteLength: 8, maxPublishers: dies ? 4 : 3, maxSubscribers: 4 };
  const ring = opening(BroadcastRing.create({ ...shape, onSlow, backend, maxParticipants: 8 }));
  const wraps = random.below(2) === 0;
  if (wraps) startBroadcastAt(ring, 2 ** 32 - 1 - random.below(12), 8);
  const publishers = 1 + random.below(3);
  const subscribers = 1 + random.below(WORKERS - publishers);
  const handle = ring.handle;
  const parts: Part[] = [];
  for (let number = 0; number < publishers; number++) {
    const count = 1 + random.below(6);
    parts.push({
      handle,
      role: 'publisher',
      seed: random.next(),
      count,
      from: 'latest',
      number,
      isLast: number === publishers - 1,
    });
  }
  for (let number = 0; number < subscribers; number++) {
    const count = random.below(3) === 0 ? 1 + random.below(5) : ALL;
    const from = random.pick(['latest', 'oldest'] as const);
    parts.push({ handle, role: 'subscriber', seed: random.next(), count, from, number: 0, isLast: false });
  }
  // Or the stream might end, or never begin, with those who died.
  const anchor = dies ? ring.publisher() : undefined;
  const outcomes = play(parts, random, dies ? 1 + random.below(2) : 0, () => anchor?.close());
  for (const { error } of outcomes) expect(error).toBeUndefined();
  const left = ring.subscriber({ from: 'oldest' }).tryReadMany(shape.slots).at(-1);
  check(
    parts,
    outcomes,
    dies,
    wraps ? shape.slots : 0,
    left === undefined || left.length === 0 ? 0 : new DataView(left.buffer).getInt32(0),
  );
  ring.close();
}

/** What each subscriber saw fits one order of all messages, in which each publisher's are in theirs. */
function check(parts: Part[], outcomes: Outcome[], dies: boolean, before: number, last: number): void {
  const readers = outcomes.filter((_, i) => parts[i]?.role === 'subscriber');
  const writers = outcomes.filter((_, i) => parts[i]?.role === 'publisher');
  const published = new Set(
    writers.flatMap(({ values, doubtful }) => (doubtful === undefined ? values : [...values, doubtful])),
  );
  // Values that follow one another without a gap must do so for everybody.
  const after = new Map<number, number>();
  for (const { values } of readers) {
    const seen = values.filter((value) => value >= 0);
    expect(new Set(seen).size, `each once: ${values}`).toBe(seen.length);
    for (const value of seen) expect(published.has(value), `${value} was published`).toBe(true);
    for (const { values: sent } of writers) {
      const own = seen.filter((value) => sent.includes(value));
      expect(own).toEqual([...own].sort((a, b) => a - b));
    }
    for (let i = 1; i < values.length; i++) {
      const [before, value] = [values[i - 1] as number, values[i] as number];
      if (before < 0 || value < 0) continue;
      expect(after.get(before) ?? value, `what follows ${before}`).toBe(value);
      after.set(before, value);
    }
  }
  // Who read to the end saw the last one, and missed no more than there were.
  parts.forEach(({ role, count }, i) => {
    const { values, died } = outcomes[i] as Outcome;
    if (role === 'subscriber' && count === ALL && !died && values.length > 0) expect(values.at(-1)).toBe(last);
  });
  if (!dies) {
    for (const [i, { values, missed }] of outcomes.entries()) {
      if (parts[i]?.role !== 'subscriber' || values.length === 0) continue;
      const total = values.filter((value) => value >= 0).length + missed.reduce((sum, many) => sum + many, 0);
      expect(total).toBeLessThanOrEqual(published.size + before);
    }
  }
}

for (const backend of BACKENDS) {
  for (const onSlow of ['block', 'overwrite'] as const) {
    for (const dies of backend === 'shm' ? [false, true] : [false]) {
      describe(`${ROUNDS} schedules over ${backend}, '${onSlow}'${dies ? ', with deaths' : ''}`, () => {
        it('lose nothing and hold up nobody', () => {
          for (let number = 0; number < ROUNDS && !failed; number++) {
            const from = seed + number;
            try {
              round({ backend, onSlow, dies }, new Random(from));
            } catch (error) {
              failed = true;
              throw new Error(`RINGWAY_TEST_SEED=${from}: ${(error as Error).message}`, { cause: error });
            }
          }
        });
      });
    }
  }
}
