// How values cross between a process and its child.

export { structuredCodec as codec } from '../codec/structured.js';
