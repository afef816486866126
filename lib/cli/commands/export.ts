import { type Command, defineCommand } from '../command.ts';
import { bytes, count } from '../data.ts';
import { EXIT } from '../exit.ts';
import { MODEL_ARGUMENT, openModel } from '../model.ts';

export const exportCommand: Command = defineCommand({
  name: 'export',
  summary: 'Hand a model to a vector engine or another program, with a certificate of what is kept',
  arguments: [MODEL_ARGUMENT],
  options: {
    to: {
      type: 'string',
      words: ['pgvector', 'qdrant', 'faiss', 'parquet', 'csv', 'npy'],
      required: true,
      description: 'for which engine, or in which format',
    },
    out: { type: 'string', short: 'o', placeholder: 'FOLDER', required: true, description: 'where the files go' },
    index: {
      type: 'string',
      words: ['none', 'hnsw'],
      default: 'none',
      description: 'vectors for exact full scans, or for graph indexes, which pay from about a million items',
    },
    schema: {
      type: 'string',
      placeholder: 'NAME',
      default: 'hyper_know',
      description: 'schema of the tables (pgvector) or name of the collection (Qdrant)',
    },
    checkUsers: { type: 'integer', min: 1, default: 500, description: 'users that the certificate compares' },
    minRecall: {
      type: 'number',
      min: 0,
      max: 1,
      placeholder: 'SHARE',
      description: "exit status 5 if the certificate's recall is below, with the files left where they are",
    },
    force: { type: 'boolean', description: 'replace a folder that an export wrote' },
  },
  examples: [
    'export shop.safetensors --to pgvector --out sql      # then cd sql, and psql -1 -f load.sql DATABASE',
    'export shop.safetensors --to faiss --index hnsw --out faiss --min-recall 0.999',
  ],
  async run({ output }, [path], { to, out, index, schema, checkUsers, minRecall, force }) {
    const { exportModel } = await import('../../export/index.ts');
    const model = await openModel(path!);
    const report = await exportModel(model, { to, out, index, schema, checkUsers, overwrite: force ?? false });
    const { encoding, columns, metric, k, users, recall, blendedRecall, worstUser, distanceError, largestRadius, warnings, files } = report;
    output.table([
      ['encoding', `${encoding}, ${columns} columns, ordered by ${metric}`],
      [`recall@${k}`, `${recall.toFixed(4)} of the model's own order, ${count(users)} users; the worst ${worstUser.toFixed(4)}`],
      ...(blendedRecall === undefined ? [] : [['of blended lists', `${blendedRecall.toFixed(4)}: neighbours are not in the vectors`]]),
      ['distance error', distanceError.toExponential(1)],
      ['largest radius', largestRadius.toFixed(6)],
    ]);
    output.table(
      files.map(({ name, bytes: size, sha256 }) => [name, bytes(size), `sha-256 ${sha256}`]),
      ['file', 'size', 'digest'],
    );
    for (const warning of warnings) output.warn(warning);
    output.line(`wrote ${out}`);
    output.document('export/1', { model: path, out, ...report });
    if (minRecall === undefined || recall >= minRecall) return EXIT.ok;
    output.error(`--min-recall: the certificate says ${recall.toFixed(4)}, below ${minRecall}`);
    return EXIT.tolerance;
  },
});
