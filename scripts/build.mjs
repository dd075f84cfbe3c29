// Builds what a clone needs: `node scripts/build.mjs [native] [ts]`, both when nothing is named.
//   native  build/Release/ringway.node and the two C++ helper programs, with node-gyp (Linux only)
//   ts      dist/ from src/, its entries bundled, then build/ts/ from examples, benchmarks and the tests' child programs
// A second run does only what changed: make compares times, and the TypeScript compiler is quick.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);
const named = process.argv.slice(2);
const wanted = named.length > 0 ? named : ['native', 'ts'];

if (wanted.includes('native')) buildNative();
if (wanted.includes('ts')) await buildTypeScript();

function buildNative() {
  if (process.platform !== 'linux') {
    console.log(`ringway: no addon for ${process.platform}; rings work between worker threads only`);
    return;
  }
  if (process.env.RINGWAY_SKIP_NATIVE === '1') {
    console.log('ringway: RINGWAY_SKIP_NATIVE=1, so the addon is not built');
    return;
  }
  const steps = needsConfigure() ? ['configure', 'build'] : ['build'];
  const nodeGyp = require.resolve('node-gyp/bin/node-gyp.js');
  const args = [nodeGyp, ...steps, '--loglevel=warn', `--jobs=${availableParallelism()}`, ...headerOptions()];
  run(
    process.execPath,
    args,
    'The addon needs python3, make and a C++20 compiler. RINGWAY_SKIP_NATIVE=1 goes without it.',
  );
}

// gyp writes the makefiles again when a gyp file is newer, but not when another Node is used.
function needsConfigure() {
  const makefile = join(root, 'build/Makefile');
  const config = join(root, 'build/config.gypi');
  if (!existsSync(makefile) || !existsSync(config)) return true;
  if (existsSync(join(root, 'build/CMakeCache.txt'))) return true; // cmake-js without --out has overwritten the makefile.
  const inputs = ['binding.gyp', 'native/sources.gypi', 'package-lock.json'].map((path) => join(root, path));
  inputs.push(process.execPath);
  const configured = statSync(makefile).mtimeMs;
  return inputs.some((path) => existsSync(path) && statSync(path).mtimeMs > configured);
}

// Headers that came with this Node are used as they are; node-gyp would fetch the same ones otherwise.
function headerOptions() {
  if (process.env.npm_config_nodedir) return [];
  const prefix = dirname(dirname(process.execPath));
  const headers = join(prefix, 'include/node');
  const complete = ['common.gypi', 'config.gypi', 'node_api.h'].every((file) => existsSync(join(headers, file)));
  return complete ? [`--nodedir=${prefix}`] : [];
}

async function buildTypeScript() {
  tsc('tsconfig.json');
  await bundle();
  const programs = ['examples', 'bench', 'test/programs'];
  if (programs.some((folder) => hasTypeScript(join(root, folder)))) tsc('tsconfig.programs.json');
}

// The entries take in what they import: loading a few files takes a quarter of the time that loading each module does.
// What several entries need is in files of its own, so that a class, and the list of tasks, is there once: shared.js for the
// rings, and processes.js for the rest.
// The modules stay beside them for the tests of what is inside; the package ships without them.
async function bundle() {
  const { rolldown } = await import('rolldown');
  const dist = join(root, 'dist');
  const input = { index: join(dist, 'index.js'), rings: join(dist, 'rings.js'), boot: join(dist, 'boot.js') };
  const entries = await rolldown({ input, platform: 'neutral' });
  await entries.write({ dir: dist, entryFileNames: '[name].js', chunkFileNames, sourcemap: true });
  await entries.close();
}

function chunkFileNames({ moduleIds }) {
  return moduleIds.some((id) => id.endsWith('/ring/spsc.js')) ? 'shared.js' : 'processes.js';
}

function hasTypeScript(folder) {
  return existsSync(folder) && readdirSync(folder, { recursive: true }).some((path) => path.endsWith('.ts'));
}

function tsc(project) {
  run(process.execPath, [
    join(dirname(require.resolve('typescript/package.json')), 'bin/tsc'),
    '-p',
    join(root, project),
  ]);
}

function run(command, args, hint) {
  const env = { ...process.env, MAKEFLAGS: '-s --no-print-directory' };
  const { status, signal, error } = spawnSync(command, args, { cwd: root, env, stdio: 'inherit' });
  if (status === 0) return;
  if (hint) console.error(`ringway: ${hint}`);
  if (error) throw error;
  if (signal) console.error(`ringway: ${command} was ended by ${signal}`);
  process.exit(status ?? 1);
}
