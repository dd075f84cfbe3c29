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
export { Barrier, type BarrierAttachOptions, type BarrierOptions, type NamedBarrierOptions } from './sync/barrier.js';
export {
  Condition,
  type ConditionAttachOptions,
  type ConditionHandle,
  type ConditionOptions,
  type NamedConditionOptions,
} from './sync/condition.js';
export type { ConditionGuard } from './sync/condition-guard.js';
export { Lock } from './sync/lock.js';
export type { LockGuard } from './sync/lock-guard.js';
export type {
  LockOptions,
  LockWaitOptions,
  NamedLockOptions,
  OwnerDiedOptions,
  SyncLockWaitOptions,
} from './sync/lock-handle.js';
export { RLock, type RLockGuard } from './sync/rlock.js';
export { type NamedSemaphoreOptions, Semaphore, type SemaphoreOptions } from './sync/semaphore.js';
export { type NamedSharedEventOptions, SharedEvent, type SharedEventOptions } from './sync/shared-event.js';
