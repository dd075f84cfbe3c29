export * from './rings.js';
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
