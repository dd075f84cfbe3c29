// The text behind a segment's body that says what its records consist of; most segments have none. What the text means is
// for those to say who write it.

import { CorruptSegmentError } from '../errors.js';
import { Constants, SegmentHeader } from '../layout.js';
import type { Segment } from './segment.js';

/** Where a text lies in a segment, and the bytes of it. */
export interface PlacedDescription {
  readonly bytes: Uint8Array;
  /** From the segment's start, a multiple of 8. */
  readonly offset: number;
  /** Of the segment with the text. */
  readonly segmentByteLength: number;
}

const roundUp = (byteLength: number) => Math.ceil(byteLength / 8) * 8;

/** Puts a text behind a segment of `byteLength` bytes. */
export function placeDescription(text: string, byteLength: number): PlacedDescription {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length === 0) return { bytes, offset: 0, segmentByteLength: byteLength };
  const offset = roundUp(byteLength);
  return { bytes, offset, segmentByteLength: offset + roundUp(bytes.length) };
}

/** Before others see the segment. */
export function writeDescription(segment: Segment, { bytes, offset }: PlacedDescription): void {
  segment.words[SegmentHeader.descriptionOffset >> 2] = offset;
  segment.words[SegmentHeader.descriptionByteLength >> 2] = bytes.length;
  segment.bytes.set(bytes, offset);
}

/**
 * The text, or nothing.
 * @throws {CorruptSegmentError} if it lies elsewhere than behind the body's start, is too long, or is no UTF-8
 */
export function readDescription(segment: Segment): string {
  const offset = segment.words[SegmentHeader.descriptionOffset >> 2] >>> 0;
  const byteLength = segment.words[SegmentHeader.descriptionByteLength >> 2] >>> 0;
  if (offset === 0 && byteLength === 0) return '';
  const refuse = (why: string): never => {
    throw new CorruptSegmentError(`${segment.label} contradicts itself: ${why}`);
  };
  const isInside = offset % 8 === 0 && offset >= segment.bodyOffset && offset + byteLength <= segment.byteLength;
  if (!isInside || byteLength === 0 || byteLength > Constants.maxDescriptionByteLength) {
    refuse(`a description of ${byteLength} bytes at ${offset} in ${segment.byteLength}`);
  }
  // A copy: it must not change while it is read, and decoders of browsers refuse shared memory.
  const bytes = segment.bytes.slice(offset, offset + byteLength);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return refuse('its description is no UTF-8');
  }
}
