// worker.ts: one process of the pool. It takes jobs until there are none. A job is its own by a lease: if it dies with
// the lease, another process gets the job.

import { MpmcRing } from 'ringway';
import { argument, tell } from '../common/parent.js';
import { DIES_BEFORE_ACK, DIES_DURING, Job, Result } from './jobs.js';
import { countPrimes } from './primes.js';

const handles = JSON.parse(argument);
using jobs = MpmcRing.attach(handles.jobs, { record: Job });
using results = MpmcRing.attach(handles.results, { record: Result });
tell('ready');

let done = 0;
for await (const lease of jobs.leases()) {
  const { number, from, to } = lease.value;
  const { deliveries } = lease;
  const middle = (from + to) / 2;
  let primes = countPrimes(from, middle);
  if (number === DIES_DURING && deliveries === 1) crash();
  primes += countPrimes(middle, to);

  // First the result, then the ack. Between them a death makes the result come twice; the other way round it would
  // make it come never.
  await results.push({ number, primes, pid: process.pid, deliveries });
  if (number === DIES_BEFORE_ACK && deliveries === 1) crash();
  lease.ack();
  done++;
}
tell(done); // No more jobs, and nobody holds one that could still come again.

// Nothing runs after this, no `using`, no handler: as if the kernel had ended us for want of memory.
function crash(): void {
  process.kill(process.pid, 'SIGKILL');
}
