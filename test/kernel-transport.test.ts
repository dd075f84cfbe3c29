// Frames over pipes, unix sockets and TCP: whole or not at all, in order, with back-pressure, whoever dies.
import { readdirSync, writeSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loadNative } from '../src/native.js';
import type { FrameReceiver, FrameSender } from '../src/transport/frames.js';
import { KERNEL_KINDS, KernelChannel, type KernelDescriptors, type KernelKind } from '../src/transport/kernel.js';
import { FRAME_HEADER, MAX_FRAME_BYTE_LENGTH } from '../src/transport/kernel-sender.js';
import { NOT_YET } from '../src/wait/condition.js';
import { opening, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random } from './helpers/random.js';
import { type Context, type RemoteProcess, startProcess, startThread, WATCHDOG_MS } from './helpers/remote.js';
import { recordOf, rejectionOf, thrownBy } from './helpers/rings.js';
import { runScript, startScript } from './helpers/script.js';

useOwnDirectory();

const SIZES = [0, 1, 2, 3, 4, 5, 63, 64, 4092, 4096, 32768, 65531, MAX_FRAME_BYTE_LENGTH];

type Internals = typeof import('../src/transport/kernel.js');
interface Full {
  sender: FrameSender;
  receiver: FrameReceiver;
}

const duplicate = (fd?: number) => loadNative().native?.adoptDescriptor(fd as number, true) as number;
const duplicates = ({ kind, readFd, writeFd }: KernelDescriptors) => ({
  kind,
  readFd: duplicate(readFd),
  writeFd: duplicate(writeFd),
});
/** A way to this very process. */
const THERE = { reach: 'machine', label: 'a test', passDescriptor: duplicate } as const;
function closeDescriptors(data: unknown): void {
  const { readFd, writeFd } = data as { readFd: number; writeFd: number };
  for (const fd of new Set([readFd, writeFd])) loadNative().native?.closeDescriptor(fd);
}

const copyOf = (bytes: Uint8Array) => (memory: Uint8Array, at: number, length: number) =>
  memory.set(bytes.subarray(0, length), at);
const writing = (sender: FrameSender, bytes: Uint8Array) => () =>
  sender.tryWrite(bytes.length, copyOf(bytes)) ? undefined : NOT_YET;
const send = (sender: FrameSender, bytes: Uint8Array, options = {}): Promise<void> =>
  sender.until<void>('send', options, writing(sender, bytes));
const sendSync = (sender: FrameSender, bytes: Uint8Array, options = {}): void =>
  sender.untilSync<void>('sendSync', options, writing(sender, bytes));
const trySend = (sender: FrameSender, bytes: Uint8Array) => sender.tryWrite(bytes.length, copyOf(bytes));

const isThere = (receiver: FrameReceiver) => () => (receiver.tryRead(() => false) ? undefined : NOT_YET);
const ready = (receiver: FrameReceiver, options = {}): Promise<void> =>
  receiver.until<void>('ready', options, isThere(receiver));
const readySync = (receiver: FrameReceiver): void =>
  receiver.untilSync<void>('readySync', { timeoutMs: WATCHDOG_MS / 2 }, isThere(receiver));

function take(receiver: FrameReceiver): Uint8Array | undefined {
  let taken: Uint8Array | undefined;
  receiver.tryRead((memory, at, length) => {
    taken = memory.slice(at, at + length);
    return true;
  });
  return taken;
}
/** Quicker than toEqual() by far. */
function expectBytes(found: Uint8Array | undefined, wanted: Uint8Array): void {
  if (found === undefined || Buffer.compare(found, wanted) !== 0) expect(found).toEqual(wanted);
}
async function recv(receiver: FrameReceiver, options = {}): Promise<Uint8Array> {
  await ready(receiver, options);
  return take(receiver) as Uint8Array;
}
function recvSync(receiver: FrameReceiver): Uint8Array {
  readySync(receiver);
  return take(receiver) as Uint8Array;
}

function closing(channel: KernelChannel): KernelChannel & Full {
  opening({
    close() {
      channel.sender?.close();
      channel.receiver?.close();
    },
  });
  return channel as KernelChannel & Full;
}
const pairOf = (kind: KernelKind, duplex = true) => KernelChannel.pair(kind, duplex).map(closing) as [Ours, Ours];
type Ours = KernelChannel & Full;

/** Gives an end to a new process, where it is `state.channel`. */
async function inProcess(channel: KernelChannel): Promise<RemoteProcess> {
  const fds: number[] = [];
  const { data, sent } = channel.depart({
    reach: 'machine',
    label: 'a test',
    passDescriptor: (fd) => 3 + fds.push(fd),
  });
  const child = await startProcess({ stdio: ['ignore', 'pipe', 'pipe', 'ipc', ...fds] });
  sent();
  await child.run(async ({ internal, state }: Context, data) => {
    const { KernelChannel } = (await internal('transport/kernel.js')) as Internals;
    const { NOT_YET } = (await internal('wait/condition.js')) as { NOT_YET: never };
    const channel = KernelChannel.arrive(data) as Full;
    const { sender, receiver } = channel;
    state.descriptors = data;
    state.channel = channel;
    state.send = (size: number, byte: number) =>
      sender.untilSync<void>('send', {}, () =>
        sender.tryWrite(size, (memory, at) => memory.fill(byte, at, at + size)) ? undefined : NOT_YET,
      );
    state.ready = () =>
      receiver.untilSync<void>('ready', {}, () => (receiver.tryRead(() => false) ? undefined : NOT_YET));
    state.whenReady = () =>
      receiver.until<void>('ready', {}, () => (receiver.tryRead(() => false) ? undefined : NOT_YET));
    state.write = (bytes: Uint8Array) =>
      sender.untilSync<void>('write', {}, () =>
        sender.tryWrite(bytes.length, (memory, at) => memory.set(bytes, at)) ? undefined : NOT_YET,
      );
  }, data);
  return child;
}

/** An end as bare descriptors, for those who do not keep to the format. */
function bare(channel: KernelChannel): {
  descriptors: KernelDescriptors;
  write: (bytes: Uint8Array) => void;
  close: () => void;
} {
  const { data, sent } = channel.depart({ reach: 'machine', label: 'a test', passDescriptor: (fd) => fd });
  const descriptors = data as KernelDescriptors;
  opening({ close: () => sent() });
  return {
    descriptors,
    write: (bytes) => {
      for (let at = 0; at < bytes.length; ) at += writeSync(descriptors.writeFd as number, bytes, at);
    },
    close: () => sent(),
  };
}

function framed(bytes: Uint8Array): Uint8Array {
  const frame = new Uint8Array(FRAME_HEADER + bytes.length);
  new DataView(frame.buffer).setUint32(0, bytes.length, true);
  frame.set(bytes, FRAME_HEADER);
  return frame;
}

/** For whole programs. */
const PRELUDE = `
  const { KernelChannel } = await import('#ringway/transport/kernel.js');
  const { NOT_YET } = await import('#ringway/wait/condition.js');
  const there = (receiver) => () => receiver.tryRead(() => false) ? undefined : NOT_YET;
  const ready = (receiver) => receiver.until('ready', {}, there(receiver));
  const readySync = (receiver) => receiver.untilSync('ready', {}, there(receiver));
  const writing = (sender, size) => () =>
    sender.tryWrite(size, (memory, at) => memory.fill(1, at, at + size)) ? undefined : NOT_YET;
  const send = (sender, size) => sender.until('send', {}, writing(sender, size));`;

for (const kind of KERNEL_KINDS) {
  describe(`frames over ${kind}`, () => {
    it('leaves no descriptors behind', async () => {
      const count = () => readdirSync('/proc/self/fd').length;
      const use = async () => {
        for (let i = 0; i < 20; i++) {
          const [a, b] = pairOf(kind, i % 2 === 0);
          const waiting = rejectionOf(ready(a.receiver));
          b.sender.close();
          await waiting;
          for (const end of [a.sender, a.receiver, b.receiver]) end?.close();
        }
      };
      await use();
      const before = count();
      await use();
      expect(count()).toBe(before);
    });

    it('carries every length in both directions, in order, each once', async () => {
      const [a, b] = pairOf(kind);
      for (const [from, to] of [
        [a, b],
        [b, a],
      ] as const) {
        const sent = SIZES.map((size, number) => recordOf(size, number));
        const sending = Promise.all(sent.map((bytes) => send(from.sender, bytes)));
        for (const bytes of sent) expectBytes(await recv(to.receiver), bytes);
        await sending;
        expect(take(to.receiver)).toBeUndefined();
      }
    });

    it('refuses a frame that is too long before anything is written', async () => {
      const [a, b] = pairOf(kind);
      const long = new Uint8Array(MAX_FRAME_BYTE_LENGTH + 1);
      const expected = { code: 'ERR_RINGWAY_MESSAGE_SIZE', byteLength: long.length, limit: MAX_FRAME_BYTE_LENGTH };
      expect(thrownBy(() => trySend(a.sender, long))).toMatchObject(expected);
      expect(await rejectionOf(send(a.sender, long))).toMatchObject(expected);
      expect(thrownBy(() => sendSync(a.sender, long))).toMatchObject(expected);
      await send(a.sender, recordOf(3));
      expectBytes(await recv(b.receiver), recordOf(3));
    });

    it('blocks the thread in both directions, across processes, at any length', async () => {
      announceSeed(`lengths over ${kind}`);
      const random = new Random();
      const [ours, theirs] = pairOf(kind);
      const child = await inProcess(theirs);
      const { result } = await child.start(({ state }: Context) => {
        const { receiver } = state.channel as Full;
        for (let count = 0; ; count++) {
          try {
            (state.ready as () => void)();
          } catch (error) {
            return [count, (error as { code: string }).code];
          }
          let bytes = new Uint8Array();
          receiver.tryRead((memory, at, length) => {
            bytes = memory.slice(at, at + length);
            return true;
          });
          (state.write as (bytes: Uint8Array) => void)(bytes);
        }
      });
      for (let round = 0; round < 200; round++) {
        const size = round < SIZES.length ? (SIZES[round] as number) : random.below(random.pick([10, 5000, 65533]));
        const bytes = recordOf(size, round);
        sendSync(ours.sender, bytes);
        expectBytes(recvSync(ours.receiver), bytes);
      }
      ours.sender.close();
      expect(await result).toEqual([200, 'ERR_RINGWAY_END']);
    });

    it('finds the frames whatever pieces they come in', async () => {
      announceSeed(`pieces over ${kind}`);
      const random = new Random();
      const [a, b] = pairOf(kind);
      const raw = bare(a);
      const sent = Array.from({ length: 60 }, (_, number) =>
        recordOf(random.below(number % 9 === 0 ? 20_000 : 40), number),
      );
      const stream = Buffer.concat(sent.map(framed));
      let at = 0;
      for (const bytes of sent) {
        for (;;) {
          const there = take(b.receiver);
          if (there !== undefined) {
            expectBytes(there, bytes);
            break;
          }
          const piece = 1 + random.below(random.pick([3, 100, 5000]));
          raw.write(stream.subarray(at, at + piece));
          at += piece;
          if (kind === 'tcp') await new Promise(setImmediate); // The kernel hands it over when it likes.
        }
      }
      expect(at).toBeGreaterThanOrEqual(stream.length);
    });

    it('shows a frame in place until its reader is done with it, and lends one out at a time', async () => {
      const [a, b] = pairOf(kind);
      for (const size of [5, 60_000, 60_001, 7]) {
        void send(a.sender, recordOf(size)).catch(() => {});
        await ready(b.receiver);
        expect(b.receiver.tryRead((_memory, _at, length) => length !== size)).toBe(true); // Not done: it comes again.
        expect(thrownBy(() => b.receiver.tryRead(() => b.receiver.tryBorrow() === null))).toMatchObject({
          code: 'ERR_RINGWAY_BORROWED',
        });
        const loan = b.receiver.tryBorrow();
        if (loan === null) throw new Error('it was there');
        expectBytes(loan.bytes, recordOf(size));
        expect(thrownBy(() => take(b.receiver)).code).toBe('ERR_RINGWAY_BORROWED');
        expect((await rejectionOf(ready(b.receiver))).code).toBe('ERR_RINGWAY_BORROWED');
        loan.release();
        expect(thrownBy(() => loan.bytes).code).toBe('ERR_RINGWAY_CLOSED');
        expect(thrownBy(() => loan.release()).code).toBe('ERR_RINGWAY_STATE');
      }
      await send(a.sender, recordOf(9));
      await ready(b.receiver);
      const loan = b.receiver.tryBorrow();
      b.receiver.close();
      expect(thrownBy(() => loan?.bytes).code).toBe('ERR_RINGWAY_CLOSED');
    });

    it('stops a writer that nobody reads after a bounded number of bytes, and loses none of them', async () => {
      const [a, b] = pairOf(kind);
      const sent: Uint8Array[] = [];
      // What is on its way between two TCP sockets counts as room until it has arrived.
      for (let idle = 0; idle < 20; ) {
        const bytes = recordOf(50_000, sent.length);
        if (trySend(a.sender, bytes)) {
          sent.push(bytes);
          idle = 0;
        } else {
          idle++;
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
        expect(sent.length * 50_000).toBeLessThan(64 * 2 ** 20);
      }
      // Neither has an effect: nothing of it has begun.
      expect((await rejectionOf(send(a.sender, recordOf(1), { timeoutMs: 10 }))).code).toBe('ERR_RINGWAY_TIMEOUT');
      expect((await rejectionOf(send(a.sender, recordOf(1), { timeoutMs: 0 }))).code).toBe('ERR_RINGWAY_TIMEOUT');
      expect(thrownBy(() => sendSync(a.sender, recordOf(1), { timeoutMs: 0 })).code).toBe('ERR_RINGWAY_TIMEOUT');
      expect(thrownBy(() => sendSync(a.sender, recordOf(1))).code).toBe('ERR_RINGWAY_WOULD_DEADLOCK');
      const abort = new AbortController();
      const aborted = rejectionOf(send(a.sender, recordOf(1), { signal: abort.signal }));
      const last = send(a.sender, recordOf(77));
      abort.abort(new Error('given up'));
      expect((await aborted).message).toBe('given up');
      for (const bytes of [...sent, recordOf(77)]) expectBytes(await recv(b.receiver), bytes);
      await last;
      a.sender.close();
      expect((await rejectionOf(ready(b.receiver))).code).toBe('ERR_RINGWAY_END');
    });

    it('sends what has begun, though the one who waits for it gives up', async () => {
      const [a, b] = pairOf(kind);
      let count = 0;
      // A frame begins as soon as the one before it has gone out, so some of these begin and do not get through.
      for (;;) {
        const outcome = await send(a.sender, recordOf(60_000, count), { timeoutMs: 2 }).then(
          () => 'sent',
          (error) => error.code,
        );
        if (outcome !== 'sent') break;
        count++;
      }
      for (let number = 0; number < count; number++) expectBytes(await recv(b.receiver), recordOf(60_000, number));
      await send(a.sender, recordOf(3));
      expectBytes(await recv(b.receiver), recordOf(3));
    });

    it('keeps the order of writes of all forms', async () => {
      const [ours, theirs] = pairOf(kind);
      const child = await inProcess(theirs);
      let next = 0;
      const number = () => {
        const bytes = new Uint8Array(30_000);
        new DataView(bytes.buffer).setUint32(0, next++);
        return bytes;
      };
      const waits = Array.from({ length: 20 }, () => send(ours.sender, number()));
      const { result } = await child.start(async ({ state }: Context) => {
        const { receiver } = state.channel as Full;
        const numbers: number[] = [];
        for (;;) {
          try {
            await (state.whenReady as () => Promise<void>)();
          } catch {
            return numbers;
          }
          receiver.tryRead((memory, at) => {
            numbers.push(new DataView(memory.buffer, at).getUint32(0));
            return true;
          });
        }
      });
      for (let i = 0; i < 20; i++) sendSync(ours.sender, number()); // Those that wait come first.
      for (let i = 0; i < 20; i++) while (!trySend(ours.sender, number())) next--;
      sendSync(ours.sender, number());
      await Promise.all(waits);
      ours.sender.close();
      expect(await result).toEqual(Array.from({ length: next }, (_, i) => i));
    });

    it('ends exactly when the other end is closed and all was read; then nobody can write to it', async () => {
      const [a, b] = pairOf(kind);
      await send(a.sender, recordOf(10));
      await send(a.sender, recordOf(0));
      a.sender.close();
      a.sender.close();
      expect(a.sender.closed).toBe(true);
      expect(thrownBy(() => trySend(a.sender, recordOf(1))).code).toBe('ERR_RINGWAY_CLOSED');
      expect((await rejectionOf(send(a.sender, recordOf(1)))).code).toBe('ERR_RINGWAY_CLOSED');
      expectBytes(await recv(b.receiver), recordOf(10));
      expectBytes(await recv(b.receiver), recordOf(0));
      await rejectionOf(ready(b.receiver));
      expect(thrownBy(() => readySync(b.receiver)).code).toBe('ERR_RINGWAY_END');
      expect(take(b.receiver)).toBeUndefined();
      // The other direction is as it was.
      await send(b.sender, recordOf(11));
      expectBytes(await recv(a.receiver), recordOf(11));
      const waiting = rejectionOf(ready(a.receiver));
      a.receiver.close();
      a.receiver.close();
      expect((await waiting).code).toBe('ERR_RINGWAY_CLOSED');
      expect(thrownBy(() => a.receiver.tryBorrow()).code).toBe('ERR_RINGWAY_CLOSED');
      let refused: { code?: string } = {};
      for (let i = 0; i < 1000 && refused.code === undefined; i++) {
        await new Promise(setImmediate);
        refused = await send(b.sender, recordOf(1)).then(
          () => ({}),
          (error) => error,
        );
      }
      expect(refused.code).toBe('EPIPE');
      expect(thrownBy(() => sendSync(b.sender, recordOf(1))).code).toBe('EPIPE');
      expect(thrownBy(() => trySend(b.sender, recordOf(1))).code).toBe('EPIPE');
    });

    it('has one direction if that is asked for', async () => {
      const [receiving, sending] = pairOf(kind, false);
      expect([receiving.sender, sending.receiver]).toEqual([undefined, undefined]);
      const child = await inProcess(sending);
      await child.run(({ state }: Context) => (state.send as (size: number, byte: number) => void)(5, 9));
      expectBytes(await recv(receiving.receiver), new Uint8Array(5).fill(9));
      await child.kill();
      expect((await rejectionOf(ready(receiving.receiver))).code).toBe('ERR_RINGWAY_END');
    });

    it('ends when the other process is killed while idle, after all it has sent', async () => {
      const [ours, theirs] = pairOf(kind);
      const child = await inProcess(theirs);
      await child.run(({ state }: Context) => (state.send as (size: number, byte: number) => void)(3, 1));
      await child.kill();
      expectBytes(await recv(ours.receiver), new Uint8Array(3).fill(1));
      expect((await rejectionOf(ready(ours.receiver))).code).toBe('ERR_RINGWAY_END');
      expect(thrownBy(() => readySync(ours.receiver)).code).toBe('ERR_RINGWAY_END');
      let refused: { code?: string } = {};
      for (let i = 0; i < 1000 && refused.code === undefined; i++) {
        await new Promise(setImmediate);
        refused = await send(ours.sender, recordOf(1)).then(
          () => ({}),
          (error) => error,
        );
      }
      expect(refused.code).toBe('EPIPE');
    });

    it('never shows a frame of which the sender was killed in the middle', async () => {
      for (const cut of [1, FRAME_HEADER, FRAME_HEADER + 1, FRAME_HEADER + 999]) {
        const [ours, theirs] = pairOf(kind);
        const child = await inProcess(theirs);
        const piece = framed(recordOf(1000)).subarray(0, cut);
        await child.run(({ state, fs }: Context, piece) => {
          (state.send as (size: number, byte: number) => void)(2, 7);
          fs.writeSync((state.descriptors as { writeFd: number }).writeFd, piece);
        }, piece);
        await child.kill();
        const waiting = recv(ours.receiver);
        expect(await waiting).toEqual(new Uint8Array(2).fill(7));
        expect((await rejectionOf(ready(ours.receiver))).code).toBe('ERR_RINGWAY_END');
        expect(take(ours.receiver)).toBeUndefined();
      }
    });

    it('tells a writer that waits for room when the reader is killed', async () => {
      const [ours, theirs] = pairOf(kind);
      const child = await inProcess(theirs);
      const waiting = (async () => {
        for (;;) await send(ours.sender, recordOf(60_000));
      })();
      const failed = rejectionOf(waiting);
      await new Promise((resolve) => setTimeout(resolve, 20)); // It waits by now, or it does not: the outcome is the same.
      await child.kill();
      expect((await failed).code).toBe('EPIPE');
    });

    it('breaks off with one who announces more than a frame can have', async () => {
      for (const length of [MAX_FRAME_BYTE_LENGTH + 1, 2 ** 31, 2 ** 32 - 1]) {
        const [a, b] = pairOf(kind);
        const raw = bare(a);
        raw.write(framed(recordOf(4)));
        raw.write(new Uint8Array(new Uint32Array([length]).buffer));
        expectBytes(await recv(b.receiver), recordOf(4));
        const error = await rejectionOf(ready(b.receiver));
        expect(error).toMatchObject({ code: 'EPROTO', name: 'RingwayError' });
        expect(error.message).toContain(String(length));
        expect(thrownBy(() => take(b.receiver)).code).toBe('EPROTO');
        b.sender.close();
        b.receiver.close();
        raw.close();
      }
    });

    it('takes random bytes for frames or refuses them, and hangs on none', async () => {
      announceSeed(`garbage over ${kind}`);
      const random = new Random();
      for (let round = 0; round < 50; round++) {
        const [a, b] = pairOf(kind);
        const raw = bare(a);
        const garbage = Uint8Array.from({ length: 1 + random.below(2000) }, () => random.below(256));
        if (random.below(2) === 0) garbage.set([random.below(256), 0, 0, 0].slice(0, garbage.length));
        raw.write(garbage);
        raw.close();
        let end: { code?: string } = {};
        while (end.code === undefined) {
          end = await recv(b.receiver).then(
            () => ({}),
            (error) => error,
          );
        }
        expect(['EPROTO', 'ERR_RINGWAY_END']).toContain(end.code);
        b.sender.close();
        b.receiver.close();
      }
    });

    it('moves only when nothing would be lost, and once', async () => {
      const [a, b] = pairOf(kind);
      await send(a.sender, recordOf(3));
      await send(a.sender, recordOf(4));
      expectBytes(await recv(b.receiver), recordOf(3));
      while (trySend(a.sender, recordOf(60_000))) {}
      expect(thrownBy(() => a.depart(THERE))).toMatchObject({ code: 'ERR_RINGWAY_STATE' });
      await ready(b.receiver);
      expect(thrownBy(() => b.depart(THERE)).code).toBe('ERR_RINGWAY_STATE');
      const [c, d] = pairOf(kind);
      const nowhere = { reach: 'machine', label: 'a queue' } as const;
      expect(thrownBy(() => d.depart(nowhere))).toMatchObject({ code: 'ERR_RINGWAY_NOT_SENDABLE' });
      expect(thrownBy(() => d.giveAway()).code).toBe('ERR_RINGWAY_NOT_SENDABLE');
      d.depart(THERE).unsent();
      await send(c.sender, recordOf(5));
      const { data, sent } = d.depart(THERE);
      const again = closing(KernelChannel.arrive(data)); // Its descriptors are duplicates, so that both can be closed here.
      sent();
      expectBytes(await recv(again.receiver), recordOf(5)); // Still with the kernel, so it has moved along.
      expect(thrownBy(() => d.depart(THERE)).code).toBe('ERR_RINGWAY_CLOSED');
      expect(thrownBy(() => trySend(d.sender, recordOf(1))).code).toBe('ERR_RINGWAY_CLOSED');
      const waiting = rejectionOf(ready(c.receiver));
      const moving = c.depart(THERE);
      moving.sent();
      opening({ close: () => closeDescriptors(moving.data) });
      opening({ close: () => closeDescriptors(data) });
      expect(await waiting).toMatchObject({ code: 'ERR_RINGWAY_CLOSED' });
    });

    it('loses nothing that was accepted when its process ends by itself', async () => {
      for (const how of ['exit', 'return'] as const) {
        const [ours, theirs] = pairOf(kind);
        const child = await inProcess(theirs);
        await child.start(({ state, tell }: Context, how) => {
          const { sender } = state.channel as Full;
          let count = 0;
          while (sender.tryWrite(60_000, (memory, at) => memory.fill(count, at, at + 60_000))) count++;
          tell(count);
          setImmediate(() => {
            if (how === 'exit') process.exit(0);
            process.removeAllListeners('disconnect');
            process.disconnect();
          });
        }, how);
        const count = (await child.nextTold()) as number;
        for (let number = 0; number < count; number++) {
          expectBytes(await recv(ours.receiver), new Uint8Array(60_000).fill(number));
        }
        if (how === 'exit') expect((await rejectionOf(ready(ours.receiver))).code).toBe('ERR_RINGWAY_END');
      }
    });

    it('is closed with the worker that has it', async () => {
      const thread = await startThread();
      const moved = await thread.run(async ({ internal, state }: Context, kind) => {
        const { KernelChannel } = (await internal('transport/kernel.js')) as Internals;
        const { NOT_YET } = (await internal('wait/condition.js')) as { NOT_YET: never };
        const [kept, given] = KernelChannel.pair(kind);
        state.kept = kept;
        void kept.receiver?.until('ready', {}, () => NOT_YET).catch(() => {});
        return given.depart({ reach: 'machine', label: 'a test', passDescriptor: (fd) => fd })
          .data as KernelDescriptors;
      }, kind);
      // The worker's own ones are closed with it.
      const ours = closing(KernelChannel.arrive(duplicates(moved)));
      const waiting = rejectionOf(ready(ours.receiver));
      await thread.terminate();
      expect((await waiting).code).toBe('ERR_RINGWAY_END');
    });

    it('keeps the process alive while an operation waits that is referenced, and no longer', async () => {
      const program = `
        ${PRELUDE}
        const [a, b] = KernelChannel.pair(input.kind);
        globalThis.keep = [a, b];
        if (input.unref) b.receiver.unref();
        const waiting = ready(b.receiver).then(() => print('came'));
        if (input.send) setTimeout(() => a.sender.tryWrite(1, () => {}), 30).unref();
        print('waits');`;
      const idle = await runScript(program, { input: { kind, unref: true } });
      expect([idle.code, idle.lines]).toEqual([0, ['waits']]);
      const busy = await runScript(program, { input: { kind, send: true } });
      expect([busy.code, busy.lines]).toEqual([0, ['waits', 'came']]);
    });

    it('wakes a blocked main thread for a signal that somebody listens to', async () => {
      const [ours, theirs] = pairOf(kind);
      void ours;
      const script = startScript(
        `${PRELUDE}
        const [a, b] = KernelChannel.pair(input.kind);
        const native = (await import('#ringway/native.js')).loadNative().native;
        a.depart({ passDescriptor: (fd) => native.adoptDescriptor(fd, true) }).sent(); // Nobody in this thread has it any more.
        process.on('SIGINT', () => { print('listener'); });
        print('blocks');
        try { readySync(b.receiver); } catch (error) { print(error.code); }
        setTimeout(() => {}, 20);`,
        { input: { kind } },
      );
      expect(await script.line()).toBe('blocks');
      await new Promise((resolve) => setTimeout(resolve, 20)); // Blocked by now, or about to be: both are heeded.
      script.kill('SIGINT');
      expect((await script.end).lines).toEqual(['blocks', 'EINTR', 'listener']);
      theirs.sender.close();
    });

    it('works without the addon, but for blocking the thread', async () => {
      const { lines, code, errors } = await runScript(
        `${PRELUDE}
        const [a, b] = KernelChannel.pair(input.kind);
        const recv = async (receiver) => {
          await ready(receiver);
          let sum = 0, size = 0;
          receiver.tryRead((memory, at, length) => { size = length; for (let i = 0; i < length; i++) sum += memory[at + i]; return true; });
          return size + ':' + sum;
        };
        const early = recv(b.receiver);
        const waits = input.sizes.map((size) => send(a.sender, size));
        for (const size of input.sizes) {
          const got = size === input.sizes[0] ? await early : await recv(b.receiver);
          if (got !== size + ':' + size) print('wrong: ' + got);
        }
        await Promise.all(waits);
        await send(b.sender, 5);
        print(await recv(a.receiver));
        // The limit of what one side holds.
        let accepted = 0;
        for (let idle = 0; idle < 3;) {
          if (a.sender.tryWrite(60000, () => {})) { accepted++; idle = 0; } else { idle++; await new Promise((r) => setTimeout(r, 5)); }
        }
        print(accepted * 60000 < 64 * 2 ** 20);
        try { a.sender.untilSync('send', {}, writing(a.sender, 1)); } catch (error) { print(error.code); }
        while (accepted-- > 0) await recv(b.receiver);
        a.sender.close(); a.receiver.close();
        await recv(b.receiver).catch((error) => print(error.code));
        for (;;) { try { await send(b.sender, 1); await new Promise(setImmediate); } catch (error) { print(error.code); break; } }
        b.sender.close(); b.receiver.close();`,
        { input: { kind, sizes: [0, 1, 65532, 5, 40000, 40001, 3] }, env: { RINGWAY_BACKEND: 'sab' } },
      );
      expect([errors, code, lines]).toEqual([
        '',
        0,
        ['5:5', 'true', 'ERR_RINGWAY_WOULD_DEADLOCK', 'ERR_RINGWAY_END', 'EPIPE'],
      ]);
    });
  });
}
