// Removes what the build made; the packages in node_modules stay.
import { rmSync } from 'node:fs';

for (const folder of ['build', 'dist', 'prebuilds', 'coverage']) {
  rmSync(new URL(`../${folder}`, import.meta.url), { recursive: true, force: true });
}
