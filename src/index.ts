export * from './rings.js';
export { Barrier, type BarrierAttachOptions, type BarrierOptions, type NamedBarrierOptions } from './sync/barrier.js';
export { type NamedSemaphoreOptions, Semaphore, type SemaphoreOptions } from './sync/semaphore.js';
export { type NamedSharedEventOptions, SharedEvent, type SharedEventOptions } from './sync/shared-event.js';
