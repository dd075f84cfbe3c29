// Value and SharedArray: processes count in shared memory, without a lock where an operation is atomic by itself.
import { isMain, Lock, Process, SharedArray, task, Value } from 'ringway';

const ADDS = 1000;

const work = task(
  import.meta,
  'work',
  async (total: Value<'int32'>, table: SharedArray<'float64'>, lock: Lock, row: number) => {
    for (let i = 0; i < ADDS; i++) total.add(1);
    using _ = await lock.lock();
    const { view } = table;
    view[row] = view.reduce((sum, entry) => sum + entry, 1); // More than one operation: not without the lock.
  },
);

async function main(): Promise<void> {
  const total = new Value('int32', 0);
  const table = new SharedArray('float64', 4);
  const lock = new Lock();
  await Promise.all([0, 1, 2, 3].map((row) => Process.run(work, [total, table, lock, row])));
  console.log(`4 processes added 1 to a value ${ADDS} times each: ${total.value}`);
  console.log(`each doubled what was in the array before: ${[...table.view].sort().join(', ')}`);
  for (const shared of [total, table, lock]) shared.close();
}

if (isMain(import.meta)) await main();
