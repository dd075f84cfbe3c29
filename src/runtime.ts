// What the surroundings offer, asked once. The package has no static import of a `node:` module, so that the rings load
// in a browser too.

interface Immediate {
  unref?(): void;
}

interface Surroundings {
  process?: typeof process;
  Deno?: unknown;
  Bun?: unknown;
  setImmediate?: (callback: () => void) => Immediate;
}

const surroundings = globalThis as Surroundings;
const proc = surroundings.process;

export type Runtime = 'node' | 'bun' | 'deno' | 'browser';

export const runtime: Runtime = surroundings.Bun
  ? 'bun'
  : surroundings.Deno
    ? 'deno'
    : proc?.versions?.node
      ? 'node'
      : 'browser';

/** `linux-x64`, say; `unknown` in a browser. */
export const platform: string = proc?.platform ? `${proc.platform}-${proc.arch}` : 'unknown';

export const pid: number = proc?.pid ?? 0;

/** A module of Node's own, or undefined where there is none. */
export function builtin<Module>(name: string): Module | undefined {
  return proc?.getBuiltinModule?.(name as 'fs') as Module | undefined;
}

export function environmentVariable(name: string): string | undefined {
  return proc?.env?.[name];
}

/** False in worker threads. */
export const isMainThread: boolean =
  builtin<typeof import('node:worker_threads')>('node:worker_threads')?.isMainThread ?? true;

/** Runs `callback` after timers and I/O have had their turn. An unreferenced one does not keep the process alive. */
export function nextTurn(callback: () => void, referenced = true): void {
  if (surroundings.setImmediate === undefined) {
    setTimeout(callback, 0);
    return;
  }
  const immediate = surroundings.setImmediate(callback);
  if (!referenced) immediate.unref?.();
}

/** Calls back at the end of the process, where the runtime runs no exit handlers of native code by itself. */
export function atExitIfNeeded(callback: () => void): void {
  if (runtime === 'bun') proc?.on('exit', callback);
}

/** Calls back at the end of the process, or of the worker, if it ends by itself. */
export function onExit(callback: () => void): void {
  proc?.on?.('exit', callback);
}

export function warn(message: string, code: string): void {
  if (proc?.emitWarning) proc.emitWarning(message, { type: 'RingwayWarning', code });
  else console.warn(message);
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** The signals of native/include/ringway/interrupt.hpp that somebody listens to, as its bit mask. */
export function listenedSignals(): number {
  if (!isMainThread || proc?.listenerCount === undefined) return 0;
  let mask = 0;
  for (let i = 0; i < SIGNALS.length; i++) if (proc.listenerCount(SIGNALS[i] as 'SIGINT') > 0) mask |= 1 << i;
  return mask;
}
