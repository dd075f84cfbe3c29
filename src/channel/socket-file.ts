// The file of a listening socket: how it gets its name, how a dead server's is replaced, how it goes.
//
// The socket listens under a name that nobody knows, in a directory that only its user can enter, and is linked to its own
// name when it is ready. So whoever finds it finds a server, or one that has died; nothing in between can be mistaken for a
// dead one, and two servers cannot both have the name.

import type { Server } from 'node:net';
import { RingwayError } from '../errors.js';
import { findNative } from '../memory/backend.js';
import { kindName } from '../memory/segment.js';
import { failed } from '../native.js';
import { builtin, onExit, platform } from '../runtime.js';
import { socketError } from './handshake.js';

const fs = () => builtin<typeof import('node:fs')>('node:fs') as typeof import('node:fs');
const net = () => builtin<typeof import('node:net')>('node:net') as typeof import('node:net');

/** How long another process that replaces the same dead socket is waited for. */
const REPLACE_LIMIT_MS = 5000;
const REPLACE_RETRY_MS = 5;

/** A name in the file system that this process listens at. */
export interface SocketFile {
  /** Removes it, unless it is another's by now. Idempotent. */
  remove(): void;
}

const placed = new Set<SocketFile>();
let removesAtExit = false;

/**
 * Starts to listen at a path, with mode 0600.
 * @param address - for messages
 * @param taken - the code of the error if a live server is there
 * @throws {RingwayError} `EEXIST` or `EADDRINUSE` if the path is taken; `EACCES`, `ENOENT` and what else the system says
 */
export async function listenAt(
  server: Server,
  path: string,
  address: string,
  taken: 'EEXIST' | 'EADDRINUSE',
): Promise<SocketFile> {
  const directory = path.slice(0, path.lastIndexOf('/')) || '/';
  let hidden: string | undefined;
  try {
    hidden = fs().mkdtempSync(`${directory}/.ringway-`); // Mode 0700.
    const socket = `${hidden}/s`;
    await listening(server, socket);
    fs().chmodSync(socket, 0o600);
    await linkTo(path, socket, address, taken);
    return remember(path);
  } catch (error) {
    server.close();
    if (error instanceof RingwayError) throw error;
    throw socketError(`cannot listen at ${address}`, error as NodeJS.ErrnoException);
  } finally {
    if (hidden !== undefined) fs().rmSync(hidden, { recursive: true, force: true });
  }
}

/** server.listen() as a promise. */
export function listening(server: Server, where: string | { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error) => reject(error);
    server.once('error', failed);
    server.listen(typeof where === 'string' ? { path: where } : where, () => {
      server.off('error', failed);
      resolve();
    });
  });
}

async function linkTo(path: string, socket: string, address: string, taken: 'EEXIST' | 'EADDRINUSE'): Promise<void> {
  for (;;) {
    try {
      fs().linkSync(socket, path);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const found = await look(path);
    if (found === 'nothing') continue; // It went meanwhile.
    if (found === 'server') {
      throw new RingwayError(`cannot listen at ${address}: a live server has it (${path})`, taken, {
        path,
        syscall: 'link',
      });
    }
    if (found === 'other') {
      throw new RingwayError(`cannot listen at ${address}: ${path} is ${whatIsAt(path)}`, 'EEXIST', {
        path,
        syscall: 'link',
      });
    }
    // Only one process at a time takes dead sockets away from a path, and looks again when it is its turn. A dead socket is
    // replaced by nobody else, so it cannot be a live one by the time it goes.
    await oneAtATime(path, address, async () => {
      if ((await look(path)) === 'dead') fs().rmSync(path, { force: true });
    });
  }
}

/** What is at a path. A server that does not answer because it is stopped or busy is one: the kernel connects. */
async function look(path: string): Promise<'nothing' | 'server' | 'dead' | 'other'> {
  const stat = fs().lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return 'nothing';
  if (!stat.isSocket()) return 'other';
  return new Promise((resolve) => {
    const socket = net().connect({ path });
    socket.on('connect', () => {
      socket.destroy();
      resolve('server');
    });
    socket.on('error', ({ code }: NodeJS.ErrnoException) => {
      resolve(code === 'ECONNREFUSED' ? 'dead' : code === 'ENOENT' ? 'nothing' : 'server');
    });
  });
}

function whatIsAt(path: string): string {
  const found = findNative().native?.inspect(path);
  return found === undefined || failed(found) ? 'something else' : `a ${kindName(found.kind)}`;
}

// Linux: an abstract socket is a lock that goes with its holder, however it ends. Elsewhere there is none, and two servers
// that replace the same dead socket within the same microseconds may get into one another's way.
async function oneAtATime(path: string, address: string, work: () => Promise<void>): Promise<void> {
  if (!platform.startsWith('linux')) return work();
  const crypto = builtin<typeof import('node:crypto')>('node:crypto') as typeof import('node:crypto');
  const directory = fs().realpathSync(path.slice(0, path.lastIndexOf('/')) || '/');
  const name = crypto
    .createHash('sha256')
    .update(`${directory}${path.slice(path.lastIndexOf('/'))}`)
    .digest('hex');
  const deadline = performance.now() + REPLACE_LIMIT_MS;
  for (;;) {
    const lock = net().createServer((socket) => socket.destroy());
    try {
      await listening(lock, `\0ringway-replaces-${name.slice(0, 32)}`);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
      if (performance.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, REPLACE_RETRY_MS));
        continue;
      }
      throw new RingwayError(
        `cannot listen at ${address}: for ${REPLACE_LIMIT_MS} ms another process has been about to replace the dead server's socket`,
        'EADDRINUSE',
        { path },
      );
    }
    try {
      return await work();
    } finally {
      await new Promise<void>((resolve) => lock.close(() => resolve()));
    }
  }
}

function remember(path: string): SocketFile {
  const { ino, dev } = fs().lstatSync(path);
  const file: SocketFile = {
    remove() {
      if (!placed.delete(file)) return;
      const there = fs().lstatSync(path, { throwIfNoEntry: false });
      if (there?.ino === ino && there.dev === dev) fs().rmSync(path, { force: true });
    },
  };
  placed.add(file);
  if (!removesAtExit) {
    removesAtExit = true;
    onExit(() => {
      for (const left of placed) left.remove();
    });
  }
  return file;
}
