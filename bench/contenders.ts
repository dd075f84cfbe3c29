// What is compared. A contender is a program for two processes, in bench/child.ts (Node), bench/peer.cpp (C++) or bench/python_queue.py
// (Python); other
// people's queues are programs for two threads, in bench/queues.cpp.
//
// Every contender writes each message as a whole and reads it as a whole, on the same processor as its calls. Exceptions:
// `bounce` moves one word whatever the size; `memcpy` has one process and no reader; the `copy` programs copy the message
// in and out and look at its first word.

import { ATOMIC_QUEUE, BOOST, CONCURRENT_QUEUE, type Library, READER_WRITER_QUEUE } from './queues.js';

export interface Contender {
  /** In tables. */
  readonly label: string;
  readonly language: 'C++' | 'Node' | 'Python';
  readonly program: string;
  /** Both ends take a processor all the time. */
  readonly spins?: true;
  /** Runs in one process. */
  readonly alone?: true;
  /** The first process starts the second one. */
  readonly forks?: true;
  /** What passes the messages; a ring for one producer and one consumer by default. */
  readonly through?: 'mpmc' | 'queue' | 'records' | 'broadcast' | 'broadcast-overwrite' | Library;
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

/** The one size that other people's queues, records and broadcast rings are measured with. */
export const SMALL_BYTE_LENGTH = 64;

/** One way with typed records, and the queue that they are compared with. */
export const RECORDS: readonly Contender[] = [
  queue('boost-spsc-record', 'boost::lockfree::spsc_queue of structs', BOOST),
  cpp('stream', 'ring in C++, bytes (tryPush, drain)', { spins: true }),
  node('drain', 'ring, bytes (tryPush, drain)', { spins: true }),
  node('records', 'ring of records (tryWrite, drain)', { spins: true, through: 'records' }),
  node('records-many', 'ring of records, 16 at once (tryWriteMany, drain)', { spins: true, through: 'records' }),
  node('records-objects', 'ring of records, objects (tryPush, tryPop)', { spins: true, through: 'records' }),
];

const publishing = (through: 'broadcast' | 'broadcast-overwrite'): readonly Contender[] => [
  node('after-1', '1 subscriber, reads between bursts', { spins: true, through }),
  node('after-64', '64 subscribers, read between bursts', { spins: true, through }),
  node('along-1', '1 subscriber, reads all the time', { spins: true, through }),
  node('along-64', '64 subscribers, read all the time', { spins: true, through }),
];

/** Objects of four fields, one way, and what they are compared with. */
export const OBJECTS: readonly Contender[] = [
  { label: "Python's multiprocessing.Queue (put, get)", language: 'Python', program: 'queue', forks: true },
  node('ipc-objects', 'child_process, advanced', { forks: true }),
  node('queue-try', 'queue, spinning (tryPut, tryGet)', { spins: true, through: 'queue' }),
  node('queue-await', 'queue (await put, for await)', { through: 'queue' }),
  node('queue-sync', 'queue (putSync, getSync)', { through: 'queue' }),
];

/** What publishing costs, by what publishers do when a subscriber is slow. */
export const PUBLISHING = { block: publishing('broadcast'), overwrite: publishing('broadcast-overwrite') } as const;

/** There and back over broadcast rings with one subscriber each, and what they are compared with. */
export const BROADCAST_ROUND_TRIPS: readonly Contender[] = [
  cpp('bounce', 'one word in C++, nothing else', { spins: true }),
  cpp('spin', 'SPSC ring in C++', { spins: true }),
  node('spin', 'SPSC ring (tryPush, drain)', { spins: true }),
  node('broadcast-spin', "broadcast, 'block' (tryPublish, drain)", { spins: true, through: 'broadcast' }),
  node('broadcast-spin', "broadcast, 'overwrite' (tryPublish, drain)", { spins: true, through: 'broadcast-overwrite' }),
];

/** One way to one subscriber. Not with 'overwrite': publishers that do not wait would only overwrite. */
export const BROADCAST_STREAMS: readonly Contender[] = [
  queue('boost-spsc', 'boost::lockfree::spsc_queue', BOOST),
  cpp('stream', 'SPSC ring in C++ (tryPush, drain)', { spins: true }),
  node('drain', 'SPSC ring (tryPush, drain)', { spins: true }),
  node('broadcast-stream', 'broadcast (tryPublish, drain)', { spins: true, through: 'broadcast' }),
];

/** There and back between two processes: a small object. */
export const OBJECT_ROUND_TRIPS: readonly Contender[] = [
  node('shm-echo', "Pipe 'shm', async", { forks: true }),
  node('shm-echo-sync', "Pipe 'shm', Sync", { forks: true }),
  node('unix-echo', "Pipe 'unix', async", { forks: true }),
  node('fork-echo', 'child_process, json', { forks: true }),
];

/** One way: small objects. */
export const OBJECT_STREAMS: readonly Contender[] = [
  node('shm-objects', "Pipe 'shm', async", { forks: true }),
  node('shm-objects-sync', "Pipe 'shm', Sync", { forks: true }),
  node('unix-objects', "Pipe 'unix', async", { forks: true }),
  node('fork-objects', 'child_process, json', { forks: true }),
];

/** Of the typed array that goes one way. */
export const LARGE_BYTE_LENGTH = 64 * 2 ** 20;

/**
 * One way: a typed array of many bytes, and an acknowledgement. What receives into memory of its own is to be compared with
 * memcpy and the socket, what makes a new value each time with memcpy to new memory.
 */
export const LARGE_VALUES: readonly Contender[] = [
  node('memcpy-large', 'memcpy in one process (Uint8Array.set)', { alone: true }),
  node('memcpy-new', 'memcpy in one process, to a new Uint8Array', { alone: true }),
  node('shm-into', "Pipe 'shm', sendBytes, recvBytesInto", { forks: true }),
  node('shm-into-sync', "Pipe 'shm', sendBytesSync, recvBytesIntoSync", { forks: true }),
  node('shm-large', "Pipe 'shm', send, recv", { forks: true }),
  node('shm-large-sync', "Pipe 'shm', sendSync, recvSync", { forks: true }),
  node('unix-large', "Pipe 'unix', send, recv", { forks: true }),
  node('socket-large', 'unix socket (net), into the same memory'),
];
