// The course of a child: it is told what to run, loads the module, attaches the arguments, runs the task, and tells its
// parent how that went.

import { BOOT_URL } from '../boot-url.js';
import { arrive } from '../channel/arrivals.js';
import type { Encoded } from '../codec/codec.js';
import { structuredCodec as codec } from '../codec/structured.js';
import { RingwayError } from '../errors.js';
import { describe } from '../memory/names.js';
import type { Route } from '../memory/travel.js';
import { loadNative } from '../native.js';
import { builtin, runtime } from '../runtime.js';
import { BOOT_DESCRIPTOR, BootChannel, type BootRecord, Message, type Refusal } from './boot-channel.js';
import { becomeChild } from './current.js';
import { loadedWith } from './loading.js';
import { findTask } from './task.js';

/** As Node exits when a top-level await never settles. */
const EXIT_UNSETTLED = 13;

const TO_PARENT: Route = { reach: 'machine', label: "a task's result" };

// How far the child is, for those who find out that it ends.
type Stage = 'starting' | 'loading' | 'running' | 'settled';

class Boot {
  readonly #channel: BootChannel;
  #record!: BootRecord;
  #stage: Stage = 'starting';

  constructor(channel: BootChannel) {
    this.#channel = channel;
  }

  async run(): Promise<void> {
    const channel = this.#channel;
    const release = channel.hold();
    const first = await channel.next();
    if (first === null) return process.exit(1); // The parent has ended; nothing has begun here.
    const record = decode(first.bytes) as BootRecord;
    this.#record = record;
    becomeChild(record, channel.ended, () => channel.hold());
    if (record.killWithParent) tieToParent(record, channel);
    const args = await channel.next();
    if (args === null) return process.exit(1);
    // From here on the child lives as long as what the user's code has to do.
    release();
    this.#watchForTheEnd();
    let arrived = 0;
    let call: () => unknown;
    try {
      this.#stage = 'loading';
      await loadedWith(record, () => import(record.module));
      const fn = findTask({ module: record.module, name: record.task }, BOOT_URL) as (...args: unknown[]) => unknown;
      const values = codec.decode(
        args.bytes,
        0,
        args.bytes.length,
        (kind, data) => {
          const object = arrive(kind, data);
          arrived++;
          return object;
        },
        true,
      ) as unknown[];
      call = () => fn(...values);
    } catch (error) {
      return this.#end(
        Message.refused,
        encodeWith(error, (error): Refusal => ({ arrived, error })),
      );
    }
    this.#stage = 'running';
    void channel.send(Message.ready);
    await (record.wantsResult ? this.#answer(call) : this.#perform(call));
  }

  // An error that nobody waits for is the program's to die of, as an uncaught one anywhere else: stack and exit code are
  // Node's.
  async #perform(call: () => unknown): Promise<void> {
    try {
      await call();
    } finally {
      this.#stage = 'settled';
    }
  }

  async #answer(call: () => unknown): Promise<void> {
    let result: Encoded;
    let written: Promise<void>;
    try {
      result = codec.encode(await call(), TO_PARENT);
      written = this.#channel.send(Message.result, result);
    } catch (error) {
      return this.#end(
        Message.failed,
        encodeWith(error, (error) => error),
      );
    }
    this.#stage = 'settled';
    const release = this.#channel.hold();
    for (const departure of result.departures) departure.sent();
    await written;
    // We answer for the objects in it until the parent has them.
    if (result.departures.length > 0) await this.#channel.next();
    release();
  }

  async #end(kind: number, error: Encoded): Promise<void> {
    this.#stage = 'settled';
    const release = this.#channel.hold();
    await this.#channel.send(kind, error);
    release();
    process.exit(1);
  }

  // A child whose loop is empty while its task waits would end as if all were well.
  #watchForTheEnd(): void {
    let loopWasEmpty = false;
    process.on('beforeExit', () => {
      loopWasEmpty = true; // process.exit() comes without.
    });
    process.on('exit', (code) => {
      if (!loopWasEmpty || code !== 0 || (this.#stage !== 'loading' && this.#stage !== 'running')) return;
      const { name, task, module } = this.#record;
      const what = this.#stage === 'loading' ? `module ${module}` : `task ${describe(task)} of ${module}`;
      console.error(
        `ringway: ${what} never settled in process ${describe(name)}: it waits for something that nothing does`,
      );
      process.exitCode = EXIT_UNSETTLED;
    });
  }
}

// The kernel ends a child that computes without ever returning to its loop; the channel's end comes to the loop of any.
function tieToParent({ parentPid }: BootRecord, channel: BootChannel): void {
  loadNative().native?.dieWithParent(parentPid, BOOT_DESCRIPTOR);
  void channel.ended.then(() => process.kill(process.pid, 'SIGKILL'));
}

const decode = (bytes: Uint8Array) =>
  codec.decode(
    bytes,
    0,
    bytes.length,
    (kind) => {
      throw new RingwayError(`a boot record carries ${describe(kind)}`, 'ERR_RINGWAY_UNSERIALISABLE');
    },
    true,
  );

// What cannot be encoded of an error is left out.
function encodeWith(error: unknown, wrap: (error: unknown) => unknown): Encoded {
  try {
    return codec.encode(wrap(error), TO_PARENT);
  } catch {
    const { name, message, stack, code } = (error instanceof Error ? error : {}) as Partial<NodeJS.ErrnoException>;
    const rest = Object.assign(new Error(String(message ?? describe(error))), { name, code });
    if (stack !== undefined) rest.stack = String(stack);
    return codec.encode(wrap(rest), TO_PARENT);
  }
}

/** Runs in a process that `Process` started, and in no other. */
export async function boot(): Promise<void> {
  const net = builtin<typeof import('node:net')>('node:net') as typeof import('node:net');
  let channel: BootChannel;
  try {
    const socket = new net.Socket({ fd: BOOT_DESCRIPTOR, readable: true, writable: true });
    if (runtime === 'bun') socket.connect({ fd: BOOT_DESCRIPTOR } as never); // Bun opens it only then.
    channel = new BootChannel(socket);
  } catch (error) {
    throw new RingwayError(`this module is for processes that Process.spawn() starts`, 'ERR_RINGWAY_STATE', {
      cause: error,
    });
  }
  await new Boot(channel).run();
}
