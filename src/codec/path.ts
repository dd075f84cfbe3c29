// Where in a value something is, for messages: `value.items[3].callback`.

/** A place in a container: a property's key, an array's index, or one of the numbers below plus the entry's index. */
export type Step = string | number;

export const MAP_KEY = 2 ** 33;
export const MAP_VALUE = 2 ** 34;
export const SET_MEMBER = 2 ** 35;

const NAME = /^[A-Za-z_$][\w$]*$/;
/** Longer paths are shown without their middle. */
const SHOWN_STEPS = 12;

/**
 * @param steps - from the root
 * @param maps - for a step that is the value in a Map, that map, at the same index
 */
export function pathOf(steps: readonly Step[], maps: readonly (ReadonlyMap<unknown, unknown> | undefined)[]): string {
  const shown = steps.map((step, depth) => textOf(step, maps[depth]));
  if (shown.length > 2 * SHOWN_STEPS) shown.splice(SHOWN_STEPS, shown.length - 2 * SHOWN_STEPS, ' … ');
  return `value${shown.join('')}`;
}

function textOf(step: Step, map: ReadonlyMap<unknown, unknown> | undefined): string {
  if (typeof step === 'string') return NAME.test(step) ? `.${step}` : `[${quoted(step)}]`;
  if (step >= SET_MEMBER) return `[member ${step - SET_MEMBER}]`;
  if (step < MAP_KEY) return `[${step}]`;
  if (step < MAP_VALUE) return `[key ${step - MAP_KEY}]`;
  const index = step - MAP_VALUE;
  const key = map === undefined ? undefined : [...Map.prototype.keys.call(map)][index];
  if (typeof key === 'string') return `.get(${quoted(key)})`;
  if (typeof key === 'number' || typeof key === 'boolean') return `.get(${key})`;
  return `[value ${index}]`;
}

const quoted = (text: string) => JSON.stringify(text.length > 40 ? `${text.slice(0, 39)}…` : text);
