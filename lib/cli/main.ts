#!/usr/bin/env node
// The command `hyper-know`. In a checkout: `npx hyper-know …` after `npm run build`, or `node --import tsx lib/cli/main.ts …`.
import { run } from './program.ts';

// Who reads the output may have seen enough (`… | head`): that is no error.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });

process.exitCode = await run(process.argv.slice(2));
