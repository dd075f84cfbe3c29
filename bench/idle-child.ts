// A consumer that waits for a record or a value which never comes: `node idle-child.js nothing|await|sync|recv HANDLE`.

import { writeSync } from 'node:fs';
import { Connection, SpscRing } from 'ringway';

const [mode, handle] = process.argv.slice(2);
if (mode === 'nothing') {
  setTimeout(() => {}, 2 ** 31 - 1);
  writeSync(1, 'waiting\n');
} else if (mode === 'recv') {
  const connection = Connection.attach(JSON.parse(handle));
  writeSync(1, 'waiting\n');
  await connection.recv();
} else {
  const consumer = SpscRing.attach(JSON.parse(handle)).consumer();
  writeSync(1, 'waiting\n');
  if (mode === 'await') await consumer.pop();
  else consumer.popSync();
}
