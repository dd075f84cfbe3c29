// A program whose first ring loads the addon and looks for what dead processes left.
import { SpscRing } from 'ringway';

const start = performance.now();
const ring = SpscRing.create({ capacity: 1 << 20, backend: 'shm' });
const attached = SpscRing.attach(ring.handle);
const firstMs = performance.now() - start;
attached.close();
ring.close();
console.log(JSON.stringify({ startedMs: performance.now(), firstMs }));
