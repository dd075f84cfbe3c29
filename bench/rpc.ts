// Calls of a service in another process: add(a, b), one after the other and 16 at once. From fresh processes for each slice.

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { keep } from './pair.js';
import { duration, figures, median, Neighbours, neighboursText, printTable, times } from './report.js';

export const RPC_CONTENDERS = [
  { through: 'shm', label: 'RPC over shared memory' },
  { through: 'tcp', label: 'RPC over TCP, the same service' },
  { through: 'net', label: 'unix socket of node:net and node:v8, written for this' },
] as const;
export type Through = (typeof RPC_CONTENDERS)[number]['through'];

export const AT_ONCE = [1, 16] as const;

/** What the client is asked to do. */
export interface RpcOrder {
  through: Through;
  address: string;
  atOnce: number;
  warmupMs: number;
  measureMs: number;
}

export interface RpcResult {
  through: Through;
  atOnce: number;
  /** Calls a second, of each slice. */
  rates: number[];
}

const CHILD = fileURLToPath(new URL('rpc-child.js', import.meta.url));
const LIMIT_MS = 15_000;

export async function measureRpc(rounds: number, warmupMs: number, measureMs: number): Promise<RpcResult[]> {
  const neighbours = new Neighbours();
  const results: RpcResult[] = AT_ONCE.flatMap((atOnce) =>
    RPC_CONTENDERS.map(({ through }) => ({ through, atOnce, rates: [] })),
  );
  for (let round = 0; round < rounds; round++) {
    for (const { through, atOnce, rates } of results) {
      rates.push(await slice({ through, address: addressOf(through, round), atOnce, warmupMs, measureMs }));
    }
  }
  const rows = results.map((result) => {
    const label = RPC_CONTENDERS.find(({ through }) => through === result.through)?.label as string;
    const rate = median(result.rates);
    const own = results.find(({ through, atOnce }) => through === 'shm' && atOnce === result.atOnce) as RpcResult;
    return [
      label,
      result.atOnce === 1 ? 'one' : String(result.atOnce),
      figures(rate),
      `${figures(Math.min(...result.rates))} .. ${figures(Math.max(...result.rates))}`,
      duration(1e9 / rate),
      times(median(own.rates) / rate),
    ];
  });
  printTable(
    `### Calls of add(a, b) in another process (${neighboursText(neighbours.share)})`,
    ['', 'at once', 'calls a second', 'slices', 'a call', 'RPC over shared memory to it'],
    rows,
  );
  return results;
}

/** How often as many calls a second there are over shared memory. */
export function rpcRatio(results: readonly RpcResult[] | undefined, to: Through, atOnce: number): number {
  const rate = (of: Through) => {
    return median(results?.find((result) => result.through === of && result.atOnce === atOnce)?.rates ?? [NaN]);
  };
  return rate('shm') / rate(to);
}

function addressOf(through: Through, round: number): string {
  const name = `ringway-bench-rpc-${process.pid}-${round}`;
  return { shm: `shm:${name}`, tcp: 'tcp://127.0.0.1:0', net: `\0${name}` }[through];
}

async function slice(order: RpcOrder): Promise<number> {
  const server = start({ serve: order });
  try {
    const address = (await told(server)) as string;
    const client = start({ call: { ...order, address } });
    try {
      return (await told(client)) as number;
    } finally {
      client.kill('SIGKILL');
    }
  } finally {
    server.kill('SIGTERM'); // It has a name to give back.
    await new Promise((resolve) => (server.exitCode === null ? server.once('exit', resolve) : resolve(undefined)));
  }
}

function start(what: { serve: RpcOrder } | { call: RpcOrder }) {
  return keep(fork(CHILD, [JSON.stringify(what)], { execArgv: [] }));
}

function told(child: ReturnType<typeof start>): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const watchdog = setTimeout(() => reject(new Error(`nothing within ${LIMIT_MS} ms`)), LIMIT_MS);
    child.once('exit', (code, signal) => reject(new Error(`a process of the calls ended with ${signal ?? code}`)));
    child.once('message', (message) => {
      clearTimeout(watchdog);
      resolve(message);
    });
  });
}
