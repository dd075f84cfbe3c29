// Both ends of a ring are killed at random moments, hundreds of times, and replaced. What they acknowledged outside of
// the ring tells whether anything was lost, torn or invented (helpers/kill-oracle.ts). Others are stopped, and nobody
// may take their place while they are. No test's timer tells an end that its peer is gone.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SpscRing, type SpscRingOptions } from 'ringway';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SpscHeader } from '../src/layout.js';
import { freshName, useOwnDirectory } from './helpers/directory.js';
import { type ConsumerLife, type Form, judge, type ProducerLife } from './helpers/kill-oracle.js';
import { type Engine, Peer, watched } from './helpers/peers.js';
import { announceSeed, Random, seed } from './helpers/random.js';
import { pokeBody, until } from './helpers/rings.js';
import { PATIENCE, TIMES } from './helpers/torture.js';

const WATCHDOG_MS = 80_000 * PATIENCE;
const PARTICIPANTS = 8; // Few, so that ids are reused all the time.

useOwnDirectory();
announceSeed('spsc-kill');

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ringway-kill-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Side = 'producer' | 'consumer';
const other = (side: Side): Side => (side === 'producer' ? 'consumer' : 'producer');

const POPS = ['pop', 'peek', 'drain'];
const FORMS: Record<Side, Record<Engine, string[]>> = {
  producer: { 'c++': ['one', 'claim', 'many'], ts: ['one', 'claim', 'many', 'write'] },
  consumer: { 'c++': POPS, ts: POPS },
};

interface Life {
  peer: Peer;
  number: number;
  form: string;
  gone: 'throw' | 'wait';
  acks: string;
}

interface Tally {
  kills: number;
  stops: number;
  /** Deaths that the other end was seen to learn of by itself. */
  learnt: number;
  typescript: number;
}

// A ring, both of its ends, and all that lived before them.
class Arena {
  readonly tally: Tally = { kills: 0, stops: 0, learnt: 0, typescript: 0 };
  readonly lives: Record<Side, Life[]> = { producer: [], consumer: [] };
  readonly ring: SpscRing;
  readonly #random: Random;
  readonly #max: number;
  readonly #typescriptOneIn: number;

  constructor(ring: SpscRing, random: Random, max: number, typescriptOneIn: number) {
    this.ring = ring;
    this.#random = random;
    this.#max = max;
    this.#typescriptOneIn = typescriptOneIn;
  }

  now(side: Side): Life {
    return this.lives[side].at(-1) as Life;
  }

  start(side: Side, final = false): Life {
    const random = this.#random;
    const engine: Engine = !final && random.below(this.#typescriptOneIn) === 0 ? 'ts' : 'c++';
    const number = this.lives[side].length + 1;
    const form = final ? 'pop' : random.pick(FORMS[side][engine]);
    const gone = random.pick(['throw', 'throw', 'wait'] as const);
    const acks = join(folder, `${this.ring.name}-${side}-${number}`);
    const peer = new Peer(engine, side === 'producer' ? 'produce-on' : 'consume-on', {
      ring: this.ring.name as string,
      seed,
      max: this.#max,
      epoch: number,
      ack: acks,
      form,
      gone: final ? 'end' : gone,
      ...(engine === 'ts' && { calls: random.pick(['blocking', 'async']) }),
    });
    if (engine === 'ts') this.tally.typescript++;
    const life: Life = { peer, number, form, gone, acks };
    this.lives[side].push(life);
    return life;
  }

  // A while of which nothing depends but where the victim happens to be: microseconds to milliseconds.
  async whateverLong(): Promise<void> {
    const random = this.#random;
    if (random.below(4) === 0) return;
    for (let turns = random.below(50); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
    if (random.below(2) === 0) await new Promise((resolve) => setTimeout(resolve, random.below(8)));
  }

  // Kills `sides`, lets the survivor learn of it, and puts replacements in their places.
  async kill(sides: Side[]): Promise<void> {
    const victims = sides.map((side) => this.now(side));
    for (const { peer } of victims) peer.signal('SIGKILL');
    for (const { peer } of victims) {
      const end = await peer.ended;
      if (end.signal !== 'SIGKILL') throw peer.failure(`ended with code ${end.code} before it was killed`);
    }
    this.tally.kills += sides.length;
    const [victim] = victims;
    if (sides.length === 1 && victim?.peer.wasReady) await this.learns(this.now(other(sides[0] as Side)));
    for (const side of sides) this.start(side);
  }

  // A survivor that has not yet got over the last death, or waits for replacements anyway, has nothing to tell.
  async learns(survivor: Life): Promise<void> {
    if (survivor.gone !== 'throw' || survivor.peer.lastLine === 'peer-died' || survivor.peer.lastLine === undefined)
      return;
    await survivor.peer.nextLine('peer-died');
    this.tally.learnt++;
  }

  // Stops an end. Nobody else gets its role, however often they ask, and the other end waits.
  async stop(side: Side): Promise<void> {
    const { peer } = this.now(side);
    const survivor = this.now(other(side)).peer;
    await Promise.all([peer, survivor].map((each) => each.ready()));
    peer.signal('SIGSTOP');
    await until(() => isStopped(peer.pid));
    const { parks } = this.ring.stats();
    const said = survivor.lastLine;
    const challenger = new Peer(this.#random.below(4) === 0 ? 'ts' : 'c++', 'challenge', {
      ring: this.ring.name as string,
      form: side,
      count: 100,
    });
    if ((await challenger.ended).code !== 0) throw challenger.failure('was not refused');
    // The other end goes to sleep, wakes up to ask who lives, and sleeps again.
    if (this.ring.wait !== 'spin') await until(() => this.ring.stats().parks >= parks + 2);
    if (survivor.lastLine !== said && survivor.lastLine === 'peer-died') {
      throw survivor.failure('took a stopped process for a dead one');
    }
    this.tally.stops++;
    const { popped } = this.ring.stats();
    if (this.#random.below(3) === 0) return this.kill([side]);
    peer.signal('SIGCONT');
    await until(() => this.ring.stats().popped !== popped);
  }

  // Kills both, lets a last consumer read the rest, and judges.
  async end(mostRepeated: number): Promise<ReturnType<typeof judge>> {
    for (const side of ['producer', 'consumer'] as const) this.now(side).peer.signal('SIGKILL');
    for (const side of ['producer', 'consumer'] as const) await this.now(side).peer.ended;
    const last = this.start('consumer', true);
    const { code } = await last.peer.ended;
    if (code !== 0) throw last.peer.failure(`ended with code ${code}`);
    return judge(this.lives.producer.map(producerLife), this.lives.consumer.map(consumerLife), mostRepeated);
  }
}

function acknowledged(life: Life): Uint32Array {
  if (!existsSync(life.acks)) return new Uint32Array(2); // Killed before it had begun.
  const bytes = readFileSync(life.acks);
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
}

function producerLife(life: Life): ProducerLife {
  const words = acknowledged(life);
  return { epoch: life.number, attempted: words[0] ?? 0, published: words[1] ?? 0 };
}

function consumerLife(life: Life): ConsumerLife {
  const words = acknowledged(life);
  const runs = Array.from({ length: words[0] ?? 0 }, (_, run) => {
    const [epoch, first, last] = words.subarray(3 * run + 1, 3 * run + 4) as unknown as [number, number, number];
    return { epoch, first, last };
  });
  return { life: life.number, form: life.form as Form, runs };
}

function isStopped(pid: number): boolean {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return stat[stat.lastIndexOf(')') + 2] === 'T';
}

interface Plan {
  ring: Omit<SpscRingOptions, 'name' | 'capacity'> & { capacity: number };
  max: number;
  kills: number;
  stops: number;
  typescriptOneIn: number;
}

async function run({ ring, max, kills, stops, typescriptOneIn }: Plan): Promise<void> {
  const random = new Random(seed + ring.capacity);
  const name = freshName();
  using made = SpscRing.create({ ...ring, name, maxParticipants: PARTICIPANTS });
  try {
    const start = (2 ** 32 - 64 * made.capacity) >>> 0;
    for (const position of [SpscHeader.tail, SpscHeader.head]) pokeBody(made, position, start, PARTICIPANTS);
    const arena = new Arena(made, random, max, typescriptOneIn);
    await watched(WATCHDOG_MS, async () => {
      arena.start('producer');
      arena.start('consumer');
      let stopsLeft = stops;
      // And on until a survivor was in a state to learn of a death: about every fifth is.
      while (arena.tally.kills < kills || stopsLeft > 0 || arena.tally.learnt === 0) {
        const side = random.pick(['producer', 'consumer'] as const);
        if (stopsLeft > 0 && (arena.tally.kills >= kills || random.below(Math.ceil(kills / stops)) === 0)) {
          stopsLeft--;
          await arena.stop(side);
          continue;
        }
        const sides: Side[] = random.below(8) === 0 ? ['producer', 'consumer'] : [side];
        // Mostly in the middle of its work; now and then while it starts, attaches and takes its role.
        if (random.below(4) !== 0) await Promise.all(sides.map((each) => arena.now(each).peer.ready()));
        await arena.whateverLong();
        await arena.kill(sides);
      }
      const stride = Math.ceil(16 / made.alignment) * made.alignment; // Of the shortest record.
      const verdict = await arena.end(made.capacity / 4 / stride + 1);
      console.log(`spsc-kill: ${JSON.stringify({ ...arena.tally, ...verdict })}`);
      expect(verdict.records).toBeGreaterThan(0);
    });
  } finally {
    SpscRing.unlink(name);
  }
}

describe('ends that are killed and stopped', () => {
  const timeout = { timeout: WATCHDOG_MS + 10_000 };
  const kills = 125 * TIMES;
  const stops = 10 * TIMES;

  it('lose and invent nothing in a small ring that parks', timeout, async () => {
    await run({ ring: { capacity: 1024, wait: 'park' }, max: 200, kills, stops, typescriptOneIn: 8 });
  });

  it('lose and invent nothing in a ring that adapts', timeout, async () => {
    await run({ ring: { capacity: 1 << 14 }, max: 400, kills, stops, typescriptOneIn: 8 });
  });

  it('lose and invent nothing in a ring at multiples of 64', timeout, async () => {
    await run({ ring: { capacity: 4096, alignment: 64 }, max: 1000, kills, stops, typescriptOneIn: 8 });
  });

  it('lose and invent nothing in a ring that spins', timeout, async () => {
    await run({ ring: { capacity: 1 << 16, wait: 'spin' }, max: 100, kills, stops, typescriptOneIn: 8 });
  });
});
