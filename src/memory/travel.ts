// How shared objects travel in messages: what they leave in one, and who answers for them until the receiver has them.

import type { Hold } from './flight.js';

/** Where a message goes: decides what can travel in it. */
export interface Route {
  /** `machine`: to any process here. `network`: memory and descriptors lead nowhere there. */
  readonly reach: 'machine' | 'network';
  /** Called what in messages: `the connection`, `the arguments of "worker"`. */
  readonly label: string;
  /** Takes a descriptor of this process along; absent where none can travel. The receiver finds it by the number. */
  readonly passDescriptor?: (descriptor: number) => number;
  /** How an object that is not ours and cannot be copied travels here; absent, or undefined, where it cannot. */
  readonly departureOf?: (object: object) => Departure | undefined;
}

/** What a message is in until it is received. */
export interface Carrier {
  /** Keeps it open here, to ask what became of the message; absent where nobody can tell. */
  readonly hold?: () => Hold;
}

/** A shared object on its way. Exactly one of the two calls follows. */
export interface Departure {
  /** Which class attaches to it. */
  readonly kind: string;
  /** What it attaches to: plain data. */
  readonly data: unknown;
  /**
   * The message is on its way: the sender answers for the object until the receiver has attached.
   * @param to - the receiver, if it is known: `process 4711`
   * @param carrier - what the message is in, if its receiver may go without having received it
   */
  sent(to?: string, carrier?: Carrier): void;
  /** The message was never sent: the object is as it was. */
  unsent(): void;
}

/** The method that makes an object travel: `[travels](route): Departure`; it throws if the object cannot go there. */
export const travels: unique symbol = Symbol('ringway.travels');

export interface Traveller {
  /** @internal */
  [travels](route: Route): Departure;
}

/** Makes the receiver's object of what a Departure carried. Throws for kinds it does not know. */
export type Arrive = (kind: string, data: unknown) => unknown;
