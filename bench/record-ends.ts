// The TypeScript ends of a ring of typed records: each way of using it that is measured, as a user would write it.

import {
  type RecordReader,
  type RecordValue,
  type RecordWriter,
  record,
  type SpscRecordConsumer,
  type SpscRecordProducer,
  SpscRing,
} from 'ringway';
import { Patience, type Spec } from './meter.js';
import { otherWord } from './payload.js';
import { type Count, type Receive, receiveStream, type Send, sendStream } from './stream.js';

/** Of 64 bytes. Twin of Quote in queues.cpp. */
export const Quote = record({
  number: 'float64',
  bid: 'float64',
  ask: 'float64',
  last: 'float64',
  high: 'float64',
  low: 'float64',
  bidSize: 'uint32',
  askSize: 'uint32',
  venue: 'uint32',
  change: 'int32',
});

type Fields = typeof Quote.description;
type Producer = SpscRecordProducer<Fields>;
type Consumer = SpscRecordConsumer<Fields>;

const BATCH = 16;
/** So that an end which never catches up looks at the clock now and then. */
const DRAIN_LIMIT = 256;

// The first field is the message's number, from which the others follow.
function writeFields(quote: RecordWriter<Fields>, number: number): void {
  const other = otherWord(number);
  quote.number = number;
  quote.bid = other;
  quote.ask = other;
  quote.last = other;
  quote.high = other;
  quote.low = other;
  quote.bidSize = other;
  quote.askSize = other;
  quote.venue = other;
  quote.change = other;
}

function readFields(quote: RecordReader<Fields> | RecordValue<typeof Quote>): number {
  const { number } = quote;
  const floats = quote.bid + quote.ask + quote.last + quote.high + quote.low;
  const sum = floats + quote.bidSize + quote.askSize + quote.venue + quote.change;
  if (sum !== 9 * otherWord(number)) throw new Error(`record ${number} arrived as something else`);
  return number;
}

const tryWrite = (producer: Producer, patience: Patience): Send => {
  let number = 0;
  const write = (quote: RecordWriter<Fields>) => writeFields(quote, number);
  return (next) => {
    number = next();
    while (!producer.tryWrite(write)) patience.spend();
    return 1;
  };
};

const tryWriteMany = (producer: Producer, patience: Patience): Send => {
  let nextNumber = () => 0;
  const write = (quote: RecordWriter<Fields>) => writeFields(quote, nextNumber());
  return (next) => {
    nextNumber = next;
    for (let left = BATCH; left > 0; ) {
      const written = producer.tryWriteMany(left, write);
      left -= written;
      if (written === 0) patience.spend();
    }
    return BATCH;
  };
};

const tryPush = (producer: Producer, patience: Patience): Send => {
  return (next) => {
    const number = next();
    const other = otherWord(number);
    const quote = {
      number,
      bid: other,
      ask: other,
      last: other,
      high: other,
      low: other,
      bidSize: other,
      askSize: other,
      venue: other,
      change: other,
    };
    while (!producer.tryPush(quote)) patience.spend();
    return 1;
  };
};

const drain = (consumer: Consumer, count: Count): Receive => {
  const onRecord = (quote: RecordReader<Fields>) => count(readFields(quote));
  return () => consumer.drain(onRecord, DRAIN_LIMIT);
};

const tryPop = (consumer: Consumer, count: Count): Receive => {
  return () => {
    const quote = consumer.tryPop();
    if (quote === null) return 0;
    count(readFields(quote));
    return 1;
  };
};

const streams = {
  records: [tryWrite, drain],
  'records-many': [tryWriteMany, drain],
  'records-objects': [tryPush, tryPop],
} as const;

/** One way, as fast as it goes, both ends spinning. */
export async function recordStream(spec: Spec): Promise<void> {
  const [sending, receiving] = streams[spec.program as keyof typeof streams];
  const ring = SpscRing.attach(spec.there, { wait: 'spin', record: Quote });
  const patience = new Patience();
  if (spec.side === 'second') {
    const consumer = ring.consumer();
    receiveStream(spec, patience, (count) => receiving(consumer, count));
    return;
  }
  const producer = ring.producer();
  while (!ring.stats().participants.some(({ role }) => role === 'consumer')) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  sendStream(spec, patience, sending(producer, patience), (first) => {
    while (!producer.tryWrite((quote) => writeFields(quote, first))) patience.spend();
  });
}
