// The rings alone, without a static import of any `node:` module: what a browser can load.

export * from './errors.js';
export { type Capabilities, capabilities } from './memory/backend.js';
export type { Backend, SabHandle, SegmentHandle, ShmHandle } from './memory/segment.js';
export type { OpenOptions, SharedOptions } from './memory/shared-object.js';
export type { FieldType, RecordDescription, RecordField, ScalarType } from './record/description.js';
export type { ReadHandler, WriteHandler } from './record/in-place.js';
export {
  type FieldInput,
  type FieldValue,
  type RecordInput,
  type RecordOption,
  type RecordReader,
  type RecordType,
  type RecordValue,
  type RecordWriter,
  record,
  type ValueOf,
} from './record/record.js';
export { type BroadcastRecordRing, BroadcastRing, type BroadcastRingStats } from './ring/broadcast.js';
export type { BroadcastRecordRingOptions, BroadcastRingOptions } from './ring/broadcast-options.js';
export type { BroadcastPublisher } from './ring/broadcast-publisher.js';
export type { BroadcastRecordPublisher } from './ring/broadcast-record-publisher.js';
export type { BroadcastRecordPeek, BroadcastRecordSubscriber } from './ring/broadcast-record-subscriber.js';
export type { OnSlow } from './ring/broadcast-slots.js';
export type { BroadcastPeek, BroadcastSubscriber, SubscriberOptions } from './ring/broadcast-subscriber.js';
export type { DrainHandler, Writer } from './ring/in-place.js';
export type { Lease } from './ring/lease.js';
export { MpmcRing, type MpmcRingStats } from './ring/mpmc.js';
export type { MpmcRecordRingOptions, MpmcRingOptions } from './ring/mpmc-options.js';
export type { MpmcRecordRing } from './ring/mpmc-records.js';
export type { ParticipantInfo } from './ring/participants.js';
export type { RecordLease } from './ring/record-lease.js';
export type { RecordPeek } from './ring/record-peek.js';
export type { PeerOptions, RingWaitOptions, SyncRingWaitOptions } from './ring/ring-end.js';
export { type SpscRecordRing, SpscRing, type SpscRingStats } from './ring/spsc.js';
export type { SpscConsumer } from './ring/spsc-consumer.js';
export type { SpscRingOptions } from './ring/spsc-options.js';
export type { SpscProducer } from './ring/spsc-producer.js';
export type { SpscRecordConsumer } from './ring/spsc-record-consumer.js';
export type { SpscRecordProducer } from './ring/spsc-record-producer.js';
export type { Claim, Peek, ViewConstructor } from './ring/views.js';
export type { WaitMode } from './wait/adaptive-spin.js';
export type { AttachOptions, SyncWaitOptions, WaitOptions } from './wait/options.js';
