// pipe-receiver.ts: the receiving end of the pipe. A chunk may end inside a record, whose rest comes with the next one.

import { tell } from '../common/parent.js';
import { Aggregate } from './aggregate.js';

const aggregate = new Aggregate();
tell('ready');
let rest: Buffer = Buffer.alloc(0);
for await (const chunk of process.stdin) {
  const bytes = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk]);
  let at = 0;
  while (at + 2 <= bytes.length) {
    const byteLength = bytes.readUInt16LE(at);
    if (at + 2 + byteLength > bytes.length) break;
    aggregate.add(bytes, at + 2, byteLength);
    at += 2 + byteLength;
  }
  rest = bytes.subarray(at);
}
tell(aggregate.summary());
