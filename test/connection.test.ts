// Connections: what one end sends the other receives, whole, once and in order, whatever carries it and whoever dies.
import {
  activeChildren,
  ClosedError,
  Connection,
  type ConnectionHandle,
  EndOfStreamError,
  MessageSizeError,
  Pipe,
  type PipeOptions,
  Process,
  TimeoutError,
} from 'ringway';
import { describe, expect, it } from 'vitest';
import { opening, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random } from './helpers/random.js';
import { type Context, startProcess, startThread } from './helpers/remote.js';
import { recordOf, rejectionOf, thrownBy } from './helpers/rings.js';
import type * as Tasks from './programs/connection-tasks.js';

useOwnDirectory();

type AnyConnection = Connection<unknown, unknown>;

const PROGRAM = new URL('../build/ts/test/programs/connection-tasks.js', import.meta.url).href;
const tasks = (await import(PROGRAM)) as typeof Tasks;

const TRANSPORTS = ['shm', 'sab', 'pipe', 'unix', 'tcp'] as const;
/** More than any of them holds. */
const LONG = 20_000_000;

// Until the child process is there; what it tells afterwards is not heard by a thread that blocks.
const turnsUntilStarted = async () => {
  while (activeChildren().length === 0) await new Promise(setImmediate);
};

const openPipe = (options: PipeOptions): [AnyConnection, AnyConnection] => {
  const [a, b] = Pipe<unknown, unknown>(options);
  return [opening(a), opening(b)];
};

for (const transport of TRANSPORTS) {
  const overRings = transport === 'shm' || transport === 'sab';
  const pipe = (options = {}) => openPipe({ transport, ...options });

  /** Runs a task at the other end, in another thread or process; its result. */
  const runThere = async (name: 'echo' | 'check', conn: AnyConnection, ...args: number[]): Promise<unknown> => {
    if (transport !== 'sab') return Process.run(tasks[name] as typeof tasks.check, [conn, ...args] as never);
    const thread = await startThread();
    return thread.run(
      async (context, program, name, handle, args) => {
        const conn = context.ringway.Connection.attach(handle);
        return ((await context.load(program)) as Record<string, (...args: unknown[]) => unknown>)[name]?.(
          conn,
          ...args,
        );
      },
      PROGRAM,
      name,
      conn.handle,
      args,
    );
  };

  describe(`a connection over ${transport}`, () => {
    it.runIf(transport === 'shm')('stays where it is when it is sent through itself', async () => {
      const [a, b] = pipe();
      expect(await rejectionOf(a.send(a))).toMatchObject({ code: 'ERR_RINGWAY_CLOSED' });
      expect(thrownBy(() => a.sendSync(a))).toMatchObject({ code: 'ERR_RINGWAY_CLOSED' });
      expect(thrownBy(() => a.trySend(a))).toMatchObject({ code: 'ERR_RINGWAY_CLOSED' });
      expect(a.closed).toBe(false);
      await a.send('still here');
      await b.send('so is this one');
      expect([await b.recv(), await a.recv()]).toEqual(['still here', 'so is this one']);
    });

    it("receives bytes into the caller's memory, messages of any length and no byte beyond them", async () => {
      const [a, b] = pipe({ capacity: 65536 });
      const bytes = new Uint8Array(1_000_003).map((_, i) => i % 251);
      const view = new Uint8Array(bytes.length + 20);
      for (const length of [0, 1, 1000, 60_000, bytes.length]) {
        view.fill(255);
        const received = b.recvBytesInto(view, { byteOffset: 7 });
        await a.sendBytes(bytes, { byteLength: length });
        expect(await received).toBe(length);
        expect(Buffer.compare(view.subarray(7, 7 + length), bytes.subarray(0, length))).toBe(0);
        expect(view.subarray(0, 7).every((byte) => byte === 255)).toBe(true);
        expect(view.subarray(7 + length).every((byte) => byte === 255)).toBe(true);
      }
    });

    it('keeps a message that began to arrive in a view when that operation is given up', async () => {
      const [a, b] = pipe({ capacity: 65536 });
      const bytes = new Uint8Array(LONG).map((_, i) => 1 + (i % 250));
      const view = new Uint8Array(bytes.length);
      for (const next of ['waits', 'comes later'] as const) {
        view.fill(0);
        const giveUp = new AbortController();
        const sent = a.sendBytes(bytes); // Its beginning, before it returns.
        const given = rejectionOf(b.recvBytesInto(view, { signal: giveUp.signal }));
        const inLine = next === 'waits' ? b.recvBytes() : undefined;
        expect([view[0], view.at(-1)]).toEqual([1, 0]);
        giveUp.abort(new Error('enough'));
        expect(await given).toMatchObject({ message: 'enough' });
        view.fill(0);
        const received = await (inLine ?? b.recvBytes());
        await sent;
        expect(Buffer.compare(received, bytes)).toBe(0);
        expect(view.every((byte) => byte === 0)).toBe(true);
      }
    });

    it.runIf(overRings)('gives the next operation memory of its own, also when it finds the rest at once', async () => {
      const [a, b] = pipe({ capacity: 65536 });
      const bytes = new Uint8Array(90_000).map((_, i) => 1 + (i % 250));
      const view = new Uint8Array(bytes.length);
      const giveUp = new AbortController();
      const sent = a.sendBytes(bytes);
      setImmediate(() => giveUp.abort()); // After the sender's look at the room, and before the receiver's.
      const given = rejectionOf(b.recvBytesInto(view, { signal: giveUp.signal }));
      const received = await b.recvBytes();
      await given;
      await sent;
      view.fill(0);
      expect(Buffer.compare(received, bytes)).toBe(0);
    });

    it('loses no message but the one whose view was transferred while it arrived', async () => {
      const [a, b] = pipe({ capacity: 65536 });
      const bytes = new Uint8Array(LONG).fill(7);
      const view = new Uint8Array(bytes.length);
      const sent = a.sendBytes(bytes);
      const given = rejectionOf(b.recvBytesInto(view));
      expect([view[0], view.at(-1)]).toEqual([7, 0]);
      const moved = structuredClone(view, { transfer: [view.buffer] });
      expect(await given).toMatchObject({
        code: 'ERR_RINGWAY_STATE',
        message: expect.stringMatching(/bytes of it are lost, the rest is dropped/),
      });
      const next = b.recv();
      await sent;
      await a.send('next');
      expect(await next).toBe('next');
      expect(moved.length).toBe(bytes.length);

      // Nothing of this one has come yet.
      const early = new Uint8Array(8);
      const failed = rejectionOf(b.recvBytesInto(early));
      structuredClone(early, { transfer: [early.buffer] });
      await a.sendBytes(Uint8Array.of(1, 2, 3));
      expect(await failed).toMatchObject({
        code: 'ERR_RINGWAY_STATE',
        message: expect.stringMatching(/it stays until it is received/),
      });
      expect([...(await b.recvBytes())]).toEqual([1, 2, 3]);
    });

    it('tells of a message that was lost with its view, whoever finds that out', async () => {
      const [a, b] = pipe({ capacity: 65536 });
      const bytes = new Uint8Array(LONG).fill(7);
      for (const givenUp of ['the next operation', 'its own'] as const) {
        const view = new Uint8Array(bytes.length);
        const giveUp = new AbortController();
        const own = givenUp === 'its own' ? { signal: giveUp.signal } : {};
        const sent = a.sendBytes(bytes);
        const given = rejectionOf(b.recvBytesInto(view, own));
        const behind = givenUp === 'its own' ? undefined : rejectionOf(b.recvBytes({ signal: giveUp.signal }));
        expect([view[0], view.at(-1)]).toEqual([7, 0]);
        giveUp.abort(new Error('enough'));
        structuredClone(view, { transfer: [view.buffer] });
        expect(await (behind ?? given)).toMatchObject({ message: 'enough' });
        const told = behind === undefined ? rejectionOf(b.recv()) : given;
        const next = told.then(() => b.recv());
        const sentNext = sent.then(() => a.send('next'));
        expect(await told).toMatchObject({
          code: 'ERR_RINGWAY_STATE',
          message: expect.stringMatching(/bytes of it are lost, the rest is dropped/),
        });
        expect(await next).toBe('next');
        await sentNext;
      }
    });

    it('fails to send what lost its memory meanwhile, bytes and values, and nothing else', async () => {
      const [a, b] = pipe({ capacity: 65536 });
      for (const send of ['sendBytes', 'send'] as const) {
        const bytes = new Uint8Array(LONG);
        const sent = rejectionOf(a[send](bytes));
        structuredClone(bytes, { transfer: [bytes.buffer] });
        const next = b.recv();
        expect(await sent).toMatchObject({
          code: 'ERR_RINGWAY_STATE',
          message: expect.stringMatching(`of ${LONG} bytes has lost its memory.*: it will not arrive`),
        });
        await a.send('next');
        expect(await next).toBe('next');
      }
    });

    it('carries values both ways, in order, in every form', async () => {
      const [a, b] = pipe();
      expect(a).toMatchObject({ transport, readable: true, writable: true, closed: false });
      for (const value of [null, undefined, 0, 'text', [1, 2.25, null], new Map([[1, new Set([2])]])]) {
        expect(await a.send(value)).toBeUndefined();
        expect(await b.recv()).toEqual(value);
        a.sendSync(value);
        expect(b.recvSync()).toEqual(value);
        expect(b.trySend(value)).toBe(true);
        expect(a.tryRecv()).toEqual({ ok: true, value });
      }
      expect(a.tryRecv()).toEqual({ ok: false });
      for (let i = 0; i < 100; i++) void a.send(i);
      for (let i = 0; i < 100; i++) expect(await b.recv()).toBe(i);
    });

    it('carries bytes: exactly the part that was named, and empty messages', async () => {
      const [a, b] = pipe();
      const bytes = recordOf(100);
      await a.sendBytes(bytes);
      a.sendBytesSync(bytes, { byteOffset: 90 });
      expect(a.trySendBytes(bytes, { byteOffset: 5, byteLength: 7 })).toBe(true);
      await a.sendBytes(bytes, { byteLength: 0 });
      await a.sendBytes(new Float64Array([1.5, 2.5]), { byteOffset: 8 });
      expect(await b.recvBytes()).toEqual(bytes);
      expect(b.recvBytesSync()).toEqual(bytes.subarray(90));
      expect(b.tryRecvBytes()).toEqual(bytes.subarray(5, 12));
      expect(await b.recvBytes()).toEqual(new Uint8Array(0));
      expect(new Float64Array((await b.recvBytes()).buffer)).toEqual(new Float64Array([2.5]));
      expect(b.tryRecvBytes()).toBeNull();
      for (const options of [
        { byteOffset: -1 },
        { byteOffset: 101 },
        { byteOffset: 50, byteLength: 51 },
        { byteLength: -1 },
      ]) {
        expect(thrownBy(() => a.sendBytesSync(bytes, options))).toBeInstanceOf(RangeError);
        expect(await rejectionOf(a.sendBytes(bytes, options))).toBeInstanceOf(RangeError);
      }
      expect(thrownBy(() => a.sendBytesSync('text' as never))).toBeInstanceOf(TypeError);
      expect(b.tryRecv()).toEqual({ ok: false });
    });

    it('copies into a view at an offset and leaves the rest alone; what does not fit stays', async () => {
      const [a, b] = pipe();
      const view = new Uint8Array(16).fill(9);
      await a.sendBytes(Uint8Array.of(1, 2, 3));
      expect(await b.recvBytesInto(view, { byteOffset: 4 })).toBe(3);
      expect([...view.subarray(0, 8)]).toEqual([9, 9, 9, 9, 1, 2, 3, 9]);
      await a.sendBytes(recordOf(17));
      const tooLong = await rejectionOf(b.recvBytesInto(view));
      expect(tooLong).toBeInstanceOf(MessageSizeError);
      expect(tooLong).toMatchObject({ byteLength: 17, limit: 16 });
      expect(thrownBy(() => b.recvBytesIntoSync(view, { byteOffset: 17 }))).toBeInstanceOf(RangeError);
      expect(await rejectionOf(b.recvBytes({ maxByteLength: 16 }))).toBeInstanceOf(MessageSizeError);
      expect(b.recvBytesIntoSync(new Uint8Array(17))).toBe(17);
    });

    it('does not merge messages, and polls without consuming, also empty ones', async () => {
      const [a, b] = pipe();
      expect([await b.poll(), b.pollSync(), await b.poll({ timeoutMs: -5 })]).toEqual([false, false, false]);
      const texts = ['hello', '', 'a', 'b', '', 'bye', '', 'lop'];
      for (const text of texts) await a.sendBytes(Buffer.from(text));
      for (const text of texts) {
        expect([await b.poll(), b.pollSync({ timeoutMs: 1 })]).toEqual([true, true]);
        expect(Buffer.from(await b.recvBytes()).toString()).toBe(text);
      }
      const waiting = b.poll({ timeoutMs: Infinity });
      await a.send('now');
      expect(await waiting).toBe(true);
      expect(await b.recv()).toBe('now');
    });

    it('tells values from bytes', async () => {
      const [a, b] = pipe();
      await a.sendBytes(Uint8Array.of(7));
      expect(await b.recv()).toEqual(Uint8Array.of(7));
      await a.send('value');
      expect(await rejectionOf(b.recvBytes())).toMatchObject({ code: 'ERR_RINGWAY_STATE' });
      expect(thrownBy(() => b.tryBorrow())).toMatchObject({ code: 'ERR_RINGWAY_STATE' });
      expect(b.recvSync()).toBe('value');
    });

    it('lends bytes where they lie, one message at a time', async () => {
      const [a, b] = pipe({ capacity: 4096 });
      expect(b.tryBorrow()).toBeNull();
      await a.sendBytes(recordOf(64));
      await a.sendBytes(recordOf(65));
      const lent = await b.borrow();
      expect(lent.bytes).toEqual(recordOf(64));
      expect(thrownBy(() => b.tryBorrow())).toMatchObject({ code: 'ERR_RINGWAY_BORROWED' });
      lent.release();
      expect(thrownBy(() => lent.bytes)).toBeInstanceOf(ClosedError);
      expect(thrownBy(() => lent.release())).toMatchObject({ code: 'ERR_RINGWAY_STATE' });
      const next = b.borrowSync();
      expect(next.bytes).toEqual(recordOf(65));
      next[Symbol.dispose]();
      const sending = a.sendBytes(recordOf(100_000)); // In several frames.
      const long = await b.borrow();
      await sending;
      expect(long.bytes).toEqual(recordOf(100_000));
      long.release();
      expect(thrownBy(() => long.bytes)).toBeInstanceOf(ClosedError);
    });

    it('carries messages that are longer than its capacity', async () => {
      const [a, b] = pipe({ capacity: 4096 });
      const random = new Random(1);
      for (const byteLength of [2000, 2032, 2033, 2040, 2041, 4096, 5000, 65_537, 3_000_000]) {
        const bytes = recordOf(byteLength, random.below(200));
        const sending = a.sendBytes(bytes);
        expect(Buffer.compare(await b.recvBytes(), bytes)).toBe(0);
        await sending;
        const value = {
          byteLength,
          array: new Float64Array(byteLength >> 3).fill(byteLength),
          text: 'é'.repeat(byteLength >> 2),
        };
        const sendingValue = a.send(value);
        expect(await b.recv()).toEqual(value);
        await sendingValue;
      }
      const tooLong = thrownBy(() => a.trySendBytes(recordOf(65_536)));
      expect(tooLong).toBeInstanceOf(MessageSizeError);
      expect(tooLong.message).toContain('65536');
    });

    it('keeps the order of sends and receives that wait, short and long ones', async () => {
      const [a, b] = pipe({ capacity: 4096 });
      const sizes = Array.from({ length: 60 }, (_, i) => (i % 7 === 3 ? (overRings ? 20_000 : 400_000) + i : 100 + i));
      const sending = sizes.map((size) => a.sendBytes(recordOf(size)));
      if (overRings) expect(a.trySend('later')).toBe(false); // Others wait.
      const received = sizes.map(() => b.recvBytes());
      for (const [i, size] of sizes.entries()) expect((await received[i])?.length).toBe(size);
      await Promise.all(sending);
    });

    it('sends the value as it was when send() was called', async () => {
      const [a, b] = pipe({ capacity: 4096 });
      const value = { text: 'old', bytes: new Uint8Array(1500).fill(1) };
      const sending = [a.send(value), a.send(value), a.send(value), a.send(value)];
      value.text = 'new';
      value.bytes.fill(2);
      for (let i = 0; i < 4; i++) expect(await b.recv()).toEqual({ text: 'old', bytes: new Uint8Array(1500).fill(1) });
      await Promise.all(sending);
    });

    it('has no effect when an operation times out or is aborted', async () => {
      const [a, b] = pipe({ capacity: 4096 });
      expect(await rejectionOf(b.recv({ timeoutMs: 1 }))).toBeInstanceOf(TimeoutError);
      const aborting = new AbortController();
      const aborted = b.recv({ signal: aborting.signal });
      const served = b.recv();
      aborting.abort(new Error('enough'));
      expect((await rejectionOf(aborted)).message).toBe('enough');
      await a.send('for the one that waits');
      expect(await served).toBe('for the one that waits');
      expect(await rejectionOf(b.recv({ timeoutMs: Number.NaN }))).toBeInstanceOf(RangeError);
      expect(
        await rejectionOf(
          b.recv({ signal: AbortSignal.abort(7) }).catch((reason) => {
            throw new Error(`${reason}`);
          }),
        ),
      ).toMatchObject({ message: '7' });
      const long = a.sendBytes(new Uint8Array(LONG), { timeoutMs: 1 }); // Nobody reads: a part of it is there.
      expect(await rejectionOf(long)).toBeInstanceOf(TimeoutError);
      const next = a.send('next');
      expect(await b.recv()).toBe('next'); // Of the long one nothing arrives.
      await next;
      const filled = [];
      while (a.trySendBytes(recordOf(500))) filled.push(1);
      expect(await rejectionOf(a.sendBytes(recordOf(500), { timeoutMs: 1 }))).toBeInstanceOf(TimeoutError);
      for (const _ of filled) expect((await b.recvBytes()).length).toBe(500);
      expect(b.tryRecv()).toEqual({ ok: false });
    });

    it('is received up to its end when the other end is closed; sending then is EPIPE', async () => {
      const [a, b] = pipe();
      await a.send(1);
      a.sendSync(2);
      a.close();
      a.close();
      expect([a.closed, b.closed]).toEqual([true, false]);
      expect(await b.recv()).toBe(1);
      expect(b.tryRecv()).toEqual({ ok: true, value: 2 });
      expect([await b.poll(), b.pollSync()]).toEqual([true, true]);
      expect(await rejectionOf(b.recv())).toBeInstanceOf(EndOfStreamError);
      expect(thrownBy(() => b.recvSync())).toBeInstanceOf(EndOfStreamError);
      expect(await rejectionOf(b.borrow())).toBeInstanceOf(EndOfStreamError);
      expect(await rejectionOf(b.send(3))).toMatchObject({ code: 'EPIPE' });
      expect(thrownBy(() => b.sendSync(3))).toMatchObject({ code: 'EPIPE' });
      expect(thrownBy(() => b.trySend(3))).toMatchObject({ code: 'EPIPE' });
      const seen = [];
      for await (const value of b) seen.push(value);
      expect(seen).toEqual([]);
    });

    it('ends what waits at the other end when it is closed, and rejects its own with ClosedError', async () => {
      const [a, b] = pipe({ capacity: 4096 });
      const receiving = rejectionOf(b.recv());
      const long = rejectionOf(b.sendBytes(new Uint8Array(LONG)));
      const mine = [a.recv(), a.recvBytes(), a.poll({ timeoutMs: Infinity })].map(rejectionOf);
      a.close();
      for (const operation of mine) expect(await operation).toBeInstanceOf(ClosedError);
      expect(await receiving).toBeInstanceOf(EndOfStreamError);
      expect(await long).toMatchObject({ code: 'EPIPE' });
      for (const operation of [
        () => a.tryRecv(),
        () => a.trySend(1),
        () => a.recvSync(),
        () => a.pollSync(),
        () => a.handle,
      ]) {
        expect(thrownBy(operation)).toBeInstanceOf(ClosedError);
      }
    });

    it('goes one way where it was made to', async () => {
      const [receiving, sending] = Pipe<string>({ transport, duplex: false });
      opening(receiving);
      opening(sending);
      expect([receiving.readable, receiving.writable, sending.readable, sending.writable]).toEqual([
        true,
        false,
        false,
        true,
      ]);
      await sending.send('x');
      expect(await receiving.recv()).toBe('x');
      for (const operation of [
        () => receiving.sendSync('x' as never),
        () => sending.recvSync(),
        () => sending.tryRecv(),
        () => sending.pollSync(),
      ]) {
        expect(thrownBy(operation)).toMatchObject({ code: 'ERR_RINGWAY_STATE' });
      }
      for (const operation of [receiving.send('x' as never), sending.recv(), sending.poll()]) {
        expect(await rejectionOf(operation)).toMatchObject({ code: 'ERR_RINGWAY_STATE' });
      }
      receiving.close();
      // A TCP connection tells of it after the first message.
      if (transport === 'tcp')
        while (
          await sending.send('x').then(
            () => true,
            () => false,
          )
        )
          await new Promise(setImmediate);
      expect(await rejectionOf(sending.send('x'))).toMatchObject({ code: 'EPIPE' });
    });

    it('refuses messages that are longer than agreed, before memory is taken for them; they stay', async () => {
      const [a, b] = pipe({ capacity: 4096, maxMessageByteLength: 5000 });
      const sending = a.sendBytes(recordOf(5001), { timeoutMs: 60_000 });
      expect(await rejectionOf(b.recvBytes())).toMatchObject({
        code: 'ERR_RINGWAY_MESSAGE_SIZE',
        byteLength: 5001,
        limit: 5000,
      });
      expect(await rejectionOf(b.recvBytesInto(new Uint8Array(6000)))).toBeInstanceOf(MessageSizeError);
      expect(await b.poll()).toBe(true);
      b.close();
      if (overRings) expect(await rejectionOf(sending)).toMatchObject({ code: 'EPIPE' });
      else await sending; // The kernel had room for it.
    });

    it('refuses options that make no sense', () => {
      for (const options of [
        { capacity: 0 },
        { capacity: 1.5 },
        { transport: 'smoke' },
        { maxMessageByteLength: -1 },
      ]) {
        expect(thrownBy(() => Pipe(options as never))).toBeInstanceOf(RangeError);
      }
      for (const options of [null, 7, { duplex: 1 }, { capacity: '1' }]) {
        expect(thrownBy(() => Pipe(options as never))).toBeInstanceOf(TypeError);
      }
      for (const handle of [null, 7, 'name', { kind: 'Lock' }]) {
        expect(thrownBy(() => Connection.attach(handle as never))).toBeInstanceOf(TypeError);
      }
    });

    it('blocks no thread that could only be ended by itself', () => {
      const [a] = pipe();
      expect(thrownBy(() => a.recvSync())).toMatchObject({ code: 'ERR_RINGWAY_WOULD_DEADLOCK' });
    });

    it('speaks with the other side, async and Sync', async () => {
      const [a, b] = pipe({ capacity: 65_536 });
      const ended = runThere('echo', b);
      const values = [[1, 2.25, null], 'text', 7];
      for (const value of values) {
        await a.send(value);
        expect(await a.recv()).toEqual(value);
      }
      const long = recordOf(2 ** 24);
      const sending = a.send(long);
      expect(Buffer.compare((await a.recv()) as Uint8Array, long)).toBe(0);
      await sending;
      for (const value of values) {
        a.sendSync(value);
        expect(a.recvSync()).toEqual(value);
      }
      a.close();
      await ended;
    });

    it('loses and reorders nothing: thousands of messages of every size between two sides', async () => {
      announceSeed(`messages over ${transport}`);
      const [a, b] = pipe({ capacity: 16_384 });
      const messages = 10_000;
      const checked = runThere('check', b, messages);
      const random = new Random();
      let total = 0;
      for (let i = 0; i < messages; i++) {
        const byteLength = random.below(100) === 0 ? random.below(60_000) : random.below(300);
        total += byteLength;
        const value = { number: i, bytes: new Uint8Array(byteLength).fill(i & 255) };
        if (random.below(20) === 0 && i > 100) a.sendSync(value);
        else await a.send(value);
      }
      expect(await checked).toBe(total);
    });

    if (!overRings) return;

    it('moves: the handle gives the end away, once, and what was sent before is not lost', async () => {
      const [a, b] = pipe();
      await a.send('before');
      await b.send('back');
      const { handle } = a;
      expect(a.closed).toBe(true);
      expect(thrownBy(() => a.trySend(1))).toBeInstanceOf(ClosedError);
      a.close();
      expect([await b.poll(), await b.recv()]).toEqual([true, 'before']);
      expect(await b.poll()).toBe(false); // In flight it is not gone.
      const moved = opening(Connection.attach<unknown>(handle));
      expect(await moved.recv()).toBe('back');
      await moved.send('after');
      expect(await b.recv()).toBe('after');
      expect(thrownBy(() => Connection.attach(handle))).toMatchObject({ code: 'ERR_RINGWAY_STATE' });
      moved.close();
      expect(await rejectionOf(b.recv())).toBeInstanceOf(EndOfStreamError);
    });

    it('does not move in the middle of an operation', async () => {
      const [a, b] = pipe();
      const pending = a.recv();
      expect(thrownBy(() => a.handle)).toMatchObject({ code: 'ERR_RINGWAY_STATE' });
      await b.send(1);
      await pending;
      expect(opening(Connection.attach(a.handle)).closed).toBe(false);
    });
  });
}

for (const transport of ['shm', 'pipe', 'unix', 'tcp'] as const) {
  const pipe = () => openPipe({ transport, capacity: 65_536 });

  describe(`an end of a connection over ${transport} whose process dies`, () => {
    it('is the end of the stream after everything that was sent, and EPIPE', async () => {
      const [a, b] = pipe();
      const there = await Process.spawn(tasks.sendNumbers, [b, 100]);
      for (let i = 0; i < 50; i++) expect(await a.recv()).toBe(i);
      for (let i = 50; i < 100; i++) expect(a.recvSync()).toBe(i);
      there.kill('SIGKILL');
      await there.join();
      expect(await rejectionOf(a.recv())).toBeInstanceOf(EndOfStreamError);
      expect(await a.poll()).toBe(true);
      expect(await rejectionOf(a.send(1))).toMatchObject({ code: 'EPIPE' });
    });

    it('leaves what it had sent, though nobody had received it', async () => {
      const [a, b] = pipe();
      const there = await Process.spawn(tasks.sendNumbers, [b, 100]);
      expect(await a.recv()).toBe(0);
      await a.send('all sent'); // It ends then, by itself; the rest is in the channel.
      await there.join();
      for (let i = 1; i < 100; i++) expect(await a.recv()).toBe(i);
      expect(await rejectionOf(a.recv())).toBeInstanceOf(EndOfStreamError);
    });

    it('ends those who wait, in both directions, async and Sync', async () => {
      for (const wait of ['recv', 'recvSync', 'send', 'sendSync'] as const) {
        const [a, b] = pipe();
        const there = await Process.spawn(tasks.idle, [b]);
        expect(await a.recv()).toBe('here');
        const operation = {
          recv: () => a.recv(),
          recvSync: () => a.recvSync(),
          send: () => a.sendBytes(new Uint8Array(LONG)),
          sendSync: () => a.sendBytesSync(new Uint8Array(LONG)),
        }[wait];
        const started = wait.endsWith('Sync') ? undefined : (operation() as Promise<unknown>);
        there.kill('SIGKILL');
        const error = started === undefined ? thrownBy(operation) : await rejectionOf(started);
        expect(error).toMatchObject({ code: wait.startsWith('recv') ? 'ERR_RINGWAY_END' : 'EPIPE' });
        await there.join();
      }
    });

    it('in the middle of a long message: that one never arrives, those before it do', async () => {
      const [a, b] = pipe();
      const there = await Process.spawn(tasks.sendInPart, [b]);
      expect(await a.recv()).toBe('whole');
      there.kill('SIGKILL');
      expect(await rejectionOf(a.recv())).toBeInstanceOf(EndOfStreamError);
      await there.join();
    });
  });
}

it('waits for an end that is on its way to a process, and does not take it for its own', async () => {
  const [a, b] = openPipe({ capacity: 4096 });
  const running = Process.run(tasks.echo, [b]); // The end is still here, though nobody here can use it.
  await turnsUntilStarted();
  a.sendBytesSync(new Uint8Array(100_000));
  expect((a.recvSync() as Uint8Array).length).toBe(100_000);
  a.close();
  await running;
});

describe('an end of a connection in another process', () => {
  interface Kept {
    conn: AnyConnection;
  }
  const attachThere = (context: Context, handle: ConnectionHandle) => {
    context.state.conn = context.ringway.Connection.attach(handle);
  };

  it('while an end is in flight: the other end learns it, and attaching says who sent it', async () => {
    const [a, b] = openPipe({});
    const there = await startProcess();
    await there.run(attachThere, b.handle);
    const handle = await there.run((context) => (context.state as unknown as Kept).conn.handle);
    expect(await a.poll()).toBe(false);
    const { pid } = there;
    await there.kill('SIGKILL');
    expect(await rejectionOf(a.recv())).toBeInstanceOf(EndOfStreamError);
    const error = thrownBy(() => Connection.attach(handle));
    expect(error).toMatchObject({ code: 'ENOENT' });
    expect(error.message).toContain(String(pid));
  });

  it('leaves the stopped alone: SIGSTOP is not death', async () => {
    const [a, b] = openPipe({});
    const there = await startProcess();
    await there.run(attachThere, b.handle);
    there.child.kill('SIGSTOP');
    expect(await rejectionOf(a.recv({ timeoutMs: 1500 }))).toBeInstanceOf(TimeoutError);
    there.child.kill('SIGCONT');
    await there.run(async (context) => {
      const { conn } = context.state as unknown as Kept;
      await conn.send('still here');
    });
    expect(await a.recv()).toBe('still here');
  });
});
