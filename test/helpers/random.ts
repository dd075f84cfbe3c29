// Randomness that can be repeated: RINGWAY_TEST_SEED=<seed> npx vitest run <file>.

/** The seed of this run, printed where a test asks for it. */
export const seed: number = Number(process.env.RINGWAY_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));

export function announceSeed(what: string): void {
  console.log(`${what}: RINGWAY_TEST_SEED=${seed}`);
}

export class Random {
  #state: number;

  constructor(from: number = seed) {
    this.#state = from >>> 0;
  }

  /** 32 bits. Mulberry32, by Tommy Ettinger. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let bits = this.#state;
    bits = Math.imul(bits ^ (bits >>> 15), bits | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return (bits ^ (bits >>> 14)) >>> 0;
  }

  /** A whole number from 0 to `end - 1`. */
  below(end: number): number {
    return this.next() % end;
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)] as Item;
  }
}
