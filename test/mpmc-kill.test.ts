// A process dies, or is stopped, before every single atomic operation of every call of an MpmcRing. Nothing that was
// committed is lost, nothing comes twice that was acked, nothing uncommitted is seen, and nobody waits for the dead or the
// stopped.
import { readFileSync } from 'node:fs';
import { EndOfStreamError, MpmcRing } from 'ringway';
import { describe, expect, it } from 'vitest';
import { opening, useOwnDirectory } from './helpers/directory.js';
import { type Context, startProcess } from './helpers/remote.js';
import { until } from './helpers/rings.js';

useOwnDirectory();

type Call =
  | 'push'
  | 'commit'
  | 'abort'
  | 'pushMany'
  | 'pop'
  | 'ack'
  | 'nack'
  | 'popMany'
  | 'drain'
  | 'takeMany'
  | 'end'
  | 'close';

// In the victim: makes one call, and sends itself the signal before its `at`th atomic operation. What the call gave.
function victim({ ringway }: Context, handle: never, call: Call, at: number, signal: NodeJS.Signals) {
  const ring = ringway.MpmcRing.attach(handle);
  const kept = call === 'close' ? [ring.tryTake(), ring.tryClaim(1)] : [];
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
  const got: number[] = [];
  const mine = (value: number) => new Uint8Array([value]);
  if (call === 'push') ring.tryPush(mine(100));
  else if (call === 'pushMany') ring.tryPushMany([mine(100), mine(101)]);
  else if (call === 'commit' || call === 'abort') {
    const claim = ring.tryClaim(1);
    claim?.bytes.set([100]);
    if (call === 'commit') claim?.commit();
    else claim?.abort();
  } else if (call === 'pop') got.push(...(ring.tryPop() ?? []));
  else if (call === 'ack' || call === 'nack') {
    const lease = ring.tryTake();
    if (call === 'ack' && lease !== null) got.push(lease.bytes[0] as number);
    lease?.[call]();
  } else if (call === 'popMany') got.push(...ring.tryPopMany(2).map((message) => message[0] as number));
  else if (call === 'drain') {
    ring.drain((memory, byteOffset) => {
      got.push(memory[byteOffset] as number);
    }, 2);
  } else if (call === 'takeMany') {
    for (const lease of ring.tryTakeMany(2)) {
      got.push(lease.bytes[0] as number);
      lease.ack();
    }
  } else if (call === 'end') ring.end();
  else ring.close();
  Object.assign(Atomics, real);
  const reached = steps >= at;
  if (kept.length === 0) ring.close();
  return { reached, got };
}

// What the victim may have consumed, and what it may have added: both at most once.
const CALLS: Record<Call, { consumes: number; adds: number[] }> = {
  push: { consumes: 0, adds: [100] },
  pushMany: { consumes: 0, adds: [100, 101] },
  commit: { consumes: 0, adds: [100] },
  abort: { consumes: 0, adds: [] },
  pop: { consumes: 1, adds: [] },
  ack: { consumes: 1, adds: [] },
  nack: { consumes: 0, adds: [] },
  popMany: { consumes: 2, adds: [] },
  drain: { consumes: 2, adds: [] },
  takeMany: { consumes: 2, adds: [] },
  end: { consumes: 0, adds: [] },
  close: { consumes: 0, adds: [] },
};

/** Everything until the end of the stream, which comes when nobody can give anything back any more. */
function drain(ring: MpmcRing): { value: number; redelivered: boolean }[] {
  const got: { value: number; redelivered: boolean }[] = [];
  ring.end();
  for (;;) {
    try {
      const lease = ring.takeSync({ timeoutMs: 15_000 });
      got.push({ value: lease.bytes[0] as number, redelivered: lease.redelivered });
      lease.ack();
    } catch (error) {
      if (error instanceof EndOfStreamError) return got;
      throw error;
    }
  }
}

const FIRST = [1, 2, 3];
const number = (value: number) => new Uint8Array([value]);

for (const call of Object.keys(CALLS) as Call[]) {
  const { consumes, adds } = CALLS[call];
  const make = () => {
    const ring = opening(MpmcRing.create({ slots: 8, slotByteLength: 8, maxParticipants: 4 }));
    ring.tryPushMany(FIRST.map(number));
    return ring;
  };

  describe(`at every step of ${call}`, () => {
    it('a death leaves every message where it belongs, and holds up nobody', async () => {
      let steps = 0;
      let starting = startProcess(); // The next one starts while this one dies.
      for (let at = 1; ; at++) {
        const ring = make();
        const process = await starting;
        starting = startProcess();
        const { result } = await process.start(victim as never, ring.handle, call, at, 'SIGKILL');
        const reply = (await (result as Promise<{ reached: boolean; got: number[] }>).catch(() => undefined)) ?? {
          reached: true,
          got: [],
        };
        if (!reply.reached) await process.kill();
        expect((await process.end()).signal, `step ${at}`).toBe('SIGKILL');
        // Others go on at once; only what the dead held is missing.
        const passing: number[] = [];
        for (let i = 0; i < 20 && call !== 'end'; i++) {
          expect(ring.tryPush(number(50))).toBe(true);
          const message = ring.tryPop();
          if (message !== null) passing.push(message[0] as number);
        }
        expect(passing.length).toBe(call === 'end' ? 0 : 20);
        const got = drain(ring);
        got.push(...passing.map((value) => ({ value, redelivered: false })));
        const values = got.flatMap(({ value }) => (value === 50 ? [] : [value])).sort((a, b) => a - b);
        expect(new Set(values).size, `step ${at}: ${values}`).toBe(values.length);
        const lost = FIRST.filter((value) => !values.includes(value));
        expect(lost.length, `step ${at}: ${lost} are lost`).toBeLessThanOrEqual(consumes);
        if (!reply.reached) expect(lost).toEqual(reply.got);
        const added = values.filter((value) => !FIRST.includes(value));
        expect(adds, `step ${at}`).toEqual(expect.arrayContaining(added));
        if (!reply.reached) expect(added).toEqual(adds);
        for (const { value, redelivered } of got) {
          if (redelivered) expect(FIRST.slice(0, 2), `step ${at}: ${value} came again`).toContain(value);
        }
        expect(ring.stats().used).toBe(0);
        ring.close();
        if (!reply.reached) break;
        steps = at;
      }
      await starting;
      expect(steps).toBeGreaterThan(1);
    }, 120_000);

    it('one who is stopped is not robbed, and holds up nobody', async () => {
      let starting = startProcess();
      for (let at = 1; ; at++) {
        const ring = make();
        const process = await starting;
        starting = startProcess();
        const { result } = await process.start(victim as never, ring.handle, call, at, 'SIGSTOP');
        const stopped = () => readFileSync(`/proc/${process.pid}/stat`, 'utf8').includes(') T ');
        const answer = result as Promise<{ reached: boolean; got: number[] }>;
        let done = false;
        void answer.then(() => {
          done = true;
        });
        await until(() => done || stopped());
        const values: number[] = [];
        if (!done) {
          // Asks who lives, as everybody does who waits: a stopped process does.
          expect(() => ring.takeSync({ timeoutMs: 0 })[Symbol.dispose]()).not.toThrow();
          const pop = () => {
            const message = ring.tryPop();
            if (message !== null) values.push(message[0] as number);
            return message !== null;
          };
          for (let i = 0; i < 20 && call !== 'end'; i++) expect(ring.tryPush(number(50)) && pop()).toBe(true);
          while (pop());
          process.child.kill('SIGCONT');
        }
        const reply = await answer;
        await process.kill();
        values.push(...reply.got, ...drain(ring).map(({ value }) => value));
        const all = values.filter((value) => value !== 50).sort((a, b) => a - b);
        expect(all, `step ${at}`).toEqual([...FIRST, ...adds]);
        expect(ring.stats().used).toBe(0);
        ring.close();
        if (!reply.reached) break;
      }
      await starting;
    }, 120_000);
  });
}
