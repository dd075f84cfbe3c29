// What is compared. A contender is a program for two processes, in bench/child.ts (Node) or bench/peer.cpp (C++).
//
// Every contender writes each message as a whole and reads it as a whole, on the same processor as its calls. Exceptions:
// `bounce` moves one word whatever the size; `memcpy` has one process and no reader; the `copy` programs copy the message
// in and out and look at its first word.

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
