// Where listeners are: `shm:name`, `unix:/path`, `tcp://host:port`.

import { checkName, describe, pathOf } from '../memory/names.js';
import { platform } from '../runtime.js';

/** An address as the system wants it. */
export type Place =
  | { readonly scheme: 'shm' | 'unix'; readonly path: string; readonly abstract: boolean; readonly name?: string }
  | { readonly scheme: 'tcp'; readonly host: string; readonly port: number };

/** What the kernel has room for, in bytes: a path of 108 with its end. */
const MAX_SOCKET_PATH = 107;

const FORMS =
  "'shm:name', 'unix:/path/of/socket', 'unix:@name' (Linux, no file), 'tcp://127.0.0.1:4000' or 'tcp://[::1]:4000' (port 0: any)";

/**
 * @throws {TypeError} if it is no string, or of no form that there is on this system
 * @throws {RangeError} for a name, path or port out of range
 */
export function parseAddress(address: unknown): Place {
  if (typeof address !== 'string') throw new TypeError(`address must be a string, not ${describe(address)}: ${FORMS}`);
  const [, scheme, rest = ''] = /^([a-z]+):(.*)$/s.exec(address) ?? [];
  if (scheme === 'shm') return shmPlace(address, rest);
  if (scheme === 'unix') return unixPlace(address, rest);
  if (scheme === 'tcp') return tcpPlace(address, rest);
  throw new TypeError(`${describe(address)} is no address: ${FORMS}`);
}

function shmPlace(address: string, name: string): Place {
  checkName(name);
  // Named pipes are what Windows has for this.
  const path = platform.startsWith('win32') ? `\\\\.\\pipe\\ringway-${name}` : pathOf(name);
  return { scheme: 'shm', path: checkLength(address, path), abstract: false, name };
}

function unixPlace(address: string, rest: string): Place {
  if (platform.startsWith('win32'))
    throw new TypeError(`${describe(address)}: there are no unix sockets here, use shm:name`);
  if (rest.includes('\0')) throw new TypeError(`${describe(address)} has a NUL in it`);
  if (rest.startsWith('@') && rest.length > 1) {
    if (!platform.startsWith('linux'))
      throw new TypeError(`${describe(address)}: abstract names are Linux's, use a path`);
    return { scheme: 'unix', path: checkLength(address, `\0${rest.slice(1)}`), abstract: true };
  }
  if (!rest.startsWith('/') || rest.endsWith('/')) {
    throw new TypeError(`${describe(address)} has no absolute path of a file: ${FORMS}`);
  }
  return { scheme: 'unix', path: checkLength(address, rest), abstract: false };
}

function tcpPlace(address: string, rest: string): Place {
  const [, inBrackets, plain, digits] = /^\/\/(?:\[([0-9A-Fa-f:.%\w]+)\]|([^:/?#[\]@\s]+)):(\d+)$/.exec(rest) ?? [];
  const host = inBrackets ?? plain;
  if (host === undefined || digits === undefined) {
    throw new TypeError(`${describe(address)} has no host and port: ${FORMS}`);
  }
  const port = Number(digits);
  if (port > 65535) throw new RangeError(`port must be from 0 to 65535, not ${digits} as in ${describe(address)}`);
  return { scheme: 'tcp', host, port };
}

function checkLength(address: string, path: string): string {
  const byteLength = new TextEncoder().encode(path).length;
  if (byteLength <= MAX_SOCKET_PATH) return path;
  throw new RangeError(
    `${describe(address)} stands for a path of ${byteLength} bytes (${describe(path)}), and a socket's has at most ${MAX_SOCKET_PATH}`,
  );
}
