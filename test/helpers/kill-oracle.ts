// Judges what the lives of two ends acknowledged before they were killed: nothing that was published is lost, nothing is
// invented, and nothing comes again but what a dead consumer had not given back.

/** A record: number `number` of life `epoch` of the producer. */
export interface Mark {
  epoch: number;
  number: number;
}

/** Before a push `attempted` is stored, after it `published`; what a dead life really published lies in between. */
export interface ProducerLife {
  epoch: number;
  attempted: number;
  published: number;
}

export type Form = 'pop' | 'peek' | 'drain';

export interface Run {
  epoch: number;
  first: number;
  last: number;
}

/** What a consumer acknowledged: after each pop, before each release. */
export interface ConsumerLife {
  life: number;
  form: Form;
  runs: Run[];
}

export interface Verdict {
  /** Acknowledged, each time it was. */
  records: number;
  /** Those that came again. */
  repeated: number;
  /** Popped by a life that was killed before it acknowledged them. */
  inHand: number;
}

/**
 * @param mostRepeated - how many records a drain may have read and not yet given back
 * @throws {Error} that says which rule is broken where
 */
export function judge(producers: ProducerLife[], consumers: ConsumerLife[], mostRepeated: number): Verdict {
  // How many records each life has published, as far as is known.
  const least = new Map(producers.map(({ epoch, published }) => [epoch, published]));
  const most = new Map(producers.map(({ epoch, attempted }) => [epoch, attempted]));
  const atLeast = (epoch: number) => least.get(epoch) ?? 0;
  const atMost = (epoch: number) => most.get(epoch) ?? 0;
  const verdict: Verdict = { records: 0, repeated: 0, inHand: 0 };
  let at: Mark = { epoch: 0, number: -1 };
  most.set(0, 0);
  let mayMiss = 0;
  let mayRepeat = 0;

  for (const { life, form, runs } of consumers) {
    const blame = (what: string): never => {
      throw new Error(`consumer ${life} (${form}): ${what}; what it acknowledged: ${JSON.stringify(runs)}`);
    };
    for (const [index, { epoch, first, last }] of runs.entries()) {
      const to = { epoch, number: first };
      // Only a life's first record may repeat or miss something; a live consumer's records have no gaps.
      if (index === 0 && !isBehind(to, at)) {
        const repeated = distance(to, at, atLeast);
        if (repeated > mayRepeat) blame(`${repeated} records came again, from ${show(to)} to ${show(at)}`);
        verdict.repeated += repeated;
      } else {
        const missed = missing(at, to, atLeast);
        if (missed > (index === 0 ? mayMiss : 0)) {
          blame(`${missed} records or more are missing between ${show(at)} and ${show(to)}`);
        }
        verdict.inHand += missed;
        // A life that another one's record follows has published no more than was read, or was in hand.
        for (let before = at.epoch; before < epoch; before++) {
          const read = before === at.epoch ? at.number + 1 : 0;
          if (read > atMost(before)) blame(`life ${before} cannot have published ${read} records`);
          least.set(before, Math.max(atLeast(before), read));
          most.set(before, Math.min(atMost(before), read + (index === 0 ? mayMiss : 0)));
        }
      }
      if (last >= atMost(epoch)) {
        blame(`${show({ epoch, number: last })} was read, and ${atMost(epoch)} were published at most`);
      }
      verdict.records += last - first + 1;
      at = { epoch, number: last };
    }
    const kept = runs.length > 0;
    mayMiss = (kept ? 0 : mayMiss) + (form === 'pop' ? 1 : 0);
    if (kept) mayRepeat = { pop: 0, peek: 1, drain: mostRepeated }[form];
  }

  // The last consumer read until nothing was left.
  const end = { epoch: Math.max(0, ...most.keys()) + 1, number: 0 };
  const missed = missing(at, end, atLeast);
  if (missed > 0) throw new Error(`${missed} records that were published were never read: the last was ${show(at)}`);
  return verdict;
}

function isBehind(a: Mark, b: Mark): boolean {
  return a.epoch > b.epoch || (a.epoch === b.epoch && a.number > b.number);
}

// How many records from `from` up to `to`, both counted; at least.
function distance(from: Mark, to: Mark, published: (epoch: number) => number): number {
  let records = to.number + 1 - (from.epoch === to.epoch ? from.number : 0);
  for (let epoch = from.epoch; epoch < to.epoch; epoch++) {
    records += published(epoch) - (epoch === from.epoch ? from.number : 0);
  }
  return records;
}

// How many records between the two, at least.
function missing(from: Mark, to: Mark, published: (epoch: number) => number): number {
  if (from.epoch === to.epoch) return to.number - from.number - 1;
  let records = Math.max(0, published(from.epoch) - from.number - 1) + to.number;
  for (let epoch = from.epoch + 1; epoch < to.epoch; epoch++) records += published(epoch);
  return records;
}

function show({ epoch, number }: Mark): string {
  return `record ${number} of life ${epoch}`;
}
