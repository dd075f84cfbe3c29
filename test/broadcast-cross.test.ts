// Publishers and subscribers in processes of their own, and an oracle that counts every message: each subscriber gets each
// message once, whole, in order per publisher; with 'overwrite' it knows exactly how many it did not get. Also while
// publishers and subscribers are killed at random.
import { BroadcastRing } from 'ringway';
import { describe, expect, it } from 'vitest';
import { opening, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random, seed } from './helpers/random.js';
import { type Context, startProcess, startThread } from './helpers/remote.js';
import { BACKENDS } from './helpers/rings.js';
import { PATIENCE, TIMES } from './helpers/torture.js';

useOwnDirectory();
announceSeed('broadcast-cross');
const random = new Random(seed);

// A message is publisher, number, and bytes that depend on both, as long as the number says.
async function publish({ ringway, tell }: Context, handle: never, life: number, count: number, form: string) {
  const ring = ringway.BroadcastRing.attach(handle);
  const publisher = ring.publisher();
  const make = (number: number) => {
    const bytes = new Uint8Array(8 + ((number * 7) % 57));
    new DataView(bytes.buffer).setUint32(0, life, true);
    new DataView(bytes.buffer).setUint32(4, number, true);
    for (let at = 8; at < bytes.length; at++) bytes[at] = (number + life + at) & 255;
    return bytes;
  };
  tell('ready');
  for (let number = 0; number < count; ) {
    if (form === 'many') {
      const batch = Array.from({ length: Math.min(16, count - number) }, (_, i) => make(number + i));
      const taken = publisher.tryPublishMany(batch);
      if (taken === 0) await publisher.publish(batch[0] as Uint8Array);
      number += taken || 1;
    } else if (form === 'claim') {
      const message = make(number++);
      const claim = publisher.claimSync();
      claim.bytes.set(message);
      claim.commit(message.length);
    } else if (form === 'sync') publisher.publishSync(make(number++));
    else await publisher.publish(make(number++));
  }
  ring.close();
}

// Reads until the end of the stream. What it got of each publisher: how many, the last, and what was wrong.
async function subscribe({ ringway, tell }: Context, handle: never, form: string, from: 'latest' | 'oldest') {
  const ring = ringway.BroadcastRing.attach(handle);
  const subscriber = ring.subscriber({ from });
  const got: Record<number, { first: number; last: number; count: number }> = {};
  const wrong: string[] = [];
  const check = (bytes: Uint8Array) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const life = view.getUint32(0, true);
    const number = view.getUint32(4, true);
    if (bytes.length !== 8 + ((number * 7) % 57)) wrong.push(`${life}/${number} has ${bytes.length} bytes`);
    for (let at = 8; at < bytes.length; at++) {
      if (bytes[at] !== ((number + life + at) & 255)) wrong.push(`${life}/${number} is torn at ${at}`);
    }
    got[life] ??= { first: number, last: number - 1, count: 0 };
    const seen = got[life];
    if (number <= seen.last) wrong.push(`${life}/${number} after ${seen.last}`);
    seen.last = number;
    seen.count++;
  };
  tell('ready');
  try {
    for (;;) {
      if (form === 'read') check(await subscriber.read());
      else if (form === 'sync') check(subscriber.readSync());
      else if (form === 'drain') {
        await subscriber.ready();
        subscriber.drain((memory, offset, length) => check(memory.subarray(offset, offset + length)));
      } else {
        const peek = await subscriber.peek();
        const bytes = peek.bytes.slice();
        if (peek.stillValid) check(bytes);
        peek.release();
      }
    }
  } catch (error) {
    if (!['ERR_RINGWAY_END', 'ERR_RINGWAY_PEER_DIED'].includes((error as { code: string }).code)) throw error;
  }
  const { missed } = subscriber;
  ring.close();
  return { got, missed, wrong: wrong.slice(0, 10) };
}

type Report = { got: Record<number, { first: number; last: number; count: number }>; missed: number; wrong: string[] };

const PUBLISH_FORMS = ['many', 'claim', 'sync', 'async'];
const READ_FORMS = ['read', 'sync', 'drain', 'peek'];

for (const backend of BACKENDS) {
  for (const onSlow of ['block', 'overwrite'] as const) {
    for (const [slots, wait] of [
      [256, 'adaptive'],
      [4, 'park'],
    ] as const) {
      const where = backend === 'shm' ? 'processes' : 'threads';
      it(
        `three publishers and three subscribers in six ${where}, '${onSlow}', ${slots} slots`,
        async () => {
          const each = Math.round((slots === 4 ? 3_000 : 40_000) * TIMES);
          const start = backend === 'shm' ? startProcess : startThread;
          const remotes = await Promise.all(Array.from({ length: 6 }, () => start()));
          const ring = opening(
            BroadcastRing.create({ slots, slotByteLength: 64, onSlow, wait, backend, maxPublishers: 4 }),
          );
          const reading: Promise<Report>[] = [];
          for (const remote of remotes.slice(3)) {
            const { result } = await remote.start(subscribe as never, ring.handle, random.pick(READ_FORMS), 'latest');
            expect(await remote.nextTold()).toBe('ready');
            reading.push(result as Promise<Report>);
          }
          const writing: Promise<unknown>[] = [];
          const open = ring.publisher(); // The stream does not end before all have come.
          for (const [life, remote] of remotes.slice(0, 3).entries()) {
            const { result } = await remote.start(
              publish as never,
              ring.handle,
              life,
              each,
              random.pick(PUBLISH_FORMS),
            );
            expect(await remote.nextTold()).toBe('ready');
            writing.push(result as Promise<unknown>);
          }
          await Promise.all(writing);
          open.close();
          for (const { got, missed, wrong } of await Promise.all(reading)) {
            expect(wrong).toEqual([]);
            let received = 0;
            for (const { count } of Object.values(got)) received += count;
            expect(received + missed).toBe(3 * each);
            if (onSlow === 'block') expect(missed).toBe(0);
          }
          expect(ring.stats().pushed).toBe(3 * each);
        },
        60_000 * PATIENCE,
      );
    }
  }
}

describe('two hundred subscribers', () => {
  // In one process, as many as fit, each with a loop of its own.
  async function many({ ringway, tell }: Context, handle: never, subscribers: number, count: number) {
    const ring = ringway.BroadcastRing.attach(handle);
    const all = Array.from({ length: subscribers }, () => ring.subscriber());
    tell('ready');
    const wrong: string[] = [];
    await Promise.all(
      all.map(async (subscriber, i) => {
        let expected = 0;
        for await (const bytes of subscriber) {
          const number = new DataView(bytes.buffer).getUint32(0, true);
          if (number !== expected++) wrong.push(`subscriber ${i} got ${number} and not ${expected - 1}`);
        }
        if (expected !== count) wrong.push(`subscriber ${i} got ${expected} of ${count}`);
      }),
    );
    ring.close();
    return wrong.slice(0, 10);
  }

  it(
    'in eight processes see every message of a publisher that blocks, in order',
    async () => {
      const count = Math.round(1_500 * TIMES);
      const ring = opening(BroadcastRing.create({ slots: 64, slotByteLength: 8, onSlow: 'block' }));
      const publisher = ring.publisher();
      const reading: Promise<string[]>[] = [];
      for (let i = 0; i < 8; i++) {
        const process = await startProcess();
        const { result } = await process.start(many as never, ring.handle, 25, count);
        expect(await process.nextTold()).toBe('ready');
        reading.push(result as Promise<string[]>);
      }
      expect(ring.stats().participants.filter(({ role }) => role === 'subscriber').length).toBe(200);
      const message = new Uint8Array(8);
      for (let number = 0; number < count; number++) {
        new DataView(message.buffer).setUint32(0, number, true);
        await publisher.publish(message);
      }
      publisher.close();
      for (const wrong of await Promise.all(reading)) expect(wrong).toEqual([]);
      expect(ring.stats()).toMatchObject({ pushed: count, popped: 200 * count, missed: 0 });
    },
    60_000 * PATIENCE,
  );

  it('are a fifth of what one thread can have', () => {
    const ring = opening(BroadcastRing.create({ slots: 8, slotByteLength: 8, onSlow: 'block' }));
    const publisher = ring.publisher();
    const all = Array.from({ length: 1000 }, () => ring.subscriber());
    for (let value = 0; value < 8; value++) expect(publisher.tryPublish(new Uint8Array([value]))).toBe(true);
    expect(publisher.tryPublish(new Uint8Array([8]))).toBe(false);
    for (const subscriber of all)
      expect(subscriber.tryReadMany(8).map(([value]) => value)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(publisher.tryPublish(new Uint8Array([8]))).toBe(true);
  });
});

describe('while publishers and subscribers are killed at random', () => {
  for (const onSlow of ['block', 'overwrite'] as const) {
    it(
      `the others see what was published, without a gap in any life, '${onSlow}'`,
      async () => {
        const kills = Math.round(20 * TIMES);
        const ring = opening(BroadcastRing.create({ slots: 32, slotByteLength: 64, onSlow, maxPublishers: 4 }));
        const open = ring.publisher();
        const witnesses = await Promise.all([startProcess(), startProcess()]);
        const reading: Promise<Report>[] = [];
        for (const [i, witness] of witnesses.entries()) {
          const { result } = await witness.start(subscribe as never, ring.handle, i === 0 ? 'drain' : 'sync', 'latest');
          expect(await witness.nextTold()).toBe('ready');
          reading.push(result as Promise<Report>);
        }
        let starting = [startProcess(), startProcess()] as const;
        for (let life = 0; life < kills; life++) {
          const [writer, reader] = await Promise.all(starting);
          starting = [startProcess(), startProcess()];
          await writer.start(publish as never, ring.handle, life, 2 ** 31, random.pick(PUBLISH_FORMS));
          await reader.start(
            subscribe as never,
            ring.handle,
            random.pick(READ_FORMS),
            random.pick(['latest', 'oldest']),
          );
          expect([await writer.nextTold(), await reader.nextTold()]).toEqual(['ready', 'ready']);
          // Until others have seen of it what it takes, so that every life does something; then at any moment.
          const before = ring.stats().pushed;
          while (ring.stats().pushed < before + random.below(2_000)) await new Promise(setImmediate);
          for (const victim of random.below(2) === 0 ? [writer, reader] : [reader, writer]) await victim.kill();
        }
        for (const spare of await Promise.all(starting)) await spare.kill();
        await open.publish(new Uint8Array([255, 255, 255, 255, 0, 0, 0, 0]), { timeoutMs: 15_000 }); // Whoever is dead is found dead.
        const { pushed } = ring.stats();
        open.close();
        const reports = await Promise.all(reading);
        for (const { got, missed, wrong } of reports) {
          expect(wrong).toEqual([]);
          let received = 0;
          for (const { count } of Object.values(got)) received += count;
          expect(received + missed).toBe(pushed);
          if (onSlow === 'overwrite') continue;
          for (const [life, { first, last, count }] of Object.entries(got)) {
            expect({ life, first, count }).toEqual({ life, first: 0, count: last + 1 });
          }
        }
      },
      120_000 * PATIENCE,
    );
  }
});
