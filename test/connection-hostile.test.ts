// A peer that does not keep to the format of connections: an error, and no memory beyond what was agreed.
import { describe, expect, it } from 'vitest';
import { Connection } from '../src/channel/connection.js';
import { FrameKind, MessageKind } from '../src/channel/fragments.js';
import { structuredCodec } from '../src/codec/structured.js';
import { RingwayError } from '../src/errors.js';
import { RingChannel } from '../src/transport/ring-channel.js';
import { opening, useOwnDirectory } from './helpers/directory.js';
import { announceSeed, Random, seed } from './helpers/random.js';
import { BACKENDS, rejectionOf, thrownBy } from './helpers/rings.js';

useOwnDirectory();

for (const backend of BACKENDS) {
  /** A connection, and a way to put any frame before it. */
  const open = (maxMessageByteLength = 1000) => {
    const [hostile, channel] = RingChannel.pair(backend, 4096, true);
    const connection = opening(new Connection(channel, { codec: structuredCodec, maxMessageByteLength }));
    opening({ close: () => hostile.sender?.close() });
    opening({ close: () => hostile.receiver?.close() });
    const put = (...bytes: number[]) => hostile.sender?.tryWrite(bytes.length, (memory, at) => memory.set(bytes, at));
    return { connection, put };
  };
  const header = (frame: number, kind: number) => [frame, kind, 0, 0, 0, 0, 0, 0];
  const total = (value: number) => [...new Uint8Array(new Float64Array([value]).buffer)];

  describe(`a hostile peer over ${backend}`, () => {
    it('that breaks the format gets EPROTO, which says what is wrong', async () => {
      const cases: [string, number[]][] = [
        ['shorter than a header', [1, 1]],
        ['no frame', []],
        ['of no known kind', header(9, MessageKind.bytes)],
        ['a message of no known kind', header(FrameKind.whole, 7)],
        ['goes on with what never began', header(FrameKind.more, 0)],
        ['begins without a length', header(FrameKind.first, MessageKind.bytes)],
        ['less than what has come', [...header(FrameKind.first, MessageKind.bytes), ...total(1), 1, 2, 3]],
        ['a negative length', [...header(FrameKind.first, MessageKind.bytes), ...total(-1)]],
        ['half a byte', [...header(FrameKind.first, MessageKind.bytes), ...total(0.5)]],
        ['no number', [...header(FrameKind.first, MessageKind.bytes), ...total(Number.NaN)]],
      ];
      for (const [what, frame] of cases) {
        const { connection, put } = open();
        put(...frame);
        expect(await rejectionOf(connection.recv()), what).toMatchObject({ code: 'EPROTO' });
        expect(
          thrownBy(() => connection.recvSync()),
          what,
        ).toMatchObject({ code: 'EPROTO' });
        expect(
          thrownBy(() => connection.tryRecvBytes()),
          what,
        ).toMatchObject({ code: 'EPROTO' });
        connection.close();
      }
    });

    it('that announces more than was agreed: nothing is taken', async () => {
      for (const announced of [1001, 2 ** 31, 2 ** 53 - 1]) {
        const { connection, put } = open();
        put(...header(FrameKind.first, MessageKind.bytes), ...total(announced), 1, 2, 3);
        expect(await rejectionOf(connection.recvBytes())).toMatchObject({ byteLength: announced, limit: 1000 });
        expect(await connection.poll()).toBe(true);
      }
      // Without a limit, what was announced is not believed beyond what has come.
      const { connection, put } = open(Infinity);
      put(...header(FrameKind.first, MessageKind.bytes), ...total(2 ** 53 - 1), 1, 2, 3);
      const before = process.memoryUsage().arrayBuffers;
      expect(connection.tryRecvBytes()).toBeNull();
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 27);
    });

    it('that sends more than it announced, or begins again in the middle', async () => {
      const { connection, put } = open();
      put(...header(FrameKind.first, MessageKind.bytes), ...total(4), 1, 2, 3);
      put(...header(FrameKind.more, 0), 4, 5);
      expect(await rejectionOf(connection.recvBytes())).toMatchObject({ code: 'EPROTO' });
      const other = open();
      other.put(...header(FrameKind.first, MessageKind.bytes), ...total(4), 1, 2, 3);
      other.put(...header(FrameKind.whole, MessageKind.bytes), 4, 5);
      expect(await rejectionOf(other.connection.recvBytes())).toMatchObject({ code: 'EPROTO' });
    });

    it('that sends bytes which are no value: the message is consumed, the next one arrives', async () => {
      const { connection, put } = open();
      put(...header(FrameKind.whole, MessageKind.value), 255, 254, 253);
      put(...header(FrameKind.whole, MessageKind.bytes), 7);
      expect(await rejectionOf(connection.recv())).toMatchObject({ code: 'ERR_RINGWAY_UNSERIALISABLE' });
      expect(await connection.recv()).toEqual(Uint8Array.of(7));
    });

    it('whatever it sends, receiving gives a message, nothing, or an error of ours', () => {
      announceSeed(`hostile frames over ${backend}`);
      const random = new Random(seed);
      let messages = 0;
      for (let round = 0; round < 300; round++) {
        const { connection, put } = open();
        for (let i = 0; i < 60; i++) {
          const frame = random.below(10) === 0 ? random.below(256) : 1 + random.below(4);
          const kind = random.below(10) === 0 ? random.below(256) : 1 + random.below(2);
          const payload = Array.from({ length: random.below(40) }, () => random.below(256));
          const announced = random.below(3) === 0 ? payload : [...total(random.below(120)), ...payload];
          put(...[...header(frame, kind), ...announced].slice(0, random.below(20) === 0 ? random.below(9) : undefined));
          try {
            const received = random.below(2) === 0 ? connection.tryRecv().ok : connection.tryRecvBytes() !== null;
            if (received) messages++;
          } catch (error) {
            expect(error).toBeInstanceOf(RingwayError);
            if ((error as RingwayError).code === 'EPROTO') break;
          }
        }
        connection.close();
      }
      expect(messages).toBeGreaterThan(10);
    });
  });
}
