// Segments with damaged headers and bodies: whatever is in them, only results and errors of ours come out, never a crash
// or a hang.
import { spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { segmentDirectory, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, seed } from './helpers/random.js';

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
