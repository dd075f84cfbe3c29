// A process dies, or is stopped, before every single atomic operation of every call of a BroadcastRing. What was published
// is read by all, once and whole; nothing else is seen; and nobody waits for the dead, or for a stopped publisher.
import { readFileSync } from 'node:fs';
import { type BroadcastPublisher, BroadcastRing, type BroadcastSubscriber, type OnSlow } from 'ringway';
import { afterAll, describe, expect, it } from 'vitest';
import { opening, useOwnDirectory } from './helpers/directory.js';
import { type Context, startProcess } from './helpers/remote.js';
import { until } from './helpers/rings.js';

useOwnDirectory();

type Call =
  | 'publish'
  | 'publishMany'
  | 'commit'
  | 'abort'
  | 'publisher'
  | 'subscriber'
  | 'read'
  | 'drain'
  | 'peek'
  | 'close';

// In the victim: makes one call, and sends itself the signal before its `at`th atomic operation.
function victim({ ringway }: Context, handle: never, call: Call, at: number, signal: NodeJS.Signals) {
  const ring = ringway.BroadcastRing.attach(handle);
  const publishes = ['publish', 'publishMany', 'commit', 'abort', 'close'].includes(call);
  const reads = ['read', 'drain', 'peek', 'close'].includes(call);
  const publisher = publishes ? ring.publisher() : undefined;
  const subscriber = reads ? ring.subscriber({ from: 'oldest' }) : undefined;
  if (call === 'close') publisher?.tryClaim(1);
  const names = ['load', 'store', 'add', 'compareExchange'] as const;
  const real = Object.fromEntries(names.map((name) => [name, Atomics[name]]));
  let steps = 0;
  for (const name of names) {
    const operation = real[name] as (...args: unknown[]) => unknown;
    Object.assign(Atomics, {
      [name]: (...args: unknown[]) => {
        if (++steps === at) process.kill(process.pid, signal);
        return operation(...args);
      },
    });
  }
  const mine = (value: number) => new Uint8Array(8).fill(value);
  if (call === 'publish') publisher?.tryPublish(mine(100));
  else if (call === 'publishMany') publisher?.tryPublishMany([mine(100), mine(101)]);
  else if (call === 'commit' || call === 'abort') {
    const claim = publisher?.tryClaim();
    claim?.bytes.fill(100);
    if (call === 'commit') claim?.commit();
    else claim?.abort();
  } else if (call === 'publisher') ring.publisher();
  else if (call === 'subscriber') ring.subscriber({ from: 'oldest' });
  else if (call === 'read') subscriber?.tryRead();
  else if (call === 'drain') subscriber?.drain(() => {});
  else if (call === 'peek') subscriber?.tryPeek()?.release();
  else ring.close();
  Object.assign(Atomics, real);
  ring.close();
  return steps >= at;
}

const ADDS: Partial<Record<Call, number[]>> = { publish: [100], publishMany: [100, 101], commit: [100] };
const CALLS: Call[] = [
  'publish',
  'publishMany',
  'commit',
  'abort',
  'publisher',
  'subscriber',
  'read',
  'drain',
  'peek',
  'close',
];
const SLOTS = 4;
const message = (value: number) => new Uint8Array(8).fill(value);

/** What a message says, if all of its bytes are of one message. */
function wholeOf(bytes: Uint8Array): number {
  expect([...bytes]).toEqual(Array(8).fill(bytes[0]));
  return bytes[0] as number;
}

interface Scene {
  ring: BroadcastRing;
  publisher: BroadcastPublisher;
  witness: BroadcastSubscriber;
  published: number[];
  seen: number[];
}

/** Two messages are there, one was read. */
function scene(onSlow: OnSlow): Scene {
  const ring = opening(
    BroadcastRing.create({
      slots: SLOTS,
      slotByteLength: 8,
      onSlow,
      maxPublishers: 2,
      maxSubscribers: 2,
      maxParticipants: 4,
    }),
  );
  const made = { ring, publisher: ring.publisher(), witness: ring.subscriber(), published: [], seen: [] };
  publish(made, 1);
  publish(made, 2);
  look(made);
  return made;
}

function publish(scene: Scene, value: number): void {
  // With 'block' the victim's subscriber is a whole ring behind at some time: it is waited for, or found dead.
  scene.publisher.publishSync(message(value), { timeoutMs: 15_000 });
  scene.published.push(value);
}

function look(scene: Scene): void {
  const got = scene.witness.tryRead();
  if (got !== null) scene.seen.push(wholeOf(got));
}

/** Three times round the ring, so that every slot has been used again. */
function goOn(scene: Scene): void {
  for (let value = 10; value < 10 + 3 * SLOTS; value++) {
    publish(scene, value);
    look(scene);
  }
}

const recoveries: number[] = [];
afterAll(() => {
  recoveries.sort((a, b) => a - b);
  const at = (part: number) => recoveries[Math.floor(part * (recoveries.length - 1))]?.toFixed(1);
  console.log(
    `broadcast: others went on after ${recoveries.length} deaths in ${at(0.5)} ms (median), ${at(1)} ms at most`,
  );
});

for (const onSlow of ['block', 'overwrite'] as const) {
  for (const call of CALLS) {
    describe(`at every step of ${call}, '${onSlow}'`, () => {
      it('a death loses nothing that was published, shows nothing else, and holds up nobody', async () => {
        let steps = 0;
        let starting = startProcess(); // The next one starts while this one dies.
        for (let at = 1; ; at++) {
          const made = scene(onSlow);
          const process = await starting;
          starting = startProcess();
          const { result } = await process.start(victim as never, made.ring.handle, call, at, 'SIGKILL');
          const reached = await (result as Promise<boolean>).catch(() => true);
          if (!reached) await process.kill();
          expect((await process.end()).signal, `step ${at}`).toBe('SIGKILL');
          const started = performance.now();
          goOn(made);
          recoveries.push(performance.now() - started);
          while (made.seen.length < 2 + 3 * SLOTS + (ADDS[call]?.length ?? 0)) {
            const before = made.seen.length;
            look(made);
            if (made.seen.length === before) break;
          }
          const added = made.seen.filter((value) => value >= 100);
          expect(
            made.seen.filter((value) => value < 100),
            `step ${at}`,
          ).toEqual(made.published);
          expect(ADDS[call]?.slice(0, added.length) ?? [], `step ${at}`).toEqual(added);
          if (!reached) expect(added).toEqual(ADDS[call] ?? []);
          // The places of the dead are free again, and what they hold is good to use.
          const second = made.ring.publisher();
          const late = made.ring.subscriber();
          for (let value = 60; value < 60 + 2 * SLOTS; value++) {
            expect((value % 2 ? second : made.publisher).tryPublish(message(value)), `step ${at}`).toBe(true);
            expect(wholeOf(made.witness.tryRead() as Uint8Array), `step ${at}`).toBe(value);
            expect(wholeOf(late.tryRead() as Uint8Array), `step ${at}`).toBe(value);
          }
          expect(made.witness.missed).toBe(0);
          made.ring.close();
          if (!reached) break;
          steps = at;
        }
        await starting;
        expect(steps).toBeGreaterThan(1);
      }, 120_000);

      it('one who is stopped goes on where it was', async () => {
        let starting = startProcess();
        for (let at = 1; ; at++) {
          const made = scene(onSlow);
          const process = await starting;
          starting = startProcess();
          const { result } = await process.start(victim as never, made.ring.handle, call, at, 'SIGSTOP');
          const answer = result as Promise<boolean>;
          const stopped = () => readFileSync(`/proc/${process.pid}/stat`, 'utf8').includes(') T ');
          let done = false;
          void answer.then(() => {
            done = true;
          });
          await until(() => done || stopped());
          // A stopped subscriber is waited for with 'block': that is what it is for. It gets what fits.
          const subscribes = ['subscriber', 'read', 'drain', 'peek', 'close'].includes(call);
          if (done || !subscribes || onSlow === 'overwrite') goOn(made);
          process.child.kill('SIGCONT');
          const reached = await answer;
          await process.kill();
          goOn(made);
          const all = made.published.length + (ADDS[call]?.length ?? 0);
          for (let i = 0; i <= all && made.seen.length < all; i++) look(made);
          const own = made.seen.filter((value) => value < 100);
          expect(own, `step ${at}`).toEqual(made.published);
          expect(
            made.seen.filter((value) => value >= 100),
            `step ${at}`,
          ).toEqual(ADDS[call] ?? []);
          made.ring.close();
          if (!reached) break;
        }
        await starting;
      }, 120_000);
    });
  }
}
