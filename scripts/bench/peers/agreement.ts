/** Whether the plain JavaScript peer trains what the package trains. */
import { type NativeTrainer, native, type TrainerConfig } from '../../../lib/native.ts';
import { AS_THE_PEERS, configuration, smallData } from '../data.ts';
import { JavaScriptTrainer } from './javascript.ts';

/** What may differ between two float32 trainers after ten steps; hyper_know.py says why. */
export const TOLERANCE = 2e-5;

/** A trainer in plain JavaScript that starts where ours does. */
export async function javaScriptFrom(config: TrainerConfig): Promise<JavaScriptTrainer> {
  const start = new native.Trainer(config);
  try {
    return new JavaScriptTrainer(config, await start.state().promise);
  } finally {
    start.dispose();
  }
}

/** Ten steps on the same samples by ours and by plain JavaScript: the largest relative difference of losses and tables. */
export async function checkJavaScript(): Promise<number> {
  const data = smallData();
  const config = configuration(data, { ...AS_THE_PEERS, batchSize: Math.ceil(data.train.items.length / 10) });
  const [ours, theirs] = [new native.Trainer(config), await javaScriptFrom(config)];
  const before = await parameters(ours);
  const samples = ours.samples(0);
  for (let begin = 0; begin < samples.users.length; begin += config.batchSize) {
    const part = (ids: Uint32Array) => ids.subarray(begin, begin + config.batchSize);
    theirs.step({ users: part(samples.users), positives: part(samples.positives), negatives: part(samples.negatives) });
  }
  const { rankingLoss, knowledgeLoss, samples: count } = await ours.epoch(0, 1).promise;
  const after = await parameters(ours);
  ours.dispose();
  const tables = {
    users: theirs.users.parameters,
    entities: theirs.entities.parameters,
    relations: theirs.relations.parameters,
    beta: theirs.beta,
  };
  const largest = (of: (i: number) => number, length: number) => {
    let most = 0;
    for (let i = 0; i < length; ++i) most = Math.max(most, Math.abs(of(i)));
    return most;
  };
  return Math.max(
    Math.abs(theirs.losses.ranking / count / rankingLoss - 1),
    Math.abs(theirs.losses.knowledge / count / knowledgeLoss - 1),
    ...Object.entries(tables).map(([name, found]) => {
      const [first, last] = [before[name]!, after[name]!];
      return largest((i) => found[i]! - last[i]!, last.length) / largest((i) => last[i]! - first[i]!, last.length);
    }),
  );
}

async function parameters(trainer: NativeTrainer): Promise<Record<string, Float32Array>> {
  const { tensors } = await trainer.state().promise;
  return Object.fromEntries(
    ['users', 'entities', 'relations', 'beta'].map((name) => [name, (tensors[`${name}.parameters`] as Float32Array).slice()]),
  );
}
