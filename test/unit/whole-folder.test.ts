import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { writeWholeFolder } from '../../lib/whole-folder.ts';
import { temporaryFolder } from '../helpers.ts';

const whole = suite('whole folders');
const anything = async () => {};
const fillWith = (text: string) => async (temporary: string) => writeFileSync(join(temporary, 'a'), text);
const content = (target: string) => readFileSync(join(target, 'a'), 'utf8');

/** A folder that holds a folder `target` with the file a, 'old'. */
function occupied(): { parent: string; target: string } {
  const parent = temporaryFolder();
  const target = join(parent, 'target');
  mkdirSync(target);
  writeFileSync(join(target, 'a'), 'old');
  return { parent, target };
}

async function failing(run: Promise<void>): Promise<Error> {
  return run.then(
    () => assert.unreachable('it did not throw'),
    (error) => error,
  );
}

whole('a new folder, and one in the place of another', async () => {
  const target = join(temporaryFolder(), 'target');
  await writeWholeFolder(target, anything, fillWith('new'));
  assert.is(content(target), 'new');
  await writeWholeFolder(target, anything, fillWith('newer'));
  assert.is(content(target), 'newer');
  assert.equal(readdirSync(join(target, '..')), ['target']);
});

whole('what throws leaves the old folder and nothing else', async () => {
  for (const at of ['first check', 'fill', 'second check']) {
    const { parent, target } = occupied();
    let checks = 0;
    const error = await failing(
      writeWholeFolder(
        target,
        async () => {
          if (++checks === (at === 'first check' ? 1 : at === 'second check' ? 2 : 0)) throw new Error(at);
        },
        async (temporary) => {
          await fillWith('new')(temporary);
          if (at === 'fill') throw new Error(at);
        },
      ),
    );
    assert.is(error.message, at);
    assert.is(content(target), 'old');
    assert.equal(readdirSync(parent), ['target']);
  }
});

whole('the old folder is moved back where the new one cannot be put in its place', async () => {
  const { parent, target } = occupied();
  let made = '';
  let checks = 0;
  const error = await failing(
    writeWholeFolder(
      target,
      async () => {
        if (++checks === 2) rmSync(made, { recursive: true }); // so that renaming it fails
      },
      async (temporary) => {
        made = temporary;
        await fillWith('new')(temporary);
      },
    ),
  );
  assert.is((error as NodeJS.ErrnoException).code, 'ENOENT');
  assert.ok(existsSync(target));
  assert.is(content(target), 'old');
  assert.equal(readdirSync(parent), ['target']);
});

whole.run();
