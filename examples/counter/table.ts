// table.ts: the words and their counts, in memory that all processes share. Each change takes several steps, so whoever
// makes one has the lock; and whoever gets the lock after one that died in the middle makes the table anew.

import { type Lock, record, type SegmentHandle, SharedArray, Value } from 'ringway';
import { countWords } from './text.js';

const Entry = record({ word: 'utf8[32]', count: 'uint32' });
const ENTRIES = 1 << 13; // A power of two, several times the words that there are.

/** What is up with a part of the text: open, or done, or the pid of the process that has taken it. */
const OPEN = 0;
const DONE = -1;

/** Leads another process to the table. */
export interface TableHandles {
  entries: SegmentHandle;
  parts: SegmentHandle;
  total: SegmentHandle;
}

/** Told when a table was made anew: after whose death, and from how many parts. */
export type OnRepair = (diedPid: number | undefined, parts: number) => void;

export class WordTable implements Disposable {
  readonly #entries: SharedArray<typeof Entry>; // Open addressing: a word stands at its hash, or behind.
  readonly #parts: SharedArray<'int32'>;
  readonly #total: Value<'uint32'>;
  readonly #text: readonly string[];
  readonly #onRepair: OnRepair;

  private constructor(
    entries: SharedArray<typeof Entry>,
    parts: SharedArray<'int32'>,
    total: Value<'uint32'>,
    text: readonly string[],
    onRepair: OnRepair,
  ) {
    this.#entries = entries;
    this.#parts = parts;
    this.#total = total;
    this.#text = text;
    this.#onRepair = onRepair;
  }

  /** One lock for all three, since they change together. */
  static create(lock: Lock, text: readonly string[], onRepair: OnRepair): WordTable {
    return new WordTable(
      new SharedArray(Entry, ENTRIES, { lock }),
      new SharedArray('int32', text.length, { lock }),
      new Value('uint32', 0, { lock }),
      text,
      onRepair,
    );
  }

  static attach({ entries, parts, total }: TableHandles, text: readonly string[], onRepair: OnRepair): WordTable {
    return new WordTable(
      SharedArray.attach(entries, { type: Entry }),
      SharedArray.attach(parts, { type: 'int32' }),
      Value.attach(total, { type: 'uint32' }),
      text,
      onRepair,
    );
  }

  toJSON(): TableHandles {
    return { entries: this.#entries.handle, parts: this.#parts.handle, total: this.#total.handle };
  }

  /** How many words were counted. */
  get total(): number {
    return this.#total.value;
  }

  /** The number of a part that nobody else has; undefined if there is none left. */
  take(): Promise<number | undefined> {
    return this.#alone(() => {
      const number = this.#parts.view.indexOf(OPEN);
      if (number < 0) return undefined;
      this.#parts.set(number, process.pid);
      return number;
    });
  }

  /**
   * Adds the words of a part.
   * @param halfway - called in the middle of it
   */
  add(number: number, counts: ReadonlyMap<string, number>, halfway = () => {}): Promise<void> {
    return this.#alone(() => this.#add(number, counts, halfway));
  }

  /** Gives back what somebody has taken who is gone: its parts are open again. */
  reopen(): Promise<void> {
    return this.#alone(() => this.#parts.set(this.#parts.view.map((state) => (state === DONE ? DONE : OPEN))));
  }

  /** All words with their counts. */
  words(): Promise<Map<string, number>> {
    return this.#alone(
      () => new Map([...this.#entries].filter(({ count }) => count > 0).map((e) => [e.word, e.count])),
    );
  }

  [Symbol.dispose](): void {
    for (const shared of [this.#entries, this.#parts, this.#total]) shared.close();
  }

  #alone<Result>(fn: () => Result): Promise<Result> {
    return this.#entries.withLock((guard) => {
      if (guard.ownerDied) this.#repair(guard.diedPid);
      return fn();
    });
  }

  // Which parts are done is certain: a part is marked last. So is what is in them.
  #repair(diedPid: number | undefined): void {
    this.#entries.view.fill(0);
    this.#total.set(0);
    const done: number[] = [];
    this.#parts.view.forEach((state, number) => {
      if (state === DONE) done.push(number);
      else if (state === diedPid) this.#parts.set(number, OPEN);
    });
    for (const number of done) this.#add(number, countWords(this.#text[number] as string));
    this.#onRepair(diedPid, done.length);
  }

  #add(number: number, counts: ReadonlyMap<string, number>, halfway = () => {}): void {
    let left = counts.size >> 1;
    for (const [word, count] of counts) {
      const at = this.#find(word);
      const entry = this.#entries.at(at);
      this.#entries.set(at, { word, count: (entry?.count ?? 0) + count });
      this.#total.add(count);
      if (--left === 0) halfway();
    }
    this.#parts.set(number, DONE);
  }

  #find(word: string): number {
    let at = 0;
    for (const letter of word) at = (at * 31 + letter.charCodeAt(0)) % ENTRIES;
    for (;;) {
      const entry = this.#entries.at(at);
      if (entry === undefined || entry.count === 0 || entry.word === word) return at;
      at = (at + 1) % ENTRIES;
    }
  }
}
