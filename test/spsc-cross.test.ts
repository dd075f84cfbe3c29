// Both engines on one ring, across real processes: every pairing, in every form, every byte checked, in order. The
// positions start just below 2^32. RINGWAY_TORTURE=1 runs twenty times as many records.
import { SpscRing, type SpscRingOptions } from 'ringway';
import { describe, expect, it } from 'vitest';
import { bodyOffsetFor, SpscHeader } from '../src/layout.js';
import { freshName, useOwnDirectory } from './helpers/directory.js';
import { type Engine, Peer, watched } from './helpers/peers.js';
import { announceSeed, seed } from './helpers/random.js';
import { DEFAULT_PARTICIPANTS, imageOf, startPositionsAt } from './helpers/rings.js';
import { PATIENCE, TIMES } from './helpers/torture.js';

const WATCHDOG_MS = 60_000 * PATIENCE;

useOwnDirectory();
announceSeed('spsc-cross');

type Push = 'one' | 'claim' | 'many' | 'write';
type Pop = 'pop' | 'peek' | 'drain';
type Calls = 'blocking' | 'spinning' | 'async';

interface Pairing {
  producer: Engine;
  push: Push;
  pushCalls: Calls;
  consumer: Engine;
  pop: Pop;
  popCalls: Calls;
  /** Thousands of records. */
  thousands: number;
  max: number;
  ring: Omit<SpscRingOptions, 'name'>;
}

let records = 0;
let pairings = 0;
let finished = 0;

async function run({
  producer,
  push,
  pushCalls,
  consumer,
  pop,
  popCalls,
  thousands,
  max,
  ring,
}: Pairing): Promise<void> {
  const name = freshName();
  const count = thousands * 1000 * TIMES;
  using made = SpscRing.create({ ...ring, name });
  try {
    // So that the wrap at 2^32 comes halfway.
    const start = (2 ** 32 - Math.ceil((count * max) / 4 / 64) * 64) >>> 0;
    startPositionsAt(made, start);
    const common = { ring: name, seed, count, max };
    await watched(WATCHDOG_MS, async () => {
      const ends = [
        new Peer(producer, 'produce', { ...common, form: push, calls: pushCalls }),
        new Peer(consumer, 'consume', { ...common, form: pop, calls: popCalls }),
      ];
      const reports = await Promise.all(ends.map((end) => end.report()));
      for (const report of reports) expect(report.records).toBe(count);
      expect(reports[0]?.bytes).toBe(reports[1]?.bytes);
    });
    const { pushed, popped, used } = made.stats();
    expect({ pushed, popped, used }).toEqual({ pushed: count, popped: count, used: 0 });
    expect(positionOf(made)).toBeLessThan(start);
    records += count;
  } finally {
    SpscRing.unlink(name);
  }
}

function positionOf(ring: SpscRing): number {
  return new DataView(imageOf(ring).buffer).getUint32(bodyOffsetFor(DEFAULT_PARTICIPANTS) + SpscHeader.tail, true);
}

function pairing(name: string, test: () => Promise<void>): void {
  pairings++;
  it(name, { timeout: WATCHDOG_MS + 10_000 }, async () => {
    await test();
    finished++;
  });
}

const engines: Engine[] = ['c++', 'ts'];
const pushes: Record<Engine, Push[]> = { 'c++': ['one', 'claim', 'many'], ts: ['one', 'claim', 'many', 'write'] };
const pops: Pop[] = ['pop', 'peek', 'drain'];

for (const producer of engines) {
  for (const consumer of engines) {
    describe(`${producer} to ${consumer}`, () => {
      const native = [producer, consumer].filter((engine) => engine === 'c++').length;
      const common = { producer, consumer, pushCalls: 'spinning', popCalls: 'spinning' } as const;

      for (const push of pushes[producer]) {
        for (const pop of pops) {
          pairing(`${push} / ${pop}, spinning, lengths 0 to 200`, async () => {
            const thousands = [50, 130, 600][native] as number; // By what they cost.
            await run({ ...common, push, pop, thousands, max: 200, ring: { capacity: 1 << 14, wait: 'spin' } });
          });
        }
      }

      for (const wait of ['park', 'adaptive', 'spin'] as const) {
        pairing(`blocking with wait: '${wait}', a ring of 1 KiB`, async () => {
          const blocking = { pushCalls: 'blocking', popCalls: 'blocking' } as const;
          const thousands = { park: 10, adaptive: 30, spin: 5 }[wait];
          await run({
            ...common,
            ...blocking,
            push: 'one',
            pop: 'pop',
            thousands,
            max: 300,
            ring: { capacity: 1024, wait },
          });
          await run({
            ...common,
            ...blocking,
            push: 'many',
            pop: 'drain',
            thousands,
            max: 300,
            ring: { capacity: 1024, wait },
          });
          await run({
            ...common,
            ...blocking,
            push: 'claim',
            pop: 'peek',
            thousands,
            max: 504,
            ring: { capacity: 1024, wait },
          });
        });
      }

      pairing('records of up to 2 KiB at multiples of 64', async () => {
        const ring = { capacity: 1 << 16, alignment: 64, wait: 'spin' } as const;
        await run({
          ...common,
          push: 'claim',
          pop: 'peek',
          thousands: [50, 80, 200][native] as number,
          max: 2048,
          ring,
        });
        await run({
          ...common,
          push: 'many',
          pop: 'drain',
          thousands: [50, 80, 200][native] as number,
          max: 2048,
          ring,
        });
      });

      pairing('records as long as the ring takes, blocking', async () => {
        const blocking = { pushCalls: 'blocking', popCalls: 'blocking' } as const;
        const ring = { capacity: 256, wait: 'adaptive' } as const;
        await run({ ...common, ...blocking, push: 'one', pop: 'peek', thousands: 25, max: 120, ring });
        await run({ ...common, ...blocking, push: 'claim', pop: 'drain', thousands: 25, max: 120, ring });
      });

      if (native === 2) return;
      pairing('on the event loop', async () => {
        const calls = (engine: Engine) => (engine === 'ts' ? 'async' : 'blocking');
        const both = { pushCalls: calls(producer), popCalls: calls(consumer) } as const;
        for (const [push, pop] of [
          ['one', 'pop'],
          ['claim', 'peek'],
          ['many', 'drain'],
        ] as const) {
          await run({ ...common, ...both, push, pop, thousands: 15, max: 300, ring: { capacity: 4096 } });
        }
        if (producer !== 'ts') return;
        await run({ ...common, ...both, push: 'write', pop: 'pop', thousands: 15, max: 300, ring: { capacity: 4096 } });
      });
    });
  }
}

it('was ten million records or more', ({ skip }) => {
  if (finished < pairings) skip('some pairings were left out, or failed');
  console.log(`spsc-cross: ${(records / 1e6).toFixed(1)} million records`);
  expect(records).toBeGreaterThanOrEqual(10_000_000 * TIMES);
});
