// The bytes that every process agrees on: the same in both languages, in the documentation, and in the images of whole
// segments that test/golden holds. Images change only with the layout version; RINGWAY_GOLDEN=write makes them anew.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  Barrier,
  BroadcastRing,
  Condition,
  Lock,
  MpmcRing,
  type OnSlow,
  PeerDiedError,
  type RecordValue,
  record,
  type SegmentHandle,
  Semaphore,
  SharedArray,
  SharedEvent,
  SharedMemory,
  SpscRing,
  type SpscRingOptions,
  Value,
} from 'ringway';
import { describe, expect, it } from 'vitest';
import * as layout from '../src/layout.js';
import { loadNative } from '../src/native.js';
import { freshName, segmentDirectory, useOwnDirectory } from './helpers/directory.js';
import { BACKENDS, imageOf, recordOf, rejectionOf, startBroadcastAt, startPositionsAt } from './helpers/rings.js';

useOwnDirectory();

const { Constants, MpmcHeader, ParticipantEntry, SegmentHeader, SemaphoreHeader, SpscHeader, bodyOffsetFor } = layout;
const tables = Object.fromEntries(Object.entries(layout).filter(([, table]) => typeof table === 'object'));

describe('the layout', () => {
  it('is the same in TypeScript and in the addon, in every row', () => {
    const { native, reason } = loadNative();
    if (native === undefined) throw new Error(reason);
    expect(native.layout()).toEqual(tables);
    expect(Object.keys(native.layout()).sort()).toEqual(Object.keys(tables).sort());
  });

  it('keeps words that different processes write 128 bytes apart', () => {
    const { tail, head, producer, filled, freed, producerCounters, consumerCounters, data } = SpscHeader;
    const writers = [0, tail, head, producer, filled, freed, producerCounters, consumerCounters, data];
    for (let i = 1; i < writers.length; i++) {
      expect((writers[i] as number) - (writers[i - 1] as number)).toBeGreaterThanOrEqual(Constants.isolationBytes);
    }
    expect(bodyOffsetFor(3) % Constants.isolationBytes).toBe(0);
    expect(bodyOffsetFor(3)).toBeGreaterThanOrEqual(SegmentHeader.participants + 3 * ParticipantEntry.next);
  });

  it('is what docs/LAYOUT.md says', () => {
    const text = readFileSync(fileURLToPath(new URL('../docs/LAYOUT.md', import.meta.url)), 'utf8');
    const part = (from: string, to: string) => text.slice(text.indexOf(from), text.indexOf(to, text.indexOf(from)));
    const rows = (of: string) =>
      Object.fromEntries(
        [...of.replaceAll("'s counters", 'Counters').matchAll(/^\| (\d+) \|[^|]*\| (\w+) \|/gm)].map(
          ([, offset, field]) => [field, Number(offset)],
        ),
      );
    expect(rows(part('## Segment', '## SPSC ring'))).toEqual(SegmentHeader);
    expect(rows(part('## SPSC ring', '## MPMC ring'))).toMatchObject(SpscHeader);
    expect(rows(part('## MPMC ring', '### Slots'))).toEqual(layout.MpmcHeader);
    expect(rows(part('## Broadcast ring', '### Publishers'))).toEqual(layout.BroadcastHeader);
    const entries: [from: string, to: string, table: Record<string, number>, notRows: Record<string, number>][] = [
      ["A publisher's entry:", "A subscriber's entry:", layout.PublisherEntry, { next: 128 }],
      ["A subscriber's entry:", '### Cells', layout.SubscriberEntry, { next: 128 }],
      ["At a slot's start:", '## Semaphore', layout.BroadcastSlot, { payload: 16 }],
    ];
    for (const [from, to, table, notRows] of entries) expect({ ...rows(part(from, to)), ...notRows }).toEqual(table);
    const { end: _, ...fields } = SemaphoreHeader;
    expect(rows(part('## Semaphore', '## Lock'))).toEqual(fields);
    const { end: _end, ...lockFields } = layout.LockHeader;
    expect(rows(part('## Lock', '## Event (kind'))).toEqual(lockFields);
    const { end: _endOfEvent, ...ofEvent } = layout.EventHeader;
    expect(rows(part('## Event (kind', '## Barrier'))).toEqual(ofEvent);
    expect(rows(part('## Barrier', '## Condition'))).toEqual(layout.BarrierHeader);
    expect(rows(part('## Condition', "A participant's row:"))).toEqual(layout.ConditionHeader);
    const { next: _next, ...ofRow } = layout.WaitingRow;
    expect(rows(part("A participant's row:", '## Value'))).toEqual(ofRow);
    expect(part('## Lock', '## Event (kind')).toContain(`${Constants.lockOwnerDied}: free`);
    expect(rows(part('## Value', '## Block'))).toEqual(layout.ValueHeader);
    expect(rows(part('## Array', '## Queue'))).toEqual(layout.SharedArrayHeader);
    expect(rows(part('## Queue', '## Event counts'))).toEqual(layout.QueueHeader);
    expect(text).toContain(`Layout version: ${Constants.layoutVersion}.`);
    expect(text).toContain(`0x${Constants.magic.toString(16)}`);
  });
});

// What the images hold. Two participants make them small.
const PARTICIPANTS = 2;
interface Image {
  options: SpscRingOptions;
  /** Before the ends are taken. */
  start?: number;
  fill(ring: SpscRing): void;
  /** What a reader finds. */
  records: Uint8Array[];
}
const images: Record<string, Image> = {
  // Nobody has come yet.
  empty: { options: { capacity: 64 }, fill: () => {}, records: [] },
  // Both roles are held. Four records were pushed and two of them popped; the last one did not fit before the end of the
  // data and lies at its start, behind padding.
  wrapped: {
    options: { capacity: 256, wait: 'park' },
    fill: (ring) => {
      const producer = ring.producer();
      const consumer = ring.consumer();
      producer.tryPushMany([recordOf(60, 1), recordOf(70, 2), recordOf(33, 3)]);
      consumer.tryPop();
      consumer.tryPop();
      producer.tryPush(recordOf(80, 4));
    },
    records: [recordOf(33, 3), recordOf(80, 4)],
  },
  // The producer was closed, no consumer has come. Records of every length around the alignment, one of them committed
  // shorter than it was claimed; positions that wrap at 2^32.
  aligned: {
    options: { capacity: 512, alignment: 64, wait: 'spin' },
    start: 2 ** 32 - 128,
    fill: (ring) => {
      const producer = ring.producer();
      producer.tryPushMany([recordOf(0), recordOf(1), recordOf(56), recordOf(57)]);
      const claim = producer.tryClaim(100);
      claim?.bytes.fill(0);
      claim?.bytes.set(recordOf(10));
      claim?.commit(10);
      producer.close();
    },
    records: [recordOf(0), recordOf(1), recordOf(56), recordOf(57), recordOf(10)],
  },
};

const Sample = record({ a: 'int8', b: 'float64', c: 'uint16[3]', d: 'utf8[5]', e: 'bool', f: 'uint64' });
const sample: RecordValue<typeof Sample> = {
  a: -2,
  b: 0.1,
  c: new Uint16Array([1, 2, 65535]),
  d: 'né',
  e: true,
  f: 2n ** 64n - 3n,
};

interface Shared {
  handle: SegmentHandle;
  close(): void;
}

const fileOfImage = (name: string) => fileURLToPath(new URL(`golden/${name}.bin`, import.meta.url));

/** Without what is different each time: times, pids, the random id. */
function normalised(image: Uint8Array): Uint8Array {
  const copy = image.slice();
  copy.fill(0, SegmentHeader.creatorPid, SegmentHeader.uniqueId + 8);
  copy.fill(0, SegmentHeader.participants, SegmentHeader.participants + PARTICIPANTS * ParticipantEntry.next);
  return copy;
}

describe('an image of a segment', () => {
  for (const [name, { options, start, fill, records }] of Object.entries(images)) {
    const make = (more: Partial<SpscRingOptions>) => {
      const ring = SpscRing.create({ ...options, ...more, maxParticipants: PARTICIPANTS });
      if (start !== undefined) startPositionsAt(ring, start, PARTICIPANTS);
      fill(ring);
      return ring;
    };

    for (const backend of BACKENDS) {
      it(`is made byte for byte as it always was: ${name} (${backend})`, () => {
        const ring = make({ backend });
        const made = normalised(imageOf(ring));
        ring.close();
        if (process.env.RINGWAY_GOLDEN === 'write' && backend === 'shm') writeFileSync(fileOfImage(name), made);
        const golden = new Uint8Array(readFileSync(fileOfImage(name)));
        // Only where processes come and go is there a next one to look at.
        if (backend === 'sab') golden.fill(0, SegmentHeader.nextParticipant, SegmentHeader.nextParticipant + 4);
        expect(made).toEqual(golden);
      });
    }

    it(`is opened and read: ${name}`, async () => {
      const ringName = freshName();
      const path = `${segmentDirectory()}/ringway-${ringName}`;
      writeFileSync(path, readFileSync(fileOfImage(name)));
      const ring = SpscRing.attach(ringName);
      try {
        expect(ring).toMatchObject({ alignment: 8, wait: 'adaptive', ...options });
        const consumer = ring.consumer();
        expect(consumer.tryPopMany(Infinity)).toEqual(records);
        const end = await rejectionOf(consumer.pop({ timeoutMs: 0 }));
        // Whoever held the roles is no process of today's.
        const expected = { empty: 'TimeoutError', wrapped: 'PeerDiedError', aligned: 'EndOfStreamError' };
        expect(end.name).toBe(expected[name as keyof typeof expected]);
        if (end instanceof PeerDiedError) expect(end.pid).toBe(0);
        const producer = ring.producer();
        for (let i = 0; i < 20; i++) {
          expect(producer.tryPush(recordOf(i, i))).toBe(true);
          expect(consumer.tryPop()).toEqual(recordOf(i, i));
        }
      } finally {
        ring.close();
        rmSync(path);
      }
    });
  }

  // One of three permits was taken.
  it('is made and opened as it always was: semaphore', () => {
    const made = new Semaphore(3, { max: 5, wait: 'park', maxParticipants: PARTICIPANTS });
    made.tryAcquire();
    const image = normalised(imageOf(made));
    made.close();
    const file = fileOfImage('semaphore');
    if (process.env.RINGWAY_GOLDEN === 'write') writeFileSync(file, image);
    expect(image).toEqual(new Uint8Array(readFileSync(file)));
    const name = freshName();
    const path = `${segmentDirectory()}/ringway-${name}`;
    writeFileSync(path, image);
    using opened = Semaphore.attach(name);
    expect(opened).toMatchObject({ value: 2, max: 5, wait: 'park' });
    rmSync(path);
  });

  // Its owner had taken it, and did not release it.
  it('is made and opened as it always was: lock', () => {
    const made = new Lock({ wait: 'park', maxParticipants: PARTICIPANTS });
    made.tryAcquire();
    const image = normalised(imageOf(made));
    made.close();
    const file = fileOfImage('lock');
    if (process.env.RINGWAY_GOLDEN === 'write') writeFileSync(file, image);
    expect(image).toEqual(new Uint8Array(readFileSync(file)));
    const name = freshName();
    const path = `${segmentDirectory()}/ringway-${name}`;
    writeFileSync(path, image);
    using opened = Lock.attach(name);
    expect(opened).toMatchObject({ wait: 'park', locked: true });
    expect(opened.lockSync()).toMatchObject({ ownerDied: true, diedPid: 0 });
    rmSync(path);
  });

  // Set for the second time.
  it('is made and opened as it always was: event', () => {
    const made = new SharedEvent({ wait: 'park', maxParticipants: PARTICIPANTS });
    made.set();
    made.clear();
    made.set();
    const image = normalised(imageOf(made));
    made.close();
    const file = fileOfImage('event');
    if (process.env.RINGWAY_GOLDEN === 'write') writeFileSync(file, image);
    expect(image).toEqual(new Uint8Array(readFileSync(file)));
    const name = freshName();
    const path = `${segmentDirectory()}/ringway-${name}`;
    writeFileSync(path, image);
    using opened = SharedEvent.attach(name);
    expect(opened).toMatchObject({ isSet: true, waitMode: 'park' });
    rmSync(path);
  });

  // The first generation was completed, the second one broken and reset; in the third one of three parties waits.
  it('is made and opened as it always was: barrier', async () => {
    const made = new Barrier(3, { wait: 'spin', maxParticipants: PARTICIPANTS });
    await Promise.all([made.wait(), made.wait(), made.wait()]);
    const broken = rejectionOf(made.wait());
    made.reset();
    expect((await broken).name).toBe('BrokenBarrierError');
    const last = rejectionOf(made.wait());
    const image = normalised(imageOf(made));
    const blame = bodyOffsetFor(PARTICIPANTS) + layout.BarrierHeader.blame;
    const cause = new DataView(image.buffer).getUint32(blame, true);
    expect(cause).toBe(Constants.brokeReset | (process.pid << Constants.blamePidShift) | (2 << 25));
    image.fill(0, blame, blame + 4);
    made.close();
    expect((await last).name).toBe('ClosedError');
    const file = fileOfImage('barrier');
    if (process.env.RINGWAY_GOLDEN === 'write') writeFileSync(file, image);
    expect(image).toEqual(new Uint8Array(readFileSync(file)));
    const name = freshName();
    const path = `${segmentDirectory()}/ringway-${name}`;
    writeFileSync(path, image);
    using opened = Barrier.attach(name);
    expect(opened).toMatchObject({ parties: 3, waiting: 1, broken: false, waitMode: 'spin' });
    // Whoever waits there is no process of today's.
    expect((await rejectionOf(opened.wait())).name).toBe('BrokenBarrierError');
    opened.reset();
    expect(await Promise.all([opened.wait(), opened.wait(), opened.wait()])).toEqual([0, 1, 2]);
    rmSync(path);
  });

  // Two wait through the creator's handle, one of which has a notice that it has not taken; the lock is held.
  it('is made and opened as it always was: condition', async () => {
    const made = new Condition({ wait: 'park', maxParticipants: PARTICIPANTS });
    const waits = [0, 1].map(() => rejectionOf(made.lockSync().wait()));
    const held = made.lockSync();
    expect(held.notify()).toBe(1);
    const image = normalised(imageOf(made));
    made.close();
    for (const wait of waits) expect((await wait).name).toBe('ClosedError');
    const file = fileOfImage('condition');
    if (process.env.RINGWAY_GOLDEN === 'write') writeFileSync(file, image);
    expect(image).toEqual(new Uint8Array(readFileSync(file)));
    const name = freshName();
    const path = `${segmentDirectory()}/ringway-${name}`;
    writeFileSync(path, image);
    using opened = Condition.attach(name);
    expect(opened).toMatchObject({ waiting: 1, locked: true, waitMode: 'park' });
    // Whoever waits there, and has the lock, is no process of today's.
    const guard = opened.lockSync();
    expect([guard.ownerDied, guard.notifyAll(), opened.waiting]).toEqual([true, 0, 0]);
    expect(guard.waitSync({ timeoutMs: 0 })).toBe(false);
    guard.release();
    rmSync(path);
  });

  const values: Record<string, { make: (backend: 'shm' | 'sab') => Shared; check: (name: string) => void }> = {
    // Changed once, so that one of the creator's copies has the first value and the other one the second.
    value: {
      make: (backend) => {
        const made = new Value(Sample, sample, { backend, maxParticipants: PARTICIPANTS, lock: false });
        made.update((value) => ({ ...value, a: 3 }));
        return made;
      },
      check: (name) => {
        using opened = Value.attach(name, { type: Sample });
        expect(opened.value).toEqual({ ...sample, a: 3 });
        expect(opened.set(sample).a).toBe(3);
      },
    },
    'value-scalar': {
      make: (backend) => new Value('float64', -0.1, { backend, maxParticipants: PARTICIPANTS, lock: false }),
      check: (name) => {
        using opened = Value.attach(name);
        expect(opened).toMatchObject({ type: 'float64', value: -0.1 });
      },
    },
    'shared-array': {
      make: (backend) =>
        new SharedArray('int16', [1, -2, 32767], { backend, maxParticipants: PARTICIPANTS, lock: false }),
      check: (name) => {
        using opened = SharedArray.attach(name);
        expect([opened.type, [...opened]]).toEqual(['int16', [1, -2, 32767]]);
      },
    },
    // Its lock was held when its owner closed it.
    'value-locked': {
      make: (backend) => {
        const made = new Value('uint8', 7, { backend, maxParticipants: PARTICIPANTS });
        void made.withLock(() => new Promise(() => {})).catch(() => {});
        return made;
      },
      check: (name) => {
        using opened = Value.attach(name, { lock: true as never });
        expect([opened.value, opened.withLockSync((guard) => guard.ownerDied)]).toEqual([7, true]);
      },
    },
    'shared-memory': {
      make: (backend) => {
        const made = SharedMemory.create({ byteLength: 13, backend, maxParticipants: PARTICIPANTS });
        made.bytes.set(recordOf(13));
        return made;
      },
      check: (name) => {
        using opened = SharedMemory.attach(name);
        expect(opened.bytes).toEqual(recordOf(13));
      },
    },
  };
  for (const [what, { make, check }] of Object.entries(values)) {
    it(`is made and opened as it always was: ${what}`, () => {
      const file = fileOfImage(what);
      for (const backend of BACKENDS) {
        const made = make(backend);
        const image = normalised(imageOf(made));
        made.close();
        if (process.env.RINGWAY_GOLDEN === 'write' && backend === 'shm') writeFileSync(file, image);
        const golden = new Uint8Array(readFileSync(file));
        if (backend === 'sab') golden.fill(0, SegmentHeader.nextParticipant, SegmentHeader.nextParticipant + 4);
        expect(image).toEqual(golden);
      }
      const name = freshName();
      const path = `${segmentDirectory()}/ringway-${name}`;
      writeFileSync(path, readFileSync(file));
      check(name);
      rmSync(path);
    });
  }

  // Two records, the first of them popped; the ends given back.
  it('is made and opened as it always was: typed records', () => {
    const options = { capacity: 256, maxParticipants: PARTICIPANTS, record: Sample };
    for (const backend of BACKENDS) {
      const made = SpscRing.create({ ...options, backend });
      made.producer().tryPushMany([sample, sample]);
      made.consumer().tryPop();
      made.producer().close();
      made.consumer().close();
      const image = normalised(imageOf(made));
      made.close();
      const file = fileOfImage('record');
      if (process.env.RINGWAY_GOLDEN === 'write' && backend === 'shm') writeFileSync(file, image);
      const golden = new Uint8Array(readFileSync(file));
      if (backend === 'sab') golden.fill(0, SegmentHeader.nextParticipant, SegmentHeader.nextParticipant + 4);
      expect(image).toEqual(golden);
    }
    const name = freshName();
    const path = `${segmentDirectory()}/ringway-${name}`;
    writeFileSync(path, readFileSync(fileOfImage('record')));
    using opened = SpscRing.attach(name, { record: Sample });
    expect(opened.consumer().tryPopMany(9)).toEqual([sample]);
    rmSync(path);
  });

  it('is there for every structure', () => {
    for (const name of [
      ...Object.keys(images),
      'semaphore',
      'lock',
      'event',
      'barrier',
      'condition',
      ...Object.keys(values),
      'record',
    ])
      expect(existsSync(fileOfImage(name)), name).toBe(true);
  });
});

// Slots in every phase; the second lap of the queue; one message that came again.
describe('an image of a many-to-many ring', () => {
  const make = (backend: 'shm' | 'sab') => {
    const ring = MpmcRing.create({ slots: 8, slotByteLength: 20, maxParticipants: PARTICIPANTS, backend });
    for (let i = 0; i < 20; i++) {
      ring.tryPush(recordOf(i));
      ring.tryPop();
    }
    ring.tryPushMany([recordOf(0), recordOf(20), recordOf(7), recordOf(9)]);
    ring.tryTake()?.nack();
    const kept = [ring.tryTake(), ring.tryClaim(5)];
    return { ring, kept };
  };

  for (const backend of BACKENDS) {
    it(`is made byte for byte as it always was (${backend})`, () => {
      const { ring, kept } = make(backend);
      const made = normalised(imageOf(ring));
      expect(kept).not.toContain(null);
      ring.close();
      if (process.env.RINGWAY_GOLDEN === 'write' && backend === 'shm') writeFileSync(fileOfImage('mpmc'), made);
      const golden = new Uint8Array(readFileSync(fileOfImage('mpmc')));
      if (backend === 'sab') golden.fill(0, SegmentHeader.nextParticipant, SegmentHeader.nextParticipant + 4);
      // How far the hints lag is everybody's own affair; they never lead.
      for (const hint of [MpmcHeader.tail, MpmcHeader.head]) {
        const at = bodyOffsetFor(PARTICIPANTS) + hint;
        const exact = new DataView(golden.buffer, at);
        const lag = exact.getUint32(0, true) - new DataView(made.buffer, made.byteOffset + at).getUint32(0, true);
        expect(lag).toBeGreaterThanOrEqual(0);
        expect(lag).toBeLessThan(8);
        made.set(golden.subarray(at, at + 4), at);
      }
      expect(made).toEqual(golden);
    });
  }

  it('is opened and read, and what its holder held comes again', () => {
    const name = freshName();
    const path = `${segmentDirectory()}/ringway-${name}`;
    writeFileSync(path, readFileSync(fileOfImage('mpmc')));
    const ring = MpmcRing.attach(name);
    try {
      expect(ring).toMatchObject({ slots: 8, slotByteLength: 20, alignment: 8, wait: 'adaptive' });
      // Its holder, participant 0, is no process of today's: the first one who has to wait finds that out.
      const leases = [...ring.tryTakeMany(3), ring.takeSync()];
      const got = leases.map((lease) => [lease.byteLength, lease.redelivered]);
      expect(got).toEqual([
        [7, false],
        [9, false],
        [0, true],
        [20, true],
      ]);
      expect(ring.stats()).toMatchObject({ abandoned: 1, redelivered: 2 });
    } finally {
      ring.close();
      rmSync(path);
    }
  });
});

// Each holds, of both policies: positions that wrapped, every slot used, a publisher that was closed and one that lives
// with a claim, a subscriber that is behind and one that has read all.
describe('an image of a broadcast ring', () => {
  const start = 2 ** 32 - 3;
  const make = (backend: 'shm' | 'sab', onSlow: OnSlow) => {
    const shape = { slots: 4, slotByteLength: 20, maxPublishers: 2, maxSubscribers: 3, wait: 'park' } as const;
    const ring = BroadcastRing.create({ ...shape, onSlow, maxParticipants: PARTICIPANTS, backend });
    startBroadcastAt(ring, start, PARTICIPANTS);
    const publishers = [ring.publisher(), ring.publisher()] as const;
    const subscribers = [ring.subscriber(), ring.subscriber()] as const;
    for (let i = 0; i < 8; i++) {
      publishers[i % 2]?.tryPublish(recordOf(i, i));
      subscribers[1].tryRead();
      if (i < 6) subscribers[0].tryRead();
    }
    const claim = publishers[1].tryClaim(2);
    claim?.bytes.fill(0xcc);
    publishers[0].tryPublish(recordOf(8, 8));
    subscribers[1].tryRead();
    if (onSlow === 'overwrite') {
      publishers[0].tryPublishMany([recordOf(20, 9), recordOf(1, 10)]);
      subscribers[0].tryRead(); // Lapped: it misses what is not read here.
      publishers[0].tryPublish(recordOf(0, 11));
      subscribers[1].tryReadMany(3);
    }
    publishers[0].close();
    return { ring, claim };
  };
  const file = (onSlow: OnSlow) => fileOfImage(`broadcast-${onSlow}`);

  for (const onSlow of ['block', 'overwrite'] as const) {
    for (const backend of BACKENDS) {
      it(`is made byte for byte as it always was: ${onSlow} (${backend})`, () => {
        const { ring, claim } = make(backend, onSlow);
        const made = normalised(imageOf(ring));
        expect(claim).not.toBeNull();
        ring.close();
        if (process.env.RINGWAY_GOLDEN === 'write' && backend === 'shm') writeFileSync(file(onSlow), made);
        const golden = new Uint8Array(readFileSync(file(onSlow)));
        if (backend === 'sab') golden.fill(0, SegmentHeader.nextParticipant, SegmentHeader.nextParticipant + 4);
        expect(made).toEqual(golden);
      });
    }

    it(`is opened and read, and whoever held it is found dead: ${onSlow}`, async () => {
      const name = freshName();
      const path = `${segmentDirectory()}/ringway-${name}`;
      writeFileSync(path, readFileSync(file(onSlow)));
      const ring = BroadcastRing.attach(name);
      try {
        expect(ring).toMatchObject({ slots: 4, slotByteLength: 20, onSlow, maxPublishers: 2, maxSubscribers: 3 });
        const first = [recordOf(5, 5), recordOf(6, 6), recordOf(7, 7), recordOf(8, 8)];
        const last = [recordOf(8, 8), recordOf(20, 9), recordOf(1, 10), recordOf(0, 11)];
        const pushed = onSlow === 'block' ? start + 9 : start + 12;
        expect(ring.stats()).toMatchObject({ pushed, missed: onSlow === 'block' ? 0 : 3 });
        const subscriber = ring.subscriber({ from: 'oldest' });
        expect(subscriber.tryReadMany(9)).toEqual(onSlow === 'block' ? first : last);
        const died = await rejectionOf(subscriber.read());
        expect(died).toBeInstanceOf(PeerDiedError);
        const publisher = ring.publisher();
        for (let i = 0; i < 20; i++) {
          await publisher.publish(recordOf(i, i)); // Dead subscribers hold up nobody.
          expect(subscriber.tryRead()).toEqual(recordOf(i, i));
        }
      } finally {
        ring.close();
        rmSync(path);
      }
    });
  }
});
