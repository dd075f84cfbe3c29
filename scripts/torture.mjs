// The long forms of the tests that have one: deaths before every step in C++, and the suites that heed RINGWAY_TORTURE.
// About half an hour. Needs what the C++ tests need (CONTRIBUTING.md).
//   node scripts/torture.mjs [times]     times: how often each is run, 1 by default
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const build = 'build/cmake-torture';
const times = Number(process.argv[2] ?? 1);
// One case of the C++ tests may take this long before it counts as hanging.
const env = { ...process.env, RINGWAY_TORTURE: '1', RINGWAY_TEST_WATCHDOG_S: '3600' };

const heeding = readdirSync(`${root}/test`)
  .filter((name) => name.endsWith('.test.ts'))
  .map((name) => `test/${name}`)
  .filter((file) => file.includes('-kill') || readFileSync(`${root}/${file}`, 'utf8').includes('helpers/torture.js'));

run('cmake', '-S', '.', '-B', build, '-DRINGWAY_WERROR=ON');
run('cmake', '--build', build, '--parallel', '2', '--target', 'ringway_core_tests', 'ringway_death_matrix');
run('node', 'scripts/build.mjs');

const results = [];
for (let time = 0; time < times; time++) {
  torture('deaths before every step of MpmcSlots, and of recovery', `${build}/ringway_death_matrix`);
  torture('deaths at every instruction of SpscRing', `${build}/ringway_core_tests`, '--test-case=kill points*');
  for (const file of heeding) torture(file, 'npx', 'vitest', 'run', file);
}
for (const { what, passed, minutes } of results) {
  console.log(`${passed ? 'passed' : 'FAILED'}  ${minutes} min  ${what}`);
}
process.exitCode = results.every(({ passed }) => passed) ? 0 : 1;

function torture(what, program, ...parameters) {
  console.log(`\n== ${what}`);
  const started = performance.now();
  const { status } = spawnSync(program, parameters, { cwd: root, env, stdio: 'inherit' });
  results.push({ what, passed: status === 0, minutes: ((performance.now() - started) / 60_000).toFixed(1) });
}

function run(program, ...parameters) {
  const { status, error } = spawnSync(program, parameters, { cwd: root, stdio: 'inherit' });
  if (error) throw new Error(`${program} is needed (${error.message})`);
  if (status !== 0) throw new Error(`${program} ended with ${status}`);
}
