// What can be called of an object: its own methods and those of its classes, as they are when it is exposed. Nothing is
// looked up by a name that came from elsewhere, and no getter runs.

import { describe } from '../memory/names.js';

// biome-ignore lint/suspicious/noExplicitAny: whatever the method takes
export type Method = (...args: any[]) => unknown;

/** How many names an error lists. */
const SHOWN_NAMES = 20;

/** Names that are no methods, whatever stands there; and `then`, which no remote has. */
const NEVER = new Set(['constructor', '__proto__', 'then']);

/**
 * @throws {TypeError} unless the object has methods
 */
export function methodsOf(api: unknown): ReadonlyMap<string, Method> {
  if (typeof api !== 'object' || api === null) {
    throw new TypeError(`expose takes an object with methods, not ${describe(api)}`);
  }
  const methods = new Map<string, Method>();
  for (let object: object | null = api; object !== null && !isBuiltIn(object); object = Object.getPrototypeOf(object)) {
    for (const name of Object.getOwnPropertyNames(object)) {
      const method = Object.getOwnPropertyDescriptor(object, name)?.value;
      // What the nearest of them calls by that name hides what those before it do, whether it is a method or not.
      if (!NEVER.has(name) && !methods.has(name)) methods.set(name, method);
    }
  }
  for (const [name, method] of methods) if (typeof method !== 'function' || isClass(method)) methods.delete(name);
  if (methods.size > 0) return methods;
  throw new TypeError(`expose takes an object with methods; ${describe(api)} has none`);
}

/** The error of a call of something else. */
export function noSuchMethod(name: string, methods: ReadonlyMap<string, Method>): TypeError {
  const names = [...methods.keys()].sort();
  const shown = names.slice(0, SHOWN_NAMES).map((known) => describe(known).slice(1, -1));
  const rest = names.length > SHOWN_NAMES ? ` and ${names.length - SHOWN_NAMES} more` : '';
  return new TypeError(`there is no method ${describe(name)}; there are ${shown.join(', ')}${rest}`);
}

/** Whether it is the prototype of one of the language's or the system's own classes: Object, Map, Function. */
function isBuiltIn(prototype: object): boolean {
  const made = Object.getOwnPropertyDescriptor(prototype, 'constructor')?.value;
  return typeof made === 'function' && made.prototype === prototype && / \[native code\] /.test(sourceOf(made));
}

/** A class in a property, say: it cannot be called. */
function isClass(method: Method): boolean {
  return /^class\b/.test(sourceOf(method));
}

const sourceOf = (made: Method) => Function.prototype.toString.call(made);
