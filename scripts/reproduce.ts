// The six variants of the paper's Table 3 and seven controls, on one data set, over several seeds; or what each extension is worth.
//
//   npm run reproduce                                  the synthetic world, 3 seeds: under 2 minutes on 2 cores
//   npm run reproduce -- --data FOLDER [--variants hyper-know,bpr-h] [--seeds 5] [--epochs 60] [--batch-size 4096] [--preset paper]
//                       [--options '{"loss":"sampled-softmax"}'] [--backend auto|cpu|cuda] [--threads N] [--out runs] [--no-controls]
//   npm run reproduce -- --ablate [--data FOLDER]…     every extension turned the other way, one at a time; a FOLDER may hold several data sets
//
// Expected: a table on standard output (mean ± sd over the seeds, paired t-test against Hyper-Know over users), and under --out one file per
// finished run and results.json with the whole protocol, or ablation.md and ablation.json. The same command continues where it stopped.
import { ablate } from './reproduce/ablate.ts';
import { parseCommand } from './reproduce/command.ts';
import { compare } from './reproduce/compare.ts';
import { goOnLater } from './reproduce/signals.ts';
import { verify } from './reproduce/verify.ts';

goOnLater();
const command = parseCommand(process.argv.slice(2));
if (command.verify) process.exitCode = await verify(command);
else await (command.ablate ? ablate(command) : compare(command));
