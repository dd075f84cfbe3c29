// The module that a process started by `Process` runs first. An entry of the package, but for nobody to import.

import { boot } from './process/boot.js';

void boot();
