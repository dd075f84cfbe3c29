// main.ts: runs the programs beside it one after the other. Each can be run by itself, too.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const PROGRAMS = {
  pipe: 'Process and Pipe',
  queue: 'Queue, producers and consumers',
  value: 'Value, SharedArray and Lock',
  socket: 'Listener, connect and RPC',
};

for (const [name, shows] of Object.entries(PROGRAMS)) {
  console.log(`\n${shows} (examples/tour/${name}.ts)`);
  const program = fileURLToPath(new URL(`./${name}.js`, import.meta.url));
  const { status, signal } = spawnSync(process.execPath, [program], { stdio: 'inherit' });
  if (status === 0) continue;
  console.error(`${name} ended with ${signal ?? `code ${status}`}`);
  process.exit(1);
}
