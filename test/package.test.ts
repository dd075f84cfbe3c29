// The package as others see it: how it is loaded, what it exports, what its declarations say.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as ringway from 'ringway';
import * as rings from 'ringway/rings';
import { describe, expect, it } from 'vitest';
import { useOwnDirectory } from './helpers/directory.js';
import { runScript } from './helpers/script.js';

useOwnDirectory();

const dist = fileURLToPath(new URL('../dist/', import.meta.url));
const { version } = JSON.parse(readFileSync(fileURLToPath(new URL('../package.json', import.meta.url)), 'utf8'));

describe('the package', () => {
  it('exports what is documented, and nothing by accident', () => {
    const expectedOfRings = [
      'AuthenticationError',
      'BroadcastRing',
      'BrokenBarrierError',
      'ClosedError',
      'CorruptSegmentError',
      'EndOfStreamError',
      'MessageSizeError',
      'MpmcRing',
      'OwnerDiedError',
      'PeerDiedError',
      'RemoteError',
      'RingwayError',
      'RoleTakenError',
      'SpscRing',
      'TimeoutError',
      'capabilities',
      'record',
    ];
    expect(Object.keys(rings).sort()).toEqual(expectedOfRings);
    expect(Object.keys(ringway).sort()).toEqual(
      [
        ...expectedOfRings,
        'Barrier',
        'Condition',
        'Connection',
        'Listener',
        'Lock',
        'Pipe',
        'Process',
        'Queue',
        'QueueSender',
        'RLock',
        'Semaphore',
        'SharedArray',
        'SharedEvent',
        'SharedMemory',
        'Value',
        'activeChildren',
        'connect',
        'currentProcess',
        'expose',
        'isMain',
        'parentProcess',
        'serve',
        'task',
        'wait',
        'waitSync',
        'wrap',
      ].sort(),
    );
    const all = new Set<unknown>(Object.values(ringway));
    for (const value of Object.values(rings)) expect(all.has(value)).toBe(true);
  });

  it('is loaded by require as well as by import, and is the same then', async () => {
    const end = await runScript(
      `import { createRequire } from 'node:module';
       const require = createRequire(process.cwd() + '/');
       const required = require('ringway');
       print(required.SpscRing === (await import('ringway')).SpscRing);
       print(require('ringway/rings').SpscRing === required.SpscRing);
       const ring = required.SpscRing.create({ capacity: 64 });
       print(ring.producer().tryPush(new Uint8Array(2)));
       ring.close();
       print(require('ringway/package.json').version);
       for (const inner of ['ringway/dist/native.js', 'ringway/native', 'ringway/build/Release/ringway.node']) {
         try { require(inner); } catch (error) { print(error.code); }
       }`,
      { bare: true },
    );
    expect(end.code, end.errors).toBe(0);
    expect(end.lines).toEqual(['true', 'true', 'true', version, ...Array(3).fill('ERR_PACKAGE_PATH_NOT_EXPORTED')]);
  });

  it('is loaded in a plain CommonJS program and in a worker', async () => {
    const end = await runScript(
      `const { Worker } = await import('node:worker_threads');
       const source = "const { SpscRing } = require('ringway'); const { workerData, parentPort } = require('node:worker_threads');" +
         "const ring = SpscRing.attach(workerData); parentPort.postMessage(ring.consumer().popSync().join()); ring.close();";
       const { createRequire } = await import('node:module');
       const { SpscRing } = createRequire(process.cwd() + '/')('ringway');
       const ring = SpscRing.create({ capacity: 64 });
       ring.producer().tryPush(new Uint8Array([4, 2]));
       const worker = new Worker(source, { eval: true, execArgv: [], workerData: ring.handle });
       const ended = new Promise((resolve) => worker.once('exit', resolve)); // It may end before it is listened to.
       print(await new Promise((resolve) => worker.once('message', resolve)));
       await ended;
       ring.close();`,
      { bare: true },
    );
    expect(end.code, end.errors).toBe(0);
    expect(end.lines).toEqual(['4,2']);
  });

  it('loads nothing but itself: neither the addon nor a module of Node before it is used', async () => {
    const end = await runScript(
      `await import('ringway');
       print(fs.readFileSync('/proc/self/maps', 'utf8').includes('ringway.node'));
       print((await import('ringway')).capabilities.backend);
       print(fs.readFileSync('/proc/self/maps', 'utf8').includes('ringway.node'));`,
      { bare: true },
    );
    expect(end).toMatchObject({ code: 0, errors: '', lines: ['false', 'shm', 'true'] });
  });
});

// The declarations that users read: each `export` block with its members, the comment before each; a class has those of the
// class that it extends, too.
interface Member {
  name: string;
  comment: string;
}
interface Declaration {
  name: string;
  comment: string;
  base: string | undefined;
  members: Member[];
}
function declarations(): Declaration[] {
  const found: Declaration[] = [];
  const files = readdirSync(dist, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.d.ts'));
  for (const file of files) {
    let comment = '';
    let reading = false;
    let block: Declaration | undefined;
    for (const line of readFileSync(join(dist, file), 'utf8').split('\n')) {
      if (/^\s*\/\*\*/.test(line)) comment = '';
      if (/^\s*\/\*\*/.test(line)) reading = true;
      if (reading) {
        comment += `${line}\n`;
        if (line.includes('*/')) {
          reading = false;
          // The declaration may stand on the same line.
          if (/\*\/\s*$/.test(line)) continue;
        } else continue;
      }
      const text = line.replace(/^.*\*\//, '').trim();
      const start = /^export (?:declare )?(?:abstract )?(class|interface|type|const|function) (\w+)/.exec(text);
      if (start) {
        const base = start[1] === 'class' ? / extends (\w+)/.exec(withoutTypeArguments(text))?.[1] : undefined;
        block = { name: start[2] as string, comment, base, members: [] };
        found.push(block);
        if (!text.endsWith('{')) block = undefined;
      } else if (line === '}') {
        block = undefined;
      } else {
        const member =
          /^ {4}(?! )(?!#|private|protected|\/)(?:static |readonly |get |set |abstract |override |declare )*([\w]+|\[Symbol\.\w+\])/.exec(
            line.replace(/\/\*\*.*\*\//, ''),
          );
        if (block && member) block.members.push({ name: member[1] as string, comment });
      }
      comment = '';
    }
  }
  return found.map((declared) => ({ ...declared, members: membersOf(declared, found) }));
}

function membersOf({ base, members }: Declaration, all: Declaration[]): Member[] {
  const declared = all.find(({ name }) => name === base);
  if (declared === undefined) return members; // It extends nothing, or nothing of ours.
  const own = new Set(members.map(({ name }) => name));
  return [...members, ...membersOf(declared, all).filter(({ name }) => !own.has(name))];
}

// `class Value<Type extends ValueType = ValueType> extends Lockable {`: the second `extends` is meant.
function withoutTypeArguments(text: string): string {
  const without = text.replace(/<[^<>]*>/g, '');
  return without === text ? text : withoutTypeArguments(without);
}

describe('the declarations', () => {
  const all = declarations();
  const of = (name: string) => {
    const block = all.find((found) => found.name === name);
    if (block === undefined) throw new Error(`${name} is not declared`);
    return block;
  };

  // All that is public of SpscRing.
  const documented: Record<string, string[]> = {
    SpscRing:
      'create attach createOrAttach whenCreated unlink capacity maxRecordByteLength name handle producer consumer takeProducer takeConsumer stats close'.split(
        ' ',
      ),
    MpmcRing:
      'create attach createOrAttach whenCreated unlink slots slotByteLength name handle tryPush push pushSync tryPushMany tryClaim claim claimSync tryWrite write writeSync tryPop pop popSync tryPopMany drain tryTake take takeSync tryTakeMany leases end ended stats close'.split(
        ' ',
      ),
    MpmcRingOptions: 'slots slotByteLength wait alignment'.split(' '),
    MpmcRingStats: 'capacity used pushed popped spins parks wakeUps redelivered abandoned participants'.split(' '),
    Lease: 'bytes as deliveries redelivered ack nack'.split(' '),
    BroadcastRing:
      'create attach createOrAttach whenCreated unlink slots slotByteLength onSlow maxPublishers maxSubscribers name handle publisher subscriber stats close'.split(
        ' ',
      ),
    BroadcastRingOptions: 'slots slotByteLength onSlow maxPublishers maxSubscribers wait alignment'.split(' '),
    BroadcastPublisher:
      'tryPublish publish publishSync tryPublishMany tryClaim claim claimSync tryWrite write writeSync'.split(' '),
    BroadcastSubscriber:
      'tryRead read readSync tryReadMany drain tryPeek peek peekSync ready readySync missed ended'.split(' '),
    BroadcastPeek: ['stillValid'],
    SubscriberOptions: ['from'],
    BroadcastRingStats:
      'capacity used pushed popped missed spins parks wakeUps redelivered abandoned participants'.split(' '),
    SharedOptions: 'name mode backend maxParticipants'.split(' '),
    SpscRingOptions: 'capacity wait alignment'.split(' '),
    OpenOptions: ['anyOwner'],
    AttachOptions: ['wait'],
    WaitOptions: ['timeoutMs', 'signal'],
    SyncWaitOptions: ['timeoutMs'],
    PeerOptions: ['onPeerGone'],
    SpscProducer: 'tryPush push pushSync tryPushMany tryClaim claim claimSync'.split(' '),
    SpscConsumer: 'tryPop pop popSync tryPopMany drain tryPeek peek peekSync ready readySync ended'.split(' '),
    Claim: 'bytes byteLength as commit abort'.split(' '),
    Peek: 'bytes as release'.split(' '),
    RecordType: 'description byteLength fields'.split(' '),
    RecordEnd: 'closed close [Symbol.dispose] ref unref'.split(' '),
    SpscRecordProducer: 'tryPush push pushSync tryPushMany tryWrite tryWriteMany write writeSync'.split(' '),
    SpscRecordConsumer: 'ended tryPop pop popSync tryPopMany drain tryPeek peek peekSync ready readySync'.split(' '),
    BroadcastRecordPublisher: 'tryPublish publish publishSync tryPublishMany tryWrite write writeSync'.split(' '),
    BroadcastRecordSubscriber:
      'missed ended tryRead read readSync tryReadMany drain tryPeek peek peekSync ready readySync'.split(' '),
    BroadcastRecordPeek: 'value stillValid release'.split(' '),
    RecordPeek: 'value release'.split(' '),
    MpmcRecordRing:
      'slots slotByteLength name handle closed ended tryPush push pushSync tryPushMany tryWrite write writeSync tryPop pop popSync tryPopMany drain tryTake take takeSync tryTakeMany leases end stats close'.split(
        ' ',
      ),
    RecordLease: 'value deliveries redelivered ended ack nack'.split(' '),
    SpscRingStats: 'capacity used pushed popped spins parks wakeUps redelivered abandoned participants'.split(' '),
    SharedMemory:
      'create attach createOrAttach whenCreated unlink bytes buffer byteLength backend name handle closed close'.split(
        ' ',
      ),
    SharedMemoryOptions: ['byteLength'],
    Value:
      'attach createOrAttach whenCreated unlink type value set exchange add compareExchange update backend name handle closed withLock close'.split(
        ' ',
      ),
    NamedValueOptions: 'name type value'.split(' '),
    Process:
      'name spawn run start pid alive exitCode signalCode exited stdin stdout stderr join joinSync terminate kill ref unref close'.split(
        ' ',
      ),
    ProcessOptions: 'name killWithParent stdio cwd env execArgv'.split(' '),
    RunOptions: ['signal'],
    ProcessExit: 'exitCode signal'.split(' '),
    CurrentProcess: 'name killWithParent'.split(' '),
    ParentProcess: 'alive join'.split(' '),
    SharedArray: 'attach createOrAttach whenCreated unlink type length view at set [Symbol.iterator]'.split(' '),
    SegmentOwner: 'backend name handle closed close [Symbol.dispose]'.split(' '),
    Capabilities: 'backend crossProcess reason platform'.split(' '),
  };
  for (const [name, members] of Object.entries(documented)) {
    it(`have ${name} and all of its members`, () => {
      const names = of(name).members.map((member) => member.name);
      expect(names).toEqual(expect.arrayContaining(members));
    });
  }

  it('have a comment on every public symbol and member, unless its name and type say it all', () => {
    const plain = new Set([
      '[Symbol.dispose]',
      'toJSON',
      'pid',
      'byteLength',
      'runtime',
      'alive',
      'errno',
      'syscall',
      'path',
    ]);
    const publicNames = [
      ...Object.keys(documented),
      'SpscProducer',
      'SpscConsumer',
      'ParticipantInfo',
      'SegmentHandle',
      'RingwayError',
      'TimeoutError',
      'ClosedError',
      'EndOfStreamError',
      'PeerDiedError',
      'RoleTakenError',
      'MessageSizeError',
      'CorruptSegmentError',
      'DrainHandler',
      'Writer',
      'record',
      'RecordValue',
      'RecordWriter',
      'FieldType',
      'ReadHandler',
      'WriteHandler',
      'capabilities',
    ];
    const without: string[] = [];
    for (const name of publicNames) {
      const { comment, members } = of(name);
      const isError = name.endsWith('Error');
      if (comment === '' && !name.endsWith('Options') && name !== 'ParticipantInfo' && name !== 'Capabilities') {
        without.push(name);
      }
      for (const member of members) {
        if (member.comment !== '' || plain.has(member.name) || member.name === 'constructor') continue;
        if (isError && ['name', 'code', 'message'].includes(member.name)) continue;
        without.push(`${name}.${member.name}`);
      }
    }
    expect(without).toEqual([]);
  });

  it('say what can be thrown by what takes arguments or waits', () => {
    const throwing: Record<string, string[]> = {
      SpscRing: ['create', 'attach', 'createOrAttach', 'whenCreated', 'unlink', 'producer', 'consumer'],
      SpscProducer: ['tryPush', 'push', 'tryPushMany', 'tryClaim'],
      SpscConsumer: ['tryPop', 'pop', 'drain', 'tryPeek'],
      MpmcRing: [
        'create',
        'attach',
        'createOrAttach',
        'whenCreated',
        'unlink',
        'tryPush',
        'push',
        'tryPushMany',
        'pop',
      ],
      BroadcastRing: ['create', 'attach', 'createOrAttach', 'whenCreated', 'unlink', 'publisher', 'subscriber'],
      BroadcastPublisher: ['tryPublish', 'publish', 'tryPublishMany', 'tryClaim', 'tryWrite'],
      BroadcastSubscriber: ['tryRead', 'read', 'drain', 'tryPeek'],
      BroadcastPeek: ['stillValid'],
      SpscRecordProducer: ['tryPush', 'push', 'tryPushMany', 'tryWrite', 'tryWriteMany'],
      SpscRecordConsumer: ['tryPop', 'pop', 'drain'],
      MpmcRecordRing: ['tryPush', 'push', 'tryPushMany', 'tryWrite', 'tryPop', 'pop', 'drain'],
      BroadcastRecordPublisher: ['tryPublish', 'publish', 'tryPublishMany', 'tryWrite'],
      BroadcastRecordSubscriber: ['tryRead', 'read', 'drain'],
      BroadcastRecordPeek: ['value', 'stillValid', 'release'],
      RecordLease: ['value', 'ack', 'nack'],
      RecordPeek: ['value', 'release'],
      Lease: ['bytes', 'as', 'ack', 'nack'],
      Claim: ['bytes', 'as', 'commit', 'abort'],
      Peek: ['bytes', 'as', 'release'],
    };
    for (const [name, members] of Object.entries(throwing)) {
      for (const member of members) {
        const { comment } = of(name).members.find((found) => found.name === member) as Member;
        expect(comment, `${name}.${member}`).toContain('@throws');
      }
    }
  });
});
