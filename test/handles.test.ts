// Shared objects in messages: what arrives is an object of the same class on the same memory, also when the sender has
// closed its own meanwhile.
import {
  Barrier,
  BroadcastRing,
  Condition,
  Connection,
  Lock,
  MpmcRing,
  Pipe,
  Queue,
  RLock,
  record,
  Semaphore,
  SharedArray,
  SharedEvent,
  SharedMemory,
  SpscRing,
  Value,
} from 'ringway';
import { describe, expect, it } from 'vitest';
import { opening, segmentFiles, useOwnDirectory } from './helpers/directory.js';
import { startProcess } from './helpers/remote.js';
import { rejectionOf, thrownBy, until } from './helpers/rings.js';

useOwnDirectory();

type AnyConnection = Connection<unknown, unknown>;

const openPipe = (options = {}): [AnyConnection, AnyConnection] => {
  const [a, b] = Pipe<unknown, unknown>(options);
  return [opening(a), opening(b)];
};

const Tick = record({ price: 'float64', size: 'uint32' });

interface Shared {
  close(): void;
}
// How to make one, and what shows that two are the same.
const CASES: Record<string, { make: () => Shared; same: (sent: never, arrived: never) => void }> = {
  SpscRing: {
    make: () => SpscRing.create({ capacity: 4096 }),
    same: (sent: SpscRing, arrived: SpscRing) => {
      sent.producer().tryPush(Uint8Array.of(7));
      expect(arrived.consumer().tryPop()).toEqual(Uint8Array.of(7));
    },
  },
  'SpscRing of records': {
    make: () => SpscRing.create({ capacity: 4096, record: Tick }),
    same: (sent: ReturnType<typeof records>, arrived: ReturnType<typeof records>) => {
      sent.producer().tryPush({ price: 1.5, size: 2 });
      expect(arrived.consumer().tryPop()).toEqual({ price: 1.5, size: 2 });
    },
  },
  MpmcRing: {
    make: () => MpmcRing.create({ slots: 4, slotByteLength: 64 }),
    same: (sent: MpmcRing, arrived: MpmcRing) => {
      sent.tryPush(Uint8Array.of(7));
      expect(arrived.tryPop()).toEqual(Uint8Array.of(7));
    },
  },
  BroadcastRing: {
    make: () => BroadcastRing.create({ slots: 4, slotByteLength: 64, onSlow: 'block' }),
    same: (sent: BroadcastRing, arrived: BroadcastRing) => {
      const subscriber = arrived.subscriber();
      sent.publisher().tryPublish(Uint8Array.of(7));
      expect(subscriber.tryRead()).toEqual(Uint8Array.of(7));
    },
  },
  Semaphore: {
    make: () => new Semaphore(3),
    same: (sent: Semaphore, arrived: Semaphore) => {
      sent.tryAcquire();
      expect(arrived.value).toBe(2);
    },
  },
  Lock: {
    make: () => new Lock(),
    same: (sent: Lock, arrived: Lock) => {
      expect(arrived).toBeInstanceOf(Lock);
      sent.tryAcquire();
      expect(arrived.locked).toBe(true);
    },
  },
  RLock: {
    make: () => new RLock(),
    same: (sent: RLock, arrived: RLock) => {
      expect(arrived).toBeInstanceOf(RLock);
      sent.tryAcquire();
      expect(arrived.locked).toBe(true);
    },
  },
  Condition: {
    make: () => new Condition(),
    same: (sent: Condition, arrived: Condition) => {
      expect(arrived).toBeInstanceOf(Condition);
      sent.tryLock();
      expect(arrived.locked).toBe(true);
    },
  },
  Queue: {
    make: () => new Queue<string>({ maxSize: 6 }),
    same: (sent: Queue<string>, arrived: Queue<string>) => {
      sent.tryPut('item');
      expect([arrived.maxSize, arrived.tryGet()]).toEqual([6, { ok: true, value: 'item' }]);
    },
  },
  SharedEvent: {
    make: () => new SharedEvent(),
    same: (sent: SharedEvent, arrived: SharedEvent) => {
      sent.set();
      expect(arrived.isSet).toBe(true);
    },
  },
  Barrier: {
    make: () => new Barrier(3),
    same: (sent: Barrier, arrived: Barrier) => {
      sent.abort();
      expect([arrived.parties, arrived.broken]).toEqual([3, true]);
    },
  },
  Value: {
    make: () => new Value('int64', 5n),
    same: (sent: Value<'int64'>, arrived: Value<'int64'>) => {
      sent.add(2n);
      expect(arrived.value).toBe(7n);
    },
  },
  'Value of a record': {
    make: () => new Value(Tick, { price: 1, size: 2 }),
    same: (sent: Value<typeof Tick>, arrived: Value<typeof Tick>) => {
      sent.set({ price: 3, size: 4 });
      expect(arrived.value).toEqual({ price: 3, size: 4 });
    },
  },
  SharedArray: {
    make: () => new SharedArray('float32', [1, 2, 3]),
    same: (sent: SharedArray<'float32'>, arrived: SharedArray<'float32'>) => {
      sent.set(1, 9);
      expect([...arrived]).toEqual([1, 9, 3]);
    },
  },
  SharedMemory: {
    make: () => SharedMemory.create({ byteLength: 100 }),
    same: (sent: SharedMemory, arrived: SharedMemory) => {
      sent.bytes[99] = 7;
      expect([arrived.byteLength, arrived.bytes[99]]).toEqual([100, 7]);
    },
  },
};
const records = () => SpscRing.create({ capacity: 4096, record: Tick });

for (const transport of ['shm', 'pipe', 'unix'] as const) {
  describe(`a shared object through a connection over ${transport}`, () => {
    for (const [name, { make, same }] of Object.entries(CASES)) {
      it(`${name}: arrives as itself, in the middle of other values`, async () => {
        const [a, b] = openPipe({ transport });
        const sent = opening(make());
        await a.send({ before: 1, object: sent, again: [sent] });
        const { object, again } = (await b.recv()) as { object: Shared; again: [Shared] };
        opening(object);
        opening(again[0]);
        same(sent as never, object as never);
      });

      it(`${name}: is kept until it has arrived, also past close()`, async () => {
        const [a, b] = openPipe({ transport });
        const sent = make();
        await a.send(sent);
        sent.close();
        const arrived = opening((await b.recv()) as Shared & { handle: never });
        if (name === 'SpscRing of records') return; // Its like attaches with the records' type.
        const { attach } = arrived.constructor as unknown as { attach(handle: never): Shared };
        same(arrived as never, opening(attach(arrived.handle)) as never);
      });
    }

    it('is given up by its sender when it has arrived, and when it was never sent', async () => {
      const [a, b] = openPipe({ transport });
      const before = segmentFiles().length;
      const sent = new Value('int32', 1);
      await a.send(sent);
      sent.close();
      expect(segmentFiles()).toHaveLength(before + 1);
      ((await b.recv()) as Value<'int32'>).close();
      await until(() => segmentFiles().length === before);
      const kept = opening(new Value('int32', 1));
      const error = await rejectionOf(a.send({ kept, bad: () => {} }));
      expect(error).toMatchObject({ code: 'ERR_RINGWAY_UNSERIALISABLE' });
      expect(error.message).toContain('bad');
      kept.close();
      expect(segmentFiles()).toHaveLength(before);
    });
  });
}

describe('a shared object in a message', () => {
  it('cannot go to another machine', async () => {
    const [a] = openPipe({ transport: 'tcp' });
    const value = opening(new Value('int32', 1));
    const error = await rejectionOf(a.send(value));
    expect(error).toBeInstanceOf(TypeError);
    const [c] = openPipe();
    expect(await rejectionOf(a.send(c))).toBeInstanceOf(TypeError);
    expect(c.closed).toBe(false); // It is where it was.
  });

  it('of threads goes by postMessage: the error says so', async () => {
    const [a] = openPipe();
    const value = opening(new Value('int32', 1, { backend: 'sab' }));
    expect(await rejectionOf(a.send(value))).toMatchObject({ code: 'ERR_RINGWAY_NOT_SENDABLE' });
  });

  it('whose sender died before it arrived: receiving says who that was, and goes on', async () => {
    const [a, b] = openPipe();
    const there = await startProcess();
    await there.run(async (context, handle) => {
      const { Connection, Value } = context.ringway;
      const conn = Connection.attach<unknown>(handle);
      await conn.send(new Value('int32', 1));
      await conn.send('next');
      context.state.kept = conn;
    }, b.handle);
    const { pid } = there;
    await there.kill('SIGKILL');
    const error = await rejectionOf(a.recv());
    expect(error).toMatchObject({ code: 'ENOENT' });
    expect(error.message).toContain(String(pid));
    expect(await a.recv()).toBe('next');
  });

  it('reaches a process that was started before it was made, and works there', async () => {
    const [a, b] = openPipe();
    const there = await startProcess();
    const { result } = await there.start(async (context, handle) => {
      const { Connection } = context.ringway;
      const conn = Connection.attach<unknown>(handle);
      const { lock, total } = (await conn.recv()) as { lock: Lock; total: Value<'int32'> };
      const guard = await lock.lock();
      total.add(40);
      guard.release();
      await conn.send('added');
      lock.close();
      total.close();
      conn.close();
    }, b.handle);
    const lock = opening(new Lock());
    const total = opening(new Value('int32', 2));
    await a.send({ lock, total });
    expect(await a.recv()).toBe('added');
    expect(total.value).toBe(42);
    await result;
  });
});

describe('an end of a connection through a connection', () => {
  it('moves: it is closed here and open there, with what had been sent to it', async () => {
    const [a, b] = openPipe();
    const [c, d] = openPipe();
    await c.send('early');
    await a.send({ end: d });
    expect(d.closed).toBe(true);
    expect(thrownBy(() => d.tryRecv()).message).toContain('moved');
    const { end } = (await b.recv()) as { end: AnyConnection };
    opening(end);
    expect(end).toBeInstanceOf(Connection);
    expect(await end.recv()).toBe('early');
    await end.send('back');
    expect(await c.recv()).toBe('back');
    end.close();
    expect(await c.poll()).toBe(true);
  });

  it('keeps its direction', async () => {
    const [a, b] = openPipe();
    const [receiving, sending] = Pipe<string>({ duplex: false });
    await a.send([receiving, sending]);
    const [r, s] = (await b.recv()) as [AnyConnection, AnyConnection];
    expect([r.readable, r.writable, s.readable, s.writable]).toEqual([true, false, false, true]);
    await s.send('x');
    expect(await r.recv()).toBe('x');
    r.close();
    s.close();
  });

  it('comes back when it was not sent', async () => {
    const [a] = openPipe({ capacity: 4096 });
    const [c, d] = openPipe();
    while (a.trySendBytes(new Uint8Array(1000)));
    while (a.trySendBytes(new Uint8Array(1)));
    expect(a.trySend(d)).toBe(false);
    expect(d.closed).toBe(false);
    expect((await rejectionOf(a.send(d, { timeoutMs: 1 }))).name).toBe('TimeoutError');
    await c.send('still here');
    expect(await d.recv()).toBe('still here');
  });
});
