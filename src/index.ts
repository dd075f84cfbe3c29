export * from './rings.js';
