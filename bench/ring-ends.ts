// The TypeScript ends of the rings: each way of using them that is measured, as a user would write it.

import { type DrainHandler, type SpscConsumer, type SpscProducer, SpscRing, type WaitMode } from 'ringway';
import { deliver, measure, measureAsync, Patience, Served, type Spec } from './meter.js';
import { fill, inPlaceReader, Payload, read, wordsOf } from './payload.js';
import { type Count, type Receive, receiveStream, type Send, sendStream } from './stream.js';

interface Ends {
  producer: SpscProducer;
  consumer: SpscConsumer;
}

function openEnds(spec: Spec, wait: WaitMode): Ends {
  const there = SpscRing.attach(spec.there, { wait });
  const back = SpscRing.attach(spec.back, { wait });
  if (spec.side === 'first') return { producer: there.producer(), consumer: back.consumer() };
  return { producer: back.producer(), consumer: there.consumer() };
}

/** Round trip, spinning: tries again and again, copies in, reads in place. */
export function spin(spec: Spec): void {
  const { producer, consumer } = openEnds(spec, 'spin');
  const payload = Payload.of(spec.byteLength);
  const reader = inPlaceReader();
  const patience = new Patience();
  const send = (first: number) => {
    payload.write(first);
    while (!producer.tryPush(payload.bytes)) patience.spend();
  };
  const receive = () => {
    while (consumer.drain(reader.onRecord, 1) === 0) patience.spend();
    patience.renew();
    return reader.first;
  };
  blockingRoundTrips(spec, send, receive);
}

/** Round trip of two threads that sleep in the system while they wait. */
export function park(spec: Spec): void {
  const { producer, consumer } = openEnds(spec, 'park');
  const payload = Payload.of(spec.byteLength);
  const send = (first: number) => {
    payload.write(first);
    producer.pushSync(payload.bytes);
  };
  const receive = () => {
    const words = wordsOf(consumer.popSync());
    return read(words, 0, words.length);
  };
  blockingRoundTrips(spec, send, receive);
}

function blockingRoundTrips(spec: Spec, send: (first: number) => void, receive: () => number): void {
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

/** Round trip on two event loops, with the default way to wait. */
export async function awaiting(spec: Spec): Promise<void> {
  const { producer, consumer } = openEnds(spec, 'adaptive');
  const payload = Payload.of(spec.byteLength);
  const send = (first: number) => {
    payload.write(first);
    return producer.push(payload.bytes);
  };
  const receive = async () => {
    const words = wordsOf(await consumer.pop());
    return read(words, 0, words.length);
  };
  if (spec.side === 'first') {
    const [report, samples] = await measureAsync(spec, async (first) => {
      await send(first);
      await receive();
    });
    deliver(report, samples.bytes);
    return;
  }
  const served = new Served();
  for (let more = true; more; ) {
    const first = await receive();
    more = served.count(first);
    await send(first);
  }
  deliver(served.report());
}

const tryPush = (producer: SpscProducer, spec: Spec, patience: Patience): Send => {
  const payload = Payload.of(spec.byteLength);
  return (next) => {
    payload.write(next());
    while (!producer.tryPush(payload.bytes)) patience.spend();
    return 1;
  };
};

const tryPushMany = (producer: SpscProducer, spec: Spec, patience: Patience): Send => {
  const count = spec.byteLength > 4096 ? 4 : 16;
  const payloads = Array.from({ length: count }, () => Payload.of(spec.byteLength));
  const batch = payloads.map(({ bytes }) => bytes);
  return (next) => {
    for (const payload of payloads) payload.write(next());
    for (let rest = batch; rest.length > 0; ) {
      const taken = producer.tryPushMany(rest);
      if (taken > 0) rest = rest.slice(taken);
      else patience.spend();
    }
    return count;
  };
};

const tryClaim = (producer: SpscProducer, spec: Spec, patience: Patience): Send => {
  return (next) => {
    let claim = producer.tryClaim(spec.byteLength);
    while (claim === null) {
      patience.spend();
      claim = producer.tryClaim(spec.byteLength);
    }
    fill(claim.as(Float64Array), next());
    claim.commit();
    return 1;
  };
};

/** Copies in a message of which only the first word is new, as memcpy does. */
const tryPushCopy = (producer: SpscProducer, spec: Spec, patience: Patience): Send => {
  const payload = Payload.of(spec.byteLength);
  payload.write(0);
  return (next) => {
    payload.words[0] = next();
    while (!producer.tryPush(payload.bytes)) patience.spend();
    return 1;
  };
};

/** So that an end which never catches up looks at the clock now and then. */
const DRAIN_LIMIT = 256;

const drain = (consumer: SpscConsumer, _spec: Spec, count: Count): Receive => {
  const reader = inPlaceReader();
  const onRecord: DrainHandler = (memory, byteOffset, byteLength) => {
    reader.onRecord(memory, byteOffset, byteLength);
    count(reader.first);
  };
  return () => consumer.drain(onRecord, DRAIN_LIMIT);
};

/** Copies out into memory of the reader's own and looks at the first word only. */
const drainCopy = (consumer: SpscConsumer, spec: Spec, count: Count): Receive => {
  const inbox = Payload.of(spec.byteLength);
  const onRecord = (memory: Uint8Array, byteOffset: number, byteLength: number) => {
    inbox.bytes.set(memory.subarray(byteOffset, byteOffset + byteLength));
    count(inbox.words[0]);
  };
  return () => consumer.drain(onRecord, DRAIN_LIMIT);
};

const tryPeek = (consumer: SpscConsumer, _spec: Spec, count: Count): Receive => {
  return () => {
    const peek = consumer.tryPeek();
    if (peek === null) return 0;
    const words = peek.as(Float64Array);
    count(read(words, 0, words.length));
    peek.release();
    return 1;
  };
};

const tryPop = (consumer: SpscConsumer, _spec: Spec, count: Count): Receive => {
  return () => {
    const record = consumer.tryPop();
    if (record === null) return 0;
    const words = wordsOf(record);
    count(read(words, 0, words.length));
    return 1;
  };
};

const streams = {
  drain: [tryPush, drain],
  many: [tryPushMany, drain],
  claim: [tryClaim, tryPeek],
  pop: [tryPush, tryPop],
  copy: [tryPushCopy, drainCopy],
} as const;

/** One way, as fast as it goes, both ends spinning. */
export async function stream(spec: Spec): Promise<void> {
  const [sending, receiving] = streams[spec.program as keyof typeof streams];
  const ring = SpscRing.attach(spec.there, { wait: 'spin' });
  const patience = new Patience();
  if (spec.side === 'second') {
    const consumer = ring.consumer();
    receiveStream(spec, patience, (count) => receiving(consumer, spec, count));
    return;
  }
  const producer = ring.producer();
  while (!ring.stats().participants.some(({ role }) => role === 'consumer')) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const mark = Payload.of(spec.byteLength);
  sendStream(spec, patience, sending(producer, spec, patience), (first) => {
    mark.write(first);
    while (!producer.tryPush(mark.bytes)) patience.spend();
  });
}
