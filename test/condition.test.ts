// Conditions: who is woken by a notice, what becomes of one whose receiver gives up, and that the lock is held again after
// every end of a wait. Deaths are in test/condition-kill.test.ts.
import { Condition, Lock, RLock, type SegmentHandle, SharedArray, TimeoutError, Value } from 'ringway';
import { afterEach, describe, expect, it } from 'vitest';
import { ConditionHeader, LockHeader, WaitingRow } from '../src/layout.js';
import { Condition as OtherCondition } from '../src/sync/condition.js';
import { freshName, opening, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random } from './helpers/random.js';
import { type Context, startProcess, startThread } from './helpers/remote.js';
import { BACKENDS, pokeBody, rejectionOf, thrownBy, until } from './helpers/rings.js';
import { runScript, startScript, untilAsleep } from './helpers/script.js';
import { interruptAt, restoreAtomics, sleepWithoutLimit } from './helpers/steps.js';

useOwnDirectory();
afterEach(restoreAtomics);

const STATE = { code: 'ERR_RINGWAY_STATE' };
const CLOSED = { code: 'ERR_RINGWAY_CLOSED' };
const SHAPE = { code: 'ERR_RINGWAY_SHAPE' };
const start = (backend: 'shm' | 'sab') => (backend === 'shm' ? startProcess() : startThread());
// Until so many wait that have not been notified.
const untilWaiting = (condition: Condition, count: number) => until(() => condition.waiting === count);
const turns = async (count: number) => {
  for (let turn = 0; turn < count; turn++) await new Promise(setImmediate);
};

for (const backend of BACKENDS) {
  describe(`a condition over ${backend}`, () => {
    const make = (options = {}) => opening(new Condition({ backend, ...options }));
    const attach = (condition: Condition) => opening(Condition.attach(condition.handle));
    // Waits in a task of its own, and says when it goes on.
    const waiter = (condition: Condition, log: string[], name: string, options = {}) => {
      const done = condition.withLock(async (guard) => {
        const notified = await guard.wait(options);
        expect([guard.released, condition.locked]).toEqual([false, true]);
        log.push(notified ? name : `${name} in vain`);
        return notified;
      });
      done.catch(() => {});
      return done;
    };

    it('has a lock, which its guards hold', async () => {
      const condition = make();
      const shape = { locked: false, waiting: 0, waitMode: 'adaptive', backend, name: undefined, closed: false };
      expect(condition).toMatchObject(shape);
      for (const take of [() => condition.lock(), () => condition.lockSync(), () => condition.tryLock()]) {
        const guard = await take();
        expect(guard).toMatchObject({ ownerDied: false, diedPid: undefined, released: false });
        expect([condition.locked, attach(condition).tryLock()]).toEqual([true, null]);
        guard?.release();
        expect([guard?.released, condition.locked]).toEqual([true, false]);
      }
      {
        using guard = condition.lockSync();
        expect(guard.released).toBe(false);
      }
      expect([condition.withLockSync(() => 1), await condition.withLock(async () => 2)]).toEqual([1, 2]);
      expect(condition.locked).toBe(false);
    });

    it('refuses what cannot be, says it, and stays as it is', async () => {
      expect(thrownBy(() => new Condition(null as never))).toBeInstanceOf(TypeError);
      expect(thrownBy(() => new Condition({ backend, wait: 'never' as never }))).toBeInstanceOf(RangeError);
      expect(thrownBy(() => new Condition(undefined, null as never))).toBeInstanceOf(TypeError);
      expect(thrownBy(() => Condition.attach(make().handle, { lock: 1 as never }))).toBeInstanceOf(TypeError);
      const condition = make();
      const guard = condition.lockSync();
      for (const n of [-1, 1.5, Number.NaN, Infinity]) {
        const error = thrownBy(() => guard.notify(n));
        expect(error).toBeInstanceOf(RangeError);
        expect(error.message).toContain(String(n));
      }
      expect(thrownBy(() => guard.notify('1' as never))).toBeInstanceOf(TypeError);
      expect(await rejectionOf(guard.wait({ timeoutMs: Number.NaN }))).toBeInstanceOf(RangeError);
      expect(await rejectionOf(guard.wait({ signal: {} as never }))).toBeInstanceOf(TypeError);
      expect(thrownBy(() => guard.waitSync({ timeoutMs: '1' as never }))).toBeInstanceOf(TypeError);
      expect(await rejectionOf(guard.waitFor(() => false, { timeoutMs: Number.NaN }))).toBeInstanceOf(RangeError);
      expect(thrownBy(() => guard.waitForSync(() => false, { timeoutMs: Number.NaN }))).toBeInstanceOf(RangeError);
      expect(condition).toMatchObject({ waiting: 0, locked: true });
      expect([guard.notify(), guard.notify(0), guard.notifyAll()]).toEqual([0, 0, 0]);
      guard.release();
    });

    it('refuses to wait or notify through a guard that was released, or that waits', async () => {
      const condition = make();
      const guard = condition.lockSync();
      const waiting = guard.wait();
      await turns(1);
      const misuse = async () => {
        expect(thrownBy(() => guard.notify())).toMatchObject(STATE);
        expect(thrownBy(() => guard.notifyAll())).toMatchObject(STATE);
        expect(thrownBy(() => guard.waitSync())).toMatchObject(STATE);
        expect(thrownBy(() => guard.waitForSync(() => true))).toMatchObject(STATE);
        expect(thrownBy(() => guard.release())).toMatchObject(STATE);
        expect(await rejectionOf(guard.wait())).toMatchObject(STATE);
        expect(await rejectionOf(guard.waitFor(() => true))).toMatchObject(STATE);
        expect(thrownBy(() => condition.with(guard))).toMatchObject(STATE);
      };
      await misuse();
      expect(condition).toMatchObject({ waiting: 1, locked: false });
      condition.withLockSync((other) => expect(other.notify()).toBe(1));
      expect(await waiting).toBe(true);
      guard.release();
      await misuse();
      expect(condition).toMatchObject({ waiting: 0, locked: false });
    });

    it('wakes one for each notice, in the order of the waits of a handle, and nobody by itself', async () => {
      const condition = make();
      const log: string[] = [];
      const waits = ['a', 'b', 'c', 'd'].map((name) => waiter(condition, log, name));
      await untilWaiting(condition, 4);
      expect([condition.waiting, condition.locked, log]).toEqual([4, false, []]);
      expect(condition.withLockSync((guard) => guard.notify())).toBe(1);
      await waits[0];
      await turns(5);
      expect([condition.waiting, log]).toEqual([3, ['a']]);
      expect(condition.withLockSync((guard) => guard.notify(2))).toBe(2);
      await Promise.all(waits.slice(0, 3));
      await turns(5);
      expect([condition.waiting, log]).toEqual([1, ['a', 'b', 'c']]);
      expect(condition.withLockSync((guard) => guard.notify(9))).toBe(1);
      await Promise.all(waits);
      expect([condition.waiting, log]).toEqual([0, ['a', 'b', 'c', 'd']]);
      expect(condition.withLockSync((guard) => guard.notify())).toBe(0);
    });

    it('gives each notice to one that waited already', async () => {
      const condition = make();
      const log: string[] = [];
      const first = waiter(condition, log, 'first');
      await untilWaiting(condition, 1);
      const guard = condition.lockSync();
      expect(guard.notify()).toBe(1);
      // Begins to wait while the first one, which has been notified, has yet to get the lock.
      const late = guard.wait();
      await first;
      await turns(5);
      expect(log).toEqual(['first']);
      expect(condition.waiting).toBe(1);
      condition.withLockSync((other) => other.notifyAll());
      expect(await late).toBe(true);
      guard.release();
    });

    it('notifies the waits of all handles, in turn, and all at once', async () => {
      const condition = make();
      const handles = [condition, attach(condition), attach(condition)];
      const log: string[] = [];
      const begin = () => handles.flatMap((handle, i) => [0, 1].map((k) => waiter(handle, log, `${i}${k}`)));
      const waits = begin();
      await untilWaiting(condition, 6);
      for (let i = 0; i < 6; i++) {
        expect(condition.withLockSync((guard) => guard.notify())).toBe(1);
        await until(() => log.length === i + 1);
      }
      await Promise.all(waits);
      expect(
        log
          .slice(0, 3)
          .map((name) => name[0])
          .sort(),
      ).toEqual(['0', '1', '2']);
      const again = begin();
      await untilWaiting(condition, 6);
      expect(condition.withLockSync((guard) => guard.notifyAll())).toBe(6);
      await Promise.all(again);
      expect([log.length, condition.waiting]).toEqual([12, 0]);
    });

    it('says false after a timeout, in each form, with the lock held again', async () => {
      const condition = make();
      const guard = await condition.lock();
      for (const timeoutMs of [-1, 0, 5]) {
        expect(await guard.wait({ timeoutMs })).toBe(false);
        expect(guard.waitSync({ timeoutMs })).toBe(false);
        expect(await guard.waitFor(() => 0, { timeoutMs })).toBe(0);
        expect(guard.waitForSync(() => '', { timeoutMs })).toBe('');
        expect([condition.waiting, condition.locked, guard.released]).toEqual([0, true, false]);
      }
      guard.release();
    });

    it('releases the lock for the time of a wait of no time, too', async () => {
      const condition = make();
      const order: number[] = [];
      const first = await condition.lock();
      const next = condition.withLock(() => order.push(1));
      await first.wait({ timeoutMs: 0 });
      order.push(2);
      first.release();
      await next;
      expect(order).toEqual([1, 2]);
    });

    it('rejects with the reason of an abort, before or meanwhile, with the lock held again', async () => {
      const condition = make();
      const reason = new TimeoutError('mine');
      const guard = await condition.lock();
      expect(await rejectionOf(guard.wait({ signal: AbortSignal.abort(reason) }))).toBe(reason);
      expect(await rejectionOf(guard.waitFor(() => true, { signal: AbortSignal.abort(reason) }))).toBe(reason);
      for (const wait of ['wait', 'waitFor'] as const) {
        const controller = new AbortController();
        const { signal } = controller;
        const waiting = rejectionOf(wait === 'wait' ? guard.wait({ signal }) : guard.waitFor(() => false, { signal }));
        const held = await condition.lock();
        controller.abort(reason);
        let over = false;
        void waiting.then(() => {
          over = true;
        });
        await turns(5);
        expect(over).toBe(false); // It needs the lock first.
        held.release();
        expect(await waiting).toBe(reason);
        expect([guard.released, condition.locked, condition.waiting]).toEqual([false, true, 0]);
      }
      guard.release();
    });

    it('passes on the notice of one that gave up, to one that waited with it', async () => {
      const condition = make({ wait: 'park' });
      const other = attach(condition);
      const log: string[] = [];
      const controller = new AbortController();
      const reason = new TimeoutError('mine');
      const givesUp = rejectionOf(waiter(condition, log, 'gives up', { signal: controller.signal }));
      await untilWaiting(condition, 1);
      const waits = [waiter(other, log, 'stays'), waiter(attach(condition), log, 'stays')];
      await untilWaiting(condition, 3);
      const guard = other.lockSync();
      // It has given up, and is notified before it could say so, since somebody else has the lock.
      controller.abort(reason);
      pokeBody(condition, ConditionHeader.nextRow, 0); // Its turn.
      expect(guard.notify()).toBe(1);
      guard.release();
      expect(await givesUp).toBe(reason);
      await until(() => log.length === 1);
      await turns(5);
      expect([log, condition.waiting]).toEqual([['stays'], 1]);
      other.withLockSync((guard) => expect(guard.notifyAll()).toBe(1));
      await Promise.all(waits);
      // Nothing is left over for those who come later.
      expect(await condition.withLock((guard) => guard.wait({ timeoutMs: 1 }))).toBe(false);
    });

    it('passes on the notice of a handle that is closed, and rejects what waits there', async () => {
      const condition = make({ wait: 'park' });
      const leaving = Condition.attach(condition.handle);
      const log: string[] = [];
      const gone = rejectionOf(waiter(leaving, log, 'gone'));
      await untilWaiting(condition, 1);
      const stays = waiter(condition, log, 'stays');
      await untilWaiting(condition, 2);
      pokeBody(condition, ConditionHeader.nextRow, 1);
      const guard = condition.lockSync();
      expect(guard.notify()).toBe(1); // To the one that leaves.
      expect(condition.waiting).toBe(1);
      leaving.close();
      expect(await gone).toMatchObject(CLOSED);
      guard.release();
      expect(await stays).toBe(true);
      expect([condition.waiting, log]).toEqual([0, ['stays']]);
      const held = leaving;
      for (const use of [
        () => held.waiting,
        () => held.locked,
        () => held.lockSync(),
        () => held.tryLock(),
        () => held.with(guard),
      ]) {
        expect(thrownBy(use)).toMatchObject(CLOSED);
      }
      expect(await rejectionOf(held.lock())).toMatchObject(CLOSED);
      leaving.close();
    });

    it('loses no notice and makes up none in races with aborts and timeouts', async () => {
      announceSeed(`notices against aborts (${backend})`);
      const random = new Random();
      const condition = make();
      const other = attach(condition);
      let notified = 0;
      let woken = 0;
      for (let round = 0; round < 300; round++) {
        const waits = Array.from({ length: 1 + random.below(4) }, () => {
          const controller = new AbortController();
          const handle = random.pick([condition, other]);
          const timeoutMs = random.pick([Infinity, 0, 0.2]);
          const done = handle
            .withLock((guard) => guard.wait({ timeoutMs, signal: controller.signal }))
            .catch(() => false);
          return { controller, done };
        });
        await turns(random.below(3));
        const acts = [
          () => waits[random.below(waits.length)]?.controller.abort(),
          () => {
            const guard = condition.tryLock();
            if (guard) notified += guard.notify(1 + random.below(2));
            guard?.release();
          },
          () => turns(1),
        ];
        for (let act = 0; act < 3; act++) await random.pick(acts)();
        // Ends what is left: each of them is woken by a notice, or gives up.
        for (const { controller } of waits) if (random.below(2) === 0) controller.abort();
        let over = false;
        const all = Promise.all(waits.map(({ done }) => done));
        void all.then(() => {
          over = true;
        });
        while (!over) {
          notified += await other.withLock((guard) => guard.notifyAll());
          await turns(1);
        }
        woken += (await all).filter(Boolean).length;
        expect(condition.waiting).toBe(0);
      }
      // A notice is dropped only where nobody waited any more.
      expect(woken).toBeLessThanOrEqual(notified);
      expect(woken).toBeGreaterThan(100);
    });

    it('lets one notify through a second condition of the same lock', async () => {
      for (const Class of [Lock, RLock]) {
        const lock = opening(new Class({ backend }));
        const [notEmpty, notFull] = [opening(new Condition(lock)), opening(new Condition(lock))];
        const there = opening(Condition.attach(notEmpty.handle)); // With a handle of its own to the lock.
        const log: string[] = [];
        const waits = [
          waiter(notEmpty, log, 'not empty'),
          waiter(notFull, log, 'not full'),
          waiter(there, log, 'there'),
        ];
        await until(() => notEmpty.waiting === 2 && notFull.waiting === 1);
        expect([notEmpty.waiting, notFull.waiting, there.waiting, lock.locked]).toEqual([2, 1, 2, false]);
        const guard = notFull.lockSync();
        expect(lock.locked).toBe(true);
        expect(notEmpty.with(guard).notifyAll()).toBe(2);
        expect(there.with(guard).notifyAll()).toBe(0);
        notEmpty.with(guard).release();
        expect([guard.released, lock.locked]).toEqual([true, false]);
        await Promise.all([waits[0], waits[2]]);
        expect(notFull.waiting).toBe(1);
        const ofLock = lock.lockSync();
        expect(notFull.with(ofLock).notify()).toBe(1);
        ofLock.release();
        await waits[1];
        const stranger = make().lockSync();
        expect(thrownBy(() => notFull.with(stranger))).toMatchObject(STATE);
        notEmpty.close();
        expect([lock.closed, lock.locked]).toEqual([false, false]);
        lock.close();
        expect(await rejectionOf(notFull.lock())).toMatchObject(CLOSED);
      }
    });

    it('rejects what waits when the lock that it was given is closed, and passes its notice on', async () => {
      const lock = new Lock({ backend });
      const condition = opening(new Condition(lock));
      const there = opening(Condition.attach(condition.handle));
      const guard = condition.lockSync();
      const waiting = guard.wait();
      const log: string[] = [];
      const stays = waiter(there, log, 'stays');
      await untilWaiting(condition, 2);
      const held = there.lockSync();
      pokeBody(condition, ConditionHeader.nextRow, 0);
      expect(held.notify()).toBe(1);
      await turns(2); // It has been told, and wants the lock.
      lock.close();
      expect(await rejectionOf(waiting)).toMatchObject(CLOSED);
      expect(guard.released).toBe(true);
      guard[Symbol.dispose]();
      held.release();
      expect(await stays).toBe(true);
      expect(there.waiting).toBe(0);
    });

    it('releases an RLock as often as it is held, and holds it so again', async () => {
      const lock = opening(new RLock({ backend }));
      const condition = opening(new Condition(lock));
      const outer = lock.lockSync();
      const inner = condition.lockSync();
      const again = outer.relock();
      expect(lock.acquireSync()).toBe(true);
      const waiting = inner.wait();
      expect(lock.locked).toBe(false);
      expect(thrownBy(() => lock.release())).toMatchObject(STATE);
      expect(thrownBy(() => again.release())).toMatchObject(STATE);
      await condition.withLock((guard) => guard.notify());
      expect(await waiting).toBe(true);
      for (const give of [() => outer.release(), () => lock.release(), () => inner.release()]) {
        give();
        expect(lock.locked).toBe(true);
      }
      again.release();
      expect(lock.locked).toBe(false);
      // By the thread again: a Sync form takes it once more.
      const thread = condition.lockSync();
      expect(thread.waitSync({ timeoutMs: 0 })).toBe(false);
      lock.lockSync().release();
      thread.release();
      expect(lock.locked).toBe(false);
    });

    it('gives the predicate one deadline for all its waits, and what it said last', async () => {
      const condition = make();
      const guard = await condition.lock();
      let calls = 0;
      const chatter = setInterval(() => condition.tryLock()?.[Symbol.dispose](), 1);
      const notifier = setInterval(() => {
        const other = condition.tryLock();
        other?.notifyAll();
        other?.release();
      }, 1);
      const began = performance.now();
      expect(
        await guard.waitFor(
          () => {
            calls++;
            return calls > 1_000_000 ? 'never' : undefined;
          },
          { timeoutMs: 40 },
        ),
      ).toBeUndefined();
      expect(performance.now() - began).toBeGreaterThanOrEqual(39);
      clearInterval(chatter);
      clearInterval(notifier);
      expect(calls).toBeGreaterThan(2); // Notices came, and did not begin the time anew.
      const fail = new Error('mine');
      const throws = () => {
        throw fail;
      };
      expect(await rejectionOf(guard.waitFor(throws))).toBe(fail);
      expect(thrownBy(() => guard.waitForSync(throws))).toBe(fail);
      expect(await guard.waitFor(async () => ({ found: 1 }))).toEqual({ found: 1 });
      expect(guard.waitForSync(() => 7)).toBe(7);
      expect(condition.locked).toBe(true);
      guard.release();
    });

    it('tells who has waited of an owner that died meanwhile', async () => {
      const condition = make();
      const guard = condition.lockSync();
      const waiting = guard.wait();
      const other = Condition.attach(condition.handle);
      other.lockSync().notify();
      other.close(); // Without releasing.
      expect(await waiting).toBe(true);
      expect(guard).toMatchObject({ ownerDied: true, diedPid: process.pid, released: false });
      expect(await guard.wait({ timeoutMs: 0 })).toBe(false);
      expect(guard).toMatchObject({ ownerDied: false, diedPid: undefined });
      guard.release();
    });

    it('wakes one of two in other processes or threads for each notice; nobody wakes early', async () => {
      const condition = make();
      const others = [await start(backend), await start(backend)];
      const results: Promise<boolean>[] = [];
      for (const [i, other] of others.entries()) {
        const { result } = await other.start(
          async ({ ringway, state, tell }: Context, handle: SegmentHandle, sync: boolean) => {
            state.condition = ringway.Condition.attach(handle);
            const guard = (state.condition as Condition).lockSync();
            tell('waits');
            const notified = sync ? guard.waitSync() : await guard.wait();
            guard.release();
            (state.condition as Condition).close();
            return notified;
          },
          condition.handle,
          i === 0,
        );
        results.push(result);
        expect(await other.nextTold()).toBe('waits');
      }
      await until(() => condition.waiting === 2);
      await turns(20);
      expect(condition.waiting).toBe(2);
      expect(condition.withLockSync((guard) => guard.notify())).toBe(1);
      expect(condition.waiting).toBe(1);
      await turns(20);
      expect(condition.waiting).toBe(1);
      expect(await condition.withLock((guard) => guard.notify())).toBe(1);
      expect(await Promise.all(results)).toEqual([true, true]);
      expect(condition.waiting).toBe(0);
    });

    it('hands a value to and fro between processes or threads, by predicates, in both forms', async () => {
      for (const sync of [true, false]) {
        const condition = make();
        const state = opening(new Value('int32', 0, { backend }));
        const remote = await start(backend);
        // The other one waits for odd numbers, this one for even ones.
        const { result } = await remote.start(
          async ({ ringway }: Context, handle: SegmentHandle, valueHandle: SegmentHandle, sync: boolean) => {
            const condition = ringway.Condition.attach(handle);
            const value = ringway.Value.attach(valueHandle) as Value<'int32'>;
            for (let turn = 0; turn < 5; turn++) {
              const guard = condition.lockSync();
              const isOurs = () => value.value === 2 * turn + 1;
              if (!(sync ? guard.waitForSync(isOurs) : await guard.waitFor(isOurs))) throw new Error('not ours');
              value.add(1);
              guard.notify();
              guard.release();
            }
            condition.close();
            value.close();
            return 'over';
          },
          condition.handle,
          state.handle,
          sync,
        );
        for (let turn = 0; turn < 5; turn++) {
          using guard = await condition.lock();
          state.add(1);
          guard.notify();
          const isOurs = () => state.value === 2 * turn + 2;
          expect(sync ? guard.waitForSync(isOurs) : await guard.waitFor(isOurs)).toBe(true);
        }
        expect(await result).toBe('over');
      }
    });

    it('carries a bounded buffer of two producers and two consumers, each item once', async () => {
      const lock = opening(new Lock({ backend }));
      const [notEmpty, notFull] = [opening(new Condition(lock)), opening(new Condition(lock))];
      const buffer = opening(new SharedArray('int32', 6, { backend })); // Four items, then how many went in and out.
      const work = async (
        { ringway }: Context,
        handles: [SegmentHandle, SegmentHandle, SegmentHandle],
        produces: number,
        sync: boolean,
      ) => {
        const [notEmpty, notFull] = [ringway.Condition.attach(handles[0]), ringway.Condition.attach(handles[1])];
        const shared = ringway.SharedArray.attach(handles[2]) as unknown as { view: Int32Array; close(): void };
        const { view } = shared;
        const got: number[] = [];
        for (let i = 0; i < 200; i++) {
          const [mine, theirs] = produces ? [notFull, notEmpty] : [notEmpty, notFull];
          const guard = sync ? mine.lockSync() : await mine.lock();
          const ready = () => (produces ? view[4] - view[5] < 4 : view[4] > view[5]);
          if (sync) guard.waitForSync(ready);
          else await guard.waitFor(ready);
          if (produces) view[view[4]++ % 4] = produces + i;
          else got.push(view[view[5]++ % 4]);
          theirs.with(guard).notify();
          guard.release();
        }
        for (const each of [notEmpty, notFull, shared]) each.close();
        return got;
      };
      const remotes = await Promise.all([0, 1, 2, 3].map(() => start(backend)));
      const handles: [SegmentHandle, SegmentHandle, SegmentHandle] = [notEmpty.handle, notFull.handle, buffer.handle];
      const got = await Promise.all(
        remotes.map((remote, i) => remote.run(work, handles, [1000, 2000, 0, 0][i] as number, i % 2 === 0)),
      );
      const all = [...(got[2] as number[]), ...(got[3] as number[])].sort((a, b) => a - b);
      expect(all).toEqual([1000, 2000].flatMap((from) => Array.from({ length: 200 }, (_, i) => from + i)));
    });

    it('tells of rows and modes that cannot be', () => {
      const corrupt = { code: 'ERR_RINGWAY_CORRUPT_SEGMENT' };
      const condition = make();
      const guard = condition.lockSync();
      expect(guard.waitSync({ timeoutMs: 0 })).toBe(false);
      pokeBody(condition, ConditionHeader.rowsEver, 0xffffffff);
      pokeBody(condition, ConditionHeader.nextRow, 0xfffffff7);
      expect([guard.notifyAll(), condition.waiting]).toEqual([0, 0]);
      const row = ConditionHeader.rows + WaitingRow.counts; // Ours.
      pokeBody(condition, row, 0xffff);
      expect(thrownBy(() => guard.waitSync({ timeoutMs: 0 }))).toMatchObject(STATE);
      pokeBody(condition, row, 0);
      guard.release();
      pokeBody(condition, LockHeader.wait, 7);
      expect(thrownBy(() => Condition.attach(condition.handle))).toMatchObject(corrupt);
    });
  });
}

describe('no wake-up of a condition is lost', () => {
  it('when the notice comes at any step of a wait', async () => {
    let interruption = { acted: true };
    for (let at = 1; interruption.acted; at++) {
      using condition = new Condition({ backend: 'sab', wait: 'park' });
      using other = OtherCondition.attach(condition.handle);
      const guard = condition.lockSync();
      sleepWithoutLimit();
      let given = 0;
      const notifyIfFree = () => {
        const held = other.tryLock();
        given = held?.notify() ?? 0;
        held?.release();
      };
      interruption = interruptAt(at, notifyIfFree);
      const waiting = guard.wait();
      await turns(3);
      restoreAtomics();
      if (given === 0) other.withLockSync((held) => expect(held.notify()).toBe(1));
      expect(await waiting, `step ${at}`).toBe(true);
      guard.release();
      if (at === 1) expect(interruption.acted).toBe(true);
    }
  });
});

describe('a condition between processes', () => {
  it('is found by its name, with its lock, and compared', async () => {
    const [name, lockName] = [freshName(), freshName()];
    const pending = Condition.whenCreated(name);
    using created = Condition.createOrAttach({ name, wait: 'spin' });
    expect(created.waitMode).toBe('spin');
    using found = await pending;
    expect(found).toMatchObject({ name, waitMode: 'spin' });
    using parked = Condition.attach(name, { wait: 'park' });
    expect(parked.waitMode).toBe('park');
    using again = Condition.createOrAttach({ name });
    expect(again.waiting).toBe(0);
    using lock = new RLock({ name: lockName });
    expect(thrownBy(() => Condition.createOrAttach({ name, lock }))).toMatchObject(SHAPE);
    expect(thrownBy(() => new Lock({ name }))).toMatchObject({ code: 'EEXIST' });
    expect(thrownBy(() => Condition.attach(lockName))).toMatchObject({ code: 'ERR_RINGWAY_CORRUPT_SEGMENT' });
    Condition.unlink(name);
    expect(thrownBy(() => Condition.attach(name))).toMatchObject({ code: 'ENOENT' });
    expect(thrownBy(() => Condition.unlink(name))).toMatchObject({ code: 'ENOENT' });

    // With a lock of another name.
    const shared = freshName();
    using first = new Condition(lock, { name: shared });
    using second = Condition.createOrAttach({ name: shared, lock });
    using third = Condition.attach(shared);
    using fourth = Condition.createOrAttach({ name: shared });
    const guard = first.lockSync();
    expect([lock.locked, second.locked, third.locked, fourth.tryLock()]).toEqual([true, true, true, null]);
    expect(second.with(guard).notify()).toBe(0);
    guard.release();
    using stranger = new Lock();
    expect(thrownBy(() => Condition.createOrAttach({ name: shared, lock: stranger }))).toBeInstanceOf(TypeError);
    expect(thrownBy(() => Condition.attach(shared, { lock: stranger }))).toMatchObject(SHAPE);
    expect(thrownBy(() => new Condition(stranger, { name: freshName() }))).toBeInstanceOf(TypeError);
    expect(thrownBy(() => new Condition(stranger, { backend: 'sab' }))).toBeInstanceOf(TypeError);
    RLock.unlink(lockName);
    expect(thrownBy(() => Condition.attach(shared))).toMatchObject({ code: 'ENOENT' });
    using other = new Lock({ name: lockName }); // Somebody else's.
    expect(other.locked).toBe(false);
    const gone = thrownBy(() => Condition.attach(shared));
    expect(gone).toMatchObject({ code: 'ENOENT' });
    expect(gone.message).toContain('another one');
    Lock.unlink(lockName);
    Condition.unlink(shared);
  });

  it('keeps an unnamed lock as long as somebody has the condition', async () => {
    const lock = new Lock();
    const condition = new Condition(lock);
    const remote = await startProcess();
    await remote.run(({ ringway, state }: Context, handle: SegmentHandle) => {
      state.condition = ringway.Condition.attach(handle);
    }, condition.handle);
    condition.close();
    lock.close();
    await remote.run(({ state }: Context) => {
      const guard = (state.condition as Condition).lockSync();
      guard.notifyAll();
      guard.release();
    });
    await remote.run(({ state }: Context) => (state.condition as Condition).close());
  });

  it('ends a Sync wait by a signal that somebody listens to, with the lock held again', async () => {
    const script = startScript(`
      const condition = new ringway.Condition();
      process.on('SIGINT', () => print('listener ' + condition.locked));
      const guard = condition.lockSync();
      print('waits');
      try {
        guard.waitSync();
      } catch (error) {
        print([error.code, condition.locked, guard.released, condition.waiting]);
      }
      setTimeout(() => condition.close(), 10);
    `);
    expect(await script.line()).toBe('waits');
    await untilAsleep(script.pid);
    script.kill('SIGINT');
    const { lines } = await script.end;
    expect(lines.slice(1)).toEqual(['EINTR,true,false,0', 'listener true']);
  });

  it('keeps a process alive while it waits, unless it is told not to', async () => {
    const run = (how: string) =>
      runScript(`
        const condition = new ringway.Condition()${how};
        const guard = condition.lockSync();
        const notify = () => condition.withLockSync((other) => other.notify());
        setTimeout(notify, 30)${how === '' ? '' : '.unref()'};
        guard.wait().then((notified) => { print(notified); condition.close(); });
      `);
    expect(await run('')).toMatchObject({ lines: ['true'], code: 0 });
    expect(await run('.unref()')).toMatchObject({ lines: [], code: 0 });
  });
});
