// A program that imports the package and does nothing with it.
import * as ringway from 'ringway';

console.log(JSON.stringify({ startedMs: performance.now(), exports: Object.keys(ringway).length }));
