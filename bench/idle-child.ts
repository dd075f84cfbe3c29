// A consumer that waits for a record which never comes: `node idle-child.js nothing|await|sync HANDLE`.

import { writeSync } from 'node:fs';
import { SpscRing } from 'ringway';

const [mode, handle] = process.argv.slice(2);
if (mode === 'nothing') {
  setTimeout(() => {}, 2 ** 31 - 1);
  writeSync(1, 'waiting\n');
} else {
  const consumer = SpscRing.attach(JSON.parse(handle)).consumer();
  writeSync(1, 'waiting\n');
  if (mode === 'await') await consumer.pop();
  else consumer.popSync();
}
