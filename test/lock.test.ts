// Lock and RLock: what they take and refuse, who holds them, in which order, and what the next owner is told.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Lock, OwnerDiedError, RLock, type SegmentHandle, TimeoutError } from 'ringway';
import { describe, expect, it } from 'vitest';
import { bodyOffsetFor, LockHeader } from '../src/layout.js';
import { freshName, opening, segmentDirectory, useOwnDirectory } from './helpers/directory.js';
import { type Context, startProcess, startThread } from './helpers/remote.js';
import { BACKENDS, DEFAULT_PARTICIPANTS, imageOf, pokeBody, rejectionOf, thrownBy, until } from './helpers/rings.js';
import { runScript, startScript, untilAsleep } from './helpers/script.js';

useOwnDirectory();

const STATE = { code: 'ERR_RINGWAY_STATE' };
const CLOSED = { code: 'ERR_RINGWAY_CLOSED' };
const WOULD_DEADLOCK = { code: 'ERR_RINGWAY_WOULD_DEADLOCK' };
const OWNER_DIED = { code: 'ERR_RINGWAY_OWNER_DIED' };

const start = (backend: 'shm' | 'sab') => (backend === 'shm' ? startProcess() : startThread());
const wordOf = (lock: { handle: SegmentHandle }, offset: number) => {
  const image = imageOf(lock);
  return new DataView(image.buffer, image.byteOffset).getUint32(bodyOffsetFor(DEFAULT_PARTICIPANTS) + offset, true);
};

for (const backend of BACKENDS) {
  for (const Class of [Lock, RLock]) {
    describe(`${Class.name} over ${backend}`, () => {
      const make = (options = {}) => opening(new Class({ backend, ...options }));
      const attach = (lock: { handle: SegmentHandle }) => opening(Class.attach(lock.handle));

      it('is free at first, and held while a guard is', async () => {
        const lock = make();
        expect(lock).toMatchObject({ locked: false, wait: 'adaptive', backend, name: undefined, closed: false });
        for (const take of [() => lock.lock(), () => lock.lockSync(), () => lock.tryLock()]) {
          const guard = await take();
          expect(guard).toMatchObject({ ownerDied: false, diedPid: undefined, released: false });
          expect(lock.locked).toBe(true);
          guard?.release();
          expect(guard).toMatchObject({ released: true });
          expect(lock.locked).toBe(false);
        }
      });

      it('excludes other handles: they get nothing, wait until their time is over, or for the release', async () => {
        const lock = make();
        const other = attach(lock);
        const guard = await lock.lock();
        expect(other.tryLock()).toBeNull();
        expect(other.tryAcquire()).toBe(false);
        expect(other.acquireSync({ timeoutMs: 0 })).toBe(false);
        expect(await rejectionOf(other.lock({ timeoutMs: 3 }))).toBeInstanceOf(TimeoutError);
        expect(thrownBy(() => other.lockSync({ timeoutMs: 0 }))).toBeInstanceOf(TimeoutError);
        const waiting = other.lock();
        guard.release();
        (await waiting).release();
        expect(lock.locked).toBe(false);
      });

      it('excludes tasks of one handle from one another, and serves them in the order of their calls', async () => {
        const lock = make();
        const order: number[] = [];
        let inside = 0;
        const task = (number: number) =>
          lock.withLock(async () => {
            expect(++inside).toBe(1);
            order.push(number);
            await new Promise(setImmediate);
            inside--;
          });
        await Promise.all([0, 1, 2, 3, 4].map(task));
        expect([order, lock.locked]).toEqual([[0, 1, 2, 3, 4], false]);
      });

      it('releases at the end of a using block and of withLock, also when that throws', async () => {
        const lock = make();
        {
          using guard = lock.lockSync();
          expect([guard.released, lock.locked]).toEqual([false, true]);
        }
        {
          using guard = lock.lockSync();
          guard.release(); // Then the end of the block has nothing left to do.
        }
        expect(lock.locked).toBe(false);
        const mine = new Error('mine');
        const fail = () => {
          throw mine;
        };
        expect(thrownBy(() => lock.withLockSync(fail))).toBe(mine);
        expect(await rejectionOf(lock.withLock(fail))).toBe(mine);
        expect([lock.withLockSync(() => 1), await lock.withLock(async () => 2), lock.locked]).toEqual([1, 2, false]);
      });

      it('refuses what is misuse, and changes nothing then', async () => {
        const lock = make();
        const other = attach(lock);
        expect(thrownBy(() => lock.release())).toMatchObject(STATE);
        const guard = lock.lockSync();
        expect(thrownBy(() => lock.release())).toMatchObject(STATE); // The guard's to release,
        expect(thrownBy(() => other.release())).toMatchObject(STATE); // and not another handle's.
        expect(lock.locked).toBe(true);
        guard.release();
        const next = other.lockSync();
        expect(thrownBy(() => guard.release())).toMatchObject(STATE); // Twice, and somebody else has it by now.
        guard[Symbol.dispose]();
        expect(lock.tryLock()).toBeNull();
        next.release();
        expect(lock.acquireSync()).toBe(true);
        lock.release();
        expect(thrownBy(() => lock.release())).toMatchObject(STATE);
        expect(lock.locked).toBe(false);
      });

      it('refuses options that make no sense, before anything is taken', async () => {
        expect(thrownBy(() => new Class(null as never))).toBeInstanceOf(TypeError);
        expect(thrownBy(() => new Class({ backend, wait: 'never' as never }))).toBeInstanceOf(RangeError);
        const lock = make();
        const never = { onOwnerDied: 'never' as never };
        expect(await rejectionOf(lock.lock(never))).toBeInstanceOf(RangeError);
        expect(thrownBy(() => lock.lockSync(never))).toBeInstanceOf(RangeError);
        expect(thrownBy(() => lock.tryLock(never))).toBeInstanceOf(RangeError);
        expect(await rejectionOf(lock.lock({ timeoutMs: Number.NaN }))).toBeInstanceOf(RangeError);
        expect(thrownBy(() => lock.acquireSync({ timeoutMs: Number.NaN }))).toBeInstanceOf(RangeError);
        expect(lock.locked).toBe(false);
      });

      it('rejects with the reason of an abort, before or meanwhile, and takes nothing', async () => {
        const lock = make();
        const reason = new TimeoutError('mine');
        expect(await rejectionOf(lock.lock({ signal: AbortSignal.abort(reason) }))).toBe(reason);
        const guard = lock.lockSync();
        const controller = new AbortController();
        const waiting = rejectionOf(lock.lock({ signal: controller.signal }));
        controller.abort(reason);
        expect(await waiting).toBe(reason);
        guard.release();
        expect(lock.locked).toBe(false);
      });

      it('throws instead of blocking a thread for ever that has the lock, through whichever handle', async () => {
        const lock = make();
        const other = attach(lock);
        const guard = await lock.lock();
        for (const handle of [lock, other]) {
          expect(thrownBy(() => handle.lockSync())).toMatchObject(WOULD_DEADLOCK);
          expect(thrownBy(() => handle.acquireSync({ timeoutMs: 60_000 }))).toMatchObject(WOULD_DEADLOCK);
        }
        guard.release();
        expect(lock.locked).toBe(false);
        other.lockSync().release();
      });

      it('lets a Sync call in before tasks of its own thread that wait, which could not go on', async () => {
        const lock = make();
        const first = lock.lockSync();
        const waiting = lock.lock();
        first.release();
        lock.withLockSync(() => {});
        (await waiting).release();
      });

      it('of a handle that is closed comes free, and the next owner is told', async () => {
        const lock = make();
        const other = attach(lock);
        const guard = other.lockSync();
        const waiting = lock.lock();
        const inLine = rejectionOf(other.lock());
        other.close();
        other.close();
        expect(await inLine).toMatchObject(CLOSED);
        const next = await waiting;
        expect(next).toMatchObject({ ownerDied: true, diedPid: process.pid });
        expect(guard.released).toBe(true);
        expect(thrownBy(() => guard.release())).toMatchObject(CLOSED);
        guard[Symbol.dispose]();
        expect(lock.locked).toBe(true);
        for (const use of [
          () => other.locked,
          () => other.tryLock(),
          () => other.lockSync(),
          () => other.acquireSync(),
          () => other.release(),
        ]) {
          expect(thrownBy(use)).toMatchObject(CLOSED);
        }
        expect(await rejectionOf(other.lock())).toMatchObject(CLOSED);
        next.release();
        expect(lock.lockSync()).toMatchObject({ ownerDied: false }); // Told once.
      });

      it('that was abandoned is left as it is by the acquire forms and by `throw`, until somebody takes it', async () => {
        const lock = make();
        const other = attach(lock);
        other.lockSync();
        other.close();
        expect(lock.locked).toBe(false);
        const how = { onOwnerDied: 'throw' } as const;
        for (let round = 0; round < 2; round++) {
          for (const error of [
            thrownBy(() => lock.tryAcquire()),
            thrownBy(() => lock.acquireSync()),
            thrownBy(() => lock.tryLock(how)),
            thrownBy(() => lock.lockSync(how)),
            await rejectionOf(lock.lock(how)),
          ]) {
            expect(error).toMatchObject({ ...OWNER_DIED, pid: process.pid });
            expect(error).toBeInstanceOf(OwnerDiedError);
          }
          expect(lock.locked).toBe(false);
        }
        const guard = lock.tryLock();
        expect(guard).toMatchObject({ ownerDied: true, diedPid: process.pid });
        guard?.release();
        expect(lock.acquireSync()).toBe(true);
        lock.release();
      });

      it('tells of an owner that cannot be', async () => {
        for (const owner of [DEFAULT_PARTICIPANTS + 1, 0x10001, 0xffffffff]) {
          const lock = make();
          pokeBody(lock, LockHeader.owner, owner);
          const corrupt = { code: 'ERR_RINGWAY_CORRUPT_SEGMENT' };
          expect(thrownBy(() => lock.locked)).toMatchObject(corrupt);
          expect(thrownBy(() => lock.tryLock())).toMatchObject(corrupt);
          expect(thrownBy(() => lock.lockSync())).toMatchObject(corrupt);
          expect(await rejectionOf(lock.lock())).toMatchObject(corrupt);
          pokeBody(lock, LockHeader.owner, 0);
          const guard = lock.lockSync();
          pokeBody(lock, LockHeader.owner, owner);
          expect(thrownBy(() => guard.release())).toMatchObject(corrupt);
          pokeBody(lock, LockHeader.wait, 7);
          expect(thrownBy(() => Class.attach(lock.handle))).toMatchObject(corrupt);
        }
      });

      it('respects the turn of one that has waited, also of one that gave up', async () => {
        const lock = make({ wait: 'park' });
        for (const end of ['lock', 'abort', 'close'] as const) {
          const waiter = opening(Class.attach(lock.handle));
          const guard = lock.lockSync();
          const controller = new AbortController();
          const waiting = waiter.lock({ signal: controller.signal });
          waiting.catch(() => {});
          await until(() => wordOf(lock, LockHeader.turn) !== 0);
          if (end === 'abort') controller.abort();
          if (end === 'close') waiter.close();
          if (end !== 'lock') await rejectionOf(waiting);
          guard.release();
          if (end === 'lock') {
            expect(lock.tryLock()).toBeNull();
            (await waiting).release();
          }
          lock.tryLock()?.release();
          expect([lock.locked, wordOf(lock, LockHeader.turn)]).toEqual([false, 0]);
        }
      });

      it('is found by handle from elsewhere, and excludes there too', async () => {
        const lock = make();
        const remote = await start(backend);
        const guard = lock.lockSync();
        const { result } = await remote.start(async ({ ringway, tell }: Context, handle: SegmentHandle) => {
          const lock = ringway.Lock.attach(handle);
          tell(lock.tryLock() === null);
          const guard = await lock.lock();
          const told = guard.ownerDied;
          guard.release();
          const sync = lock.lockSync();
          sync.release();
          lock.close();
          return [told, sync.ownerDied];
        }, lock.handle);
        expect(await remote.nextTold()).toBe(true);
        guard.release();
        expect(await result).toEqual([false, false]);
      });

      it('lets nobody starve beside one that takes it again at once', async () => {
        const lock = make();
        const stop = make();
        const going = stop.lockSync();
        const hog = ({ ringway, tell }: Context, handle: SegmentHandle, stopHandle: SegmentHandle) => {
          const lock = ringway.Lock.attach(handle);
          const stop = ringway.Lock.attach(stopHandle);
          let guard = lock.lockSync();
          tell('mine');
          while (stop.tryLock() === null) {
            const until = performance.now() + 0.2;
            while (performance.now() < until);
            guard.release();
            guard = lock.lockSync();
          }
          guard.release();
          for (const one of [lock, stop]) one.close();
        };
        const remote = await start(backend);
        const { result } = await remote.start(hog, lock.handle, stop.handle);
        await remote.nextTold();
        for (let round = 0; round < 30; round++) {
          (await lock.lock()).release();
          lock.lockSync().release();
        }
        going.release();
        await result;
        expect(lock.locked).toBe(false);
      });
    });
  }

  describe(`four owners over ${backend}`, () => {
    it('count to 100,000 together with reads and writes that nothing else orders', async () => {
      const [owners, rounds] = [4, 25_000];
      const lock = opening(new Lock({ backend }));
      const path = `${segmentDirectory()}/counter`;
      writeFileSync(path, Buffer.alloc(4));
      const count = async (
        { ringway, fs }: Context,
        handle: SegmentHandle,
        path: string,
        rounds: number,
        sync: boolean,
      ) => {
        const lock = ringway.Lock.attach(handle);
        const file = fs.openSync(path, 'r+');
        const bytes = Buffer.alloc(4);
        for (let round = 0; round < rounds; round++) {
          const guard = sync ? lock.lockSync() : await lock.lock();
          fs.readSync(file, bytes, 0, 4, 0);
          bytes.writeUInt32LE(bytes.readUInt32LE() + 1);
          fs.writeSync(file, bytes, 0, 4, 0);
          guard.release();
        }
        fs.closeSync(file);
        lock.close();
      };
      const remotes = await Promise.all(Array.from({ length: owners }, () => start(backend)));
      const results = remotes.map((remote, i) => remote.run(count, lock.handle, path, rounds, i % 2 === 0));
      await Promise.all(results);
      expect(readFileSync(path).readUInt32LE()).toBe(owners * rounds);
      rmSync(path);
    }, 120_000);
  });

  describe(`an RLock over ${backend}`, () => {
    const make = () => opening(new RLock({ backend }));

    it('is taken again through its guard, and released with the last one', async () => {
      const lock = make();
      const other = opening(Lock.attach(lock.handle));
      const first = await lock.lock();
      const second = first.relock();
      const third = second.relock();
      first.release();
      expect(thrownBy(() => first.relock())).toMatchObject(STATE);
      third.release();
      expect(other.tryLock()).toBeNull();
      second.release();
      expect(thrownBy(() => second.release())).toMatchObject(STATE);
      other.lockSync().release();
    });

    it('is not taken again by another task, nor by a Sync call while a task has it', async () => {
      const lock = make();
      const guard = await lock.lock();
      expect(lock.tryLock()).toBeNull();
      expect(lock.tryAcquire()).toBe(false);
      expect(await rejectionOf(lock.lock({ timeoutMs: 3 }))).toBeInstanceOf(TimeoutError);
      expect(thrownBy(() => lock.lockSync())).toMatchObject(WOULD_DEADLOCK);
      expect(thrownBy(() => lock.acquireSync())).toMatchObject(WOULD_DEADLOCK);
      guard.release();
      expect(lock.locked).toBe(false);
    });

    it('is taken again by the thread in its Sync forms, and excludes tasks meanwhile', async () => {
      const lock = make();
      const other = opening(RLock.attach(lock.handle));
      const guard = lock.lockSync();
      expect([lock.acquireSync(), lock.tryAcquire()]).toEqual([true, true]);
      const inner = lock.withLockSync((inner) => inner.relock());
      expect(lock.tryLock()).toBeNull();
      const waiting = lock.lock();
      guard.release();
      inner.release();
      lock.release();
      expect(other.tryLock()).toBeNull();
      lock.release();
      expect(thrownBy(() => lock.release())).toMatchObject(STATE);
      (await waiting).release();
      expect(lock.locked).toBe(false);
    });

    it('tells every guard of a hold that the last owner died', () => {
      const lock = make();
      const other = opening(RLock.attach(lock.handle));
      other.lockSync();
      other.lockSync();
      other.close();
      using guard = lock.lockSync();
      using again = lock.lockSync();
      expect([guard.ownerDied, again.diedPid]).toEqual([true, process.pid]);
    });
  });
}

describe('a named lock', () => {
  for (const Class of [Lock, RLock]) {
    it(`is made, found, awaited and unlinked: ${Class.name}`, async () => {
      const name = freshName();
      expect(thrownBy(() => Class.attach(name))).toMatchObject({ code: 'ENOENT' });
      const coming = Class.whenCreated(name);
      const made = opening(Class.createOrAttach({ name, wait: 'park' }));
      const found = opening(await coming);
      expect(found).toMatchObject({ wait: 'park', name, locked: false });
      expect(thrownBy(() => new Class({ name }))).toMatchObject({ code: 'EEXIST' });
      using guard = made.lockSync();
      expect([guard.released, found.tryLock()]).toEqual([false, null]);
      expect(opening(Class.createOrAttach({ name })).locked).toBe(true);
      expect(opening(Class.attach(JSON.parse(JSON.stringify(made)))).locked).toBe(true);
      Class.unlink(name);
      expect(thrownBy(() => Class.unlink(name))).toMatchObject({ code: 'ENOENT' });
      expect(await rejectionOf(Class.whenCreated(name, { timeoutMs: 0 }))).toBeInstanceOf(TimeoutError);
      expect(thrownBy(() => Class.createOrAttach({} as never))).toBeInstanceOf(TypeError);
    });
  }

  it('does not keep a process alive that waits unreferenced, and is abandoned when its owner ends', async () => {
    const lock = opening(new Lock({ name: freshName() }));
    const guard = lock.lockSync();
    const waits = `const lock = ringway.Lock.attach(input); lock.unref(); void lock.lock(); print('waits');`;
    expect(await runScript(waits, { input: lock.name })).toMatchObject({ code: 0, lines: ['waits'] });
    guard.release();
    const ends = `ringway.Lock.attach(input).lockSync(); print(process.pid);`;
    const { lines } = await runScript(ends, { input: lock.name });
    using next = lock.lockSync();
    expect(next.diedPid).toBe(Number(lines[0]));
    Lock.unlink(lock.name as string);
  });

  it('blocked in a Sync wait is ended by a signal that somebody listens to', async () => {
    const lock = opening(new Lock());
    using guard = lock.lockSync();
    const script = startScript(
      `process.on('SIGTERM', () => {}); const lock = ringway.Lock.attach(input); print('waits');
       try { lock.lockSync(); } catch (error) { print(error.code); } lock.close();`,
      { input: lock.handle },
    );
    expect(await script.line()).toBe('waits');
    await untilAsleep(script.pid);
    script.kill('SIGTERM');
    expect((await script.end).lines).toEqual(['waits', 'EINTR']);
    expect(guard.released).toBe(false);
  });
});
