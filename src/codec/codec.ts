// What turns values into bytes and back, whatever the bytes travel through.

import type { Arrive, Departure, Route } from '../memory/travel.js';

/** A value as bytes. Valid until the next encode() of the same codec, unless kept. */
export interface Encoded {
  readonly byteLength: number;
  /** The shared objects in it. Whoever sends the bytes calls sent() or unsent() of each. */
  readonly departures: readonly Departure[];
  /**
   * Copies a part of the bytes.
   * @param target - where to
   * @param targetOffset - where it starts there, in bytes
   * @param from - the first byte of the part
   * @param byteLength - of the part
   */
  copyTo(target: Uint8Array, targetOffset: number, from: number, byteLength: number): void;
  /**
   * The same bytes, on their own: what the codec encodes afterwards does not change them.
   * @param asItIs - nor does what happens to the value's memory
   */
  keep(asItIs: boolean): Encoded;
}

export interface ValueCodec {
  /** `structured`, `json`, `bytes`, or a user's own. */
  readonly name: string;
  /**
   * @throws {RingwayError} `ERR_RINGWAY_UNSERIALISABLE` naming the path to what cannot be encoded; nothing is on its way then
   */
  encode(value: unknown, route: Route): Encoded;
  /**
   * Makes a value of bytes. Builds data only, whatever the bytes are.
   * @param memory - read only while this runs, unless `owned`
   * @param owned - the bytes belong to the value: typed arrays in it may be views of them
   * @throws {RingwayError} `ERR_RINGWAY_UNSERIALISABLE` if they are no value
   */
  decode(memory: Uint8Array, byteOffset: number, byteLength: number, arrive: Arrive, owned: boolean): unknown;
}
