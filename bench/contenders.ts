// What is compared. A contender is a program for two processes, in bench/child.ts (Node) or bench/peer.cpp (C++); other
// people's queues are programs for two threads, in bench/queues.cpp.
//
// Every contender writes each message as a whole and reads it as a whole, on the same processor as its calls. Exceptions:
// `bounce` moves one word whatever the size; `memcpy` has one process and no reader; the `copy` programs copy the message
// in and out and look at its first word.

import { ATOMIC_QUEUE, BOOST, CONCURRENT_QUEUE, type Library, READER_WRITER_QUEUE } from './queues.js';

export interface Contender {
  /** In tables. */
  readonly label: string;
  readonly language: 'C++' | 'Node';
  readonly program: string;
  /** Both ends take a processor all the time. */
  readonly spins?: true;
  /** Runs in one process. */
  readonly alone?: true;
  /** The first process starts the second one. */
  readonly forks?: true;
  /** What passes the messages; a ring for one producer and one consumer by default. */
  readonly through?: 'mpmc' | Library;
  /** Sizes it runs with; all by default. */
  readonly only?: readonly number[];
}

export const BYTE_LENGTHS = [8, 64, 1024, 65536] as const;

const cpp = (program: string, label: string, more: Partial<Contender> = {}): Contender => {
  return { label, language: 'C++', program, ...more };
};
const node = (program: string, label: string, more: Partial<Contender> = {}): Contender => {
  return { label, language: 'Node', program, ...more };
};

/** There and back. */
export const ROUND_TRIPS: readonly Contender[] = [
  cpp('bounce', 'one word in C++, nothing else', { spins: true }),
  cpp('bounce-pause', 'the same with a pause instruction', { spins: true }),
  cpp('spin', 'ring in C++, spinning', { spins: true }),
  node('spin', 'ring, spinning (tryPush, drain)', { spins: true }),
  node('await', 'ring, await push and pop'),
  cpp('park', 'ring in C++, sleeping'),
  node('park', 'ring, sleeping (pushSync, popSync)'),
  node('socket', 'unix socket (net)'),
  node('ipc', 'child_process, advanced', { forks: true }),
];

const LARGE = [65536];

/** One way, as fast as it goes. */
export const STREAMS: readonly Contender[] = [
  cpp('stream', 'ring in C++ (tryPush, drain)', { spins: true }),
  node('drain', 'ring (tryPush, drain)', { spins: true }),
  node('many', 'ring (tryPushMany, drain)', { spins: true }),
  node('claim', 'ring (tryClaim, tryPeek)', { spins: true }),
  node('pop', 'ring (tryPush, tryPop)', { spins: true }),
  cpp('memcpy', 'memcpy in C++, to one place', { spins: true, alone: true, only: LARGE }),
  cpp('memcpy-walk', 'memcpy in C++, through 16 MiB', { spins: true, alone: true, only: LARGE }),
  cpp('copy', 'ring in C++, copied in and out', { spins: true, only: LARGE }),
  node('copy', 'ring, copied in and out (tryPush, drain)', { spins: true, only: LARGE }),
  node('socket-stream', 'unix socket (net)'),
  node('ipc-stream', 'child_process, advanced', { forks: true }),
];

const queue = (program: string, label: string, through: Library): Contender => {
  return cpp(program, label, { spins: true, alone: true, through });
};

/** One way through queues for many producers and consumers, and those that they are compared with; one of each here. */
export const QUEUES: readonly Contender[] = [
  queue('concurrentqueue', 'moodycamel::ConcurrentQueue', CONCURRENT_QUEUE),
  queue('concurrentqueue-16', 'moodycamel::ConcurrentQueue, 16 at once', CONCURRENT_QUEUE),
  queue('atomic_queue', 'atomic_queue::AtomicQueue2', ATOMIC_QUEUE),
  queue('boost-queue', 'boost::lockfree::queue', BOOST),
  queue('readerwriterqueue', 'moodycamel::ReaderWriterQueue (1 to 1)', READER_WRITER_QUEUE),
  queue('boost-spsc', 'boost::lockfree::spsc_queue (1 to 1)', BOOST),
  queue('boost-spsc-16', 'boost::lockfree::spsc_queue, 16 at once (1 to 1)', BOOST),
  cpp('mpmc', 'ring in C++', { spins: true, through: 'mpmc' }),
  node('mpmc', 'ring (tryPush, drain of one)', { spins: true, through: 'mpmc' }),
  node('mpmc-many', 'ring, 16 at once (tryPushMany, drain)', { spins: true, through: 'mpmc' }),
  node('mpmc-pop', 'ring (tryPush, tryPop)', { spins: true, through: 'mpmc' }),
  node('mpmc-pop-many', 'ring, 16 at once (tryPushMany, tryPopMany)', { spins: true, through: 'mpmc' }),
  node('mpmc-lease', 'ring (tryClaim, tryTake)', { spins: true, through: 'mpmc' }),
];

/** What the others have messages of. */
export const QUEUE_BYTE_LENGTH = 64;
