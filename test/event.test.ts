// The event: who is woken by what, and what is left when a process dies or stops at any atomic operation.
import { type SegmentHandle, Semaphore, SharedEvent, TimeoutError } from 'ringway';
import { afterEach, describe, expect, it } from 'vitest';
import { EventHeader } from '../src/layout.js';
import { SharedEvent as OtherEvent } from '../src/sync/shared-event.js';
import { freshName, opening, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random } from './helpers/random.js';
import { type Context, startProcess, startThread } from './helpers/remote.js';
import { BACKENDS, poke, pokeBody, rejectionOf, thrownBy, until } from './helpers/rings.js';
import { interruptAt, restoreAtomics, sleepWithoutLimit, stopped } from './helpers/steps.js';

useOwnDirectory();

const turns = async (count: number) => {
  for (let turn = 0; turn < count; turn++) await new Promise(setImmediate);
};
const start = (backend: 'shm' | 'sab') => (backend === 'shm' ? startProcess() : startThread());

for (const backend of BACKENDS) {
  describe(`an event over ${backend}`, () => {
    const make = (options = {}) => opening(new SharedEvent({ backend, ...options }));

    it('is not set at first, and is what it was made', () => {
      expect(make()).toMatchObject({ isSet: false, waitMode: 'adaptive', backend, name: undefined, closed: false });
      expect(make({ wait: 'park' }).waitMode).toBe('park');
      for (const options of [null, 1, 'name']) {
        expect(thrownBy(() => new SharedEvent(options as never))).toBeInstanceOf(TypeError);
      }
      expect(thrownBy(() => new SharedEvent({ backend, wait: 'never' as never }))).toBeInstanceOf(RangeError);
      expect(thrownBy(() => new SharedEvent({ backend, maxParticipants: 1 })).message).toContain('1');
    });

    it('is waited for until it is set; then nobody waits until it is cleared', async () => {
      const event = make();
      expect([event.waitSync({ timeoutMs: 0 }), event.waitSync({ timeoutMs: 5 })]).toEqual([false, false]);
      expect([await event.wait({ timeoutMs: -1 }), await event.wait({ timeoutMs: 5 })]).toEqual([false, false]);
      event.set();
      event.set();
      expect([event.isSet, event.waitSync(), await event.wait(), event.waitSync({ timeoutMs: 0 })]).toEqual(
        Array(4).fill(true),
      );
      event.clear();
      event.clear();
      expect([event.isSet, await event.wait({ timeoutMs: 0 })]).toEqual([false, false]);
    });

    it('wakes all that wait in one handle and in others when it is set by the same event loop, also if it is cleared at once', async () => {
      const event = make();
      const other = opening(SharedEvent.attach(event.handle));
      for (let round = 0; round < 3; round++) {
        const waits = [event.wait(), other.wait(), event.wait({ timeoutMs: 60_000 }), other.wait()];
        if (round > 0) await turns(20); // They may watch, or sleep.
        if (round > 1) await new Promise((resolve) => setTimeout(resolve, 5));
        event.set();
        event.clear();
        expect(await Promise.all(waits)).toEqual([true, true, true, true]);
        expect(await other.wait({ timeoutMs: 0 })).toBe(false);
      }
    });

    it('wakes only those who waited before it was set and cleared', async () => {
      const event = make();
      const before = event.wait();
      event.set();
      event.clear();
      const after = event.wait({ timeoutMs: 5 });
      expect([await before, await after]).toEqual([true, false]);
    });

    it('rejects with the reason of an abort, before or meanwhile, though it is a TimeoutError or the event is set', async () => {
      const event = make();
      const reason = new TimeoutError('mine');
      const controller = new AbortController();
      const waiting = event.wait({ signal: controller.signal });
      const steady = event.wait();
      controller.abort(reason);
      expect(await rejectionOf(waiting)).toBe(reason);
      event.set();
      expect(await steady).toBe(true);
      expect(await rejectionOf(event.wait({ signal: controller.signal }))).toBe(reason);
    });

    it('refuses what makes no sense, and stays as it is', async () => {
      const event = make();
      for (const timeoutMs of [Number.NaN, '1']) {
        const wrong = { timeoutMs } as never;
        expect((await rejectionOf(event.wait(wrong))).name).toMatch(/^(Range|Type)Error$/);
        expect(thrownBy(() => event.waitSync(wrong)).name).toMatch(/^(Range|Type)Error$/);
      }
      expect(await rejectionOf(event.wait({ signal: {} as never }))).toBeInstanceOf(TypeError);
      expect(event.isSet).toBe(false);
    });

    it('rejects what waits when it is closed, and throws afterwards', async () => {
      const event = make();
      const other = opening(SharedEvent.attach(event.handle));
      const waiting = rejectionOf(other.wait());
      other.close();
      other.close();
      const closed = { code: 'ERR_RINGWAY_CLOSED' };
      expect(await waiting).toMatchObject(closed);
      for (const use of [() => other.isSet, () => other.set(), () => other.clear(), () => other.waitSync()]) {
        expect(thrownBy(use)).toMatchObject(closed);
      }
      expect(await rejectionOf(other.wait())).toMatchObject(closed);
      expect([other.closed, event.isSet]).toEqual([true, false]);
    });

    it('counts changes beyond 2^32', async () => {
      const event = make();
      pokeBody(event, EventHeader.changes, 2 ** 32 - 2);
      const waiting = event.wait();
      event.set();
      expect([event.isSet, await waiting]).toEqual([true, true]);
      event.clear();
      expect(event.isSet).toBe(false);
      const again = event.wait();
      event.set();
      expect([event.isSet, await again]).toEqual([true, true]);
    });

    it('tells of a segment that contradicts itself', () => {
      const event = make();
      pokeBody(event, EventHeader.wait, 7);
      expect(thrownBy(() => SharedEvent.attach(event.handle))).toMatchObject({ code: 'ERR_RINGWAY_CORRUPT_SEGMENT' });
      const semaphore = opening(new Semaphore(1, { backend }));
      poke(semaphore, 8, 6); // Now it says that it is an event.
      expect(thrownBy(() => SharedEvent.attach(event.handle))).toMatchObject({ code: 'ERR_RINGWAY_CORRUPT_SEGMENT' });
      expect(thrownBy(() => SharedEvent.attach(semaphore.handle))).toBeInstanceOf(TypeError);
    });

    it('never lets a wait without a timeout end with false, beside one who sets and clears as fast as it can', async () => {
      const [event, stop] = [make(), make()];
      const pulse = ({ ringway }: Context, handle: SegmentHandle, stopHandle: SegmentHandle) => {
        const event = ringway.SharedEvent.attach(handle);
        const stop = ringway.SharedEvent.attach(stopHandle);
        while (!stop.isSet) {
          event.set();
          event.clear();
        }
        event.close();
        stop.close();
      };
      const wait = async ({ ringway }: Context, handle: SegmentHandle, sync: boolean) => {
        const event = ringway.SharedEvent.attach(handle);
        let woken = 0;
        for (let round = 0; round < 2000; round++) if (sync ? event.waitSync() : await event.wait()) woken++;
        event.close();
        return woken;
      };
      const [setter, ...waiters] = await Promise.all([0, 1, 2].map(() => start(backend)));
      const { result } = await (setter as NonNullable<typeof setter>).start(pulse, event.handle, stop.handle);
      const results = waiters.map((waiter, i) => waiter.run(wait, event.handle, i === 0));
      expect(await Promise.all(results)).toEqual([2000, 2000]);
      stop.set();
      await result;
    });

    it('loses no wake-up in ten thousand races of an abort or a timeout against a set() that is cleared at once', async () => {
      announceSeed('aborts against set()');
      const random = new Random();
      const event = make();
      const go = opening(new Semaphore(0, { backend }));
      const pulse = ({ ringway }: Context, handles: SegmentHandle[], rounds: number, seed: number) => {
        const event = ringway.SharedEvent.attach(handles[0] as SegmentHandle);
        const go = ringway.Semaphore.attach(handles[1] as SegmentHandle);
        let state = seed;
        for (let round = 0; round < rounds; round++) {
          go.acquireSync();
          state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
          for (let spin = (state >>> 16) % 300; spin > 0; spin--) Atomics.load(new Int32Array(1), 0);
          event.set();
          event.clear();
        }
        event.close();
        go.close();
      };
      const rounds = 10_000;
      const other = opening(SharedEvent.attach(event.handle));
      const remote = await start(backend);
      const { result } = await remote.start(pulse, [event.handle, go.handle], rounds, random.next());
      const outcomes = { woken: 0, aborted: 0, timedOut: 0 };
      for (let round = 0; round < rounds; round++) {
        // Whoever waits without a limit is woken, whatever becomes of the one that gives up beside it.
        const steady = (random.below(2) === 0 ? event : other).wait();
        const controller = new AbortController();
        const form = random.below(3);
        go.release();
        let outcome: boolean | null;
        if (form === 0) {
          outcome = event.waitSync({ timeoutMs: random.below(60) / 1000 });
        } else {
          const waiting = event.wait({ signal: controller.signal }).catch(() => null);
          const end = performance.now() + random.below(60) / 1000;
          if (form === 1) while (performance.now() < end);
          else await turns(random.below(3));
          controller.abort();
          outcome = await waiting;
        }
        outcomes[outcome === true ? 'woken' : outcome === null ? 'aborted' : 'timedOut']++;
        if ((await steady) !== true) expect.unreachable(`round ${round}`);
      }
      await result;
      for (const count of Object.values(outcomes)) expect(count).toBeGreaterThan(0);
    }, 120_000);

    it('is found by handle from elsewhere', async () => {
      const event = make();
      const remote = await start(backend);
      const waiting = event.wait();
      await remote.run(({ ringway }, handle) => {
        const there = ringway.SharedEvent.attach(handle);
        there.set();
        there.close();
      }, event.handle);
      expect([event.isSet, await waiting]).toEqual([true, true]);
      expect(thrownBy(() => SharedEvent.attach({ ...event.handle, kind: 'Semaphore' }))).toBeInstanceOf(TypeError);
    });
  });
}

describe('a named event', () => {
  it('is made, found, awaited and unlinked', async () => {
    const name = freshName();
    expect(thrownBy(() => SharedEvent.attach(name))).toMatchObject({ code: 'ENOENT' });
    const coming = SharedEvent.whenCreated(name);
    const made = opening(SharedEvent.createOrAttach({ name }));
    made.set();
    expect(opening(await coming)).toMatchObject({ isSet: true, name });
    expect(thrownBy(() => new SharedEvent({ name })).message).toContain('SharedEvent');
    expect(opening(SharedEvent.createOrAttach({ name, wait: 'park' }))).toMatchObject({
      isSet: true,
      waitMode: 'park',
    });
    SharedEvent.unlink(name);
    expect(thrownBy(() => SharedEvent.unlink(name))).toMatchObject({ code: 'ENOENT' });
    expect(await rejectionOf(SharedEvent.whenCreated(name, { timeoutMs: 0 }))).toBeInstanceOf(TimeoutError);
  });
});

afterEach(restoreAtomics);

describe('another one that acts at any step', () => {
  const calls = ['set', 'clear'] as const;
  for (const began of [false, true]) {
    for (const first of calls) {
      for (const second of calls) {
        it(`and calls ${second}() in ${first}() of an event that is ${began ? '' : 'not '}set: one comes after the other`, () => {
          let interruption = { acted: true };
          for (let at = 1; interruption.acted; at++) {
            using event = new SharedEvent({ backend: 'sab' });
            using other = OtherEvent.attach(event.handle);
            if (began) event.set();
            interruption = interruptAt(at, () => other[second]());
            event[first]();
            restoreAtomics();
            if (!interruption.acted) continue;
            const [afterFirst, afterSecond] = [first === 'set', second === 'set'];
            expect([afterFirst, afterSecond], `step ${at}`).toContain(event.isSet);
          }
        });
      }
    }
  }

  it('and sets and clears it wakes whoever had begun to wait', async () => {
    let interruption = { acted: true };
    for (let at = 1; interruption.acted; at++) {
      using event = new SharedEvent({ backend: 'sab', wait: 'park' });
      using other = OtherEvent.attach(event.handle);
      sleepWithoutLimit();
      interruption = interruptAt(at, () => {
        other.set();
        other.clear();
      });
      const waiting = event.wait();
      await turns(3);
      restoreAtomics();
      // Before the first look the wait has not begun.
      if (!interruption.acted || at === 1) other.set();
      expect(await waiting, `step ${at}`).toBe(true);
      if (at === 1) expect(interruption.acted).toBe(true);
    }
  });
});

// A victim is ended by a signal of its own before its `at`th atomic operation from the start of the act.
type Act = 'set' | 'clear' | 'wait' | 'wake';
const victim = async ({ ringway }: Context, handle: SegmentHandle, act: Act, at: number, signal: string) => {
  const event = ringway.SharedEvent.attach(handle);
  const other = ringway.SharedEvent.attach(handle);
  const pending = act === 'wake' ? event.wait() : undefined;
  let count = 0;
  for (const name of ['load', 'store', 'add', 'exchange', 'compareExchange'] as const) {
    const real = Atomics[name] as (...args: unknown[]) => unknown;
    Object.assign(Atomics, {
      [name]: (...args: unknown[]) => {
        if (++count === at) process.kill(process.pid, signal);
        return real(...args);
      },
    });
  }
  if (act === 'set') event.set();
  if (act === 'clear') event.clear();
  if (act === 'wait') event.waitSync();
  if (act === 'wake') {
    other.set();
    await pending;
  }
  return 'over';
};

describe('at every atomic operation', () => {
  for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
    for (const act of ['set', 'clear', 'wait', 'wake'] as const) {
      it(`nobody hangs and no wake-up is lost when a process gets ${signal} in ${act}`, async () => {
        // A wait goes on and on: this reaches beyond its first sleeps.
        const most = act === 'wait' ? 20 : Infinity;
        let over = false;
        for (let at = 1; !over && at <= most; at++) {
          const event = opening(new SharedEvent({ wait: 'park' }));
          if (act === 'clear') event.set();
          const remote = await startProcess();
          const waiting = act === 'clear' ? undefined : event.wait();
          const { result } = await remote.start(victim, event.handle, act, at, signal);
          let ended = false;
          const ending = result.then(
            () => {
              over = true;
            },
            () => {},
          );
          void ending.then(() => {
            ended = true;
          });
          await until(() => ended || stopped(remote.pid));
          if (signal === 'SIGKILL') await ending;

          // If the victim has set it, that is enough: also when it did not get to waking anybody.
          const wasSet = event.isSet;
          if (act === 'set' && wasSet) expect(await waiting, `step ${at}`).toBe(true);
          event.clear();
          const next = event.wait();
          event.set();
          event.clear();
          expect(await (waiting ?? true), `step ${at}`).toBe(true);
          expect(await next, `step ${at}`).toBe(true);
          expect(event.isSet).toBe(false);
          await remote.kill('SIGKILL');
          event.close();
        }
        expect(over).toBe(act !== 'wait');
      }, 120_000);
    }
  }
});
