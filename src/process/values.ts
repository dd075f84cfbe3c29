// How values cross between a process and its child. Stand-in until the structured codec is there.
import type { Encoded, ValueCodec } from '../codec/codec.js';
import { type Departure, type Route, travels } from '../memory/travel.js';
import { builtin } from '../runtime.js';

const v8 = () => builtin<typeof import('node:v8')>('node:v8') as typeof import('node:v8');

export const codec: ValueCodec = {
  name: 'structured',
  encode(value: unknown, route: Route): Encoded {
    const departures: Departure[] = [];
    const swap = (v: any): any => {
      if (v && typeof v === 'object' && typeof v[travels] === 'function') {
        const d = v[travels](route) as Departure;
        departures.push(d);
        return { __kind: d.kind, data: d.data };
      }
      if (Array.isArray(v)) return v.map(swap);
      return v;
    };
    try {
      const bytes = v8().serialize(swap(value));
      const encoded: Encoded = {
        byteLength: bytes.length,
        departures,
        copyTo: (target, offset, from, length) => void target.set(bytes.subarray(from, from + length), offset),
        keep: () => encoded,
      };
      return encoded;
    } catch (error) {
      for (const d of departures) d.unsent();
      throw error;
    }
  },
  decode(memory, offset, length, arrive) {
    const swap = (v: any): any => {
      if (v && typeof v === 'object' && '__kind' in v) return arrive(v.__kind, v.data);
      if (Array.isArray(v)) return v.map(swap);
      return v;
    };
    return swap(v8().deserialize(memory.subarray(offset, offset + length)));
  },
};
