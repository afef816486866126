import { runScript } from '../checkout.ts';
import { type Command, defineCommand } from '../command.ts';

export const reproduce: Command = defineCommand({
  name: 'reproduce',
  summary: "Train and compare the variants of the paper's Table 3 and the controls (in a checkout of the repository only)",
  passThrough: true,
  examples: [
    'reproduce',
    'reproduce --data FOLDER --tables 2,3,4 --seeds 5',
    'reproduce --data FOLDER --variants hyper-know,bpr-h --dry-run',
    'reproduce --dataset last-fm',
  ],
  run: (context, args) => runScript(context, 'reproduce', args),
});
