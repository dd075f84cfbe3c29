// record.ts: one flight as bytes. A record has a fixed part and two texts, so its length varies:
//
//   offset size
//        0    4  minute       uint32, minutes since 1970
//        4    2  delay        int16, minutes
//        6    2  distance     uint16, miles
//        8    1  byte length of the origin
//        9    1  byte length of the destination
//       10    .  origin, then destination: `ATL Atlanta` in UTF-8
//
// Numbers are little-endian. Everything takes memory and an offset, so it works in place: in a ring or in a buffer.

import type { Flights } from './source.js';

const MINUTE = 0;
const DELAY = 4;
const DISTANCE = 6;
const ORIGIN_LENGTH = 8;
const DESTINATION_LENGTH = 9;
const TEXTS = 10;

/** No record is longer than this, in bytes. */
export const MAX_RECORD_BYTE_LENGTH = TEXTS + 2 * 255;

const decoder = new TextDecoder();

export function recordByteLength({ origin, destination, airports }: Flights, row: number): number {
  return TEXTS + airports[origin[row]].length + airports[destination[row]].length;
}

/** Writes the flight of one row; returns how many bytes that took. */
export function writeRecord(flights: Flights, row: number, memory: Uint8Array, byteOffset: number): number {
  const origin = flights.airports[flights.origin[row]];
  const destination = flights.airports[flights.destination[row]];
  writeUint16(memory, byteOffset + MINUTE, flights.minute[row]);
  writeUint16(memory, byteOffset + MINUTE + 2, flights.minute[row] >>> 16);
  writeUint16(memory, byteOffset + DELAY, flights.delay[row]);
  writeUint16(memory, byteOffset + DISTANCE, flights.distance[row]);
  memory[byteOffset + ORIGIN_LENGTH] = origin.length;
  memory[byteOffset + DESTINATION_LENGTH] = destination.length;
  memory.set(origin, byteOffset + TEXTS);
  memory.set(destination, byteOffset + TEXTS + origin.length);
  return TEXTS + origin.length + destination.length;
}

export function readDelay(memory: Uint8Array, byteOffset: number): number {
  const at = byteOffset + DELAY;
  return ((memory[at] | (memory[at + 1] << 8)) << 16) >> 16; // Carries the sign up and down again.
}

/** The origin's three letters as one number: a key that costs no string. */
export function readOriginCode(memory: Uint8Array, byteOffset: number): number {
  const at = byteOffset + TEXTS;
  return (memory[at] << 16) | (memory[at + 1] << 8) | memory[at + 2];
}

export function readOrigin(memory: Uint8Array, byteOffset: number): string {
  const start = byteOffset + TEXTS;
  // A copy, since a TextDecoder need not take shared memory.
  return decoder.decode(memory.slice(start, start + memory[byteOffset + ORIGIN_LENGTH]));
}

function writeUint16(memory: Uint8Array, byteOffset: number, value: number): void {
  memory[byteOffset] = value;
  memory[byteOffset + 1] = value >>> 8;
}
