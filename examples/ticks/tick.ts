// tick.ts: one trade at the market as bytes, the only place that knows them:
//
//   offset size
//        0    4  number   uint32, counts from 0
//        4    4  size     uint32, shares
//        8    8  time     float64, ms since the market opened
//       16    8  price    float64

export interface Tick {
  number: number;
  size: number;
  time: number;
  price: number;
}

export const TICK_BYTE_LENGTH = 24;

export function writeTick({ number, size, time, price }: Tick, memory: Uint8Array, byteOffset: number): void {
  const view = viewOf(memory);
  view.setUint32(byteOffset, number, true);
  view.setUint32(byteOffset + 4, size, true);
  view.setFloat64(byteOffset + 8, time, true);
  view.setFloat64(byteOffset + 16, price, true);
}

export function readTick(memory: Uint8Array, byteOffset: number): Tick {
  const view = viewOf(memory);
  return {
    number: view.getUint32(byteOffset, true),
    size: view.getUint32(byteOffset + 4, true),
    time: view.getFloat64(byteOffset + 8, true),
    price: view.getFloat64(byteOffset + 16, true),
  };
}

// The memory is the same from tick to tick as a rule, so a view need not be made for each.
let viewed: Uint8Array | undefined;
let lastView: DataView;

function viewOf(memory: Uint8Array): DataView {
  if (memory !== viewed) lastView = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
  viewed = memory;
  return lastView;
}
