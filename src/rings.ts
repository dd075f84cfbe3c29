// The rings alone, without a static import of any `node:` module: what a browser can load.

export * from './errors.js';
export { type Capabilities, capabilities } from './memory/backend.js';
export type { Backend, SabHandle, SegmentHandle, ShmHandle } from './memory/segment.js';
export type { OpenOptions, SharedOptions } from './memory/shared-object.js';
export type { DrainHandler } from './ring/drain.js';
export type { Lease } from './ring/lease.js';
export { MpmcRing, type MpmcRingStats } from './ring/mpmc.js';
export type { MpmcRingOptions } from './ring/mpmc-options.js';
export type { ParticipantInfo } from './ring/participants.js';
export { SpscRing, type SpscRingStats } from './ring/spsc.js';
export type { SpscConsumer } from './ring/spsc-consumer.js';
export type { PeerOptions, RingWaitOptions, SyncRingWaitOptions } from './ring/spsc-end.js';
export type { SpscRingOptions } from './ring/spsc-options.js';
export type { SpscProducer, Writer } from './ring/spsc-producer.js';
export type { Claim, Peek, ViewConstructor } from './ring/views.js';
export type { WaitMode } from './wait/adaptive-spin.js';
export type { AttachOptions, SyncWaitOptions, WaitOptions } from './wait/options.js';
