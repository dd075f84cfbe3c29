// A process dies at a random moment while it uses a queue, a connection both ways and calls at once; others go on with
// the same queue. What it had put and sent arrives once and whole, nobody waits for it, and nothing of it is left.
import { EndOfStreamError, expose, Pipe, Queue, SharedArray, wrap } from 'ringway';
import { describe, expect, it } from 'vitest';
import { opening, segmentFiles, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random, seed } from './helpers/random.js';
import { type Context, type RemoteProcess, startProcess } from './helpers/remote.js';
import { rejectionOf, until } from './helpers/rings.js';
import { stopped } from './helpers/steps.js';
import { TIMES } from './helpers/torture.js';
import {
  AGAIN,
  CAPACITY,
  check,
  type Item,
  idOf,
  itemOf,
  LOG,
  NACKED,
  Note,
  Notes,
  PAGE,
  PRODUCERS,
  type Service,
} from './programs/channel-kill.js';

useOwnDirectory();
announceSeed('channel-kill');

const ROUNDS = TIMES > 1 ? 200 : Math.ceil(40 * TIMES);
const PROGRAM = new URL('../build/ts/test/programs/channel-kill.js', import.meta.url).href;
const ROUND_LIMIT_MS = 30_000;

type Program = typeof import('./programs/channel-kill.js');

const survive = async ({ ringway, load }: Context, program: string, ...rest: unknown[]) =>
  ((await load(program)) as Program).survive(ringway, ...(rest as [never, never, never]));
const die = async ({ ringway, load }: Context, program: string, ...rest: unknown[]) =>
  ((await load(program)) as Program).die(ringway, ...(rest as [never, never]));

/** What was promised, or an error that says what everybody was doing. */
async function watched<Result>(work: Promise<Result>, describeAll: () => string): Promise<Result> {
  let watchdog: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    watchdog = setTimeout(() => reject(new Error(`it hangs; ${describeAll()}`)), ROUND_LIMIT_MS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(watchdog);
  }
}

interface Judged {
  values: number;
  inHand: number;
  again: number;
}

/** Counts every value of a round, by what the three wrote down. */
function judge(notes: Notes[]): Judged {
  const consumed = new Map<number, number>();
  const firstTaken = new Set<number>();
  const taken = new Set<number>();
  const nacked = new Set<number>();
  const again = new Set<number>();
  const wrong: string[] = [];
  const name = (id: number) => `value ${id % 1_000_000} of producer ${Math.floor(id / 1_000_000)}`;
  const consume = (id: number) => {
    consumed.set(id, (consumed.get(id) ?? 0) + 1);
    if (consumed.get(id) === 2) wrong.push(`${name(id)} was done twice`);
  };
  for (const each of notes) {
    for (const id of each.logged('got')) consume(id);
    for (const entry of each.logged('took')) {
      const id = entry & ~AGAIN;
      taken.add(id);
      if ((entry & AGAIN) !== 0) again.add(id);
      else if (firstTaken.has(id)) wrong.push(`${name(id)} came again and did not say so`);
      else firstTaken.add(id);
    }
    for (const entry of each.logged('ended')) {
      if ((entry & NACKED) === 0) consume(entry);
      else nacked.add(entry & ~NACKED);
    }
  }
  // The victim had one value that it got and could not write down, at most; and one lease, which it may have ended if it
  // had begun to.
  const victim = notes[PRODUCERS.victim] as Notes;
  const took = victim.logged('took').map((entry) => entry & ~AGAIN);
  const held = took.length > victim.read(Note.ended) ? took.at(-1) : undefined;
  const mayBeDone = victim.read(Note.ending) > victim.read(Note.ended) ? held : undefined;
  let inHand = 0;
  for (const [producer, each] of notes.entries()) {
    const [started, put] = [each.read(Note.putStarted), each.read(Note.put)];
    for (let number = 0; number < put; number++) {
      const id = idOf({ producer, number });
      if (consumed.has(id) || id === mayBeDone) continue;
      if (++inHand > 1) wrong.push(`${name(id)} is lost`);
    }
    for (const id of consumed.keys()) {
      if (Math.floor(id / 1_000_000) === producer && id % 1_000_000 >= started) wrong.push(`${name(id)} was never put`);
    }
  }
  const unexplained = [...again].filter((id) => !nacked.has(id) && id !== held);
  if (unexplained.length > 2) wrong.push(`${unexplained.map(name)} came again though nobody gave them back`);
  // First deliveries to one consumer are in the order of the puts, per producer.
  let behind = 0;
  for (const [who, each] of notes.entries()) {
    const tookFirst = each.logged('took').filter((entry) => (entry & AGAIN) === 0);
    const outOfOrder = (ids: number[]) => {
      const last = new Map<number, number>();
      return ids.filter((id) => {
        const producer = Math.floor(id / 1_000_000);
        const isBehind = id < (last.get(producer) ?? -1);
        if (!isBehind) last.set(producer, id);
        return isBehind;
      });
    };
    for (const id of outOfOrder(tookFirst)) wrong.push(`${name(id)} came to process ${who} behind a later one`);
    // What get() gives does not say whether it came again.
    behind += outOfOrder(each.logged('got').filter((id) => !taken.has(id))).length;
  }
  if (behind > 2) wrong.push(`${behind} values were got behind later ones`);
  expect(wrong).toEqual([]);
  return { values: consumed.size, inHand, again: again.size };
}

describe('a process that dies while it uses everything at once', () => {
  it('takes nothing along and holds up nobody', async () => {
    const memory = opening(new SharedArray('int32', 4 * PAGE));
    const pages = Object.values(PRODUCERS).map((process) => new Notes(memory.view as Int32Array, process));
    const [victimNotes, firstNotes, secondNotes, ownNotes] = pages as [Notes, Notes, Notes, Notes];
    const survivors = [await startProcess(), await startProcess()];
    const total = { values: 0, inHand: 0, again: 0, sent: 0, calls: 0, stops: 0 };
    let starting = startProcess();

    for (let round = 0; round < ROUNDS; round++) {
      const random = new Random(seed + round);
      memory.view.fill(0);
      const queue = new Queue<Item>({ maxSize: 24, capacity: CAPACITY, maxParticipants: 8 });
      const [end, victimEnd] = Pipe<Item>({ capacity: 8192 });
      const [calling, called] = Pipe<unknown>({ capacity: 8192 });
      const victim = await starting;
      starting = startProcess(); // The next one starts while this one dies.
      starting.catch(() => {});
      const bySteps = random.below(2) === 0;
      const plan = bySteps ? `at step ${1 + random.below(12_000)}` : `after ${1 + random.below(3000)} operations`;
      const at = Number(/\d+/.exec(plan)?.[0]);
      const mayStop = random.below(3) === 0;
      let phase = 'working';
      const state = () =>
        [
          `round ${round}, RINGWAY_TEST_SEED=${seed}, death ${plan}${mayStop ? ', stopped before' : ''}; ${phase}`,
          ...pages.map((page, i) => `${Object.keys(PRODUCERS)[i]}: ${page}`),
          `received here: ${received}; queue: ${queue.closed ? 'closed' : `size ${queue.size}, ended ${queue.ended}`}`,
          `printed: ${victim.output}${survivors.map(({ output }) => output).join('')}`,
        ].join('\n');

      const handles = { queue: queue.handle, notes: memory.handle };
      const working = [PRODUCERS.first, PRODUCERS.second].map(async (producer, i) => {
        const survivor = survivors[i] as RemoteProcess;
        const { result } = await survivor.start(survive as never, PROGRAM, handles, producer, LOG / 8);
        return result;
      });
      for (const work of working) work.catch(() => {}); // It is awaited at the end.
      const dying = await victim.start(
        die as never,
        PROGRAM,
        { ...handles, end: victimEnd.handle, service: called.handle },
        bySteps ? at : undefined,
      );
      const failure = (dying.result as Promise<unknown>).catch((error) => error);

      // This process's ends of the connections.
      let received = 0;
      const receiving = (async () => {
        for await (const item of end) {
          check(item, 9);
          if (item.number !== received) throw new Error(`message ${item.number} came as number ${received}`);
          received++;
        }
      })();
      let sendStarted = 0;
      const sending = (async () => {
        for (let number = 0; ; number++) {
          sendStarted++;
          await end.send(itemOf(PRODUCERS.test + 1, number, 9));
          if (number % 16 === 0) await new Promise(setImmediate);
        }
      })();
      const remote = wrap<Service>(calling);
      const exposed = expose(calling, { negate: (number: number) => -number });
      let calls = 0;
      const doubling = async () => {
        for (;;) if ((await remote.double(++calls)) % 2 !== 0) throw new Error('a wrong answer');
      };
      const counting = (async () => {
        let next = 0;
        for await (const number of remote.count()) if (number !== next++) throw new Error('a wrong stream');
      })();
      const pending = [sending, remote.never(), doubling(), doubling(), counting].map(rejectionOf);

      const finish = async () => {
        // Handles are this process's to answer for until then.
        await until(() => victimNotes.read(Note.attached) > 0);
        if (!bySteps) {
          const operations = () => [0, 1, 2, 3, 4, 5, 6, 8, 9].reduce((sum, note) => sum + victimNotes.read(note), 0);
          await until(() => operations() >= at || victimNotes.read(Note.wrong) > 0);
        } else if (mayStop) await until(() => victimNotes.read(Note.put) >= 1 || stopped(victim.pid));
        if (mayStop && victim.child.exitCode === null) {
          phase = 'stopped';
          total.stops++;
          victim.child.kill('SIGSTOP');
          await until(() => stopped(victim.pid));
          const page = random.below(2) === 0 ? firstNotes : secondNotes;
          const seen = page.read(Note.put);
          // It holds up nobody: others go on, until they have put all they are to put.
          await until(() => page.read(Note.put) > seen + 20 || page.read(Note.producing) === 0);
          if (random.below(2) === 0) victim.child.kill('SIGCONT');
        }
        phase = 'dying';
        if (bySteps && !mayStop) {
          // It may have got nowhere near that step: then the others are done, and it waits for them.
          const idle = () => firstNotes.read(Note.producing) + secondNotes.read(Note.producing) === 0;
          await until(() => stopped(victim.pid) || (idle() && firstNotes.read(Note.put) > 0));
        }
        await victim.kill();
        expect(await failure).toMatchObject({ message: expect.stringContaining('SIGKILL') });
        expect(victimNotes.read(Note.wrong)).toBe(0);

        phase = 'the connection';
        await receiving; // The end of the stream, after all that was sent.
        expect(received).toBeGreaterThanOrEqual(victimNotes.read(Note.sent));
        expect(received).toBeLessThanOrEqual(victimNotes.read(Note.sendStarted));
        expect(victimNotes.read(Note.received)).toBeLessThanOrEqual(sendStarted);
        phase = 'calls';
        for (const error of await Promise.all(pending)) expect(error).toMatchObject({ code: 'EPIPE' });
        await exposed;

        phase = 'the rest of the queue';
        for (const notes of [firstNotes, secondNotes]) Atomics.store(notes.words, Note.stop, 1);
        await until(() => firstNotes.read(Note.producing) + secondNotes.read(Note.producing) === 0);
        ownNotes.count(Note.putStarted);
        await queue.put(itemOf(PRODUCERS.test, 0)); // The whole arena.
        ownNotes.count(Note.put);
        phase = 'joined()';
        await queue.joined();
        phase = 'the end of the queue';
        queue.end();
        await Promise.all(working);
        expect(await rejectionOf(queue.get())).toBeInstanceOf(EndOfStreamError);
      };
      try {
        await watched(finish(), state);
        const { values, inHand, again } = judge(pages);
        total.values += values;
        total.inHand += inHand;
        total.again += again;
        total.sent += received;
        total.calls += calls;
      } catch (error) {
        throw new Error(`${(error as Error).message}\n${state()}`, { cause: error });
      } finally {
        for (const open of [queue, end, victimEnd, calling, called]) open.close();
      }
      await watched(
        until(() => segmentFiles().length === 1),
        () => `left behind in round ${round}: ${segmentFiles()}`,
      );
    }
    await starting;
    console.log(`${ROUNDS} deaths: ${JSON.stringify(total)}`);
    expect(total.values).toBeGreaterThan(ROUNDS * 100);
  }, 900_000);
});
