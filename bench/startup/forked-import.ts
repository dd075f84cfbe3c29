// The same with the package imported, as the module of a task has it.
import 'ringway';
import './forked.js';
