// Where the module lies that a process of ours runs first. Bundled entries and single modules both have it beside them.

/** Of dist/boot.js, made of src/boot.ts. */
export const BOOT_URL: string = new URL('./boot.js', import.meta.url).href;
