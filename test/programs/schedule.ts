// A worker thread that takes a part in a broadcast ring and does one step at a time, when test/broadcast-schedules.test.ts
// says so: a step is an atomic operation, a sleep, or half of a message.
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { SabSegment } from '#ringway/memory/sab.js';
import type { SegmentHandle, SleepEnd } from '#ringway/memory/segment.js';
import { ShmSegment } from '#ringway/memory/shm.js';
import { BroadcastRing } from '#ringway/ring/broadcast.js';
import type { BroadcastPublisher } from '#ringway/ring/broadcast-publisher.js';
import type { BroadcastSubscriber } from '#ringway/ring/broadcast-subscriber.js';
import { Control, Own, State } from './schedule-control.js';

export interface Part {
  handle: SegmentHandle;
  role: 'publisher' | 'subscriber';
  seed: number;
  /** Messages to publish; or to read before it leaves. */
  count: number;
  from: 'latest' | 'oldest';
  /** A publisher's number: it comes after the one before it, and goes when the next one has come. */
  number: number;
  isLast: boolean;
}

export interface Outcome {
  /** What was published, or read, in order; -1 where messages were missed. */
  values: number[];
  /** Messages missed, at each of the -1. */
  missed: number[];
  /** What a publisher was about to publish when it died, and may have. */
  doubtful: number | undefined;
  died: boolean;
  error: string | undefined;
}

const { control, worker, port } = workerData as { control: Int32Array; worker: number; port: MessagePort };
const own = Control.workers + worker * Control.next;
const { load, store, add, wait, notify, compareExchange } = Atomics;

class Death extends Error {}
let isScheduled = false;
let isDead = false;
let budget = 0;
let segment: { close(): void } | undefined;

function report(state: number): void {
  store(control, own + Own.state, state);
  add(control, Control.reports, 1);
  notify(control, Control.reports);
  while (load(control, own + Own.turn) === 0) wait(control, own + Own.turn, 0);
  budget = load(control, own + Own.turn);
  store(control, own + Own.turn, 0);
  if (load(control, own + Own.dies) !== 0) isDead = true;
}

function step(): void {
  if (!isScheduled) return;
  if (!isDead && --budget < 0) report(State.ready);
  if (isDead) throw new Death();
}

const waitFor = (flag: number) => {
  while (load(control, flag) === 0) {
    budget = 0;
    step();
  }
};

type Operation = (...args: never[]) => unknown;
const stepped = (operation: Operation): Operation => {
  return (...args) => {
    step();
    return operation(...args);
  };
};
Object.assign(Atomics, {
  load: stepped(load as Operation),
  store: stepped(store as Operation),
  add: stepped(add as Operation),
  compareExchange: (...args: never[]) => {
    step();
    const found = (compareExchange as Operation)(...args);
    step(); // What comes next may be no atomic operation: P7.
    return found;
  },
});
performance.now = () => load(control, Control.nowMs);

for (const { prototype } of [SabSegment, ShmSegment]) {
  prototype.wake = function (this: { words: Int32Array }, sequence: number): void {
    step();
    add(this.words, sequence >> 2, 2);
    for (let at = Control.workers; at < control.length; at += Control.next) {
      if (load(control, at + Own.sequence) === sequence) store(control, at + Own.woken, 1);
    }
  };
  prototype.sleepSync = function (
    this: { words: Int32Array },
    sequence: number,
    expected: number,
    limitMs: number,
  ): SleepEnd {
    step();
    if (load(this.words, sequence >> 2) !== expected) return 'woken';
    store(control, own + Own.woken, 0);
    store(control, own + Own.sequence, sequence);
    store(control, own + Own.limited, limitMs < Infinity ? 1 : 0);
    report(State.asleep);
    store(control, own + Own.sequence, 0);
    if (isDead) throw new Death();
    return load(control, own + Own.woken) !== 0 ? 'woken' : 'limit';
  };
}
for (const kind of [SabSegment, ShmSegment] as { attach(...args: never[]): { close(): void } }[]) {
  const attach = kind.attach.bind(kind);
  kind.attach = (...args) => {
    segment = attach(...args);
    return segment;
  };
}

function randomOf(seed: number): (end: number) => number {
  let state = seed >>> 0;
  return (end) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * end);
  };
}

// A message is its value, twice. Those that seem to have been there before the first one (startBroadcastAt) are empty.
function half(bytes: Uint8Array, at: number, value: number): void {
  new DataView(bytes.buffer, bytes.byteOffset).setInt32(at, value);
}
function read(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getInt32(at);
}
function whole(first: number, second: number): number {
  if (first !== second) throw new Error(`torn: ${first} and ${second}`);
  return first;
}

function publish(publisher: BroadcastPublisher, value: number, how: number): void {
  if (how === 0) {
    const message = new Uint8Array(8);
    half(message, 0, value);
    half(message, 4, value);
    publisher.publishSync(message);
  } else if (how === 1) {
    publisher.writeSync(8, (memory, at) => {
      half(memory, at, value);
      step();
      half(memory, at + 4, value);
    });
  } else {
    const claim = publisher.claimSync(8);
    half(claim.bytes, 0, value);
    step();
    half(claim.bytes, 4, value);
    claim.commit();
  }
}

function playPublisher(ring: BroadcastRing, part: Part, outcome: Outcome): void {
  const random = randomOf(part.seed);
  const flag = Control.entered + part.number;
  if (part.number > 0) waitFor(flag - 1);
  const publisher = ring.publisher();
  store(control, flag, 1);
  for (let i = 0; i < part.count; i++) {
    const value = (part.number + 1) * 1000 + i;
    outcome.doubtful = value;
    publish(publisher, value, random(3));
    outcome.values.push(value);
    outcome.doubtful = undefined;
  }
  if (!part.isLast) waitFor(flag + 1);
  publisher.close();
}

function readSome(subscriber: BroadcastSubscriber, how: number, found: (value: number) => void): void {
  if (how === 0) {
    const message = subscriber.readSync();
    if (message.length > 0) found(whole(read(message, 0), read(message, 4)));
  } else if (how === 1) {
    subscriber.readySync();
    subscriber.drain((memory, at, byteLength) => {
      if (byteLength === 0) return;
      const first = read(memory, at);
      step();
      found(whole(first, read(memory, at + 4)));
    });
  } else {
    const peek = subscriber.peekSync();
    if (peek.bytes.length === 0) {
      peek.release();
      return;
    }
    const first = read(peek.bytes, 0);
    step();
    const second = read(peek.bytes, 4);
    if (peek.stillValid) found(whole(first, second));
    peek.release();
  }
}

function playSubscriber(ring: BroadcastRing, part: Part, outcome: Outcome): void {
  const random = randomOf(part.seed);
  const subscriber = ring.subscriber({ from: part.from });
  let missed = 0;
  const note = () => {
    if (subscriber.missed === missed) return;
    outcome.values.push(-1);
    outcome.missed.push(subscriber.missed - missed);
    missed = subscriber.missed;
  };
  const found = (value: number) => {
    note();
    outcome.values.push(value);
  };
  try {
    while (outcome.values.length < part.count) {
      readSome(subscriber, random(3), found);
      note();
    }
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_RINGWAY_END') throw error;
  }
  note();
  subscriber.close();
}

function play(part: Part): Outcome {
  const outcome: Outcome = { values: [], missed: [], doubtful: undefined, died: false, error: undefined };
  const ring = BroadcastRing.attach(part.handle, { wait: 'park' });
  const attached = segment;
  report(State.ready);
  isScheduled = true;
  try {
    if (part.role === 'publisher') playPublisher(ring, part, outcome);
    else playSubscriber(ring, part, outcome);
  } catch (error) {
    if (error instanceof Death) outcome.died = true;
    else outcome.error = String((error as Error).stack);
  }
  isScheduled = isDead = false;
  // As when a worker is terminated: what it held is given back by the addon, and nothing else is done.
  if (outcome.died) attached?.close();
  else ring.close();
  store(control, own + Own.dies, 0);
  if (part.role === 'publisher') store(control, Control.entered + part.number, 1);
  return outcome;
}

parentPort?.postMessage('ready');
for (;;) {
  report(State.idle);
  const received = receiveMessageOnPort(port);
  if (received === undefined) break;
  port.postMessage(play(received.message as Part));
}
port.close();
