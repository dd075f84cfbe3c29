// What is refused, how, and that nothing has changed afterwards.
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import {
  ClosedError,
  CorruptSegmentError,
  MessageSizeError,
  RingwayError,
  type SegmentHandle,
  SpscRing,
  type SpscRingOptions,
} from 'ringway';
import { describe, expect, it } from 'vitest';
import { freshName, opening, segmentFiles, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, seed } from './helpers/random.js';
import { BACKENDS, fill, imageOf, recordOf, rejectionOf, thrownBy } from './helpers/rings.js';

useOwnDirectory();
announceSeed('bad-input');

/** As a message shows it, or enough of it. */
const shown = (value: unknown) =>
  typeof value === 'string' ? JSON.stringify(value).slice(1, 20).replace(/"$/, '') : String(value);

describe('a name', () => {
  const strings = [
    '',
    'a'.repeat(201),
    'a'.repeat(10_000),
    '/',
    'a/b',
    '/etc/passwd',
    '../x',
    'x/../../y',
    '.',
    '..',
    '...',
    'a\0b',
    'nul\0',
    'a b',
    ' ',
    'line\n',
    '\n',
    'tab\t',
    'ü',
    '名',
    '😀',
    '~',
    `~${'0123456789abcdef'.repeat(2)}`,
    'a~b',
    'a:b',
    '*',
    '$HOME',
    '%s',
    '\u202e',
    '\ud800',
  ];
  const others = [0, 5, NaN, null, true, {}, [], ['a'], () => 'a', Symbol('a'), 1n, new String('a'), new Date(0)];

  for (const [what, call] of Object.entries({
    'SpscRing.create': (name: unknown) => SpscRing.create({ name: name as string, capacity: 64 }),
    'SpscRing.createOrAttach': (name: unknown) => SpscRing.createOrAttach({ name: name as string, capacity: 64 }),
    'SpscRing.attach': (name: unknown) => SpscRing.attach(name as string),
    'SpscRing.unlink': (name: unknown) => SpscRing.unlink(name as string),
    'SpscRing.whenCreated': (name: unknown) => SpscRing.whenCreated(name as string, { timeoutMs: 0 }),
  })) {
    it(`that cannot be one is refused by ${what}, which shows it and makes nothing`, async () => {
      for (const [kind, names] of [
        [RangeError, strings],
        [TypeError, others],
      ] as const) {
        for (const name of names) {
          const error = await rejectionOf((async () => call(name))());
          expect(error, String(shown(name))).toBeInstanceOf(kind);
          if (typeof name === 'string') expect(error.message).toContain(shown(name));
          expect(error.message.length).toBeLessThan(400);
        }
      }
      expect(segmentFiles()).toEqual([]);
    });
  }

  it('must be there for createOrAttach', () => {
    expect(thrownBy(() => SpscRing.createOrAttach({ capacity: 64 } as never))).toBeInstanceOf(TypeError);
  });

  it('cannot be had between threads only', () => {
    const error = thrownBy(() => SpscRing.create({ capacity: 64, name: freshName(), backend: 'sab' }));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toContain('handle');
  });
});

for (const backend of BACKENDS) {
  describe(`bad input over ${backend}`, () => {
    const make = (options: Partial<SpscRingOptions> = {}) =>
      opening(SpscRing.create({ capacity: 1024, backend, ...options }));

    const options: [key: keyof SpscRingOptions, ranges: unknown[], types: unknown[]][] = [
      [
        'capacity',
        [0, -0, -1, -64, NaN, Infinity, -Infinity, 1.5, 0.1, 2 ** 30 + 1, 2 ** 31, 2 ** 32, 2 ** 53, Number.MIN_VALUE],
        ['64', '', null, undefined, true, 64n, {}, [64], () => 64, Symbol('64')],
      ],
      ['maxParticipants', [0, 1, -1, 4097, 1.5, NaN, Infinity, 2 ** 32 + 2], ['8', null, true, 8n, {}]],
      ['mode', [-1, 0o1000, 0o4600, 1.5, NaN, Infinity, 2 ** 32], ['600', null, true, 8n, {}]],
      ['alignment', [0, 7, 16, 128, -8, 8.5, NaN, Infinity, '8', null, true, 8n, {}], []],
      ['wait', ['fast', '', 'Spin', 'constructor', '__proto__', 'toString', 0, 1, null, true, {}, []], []],
      ['backend', ['', 'SHM', 'file', 0, true, null, {}], []],
    ];
    for (const [key, ranges, types] of options) {
      it(`create refuses a wrong ${key}, shows it and makes nothing`, () => {
        for (const [kind, values] of [
          [RangeError, ranges],
          [TypeError, types],
        ] as const) {
          for (const value of values) {
            const error = thrownBy(() => SpscRing.create({ capacity: 64, backend, [key]: value }));
            expect(error, `${key}: ${String(value)}`).toBeInstanceOf(kind);
            expect(error.message).toContain(key);
            if (typeof value !== 'object' && typeof value !== 'function' && !Object.is(value, -0)) {
              expect(error.message).toContain(shown(value));
            }
          }
        }
        expect(segmentFiles()).toEqual([]);
      });
    }

    it('create refuses what are no options', () => {
      for (const value of [undefined, null, 64, '64', true, Symbol('options'), 64n]) {
        expect(
          thrownBy(() => SpscRing.create(value as never)),
          String(value),
        ).toBeInstanceOf(TypeError);
        expect(
          thrownBy(() => SpscRing.createOrAttach(value as never)),
          String(value),
        ).toBeInstanceOf(TypeError);
      }
    });

    it('attach refuses wrong options and takes no entry for it', () => {
      const ring = make({ maxParticipants: 2 });
      for (const [value, kind] of [
        [null, TypeError],
        [{ wait: 'fast' }, RangeError],
        [{ wait: null }, RangeError],
        [{ wait: 'constructor' }, RangeError],
      ] as const) {
        for (let i = 0; i < 3; i++) {
          expect(thrownBy(() => SpscRing.attach(ring.handle, value as never))).toBeInstanceOf(kind);
        }
      }
      expect(opening(SpscRing.attach(ring.handle)).capacity).toBe(1024);
    });

    describe('a record', () => {
      const fake = { [Symbol.toStringTag]: 'Uint8Array', length: 3, 0: 1 };
      const wrong: unknown[] = [
        undefined,
        null,
        0,
        'text',
        true,
        1n,
        Symbol('record'),
        {},
        [],
        [1, 2],
        { length: 3 },
        new ArrayBuffer(8),
        new SharedArrayBuffer(8),
        new DataView(new ArrayBuffer(8)),
        new Float64Array(1),
        new Int8Array(1),
        new Uint8ClampedArray(1),
        new Proxy(new Uint8Array(2), {}),
        fake,
        { [Symbol.toStringTag]: 'Uint8Array' },
        Object.create(Uint8Array.prototype),
        () => {},
      ];

      it('that is no Uint8Array is a TypeError in every form, and nothing is pushed', async () => {
        const ring = make();
        const producer = ring.producer();
        producer.tryPush(recordOf(5));
        const before = imageOf(ring);
        for (const [i, value] of wrong.entries()) {
          const record = value as Uint8Array;
          for (const error of [
            thrownBy(() => producer.tryPush(record)),
            thrownBy(() => producer.pushSync(record, { timeoutMs: 0 })),
            thrownBy(() => producer.tryPushMany([record])),
            thrownBy(() => producer.tryPushMany([recordOf(1), recordOf(2), record])),
            await rejectionOf(producer.push(record, { timeoutMs: 0 })),
          ]) {
            expect(error, `value ${i}`).toBeInstanceOf(TypeError);
          }
        }
        expect(imageOf(ring)).toEqual(before);
        expect(ring.consumer().tryPopMany(9)).toEqual([recordOf(5)]);
      });

      it('of another realm is one', () => {
        const ring = make();
        const foreign = runInNewContext('new Uint8Array([1, 2, 3])') as Uint8Array;
        expect(foreign).not.toBeInstanceOf(Uint8Array);
        expect(ring.producer().tryPush(foreign)).toBe(true);
        expect(ring.producer().tryPushMany([foreign])).toBe(1);
        expect(ring.consumer().tryPopMany(9)).toEqual([new Uint8Array([1, 2, 3]), new Uint8Array([1, 2, 3])]);
      });

      it('that is too long is a MessageSizeError in every form, and nothing is pushed', async () => {
        const ring = make();
        const producer = ring.producer();
        const before = imageOf(ring).length;
        const limit = ring.maxRecordByteLength;
        for (const byteLength of [limit + 1, 1024, 1 << 20]) {
          const record = new Uint8Array(byteLength);
          for (const error of [
            thrownBy(() => producer.tryPush(record)),
            thrownBy(() => producer.pushSync(record)),
            thrownBy(() => producer.tryPushMany([record])),
            thrownBy(() => producer.tryPushMany([recordOf(1), record])),
            thrownBy(() => producer.tryClaim(byteLength)),
            thrownBy(() => producer.claimSync(byteLength)),
            thrownBy(() => producer.tryWrite(byteLength, () => {})),
            thrownBy(() => producer.writeSync(byteLength, () => {})),
            await rejectionOf(producer.push(record)),
            await rejectionOf(producer.claim(byteLength)),
            await rejectionOf(producer.write(byteLength, () => {})),
          ]) {
            expect(error).toBeInstanceOf(MessageSizeError);
            expect(error).toBeInstanceOf(RingwayError);
            expect(error).toMatchObject({
              name: 'MessageSizeError',
              code: 'ERR_RINGWAY_MESSAGE_SIZE',
              byteLength,
              limit,
            });
            expect(error.message).toContain(`${byteLength}`);
            expect(error.message).toContain(`${limit}`);
          }
        }
        for (const byteLength of [2 ** 31, 2 ** 32, 2 ** 32 + 8, Number.MAX_SAFE_INTEGER]) {
          expect(thrownBy(() => producer.tryClaim(byteLength))).toBeInstanceOf(MessageSizeError);
        }
        expect(imageOf(ring)).toHaveLength(before);
        expect(ring.stats()).toMatchObject({ used: 0, pushed: 0 });
        producer.tryPush(recordOf(limit));
        expect(ring.consumer().tryPop()).toEqual(recordOf(limit));
      });

      it('that is too long is told even when there is no room at all', async () => {
        const ring = make();
        const producer = ring.producer();
        fill(producer, 100);
        expect(await rejectionOf(producer.push(new Uint8Array(1000)))).toBeInstanceOf(MessageSizeError);
        expect(thrownBy(() => producer.tryPush(new Uint8Array(1000)))).toBeInstanceOf(MessageSizeError);
      });
    });

    it('tryPushMany refuses what is no array', () => {
      const ring = make();
      const producer = ring.producer();
      for (const value of [
        undefined,
        null,
        5,
        'text',
        {},
        { length: 1, 0: recordOf(1) },
        new Set([recordOf(1)]),
        [recordOf(1)].values(),
        recordOf(3),
        new Uint8Array(0),
      ]) {
        expect(thrownBy(() => producer.tryPushMany(value as never))).toBeInstanceOf(TypeError);
      }
      expect(ring.stats().pushed).toBe(0);
    });

    it('a claim of a wrong length is refused in every form', async () => {
      const ring = make();
      const producer = ring.producer();
      for (const [kind, values] of [
        [RangeError, [-1, 1.5, NaN, -Infinity]],
        [TypeError, [undefined, null, '5', {}, [5], 5n, true]],
      ] as const) {
        for (const value of values as readonly unknown[] as number[]) {
          for (const error of [
            thrownBy(() => producer.tryClaim(value)),
            thrownBy(() => producer.claimSync(value)),
            thrownBy(() => producer.tryWrite(value, () => {})),
            thrownBy(() => producer.writeSync(value, () => {})),
            await rejectionOf(producer.claim(value)),
            await rejectionOf(producer.write(value, () => {})),
          ]) {
            expect(error, String(value)).toBeInstanceOf(kind);
          }
        }
      }
      expect(thrownBy(() => producer.tryClaim(Infinity))).toBeInstanceOf(Error);
      expect(producer.tryPush(recordOf(1)), 'nothing is lent out').toBe(true);
    });

    it('onPeerGone can be two things', async () => {
      const ring = make();
      const consumer = ring.consumer();
      ring.producer().tryPush(recordOf(1));
      for (const onPeerGone of ['', 'Wait', 'ignore', null, true, 0]) {
        const wrong = { onPeerGone: onPeerGone as 'wait' };
        expect(await rejectionOf(consumer.pop(wrong)), String(onPeerGone)).toBeInstanceOf(RangeError);
        expect(thrownBy(() => consumer.popSync(wrong))).toBeInstanceOf(RangeError);
        expect(await rejectionOf(ring.producer().push(recordOf(1), wrong))).toBeInstanceOf(RangeError);
      }
      expect(ring.stats()).toMatchObject({ pushed: 1, popped: 0 });
    });

    describe('after close', () => {
      it('every operation of the ring is a ClosedError, and what it was can still be read', async () => {
        const ring = make();
        const { handle } = ring;
        ring.close();
        for (const error of [
          thrownBy(() => ring.producer()),
          thrownBy(() => ring.consumer()),
          thrownBy(() => ring.stats()),
          await rejectionOf(ring.takeProducer()),
          await rejectionOf(ring.takeConsumer()),
          await rejectionOf(ring.takeConsumer({ timeoutMs: 0 })),
        ]) {
          expect(error).toBeInstanceOf(ClosedError);
          expect(error).toMatchObject({ name: 'ClosedError', code: 'ERR_RINGWAY_CLOSED' });
        }
        expect(ring).toMatchObject({ capacity: 1024, maxRecordByteLength: 504, alignment: 8, backend, closed: true });
        expect(ring.handle).toEqual(handle);
        expect(ring.toJSON()).toEqual(handle);
        expect(ring.wait).toBe('adaptive');
        expect(ring.ref().unref()).toBe(ring);
      });

      for (const which of ['ring', 'end'] as const) {
        it(`of the ${which}, every operation of its ends is a ClosedError`, async () => {
          const ring = make();
          const producer = ring.producer();
          const consumer = ring.consumer();
          producer.tryPush(recordOf(1));
          if (which === 'ring') ring.close();
          else for (const end of [producer, consumer]) end.close();
          for (const error of [
            thrownBy(() => producer.tryPush(recordOf(1))),
            thrownBy(() => producer.tryPushMany([])),
            thrownBy(() => producer.pushSync(recordOf(1))),
            thrownBy(() => producer.tryClaim(1)),
            thrownBy(() => producer.claimSync(1)),
            thrownBy(() => producer.tryWrite(1, () => {})),
            thrownBy(() => producer.writeSync(1, () => {})),
            await rejectionOf(producer.push(recordOf(1))),
            await rejectionOf(producer.claim(1)),
            await rejectionOf(producer.write(1, () => {})),
            thrownBy(() => consumer.tryPop()),
            thrownBy(() => consumer.tryPopMany(1)),
            thrownBy(() => consumer.popSync()),
            thrownBy(() => consumer.drain(() => {})),
            thrownBy(() => consumer.tryPeek()),
            thrownBy(() => consumer.peekSync()),
            thrownBy(() => consumer.readySync()),
            thrownBy(() => consumer.ended),
            await rejectionOf(consumer.pop()),
            await rejectionOf(consumer.peek()),
            await rejectionOf(consumer.ready()),
            await rejectionOf(consumer[Symbol.asyncIterator]().next()),
          ]) {
            expect(error).toBeInstanceOf(ClosedError);
            expect(error.code).toBe('ERR_RINGWAY_CLOSED');
          }
          expect(producer.unref().ref()).toBe(producer);
          expect(consumer.unref().ref()).toBe(consumer);
        });
      }
    });

    it('whatever is passed: a result, a wrong-argument error or one of ours, and the ring goes on', () => {
      const ring = make({ capacity: 512 });
      let producer = ring.producer();
      let consumer = ring.consumer();
      const ours = (call: () => unknown) => {
        try {
          return call();
        } catch (error) {
          const known = [TypeError, RangeError, RingwayError].some((type) => error instanceof type);
          if (!known) throw error;
          return undefined;
        }
      };
      fc.assert(
        fc.property(fc.anything({ withTypedArray: true, withBigInt: true, withDate: true }), (value) => {
          const any = value as never;
          ours(() => producer.tryPush(any));
          ours(() => producer.tryPushMany(any));
          ours(() => producer.tryPushMany([any]));
          const claim = ours(() => producer.tryClaim(any)) as ReturnType<typeof producer.tryClaim>;
          ours(() => claim?.commit(any));
          ours(() => claim?.as(any));
          ours(() => claim?.abort());
          ours(() => producer.tryWrite(any, () => {}));
          ours(() => producer.tryWrite(4, any));
          ours(() => producer.tryWrite(4, () => any));
          ours(() => consumer.drain(any));
          ours(() => consumer.drain(() => {}, any));
          ours(() => consumer.tryPopMany(any));
          ours(() => SpscRing.attach(any).close());
          ours(() => SpscRing.attach(ring.handle, any).close());
          if (!(typeof value === 'object' && value !== null && 'capacity' in value)) {
            ours(() => opening(SpscRing.create(any)).close());
          }
          ours(() => producer.pushSync(recordOf(1), any));
          ours(() => consumer.popSync(any));
          consumer.tryPopMany(Infinity);
          expect(producer.tryPush(recordOf(9))).toBe(true);
          expect(consumer.tryPop()).toEqual(recordOf(9));
        }),
        { seed, numRuns: 500 },
      );
      producer.close();
      consumer.close();
      producer = ring.producer();
      consumer = ring.consumer();
      expect(producer.tryPush(recordOf(9))).toBe(true);
      expect(consumer.tryPop()).toEqual(recordOf(9));
    });
  });
}

describe('a handle', () => {
  const digits = '0123456789abcdef'.repeat(2);
  const forged: [unknown, typeof TypeError | typeof RangeError][] = [
    [undefined, TypeError],
    [null, TypeError],
    [5, TypeError],
    [true, TypeError],
    [[], TypeError],
    [{}, TypeError],
    [{ kind: 'SpscRing' }, TypeError],
    [{ kind: 'SpscRing', backend: 'shm' }, TypeError],
    [{ kind: 'SpscRing', backend: 'shm', pid: 1 }, TypeError],
    [{ kind: 'SpscRing', backend: 'shm', name: 5, pid: 1 }, TypeError],
    [{ kind: 'SpscRing', backend: 'shm', name: null, pid: 1 }, TypeError],
    [{ kind: 'SpscRing', backend: 'shm', name: ['a'], pid: 1 }, TypeError],
    [{ kind: 'SpscRing', backend: 'file', name: 'a', pid: 1 }, TypeError],
    [{ kind: 'MpmcRing', backend: 'shm', name: 'a', pid: 1 }, TypeError],
    [{ kind: 'spscring', backend: 'shm', name: 'a', pid: 1 }, TypeError],
    [{ backend: 'shm', name: 'a', pid: 1 }, TypeError],
    [{ kind: 'SpscRing', backend: 'shm', name: '', pid: 1 }, RangeError],
    [{ kind: 'SpscRing', backend: 'shm', name: '..', pid: 1 }, RangeError],
    [{ kind: 'SpscRing', backend: 'shm', name: '../../etc/passwd', pid: 1 }, RangeError],
    [{ kind: 'SpscRing', backend: 'shm', name: 'a/../../b', pid: 1 }, RangeError],
    [{ kind: 'SpscRing', backend: 'shm', name: `~${digits}/..`, pid: 1 }, RangeError],
    [{ kind: 'SpscRing', backend: 'shm', name: `~../${digits}`, pid: 1 }, RangeError],
    [{ kind: 'SpscRing', backend: 'shm', name: `~${digits}0`, pid: 1 }, RangeError],
    [{ kind: 'SpscRing', backend: 'shm', name: `~${digits.slice(1)}`, pid: 1 }, RangeError],
    [{ kind: 'SpscRing', backend: 'shm', name: `~${digits.toUpperCase()}`, pid: 1 }, RangeError],
    [{ kind: 'SpscRing', backend: 'shm', name: `~${digits}\n`, pid: 1 }, RangeError],
    [{ kind: 'SpscRing', backend: 'sab' }, TypeError],
    [{ kind: 'SpscRing', backend: 'sab', memory: {} }, TypeError],
    [{ kind: 'SpscRing', backend: 'sab', memory: new ArrayBuffer(65536) }, TypeError],
    [{ kind: 'SpscRing', backend: 'sab', memory: new Uint8Array(new SharedArrayBuffer(65536)) }, TypeError],
    [{ kind: 'SpscRing', backend: 'sab', name: 'a', pid: 1 }, TypeError],
  ];

  it('that is forged or damaged is refused', () => {
    for (const [handle, kind] of forged) {
      const error = thrownBy(() => SpscRing.attach(handle as SegmentHandle));
      expect(error, JSON.stringify(handle)).toBeInstanceOf(kind);
    }
    expect(thrownBy(() => SpscRing.attach(forged[13]?.[0] as never)).message).toContain('MpmcRing');
  });

  it('to nothing is ENOENT, whatever pid it tells', () => {
    for (const pid of [1, -1, NaN, 'x', undefined, {}]) {
      const handle = { kind: 'SpscRing', backend: 'shm', name: `~${digits}`, pid } as SegmentHandle;
      expect(thrownBy(() => SpscRing.attach(handle)).code).toBe('ENOENT');
    }
  });

  it('that went through JSON has lost its memory, and the error says so', () => {
    const ring = opening(SpscRing.create({ capacity: 64, backend: 'sab' }));
    const error = thrownBy(() => SpscRing.attach(JSON.parse(JSON.stringify(ring))));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toContain('threads');
  });

  it('to shared memory that is no ring is a CorruptSegmentError', () => {
    for (const byteLength of [0, 1, 255, 256, 4096]) {
      const handle: SegmentHandle = { kind: 'SpscRing', backend: 'sab', memory: new SharedArrayBuffer(byteLength) };
      expect(thrownBy(() => SpscRing.attach(handle))).toBeInstanceOf(CorruptSegmentError);
    }
  });
});

describe('errors', () => {
  it('are of one family, with a name, a stack and a code to branch on', async () => {
    const ring = opening(SpscRing.create({ capacity: 64 }));
    const producer = ring.producer();
    const consumer = ring.consumer();
    const found: Record<string, Error & Record<string, unknown>> = {
      TimeoutError: await rejectionOf(consumer.pop({ timeoutMs: 0 })),
      MessageSizeError: thrownBy(() => producer.tryPush(new Uint8Array(99))),
      RingwayError: thrownBy(() => SpscRing.attach(freshName())),
    };
    producer.close();
    found.EndOfStreamError = await rejectionOf(consumer.pop());
    ring.close();
    found.ClosedError = thrownBy(() => consumer.tryPop());
    for (const [name, error] of Object.entries(found)) {
      expect(error).toBeInstanceOf(Error);
      expect(error).toBeInstanceOf(RingwayError);
      expect(error.name).toBe(name);
      expect(String(error)).toMatch(new RegExp(`^${name}: `));
      expect(error.stack).toContain('at ');
      expect(error.code).toMatch(/^(ERR_RINGWAY_[A-Z_]+|E[A-Z]+)$/);
    }
  });
});
