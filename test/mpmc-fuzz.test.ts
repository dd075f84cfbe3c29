// A hostile process writes nonsense into every word of a many-to-many ring while others use it: only results and errors of
// ours come out, and every call ends.
import { MpmcRing } from 'ringway';
import { describe, expect, it } from 'vitest';
import { bodyOffsetFor, MpmcHeader, MpmcSlot } from '../src/layout.js';
import { opening, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random, seed } from './helpers/random.js';
import { type Context, startProcess } from './helpers/remote.js';
import { BACKENDS, fileOf } from './helpers/rings.js';
import { PATIENCE, TIMES } from './helpers/torture.js';

useOwnDirectory();
announceSeed('mpmc-fuzz');

const SLOTS = 4;
const PARTICIPANTS = 8;
const TURNS = Math.ceil(TIMES);
const OPERATIONS = 25_000 * Math.min(1, TIMES); // Of each user in each turn.
const ROUNDS = 300 * Math.min(1, TIMES);

// What a hostile process writes: nonsense, small numbers, words of other places, and now and then the sound image, so that
// the others get somewhere. Until it is killed.
function scribble({ fs }: Context, file: string, offsets: number[], from: number) {
  const sound = fs.readFileSync(file);
  const target = fs.openSync(file, 'r+');
  let state = from;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 8;
  };
  const word = new Uint32Array(1);
  const bytes = new Uint8Array(word.buffer);
  for (;;) {
    const offset = offsets[random() % offsets.length] as number;
    const kind = random() % 8;
    if (kind === 0) {
      for (const each of offsets) fs.writeSync(target, sound, each, 4, each);
      continue;
    }
    if (kind === 1) fs.readSync(target, bytes, 0, 4, offsets[random() % offsets.length] as number);
    else if (kind < 4) word[0] = random() % 64;
    else if (kind < 6) word[0] = ((random() % 64) << 15) | (random() % 64);
    else word[0] = (random() << 8) | (random() & 255);
    fs.writeSync(target, bytes, 0, 4, offset);
  }
}

// Every call of a ring, at random; how often each outcome came. Whatever is not one of ours is thrown.
async function use({ ringway }: Context, handle: never, operations: number, from: number) {
  let state = from;
  const below = (end: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % end;
  };
  const counts: Record<string, number> = { done: 0 };
  const ours = (error: unknown) => {
    if (!(error instanceof ringway.RingwayError)) throw error;
    counts[error.code] = (counts[error.code] ?? 0) + 1;
    return null;
  };
  const attempt = <Result>(call: () => Result): Result | null => {
    try {
      const result = call();
      counts.done++;
      return result;
    } catch (error) {
      return ours(error);
    }
  };
  const checked = (bytes: Uint8Array | null) => {
    if (bytes !== null && bytes.length > 40) throw new Error(`a message of ${bytes.length} bytes`);
  };
  let ring: ReturnType<typeof ringway.MpmcRing.attach> | null = null;
  let held: { close: () => void }[] = [];
  const hold = (close: () => void) => {
    held.push({ close });
    if (held.length < 3 && below(2) === 0) return;
    for (const each of held) attempt(each.close);
    held = [];
  };
  const message = new Uint8Array(20).fill(7);
  for (let count = 0; count < operations; count++) {
    if (ring === null) {
      ring = attempt(() => ringway.MpmcRing.attach(handle));
      continue;
    }
    const used = ring;
    switch (below(300) === 0 ? 20 + below(6) : below(10)) {
      case 0:
      case 1:
        attempt(() => used.tryPush(message));
        break;
      case 2:
        attempt(() => used.tryPushMany([message, message, message]));
        break;
      case 3: {
        const claim = attempt(() => used.tryClaim(30));
        if (claim !== null) hold(below(2) === 0 ? () => claim.commit(below(30)) : () => claim.abort());
        break;
      }
      case 4:
      case 5:
        checked(attempt(() => used.tryPop()));
        break;
      case 6:
        for (const bytes of attempt(() => used.tryPopMany(5)) ?? []) checked(bytes);
        break;
      case 7: {
        const lease = attempt(() => used.tryTake());
        if (lease === null) break;
        checked(lease.bytes);
        if (lease.deliveries < 1) throw new Error(`${lease.deliveries} deliveries`);
        hold(below(2) === 0 ? () => lease.ack() : () => lease.nack());
        break;
      }
      case 8:
        attempt(() => used.stats());
        break;
      case 9:
        attempt(() => used.ended);
        break;
      case 20:
        attempt(() => used.pushSync(message, { timeoutMs: below(3) }));
        break;
      case 21:
        checked(attempt(() => used.popSync({ timeoutMs: below(3) })));
        break;
      case 22:
        await used.push(message, { timeoutMs: below(3) }).catch(ours);
        break;
      case 23:
        checked(await used.pop({ timeoutMs: below(3) }).catch(ours));
        break;
      case 24:
        if (below(4) === 0) attempt(() => used.end());
        break;
      default:
        used.close(); // With what it holds; never an error.
        held = [];
        ring = null;
    }
  }
  ring?.close();
  return counts;
}

// Each round writes nonsense once and leaves it: what waits without a limit leaves the event loop alive, and ends with the
// handle.
async function waitOnNonsense(
  { ringway, fs }: Context,
  backend: 'shm' | 'sab',
  offsets: number[],
  rounds: number,
  from: number,
) {
  let state = from;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 8;
  };
  const counts: Record<string, number> = {};
  const count = (what: string) => {
    counts[what] = (counts[what] ?? 0) + 1;
  };
  for (let round = 0; round < rounds; round++) {
    const ring = ringway.MpmcRing.create({
      slots: 4,
      slotByteLength: 40,
      maxParticipants: 8,
      backend,
      wait: round % 2 ? 'park' : 'adaptive',
    });
    for (let messages = random() % 5; messages > 0; messages--) ring.tryPush(new Uint8Array(3));
    const { handle } = ring;
    const word = new Uint32Array(1);
    for (let pokes = 1 + (random() % 4); pokes > 0; pokes--) {
      const offset = offsets[random() % offsets.length] as number;
      const kind = random() % 4;
      word[0] =
        kind === 0
          ? (random() << 8) | (random() & 255)
          : kind === 1
            ? ((random() % 64) << 15) | (random() % 64)
            : random() % 24;
      if (handle.backend === 'sab') new Uint32Array(handle.memory)[offset >> 2] = word[0];
      else {
        const file = fs.openSync(`${process.env.RINGWAY_SHM_DIR}/ringway${handle.name}`, 'r+');
        fs.writeSync(file, new Uint8Array(word.buffer), 0, 4, offset);
        fs.closeSync(file);
      }
    }
    const message = new Uint8Array(8);
    const pending: Promise<unknown>[] = [];
    for (let i = 0; i < 6; i++) pending.push(ring.push(message), ring.claim(8));
    for (let i = 0; i < 6; i++) pending.push(ring.pop(), ring.take());
    const settled = Promise.allSettled(pending);
    await new Promise((resolve) => setTimeout(resolve, 1));
    try {
      ring.pushSync(message, { timeoutMs: 1 });
    } catch (error) {
      if (!(error instanceof ringway.RingwayError)) throw error;
    }
    ring.close();
    for (const outcome of await settled) {
      if (outcome.status === 'fulfilled') count('done');
      else if (outcome.reason instanceof ringway.RingwayError) count(outcome.reason.code);
      else throw outcome.reason;
    }
  }
  return counts;
}

const slotsOffset = (maxParticipants: number) => MpmcHeader.counters + maxParticipants * 128;
const STRIDE = 64;

// Words that decide something: hints, states, cells, lengths, positions, event counts, the end.
function wordsOf(maxParticipants: number): number[] {
  const body = bodyOffsetFor(maxParticipants);
  const { tail, head, ended, filled, quiet, freed } = MpmcHeader;
  const header = [tail, head, tail, head, ended, filled, filled + 4, quiet, quiet + 4, freed, freed + 4];
  const slot = [MpmcSlot.state, MpmcSlot.order, MpmcSlot.order + 4, MpmcSlot.byteLength, MpmcSlot.position];
  const offsets = header.map((offset) => body + offset);
  for (let index = 0; index < SLOTS; index++) {
    const start = body + slotsOffset(maxParticipants) + index * STRIDE;
    for (const offset of [...slot, MpmcSlot.state, MpmcSlot.order]) offsets.push(start + offset);
  }
  return offsets;
}

describe('a hostile process scribbles over a many-to-many ring', () => {
  for (const fixedToo of [false, true]) {
    const what = fixedToo ? 'the header too, which newcomers read' : 'what changes';
    it(
      `those who use it get results or errors of ours: ${what}`,
      async () => {
        const random = new Random(seed);
        const offsets = wordsOf(PARTICIPANTS);
        if (fixedToo) {
          const body = bodyOffsetFor(PARTICIPANTS);
          for (let offset = 0; offset < 24; offset += 4) offsets.push(body + offset); // MpmcHeader's fixed fields.
          for (let offset = 0; offset < 64; offset += 4) offsets.push(offset); // Those of the segment.
        }
        const users = [await startProcess(), await startProcess()];
        for (let turn = 0; turn < TURNS; turn++) {
          const ring = opening(MpmcRing.create({ slots: SLOTS, slotByteLength: 40, maxParticipants: PARTICIPANTS }));
          const hostile = await startProcess();
          await hostile.start(scribble, fileOf(ring), offsets, random.next());
          const counts = await Promise.all(
            users.map((user) => user.run(use as never, ring.handle, OPERATIONS, random.next())),
          );
          await hostile.kill();
          ring.close();
          if (turn === 0) console.log(JSON.stringify(counts));
          for (const count of counts as Record<string, number>[]) {
            expect(count.done, JSON.stringify(count)).toBeGreaterThan(OPERATIONS / 50);
            expect(count.ERR_RINGWAY_CORRUPT_SEGMENT).toBeGreaterThan(0);
          }
        }
      },
      60_000 * PATIENCE,
    );
  }
});

for (const backend of BACKENDS) {
  describe(`waiting on nonsense, over ${backend}`, () => {
    it(
      'leaves the event loop alive and ends with the handle',
      async () => {
        const waiting = await startProcess();
        const random = new Random(seed);
        for (let turn = 0; turn < TURNS; turn++) {
          const counts = await waiting.run(
            waitOnNonsense as never,
            backend,
            wordsOf(PARTICIPANTS),
            ROUNDS,
            random.next(),
          );
          if (turn === 0) console.log(JSON.stringify(counts));
          expect(counts).toMatchObject({ ERR_RINGWAY_CLOSED: expect.any(Number), done: expect.any(Number) });
        }
      },
      60_000 * PATIENCE,
    );
  });
}
