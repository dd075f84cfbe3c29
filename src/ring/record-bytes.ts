// What users hand to rings to be copied in.

import { describe } from '../memory/names.js';

// Arrays of another realm are no instances of this one's Uint8Array, but this getter knows them, and cannot be faked.
const typedArrayName = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag)
  ?.get as () => string | undefined;

/** @throws {TypeError} unless it is a Uint8Array, of whatever realm */
export function checkBytes(record: unknown): void {
  if (record instanceof Uint8Array || typedArrayName.call(record) === 'Uint8Array') return;
  throw new TypeError(`a record must be a Uint8Array, not ${describe(record)}`);
}
