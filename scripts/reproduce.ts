// The six variants of the paper's Table 3 and seven controls, on one data set, over several seeds; the paper's tables; or what each extension is worth.
//
//   npm run reproduce                                  the synthetic world, 3 seeds: under 2 minutes on 2 cores
//   npm run reproduce -- --data FOLDER [--tables 2,3,4] [--preset tuned|softmax|paper|both] [--variants hyper-know,bpr-h] [--seeds 5] [--epochs 60]
//                       [--batch-size 4096] [--options '{"loss":"sampled-softmax"}'] [--backend auto|cpu|cuda] [--threads N] [--out runs]
//                       [--no-controls] [--no-models] [--shard i/n] [--from OUT]… [--dry-run]
//   npm run reproduce -- --dataset amazon-book|last-fm|yelp2018 [--accept-terms]   the published files, fetched into data/ and verified
//   npm run reproduce -- --ablate [--data FOLDER]…     every extension turned the other way, one at a time; a FOLDER may hold several data sets
//   npm run reproduce -- --figures 2,3,radius,curves,attention [--data FOLDER] [--entity ID]… [--kg-heads all] [--hub-degree 100] [--betas 0,.1,1]
//                       [--names FILE]                 the paper's figures and three more, as SVG, and a report: OUT/figures, OUT/report.html
//   npm run reproduce -- --verify [--out runs]         every metric of finished runs again, without training; status 5 if one differs
//
// Expected: a table on standard output (mean ± sd over the seeds, paired t-test against Hyper-Know over users), and under --out a folder per
// finished run and results.json with the whole protocol, or ablation.md and ablation.json. The same command continues where it stopped, in the
// midst of a run, too. scripts/README.md has the form of what is written.
import { ablate } from './reproduce/ablate.ts';
import { parseCommand } from './reproduce/command.ts';
import { make } from './reproduce/make.ts';
import { goOnLater, main } from './reproduce/process.ts';
import { verify } from './reproduce/verify.ts';

goOnLater();
await main('reproduce', async () => {
  const command = parseCommand(process.argv.slice(2));
  if (command.verify) return verify(command);
  await (command.ablate ? ablate(command) : make(command));
  return 0;
});
