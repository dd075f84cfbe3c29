// Without the addon: what works between threads works, what needs processes says why it does not, and nothing is
// downgraded silently. Each in a process of its own, since the package looks once.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { capabilities, SpscRing } from 'ringway';
import { afterEach, describe, expect, it } from 'vitest';
import { opening, segmentDirectory, useOwnDirectory } from './helpers/directory.js';
import { runScript } from './helpers/script.js';

useOwnDirectory();

describe('with the addon', () => {
  it('capabilities say shm, and no reason why not', () => {
    expect(capabilities).toMatchObject({
      backend: 'shm',
      crossProcess: true,
      runtime: 'node',
      platform: `${process.platform}-${process.arch}`,
    });
    expect(capabilities.reason).toBeUndefined();
    expect(opening(SpscRing.create({ capacity: 64 })).backend).toBe('shm');
    expect(opening(SpscRing.create({ capacity: 64, backend: 'sab' })).backend).toBe('sab');
  });
});

const damaged = () => join(segmentDirectory(), 'damaged.node');
afterEach(() => rmSync(damaged(), { force: true }));

const NO_ADDON: Record<string, [env: () => NodeJS.ProcessEnv, reason: RegExp]> = {
  'RINGWAY_BACKEND=sab': [() => ({ RINGWAY_BACKEND: 'sab' }), /^RINGWAY_BACKEND=sab$/],
  'a RINGWAY_BACKEND that is none': [() => ({ RINGWAY_BACKEND: 'shmem' }), /shmem/],
  'a missing addon': [() => ({ RINGWAY_ADDON: '/nonexistent/ringway.node' }), /\/nonexistent\/ringway\.node/],
  'an addon that does not load': [
    () => {
      writeFileSync(damaged(), 'not a shared library');
      return { RINGWAY_ADDON: damaged() };
    },
    /damaged\.node/,
  ],
  'no directory for segments': [() => ({ RINGWAY_SHM_DIR: '/nonexistent' }), /\/nonexistent.*ENOENT/],
  'a directory that cannot hold segments': [() => ({ RINGWAY_SHM_DIR: '/proc' }), /\/proc.*E[A-Z]+/],
};

for (const [what, [env, reason]] of Object.entries(NO_ADDON)) {
  describe(`with ${what}`, () => {
    it('capabilities say sab and why, and asking for processes is an error that says it too', async () => {
      const end = await runScript(
        `print(JSON.stringify(capabilities));
         print(JSON.stringify([capabilities.backend, capabilities.crossProcess, capabilities.reason]));
         const handle = { kind: 'SpscRing', backend: 'shm', name: 'name', pid: 1 };
         for (const call of [
           () => SpscRing.create({ capacity: 64, name: 'name' }),
           () => SpscRing.create({ capacity: 64, backend: 'shm' }),
           () => SpscRing.create({ capacity: 64, name: 'name', backend: 'shm' }),
           () => SpscRing.createOrAttach({ capacity: 64, name: 'name' }),
           () => SpscRing.attach('name'),
           () => SpscRing.attach(handle),
           () => SpscRing.whenCreated('name'),
           () => SpscRing.unlink('name'),
         ]) {
           try { await call(); print('nothing'); } catch (error) {
             print(JSON.stringify([error instanceof ringway.RingwayError, error.code, error.message]));
           }
         }`,
        { env: env() },
      );
      const lines = end.lines.map((line) => JSON.parse(line));
      expect(end).toMatchObject({ code: 0, errors: '' });
      expect(lines[0]).toMatchObject({ backend: 'sab', crossProcess: false, runtime: 'node' });
      expect(lines[1].slice(0, 2)).toEqual(['sab', false]);
      const why = lines[1][2];
      expect(why).toMatch(reason);
      expect(lines.slice(2)).toHaveLength(8);
      for (const [ours, code, message] of lines.slice(2)) {
        expect([ours, code]).toEqual([true, 'ERR_RINGWAY_NO_ADDON']);
        expect(message).toContain(why);
        expect(message).toContain("backend: 'sab'");
      }
    });

    it('a ring without a name works', async () => {
      const end = await runScript(
        `const ring = SpscRing.create({ capacity: 100 });
         print([ring.backend, ring.capacity, ring.name]);
         const waiting = ring.consumer().pop();
         ring.producer().tryPush(new Uint8Array([1, 2, 3]));
         print((await waiting).join());
         print(JSON.stringify(ring.handle.backend));
         ring.close();`,
        { env: env() },
      );
      expect(end).toMatchObject({ code: 0, errors: '', lines: ['sab,128,', '1,2,3', '"sab"'] });
    });
  });
}

describe('with RINGWAY_BACKEND=sab, though the addon is there', () => {
  it('nothing loads it, not even who watches and gives the processor away', async () => {
    const end = await runScript(
      `const consumer = SpscRing.create({ capacity: 100, wait: 'spin' }).consumer();
       try { consumer.popSync({ timeoutMs: 1 }); } catch (error) { print(error.name); }
       print(process.report.getReport().sharedObjects.filter((path) => path.endsWith('.node')).length);`,
      { env: { RINGWAY_BACKEND: 'sab' } },
    );
    expect(end).toMatchObject({ code: 0, errors: '', lines: ['TimeoutError', '0'] });
  });
});

describe('between worker threads', () => {
  const COUNT = 1_000_000;
  const WORKER = `
    const { workerData, parentPort } = require('node:worker_threads');
    import('ringway').then(async ({ SpscRing }) => {
      const { handle, how, count } = workerData;
      const ring = SpscRing.attach(handle);
      const producer = ring.producer();
      const bytes = new Uint8Array(8);
      const number = new Float64Array(bytes.buffer);
      for (let i = 0; i < count; i++) {
        number[0] = i;
        if (how === 'Sync') producer.pushSync(bytes);
        else await producer.push(bytes);
      }
      ring.close();
    });`;
  const program = (how: string, receive: string) => `
    import { Worker } from 'node:worker_threads';
    const ring = SpscRing.create({ capacity: 1 << 16 });
    print(ring.backend);
    const worker = new Worker(${JSON.stringify(WORKER)},
      { eval: true, execArgv: [], workerData: { handle: ring.handle, how: '${how}', count: ${COUNT} } });
    const ended = new Promise((resolve) => worker.once('exit', resolve));
    const consumer = ring.consumer();
    let next = 0;
    const check = (bytes) => {
      const number = new Float64Array(bytes.buffer, bytes.byteOffset, 1)[0];
      if (bytes.length !== 8 || number !== next) throw new Error(number + ' instead of ' + next);
      next++;
    };
    ${receive}
    print(next);
    await ended;
    ring.close();`;

  it('a million records arrive in order, asynchronously', async () => {
    const end = await runScript(program('async', 'for await (const bytes of consumer) check(bytes);'), {
      env: { RINGWAY_BACKEND: 'sab' },
      watchdogMs: 60_000,
    });
    expect(end).toMatchObject({ code: 0, errors: '', lines: ['sab', String(COUNT)] });
  }, 70_000);

  it('a million records arrive in order, blocking', async () => {
    const receive = `
      try { for (;;) check(consumer.popSync()); } catch (error) {
        if (error.code !== 'ERR_RINGWAY_END') throw error;
      }`;
    const end = await runScript(program('Sync', receive), { env: { RINGWAY_BACKEND: 'sab' }, watchdogMs: 60_000 });
    expect(end).toMatchObject({ code: 0, errors: '', lines: ['sab', String(COUNT)] });
  }, 70_000);
});

describe("'ringway/rings'", () => {
  const dist = fileURLToPath(new URL('../dist/', import.meta.url));

  it('has no static import of a module of Node, nor does what it imports', () => {
    const seen = new Set<string>();
    const visit = (path: string) => {
      if (seen.has(path)) return;
      seen.add(path);
      const source = readFileSync(path, 'utf8');
      for (const [, specifier] of source.matchAll(/^\s*(?:import|export)\b[^'";]*?['"]([^'"]+)['"]/gm)) {
        expect(specifier, `imported by ${path}`).toMatch(/^\.{1,2}\//);
        visit(join(dirname(path), specifier as string));
      }
    };
    visit(join(dist, 'rings.js'));
    for (const path of seen) {
      expect(readFileSync(path, 'utf8'), path).not.toMatch(/\bimport\s*\(|^\s*import\s+['"]node:|await import/m);
    }
  });

  it('works where there is nothing of Node, as in a browser', async () => {
    const end = await runScript(
      `const setAnything = globalThis.setTimeout;
       for (const name of ['process', 'Buffer', 'setImmediate', 'clearImmediate', 'global', 'require']) {
         delete globalThis[name];
       }
       const { capabilities, SpscRing } = await import('ringway/rings');
       print(JSON.stringify(capabilities));
       const ring = SpscRing.create({ capacity: 256 });
       const producer = ring.producer();
       const consumer = ring.consumer();
       const waiting = consumer.pop();
       setAnything(() => producer.tryPush(new Uint8Array([1, 2])), 1);
       print((await waiting).join());
       for (let i = 0; i < 1000; i++) { await producer.push(new Uint8Array(8)); await consumer.pop(); }
       const peek = (producer.tryPush(new Uint8Array(4)), consumer.tryPeek());
       peek.release();
       try { consumer.popSync({ timeoutMs: 1 }); } catch (error) { print(error.code); }
       try { SpscRing.create({ capacity: 64, name: 'x' }); } catch (error) { print(error.code + ' ' + error.message); }
       try { SpscRing.create({ capacity: {} }); } catch (error) { print(error.name); }
       producer.close();
       try { await consumer.pop(); } catch (error) { print(error.code); }
       ring.close();`,
      { bare: true },
    );
    expect(end).toMatchObject({ code: 0, errors: '' });
    const [found, record, deadlock, named, wrong, ended] = end.lines as [
      string,
      string,
      string,
      string,
      string,
      string,
    ];
    expect(JSON.parse(found)).toMatchObject({
      backend: 'sab',
      crossProcess: false,
      runtime: 'browser',
      reason: expect.stringContaining('addon'),
    });
    expect([record, deadlock, wrong, ended]).toEqual([
      '1,2',
      'ERR_RINGWAY_WOULD_DEADLOCK',
      'TypeError',
      'ERR_RINGWAY_END',
    ]);
    expect(named).toContain('ERR_RINGWAY_NO_ADDON');
  });
});
