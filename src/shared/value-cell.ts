// What a Value does with its memory, whatever its type.

/** One value in a segment. Each method is one indivisible step for all who see it, and gives the value from before. */
export interface ValueCell {
  load(): unknown;
  exchange(value: unknown): unknown;
  compareExchange(expected: unknown, value: unknown): unknown;
  /** Calls `next` again, with the new value, whenever another one was quicker. */
  update(next: (value: unknown) => unknown): unknown;
  add(n: unknown): unknown;
}
