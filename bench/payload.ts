// What every message holds: 64-bit floats, the first of which is the message's number and the others follow from it, so
// that a reader checks the whole message by adding it up. Twin of Payload in peer.cpp.

/** First word of the message after which the measurement starts. */
export const MEASURE = -1;
/** First word of the last message. */
export const STOP = -2;

/** What a message holds behind its first word, all over. */
export function otherWord(first: number): number {
  return first < 0 ? 0 : first % 65536;
}

/** A message to be sent, written anew for each. */
export class Payload {
  readonly words: Float64Array;
  readonly bytes: Uint8Array;

  constructor(words: Float64Array) {
    this.words = words;
    this.bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  }

  static of(byteLength: number): Payload {
    return new Payload(new Float64Array(byteLength / 8));
  }

  write(first: number): void {
    fill(this.words, first);
  }
}

/** Writes all words. */
export function fill(words: Float64Array, first: number): void {
  const other = otherWord(first);
  words[0] = first;
  // A call into native code, which pays from some length on.
  if (words.length > 64) words.fill(other, 1);
  else for (let i = 1; i < words.length; i++) words[i] = other;
}

/**
 * Reads a whole message and checks it.
 * @param from - index of its first word in `words`
 * @param count - how many words it has
 * @returns its first word
 */
export function read(words: Float64Array, from: number, count: number): number {
  const first = words[from];
  const end = from + count;
  let i = from + 1;
  let sum = 0;
  if (count >= 16) {
    // Four sums, or each addition would wait for the one before it.
    let [a, b, c, d] = [0, 0, 0, 0];
    for (; i + 4 <= end; i += 4) {
      a += words[i];
      b += words[i + 1];
      c += words[i + 2];
      d += words[i + 3];
    }
    sum = a + b + c + d;
  }
  for (; i < end; i++) sum += words[i];
  if (sum !== (count - 1) * otherWord(first)) throw new Error(`message ${first} arrived as something else`);
  return first;
}

/** The words of a message that arrived as bytes of its own. */
export function wordsOf(bytes: Uint8Array): Float64Array {
  const aligned = bytes.byteOffset % 8 === 0 ? bytes : bytes.slice();
  return new Float64Array(aligned.buffer, aligned.byteOffset, aligned.length / 8);
}

/** A drain handler that reads messages where they lie. `first` is what the last one began with. */
export function inPlaceReader() {
  let seen: Uint8Array | undefined;
  let words: Float64Array = new Float64Array(0);
  const reader = {
    first: 0,
    onRecord: (memory: Uint8Array, byteOffset: number, byteLength: number) => {
      if (seen !== memory) words = wordsOf(memory); // The first time only.
      seen = memory;
      reader.first = read(words, byteOffset >> 3, byteLength >> 3);
    },
  };
  return reader;
}
