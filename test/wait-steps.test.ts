// Lost wake-ups, looked for systematically: the other end acts at every single step of a wait, before the first atomic
// operation, before the second, and so on until the wait is asleep. The other end is a second copy of the library in the
// same thread, which knows nothing of the first one, as if it were another thread that is stopped everywhere else.
import { BroadcastRing, type OnSlow, SpscRing } from 'ringway';
import { afterEach, describe, expect, it } from 'vitest';
import { BroadcastRing as OtherBroadcastRing } from '../src/ring/broadcast.js';
import { SpscRing as OtherSpscRing } from '../src/ring/spsc.js';
import { opening, useOwnDirectory } from './helpers/directory.js';
import { BACKENDS, fill, recordOf } from './helpers/rings.js';

useOwnDirectory();

const OPERATIONS = ['load', 'store', 'or', 'exchange', 'compareExchange', 'add'] as const;
const real = Object.fromEntries(OPERATIONS.map((name) => [name, Atomics[name]]));
type Operation = (...args: never[]) => unknown;

/** Calls `act` before the `at`th atomic operation from now on, counted from 1. */
function interruptAt(at: number, act: () => void): { acted: boolean; stop: () => void } {
  let count = 0;
  const state = { acted: false, stop: () => Object.assign(Atomics, real) };
  for (const name of OPERATIONS) {
    const call: Operation = (...args) => {
      if (++count === at) {
        state.stop(); // What the other end does is not counted.
        state.acted = true;
        act();
      }
      return (real[name] as Operation)(...args);
    };
    Object.assign(Atomics, { [name]: call });
  }
  return state;
}
afterEach(() => {
  Object.assign(Atomics, real);
});

const turns = async (count: number) => {
  for (let turn = 0; turn < count; turn++) await new Promise(setImmediate);
};

/** Prepares both ends; `wait` has to wait until `act` was called. */
type Case<Ring, Other> = (
  ring: Ring,
  other: Other,
) => {
  wait: () => Promise<unknown>;
  act: () => void;
  /** What is still missing after `act`. */
  finish?: () => void;
  expected: unknown;
};

const spscCases: Record<string, Case<SpscRing, OtherSpscRing>> = {
  'a consumer, and a record that comes': (ring, other) => {
    const consumer = ring.consumer();
    const producer = other.producer();
    return {
      wait: () => consumer.pop(),
      act: () => producer.tryPush(recordOf(9)),
      expected: recordOf(9),
    };
  },
  'a consumer, and a producer that is closed': (ring, other) => {
    const consumer = ring.consumer();
    const producer = other.producer();
    const code = (error: { code: string }) => error.code;
    return {
      wait: () => consumer.pop().catch(code),
      act: () => producer.close(),
      expected: 'ERR_RINGWAY_END',
    };
  },
  'a consumer that waits for a replacement': (ring, other) => {
    const consumer = ring.consumer();
    other.producer().close();
    return {
      wait: () => consumer.pop({ onPeerGone: 'wait' }),
      act: () => other.producer().tryPush(recordOf(3)),
      expected: recordOf(3),
    };
  },
  'a producer, and all of the room at once': (ring, other) => {
    const producer = ring.producer();
    const consumer = other.consumer();
    fill(producer);
    return {
      wait: () => producer.push(recordOf(100)),
      act: () => consumer.tryPopMany(Infinity),
      expected: undefined,
    };
  },
  'a producer, and room that comes in two parts': (ring, other) => {
    const producer = ring.producer();
    const consumer = other.consumer();
    fill(producer);
    return {
      wait: () => producer.push(recordOf(100)),
      act: () => consumer.tryPopMany(3),
      finish: () => consumer.tryPopMany(Infinity),
      expected: undefined,
    };
  },
  'a producer, and a consumer that is closed': (ring, other) => {
    const producer = ring.producer();
    const consumer = other.consumer();
    fill(producer);
    return {
      wait: () => producer.push(recordOf(100)).catch((error) => error.code),
      act: () => consumer.close(),
      expected: 'EPIPE',
    };
  },
  'one who waits for a role': (ring, other) => {
    const producer = other.producer();
    return {
      wait: async () => (await ring.takeProducer()).closed,
      act: () => producer.close(),
      expected: false,
    };
  },
  'one who waits for a role, and another role that changes before': (ring, other) => {
    const producer = other.producer();
    const consumer = other.consumer();
    return {
      wait: async () => (await ring.takeConsumer()).closed,
      act: () => producer.close(),
      finish: () => consumer.close(),
      expected: false,
    };
  },
};

const SLOTS = 4;
const FULL = Array.from({ length: SLOTS }, () => recordOf(8));

type BroadcastCase = Case<BroadcastRing, OtherBroadcastRing>;

const subscriberCases: Record<string, BroadcastCase> = {
  'a subscriber, and a message that comes': (ring, other) => {
    const subscriber = ring.subscriber();
    const publisher = other.publisher();
    return {
      wait: async () => (await subscriber.peek()).bytes,
      act: () => publisher.tryPublish(recordOf(9)),
      expected: recordOf(9),
    };
  },
  'a subscriber, and the first publisher, which publishes later': (ring, other) => {
    const subscriber = ring.subscriber();
    let publisher: ReturnType<OtherBroadcastRing['publisher']>;
    return {
      wait: () => subscriber.read(),
      act: () => {
        publisher = other.publisher();
      },
      finish: () => publisher.tryPublish(recordOf(9)),
      expected: recordOf(9),
    };
  },
  'a subscriber, and more messages than the ring has slots': (ring, other) => {
    const subscriber = ring.subscriber();
    const publisher = other.publisher();
    const count = ring.onSlow === 'block' ? SLOTS : SLOTS + 1;
    return {
      wait: () => subscriber.read(),
      act: () => publisher.tryPublishMany(Array.from({ length: count }, (_, i) => recordOf(9, i))),
      expected: recordOf(9, ring.onSlow === 'block' ? 0 : count - (SLOTS >> 1)),
    };
  },
  'a subscriber, and the last publisher that is closed': (ring, other) => {
    const subscriber = ring.subscriber();
    const publisher = other.publisher();
    return {
      wait: () => subscriber.read().catch((error) => error.code),
      act: () => publisher.close(),
      expected: 'ERR_RINGWAY_END',
    };
  },
  'a subscriber, and two publishers that are closed one after the other': (ring, other) => {
    const subscriber = ring.subscriber();
    const publishers = [other.publisher(), other.publisher()];
    return {
      wait: () => subscriber.ready().catch((error) => error.code),
      act: () => publishers[0]?.close(),
      finish: () => publishers[1]?.close(),
      expected: 'ERR_RINGWAY_END',
    };
  },
  'a subscriber, and a publisher that takes the place of another one before the last one is closed': (ring, other) => {
    const subscriber = ring.subscriber();
    const publishers = [other.publisher(), other.publisher()];
    publishers[0]?.close();
    return {
      wait: () => subscriber.read(),
      act: () => {
        publishers[0] = other.publisher();
        publishers[1]?.close();
      },
      finish: () => publishers[0]?.tryPublish(recordOf(9)),
      expected: recordOf(9),
    };
  },
  'a subscriber, and the last publisher that publishes once more before it is closed': (ring, other) => {
    const subscriber = ring.subscriber();
    const publisher = other.publisher();
    return {
      wait: () => subscriber.read(),
      act: () => {
        publisher.tryPublish(recordOf(5));
        publisher.close();
      },
      expected: recordOf(5),
    };
  },
  'a subscriber that waits for a new publisher': (ring, other) => {
    const subscriber = ring.subscriber();
    other.publisher().close();
    return {
      wait: () => subscriber.read({ onPeerGone: 'wait' }),
      act: () => other.publisher().tryPublish(recordOf(3)),
      expected: recordOf(3),
    };
  },
};

const publisherCases: Record<string, BroadcastCase> = {
  'a publisher, and the slowest subscriber that reads': (ring, other) => {
    const publisher = ring.publisher();
    const slow = other.subscriber();
    publisher.tryPublishMany(FULL);
    return { wait: () => publisher.publish(recordOf(1)), act: () => slow.tryRead(), expected: undefined };
  },
  'a publisher that waits to claim, and the slowest subscriber that drains': (ring, other) => {
    const publisher = ring.publisher();
    const slow = other.subscriber();
    publisher.tryPublishMany(FULL);
    return {
      wait: async () => (await publisher.claim(7)).byteLength,
      act: () => slow.drain(() => {}),
      expected: 7,
    };
  },
  'a publisher, and the slowest subscriber that is closed': (ring, other) => {
    const publisher = ring.publisher();
    const slow = other.subscriber();
    publisher.tryPublishMany(FULL);
    return { wait: () => publisher.publish(recordOf(1)), act: () => slow.close(), expected: undefined };
  },
  'a publisher, and two slowest subscribers, of which one reads and then the other is closed': (ring, other) => {
    const publisher = ring.publisher();
    const slow = [other.subscriber(), other.subscriber()];
    publisher.tryPublishMany(FULL);
    return {
      wait: () => publisher.publish(recordOf(1)),
      act: () => slow[0]?.tryRead(),
      finish: () => slow[1]?.close(),
      expected: undefined,
    };
  },
  'a publisher, and a newcomer that is as slow as the slowest': (ring, other) => {
    const publisher = ring.publisher();
    const slow = [other.subscriber()];
    publisher.tryPublishMany(FULL);
    return {
      wait: () => publisher.publish(recordOf(1)),
      act: () => slow.push(other.subscriber({ from: 'oldest' })),
      finish: () => {
        for (const subscriber of slow) subscriber.tryRead();
      },
      expected: undefined,
    };
  },
};

/**
 * Waits again and again, interrupted at the first step, at the second, and so on until it sleeps before it comes to it.
 * A live peer is looked after now and then in shared memory, which would hide a lost wake-up for a second at most; over
 * a SharedArrayBuffer it would be one for ever, and the test would not end.
 */
async function atEveryStep<Ring extends { close(): void }, Other extends { close(): void }>(
  prepare: Case<Ring, Other>,
  make: () => { ring: Ring; other: Other },
): Promise<void> {
  let acted = true;
  for (let at = 1; acted; at++) {
    const { ring, other } = make();
    const { wait, act, finish, expected } = prepare(ring, other);
    const interruption = interruptAt(at, act);
    const waiting = wait();
    await turns(3);
    acted = interruption.acted;
    interruption.stop();
    if (!acted) act(); // It slept before: there is no later step.
    finish?.();
    expect(await waiting, `step ${at}`).toEqual(expected);
    ring.close();
    other.close();
    if (at === 1) expect(acted).toBe(true);
  }
}

for (const backend of BACKENDS) {
  describe(`at every step of a wait over ${backend}`, () => {
    for (const [name, prepare] of Object.entries(spscCases)) {
      it(name, () =>
        atEveryStep(prepare, () => {
          const ring = opening(SpscRing.create({ capacity: 256, backend, wait: 'park' }));
          return { ring, other: opening(OtherSpscRing.attach(ring.handle)) };
        }),
      );
    }

    const broadcast = (onSlow: OnSlow) => () => {
      const shape = { slots: SLOTS, slotByteLength: 16, onSlow, maxPublishers: 2, maxSubscribers: 3 };
      const ring = opening(BroadcastRing.create({ ...shape, backend, wait: 'park' }));
      return { ring, other: opening(OtherBroadcastRing.attach(ring.handle)) };
    };
    for (const [name, prepare] of Object.entries(subscriberCases)) {
      for (const onSlow of ['block', 'overwrite'] as const) {
        it(`${name} (onSlow: ${onSlow})`, () => atEveryStep(prepare, broadcast(onSlow)));
      }
    }
    for (const [name, prepare] of Object.entries(publisherCases)) {
      it(name, () => atEveryStep(prepare, broadcast('block')));
    }

    it('a publisher goes on when the subscriber that held it up stops in the middle of leaving', () => {
      const { ring, other } = broadcast('block')();
      const publisher = ring.publisher();
      const slow = other.subscriber();
      publisher.tryPublishMany(FULL);
      expect(publisher.tryPublish(recordOf(1))).toBe(false);
      Object.assign(Atomics, {
        add: () => {
          throw new Error('stopped'); // Its entry is free; nobody was told.
        },
      });
      expect(() => slow.close()).toThrow('stopped');
      Object.assign(Atomics, real);
      expect(publisher.tryPublish(recordOf(1))).toBe(true);
    });
  });
}
