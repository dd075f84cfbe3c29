// Names of shared objects, and the files they stand for.

import { builtin, environmentVariable } from '../runtime.js';

const NAME = /^[A-Za-z0-9._-]{1,200}$/;
const UNNAMED = /^~[0-9a-f]{32}$/;

/** Where segments live: `$RINGWAY_SHM_DIR`, or the system's shared-memory file system. */
export function segmentDirectory(): string {
  return environmentVariable('RINGWAY_SHM_DIR') || '/dev/shm';
}

/**
 * @param name - what a user calls a shared object
 * @throws {TypeError} if it is no string
 * @throws {RangeError} unless it is 1 to 200 of `A-Z a-z 0-9 . _ -` and not dots alone
 */
export function checkName(name: unknown): string {
  if (typeof name !== 'string') throw new TypeError(`name must be a string, not ${describe(name)}`);
  if (!NAME.test(name) || /^\.+$/.test(name)) {
    throw new RangeError(`name must be 1 to 200 of A-Z a-z 0-9 . _ - and not dots alone, not ${describe(name)}`);
  }
  return name;
}

/** A name that no user can choose, and that nobody guesses. */
export function unnamedName(): string {
  const random = crypto.getRandomValues(new Uint8Array(16));
  return `~${Array.from(random, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

export function isUnnamed(name: string): boolean {
  return UNNAMED.test(name);
}

/** The file of a name: `/dev/shm/ringway-frames`, or `/dev/shm/ringway~…` for an unnamed object. */
export function pathOf(name: string): string {
  return `${segmentDirectory()}/ringway${isUnnamed(name) ? '' : '-'}${name}`;
}

/** A value as a message shows it: short, quoted, control characters escaped. */
export function describe(value: unknown): string {
  if (typeof value === 'string') {
    const text = value.length > 60 ? `${value.slice(0, 57)}…` : value;
    return `${JSON.stringify(text)}${value.length > 60 ? ` (${value.length} characters)` : ''}`;
  }
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'function') return `the function ${value.name || '(anonymous)'}`;
  if (typeof value !== 'object' || value === null) return String(value);
  return (
    builtin<typeof import('node:util')>('node:util')?.inspect(value, { depth: 0, breakLength: 120 }) ?? 'an object'
  );
}
