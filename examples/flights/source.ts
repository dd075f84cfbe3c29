// source.ts: the flights, read from the Parquet file into columns. Compact (36 MB), so that a transfer measures the
// transfer: decoding the file takes several times as long as sending it on.

import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { asyncBufferFromFile, parquetMetadataAsync, parquetRead } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { Failure } from '../common/failure.js';

/** One entry per flight in every column. */
export interface Flights {
  count: number;
  /** When it left, in minutes since 1970, local time. */
  minute: Uint32Array;
  /** Minutes late, negative when early. */
  delay: Int16Array;
  /** Miles. */
  distance: Uint16Array;
  /** Indices into `airports`. */
  origin: Uint16Array;
  destination: Uint16Array;
  /** `ATL Atlanta` in UTF-8: the code of three letters, then the city. */
  airports: Uint8Array[];
}

export async function readFlights(progress: (done: number, total: number) => Promise<void>): Promise<Flights> {
  const file = await openDataset('flights-3m.parquet', asyncBufferFromFile);
  const cities = citiesByCode(await openDataset('airports.csv', (path) => readFile(path, 'utf8')));
  const metadata = await parquetMetadataAsync(file);
  const count = Number(metadata.num_rows);
  const flights: Flights = {
    count,
    minute: new Uint32Array(count),
    delay: new Int16Array(count),
    distance: new Uint16Array(count),
    origin: new Uint16Array(count),
    destination: new Uint16Array(count),
    airports: [],
  };

  const indices = new Map<string, number>();
  const indexOf = (code: string) => {
    let index = indices.get(code);
    if (index === undefined) {
      index = flights.airports.push(new TextEncoder().encode(`${code} ${cities.get(code) ?? ''}`.trim())) - 1;
      indices.set(code, index);
    }
    return index;
  };
  const columns: Record<string, { into: Uint32Array | Int16Array | Uint16Array; convert: (value: never) => number }> = {
    date: { into: flights.minute, convert: (minute: number) => minute },
    delay: { into: flights.delay, convert: (minutes: bigint) => Number(minutes) },
    distance: { into: flights.distance, convert: (miles: bigint) => Number(miles) },
    origin: { into: flights.origin, convert: indexOf },
    destination: { into: flights.destination, convert: indexOf },
  };

  // One group of rows at a time: less memory, and the event loop has its turn in between.
  let rowStart = 0;
  let misfit: Failure | undefined;
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows);
    await parquetRead({
      file,
      metadata,
      compressors,
      columns: Object.keys(columns),
      rowStart,
      rowEnd,
      parsers: { timestampFromMicroseconds: (microseconds) => Number(microseconds) / 60e6 },
      onChunk({ columnName, columnData, rowStart }) {
        const { into, convert } = columns[columnName];
        for (let i = 0; i < columnData.length; i++) {
          const value = columnData[i];
          const number = convert(value as never);
          into[rowStart + i] = number;
          // Every column of the file may hold nulls. None does, and the records have no way to say so.
          if (value != null && into[rowStart + i] === number) continue;
          misfit ??= new Failure(`row ${rowStart + i} has a ${columnName} of ${value}, which fits no record`);
        }
      },
    });
    if (misfit !== undefined) throw misfit; // Nobody catches what onChunk throws.
    await progress(rowEnd, count);
    rowStart = rowEnd;
  }
  return flights;
}

async function openDataset<Opened>(name: string, open: (path: string) => Promise<Opened>): Promise<Opened> {
  try {
    // The package exports its entry alone, which is a folder beside the data.
    return await open(fileURLToPath(new URL(`../data/${name}`, import.meta.resolve('vega-datasets'))));
  } catch (cause) {
    throw new Failure(
      `${name} of the package vega-datasets is missing; npm install brings it (${(cause as Error).message})`,
    );
  }
}

function citiesByCode(csv: string): Map<string, string> {
  const commaOutsideQuotes = /,(?=(?:[^"]*"[^"]*")*[^"]*$)/;
  const rows = csv.split('\n').map((line) => line.split(commaOutsideQuotes));
  return new Map(rows.map(([code, , city = '']) => [code, city.replaceAll('"', '')]));
}
