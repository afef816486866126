// What a command of comparison, tables and figures does: one list of runs for all of it, and what comes of them.
import { type RunRecord, runName } from '../../lib/report/run-folder.ts';
import type { Command } from './command.ts';
import { planComparison, workOf } from './compare.ts';
import { dryRun } from './dry-run.ts';
import { planFigures } from './figures/make-figures.ts';
import { distinctRuns, OpenDatasets, type Part, sayWhere, shardOf, workOff } from './work.ts';

export async function make(command: Command): Promise<void> {
  const { figures, tables, shard, out } = command;
  const datasets = new OpenDatasets();
  const parts: Part[] = [];
  if (!figures || tables.length > 0) parts.push(await planComparison(command, datasets));
  if (figures) parts.push(await planFigures(command, figures, datasets)); // last, so that its report has the tables
  // Split by split, so that each is opened once.
  const all = distinctRuns(parts.flatMap(({ runs }) => runs)).sort((a, b) => a.splitSeed - b.splitSeed);
  const ours = shard ? shardOf(all, shard) : all;
  if (command.dryRun) return dryRun(ours, { out, datasets, keepModel: command.keepModels });

  const records = new Map<string, RunRecord>();
  await workOff(ours, workOf(command, datasets), ({ key }, record) => void records.set(runName(key), record));
  if (shard) return sayWhere(ours.length, all.length, out);
  for (const { runs, conclude } of parts) await conclude(new Map(runs.map(({ key }) => [runName(key), records.get(runName(key))!])));
}
