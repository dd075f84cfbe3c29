// The ends of values between processes: connections of Pipe(), the channel of child_process, a raw socket for many bytes,
// and memcpy. Each as a user would use it. The first end starts the second one, as its own Process or with fork().

import { type Connection, Pipe, Process, task } from 'ringway';
import { forkPeer, openSocket, sendToParent, splitter } from './kernel-ends.js';
import { deliver, type EndReport, measure, measureAsync, now, ns, Served, type Spec, Usage, Windows } from './meter.js';
import { MEASURE, STOP } from './payload.js';

interface Results {
  report: EndReport;
  samples?: Uint8Array;
}

/** The small message. */
interface Reading {
  /** The message's number, or MEASURE, or STOP. */
  id: number;
  name: string;
  ok: boolean;
  ts: number;
}

const reading = (id: number): Reading => ({ id, name: 'sensor-7', ok: true, ts: 1732377600000 });

/** What a reader does with a message: it looks at every property. */
function check({ id, name, ok, ts }: Reading): number {
  if (name !== 'sensor-7' || !ok || ts !== 1732377600000) throw new Error(`message ${id} is not what was sent`);
  return id;
}

/** The first message of the second end, which is there from then on. */
const HERE = reading(0);

type Small = Connection<Reading, Reading>;
const isSync = ({ program }: Spec) => program.endsWith('-sync');

// A pipe over what the program's name says, and the second end's process at the other end of it.
async function startPeer<Out, In>(spec: Spec, peer: (conn: Connection<In, Out>, spec: Spec) => unknown) {
  const [conn, theirs] = Pipe<Out, In>({ transport: spec.program.startsWith('unix') ? 'unix' : 'shm' });
  const results = Process.run(peer as never, [theirs, spec] as never) as Promise<Results>;
  await Promise.race([conn.recv(), results]); // A peer that fails says why.
  return { conn, results };
}

const echo = task(import.meta, 'echo', async (conn: Small, spec: Spec): Promise<Results> => {
  const served = new Served();
  await conn.send(HERE);
  for (let more = true; more; ) {
    const message = isSync(spec) ? conn.recvSync() : await conn.recv();
    more = served.count(check(message));
    if (isSync(spec)) conn.sendSync(message);
    else await conn.send(message);
  }
  return { report: served.report() };
});

/** There and back. */
export async function pipeRoundTrip(spec: Spec): Promise<void> {
  const { conn, results } = await startPeer<Reading, Reading>(spec, echo);
  const [report, samples] = isSync(spec)
    ? measure(spec, (id) => {
        conn.sendSync(reading(id));
        check(conn.recvSync());
      })
    : await measureAsync(spec, async (id) => {
        await conn.send(reading(id));
        check(await conn.recv());
      });
  deliver({ ...report, peer: (await results).report }, samples.bytes);
}

const count = task(import.meta, 'count', async (conn: Small, spec: Spec): Promise<Results> => {
  const windows = new Windows({ ...spec, windowMs: WHOLE_SLICE });
  await conn.send(HERE);
  while (windows.count(check(isSync(spec) ? conn.recvSync() : await conn.recv()))) windows.cut();
  return { report: windows.report(), samples: windows.samples.bytes };
});

/** One way. */
export async function pipeStream(spec: Spec): Promise<void> {
  const { conn, results } = await startPeer<Reading, Reading>(spec, count);
  let sequence = 0;
  const sendFor = async (ms: number) => {
    for (const end = now() + ns(ms); now() < end; ) {
      for (let left = MESSAGES_PER_LOOK; left > 0; left--) {
        if (isSync(spec)) conn.sendSync(reading(sequence++));
        else await conn.send(reading(sequence++));
      }
    }
  };
  const usage = new Usage();
  await sendFor(spec.warmupMs);
  await conn.send(reading(MEASURE));
  usage.start();
  await sendFor(spec.measureMs);
  usage.stop();
  await conn.send(reading(STOP));
  const peer = await results;
  deliver({ ...usage.report(sequence), peer: peer.report }, peer.samples);
}

/** One window: messages come in bursts, of which a short one would show the burst. */
const WHOLE_SLICE = Infinity;

/** Sent before the sender looks at the clock. */
const MESSAGES_PER_LOOK = 64;

/** There and back, over the channel of child_process with its default serialization. */
export async function forkRoundTrip(spec: Spec): Promise<void> {
  if (spec.side === 'second') {
    const served = new Served();
    process.on('message', (message: Reading) => {
      const more = served.count(check(message));
      sendToParent(message);
      if (!more) sendToParent({ report: served.report() }, () => process.disconnect());
    });
    return;
  }
  const { child, results } = forkPeer(spec, 'json');
  let answered = () => {};
  child.on('message', (message: object) => {
    if (!('id' in message)) return;
    check(message as Reading);
    answered();
  });
  const measured = measureAsync(spec, (id) => {
    child.send(reading(id));
    return new Promise((resolve) => {
      answered = resolve;
    });
  });
  const [[report, samples], peer] = await Promise.all([measured, results]);
  deliver({ ...report, peer: peer.report }, samples.bytes);
}

/** Messages handed to the channel of child_process and not yet written by it. */
const IN_FLIGHT = 64;

/** One way, over the channel of child_process with its default serialization. */
export async function forkStream(spec: Spec): Promise<void> {
  if (spec.side === 'second') {
    const windows = new Windows({ ...spec, windowMs: WHOLE_SLICE });
    process.on('message', (message: Reading) => {
      if (windows.count(check(message))) {
        windows.cut();
        return;
      }
      const samples = [...new Uint32Array(windows.samples.bytes.slice().buffer)]; // JSON has no bytes.
      sendToParent({ report: windows.report(), samples }, () => process.disconnect());
    });
    return;
  }
  const { child, results } = forkPeer(spec, 'json');
  let sequence = 0;
  let inFlight = 0;
  let written = () => {};
  const send = (id: number) => {
    inFlight++;
    child.send(reading(id), () => {
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
  const samples = Uint32Array.from(peer.samples as unknown as number[]);
  deliver({ ...usage.report(sequence), peer: peer.report }, new Uint8Array(samples.buffer));
}

/** A message of many bytes: its first and its last word are its number, which the reader looks at and acknowledges. */
function mark(words: Float64Array, id: number): void {
  words[0] = words[words.length - 1] = id;
}

function checkLarge(words: Float64Array, wordCount: number, from = 0): number {
  const last = words[from + wordCount - 1];
  if (words[from] !== last) throw new Error(`a message begins with ${words[from]} and ends with ${last}`);
  return last;
}

/** Whether the reader has memory for what comes, as bytes, or gets a new value each time. */
const isInto = ({ program }: Spec) => program.includes('-into');

const acknowledge = task(import.meta, 'acknowledge', async (conn: Connection<number, Float64Array>, spec: Spec) => {
  const served = new Served();
  const own = new Float64Array(spec.byteLength / 8).fill(Math.E);
  const receiveSync = () => {
    if (!isInto(spec)) return conn.recvSync();
    conn.recvBytesIntoSync(own);
    return own;
  };
  const receive = async () => {
    if (!isInto(spec)) return conn.recv();
    await conn.recvBytesInto(own);
    return own;
  };
  await conn.send(0);
  for (let more = true; more; ) {
    const id = checkLarge(isSync(spec) ? receiveSync() : await receive(), own.length);
    more = served.count(id);
    if (isSync(spec)) conn.sendSync(id);
    else await conn.send(id);
  }
  return { report: served.report() };
});

/** Many bytes one way, as a typed array; a number back. */
export async function pipeLarge(spec: Spec): Promise<void> {
  const { conn, results } = await startPeer<Float64Array, number>(spec, acknowledge);
  const words = new Float64Array(spec.byteLength / 8).fill(Math.PI);
  const [report, samples] = isSync(spec)
    ? measure(spec, (id) => {
        mark(words, id);
        if (isInto(spec)) conn.sendBytesSync(words);
        else conn.sendSync(words);
        conn.recvSync();
      })
    : await measureAsync(spec, async (id) => {
        mark(words, id);
        await (isInto(spec) ? conn.sendBytes(words) : conn.send(words));
        await conn.recv();
      });
  deliver({ ...report, peer: (await results).report }, samples.bytes);
}

/** The same through a unix socket of net, collected into the same memory again and again. */
export async function socketLarge(spec: Spec): Promise<void> {
  const socket = await openSocket(spec);
  if (spec.side === 'second') {
    const served = new Served();
    socket.on(
      'data',
      splitter(spec.byteLength, (words, from) => {
        const more = served.count(checkLarge(words, spec.byteLength / 8, from));
        if (more) socket.write('.');
        else socket.end('.', () => deliver(served.report()));
      }),
    );
    return;
  }
  let answered = () => {};
  socket.on('data', () => answered());
  const words = new Float64Array(spec.byteLength / 8).fill(Math.PI);
  const [report, samples] = await measureAsync(spec, (id) => {
    mark(words, id);
    socket.write(new Uint8Array(words.buffer));
    return new Promise((resolve) => {
      answered = resolve;
    });
  });
  deliver(report, samples.bytes);
  socket.destroy();
}

/** From one buffer to another that has been touched before, or to a new one each time, in one process. */
export function memcpy(spec: Spec): void {
  const from = new Uint8Array(spec.byteLength).fill(1);
  let to = new Uint8Array(spec.byteLength).fill(2);
  const [report, samples] = measure(spec, () => {
    if (spec.program === 'memcpy-new') to = new Uint8Array(spec.byteLength);
    to.set(from);
  });
  deliver(report, samples.bytes);
}
