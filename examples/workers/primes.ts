// primes.ts: the work itself, by trial division: something that takes a while.

export function countPrimes(from: number, to: number): number {
  const divisors = primesUpTo(Math.sqrt(to));
  let count = 0;
  for (let number = Math.max(from, 2); number < to; number++) if (isPrime(number, divisors)) count++;
  return count;
}

function isPrime(number: number, divisors: readonly number[]): boolean {
  for (const divisor of divisors) {
    if (divisor * divisor > number) return true;
    if (number % divisor === 0) return false;
  }
  return true;
}

function primesUpTo(limit: number): number[] {
  const primes: number[] = [];
  for (let number = 2; number <= limit; number++) if (isPrime(number, primes)) primes.push(number);
  return primes;
}
