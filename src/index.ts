export type { Borrowed } from './channel/borrowed.js';
export { type ConnectOptions, connect } from './channel/connect.js';
export {
  Connection,
  type ConnectionHandle,
  type ReceiveBytesOptions,
  type Received,
  type ReceiveIntoOptions,
} from './channel/connection.js';
export { Listener, type ListenerOptions, type SocketOptions } from './channel/listener.js';
export type { SliceOptions } from './channel/outgoing.js';
export { Pipe, type PipeOptions } from './channel/pipe.js';
export { type Got, Queue } from './channel/queue.js';
export type { QueueLease } from './channel/queue-lease.js';
export type { AttachQueueOptions, NamedQueueOptions, QueueOptions } from './channel/queue-options.js';
export { QueueSender } from './channel/queue-sender.js';
export { wait, waitSync } from './channel/wait.js';
export type { CodecOption, CustomCodec } from './codec/option.js';
export { type CurrentProcess, currentProcess, type ParentProcess, parentProcess } from './process/current.js';
export type { ProcessExit } from './process/exit.js';
export { isMain, type ModuleOrMeta } from './process/main-module.js';
export type { ProcessOptions, ProcessStream, RunOptions } from './process/options.js';
export { activeChildren, Process } from './process/process.js';
export { type Task, task } from './process/task.js';
export * from './rings.js';
export { type ExposeOptions, expose } from './rpc/expose.js';
export { type Remote, type RemoteMethod, type RemoteResult, wrap } from './rpc/remote.js';
export { type Served, type ServeOptions, serve } from './rpc/serve.js';
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
export type { Waitable } from './wait/readiness.js';
