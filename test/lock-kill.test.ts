// What is left of a lock when a process dies, stops, or another one acts before any atomic operation of any call.
import { closeSync, existsSync, openSync, readFileSync, unlinkSync } from 'node:fs';
import { Lock, type SegmentHandle } from 'ringway';
import { afterEach, describe, expect, it } from 'vitest';
import { bodyOffsetFor, LockHeader } from '../src/layout.js';
import { Lock as OtherLock } from '../src/sync/lock.js';
import { opening, segmentDirectory, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random } from './helpers/random.js';
import { type Context, type RemoteProcess, startProcess, startThread } from './helpers/remote.js';
import { DEFAULT_PARTICIPANTS, imageOf, until } from './helpers/rings.js';
import { TIMES } from './helpers/torture.js';

useOwnDirectory();

type ShmHandle = SegmentHandle & { backend: 'shm' };
const BODY = bodyOffsetFor(DEFAULT_PARTICIPANTS);
const ownerOf = (lock: { handle: SegmentHandle }) => {
  const image = imageOf(lock);
  return new DataView(image.buffer, image.byteOffset).getUint32(BODY + LockHeader.owner, true);
};
const turns = async (count: number) => {
  for (let turn = 0; turn < count; turn++) await new Promise(setImmediate);
};

const OPERATIONS = ['load', 'store', 'add', 'exchange', 'compareExchange', 'or'] as const;
const real = Object.fromEntries(OPERATIONS.map((name) => [name, Atomics[name]]));
const realWaitAsync = (Atomics as unknown as { waitAsync: unknown }).waitAsync;
afterEach(() => {
  Object.assign(Atomics, real, { waitAsync: realWaitAsync });
});

/** Calls `act` before the `at`th atomic operation from now on, counted from 1. Whether it did. */
function interruptAt(at: number, act: () => void): { acted: boolean } {
  const state = { acted: false };
  let count = 0;
  for (const name of OPERATIONS) {
    const call = (...args: never[]) => {
      if (++count === at) {
        Object.assign(Atomics, real); // What the other one does is not counted.
        state.acted = true;
        act();
      }
      return (real[name] as (...args: never[]) => unknown)(...args);
    };
    Object.assign(Atomics, { [name]: call });
  }
  return state;
}

describe('another one that acts at any step', () => {
  // Each starts with the lock free, or with the mark of an owner that did not release it.
  for (const marked of [false, true]) {
    it(`takes it, or does not, when both take it${marked ? ', and one of them is told' : ''}`, () => {
      let interruption = { acted: true };
      for (let at = 1; interruption.acted; at++) {
        using lock = new Lock({ backend: 'sab' });
        using other = OtherLock.attach(lock.handle);
        if (marked) {
          const dead = OtherLock.attach(lock.handle);
          dead.lockSync();
          dead.close();
        }
        let theirs: { ownerDied: boolean } | null = null;
        interruption = interruptAt(at, () => {
          theirs = other.tryLock();
        });
        const ours = lock.tryLock();
        Object.assign(Atomics, real);
        if (!interruption.acted) theirs = other.tryLock();
        const got = [ours, theirs as { ownerDied: boolean } | null].filter((guard) => guard !== null);
        expect(
          got.map(({ ownerDied }) => ownerDied),
          `step ${at}`,
        ).toEqual([marked]);
        if (at === 1) expect(interruption.acted).toBe(true);
      }
    });
  }

  it('finds it held or free, and takes it once, when the owner releases or leaves', () => {
    for (const end of ['release', 'close'] as const) {
      const seen = new Set<boolean>();
      let interruption = { acted: true };
      for (let at = 1; interruption.acted; at++) {
        const lock = new Lock({ backend: 'sab' });
        using other = OtherLock.attach(lock.handle);
        const guard = lock.lockSync();
        let theirs: { ownerDied: boolean } | null = null;
        interruption = interruptAt(at, () => {
          theirs = other.tryLock();
        });
        if (end === 'release') guard.release();
        else lock.close();
        Object.assign(Atomics, real);
        seen.add(theirs !== null);
        const late = other.tryLock();
        expect(
          [theirs, late].filter((guard) => guard !== null),
          `step ${at} of ${end}`,
        ).toHaveLength(1);
        expect((theirs ?? late)?.ownerDied).toBe(end === 'close');
        lock.close();
      }
      expect(seen).toEqual(new Set([false, true]));
    }
  });
});

describe('no wake-up is lost', () => {
  // Without the limit of its sleep, which would hide it: a lost wake-up is for ever, and the test does not end.
  for (const end of ['release', 'close'] as const) {
    it(`when the owner's ${end} comes at any step of a wait`, async () => {
      let interruption = { acted: true };
      for (let at = 1; interruption.acted; at++) {
        using lock = new Lock({ backend: 'sab', wait: 'park' });
        const other = OtherLock.attach(lock.handle);
        const held = other.lockSync();
        const free = () => (end === 'release' ? held.release() : other.close());
        const waitAsync = realWaitAsync as (...args: unknown[]) => unknown;
        Object.assign(Atomics, { waitAsync: (...args: unknown[]) => waitAsync(...args.slice(0, 3)) });
        interruption = interruptAt(at, free);
        const waiting = lock.lock();
        await turns(3);
        Object.assign(Atomics, real);
        if (!interruption.acted) free();
        expect((await waiting).ownerDied, `step ${at}`).toBe(end === 'close');
        other.close();
        if (at === 1) expect(interruption.acted).toBe(true);
      }
    });
  }
});

// A victim is ended by a signal of its own before its `at`th atomic operation from the start of the act.
const ACTS = ['release', 'close', 'try', 'wait', 'wake', 'recover'] as const;
type Act = (typeof ACTS)[number];
const victim = async (
  { ringway, fs, tell }: Context,
  handle: ShmHandle,
  turn: number,
  act: Act,
  at: number,
  signal: string,
) => {
  const lock = ringway.Lock.attach(handle);
  const guard = act === 'release' || act === 'close' ? lock.lockSync() : undefined;
  const pending = act === 'wake' ? lock.lock() : undefined;
  if (pending) {
    const file = `${process.env.RINGWAY_SHM_DIR}/ringway${handle.name}`;
    while (fs.readFileSync(file).readInt32LE(turn) === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
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
  tell('begins');
  if (act === 'release') guard?.release();
  if (act === 'close') lock.close();
  if (act === 'try' || act === 'recover') lock.tryLock();
  if (act === 'wait') await lock.lock();
  if (act === 'wake') await pending;
  return 'over';
};

const stopped = (pid: number) =>
  !existsSync(`/proc/${pid}/stat`) || /\) [TZ]/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));

describe('at every atomic operation', () => {
  for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
    for (const act of ACTS) {
      it(`nobody hangs, is let in twice or is not told when a process gets ${signal} in ${act}`, async () => {
        // A wait goes on and on while the lock is not released: this reaches beyond its first sleep and its turn.
        const most = act === 'wait' ? 24 : Infinity;
        const told: boolean[] = [];
        let over = false;
        for (let at = 1; !over && at <= most; at++) {
          const lock = opening(new Lock({ wait: 'park' }));
          const third = opening(Lock.attach(lock.handle));
          const ours = act === 'wait' || act === 'wake' ? lock.lockSync() : undefined;
          if (act === 'recover') {
            const dead = await startProcess();
            await dead.run(({ ringway, state }: Context, handle: SegmentHandle) => {
              state.lock = ringway.Lock.attach(handle);
              (state.lock as Lock).lockSync();
            }, lock.handle);
            await dead.kill();
          }
          const remote = await startProcess();
          const handle = lock.handle as ShmHandle;
          const { result } = await remote.start(victim, handle, BODY + LockHeader.turn, act, at, signal);
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
          await Promise.race([remote.nextTold().catch(() => {}), until(() => ended || stopped(remote.pid))]);
          // The victim is woken and goes for the lock; so does another one.
          if (act === 'wake') void third.lock().then((guard) => guard.release());
          if (act === 'wake') ours?.release();
          await until(() => ended || stopped(remote.pid));
          if (act === 'wait') ours?.release();
          if (signal === 'SIGKILL') await ending;
          // A process that is stopped lives: what it owns nobody gets.
          const owns = ownerOf(lock) !== 0 && ownerOf(lock) <= DEFAULT_PARTICIPANTS;
          if (signal === 'SIGSTOP' && owns && act !== 'recover') {
            expect(third.tryLock(), `step ${at}`).toBeNull();
          }
          if (over || signal === 'SIGSTOP') await remote.kill('SIGKILL');
          const guard = await lock.lock();
          expect(third.tryLock(), `step ${at}`).toBeNull();
          told.push(guard.ownerDied);
          guard.release();
          const next = await third.lock();
          expect(next.ownerDied, `step ${at}`).toBe(false);
          next.release();
          third.close();
          lock.close();
        }
        // It owned the lock up to a certain step, or from one on; each death of an owner was told.
        const changes = told.filter((value, i) => i > 0 && value !== told[i - 1]).length;
        const [first, last] = [told[0], told.at(-1)];
        const expected = {
          release: [true, false, 1],
          close: [true, true, 0],
          try: [false, true, 1],
          wait: [false, false, 0],
          wake: null,
          recover: [true, true, 0],
        }[act];
        if (expected !== null) expect([first, last, changes], JSON.stringify(told)).toEqual(expected);
        expect(told.length).toBeGreaterThan(1);
        expect(over).toBe(act !== 'wait');
      }, 180_000);
    }
  }
});

describe('an owner', () => {
  it('that is stopped keeps the lock, and goes on with it', async () => {
    const lock = opening(new Lock());
    const remote = await startProcess();
    await remote.run(({ ringway, state }: Context, handle: SegmentHandle) => {
      state.lock = ringway.Lock.attach(handle);
      state.guard = (state.lock as Lock).lockSync();
    }, lock.handle);
    process.kill(remote.pid, 'SIGSTOP');
    await until(() => stopped(remote.pid));
    expect(lock.tryLock()).toBeNull();
    expect(lock.acquireSync({ timeoutMs: 60 })).toBe(false);
    const waiting = lock.lock();
    process.kill(remote.pid, 'SIGCONT');
    await remote.run(({ state }: Context) => (state.guard as { release(): void }).release());
    expect((await waiting).ownerDied).toBe(false);
  });

  it('that dies or is terminated is replaced by those who wait and by those who only try, and they are told', async () => {
    const lock = opening(new Lock());
    const hold = ({ ringway, state }: Context, handle: SegmentHandle) => {
      state.lock = ringway.Lock.attach(handle);
      state.guard = (state.lock as Lock).lockSync();
      return process.pid;
    };
    for (const take of [() => lock.lock(), () => lock.lockSync(), () => lock.tryLock()]) {
      const remote = await startProcess();
      const pid = await remote.run(hold, lock.handle);
      await remote.kill();
      const guard = await take();
      expect(guard).toMatchObject({ ownerDied: true, diedPid: pid });
      guard?.release();
    }
    const thread = await startThread();
    await thread.run(hold, lock.handle);
    await thread.terminate();
    const guard = await lock.lock();
    expect(guard).toMatchObject({ ownerDied: true, diedPid: process.pid });
    guard.release();
  });

  it('that died is reported though a newcomer has its place by now', async () => {
    const lock = opening(new Lock({ maxParticipants: 2 }));
    const remote = await startProcess();
    await remote.run(({ ringway, state }: Context, handle: SegmentHandle) => {
      state.lock = ringway.Lock.attach(handle);
      (state.lock as Lock).lockSync();
    }, lock.handle);
    const { pid } = remote;
    await remote.kill();
    const newcomer = opening(Lock.attach(lock.handle));
    expect(newcomer.locked).toBe(false);
    expect(newcomer.tryLock()).toMatchObject({ ownerDied: true, diedPid: pid });
    expect(lock.tryLock()).toBeNull();
  });

  it('is killed at random, again and again: one is inside at a time, and each death inside is told', async () => {
    announceSeed('owners killed at random');
    const random = new Random();
    const lock = opening(new Lock());
    const place = `${segmentDirectory()}/inside`;
    // The file system is the oracle: whoever owns the lock is alone in the place, unless it is told of a death there.
    const visit = async ({ ringway, fs, tell }: Context, handle: SegmentHandle, place: string, sync: boolean) => {
      const lock = ringway.Lock.attach(handle);
      for (let visits = 1; ; visits++) {
        const guard = sync ? lock.lockSync() : await lock.lock();
        if (guard.ownerDied) {
          fs.rmSync(place, { force: true });
          fs.appendFileSync(`${place}-told`, 'x');
        }
        fs.closeSync(fs.openSync(place, 'wx'));
        for (let spin = 0; spin < 2000; spin++) Atomics.load(new Int32Array(1), 0);
        fs.unlinkSync(place);
        guard.release();
        if (visits % 20 === 0) tell(visits);
        if (visits % 50 === 0) await new Promise(setImmediate);
      }
    };
    const begin = async (sync: boolean): Promise<{ remote: RemoteProcess; sync: boolean }> => {
      const remote = await startProcess();
      const { result } = await remote.start(visit, lock.handle, place, sync);
      result.catch((error) => {
        if (!/the other side ended|no answer/.test(error.message)) violations.push(error);
      });
      return { remote, sync };
    };
    const violations: Error[] = [];
    const visitors = await Promise.all([true, false, true].map(begin));
    for (let kill = 0; kill < 20 * TIMES; kill++) {
      const which = random.below(visitors.length);
      const chosen = visitors[which] as (typeof visitors)[number];
      await chosen.remote.nextTold();
      await new Promise((resolve) => setTimeout(resolve, random.below(4)));
      await chosen.remote.kill();
      expect(violations).toEqual([]);
      visitors[which] = await begin(chosen.sync);
    }
    await Promise.all(visitors.map(({ remote }) => remote.kill()));
    const last = await lock.lock();
    if (existsSync(place)) {
      expect(last.ownerDied).toBe(true);
      unlinkSync(place);
    }
    closeSync(openSync(place, 'wx'));
    unlinkSync(place);
    unlinkSync(`${place}-told`); // Some of them were, or it would not be there.
  }, 180_000);
});
