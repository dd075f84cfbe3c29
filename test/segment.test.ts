// The file behind a ring: its name and mode, what is refused at attach, full memory, ends of processes, orphans.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { CorruptSegmentError, EndOfStreamError, PeerDiedError, RingwayError, SpscRing } from 'ringway';
import { afterEach, describe, expect, it } from 'vitest';
import { bodyOffsetFor, Constants, ParticipantEntry, SegmentHeader, SpscHeader } from '../src/layout.js';
import { freshName, opening, segmentDirectory, segmentFiles, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random } from './helpers/random.js';
import { startProcess } from './helpers/remote.js';
import { fileOf, recordOf, rejectionOf, thrownBy } from './helpers/rings.js';
import { runScript, startScript } from './helpers/script.js';

useOwnDirectory();
announceSeed('segment');

const named: string[] = [];
afterEach(() => {
  for (const name of named.splice(0)) rmSync(pathOf(name), { force: true, recursive: true });
});
const pathOf = (name: string) => `${segmentDirectory()}/ringway-${name}`;
const naming = () => {
  const name = freshName();
  named.push(name);
  return name;
};
const sortedDirectory = () => readdirSync(segmentDirectory()).sort();
const NEEDS_ROOT = process.getuid?.() === 0 ? '' : ' (left out: needs root)';

describe('the file of a ring', () => {
  it('is called after the ring, and nobody else may read it, whatever the umask', () => {
    for (const umask of [0, 0o077, 0o777]) {
      const before = process.umask(umask);
      try {
        const name = naming();
        opening(SpscRing.create({ name, capacity: 64 }));
        expect(sortedDirectory()).toContain(`ringway-${name}`);
        expect(statSync(pathOf(name)).mode & 0o7777).toBe(0o600);
        const unnamed = opening(SpscRing.create({ capacity: 64 }));
        expect(statSync(fileOf(unnamed)).mode & 0o7777).toBe(0o600);
        const shared = naming();
        opening(SpscRing.create({ name: shared, capacity: 64, mode: 0o660 }));
        expect(statSync(pathOf(shared)).mode & 0o7777).toBe(0o660);
      } finally {
        process.umask(before);
      }
    }
  });

  it('has every name that is allowed', () => {
    for (const name of ['a', '9', 'a'.repeat(200), '.hidden', '..two', 'a..b', '-dash', 'A_b-C.9', '...x']) {
      named.push(name);
      const ring = opening(SpscRing.create({ name, capacity: 64 }));
      expect(ring.name).toBe(name);
      expect(existsSync(pathOf(name))).toBe(true);
      expect(opening(SpscRing.attach(name)).producer()).toBe(ring.producer());
    }
  });

  it('has all of its memory reserved from the start', () => {
    const ring = opening(SpscRing.create({ capacity: 1 << 20 }));
    const { size, blocks } = statSync(fileOf(ring));
    expect(size).toBe(bodyOffsetFor(64) + SpscHeader.data + (1 << 20));
    expect(blocks * 512).toBeGreaterThanOrEqual(size);
  });

  it('is changed by attaching only where the newcomer says that it is there', () => {
    const name = naming();
    const ring = opening(SpscRing.create({ name, capacity: 4096 }));
    const producer = ring.producer();
    for (let i = 0; i < 20; i++) producer.tryPush(recordOf(100, i));
    const before = readFileSync(pathOf(name));
    const other = opening(SpscRing.attach(name));
    const after = readFileSync(pathOf(name));
    expect(after.length).toBe(before.length);
    const entry = SegmentHeader.participants + ParticipantEntry.next; // The second one's.
    for (let at = 0; at < before.length; at++) {
      const mayDiffer =
        (at >= SegmentHeader.nextParticipant && at < SegmentHeader.nextParticipant + 4) ||
        (at >= entry && at < entry + ParticipantEntry.next);
      if (!mayDiffer && before[at] !== after[at]) expect.unreachable(`byte ${at} was changed`);
    }
    expect(other.consumer().tryPopMany(99)).toHaveLength(20);
  });
});

describe('a name that is taken', () => {
  it('is EEXIST, which says by what, and leaves it alone', () => {
    const name = naming();
    const ring = opening(SpscRing.create({ name, capacity: 64 }));
    ring.producer().tryPush(recordOf(5));
    const error = thrownBy(() => SpscRing.create({ name, capacity: 128 }));
    expect(error).toBeInstanceOf(RingwayError);
    expect(error).toMatchObject({ code: 'EEXIST', syscall: 'linkat', path: pathOf(name), errno: -17 });
    expect(error.message).toContain('SpscRing');
    expect(error.message).toContain(name);
    expect(ring.consumer().tryPop()).toEqual(recordOf(5));

    const foreign = naming();
    writeFileSync(pathOf(foreign), 'not ours');
    const other = thrownBy(() => SpscRing.create({ name: foreign, capacity: 64 }));
    expect(other.code).toBe('EEXIST');
    expect(other.message).toContain('not one of ours');
    expect(readFileSync(pathOf(foreign), 'utf8')).toBe('not ours');
  });

  it('is given to one of two processes that ask for it at once', async () => {
    const others = await Promise.all([startProcess(), startProcess()]);
    for (let round = 0; round < 30; round++) {
      const name = naming();
      const results = await Promise.all(
        others.map((other) =>
          other.run(({ ringway }, name) => {
            try {
              ringway.SpscRing.create({ name, capacity: 64 }).close();
              return 'made';
            } catch (error) {
              return (error as { code: string }).code;
            }
          }, name),
        ),
      );
      expect(results.sort()).toEqual(['EEXIST', 'made']);
    }
  });
});

describe('a name that is not there', () => {
  it('is ENOENT with the name and the path', () => {
    const name = freshName();
    for (const error of [thrownBy(() => SpscRing.attach(name)), thrownBy(() => SpscRing.unlink(name))]) {
      expect(error).toBeInstanceOf(RingwayError);
      expect(error).toMatchObject({ code: 'ENOENT', errno: -2, path: pathOf(name) });
      expect(error.message).toContain(name);
    }
  });
});

describe("another user's ring", () => {
  it.skipIf(NEEDS_ROOT !== '')(`is EACCES with the way out, and opened with anyOwner${NEEDS_ROOT}`, () => {
    const name = naming();
    opening(SpscRing.create({ name, capacity: 64 }));
    chownSync(pathOf(name), 65534, 65534);
    for (const call of [
      () => SpscRing.attach(name),
      () => SpscRing.createOrAttach({ name, capacity: 64 }),
      () => SpscRing.attach({ kind: 'SpscRing', backend: 'shm', name, pid: 1 }),
    ]) {
      const error = thrownBy(call);
      expect(error).toMatchObject({ code: 'EACCES', path: pathOf(name) });
      expect(error.message).toContain('65534');
      expect(error.message).toContain('anyOwner');
    }
    expect(opening(SpscRing.attach(name, { anyOwner: true })).capacity).toBe(64);
    expect(opening(SpscRing.createOrAttach({ name, capacity: 64, anyOwner: true })).capacity).toBe(64);
  });

  it.skipIf(NEEDS_ROOT !== '')(`is EACCES for a user who may not open it${NEEDS_ROOT}`, async () => {
    const name = naming();
    opening(SpscRing.create({ name, capacity: 64 }));
    execFileSync('chmod', ['777', segmentDirectory()]);
    const end = await runScript(
      `capabilities.backend; // The addon is loaded while we may still read everything.
       process.setuid(65534);
       for (const options of [{}, { anyOwner: true }]) {
         try { SpscRing.attach(input, options); } catch (error) { print(error.code); }
       }`,
      { input: name },
    );
    expect(end).toMatchObject({ code: 0, lines: ['EACCES', 'EACCES'] });
  });
});

describe('a file that is no usable ring', () => {
  const header = (change: (view: DataView) => void, size?: number) => {
    const name = naming();
    const ring = SpscRing.create({ name, capacity: 256 });
    ring.close();
    const bytes = new Uint8Array(readFileSync(pathOf(name)));
    change(new DataView(bytes.buffer));
    writeFileSync(pathOf(name), bytes);
    if (size !== undefined) truncateSync(pathOf(name), size);
    return name;
  };
  const u32 = (offset: number, value: number) => (view: DataView) => view.setUint32(offset, value, true);
  const body = (offset: number, value: number) => u32(bodyOffsetFor(64) + offset, value);
  const raw = (bytes: Uint8Array | string) => {
    const name = naming();
    writeFileSync(pathOf(name), bytes);
    return name;
  };
  const whole = bodyOffsetFor(64) + SpscHeader.data + 256;

  // What the header alone tells.
  const headers: Record<string, [make: () => string, says: RegExp]> = {
    'an empty file': [() => raw(''), /0 bytes/],
    'a text': [() => raw('hello'), /5 bytes/],
    'less than a header': [() => header(() => {}, 255), /255 bytes/],
    zeros: [() => raw(new Uint8Array(whole)), /0x0/],
    'no magic, as a half-written one': [() => header(u32(SegmentHeader.magic, 0)), /0x0/],
    'another magic': [() => header(u32(SegmentHeader.magic, 0xdeadbeef)), /0xdeadbeef/],
    'the other byte order': [
      () => header((view) => view.setUint32(SegmentHeader.magic, Constants.magic, false)),
      /byte order/,
    ],
    'a later version': [() => header(u32(SegmentHeader.layoutVersion, 77)), /version 77/],
    'version 0': [() => header(u32(SegmentHeader.layoutVersion, 0)), /version 0/],
    'features nobody knows': [() => header(u32(SegmentHeader.featureBits, 0x80000000)), /0x80000000/],
    'another kind': [() => header(u32(SegmentHeader.kind, 99)), /kind 99/],
    'a header that speaks of more bytes': [() => header(u32(SegmentHeader.byteLength, whole + 1)), /truncated/],
    'a header that speaks of far more bytes': [() => header(u32(SegmentHeader.byteLength + 4, 1)), /truncated/],
    'a header that speaks of less bytes': [() => header(u32(SegmentHeader.byteLength, whole - 8)), /offset 16/],
    'truncated by a byte': [() => header(() => {}, whole - 1), /truncated/],
    'truncated to the header': [() => header(() => {}, 256), /truncated/],
    'longer than it says': [() => header(() => {}, whole + 4096), /offset 16/],
    'participants elsewhere': [() => header(u32(SegmentHeader.participantsOffset, 512)), /offset 24/],
    'no participants': [() => header(u32(SegmentHeader.maxParticipants, 0)), /offset 28/],
    'one participant': [() => header(u32(SegmentHeader.maxParticipants, 1)), /offset 28/],
    'too many participants': [() => header(u32(SegmentHeader.maxParticipants, 0xffffffff)), /offset 28/],
    'more participants than there is room for': [() => header(u32(SegmentHeader.maxParticipants, 65)), /offset 32/],
    'a body outside': [() => header(u32(SegmentHeader.bodyOffset, 0xffffff80)), /offset 32/],
    'a body that is not aligned': [() => header(u32(SegmentHeader.bodyOffset, bodyOffsetFor(64) + 8)), /offset 32/],
    'a body among the participants': [() => header(u32(SegmentHeader.bodyOffset, 256)), /offset 32/],
  };
  // What is looked at by one who has become a participant.
  const bodies: Record<string, [make: () => string, says: RegExp]> = {
    'a capacity of 0': [() => header(body(SpscHeader.capacity, 0)), /capacity is 0/],
    'a capacity that is no power of two': [() => header(body(SpscHeader.capacity, 255)), /capacity is 255/],
    'a capacity larger than the file': [() => header(body(SpscHeader.capacity, 512)), /512/],
    'a capacity larger than allowed': [() => header(body(SpscHeader.capacity, 2 ** 31)), /2147483648/],
    'an alignment of 7': [() => header(body(SpscHeader.alignment, 7)), /alignment is 7/],
    'an alignment of 0': [() => header(body(SpscHeader.alignment, 0)), /alignment is 0/],
    'data elsewhere': [() => header(body(SpscHeader.dataOffset, 0)), /dataOffset is 0/],
    'an unknown way to wait': [() => header(body(SpscHeader.wait, 3)), /wait is 3/],
  };
  for (const [what, [make, says]] of Object.entries({ ...headers, ...bodies })) {
    it(`is refused with the reason and left as it is: ${what}`, () => {
      const name = make();
      const before = readFileSync(pathOf(name));
      for (const call of [() => SpscRing.attach(name), () => SpscRing.createOrAttach({ name, capacity: 256 })]) {
        const error = thrownBy(call);
        expect(error).toBeInstanceOf(CorruptSegmentError);
        expect(error.code).toBe('ERR_RINGWAY_CORRUPT_SEGMENT');
        expect(error.message).toMatch(says);
        expect(error.message).toContain(name);
      }
      const after = readFileSync(pathOf(name));
      expect(after.length).toBe(before.length);
      if (what in headers) expect(after.equals(before)).toBe(true);
      expect(() => SpscRing.create({ name, capacity: 64 })).toThrow(/taken/);
    });
  }

  it('takes no participant entry, however often it is tried', () => {
    const name = header(body(SpscHeader.capacity, 0));
    for (let i = 0; i < 200; i++) expect(thrownBy(() => SpscRing.attach(name))).toBeInstanceOf(CorruptSegmentError);
  });

  it('is refused: random bytes', () => {
    const random = new Random();
    for (let round = 0; round < 200; round++) {
      const bytes = new Uint8Array(random.below(round % 2 === 0 ? 600 : 8192));
      for (let at = 0; at < bytes.length; at++) bytes[at] = random.next();
      const name = raw(bytes);
      expect(thrownBy(() => SpscRing.attach(name))).toBeInstanceOf(CorruptSegmentError);
      expect(new Uint8Array(readFileSync(pathOf(name)))).toEqual(bytes);
      rmSync(pathOf(name));
    }
  });

  it('is refused: a directory, a pipe, a symbolic link', () => {
    const directory = naming();
    mkdirSync(pathOf(directory));
    const pipe = naming();
    expect(spawnSync('mkfifo', [pathOf(pipe)]).status).toBe(0);
    for (const name of [directory, pipe]) {
      expect(thrownBy(() => SpscRing.attach(name))).toBeInstanceOf(CorruptSegmentError);
    }
    const target = naming();
    opening(SpscRing.create({ name: target, capacity: 64 }));
    const link = naming();
    symlinkSync(pathOf(target), pathOf(link));
    expect(thrownBy(() => SpscRing.attach(link))).toMatchObject({ code: 'ELOOP', path: pathOf(link) });
    const dangling = naming();
    symlinkSync(pathOf('nowhere'), pathOf(dangling));
    expect(thrownBy(() => SpscRing.attach(dangling)).code).toBe('ELOOP');
    expect(thrownBy(() => SpscRing.createOrAttach({ name: dangling, capacity: 64 })).code).toBe('ELOOP');
    expect(existsSync(pathOf('nowhere'))).toBe(false);
  });

  it('is refused in a SharedArrayBuffer too', () => {
    const ring = opening(SpscRing.create({ capacity: 256, backend: 'sab' }));
    const { handle } = ring;
    if (handle.backend !== 'sab') throw new Error('another backend');
    const changed = (change: (view: DataView) => void, byteLength = handle.memory.byteLength) => {
      const memory = new SharedArrayBuffer(byteLength);
      new Uint8Array(memory).set(new Uint8Array(handle.memory).subarray(0, byteLength));
      if (byteLength >= 256) change(new DataView(memory));
      return { ...handle, memory };
    };
    for (const bad of [
      changed(() => {}, 0),
      changed(() => {}, 255),
      changed(() => {}, 256),
      changed(() => {}, whole - 8),
      ...Object.values(SegmentHeader)
        .filter((offset) => offset <= SegmentHeader.bodyOffset)
        .map((offset) => changed(u32(offset, 0xffffff81))),
      changed(body(SpscHeader.capacity, 0)),
      changed(body(SpscHeader.capacity, 512)),
      changed(body(SpscHeader.alignment, 7)),
      changed(body(SpscHeader.dataOffset, 0)),
      changed(body(SpscHeader.wait, 3)),
    ]) {
      const error = thrownBy(() => SpscRing.attach(bad));
      expect(error).toBeInstanceOf(CorruptSegmentError);
      expect(error.code).toBe('ERR_RINGWAY_CORRUPT_SEGMENT');
    }
  });
});

describe('shared memory that is full', () => {
  it.skipIf(NEEDS_ROOT !== '')(`is ENOSPC with sizes and the way out, and nothing is left${NEEDS_ROOT}`, async () => {
    const mount = mkdtempSync('/tmp/test-of-ringway-full-');
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', mount]);
    try {
      const end = await runScript(
        `const failing = (capacity, name) => {
           const before = fs.statfsSync(process.env.RINGWAY_SHM_DIR).bfree;
           try { SpscRing.create({ capacity, name }); } catch (error) {
             print(JSON.stringify([error.code, error.errno, error.path, error.message,
               before - fs.statfsSync(process.env.RINGWAY_SHM_DIR).bfree, fs.readdirSync(process.env.RINGWAY_SHM_DIR)]));
           }
         };
         failing(1 << 22);
         failing(1 << 22, 'named');
         failing(1 << 30);
         const half = SpscRing.create({ capacity: 1 << 21 });
         failing(1 << 21);
         half.producer().tryPush(new Uint8Array(1 << 19).fill(1));
         print(half.consumer().tryPop().every((byte) => byte === 1));
         half.close();
         SpscRing.create({ capacity: 1 << 21 }).close();
         print(fs.readdirSync(process.env.RINGWAY_SHM_DIR).length);`,
        { env: { RINGWAY_SHM_DIR: mount } },
      );
      expect(end).toMatchObject({ code: 0, errors: '' });
      const lines = end.lines.map((line) => JSON.parse(line));
      for (const line of lines.slice(0, 4)) {
        const [code, errno, path, message, used] = line;
        expect([code, errno, path, used]).toEqual(['ENOSPC', -28, mount, 0]);
        expect(message).toMatch(/--shm-size/);
        expect(message).toContain(mount);
        expect(message).toContain('4.0 MiB');
        expect(message).toMatch(/[0-9]{7,} bytes/);
      }
      expect(lines.slice(0, 3).map((line) => line[5])).toEqual([[], [], []]);
      expect(lines.slice(4)).toEqual([true, 0]);
    } finally {
      execFileSync('umount', [mount]);
      rmdirSync(mount);
    }
  });
});

describe('the end of a process', () => {
  const program = (how: string) => `
    const ring = SpscRing.attach(input);
    const producer = ring.producer();
    producer.tryPush(new Uint8Array([1]));
    const claim = producer.tryClaim(5);
    claim.bytes.fill(2);
    globalThis.kept = [ring, producer, claim]; // Not collected, which would be a close.
    ${how}`;
  const ways: Record<string, [how: string, expected: { code: number | null; signal?: string }]> = {
    return: ['', { code: 0 }],
    'process.exit()': ['process.exit(0);', { code: 0 }],
    'process.exit() with an error code': ['process.exit(7);', { code: 7 }],
    'process.exit() from a drain handler': [
      `const other = SpscRing.create({ capacity: 64 });
       other.producer().tryPush(new Uint8Array(1));
       other.consumer().drain(() => process.exit(0));`,
      { code: 0 },
    ],
    'process.exit() while an operation waits': [
      "SpscRing.create({ capacity: 64, wait: 'park' }).consumer().pop(); setTimeout(() => process.exit(0), 1);",
      { code: 0 },
    ],
    'process.exit() while a worker waits': [
      `import { Worker } from 'node:worker_threads';
       const other = SpscRing.create({ capacity: 64, wait: 'park' });
       new Worker("import('ringway').then(({ SpscRing }) => SpscRing.attach(require('node:worker_threads').workerData).consumer().popSync())",
         { eval: true, execArgv: [], workerData: other.handle });
       while (other.stats().parks === 0) await new Promise((resolve) => setTimeout(resolve, 1));
       process.exit(0);`,
      { code: 0 },
    ],
    'an uncaught error': ["throw new Error('on purpose');", { code: 1 }],
    'an uncaught error in a callback': ["setTimeout(() => { throw new Error('on purpose'); });", { code: 1 }],
    'an unhandled rejection': ["Promise.reject(new Error('on purpose'));", { code: 1 }],
  };
  for (const [what, [how, expected]] of Object.entries(ways)) {
    it(`by itself is a close: ${what}`, async () => {
      const ring = opening(SpscRing.create({ capacity: 256 }));
      const consumer = ring.consumer();
      const end = await runScript(program(how), { input: ring.handle });
      expect(end).toMatchObject(expected);
      expect(await consumer.pop()).toEqual(new Uint8Array([1]));
      expect(await rejectionOf(consumer.pop())).toBeInstanceOf(EndOfStreamError);
      expect(consumer.ended).toBe(true);
      expect(ring.stats().participants).toHaveLength(1);
      expect(segmentFiles(), 'its own unnamed rings are gone').toHaveLength(1);
    });
  }

  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    it(`by ${signal} is a death`, async () => {
      const ring = opening(SpscRing.create({ capacity: 256 }));
      const consumer = ring.consumer();
      const script = startScript(program("print('there'); setInterval(() => {}, 1000);"), { input: ring.handle });
      await script.line();
      script.kill(signal);
      expect(await script.end).toMatchObject({ signal });
      expect(await consumer.pop()).toEqual(new Uint8Array([1]));
      const error = await rejectionOf(consumer.pop());
      expect(error).toBeInstanceOf(PeerDiedError);
      expect(error.pid).toBe(script.pid);
      expect(error.message).toContain(String(script.pid));
    });
  }
});

describe('what processes leave behind', () => {
  const makeAndDie = async (options: string, count = 1) => {
    const scripts = Array.from({ length: count }, () =>
      startScript(
        `const ring = globalThis.kept = SpscRing.create(${options}); ring.producer(); print(ring.handle.name); setInterval(() => {}, 1000);`,
      ),
    );
    const names = await Promise.all(scripts.map((script) => script.line()));
    for (const script of scripts) script.kill('SIGKILL');
    await Promise.all(scripts.map((script) => script.end));
    return names;
  };
  const createElsewhere = () => runScript('SpscRing.create({ capacity: 64 }).close();');

  it('goes with the next create of another process, if it has no name and nobody lives', async () => {
    const [dead, alsoDead] = (await makeAndDie('{ capacity: 64 }', 2)) as [string, string];
    expect(segmentFiles()).toEqual([`ringway${dead}`, `ringway${alsoDead}`].sort());
    const kept = opening(SpscRing.attach({ kind: 'SpscRing', backend: 'shm', name: dead, pid: 0 }));
    await createElsewhere();
    expect(segmentFiles(), 'one of them has a living participant again').toEqual([`ringway${dead}`]);
    expect(kept.producer().tryPush(recordOf(1))).toBe(true);
    kept.close();
    expect(segmentFiles()).toEqual([]);
  });

  it('stays if it has a name', async () => {
    const name = naming();
    await makeAndDie(`{ capacity: 64, name: '${name}' }`);
    await createElsewhere();
    expect(segmentFiles()).toEqual([`ringway-${name}`]);
    const ring = opening(SpscRing.attach(name));
    expect(ring.consumer().ended).toBe(true);
    expect(ring.producer().tryPush(recordOf(1))).toBe(true);
  });

  it('stays if it is not ours, whatever it is called', async () => {
    const digits = '0123456789abcdef'.repeat(2);
    const [orphan] = await makeAndDie('{ capacity: 64 }');
    const bytes = readFileSync(`${segmentDirectory()}/ringway${orphan}`);
    const later = Buffer.from(bytes);
    later.writeUInt32LE(Constants.layoutVersion + 1, SegmentHeader.layoutVersion);
    const files: Record<string, Uint8Array | string> = {
      [`ringway~${digits}`]: later,
      'ringway~': '',
      'ringway~text': 'a text',
      'ringway-x~y': bytes,
      [`other~${digits}`]: bytes,
    };
    for (const [file, content] of Object.entries(files)) writeFileSync(`${segmentDirectory()}/${file}`, content);
    mkdirSync(`${segmentDirectory()}/ringway~folder`);
    symlinkSync(`${segmentDirectory()}/ringway-x~y`, `${segmentDirectory()}/ringway~link`);
    await createElsewhere();
    expect(segmentFiles()).toEqual([...Object.keys(files), 'ringway~folder', 'ringway~link'].sort());
    for (const file of segmentFiles()) rmSync(`${segmentDirectory()}/${file}`, { recursive: true });
  });

  it('goes with the last one of several processes, whichever that is', async () => {
    const others = await Promise.all([startProcess(), startProcess()]);
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 2, 0],
    ]) {
      const ring = SpscRing.create({ capacity: 64 });
      const path = fileOf(ring);
      for (const other of others) {
        await other.run(({ ringway, state }, handle) => {
          state.ring = ringway.SpscRing.attach(handle);
        }, ring.handle);
      }
      const closers = [
        () => ring.close(),
        ...others.map((other) => () => other.run(({ state }) => state.ring.close())),
      ];
      for (const [i, which] of order.entries()) {
        expect(existsSync(path), `before close ${i}`).toBe(true);
        await closers[which]?.();
      }
      expect(existsSync(path)).toBe(false);
    }
  });
});
