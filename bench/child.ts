// One end of a measurement in Node: `node child.js SPEC`, started by pair.ts.

import { broadcastRoundTrip, broadcastStream, publishing } from './broadcast-ends.js';
import { ipcRoundTrip, ipcStream, socketRoundTrip, socketStream } from './kernel-ends.js';
import type { Spec } from './meter.js';
import { mpmcStream } from './mpmc-ends.js';
import { forkRoundTrip, forkStream, memcpy, pipeLarge, pipeRoundTrip, pipeStream, socketLarge } from './pipe-ends.js';
import { ipcObjects, queueAwait, queueSync, queueTry } from './queue-ends.js';
import { recordStream } from './record-ends.js';
import { awaiting, park, spin, stream } from './ring-ends.js';

const programs: Record<string, (spec: Spec) => void | Promise<void>> = {
  spin,
  await: awaiting,
  park,
  socket: socketRoundTrip,
  ipc: ipcRoundTrip,
  drain: stream,
  many: stream,
  claim: stream,
  pop: stream,
  copy: stream,
  mpmc: mpmcStream,
  'mpmc-many': mpmcStream,
  'mpmc-pop': mpmcStream,
  'mpmc-pop-many': mpmcStream,
  'mpmc-lease': mpmcStream,
  records: recordStream,
  'records-many': recordStream,
  'records-objects': recordStream,
  'after-1': publishing,
  'after-64': publishing,
  'along-1': publishing,
  'along-64': publishing,
  'broadcast-spin': broadcastRoundTrip,
  'broadcast-stream': broadcastStream,
  'socket-stream': socketStream,
  'ipc-stream': ipcStream,
  'ipc-objects': ipcObjects,
  'queue-try': queueTry,
  'queue-await': queueAwait,
  'queue-sync': queueSync,
  'shm-echo': pipeRoundTrip,
  'shm-echo-sync': pipeRoundTrip,
  'unix-echo': pipeRoundTrip,
  'fork-echo': forkRoundTrip,
  'shm-objects': pipeStream,
  'shm-objects-sync': pipeStream,
  'unix-objects': pipeStream,
  'fork-objects': forkStream,
  'shm-large': pipeLarge,
  'shm-large-sync': pipeLarge,
  'unix-large': pipeLarge,
  'socket-large': socketLarge,
  'shm-into': pipeLarge,
  'shm-into-sync': pipeLarge,
  'memcpy-large': memcpy,
  'memcpy-new': memcpy,
};

const spec = JSON.parse(process.argv[2]) as Spec;
await programs[spec.program](spec);
