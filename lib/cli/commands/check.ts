import { type Command, defineCommand } from '../command.ts';
import { bytes, count, DATA_ARGUMENT, DATA_OPTIONS, openDataset } from '../data.ts';
import { EXIT } from '../exit.ts';

export const check: Command = defineCommand({
  name: 'check',
  summary: 'Look a data set over: counts, repeats, hubs, leaks between the splits, digests',
  arguments: [DATA_ARGUMENT],
  options: { ...DATA_OPTIONS, strict: { type: 'boolean', description: 'exit status 3 for warnings too, not for errors only' } },
  examples: ['check shop', 'check kgat/last-fm --json'],
  async run({ output }, [path], values) {
    const dataset = await openDataset(path!, values, output);
    const { diagnose } = await import('../../data/diagnose.ts');
    const diagnosis = await diagnose(dataset);
    const { counts, core, hubs, published, findings, files } = diagnosis;
    output.table([
      ...Object.entries(counts).map(([name, value]): [string, string] => [name, name === 'density' ? value.toPrecision(3) : count(value)]),
      ['k-core', String(core)],
    ]);
    for (const { name, bytes: size, sha256 } of files) output.line(`${name}  ${bytes(size)}  sha-256 ${sha256}`);
    for (const { entity, triples, share } of hubs) output.line(`tail ${entity}: ${count(triples)} triples, ${(100 * share).toFixed(1)} %`);
    if (published) {
      output.line(
        published.differs.length === 0
          ? `these are the counts of ${published.name} in ${published.source}: ${published.matches.join(', ')}`
          : `users and items of ${published.name} in ${published.source}, but ${published.differs.join('; ')}`,
      );
      if (published.sameFiles.length > 0) output.line(`by their sha-256 the published files: ${published.sameFiles.join(', ')}`);
      output.line(published.terms);
    }
    for (const { level, message } of findings)
      output.line(`${level.padEnd(7)} ${message}`, level === 'error' ? 'red' : level === 'warning' ? 'yellow' : 'green');
    output.document('check/1', diagnosis);
    const isBad = findings.some(({ level }) => level === 'error' || (values.strict && level === 'warning'));
    return isBad ? EXIT.badData : EXIT.ok;
  },
});
