// aggregate.ts: flights and their delays per airport. All in whole numbers, so two computations can be compared exactly.

import { readDelay, readOrigin, readOriginCode, recordByteLength } from './record.js';
import type { Flights } from './source.js';

export interface AirportDelays {
  airport: string;
  flights: number;
  /** Minutes. */
  delaySum: number;
  /** Minutes: the smallest delay that at least 95 % of the flights do not exceed. */
  delayP95: number;
}

export interface Summary {
  records: number;
  bytes: number;
  /** The busiest first. */
  airports: AirportDelays[];
}

/** What the receiving end does with each record. */
export class Aggregate {
  #records = 0;
  #bytes = 0;
  readonly #byCode = new Map<number, Delays>();

  /** Takes one record in place; has the shape of what SpscConsumer.drain() calls. */
  readonly add = (memory: Uint8Array, byteOffset: number, byteLength: number): void => {
    const code = readOriginCode(memory, byteOffset);
    let delays = this.#byCode.get(code);
    if (delays === undefined) {
      delays = new Delays(readOrigin(memory, byteOffset)); // A string once per airport, not once per record.
      this.#byCode.set(code, delays);
    }
    delays.add(readDelay(memory, byteOffset));
    this.#records++;
    this.#bytes += byteLength;
  };

  summary(): Summary {
    return summarize(this.#records, this.#bytes, [...this.#byCode.values()]);
  }
}

/** The same from the columns, without records: what every transfer is checked against. */
export function aggregateColumns(flights: Flights): Summary {
  const delays = flights.airports.map((airport) => new Delays(new TextDecoder().decode(airport)));
  let bytes = 0;
  for (let row = 0; row < flights.count; row++) {
    delays[flights.origin[row]].add(flights.delay[row]);
    bytes += recordByteLength(flights, row);
  }
  return summarize(flights.count, bytes, delays);
}

const LOWEST = -(2 ** 15);

/** Flights of one airport, counted by delay: as many counters as an int16 has values. */
class Delays {
  readonly #airport: string;
  readonly #counts = new Uint32Array(2 ** 16);
  #flights = 0;
  #sum = 0;

  constructor(airport: string) {
    this.#airport = airport;
  }

  get flights(): number {
    return this.#flights;
  }

  add(delay: number): void {
    this.#counts[delay - LOWEST]++;
    this.#flights++;
    this.#sum += delay;
  }

  summary(): AirportDelays {
    const rank = Math.ceil((95 * this.#flights) / 100);
    let index = 0;
    for (let seen = this.#counts[0]; seen < rank; seen += this.#counts[index]) index++;
    return { airport: this.#airport, flights: this.#flights, delaySum: this.#sum, delayP95: index + LOWEST };
  }
}

function summarize(records: number, bytes: number, delays: Delays[]): Summary {
  const airports = delays.filter(({ flights }) => flights > 0).map((airport) => airport.summary());
  airports.sort((a, b) => b.flights - a.flights || (a.airport < b.airport ? -1 : 1));
  return { records, bytes, airports };
}
