// Opens damaged segments and uses them: what test/fuzz.test.ts starts, since a crash must not take the test along.
// Arguments: seed, rounds, a file in which the current round is noted. Prints counts of what happened as JSON.
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { type Claim, type Peek, RingwayError, type SegmentHandle, SpscRing, type SpscRingOptions } from 'ringway';

const { bodyOffsetFor, ParticipantEntry, SegmentHeader, SpscHeader } = (await import(
  '#ringway/layout.js' as string
)) as typeof import('../../src/layout.js');

const [seed, rounds, notes] = process.argv.slice(2) as [string, string, string];
const PARTICIPANTS = 3;
const BODY = bodyOffsetFor(PARTICIPANTS);
const DIRECTORY = process.env.RINGWAY_SHM_DIR as string;

let state = Number(seed) >>> 0;
// Mulberry32, by Tommy Ettinger.
function random(): number {
  state = (state + 0x6d2b79f5) >>> 0;
  let bits = state;
  bits = Math.imul(bits ^ (bits >>> 15), bits | 1);
  bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
  return (bits ^ (bits >>> 14)) >>> 0;
}
const below = (end: number) => random() % end;
const pick = <Item>(items: readonly Item[]) => items[below(items.length)] as Item;

// Sound segments in many states, as files: roles never taken, held by processes that are gone, closed; empty, full, in the
// middle of a lap, at the wrap of positions.
function soundImages(): Uint8Array[] {
  const images: Uint8Array[] = [];
  for (const options of [
    { capacity: 64 },
    { capacity: 256, wait: 'park' },
    { capacity: 512, alignment: 64 },
    { capacity: 1024, wait: 'spin' },
  ] satisfies SpscRingOptions[]) {
    for (let filled = 0; filled < 4; filled++) {
      const ring = SpscRing.create({ ...options, maxParticipants: PARTICIPANTS });
      const file = `${DIRECTORY}/ringway${(ring.handle as { name: string }).name}`;
      if (filled > 0) {
        const producer = ring.producer();
        const consumer = ring.consumer();
        for (let i = 0; i < filled * 5; i++) {
          producer.tryPush(new Uint8Array(below(20)).fill(i));
          if (filled !== 3) consumer.tryPop();
        }
        while (filled === 2 && producer.tryPush(new Uint8Array(8)));
        if (filled === 3) producer.close();
      }
      images.push(new Uint8Array(readFileSync(file)));
      ring.close();
    }
  }
  for (const image of images.slice(0, 8)) {
    const late = new DataView(image.slice().buffer);
    for (const offset of [SpscHeader.tail, SpscHeader.head]) {
      late.setUint32(BODY + offset, late.getUint32(BODY + offset, true) + 2 ** 32 - 128, true);
    }
    images.push(new Uint8Array(late.buffer));
  }
  return images;
}

const HEADER_WORDS = Object.values(SegmentHeader).filter((offset) => offset < SegmentHeader.participants);
const BODY_WORDS = Object.values(SpscHeader).map((offset) => BODY + offset);
const LIVE_WORDS = [
  ...[SpscHeader.tail, SpscHeader.head, SpscHeader.tail, SpscHeader.head].map((offset) => BODY + offset),
  ...[SpscHeader.producer, SpscHeader.consumer, SpscHeader.filled, SpscHeader.freed, SpscHeader.wantedHead].map(
    (offset) => BODY + offset,
  ),
  BODY + SpscHeader.roleChanged,
  BODY + SpscHeader.roleChanged + 4,
  SegmentHeader.nextParticipant,
];
const VALUES = [
  0, 1, 2, 3, 4, 7, 8, 9, 16, 17, 24, 56, 64, 65, 72, 128, 248, 255, 256, 257, 504, 512, 1016, 1024, 4096,
];

function anyValue(): number {
  switch (below(4)) {
    case 0:
      return pick(VALUES);
    case 1:
      return -pick(VALUES) >>> 0;
    case 2:
      return (2 ** below(32) + below(3) - 1) >>> 0;
    default:
      return random();
  }
}

/** An offset that matters, mostly. */
function anyOffset(length: number): number {
  switch (below(6)) {
    case 0:
      return pick(HEADER_WORDS);
    case 1:
    case 2:
      return pick(BODY_WORDS);
    case 3: // Some record's header.
      return BODY + SpscHeader.data + 4 * below(32);
    case 4:
      return SegmentHeader.participants + below(PARTICIPANTS * ParticipantEntry.next);
    default:
      return below(length);
  }
}

function damage(image: Uint8Array): Uint8Array {
  const bytes = image.slice();
  const view = new DataView(bytes.buffer);
  for (let count = 1 + below(4); count > 0; count--) {
    const offset = Math.min(anyOffset(bytes.length), bytes.length - 4);
    switch (below(4)) {
      case 0:
        bytes[offset] = (bytes[offset] as number) ^ (1 << below(8));
        break;
      case 1:
        for (let at = offset; at < Math.min(offset + below(64), bytes.length); at++) bytes[at] = random();
        break;
      default:
        view.setUint32(offset, anyValue(), true);
    }
  }
  return bytes;
}

const counts: Record<string, number> = {};
const add = (what: string) => {
  counts[what] = (counts[what] ?? 0) + 1;
};

/** Only results and errors of ours; anything else ends the program. */
function ours<Result>(what: string, call: () => Result): Result | undefined {
  try {
    const result = call();
    add('done');
    return result;
  } catch (error) {
    if (!(error instanceof RingwayError)) {
      console.error(`${what} threw`);
      throw error;
    }
    add(error.code);
    return undefined;
  }
}

/** Everything that both ends can do, in any order. */
function use(ring: SpscRing, between: () => void): void {
  const { maxRecordByteLength } = ring;
  const check = (byteLength: number) => {
    if (byteLength > maxRecordByteLength) throw new Error(`a record of ${byteLength} bytes`);
  };
  const producer = ours('producer', () => ring.producer());
  between();
  const consumer = ours('consumer', () => ring.consumer());
  const record = new Uint8Array(below(40));
  for (let step = 0; step < 8; step++) {
    between();
    if (producer !== undefined && below(2) === 0) {
      switch (below(6)) {
        case 0:
          ours('tryPush', () => producer.tryPush(record));
          break;
        case 1:
          ours('tryPushMany', () => producer.tryPushMany([record, record, record]));
          break;
        case 2:
          ours('pushSync', () => producer.pushSync(record, { timeoutMs: 0 }));
          break;
        case 3:
          ours('tryPush the longest', () => producer.tryPush(new Uint8Array(maxRecordByteLength)));
          break;
        default: {
          const claim: Claim | null | undefined = ours('tryClaim', () => producer.tryClaim(record.length));
          claim?.bytes.fill(1);
          between();
          if (claim) ours('commit', () => (below(2) === 0 ? claim.commit() : claim.abort()));
        }
      }
    }
    if (consumer !== undefined) {
      switch (below(7)) {
        case 0:
          check(ours('tryPop', () => consumer.tryPop())?.length ?? 0);
          break;
        case 1:
          for (const { length } of ours('tryPopMany', () => consumer.tryPopMany(5)) ?? []) check(length);
          break;
        case 2:
          ours('drain', () => consumer.drain((_, __, length) => check(length), 5));
          break;
        case 3:
          ours('popSync', () => consumer.popSync({ timeoutMs: 0 }));
          break;
        case 4:
          ours('ended', () => consumer.ended);
          break;
        default: {
          const peek: Peek | null | undefined = ours('tryPeek', () => consumer.tryPeek());
          check(peek?.bytes.length ?? 0);
          between();
          if (peek) ours('release', () => peek.release());
        }
      }
    }
  }
  if (below(4) === 0) ours('stats', () => ring.stats());
  if (producer !== undefined && below(200) === 0) ours('pushSync', () => producer.pushSync(record, { timeoutMs: 1 }));
  if (consumer !== undefined && below(200) === 0) ours('popSync', () => consumer.popSync({ timeoutMs: 1 }));
  if (below(2) === 0) ours('close', () => producer?.close());
}

const images = soundImages();
const path = `${DIRECTORY}/ringway-fuzz`;
const note = openSync(notes, 'w');
let file = openSync(path, 'w+', 0o600);

function attach(target: string | SegmentHandle): SpscRing | undefined {
  const ring = ours('attach', () => SpscRing.attach(target));
  add(ring === undefined ? 'refused' : 'attached');
  return ring;
}

/** A file that is damaged when it is opened, or a SharedArrayBuffer. */
function damagedAtRest(): void {
  const image = pick(images);
  const bytes = damage(image);
  if (below(8) === 0) {
    const memory = new SharedArrayBuffer(bytes.length);
    new Uint8Array(memory).set(bytes);
    const ring = attach({ kind: 'SpscRing', backend: 'sab', memory });
    if (ring === undefined) return;
    use(ring, () => {});
    ring.close();
    return;
  }
  ftruncateSync(file, below(20) === 0 ? below(2 * bytes.length) : bytes.length);
  writeSync(file, bytes, 0, bytes.length, 0);
  if (below(20) === 0) ftruncateSync(file, below(2 * bytes.length));
  const ring = attach('fuzz');
  if (ring === undefined) return;
  use(ring, () => {});
  ring.close();
}

/** A sound file that somebody writes nonsense into while it is used; each round counts once. */
function damagedInUse(): void {
  const bytes = pick(images);
  ftruncateSync(file, bytes.length);
  writeSync(file, bytes, 0, bytes.length, 0);
  const ring = attach('fuzz');
  if (ring === undefined) throw new Error('a sound image was refused');
  const word = new Uint32Array(1);
  use(ring, () => {
    if (below(3) !== 0) return;
    word[0] = anyValue();
    const offset = below(3) === 0 ? BODY + SpscHeader.data + 4 * below(64) : pick(LIVE_WORDS);
    if (offset + 4 <= bytes.length) writeSync(file, new Uint8Array(word.buffer), 0, 4, offset);
  });
  ring.close();
}

for (let round = 0; round < Number(rounds); round++) {
  writeSync(note, `${round} of seed ${seed}   `, 0);
  if (round % 4 === 3) damagedInUse();
  else damagedAtRest();
  if (round % 256 === 0) await new Promise((resolve) => setImmediate(resolve)); // Buffers are let go between turns.
  if (round % 4096 === 4095) {
    (globalThis as { gc?: () => void }).gc?.();
    closeSync(file);
    file = openSync(path, 'w+', 0o600);
  }
}
closeSync(file);
closeSync(note);
console.log(JSON.stringify(counts));
