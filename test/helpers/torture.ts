// How much the long tests do: RINGWAY_TORTURE=1 for twenty times as much, RINGWAY_TORTURE=short for a fifth, which CI
// takes to show that another Node behaves like the one that had the whole.
const asked = process.env.RINGWAY_TORTURE;

export const TIMES = asked === '1' ? 20 : asked === 'short' ? 0.2 : 1;

/** Stretches a watchdog with the work. */
export const PATIENCE = Math.max(1, TIMES);
