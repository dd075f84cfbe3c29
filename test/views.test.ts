// Views on ring memory: what is lent out and when it ends, what old views do, native code that is at work on one while its
// ring is closed, the mode that finds views kept too long, and what the compiler makes of loads around an Atomics call.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import {
  ClosedError,
  RingwayError,
  type SpscConsumer,
  type SpscProducer,
  SpscRing,
  type SpscRingOptions,
} from 'ringway';
import { describe, expect, it } from 'vitest';
import { opening, useOwnDirectory } from './helpers/directory.js';
import { seed } from './helpers/random.js';
import { startProcess } from './helpers/remote.js';
import { BACKENDS, recordOf, rejectionOf, thrownBy } from './helpers/rings.js';
import { runScript } from './helpers/script.js';

useOwnDirectory();

for (const backend of BACKENDS) {
  describe(`views over ${backend}`, () => {
    const ends = (options: Partial<SpscRingOptions> = {}) => {
      const ring = opening(SpscRing.create({ capacity: 1024, backend, ...options }));
      return { ring, producer: ring.producer(), consumer: ring.consumer() };
    };
    const claiming = (producer: SpscProducer, byteLength = 16) => {
      const claim = producer.tryClaim(byteLength);
      if (claim === null) throw new Error('no room');
      return claim;
    };
    const peeking = (consumer: SpscConsumer) => {
      const peek = consumer.tryPeek();
      if (peek === null) throw new Error('no record');
      return peek;
    };

    describe('while a record is lent out', () => {
      it('another operation of the producer is ERR_RINGWAY_BORROWED, and changes nothing', async () => {
        const { ring, producer, consumer } = ends();
        const claim = claiming(producer);
        claim.bytes.set(recordOf(16));
        const before = ring.stats();
        const record = recordOf(3);
        for (const error of [
          thrownBy(() => producer.tryPush(record)),
          thrownBy(() => producer.tryPushMany([record])),
          thrownBy(() => producer.tryPushMany([])),
          thrownBy(() => producer.pushSync(record)),
          thrownBy(() => producer.tryClaim(1)),
          thrownBy(() => producer.claimSync(1)),
          thrownBy(() => producer.tryWrite(1, () => {})),
          thrownBy(() => producer.writeSync(1, () => {})),
          await rejectionOf(producer.push(record)),
          await rejectionOf(producer.claim(1)),
          await rejectionOf(producer.write(1, () => {})),
        ]) {
          expect(error).toBeInstanceOf(RingwayError);
          expect(error.code).toBe('ERR_RINGWAY_BORROWED');
          expect(error.message).toContain('producer');
        }
        expect(ring.stats()).toEqual(before);
        expect(consumer.tryPop(), 'the other end goes on').toBeNull();
        claim.commit();
        expect(consumer.tryPop()).toEqual(recordOf(16));
        expect(producer.tryPush(record)).toBe(true);
      });

      it('another operation of the consumer is ERR_RINGWAY_BORROWED, and changes nothing', async () => {
        const { ring, producer, consumer } = ends();
        producer.tryPushMany([recordOf(16), recordOf(2)]);
        const peek = peeking(consumer);
        const before = ring.stats();
        for (const error of [
          thrownBy(() => consumer.tryPop()),
          thrownBy(() => consumer.tryPopMany(1)),
          thrownBy(() => consumer.popSync()),
          thrownBy(() => consumer.drain(() => {})),
          thrownBy(() => consumer.tryPeek()),
          thrownBy(() => consumer.peekSync()),
          thrownBy(() => consumer.readySync()),
          await rejectionOf(consumer.pop()),
          await rejectionOf(consumer.peek()),
          await rejectionOf(consumer.ready()),
        ]) {
          expect(error).toBeInstanceOf(RingwayError);
          expect(error.code).toBe('ERR_RINGWAY_BORROWED');
          expect(error.message).toContain('consumer');
        }
        expect(consumer.ended).toBe(false);
        expect(ring.stats()).toEqual(before);
        expect(producer.tryPush(recordOf(9)), 'the other end goes on').toBe(true);
        expect(peek.bytes).toEqual(recordOf(16));
        peek.release();
        expect(consumer.tryPopMany(9)).toEqual([recordOf(2), recordOf(9)]);
      });
    });

    describe('a claim', () => {
      it('is over after commit or abort: its bytes are ClosedError, ending it again ERR_RINGWAY_STATE', () => {
        const { producer, consumer } = ends();
        for (const end of ['commit', 'abort'] as const) {
          const claim = claiming(producer);
          expect(claim.bytes).toBe(claim.bytes);
          claim[end]();
          expect(thrownBy(() => claim.bytes)).toBeInstanceOf(ClosedError);
          expect(thrownBy(() => claim.as(Uint8Array as never))).toBeInstanceOf(ClosedError);
          for (const again of [() => claim.commit(), () => claim.commit(1), () => claim.abort()]) {
            const error = thrownBy(again);
            expect(error).toMatchObject({ name: 'RingwayError', code: 'ERR_RINGWAY_STATE' });
            expect(error.message).toContain(end);
          }
          claim[Symbol.dispose]();
        }
        expect(consumer.tryPopMany(9)).toHaveLength(1);
      });

      it('that is over does not end the next one', () => {
        const { producer, consumer } = ends();
        const first = claiming(producer);
        first.commit();
        const second = claiming(producer);
        expect(() => first.abort()).toThrow(RingwayError);
        first[Symbol.dispose]();
        second.bytes.fill(8);
        second.commit();
        expect(consumer.tryPopMany(9)[1]).toEqual(new Uint8Array(16).fill(8));
      });

      it('refuses to commit what was not claimed, and stays open', () => {
        const { producer, consumer } = ends();
        const claim = claiming(producer, 16);
        for (const byteLength of [17, -1, 1.5, NaN, Infinity, '4', null]) {
          expect(
            thrownBy(() => claim.commit(byteLength as number)),
            String(byteLength),
          ).toBeInstanceOf(RangeError);
        }
        claim.bytes.set(recordOf(16));
        claim.commit(16);
        expect(consumer.tryPop()).toEqual(recordOf(16));
      });

      it('ends with its ring or its producer, without a trace', () => {
        for (const what of ['ring', 'producer'] as const) {
          const { ring, producer } = ends();
          const other = opening(SpscRing.attach(ring.handle));
          const claim = claiming(producer);
          claim.bytes.fill(3);
          if (what === 'ring') ring.close();
          else producer.close();
          for (const late of [() => claim.bytes, () => claim.as(DataView), () => claim.commit(), () => claim.abort()]) {
            expect(thrownBy(late)).toBeInstanceOf(ClosedError);
          }
          claim[Symbol.dispose]();
          expect(other.stats()).toMatchObject({ used: 0, pushed: 0 });
          other.producer().tryPush(recordOf(1));
          expect(other.consumer().tryPop()).toEqual(recordOf(1));
        }
      });
    });

    describe('a peek', () => {
      it('is over after release: its bytes are ClosedError, releasing it again ERR_RINGWAY_STATE', () => {
        const { producer, consumer } = ends();
        producer.tryPushMany([recordOf(8, 1), recordOf(8, 2)]);
        const peek = peeking(consumer);
        expect(peek.bytes).toBe(peek.bytes);
        peek.release();
        expect(thrownBy(() => peek.bytes)).toBeInstanceOf(ClosedError);
        expect(thrownBy(() => peek.as(DataView))).toBeInstanceOf(ClosedError);
        expect(thrownBy(() => peek.release())).toMatchObject({ code: 'ERR_RINGWAY_STATE' });
        peek[Symbol.dispose]();
        expect(consumer.tryPopMany(9)).toEqual([recordOf(8, 2)]);
      });

      it('ends with its ring or its consumer, and its record comes again', () => {
        for (const what of ['ring', 'consumer'] as const) {
          const { ring, producer, consumer } = ends();
          const other = opening(SpscRing.attach(ring.handle));
          producer.tryPush(recordOf(8));
          const peek = peeking(consumer);
          if (what === 'ring') ring.close();
          else consumer.close();
          for (const late of [() => peek.bytes, () => peek.as(DataView), () => peek.release()]) {
            expect(thrownBy(late)).toBeInstanceOf(ClosedError);
          }
          peek[Symbol.dispose]();
          expect(other.consumer().tryPop()).toEqual(recordOf(8));
        }
      });
    });

    describe('as()', () => {
      const TYPES = [
        Int8Array,
        Uint8ClampedArray,
        Int16Array,
        Uint32Array,
        Float32Array,
        Float64Array,
        BigInt64Array,
        BigUint64Array,
      ] as const;

      it('shows exactly these bytes as any other type, for writing and reading', () => {
        const { producer, consumer } = ends();
        for (const Type of TYPES) {
          const claim = claiming(producer, 48);
          const view = claim.as(Type as typeof Float64Array);
          expect(view).toBeInstanceOf(Type);
          expect(view.byteLength).toBe(48);
          expect(view).toHaveLength(48 / Type.BYTES_PER_ELEMENT);
          claim.bytes.set(recordOf(48));
          expect(new Uint8Array(view.buffer, view.byteOffset, view.byteLength)).toEqual(recordOf(48));
          claim.commit();
          const peek = peeking(consumer);
          const expected = new Type(recordOf(48).buffer as ArrayBuffer);
          expect(peek.as(Type as typeof Float64Array)).toEqual(expected);
          peek.release();
        }
        const claim = claiming(producer, 11);
        claim.as(DataView).setFloat64(3, Math.PI);
        expect(claim.as(DataView).byteLength).toBe(11);
        claim.commit();
        expect(peeking(consumer).as(DataView).getFloat64(3)).toBe(Math.PI);
      });

      it('refuses a length that is no whole number of elements', () => {
        const { producer } = ends();
        for (const byteLength of [1, 2, 7, 9, 12]) {
          const claim = claiming(producer, byteLength);
          expect(thrownBy(() => claim.as(Float64Array))).toBeInstanceOf(RangeError);
          expect(thrownBy(() => claim.as(Float64Array)).message).toContain(String(byteLength));
          expect(claim.as(DataView).byteLength).toBe(byteLength);
          claim.abort();
        }
        const empty = claiming(producer, 0);
        expect(empty.as(Float64Array)).toHaveLength(0);
        empty.abort();
      });

      it('refuses what makes no views, and hands out no other memory', () => {
        const { producer } = ends();
        const claim = claiming(producer, 8);
        for (const Type of [undefined, null, 'Uint8Array', Array, Object, Map, class {}]) {
          expect(
            thrownBy(() => claim.as(Type as never)),
            String(Type),
          ).toBeInstanceOf(TypeError);
        }
        claim.commit();
      });

      it('has offsets that are multiples of 64 with alignment 64', () => {
        const { producer, consumer } = ends({ alignment: 64 });
        for (let i = 0; i < 20; i++) {
          const claim = claiming(producer, 8 * (i % 5));
          expect(claim.as(Float64Array).byteOffset % 64).toBe(0);
          claim.commit();
          const peek = peeking(consumer);
          expect(peek.as(Float64Array).byteOffset % 64).toBe(0);
          peek.release();
        }
      });
    });

    it('are no way past the record: neither before nor behind it', () => {
      const { producer, consumer } = ends();
      producer.tryPushMany([recordOf(8, 1), recordOf(9, 2), recordOf(8, 3)]);
      consumer.tryPop();
      const { bytes } = peeking(consumer);
      expect(bytes).toHaveLength(9);
      expect(bytes.at(-10)).toBeUndefined();
      expect(bytes[9]).toBeUndefined();
    });
  });
}

describe('old views after close', () => {
  it('read zeros, and writes to them go nowhere', () => {
    const ring = opening(SpscRing.create({ capacity: 4096 }));
    const other = opening(SpscRing.attach(ring.handle));
    const producer = ring.producer();
    const consumer = ring.consumer();
    producer.tryPushMany([recordOf(100, 1), recordOf(100, 2)]);
    const kept: Uint8Array[] = [];
    kept.push(consumer.tryPeek()?.bytes as Uint8Array);
    const claim = producer.tryClaim(100);
    kept.push(claim?.bytes as Uint8Array, claim?.as(Uint8ClampedArray as never) as unknown as Uint8Array);
    claim?.bytes.fill(7);
    ring.close();
    for (const view of kept) {
      expect(view).toHaveLength(100);
      expect(view.every((byte) => byte === 0)).toBe(true);
    }
    for (const view of kept) {
      view.fill(9);
      expect(
        view.every((byte) => byte === 9),
        'private memory',
      ).toBe(true);
    }
    const everything = new Uint8Array((kept[0] as Uint8Array).buffer);
    everything.fill(255);
    expect(other.stats()).toMatchObject({ capacity: 4096, pushed: 2, popped: 0 });
    expect(other.consumer().tryPopMany(9)).toEqual([recordOf(100, 1), recordOf(100, 2)]);
    other.producer().tryPush(recordOf(50));
    expect(
      everything.every((byte) => byte === 255),
      'nor does what others write come back',
    ).toBe(true);
  });

  it('go on showing the memory where it is a SharedArrayBuffer', () => {
    const ring = opening(SpscRing.create({ capacity: 256, backend: 'sab' }));
    ring.producer().tryPush(recordOf(10));
    const view = ring.consumer().tryPeek()?.bytes;
    ring.close();
    expect(view).toEqual(recordOf(10));
  });

  // Each in a process of its own: what could go wrong here ends the process.
  const ROUNDS = 150;
  const inFlight: Record<string, string> = {
    'zlib reads a claim': `
      const claim = ring.producer().tryClaim(SIZE);
      claim.bytes.fill(round);
      const done = new Promise((resolve, reject) =>
        zlib.deflate(claim.bytes, (error, result) => (error ? reject(error) : resolve(result))));
      if (round % 3 === 0) await new Promise(setImmediate);
      ring.close();
      const inflated = zlib.inflateSync(await done);
      // As it was, or zeros, or first the one and then the other.
      if (inflated.length !== SIZE || !inflated.every((byte) => byte === 0 || byte === (round & 255))) throw new Error('torn');`,
    'zlib reads a peek': `
      ring.producer().tryPush(new Uint8Array(SIZE).fill(round));
      const peek = ring.consumer().tryPeek();
      const done = new Promise((resolve, reject) =>
        zlib.gzip(peek.bytes, (error, result) => (error ? reject(error) : resolve(result))));
      ring.close();
      if (zlib.gunzipSync(await done).length !== SIZE) throw new Error('length');`,
    'the file system reads into a claim': `
      const claim = ring.producer().tryClaim(SIZE);
      const file = await fs.promises.open('/dev/zero');
      const done = file.read(claim.bytes, 0, SIZE);
      ring.close();
      if ((await done).bytesRead !== SIZE) throw new Error('length');
      await file.close();`,
    'random bytes go into a claim': `
      const claim = ring.producer().tryClaim(SIZE);
      const done = new Promise((resolve, reject) =>
        crypto.randomFill(claim.bytes, (error) => (error ? reject(error) : resolve())));
      ring.close();
      await done;`,
    'a socket sends a peek': `
      ring.producer().tryPush(new Uint8Array(SIZE).fill(1));
      const peek = ring.consumer().tryPeek();
      const server = net.createServer();
      await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
      const accepted = new Promise((resolve) => server.once('connection', resolve));
      const socket = net.connect(server.address().port, '127.0.0.1');
      const other = await accepted;
      socket.write(peek.bytes);
      socket.end(peek.bytes);
      if (round % 2 === 0) await new Promise(setImmediate);
      ring.close();
      let received = 0;
      for await (const chunk of other) {
        received += chunk.length;
        if (!chunk.every((byte) => byte === 0 || byte === 1)) throw new Error('torn');
      }
      if (received !== 2 * SIZE) throw new Error('received ' + received);
      other.destroy();
      server.close();`,
  };
  for (const [what, round] of Object.entries(inFlight)) {
    const rounds = what.includes('socket') ? 40 : ROUNDS;
    it(`harm nobody while native code is at work on them: ${what}`, async () => {
      const end = await runScript(
        `import * as zlib from 'node:zlib';
         import * as net from 'node:net';
         import * as crypto from 'node:crypto';
         const SIZE = ${what.includes('socket') ? 1 << 20 : 1 << 17};
         for (let round = 1; round <= ${rounds}; round++) {
           const ring = SpscRing.create({ capacity: SIZE * 4 });
           ${round}
           if (round % 10 === 0) gc();
         }
         print('done');`,
        { execArgv: ['--expose-gc'] },
      );
      expect(end).toMatchObject({ code: 0, signal: null, lines: ['done'], errors: '' });
    });
  }

  it('harm nobody when the ring is dropped and collected instead of closed', async () => {
    const end = await runScript(
      `import * as zlib from 'node:zlib';
       const views = [];
       const done = [];
       for (let round = 0; round < 60; round++) {
         const view = SpscRing.create({ capacity: 1 << 19 }).producer().tryClaim(1 << 17).bytes;
         view.fill(1);
         if (round % 2 === 0) views.push(view);
         done.push(new Promise((resolve) => zlib.deflate(view, resolve)));
         if (round % 5 === 0) { gc(); await new Promise(setImmediate); }
       }
       for (let i = 0; i < 5; i++) { gc(); await new Promise((resolve) => setTimeout(resolve, 1)); }
       print(views.every((view) => view.length === 1 << 17 && (view[5] === 0 || view[5] === 1)));
       for (const error of await Promise.all(done)) if (error) print(error);`,
      { execArgv: ['--expose-gc'], env: { NODE_NO_WARNINGS: '1' } },
    );
    expect(end).toMatchObject({ code: 0, signal: null, lines: ['true'] });
  });
});

describe('RINGWAY_DEBUG=views', () => {
  const debug = (source: string, backend: string) =>
    runScript(
      `const ring = SpscRing.create({ capacity: 1024, backend: '${backend}' });
       const producer = ring.producer();
       const consumer = ring.consumer();
       const failure = (call) => { try { return String(call()); } catch (error) { return error.name; } };
       ${source}
       ring.close();`,
      { env: { RINGWAY_DEBUG: 'views' } },
    );
  for (const backend of BACKENDS) {
    it(`makes a late access to a claim, a peek or a drained record fail (${backend})`, async () => {
      const end = await debug(
        `const claim = producer.tryClaim(8);
         const written = claim.bytes;
         const floats = claim.as(Float64Array);
         written.set([1, 2, 3, 4, 5, 6, 7, 8]);
         claim.commit();
         print([written.length, written[0], floats.length, failure(() => claim.bytes)]);
         print(failure(() => written.fill(9)));
         const peek = consumer.tryPeek();
         const read = peek.bytes;
         print(read.join());
         peek.release();
         print([read.length, read[0], failure(() => peek.bytes)]);
         producer.tryPush(new Uint8Array([7]));
         let drained;
         consumer.drain((memory, at, length) => { drained = memory; print([memory[at], length, memory.length]); });
         print([drained.length, drained[0]]);
         const aborted = producer.tryClaim(4);
         const view = aborted.bytes;
         aborted.abort();
         print([view.length]);
         producer.tryPush(new Uint8Array([1]));
         const open = [producer.tryClaim(4), consumer.tryPeek()];
         const views = open.map(({ bytes }) => bytes);
         ring.close();
         print(views.map((view) => view.length));`,
        backend,
      );
      expect(end).toMatchObject({
        code: 0,
        errors: '',
        lines: ['0,,0,ClosedError', 'TypeError', '1,2,3,4,5,6,7,8', '0,,ClosedError', '7,1,1', '0,', '0', '0,0'],
      });
    });

    it(`fills what was given back with 0xDB (${backend})`, async () => {
      const image =
        backend === 'sab'
          ? 'new Uint8Array(ring.handle.memory)'
          : "new Uint8Array(fs.readFileSync(process.env.RINGWAY_SHM_DIR + '/ringway' + ring.handle.name))";
      const end = await debug(
        `const found = (byte) => ${image}.subarray(-1024).filter((at) => at === byte).length;
         for (const take of [
           () => consumer.tryPop(),
           () => consumer.tryPopMany(9),
           () => consumer.drain(() => {}),
           () => consumer.tryPeek().release(),
         ]) {
           const before = found(0xdb);
           producer.tryPush(new Uint8Array(40).fill(0x77));
           const there = found(0x77);
           take();
           print([there, found(0x77), found(0xdb) >= before]);
         }
         while (producer.tryPush(new Uint8Array(100).fill(0x77)));
         consumer.tryPopMany(99);
         print([found(0x77), found(0xdb) > 900]);`,
        backend,
      );
      expect(end).toMatchObject({ code: 0, errors: '', lines: [...Array(4).fill('40,0,true'), '0,true'] });
    });

    it(`commits what was written into the copy, also less of it (${backend})`, async () => {
      const end = await debug(
        `for (const length of [5, 3, 0]) {
           const claim = producer.tryClaim(5);
           claim.bytes.set([1, 2, 3, 4, 5]);
           claim.commit(length);
           print(consumer.tryPop().join());
         }
         const claim = producer.tryClaim(8);
         claim.as(Float64Array)[0] = 1.5;
         claim.commit();
         const peek = consumer.tryPeek();
         print(peek.as(Float64Array)[0]);
         peek.release();`,
        backend,
      );
      expect(end).toMatchObject({ code: 0, errors: '', lines: ['1,2,3,4,5', '1,2,3', '', '1.5'] });
    });
  }

  for (const backend of BACKENDS) {
    for (const onSlow of ['block', 'overwrite']) {
      it(`makes late accesses fail in broadcast rings too (${backend}, onSlow: ${onSlow})`, async () => {
        const end = await runScript(
          `const ring = ringway.BroadcastRing.create(
             { slots: 2, slotByteLength: 8, onSlow: '${onSlow}', maxPublishers: 1, maxSubscribers: 2, backend: '${backend}' });
           const publisher = ring.publisher();
           const subscribers = [ring.subscriber(), ring.subscriber()];
           const failure = (call) => { try { return String(call()); } catch (error) { return error.name; } };
           const claim = publisher.tryClaim(8);
           const written = claim.bytes;
           written.set([1, 2, 3, 4, 5, 6, 7, 8]);
           claim.commit(3);
           print([written.length, failure(() => claim.bytes), failure(() => written.fill(9))]);
           const peek = subscribers[0].tryPeek();
           const read = peek.bytes;
           print([read.join(), peek.stillValid]);
           peek.release();
           print([read.length, failure(() => peek.bytes)]);
           // Given back is to the others what it was.
           print(subscribers[1].tryRead().join());
           publisher.tryWrite(8, (memory, at) => { memory.set([7, 6], at); return 2; });
           let drained;
           subscribers[0].drain((memory, at, length) => {
             drained = memory;
             print(memory.slice(at, at + length).join());
           });
           print([drained.length, drained[0]]);
           print(subscribers[1].tryRead().join());
           const aborted = publisher.tryClaim(4);
           const view = aborted.bytes;
           aborted.abort();
           publisher.tryPublish(new Uint8Array([5]));
           const open = [publisher.tryClaim(4), subscribers[0].tryPeek()];
           const views = open.map(({ bytes }) => bytes);
           ring.close();
           print([view.length, ...views.map(({ length }) => length)]);`,
          { env: { RINGWAY_DEBUG: 'views' } },
        );
        const lines = ['0,ClosedError,TypeError', '1,2,3,true', '0,ClosedError', '1,2,3', '7,6', '0,', '7,6', '0,0,0'];
        expect(end).toMatchObject({ code: 0, errors: '', lines });
      });
    }

    it(`leaves displaced messages that a subscriber of a broadcast ring still reads (${backend})`, async () => {
      const end = await runScript(
        `const ring = ringway.BroadcastRing.create(
           { slots: 2, slotByteLength: 4, onSlow: 'block', maxPublishers: 2, backend: '${backend}' });
         const publishers = [ring.publisher(), ring.publisher()];
         const subscriber = ring.subscriber();
         publishers[0].tryPublish(new Uint8Array([1]));
         const claims = publishers.map((publisher) => publisher.tryClaim(1));
         claims.forEach((claim, i) => { claim.bytes[0] = 2 + i; claim.commit(); });
         print(subscriber.tryReadMany(3).join());
         ring.close();`,
        { env: { RINGWAY_DEBUG: 'views' } },
      );
      expect(end).toMatchObject({ code: 0, errors: '', lines: ['1,2,3'] });
    });

    it(`fills the slots of broadcast rings that nobody reads any more with 0xDB (${backend})`, async () => {
      const image =
        backend === 'sab'
          ? 'new Uint8Array(ring.handle.memory)'
          : "new Uint8Array(fs.readFileSync(process.env.RINGWAY_SHM_DIR + '/ringway' + ring.handle.name))";
      const end = await runScript(
        `const ring = ringway.BroadcastRing.create(
           { slots: 2, slotByteLength: 40, onSlow: 'overwrite', maxPublishers: 1, maxSubscribers: 1, backend: '${backend}' });
         const found = (byte) => ${image}.subarray(-3 * 64).filter((at) => at === byte).length;
         const publisher = ring.publisher();
         const subscriber = ring.subscriber();
         for (const byte of [0x71, 0x72]) publisher.tryPublish(new Uint8Array(40).fill(byte));
         const peek = subscriber.tryPeek();
         print([found(0x71), found(0x72), found(0xdb)]);
         publisher.tryPublish(new Uint8Array(40).fill(0x73));
         print([found(0x71), found(0x72), found(0x73), found(0xdb)]);
         print([peek.stillValid, peek.bytes[0] === 0x71]);
         ring.close();`,
        { env: { RINGWAY_DEBUG: 'views' } },
      );
      // Two messages and the publisher's own slot: what was displaced into it is overwritten at once.
      expect(end).toMatchObject({ code: 0, errors: '', lines: ['40,40,40', '0,40,40,40', 'false,true'] });
    });
  }

  it.each([
    ['spsc.test.ts', 'SPSC ring over'],
    ['broadcast.test.ts', 'a broadcast ring over'],
  ])(
    'changes nothing else: the tests of %s pass',
    async (file, name) => {
      const root = fileURLToPath(new URL('..', import.meta.url));
      const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('VITEST')));
      const child = spawn(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', `test/${file}`, '-t', name], {
        cwd: root,
        env: { ...env, RINGWAY_DEBUG: 'views', RINGWAY_TEST_SEED: String(seed), NO_COLOR: '1' },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let output = '';
      for (const stream of [child.stdout, child.stderr]) {
        stream.on('data', (text) => {
          output += text;
        });
      }
      const watchdog = setTimeout(() => child.kill('SIGKILL'), 60_000);
      const code = await new Promise((resolve) => child.on('close', resolve));
      clearTimeout(watchdog);
      expect(code, output).toBe(0);
      expect(output).toMatch(/Tests {2}[0-9]{3} passed/);
    },
    70_000,
  );
});

describe('plain loads and stores around an Atomics call', () => {
  // The memory is no SharedArrayBuffer for the compiler, so that it may know better than to load the same word twice. The
  // rings rely on it that an Atomics call in between forbids that.
  it('are not folded by the optimising compiler', async () => {
    const ring = opening(SpscRing.create({ capacity: 4096 }));
    ring.producer().tryPush(recordOf(1));
    ring.producer().close();
    const [writer, reader] = await Promise.all([startProcess(), startProcess()]);
    // Both see all of the memory: the drain handler gets it.
    for (const other of [writer, reader]) {
      const byteLength = await other.run(({ ringway, state }, handle) => {
        state.ring = ringway.SpscRing.attach(handle);
        const consumer = state.ring.consumer();
        consumer.drain((memory) => {
          if (!(memory.buffer instanceof ArrayBuffer)) throw new Error('shared for the compiler too');
          state.words = new Int32Array(memory.buffer, memory.byteOffset, memory.length >> 2);
          consumer.close(); // The record stays for the other one.
        });
        return (state.words as Int32Array).byteLength;
      }, ring.handle);
      expect(byteLength).toBeGreaterThan(4096);
    }
    const { result: writing } = await writer.start(({ state }) => {
      const words = state.words as Int32Array;
      // Words far behind what was written: the one that changes, one for the Atomics calls, the one that stops it.
      const [changing, atomic, stop] = [words.length - 16, words.length - 32, words.length - 48] as [
        number,
        number,
        number,
      ];
      const storeTwice = () => {
        for (let i = 0; i < 1000; i++) {
          words[changing] = 1;
          Atomics.store(words, atomic, i);
          words[changing] = 2;
          Atomics.store(words, atomic, -i);
        }
      };
      while (Atomics.load(words, stop) === 0) storeTwice();
      state.ring.close();
    });
    const seen = await reader.run(({ state }) => {
      const words = state.words as Int32Array;
      const [changing, atomic, stop] = [words.length - 16, words.length - 32, words.length - 48] as [
        number,
        number,
        number,
      ];
      const count = () => {
        let changes = 0;
        for (let i = 0; i < 10_000; i++) {
          const before = words[changing] as number;
          Atomics.load(words, atomic);
          if (words[changing] !== before) changes++;
        }
        return changes;
      };
      // Hot for long before anything counts, so that it is the optimised code that counts.
      for (let warm = 0; warm < 500; warm++) count();
      let changes = 0;
      while (changes < 100) changes += count(); // For ever if the second load is the first: the watchdog ends it.
      Atomics.store(words, stop, 1);
      state.ring.close();
      return changes;
    });
    expect(seen).toBeGreaterThanOrEqual(100);
    await writing;
  });
});
