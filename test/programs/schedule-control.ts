// What the scheduler of test/broadcast-schedules.test.ts and its worker threads share: an array of words.

/** Those of all, then those of each worker. */
export const Control = { reports: 0, nowMs: 1, entered: 8, workers: 16, next: 16 } as const;
/** Of one worker, from its first word on. */
export const Own = { turn: 0, state: 1, sequence: 2, limited: 3, woken: 4, dies: 5 } as const;
export const State = { running: 0, ready: 1, asleep: 2, idle: 3 } as const;
