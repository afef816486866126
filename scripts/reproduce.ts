// The six variants of the paper's Table 3 and three controls, on one data set, over several seeds.
//
//   npm run reproduce                                  the synthetic world, 3 seeds: under 2 minutes on 2 cores
//   npm run reproduce -- --data FOLDER [--variants hyper-know,bpr-h] [--seeds 5] [--epochs 60] [--batch-size 4096] [--preset paper]
//                       [--backend auto|cpu|cuda] [--threads N] [--out runs/reproduce] [--no-controls]
//
// Expected: a table on standard output (mean ± sd over the seeds, paired t-test against Hyper-Know over users), and under --out one file per
// finished run and results.json with the whole protocol. The same command continues where it stopped.
import { availableParallelism, cpus, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type Control, itemKnn, knowledgeKnn, popularity } from '../lib/controls.ts';
import { type Dataset, loadDataset } from '../lib/data/dataset.ts';
import { synthetic } from '../lib/data/synthetic.ts';
import { evaluatePerUser, evaluateRankingPerUser } from '../lib/evaluate.ts';
import { backends } from '../lib/native.ts';
import { PRESETS, type PresetName } from '../lib/presets.ts';
import { quantile } from '../lib/statistics.ts';
import { type TrainOptions, train } from '../lib/train.ts';
import { VARIANTS, type VariantName } from '../lib/variants.ts';
