import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { release } from '../../../lib/data/release.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const held = () => process.memoryUsage().arrayBuffers;

/** Without what earlier tests have left: what a collection finds is freed by another thread, some of it after the next one only. */
function heldForGood(): number {
  for (let i = 0; i < 5; ++i) collect();
  return held();
}

test('released arrays are empty, and their memory is the process’s no more', () => {
  const MIB = 1 << 20;
  const before = heldForGood();
  const arrays = [new Float64Array(MIB), new Uint32Array(2 * MIB), new Uint8Array(8 * MIB)] as const;
  assert.ok(held() - before >= 24 * MIB);
  release(...arrays);
  assert.ok(held() - before < MIB, `${held() - before} bytes`);
  assert.equal(
    arrays.map(({ length }) => length),
    [0, 0, 0],
  );
});

test('nothing, and arrays of nothing, may be released', () => {
  release();
  release(new Uint32Array(0), new Uint8Array(0));
});

test.run();
