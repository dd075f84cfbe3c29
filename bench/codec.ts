// What it takes to make bytes of a value and a value of bytes, beside other ways to do that.

import { deserialize, serialize } from 'node:v8';
import { Bench } from 'tinybench';
import { structuredCodec } from '#ringway/codec/structured.js';
import type { Route } from '#ringway/memory/travel.js';
import { duration, printTable } from './report.js';

interface Way {
  name: string;
  encode(value: unknown): void;
  decode(): unknown;
}

const sensor = (id: number) => ({ id, name: `sensor-${id % 10}`, ok: true, ts: 1732377600000 + id });

const VALUES: Readonly<Record<string, unknown>> = {
  'an object of 4 properties': { id: 123456, name: 'sensor-7', ok: true, ts: 1732377600000 },
  'an array of 100 such': Array.from({ length: 100 }, (_, i) => sensor(123456 + i)),
  'a Map of 10 such': new Map(Array.from({ length: 10 }, (_, i) => [`key-${i}`, sensor(i)])),
  'a Float64Array of 1 MiB': new Float64Array(1 << 17).fill(Math.PI),
  'a string of 10 kB': 'characters'.repeat(1000),
};

const route: Route = { reach: 'machine', label: 'the benchmark' };
const nothingArrives = () => undefined;

// To where a ring would have them, as all of the ways must in the end.
const target = new Uint8Array(4 << 20);

function structured(owned: boolean): Way {
  let byteLength = 0;
  return {
    name: owned ? 'ringway, memory owned' : 'ringway',
    encode(value) {
      const encoded = structuredCodec.encode(value, route);
      byteLength = encoded.byteLength;
      encoded.copyTo(target, 0, 0, byteLength);
    },
    decode: () => structuredCodec.decode(target, 0, byteLength, nothingArrives, owned),
  };
}

function other(name: string, encode: (value: unknown) => Uint8Array, decode: (bytes: Uint8Array) => unknown): Way {
  let bytes = target;
  return {
    name,
    encode(value) {
      const encoded = encode(value);
      target.set(encoded);
      bytes = target.subarray(0, encoded.length);
    },
    decode: () => decode(bytes),
  };
}

interface Packr {
  pack(value: unknown): Uint8Array;
  unpack(bytes: Uint8Array): unknown;
}

// No dependency: a lock file that names its binaries for all platforms could not be written.
const MSGPACKR: string = 'msgpackr';
async function findPackr(): Promise<Packr | undefined> {
  try {
    const { Packr } = (await import(MSGPACKR)) as { Packr: new (options: object) => Packr };
    return new Packr({ structuredClone: true, moreTypes: true });
  } catch {
    console.log('\nmsgpackr is not installed and left out: npm install --no-save msgpackr@2.1.3');
    return undefined;
  }
}

function ways(value: unknown, packr: Packr | undefined): Way[] {
  const all = [
    structured(false),
    structured(true),
    ...(packr === undefined
      ? []
      : [
          other(
            'msgpackr, records',
            (item) => packr.pack(item),
            (bytes) => packr.unpack(bytes),
          ),
        ]),
    other('v8.serialize', serialize, deserialize),
  ];
  if (value instanceof Map || ArrayBuffer.isView(value)) return all; // JSON has neither.
  return [
    ...all,
    other(
      'JSON',
      (item) => Buffer.from(JSON.stringify(item)),
      (bytes) => JSON.parse(Buffer.from(bytes.buffer, 0, bytes.length).toString()),
    ),
  ];
}

export async function measureCodec(benchMs: number): Promise<void> {
  const packr = await findPackr();
  for (const [title, value] of Object.entries(VALUES)) {
    const bench = new Bench({ time: benchMs, warmupTime: benchMs / 2, timestampProvider: 'hrtimeNow', throws: true });
    const times = 100; // In one sample, because the clock is too coarse for one.
    const all = ways(value, packr);
    for (const way of all) {
      bench.add(`${way.name} encode`, () => {
        for (let i = 0; i < times; i++) way.encode(value);
      });
      bench.add(
        `${way.name} decode`,
        () => {
          for (let i = 0; i < times; i++) way.decode();
        },
        { beforeEach: () => way.encode(value) },
      );
    }
    await bench.run();
    const shown = (name: string) => {
      const result = bench.getTask(name)?.result;
      if (result === undefined || !('latency' in result)) throw new Error(`no result for ${name}`);
      return [duration((result.latency.p50 * 1e6) / times), duration((result.latency.p99 * 1e6) / times)];
    };
    printTable(
      `### Values to bytes and back, ${title}`,
      ['', 'encode', 'p99', 'decode', 'p99'],
      all.map(({ name }) => [name, ...shown(`${name} encode`), ...shown(`${name} decode`)]),
    );
  }
}
