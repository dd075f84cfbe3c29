// A child imports the module of its task, and with it what stands at the module's top level. A process that is started there
// would import the module again, and start another one, without end.

import { RingwayError } from '../errors.js';
import { describe } from '../memory/names.js';
import type { BootRecord } from './boot-channel.js';

let loading: BootRecord | undefined;
let refused: RingwayError | undefined;

/**
 * Imports the module of the child's task.
 * @throws what the module throws, or that it starts processes
 */
export async function loadedWith(record: BootRecord, load: () => Promise<unknown>): Promise<void> {
  loading = record;
  try {
    await load();
    if (refused !== undefined) throw refused; // Its caller may not look at what start() says.
  } finally {
    loading = undefined;
  }
}

/** @throws {RingwayError} `ERR_RINGWAY_STATE` while a child loads the module of its task */
export function checkNotLoading(): void {
  if (loading === undefined) return;
  const { module, name, task } = loading;
  refused = new RingwayError(
    `${module} starts a process at its top level, and is imported again by process ${describe(name)} for its task ` +
      `${describe(task)}: each child would start another one. Start processes in the main module only: ` +
      'if (isMain(import.meta)) await main()',
    'ERR_RINGWAY_STATE',
  );
  throw refused;
}
