// Who counts as alive, in processes and threads, and what becomes of the entries and roles of those who are gone.
import { readFileSync } from 'node:fs';
import { PeerDiedError, RingwayError, RoleTakenError, SpscRing, TimeoutError } from 'ringway';
import { describe, expect, it } from 'vitest';
import { opening, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random, seed } from './helpers/random.js';
import { type RemoteProcess, startProcess, startThread } from './helpers/remote.js';
import { BACKENDS, fileOf, fill, recordOf, rejectionOf, thrownBy, until } from './helpers/rings.js';

useOwnDirectory();
announceSeed('presence');

const stateOf = (pid: number) => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.[0];

/** All entries but those that are in use now, at once: none of them was lost. */
function expectEntriesFree(ring: SpscRing, count: number): void {
  const handles: SpscRing[] = [];
  try {
    while (handles.length < count) handles.push(SpscRing.attach(ring.handle));
    expect(thrownBy(() => SpscRing.attach(ring.handle)).code).toBe('EUSERS');
  } finally {
    for (const handle of handles) handle.close();
  }
}

describe('a worker thread', () => {
  for (const role of ['producer', 'consumer'] as const) {
    it(`that is terminated gives its role as ${role} back, as by close`, async () => {
      const ring = opening(SpscRing.create({ capacity: 256 }));
      const thread = await startThread();
      await thread.run(
        ({ ringway, state }, handle, role) => {
          state.ring = ringway.SpscRing.attach(handle);
          if (role === 'producer') {
            state.producer = state.ring.producer();
            state.producer.tryPush(new Uint8Array([1]));
            state.producer.tryClaim(3)?.bytes.fill(9);
          } else {
            state.consumer = state.ring.consumer();
          }
        },
        ring.handle,
        role,
      );
      expect(thrownBy(() => ring[role]())).toBeInstanceOf(RoleTakenError);
      expect(ring.stats().participants).toMatchObject([
        { role, pid: process.pid, alive: true },
        { role: 'attached', pid: process.pid, alive: true },
      ]);
      await thread.terminate();
      expect(ring.stats().participants).toEqual([{ role: 'attached', pid: process.pid, alive: true }]);
      if (role === 'producer') {
        expect(ring.consumer().tryPop()).toEqual(new Uint8Array([1]));
        expect((await rejectionOf(ring.consumer().pop())).code).toBe('ERR_RINGWAY_END');
        expect(ring.producer().tryPush(recordOf(2))).toBe(true);
        expect(ring.consumer().tryPop()).toEqual(recordOf(2));
      } else {
        const producer = ring.producer();
        fill(producer);
        expect((await rejectionOf(producer.push(recordOf(8)))).code).toBe('EPIPE');
        expect(ring.consumer().tryPop()).toEqual(recordOf(8));
      }
    });
  }

  it('that ends by itself gives everything back', async () => {
    const ring = opening(SpscRing.create({ capacity: 256 }));
    const thread = await startThread();
    const exited = new Promise((resolve) => thread.worker.once('exit', resolve));
    await thread.start(({ ringway }, handle) => {
      ringway.SpscRing.attach(handle)
        .producer()
        .tryPush(new Uint8Array([4]));
      process.exit(0); // Ends the thread, not the process.
    }, ring.handle);
    await exited;
    expect(ring.consumer().tryPop()).toEqual(new Uint8Array([4]));
    expect(ring.consumer().ended).toBe(true);
    expectEntriesFree(ring, 63);
  });

  it('that ends does not take along what others of its process hold', async () => {
    const ring = opening(SpscRing.create({ capacity: 256 }));
    const producer = ring.producer();
    const threads = await Promise.all([startThread(), startThread()]);
    for (const thread of threads) {
      await thread.run(({ ringway, state }, handle) => {
        state.ring = ringway.SpscRing.attach(handle);
      }, ring.handle);
    }
    await threads[0].run(({ state }) => {
      state.consumer = state.ring.consumer();
    });
    await threads[1].terminate();
    producer.tryPush(recordOf(5));
    expect(await threads[0].run(({ state }) => state.consumer.tryPop())).toEqual(recordOf(5));
    const other = await startProcess();
    const error = await rejectionOf(
      other.run(({ ringway }, handle) => {
        ringway.SpscRing.attach(handle).producer();
      }, ring.handle),
    );
    expect(error).toMatchObject({ code: 'ERR_RINGWAY_ROLE_TAKEN', pid: process.pid });
  });
});

describe('a process that is stopped', () => {
  it('lives: it keeps its role, and nobody reports its death', async () => {
    const ring = opening(SpscRing.create({ capacity: 256, wait: 'park' }));
    const other = await startProcess();
    await other.run(({ ringway, state }, handle) => {
      state.ring = ringway.SpscRing.attach(handle);
      state.producer = state.ring.producer();
      state.producer.tryPush(new Uint8Array([1]));
    }, ring.handle);
    const consumer = ring.consumer();
    process.kill(other.pid, 'SIGSTOP');
    await until(() => stateOf(other.pid) === 'T');
    try {
      expect(thrownBy(() => ring.producer())).toMatchObject({ code: 'ERR_RINGWAY_ROLE_TAKEN', pid: other.pid });
      expect(await consumer.pop()).toEqual(new Uint8Array([1]));
      // Long enough for several looks at who lives.
      expect(await rejectionOf(consumer.pop({ timeoutMs: 200 }))).toBeInstanceOf(TimeoutError);
      expect(thrownBy(() => consumer.popSync({ timeoutMs: 100 }))).toBeInstanceOf(TimeoutError);
      expect(await rejectionOf(ring.takeProducer({ timeoutMs: 50 }))).toBeInstanceOf(TimeoutError);
      expect(consumer.ended).toBe(false);
      expect(ring.stats().participants).toContainEqual({ role: 'producer', pid: other.pid, alive: true });
    } finally {
      process.kill(other.pid, 'SIGCONT');
    }
    const waiting = consumer.pop();
    await other.run(({ state }) => state.producer.tryPush(new Uint8Array([2])));
    expect(await waiting).toEqual(new Uint8Array([2]));
  });

  it('and then killed is dead', async () => {
    const ring = opening(SpscRing.create({ capacity: 256 }));
    const other = await startProcess();
    await other.run(({ ringway, state }, handle) => {
      state.ring = ringway.SpscRing.attach(handle);
      state.producer = state.ring.producer();
    }, ring.handle);
    process.kill(other.pid, 'SIGSTOP');
    await until(() => stateOf(other.pid) === 'T');
    const waiting = rejectionOf(ring.consumer().pop());
    await other.kill('SIGKILL');
    expect(await waiting).toMatchObject({ name: 'PeerDiedError', pid: other.pid });
  });
});

describe('participant entries', () => {
  for (const backend of BACKENDS) {
    it(`that are all taken are an error that says so and what to do, until one comes free (${backend})`, async () => {
      const ring = opening(SpscRing.create({ capacity: 64, maxParticipants: 3, backend }));
      const others = [opening(SpscRing.attach(ring.handle)), opening(SpscRing.attach(ring.handle))];
      for (let i = 0; i < 5; i++) {
        const error = thrownBy(() => SpscRing.attach(ring.handle));
        expect(error).toBeInstanceOf(RingwayError);
        expect(error.code).toBe('EUSERS');
        expect(error.message).toContain('maxParticipants');
      }
      others[0]?.close();
      const again = opening(SpscRing.attach(ring.handle));
      expect(again.producer().tryPush(recordOf(1))).toBe(true);
      expect(thrownBy(() => SpscRing.attach(ring.handle)).code).toBe('EUSERS');
      expect(ring.consumer().tryPop()).toEqual(recordOf(1));
    });
  }

  it('of the dead are taken by the next ones, and their roles are known to be lost', async () => {
    const ring = opening(SpscRing.create({ capacity: 64, maxParticipants: 2 }));
    const consumer = ring.consumer();
    for (let round = 0; round < 3; round++) {
      const other = await startProcess();
      await other.run(
        ({ ringway, state }, handle, round) => {
          state.ring = ringway.SpscRing.attach(handle);
          state.producer = state.ring.producer();
          state.producer.tryPush(new Uint8Array([round]));
        },
        ring.handle,
        round,
      );
      expect(thrownBy(() => SpscRing.attach(ring.handle)).code).toBe('EUSERS');
      await other.kill();
      // The newcomer gets the very entry that the role still names, and is not taken for its holder.
      const newcomer = SpscRing.attach(ring.handle);
      expect(consumer.tryPop()).toEqual(new Uint8Array([round]));
      const error = await rejectionOf(consumer.pop());
      expect(error).toBeInstanceOf(PeerDiedError);
      expect(error.pid).toBe(other.pid);
      newcomer.close();
    }
  });

  it('are all free again after thousands of attachments by several processes at once', async () => {
    const ROUNDS = 1500;
    const ring = opening(SpscRing.create({ capacity: 1024, maxParticipants: 8 }));
    const others = await Promise.all([startProcess(), startProcess()]);
    const churn = (other: RemoteProcess) =>
      other.run(
        ({ ringway }, handle, rounds) => {
          const counts: Record<string, number> = {};
          for (let round = 0; round < rounds; round++) {
            const ring = ringway.SpscRing.attach(handle);
            try {
              if (round % 3 === 0) ring.producer().tryPush(new Uint8Array([round]));
              else if (round % 3 === 1) ring.consumer().tryPop();
            } catch (error) {
              const { code } = error as { code: string };
              counts[code] = (counts[code] ?? 0) + 1;
            }
            ring.close();
          }
          return counts;
        },
        ring.handle,
        ROUNDS,
      );
    for (const counts of await Promise.all(others.map(churn))) {
      for (const code of Object.keys(counts)) expect(code).toBe('ERR_RINGWAY_ROLE_TAKEN');
    }
    expect(ring.stats().participants).toHaveLength(1);
    expectEntriesFree(ring, 7);
    const { pushed, popped } = ring.stats();
    expect(ring.consumer().tryPopMany(Infinity)).toHaveLength(pushed - popped);
    expect(ring.producer().tryPush(recordOf(1))).toBe(true);
  });

  it('are all free again after processes were killed at any moment', async () => {
    const random = new Random(seed);
    const ring = opening(SpscRing.create({ capacity: 1024, maxParticipants: 4 }));
    for (let round = 0; round < 12; round++) {
      const other = await startProcess();
      void other.start(({ ringway, tell }, handle) => {
        for (let i = 0; ; i++) {
          const ring = ringway.SpscRing.attach(handle);
          ring.producer().tryPush(new Uint8Array([i]));
          ring.consumer().tryPopMany(5);
          ring.close();
          if (i % 50 === 0) tell(i);
        }
      }, ring.handle);
      for (let told = random.below(6); told >= 0; told--) await other.nextTold();
      await other.kill();
      // Whatever it held is free, for others and for us.
      expect(ring.producer().tryPush(recordOf(1)) || ring.consumer().tryPop() !== null).toBe(true);
      ring.consumer().tryPopMany(Infinity);
      ring.producer().close();
      ring.consumer().close();
    }
    expectEntriesFree(ring, 3);
  });
});

describe('the lock that shows life', () => {
  it('is not inherited by the children of a process that is killed', async () => {
    const ring = opening(SpscRing.create({ capacity: 256 }));
    const other = await startProcess();
    const child = await other.run(async ({ ringway, state, child_process }, handle) => {
      state.ring = ringway.SpscRing.attach(handle);
      state.producer = state.ring.producer();
      const { pid } = child_process.spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });
      return pid as number;
    }, ring.handle);
    try {
      await until(() => readFileSync(`/proc/${child}/cmdline`, 'utf8').startsWith('sleep'));
      const waiting = rejectionOf(ring.consumer().pop());
      await other.kill();
      expect(await waiting).toMatchObject({ name: 'PeerDiedError', pid: other.pid });
      expect(stateOf(child), 'the child lives').toBe('S');
    } finally {
      process.kill(child, 'SIGKILL');
    }
  });

  it('is not dropped by code that closes descriptors that are not its own', async () => {
    const ring = opening(SpscRing.create({ capacity: 256 }));
    const other = await startProcess();
    const codes = await other.run(
      ({ ringway, state, fs }, handle, file) => {
        state.ring = ringway.SpscRing.attach(handle);
        state.producer = state.ring.producer();
        for (const fd of fs.readdirSync('/proc/self/fd')) {
          try {
            if (fs.readlinkSync(`/proc/self/fd/${fd}`) === file) fs.closeSync(Number(fd));
          } catch {} // The descriptor of the listing itself.
        }
        state.producer.tryPush(new Uint8Array([1]));
        // It cannot tell any more who lives, and says so instead of taking everybody for dead.
        const codes: unknown[] = [];
        for (const ask of [() => state.ring.consumer(), () => state.ring.stats()]) {
          try {
            ask();
            codes.push('nothing');
          } catch (error) {
            codes.push((error as { code: string }).code);
          }
        }
        return codes;
      },
      (() => {
        ring.consumer();
        return ring.handle;
      })(),
      fileOf(ring),
    );
    expect(codes).toEqual(['EBADF', 'EBADF']);
    expect(thrownBy(() => ring.producer())).toMatchObject({ code: 'ERR_RINGWAY_ROLE_TAKEN', pid: other.pid });
    expect(ring.consumer().tryPop()).toEqual(new Uint8Array([1]));
    await other.run(({ state }) => state.ring.close());
    expect(ring.producer().tryPush(recordOf(2))).toBe(true);
  });
});
