// Broadcast rings against a model that is an array of all messages: whatever is called in whatever order, each subscriber
// gets the messages it should, whole and in order, knows exactly how many it missed, and publishers have exactly the room
// they should. Also where positions wrap at 2^32.
import { type BroadcastPublisher, BroadcastRing, type BroadcastSubscriber, type OnSlow } from 'ringway';
import { describe, expect, it } from 'vitest';
import { opening, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random, seed } from './helpers/random.js';
import { BACKENDS, expectBytes, recordOf, startBroadcastAt } from './helpers/rings.js';

useOwnDirectory();
announceSeed('broadcast-model');

const SLOT_BYTES = 40;

type Claim = NonNullable<ReturnType<BroadcastPublisher['tryClaim']>>;
type Peek = NonNullable<ReturnType<BroadcastSubscriber['tryPeek']>>;

interface ModelPublisher {
  publisher: BroadcastPublisher;
  claim: Claim | undefined;
}

interface ModelSubscriber {
  subscriber: BroadcastSubscriber;
  /** Index of the next message. */
  next: number;
  received: number;
  missed: number;
  peek: Peek | undefined;
  /** Somebody was told that what was peeked at is whole. */
  assured: boolean;
}

/** A ring and what it should hold. Each call does one thing to both and compares. */
class Model {
  readonly ring: BroadcastRing;
  readonly handles: BroadcastRing[];
  readonly random: Random;
  readonly messages: Uint8Array[] = [];
  readonly publishers: ModelPublisher[] = [];
  readonly subscribers: ModelSubscriber[] = [];
  popped = 0;
  readonly #slots: number;
  readonly #blocks: boolean;
  readonly #start: number;
  #made = 0;

  constructor(backend: 'shm' | 'sab', slots: number, onSlow: OnSlow, random: Random, start = 0) {
    const shape = { slots, slotByteLength: SLOT_BYTES, onSlow, maxPublishers: 3, maxSubscribers: 4 };
    this.ring = opening(BroadcastRing.create({ ...shape, backend }));
    startBroadcastAt(this.ring, start);
    this.handles = [this.ring, opening(BroadcastRing.attach(this.ring.handle))];
    this.random = random;
    this.#slots = slots;
    this.#blocks = onSlow === 'block';
    this.#start = start;
    // A ring that starts later is as if empty messages had been there.
    for (let i = 0; start > 0 && i < slots; i++) this.messages.push(new Uint8Array(0));
  }

  #message(): Uint8Array {
    return recordOf(this.random.below(SLOT_BYTES + 1), this.#made++);
  }

  /** How many messages may be published. */
  get room(): number {
    if (!this.#blocks || this.subscribers.length === 0) return Infinity;
    const slowest = Math.min(...this.subscribers.map(({ next }) => next));
    return Math.max(0, slowest + this.#slots - this.messages.length);
  }

  addPublisher(): void {
    if (this.publishers.length === 3) {
      expect(() => this.random.pick(this.handles).publisher()).toThrow(/all 3 publishers/);
    } else {
      this.publishers.push({ publisher: this.random.pick(this.handles).publisher(), claim: undefined });
    }
  }

  addSubscriber(from = this.random.pick(['latest', 'oldest'] as const)): void {
    const handle = this.random.pick(this.handles);
    if (this.subscribers.length === 4) {
      expect(() => handle.subscriber({ from })).toThrow(/all 4 subscribers/);
      return;
    }
    const next = from === 'latest' ? this.messages.length : Math.max(0, this.messages.length - this.#slots);
    const subscriber = handle.subscriber({ from });
    this.subscribers.push({ subscriber, next, received: 0, missed: 0, peek: undefined, assured: false });
  }

  closeOne(): void {
    const ends = this.random.below(2) === 0 ? this.publishers : this.subscribers;
    if (ends.length < 2) return;
    const [end] = ends.splice(this.random.below(ends.length), 1) as [ModelPublisher | ModelSubscriber];
    if ('publisher' in end) end.publisher.close();
    else end.subscriber.close();
  }

  publish(): void {
    const of = this.random.pick(this.publishers);
    const { publisher } = of;
    if (of.claim !== undefined) {
      if (this.random.below(4) === 0) of.claim.abort();
      else {
        // Its room was there when it was claimed, and is, however late it is used.
        const message = this.#message();
        of.claim.bytes.set(message);
        of.claim.commit(message.length);
        this.messages.push(message);
      }
      of.claim = undefined;
      return;
    }
    const { room } = this;
    const how = this.random.below(4);
    if (how === 0) {
      const claim = publisher.tryClaim();
      expect(claim !== null).toBe(room > 0);
      of.claim = claim ?? undefined;
    } else if (how === 1) {
      const messages = Array.from({ length: this.random.below(2 * this.#slots + 1) }, () => this.#message());
      const taken = Math.min(room, messages.length);
      expect(publisher.tryPublishMany(messages)).toBe(taken);
      this.messages.push(...messages.slice(0, taken));
    } else {
      const message = this.#message();
      const published =
        how === 2
          ? publisher.tryPublish(message)
          : publisher.tryWrite(SLOT_BYTES, (memory, at) => {
              memory.set(message, at);
              return message.length;
            });
      expect(published).toBe(room > 0);
      if (published) this.messages.push(message);
    }
  }

  #lapped({ next }: ModelSubscriber): boolean {
    return !this.#blocks && this.messages.length - next > this.#slots;
  }

  // A lapped subscriber goes on half a ring behind the end.
  #resume(of: ModelSubscriber): void {
    if (!this.#lapped(of)) return;
    const next = this.messages.length - (this.#slots >> 1);
    of.missed += next - of.next;
    of.next = next;
  }

  #expectNext(of: ModelSubscriber, message: Uint8Array | null): void {
    this.#resume(of);
    expectBytes(message, this.messages[of.next] ?? null);
    if (message === null) return;
    of.next++;
    of.received++;
    this.popped++;
  }

  read(of = this.random.pick(this.subscribers)): void {
    if (of.peek !== undefined) {
      this.#goOnWithPeek(of, of.peek);
      return;
    }
    const how = this.random.below(4);
    if (how === 0) {
      this.#expectNext(of, of.subscriber.tryRead());
    } else if (how === 1) {
      const limit = this.random.below(this.#slots + 2);
      const messages = of.subscriber.tryReadMany(limit);
      for (const message of messages) this.#expectNext(of, message);
      if (messages.length < limit) this.#expectNext(of, null);
    } else if (how === 2) {
      const limit = this.random.below(this.#slots + 2);
      const read = of.subscriber.drain((memory, at, length) => {
        this.#expectNext(of, memory.slice(at, at + length));
      }, limit);
      if (read < limit) this.#expectNext(of, null);
    } else {
      this.#peekAt(of);
    }
  }

  #peekAt(of: ModelSubscriber): void {
    const lapped = this.#lapped(of);
    const peek = of.subscriber.tryPeek();
    const expected = { ...of };
    this.#resume(expected);
    if (lapped && of.subscriber.missed === of.missed) {
      // It was overwritten, but its slot was not written to yet: there is something to look at which does not count.
      expect(peek?.stillValid).toBe(false);
    } else {
      of.next = expected.next;
      of.missed = expected.missed;
      expectBytes(peek?.bytes ?? null, this.messages[of.next] ?? null);
    }
    of.peek = peek ?? undefined;
    of.assured = false;
  }

  #goOnWithPeek(of: ModelSubscriber, peek: Peek): void {
    const whole = !this.#lapped(of);
    const how = this.random.below(3);
    if (how > 0) {
      expect(peek.stillValid).toBe(whole);
      of.assured ||= whole;
    }
    if (whole) expectBytes(peek.bytes, this.messages[of.next]);
    if (how === 2) return;
    peek.release();
    of.peek = undefined;
    of.next++;
    if (of.assured || whole) {
      of.received++;
      this.popped++;
    } else of.missed++;
  }

  step(): void {
    const act = this.random.below(20);
    if (act === 0) this.addPublisher();
    else if (act === 1) this.addSubscriber();
    else if (act === 2) this.closeOne();
    else if (act < 10) this.publish();
    else this.read();
    for (const { subscriber, missed } of this.subscribers) expect(subscriber.missed).toBe(missed);
  }

  /** Reads all that is left, after which each message was received or missed. */
  finish(): void {
    for (const of of this.subscribers) {
      const from = of.next - of.received - of.missed;
      while (of.peek !== undefined || of.next < this.messages.length) this.read(of);
      expect(of.subscriber.missed).toBe(of.missed);
      expect(of.received + of.subscriber.missed).toBe(this.messages.length - from);
    }
    const before = this.#start === 0 ? 0 : this.#start - this.#slots;
    expect(this.ring.stats()).toMatchObject({
      pushed: before + this.messages.length,
      popped: this.popped,
      missed: this.subscribers.reduce((sum, { missed }) => sum + missed, 0),
      used: 0,
    });
    for (const handle of this.handles) handle.close();
  }
}

for (const backend of BACKENDS) {
  for (const onSlow of ['block', 'overwrite'] as const) {
    describe(`a broadcast ring that ${onSlow === 'block' ? 'blocks' : 'overwrites'}, over ${backend}`, () => {
      for (const slots of [2, 4, 8, 64]) {
        it(`follows the model: ${slots} slots`, () => {
          const random = new Random(seed + slots);
          for (let round = 0; round < 6; round++) {
            const model = new Model(backend, slots, onSlow, random);
            model.addPublisher();
            model.addSubscriber();
            for (let step = 0; step < 800; step++) model.step();
            model.finish();
          }
        });

        it(`follows the model where positions wrap at 2^32: ${slots} slots`, () => {
          const random = new Random(seed - slots);
          for (let round = 0; round < 6; round++) {
            const model = new Model(backend, slots, onSlow, random, 2 ** 32 - 1 - random.below(6 * slots));
            model.addPublisher();
            model.addSubscriber();
            for (let step = 0; step < 400 || model.ring.stats().pushed < 2 ** 32; step++) model.step();
            model.finish();
          }
        });
      }
    });
  }
}
