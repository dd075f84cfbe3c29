// What the processes of test/channel-kill.test.ts do: one that is going to die uses a queue, a connection both ways and
// calls at once; others, which survive, use the same queue. Each notes what it has done in memory that outlives it.
import type { Connection, QueueLease, SegmentHandle } from 'ringway';
import { expose, type Queue, wrap } from 'ringway';

/** Of the values of one round. Number `number` of `producer`; the bytes of `pad` follow from both. */
export interface Item {
  producer: number;
  number: number;
  pad?: Uint8Array;
}

/** The processes of a round, and the test itself. */
export const PRODUCERS = { victim: 0, first: 1, second: 2, test: 3 } as const;

/** What a process notes, as the index of a word in its page. `…Started` counts before the call, the other one after it. */
export const Note = {
  putStarted: 0,
  put: 1,
  sendStarted: 2,
  sent: 3,
  received: 4,
  calls: 5,
  answered: 6,
  producing: 7,
  /** How many words of the three logs are written. */
  got: 8,
  took: 9,
  ended: 10,
  stop: 11,
  wrong: 12,
  attached: 13,
  ending: 14,
  logs: 16,
} as const;

/** Entries of one log; three logs follow the notes. */
export const LOG = 20_000;
export const PAGE = Note.logs + 3 * LOG;

export const idOf = ({ producer, number }: Item) => producer * 1_000_000 + number;

export const CAPACITY = 1 << 17;

const byteOf = (producer: number, number: number) => (producer * 89 + number * 7 + 1) & 255;

/** One in six is larger than a slot of the queue; one in nine of those that go through a connection has several frames. */
export function itemOf(producer: number, number: number, large = 6): Item {
  const some = number % large === 0 ? 1500 + ((number * 7919) % 14_000) : number % 40;
  const byteLength = producer === PRODUCERS.test ? CAPACITY - 128 : some; // Its only one takes the whole arena.
  return { producer, number, pad: new Uint8Array(byteLength).fill(byteOf(producer, number)) };
}

/** @throws if it is not as it was made */
export function check(item: Item, large = 6): number {
  const { producer, number, pad } = item;
  const expected = itemOf(producer, number, large).pad as Uint8Array;
  if (pad === undefined || Buffer.compare(pad, expected) !== 0) {
    throw new Error(`value ${number} of producer ${producer} is torn: ${pad?.length} of ${expected.length} bytes`);
  }
  return idOf(item);
}

/** One process's page of notes. */
export class Notes {
  readonly words: Int32Array;
  constructor(memory: Int32Array, process: number) {
    this.words = memory.subarray(process * PAGE, (process + 1) * PAGE);
  }
  count(note: number): number {
    return Atomics.add(this.words, note, 1) + 1;
  }
  read(note: number): number {
    return Atomics.load(this.words, note);
  }
  /** Writes an entry to the log `which`, then counts it. */
  log(which: 'got' | 'took' | 'ended', id: number): void {
    const at = this.read(Note[which]);
    if (at >= LOG) throw new Error('the log is full');
    this.words[Note.logs + (Note[which] - Note.got) * LOG + at] = id;
    this.count(Note[which]);
  }
  logged(which: 'got' | 'took' | 'ended'): number[] {
    const from = Note.logs + (Note[which] - Note.got) * LOG;
    return [...this.words.subarray(from, from + this.read(Note[which]))];
  }
  toString(): string {
    return Object.entries(Note)
      .filter(([name]) => name !== 'logs')
      .map(([name, at]) => `${name} ${this.read(at)}`)
      .join(', ');
  }
}

/** How an entry of the log `ended` says that a lease was nacked, not acked. */
export const NACKED = 1 << 30;
/** How an entry of the log `took` says that it was marked as delivered again. */
export const AGAIN = 1 << 30;

const PAUSE_EVERY = 64;
const turn = () => new Promise((resolve) => setImmediate(resolve));

async function produce(queue: Queue<Item>, notes: Notes, producer: number, limit: number): Promise<void> {
  notes.count(Note.producing);
  for (let number = 0; number < limit && notes.read(Note.stop) === 0; number++) {
    const item = itemOf(producer, number);
    notes.count(Note.putStarted);
    if (number % 3 !== 0 || !queue.tryPut(item)) await queue.put(item);
    notes.count(Note.put);
    if (number % PAUSE_EVERY === 0) await turn();
  }
  Atomics.store(notes.words, Note.producing, 0);
}

async function getAll(queue: Queue<Item>, notes: Notes): Promise<void> {
  for await (const item of queue) {
    notes.log('got', check(item));
    queue.taskDone();
  }
}

async function takeAll(queue: Queue<Item>, notes: Notes, nackEvery: number): Promise<void> {
  let taken = 0;
  for await (const lease of queue.leases()) {
    const id = check(lease.value);
    notes.log('took', lease.redelivered ? id | AGAIN : id);
    if (taken % 5 === 0) await turn(); // Held for a while.
    endLease(lease, notes, id, ++taken % nackEvery === 0);
  }
}

function endLease(lease: QueueLease<Item>, notes: Notes, id: number, nacked: boolean): void {
  notes.count(Note.ending);
  if (nacked) lease.nack();
  else lease.ack();
  notes.log('ended', nacked ? id | NACKED : id);
}

interface Package {
  Queue: typeof Queue;
  SharedArray: typeof import('ringway').SharedArray;
  Connection: typeof Connection;
}

/** Produces until it is told to stop, and consumes until the end of the queue. */
export async function survive(
  { Queue, SharedArray }: Package,
  handles: { queue: SegmentHandle; notes: SegmentHandle },
  producer: number,
  limit: number,
): Promise<void> {
  const queue = Queue.attach<Item>(handles.queue);
  const memory = SharedArray.attach<'int32'>(handles.notes);
  const notes = new Notes(memory.view, producer);
  try {
    const consuming = producer === PRODUCERS.first ? getAll(queue, notes) : takeAll(queue, notes, 11);
    await Promise.all([produce(queue, notes, producer, limit), consuming]);
  } finally {
    queue.close();
    memory.close();
  }
}

/** What the one that dies can be called for. */
export interface Service {
  double(number: number): number;
  never(): Promise<void>;
  count(): AsyncGenerator<number>;
}

/** What the test can be called for. */
export interface Answers {
  negate(number: number): number;
}

/** Does everything at once, for ever; with `steps`, it kills itself before its so manieth atomic operation. */
export async function die(
  { Queue, SharedArray, Connection }: Package,
  handles: { queue: SegmentHandle; notes: SegmentHandle; end: never; service: never },
  steps: number | undefined,
): Promise<void> {
  const queue = Queue.attach<Item>(handles.queue);
  const memory = SharedArray.attach<'int32'>(handles.notes);
  const notes = new Notes(memory.view, PRODUCERS.victim);
  const end = Connection.attach<Item>(handles.end);
  const service = Connection.attach<unknown>(handles.service);
  notes.count(Note.attached);

  const send = async () => {
    for (let number = 0; ; number++) {
      const item = itemOf(PRODUCERS.victim, number, 9);
      notes.count(Note.sendStarted);
      if (number % 9 === 0 || !end.trySend(item)) await end.send(item);
      notes.count(Note.sent);
      if (number % PAUSE_EVERY === 0) await turn();
    }
  };
  const receive = async () => {
    let next = 0;
    for await (const item of end) {
      check(item, 9);
      if (item.number !== next++) throw new Error(`message ${item.number} came as number ${next - 1}`);
      notes.count(Note.received);
    }
  };
  const api = {
    double: (number: number) => number * 2,
    never: () => new Promise<void>(() => {}),
    async *count() {
      for (let i = 0; ; i++) yield i;
    },
  } satisfies Service;
  const call = async () => {
    const remote = wrap<Answers>(service);
    for (let i = 1; ; i++) {
      notes.count(Note.calls);
      if ((await remote.negate(i)) !== -i) throw new Error('a wrong answer');
      notes.count(Note.answered);
    }
  };
  const getting = async () => {
    for (;;) {
      const item = await queue.get();
      notes.log('got', check(item));
      queue.taskDone();
      await turn();
    }
  };
  const wrong = (error: unknown) => {
    notes.count(Note.wrong);
    throw error;
  };
  // In the calls themselves, if it comes to that; a count of what the kernel does in between would not be one.
  if (steps !== undefined) killAt(steps);
  const exposed = expose(service, api);
  const all = [produce(queue, notes, PRODUCERS.victim, LOG), getting(), takeAll(queue, notes, 4)];
  all.push(send(), receive(), call(), exposed);
  await Promise.all(all.map((doing) => doing.catch(wrong)));
}

function killAt(steps: number): void {
  const names = ['load', 'store', 'add', 'and', 'or', 'compareExchange'] as const;
  let left = steps;
  for (const name of names) {
    const operation = Atomics[name] as (...args: unknown[]) => unknown;
    Object.assign(Atomics, {
      [name]: (...args: unknown[]) => {
        if (--left === 0) process.kill(process.pid, 'SIGKILL');
        return operation(...args);
      },
    });
  }
}
