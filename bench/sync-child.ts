// One of two processes that want a lock all the time: `node sync-child.js HANDLES`, started by sync.ts. As mutex.cpp.

import { Lock, type SegmentHandle, SharedArray } from 'ringway';

/** What both attach to. */
export interface SyncHandles {
  lock: SegmentHandle;
  /** Whose turn it is, and whether it is over. */
  words: SegmentHandle;
  me: 0 | 1;
  warmupMs: number;
  measureMs: number;
}

const { lock: lockHandle, words, me, warmupMs, measureMs } = JSON.parse(process.argv[2]) as SyncHandles;
using lock = Lock.attach(lockHandle);
using shared = SharedArray.attach(words, { type: 'int32' });
const { view } = shared;

// Begins when both are there.
Atomics.add(view, 2, 1);
while (Atomics.load(view, 2) < 2);
let begin = performance.now();
let warm = false;
let given = 0;
for (let over = false; !over; ) {
  const guard = lock.lockSync();
  over = view[1] === 1;
  if (view[0] === me) {
    view[0] = 1 - me;
    given++;
    const tookMs = performance.now() - begin;
    if (!warm && tookMs >= warmupMs) {
      warm = true;
      begin += tookMs;
      given = 0;
    } else if (warm && tookMs >= measureMs) {
      view[1] = 1;
    }
  }
  guard.release();
}
console.log(JSON.stringify({ handOverNs: ((performance.now() - begin) * 1e6) / (2 * given) }));
