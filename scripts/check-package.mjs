// Packs the project and tries the tarball as a stranger would: what is in it, whether its types and exports are sound,
// and whether two processes can use it after an install without scripts and without network. Leaves nothing behind.
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const PACKED_LIMIT_KIB = 1024;
const PROGRAM_TIMEOUT_MS = 60_000; // A watchdog: the programs take about a second.

const folder = mkdtempSync(join(tmpdir(), 'ringway-package-'));
try {
  const tarball = pack();
  checkFiles(tarball);
  tool('publint', ['run', tarball, '--strict']);
  tool('attw', [tarball, '--profile', 'esm-only', '--no-emoji']);
  tryInstalled(tarball);
  console.log('package: ok');
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function pack() {
  // The scripts' output goes to standard error, so that only our findings are on standard output.
  npm(['pack', '--silent', '--pack-destination', folder], root);
  const packed = readdirSync(folder).filter((name) => name.endsWith('.tgz'));
  assert(packed.length === 1, `one tarball, got ${packed}`);
  return join(folder, packed[0]);
}

function checkFiles(tarball) {
  const listing = execFileSync('tar', ['-tzf', tarball], { encoding: 'utf8' });
  const files = listing
    .split('\n')
    .filter(Boolean)
    .map((path) => path.replace(/^package\//, ''));
  const allowed = [
    /^(?:package\.json|README\.md|LICENSE|CHANGELOG\.md)$/,
    /^dist\/[\w/.-]+\.(?:js|js\.map|d\.ts)$/,
    /^prebuilds\/[a-z0-9]+-[a-z0-9]+\/ringway\.(?:glibc|musl)\.node$/,
  ];
  const stray = files.filter((path) => !allowed.some((pattern) => pattern.test(path)));
  assert(stray.length === 0, `files that don't belong in the tarball: ${stray.join(' ')}`);

  const wanted = ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md'];
  for (const entry of ['index', 'rings']) wanted.push(`dist/${entry}.js`, `dist/${entry}.d.ts`);
  for (const file of ['boot', 'processes', 'shared']) wanted.push(`dist/${file}.js`);
  if (process.platform === 'linux') wanted.push(prebuiltPath());
  const missing = wanted.filter((path) => !files.includes(path));
  assert(missing.length === 0, `files missing from the tarball: ${missing.join(' ')}`);

  const packedKiB = Math.ceil(statSync(tarball).size / 1024);
  assert(packedKiB <= PACKED_LIMIT_KIB, `the tarball is ${packedKiB} KiB, the limit is ${PACKED_LIMIT_KIB}`);
  console.log(`package: ${files.length} files, ${packedKiB} KiB packed`);

  const { scripts = {}, dependencies = {} } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const atInstall = ['preinstall', 'install', 'postinstall'].filter((name) => name in scripts);
  assert(atInstall.length === 0, `scripts that would run at install: ${atInstall}`);
  assert(Object.keys(dependencies).length === 0, `dependencies: ${Object.keys(dependencies)}`);
}

function tryInstalled(tarball) {
  const project = join(folder, 'project');
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{ "name": "stranger", "private": true }\n');
  npm(['install', '--ignore-scripts', '--offline', '--silent', tarball], project);

  if (process.platform === 'linux') checkBinary(join(project, 'node_modules/ringway', prebuiltPath()));

  for (const name of ['two-processes.mjs', 'tasks.mjs', 'required.cjs']) {
    copyFileSync(join(root, 'scripts/stranger', name), join(project, name));
    execFileSync(process.execPath, [name], {
      cwd: project,
      stdio: 'inherit',
      timeout: PROGRAM_TIMEOUT_MS,
      killSignal: 'SIGKILL',
    });
  }
}

// The binary asks for nothing but Node-API and the C library, so that it also loads in Bun and Deno.
function checkBinary(path) {
  const text = readFileSync(path, 'latin1');
  const libuv = text.match(/(?<=\0)uv_\w+(?=\0)/g) ?? [];
  assert(libuv.length === 0, `the addon uses libuv: ${libuv}`);
  const minors = [...text.matchAll(/\0GLIBC_2\.(\d+)/g)].map((match) => Number(match[1]));
  const least = minors.length > 0 ? `, needs glibc 2.${Math.max(...minors)} or later` : '';
  console.log(`package: addon ${Math.ceil(text.length / 1024)} KiB${least}`);
}

function prebuiltPath() {
  const libc = process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl';
  return `prebuilds/${process.platform}-${process.arch}/ringway.${libc}.node`;
}

// Under `npm run`, npm tells its children which project they are in; ours is another one.
function npm(args, cwd) {
  const { npm_config_local_prefix, INIT_CWD, ...env } = process.env;
  execFileSync('npm', args, { cwd, env, stdio: ['ignore', 2, 'inherit'] });
}

function tool(name, args) {
  execFileSync(join(root, 'node_modules/.bin', name), args, { cwd: folder, stdio: 'inherit' });
}

function assert(condition, message) {
  if (!condition) throw new Error(`package: ${message}`);
}
