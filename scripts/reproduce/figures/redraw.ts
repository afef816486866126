// Draws the figures of a folder again, and its report, from the data that are there; nothing is trained.
//
//   node --import tsx scripts/reproduce/figures/redraw.ts OUT        (OUT as of `npm run reproduce -- --figures … --out OUT`; 1 s)
import { join } from 'node:path';
import { figuresIn, writeDrawings, writeReport } from './report.ts';

const [out, ...rest] = process.argv.slice(2);
if (out === undefined || rest.length > 0) throw new Error('usage: redraw.ts OUT');
const folder = join(out, 'figures');
const figures = figuresIn(folder);
if (figures.length === 0) throw new Error(`${folder}: holds no data of figures`);
for (const data of figures) await writeDrawings(folder, data);
process.stderr.write(`wrote ${folder} and ${await writeReport(out)}\n`);
