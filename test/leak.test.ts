// Nothing is left over: descriptors, mappings, threads, files, memory; not after thousands of rings, not after workers that
// were terminated in the middle of everything, and not by rings that are dropped instead of closed.
import { describe, expect, it } from 'vitest';
import { useOwnDirectory } from './helpers/directory.js';
import { announceSeed, seed } from './helpers/random.js';
import { runScript } from './helpers/script.js';

useOwnDirectory();
announceSeed('leak');

// What a process has, as the kernel counts it.
const MEASURE = `
  const collect = async () => {
    for (let i = 0; i < 4; i++) { gc(); await new Promise((resolve) => setTimeout(resolve, 5)); }
  };
  // Node opens /dev/null for itself when it first warns; what is gone by the time it is looked at is the listing's own.
  const pointsTo = (descriptor) => {
    try { return fs.readlinkSync('/proc/self/fd/' + descriptor); } catch { return '/dev/null'; }
  };
  const measure = async () => {
    await collect();
    return {
      descriptors: fs.readdirSync('/proc/self/fd').filter((descriptor) => pointsTo(descriptor) !== '/dev/null').length,
      mappings: fs.readFileSync('/proc/self/maps', 'utf8').split('\\n').length,
      segments: fs.readFileSync('/proc/self/maps', 'utf8').split(process.env.RINGWAY_SHM_DIR).length - 1,
      threads: fs.readdirSync('/proc/self/task').length,
      files: fs.readdirSync(process.env.RINGWAY_SHM_DIR).length,
      residentMiB: process.memoryUsage.rss() / 2 ** 20,
    };
  };`;
const OPTIONS = { execArgv: ['--expose-gc'], env: { NODE_NO_WARNINGS: '1' }, watchdogMs: 80_000 };

interface Measured {
  descriptors: number;
  mappings: number;
  segments: number;
  threads: number;
  files: number;
  residentMiB: number;
}

/** Mappings and memory of the engine itself come and go; what a leak of one in fifty rounds makes would be seen. */
function expectNothingLeft(before: Measured, after: Measured, rounds: number): void {
  const { mappings, residentMiB, ...exact } = after;
  const { mappings: mappingsBefore, residentMiB: residentBefore, ...exactBefore } = before;
  expect(exact).toEqual(exactBefore);
  expect(mappings - mappingsBefore).toBeLessThan(Math.max(100, rounds / 50));
  expect(residentMiB - residentBefore).toBeLessThan(40);
}

it('claims and leases leave nothing in a thread that never returns to its event loop', async () => {
  const end = await runScript(
    `const ring = ringway.MpmcRing.create({ slots: 8, slotByteLength: 8 });
     for (let i = 0; i < 200_000; i++) {
       ring.tryClaim().commit();
       ring.tryTake().ack();
     }
     ring.close();
     print('through');`,
    { ...OPTIONS, execArgv: ['--max-old-space-size=32'] }, // All of them would take 200 MiB.
  );
  expect(end).toMatchObject({ code: 0, errors: '', lines: ['through'] });
}, 90_000);

describe('ten thousand rounds of create, attach, use and close', () => {
  it('leave nothing in the process and no file', async () => {
    const end = await runScript(
      `${MEASURE}
       const round = async (i) => {
         const ring = SpscRing.create({ capacity: 4096 });
         const other = SpscRing.attach(ring.handle);
         const producer = ring.producer();
         const consumer = other.consumer();
         producer.tryPush(new Uint8Array(100));
         consumer.tryPop();
         if (i % 10 === 0) {
           const waiting = consumer.pop();
           const aborted = new AbortController();
           const given = consumer.pop({ signal: aborted.signal }).catch(() => {});
           if (i % 20 === 0) await new Promise(setImmediate);
           aborted.abort();
           producer.tryPush(new Uint8Array(1));
           await Promise.all([waiting, given]);
         }
         if (i % 16 === 1) consumer.pop().catch(() => {}); // Pending at close.
         if (i % 16 === 2) producer.tryClaim(8);
         if (i % 16 === 3) try { SpscRing.attach('no-such-ring'); } catch {}
         if (i % 16 === 4) try { SpscRing.create({ capacity: 64, name: 'taken' }); } catch {}
         if (i % 2 === 0) { ring.close(); other.close(); } else { other.close(); ring.close(); }
         if (i % 50 === 0) await new Promise(setImmediate);
       };
       const taken = SpscRing.create({ capacity: 64, name: 'taken' });
       for (let i = 0; i < 3000; i++) await round(i);
       const before = await measure();
       for (let i = 0; i < 10_000; i++) await round(i);
       print(JSON.stringify([before, await measure()]));
       taken.close();
       SpscRing.unlink('taken');`,
      OPTIONS,
    );
    expect(end).toMatchObject({ code: 0, errors: '' });
    const [before, after] = JSON.parse(end.lines[0] as string);
    expectNothingLeft(before, after, 10_000);
    expect(before.files, 'the one that is open').toBe(1);
  }, 90_000);

  it('leave nothing where they are SharedArrayBuffers', async () => {
    const end = await runScript(
      `${MEASURE}
       const round = async (i) => {
         const ring = SpscRing.create({ capacity: 1 << 16, backend: 'sab' });
         const producer = ring.producer();
         const consumer = ring.consumer();
         const waiting = consumer.pop();
         if (i % 5 === 0) await new Promise(setImmediate);
         producer.tryPush(new Uint8Array(100));
         await waiting;
         if (i % 3 === 0) consumer.pop().catch(() => {});
         if (i % 2 === 0) ring.close();
         if (i % 100 === 0) await collect();
       };
       for (let i = 0; i < 200; i++) await round(i);
       const before = await measure();
       for (let i = 0; i < 2000; i++) await round(i);
       print(JSON.stringify([before, await measure()]));
       process.exit(0);`,
      OPTIONS,
    );
    expect(end).toMatchObject({ code: 0, errors: '' });
    const [before, after] = JSON.parse(end.lines[0] as string);
    expectNothingLeft(before, after, 2000);
  }, 90_000);
});

describe('workers that are terminated in the middle of everything', () => {
  const WORKER = `
    const { workerData, parentPort } = require('node:worker_threads');
    import('ringway').then(async ({ SpscRing }) => {
      const { handle, what } = workerData;
      const ring = SpscRing.attach(handle);
      const told = (message) => parentPort.postMessage(message);
      told('attached');
      switch (what) {
        case 'popSync': return ring.consumer().popSync();
        case 'pop': return ring.consumer().pop();
        case 'takeProducer': return ring.takeProducer();
        case 'push': for (const producer = ring.producer(); ; ) await producer.push(new Uint8Array(100));
        case 'pushSync': for (const producer = ring.producer(); ; ) producer.pushSync(new Uint8Array(100));
        case 'claim': return ring.producer().tryClaim(8).bytes.fill(1);
        case 'create':
          for (;;) {
            const other = SpscRing.create({ capacity: 4096 });
            other.producer().tryPush(new Uint8Array(9));
            other.consumer().tryPop();
            other.close();
          }
        case 'exit': process.exit(0);
        case 'throw': throw new Error('on purpose');
      }
    });`;

  for (const wait of ['park', 'adaptive'] as const) {
    it(`leave the process healthy, and nothing of theirs (${wait})`, async () => {
      const WORKERS = 100;
      const end = await runScript(
        `import { Worker } from 'node:worker_threads';
         ${MEASURE}
         let seed = ${seed};
         const below = (end) => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0, (seed >>> 8) % end);
         const ring = SpscRing.create({ capacity: 1024, maxParticipants: 8, wait: '${wait}' });
         const KINDS = ['popSync', 'pop', 'takeProducer', 'push', 'pushSync', 'claim', 'create', 'exit', 'throw'];
         const round = async (i) => {
           const what = KINDS[i % KINDS.length];
           const worker = new Worker(${JSON.stringify(WORKER)},
             { eval: true, execArgv: [], stderr: true, workerData: { handle: ring.handle, what } });
           worker.on('error', () => {});
           const ended = new Promise((resolve) => worker.once('exit', resolve));
           if (below(8) !== 0) await new Promise((resolve) => { worker.once('message', resolve); worker.once('exit', resolve); });
           for (let turns = below(40); turns > 0; turns--) await new Promise(setImmediate);
           await worker.terminate();
           await ended;
           // Both roles are free, and the ring works.
           const producer = ring.producer();
           const consumer = ring.consumer();
           consumer.tryPopMany(Infinity);
           producer.tryPush(new Uint8Array([i]));
           if ((await consumer.pop())[0] !== (i & 255)) throw new Error('another record');
           producer.close();
           consumer.close();
         };
         for (let i = 0; i < 20; i++) await round(i);
         const before = await measure();
         for (let i = 0; i < ${WORKERS}; i++) await round(i);
         const after = await measure();
         print(JSON.stringify([before, after]));
         const all = Array.from({ length: 7 }, () => SpscRing.attach(ring.handle));
         for (const one of all) one.close();
         ring.close();
         print(fs.readdirSync(process.env.RINGWAY_SHM_DIR).length);`,
        OPTIONS,
      );
      expect(end).toMatchObject({ code: 0, signal: null, errors: '' });
      const [before, after] = JSON.parse(end.lines[0] as string);
      expectNothingLeft(before, after, WORKERS);
      expect(end.lines[1]).toBe('0');
    }, 90_000);
  }

  it('leave a process healthy that has not loaded the package itself', async () => {
    const end = await runScript(
      `const { Worker } = await import('node:worker_threads');
       const source = (what) => "import('ringway').then(async ({ SpscRing }) => {" +
         "const ring = SpscRing.create({ capacity: 64 }); ring.producer().tryPush(new Uint8Array(1)); ring.consumer().tryPop();" +
         "require('node:worker_threads').parentPort.postMessage('there');" + what + "})";
       const WAYS = ['ring.close()', '', 'await ring.consumer().pop()', 'ring.producer().close(); ring.close()'];
       for (let i = 0; i < 24; i++) {
         const worker = new Worker(source(WAYS[i % WAYS.length]), { eval: true, execArgv: [] });
         const ended = new Promise((resolve) => worker.once('exit', resolve));
         await new Promise((resolve) => worker.once('message', resolve));
         if (i % 4 === 2) await worker.terminate();
         await ended;
       }
       fs.writeSync(1, fs.readdirSync(process.env.RINGWAY_SHM_DIR).length + '\\n');`,
      { ...OPTIONS, bare: true },
    );
    expect(end).toMatchObject({ code: 0, signal: null, errors: '', lines: ['0'] });
  }, 60_000);
});

describe('a ring that is dropped instead of closed', () => {
  it('is closed when it is collected, with one warning', async () => {
    const end = await runScript(
      `${MEASURE}
       const before = await measure();
       const make = (i) => {
         const ring = SpscRing.create({ capacity: 1 << 16 });
         if (i % 2 === 0) ring.producer().tryPush(new Uint8Array(5));
         if (i % 3 === 0) ring.consumer().tryPeek();
       };
       for (let i = 0; i < 100; i++) make(i);
       const after = await measure();
       print(JSON.stringify([before, after]));`,
      { ...OPTIONS, env: {} },
    );
    expect(end.code).toBe(0);
    const [before, after] = JSON.parse(end.lines[0] as string);
    expect(after.segments).toBe(0);
    expect(after.files).toBe(0);
    expect(after.descriptors).toBe(before.descriptors);
    expect(end.errors.match(/RINGWAY_NOT_CLOSED/g)).toHaveLength(1);
    expect(end.errors).toContain('RingwayWarning');
  });

  for (const backend of ['shm', 'sab']) {
    it(`gives its participant entry and its roles back (${backend})`, async () => {
      const end = await runScript(
        `${MEASURE}
         const ring = SpscRing.create({ capacity: 64, backend: '${backend}', maxParticipants: 4 });
         for (let i = 0; i < 12; i++) {
           (() => { const other = SpscRing.attach(ring.handle); if (i % 2 === 0) other.producer(); })();
           await collect();
         }
         print(ring.stats().participants.length);
         print(ring.producer().tryPush(new Uint8Array(3)));
         ring.close();`,
        OPTIONS,
      );
      expect(end).toMatchObject({ code: 0, errors: '', lines: ['1', 'true'] });
    });
  }

  it('is not collected while one of its ends, a claim, a peek or a pending operation is in use', async () => {
    const end = await runScript(
      `${MEASURE}
       const kept = await (async () => {
         const consumer = SpscRing.create({ capacity: 64 }).consumer();
         const claim = SpscRing.create({ capacity: 64 }).producer().tryClaim(3);
         const peeked = SpscRing.create({ capacity: 64 });
         peeked.producer().tryPush(new Uint8Array([1, 2, 3]));
         const peek = peeked.consumer().tryPeek();
         const shared = SpscRing.create({ capacity: 64 });
         const waiting = SpscRing.attach(shared.handle).consumer().pop();
         return { consumer, claim, peek, shared, waiting };
       })();
       await collect();
       print(kept.consumer.tryPop());
       kept.claim.bytes.fill(1);
       kept.claim.commit();
       print(kept.peek.bytes.join());
       kept.shared.producer().tryPush(new Uint8Array([7]));
       print((await kept.waiting).join());
       process.exit(0);`,
      { ...OPTIONS, env: {} },
    );
    expect(end).toMatchObject({ code: 0, errors: '', lines: ['null', '1,2,3', '7'] });
  });

  it('leaves the ends alone that were taken through another handle', async () => {
    const end = await runScript(
      `${MEASURE}
       const ring = SpscRing.create({ capacity: 64 });
       const producer = ring.producer();
       const consumer = ring.consumer();
       (() => { SpscRing.attach(ring.handle).stats(); })();
       await collect();
       print(fs.readdirSync('/proc/self/fd').length > 0);
       print([ring.producer() === producer, ring.consumer() === consumer]);
       producer.tryPush(new Uint8Array([3]));
       print(consumer.tryPop().join());
       try { consumer.popSync({ timeoutMs: 2000 }); } catch (error) { print(error.code); }
       print(ring.stats().participants.length);
       ring.close();`,
      OPTIONS,
    );
    expect(end).toMatchObject({
      code: 0,
      lines: ['true', 'true,true', '3', 'ERR_RINGWAY_WOULD_DEADLOCK', '2'],
    });
  });
});
