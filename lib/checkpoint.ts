import { checkKind, take } from './artifact.ts';
import type { TrainedParameters, TrainerState } from './native.ts';
import { damaged, jsonObject, readTensors, type Tensor, writeTensors } from './safetensors.ts';

const FORMAT = 'hyper-know checkpoint';

/** Version of the file format; a newer one is refused. */
const VERSION = 1;

/** Where the epoch loop stands, between two epochs. */
export interface Progress {
  /** Epochs finished. */
  epoch: number;
  /** Best validation recall@20 so far, and when it was; −1 and 0 before the first evaluation. */
  bestRecall: number;
  bestEpoch: number;
  bestStep: number;
}

/** Everything that continuing bit for bit needs. */
export interface Checkpoint {
  progress: Progress;
  state: TrainerState;
  /** The parameters at the end of the best epoch, where they are kept. */
  best: TrainedParameters | null;
  /** What must be the same when training goes on; plain JSON. */
  configuration: Record<string, unknown>;
}

const BEST = ['users', 'entities', 'relations', 'beta'] as const;

/** Writes a checkpoint whole or not at all. Its arrays must not change until that is done. */
export async function saveCheckpoint(path: string, { progress, state, best, configuration }: Checkpoint): Promise<void> {
  const tensors = new Map<string, Tensor>();
  for (const [name, data] of Object.entries(state.tensors)) tensors.set(`state.${name}`, { shape: [data.length], data });
  if (best) for (const name of BEST) tensors.set(`best.${name}`, { shape: [best[name].length], data: best[name] });
  await writeTensors(path, {
    metadata: {
      format: FORMAT,
      version: String(VERSION),
      configuration: JSON.stringify(configuration),
      progress: JSON.stringify({ ...progress, steps: state.steps, bestCurvature: best?.curvature ?? null }),
    },
    tensors,
  });
}

/**
 * Reads a checkpoint that was made with the same configuration.
 *
 * @throws {HyperKnowError} ERR_HK_IO; ERR_HK_MODEL_FILE if it is damaged, no checkpoint, or of another configuration, naming the first difference
 */
export async function loadCheckpoint(path: string, configuration: Record<string, unknown>): Promise<Checkpoint> {
  const file = await readTensors(path);
  checkKind(path, file, FORMAT, VERSION);
  const theirs = jsonObject(path, 'configuration', file.metadata.configuration);
  for (const name of new Set([...Object.keys(configuration), ...Object.keys(theirs)])) {
    const [ours, other] = [JSON.stringify(configuration[name]), JSON.stringify(theirs[name])];
    if (ours !== other) throw damaged(path, `it was made with another ${name}: ${other}, not ${ours}`);
  }
  const { steps, bestCurvature, ...progress } = jsonObject(path, 'progress', file.metadata.progress);
  const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
  const { epoch, bestRecall, bestEpoch, bestStep } = progress as Record<string, unknown>;
  if (![epoch, bestEpoch, bestStep, steps].every(isCount) || ![bestRecall, bestCurvature ?? 0].every(Number.isFinite))
    throw damaged(path, 'its progress is incomplete');
  const state: TrainerState = { steps: steps as number, tensors: {} };
  for (const [name, { data }] of file.tensors)
    if (name.startsWith('state.') && !(data instanceof Uint8Array)) state.tensors[name.slice('state.'.length)] = data;
  let best: TrainedParameters | null = null;
  if (bestCurvature !== null) {
    const [users, entities, relations, beta] = BEST.map((name) => take(path, file, `best.${name}`, Float32Array));
    best = { users: users!, entities: entities!, relations: relations!, beta: beta!, curvature: bestCurvature as number };
  }
  return { progress: { epoch, bestRecall, bestEpoch, bestStep } as Progress, state, best, configuration };
}
