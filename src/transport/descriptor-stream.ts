// Streams over descriptors of the operating system, through the addon. Nothing is read or written but when it is asked for,
// so no bytes are ever in the hands of an event loop that a blocked thread would wait for.

import { RingwayError, type SystemErrorCode } from '../errors.js';
import { block, whenWoken } from '../memory/native-waits.js';
import type { SleepEnd } from '../memory/segment.js';
import { systemError } from '../memory/shm.js';
import { Direction, errnoName, type Native } from '../native.js';
import { type ByteSink, type ByteSource, END, NO_BYTES, type Readiness } from './byte-stream.js';

class Descriptor implements Readiness {
  protected readonly native: Native;
  protected readonly fd: number;
  readonly #direction: number;
  #closed = false;

  constructor(native: Native, fd: number, direction: number) {
    this.native = native;
    this.fd = fd;
    this.#direction = direction;
  }

  get closed(): boolean {
    return this.#closed;
  }

  whenReady(referenced: boolean, wake: () => void): () => void {
    const { native, fd } = this;
    return whenWoken(native, referenced, wake, {
      start: (token) => {
        const error = native.watchDescriptor(token, fd, this.#direction);
        if (error < 0) throw systemError(`descriptor ${fd} cannot be watched`, -error, 'epoll_ctl');
      },
      cancel: () => native.forgetDescriptor(fd),
    });
  }

  block(limitMs: number): SleepEnd {
    const end = block(this.native, limitMs, (limit, signals, seen) =>
      this.native.waitDescriptor(this.fd, this.#direction, limit, signals, seen),
    );
    if (typeof end === 'number') throw systemError(`descriptor ${this.fd} cannot be waited for`, -end, 'ppoll');
    return end;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // The kernel tells the other side at once only if this was the last descriptor of the direction; of a socket, the other
    // direction has one too. Of a pipe, this is refused and not needed.
    this.native.shutdownDescriptor(this.fd, this.#direction);
    this.native.closeDescriptor(this.fd);
  }

  /** Gives the descriptor up without telling the other side: another process has it. */
  leave(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.native.closeDescriptor(this.fd);
  }
}

export class DescriptorSource extends Descriptor implements ByteSource {
  constructor(native: Native, fd: number) {
    super(native, fd, Direction.readable);
  }

  read(target: Uint8Array, byteOffset: number, byteLength: number): number {
    const result = this.native.readDescriptor(this.fd, target, byteOffset, byteLength);
    if (result > 0) return result;
    if (result === 0) return END;
    const code = errnoName(-result);
    if (code === 'EAGAIN') return NO_BYTES;
    // It closed, or died, and had not read all that we wrote. What it wrote before was read before this.
    if (code === 'ECONNRESET') return END;
    throw systemError('the connection cannot be read', -result, 'read');
  }
}

export class DescriptorSink extends Descriptor implements ByteSink {
  readonly drained = true;

  constructor(native: Native, fd: number) {
    super(native, fd, Direction.writable);
  }

  write(source: Uint8Array, byteOffset: number, byteLength: number): number {
    const result = this.native.writeDescriptor(this.fd, source, byteOffset, byteLength);
    if (result >= 0) return result;
    const code = errnoName(-result);
    if (code === 'EAGAIN') return 0;
    throw writeError(code, { errno: result, syscall: 'write' });
  }
}

/** The other side is gone, in whichever way the kernel puts it, or something else went wrong. */
export function writeError(code: string, details: { errno?: number; syscall?: string; cause?: unknown }): RingwayError {
  if (code === 'EPIPE' || code === 'ECONNRESET') {
    return new RingwayError('the other end of the connection is closed or its process is gone', 'EPIPE', details);
  }
  return new RingwayError(`the connection cannot be written to: ${code}`, code as SystemErrorCode, details);
}
