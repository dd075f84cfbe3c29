// main.ts: one publisher of market data, four subscribers, one of which is slow. First the publisher overwrites what the
// slow one has not read, then it waits for it.

import { setTimeout as pause } from 'node:timers/promises';
import { type BroadcastRecordPublisher, BroadcastRing, capabilities, type OnSlow, type SegmentHandle } from 'ringway';
import { Failure } from '../common/failure.js';
import { integer, printTable } from '../common/format.js';
import { Peer, together } from '../common/peer.js';
import { run } from '../common/run.js';
import { market } from './market.js';
import { type Assignment, type Report, ROLES } from './roles.js';
import { Tick } from './tick.js';

const TICKS = 120_000;
/** A subscriber may be so many ticks behind. */
const SLOTS = 16_384;
/** Ticks come in bursts, with a pause of about 1 ms between them. */
const TICKS_PER_BURST = 256;

await run('ticks', main);

async function main(signal: AbortSignal): Promise<void> {
  const roles = Object.keys(ROLES);
  const where = capabilities.crossProcess ? 'processes' : `threads (${capabilities.reason})`;
  console.log(`${integer(TICKS)} ticks through a ring of ${integer(SLOTS)}, to ${roles.length} ${where}.`);
  await broadcast('overwrite', signal);
  await broadcast('block', signal);
  console.log(`verified: received + missed = ${integer(TICKS)} for each; with 'block' nobody missed any`);
}

async function broadcast(onSlow: OnSlow, signal: AbortSignal): Promise<void> {
  using ring = BroadcastRing.create({ record: Tick, slots: SLOTS, onSlow });
  const subscribers = Object.keys(ROLES).map((role) => subscribe(ring.handle, role, signal));
  await using _ = together(subscribers);
  await Promise.all(subscribers.map((subscriber) => subscriber.ready()));

  const { seconds, waits } = await publish(ring.publisher(), AbortSignal.any(subscribers.map(({ gone }) => gone)));
  const held = waits > 0 ? `; it had to wait ${integer(waits)} times` : '; it waited for nobody';
  console.log(`\nonSlow: '${onSlow}'. The publisher took ${seconds.toFixed(2)} s${held}.`);
  const reports = await Promise.all(subscribers.map((subscriber) => subscriber.result()));
  const rows = Object.keys(ROLES).map((role, i) => [
    role,
    integer(reports[i].received),
    integer(reports[i].missed),
    reports[i].result,
  ]);
  printTable(['Subscriber', 'Received', 'Missed', 'Result'], rows);
  check(onSlow, reports);
}

function subscribe(handle: SegmentHandle, role: string, signal: AbortSignal): Peer<Report> {
  const program = new URL('./subscriber.js', import.meta.url);
  const assignment: Assignment = { handle, role };
  return handle.backend === 'shm'
    ? Peer.process<Report>(program, JSON.stringify(assignment), signal)
    : Peer.thread<Report>(program, assignment, signal);
}

type Publisher = BroadcastRecordPublisher<typeof Tick.description>;

/** @param gone - aborted when a subscriber has ended too early */
async function publish(ticks: Publisher, gone: AbortSignal): Promise<{ seconds: number; waits: number }> {
  using publisher = ticks; // When it is closed, subscribers read what is left, then meet the end.
  let waits = 0;
  const start = performance.now();
  for (const tick of market(TICKS)) {
    // With 'overwrite' there is always room.
    if (!publisher.tryPublish(tick)) {
      waits++;
      await publisher.publish(tick, { signal: gone });
    }
    if (tick.number % TICKS_PER_BURST === 0) {
      await pause(1);
      gone.throwIfAborted();
    }
  }
  return { seconds: (performance.now() - start) / 1000, waits };
}

function check(onSlow: OnSlow, reports: Report[]): void {
  Object.entries(ROLES).forEach(([role, { indicator: create }], i) => {
    const { received, missed, gaps, result } = reports[i];
    const indicator = create();
    for (const tick of market(TICKS)) indicator.add(tick);
    const differs = missed === 0 && result !== `${indicator}`;
    if (received + missed === TICKS && gaps === missed && !differs && (missed === 0 || onSlow === 'overwrite')) return;
    throw new Failure(
      `'${role}' received ${received} of ${TICKS} ticks with gaps of ${gaps}, missed ${missed} and found ` +
        `'${result}'; over all ticks it is '${indicator}'`,
    );
  });
}
