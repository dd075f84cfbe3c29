// A task that does nothing.
import { task } from 'ringway';

export const nothing = task(import.meta, 'nothing', () => {});
