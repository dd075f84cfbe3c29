// A program that does nothing: what any module costs.
console.log(JSON.stringify({ startedMs: performance.now() }));
