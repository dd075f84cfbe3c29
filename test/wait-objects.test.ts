// wait(): whichever of several objects is ready first, without consuming anything.
import { BroadcastRing, type Connection, Pipe, Queue, SharedEvent, SpscRing, wait, waitSync } from 'ringway';
import { describe, expect, it } from 'vitest';
import { opening, useOwnDirectory } from './helpers/directory.js';
import { startProcess } from './helpers/remote.js';
import { BACKENDS, rejectionOf, thrownBy } from './helpers/rings.js';

useOwnDirectory();

for (const backend of BACKENDS) {
  const pipe = (): [Connection, Connection] => {
    const [a, b] = Pipe({ transport: backend });
    return [opening(a), opening(b)];
  };

  describe(`wait over ${backend}`, () => {
    it('returns nothing at the end of the time, at once for none, and what is ready in the order given', async () => {
      const [a, b] = pipe();
      const [c, d] = pipe();
      expect(await wait([b, d], { timeoutMs: 1 })).toEqual([]);
      expect(await wait([b, d], { timeoutMs: -1 })).toEqual([]);
      expect(waitSync([b, d], { timeoutMs: 0 })).toEqual([]);
      expect([await wait([]), waitSync([])]).toEqual([[], []]);
      await c.send(1);
      expect(await wait([b, d])).toEqual([d]);
      expect(waitSync([b, d])).toEqual([d]);
      await a.send(2);
      expect(await wait([d, b])).toEqual([d, b]);
      expect([await b.recv(), await d.recv()]).toEqual([2, 1]); // Nothing was consumed.
    });

    it('takes rings, subscribers and events as well, and wakes for the one that comes', async () => {
      const ring = opening(SpscRing.create({ capacity: 4096, backend }));
      const topic = opening(BroadcastRing.create({ slots: 4, slotByteLength: 64, onSlow: 'block', backend }));
      const event = opening(new SharedEvent({ backend }));
      const [a, b] = pipe();
      const producer = ring.producer();
      const publisher = topic.publisher();
      const queue = opening(new Queue<number>({ backend }));
      const objects = [b, ring.consumer(), topic.subscriber(), event, queue];
      const acts = [
        () => a.trySend(1),
        () => producer.tryPush(new Uint8Array(1)),
        () => publisher.tryPublish(new Uint8Array(1)),
        () => event.set(),
        () => queue.tryPut(1),
      ];
      for (const [i, act] of acts.entries()) {
        const waiting = wait(objects.slice(i));
        setImmediate(act);
        expect(await waiting).toEqual([objects[i]]);
      }
    });

    it('says that an end of the stream is ready', async () => {
      const [a, b] = pipe();
      const waiting = wait([b]);
      a.close();
      expect(await waiting).toEqual([b]);
      expect(waitSync([b])).toEqual([b]);
    });

    it('says that a queue is ready at its end, and consumes nothing of it', async () => {
      const queue = opening(new Queue<number>({ backend }));
      expect([await wait([queue], { timeoutMs: 1 }), waitSync([queue], { timeoutMs: 0 })]).toEqual([[], []]);
      queue.tryPut(7);
      expect([await wait([queue]), waitSync([queue])]).toEqual([[queue], [queue]]);
      expect(queue.tryGet()).toEqual({ ok: true, value: 7 });
      const waiting = wait([queue]);
      queue.end();
      expect([await waiting, waitSync([queue])]).toEqual([[queue], [queue]]);
    });

    it('is aborted without effect, and leaves no wait behind', async () => {
      const [a, b] = pipe();
      const aborting = new AbortController();
      const waiting = wait([b], { signal: aborting.signal });
      aborting.abort(new Error('enough'));
      expect((await rejectionOf(waiting)).message).toBe('enough');
      expect((await rejectionOf(wait([b], { signal: AbortSignal.abort(new Error('before')) }))).message).toBe('before');
      await a.send(1);
      expect(b.tryRecv()).toEqual({ ok: true, value: 1 }); // Nobody waits any more.
    });

    it('refuses what it cannot wait for', async () => {
      for (const objects of [null, 7, [null], [{}], ['text'], [() => 1]]) {
        expect(await rejectionOf(wait(objects as never))).toBeInstanceOf(TypeError);
        expect(thrownBy(() => waitSync(objects as never))).toBeInstanceOf(TypeError);
      }
      const [a] = pipe();
      expect(await rejectionOf(wait([a], { timeoutMs: Number.NaN }))).toBeInstanceOf(RangeError);
    });

    it('blocks no thread that waits for itself alone', () => {
      const [a, b] = pipe();
      expect(thrownBy(() => waitSync([a, b]))).toMatchObject({ code: 'ERR_RINGWAY_WOULD_DEADLOCK' });
    });
  });
}

it('blocks the thread until one of several processes has said something, or is dead', async () => {
  const pairs = await Promise.all(
    [0, 1, 2].map(async () => {
      const [here, there] = Pipe<string>();
      const other = await startProcess();
      await other.run((context, handle) => {
        context.state.conn = context.ringway.Connection.attach(handle);
      }, there.handle);
      return { here: opening(here), other };
    }),
  );
  const ends = pairs.map(({ here }) => here);
  void pairs[1]?.other.start(async (context) => {
    await (context.state.conn as Connection).send('hello');
  });
  await new Promise(setImmediate); // The call is on its way.
  expect(waitSync(ends)).toEqual([ends[1]]);
  expect(ends[1]?.tryRecv()).toEqual({ ok: true, value: 'hello' });
  pairs[2]?.other.child.kill('SIGKILL');
  expect(waitSync(ends)).toEqual([ends[2]]);
});
