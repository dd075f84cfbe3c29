// What this process is: the main one, or a child that `Process` started. Set once, before a child loads any module of the
// user's.

import { pid } from '../runtime.js';
import type { WaitOptions } from '../wait/options.js';
import { within } from '../wait/within.js';

/** This process, as its parent knows it. */
export interface CurrentProcess {
  /** What the parent called it; `MainProcess` in one that no `Process` started. */
  readonly name: string;
  readonly pid: number;
  /** Whether it ends when its parent does; false in the main process. */
  readonly killWithParent: boolean;
}

/** The process that started this one. */
export interface ParentProcess {
  /** What its own parent called it; `MainProcess` if it has none. */
  readonly name: string;
  readonly pid: number;
  /** False once it has ended, however it ended. */
  readonly alive: boolean;
  /**
   * Waits until it has ended. Only a child that was started with `killWithParent: false` gets to see that.
   * @returns false after `timeoutMs`
   */
  join(options?: WaitOptions): Promise<boolean>;
}

/** What a parent tells of the two. */
export interface Kinship {
  name: string;
  killWithParent: boolean;
  parentName: string;
  parentPid: number;
}

let kinship: Kinship | undefined;

/** This process: its name and pid. In worker threads it has the name of a main process. */
export const currentProcess: CurrentProcess = {
  get name() {
    return kinship?.name ?? 'MainProcess';
  },
  get pid() {
    return pid;
  },
  get killWithParent() {
    return kinship?.killWithParent ?? false;
  },
};

/** The process that started this one with `Process`; null in others, and in worker threads. */
export let parentProcess: ParentProcess | null = null;

/**
 * @param ended - settles when the parent has ended
 * @param hold - keeps the loop alive until what it returns is called
 */
export function becomeChild(told: Kinship, ended: Promise<void>, hold: () => () => void): void {
  kinship = told;
  let hasEnded = false;
  void ended.then(() => {
    hasEnded = true;
  });
  const { parentName: name, parentPid } = told;
  parentProcess = {
    name,
    pid: parentPid,
    // A child whose loop is busy hears nothing of the end; the system gives an orphan another parent.
    get alive() {
      return !hasEnded && process.ppid === parentPid;
    },
    async join(options: WaitOptions = {}) {
      const release = hold();
      try {
        return await within(
          ended.then(() => true),
          options,
          () => false,
        );
      } finally {
        release();
      }
    },
  };
}
