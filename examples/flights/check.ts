// check.ts: whether a receiver counted exactly what there was to count.

import { isDeepStrictEqual } from 'node:util';
import { Failure } from '../common/failure.js';
import type { Summary } from './aggregate.js';
import type { Transfer } from './transfer.js';

export function check({ receiver, summary }: Transfer, expected: Summary): void {
  if (isDeepStrictEqual(summary, expected)) return;
  const { records, bytes, airports } = summary;
  const i = expected.airports.findIndex((airport, i) => !isDeepStrictEqual(airport, airports[i]));
  throw new Failure(
    `${receiver} received ${records} records of ${bytes} bytes in all, and ${expected.records} of ${expected.bytes} ` +
      `were sent; the first difference: ${JSON.stringify(airports[i])}, not ${JSON.stringify(expected.airports[i])}`,
  );
}
