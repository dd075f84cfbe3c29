// The barrier: who passes with whom, what breaks it, and what is left when a process dies or stops at any atomic operation.
import { Barrier, BrokenBarrierError, type SegmentHandle, TimeoutError } from 'ringway';
import { afterEach, describe, expect, it } from 'vitest';
import { BarrierHeader } from '../src/layout.js';
import { Barrier as OtherBarrier } from '../src/sync/barrier.js';
import { freshName, opening, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random } from './helpers/random.js';
import { type Context, startProcess, startThread } from './helpers/remote.js';
import { BACKENDS, pokeBody, rejectionOf, thrownBy, until } from './helpers/rings.js';
import { interruptAt, restoreAtomics, sleepWithoutLimit, stopped } from './helpers/steps.js';

useOwnDirectory();

const BROKEN = { name: 'BrokenBarrierError', code: 'ERR_RINGWAY_BROKEN_BARRIER' };
const turns = async (count: number) => {
  for (let turn = 0; turn < count; turn++) await new Promise(setImmediate);
};
const start = (backend: 'shm' | 'sab') => (backend === 'shm' ? startProcess() : startThread());

for (const backend of BACKENDS) {
  describe(`a barrier over ${backend}`, () => {
    const make = (parties: number, options = {}) => opening(new Barrier(parties, { backend, ...options }));

    it('is for as many parties as it was made for', () => {
      const shape = { waiting: 0, broken: false, waitMode: 'adaptive', backend, name: undefined, closed: false };
      expect(make(1)).toMatchObject({ parties: 1, ...shape });
      expect(make(4096, { wait: 'park' })).toMatchObject({ parties: 4096, ...shape, waitMode: 'park' });
    });

    it('refuses what cannot be, says it, and stays as it is', async () => {
      for (const parties of [Number.NaN, -1, 0, 1.5, 4097, Infinity]) {
        const error = thrownBy(() => new Barrier(parties, { backend }));
        expect(error).toBeInstanceOf(RangeError);
        expect(error.message).toContain(String(parties));
      }
      for (const parties of ['1', undefined, null]) {
        expect(thrownBy(() => new Barrier(parties as never, { backend }))).toBeInstanceOf(TypeError);
      }
      expect(thrownBy(() => new Barrier(2, { backend, action: 1 as never }))).toBeInstanceOf(TypeError);
      expect(thrownBy(() => new Barrier(2, { backend, timeoutMs: Number.NaN }))).toBeInstanceOf(RangeError);
      expect(thrownBy(() => new Barrier(2, { backend, timeoutMs: '1' as never }))).toBeInstanceOf(TypeError);
      expect(thrownBy(() => new Barrier(2, { backend, wait: 'never' as never }))).toBeInstanceOf(RangeError);
      expect(thrownBy(() => new Barrier(2, null as never))).toBeInstanceOf(TypeError);
      const barrier = make(2);
      expect(thrownBy(() => Barrier.attach(barrier.handle, { action: '' as never }))).toBeInstanceOf(TypeError);
      expect(await rejectionOf(barrier.wait({ timeoutMs: Number.NaN }))).toBeInstanceOf(RangeError);
      expect(await rejectionOf(barrier.wait({ signal: {} as never }))).toBeInstanceOf(TypeError);
      expect(thrownBy(() => barrier.waitSync({ timeoutMs: '1' as never }))).toBeInstanceOf(TypeError);
      expect(
        await rejectionOf(barrier.wait({ signal: AbortSignal.abort('mine') }).catch((e) => Promise.reject({ e }))),
      ).toEqual({
        e: 'mine',
      });
      expect(barrier).toMatchObject({ waiting: 0, broken: false });
    });

    it('of one party never blocks', async () => {
      const barrier = make(1);
      expect([barrier.waitSync(), await barrier.wait(), barrier.waitSync({ timeoutMs: 0 })]).toEqual([0, 0, 0]);
      void barrier.wait();
      expect(barrier.waitSync()).toBe(0);
    });

    it('gives each party of a generation another index, again and again', async () => {
      const barrier = make(5);
      const other = opening(Barrier.attach(barrier.handle));
      for (let round = 0; round < 10; round++) {
        const waits = [barrier.wait(), other.wait(), barrier.wait(), other.wait()];
        expect([barrier.waiting, other.waiting]).toEqual([4, 4]);
        if (round > 5) await new Promise((resolve) => setTimeout(resolve, 2)); // They may watch, or sleep.
        expect(round % 2 === 0 ? other.waitSync() : await other.wait()).toBe(4);
        expect(await Promise.all(waits)).toEqual([0, 1, 2, 3]);
        expect(barrier).toMatchObject({ waiting: 0, broken: false });
      }
    });

    it('takes more callers than parties, in one handle, one generation after the other', async () => {
      const barrier = make(3);
      const indices = await Promise.all(Array.from({ length: 12 }, () => barrier.wait()));
      expect(indices).toEqual([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]);
    });

    it("runs the last party's own action once, before anybody is released", async () => {
      const log: string[] = [];
      const barrier = make(2, { action: () => log.push(`first's, ${barrier.waiting} there`) });
      const other = opening(Barrier.attach(barrier.handle, { action: () => log.push("second's") }));
      const waiting = barrier.wait().then(() => log.push('released'));
      await turns(2);
      expect(other.waitSync()).toBe(1);
      await waiting;
      const again = other.wait();
      expect(await barrier.wait()).toBe(1);
      await again;
      expect(log).toEqual(["second's", 'released', "first's, 2 there"]);
    });

    it('awaits an action; who comes meanwhile waits for the next generation', async () => {
      let finish = () => {};
      const acting = new Promise<void>((resolve) => {
        finish = resolve;
      });
      const barrier = make(2, { action: () => acting });
      const log: string[] = [];
      const wait = (who: string) => barrier.wait().then((index) => log.push(`${who}${index}`));
      const waits = ['a', 'b', 'c', 'd'].map(wait);
      await turns(5);
      expect([log, barrier.waiting]).toEqual([[], 2]);
      expect(thrownBy(() => barrier.waitSync())).toMatchObject({ code: 'ERR_RINGWAY_WOULD_DEADLOCK' });
      expect(await rejectionOf(barrier.wait({ timeoutMs: 1 }))).toBeInstanceOf(TimeoutError);
      expect(barrier.broken).toBe(false); // It had not arrived.
      finish();
      await Promise.all(waits);
      expect(log.sort()).toEqual(['a0', 'b1', 'c0', 'd1']); // Whose promise is settled first is the loop's business.
    });

    it('is broken by an action that fails, whose error is its own', async () => {
      const reason = new TimeoutError('mine');
      const ways: [action: () => unknown, call: (barrier: Barrier) => Promise<unknown>][] = [
        [
          () => {
            throw reason;
          },
          (barrier) => barrier.wait(),
        ],
        [
          () => {
            throw reason;
          },
          async (barrier) => barrier.waitSync(),
        ],
        [() => Promise.reject(reason), (barrier) => barrier.wait()],
      ];
      for (const [action, call] of ways) {
        const barrier = make(2);
        const waiting = rejectionOf(barrier.wait());
        const last = opening(Barrier.attach(barrier.handle, { action }));
        expect(await rejectionOf(call(last))).toBe(reason);
        expect(await waiting).toMatchObject(BROKEN);
        expect((await waiting).message).toContain('action');
        expect(barrier.broken).toBe(true);
      }
      const barrier = make(1, { action: async () => {} });
      expect(thrownBy(() => barrier.waitSync())).toBeInstanceOf(TypeError);
      expect(barrier.broken).toBe(true);
    });

    it('whose action breaks or closes it lets nobody pass', async () => {
      for (const end of ['abort', 'reset', 'close'] as const) {
        for (const sync of [true, false]) {
          const barrier = make(2);
          const waiting = rejectionOf(barrier.wait());
          const action = (): unknown => {
            if (!sync) return Promise.resolve().then(() => last[end]());
            return last[end]();
          };
          const last: Barrier = opening(Barrier.attach(barrier.handle, { action }));
          expect((await rejectionOf(last.wait())).name).toBe(end === 'close' ? 'ClosedError' : 'BrokenBarrierError');
          expect(await waiting).toMatchObject(BROKEN);
          expect(barrier.broken).toBe(end !== 'reset');
        }
      }
    });

    it('is broken for all by a timeout or an abort of one, until it is reset', async () => {
      const reason = new Error('mine');
      for (const way of ['timeout', 'sync timeout', 'one attempt', 'abort', 'default'] as const) {
        const barrier = make(4, way === 'default' ? { timeoutMs: 5 } : {});
        const other = opening(Barrier.attach(barrier.handle));
        const waits = [rejectionOf(other.wait()), rejectionOf(barrier.wait({ timeoutMs: Infinity }))];
        let own: unknown;
        if (way === 'sync timeout') own = thrownBy(() => barrier.waitSync({ timeoutMs: 5 }));
        else if (way === 'one attempt') own = thrownBy(() => barrier.waitSync({ timeoutMs: 0 }));
        else if (way === 'timeout') own = await rejectionOf(barrier.wait({ timeoutMs: 5 }));
        else if (way === 'default') own = await rejectionOf(barrier.wait());
        else {
          const controller = new AbortController();
          const waiting = rejectionOf(barrier.wait({ signal: controller.signal }));
          controller.abort(reason);
          own = await waiting;
        }
        if (way === 'abort') expect(own).toBe(reason);
        else expect(own).toBeInstanceOf(TimeoutError);
        for (const error of await Promise.all(waits)) {
          expect(error).toBeInstanceOf(BrokenBarrierError);
          expect(error).toMatchObject(BROKEN);
          expect(error.message).toContain(`process ${process.pid} gave up`);
        }
        expect(other).toMatchObject({ broken: true, waiting: 0 });
        expect(await rejectionOf(other.wait())).toMatchObject(BROKEN);
        expect(thrownBy(() => barrier.waitSync())).toMatchObject(BROKEN);
        other.reset();
        expect(barrier).toMatchObject({ broken: false, waiting: 0 });
        expect(await Promise.all([0, 1, 2, 3].map(() => other.wait()))).toEqual([0, 1, 2, 3]);
      }
    });

    it('is broken by abort(), whether or not anybody waits; reset() begins anew', async () => {
      const barrier = make(2);
      barrier.abort();
      barrier.abort();
      expect(barrier.broken).toBe(true);
      barrier.reset();
      barrier.reset();
      expect(barrier.broken).toBe(false);
      const waiting = rejectionOf(barrier.wait());
      barrier.abort();
      barrier.reset();
      const next = barrier.wait(); // Nobody has to have left.
      expect((await waiting).message).toMatch(/broken: (process \d+ called abort|one of those)/);
      expect([barrier.waitSync(), await next]).toEqual([1, 0]);
      const reset = rejectionOf(barrier.wait());
      barrier.reset();
      expect((await reset).message).toContain('reset()');
      expect(barrier).toMatchObject({ broken: false, waiting: 0 });
    });

    it('tells a party that comes back late how its own generation ended', async () => {
      const barrier = make(2, { wait: 'park' });
      const passed = barrier.wait();
      barrier.waitSync();
      const broken = rejectionOf(barrier.wait());
      // All in one turn of the event loop: neither of the two gets to look.
      for (let round = 0; round < 20; round++) {
        barrier.abort();
        barrier.reset();
      }
      const later = barrier.wait();
      barrier.waitSync();
      for (let round = 0; round < 11; round++) {
        barrier.abort();
        barrier.reset();
      }
      expect(await passed).toBe(0);
      expect(await broken).toMatchObject(BROKEN);
      expect(await later).toBe(0);
    });

    it('is broken by a close, and rejects what waits in that handle', async () => {
      const barrier = make(3);
      const other = opening(Barrier.attach(barrier.handle));
      const waits = [rejectionOf(barrier.wait()), rejectionOf(other.wait())];
      other.close();
      other.close();
      const closed = { code: 'ERR_RINGWAY_CLOSED' };
      expect(await waits[1]).toMatchObject(closed);
      expect(await waits[0]).toMatchObject(BROKEN);
      expect((await waits[0])?.message).toContain('closed');
      for (const use of [
        () => other.broken,
        () => other.waiting,
        () => other.waitSync(),
        () => other.abort(),
        () => other.reset(),
      ]) {
        expect(thrownBy(use)).toMatchObject(closed);
      }
      expect(await rejectionOf(other.wait())).toMatchObject(closed);
      barrier.reset();
      opening(Barrier.attach(barrier.handle)).close(); // Nobody waited there.
      expect([other.closed, barrier.broken]).toEqual([true, false]);
    });

    it('goes on when generations wrap', async () => {
      const barrier = make(2);
      for (const state of [2 ** 32 - 4, 2 ** 31 - 4]) {
        pokeBody(barrier, BarrierHeader.state, state);
        for (let round = 0; round < 5; round++) {
          const waiting = barrier.wait();
          expect([barrier.waiting, barrier.waitSync(), await waiting]).toEqual([1, 1, 0]);
          const broken = rejectionOf(barrier.wait());
          barrier.reset();
          expect(await broken).toMatchObject(BROKEN);
        }
      }
    });

    it('tells of a segment that contradicts itself', () => {
      const corrupt = { code: 'ERR_RINGWAY_CORRUPT_SEGMENT' };
      for (const [offset, values] of [
        [BarrierHeader.parties, [0, 4, 4097, 2 ** 32 - 1]],
        [BarrierHeader.wait, [3]],
      ] as const) {
        for (const value of values) {
          const barrier = make(3);
          pokeBody(barrier, offset, value);
          expect(
            thrownBy(() => Barrier.attach(barrier.handle)),
            `${value}`,
          ).toMatchObject(corrupt);
        }
      }
    });

    it('keeps parties in lockstep, in several places at once', async () => {
      const parties = 4;
      const rounds = 300;
      const barrier = make(parties + 1);
      const phases = new SharedArrayBuffer(4 * parties);
      // Between processes each tells its phase through the file of a ring of bytes: here, a word of its own file.
      const visit = async (
        { ringway, fs }: Context,
        handle: SegmentHandle,
        where: string,
        number: number,
        rounds: number,
      ) => {
        const barrier = ringway.Barrier.attach(handle);
        const others = [0, 1, 2, 3].filter((other) => other !== number);
        const indices: number[] = [];
        let violations = 0;
        const files = [0, 1, 2, 3].map((party) => fs.openSync(`${where}/phase-${party}`, 'r+'));
        const word = Buffer.alloc(4);
        for (let round = 1; round <= rounds; round++) {
          word.writeUInt32LE(round);
          fs.writeSync(files[number] as number, word, 0, 4, 0);
          indices.push(number % 2 === 0 ? barrier.waitSync() : await barrier.wait());
          for (const other of others) {
            fs.readSync(files[other] as number, word, 0, 4, 0);
            const phase = word.readUInt32LE();
            if (phase !== round && phase !== round + 1) violations++;
          }
        }
        for (const file of files) fs.closeSync(file);
        barrier.close();
        return { indices, violations };
      };
      expect(phases.byteLength).toBe(16);
      const { mkdtempSync, rmSync, writeFileSync } = await import('node:fs');
      const where = mkdtempSync('/dev/shm/test-of-ringway-phases-');
      try {
        for (let party = 0; party < parties; party++) writeFileSync(`${where}/phase-${party}`, Buffer.alloc(4));
        const remotes = await Promise.all(Array.from({ length: parties }, () => start(backend)));
        const results = remotes.map((remote, i) => remote.run(visit, barrier.handle, where, i, rounds));
        const own: number[] = [];
        for (let round = 0; round < rounds; round++) own.push(await barrier.wait());
        const all = await Promise.all(results);
        expect(all.map(({ violations }) => violations)).toEqual([0, 0, 0, 0]);
        for (let round = 0; round < rounds; round++) {
          const indices = [own[round], ...all.map((each) => each.indices[round])].sort();
          if (indices.join() !== '0,1,2,3,4') expect.unreachable(`round ${round}: ${indices}`);
        }
        expect(barrier).toMatchObject({ waiting: 0, broken: false });
      } finally {
        rmSync(where, { recursive: true });
      }
    });

    it('loses no place in ten thousand races of an abort or a timeout against the last arrival', async () => {
      announceSeed('aborts against the last arrival');
      const random = new Random();
      const barrier = make(2);
      const gate = make(2);
      // The last party tells how each generation ended for it; both sides must agree.
      const arrive = ({ ringway }: Context, handles: SegmentHandle[], rounds: number, seed: number) => {
        const [barrier, gate] = handles.map((handle) => ringway.Barrier.attach(handle)) as [Barrier, Barrier];
        let state = seed;
        const passed: boolean[] = [];
        for (let round = 0; round < rounds; round++) {
          gate.waitSync();
          state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
          for (let spin = (state >>> 16) % 300; spin > 0; spin--) Atomics.load(new Int32Array(1), 0);
          try {
            barrier.waitSync();
            passed.push(true);
          } catch (error) {
            if ((error as Error).name !== 'BrokenBarrierError') throw error;
            passed.push(false);
          }
          gate.waitSync();
        }
        barrier.close();
        gate.close();
        return passed;
      };
      const rounds = 10_000;
      const remote = await start(backend);
      const { result } = await remote.start(arrive, [barrier.handle, gate.handle], rounds, random.next());
      const passed: boolean[] = [];
      const outcomes = { passed: 0, aborted: 0, timedOut: 0 };
      for (let round = 0; round < rounds; round++) {
        const form = random.below(3);
        const controller = new AbortController();
        gate.waitSync({ timeoutMs: 20_000 });
        let outcome: keyof typeof outcomes;
        if (form === 0) {
          try {
            barrier.waitSync({ timeoutMs: random.below(60) / 1000 });
            outcome = 'passed';
          } catch (error) {
            expect(error).toBeInstanceOf(TimeoutError);
            outcome = 'timedOut';
          }
        } else {
          const waiting = barrier.wait({ signal: controller.signal }).then(
            () => 'passed' as const,
            () => 'aborted' as const,
          );
          const end = performance.now() + random.below(60) / 1000;
          if (form === 1) while (performance.now() < end);
          else await turns(random.below(3));
          controller.abort();
          outcome = await waiting;
        }
        outcomes[outcome]++;
        passed.push(outcome === 'passed');
        gate.waitSync({ timeoutMs: 20_000 });
        if (outcome === 'passed') {
          if (barrier.broken || barrier.waiting !== 0) expect.unreachable(`round ${round}: a place is lost`);
        } else {
          if (!barrier.broken) expect.unreachable(`round ${round}: not broken`);
          barrier.reset();
        }
      }
      const there = await result;
      const disagreeing = there.findIndex((each, round) => each !== passed[round]);
      expect(disagreeing).toBe(-1);
      for (const count of Object.values(outcomes)) expect(count).toBeGreaterThan(0);
    }, 120_000);

    it('is found by handle from elsewhere', async () => {
      const barrier = make(2);
      const remote = await start(backend);
      const there = remote.run(({ ringway }, handle) => {
        const barrier = ringway.Barrier.attach(handle);
        const index = barrier.waitSync();
        barrier.close();
        return index;
      }, barrier.handle);
      const here = await barrier.wait();
      expect([here, await there].sort()).toEqual([0, 1]);
      expect(thrownBy(() => Barrier.attach({ ...barrier.handle, kind: 'Semaphore' }))).toBeInstanceOf(TypeError);
    });
  });
}

describe('a named barrier', () => {
  it('is made, found, awaited and unlinked', async () => {
    const name = freshName();
    expect(thrownBy(() => Barrier.attach(name))).toMatchObject({ code: 'ENOENT' });
    const coming = Barrier.whenCreated(name);
    const made = opening(Barrier.createOrAttach({ name, parties: 2 }));
    const found = opening(await coming);
    expect(found).toMatchObject({ parties: 2, name });
    expect(thrownBy(() => new Barrier(2, { name })).message).toContain('Barrier');
    const waiting = made.wait();
    expect(opening(Barrier.createOrAttach({ name, parties: 2, timeoutMs: 5 })).waitSync()).toBe(1);
    expect(await waiting).toBe(0);
    const error = thrownBy(() => Barrier.createOrAttach({ name, parties: 3 }));
    expect(error).toMatchObject({ code: 'ERR_RINGWAY_SHAPE' });
    expect(error.message).toMatch(/2 parties.*3 parties/);
    Barrier.unlink(name);
    expect(thrownBy(() => Barrier.unlink(name))).toMatchObject({ code: 'ENOENT' });
    expect(await rejectionOf(Barrier.whenCreated(name, { timeoutMs: 0 }))).toBeInstanceOf(TimeoutError);
  });

  it('has room for a handle of each party', () => {
    const barrier = opening(new Barrier(100));
    const handles = Array.from({ length: 100 }, () => Barrier.attach(barrier.handle));
    for (const handle of handles) handle.close();
  });
});

describe('the death of a party that waits', () => {
  const arrive = ({ ringway, state }: Context, handle: SegmentHandle) => {
    const barrier = ringway.Barrier.attach(handle);
    state.pending = barrier.wait();
    state.pending.catch(() => {});
  };

  it('is noticed by those that wait with it, who are told its pid', async () => {
    for (const form of ['sync', 'async'] as const) {
      const barrier = opening(new Barrier(3));
      const remote = await startProcess();
      await remote.run(arrive, barrier.handle);
      const waiting = form === 'async' ? rejectionOf(barrier.wait()) : undefined;
      const ended = remote.kill();
      if (form === 'sync') await ended; // In this thread nothing else comes to pass then.
      const error = await (waiting ?? thrownBy(() => barrier.waitSync()));
      expect(error).toMatchObject(BROKEN);
      expect(error.message).toContain(`process ${remote.pid} died`);
      barrier.reset();
      expect(await Promise.all([0, 1, 2].map(() => barrier.wait()))).toEqual([0, 1, 2]);
      await ended;
    }
  });

  it('is noticed by the last one to come, before anybody passes', async () => {
    let acted = false;
    const barrier = opening(
      new Barrier(2, {
        action: () => {
          acted = true;
        },
      }),
    );
    const remote = await startProcess();
    await remote.run(arrive, barrier.handle);
    await remote.kill();
    expect(barrier.waiting).toBe(1); // Nobody has asked.
    expect((await rejectionOf(barrier.wait())).message).toContain(`process ${remote.pid} died`);
    expect([acted, barrier.broken]).toEqual([false, true]);
  });

  it('is noticed by a newcomer that takes its place among the participants', async () => {
    const barrier = opening(new Barrier(3, { maxParticipants: 2 }));
    const remote = await startProcess();
    await remote.run(arrive, barrier.handle);
    await remote.kill();
    const newcomer = opening(Barrier.attach(barrier.handle));
    expect((await rejectionOf(newcomer.wait())).message).toContain(`process ${remote.pid} died`);
  });

  it('and an end without close() break the barrier as well', async () => {
    const barrier = opening(new Barrier(2));
    const remote = await startProcess();
    await remote.run(arrive, barrier.handle);
    const { result } = await remote.start(() => process.exit(0));
    await result.catch(() => {});
    await remote.end();
    expect((await rejectionOf(barrier.wait())).message).toContain(`process ${remote.pid} closed`);
  });

  it('is no matter for a party that is stopped: it has arrived', async () => {
    const barrier = opening(new Barrier(2));
    const remote = await startProcess();
    await remote.run(arrive, barrier.handle);
    remote.child.kill('SIGSTOP');
    await until(() => stopped(remote.pid));
    expect(await barrier.wait()).toBe(1);
    const next = barrier.wait(); // And nobody waits until it has left.
    expect([barrier.waitSync(), await next]).toEqual([1, 0]);
    remote.child.kill('SIGCONT');
    expect(await remote.run(({ state }) => state.pending as Promise<number>)).toBe(0);
  });
});

afterEach(restoreAtomics);

describe('another one that acts at any step', () => {
  // What the other one does, and how the waits of a barrier of two may end: with an index, or broken.
  type Outcome = number | 'broken' | 'gave up';
  const settle = async (waiting: Promise<number>): Promise<Outcome> =>
    waiting.catch((error) => {
      if (error.code === BROKEN.code) return 'broken'; // The other one's class is another copy.
      if (error === 'gave up') return error;
      throw error;
    });

  for (const form of ['first', 'last', 'gives up'] as const) {
    for (const act of ['wait', 'abort', 'reset', 'abort and reset', 'abort, reset and pass', 'pass'] as const) {
      it(`finds a party that ${form === 'gives up' ? form : `comes ${form}`} here or not, when it comes to ${act}`, async () => {
        let interruption = { acted: true };
        for (let at = 1; interruption.acted; at++) {
          using barrier = new Barrier(2, { backend: 'sab', wait: 'park' });
          using other = OtherBarrier.attach(barrier.handle);
          sleepWithoutLimit();
          const others: Promise<Outcome>[] = [];
          if (form === 'last') others.push(settle(other.wait()));
          const run = () => {
            if (act === 'wait') others.push(settle(other.wait()));
            if (act.startsWith('abort')) other.abort();
            if (act.includes('reset')) other.reset();
            if (act.endsWith('pass')) others.push(settle(other.wait()), settle(other.wait()));
          };
          const controller = new AbortController();
          interruption = interruptAt(at, run);
          const waiting = settle(barrier.wait({ signal: controller.signal }));
          if (form === 'gives up') controller.abort('gave up');
          await turns(3);
          restoreAtomics();
          // Whoever waits still is released by as many more, or told.
          const more: Promise<Outcome>[] = [];
          if (!barrier.broken) while (barrier.waiting > 0) more.push(settle(other.wait()));
          const outcomes = await Promise.all([waiting, ...others, ...more]);
          const passed = outcomes.filter((outcome) => typeof outcome === 'number');
          // Each generation that was completed had one of each index.
          expect(passed.filter((index) => index === 0).length * 2, `step ${at}: ${outcomes}`).toBe(passed.length);
          barrier.reset();
          expect(barrier).toMatchObject({ waiting: 0, broken: false });
          expect(await Promise.all([barrier.wait(), other.wait()]), `step ${at}`).toEqual([0, 1]);
          if (at === 1) expect(interruption.acted).toBe(true);
        }
      });
    }
  }
});

// A victim is ended by a signal of its own before its `at`th atomic operation from the start of the act.
type Act = 'first' | 'last' | 'give up' | 'abort' | 'reset' | 'recover' | 'close';
const victim = async ({ ringway, tell }: Context, handle: SegmentHandle, act: Act, at: number, signal: string) => {
  const barrier = ringway.Barrier.attach(handle);
  if (act === 'close') {
    barrier.wait().catch(() => {});
    tell('waits');
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
  try {
    if (act === 'first') barrier.waitSync();
    if (act === 'last' || act === 'recover') barrier.waitSync();
    if (act === 'give up') barrier.waitSync({ timeoutMs: 0 });
    if (act === 'abort') barrier.abort();
    if (act === 'reset') barrier.reset();
    if (act === 'close') barrier.close();
  } catch (error) {
    if (!(error instanceof ringway.BrokenBarrierError) && !(error instanceof ringway.TimeoutError)) throw error;
  }
  return 'over';
};

describe('at every atomic operation', () => {
  for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
    for (const act of ['first', 'last', 'give up', 'abort', 'reset', 'recover', 'close'] as const) {
      it(`nobody hangs and no place is lost when a process gets ${signal} in ${act}`, async () => {
        // A wait goes on and on: this reaches beyond its first sleeps.
        const most = act === 'first' ? 24 : Infinity;
        let over = false;
        for (let at = 1; !over && at <= most; at++) {
          const barrier = opening(new Barrier(2, { wait: 'park' }));
          const remote = await startProcess();
          if (act === 'recover') {
            // One that has arrived and is dead, for the victim to find.
            const dead = await startProcess();
            await dead.run(({ ringway, state }, handle) => {
              state.pending = ringway.Barrier.attach(handle).wait();
            }, barrier.handle);
            await dead.kill();
          }
          const waiting = act === 'first' || act === 'recover' || act === 'close' ? undefined : barrier.wait();
          const outcome = waiting?.catch((error: Error) => error.name);
          const { result } = await remote.start(victim, barrier.handle, act, at, signal);
          if (act === 'close') await remote.nextTold();
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

          if (waiting !== undefined) {
            // Whoever waited has passed or was told, or one more party is enough.
            const more: Promise<unknown>[] = [];
            if (barrier.waiting > 0) {
              // But for a last one that is stopped in the act: it lives, and only who gives up ends that.
              if (barrier.waiting === 2 && signal === 'SIGSTOP') barrier.abort();
              else more.push(barrier.wait().catch((error: Error) => error.name));
            }
            const outcomes = await Promise.all([outcome, ...more]);
            const fine = [[0, 1], [0], ['BrokenBarrierError', 'BrokenBarrierError'], ['BrokenBarrierError']];
            expect(fine, `step ${at}`).toContainEqual(outcomes);
          } else if (signal === 'SIGKILL') {
            // It had not arrived, or is found dead; or the barrier was broken before.
            const own = await rejectionOf(barrier.wait({ timeoutMs: 0 }));
            expect(['BrokenBarrierError', 'TimeoutError'], `step ${at}`).toContain(own.name);
          }
          // Whatever it is now, reset() makes it new, also beside one that is stopped.
          barrier.abort();
          barrier.reset();
          expect(barrier).toMatchObject({ broken: false, waiting: 0 });
          for (let round = 0; round < 3; round++) {
            expect(await Promise.all([barrier.wait(), barrier.wait()]), `step ${at}`).toEqual([0, 1]);
          }
          await remote.kill('SIGKILL');
          barrier.close();
        }
        expect(over).toBe(act !== 'first');
      }, 120_000);
    }
  }
});
