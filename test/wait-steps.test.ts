// Lost wake-ups, looked for systematically: the other end acts at every single step of a wait, before the first atomic
// operation, before the second, and so on until the wait is asleep. The other end is a second copy of the library in the
// same thread, which knows nothing of the first one, as if it were another thread that is stopped everywhere else.
import { SpscRing } from 'ringway';
import { afterEach, describe, expect, it } from 'vitest';
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

const others: OtherSpscRing[] = [];
afterEach(() => {
  for (const other of others.splice(0)) other.close();
});

const turns = async (count: number) => {
  for (let turn = 0; turn < count; turn++) await new Promise(setImmediate);
};

/** Prepares both ends; `wait` has to wait until `act` was called. */
type Case = (
  ring: SpscRing,
  other: OtherSpscRing,
) => {
  wait: () => Promise<unknown>;
  act: () => void;
  /** What is still missing after `act`. */
  finish?: () => void;
  expected: unknown;
};

const cases: Record<string, Case> = {
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

for (const backend of BACKENDS) {
  describe(`at every step of a wait over ${backend}`, () => {
    const make = () => {
      const ring = opening(SpscRing.create({ capacity: 256, backend, wait: 'park' }));
      const other = OtherSpscRing.attach(ring.handle);
      others.push(other);
      return { ring, other };
    };

    for (const [name, prepare] of Object.entries(cases)) {
      // A live peer is looked after now and then in shared memory, which would hide a lost wake-up for a second at
      // most; over a SharedArrayBuffer it would be one for ever, and this test would not end.
      it(name, async () => {
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
      });
    }
  });
}
