// The six variants of the paper's Table 3 and seven controls, on one data set, over several seeds; or what each extension is worth.
//
//   npm run reproduce                                  the synthetic world, 3 seeds: under 2 minutes on 2 cores
//   npm run reproduce -- --data FOLDER [--variants hyper-know,bpr-h] [--seeds 5] [--epochs 60] [--batch-size 4096] [--preset paper]
//                       [--options '{"loss":"sampled-softmax"}'] [--backend auto|cpu|cuda] [--threads N] [--out runs] [--no-controls]
//   npm run reproduce -- --ablate [--data FOLDER]…     every extension turned the other way, one at a time; a FOLDER may hold several data sets
//   npm run reproduce -- --figures 2,3,radius,curves,attention [--data FOLDER] [--entity ID]… [--kg-heads all] [--hub-degree 100] [--betas 0,.1,1]
//                       [--names FILE]                 the paper's figures and three more, as SVG, and a report: OUT/figures, OUT/report.html
//
// Expected: a table on standard output (mean ± sd over the seeds, paired t-test against Hyper-Know over users), and under --out one file per
// finished run and results.json with the whole protocol, or ablation.md and ablation.json. The same command continues where it stopped.
import { ablate } from './reproduce/ablate.ts';
import { parseCommand } from './reproduce/command.ts';
import { compare } from './reproduce/compare.ts';
import { makeFigures } from './reproduce/figures/make-figures.ts';

const command = parseCommand(process.argv.slice(2));
const { figures: request, sources, seeds, options, out } = command;
if (request) await makeFigures({ request, source: sources[0]!, seeds, options, out });
else await (command.ablate ? ablate(command) : compare(command));
