// subscriber.ts: one subscriber, in a process or thread of its own. It reads every tick, or knows how many it missed.

import { setTimeout as pause } from 'node:timers/promises';
import { BroadcastRing, EndOfStreamError } from 'ringway';
import { argument, tell } from '../common/parent.js';
import { type Assignment, type Report, ROLES } from './roles.js';
import { Tick } from './tick.js';

const { handle, role }: Assignment = typeof argument === 'string' ? JSON.parse(argument) : argument;
const { indicator: create, ticksPerTurn, pauseMs } = ROLES[role];
const indicator = create();

using ring = BroadcastRing.attach(handle, { record: Tick });
const subscriber = ring.subscriber(); // It sees all that is published from now on.
tell('ready');

let received = 0;
let gaps = 0;
let next = 0; // The number that follows the last one.
const add = (tick: Tick) => {
  received++;
  gaps += tick.number - next;
  next = tick.number + 1;
  indicator.add(tick);
};

try {
  for (;;) {
    await subscriber.ready(); // Returns when there is something to read.
    subscriber.drain(add, ticksPerTurn);
    if (pauseMs > 0) await pause(pauseMs);
  }
} catch (error) {
  if (!(error instanceof EndOfStreamError)) throw error; // The publisher closed its end, and everything was read.
}
const report: Report = { received, missed: subscriber.missed, gaps, result: `${indicator}` };
tell(report);
