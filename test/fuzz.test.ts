// Segments with damaged headers and bodies: whatever is in them, only results and errors of ours come out, never a crash
// or a hang.
import { spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CorruptSegmentError, SpscRing } from 'ringway';
import { describe, expect, it } from 'vitest';
import { Constants, SpscHeader } from '../src/layout.js';
import { opening, segmentDirectory, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, seed } from './helpers/random.js';
import { BACKENDS, fill, pokeBody, recordOf, rejectionOf, thrownBy } from './helpers/rings.js';

useOwnDirectory();
announceSeed('fuzz');

const PROGRAM = fileURLToPath(new URL('../build/ts/test/programs/fuzz.js', import.meta.url));
const ROUNDS = Number(process.env.RINGWAY_FUZZ_ROUNDS ?? 100_000);
const WATCHDOG_MS = 120_000 + ROUNDS;

describe('a damaged segment', () => {
  it(
    `gives results or errors of ours, ${ROUNDS} times`,
    async () => {
      const notes = `${segmentDirectory()}/round`;
      const child = spawn(process.execPath, ['--expose-gc', PROGRAM, String(seed), String(ROUNDS), notes], {
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let output = '';
      let errors = '';
      child.stdout.on('data', (text) => {
        output += text;
      });
      child.stderr.on('data', (text) => {
        errors += text;
      });
      process.once('exit', () => child.kill('SIGKILL'));
      const watchdog = setTimeout(() => child.kill('SIGKILL'), WATCHDOG_MS);
      const end = await new Promise((resolve) =>
        child.on('close', (code, signal) => resolve(`code ${code}, signal ${signal}`)),
      );
      clearTimeout(watchdog);
      const round = readFileSync(notes, 'utf8');
      rmSync(notes);
      rmSync(`${segmentDirectory()}/ringway-fuzz`, { force: true });
      expect(end, `in round ${round}:\n${errors}`).toBe('code 0, signal null');
      expect(errors).toBe('');
      const counts = JSON.parse(output) as Record<string, number>;
      console.log(JSON.stringify(counts));
      // It went where it should: through the door, and into every kind of trouble.
      const { attached = 0, refused = 0, done = 0, ERR_RINGWAY_CORRUPT_SEGMENT: corrupt = 0 } = counts;
      expect(attached + refused).toBe(ROUNDS);
      expect(attached).toBeGreaterThan(ROUNDS / 3);
      expect(refused).toBeGreaterThan(ROUNDS / 20);
      expect(done).toBeGreaterThan(2 * ROUNDS);
      expect(corrupt - refused).toBeGreaterThan(ROUNDS / 20);
      expect(Object.keys(counts).sort()).toEqual(
        expect.arrayContaining(['ERR_RINGWAY_ROLE_TAKEN', 'ERR_RINGWAY_PEER_DIED', 'ERR_RINGWAY_END', 'EPIPE']),
      );
    },
    WATCHDOG_MS + 10_000,
  );
});

for (const backend of BACKENDS) {
  describe(`what cannot be is a CorruptSegmentError, over ${backend}`, () => {
    const make = (alignment: 8 | 64 = 8) => opening(SpscRing.create({ capacity: 512, backend, alignment }));
    // tail, head: further apart than the capacity, the wrong way round, or in the middle of a header.
    const positions: [tail: number, head: number, alignment?: 8 | 64][] = [
      [520, 0],
      [0, 8],
      [0, 512],
      [2 ** 31, 0],
      [4, 0],
      [2, 0],
      [16, 12],
      [64, 8, 64],
      [32, 0, 64],
      [2 ** 32 - 4, 2 ** 32 - 8],
    ];

    it('positions, when an end is taken', () => {
      for (const [tail, head, alignment] of positions) {
        for (const end of ['producer', 'consumer'] as const) {
          const ring = make(alignment);
          pokeBody(ring, SpscHeader.tail, tail);
          pokeBody(ring, SpscHeader.head, head);
          expect(
            thrownBy(() => ring[end]()),
            `${end} ${tail} ${head}`,
          ).toBeInstanceOf(CorruptSegmentError);
          // The role was not kept.
          pokeBody(ring, SpscHeader.tail, 0);
          pokeBody(ring, SpscHeader.head, 0);
          ring[end]();
          ring.close();
        }
      }
    });

    it('a tail that a consumer meets, and nothing is consumed', async () => {
      for (const [tail, head, alignment] of positions) {
        if (head !== 0) continue;
        const ring = make(alignment);
        const consumer = ring.consumer();
        ring.producer();
        pokeBody(ring, SpscHeader.tail, tail);
        if ((tail & ~Constants.asleepBit) === 0) continue;
        for (const error of [
          thrownBy(() => consumer.tryPop()),
          thrownBy(() => consumer.tryPopMany(3)),
          thrownBy(() => consumer.tryPeek()),
          thrownBy(() => consumer.drain(() => {})),
          thrownBy(() => consumer.popSync({ timeoutMs: 0 })),
          thrownBy(() => consumer.ended),
          await rejectionOf(consumer.pop()),
        ]) {
          expect(error, String(tail)).toBeInstanceOf(CorruptSegmentError);
        }
        pokeBody(ring, SpscHeader.tail, 0);
        ring.producer().tryPush(recordOf(3));
        expect(consumer.tryPop()).toEqual(recordOf(3));
        ring.close();
      }
    });

    it('a head that a producer meets, and nothing is pushed', async () => {
      for (const head of [520, 4, 2 ** 31, 2 ** 32 - 8]) {
        const ring = make();
        ring.consumer();
        const producer = ring.producer();
        const pushed = fill(producer);
        pokeBody(ring, SpscHeader.head, head);
        for (const error of [
          thrownBy(() => producer.tryPush(recordOf(8))),
          thrownBy(() => producer.tryPushMany([recordOf(8)])),
          thrownBy(() => producer.tryClaim(8)),
          thrownBy(() => producer.pushSync(recordOf(8), { timeoutMs: 0 })),
          await rejectionOf(producer.push(recordOf(8))),
        ]) {
          expect(error, String(head)).toBeInstanceOf(CorruptSegmentError);
        }
        pokeBody(ring, SpscHeader.head, 0);
        expect(ring.consumer().tryPopMany(99)).toHaveLength(pushed);
        ring.close();
      }
    });

    it('a record that cannot be one, and those before it are read', () => {
      const second = SpscHeader.data + 16;
      for (const [byteLength, flags] of [
        [249, 0],
        [2 ** 32 - 1, 0],
        [2 ** 31, 0],
        [2 ** 32 - 8, 0],
        [9, 0], // More than was published.
        [8, 2],
        [8, 2 ** 31],
        [0, 1], // Padding that reaches over what was published.
      ] as const) {
        const ring = make();
        const producer = ring.producer();
        const consumer = ring.consumer();
        producer.tryPushMany([recordOf(8, 1), recordOf(8, 2)]);
        pokeBody(ring, second, byteLength);
        pokeBody(ring, second + 4, flags);
        expect(thrownBy(() => consumer.tryPopMany(9))).toBeInstanceOf(CorruptSegmentError);
        expect(consumer.tryPop(), 'not consumed by the call that failed').toEqual(recordOf(8, 1));
        for (const call of [() => consumer.tryPop(), () => consumer.tryPeek(), () => consumer.drain(() => {})]) {
          expect(thrownBy(call), `${byteLength} ${flags}`).toBeInstanceOf(CorruptSegmentError);
        }
        ring.close();
      }
    });

    it('a role that nobody can hold, for those who take it and those who wait for its holder', async () => {
      const held = (participant: number) => Constants.roleHeld | (participant << Constants.roleIdShift);
      for (const word of [4, 5, 7, 2 ** 32 - 1, held(64), held(4095), held(2 ** 28)]) {
        const ring = make();
        pokeBody(ring, SpscHeader.producer, word);
        expect(
          thrownBy(() => ring.producer()),
          String(word),
        ).toBeInstanceOf(CorruptSegmentError);
        const consumer = ring.consumer();
        for (const error of [
          await rejectionOf(consumer.pop({ timeoutMs: 10_000 })),
          thrownBy(() => consumer.popSync({ timeoutMs: 10_000 })),
          await rejectionOf(ring.takeProducer({ timeoutMs: 10_000 })),
        ]) {
          expect(error, String(word)).toBeInstanceOf(CorruptSegmentError);
        }
        ring.close();
      }
    });
  });
}
