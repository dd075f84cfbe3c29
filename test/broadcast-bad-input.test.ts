// What a broadcast ring refuses, how, and that nothing has changed afterwards: wrong arguments, late calls, damaged and
// hostile segments.
import {
  BroadcastRing,
  type BroadcastRingOptions,
  ClosedError,
  CorruptSegmentError,
  MessageSizeError,
  MpmcRing,
  RingwayError,
  type SegmentHandle,
  SpscRing,
} from 'ringway';
import { describe, expect, it } from 'vitest';
import { BroadcastHeader, BroadcastSlot, bodyOffsetFor, PublisherEntry, SubscriberEntry } from '../src/layout.js';
import { freshName, opening, segmentFiles, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random, seed } from './helpers/random.js';
import { BACKENDS, imageOf, poke, pokeBody, recordOf, rejectionOf, thrownBy } from './helpers/rings.js';

useOwnDirectory();
announceSeed('broadcast-bad-input');

for (const backend of BACKENDS) {
  describe(`bad input of broadcast rings over ${backend}`, () => {
    const shape = { slots: 4, slotByteLength: 64, onSlow: 'block', maxSubscribers: 8 } as const;
    const make = (options: Partial<BroadcastRingOptions> = {}) =>
      opening(BroadcastRing.create({ ...shape, backend, ...options }));

    const wrong: [key: keyof BroadcastRingOptions, ranges: unknown[], types: unknown[]][] = [
      ['slots', [0, -1, 2.5, NaN, Infinity, 65_537, 2 ** 32 + 4], ['8', null, undefined, true, 8n, {}, [8]]],
      ['slotByteLength', [0, -1, 1.5, NaN, Infinity, 2 ** 30 + 1, 2 ** 32 + 8], ['8', null, undefined, true, 8n, {}]],
      ['onSlow', ['', 'Block', 'wait', 'constructor', 0, 1, true, null, undefined, {}], []],
      ['maxPublishers', [0, -1, 1.5, NaN, Infinity, 257], ['8', null, true, 8n, {}]],
      ['maxSubscribers', [0, -1, 1.5, NaN, Infinity, 4097], ['8', null, true, 8n, {}]],
      ['alignment', [0, 16, 128, -8, 8.5, NaN, '8', null, true, {}], []],
      ['wait', ['fast', '', 'Spin', 'constructor', 0, null, true, {}], []],
      ['maxParticipants', [0, 1, -1, 4097, 1.5, NaN], ['8', null, true, 8n, {}]],
      ['mode', [-1, 0o1000, 1.5, NaN], ['600', null, true, 8n, {}]],
      ['backend', ['', 'SHM', 0, true, null, {}], []],
    ];
    for (const [key, ranges, types] of wrong) {
      it(`create refuses a wrong ${key}, shows it and makes nothing`, () => {
        for (const [kind, values] of [
          [RangeError, ranges],
          [TypeError, types],
        ] as const) {
          for (const value of values) {
            const error = thrownBy(() => make({ [key]: value }));
            expect(error, `${key}: ${String(value)}`).toBeInstanceOf(kind);
            expect(error.message).toContain(key);
            if (typeof value !== 'object') expect(error.message).toContain(String(value));
          }
        }
        expect(segmentFiles()).toEqual([]);
      });
    }

    it('create refuses slots that are too large together, with the numbers', () => {
      for (const options of [
        { slots: 65_536, slotByteLength: 65_536 },
        { slots: 2, slotByteLength: 2 ** 30 },
        { slots: 2, slotByteLength: 2 ** 23, maxPublishers: 256 },
      ]) {
        const error = thrownBy(() => make(options));
        expect(error).toBeInstanceOf(RangeError);
        expect(error.message).toContain(`${options.slots} slots of ${options.slotByteLength} bytes`);
        expect(error.message).toContain(String(2 ** 30));
      }
    });

    it('create and createOrAttach refuse what are no options', () => {
      for (const value of [undefined, null, 64, '64', true, 64n]) {
        expect(thrownBy(() => BroadcastRing.create(value as never))).toBeInstanceOf(TypeError);
        expect(thrownBy(() => BroadcastRing.createOrAttach(value as never))).toBeInstanceOf(TypeError);
      }
      expect(thrownBy(() => BroadcastRing.createOrAttach(shape as never))).toBeInstanceOf(TypeError);
    });

    it('subscriber() refuses another start, shows it and takes no place', () => {
      const ring = make({ maxSubscribers: 1 });
      for (const from of ['x', '', 'Latest', 0, null, {}, ['latest']]) {
        const error = thrownBy(() => ring.subscriber({ from: from as never }));
        expect(error).toBeInstanceOf(RangeError);
        expect(error.message).toContain('from');
        if (typeof from === 'string') expect(error.message).toContain(from);
      }
      expect(thrownBy(() => ring.subscriber(null as never))).toBeInstanceOf(TypeError);
      expect(ring.subscriber().tryRead()).toBeNull();
    });

    it('a message that is no Uint8Array is a TypeError in every form, and nothing is published', async () => {
      const ring = make();
      const publisher = ring.publisher();
      const before = imageOf(ring);
      for (const value of [
        undefined,
        null,
        0,
        'text',
        {},
        [],
        [1],
        { length: 3 },
        new ArrayBuffer(8),
        new DataView(new ArrayBuffer(8)),
        new Uint16Array(1),
        new Uint8ClampedArray(1),
        Object.create(Uint8Array.prototype),
      ]) {
        const message = value as Uint8Array;
        for (const error of [
          thrownBy(() => publisher.tryPublish(message)),
          thrownBy(() => publisher.publishSync(message)),
          thrownBy(() => publisher.tryPublishMany([recordOf(1), message])),
          await rejectionOf(publisher.publish(message)),
        ]) {
          expect(error).toBeInstanceOf(TypeError);
        }
      }
      for (const value of [undefined, null, 5, 'text', {}, { length: 1, 0: recordOf(1) }, recordOf(3)]) {
        expect(thrownBy(() => publisher.tryPublishMany(value as never))).toBeInstanceOf(TypeError);
      }
      expect(imageOf(ring)).toEqual(before);
    });

    it('a message that is too long is a MessageSizeError in every form, also without room, and nothing is published', async () => {
      const ring = make();
      const publisher = ring.publisher();
      const subscriber = ring.subscriber();
      for (let round = 0; round < 2; round++) {
        for (const byteLength of [65, 1000]) {
          const message = new Uint8Array(byteLength);
          for (const error of [
            thrownBy(() => publisher.tryPublish(message)),
            thrownBy(() => publisher.publishSync(message)),
            thrownBy(() => publisher.tryPublishMany([recordOf(1), message])),
            thrownBy(() => publisher.tryClaim(byteLength)),
            thrownBy(() => publisher.claimSync(byteLength)),
            thrownBy(() => publisher.tryWrite(byteLength, () => {})),
            thrownBy(() => publisher.writeSync(byteLength, () => {})),
            await rejectionOf(publisher.publish(message)),
            await rejectionOf(publisher.claim(byteLength)),
            await rejectionOf(publisher.write(byteLength, () => {})),
          ]) {
            expect(error).toBeInstanceOf(MessageSizeError);
            expect(error).toMatchObject({ code: 'ERR_RINGWAY_MESSAGE_SIZE', byteLength, limit: 64 });
            expect(error.message).toContain(`${byteLength} bytes`);
            expect(error.message).toContain('64');
          }
        }
        expect(ring.stats().pushed).toBe(4 * round);
        while (publisher.tryPublish(recordOf(64)));
      }
      expect(subscriber.tryReadMany(9)).toEqual(Array(4).fill(recordOf(64)));
    });

    it('lengths, limits, writers and handlers that are none are refused, and nothing is lent out or read', async () => {
      const ring = make();
      const publisher = ring.publisher();
      const subscriber = ring.subscriber();
      publisher.tryPublish(recordOf(1));
      for (const [kind, values] of [
        [RangeError, [-1, 1.5, NaN, -Infinity]],
        [TypeError, [null, '5', {}, [5], 5n, true]],
      ] as const) {
        for (const value of values as readonly unknown[] as number[]) {
          for (const error of [
            thrownBy(() => publisher.tryClaim(value)),
            thrownBy(() => publisher.claimSync(value)),
            thrownBy(() => publisher.tryWrite(value, () => {})),
            await rejectionOf(publisher.claim(value)),
            await rejectionOf(publisher.write(value, () => {})),
            thrownBy(() => subscriber.tryReadMany(value)),
            thrownBy(() => subscriber.drain(() => {}, value)),
          ]) {
            expect(error, String(value)).toBeInstanceOf(kind);
          }
        }
      }
      for (const value of [undefined, null, 5, 'f', {}]) {
        expect(thrownBy(() => publisher.tryWrite(1, value as never))).toBeInstanceOf(TypeError);
        expect(thrownBy(() => subscriber.drain(value as never))).toBeInstanceOf(TypeError);
      }
      expect(publisher.tryPublish(recordOf(2))).toBe(true);
      expect(subscriber.tryReadMany(9)).toEqual([recordOf(1), recordOf(2)]);
    });

    it('wait options that are none are refused, also when nothing has to be waited for', async () => {
      const ring = make();
      const publisher = ring.publisher();
      const subscriber = ring.subscriber();
      publisher.tryPublish(recordOf(1));
      for (const [kind, options] of [
        [RangeError, { timeoutMs: NaN }],
        [TypeError, { timeoutMs: '5' }],
        [RangeError, { onPeerGone: 'x' }],
      ] as const) {
        for (const error of [
          await rejectionOf(publisher.publish(recordOf(2), options as never)),
          await rejectionOf(subscriber.read(options as never)),
          thrownBy(() => publisher.publishSync(recordOf(2), options as never)),
          thrownBy(() => subscriber.peekSync(options as never)),
        ]) {
          expect(error, JSON.stringify(options)).toBeInstanceOf(kind);
        }
      }
      expect(ring.stats()).toMatchObject({ pushed: 1, popped: 0 });
    });

    for (const what of ['ring', 'ends'] as const) {
      it(`after close() of the ${what} every operation is a ClosedError`, async () => {
        const ring = make();
        const publisher = ring.publisher();
        const subscriber = ring.subscriber();
        publisher.tryPublish(recordOf(1));
        const claim = publisher.tryClaim(8);
        const peek = subscriber.tryPeek();
        if (what === 'ring') ring.close();
        else for (const end of [publisher, subscriber]) end.close();
        for (const error of [
          thrownBy(() => publisher.tryPublish(recordOf(1))),
          thrownBy(() => publisher.tryPublishMany([])),
          thrownBy(() => publisher.publishSync(recordOf(1))),
          thrownBy(() => publisher.tryClaim(1)),
          thrownBy(() => publisher.claimSync(1)),
          thrownBy(() => publisher.tryWrite(1, () => {})),
          thrownBy(() => publisher.writeSync(1, () => {})),
          await rejectionOf(publisher.publish(recordOf(1))),
          await rejectionOf(publisher.claim(1)),
          await rejectionOf(publisher.write(1, () => {})),
          thrownBy(() => subscriber.tryRead()),
          thrownBy(() => subscriber.tryReadMany(1)),
          thrownBy(() => subscriber.readSync()),
          thrownBy(() => subscriber.drain(() => {})),
          thrownBy(() => subscriber.tryPeek()),
          thrownBy(() => subscriber.peekSync()),
          thrownBy(() => subscriber.readySync()),
          thrownBy(() => subscriber.ended),
          await rejectionOf(subscriber.read()),
          await rejectionOf(subscriber.peek()),
          await rejectionOf(subscriber.ready()),
          await rejectionOf(subscriber[Symbol.asyncIterator]().next()),
          thrownBy(() => claim?.bytes),
          thrownBy(() => claim?.commit()),
          thrownBy(() => claim?.abort()),
          thrownBy(() => peek?.bytes),
          thrownBy(() => peek?.stillValid),
          thrownBy(() => peek?.release()),
        ]) {
          expect(error).toBeInstanceOf(ClosedError);
          expect(error.code).toBe('ERR_RINGWAY_CLOSED');
        }
        expect(publisher.unref().ref()).toBe(publisher);
        expect(subscriber.missed).toBe(0);
        if (what === 'ends') return;
        for (const late of [() => ring.publisher(), () => ring.subscriber(), () => ring.stats()]) {
          expect(thrownBy(late)).toBeInstanceOf(ClosedError);
        }
        expect(ring).toMatchObject({ ...shape, backend, closed: true });
      });
    }

    it('what is ended twice is ERR_RINGWAY_STATE, and does not end the next one', () => {
      const ring = make();
      const publisher = ring.publisher();
      const subscriber = ring.subscriber();
      const claim = publisher.tryClaim(1);
      claim?.commit();
      const next = publisher.tryClaim(1);
      for (const again of [() => claim?.commit(), () => claim?.abort()]) {
        expect(thrownBy(again)).toMatchObject({ code: 'ERR_RINGWAY_STATE' });
      }
      next?.bytes.set([7]);
      for (const byteLength of [2, -1, 0.5, NaN]) {
        expect(thrownBy(() => next?.commit(byteLength))).toBeInstanceOf(RangeError);
      }
      next?.commit();
      const peek = subscriber.tryPeek();
      peek?.release();
      const second = subscriber.tryPeek();
      expect(thrownBy(() => peek?.release())).toMatchObject({ code: 'ERR_RINGWAY_STATE' });
      peek?.[Symbol.dispose]();
      expect(second?.bytes).toEqual(new Uint8Array([7]));
      second?.release();
      expect(subscriber.tryRead()).toBeNull();
    });

    it('the handle of something else, or of nothing, is refused', () => {
      const others = [
        opening(SpscRing.create({ capacity: 64, backend })),
        opening(MpmcRing.create({ slots: 2, slotByteLength: 8, backend })),
      ];
      for (const { handle } of others) {
        const error = thrownBy(() => BroadcastRing.attach(handle));
        expect(error).toBeInstanceOf(TypeError);
        expect(error.message).toContain(handle.kind);
        // Whoever forges the kind meets that of the segment.
        const forged = { ...handle, kind: 'BroadcastRing' } as SegmentHandle;
        expect(thrownBy(() => BroadcastRing.attach(forged))).toBeInstanceOf(CorruptSegmentError);
      }
      const { handle } = make();
      expect(thrownBy(() => SpscRing.attach({ ...handle, kind: 'SpscRing' } as SegmentHandle))).toBeInstanceOf(
        CorruptSegmentError,
      );
      for (const value of [undefined, null, 5, {}, { ...handle, kind: 'Broadcast' }, { ...handle, backend: 'file' }]) {
        expect(thrownBy(() => BroadcastRing.attach(value as never))).toBeInstanceOf(TypeError);
      }
    });

    it('a fixed part that is damaged is named, whatever it says', () => {
      const damages: Record<string, number[]> = {
        slots: [0, 1, 3, 65_537, 2 ** 31, 2 ** 32 - 1],
        slotByteLength: [0, 2 ** 30 + 1, 2 ** 32 - 1],
        payloadOffset: [0, 15, 17, 24, 25, 32, 63, 65, 2 ** 32 - 1],
        maxPublishers: [0, 257, 2 ** 32 - 1],
        maxSubscribers: [0, 4097, 2 ** 32 - 1],
        onSlow: [2, 2 ** 32 - 1],
        wait: [3, 2 ** 32 - 1],
      };
      const header: Record<string, number> = BroadcastHeader;
      const ring = make();
      const sound = new Uint32Array(imageOf(ring).buffer);
      const attach = () => opening(BroadcastRing.attach(ring.handle));
      const expectRefused = (field: string, value: number, named: string) => {
        pokeBody(ring, header[field] as number, value);
        const error = thrownBy(attach);
        expect(error, `${field}: ${value}`).toBeInstanceOf(CorruptSegmentError);
        expect(error.message).toContain(named);
        pokeBody(ring, header[field] as number, sound[(bodyOffsetFor(64) + (header[field] as number)) >> 2] as number);
      };
      for (const [field, values] of Object.entries(damages)) {
        for (const value of values) expectRefused(field, value, `${field} is ${value}`);
      }
      // In range each, but not together in the file.
      for (const [field, value] of [
        ['slots', 65_536],
        ['slotByteLength', 2 ** 30],
        ['maxPublishers', 256],
        ['maxSubscribers', 4096],
      ] as const) {
        expectRefused(field, value, 'slots of');
      }
      attach().publisher().tryPublish(recordOf(5));
      expect(ring.subscriber({ from: 'oldest' }).tryRead()).toEqual(recordOf(5));
    });

    it('what a hostile peer writes leads to errors, and neither to a crash nor to an endless loop', () => {
      const random = new Random(seed);
      const codes = new Set<string>();
      const small = { slots: 4, slotByteLength: 40, maxPublishers: 2, maxSubscribers: 2, maxParticipants: 4 };
      const body = bodyOffsetFor(4);
      const publishers = body + BroadcastHeader.publishers;
      const subscribers = publishers + 2 * PublisherEntry.next;
      const cells = subscribers + 2 * SubscriberEntry.next;
      for (let round = 0; round < 1500; round++) {
        const onSlow = random.pick(['block', 'overwrite'] as const);
        const ring = BroadcastRing.create({ ...small, onSlow, backend });
        const slots = cells + 128; // 16 cells at most, from the next multiple of 128 on.
        try {
          const ends = [ring.publisher(), ring.subscriber()] as const;
          for (let i = random.below(9); i > 0; i--) {
            ends[0].tryPublish(recordOf(i));
            if (random.below(2) === 0) ends[1].tryRead();
          }
          for (let pokes = 1 + random.below(4); pokes > 0; pokes--) {
            const value = random.pick([0, 1, 2, 3, 8, 15, 16, 41, 2 ** 30, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1]);
            const where = random.pick([
              body +
                random.pick([
                  BroadcastHeader.tail,
                  BroadcastHeader.publishing,
                  BroadcastHeader.subscribing,
                  BroadcastHeader.subscribersEver,
                  BroadcastHeader.published,
                  BroadcastHeader.published + 4,
                  BroadcastHeader.freed + 4,
                ]),
              publishers + random.below(2) * 128 + random.pick([PublisherEntry.word, PublisherEntry.spare]),
              subscribers + random.below(2) * 128 + random.pick([SubscriberEntry.word, SubscriberEntry.cursor]),
              cells + 4 * random.below(16),
              slots + random.below(7) * 64 + random.pick(Object.values(BroadcastSlot).slice(0, 5)),
            ]);
            poke(ring, where, random.below(4) === 0 ? random.next() : value);
          }
          const calls: (() => unknown)[] = [
            () => ends[0].tryPublish(recordOf(3)),
            () => ends[0].tryPublishMany([recordOf(3), recordOf(4), recordOf(5), recordOf(6)]),
            () => ends[0].tryClaim()?.commit(),
            () => ends[0].publishSync(recordOf(1), { timeoutMs: 0 }),
            () => ends[1].tryRead(),
            () => ends[1].drain(() => {}, 9),
            () => ends[1].tryPeek()?.release(),
            () => ends[1].readSync({ timeoutMs: 0 }),
            () => ends[1].ended,
            () => ring.publisher().close(),
            () => ring.subscriber({ from: 'oldest' }).close(),
            () => ring.stats(),
          ];
          for (let act = 0; act < 10; act++) {
            try {
              random.pick(calls)();
            } catch (error) {
              if (!(error instanceof RingwayError)) throw error;
              codes.add(error.code);
            }
          }
        } finally {
          ring.close();
        }
      }
      expect([...codes].sort()).toEqual(
        expect.arrayContaining(['ERR_RINGWAY_CORRUPT_SEGMENT', 'ERR_RINGWAY_TIMEOUT', 'EUSERS']),
      );
    });
  });
}

describe('a broadcast ring and a name', () => {
  it('that is taken by something else are told apart', () => {
    const name = freshName();
    opening(SpscRing.create({ name, capacity: 64 }));
    const shape = { slots: 2, slotByteLength: 8, onSlow: 'block' } as const;
    const taken = thrownBy(() => BroadcastRing.create({ name, ...shape }));
    expect(taken.code).toBe('EEXIST');
    for (const attach of [() => BroadcastRing.attach(name), () => BroadcastRing.createOrAttach({ name, ...shape })]) {
      expect(thrownBy(attach)).toBeInstanceOf(CorruptSegmentError);
    }
    SpscRing.unlink(name);
  });

  it('that cannot be one are refused in every call', async () => {
    for (const [kind, names] of [
      [RangeError, ['', 'a/b', '..', 'a b', '~', 'ü', 'a'.repeat(201)]],
      [TypeError, [0, null, true, {}, ['a'], 1n]],
    ] as const) {
      for (const value of names) {
        const name = value as string;
        const shape = { slots: 2, slotByteLength: 8, onSlow: 'block', name } as const;
        for (const error of [
          thrownBy(() => BroadcastRing.create(shape)),
          thrownBy(() => BroadcastRing.createOrAttach(shape)),
          await rejectionOf(BroadcastRing.whenCreated(name, { timeoutMs: 0 })),
          thrownBy(() => BroadcastRing.unlink(name)),
        ]) {
          expect(error, String(name)).toBeInstanceOf(kind);
        }
      }
    }
    expect(segmentFiles()).toEqual([]);
  });
});
