// The ends that pass objects: a Queue, and the channel of child_process. Twin: python_queue.py, Python's own.

import { Queue } from 'ringway';
import { ipcStreamOf } from './kernel-ends.js';
import { deliver, now, ns, Patience, type Spec, Usage, Windows } from './meter.js';
import { MEASURE, STOP } from './payload.js';
import { receiveStream, sendStream } from './stream.js';

/** What is passed. */
export interface Item {
  id: number;
  name: string;
  ok: boolean;
  ts: number;
}

/** A new one each time: nothing of the last one can be used again. */
export function itemOf(id: number): Item {
  return { id, name: `user-${id & 1023}`, ok: (id & 1) === 0, ts: id * 0.5 };
}

/** Checks a whole one; its number. */
export function idOf({ id, name, ok, ts }: Item): number {
  if (name !== `user-${id & 1023}` || ok !== ((id & 1) === 0) || ts !== id * 0.5) {
    throw new Error(`object ${id} arrived as something else`);
  }
  return id;
}

/** tryPut() and tryGet(), both ends spinning. */
export function queueTry(spec: Spec): void {
  const queue = Queue.attach<Item>(spec.there);
  const patience = new Patience();
  if (spec.side === 'second') {
    receiveStream(spec, patience, (count) => () => {
      const got = queue.tryGet();
      if (!got.ok) return 0;
      count(idOf(got.value));
      return 1;
    });
    return;
  }
  const put = (id: number) => {
    const item = itemOf(id);
    while (!queue.tryPut(item)) patience.spend();
  };
  const send = (next: () => number) => {
    put(next());
    return 1;
  };
  sendStream(spec, patience, send, put);
}

/** `await put()` and `for await`. */
export async function queueAwait(spec: Spec): Promise<void> {
  const queue = Queue.attach<Item>(spec.there);
  if (spec.side === 'second') {
    const windows = new Windows(spec);
    for await (const item of queue) {
      if (!windows.count(idOf(item))) break;
      windows.cut();
    }
    deliver(windows.report(), windows.samples.bytes);
    return;
  }
  await sendAll(spec, async (next, count) => {
    for (let i = 0; i < count; i++) await queue.put(itemOf(next()));
  });
}

/** putSync() and getSync(). */
export async function queueSync(spec: Spec): Promise<void> {
  const queue = Queue.attach<Item>(spec.there);
  if (spec.side === 'second') {
    const windows = new Windows(spec);
    while (windows.count(idOf(queue.getSync()))) windows.cut();
    deliver(windows.report(), windows.samples.bytes);
    return;
  }
  await sendAll(spec, (next, count) => {
    for (let i = 0; i < count; i++) queue.putSync(itemOf(next()));
  });
}

/** The channel of child_process. */
export function ipcObjects(spec: Spec): Promise<void> {
  return ipcStreamOf(spec, itemOf, idOf);
}

/** How many between two looks at the clock. */
const RUN = 64;

async function sendAll(spec: Spec, send: (next: () => number, count: number) => unknown): Promise<void> {
  let sequence = 0;
  const next = () => sequence++;
  const sendFor = async (ms: number) => {
    for (const end = now() + ns(ms); now() < end; ) await send(next, RUN);
  };
  const usage = new Usage();
  await sendFor(spec.warmupMs);
  await send(() => MEASURE, 1);
  usage.start();
  await sendFor(spec.measureMs);
  usage.stop();
  await send(() => STOP, 1);
  deliver(usage.report(sequence));
}
