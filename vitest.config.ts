import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vitest/config';

const root = fileURLToPath(new URL('.', import.meta.url));

// Tests run what is shipped: `ringway` and `#ringway/…` are the files in dist, and so is `../src/…`. Child processes
// load the same files, and a class exists once.
const distInsteadOfSrc: Plugin = {
  name: 'dist-instead-of-src',
  enforce: 'pre',
  resolveId(source, importer) {
    if (source === 'ringway') return { id: `${root}dist/index.js`, external: true };
    if (source === 'ringway/rings') return { id: `${root}dist/rings.js`, external: true };
    const internal = /^(?:#ringway|(?:\.\.\/)+src)\/(.+)\.[jt]s$/.exec(source);
    if (internal && importer?.startsWith(`${root}test/`))
      return { id: `${root}dist/${internal[1]}.js`, external: true };
    return undefined;
  },
};

export default defineConfig({
  plugins: [distInsteadOfSrc],
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks', // A crash or a signal in one file leaves the others alone.
    testTimeout: 30_000, // A watchdog, not a performance assertion.
    hookTimeout: 30_000,
    teardownTimeout: 10_000,
  },
});
