// Run by scripts/check-package.mjs as two-processes.mjs is: a task in a process of its own, and its result.
import { isMain, Process, Semaphore, task } from 'ringway';

const work = task(import.meta, 'work', (permits, by) => [permits.tryAcquire(), by * 2]);

if (isMain(import.meta)) {
  const permits = new Semaphore(1);
  const result = await Process.run(work, [permits, 21]);
  if (result.join() !== 'true,42' || permits.value !== 0) throw new Error(`the task returned ${result}`);
  permits.close();
  console.log('tasks: ok');
}
