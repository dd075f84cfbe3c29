// main.ts: processes count the words of a text in one shared table, and one of them is killed while it has the lock and the
// table is half changed. The next owner is told, and makes the table anew; the result is what one process counts alone.

import { capabilities, Lock, SharedEvent } from 'ringway';
import { Failure } from '../common/failure.js';
import { integer, printTable } from '../common/format.js';
import { Peer, together } from '../common/peer.js';
import { run } from '../common/run.js';
import { WordTable } from './table.js';
import { countWords, partsOfText } from './text.js';

const WORKERS = 3;
const SHOWN = 10;

await run('counter', main);

async function main(signal: AbortSignal): Promise<void> {
  if (!capabilities.crossProcess) {
    throw new Failure(`processes that count together need memory that they share: ${capabilities.reason}`);
  }
  const text = partsOfText();
  using lock = new Lock();
  using table = WordTable.create(lock, text, (diedPid, parts) => {
    console.log(
      `> this process is told that process ${diedPid} died with the lock; parts counted again: ${integer(parts)}`,
    );
  });
  using start = new SharedEvent();
  const program = new URL('./worker.js', import.meta.url);
  console.log(`${integer(text.length)} parts of this project's documentation for ${WORKERS} processes.`);
  console.log('The first one is killed in the middle of adding a part, while it has the lock.');
  const workers = Array.from({ length: WORKERS }, (_, i) =>
    Peer.process<number>(program, JSON.stringify({ table, start, dies: i === 0 }), signal),
  );
  await using _ = together(workers);
  await Promise.all(workers.map((worker) => worker.ready()));
  start.set();
  await Promise.all(workers.map((worker) => tellOfEnd(worker, signal)));

  // Whoever was killed without the lock may have taken a part, too.
  await table.reopen();
  for (let number = await table.take(); number !== undefined; number = await table.take()) {
    await table.add(number, countWords(text[number] as string));
  }
  const words = await table.words();
  const alone = countWords(text.join('\n'));
  const often = [...alone].sort(([, a], [, b]) => b - a).slice(0, SHOWN);
  printTable(
    ['word', 'counted together', 'counted alone'],
    often.map(([word, count]) => [word, integer(words.get(word) ?? 0), integer(count)]),
  );
  const total = [...alone.values()].reduce((sum, count) => sum + count, 0);
  const differ = [...alone].filter(([word, count]) => words.get(word) !== count).length;
  if (differ > 0 || words.size !== alone.size || table.total !== total) {
    throw new Failure(`${differ} words were counted otherwise, ${integer(table.total)} of ${integer(total)} in all`);
  }
  console.log(`verified: ${integer(total)} words, ${integer(alone.size)} different ones, each counted exactly`);
}

/** Says how a worker ended. */
async function tellOfEnd(worker: Peer<number>, signal: AbortSignal): Promise<void> {
  try {
    console.log(`  ${worker.name} is done: ${integer(await worker.result())} words`);
  } catch (error) {
    if (signal.aborted || !(error instanceof Failure)) throw error;
    console.log(`! ${error.message}`);
  }
}
