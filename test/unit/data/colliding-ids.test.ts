// Ids chosen to meet in one chain of a hash table cost no more than others: a million numbers, a million strings, strings of digits.
import { spawnSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { IdMap } from '../../../lib/data/id-map.ts';
import { seededRandom, workClock } from '../../helpers.ts';

const colliding = suite('colliding ids');

/** Milliseconds of work that the fastest of three takes. */
function work(run: () => unknown): number {
  const times = [0, 1, 2].map(() => {
    const clock = workClock();
    run();
    return clock();
  });
  return Math.min(...times);
}

/** How many times longer the first takes. */
const ratio = (slow: () => unknown, fast: () => unknown): number => work(slow) / Math.max(1, work(fast));

const addAll = (ids: readonly (number | string)[]) => () => {
  const map = new IdMap();
  for (const id of ids) map.add(id);
  assert.is(map.size, ids.length);
};

/** The hash that V8 gives an integer below 2^30 as a key of a Map, in Node 20, 22, 24 and 26; the same in every process. */
function hashOfNumber(key: number): number {
  let h = ~key + (key << 15);
  h ^= h >>> 12;
  h += h << 2;
  h ^= h >>> 4;
  h = Math.imul(h, 2057);
  return (h ^ (h >>> 16)) & 0x3fffffff;
}

/** Integers whose hashes agree in their lowest `bits` bits, those that choose the chain. */
function collidingNumbers(count: number, bits: number): number[] {
  const found: number[] = [];
  for (let key = 0; found.length < count; ++key) if ((hashOfNumber(key) & ((1 << bits) - 1)) === 5) found.push(key);
  return found;
}

const [NODE, MINOR] = process.versions.node.split('.').map(Number) as [number, number];
const NUMBERS_ARE_KNOWN = [20, 22, 24, 26].includes(NODE);
/** That of Node 26 is another one. */
const STRINGS_ARE_KNOWN = [20, 22, 24].includes(NODE);

/** Distinct integers below 2^30, as many as `chosen`. */
function otherNumbers(chosen: readonly unknown[]): number[] {
  const random = seededRandom(1);
  const found = new Set<number>();
  while (found.size < chosen.length) found.add(Math.floor(random() * 2 ** 30));
  return [...found];
}

colliding('a million numbers: at most 3 times as long as random ones', () => {
  const chosen = collidingNumbers(1_000_000, 9); // all that there are below 2^30 would be twice as many
  const found = ratio(addAll(chosen), addAll(otherNumbers(chosen)));
  console.log(`${chosen.length} colliding numbers: ${found.toFixed(1)} times as long as others`);
  assert.ok(found <= 3, `${found} times`);
});

const fillMap = (ids: readonly (number | string)[]) => () => new Map(ids.map((id, row) => [id, row]));

colliding('planted: a Map takes far longer, for 60,000 already', () => {
  if (!NUMBERS_ARE_KNOWN) return;
  const chosen = collidingNumbers(60_000, 10);
  const ofMap = ratio(fillMap(chosen), fillMap(otherNumbers(chosen)));
  console.log(`60,000 of them in a Map: ${ofMap.toFixed(1)} times as long`);
  assert.ok(ofMap > 10, `${ofMap} times as long`);
});

/** Strings of ten digits that are chosen for one chain where nothing is seeded, as in Node 20.19: what V8 takes of them are the lowest 24 bits. */
const collidingDigits = Array.from({ length: 40_000 }, (_, i) => String(1_000_013_568 + 65_536 * i));

colliding('strings of digits: at most 3 times as long as random ones', () => {
  const others = otherNumbers(collidingDigits).map((number) => String(10 ** 9 + number));
  const found = ratio(addAll(collidingDigits), addAll(others));
  console.log(`${collidingDigits.length} colliding strings of digits: ${found.toFixed(1)} times as long as others`);
  assert.ok(found <= 3, `${found} times`);
  if (NODE !== 20 || MINOR > 19) return;
  const ofMap = ratio(fillMap(collidingDigits), fillMap(others));
  console.log(`in a Map: ${ofMap.toFixed(1)} times as long`);
  assert.ok(ofMap > 10, `planted: in a Map ${ofMap} times as long`);
});

/** The hash of strings of V8 11.3 to 13.6, in Node 20 to 24, before its end: one character more. */
function hashed(state: number, character: number): number {
  const h = (state + character) | 0;
  const mixed = (h + (h << 10)) | 0;
  return mixed ^ (mixed >>> 6);
}

/** The most strings: 2^20. */
const PARTS = 20;

/** All strings of one of two parts, then one of two others, and so on. */
const stringsOf = (parts: readonly (readonly [string, string])[]): string[] =>
  Array.from({ length: 1 << parts.length }, (_, i) => parts.map((part, k) => part[((i >> k) & 1) as 0 | 1]).join(''));

/** Strings that have one hash where the seed is this one: both parts of a pair lead from one state to the same. */
function collidingStrings(seed: number): string[] {
  let state = seed;
  const parts: [string, string][] = [];
  while (parts.length < PARTS) {
    const seen = new Map<number, number>();
    for (let code = 0; ; ++code) {
      let next = state;
      for (let shift = 20; shift >= 0; shift -= 5) next = hashed(next, 97 + ((code >> shift) & 31));
      const other = seen.get(next);
      seen.set(next, code);
      if (other === undefined) continue;
      const text = (of: number) => String.fromCharCode(...[20, 15, 10, 5, 0].map((shift) => 97 + ((of >> shift) & 31)));
      parts.push([text(other), text(code)]);
      state = next;
      break;
    }
  }
  return stringsOf(parts);
}

colliding('strings: the seed differs in every process, so that those chosen for one cost another no more than random ones', () => {
  const random = seededRandom(2);
  const chosen = collidingStrings(1);
  const part = () => String.fromCharCode(...Array.from({ length: 5 }, () => 97 + Math.floor(random() * 26)));
  const others = stringsOf(Array.from({ length: PARTS }, () => [part(), part()]));
  const found = ratio(addAll(chosen), addAll(others));
  console.log(`${chosen.length} strings that collide under another seed: ${found.toFixed(1)} times as long as others`);
  assert.ok(found <= 3, `${found} times`);
  if (!STRINGS_ARE_KNOWN) return;
  const few = (ids: string[]) => JSON.stringify(ids.slice(0, 2000));
  const code = `
    const time = (ids) => { const began = performance.now(); const map = new Map(); for (const id of ids) map.set(id, 0); return performance.now() - began; };
    const [chosen, others] = JSON.parse(require('fs').readFileSync(0, 'utf8'));
    const least = (ids) => Math.min(time(ids), time(ids), time(ids));
    console.log(least(chosen) / Math.max(0.1, least(others)));`;
  const input = `[${few(chosen)},${few(others)}]`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--hash-seed=1', '-e', code], { input, encoding: 'utf8' });
  assert.ok(Number(stdout) > 10, `planted: with the seed known, ${stdout} times as long ${stderr}`);
});

colliding.run();
