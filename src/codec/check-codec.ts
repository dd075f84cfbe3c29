// What connections need to know of the option `codec`.

import type { ValueCodec } from './codec.js';
import { type CodecOption as Choice, checkCodec } from './option.js';

export { checkCodec };

export interface CodecOption {
  /** How values become bytes; both ends must agree. `'structured'` by default. */
  codec?: Choice;
}

/** Whether the other end finds the codec by its name alone. */
export function isNamedCodec({ name }: ValueCodec): boolean {
  return ['structured', 'json', 'bytes'].includes(name);
}
