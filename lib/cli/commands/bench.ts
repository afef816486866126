import { runScript } from '../checkout.ts';
import { type Command, defineCommand } from '../command.ts';

export const bench: Command = defineCommand({
  name: 'bench',
  summary: 'Run a benchmark (in a checkout of the repository only; `npm run bench` there)',
  passThrough: true,
  examples: ['bench epoch --data FOLDER', 'bench topk'],
  run: (context, args) => runScript(context, 'bench', args),
});
