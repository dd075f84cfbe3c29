// failure.ts: what can go wrong in ways the user should read about in one line, without a stack.

export class Failure extends Error {
  override readonly name = 'Failure';
}
