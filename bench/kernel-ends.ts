// The ends of what Node offers without shared memory: a unix socket (net) and the channel of child_process.

import { type ChildProcess, fork, type SerializationType } from 'node:child_process';
import { connect, createServer, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { deliver, type EndReport, measureAsync, now, ns, Served, type Spec, Usage, Windows } from './meter.js';
import { fill, MEASURE, Payload, read, STOP, wordsOf } from './payload.js';

/** Calls `onMessage` for each message of a byte stream. */
export function splitter(byteLength: number, onMessage: (words: Float64Array, from: number) => void) {
  const inbox = Payload.of(byteLength);
  const wordCount = byteLength / 8;
  let filled = 0;
  return (chunk: Uint8Array) => {
    let at = 0;
    if (filled > 0) {
      at = Math.min(byteLength - filled, chunk.length);
      inbox.bytes.set(chunk.subarray(0, at), filled);
      filled += at;
      if (filled < byteLength) return;
      filled = 0;
      onMessage(inbox.words, 0);
    }
    const whole = Math.floor((chunk.length - at) / byteLength);
    if (whole > 0) {
      const words = wordsOf(chunk.subarray(at, at + whole * byteLength));
      for (let i = 0; i < whole; i++) onMessage(words, i * wordCount);
      at += whole * byteLength;
    }
    inbox.bytes.set(chunk.subarray(at));
    filled = chunk.length - at;
  };
}

export async function openSocket(spec: Spec): Promise<Socket> {
  if (spec.side === 'second') {
    return new Promise((resolve) => {
      const server = createServer((socket) => {
        server.close();
        resolve(socket);
      }).listen(spec.socket);
    });
  }
  for (;;) {
    const socket = await new Promise<Socket | undefined>((resolve) => {
      const attempt = connect(spec.socket, () => resolve(attempt.removeAllListeners('error')));
      attempt.on('error', () => resolve(undefined)); // The other end does not listen yet.
    });
    if (socket !== undefined) return socket;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export async function socketRoundTrip(spec: Spec): Promise<void> {
  const socket = await openSocket(spec);
  const payload = Payload.of(spec.byteLength);
  const wordCount = spec.byteLength / 8;
  if (spec.side === 'second') {
    const served = new Served();
    socket.on(
      'data',
      splitter(spec.byteLength, (words, from) => {
        const first = read(words, from, wordCount);
        payload.write(first);
        if (served.count(first)) socket.write(payload.bytes);
        else socket.end(payload.bytes, () => deliver(served.report()));
      }),
    );
    return;
  }
  let answered = () => {};
  socket.on(
    'data',
    splitter(spec.byteLength, (words, from) => {
      read(words, from, wordCount);
      answered();
    }),
  );
  const [report, samples] = await measureAsync(spec, (first) => {
    payload.write(first);
    socket.write(payload.bytes);
    return new Promise((resolve) => {
      answered = resolve;
    });
  });
  deliver(report, samples.bytes);
  socket.destroy();
}

/** Written one by one; those of one turn go to the kernel together, as net offers with cork(). */
const WRITES_PER_TURN = 64;

export async function socketStream(spec: Spec): Promise<void> {
  const socket = await openSocket(spec);
  const wordCount = spec.byteLength / 8;
  if (spec.side === 'second') {
    const windows = new Windows(spec);
    const split = splitter(spec.byteLength, (words, from) => {
      if (!windows.count(read(words, from, wordCount))) deliver(windows.report(), windows.samples.bytes);
    });
    socket.on('data', (chunk) => {
      split(chunk);
      windows.cut();
    });
    return;
  }
  let sequence = 0;
  // The stream keeps what it is given, so each message needs memory of its own.
  const write = (first: number) => {
    const words = new Float64Array(wordCount);
    fill(words, first);
    return socket.write(new Uint8Array(words.buffer));
  };
  const sendFor = async (ms: number) => {
    for (const end = now() + ns(ms); now() < end; ) {
      let flowing = true;
      socket.cork();
      for (let i = 0; i < WRITES_PER_TURN && flowing; i++) flowing = write(sequence++);
      socket.uncork();
      if (flowing) await new Promise((resolve) => setImmediate(resolve));
      else await new Promise<void>((resolve) => socket.once('drain', resolve));
    }
  };
  const usage = new Usage();
  await sendFor(spec.warmupMs);
  write(MEASURE);
  usage.start();
  await sendFor(spec.measureMs);
  usage.stop();
  write(STOP);
  deliver(usage.report(sequence));
  socket.end();
}

interface Results {
  report: EndReport;
  samples?: Uint8Array;
}

/** The first end starts the second one; it ends when the channel does. */
export function forkPeer(
  spec: Spec,
  serialization: SerializationType,
): { child: ChildProcess; results: Promise<Results> } {
  const program = fileURLToPath(new URL('child.js', import.meta.url));
  const child = fork(program, [JSON.stringify({ ...spec, side: 'second' })], {
    serialization,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const results = new Promise<Results>((resolve, reject) => {
    child.on('message', (message) => {
      if (typeof message === 'object' && message !== null && 'report' in message) resolve(message as Results);
    });
    child.on('exit', (code, signal) => reject(new Error(`the other end ended with ${signal ?? code}`)));
  });
  return { child, results };
}

export function sendToParent(message: unknown, callback: () => void = () => {}): void {
  process.send?.(message, undefined, undefined, callback);
}

export async function ipcRoundTrip(spec: Spec): Promise<void> {
  const payload = Payload.of(spec.byteLength);
  if (spec.side === 'second') {
    const served = new Served();
    process.on('message', (message: Uint8Array) => {
      const words = wordsOf(message);
      const first = read(words, 0, words.length);
      payload.write(first);
      const more = served.count(first);
      sendToParent(payload.bytes);
      if (!more) sendToParent({ report: served.report() }, () => process.disconnect());
    });
    return;
  }
  const { child, results } = forkPeer(spec, 'advanced');
  let answered = () => {};
  child.on('message', (message) => {
    if (!(message instanceof Uint8Array)) return;
    const words = wordsOf(message);
    read(words, 0, words.length);
    answered();
  });
  const measured = measureAsync(spec, (first) => {
    payload.write(first);
    child.send(payload.bytes);
    return new Promise((resolve) => {
      answered = resolve;
    });
  });
  // The other end's results come last; before that they can only fail.
  const [[report, samples], peer] = await Promise.all([measured, results]);
  deliver({ ...report, peer: peer.report }, samples.bytes);
}

/** Messages handed to the channel and not yet written by it. */
const IN_FLIGHT = 64;

export function ipcStream(spec: Spec): Promise<void> {
  const payload = Payload.of(spec.byteLength);
  const write = (first: number) => {
    payload.write(first);
    return payload.bytes;
  };
  return ipcStreamOf(spec, write, (message: Uint8Array) => {
    const words = wordsOf(message);
    return read(words, 0, words.length);
  });
}

/** A stream of messages that `make` makes of their numbers, and `firstOf` reads them from. */
export async function ipcStreamOf<Message extends object>(
  spec: Spec,
  make: (first: number) => Message,
  firstOf: (message: Message) => number,
): Promise<void> {
  if (spec.side === 'second') {
    const windows = new Windows(spec);
    process.on('message', (message: Message) => {
      if (windows.count(firstOf(message))) {
        windows.cut();
        return;
      }
      sendToParent({ report: windows.report(), samples: windows.samples.bytes }, () => process.disconnect());
    });
    return;
  }
  const { child, results } = forkPeer(spec, 'advanced');
  let sequence = 0;
  let inFlight = 0;
  let written = () => {};
  const send = (first: number) => {
    inFlight++;
    child.send(make(first), () => {
      inFlight--;
      written();
    });
  };
  const sendFor = async (ms: number) => {
    for (const end = now() + ns(ms); now() < end; ) {
      while (inFlight < IN_FLIGHT) send(sequence++);
      await new Promise<void>((resolve) => {
        written = resolve;
      });
    }
  };
  const usage = new Usage();
  const stream = async () => {
    await sendFor(spec.warmupMs);
    send(MEASURE);
    usage.start();
    await sendFor(spec.measureMs);
    usage.stop();
    send(STOP);
  };
  const [, peer] = await Promise.all([stream(), results]);
  deliver({ ...usage.report(sequence), peer: peer.report }, peer.samples);
}
