// The TypeScript ends of the many-to-many ring: each way of using it that is measured, as a user would write it.

import { type DrainHandler, MpmcRing } from 'ringway';
import { Patience, type Spec } from './meter.js';
import { fill, inPlaceReader, Payload, read, wordsOf } from './payload.js';
import { type Count, type Receive, receiveStream, type Send, sendStream } from './stream.js';

const BATCH = 16;

const tryPush = (ring: MpmcRing, spec: Spec, patience: Patience): Send => {
  const payload = Payload.of(spec.byteLength);
  return (next) => {
    payload.write(next());
    while (!ring.tryPush(payload.bytes)) patience.spend();
    return 1;
  };
};

const tryPushMany = (ring: MpmcRing, spec: Spec, patience: Patience): Send => {
  const payloads = Array.from({ length: BATCH }, () => Payload.of(spec.byteLength));
  const batch = payloads.map(({ bytes }) => bytes);
  return (next) => {
    for (const payload of payloads) payload.write(next());
    for (let rest = batch; rest.length > 0; ) {
      const taken = ring.tryPushMany(rest);
      if (taken > 0) rest = rest.slice(taken);
      else patience.spend();
    }
    return BATCH;
  };
};

const tryClaim = (ring: MpmcRing, spec: Spec, patience: Patience): Send => {
  return (next) => {
    let claim = ring.tryClaim(spec.byteLength);
    while (claim === null) {
      patience.spend();
      claim = ring.tryClaim(spec.byteLength);
    }
    fill(claim.as(Float64Array), next());
    claim.commit();
    return 1;
  };
};

const readWhole = (bytes: Uint8Array): number => {
  const words = wordsOf(bytes);
  return read(words, 0, words.length);
};

const tryPop = (ring: MpmcRing, count: Count): Receive => {
  return () => {
    const message = ring.tryPop();
    if (message === null) return 0;
    count(readWhole(message));
    return 1;
  };
};

const tryPopMany = (ring: MpmcRing, count: Count): Receive => {
  return () => {
    const messages = ring.tryPopMany(BATCH);
    for (const message of messages) count(readWhole(message));
    return messages.length;
  };
};

const drain =
  (limit: number) =>
  (ring: MpmcRing, count: Count): Receive => {
    const reader = inPlaceReader();
    const onMessage: DrainHandler = (memory, byteOffset, byteLength) => {
      reader.onRecord(memory, byteOffset, byteLength);
      count(reader.first);
    };
    return () => ring.drain(onMessage, limit);
  };

const tryTake = (ring: MpmcRing, count: Count): Receive => {
  return () => {
    const lease = ring.tryTake();
    if (lease === null) return 0;
    const words = lease.as(Float64Array);
    count(read(words, 0, words.length));
    lease.ack();
    return 1;
  };
};

const streams = {
  mpmc: [tryPush, drain(1)],
  'mpmc-many': [tryPushMany, drain(BATCH)],
  'mpmc-pop': [tryPush, tryPop],
  'mpmc-pop-many': [tryPushMany, tryPopMany],
  'mpmc-lease': [tryClaim, tryTake],
} as const;

/** One way, as fast as it goes, both ends spinning. */
export async function mpmcStream(spec: Spec): Promise<void> {
  const [sending, receiving] = streams[spec.program as keyof typeof streams];
  const ring = MpmcRing.attach(spec.there, { wait: 'spin' });
  const patience = new Patience();
  if (spec.side === 'second') {
    receiveStream(spec, patience, (count) => receiving(ring, count));
    return;
  }
  // The one who made it, this end and the other one.
  while (ring.stats().participants.length < 3) await new Promise((resolve) => setTimeout(resolve, 1));
  const mark = Payload.of(spec.byteLength);
  sendStream(spec, patience, sending(ring, spec, patience), (first) => {
    mark.write(first);
    while (!ring.tryPush(mark.bytes)) patience.spend();
  });
}
