// Blocks of memory: what they are made of, who sees what is written to them, and that attaching, closing and dying leave them
// as they are.
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { type SegmentHandle, SharedMemory, SpscRing, TimeoutError, Value } from 'ringway';
import { describe, expect, it } from 'vitest';
import { bodyOffsetFor, SegmentHeader } from '../src/layout.js';
import { freshName, opening, segmentFiles, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random } from './helpers/random.js';
import { startProcess, startThread } from './helpers/remote.js';
import { BACKENDS, fileOf, imageOf, poke, recordOf, rejectionOf, thrownBy } from './helpers/rings.js';
import { runScript } from './helpers/script.js';

useOwnDirectory();

const start = (backend: 'shm' | 'sab') => (backend === 'shm' ? startProcess() : startThread());

for (const backend of BACKENDS) {
  describe(`a block of memory over ${backend}`, () => {
    const make = (byteLength: number, options = {}) =>
      opening(SharedMemory.create({ byteLength, backend, ...options }));

    it('has exactly as many bytes as were asked for, all zero', () => {
      for (const byteLength of [1, 7, 8, 512, 4096, 65_537]) {
        const memory = make(byteLength);
        expect(memory).toMatchObject({ byteLength, backend, name: undefined, closed: false });
        expect(memory.bytes).toEqual(new Uint8Array(byteLength));
        expect(memory.bytes).toBe(memory.bytes);
        expect(memory.bytes.buffer).toBe(memory.buffer);
        expect(memory.bytes.byteOffset % 64).toBe(0);
      }
      const page = make(2 ** 22);
      expect(page.bytes.every((byte) => byte === 0)).toBe(true);
    });

    it('refuses sizes and options that cannot be, and makes nothing', () => {
      const wrong = [-1, -2, 0, 0.5, Number.NaN, Infinity, 2 ** 32 - 2 ** 20 + 1];
      for (const byteLength of wrong) {
        expect(thrownBy(() => SharedMemory.create({ byteLength, backend }))).toBeInstanceOf(RangeError);
      }
      for (const options of [{}, { byteLength: '8' }, { byteLength: 8n }, null, undefined]) {
        expect(thrownBy(() => SharedMemory.create(options as never))).toBeInstanceOf(TypeError);
      }
      for (const name of ['nul\0', 'a/b', '', '.', 'x'.repeat(201)]) {
        expect(thrownBy(() => SharedMemory.create({ byteLength: 8, name }))).toBeInstanceOf(RangeError);
      }
      expect(thrownBy(() => SharedMemory.attach(undefined as never))).toBeInstanceOf(TypeError);
      expect(segmentFiles()).toEqual([]);
    });

    it('is the same memory for a second handle, which changes nothing and whose end changes nothing', () => {
      const memory = make(512);
      memory.bytes.set(recordOf(512));
      const before = imageOf(memory);
      const again = opening(SharedMemory.attach(memory.handle));
      expect(again.byteLength).toBe(512);
      expect(imageOf(memory).subarray(bodyOffsetFor(64))).toEqual(before.subarray(bodyOffsetFor(64)));
      again.bytes[511] = 77;
      expect(memory.bytes[511]).toBe(77);
      again.close();
      memory.bytes[0] = 78;
      expect([memory.bytes[0], memory.bytes[511]]).toEqual([78, 77]);
    });

    it('is seen from elsewhere, both ways', async () => {
      const memory = make(64);
      const remote = await start(backend);
      memory.bytes[0] = 1;
      const write = ({ ringway }: { ringway: typeof import('ringway') }, handle: SegmentHandle) => {
        const there = ringway.SharedMemory.attach(handle);
        there.bytes.set(new TextEncoder().encode('howdy'), 1);
        const [first] = there.bytes;
        there.close();
        return [first, there.closed];
      };
      expect(await remote.run(write, memory.handle)).toEqual([1, true]);
      expect(Buffer.from(memory.bytes.subarray(1, 6)).toString()).toBe('howdy');
    });

    it('is a view that functions of Node take', () => {
      const memory = make(4096);
      const bytes = recordOf(4096, 5);
      inflateRawSync(deflateRawSync(bytes)).copy(memory.bytes);
      expect(createHash('sha256').update(memory.bytes).digest()).toEqual(createHash('sha256').update(bytes).digest());
      expect(inflateRawSync(deflateRawSync(memory.bytes))).toEqual(Buffer.from(bytes));
      const doubles = new Float64Array(memory.buffer, memory.bytes.byteOffset, 512);
      doubles[511] = Math.PI;
      expect(new DataView(memory.buffer, memory.bytes.byteOffset).getFloat64(4088, true)).toBe(Math.PI);
      const file = openSync('/dev/zero', 'r');
      expect(readSync(file, memory.bytes, 8, 100, 0)).toBe(100);
      closeSync(file);
      expect(memory.bytes.subarray(8, 108)).toEqual(new Uint8Array(100));
    });

    it('throws when it is closed; old views are safe', () => {
      const memory = make(64);
      const { bytes } = memory;
      bytes.fill(5);
      memory.close();
      memory.close();
      expect(thrownBy(() => memory.bytes)).toMatchObject({ code: 'ERR_RINGWAY_CLOSED' });
      expect(thrownBy(() => memory.buffer)).toMatchObject({ code: 'ERR_RINGWAY_CLOSED' });
      expect([memory.closed, memory.byteLength]).toEqual([true, 64]);
      expect(bytes).toEqual(new Uint8Array(64).fill(backend === 'shm' ? 0 : 5));
      bytes.fill(6);
    });

    it('has a handle that survives JSON, or says why not', () => {
      const memory = make(8);
      expect(memory.toJSON()).toBe(memory.handle);
      const handle = JSON.parse(JSON.stringify(memory)) as SegmentHandle;
      if (backend === 'shm') opening(SharedMemory.attach(handle)).bytes[0] = 1;
      else expect(thrownBy(() => SharedMemory.attach(handle)).message).toContain('lost its memory');
      expect(memory.bytes[0]).toBe(backend === 'shm' ? 1 : 0);
      expect(thrownBy(() => Value.attach(memory.handle))).toBeInstanceOf(TypeError);
      expect(thrownBy(() => SharedMemory.attach({ ...memory.handle, kind: 'Value' }))).toBeInstanceOf(TypeError);
    });

    it('is refused when its header is garbage', () => {
      announceSeed('headers');
      const random = new Random();
      const memory = make(256);
      const image = imageOf(memory);
      const words = new Uint32Array(image.buffer, image.byteOffset, image.byteLength >> 2);
      const attach = () => SharedMemory.attach(memory.handle).close();
      const { magic, layoutVersion, kind, featureBits, byteLength, maxParticipants, bodyOffset } = SegmentHeader;
      for (const offset of [magic, layoutVersion, kind, featureBits, byteLength, maxParticipants, bodyOffset]) {
        const right = words[offset >> 2] as number;
        for (const wrong of [right + 1, right ^ 0x80000000, (random.next() | (2 ** 29)) >>> 0]) {
          poke(memory, offset, wrong);
          expect(thrownBy(attach), `${wrong} at ${offset}`).toMatchObject({ code: 'ERR_RINGWAY_CORRUPT_SEGMENT' });
        }
        poke(memory, offset, right);
      }
      attach();
    });
  });
}

describe('a named block of memory', () => {
  it('is made, found, awaited and unlinked, and stays until then', async () => {
    const name = freshName();
    expect(thrownBy(() => SharedMemory.attach(name))).toMatchObject({ code: 'ENOENT' });
    const coming = SharedMemory.whenCreated(name);
    const made = opening(SharedMemory.createOrAttach({ name, byteLength: 513 }));
    expect(opening(await coming)).toMatchObject({ name, byteLength: 513 });
    const taken = thrownBy(() => SharedMemory.create({ name, byteLength: 513 }));
    expect(taken).toMatchObject({ code: 'EEXIST' });
    expect(taken.message).toContain('SharedMemory');
    made.bytes.fill(9);
    const again = opening(SharedMemory.createOrAttach({ name, byteLength: 513 }));
    expect(again.bytes).toEqual(new Uint8Array(513).fill(9));
    const error = thrownBy(() => SharedMemory.createOrAttach({ name, byteLength: 512 }));
    expect(error).toMatchObject({ code: 'ERR_RINGWAY_SHAPE' });
    expect(error.message).toMatch(/513.*512/);
    expect(thrownBy(() => SpscRing.attach(name)).message).toContain('SharedMemory');
    for (const one of [made, again]) one.close();
    opening(SharedMemory.attach(name)).bytes[0] = 10; // Nobody has it, and it is there.

    // Through one handle or the other, once.
    SharedMemory.unlink(name);
    expect(thrownBy(() => SharedMemory.unlink(name))).toMatchObject({ code: 'ENOENT' });
    expect(await rejectionOf(SharedMemory.whenCreated(name, { timeoutMs: 0 }))).toBeInstanceOf(TimeoutError);
  });

  it('keeps its contents for those who have it when it is unlinked, and whoever died', async () => {
    const name = freshName();
    const memory = opening(SharedMemory.create({ name, byteLength: 32 }));
    const remote = await startProcess();
    await remote.run(({ ringway, state }, name) => {
      const there = ringway.SharedMemory.attach(name);
      there.bytes[3] = 33;
      state.kept = there;
    }, name);
    await remote.kill('SIGKILL');
    expect(memory.bytes[3]).toBe(33);
    expect(existsSync(fileOf({ handle: { ...memory.handle, name } as SegmentHandle }))).toBe(true);
    const second = opening(SharedMemory.attach(name));
    SharedMemory.unlink(name);
    memory.bytes[4] = 44;
    expect([second.bytes[3], second.bytes[4]]).toEqual([33, 44]);
  });

  it('is neither truncated nor zeroed by those who attach, whatever they ask for', () => {
    const name = freshName();
    const memory = opening(SharedMemory.create({ name, byteLength: 10_000 }));
    memory.bytes.fill(0xa5);
    const file = fileOf({ handle: memory.handle });
    const { size, ino } = statSync(file);
    expect(thrownBy(() => SharedMemory.createOrAttach({ name, byteLength: 20_000 }))).toMatchObject({
      code: 'ERR_RINGWAY_SHAPE',
    });
    opening(SharedMemory.attach(name)).close();
    expect(statSync(file)).toMatchObject({ size, ino, mode: 0o100600 });
    expect(readFileSync(file).subarray(bodyOffsetFor(64))).toEqual(Buffer.alloc(10_000, 0xa5));
    SharedMemory.unlink(name);
  });

  it('is refused if its file was cut', () => {
    const name = freshName();
    const memory = SharedMemory.create({ name, byteLength: 10_000 });
    const file = fileOf({ handle: memory.handle });
    memory.close();
    const whole = readFileSync(file);
    for (const length of [0, 1, SegmentHeader.participants, bodyOffsetFor(64), whole.length - 1]) {
      truncateSync(file, length);
      expect(thrownBy(() => SharedMemory.attach(name))).toMatchObject({ code: 'ERR_RINGWAY_CORRUPT_SEGMENT' });
      writeFileSync(file, whole);
    }
    SharedMemory.unlink(name);
  });
});

describe('an unnamed block of memory', () => {
  it('is gone with its last handle', () => {
    const memory = opening(SharedMemory.create({ byteLength: 8 }));
    const again = opening(SharedMemory.attach(memory.handle));
    memory.close();
    expect(segmentFiles()).toHaveLength(1);
    again.close();
    expect(segmentFiles()).toEqual([]);
    expect(thrownBy(() => SharedMemory.attach(memory.handle))).toMatchObject({ code: 'ENOENT' });
  });

  it('stays as long as a view of it, and is closed with one warning when that is collected too', async () => {
    const end = await runScript(
      `const collect = async () => { for (let i = 0; i < 10; i++) { gc(); await new Promise((resolve) => setTimeout(resolve, 5)); } };
       const files = () => fs.readdirSync(process.env.RINGWAY_SHM_DIR).length;
       process.on('warning', (warning) => print(warning.code));
       // Not the block, nor its bytes: what somebody made of them.
       let views = [1, 2].map(() => ringway.SharedMemory.create({ byteLength: 64 }).bytes.subarray(8, 16).fill(7));
       await collect();
       print(files() + ' ' + views.join());
       views = undefined;
       while (files() > 0) await collect();
       print(files());`,
      { execArgv: ['--expose-gc'] },
    );
    expect(end, end.errors).toMatchObject({ code: 0 });
    expect(end.lines).toEqual([`2 ${Array(16).fill(7)}`, 'RINGWAY_NOT_CLOSED', '0']);
  });
});
