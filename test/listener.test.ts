// Listeners and those who connect to them, well-behaved and not.
import { createHmac } from 'node:crypto';
import { existsSync, lstatSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect as connectSocket, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { AuthenticationError, type Connection, connect, Listener, Pipe, SharedEvent, SpscRing, wait } from 'ringway';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { loadNative } from '../src/native.js';
import { freshName, opening, segmentDirectory, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random } from './helpers/random.js';
import { type Context, startProcess } from './helpers/remote.js';
import { rejectionOf, thrownBy } from './helpers/rings.js';
import { runScript, startScript } from './helpers/script.js';

useOwnDirectory();

const directory = mkdtempSync(`${tmpdir()}/ringway-`);
afterAll(() => rmSync(directory, { recursive: true }));

const listeners: Listener[] = [];
const sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await Promise.all(listeners.splice(0).map((listener) => listener.close()));
  expect(readdirSync(directory), 'sockets that were left behind').toEqual([]);
});

async function listen(...args: Parameters<typeof Listener.listen>): Promise<Listener> {
  const listener = (await Listener.listen(...args)) as Listener;
  listeners.push(listener);
  return listener;
}

let last = 0;
/** Each kind of address, and what carries connections to it. */
const FAMILIES = [
  { name: 'shm', address: () => `shm:${freshName()}`, transport: 'shm', taken: 'EEXIST' },
  { name: 'unix', address: () => `unix:${directory}/${++last}`, transport: 'shm', taken: 'EADDRINUSE' },
  { name: 'abstract', address: () => `unix:@test-${process.pid}-${++last}`, transport: 'unix', taken: 'EADDRINUSE' },
  { name: 'tcp', address: () => 'tcp://127.0.0.1:0', transport: 'tcp', taken: 'EADDRINUSE' },
  { name: 'tcp6', address: () => 'tcp://[::1]:0', transport: 'tcp', taken: 'EADDRINUSE' },
] as const;

/** Both ends of a new connection. */
async function both(listener: Listener, options = {}) {
  const [there, here] = await Promise.all([listener.accept(), connect(listener.address, options)]);
  return [opening(there), opening(here)] as const;
}

/** A socket to a listener, for those who do not speak as they should. */
function bareSocket(listener: Listener): Socket {
  const { address } = listener;
  const tcp = /^tcp:\/\/(?:\[(.+)\]|(.+)):(\d+)$/.exec(address);
  const path = address.startsWith('shm:')
    ? `${segmentDirectory()}/ringway-${address.slice(4)}`
    : address.slice(5).replace(/^@/, '\0');
  const socket = tcp ? connectSocket({ host: tcp[1] ?? tcp[2], port: Number(tcp[3]) }) : connectSocket({ path });
  socket.on('error', () => {});
  sockets.push(socket);
  return socket;
}

/** A server of somebody else's. */
function stranger(talk: (socket: Socket) => void): Server {
  return createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    talk(socket);
  });
}
async function stop(server: Server): Promise<void> {
  for (const socket of sockets.splice(0)) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
}

/** Everything that comes until the other side closes. */
async function untilClosed(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  await new Promise((resolve) => socket.on('close', resolve));
  return Buffer.concat(chunks);
}

function message(...parts: (Uint8Array | number[])[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  const header = Buffer.alloc(4);
  header.writeUInt32LE(body.length);
  return Buffer.concat([header, body]);
}

function hello({ version = 1, flags = 0, nonce = Buffer.alloc(32, 7) } = {}): Buffer {
  const bytes = Buffer.alloc(48);
  bytes.write('ringway\0', 'latin1');
  bytes.writeUInt16LE(version, 8);
  bytes.writeUInt16LE(flags, 10);
  nonce.copy(bytes, 16);
  return bytes;
}

function proof(key: string, whose: string, client: Buffer, server: Buffer): Buffer {
  return createHmac('sha256', key).update(`ringway 1 ${whose} sha256\0`).update(client).update(server).digest();
}

/** The next message on a socket; undefined when it is closed first. */
function nextMessage(socket: Socket): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const look = () => {
      const header = socket.read(4) as Buffer | null;
      if (header === null) return;
      const body = socket.read(header.readUInt32LE()) as Buffer;
      socket.off('readable', look);
      resolve(body);
    };
    socket.on('readable', look);
    socket.on('close', () => resolve(undefined));
    look();
  });
}

for (const { name, address, transport, taken } of FAMILIES) {
  describe(`a listener over ${name}`, () => {
    it('connects processes that send values both ways, whoever begins', async () => {
      const listener = await listen(address());
      const child = await startProcess();
      const { result } = await child.start(async ({ ringway, state }: Context, address) => {
        const connection = await ringway.connect(address);
        state.connection = connection;
        await connection.send('hello');
        const polled = await connection.poll({ timeoutMs: 10_000 });
        return [polled, await connection.recv(), connection.transport];
      }, listener.address);
      const connection = opening(await listener.accept());
      expect(await connection.recv()).toBe('hello');
      const big = new Uint8Array(3_000_000).fill(5);
      await connection.send(big);
      const [polled, received, transportThere] = (await result) as [boolean, Uint8Array, string];
      expect([polled, received.length, transportThere, connection.transport]).toEqual([
        true,
        big.length,
        transport,
        transport,
      ]);
      await child.kill();
      expect((await rejectionOf(connection.recv())).code).toBe('ERR_RINGWAY_END');
    });

    it('is alone at its address, and gives it up when it is closed', async () => {
      const listener = await listen(address());
      const error = await rejectionOf(Listener.listen(listener.address));
      expect(error).toMatchObject({ code: taken });
      expect(error.message).toContain(listener.address);
      const pending = rejectionOf(listener.accept());
      await listener.close();
      await listener.close();
      expect(listener.closed).toBe(true);
      expect((await pending).code).toBe('ERR_RINGWAY_CLOSED');
      expect((await rejectionOf(listener.accept())).code).toBe('ERR_RINGWAY_CLOSED');
      expect(['ENOENT', 'ECONNREFUSED']).toContain((await rejectionOf(connect(listener.address))).code);
      const again = await listen(listener.address);
      await both(again);
    });

    it('accepts in order, for as long as is asked, and loses no connection to a call that gave up', async () => {
      const listener = await listen(address());
      expect((await rejectionOf(listener.accept({ timeoutMs: 0 }))).code).toBe('ERR_RINGWAY_TIMEOUT');
      expect((await rejectionOf(listener.accept({ timeoutMs: 5 }))).code).toBe('ERR_RINGWAY_TIMEOUT');
      const abort = new AbortController();
      const aborted = rejectionOf(listener.accept({ signal: abort.signal }));
      const first = listener.accept();
      const second = listener.accept({ timeoutMs: 60_000 });
      abort.abort(new Error('given up'));
      expect((await aborted).message).toBe('given up');
      expect((await rejectionOf(listener.accept({ signal: abort.signal }))).message).toBe('given up');
      const [a, b] = [opening(await connect(listener.address)), opening(await connect(listener.address))];
      await Promise.all([a.send('a'), b.send('b')]);
      expect([await opening(await first).recv(), await opening(await second).recv()]).toEqual(['a', 'b']);
      const c = opening(await connect(listener.address));
      await c.send('c');
      expect(await opening(await listener.accept({ timeoutMs: 60_000 })).recv()).toBe('c');
    });

    it('is waited for with other objects', async () => {
      const listener = await listen(address());
      const event = opening(new SharedEvent());
      expect(await wait([listener, event], { timeoutMs: 5 })).toEqual([]);
      const waiting = wait([event, listener]);
      const here = opening(await connect(listener.address));
      expect(await waiting).toEqual([listener]);
      const there = opening(await listener.accept({ timeoutMs: 0 }));
      await there.send(1);
      expect(await here.recv()).toBe(1);
      await listener.close();
      expect(await wait([event, listener])).toEqual([listener]);
    });

    it('is iterated until it is closed', async () => {
      const listener = await listen(address());
      const seen: unknown[] = [];
      const loop = (async () => {
        for await (const connection of listener) {
          seen.push(await opening(connection).recv());
          if (seen.length === 3) void listener.close();
        }
      })();
      for (const value of [1, 2, 3]) await opening(await connect(listener.address)).send(value);
      await loop;
      expect(seen).toEqual([1, 2, 3]);
    });

    it('authenticates both sides, and says at once when one of them has no key', async () => {
      const key = new Uint8Array([0, 1, 255]);
      const listener = await listen(address(), { authKey: key });
      const nothing = rejectionOf(listener.accept({ timeoutMs: 500 }));
      for (const options of [{}, { authKey: 'another' }, { authKey: new Uint8Array([0, 1, 254]) }]) {
        const error = await rejectionOf(connect(listener.address, options));
        expect(error).toBeInstanceOf(AuthenticationError);
        expect(error.code).toBe('ERR_RINGWAY_AUTHENTICATION');
      }
      expect((await nothing).code).toBe('ERR_RINGWAY_TIMEOUT');
      const [there, here] = await both(listener, { authKey: key });
      await here.send(1);
      expect(await there.recv()).toBe(1);
      expect(here.transport).toBe(name === 'abstract' ? 'shm' : transport); // The key vouches for the user.
      const open = await listen(address());
      const refused = await rejectionOf(connect(open.address, { authKey: 'key' }));
      expect(refused).toBeInstanceOf(AuthenticationError);
      expect(refused.message).toContain('has no authKey');
    });

    it('is not held up by clients that are silent, slow, or talk nonsense', async () => {
      announceSeed(`nonsense over ${name}`);
      const random = new Random();
      const listener = await listen(address(), { authKey: 'key' });
      for (let i = 0; i < 20; i++) bareSocket(listener); // Silent.
      const announcements = [
        [0, 0, 0, 128],
        [255, 255, 255, 255],
        [1, 1, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 32, 0],
      ];
      const closed = [
        ...announcements,
        Buffer.from('GET / HTTP/1.1\r\n\r\n'),
        message(hello({ flags: 1 }), [1]),
        message(Buffer.from('ringwai\0'.padEnd(48))),
        message(hello({ flags: 1 }).subarray(0, 15)),
        Buffer.concat([message(hello({ flags: 1 })), message([1, ...Buffer.alloc(31)])]),
        Buffer.concat([message(hello({ flags: 1 })), message([3])]),
        ...Array.from({ length: 20 }, () =>
          Buffer.concat([Buffer.from([random.below(3), 2 + random.below(250), 0, 0]), Buffer.alloc(0)]),
        ).map((bytes) => Buffer.concat([bytes, Buffer.from(Array.from({ length: 70_000 }, () => random.below(256)))])),
      ].map((bytes) => {
        const socket = bareSocket(listener);
        socket.write(Buffer.from(bytes));
        return untilClosed(socket);
      });
      for (const cut of [1, 3, 4, 20, 51]) bareSocket(listener).end(message(hello({ flags: 1 })).subarray(0, cut));
      const [there, here] = await both(listener, { authKey: 'key' });
      await here.send('through');
      expect(await there.recv()).toBe('through');
      await Promise.all(closed);
      expect((await rejectionOf(listener.accept({ timeoutMs: 20 }))).code).toBe('ERR_RINGWAY_TIMEOUT');
    });

    it('ends a handshake that takes too long, and the one that has waited for longest if there are too many', async () => {
      const slow = await listen(address(), { handshakeTimeoutMs: 20 });
      const silent = bareSocket(slow);
      await untilClosed(silent);
      const listener = await listen(address(), { handshakeTimeoutMs: 60_000 });
      const first = untilClosed(bareSocket(listener));
      const many: Socket[] = [];
      for (let i = 0; i < 200; i++) many.push(bareSocket(listener));
      const [there, here] = await both(listener);
      await there.send(1);
      expect(await here.recv()).toBe(1);
      await first;
      for (const socket of many) socket.destroy();
    });

    it('tells those for whom the backlog has no room', async () => {
      const listener = await listen(address(), { backlog: 2 });
      const [a, b] = [opening(await connect(listener.address)), opening(await connect(listener.address))];
      const error = await rejectionOf(connect(listener.address));
      expect(error).toMatchObject({ code: 'ECONNREFUSED' });
      expect(error.message).toContain('backlog');
      opening(await listener.accept());
      opening(await connect(listener.address));
      expect([a.closed, b.closed]).toEqual([false, false]);
      await listener.close(); // Those that wait are closed with it.
      expect((await rejectionOf(b.recv())).code).toBe('ERR_RINGWAY_END');
    });

    it('never shows a client that was killed in the handshake', async () => {
      const listener = await listen(address(), { authKey: 'key' });
      for (let step = 0; step < 3; step++) {
        const child = await startProcess();
        const { result } = await child.start(
          async ({ ringway, net, tell }: Context, address, step) => {
            const { write } = net.Socket.prototype;
            let count = 0;
            net.Socket.prototype.write = function (this: Socket, ...args: unknown[]) {
              if (count++ !== step) return (write as (...args: unknown[]) => boolean).apply(this, args);
              tell('there');
              return true; // It never says this.
            } as never;
            await ringway.connect(address, { authKey: 'key' });
          },
          listener.address,
          step,
        );
        void result;
        expect(await child.nextTold()).toBe('there');
        await child.kill();
      }
      const [there, here] = await both(listener, { authKey: 'key' });
      await here.send('next');
      expect(await there.recv()).toBe('next');
      // The rings that it had made for us go with the next sweep, if we have not taken our ends.
      loadNative().native?.sweep(segmentDirectory());
    });

    it('lets go of a server that does not answer, after the time given or an abort', async () => {
      const listener = await listen(address());
      const { address: where } = listener;
      await listener.close();
      const mute = stranger(() => {});
      const path = where.startsWith('shm:')
        ? `${segmentDirectory()}/ringway-${where.slice(4)}`
        : where.slice(5).replace(/^@/, '\0');
      const tcp = /^tcp:\/\/(?:\[(.+)\]|(.+)):(\d+)$/.exec(where);
      await new Promise<void>((resolve) =>
        tcp ? mute.listen(Number(tcp[3]), tcp[1] ?? tcp[2], resolve) : mute.listen(path, resolve),
      );
      try {
        expect((await rejectionOf(connect(where, { timeoutMs: 20 }))).code).toBe('ERR_RINGWAY_TIMEOUT');
        expect((await rejectionOf(connect(where, { timeoutMs: 0 }))).code).toBe('ERR_RINGWAY_TIMEOUT');
        const abort = new AbortController();
        const aborted = rejectionOf(connect(where, { signal: abort.signal }));
        setTimeout(() => abort.abort(new Error('given up')), 5);
        expect((await aborted).message).toBe('given up');
        expect((await rejectionOf(connect(where, { signal: abort.signal }))).message).toBe('given up');
      } finally {
        await stop(mute);
      }
    });
  });
}

describe('the handshake', () => {
  const KEY = 'key';

  it('takes no proof twice, and not its own', async () => {
    const listener = await listen(`unix:${directory}/replay`, { authKey: KEY });
    const nonce = Buffer.alloc(32, 9);
    const ours = hello({ flags: 1, nonce });
    // A good one, as somebody may have recorded it.
    const good = bareSocket(listener);
    good.write(message(ours));
    const theirs = (await nextMessage(good)) as Buffer;
    const recorded = message([1], proof(KEY, 'client', ours, theirs));
    good.write(recorded);
    const answer = (await nextMessage(good)) as Buffer;
    expect(answer).toEqual(Buffer.concat([Buffer.from([1]), proof(KEY, 'server', ours, theirs)]));
    // Again: the server's nonce is another one.
    const replayed = bareSocket(listener);
    replayed.write(message(ours));
    const fresh = (await nextMessage(replayed)) as Buffer;
    expect(fresh.subarray(16)).not.toEqual(theirs.subarray(16));
    replayed.write(recorded);
    expect(await nextMessage(replayed)).toEqual(Buffer.from([2]));
    // The server's own hello and proof, sent back to it.
    const reflected = bareSocket(listener);
    const mirror = (await nextMessage(reflected)) as Buffer;
    reflected.write(message(mirror));
    reflected.write(message([1], proof('another', 'client', mirror, mirror)));
    expect(await nextMessage(reflected)).toEqual(Buffer.from([2]));
    const role = bareSocket(listener);
    const server = (await nextMessage(role)) as Buffer;
    role.write(message(ours));
    role.write(message([1], proof(KEY, 'server', ours, server))); // Right, but it is the server's.
    expect(await nextMessage(role)).toEqual(Buffer.from([2]));
    expect((await rejectionOf(listener.accept({ timeoutMs: 20 }))).code).toBe('ERR_RINGWAY_TIMEOUT');
  });

  it('covers what the hellos say', async () => {
    const listener = await listen(`unix:${directory}/covered`, { authKey: KEY });
    const socket = bareSocket(listener);
    const ours = hello({ flags: 1 });
    socket.write(message(ours));
    const theirs = (await nextMessage(socket)) as Buffer;
    const changed = Buffer.from(theirs);
    changed[10] = 1; // As if the server could not move to shared memory.
    socket.write(message([1], proof(KEY, 'client', ours, changed)));
    expect(await nextMessage(socket)).toEqual(Buffer.from([2]));
  });

  it('refuses another version on both sides, and names both', async () => {
    const listener = await listen(`unix:${directory}/version`);
    const socket = bareSocket(listener);
    socket.write(message(hello({ version: 2 }), Buffer.alloc(20)));
    expect(((await nextMessage(socket)) as Buffer).readUInt16LE(8)).toBe(1);
    expect(await nextMessage(socket)).toBeUndefined();
    await listener.close();
    const future = stranger((socket) => {
      socket.write(message(hello({ version: 7 }), Buffer.alloc(100)));
    });
    await new Promise<void>((resolve) => future.listen(`${directory}/version`, resolve));
    try {
      const error = await rejectionOf(connect(`unix:${directory}/version`));
      expect(error).toMatchObject({ code: 'EPROTO' });
      expect(error.message).toMatch(/version 7 .* speaks 1/);
    } finally {
      await stop(future);
    }
  });

  it('takes no server that cannot show the key, or says what it should not', async () => {
    const replies: [string, (ours: Buffer, theirs: Buffer) => Buffer][] = [
      ['ERR_RINGWAY_AUTHENTICATION', () => message([1], Buffer.alloc(32))],
      // The client's own, reflected.
      ['ERR_RINGWAY_AUTHENTICATION', (client, server) => message([1], proof(KEY, 'client', client, server))],
      ['ERR_RINGWAY_AUTHENTICATION', (client, server) => message([1], proof('another', 'server', client, server))],
      ['ERR_RINGWAY_AUTHENTICATION', () => message([5])],
      ['EPROTO', () => Buffer.from([0, 0, 0, 128])],
      ['EPROTO', () => Buffer.from([0, 0, 0, 0, 0, 0, 32, 0])],
      ['ECONNRESET', () => Buffer.from([33, 0])],
    ];
    for (const [code, reply] of replies) {
      const server = stranger((socket) => {
        const ours = hello({ flags: 1 });
        socket.write(message(ours));
        void (async () => {
          const theirs = (await nextMessage(socket)) as Buffer;
          await nextMessage(socket);
          socket.end(reply(theirs, ours));
        })();
      });
      await new Promise<void>((resolve) => server.listen(`${directory}/liar`, resolve));
      const error = await rejectionOf(connect(`unix:${directory}/liar`, { authKey: KEY }));
      expect(error.code, error.message).toBe(code);
      await stop(server);
    }
  });

  it('leaves connections where they are when the other side has no shared memory', async () => {
    const listener = await listen(`unix:${directory}/mixed`);
    const script = startScript(
      `const connection = await ringway.connect(input);
      await connection.send([connection.transport, 'x'.repeat(300000)]);
      print(await connection.recv());
      try { connection.recvSync(); } catch (error) { print(error.code); }
      connection.close();`,
      { input: listener.address, env: { RINGWAY_BACKEND: 'sab' } },
    );
    const connection = opening(await listener.accept());
    expect(connection.transport).toBe('unix');
    expect(((await connection.recv()) as string[]).map(({ length }) => length)).toEqual([4, 300000]);
    connection.sendSync('back');
    expect((await rejectionOf(connection.recv())).code).toBe('ERR_RINGWAY_END');
    expect((await script.end).lines).toEqual(['back', 'ERR_RINGWAY_NO_ADDON']);
  });
});

it('accepts connections that go on to other processes', async () => {
  const listener = await listen(`shm:${freshName()}`);
  const [there, here] = await both(listener);
  const [a, b] = Pipe<Connection<string>>();
  opening(a);
  opening(b);
  await a.send(there as Connection<string>);
  const moved = opening(await b.recv());
  await moved.send('from elsewhere');
  expect(await here.recv()).toBe('from elsewhere');
});

it('leaves no descriptors behind', async () => {
  const count = () => readdirSync('/proc/self/fd').length;
  const use = async () => {
    for (const { address } of FAMILIES) {
      const listener = await listen(address());
      for (let i = 0; i < 5; i++) {
        const [there, here] = await both(listener);
        const socket = bareSocket(listener);
        await new Promise((resolve) => socket.on('connect', resolve));
        socket.write('garbage, garbage');
        await untilClosed(socket);
        const refused = await rejectionOf(connect(listener.address, { authKey: 'key' }));
        expect(refused).toBeInstanceOf(AuthenticationError);
        there.close();
        here.close();
      }
      await listener.close();
    }
  };
  await use(); // What is made once.
  const before = count();
  await use();
  while (count() > before) await new Promise((resolve) => setTimeout(resolve, 1)); // Sockets close in turns of their own.
});

describe('addresses', () => {
  it('are refused with the right form if they are none', async () => {
    const wrong: [unknown, unknown][] = [
      [undefined, TypeError],
      [80, TypeError],
      ['', TypeError],
      ['jobs', TypeError],
      ['http://localhost:80', TypeError],
      ['unix:relative', TypeError],
      ['unix:/folder/', TypeError],
      ['unix:@', TypeError],
      ['unix:/a\0b', TypeError],
      ['tcp://127.0.0.1', TypeError],
      ['tcp:127.0.0.1:80', TypeError],
      ['tcp://::1:80', TypeError],
      ['tcp://a b:80', TypeError],
      ['tcp://127.0.0.1:65536', RangeError],
      ['shm:', RangeError],
      ['shm:a/b', RangeError],
      [`shm:${'n'.repeat(150)}`, RangeError],
      [`unix:/${'n'.repeat(107)}`, RangeError],
    ];
    for (const [address, type] of wrong) {
      for (const use of [Listener.listen, connect] as ((address: string) => Promise<unknown>)[]) {
        const error = await rejectionOf(use(address as string));
        expect(error, String(address)).toBeInstanceOf(type as typeof Error);
        if (type === TypeError && !String(address).includes('\0'))
          expect(error.message).toContain('tcp://127.0.0.1:4000');
      }
    }
  });

  it('take options that make sense only', async () => {
    for (const options of [
      { authKey: '' },
      { authKey: 7 },
      { backlog: 0 },
      { handshakeTimeoutMs: -1 },
      { maxMessageByteLength: -1 },
      null,
    ]) {
      const error = await rejectionOf(Listener.listen('tcp://127.0.0.1:0', options as never));
      expect([TypeError, RangeError]).toContain(error.constructor);
    }
    expect(await rejectionOf(connect('tcp://127.0.0.1:1', { timeoutMs: Number.NaN }))).toBeInstanceOf(RangeError);
  });
});

describe("a listener's file", () => {
  it("is its user's alone, and in the one name space of shared objects", async () => {
    const name = freshName();
    const listener = await listen(`shm:${name}`);
    expect(statSync(`${segmentDirectory()}/ringway-${name}`).mode & 0o777).toBe(0o600);
    const error = thrownBy(() => SpscRing.create({ name, capacity: 4096 }));
    expect(error).toMatchObject({ code: 'EEXIST' });
    expect(error.message).toContain('a Listener');
    await listener.close();
    const ring = SpscRing.create({ name, capacity: 4096 });
    const refused = await rejectionOf(Listener.listen(`shm:${name}`));
    expect(refused).toMatchObject({ code: 'EEXIST' });
    expect(refused.message).toContain('SpscRing');
    SpscRing.unlink(name);
    ring.close();
    writeFileSync(`${directory}/file`, '');
    expect((await rejectionOf(Listener.listen(`unix:${directory}/file`))).code).toBe('EEXIST');
    rmSync(`${directory}/file`);
    expect((await rejectionOf(Listener.listen(`unix:${directory}/no/where`))).code).toBe('ENOENT');
  });

  it('goes with a process that ends by itself, and is replaced when that was killed', async () => {
    const path = `${directory}/left`;
    const program = `globalThis.listener = await ringway.Listener.listen('unix:' + input.path);
      print('listens');
      if (input.end) process.exit(0);
      await listener.accept();`;
    expect((await runScript(program, { input: { path, end: true } })).code).toBe(0);
    expect(existsSync(path)).toBe(false);
    const script = startScript(program, { input: { path } });
    expect(await script.line()).toBe('listens');
    expect((await rejectionOf(Listener.listen(`unix:${path}`))).code).toBe('EADDRINUSE');
    script.kill('SIGKILL');
    await script.end;
    expect(lstatSync(path).isSocket()).toBe(true);
    expect((await rejectionOf(connect(`unix:${path}`))).code).toBe('ECONNREFUSED');
    const listener = await listen(`unix:${path}`);
    await both(listener);
  });

  it('is not taken from a server that is stopped', async () => {
    const path = `${directory}/stopped`;
    const script = startScript(
      `globalThis.listener = await ringway.Listener.listen('unix:' + input);
      print('listens');
      await listener.accept();`,
      { input: path },
    );
    await script.line();
    script.kill('SIGSTOP');
    expect((await rejectionOf(Listener.listen(`unix:${path}`))).code).toBe('EADDRINUSE');
    script.kill('SIGKILL');
    await script.end;
    rmSync(path);
  });

  it('has one owner, however many replace a dead one at the same time', async () => {
    const children = await Promise.all([1, 2, 3, 4].map(() => startProcess()));
    const paths = Array.from({ length: 20 }, (_, round) => `${directory}/race${round}`);
    const dead = startScript(
      `globalThis.listeners = await Promise.all(input.map((path) => ringway.Listener.listen('unix:' + path)));
      print('listens');
      await listeners[0].accept();`,
      { input: paths },
    );
    await dead.line();
    dead.kill('SIGKILL');
    await dead.end;
    for (const path of paths) {
      const outcomes = await Promise.all(
        children.map((child) =>
          child.run(async ({ ringway, state }: Context, path) => {
            try {
              const listener = await ringway.Listener.listen(`unix:${path}`);
              state.listener = listener;
              void listener.accept().then(
                (connection) => connection.send(process.pid),
                () => {},
              );
              return process.pid;
            } catch (error) {
              state.listener = undefined;
              return (error as { code: string }).code;
            }
          }, path),
        ),
      );
      const winners = outcomes.filter((outcome) => typeof outcome === 'number');
      expect(winners, JSON.stringify(outcomes)).toHaveLength(1);
      expect(outcomes.filter((outcome) => outcome === 'EADDRINUSE')).toHaveLength(3);
      const connection = opening(await connect(`unix:${path}`));
      expect(await connection.recv()).toBe(winners[0]); // Whoever has the name is who said so.
      await Promise.all(
        children.map((child) => child.run(({ state }: Context) => (state.listener as Listener | undefined)?.close())),
      );
      expect(existsSync(path)).toBe(false);
    }
  });

  it("is left alone by close() if it is another's by now", async () => {
    const path = `${directory}/other`;
    const listener = await listen(`unix:${path}`);
    rmSync(path);
    const other = await listen(`unix:${path}`);
    await listener.close();
    await both(other);
  });
});

it('keeps the process alive only while it accepts', async () => {
  const program = `const listener = await ringway.Listener.listen('tcp://127.0.0.1:0');
    if (input === 'unref') { listener.unref(); listener.accept().catch(() => {}); }
    if (input === 'accept') { setTimeout(() => listener.close(), 20).unref(); await listener.accept().catch((error) => print(error.code)); }
    print('end');`;
  for (const input of ['idle', 'unref', 'accept']) {
    const { code, lines } = await runScript(program, { input });
    expect([code, lines]).toEqual([0, input === 'accept' ? ['ERR_RINGWAY_CLOSED', 'end'] : ['end']]);
  }
});
