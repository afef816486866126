import type { Verdict } from '../../report/verify.ts';
import { type Command, defineCommand } from '../command.ts';
import { count } from '../data.ts';
import { EXIT } from '../exit.ts';

export const verify: Command = defineCommand({
  name: 'verify',
  summary: 'Recompute every metric of results of reproduce from the embeddings and settings they keep, without training',
  arguments: [
    { name: 'RESULTS', description: 'results.json, ablation.json or sweep.json, the folder around them, or the folder of one run' },
  ],
  options: {
    data: { type: 'string', placeholder: 'FOLDER', defaultText: 'where the runs had it', description: 'where the data set is now' },
    threads: { type: 'integer', min: 1, max: 1024, defaultText: 'as many as the machine runs at once', description: 'threads of the CPU' },
    tolerance: { type: 'number', min: 0, max: 1, default: 0, description: 'largest difference of a number that is none' },
  },
  examples: ['verify runs/results.json', 'verify results.json --data data/last-fm --json'],
  async run({ output }, [path], { data, threads, tolerance }) {
    const { verifyResults } = await import('../../report/verify.ts');
    const verdicts: Verdict[] = [];
    const options = { tolerance, ...(data === undefined ? {} : { data }), ...(threads === undefined ? {} : { threads }) };
    for await (const verdict of verifyResults(path!, options)) {
      verdicts.push(verdict);
      const { what, status, remarks } = verdict;
      output.line(`${status.padEnd(9)}  ${what}${remarks.length > 0 ? `: ${remarks.join('; ')}` : ''}`, STYLES[status]);
    }
    const of = (status: string) => verdicts.filter((verdict) => verdict.status === status).length;
    const [ok, different, missing, unchecked] = ['ok', 'different', 'missing', 'unchecked'].map(of) as [number, number, number, number];
    output.line(`${count(ok)} ok, ${count(different)} different, ${count(missing)} missing, ${count(unchecked)} unchecked`);
    output.document('verify/1', { ok, different, missing, unchecked, verdicts });
    return different + missing > 0 ? EXIT.tolerance : EXIT.ok;
  },
});

const STYLES = { ok: 'green', different: 'red', missing: 'red', unchecked: 'yellow' } as const;
