// An object that stands for the record at hand: one for an end of a ring, moved from record to record.
//
// Measured with 8 fields of 64 bytes, read and written in place (Node 20, ns a record): accessors on a prototype that
// all ends of a record type share, 15 and 29; the same with a #private field, 80 and 87 as soon as a process has more than
// four record types; accessors made for each end, 200 and 250 as soon as one handler serves eight ends. Field by field
// through the typed arrays, without any of it: 13 and 5.

import type { FieldAccess, HasMemory } from './field-access.js';
import type { RecordMemory } from './record-memory.js';

export type CursorClass = new (memory: RecordMemory) => HasMemory;

// No name that a field can have, nor a symbol: loads of a string's property are quicker where a process has many record
// types.
const MEMORY = '~memory';

/**
 * The class of the cursors over records with these fields.
 * @param writable - whether fields can be set
 */
export function cursorClass(fields: readonly FieldAccess[], writable: boolean): CursorClass {
  class Cursor implements HasMemory {
    declare readonly [MEMORY]: RecordMemory;

    constructor(memory: RecordMemory) {
      Object.defineProperty(this, MEMORY, { value: memory });
      Object.preventExtensions(this); // A misspelt field is an error.
    }
  }
  for (const { name, get, set } of fields) {
    Object.defineProperty(Cursor.prototype, name, { enumerable: true, get, ...(writable ? { set } : {}) });
  }
  return Cursor;
}
