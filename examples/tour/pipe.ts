// Process with Pipe: one process sends, another one receives; the ends of the pipe move into them.
import { type Connection, isMain, Pipe, Process, task } from 'ringway';

const sender = task(import.meta, 'sender', async (conn: Connection<string[], never>) => {
  await conn.send(['hello', 'IPC']);
});

const receiver = task(import.meta, 'receiver', async (conn: Connection<never, string[]>) => {
  for await (const words of conn) console.log('received', words);
  console.log('the sender has ended: end of the stream');
});

async function main(): Promise<void> {
  const [receiving, sending] = Pipe<string[]>({ duplex: false });
  const reading = await Process.spawn(receiver, [receiving]);
  const writing = await Process.spawn(sender, [sending]);
  await Promise.all([writing.join(), reading.join()]);
}

if (isMain(import.meta)) await main();
