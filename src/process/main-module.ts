// Which module is the program.

import { describe } from '../memory/names.js';
import { builtin, isMainThread } from '../runtime.js';

/** What a module knows itself by: `import.meta`, or `module` in CommonJS. */
export type ModuleOrMeta = { readonly url: string } | { readonly filename: string };

/**
 * Whether the module is the one that Node was started with: `if (isMain(import.meta)) await main()`. Symbolic links,
 * folders and missing extensions are seen through. Never true in a process that `Process` started, nor in a worker thread,
 * so that the modules which these import again do not start the program again.
 * @param where - `import.meta`, or `module` in CommonJS
 * @throws {TypeError} for anything else
 */
export function isMain(where: ModuleOrMeta): boolean {
  const place = where as { url?: unknown; filename?: unknown } | null | undefined;
  const named = typeof place === 'object' && place !== null ? (place.url ?? place.filename) : undefined;
  if (typeof named !== 'string') {
    throw new TypeError(`isMain takes import.meta, or module in CommonJS, not ${describe(where)}`);
  }
  if (!isMainThread) return false;
  const started = process.argv[1];
  if (/\/\[eval\d*\]$/.test(named)) return true; // node -e, and programs from standard input: a child never runs those.
  if (started === undefined) return false;
  const own = pathOf(named);
  return own !== undefined && (realPath(own) === realPath(started) || realPath(own) === resolved(started));
}

function pathOf(named: string): string | undefined {
  if (!/^[a-z][a-z\d+.-]+:/i.test(named)) return named;
  if (!named.startsWith('file:')) return undefined;
  return builtin<typeof import('node:url')>('node:url')?.fileURLToPath(named.replace(/[?#].*$/s, ''));
}

function realPath(path: string): string | undefined {
  try {
    return builtin<typeof import('node:fs')>('node:fs')?.realpathSync(path);
  } catch {
    return undefined; // Node found it by another name, or it was removed meanwhile.
  }
}

// Node adds extensions, and the main module of a folder, as require() does.
function resolved(path: string): string | undefined {
  try {
    const require = builtin<typeof import('node:module')>('node:module')?.createRequire(path);
    return realPath(require?.resolve(path) ?? path);
  } catch {
    return undefined;
  }
}
