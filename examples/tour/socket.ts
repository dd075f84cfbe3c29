// Sockets and RPC: a service in one process, its client in another, over a TCP socket that asks for a key.
import { connect, isMain, Process, serve, task, wrap } from 'ringway';

const api = {
  add: (a: number, b: number) => a + b,
  async *countTo(limit: number) {
    for (let i = 1; i <= limit; i++) yield i;
  },
};

const client = task(import.meta, 'client', async (address: string, authKey: string) => {
  using remote = wrap<typeof api>(await connect(address, { authKey }));
  console.log('add(2, 3) is', await remote.add(2, 3));
  for await (const number of remote.countTo(3)) console.log('counted', number);
});

async function main(): Promise<void> {
  const authKey = crypto.randomUUID();
  const service = await serve('tcp://127.0.0.1:0', api, { authKey });
  await Process.run(client, [service.address, authKey]);
  await service.close();
}

if (isMain(import.meta)) await main();
