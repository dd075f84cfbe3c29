// Tasks: functions that another process finds, by the module that declares them and a name.

import { RingwayError } from '../errors.js';
import { describe } from '../memory/names.js';
import { builtin } from '../runtime.js';

declare const isTask: unique symbol;

/** A function that `Process` can run in a child. Called directly, it runs here. */
export type Task<Args extends unknown[] = never, Result = unknown> = ((...args: Args) => Result) & {
  readonly [isTask]: true;
};

/** Where a child finds a task. */
export interface TaskAddress {
  /** URL of the module that declares it. */
  readonly module: string;
  readonly name: string;
}

type AnyFunction = (...args: never[]) => unknown;

// The tasks of one evaluation of a module. A module that is evaluated again, as test runners do, declares them again.
interface Declared {
  /** Its import.meta, of which each evaluation has its own. */
  by: object | undefined;
  readonly tasks: Map<string, AnyFunction>;
}
const modules = new Map<string, Declared>();
const addresses = new WeakMap<AnyFunction, TaskAddress>();

/**
 * Declares a function that `Process` can run in another process. That process imports the module and finds the task by its
 * name, so call it at the module's top level, under no condition. The function need not be exported. Its arguments and its
 * result travel as the structured clone algorithm has it, shared objects included; what it refers to outside itself is what
 * the module holds there.
 * @example export const add = task(import.meta, 'add', (a: number, b: number) => a + b);
 * @param where - the module that makes this call: `import.meta`, or `__filename` in CommonJS; also a file's URL or absolute path
 * @param name - not used for another task of the module
 * @returns `fn` itself: called directly it runs here
 * @throws {TypeError} for another kind of argument, a relative path, or a second task of that name in the module
 */
export function task<Args extends unknown[], Result>(
  where: { readonly url: string } | URL | string,
  name: string,
  fn: (...args: Args) => Result,
): Task<Args, Result> {
  const module = moduleUrl(where);
  if (typeof name !== 'string' || name === '') {
    throw new TypeError(`the second argument of task is its name, not ${describe(name)}: task(import.meta, 'work', …)`);
  }
  if (typeof fn !== 'function') {
    throw new TypeError(`the third argument of task ${describe(name)} is a function, not ${describe(fn)}`);
  }
  const by = where instanceof URL || typeof where === 'string' ? undefined : where;
  let declared = modules.get(module);
  if (declared === undefined || (by !== undefined && declared.by !== undefined && declared.by !== by)) {
    declared = { by, tasks: new Map() };
    modules.set(module, declared);
  }
  declared.by ??= by;
  if (declared.tasks.has(name)) {
    throw new TypeError(
      `there are two tasks ${describe(name)} in ${module}: a child could not tell which one is meant`,
    );
  }
  declared.tasks.set(name, fn as AnyFunction);
  addresses.set(fn as AnyFunction, { module, name });
  return fn as Task<Args, Result>;
}

function moduleUrl(where: unknown): string {
  const url = where instanceof URL ? where.href : typeof where === 'string' ? where : (where as { url?: string })?.url;
  if (typeof url !== 'string') {
    throw new TypeError(
      `the first argument of task is the module that calls it, not ${describe(where)}: ` +
        'task(import.meta, …), or task(__filename, …) in CommonJS',
    );
  }
  if (builtin<typeof import('node:path')>('node:path')?.isAbsolute(url)) {
    return (builtin<typeof import('node:url')>('node:url') as typeof import('node:url')).pathToFileURL(url).href;
  }
  if (/^[a-z][a-z\d+.-]+:/i.test(url)) return url;
  throw new TypeError(
    `${describe(url)} is relative, and a child has no way to tell to what: ` +
      'task(import.meta, …), or task(__filename, …) in CommonJS',
  );
}

/**
 * Where a child finds the task.
 * @throws {TypeError} if it is none, or if its module cannot be imported
 */
export function addressOf(fn: unknown, taker: string): TaskAddress {
  const address = typeof fn === 'function' ? addresses.get(fn as AnyFunction) : undefined;
  if (address === undefined) {
    const name = typeof fn === 'function' && /^[\w$]+$/.test(fn.name) ? fn.name : 'work';
    const why = typeof fn === 'function' ? ': a function cannot travel to another process' : '';
    throw new TypeError(
      `${taker} takes a task, not ${describe(fn)}${why}. Declare it at the top level of a module: ` +
        `const ${name} = task(import.meta, '${name}', async () => { … })`,
    );
  }
  if (/\/\[(?:eval\d*|stdin)\]$/.test(address.module)) {
    throw new TypeError(
      `task ${describe(address.name)} is in a program that has no file (${address.module}), which a child cannot import: ` +
        'put it into a module',
    );
  }
  return address;
}

/**
 * The function behind an address, when its module has been imported.
 * @throws {RingwayError} `ERR_RINGWAY_STATE` that shows which tasks the module has
 */
export function findTask({ module, name }: TaskAddress, bootUrl: string): AnyFunction {
  const tasks = modules.get(module)?.tasks;
  const found = tasks?.get(name);
  if (found !== undefined) return found;
  const there = [...(tasks?.keys() ?? [])].map(describe).join(', ');
  const hint = there
    ? `there are ${there}. Is task() called at its top level, whatever process it is in?`
    : 'there are none. Is its import.meta the first argument of task(), is task() called at its top level, and does it ' +
      `import the same ringway as its parent (${bootUrl})?`;
  throw new RingwayError(`module ${module} has no task ${describe(name)}: ${hint}`, 'ERR_RINGWAY_STATE');
}
