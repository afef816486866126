// Every sub-command, in the order of the overview.
import type { Command } from '../command.ts';
import { bench } from './bench.ts';
import { check } from './check.ts';
import { doctor } from './doctor.ts';
import { evaluateCommand } from './eval.ts';
import { explain } from './explain.ts';
import { exportCommand } from './export.ts';
import { foldIn } from './fold-in.ts';
import { importCommand } from './import.ts';
import { inspect } from './inspect.ts';
import { recommend } from './recommend.ts';
import { report } from './report.ts';
import { reproduce } from './reproduce.ts';
import { similar } from './similar.ts';
import { trainCommand } from './train.ts';
import { verify } from './verify.ts';

/**
 * To add a command: write lib/cli/commands/NAME.ts and put it here; see lib/cli/README.md.
 */
export const commands: readonly Command[] = [
  ...[importCommand, check, trainCommand, evaluateCommand],
  ...[recommend, similar, explain, foldIn, exportCommand, inspect],
  ...[report, verify, doctor, bench, reproduce],
];
