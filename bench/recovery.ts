// How long others need to go on after a process was killed: one that holds a message, one that reads a broadcast and is
// behind, and one that is to get the next permit of a semaphore; here they are the same process. From the kill() on.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { BroadcastRing, MpmcRing, type SegmentHandle, Semaphore } from 'ringway';
import { keep } from './pair.js';
import { duration, median, Neighbours, neighboursText, printTable } from './report.js';

export interface RecoveryResult {
  label: string;
  medianMs: number;
}

/** What the victim attaches to. */
export interface Handles {
  jobs: SegmentHandle;
  news: SegmentHandle;
  permits: SegmentHandle;
}

const CHILD = fileURLToPath(new URL('recovery-child.js', import.meta.url));
const LIMIT_MS = 20_000;

const WAITS = {
  consumer: 'consumer waits for what a worker held',
  publisher: 'publisher waits for a subscriber',
  semaphore: 'semaphore, the next in turn is killed',
} as const;
type Wait = keyof typeof WAITS;

/** For how long the others have waited when the kill comes: the longer they have, the less often they look. */
const AGES = [
  { label: 'just begun to wait', mostMs: 0, atOnce: 1 },
  { label: 'waited for up to 1 s', mostMs: 1000, atOnce: 4 },
];

export async function measureRecovery(kills: number): Promise<readonly RecoveryResult[]> {
  const neighbours = new Neighbours();
  const results: RecoveryResult[] = [];
  const rows: string[][] = [];
  for (const { label, mostMs, atOnce } of AGES) {
    const tookMs: Record<Wait, number[]> = { consumer: [], publisher: [], semaphore: [] };
    let left = kills;
    const lane = async () => {
      while (left-- > 0) {
        const took = await killOne(Math.random() * mostMs);
        for (const wait of Object.keys(WAITS) as Wait[]) tookMs[wait].push(took[wait]);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, lane));
    for (const [wait, text] of Object.entries(WAITS)) {
      const sorted = tookMs[wait as Wait].sort((a, b) => a - b);
      const p99 = sorted[Math.ceil(0.99 * sorted.length) - 1];
      const row = { label: `${text}, ${label}`, medianMs: median(sorted) };
      results.push(row);
      rows.push([row.label, ...[row.medianMs, p99, sorted.at(-1) ?? NaN].map((ms) => duration(ms * 1e6))]);
    }
  }
  printTable(
    `### Going on after a SIGKILL, ${kills} kills a row (${neighboursText(neighbours.share)})`,
    ['', 'median', 'p99', 'max'],
    rows,
  );
  return results;
}

/** What it took each of those who wait, in milliseconds. */
async function killOne(ageMs: number): Promise<Record<Wait, number>> {
  using jobs = MpmcRing.create({ slots: 2, slotByteLength: 64, backend: 'shm' });
  using news = BroadcastRing.create({ slots: 2, slotByteLength: 64, onSlow: 'block', backend: 'shm' });
  using permits = new Semaphore(0, { max: 1, backend: 'shm' });
  const message = new Uint8Array(64);
  jobs.tryPush(message);
  const victim = await startVictim({ jobs: jobs.handle, news: news.handle, permits: permits.handle });
  try {
    const publisher = news.publisher();
    while (publisher.tryPublish(message));
    const options = { timeoutMs: LIMIT_MS };
    let killedAt = NaN;
    const since = async (waiting: Promise<unknown>) => {
      if ((await waiting) === false) throw new Error(`no permit came within ${LIMIT_MS} ms`);
      return performance.now() - killedAt;
    };
    const going = [jobs.pop(options), publisher.publish(message, options), permits.acquire(options)];
    const took = Promise.all(going.map(since));
    if (ageMs > 0) await Promise.race([took, new Promise((resolve) => setTimeout(resolve, ageMs))]);
    killedAt = performance.now();
    victim.kill('SIGKILL');
    permits.release();
    const [consumer, publishing, semaphore] = await took;
    if (!(consumer > 0 && publishing > 0 && semaphore > 0)) throw new Error('somebody went on before the kill');
    return { consumer, publisher: publishing, semaphore };
  } finally {
    victim.kill('SIGKILL');
  }
}

async function startVictim(handles: Handles) {
  const victim = keep(
    spawn(process.execPath, [CHILD, JSON.stringify(handles)], { stdio: ['ignore', 'pipe', 'inherit'] }),
  );
  await new Promise((resolve, reject) => {
    victim.stdout?.once('data', resolve);
    victim.once('error', reject);
    victim.once('close', (code) => reject(new Error(`the process to be killed ended by itself with ${code}`)));
  });
  return victim;
}
