// The addon, found and typed. Twin: native/addon.cpp. Loading order: $RINGWAY_ADDON, the prebuilt binary of the package,
// a local build; without any of them the rings run between worker threads only, and `reason` says why.

import { builtin, environmentVariable, platform } from './runtime.js';

/** What went wrong below; see Failure in native/include/ringway/segment.hpp. */
export interface NativeFailure {
  /** Positive. */
  errno: number;
  syscall: string;
  /** An index into Refusal. */
  refusal: number;
  /** The value that was refused. */
  found: number;
}

export interface NativeSegment {
  buffer: ArrayBuffer;
  id: number;
  /** Equal for all attachments to one segment on this machine. */
  identity: string;
  participantId: number;
  maxParticipants: number;
  participantsOffset: number;
  bodyOffset: number;
}

/** What native `sleep` and `spin` came back with; negative numbers are -errno. */
export const Blocked = { changed: 0, timeout: 1, interrupted: 2 } as const;

/** The descriptors of one end of a connection, for the directions that it has. */
export interface NativeEnd {
  read?: number;
  write?: number;
}

/** Which way a descriptor is watched or shut, in the order of the enum in native/include/ringway/descriptors.hpp. */
export const Direction = { readable: 0, writable: 1 } as const;

/** Why a file was not attached, in the order of the enum in native/include/ringway/segment.hpp. */
export const Refusal = {
  none: 0,
  notRegular: 1,
  otherOwner: 2,
  tooSmall: 3,
  badMagic: 4,
  otherByteOrder: 5,
  otherVersion: 6,
  unknownFeatures: 7,
  otherKind: 8,
  truncated: 9,
  badHeader: 10,
} as const;

export interface Native {
  create(
    directory: string,
    byteLength: number,
    unreservedByteLength: number,
    kind: number,
    maxParticipants: number,
    mode: number,
  ): NativeSegment | NativeFailure;
  publish(id: number, path: string): NativeFailure | undefined;
  attach(path: string, kind: number, anyOwner: boolean): NativeSegment | NativeFailure;
  inspect(path: string): { kind: number; byteLength: number } | NativeFailure;
  close(id: number): void;
  closeAll(): void;
  unlink(path: string): number;
  sweep(directory: string): number;
  space(directory: string): { total: number; free: number };
  linkCount(id: number): number;
  reserve(id: number, byteOffset: number, byteLength: number): number;
  alive(id: number, participantId: number): number;
  settle(id: number, participantId: number): number;
  wake(id: number, sequenceOffset: number): void;
  sleep(
    id: number,
    sequenceOffset: number,
    expected: number,
    limitMs: number,
    signals: number,
    signalsSeen: number,
  ): number;
  spin(id: number, aOffset: number, seenA: number, bOffset: number, seenB: number, limitMs: number): number;
  yieldProcessor(): void;
  watchSignals(signals: number): number;
  watch(token: number, id: number, sequenceOffset: number, expected: number, limitMs: number): number;
  cancel(token: number): void;
  setWakeHandler(handler: (token: number, timedOut: boolean) => void): void;
  keepLoopAlive(keep: boolean): void;
  kernelPair(kind: string, duplex: boolean): [NativeEnd, NativeEnd] | NativeFailure;
  adoptDescriptor(fd: number, duplicate: boolean): number;
  closeDescriptor(fd: number): void;
  shutdownDescriptor(fd: number, direction: number): number;
  useLargePages(bytes: Uint8Array): void;
  readDescriptor(fd: number, bytes: Uint8Array, byteOffset: number, byteLength: number): number;
  writeDescriptor(fd: number, bytes: Uint8Array, byteOffset: number, byteLength: number): number;
  waitDescriptor(fd: number, direction: number, limitMs: number, signals: number, signalsSeen: number): number;
  watchDescriptor(token: number, fd: number, direction: number): number;
  forgetDescriptor(fd: number): void;
  dieWithParent(parentPid: number, channel: number): number;
  openProcess(pid: number): number;
  howEnded(fd: number): number;
  selfTest(directory: string): NativeFailure | undefined;
  layout(): Record<string, Record<string, number>>;
}

export function failed(result: object | undefined): result is NativeFailure {
  return result !== undefined && 'errno' in result;
}

// Linux errors that Node has no name for.
const OTHER_ERRORS: Readonly<Record<number, string>> = { 37: 'ENOLCK', 87: 'EUSERS', 122: 'EDQUOT' };

/** The name of a positive errno, `ENOSPC`. */
export function errnoName(errno: number): string {
  return OTHER_ERRORS[errno] ?? builtin<typeof import('node:util')>('node:util')?.getSystemErrorName(-errno) ?? 'EIO';
}

export interface LoadedNative {
  native?: Native;
  /** Why there is none. */
  reason?: string;
}

let loaded: LoadedNative | undefined;

/** Loads the addon at the first call. */
export function loadNative(): LoadedNative {
  loaded ??= load();
  return loaded;
}

function load(): LoadedNative {
  const module = builtin<typeof import('node:module')>('node:module');
  if (module === undefined) return { reason: 'this runtime cannot load native addons' };
  const chosen = environmentVariable('RINGWAY_ADDON');
  const candidates = chosen
    ? [chosen]
    : [
        `../prebuilds/${platform}/ringway.glibc.node`,
        `../prebuilds/${platform}/ringway.musl.node`,
        '../build/Release/ringway.node',
      ];
  const require = module.createRequire(import.meta.url);
  const reasons: string[] = [];
  for (const candidate of candidates) {
    try {
      return { native: require(candidate) as Native };
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== 'MODULE_NOT_FOUND') reasons.push(`${candidate}: ${message.split('\n')[0]}`);
    }
  }
  if (reasons.length > 0) return { reason: `the addon does not load: ${reasons.join('; ')}` };
  return { reason: chosen ? `RINGWAY_ADDON=${chosen} is not there` : `there is no addon for ${platform}` };
}
