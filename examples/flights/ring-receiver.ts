// ring-receiver.ts: the receiving end of the ring, in a process or thread of its own.

import { EndOfStreamError, SpscRing } from 'ringway';
import { argument, tell } from '../common/parent.js';
import { Aggregate } from './aggregate.js';
import { RECORDS_PER_TURN } from './transfer.js';

using ring = SpscRing.attach(typeof argument === 'string' ? JSON.parse(argument) : argument);
const consumer = ring.consumer();
const aggregate = new Aggregate();
tell('ready');
try {
  for (;;) {
    await consumer.ready(); // Returns when there is something to read; an empty ring costs nothing.
    consumer.drain(aggregate.add, RECORDS_PER_TURN); // Reads what is there, in place.
  }
} catch (error) {
  if (!(error instanceof EndOfStreamError)) throw error; // The sender closed its end, and everything was read.
}
tell(aggregate.summary());
