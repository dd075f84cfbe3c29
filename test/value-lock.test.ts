// The locks of values and arrays: their own, shared ones, none; and what the next one is told of an owner that was killed.
import { Condition, Lock, RLock, record, type SegmentHandle, SharedArray, SharedMemory, Value } from 'ringway';
import { describe, expect, it } from 'vitest';
import { SharedArrayHeader, ValueHeader } from '../src/layout.js';
import { freshName, opening, useOwnDirectory } from './helpers/directory.js';
import { type Context, startProcess, startThread } from './helpers/remote.js';
import { BACKENDS, pokeBody, rejectionOf, thrownBy } from './helpers/rings.js';

useOwnDirectory();

const STATE = { code: 'ERR_RINGWAY_STATE' };
const SHAPE = { code: 'ERR_RINGWAY_SHAPE' };
const CLOSED = { code: 'ERR_RINGWAY_CLOSED' };
const CORRUPT = { code: 'ERR_RINGWAY_CORRUPT_SEGMENT' };
const start = (backend: 'shm' | 'sab') => (backend === 'shm' ? startProcess() : startThread());
const Pair = record({ count: 'int32', mean: 'float64', total: 'int64', name: 'utf8[20]' });

type Options = { lock?: boolean | Lock | RLock; backend?: 'shm' | 'sab'; name?: string };

const KINDS = {
  'a Value of a number': (options: Options) => new Value('int32', 1, options),
  'a Value of a record': (options: Options) =>
    new Value(Pair, { count: 1, mean: 0.5, total: 3n, name: 'hello' }, options),
  'a SharedArray': (options: Options) => new SharedArray('float32', [1, 2, 3], options),
  'a SharedArray of nothing': (options: Options) => new SharedArray('uint8', 0, options),
};
const attach = (made: Value | SharedArray, options = {}): Value | SharedArray =>
  opening(made instanceof Value ? Value.attach(made.handle, options) : SharedArray.attach(made.handle, options));

for (const backend of BACKENDS) {
  for (const [what, build] of Object.entries(KINDS)) {
    describe(`${what} over ${backend}`, () => {
      const make = (options: Options = {}) => opening(build({ backend, ...options }) as unknown as Value | SharedArray);

      it('has a lock of its own, which all that have it share', async () => {
        for (const options of [{}, { lock: true }]) {
          const made = make(options);
          const other = attach(made);
          expect(made.withLockSync((guard) => [guard.ownerDied, guard.released])).toEqual([false, false]);
          const order: number[] = [];
          const first = made.withLock(async () => {
            expect(await rejectionOf(other.withLock(() => {}, { timeoutMs: 1 }))).toMatchObject({
              name: 'TimeoutError',
            });
            await new Promise(setImmediate);
            order.push(1);
            return 'one';
          });
          const second = other.withLock(() => order.push(2));
          expect(await first).toBe('one');
          await second;
          expect(order).toEqual([1, 2]);
          const mine = new Error('mine');
          const fail = () => {
            throw mine;
          };
          expect(thrownBy(() => made.withLockSync(fail))).toBe(mine);
          expect(await rejectionOf(other.withLock(fail))).toBe(mine);
          // As in Python, a Sync call inside another one of the same handle has it once more.
          expect(made.withLockSync(() => made.withLockSync(() => 5))).toBe(5);
        }
      });

      it('has none with `lock: false`, and says so', async () => {
        const made = make({ lock: false });
        for (const each of [made, attach(made)]) {
          const error = thrownBy(() => each.withLockSync(() => {}));
          expect(error).toMatchObject(STATE);
          expect(error.message).toContain('lock: false');
          expect(await rejectionOf(each.withLock(() => {}))).toMatchObject(STATE);
        }
      });

      it('takes a lock that it is given, which it shares with others', async () => {
        for (const Class of [Lock, RLock]) {
          const lock = opening(new Class({ backend }));
          const [first, second] = [make({ lock }), make({ lock })];
          const there = attach(second);
          const given = attach(first, { lock });
          lock.withLockSync(() => {
            expect(thrownBy(() => there.withLockSync(() => {}, { timeoutMs: 0 }))).toMatchObject({
              name: 'TimeoutError',
            });
          });
          await first.withLock(async () => {
            expect(lock.locked).toBe(true);
            expect(await rejectionOf(second.withLock(() => {}, { timeoutMs: 0 }))).toMatchObject({
              name: 'TimeoutError',
            });
          });
          expect([given.withLockSync(() => 1), lock.locked]).toEqual([1, false]);
          for (const each of [first, second, there, given]) each.close();
          expect([lock.closed, lock.withLockSync(() => 2)]).toEqual([false, 2]);
          lock.close();
          expect(thrownBy(() => make({ lock }))).toMatchObject(CLOSED);
        }
      });

      it('refuses what is no lock, or another one', () => {
        for (const lock of [1, null, {}, 'lock', opening(new Condition({ backend }))]) {
          expect(thrownBy(() => make({ lock: lock as never }))).toBeInstanceOf(TypeError);
        }
        const stranger = opening(new Lock({ backend }));
        expect(thrownBy(() => attach(make(), { lock: stranger }))).toMatchObject(SHAPE);
        expect(thrownBy(() => attach(make({ lock: false }), { lock: stranger }))).toMatchObject(SHAPE);
        expect(
          thrownBy(() => attach(make({ lock: opening(new RLock({ backend })) }), { lock: stranger })),
        ).toMatchObject(SHAPE);
        expect(thrownBy(() => attach(make(), { lock: 1 }))).toBeInstanceOf(TypeError);
        const otherBackend = backend === 'shm' ? 'sab' : 'shm';
        expect(thrownBy(() => make({ lock: stranger, backend: otherBackend }))).toBeInstanceOf(TypeError);
      });

      it('gives its lock up when it is closed, and the next owner is told', async () => {
        const made = make();
        const other = attach(made);
        let inside = () => {};
        const entered = new Promise<void>((resolve) => {
          inside = resolve;
        });
        void other.withLock(() => {
          inside();
          return new Promise(() => {});
        });
        await entered;
        const waiting = made.withLock((guard) => [guard.ownerDied, guard.diedPid]);
        other.close();
        expect(await waiting).toEqual([true, process.pid]);
        expect(made.withLockSync((guard) => guard.ownerDied)).toBe(false);
        expect(thrownBy(() => other.withLockSync(() => {}))).toMatchObject(CLOSED);
        expect(await rejectionOf(other.withLock(() => {}))).toMatchObject(CLOSED);
      });

      it('is not opened if its lock is outside of it', () => {
        const made = make();
        const field = made instanceof Value ? ValueHeader.lock : SharedArrayHeader.lock;
        for (const at of [4, 2 ** 20, 0xffffff80]) {
          pokeBody(made, field, at);
          expect(thrownBy(() => attach(made))).toMatchObject(CORRUPT);
        }
      });
    });
  }

  describe(`the lock of shared data over ${backend}`, () => {
    it('makes one change of many steps, by processes or threads', async () => {
      const shared = opening(new SharedArray('int32', 3, { backend }));
      const work = async ({ ringway }: Context, handle: SegmentHandle, sync: boolean) => {
        const shared = ringway.SharedArray.attach(handle);
        const view = shared.view as Int32Array;
        for (let i = 0; i < 500; i++) {
          const step = () => {
            if (view[0] !== view[1] || view[1] !== view[2]) throw new Error(`half changed: ${view}`);
            for (let at = 0; at < 3; at++) view[at] = view[at] + 1;
          };
          if (sync) shared.withLockSync(step);
          else await shared.withLock(step);
        }
        shared.close();
      };
      const remotes = await Promise.all([0, 1, 2].map(() => start(backend)));
      await Promise.all(remotes.map((remote, i) => remote.run(work, shared.handle, i % 2 === 0)));
      expect([...shared]).toEqual([1500, 1500, 1500]);
    });

    it('guards a record, an array and a text together: doubled by another process, and what was copied is not', async () => {
      for (const shares of [true, false]) {
        const lock = opening(new RLock({ backend }));
        const options = shares ? { backend, lock } : { backend, lock: false };
        const pair = opening(new Value(Pair, { count: 7, mean: 1 / 3, total: 2n ** 33n, name: 'hello' }, options));
        const numbers = opening(new SharedArray('float64', [1, 2, 3, 4], options));
        const text = opening(new SharedArray('uint8', 20, options));
        text.set(new TextEncoder().encode('hello'));
        const copy = pair.value;
        const remote = await start(backend);
        await remote.run(
          ({ ringway }: Context, handles: SegmentHandle[], shares: boolean) => {
            const [pair, numbers, text] = [
              ringway.Value.attach(handles[0] as SegmentHandle) as never as Value<typeof Pair>,
              ringway.SharedArray.attach(handles[1] as SegmentHandle) as never as SharedArray<'float64'>,
              ringway.SharedArray.attach(handles[2] as SegmentHandle) as never as SharedArray<'uint8'>,
            ];
            const double = () => {
              pair.update((p) => ({
                ...p,
                count: 2 * p.count,
                mean: 2 * p.mean,
                total: 2n * p.total,
                name: p.name + p.name,
              }));
              for (let i = 0; i < numbers.length; i++) numbers.view[i] = 2 * (numbers.view[i] as number);
              const end = text.view.indexOf(0);
              text.view.copyWithin(end, 0, end);
            };
            if (shares) pair.withLockSync(double);
            else double();
            for (const each of [pair, numbers, text]) each.close();
          },
          [pair.handle, numbers.handle, text.handle],
          shares,
        );
        expect(pair.value).toEqual({ count: 14, mean: 2 / 3, total: 2n ** 34n, name: 'hellohello' });
        expect([...numbers]).toEqual([2, 4, 6, 8]);
        expect(new TextDecoder().decode(text.view.slice(0, 10))).toBe('hellohello');
        expect(copy).toEqual({ count: 7, mean: 1 / 3, total: 2n ** 33n, name: 'hello' });
        expect(lock.locked).toBe(false);
      }
    });
  });
}

describe('between processes', () => {
  it('the next one is told of an owner that was killed, and the last owner of one that shares a lock, too', async () => {
    const lock = opening(new Lock());
    const options = [{}, { lock }];
    for (const option of options) {
      for (const made of [opening(new Value('int32', 0, option)), opening(new SharedArray('int32', 2, option))]) {
        const remote = await startProcess();
        const { pid } = remote;
        await remote.start(
          ({ ringway, tell }: Context, handle: SegmentHandle, isValue: boolean) => {
            const shared = isValue ? ringway.Value.attach(handle) : ringway.SharedArray.attach(handle);
            shared.withLockSync(() => {
              tell('has it');
              for (;;);
            });
          },
          made.handle,
          made instanceof Value,
        );
        expect(await remote.nextTold()).toBe('has it');
        expect(await rejectionOf(made.withLock(() => {}, { timeoutMs: 5 }))).toMatchObject({ name: 'TimeoutError' });
        await remote.kill();
        const error = await rejectionOf(made.withLock(() => {}, { onOwnerDied: 'throw' }));
        expect(error).toMatchObject({ code: 'ERR_RINGWAY_OWNER_DIED', pid });
        expect(made.withLockSync((guard) => [guard.ownerDied, guard.diedPid])).toEqual([true, pid]);
        expect(made.withLockSync((guard) => guard.ownerDied)).toBe(false);
      }
    }
  });

  it('names lead to what shares a lock, and to the lock', () => {
    const [name, lockName] = [freshName(), freshName()];
    using lock = new Lock({ name: lockName });
    using unnamed = new Lock();
    expect(thrownBy(() => new Value('int8', 0, { name, lock: unnamed }))).toBeInstanceOf(TypeError);
    using value = Value.createOrAttach({ name, type: 'int8', lock });
    using again = Value.createOrAttach({ name, type: 'int8', lock });
    using plain = Value.createOrAttach({ name, type: 'int8' });
    expect(thrownBy(() => Value.createOrAttach({ name, type: 'int8', lock: unnamed }))).toMatchObject(SHAPE);
    expect(thrownBy(() => Value.createOrAttach({ name, type: 'int8', lock: true }))).toMatchObject(SHAPE);
    expect(thrownBy(() => Value.createOrAttach({ name, type: 'int8', lock: false }))).toMatchObject(SHAPE);
    lock.withLockSync(() => {
      for (const each of [value, again]) {
        expect(thrownBy(() => each.withLockSync(() => {}, { timeoutMs: 0 }))).toMatchObject({ name: 'TimeoutError' });
      }
      expect(thrownBy(() => plain.withLockSync(() => {}))).toMatchObject({ code: 'ERR_RINGWAY_WOULD_DEADLOCK' });
    });
    expect(plain.withLockSync(() => lock.locked)).toBe(true);
    Lock.unlink(lockName);
    expect(thrownBy(() => Value.attach(name))).toMatchObject({ code: 'ENOENT' });
    Value.unlink(name);
  });

  it('a block of memory has none', () => {
    using memory = SharedMemory.create({ byteLength: 8 });
    expect('withLock' in memory).toBe(false);
  });
});
