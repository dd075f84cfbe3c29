// The two ends of a stream in one direction, as fast as it goes, both spinning; what carries it is the callers' business.

import { deliver, now, ns, type Patience, type Spec, Usage, Windows } from './meter.js';
import { MEASURE, STOP } from './payload.js';

/** Sends one message or several; `next` gives the first word of each. How many were sent. */
export type Send = (next: () => number) => number;
/** Receives what is there. How many that was. */
export type Receive = () => number;
/** To be called with each message's first word. */
export type Count = (first: number) => void;

/** The other end is there already. */
export function sendStream(spec: Spec, patience: Patience, send: Send, sendMark: (first: number) => void): void {
  let sequence = 0;
  const next = () => sequence++;
  const sendFor = (ms: number) => {
    for (const end = now() + ns(ms); now() < end; ) {
      for (let left = spec.byteLength > 4096 ? 1 : 64; left > 0; ) left -= send(next);
      patience.renew();
    }
  };
  const usage = new Usage();
  sendFor(spec.warmupMs);
  sendMark(MEASURE);
  usage.start();
  sendFor(spec.measureMs);
  usage.stop();
  sendMark(STOP);
  deliver(usage.report(sequence));
}

export function receiveStream(spec: Spec, patience: Patience, open: (count: Count) => Receive): void {
  const windows = new Windows(spec);
  let more = true;
  const receive = open((first) => {
    more = windows.count(first);
  });
  while (more) {
    if (receive() === 0) {
      patience.spend();
      continue;
    }
    patience.renew();
    windows.cut();
  }
  deliver(windows.report(), windows.samples.bytes);
}
