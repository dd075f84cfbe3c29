export * from './rings.js';
export { type NamedSemaphoreOptions, Semaphore, type SemaphoreOptions } from './sync/semaphore.js';
