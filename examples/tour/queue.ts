// Queue with producers and consumers: each item goes to one consumer, and the queue ends when all producers have.
import { isMain, Process, Queue, type QueueSender, task } from 'ringway';

const producer = task(import.meta, 'producer', async (sender: QueueSender<number>, from: number, to: number) => {
  for (let number = from; number < to; number++) await sender.put(number);
});

const consumer = task(import.meta, 'consumer', async (queue: Queue<number>) => {
  let sum = 0;
  for await (const number of queue) sum += number;
  return sum;
});

async function main(): Promise<void> {
  const queue = new Queue<number>({ maxSize: 100 });
  const sums = [1, 2].map(() => Process.run(consumer, [queue]));
  const producers = [0, 500].map((from) => Process.run(producer, [queue.sender, from, from + 500]));
  await Promise.all(producers);
  const [first, second] = await Promise.all(sums);
  console.log(`two consumers got ${first} and ${second}: ${first + second} in all, as it must be`);
  queue.close();
}

if (isMain(import.meta)) await main();
