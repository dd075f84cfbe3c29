// Runs functions that a test sends, in a process or a worker thread of its own; see test/helpers/remote.ts. What one
// function keeps in `state` the next one finds there.
import * as child_process from 'node:child_process';
import * as fs from 'node:fs';
import * as net from 'node:net';
import { type MessagePort, parentPort } from 'node:worker_threads';
import * as zlib from 'node:zlib';
import * as ringway from 'ringway';

/** What the functions work with. */
export interface Context {
  ringway: typeof ringway;
  child_process: typeof child_process;
  fs: typeof fs;
  net: typeof net;
  zlib: typeof zlib;
  /** An internal module of the package: `layout.js`. */
  internal: (path: string) => Promise<unknown>;
  /** Any module, by its URL: a function that was sent as its source cannot import. */
  load: (url: string) => Promise<unknown>;
  /** Tells the test something before the function ends. */
  tell: (message: unknown) => void;
  state: State;
}

export interface State {
  ring: ringway.SpscRing;
  producer: ringway.SpscProducer;
  consumer: ringway.SpscConsumer;
  pending: Promise<unknown>;
  rings: ringway.SpscRing[];
  [key: string]: unknown;
}

export interface Call {
  id: number;
  source: string;
  args: unknown[];
}

export type Reply =
  | { kind: 'ready'; pid: number }
  | { kind: 'told'; message: unknown }
  | { kind: 'result'; id: number; result?: unknown; error?: Record<string, unknown> };

const port = parentPort as MessagePort | null;
const reply = (message: Reply) => {
  if (port) port.postMessage(message);
  else process.send?.(message);
};
const context: Context = {
  ringway,
  child_process,
  fs,
  net,
  zlib,
  internal: (path) => import(`#ringway/${path}`),
  load: (url) => import(url),
  tell: (message) => reply({ kind: 'told', message }),
  state: {} as State,
};

// An error loses its class and its own properties on the way; the test gets them as plain data.
function describe(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { thrown: error };
  const own: Record<string, unknown> = { ...error };
  delete own.cause;
  return {
    ...own,
    name: error.name,
    message: error.message,
    stack: error.stack,
    ours: error instanceof ringway.RingwayError,
  };
}

async function answer({ id, source, args }: Call): Promise<void> {
  try {
    const run = new Function(`return (${source})`)() as (context: Context, ...args: unknown[]) => unknown;
    reply({ kind: 'result', id, result: await run(context, ...args) });
  } catch (error) {
    reply({ kind: 'result', id, error: describe(error) });
  }
}

if (port) {
  port.on('message', answer);
} else {
  process.on('message', answer);
  process.on('disconnect', () => process.exit(3)); // The test is gone.
}
reply({ kind: 'ready', pid: process.pid });
