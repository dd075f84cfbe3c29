// text.ts: what is counted, in parts: a hundred lines each of this project's own documentation.

import { readdirSync, readFileSync } from 'node:fs';

const ROOT = new URL('../../../../', import.meta.url); // From the compiled program.
const LINES_PER_PART = 100;

/** The same in every process. */
export function partsOfText(): string[] {
  const docs = readdirSync(new URL('docs/', ROOT)).sort();
  const files = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...docs.map((name) => `docs/${name}`)];
  return files
    .filter((file) => file.endsWith('.md'))
    .flatMap((file) => {
      const lines = readFileSync(new URL(file, ROOT), 'utf8').split('\n');
      const parts = Math.ceil(lines.length / LINES_PER_PART);
      return Array.from({ length: parts }, (_, i) =>
        lines.slice(i * LINES_PER_PART, (i + 1) * LINES_PER_PART).join('\n'),
      );
    });
}

/** How often each word comes in a text. */
export function countWords(text: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [word] of text.toLowerCase().matchAll(/[a-z]{1,32}/g)) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}
