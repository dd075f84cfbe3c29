// main.ts: a pool of processes shares jobs, and two of the processes are killed: one in the middle of a job, one between
// the result and the ack. Their jobs are delivered again, and in the end each job was counted exactly once.

import { capabilities, EndOfStreamError, type MpmcRecordRing, MpmcRing } from 'ringway';
import { Failure } from '../common/failure.js';
import { integer } from '../common/format.js';
import { Peer, together } from '../common/peer.js';
import { run } from '../common/run.js';
import { DIES_BEFORE_ACK, DIES_DURING, EXPECTED_PRIMES, JOBS, Job, NUMBERS_PER_JOB, Result } from './jobs.js';

const WORKERS = 4;

await run('workers', main);

async function main(signal: AbortSignal): Promise<void> {
  if (!capabilities.crossProcess) {
    throw new Failure(`a pool of processes needs memory that processes share: ${capabilities.reason}`);
  }
  using jobs = MpmcRing.create({ slots: JOBS, record: Job });
  using results = MpmcRing.create({ slots: JOBS, record: Result });
  const program = new URL('./worker.js', import.meta.url);
  const argument = JSON.stringify({ jobs, results }); // Rings become their handles, which are plain data.
  const workers = Array.from({ length: WORKERS }, () => Peer.process<number>(program, argument, signal));
  await using _ = together(workers);
  await Promise.all(workers.map((worker) => worker.ready()));

  console.log(`${JOBS} jobs for ${WORKERS} processes: count the primes below ${integer(JOBS * NUMBERS_PER_JOB)}.`);
  console.log(`Killed: who takes job ${DIES_DURING}, in the middle; who takes job ${DIES_BEFORE_ACK}, before the ack.`);
  for (let number = 0; number < JOBS; number++) {
    const from = number * NUMBERS_PER_JOB;
    jobs.tryPush({ number, from, to: from + NUMBERS_PER_JOB }); // There is a slot for each.
  }
  jobs.end(); // A worker sees the end when no job is left, and none that somebody else might die with.

  const endings = Promise.all(workers.map((worker) => tellOfEnd(worker, signal)));
  endings.finally(() => results.end()).catch(() => {}); // What went wrong is thrown below.
  const primesOfJob = await collect(results, signal);
  const endedEarly = (await endings).filter((early) => early).length;

  const total = [...primesOfJob.values()].reduce((sum, primes) => sum + primes, 0);
  console.log(
    `${endedEarly} of ${WORKERS} processes died, ${jobs.stats().redelivered} jobs were delivered again, ` +
      `${primesOfJob.size} of ${JOBS} were counted`,
  );
  if (primesOfJob.size !== JOBS || total !== EXPECTED_PRIMES) {
    throw new Failure(`found ${integer(total)} primes, and there are ${integer(EXPECTED_PRIMES)}`);
  }
  console.log(`verified: ${integer(total)} primes, each job counted once`);
}

/** Says how a worker ended; true if before it was done. */
async function tellOfEnd(worker: Peer<number>, signal: AbortSignal): Promise<boolean> {
  try {
    console.log(`  ${worker.name} is done: ${await worker.result()} jobs`);
    return false;
  } catch (error) {
    if (signal.aborted || !(error instanceof Failure)) throw error;
    console.log(`! ${error.message}`);
    return true;
  }
}

/** The primes of each job, by its number, when the last worker has ended. */
async function collect(
  results: MpmcRecordRing<typeof Result.description>,
  signal: AbortSignal,
): Promise<Map<number, number>> {
  const primesOfJob = new Map<number, number>();
  try {
    for (;;) {
      const { number, primes, pid, deliveries } = await results.pop({ signal });
      const line = `job ${String(number).padStart(2)}: ${integer(primes)} primes, by process ${pid}`;
      const again = deliveries > 1 ? `, delivery ${deliveries}` : '';
      const twice = primesOfJob.has(number) ? ', counted already' : '';
      console.log(`${again ? '>' : ' '} ${line}${again}${twice}`);
      primesOfJob.set(number, primes);
    }
  } catch (error) {
    if (!(error instanceof EndOfStreamError)) throw error;
  }
  return primesOfJob;
}
