// `npm run reproduce -- --verify`: what `hyper-know verify` does, of what is under --out, and the figures there.
import { visible } from '../../lib/cli/escape.ts';
import { EXIT, UsageError } from '../../lib/cli/exit.ts';
import { run } from '../../lib/cli/program.ts';
import type { Verdict } from '../../lib/report/checks.ts';
import type { Command } from './command.ts';
import { verifyFigures } from './figures/verify-figures.ts';

/** The exit status: 5 where a number or a drawing differs or a file is missing. */
export async function verify({ out, data, options }: Command): Promise<number> {
  if (data.length > 1) throw new UsageError('--data: one data set goes with --verify');
  const threads = options.threads === undefined ? [] : ['--threads', String(options.threads)];
  const status = await run(['verify', out, ...data.flatMap((folder) => ['--data', folder]), ...threads]);
  if (status !== EXIT.ok && status !== EXIT.tolerance) return status;
  const found: Verdict['status'][] = [];
  for await (const { what, status: own, remarks } of verifyFigures(out, data[0])) {
    found.push(own);
    console.log(`${own.padEnd(9)}  ${visible([what, remarks.join('; ')].filter((text) => text !== '').join(': '))}`);
  }
  if (found.length === 0) return status;
  const of = (wanted: Verdict['status']): number => found.filter((one) => one === wanted).length;
  console.log(`figures: ${of('ok')} ok, ${of('different')} different, ${of('missing')} missing, ${of('unchecked')} unchecked`);
  return of('different') + of('missing') > 0 ? EXIT.tolerance : status;
}
