import { isObject } from '../check.ts';
import type { HyperKnowError } from '../errors.ts';

/** What was found of one run, or of a file that was made of runs. */
export interface Verdict {
  what: string;
  /** 'missing': a file is not there. 'unchecked': nothing is kept that it could be recomputed from. */
  status: 'ok' | 'different' | 'missing' | 'unchecked';
  /** What differs or is missing; of 'ok' what there was nothing to check against. */
  remarks: string[];
}

/** 'ok' where nothing is wrong. */
export const verdictOn = (what: string, wrong: string[]): Verdict => ({
  what,
  status: wrong.length > 0 ? 'different' : 'ok',
  remarks: wrong,
});

/** Of an error about a file: that it is missing, or that it is not what was written. */
export function verdictOfError(what: string, error: HyperKnowError): Verdict {
  const isMissing = (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
  return isMissing
    ? { what, status: 'missing', remarks: [`${error.file} is not there`] }
    : { what, status: 'different', remarks: [error.message] };
}

/** Comparisons that a number which is not one never passes. */
export class Checks {
  readonly #tolerance: number;

  constructor(tolerance: number) {
    this.#tolerance = tolerance;
  }

  /** The same, but for differences up to this. */
  upTo(tolerance: number): Checks {
    return new Checks(Math.max(tolerance, this.#tolerance));
  }

  /** A number that is not finite stands as null in JSON. */
  same(before: number | null | undefined, now: number | null | undefined): boolean {
    const [a, b] = [before, now].map((value) => (typeof value === 'number' && Number.isFinite(value) ? value : null));
    return a === null || b === null ? a === b && before !== undefined && now !== undefined : Math.abs(a! - b!) <= this.#tolerance;
  }

  numbers(prefix: string, before: Record<string, number>, now: Record<string, number>): string[] {
    return [...new Set([...Object.keys(before), ...Object.keys(now)])]
      .filter((name) => !this.same(before[name], now[name]))
      .map((name) => `${prefix}${name}: ${before[name] ?? 'absent'}, recomputed ${now[name] ?? 'absent'}`);
  }

  /** The path of the first difference of two values as JSON has them. */
  tree(before: unknown, now: unknown, path = ''): string | undefined {
    if (isObject(before) && isObject(now)) {
      for (const name of new Set([...Object.keys(before), ...Object.keys(now)])) {
        const difference = this.tree(before[name], now[name], path === '' ? name : `${path}.${name}`);
        if (difference !== undefined) return difference;
      }
      return undefined;
    }
    if (Array.isArray(before) && Array.isArray(now)) {
      if (before.length !== now.length) return `${path} has ${before.length} parts, recomputed ${now.length}`;
      for (const [i, one] of before.entries()) {
        const difference = this.tree(one, now[i], `${path}[${i}]`);
        if (difference !== undefined) return difference;
      }
      return undefined;
    }
    const isSame = typeof before === 'number' && typeof now === 'number' ? this.same(before, now) : before === now;
    return isSame ? undefined : `${path} ${String(before)}, recomputed ${String(now)}`;
  }
}
