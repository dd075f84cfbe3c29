// One end of a named ring, as a process of its own: for tests of the engines against each other, and to be killed.
// Twin: native/test/peer.cpp, with the same command line, which is explained there. In addition calls=async (and for
// the mortal ends calls=blocking|async): with promises instead of blocking the thread; and form=write: in place, by a
// function.
import { openSync, writeSync } from 'node:fs';
import { type SpscConsumer, type SpscProducer, SpscRing } from 'ringway';
import { mix, Stream } from './stream.js';

const BATCH = 16;
const STAMP_BYTES = 8;
const mode = process.argv[2];

function text(name: string, otherwise?: string): string {
  const found = process.argv.slice(3).find((argument) => argument.startsWith(`${name}=`));
  if (found !== undefined) return found.slice(name.length + 1);
  if (otherwise !== undefined) return otherwise;
  process.stderr.write(`peer: ${name}= is missing\n`);
  process.exit(2);
}
const number = (name: string) => Number(text(name));

// Written at once: the thread may block before its loop would write.
function print(line: string): void {
  writeSync(1, `${line}\n`);
}

function fail(what: string): never {
  writeSync(2, `peer: ${what}\n`);
  process.exit(1);
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code;
}

function mismatch(k: number, got: Uint8Array, wanted: Uint8Array): never {
  let at = 0;
  while (at < got.length && at < wanted.length && got[at] === wanted[at]) at++;
  fail(
    `record ${k} has ${got.length} bytes, ${wanted.length} wanted; the first difference is at ${at}: ${got[at]}, ` +
      `${wanted[at]} wanted`,
  );
}

function report(records: number, bytes: number, start: number): void {
  const ms = Number((performance.now() - start).toFixed(1));
  print(JSON.stringify({ engine: 'ts', mode, records, bytes, ms }));
}

function take<End>(take: (ring: SpscRing) => End): End {
  const end = take(SpscRing.attach(text('ring')));
  print('ready');
  return end;
}

async function produce(): Promise<void> {
  const stream = new Stream(number('seed'), number('max'));
  const count = number('count');
  const form = text('form');
  const calls = text('calls');
  const producer = take((ring) => ring.producer());
  const writeRecord = (memory: Uint8Array, byteOffset: number) => {
    stream.table.copy(memory, byteOffset, stream.at, stream.at + stream.byteLength);
  };
  const start = performance.now();
  let bytes = 0;
  for (let k = 0; k < count; ) {
    if (form === 'many') {
      const batch: Uint8Array[] = [];
      for (let i = 0; i < BATCH && k + i < count; i++) batch.push(stream.record(k + i));
      const taken = producer.tryPushMany(batch);
      for (let i = 0; i < taken; i++) bytes += (batch[i] as Uint8Array).length;
      k += taken;
      if (taken > 0) continue;
    }
    if (form === 'claim') {
      stream.seek(k);
      const { table, at, byteLength } = stream;
      let claim = calls === 'spinning' ? producer.tryClaim(byteLength) : null;
      if (calls === 'blocking') claim = producer.claimSync(byteLength);
      else if (calls === 'async') claim = await producer.claim(byteLength);
      else while (claim === null) claim = producer.tryClaim(byteLength);
      table.copy(claim.bytes, 0, at, at + byteLength);
      claim.commit();
    } else if (form === 'write') {
      stream.seek(k);
      const { byteLength } = stream;
      if (calls === 'blocking') producer.writeSync(byteLength, writeRecord);
      else if (calls === 'async') await producer.write(byteLength, writeRecord);
      else while (!producer.tryWrite(byteLength, writeRecord));
    } else {
      const record = stream.record(k);
      if (calls === 'blocking') producer.pushSync(record);
      else if (calls === 'async') await producer.push(record);
      else while (!producer.tryPush(record));
    }
    bytes += stream.byteLength;
    k++;
  }
  producer.close();
  report(count, bytes, start);
}

async function consume(): Promise<void> {
  const stream = new Stream(number('seed'), number('max'));
  const count = number('count');
  const form = text('form');
  const calls = text('calls');
  const consumer = take((ring) => ring.consumer());
  const start = performance.now();
  let bytes = 0;
  let k = 0;
  const check = (memory: Uint8Array, byteOffset: number, byteLength: number) => {
    if (!stream.matches(k, memory, byteOffset, byteLength)) {
      mismatch(k, memory.subarray(byteOffset, byteOffset + byteLength), stream.record(k));
    }
    bytes += byteLength;
    k++;
  };
  while (k < count) {
    if (form === 'drain') {
      if (calls === 'blocking') consumer.readySync();
      else if (calls === 'async') await consumer.ready();
      consumer.drain(check, count - k);
    } else if (form === 'peek') {
      let peek = calls === 'spinning' ? consumer.tryPeek() : null;
      if (calls === 'blocking') peek = consumer.peekSync();
      else if (calls === 'async') peek = await consumer.peek();
      else while (peek === null) peek = consumer.tryPeek();
      check(peek.bytes, 0, peek.bytes.length);
      peek.release();
    } else {
      let record = calls === 'spinning' ? consumer.tryPop() : null;
      if (calls === 'blocking') record = consumer.popSync();
      else if (calls === 'async') record = await consumer.pop();
      else while (record === null) record = consumer.tryPop();
      check(record, 0, record.length);
    }
  }
  try {
    if (calls === 'async') await consumer.ready();
    else consumer.readySync();
    fail('there is more after the last record');
  } catch (error) {
    if (codeOf(error) !== 'ERR_RINGWAY_END') throw error;
  }
  consumer.close();
  report(count, bytes, start);
}

// --- ends that live until they are killed

// What this life has done, where it outlives us.
class Acks {
  readonly #file = openSync(text('ack'), 'w+', 0o600);
  readonly #words = new Uint32Array(4);
  readonly #bytes = new Uint8Array(this.#words.buffer);

  // In one step: the kernel copies so few bytes before a signal is looked at.
  store(word: number, ...values: number[]): void {
    this.#words.set(values);
    writeSync(this.#file, this.#bytes, 0, 4 * values.length, 4 * word);
  }
}

type Gone = { onPeerGone: 'throw' | 'wait' };

// An operation that blocks, as a survivor does it. Undefined when the peer is gone and that is the end.
async function patiently<Result>(
  operation: (gone: Gone) => Result | Promise<Result>,
): Promise<{ result: Result } | undefined> {
  const gone = text('gone');
  let options: Gone = { onPeerGone: gone === 'wait' ? 'wait' : 'throw' };
  for (let died = false; ; ) {
    try {
      const operating = operation(options);
      const result = operating instanceof Promise ? await operating : operating;
      if (died) print('going-on');
      return { result };
    } catch (error) {
      if (codeOf(error) !== 'ERR_RINGWAY_PEER_DIED') throw error;
      print('peer-died');
      if (gone === 'end') return undefined;
      died = true;
      options = { onPeerGone: 'wait' };
    }
  }
}

async function produceOn(): Promise<void> {
  const epoch = number('epoch');
  const form = text('form');
  const sync = text('calls', 'blocking') === 'blocking';
  const stream = new Stream(number('seed') ^ epoch, number('max'));
  const acks = new Acks();
  const producer: SpscProducer = take((ring) => ring.producer());
  const make = (k: number) => {
    stream.seek(k);
    const record = Buffer.alloc(STAMP_BYTES + stream.byteLength);
    record.writeUInt32LE(epoch, 0);
    record.writeUInt32LE(k, 4);
    stream.table.copy(record, STAMP_BYTES, stream.at, stream.at + stream.byteLength);
    return record;
  };
  for (let next = 0; ; ) {
    const size = form === 'many' ? 1 + (mix(next) % BATCH) : 1;
    const batch: Buffer[] = [];
    for (let i = 0; i < size; i++) batch.push(make(next + i));
    acks.store(0, next + size); // Before anything is published.
    let taken = form === 'many' ? producer.tryPushMany(batch) : 0;
    if (taken === 0) {
      taken = 1;
      const record = batch[0] as Buffer;
      if (form === 'claim') {
        const claimed = await patiently((gone) =>
          sync ? producer.claimSync(record.length, gone) : producer.claim(record.length, gone),
        );
        if (claimed === undefined) return;
        claimed.result.bytes.set(record);
        claimed.result.commit();
      } else if (form === 'write') {
        const write = (memory: Uint8Array, byteOffset: number) => memory.set(record, byteOffset);
        const length = record.length;
        const written = await patiently((gone) =>
          sync ? producer.writeSync(length, write, gone) : producer.write(length, write, gone),
        );
        if (written === undefined) return;
      } else if (!(await patiently((gone) => (sync ? producer.pushSync(record, gone) : producer.push(record, gone))))) {
        return;
      }
    }
    next += taken;
    acks.store(1, next);
  }
}

// The consumer's log: checks a record against what its stamp says, and acknowledges it.
class Runs {
  readonly #acks = new Acks();
  readonly #seed = number('seed');
  readonly #stream = new Stream(this.#seed, number('max'));
  #runs = 0;
  #epoch = 0;
  #number = 0;

  take(memory: Uint8Array, byteOffset: number, byteLength: number): void {
    const view = new DataView(memory.buffer, memory.byteOffset + byteOffset, byteLength);
    if (byteLength < STAMP_BYTES) fail(`a record of ${byteLength} bytes after record ${this.#number}`);
    const epoch = view.getUint32(0, true);
    const k = view.getUint32(4, true);
    if (epoch !== this.#epoch) this.#stream.reseed(this.#seed ^ epoch);
    if (!this.#stream.matches(k, memory, byteOffset + STAMP_BYTES, byteLength - STAMP_BYTES)) {
      const got = memory.subarray(byteOffset + STAMP_BYTES, byteOffset + byteLength);
      writeSync(2, `peer: record ${k} of life ${epoch} is torn or invented\n`);
      mismatch(k, got, this.#stream.record(k));
    }
    if (this.#runs === 0 || epoch !== this.#epoch || k !== this.#number + 1) {
      this.#acks.store(3 * this.#runs + 1, epoch, k, k);
      this.#acks.store(0, ++this.#runs);
    } else {
      this.#acks.store(3 * this.#runs, k);
    }
    this.#epoch = epoch;
    this.#number = k;
  }
}

async function consumeOn(): Promise<void> {
  const form = text('form');
  const sync = text('calls', 'blocking') === 'blocking';
  const runs = new Runs();
  const consumer: SpscConsumer = take((ring) => ring.consumer());
  for (;;) {
    // A popped record is acknowledged after its room was given back; a peeked or drained one before.
    if (form === 'pop') {
      const popped = await patiently((gone) => (sync ? consumer.popSync(gone) : consumer.pop(gone)));
      if (popped === undefined) return;
      runs.take(popped.result, 0, popped.result.length);
    } else if (form === 'peek') {
      const peeked = await patiently((gone) => (sync ? consumer.peekSync(gone) : consumer.peek(gone)));
      if (peeked === undefined) return;
      runs.take(peeked.result.bytes, 0, peeked.result.bytes.length);
      peeked.result.release();
    } else {
      if (!(await patiently((gone) => (sync ? consumer.readySync(gone) : consumer.ready(gone))))) return;
      consumer.drain((memory, byteOffset, byteLength) => runs.take(memory, byteOffset, byteLength));
    }
  }
}

function challenge(): void {
  const ring = SpscRing.attach(text('ring'));
  for (let i = number('count'); i > 0; i--) {
    try {
      if (text('form') === 'producer') ring.producer();
      else ring.consumer();
    } catch (error) {
      if (codeOf(error) === 'ERR_RINGWAY_ROLE_TAKEN') continue;
      throw error;
    }
    fail('a role was taken from a live holder');
  }
  print('refused');
}

const modes: Record<string, () => void | Promise<void>> = {
  produce,
  consume,
  'produce-on': produceOn,
  'consume-on': consumeOn,
  challenge,
};
const run = modes[mode ?? ''];
if (run === undefined) {
  process.stderr.write('usage: see the start of native/test/peer.cpp\n');
  process.exit(2);
}
try {
  await run();
} catch (error) {
  fail(error instanceof Error ? (error.stack ?? error.message) : String(error));
}
