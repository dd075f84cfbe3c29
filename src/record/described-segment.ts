// Whether a segment holds the records that are expected in it.

import { CorruptSegmentError, RingwayError } from '../errors.js';
import { readDescription } from '../memory/description.js';
import type { Segment } from '../memory/segment.js';
import { type RecordType, record } from './record.js';

const SHOWN_CHARACTERS = 500;

/**
 * @param expected - undefined: bytes
 * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if the segment was made for others; shows both
 * @throws {CorruptSegmentError} if what it says is no description
 */
export function checkRecordsOf(segment: Segment, expected: RecordType | undefined): void {
  const there = readDescription(segment);
  const wanted = expected?.text ?? '';
  if (there === wanted) return;
  if (there !== '' && !isDescription(there)) {
    throw new CorruptSegmentError(`${segment.label} contradicts itself: its records' description is none`);
  }
  throw new RingwayError(
    `${segment.label} holds ${recordsOf(there)}; asked for were ${recordsOf(wanted)}`,
    'ERR_RINGWAY_SHAPE',
  );
}

/**
 * @param room - for a record, in bytes
 * @throws {CorruptSegmentError} if a segment that says it holds such records cannot
 */
export function checkRecordsFit(segment: Segment, record: RecordType | undefined, room: number): void {
  if (record === undefined || record.byteLength <= room) return;
  throw new CorruptSegmentError(
    `${segment.label} contradicts itself: its records of ${record.byteLength} bytes do not fit into ${room}`,
  );
}

function recordsOf(text: string): string {
  if (text === '') return 'bytes, without a record type';
  return `records of ${text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text}`;
}

// What record() would have written, and nothing else.
function isDescription(text: string): boolean {
  try {
    return record(JSON.parse(text)).text === text;
  } catch {
    return false;
  }
}
