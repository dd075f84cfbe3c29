export * from './rings.js';
export {
  type AttachSharedArrayOptions,
  type NamedSharedArrayOptions,
  SharedArray,
  type SharedArrayOptions,
  type SharedArrayView,
} from './shared/shared-array.js';
export { type NamedSharedMemoryOptions, SharedMemory, type SharedMemoryOptions } from './shared/shared-memory.js';
export {
  type Addend,
  type AttachValueOptions,
  type NamedValueOptions,
  Value,
  type ValueOptions,
} from './shared/value.js';
export type { ValueInput, ValueRead, ValueType } from './shared/value-type.js';
export { type NamedSemaphoreOptions, Semaphore, type SemaphoreOptions } from './sync/semaphore.js';
