// The semaphore: what it takes and refuses, who gets permits and in which order, and what is left when a process dies or
// stops at any atomic operation.
import { mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { type SegmentHandle, Semaphore, TimeoutError } from 'ringway';
import { afterEach, describe, expect, it } from 'vitest';
import { SemaphoreHeader } from '../src/layout.js';
import { Semaphore as OtherSemaphore } from '../src/sync/semaphore.js';
import { freshName, opening, segmentDirectory, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random } from './helpers/random.js';
import { type Context, startProcess, startThread } from './helpers/remote.js';
import { BACKENDS, pokeBody, rejectionOf, thrownBy, until } from './helpers/rings.js';
import { interruptAt, restoreAtomics, sleepWithoutLimit, stopped } from './helpers/steps.js';

useOwnDirectory();

const MOST = 2 ** 31 - 1;
const turns = async (count: number) => {
  for (let turn = 0; turn < count; turn++) await new Promise(setImmediate);
};
const start = (backend: 'shm' | 'sab') => (backend === 'shm' ? startProcess() : startThread());

for (const backend of BACKENDS) {
  describe(`a semaphore over ${backend}`, () => {
    const make = (value?: number, options = {}) => opening(new Semaphore(value, { backend, ...options }));

    it('has the permits it was given, one by default', () => {
      expect(make()).toMatchObject({ value: 1, max: MOST, wait: 'adaptive', backend, name: undefined, closed: false });
      expect(make(0, { max: 1, wait: 'park' })).toMatchObject({ value: 0, max: 1, wait: 'park' });
      expect(make(MOST).value).toBe(MOST);
    });

    it('refuses values that cannot be, and says them', () => {
      for (const value of [Number.NaN, -1, 1.5, MOST + 1, Infinity]) {
        expect(thrownBy(() => new Semaphore(value, { backend }))).toBeInstanceOf(RangeError);
        expect(thrownBy(() => new Semaphore(value, { backend })).message).toContain(String(value));
        expect(thrownBy(() => new Semaphore(0, { backend, max: value }))).toBeInstanceOf(RangeError);
      }
      expect(thrownBy(() => new Semaphore(3, { backend, max: 2 }))).toBeInstanceOf(RangeError);
      expect(thrownBy(() => new Semaphore(0, { backend, max: 0 }))).toBeInstanceOf(RangeError);
      expect(thrownBy(() => new Semaphore('1' as never, { backend }))).toBeInstanceOf(TypeError);
      expect(thrownBy(() => new Semaphore(1, null as never))).toBeInstanceOf(TypeError);
      expect(thrownBy(() => new Semaphore(1, { backend, wait: 'never' as never }))).toBeInstanceOf(RangeError);
    });

    it('gives each permit once, and takes each back', async () => {
      const semaphore = make(3);
      expect([semaphore.tryAcquire(), semaphore.acquireSync(), await semaphore.acquire()]).toEqual([true, true, true]);
      expect(semaphore.tryAcquire()).toBe(false);
      expect(semaphore.acquireSync({ timeoutMs: 0 })).toBe(false);
      expect(await semaphore.acquire({ timeoutMs: 5 })).toBe(false);
      semaphore.release();
      semaphore.release(2);
      expect(semaphore.value).toBe(3);
    });

    it('refuses to release above max, always, and gives nothing back then', () => {
      const semaphore = make(2, { max: 3 });
      for (const n of [2, 3, 4, MOST]) {
        expect(thrownBy(() => semaphore.release(n))).toMatchObject({ code: 'ERR_RINGWAY_STATE' });
        expect(semaphore.value).toBe(2);
      }
      semaphore.release();
      expect(thrownBy(() => semaphore.release()).message).toContain('3 of at most 3');
      for (const n of [Number.NaN, 0, -1, 0.5, MOST + 1]) {
        expect(thrownBy(() => semaphore.release(n))).toBeInstanceOf(RangeError);
      }
      expect(thrownBy(() => make(MOST).release()).message).toContain(String(MOST));
    });

    it('serves those who wait in one handle in the order of their calls, and nobody jumps the line', async () => {
      const semaphore = make(0);
      const other = opening(Semaphore.attach(semaphore.handle));
      const served: number[] = [];
      const waiting = [0, 1, 2].map((number) => semaphore.acquire().then(() => served.push(number)));
      other.release(2);
      expect(semaphore.tryAcquire()).toBe(false);
      await Promise.all(waiting.slice(0, 2));
      expect(served).toEqual([0, 1]);
      other.release();
      await waiting[2];
      expect([served, semaphore.value]).toEqual([[0, 1, 2], 0]);
    });

    it('rejects with the reason of an abort, before or meanwhile, though it is a TimeoutError', async () => {
      const semaphore = make(1);
      const reason = new TimeoutError('mine');
      expect(await rejectionOf(semaphore.acquire({ signal: AbortSignal.abort(reason) }))).toBe(reason);
      expect(semaphore.tryAcquire()).toBe(true);
      const controller = new AbortController();
      const waiting = semaphore.acquire({ signal: controller.signal });
      controller.abort(reason);
      expect(await rejectionOf(waiting)).toBe(reason);
      expect(await rejectionOf(semaphore.acquire({ timeoutMs: Number.NaN }))).toBeInstanceOf(RangeError);
      expect(thrownBy(() => semaphore.acquireSync({ timeoutMs: Number.NaN }))).toBeInstanceOf(RangeError);
    });

    it('rejects what waits when it is closed, and throws afterwards; permits stay taken', async () => {
      const semaphore = make(1);
      const other = opening(Semaphore.attach(semaphore.handle));
      other.tryAcquire();
      const waiting = rejectionOf(other.acquire());
      other.close();
      other.close();
      expect(await waiting).toMatchObject({ code: 'ERR_RINGWAY_CLOSED' });
      for (const use of [
        () => other.value,
        () => other.tryAcquire(),
        () => other.acquireSync(),
        () => other.release(),
      ]) {
        expect(thrownBy(use)).toMatchObject({ code: 'ERR_RINGWAY_CLOSED' });
      }
      expect(await rejectionOf(other.acquire())).toMatchObject({ code: 'ERR_RINGWAY_CLOSED' });
      expect([other.closed, semaphore.value]).toEqual([true, 0]);
    });

    it('tells of a count that cannot be', async () => {
      const semaphore = make(1, { max: 4 });
      pokeBody(semaphore, SemaphoreHeader.permits, 0xffffffff);
      const corrupt = { code: 'ERR_RINGWAY_CORRUPT_SEGMENT' };
      expect(thrownBy(() => semaphore.value)).toMatchObject(corrupt);
      expect(thrownBy(() => semaphore.tryAcquire())).toMatchObject(corrupt);
      expect(await rejectionOf(semaphore.acquire())).toMatchObject(corrupt);
      pokeBody(semaphore, SemaphoreHeader.max, 0);
      expect(thrownBy(() => Semaphore.attach(semaphore.handle))).toMatchObject(corrupt);
    });

    describe('the turn', () => {
      // A live handle that has waited long enough to claim it.
      const claim = async (semaphore: Semaphore, waiter: Semaphore) => {
        const controller = new AbortController();
        const waiting = waiter.acquire({ signal: controller.signal });
        waiting.catch(() => {});
        const turn = () => new Int32Array(memoryOf(semaphore))[(BODY + SemaphoreHeader.turn) >> 2] !== 0;
        await until(turn);
        return { waiting, controller };
      };

      it('is respected by newcomers and passed on with the permit', async () => {
        const semaphore = make(0, { wait: 'park' });
        const waiter = opening(Semaphore.attach(semaphore.handle));
        const { waiting } = await claim(semaphore, waiter);
        semaphore.release();
        expect(semaphore.tryAcquire()).toBe(false);
        expect(await waiting).toBe(true);
        semaphore.release();
        expect(semaphore.tryAcquire()).toBe(true);
      });

      it('is given up by an abort and by close', async () => {
        for (const end of ['abort', 'close']) {
          const semaphore = make(0, { wait: 'park' });
          const waiter = opening(Semaphore.attach(semaphore.handle));
          const { waiting, controller } = await claim(semaphore, waiter);
          if (end === 'abort') controller.abort();
          else waiter.close();
          await rejectionOf(waiting);
          semaphore.release();
          expect(semaphore.tryAcquire()).toBe(true);
        }
      });

      it('that names nobody alive holds up nobody', async () => {
        for (const turn of [(5 << 13) | 33, (5 << 13) | 4096, 0xffffe000]) {
          const semaphore = make(1);
          pokeBody(semaphore, SemaphoreHeader.turn, turn);
          expect(semaphore.tryAcquire()).toBe(true);
          pokeBody(semaphore, SemaphoreHeader.turn, turn);
          const waiting = semaphore.acquire();
          opening(Semaphore.attach(semaphore.handle)).release();
          expect(await waiting).toBe(true);
        }
      });

      it('of one that does not take its permit is over after a while, also for those who only try', async () => {
        const semaphore = make(1);
        opening(Semaphore.attach(semaphore.handle));
        pokeBody(semaphore, SemaphoreHeader.turn, (5 << 13) | 2); // The other handle's, which never waited.
        expect(semaphore.tryAcquire()).toBe(false);
        await until(() => semaphore.tryAcquire());
        semaphore.release();
        pokeBody(semaphore, SemaphoreHeader.turn, (6 << 13) | 2);
        const timed = await semaphore.acquire();
        expect(timed).toBe(true);
      });
    });

    it('lets never more inside than there are permits, in several places at once', async () => {
      const permits = 2;
      const semaphore = make(permits, { max: permits });
      const folder = `${segmentDirectory()}/inside`;
      mkdirSync(folder);
      const visit = async ({ ringway, fs }: Context, handle: SegmentHandle, folder: string, sync: boolean) => {
        const semaphore = ringway.Semaphore.attach(handle);
        let violations = 0;
        for (let round = 0; round < 500; round++) {
          if (sync) semaphore.acquireSync();
          else await semaphore.acquire();
          // The file system is the oracle: there are two places, and a third one finds both taken.
          let place = -1;
          for (const candidate of [0, 1]) {
            try {
              fs.closeSync(fs.openSync(`${folder}/${candidate}`, 'wx'));
              place = candidate;
              break;
            } catch {}
          }
          if (place < 0) violations++;
          else fs.unlinkSync(`${folder}/${place}`);
          semaphore.release();
        }
        semaphore.close();
        return violations;
      };
      const remotes = await Promise.all([0, 1, 2, 3].map(() => start(backend)));
      const results = remotes.map((remote, i) => remote.run(visit, semaphore.handle, folder, i % 2 === 0));
      expect(await Promise.all(results)).toEqual([0, 0, 0, 0]);
      expect(semaphore.value).toBe(permits);
      rmdirSync(folder);
    });

    it('counts right when two take and release as fast as they can', async () => {
      const semaphore = make(1000);
      const [gate, there] = [make(0), make(0)];
      const hurry = (
        { ringway }: Context,
        handle: SegmentHandle,
        gateHandle: SegmentHandle,
        thereHandle: SegmentHandle,
      ) => {
        const semaphore = ringway.Semaphore.attach(handle);
        const gate = ringway.Semaphore.attach(gateHandle);
        const there = ringway.Semaphore.attach(thereHandle);
        let taken = 0;
        there.release();
        gate.acquireSync();
        for (let round = 0; round < 500_000; round++) {
          if (semaphore.tryAcquire()) taken++;
          semaphore.release();
        }
        for (const one of [semaphore, gate, there]) one.close();
        return taken;
      };
      const remotes = await Promise.all([0, 1].map(() => start(backend)));
      const results = remotes.map((remote) => remote.run(hurry, semaphore.handle, gate.handle, there.handle));
      for (let i = 0; i < remotes.length; i++) await there.acquire();
      gate.release(remotes.length);
      expect([await Promise.all(results), semaphore.value]).toEqual([[500_000, 500_000], 1000]);
    });

    it('lets nobody starve beside those who take it again at once', async () => {
      const semaphore = make(1);
      const stop = make(0);
      // Holds the permit nearly always, and takes it again right after each release.
      const hog = ({ ringway, tell }: Context, handle: SegmentHandle, stopHandle: SegmentHandle) => {
        const semaphore = ringway.Semaphore.attach(handle);
        const stop = ringway.Semaphore.attach(stopHandle);
        semaphore.acquireSync();
        tell('mine');
        while (!stop.tryAcquire()) {
          const until = performance.now() + 0.2;
          while (performance.now() < until);
          semaphore.release();
          semaphore.acquireSync();
        }
        semaphore.release();
        semaphore.close();
        stop.close();
      };
      const remote = await start(backend);
      const { result } = await remote.start(hog, semaphore.handle, stop.handle);
      await remote.nextTold();
      for (let round = 0; round < 50; round++) {
        expect(await semaphore.acquire()).toBe(true);
        semaphore.release();
        expect(semaphore.acquireSync()).toBe(true);
        semaphore.release();
      }
      stop.release();
      await result;
      expect(semaphore.value).toBe(1);
    });

    it('loses no permit in ten thousand races of an abort or a timeout against a release', async () => {
      announceSeed('aborts against releases');
      const random = new Random();
      const [semaphore, go, done] = [make(0, { max: 1 }), make(0), make(0)];
      const release = ({ ringway }: Context, handles: SegmentHandle[], rounds: number, seed: number) => {
        const [semaphore, go, done] = handles.map((handle) => ringway.Semaphore.attach(handle)) as [
          Semaphore,
          Semaphore,
          Semaphore,
        ];
        let state = seed;
        for (let round = 0; round < rounds; round++) {
          go.acquireSync();
          state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
          for (let spin = (state >>> 16) % 300; spin > 0; spin--) Atomics.load(new Int32Array(1), 0);
          semaphore.release();
          done.release();
        }
        for (const one of [semaphore, go, done]) one.close();
      };
      const rounds = 10_000;
      const remote = await start(backend);
      const handles = [semaphore, go, done].map(({ handle }) => handle);
      const { result } = await remote.start(release, handles, rounds, random.next());
      const outcomes = { taken: 0, aborted: 0, timedOut: 0 };
      for (let round = 0; round < rounds; round++) {
        const form = random.below(3);
        const controller = new AbortController();
        go.release();
        let taken: boolean;
        if (form === 0) {
          taken = semaphore.acquireSync({ timeoutMs: random.below(60) / 1000 });
        } else {
          const waiting = semaphore.acquire({ signal: controller.signal }).catch(() => null);
          const end = performance.now() + random.below(60) / 1000;
          if (form === 1) while (performance.now() < end);
          else await turns(random.below(3));
          controller.abort();
          const outcome = await waiting;
          taken = outcome === true;
          if (outcome === null) outcomes.aborted++;
        }
        if (taken) outcomes.taken++;
        else if (form === 0) outcomes.timedOut++;
        expect(done.acquireSync({ timeoutMs: 20_000 })).toBe(true);
        if (semaphore.value !== (taken ? 0 : 1)) expect.unreachable(`round ${round}: ${taken}, ${semaphore.value}`);
        if (!taken && !semaphore.tryAcquire()) expect.unreachable(`round ${round}: the permit cannot be taken`);
      }
      await result;
      for (const count of Object.values(outcomes)) expect(count).toBeGreaterThan(0);
    }, 120_000);

    it('is found by handle from elsewhere', async () => {
      const semaphore = make(0);
      const remote = await start(backend);
      await remote.run(({ ringway }, handle) => {
        const there = ringway.Semaphore.attach(handle);
        there.release(3);
        there.close();
      }, semaphore.handle);
      expect(semaphore.value).toBe(3);
      expect(thrownBy(() => Semaphore.attach({ ...semaphore.handle, kind: 'SpscRing' }))).toBeInstanceOf(TypeError);
    });
  });
}

const BODY = 256 + 64 * 64;
function memoryOf({ handle }: Semaphore): ArrayBuffer | SharedArrayBuffer {
  if (handle.backend === 'sab') return handle.memory;
  const file = readFileSync(`${segmentDirectory()}/ringway${handle.name}`);
  return file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength) as ArrayBuffer;
}

describe('a named semaphore', () => {
  it('is made, found, awaited and unlinked', async () => {
    const name = freshName();
    expect(thrownBy(() => Semaphore.attach(name))).toMatchObject({ code: 'ENOENT' });
    const coming = Semaphore.whenCreated(name);
    const made = opening(Semaphore.createOrAttach({ name, value: 2, max: 4 }));
    expect(opening(await coming)).toMatchObject({ value: 2, max: 4, name });
    expect(thrownBy(() => new Semaphore(2, { name }))).toMatchObject({ code: 'EEXIST' });
    made.tryAcquire();
    expect(opening(Semaphore.createOrAttach({ name, value: 2, max: 4 })).value).toBe(1);
    for (const other of [{ value: 1, max: 4 }, { value: 2 }]) {
      const error = thrownBy(() => Semaphore.createOrAttach({ name, ...other }));
      expect(error).toMatchObject({ code: 'ERR_RINGWAY_SHAPE' });
      expect(error.message).toContain('value 2 at first and max 4');
    }
    Semaphore.unlink(name);
    expect(thrownBy(() => Semaphore.unlink(name))).toMatchObject({ code: 'ENOENT' });
    expect(await rejectionOf(Semaphore.whenCreated(name, { timeoutMs: 0 }))).toBeInstanceOf(TimeoutError);
  });
});

afterEach(restoreAtomics);

describe('another one that acts at any step', () => {
  const forms: Record<string, [first: 'take' | 'release', second: 'take' | 'release']> = {
    'takes one permit only, when both take': ['take', 'take'],
    'takes or does not, when the other releases': ['take', 'release'],
    'gives back nothing above max, when both release': ['release', 'release'],
    'finds room or not, when the other takes': ['release', 'take'],
  };
  for (const [name, [first, second]] of Object.entries(forms)) {
    it(name, () => {
      let interruption = { acted: true };
      for (let at = 1; interruption.acted; at++) {
        using semaphore = new Semaphore(1, { backend: 'sab', max: 2 });
        using other = OtherSemaphore.attach(semaphore.handle);
        let expected = 1;
        const run = (of: { tryAcquire(): boolean; release(): void }, what: 'take' | 'release') => {
          if (what === 'take') {
            if (of.tryAcquire()) expected--;
            return;
          }
          try {
            of.release();
            expected++;
          } catch (error) {
            expect(error).toMatchObject({ code: 'ERR_RINGWAY_STATE' });
          }
        };
        interruption = interruptAt(at, () => run(other, second));
        run(semaphore, first);
        restoreAtomics();
        expect(semaphore.value, `step ${at}`).toBe(expected);
        expect(expected).toBeGreaterThanOrEqual(0);
        if (at === 1) expect(interruption.acted).toBe(true);
      }
    });
  }
});

describe('no wake-up is lost', () => {
  // Without the limit of its sleep, which would hide it: a lost wake-up is for ever, and the test does not end.
  it('when a permit comes at any step of a wait', async () => {
    let interruption = { acted: true };
    for (let at = 1; interruption.acted; at++) {
      using semaphore = new Semaphore(0, { backend: 'sab', wait: 'park' });
      using other = OtherSemaphore.attach(semaphore.handle);
      sleepWithoutLimit();
      interruption = interruptAt(at, () => other.release());
      const waiting = semaphore.acquire();
      await turns(3);
      restoreAtomics();
      if (!interruption.acted) other.release();
      expect(await waiting, `step ${at}`).toBe(true);
      expect(semaphore.value).toBe(0);
      if (at === 1) expect(interruption.acted).toBe(true);
    }
  });
});

// A victim is ended by a signal of its own before its `at`th atomic operation from the start of the act.
type Act = 'release' | 'try' | 'wait' | 'wake';
const victim = async (
  { ringway, fs, tell }: Context,
  handle: SegmentHandle & { backend: 'shm' },
  turn: number,
  act: Act,
  at: number,
  signal: string,
) => {
  const semaphore = ringway.Semaphore.attach(handle);
  const other = ringway.Semaphore.attach(handle);
  const pending = act === 'wake' ? semaphore.acquire() : undefined;
  if (pending) {
    const file = `${process.env.RINGWAY_SHM_DIR}/ringway${handle.name}`;
    while (fs.readFileSync(file).readInt32LE(turn) === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    tell('has the turn');
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
  if (act === 'release') semaphore.release();
  if (act === 'try') semaphore.tryAcquire();
  if (act === 'wait') semaphore.acquireSync();
  if (act === 'wake') {
    other.release(2); // For whoever waits elsewhere, and for itself.
    await pending;
  }
  return 'over';
};

describe('at every atomic operation', () => {
  for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
    for (const act of ['release', 'try', 'wait', 'wake'] as const) {
      it(`nobody hangs and no permit appears when a process gets ${signal} in ${act}`, async () => {
        const begin = act === 'try' ? 1 : 0;
        // A wait goes on and on: this reaches beyond its first sleeps, and the claim of the turn.
        const most = act === 'wait' ? 28 : Infinity;
        let over = false;
        for (let at = 1; !over && at <= most; at++) {
          const semaphore = opening(new Semaphore(begin, { wait: 'park' }));
          const remote = await startProcess();
          // Older than the victim's wait, but for one that has claimed its turn first.
          let waiting = act === 'release' || act === 'wait' ? semaphore.acquire() : undefined;
          const handle = semaphore.handle as SegmentHandle & { backend: 'shm' };
          const { result } = await remote.start(victim, handle, BODY + SemaphoreHeader.turn, act, at, signal);
          if (act === 'wake') {
            await remote.nextTold();
            waiting = semaphore.acquire();
          }
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

          // Whatever the victim did, a further permit is enough for whoever waits here.
          semaphore.release();
          expect(await (waiting ?? semaphore.acquire()), `step ${at}`).toBe(true);
          const mayBeLeft = { release: [0, 1], try: [0, 1], wait: [0], wake: [0, 1, 2] }[act];
          expect(mayBeLeft, `step ${at}`).toContain(semaphore.value);
          // And what is left can be taken.
          for (let left = semaphore.value; left > 0; left--) expect(await semaphore.acquire()).toBe(true);
          await remote.kill('SIGKILL');
          semaphore.close();
        }
        expect(over).toBe(act !== 'wait');
      }, 120_000);
    }
  }
});
