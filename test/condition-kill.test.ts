// What is left of a condition when a process dies or stops before any atomic operation of a wait, a wake-up, a notice or a
// close: no notice is lost that somebody living could have, and nobody hangs.
import { Condition, type SegmentHandle } from 'ringway';
import { describe, expect, it } from 'vitest';
import { ConditionHeader } from '../src/layout.js';
import { opening, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random } from './helpers/random.js';
import { type Context, type RemoteProcess, startProcess } from './helpers/remote.js';
import { pokeBody, until } from './helpers/rings.js';
import { stopped } from './helpers/steps.js';
import { TIMES } from './helpers/torture.js';

useOwnDirectory();

const ACTS = ['wait', 'wake', 'give up', 'notify', 'notify all', 'close'] as const;
type Act = (typeof ACTS)[number];

// A victim is ended by a signal of its own before its `at`th atomic operation from the start of the act.
const victim = async ({ ringway, tell }: Context, handle: SegmentHandle, act: Act, at: number, signal: string) => {
  const condition = ringway.Condition.attach(handle);
  const guard = condition.lockSync();
  const doom = () => {
    let count = 0;
    for (const name of ['load', 'store', 'add', 'sub', 'exchange', 'compareExchange'] as const) {
      const real = Atomics[name] as (...args: unknown[]) => unknown;
      Object.assign(Atomics, {
        [name]: (...args: unknown[]) => {
          if (++count === at) process.kill(process.pid, signal);
          return real(...args);
        },
      });
    }
  };
  if (act === 'wait') {
    doom();
    tell('begins');
    return (await guard.wait()) ? 'woken' : 'in vain';
  }
  if (act === 'notify' || act === 'notify all') {
    doom();
    tell('begins');
    const given = act === 'notify' ? guard.notify(1) : guard.notifyAll();
    guard.release();
    return given;
  }
  const controller = new AbortController();
  const waiting = guard.wait({ signal: controller.signal }).then(
    () => 'woken',
    () => 'in vain',
  );
  if (act === 'wake') doom();
  tell('waits');
  if (act === 'wake') {
    tell(await waiting); // No atomic operation between taking the notice and this.
    guard.release();
    return 'over';
  }
  // Whoever notifies has the lock until we have begun.
  await new Promise<void>((resolve) => {
    const look = setInterval(() => {
      if (condition.waiting === 2) return;
      clearInterval(look);
      resolve();
    }, 1);
  });
  doom();
  tell('begins');
  if (act === 'give up') controller.abort();
  if (act === 'close') condition.close();
  tell(await waiting);
  guard[Symbol.dispose]();
  return 'over';
};

describe('at every atomic operation', () => {
  for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
    for (const act of ACTS) {
      it(`no notice is lost and nobody hangs when a process gets ${signal} in: ${act}`, async () => {
        // A wait goes on and on: this reaches beyond its first sleep.
        const most = act === 'wait' ? 30 : Infinity;
        let over = false;
        let struck = 0;
        for (let at = 1; !over && at <= most; at++) {
          const condition = opening(new Condition({ wait: 'park' }));
          let woken = 0;
          const begin = (handle: Condition) => {
            const done = handle.withLock(async (guard) => {
              if (await guard.wait()) woken++;
            });
            done.catch(() => {});
            return done;
          };
          const other = opening(Condition.attach(condition.handle));
          const notifies = act === 'notify' || act === 'notify all';
          const waits = notifies ? [begin(condition), begin(other)] : [begin(other)];
          await until(() => condition.waiting === waits.length);
          const remote = await startProcess();
          const { result } = await remote.start(victim, condition.handle, act, at, signal);
          let ended = false;
          void result.then(
            () => {
              over = true;
              ended = true;
            },
            () => {
              ended = true;
            },
          );
          if (act === 'wake' || act === 'give up' || act === 'close') {
            // It is given the notice while this one has the lock; it may take it, or be gone before it does.
            await Promise.race([remote.nextTold().catch(() => {}), until(() => ended || stopped(remote.pid))]);
            await until(() => condition.waiting === 2);
            pokeBody(condition, ConditionHeader.nextRow, 2); // The victim's turn.
            const guard = condition.lockSync();
            expect(guard.notify()).toBe(1);
            if (act !== 'wake') {
              await Promise.race([remote.nextTold().catch(() => {}), until(() => ended || stopped(remote.pid))]);
            }
            guard.release();
          }
          await until(() => ended || stopped(remote.pid) || (act === 'wait' && condition.waiting === 2));
          // Who is stopped lives, and keeps the lock and its notice; then it dies after all.
          if (!over) struck++;
          await remote.kill('SIGKILL');
          if (act === 'wait') {
            // It waits no more, so that the one notice goes to the one that does.
            expect(await condition.withLock((guard) => guard.notify()), `step ${at}`).toBe(1);
            await Promise.all(waits);
          } else if (notifies) {
            // Whatever it gave: who has been notified goes on, and all that are left are notified now.
            const given = await condition.withLock((guard) => guard.notifyAll());
            await Promise.all(waits);
            expect(woken, `step ${at}`).toBe(2);
            expect(given, `step ${at}`).toBeLessThanOrEqual(2);
          } else {
            // The victim has taken the notice, or the other one gets it.
            const taken = remote.told.includes('woken');
            if (!taken) await waits[0];
            expect([woken, condition.waiting], `step ${at}`).toEqual(taken ? [0, 1] : [1, 0]);
            if (taken) await condition.withLock((guard) => guard.notifyAll());
            await Promise.all(waits);
          }
          // The dead count until somebody has noticed.
          expect([condition.withLockSync((guard) => guard.notifyAll()), condition.waiting], `step ${at}`).toEqual([
            0, 0,
          ]);
          const after = await condition.withLock((guard) => guard.wait({ timeoutMs: 0 }));
          expect(after, `step ${at}: nothing is left over`).toBe(false);
          other.close();
          condition.close();
        }
        expect(struck).toBeGreaterThan(3);
        expect(over).toBe(act !== 'wait');
      }, 60_000);
    }
  }
});

describe('those who wait', () => {
  it('are killed at random, again and again: each notice wakes one, and no more', async () => {
    announceSeed('waiters killed at random');
    const random = new Random();
    const condition = opening(new Condition());
    const wait = async ({ ringway, tell }: Context, handle: SegmentHandle, sync: boolean) => {
      const condition = ringway.Condition.attach(handle);
      for (;;) {
        const guard = condition.lockSync();
        if (sync ? guard.waitSync() : await guard.wait()) tell('woken');
        guard.release();
      }
    };
    const begin = async (sync: boolean): Promise<{ remote: RemoteProcess; sync: boolean }> => {
      const remote = await startProcess();
      await remote.start(wait, condition.handle, sync);
      return { remote, sync };
    };
    const waiters = await Promise.all([true, false, true].map(begin));
    const dead: RemoteProcess[] = [];
    let given = 0;
    for (let kill = 0; kill < 15 * TIMES; kill++) {
      await until(() => condition.waiting >= 2);
      given += await condition.withLock((guard) => guard.notify(1 + random.below(2)));
      const which = random.below(waiters.length);
      const chosen = waiters[which] as (typeof waiters)[number];
      await chosen.remote.kill();
      dead.push(chosen.remote);
      waiters[which] = await begin(chosen.sync);
    }
    // All that live wait again, and have nothing that they were not given.
    await until(() => condition.withLockSync((guard) => guard.notify(0)) === 0 && condition.waiting === 3);
    const woken = [...dead, ...waiters.map(({ remote }) => remote)].flatMap(({ told }) => told).length;
    // Who was killed may have taken a notice without a chance to tell.
    expect(woken).toBeLessThanOrEqual(given);
    expect(woken).toBeGreaterThanOrEqual(given - dead.length);
    await Promise.all(waiters.map(({ remote }) => remote.kill()));
  }, 60_000);
});
