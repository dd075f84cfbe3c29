// What several test files do with rings.
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import type { BroadcastRing, SegmentHandle, SpscProducer, SpscRing } from 'ringway';
import { expect } from 'vitest';
import { bodyOffsetFor, SpscHeader } from '../../src/layout.js';
import { pathOf } from '../../src/memory/names.js';
import type { Segment } from '../../src/memory/segment.js';
import { formatBroadcast } from '../../src/ring/broadcast-slots.js';

export const BACKENDS = ['shm', 'sab'] as const;

export const DEFAULT_PARTICIPANTS = 64;

interface HasHandle {
  handle: SegmentHandle;
}

/** A record that differs from others of its length, and in every byte from its neighbours. */
export function recordOf(byteLength: number, number = 0): Uint8Array {
  const bytes = new Uint8Array(byteLength);
  for (let at = 0; at < byteLength; at++) bytes[at] = (at * 7 + number * 31 + byteLength) & 255;
  return bytes;
}

/** The file of a ring in shared memory. */
export function fileOf(ring: HasHandle): string {
  const { handle } = ring;
  if (handle.backend !== 'shm') throw new Error('no file');
  return pathOf(handle.name);
}

/** Writes a word of the ring's body behind its back. */
export function pokeBody(ring: HasHandle, offset: number, value: number, maxParticipants = DEFAULT_PARTICIPANTS): void {
  poke(ring, bodyOffsetFor(maxParticipants) + offset, value);
}

/** Writes a word of the segment behind its back. */
export function poke(ring: HasHandle, offset: number, value: number): void {
  const { handle } = ring;
  if (handle.backend === 'sab') {
    new Uint32Array(handle.memory)[offset >> 2] = value;
    return;
  }
  const file = openSync(fileOf(ring), 'r+');
  writeSync(file, new Uint8Array(new Uint32Array([value]).buffer), 0, 4, offset);
  closeSync(file);
}

/** A copy of the whole segment. */
export function imageOf(ring: HasHandle): Uint8Array {
  const { handle } = ring;
  return new Uint8Array(handle.backend === 'sab' ? new Uint8Array(handle.memory) : readFileSync(fileOf(ring)));
}

/** As if this much had passed through the ring already. Before any end is taken. */
export function startPositionsAt(ring: SpscRing, position: number, maxParticipants = DEFAULT_PARTICIPANTS): void {
  pokeBody(ring, SpscHeader.tail, position, maxParticipants);
  pokeBody(ring, SpscHeader.head, position, maxParticipants);
}

/** As if the ring's first message came at this position, behind as many empty ones as it holds. Before any end is taken. */
export function startBroadcastAt(ring: BroadcastRing, position: number, maxParticipants = DEFAULT_PARTICIPANTS): void {
  const { handle } = ring;
  const bytes = handle.backend === 'sab' ? new Uint8Array(handle.memory) : imageOf(ring);
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2);
  // All that formatting needs of a segment. A ring is fresh, so that what it does not write is zero.
  formatBroadcast({ words, bodyOffset: bodyOffsetFor(maxParticipants) } as Segment, ring, position);
  if (handle.backend === 'sab') return;
  const file = openSync(fileOf(ring), 'r+');
  writeSync(file, bytes, 0, bytes.length, 0);
  closeSync(file);
}

/** Pushes records until there is no room; how many. Ends also if there always is. */
export function fill(producer: SpscProducer, byteLength = 8): number {
  for (let pushed = 0; pushed < 10_000; pushed++) if (!producer.tryPush(recordOf(byteLength, pushed))) return pushed;
  throw new Error('the ring takes everything');
}

/** The bytes that a record takes in the ring. */
export function strideOf(byteLength: number, alignment: number): number {
  return Math.ceil((byteLength + 8) / alignment) * alignment;
}

/** The same bytes; quicker than toEqual() where there are many. */
export function expectBytes(got: Uint8Array | null | undefined, expected: Uint8Array | null | undefined): void {
  if (got instanceof Uint8Array && expected instanceof Uint8Array && Buffer.compare(got, expected) === 0) return;
  expect(got).toEqual(expected);
}

/** What a call throws. */
export function thrownBy(call: () => unknown): Error & Record<string, unknown> {
  try {
    call();
  } catch (error) {
    return error as Error & Record<string, unknown>;
  }
  return expect.unreachable('nothing was thrown') as never;
}

/** What a promise rejects with. */
export async function rejectionOf(promise: Promise<unknown>): Promise<Error & Record<string, unknown>> {
  try {
    await promise;
  } catch (error) {
    return error as Error & Record<string, unknown>;
  }
  return expect.unreachable('it did not reject') as never;
}

/** Looks again and again until it is so; the test's own timeout is the watchdog. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 1));
}
