// Checks the protocol models in model/ with Spin, each configuration completely, and prints what came out. The ones that
// break a rule on purpose must fail: they show that the rule is needed and that the model would notice.
//   node scripts/model.mjs [--long]     --long adds the larger ones: some minutes, up to 3 GB of memory
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const long = process.argv.includes('--long');
const root = fileURLToPath(new URL('..', import.meta.url));

// Flags are explained at the head of each model. `breaks` says which rule is left out; then an assertion must fail.
const configurations = [
  { model: 'mpmc', flags: 'NMSG=3', shows: 'each once, in order; 1 producer, 2 consumers' },
  { model: 'mpmc', flags: 'NP=2 NC=1 NMSG=2', shows: '2 producers' },
  { model: 'mpmc', flags: 'NMSG=2 KILLS=1', shows: 'one killed at any step' },
  { model: 'mpmc', flags: 'NMSG=1 KILLS=2', shows: 'two killed, recoverers too' },
  { model: 'mpmc', flags: 'NMSG=1 KILLS=1 STOPS=1', shows: 'one killed, one stopped for ever' },
  { model: 'mpmc', flags: 'NMSG=1 KILLS=1 NACKS=1', shows: 'nack' },
  { model: 'mpmc', flags: 'NMSG=3 HOLDS=1', shows: 'a lease held for ever holds up nobody' },
  { model: 'mpmc', flags: 'NC=1 NMSG=3 KILLS=1 ABORTS=1', shows: 'abort' },
  { model: 'mpmc', flags: 'NMSG=1 KILLS=1 NEWCOMERS=1', shows: 'an id is used again' },
  { model: 'mpmc', flags: 'NC=1 NMSG=2 KILLS=2 NEWCOMERS=1', shows: 'the newcomer dies too' },
  { model: 'mpmc', flags: 'NMSG=3 CELLS=SLOTS', shows: 'as many cells as slots are enough' },
  { model: 'mpmc', flags: 'NMSG=3 LAG=2', shows: 'hints lag further' },
  { model: 'mpmc', flags: 'NMSG=1 KILLS=1 LAG=2', shows: 'hints lag further, one killed' },
  { model: 'mpmc', flags: 'NMSG=3 VERSIONS=1 WRAP', shows: 'versions wrap: still each once' },
  {
    model: 'mpmc',
    flags: 'NP=2 NC=1 CELLS=2 LAPS=4 NMSG=9 N1=1 VERSIONS=16 WRAP MAYREMAIN',
    shows: 'laps wrap: still each once',
  },
  { model: 'mpmc', flags: 'NMSG=3 BREAK_TAKE', breaks: 'S4 compares' },
  { model: 'mpmc', flags: 'NMSG=3 BREAK_VERSION', breaks: 'the state word has a version' },
  { model: 'mpmc', flags: 'NMSG=3 BREAK_REREAD', breaks: 'Q3 reads the cell twice' },
  { model: 'mpmc', flags: 'NMSG=3 KILLS=1 BREAK_NAMED_TWICE', breaks: 'S8 empties the cell first' },
  { model: 'mpmc', flags: 'SLOTS=1 NC=3 NMSG=1 KILLS=1 BREAK_ADOPT', breaks: 'one recoverer queues' },
  { model: 'mpmc', flags: 'NMSG=1 KILLS=2 NEWCOMERS=1 BREAK_NOBODY_FIRST', breaks: 'an owner until Q1' },
  { model: 'mpmc', flags: 'NMSG=1 KILLS=1 BREAK_Q1_EVIDENCE', breaks: 'S9 queues what no cell names' },
  { model: 'mpmc', flags: 'NMSG=2 BREAK_LEAD', breaks: 'hints never lead' },
  { model: 'waits', flags: 'NP=1 NC=1 NMSG=2', shows: 'no wake-up is lost' },
  { model: 'waits', flags: 'NP=1 NC=2 KILLS=1', shows: 'one killed at any step' },
  { model: 'waits', flags: 'NP=1 NC=2 STOPS=1', shows: 'one stopped for ever' },
  { model: 'waits', flags: 'NP=1 NC=2 KILLS=1 BREAK_EARLY', breaks: 'quiet is woken before S3' },
  { model: 'waits', flags: 'NP=1 NC=2 NMSG=2 BREAK_SCAN', breaks: 'the scan comes after the mark' },
  { model: 'broadcast', flags: 'NMSG=2', shows: '2 publishers: slots are swapped, none is shared' },
  { model: 'broadcast', flags: 'NMSG=1 READS=2', shows: 'a subscriber reads nothing torn' },
  { model: 'broadcast', flags: 'NMSG=2 STOPS=1', shows: 'one stopped for ever holds up nobody' },
  { model: 'broadcast', flags: 'NMSG=1 KILLS=1 RECOVERERS=1 NEWCOMERS=1', shows: 'one killed, its entry used again' },
  { model: 'broadcast', flags: 'READS=3 BREAK_VALIDATE', breaks: 'V looks again' },
  {
    model: 'broadcast',
    flags: 'NMSG=2 N0=1 KILLS=1 RECOVERERS=1 NEWCOMERS=1 BREAK_HELP',
    breaks: 'P4 makes up for P7',
  },
  {
    model: 'broadcast',
    flags: 'NMSG=2 N0=1 KILLS=1 RECOVERERS=1 NEWCOMERS=1 BREAK_DISPLACED',
    breaks: 'N settles what is still there',
  },
  { model: 'broadcast_room', flags: 'NP=1 NS=2 NMSG=4', shows: 'subscribers come and go: nothing unread is lost' },
  { model: 'broadcast_room', flags: 'NP=1 NS=1 NMSG=5 SLOTS=2', shows: 'the oldest message is kept for a newcomer' },
  { model: 'broadcast_room', flags: 'NP=1 NS=2 NMSG=4 BREAK_ROOM', breaks: 'publishers look for room' },
  { model: 'broadcast_room', flags: 'NP=1 NS=1 NMSG=5 SLOTS=2 BREAK_VERSION', breaks: 'they look for newcomers' },
  { model: 'broadcast_room', flags: 'NP=1 NS=1 NMSG=5 SLOTS=2 BREAK_TELL', breaks: 'newcomers tell' },
  { model: 'broadcast_room', flags: 'NP=2 NS=1 SLOTS=1 BREAK_RELOAD', breaks: 'newcomers load the tail again' },
  { model: 'lock', flags: 'N=3 ROUNDS=1', shows: 'one is inside at a time; no wake-up is lost' },
  { model: 'lock', flags: 'KILLS=1', shows: 'one killed at any step: the next owner is told' },
  { model: 'lock', flags: 'ROUNDS=1 KILLS=2 NEWCOMERS=1', shows: 'two killed, recoverers too; a place used again' },
  { model: 'lock', flags: 'N=3 ROUNDS=1 KILLS=1 STOPS=1', shows: 'one killed, one stopped for ever' },
  { model: 'lock', flags: 'BREAK_NOTIFY', breaks: 'who releases wakes those who sleep' },
  { model: 'lock', flags: 'KILLS=1 BREAK_MARK', breaks: 'a dead owner leaves a mark' },
  { model: 'lock', flags: 'KILLS=1 NEWCOMERS=1 BREAK_PIN', breaks: 'recoverers pin whom they settle' },
  { model: 'lock', flags: 'N=3 ROUNDS=1 KILLS=1 BREAK_COMPARE', breaks: 'recoverers compare' },
  { model: 'barrier', flags: 'NC=3 WAITS=1', shows: 'all pass or none, no arrival is lost' },
  { model: 'barrier', flags: 'NC=2 WAITS=2 KEPT=1', shows: 'several reset it at once' },
  { model: 'barrier', flags: 'PARTIES=3 WAITS=1 RESETS=0', shows: '3 parties' },
  { model: 'barrier', flags: 'NC=3 WAITS=2 RESETS=0 BREAK_REREAD', breaks: 'arrive() looks at the state again' },
  { model: 'barrier', flags: 'NC=3 WAITS=2 RESETS=0 BREAK_RECORD', breaks: 'reset() writes down what was broken' },
  { model: 'barrier', flags: 'NC=2 WAITS=2 KEPT=1 BREAK_RECHECK', breaks: 'reset() looks at the state again' },
  { model: 'condition', flags: 'NW=3', shows: '3 waiters: no notice is lost or made up' },
  { model: 'condition', flags: 'NW=2 NOTICES=2 GIVEUPS=2', shows: 'waits are given up at any step' },
  { model: 'condition', flags: 'NW=2 KILLS=2', shows: 'two killed at any step' },
  { model: 'condition', flags: 'NW=2 GIVEUPS=1 KILLS=1', shows: 'one killed, one given up' },
  { model: 'condition', flags: 'NW=2 GIVEUPS=1 BREAK_LEAVE', breaks: 'who gives up passes on' },
  { model: 'condition', flags: 'NW=2 KILLS=1 BREAK_KEEP', breaks: 'the dead leave their notices' },
  { model: 'condition', flags: 'NW=2 KILLS=1 BREAK_LOOK', breaks: 'waiters ask who lives' },
  { model: 'condition', flags: 'NW=2 KILLS=1 BREAK_TELL', breaks: 'who finds notices left tells' },
  { model: 'condition', flags: 'NW=3 KILLS=2 BREAK_ORDER', breaks: 'a notice is given first, then taken' },
  { model: 'value', flags: 'NW=2', shows: '2 writers, a reader: no record is torn, no change lost' },
  { model: 'value', flags: 'NW=2 NWRITES=1 NREADS=0 KILLS=2', shows: 'two killed, their copies used again' },
  { model: 'value', flags: 'NW=2 NWRITES=1 KILLS=1', shows: 'one killed, a reader' },
  { model: 'value', flags: 'NW=2 BREAK_VALIDATE', breaks: 'B looks again' },
  { model: 'value', flags: 'NW=2 NWRITES=3 BREAK_COUNT', breaks: 'the word counts changes' },
  { model: 'value', flags: 'NW=2 BREAK_SPARE', breaks: 'the copy is not current' },
  { model: 'arena', flags: 'N=2', shows: 'no block is two messages at once' },
  { model: 'arena', flags: 'N=2 KILLS=1', shows: 'one killed at any step, recovered or not' },
  { model: 'arena', flags: 'N=2 BREAK_CHECK', breaks: 'who has announced looks at the others' },
  { model: 'arena', flags: 'N=2 BREAK_ORDER', breaks: 'it announces before it looks' },
  { model: 'arena', flags: 'N=2 BREAK_BIT', breaks: 'the bit is announced as well' },
  { model: 'arena', flags: 'N=2 BREAK_YIELD', breaks: 'a proposal that stays is respected' },
  { model: 'arena', flags: 'N=2 KILLS=1 BREAK_FINISH', breaks: 'a message is done before its word is cleared' },
  { model: 'arena', flags: 'N=2 KILLS=1 ROUNDS=2 BREAK_CLEAR', breaks: 'who claims a slot clears its word' },
  { long, model: 'mpmc', flags: 'SLOTS=1 NC=3 NMSG=1 KILLS=1', shows: '3 consumers, one killed' },
  { long, model: 'mpmc', flags: 'NMSG=3 KILLS=1', shows: 'one killed, 3 messages' },
  { long, model: 'mpmc', flags: 'NMSG=2 KILLS=2', shows: 'two killed, more messages' },
  { long, model: 'mpmc', flags: 'NMSG=2 KILLS=1 NACKS=1', shows: 'nack, more messages' },
  { long, model: 'mpmc', flags: 'NMSG=3 KILLS=1 HOLDS=1', shows: 'a lease held for ever, one killed' },
  { long, model: 'mpmc', flags: 'NMSG=1 KILLS=2 NEWCOMERS=1', shows: 'an id is used again, two killed' },
  { long, model: 'mpmc', flags: 'NMSG=1 KILLS=1 STOPS=1 NEWCOMERS=1', shows: 'the same, one killed, one stopped' },
  { long, model: 'mpmc', flags: 'NP=2 NC=2 NMSG=1 KILLS=1', shows: '2 producers, 2 consumers' },
  {
    long,
    model: 'mpmc',
    flags: 'NMSG=3 KILLS=1 VERSIONS=1 WRAP MAYREMAIN',
    shows: 'versions wrap, one killed: each once',
  },
  { long, model: 'mpmc', flags: 'NMSG=3 KILLS=1 VERSIONS=1 WRAP', breaks: 'no version comes back' },
  { long, model: 'mpmc', flags: 'NP=2 NC=1 CELLS=2 LAPS=4 NMSG=9 N1=1 VERSIONS=16 WRAP', breaks: 'no lap comes back' },
  { long, model: 'waits', flags: 'NP=1 NC=2 NMSG=2 KILLS=1', shows: 'one killed, more messages' },
  { long, model: 'waits', flags: 'NP=1 NC=2 KILLS=1 STOPS=1', shows: 'one killed, one stopped' },
  { long, model: 'waits', flags: 'NP=2 NC=2', shows: '2 producers, 2 consumers' },
  { long, model: 'broadcast', flags: 'NMSG=4', shows: '2 publishers, more messages' },
  { long, model: 'broadcast', flags: 'NMSG=2 READS=3', shows: 'a subscriber, more messages' },
  { long, model: 'broadcast', flags: 'NMSG=2 KILLS=1 RECOVERERS=1', shows: 'one killed, more messages' },
  { long, model: 'broadcast', flags: 'NMSG=1 KILLS=2 RECOVERERS=2', shows: 'two killed, recoverers too' },
  { long, model: 'broadcast', flags: 'NMSG=2 N0=1 KILLS=1 RECOVERERS=1 NEWCOMERS=1', shows: 'an entry used again' },
  {
    long,
    model: 'broadcast',
    flags: 'NMSG=2 KILLS=1 RECOVERERS=1 NEWCOMERS=1 BREAK_REREAD',
    breaks: 'P4 looks at the cell again',
  },
  { long, model: 'broadcast_room', flags: 'NP=2 NS=1', shows: '2 publishers' },
  { long, model: 'condition', flags: 'NW=3 GIVEUPS=1 KILLS=2', shows: 'three waiters, two killed, one given up' },
  { long, model: 'lock', flags: 'KILLS=2 NEWCOMERS=1', shows: 'two killed, a place used again' },
  { long, model: 'arena', flags: 'N=2 KILLS=1 ROUNDS=2', shows: 'one killed, more messages' },
];

let failed = 0;
row('model', 'configuration', 'shows, or fails without', 'states', 'seconds', 'result');
for (const configuration of configurations.filter((each) => !('long' in each) || each.long)) {
  const { states, seconds, result } = check(configuration);
  const { model, flags, shows, breaks } = configuration;
  if (result !== 'holds' && result !== 'fails, as it must') failed++;
  row(model, flags, shows ?? breaks, states, seconds, result);
}
console.log(failed === 0 ? 'All as expected.' : `${failed} not as expected.`);
process.exitCode = failed === 0 ? 0 : 1;

// Generates, compiles and runs the checker of one configuration in a folder that is removed.
function check({ model, flags, breaks, long: large }) {
  const folder = mkdtempSync(join(tmpdir(), 'ringway-model-'));
  try {
    const defines = flags.split(' ').map((flag) => `-D${flag}`);
    run(folder, 'spin', ['-a', ...defines, join(root, 'model', `${model}.pml`)]);
    // The small ones take longer to optimise than to run.
    const options = [
      large ? '-O2' : '-O0',
      '-w',
      '-DSAFETY',
      '-DNOREDUCE',
      '-DCOLLAPSE',
      `-DMEMLIM=${large ? 4000 : 1800}`,
    ];
    run(folder, 'cc', [...options, '-o', 'pan', 'pan.c']);
    const started = performance.now();
    const output = run(folder, './pan', ['-E', '-m1000000', '-w22']); // -E: a process that waits for ever is no error.
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    const states = Number(/(\d+) states, stored/.exec(output)?.[1] ?? 0).toLocaleString('en');
    return { states, seconds, result: judge(output, breaks !== undefined) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function judge(output, mustFail) {
  const violated = /assertion violated.*/.exec(output)?.[0];
  if (violated) return mustFail ? 'fails, as it must' : `FAILS: ${violated}`;
  if (!/errors: 0/.test(output) || /Search not completed|out of memory|max search depth too small/.test(output)) {
    return `NOT COMPLETE: ${output.trim().split('\n')[0]}`;
  }
  return mustFail ? 'HOLDS, but must fail' : 'holds';
}

function run(folder, program, parameters) {
  const { status, stdout, stderr, error } = spawnSync(program, parameters, { cwd: folder, encoding: 'utf8' });
  if (error) throw new Error(`${program} is needed to check the models (${error.message})`);
  // pan ends with 0 also when it finds an error; spin and cc do not.
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${stdout}${stderr}`);
  return stdout;
}

function row(model, flags, shows, states, seconds, result) {
  console.log(
    `${model.padEnd(14)} ${flags.padEnd(66)} ${shows.padEnd(48)} ${states.padStart(11)} ${seconds.padStart(7)}  ${result}`,
  );
}
