// Many producers and consumers in processes of their own, and an oracle that counts every message: each arrives exactly
// once, whole, and in order per producer.
import { MpmcRing } from 'ringway';
import { describe, expect, it } from 'vitest';
import { opening, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random, seed } from './helpers/random.js';
import { type Context, type RemoteProcess, startProcess } from './helpers/remote.js';
import { PATIENCE, TIMES } from './helpers/torture.js';

useOwnDirectory();
announceSeed('mpmc-cross');

const PRODUCERS = 4;
const CONSUMERS = 4;
const EACH = 100_000; // Messages of one producer in one round.
const ROUNDS = Math.max(1, Math.round(2.5 * TIMES)); // The longest run moves 20 million.

// Messages are producer, number, and bytes that depend on both, as long as the number says.
async function produce({ ringway }: Context, handle: never, producer: number, count: number, form: string) {
  const ring = ringway.MpmcRing.attach(handle);
  const make = (number: number) => {
    const bytes = new Uint8Array(8 + ((number * 7) % 57));
    new DataView(bytes.buffer).setUint32(0, producer, true);
    new DataView(bytes.buffer).setUint32(4, number, true);
    for (let at = 8; at < bytes.length; at++) bytes[at] = (number + producer + at) & 255;
    return bytes;
  };
  for (let number = 0; number < count; ) {
    if (form === 'many') {
      const batch = Array.from({ length: Math.min(16, count - number) }, (_, i) => make(number + i));
      const taken = ring.tryPushMany(batch);
      if (taken === 0) await ring.push(batch[0] as Uint8Array);
      number += taken || 1;
    } else if (form === 'claim') {
      const message = make(number++);
      const claim = ring.claimSync(message.length + (number % 3 === 0 ? 0 : 1) - (message.length === 64 ? 1 : 0) || 1);
      if (claim.byteLength < message.length) {
        claim.abort();
        ring.pushSync(message);
        continue;
      }
      claim.bytes.set(message);
      claim.commit(message.length);
    } else if (form === 'sync') ring.pushSync(make(number++));
    else await ring.push(make(number++));
  }
  ring.close();
}

async function consume({ ringway }: Context, handle: never, producers: number, count: number, form: string) {
  const ring = ringway.MpmcRing.attach(handle);
  const seen = Array.from({ length: producers }, () => new Uint8Array(count));
  const last = new Int32Array(producers).fill(-1);
  const wrong: string[] = [];
  const check = (bytes: Uint8Array, again: boolean) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const producer = view.getUint32(0, true);
    const number = view.getUint32(4, true);
    if (bytes.length !== 8 + ((number * 7) % 57)) wrong.push(`${producer}/${number} has ${bytes.length} bytes`);
    for (let at = 8; at < bytes.length; at++) {
      if (bytes[at] !== ((number + producer + at) & 255)) wrong.push(`${producer}/${number} is torn at ${at}`);
    }
    if (!again && number <= (last[producer] as number)) wrong.push(`${producer}/${number} after ${last[producer]}`);
    if (!again) last[producer] = number;
    (seen[producer] as Uint8Array)[number]++;
  };
  try {
    for (let turn = 0; ; turn++) {
      if (form === 'pop') check(await ring.pop(), false);
      else if (form === 'sync') check(ring.popSync(), false);
      else if (form === 'many') {
        for (const bytes of ring.tryPopMany(16)) check(bytes, false);
        check(await ring.pop(), false);
      } else {
        const lease = await ring.take();
        if (turn % 100 === 99) lease.nack();
        else {
          // A nacked message that comes again is out of order by right, and so is what this consumer has nacked itself.
          check(lease.bytes, lease.redelivered);
          lease.ack();
        }
      }
    }
  } catch (error) {
    if ((error as { code: string }).code !== 'ERR_RINGWAY_END') throw error;
  }
  ring.close();
  return { seen, wrong: wrong.slice(0, 10) };
}

describe('four producers and four consumers in eight processes', () => {
  const random = new Random(seed);
  for (const [slots, wait] of [
    [1024, 'adaptive'],
    [8, 'park'],
  ] as const) {
    it(
      `move every message exactly once, in order per producer (${slots} slots, ${wait})`,
      async () => {
        const processes: RemoteProcess[] = [];
        for (let i = 0; i < PRODUCERS + CONSUMERS; i++) processes.push(await startProcess());
        const rounds = slots === 8 ? Math.ceil(ROUNDS / 5) : ROUNDS;
        const each = slots === 8 ? EACH / 20 : EACH;
        for (let round = 0; round < rounds; round++) {
          const ring = opening(MpmcRing.create({ slots, slotByteLength: 64, wait }));
          const nacks = round % 2 === 1 || slots === 8; // What comes again is out of order, and only a lease tells.
          const pushing = processes
            .slice(0, PRODUCERS)
            .map((process, i) =>
              process.run(produce as never, ring.handle, i, each, random.pick(['many', 'claim', 'sync', 'async'])),
            );
          const popping = processes
            .slice(PRODUCERS)
            .map(
              (process) =>
                process.run(
                  consume as never,
                  ring.handle,
                  PRODUCERS,
                  each,
                  nacks ? 'lease' : random.pick(['pop', 'sync', 'many']),
                ) as Promise<{ seen: Uint8Array[]; wrong: string[] }>,
            );
          await Promise.all(pushing);
          ring.end();
          const results = await Promise.all(popping);
          expect(results.flatMap(({ wrong }) => wrong)).toEqual([]);
          for (let producer = 0; producer < PRODUCERS; producer++) {
            for (let number = 0; number < each; number++) {
              let times = 0;
              for (const { seen } of results) times += (seen[producer] as Uint8Array)[number] as number;
              if (times !== 1) expect.fail(`message ${producer}/${number} arrived ${times} times`);
            }
          }
          expect(ring.stats()).toMatchObject({ used: 0, pushed: PRODUCERS * each, popped: PRODUCERS * each });
          ring.close();
        }
      },
      120_000 * PATIENCE,
    );
  }
});
