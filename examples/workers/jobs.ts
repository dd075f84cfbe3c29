// jobs.ts: the work there is, and the records in which it travels: each job is a range of numbers whose primes are to be
// counted.

import { record } from 'ringway';

/** The primes from `from` up to, but without, `to`. */
export const Job = record({ number: 'uint32', from: 'uint32', to: 'uint32' });

/** It carries the job's number, so a result that comes twice is known. */
export const Result = record({ number: 'uint32', primes: 'uint32', pid: 'uint32', deliveries: 'uint32' });

export const JOBS = 20;
export const NUMBERS_PER_JOB = 500_000;

/** How many primes there are below 10,000,000 = JOBS x NUMBERS_PER_JOB: https://oeis.org/A006880 */
export const EXPECTED_PRIMES = 664_579;

/** The worker that takes this one dies in the middle of it. */
export const DIES_DURING = 5;
/** The worker that takes this one dies when the result is out and the job not acked. */
export const DIES_BEFORE_ACK = 11;
