// The TypeScript ends of a broadcast ring: what publishing costs with some subscribers, round trips, and a stream.

import { type BroadcastPublisher, BroadcastRing, type BroadcastSubscriber, type DrainHandler } from 'ringway';
import { deliver, measure, now, ns, Patience, Samples, Served, type Spec, Usage } from './meter.js';
import { inPlaceReader, MEASURE, Payload, STOP } from './payload.js';
import { receiveStream, sendStream } from './stream.js';

/** Messages that are published one after the other. */
const BURST = 256;
/**
 * As many as the rings have room for (pair.ts): a publisher that blocks looks at the cursors once in as many messages, which
 * is in one of these bursts and must not be lost in a median over bursts.
 */
const BURSTS_IN_A_LAP = 4;
const DRAIN_LIMIT = 256;

const BURSTS = {
  'after-1': { subscribers: 1, readsAlong: false },
  'after-64': { subscribers: 64, readsAlong: false },
  'along-1': { subscribers: 1, readsAlong: true },
  'along-64': { subscribers: 64, readsAlong: true },
} as const;

// What the ends tell each other on the ring `back` between two bursts.
/** The publisher has published a burst. So do MEASURE and STOP. */
const PUBLISHED = -3;
/** All subscribers have read it. */
const READ = -4;

async function untilSubscribed(ring: BroadcastRing, subscribers: number): Promise<void> {
  while (ring.stats().participants.filter(({ role }) => role === 'subscriber').length < subscribers) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

function publisherOf(ring: BroadcastRing, spec: Spec, patience: Patience): (first: number) => void {
  const publisher: BroadcastPublisher = ring.publisher();
  const payload = Payload.of(spec.byteLength);
  return (first) => {
    payload.write(first);
    while (!publisher.tryPublish(payload.bytes)) patience.spend();
  };
}

/**
 * Messages to nobody, so that the engine has optimised publishing when the measurement starts: while 64 subscribers read
 * what there is, few are published in the time for warming up.
 */
const WARMUP_MESSAGES = 200_000;

/** Waits for the next message and gives its first word. */
function readerOf(subscriber: BroadcastSubscriber, patience: Patience): () => number {
  const reader = inPlaceReader();
  return () => {
    while (subscriber.drain(reader.onRecord, 1) === 0) patience.spend();
    patience.renew();
    return reader.first;
  };
}

/**
 * Publishes bursts, each when all subscribers have read the one before, so that nobody is ever waited for while the clock
 * runs. Samples are picoseconds a message, one for each lap of the ring.
 */
async function publishBursts(spec: Spec, there: BroadcastRing, back: BroadcastRing): Promise<void> {
  const { subscribers } = BURSTS[spec.program as keyof typeof BURSTS];
  const patience = new Patience();
  const publisher = there.publisher();
  const payload = Payload.of(spec.byteLength);
  const tell = publisherOf(back, spec, patience);
  let sequence = 0;
  const burst = () => {
    for (let i = 0; i < BURST; i++) {
      payload.write(sequence++);
      if (!publisher.tryPublish(payload.bytes)) throw new Error('there is no room for a burst: subscribers are behind');
    }
  };
  while (sequence < WARMUP_MESSAGES) burst();
  sequence = 0;
  const heard = readerOf(back.subscriber(), patience); // For which the other end waits before it subscribes.
  await untilSubscribed(there, subscribers);
  await untilSubscribed(back, 2);
  const untilRead = (mark: number) => {
    tell(mark);
    while (heard() !== READ);
  };
  const run = (ms: number) => {
    const samples = new Samples(spec.maxSamples);
    for (const last = now() + ns(ms); now() < last && !samples.full; ) {
      let took = 0;
      for (let i = 0; i < BURSTS_IN_A_LAP; i++) {
        const start = now();
        burst();
        took += Number(now() - start);
        untilRead(PUBLISHED);
      }
      samples.add((took * 1e3) / (BURST * BURSTS_IN_A_LAP));
    }
    return samples;
  };
  const usage = new Usage();
  run(spec.warmupMs);
  burst();
  untilRead(MEASURE);
  const from = sequence;
  usage.start();
  const samples = run(spec.measureMs);
  usage.stop();
  const messages = sequence - from;
  burst();
  untilRead(STOP);
  deliver(usage.report(messages), samples.bytes);
}

/** Reads bursts with all subscribers in turn: while they are published, or only when they are complete. */
async function readBursts(spec: Spec, there: BroadcastRing, back: BroadcastRing): Promise<void> {
  const { subscribers, readsAlong } = BURSTS[spec.program as keyof typeof BURSTS];
  const patience = new Patience();
  const heard = readerOf(back.subscriber(), patience);
  const tell = publisherOf(back, spec, patience);
  await untilSubscribed(back, 2); // Who publishes waits for all of ours.
  let expected = 0;
  const ends = Array.from({ length: subscribers }, () => {
    const subscriber = there.subscriber();
    const reader = inPlaceReader();
    const onMessage: DrainHandler = (memory, byteOffset, byteLength) => {
      reader.onRecord(memory, byteOffset, byteLength);
      if (reader.first !== expected++) throw new Error(`message ${reader.first} came instead of ${expected - 1}`);
    };
    return { subscriber, onMessage, read: 0 };
  });
  const usage = new Usage();
  let bursts = 0;
  const readBurst = () => {
    for (let left = subscribers * BURST; left > 0; ) {
      let read = 0;
      for (const end of ends) {
        expected = end.read;
        end.subscriber.drain(end.onMessage, DRAIN_LIMIT);
        read += expected - end.read;
        end.read = expected;
      }
      left -= read;
      if (read === 0) patience.spend();
    }
    bursts++;
  };
  const untilPublished = () => {
    let mark = heard();
    while (mark === READ) mark = heard(); // Our own.
    return mark;
  };
  for (let mark = PUBLISHED; mark !== STOP; ) {
    if (readsAlong) readBurst();
    mark = untilPublished();
    if (!readsAlong) readBurst();
    if (mark === MEASURE) {
      usage.start();
      bursts = 0;
    }
    if (mark === STOP) usage.stop();
    tell(READ);
  }
  deliver(usage.report((bursts - 1) * BURST)); // Without the last one, which was not measured.
}

/** The cost of publishing. */
export async function publishing(spec: Spec): Promise<void> {
  const there = BroadcastRing.attach(spec.there, { wait: 'spin' });
  const back = BroadcastRing.attach(spec.back, { wait: 'spin' });
  if (spec.side === 'first') await publishBursts(spec, there, back);
  else await readBursts(spec, there, back);
}

/** Round trip, spinning, over two rings with one subscriber each. */
export async function broadcastRoundTrip(spec: Spec): Promise<void> {
  const there = BroadcastRing.attach(spec.there, { wait: 'spin' });
  const back = BroadcastRing.attach(spec.back, { wait: 'spin' });
  const [out, home] = spec.side === 'first' ? [there, back] : [back, there];
  const patience = new Patience();
  const receive = readerOf(home.subscriber(), patience);
  await untilSubscribed(out, 1);
  const send = publisherOf(out, spec, patience);
  if (spec.side === 'first') {
    const [report, samples] = measure(spec, (first) => {
      send(first);
      receive();
    });
    deliver(report, samples.bytes);
    return;
  }
  const served = new Served();
  for (let more = true; more; ) {
    const first = receive();
    more = served.count(first);
    send(first);
  }
  deliver(served.report());
}

/** One way to one subscriber, as fast as it goes, both ends spinning. */
export async function broadcastStream(spec: Spec): Promise<void> {
  const ring = BroadcastRing.attach(spec.there, { wait: 'spin' });
  const patience = new Patience();
  if (spec.side === 'second') {
    const subscriber = ring.subscriber();
    const reader = inPlaceReader();
    receiveStream(spec, patience, (count) => {
      const onMessage: DrainHandler = (memory, byteOffset, byteLength) => {
        reader.onRecord(memory, byteOffset, byteLength);
        count(reader.first);
      };
      return () => subscriber.drain(onMessage, DRAIN_LIMIT);
    });
    return;
  }
  await untilSubscribed(ring, 1);
  const send = publisherOf(ring, spec, patience);
  const sendNext = (next: () => number) => {
    send(next());
    return 1;
  };
  sendStream(spec, patience, sendNext, send);
}
