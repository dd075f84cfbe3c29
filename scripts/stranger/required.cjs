// Run by scripts/check-package.mjs: the package is ESM, and CommonJS can require it on every supported Node.
const { SpscRing } = require('ringway');
const rings = require('ringway/rings');

if (rings.SpscRing !== SpscRing) throw new Error('ringway/rings has another SpscRing');
const ring = SpscRing.create({ capacity: 4096 });
ring.producer().tryPush(Uint8Array.of(1, 2, 3));
if (String(ring.consumer().tryPop()) !== '1,2,3') throw new Error('the record differs');
ring.close();
console.log('require: ok');
