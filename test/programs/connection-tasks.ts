// Tasks that test/connection.test.ts runs at the other end of a connection.
import { type Connection, task } from 'ringway';

type AnyConnection = Connection<unknown, unknown>;

export const echo = task(import.meta, 'echo', async (conn: AnyConnection) => {
  for await (const value of conn) await conn.send(value);
  conn.close();
});

/** Receives numbered messages whose bytes are their number; how many bytes came. */
export const check = task(import.meta, 'check', async (conn: AnyConnection, messages: number) => {
  let checked = 0;
  for (let i = 0; i < messages; i++) {
    const { number, bytes } = (await conn.recv()) as { number: number; bytes: Uint8Array };
    if (number !== i) throw new Error(`message ${number} came as number ${i}`);
    for (const byte of bytes) if (byte !== (i & 255)) throw new Error(`message ${i} is torn`);
    checked += bytes.length;
  }
  return checked;
});

/** Sends numbers, then waits to be killed. */
export const sendNumbers = task(import.meta, 'sendNumbers', async (conn: AnyConnection, numbers: number) => {
  for (let i = 0; i < numbers; i++) await conn.send(i);
  await conn.recv();
});

/** Sends one message, and a part of one that is too long for anybody to have room for. */
export const sendInPart = task(import.meta, 'sendInPart', async (conn: AnyConnection) => {
  await conn.send('whole');
  await conn.sendBytes(new Uint8Array(50_000_000));
});

/** Says that it is there, then waits to be killed, reading nothing. */
export const idle = task(import.meta, 'idle', async (conn: AnyConnection) => {
  await conn.send('here');
  await new Promise((resolve) => setTimeout(resolve, 2 ** 30));
});
