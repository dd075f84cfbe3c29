// Run by scripts/check-package.mjs in an empty project that has only the tarball installed: this process makes a ring and
// starts itself again; the second process sends records, the first checks every byte.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { capabilities, SpscRing } from 'ringway';

const RECORDS = 20_000;
const WATCHDOG_MS = 30_000;
const byteLengthOf = (record) => 1 + ((record * 7) % 1500);
const byteOf = (record, at) => (record * 31 + at) & 255;

const handle = process.argv[2];
if (handle === undefined) await receive();
else await send(JSON.parse(handle));

async function receive() {
  console.log(capabilities);
  if (process.platform === 'linux' && !capabilities.crossProcess) throw new Error('the prebuilt addon was not loaded');

  const ring = SpscRing.create({ capacity: 1 << 16 });
  const consumer = ring.consumer();
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), JSON.stringify(ring.handle)], {
    stdio: 'inherit',
  });
  const ended = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) =>
      code === 0 ? resolve() : reject(new Error(`sender ended with ${code ?? signal}`)),
    );
  });
  ended.catch(() => process.exit(1)); // The loop below would wait for a sender that never came.

  let received = 0;
  for await (const bytes of consumer) {
    const expected = byteLengthOf(received);
    if (bytes.length !== expected) throw new Error(`record ${received} is ${bytes.length} bytes, not ${expected}`);
    for (let at = 0; at < expected; at++) {
      if (bytes[at] !== byteOf(received, at)) throw new Error(`record ${received} differs at ${at}`);
    }
    received++;
  }
  await ended;
  ring.close();
  if (received !== RECORDS) throw new Error(`${received} records of ${RECORDS}`);
  console.log(`two processes: ${received} records`);
}

async function send(from) {
  setTimeout(() => process.exit(2), WATCHDOG_MS).unref();
  const ring = SpscRing.attach(from);
  const producer = ring.producer();
  for (let record = 0; record < RECORDS; record++) {
    const bytes = new Uint8Array(byteLengthOf(record));
    for (let at = 0; at < bytes.length; at++) bytes[at] = byteOf(record, at);
    await producer.push(bytes);
  }
  producer.close();
  ring.close();
}
