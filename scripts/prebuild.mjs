// Around packing. Before: puts this machine's addon, stripped, where an installed package looks for it, and builds dist
// afresh, so that no file of a deleted source gets into the tarball. After, with --remove: takes the copy away again, or
// it would be loaded instead of the next build.
//   prebuilds/<platform>-<arch>/ringway.<glibc | musl>.node
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const libc = process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl';
const folder = join(root, 'prebuilds', `${process.platform}-${process.arch}`);
const binary = join(folder, `ringway.${libc}.node`);

if (process.argv.includes('--remove')) {
  rmSync(binary, { force: true });
} else {
  rmSync(join(root, 'dist'), { recursive: true, force: true });
  execFileSync(process.execPath, [join(root, 'scripts/build.mjs')], { stdio: 'inherit' });
  if (process.platform === 'linux') prebuild();
}

function prebuild() {
  mkdirSync(folder, { recursive: true });
  copyFileSync(join(root, 'build/Release/ringway.node'), binary);
  execFileSync('strip', ['--strip-unneeded', binary], { stdio: 'inherit' });
  console.error(`ringway: ${relative(root, binary)}, ${Math.ceil(statSync(binary).size / 1024)} KiB`);
}
