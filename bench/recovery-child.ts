// A process that is killed while it holds up others in every way there is: `node recovery-child.js HANDLES`. It has taken a
// message from a queue, subscribes to a broadcast and reads nothing, and waits for a permit before anybody else.

import { writeSync } from 'node:fs';
import { BroadcastRing, MpmcRing, Semaphore } from 'ringway';
import type { Handles } from './recovery.js';

/** A waiter has the turn after two sleeps, of which the first lasts 20 ms and the second 40. */
const UNTIL_TURN_MS = 100;

const { jobs, news, permits } = JSON.parse(process.argv[2]) as Handles;
const lease = MpmcRing.attach(jobs).tryTake();
if (lease === null) throw new Error('there is nothing to take');
const subscriber = BroadcastRing.attach(news).subscriber();
const acquired = Semaphore.attach(permits).acquire();
setTimeout(() => writeSync(1, 'ready\n'), UNTIL_TURN_MS);
await acquired;
lease.ack();
subscriber.close();
throw new Error('nobody gave a permit before the kill');
