// Ends of connections on their way in a message when its sender or its receiver dies: whoever is at the other end of the
// one that was sent learns the end of the stream, one receiver gets it at most, and nothing is left.
import { Connection, type ConnectionHandle, EndOfStreamError, Pipe, Queue, type QueueSender, Value } from 'ringway';
import { describe, expect, it } from 'vitest';
import { freshName, opening, segmentFiles, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random } from './helpers/random.js';
import { type Context, type RemoteProcess, startProcess } from './helpers/remote.js';
import { rejectionOf, thrownBy, until } from './helpers/rings.js';
import { stopped } from './helpers/steps.js';

useOwnDirectory();
announceSeed('flight-kill');

type AnyConnection = Connection<unknown, unknown>;

const openPipe = (options = {}): [AnyConnection, AnyConnection] => {
  const [a, b] = Pipe<unknown, unknown>(options);
  return [opening(a), opening(b)];
};

/** The other process has `end`, and does nothing with it. */
async function give(there: RemoteProcess, end: AnyConnection, name = 'end'): Promise<void> {
  await there.run(
    ({ ringway, state }: Context, handle, name) => {
      state[name] = ringway.Connection.attach(handle);
    },
    end.handle,
    name,
  );
}

const ended = async (end: AnyConnection) => expect(await rejectionOf(end.recv())).toBeInstanceOf(EndOfStreamError);

/** What the dead were the last to have goes when another process makes something. */
async function sweep(): Promise<void> {
  const there = await startProcess();
  await there.run(({ ringway }: Context) => new ringway.Value('int32').close());
}

describe('an end in a message that nobody receives any more', () => {
  for (const sync of [false, true]) {
    for (const closes of [false, true]) {
      it(`is closed when the receiver dies${sync ? ', sendSync()' : ''}${closes ? ', its carrier closed here' : ''}`, async () => {
        const [carrier, remote] = openPipe();
        const [left, right] = openPipe();
        const there = await startProcess();
        await give(there, remote);
        if (sync) carrier.sendSync({ right });
        else await carrier.send({ right });
        await left.send('for nobody');
        const waiting = rejectionOf(left.recv()); // It sleeps already.
        if (closes) carrier.close();
        await there.kill();
        expect(await waiting).toBeInstanceOf(EndOfStreamError);
        expect(await rejectionOf(left.send(1))).toMatchObject({ code: 'EPIPE' });
        if (closes) await sweep(); // The dead one was the last that had its way back.
      });
    }
  }

  it('is closed when the receiver closes the connection that it is in', async () => {
    const [carrier, remote] = openPipe();
    const [left, right] = openPipe();
    await carrier.send([right]);
    remote.close();
    await ended(left);
  });

  it('is closed with all those in messages to it', async () => {
    const [carrier, remote] = openPipe();
    const pairs = [openPipe(), openPipe(), openPipe()] as const;
    await pairs[1][0].send({ end: pairs[2][1] });
    await pairs[0][0].send({ end: pairs[1][1] });
    await carrier.send({ end: pairs[0][1] });
    for (const pair of pairs.slice(0, 2)) pair[0].close();
    const there = await startProcess();
    await give(there, remote);
    await there.kill();
    await ended(pairs[2][0]);
  });

  it('stays as long as somebody may receive it: also one that is stopped, or a carrier that moved', async () => {
    const [carrier, remote] = openPipe();
    const [left, right] = openPipe();
    const there = await startProcess();
    await give(there, remote);
    await carrier.send({ right });
    carrier.close();
    there.child.kill('SIGSTOP');
    await until(() => stopped(there.pid));
    expect(await left.poll({ timeoutMs: 60 })).toBe(false);
    there.child.kill('SIGCONT');
    const handle = await there.run((context) => (context.state.end as unknown as AnyConnection).handle);
    const next = opening(Connection.attach<unknown>(handle));
    await there.kill();
    const { right: arrived } = (await next.recv()) as { right: AnyConnection };
    opening(arrived);
    await arrived.send('here');
    expect(await left.recv()).toBe('here');
  });

  it('of a queue does not count any more: the queue ends, when those that arrived are closed', async () => {
    const [carrier, remote] = openPipe();
    const [other, here] = openPipe();
    const queue = opening(new Queue<number>());
    const there = await startProcess();
    await give(there, remote);
    await carrier.send(queue.sender);
    await other.send(queue.sender);
    const arrived = (await here.recv()) as QueueSender<number>;
    await there.kill();
    const first = queue.get();
    await arrived.put(1);
    expect(await first).toBe(1);
    const second = rejectionOf(queue.get());
    arrived.close();
    expect(await second).toBeInstanceOf(EndOfStreamError);
  });

  it('goes back to its sender if the receiver dies while the message is on its way', async () => {
    const [carrier, remote] = openPipe({ capacity: 4096 });
    const [left, right] = openPipe();
    const there = await startProcess();
    await give(there, remote);
    const sending = carrier.send({ right, pad: new Uint8Array(100_000) });
    expect(right.closed).toBe(true);
    await there.kill();
    expect(await rejectionOf(sending)).toMatchObject({ code: 'EPIPE' });
    expect(right.closed).toBe(false);
    await right.send('here');
    expect(await left.recv()).toBe('here');
  });

  it('does not move in the middle of a message that was given up: its receiver could not tell', async () => {
    let refused = 0;
    // With one of these before it, what has been sent of the message leaves no room to say that it ends there.
    for (let before = 8; before <= 2032; before += 8) {
      const [left, right] = Pipe<unknown>({ capacity: 4096 });
      await right.sendBytes(new Uint8Array(before));
      expect(await rejectionOf(right.sendBytes(new Uint8Array(100_000), { timeoutMs: 0 }))).toMatchObject({
        code: 'ERR_RINGWAY_TIMEOUT',
      });
      let handle: ConnectionHandle | undefined;
      try {
        handle = right.handle;
      } catch (error) {
        expect(error).toMatchObject({ code: 'ERR_RINGWAY_STATE' });
        refused++;
      }
      expect(await left.recvBytes()).toHaveLength(before);
      expect(await left.poll()).toBe(false); // Takes what has come of it.
      const moved = Connection.attach<unknown>(handle ?? right.handle);
      await moved.send('whole');
      expect(await left.recv()).toBe('whole');
      moved.close();
      left.close();
    }
    expect(refused).toBeGreaterThan(0);
  });

  it('is closed if the message cannot be received, for whatever else is in it', async () => {
    for (const order of ['before', 'after']) {
      const [carrier, remote] = openPipe();
      const [left, right] = openPipe();
      const value = opening(new Value('int32', 1, { name: freshName() }));
      await carrier.send(order === 'before' ? [right, value] : [value, right]);
      Value.unlink(value.name as string);
      expect(await rejectionOf(remote.recv())).toMatchObject({ code: 'ENOENT' });
      await ended(left);
    }
  });

  it('is closed if a queue drops the message for whatever else is in it', async () => {
    const queue = opening(new Queue<unknown>());
    const [left, right] = openPipe();
    const value = opening(new Value('int32', 1, { name: freshName() }));
    await queue.put([value, right]);
    Value.unlink(value.name as string);
    expect(await rejectionOf(queue.get())).toMatchObject({ code: 'ENOENT' });
    await ended(left);
  });
});

describe('of several who have the same message', () => {
  it('one gets the end, also when those who had it before have left their places to others', async () => {
    const queue = opening(new Queue<{ right: AnyConnection }>());
    const [left, right] = openPipe();
    await queue.put({ right });
    const first = await queue.take();
    const arrived = opening(first.value.right);
    await new Promise(setImmediate);
    // It moves on through other attachments, until one has the place of that which had sent it.
    let holder = arrived;
    for (let move = 0; move < 6; move++) {
      holder = opening(Connection.attach<unknown>(holder.handle)) as AnyConnection;
      await new Promise(setImmediate);
    }
    first.nack();
    const second = await queue.take();
    expect(second.redelivered).toBe(true);
    expect(thrownBy(() => second.value)).toMatchObject({ code: 'ERR_RINGWAY_STATE' });
    second.ack();
    await holder.send('still here');
    expect(await left.recv()).toBe('still here');
    holder.close();
    await ended(left);
  });

  it('one gets the end, however many try at once, and however its sender dies', async () => {
    const random = new Random();
    const processes = await Promise.all([startProcess(), startProcess()]);
    for (let round = 0; round < 20; round++) {
      const [left, right] = openPipe();
      const giver = await startProcess();
      await give(giver, right);
      const handle = await giver.run((context) => (context.state.end as unknown as AnyConnection).handle);
      const spins = random.below(200_000);
      const attempts = processes.map((each) =>
        each.run(
          ({ ringway, state }: Context, handle, spins) => {
            for (let i = 0; i < spins; i++);
            try {
              const end = ringway.Connection.attach<unknown>(handle);
              state.end = end;
              return end.trySend('mine');
            } catch (error) {
              return (error as { code: string }).code;
            }
          },
          handle,
          random.below(200_000),
        ),
      );
      for (let i = 0; i < spins; i++);
      giver.child.kill('SIGKILL');
      const results = await Promise.all(attempts);
      const got = results.filter((result) => result === true).length;
      expect(got, `round ${round}: ${results}`).toBeLessThanOrEqual(1);
      for (const result of results) expect([true, 'ENOENT', 'ERR_RINGWAY_STATE']).toContain(result);
      if (got === 1) expect(await left.recv()).toBe('mine');
      const close = ({ state }: Context) => (state.end as AnyConnection | undefined)?.close();
      for (const each of processes) await each.run(close);
      await ended(left);
      await giver.end(); // Before we close: the last one that closes removes the file.
      left.close();
      await until(() => segmentFiles().length === 0);
    }
  }, 60_000);
});

type Victim = 'sender' | 'receiver';

// In the victim: sends an end through `carrier`, or receives one, and kills itself before its `at`th atomic operation.
async function victim({ state }: Context, who: Victim, at: number) {
  const carrier = state.carrier as AnyConnection;
  const names = ['load', 'store', 'add', 'and', 'or', 'compareExchange'] as const;
  const real = Object.fromEntries(names.map((name) => [name, Atomics[name]]));
  let steps = 0;
  for (const name of names) {
    const operation = real[name] as (...args: unknown[]) => unknown;
    Object.assign(Atomics, {
      [name]: (...args: unknown[]) => {
        if (++steps === at) process.kill(process.pid, 'SIGKILL');
        return operation(...args);
      },
    });
  }
  if (who === 'sender') {
    carrier.sendSync({ end: state.end });
    carrier.close();
  } else {
    state.end = (carrier.recvSync() as { end: AnyConnection }).end;
    carrier.close();
  }
  Object.assign(Atomics, real);
  return steps >= at;
}

describe('a death at every step', () => {
  for (const who of ['sender', 'receiver'] as const) {
    it(`of the ${who} of an end is the end of the stream, at most after another one has it`, async () => {
      let starting = startProcess();
      let gotThrough = 0;
      for (let at = 1; ; at++) {
        const [carrier, remote] = openPipe();
        const [left, right] = openPipe();
        const there = await starting;
        starting = startProcess();
        await give(there, remote, 'carrier');
        if (who === 'sender') await give(there, right);
        else await carrier.send({ end: right });
        const { result } = await there.start(victim, who, at);
        const reached = await result.catch(() => true);
        if (!reached) await there.kill();
        expect((await there.end()).signal, `step ${at}`).toBe('SIGKILL');
        // What it had sent arrives, or its loss is said.
        const got = who === 'sender' ? await carrier.recv().catch((error) => error) : undefined;
        if (got instanceof Error) expect(['ERR_RINGWAY_END', 'ENOENT']).toContain((got as { code?: string }).code);
        else if (who === 'sender') opening((got as { end: AnyConnection }).end).close();
        if (got === undefined || got instanceof Error) gotThrough++;
        await ended(left);
        expect(await rejectionOf(left.send(1))).toMatchObject({ code: 'EPIPE' });
        for (const open of [carrier, left]) open.close();
        await until(() => segmentFiles().length === 0);
        if (!reached) break;
      }
      await starting;
      expect(gotThrough).toBeGreaterThan(10);
    }, 180_000);
  }
});
