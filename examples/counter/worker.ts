// worker.ts: one process that counts: part after part, until there is none left. Between parts it has nothing that would be
// lost with it; in the middle of adding one it has the lock, and the next owner is told.

import { SharedEvent } from 'ringway';
import { integer } from '../common/format.js';
import { argument, tell } from '../common/parent.js';
import { WordTable } from './table.js';
import { countWords, partsOfText } from './text.js';

const { table: handles, start: startHandle, dies } = JSON.parse(argument);
const text = partsOfText();
using table = WordTable.attach(handles, text, (diedPid, parts) => {
  console.log(
    `> process ${process.pid} is told that process ${diedPid} died with the lock; parts counted again: ${integer(parts)}`,
  );
});
using start = SharedEvent.attach(startHandle);
tell('ready');
await start.wait();

let words = 0;
for (let done = 0; ; done++) {
  const number = await table.take();
  if (number === undefined) break;
  const counts = countWords(text[number] as string);
  // Nothing runs after this, no `using`, no handler: as if the kernel had ended us for want of memory.
  await table.add(number, counts, dies && done === 0 ? () => process.kill(process.pid, 'SIGKILL') : undefined);
  for (const count of counts.values()) words += count;
  await new Promise(setImmediate); // The others are to have some, too.
}
tell(words);
