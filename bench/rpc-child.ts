// One end of a measurement of calls: `node rpc-child.js ORDER`, started by rpc.ts.

import { connect as connectSocket, createServer, type Socket } from 'node:net';
import { deserialize, serialize } from 'node:v8';
import { connect, serve, wrap } from 'ringway';
import type { RpcOrder } from './rpc.js';

const api = { add: (a: number, b: number) => a + b };
const METHODS = new Map<string, (a: number, b: number) => number>([['add', api.add]]);

type Add = (a: number, b: number) => Promise<number>;

const order = JSON.parse(process.argv[2]) as { serve?: RpcOrder; call?: RpcOrder };
if (order.serve !== undefined) {
  const { through, address } = order.serve;
  const serving = through === 'net' ? serveSocket(address) : await serve(address, api);
  process.once('SIGTERM', async () => {
    await serving.close();
    process.exit(0);
  });
  process.send?.(serving.address);
}
if (order.call !== undefined) process.send?.(await measure(order.call));

async function measure({ through, address, atOnce, warmupMs, measureMs }: RpcOrder): Promise<number> {
  const add: Add = through === 'net' ? socketAdd(address) : wrap<typeof api>(await connect(address)).add;
  let until = 0;
  let calls = 0;
  const lane = async () => {
    for (let i = 0; performance.now() < until; i++) {
      if ((await add(i, 1)) !== i + 1) throw new Error('a wrong sum');
      calls++;
    }
  };
  const run = async (ms: number) => {
    calls = 0;
    const from = performance.now();
    until = from + ms;
    await Promise.all(Array.from({ length: atOnce }, lane));
    return (1000 * calls) / (performance.now() - from);
  };
  await run(warmupMs);
  return run(measureMs);
}

// ---- what one would write without a library: [id, method, arguments] and [id, result], with a length before each

function serveSocket(address: string): { address: string; close(): Promise<void> } {
  const server = createServer((socket) => {
    receive(socket, (message) => {
      const [id, name, args] = message as [number, string, [number, number]];
      send(socket, [id, METHODS.get(name)?.(...args)]);
    });
  }).listen(address);
  return { address, close: async () => void server.close() };
}

function socketAdd(address: string): Add {
  const socket = connectSocket(address);
  const pending = new Map<number, (result: number) => void>();
  let last = 0;
  receive(socket, (message) => {
    const [id, result] = message as [number, number];
    pending.get(id)?.(result);
    pending.delete(id);
  });
  return (a, b) => {
    const id = ++last;
    return new Promise((resolve) => {
      pending.set(id, resolve);
      send(socket, [id, 'add', [a, b]]);
    });
  };
}

function send(socket: Socket, value: unknown): void {
  const body = serialize(value);
  const frame = Buffer.allocUnsafe(4 + body.length);
  frame.writeUInt32LE(body.length);
  body.copy(frame, 4);
  socket.write(frame);
}

function receive(socket: Socket, take: (message: unknown) => void): void {
  let rest: Buffer = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    while (rest.length - at >= 4) {
      const end = at + 4 + rest.readUInt32LE(at);
      if (end > rest.length) break;
      take(deserialize(rest.subarray(at + 4, end)));
      at = end;
    }
    rest = rest.subarray(at);
  });
  socket.on('error', () => {});
}
