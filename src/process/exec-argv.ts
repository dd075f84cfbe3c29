// Which of Node's own flags a child inherits: those that say how modules are found and run, not those that say what this
// process is started for.

// Each with its value, if it has one.
const DROPPED = [
  /^--inspect(?:-brk|-wait|-port|-publish-uid)?(?:=|$)/,
  /^--debug-port(?:=|$)/,
  /^--watch(?:-[\w-]+)?(?:=|$)/,
  /^--(?:experimental-)?test(?:-[\w-]+)?(?:=|$)/,
  /^--experimental-default-config-file$/,
  /^-(?:e|p|pe|i|c)$/,
  /^--(?:eval|print|interactive|check|input-type|entry-url)(?:=|$)/,
];
// Their value may be the next argument.
const WITH_VALUE =
  /^(?:-e|-p|-pe|--eval|--print|--input-type|--inspect-port|--debug-port|--inspect-publish-uid|--watch-(?:path|kill-signal)|--(?:experimental-)?test-(?:name-pattern|skip-pattern|reporter|reporter-destination|timeout|concurrency|shard|isolation|global-setup|coverage-[\w-]+))$/;

/** The flags of `execArgv` that a child starts with. */
export function inheritedExecArgv(execArgv: readonly string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i < execArgv.length; i++) {
    const flag = execArgv[i];
    if (!DROPPED.some((pattern) => pattern.test(flag))) kept.push(flag);
    else if (WITH_VALUE.test(flag) && i + 1 < execArgv.length && !execArgv[i + 1].startsWith('-')) i++;
  }
  return kept;
}
