import { createHash } from 'node:crypto';
import type { Diagnostics } from '../../diagnostics.ts';
import type { TrainingRecord } from '../../embedding.ts';
import type { Protocol, RowCounts } from '../../protocol.ts';
import type { Tensor } from '../../safetensors.ts';
import { type Command, defineCommand } from '../command.ts';
import { bytes, count } from '../data.ts';
import { cell, decimal, MODEL_ARGUMENT, openModel } from '../model.ts';

/** Triples up to which the influence of relations is worked out unasked: about a second. */
const CHEAP_TRIPLES = 300_000;

export const inspect: Command = defineCommand({
  name: 'inspect',
  summary: 'Say what a model file holds: format, options, counts, digests, radii, what its relations weigh',
  arguments: [MODEL_ARGUMENT],
  options: {
    influence: {
      type: 'boolean',
      description: `work out the influence of every relation for a graph of more than ${CHEAP_TRIPLES.toLocaleString('en-US')} triples, too`,
    },
  },
  examples: ['inspect shop.safetensors', 'inspect shop.safetensors --json | jq .diagnostics.items'],
  async run({ output }, [path], values) {
    const { readTensors } = await import('../../safetensors.ts');
    const model = await openModel(path!); // says what is wrong with a file that is no model
    const file = await readTensors(path!);
    const { format, version, dim: _dim, curvature: _curvature, training: _training, protocol: _protocol, ...others } = file.metadata;
    const tensors = [...file.tensors].map(describe).sort((a, b) => b.bytes - a.bytes);
    const size = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
    const { dim, curvature, graph, seen, training, protocol } = model;
    const counts = {
      users: model.userIds.length,
      items: model.itemIds.length,
      entities: model.entityIds.length,
      relations: model.relationIds.length,
      triples: graph.tails.length,
      seen: seen.items.length,
    };
    const diagnostics = await model.diagnostics();
    const influence = values.influence || counts.triples <= CHEAP_TRIPLES ? await model.graphInfluence() : null;
    const metadata = Object.fromEntries(Object.entries(others).map(([name, text]) => [name, jsonOr(text)]));

    const { variant, preset, options, epoch, steps, validationRecall, neighborBlend: blended } = training;
    output.table([
      ['format', `${format}, version ${version}`],
      ['tensors', `${tensors.length}, ${bytes(size)}, each as its sha-256 says`],
      ['variant', `${variant}, preset ${preset}`],
      ['trained', `${count(epoch)} epochs, ${count(steps)} steps`],
      ...(validationRecall === undefined ? [] : [['validation recall@20', decimal(validationRecall)]]),
      ...(blended ? [['lists blend', blendText(blended)]] : []),
      ...Object.entries(counts).map(([name, value]) => [name === 'seen' ? 'seen interactions' : name, count(value)]),
      ['dim', String(dim)],
      ['curvature', curvature === 0 ? '0 (Euclidean)' : String(curvature)],
      ...(protocol === undefined ? [] : protocolRows(protocol)),
      ...Object.entries(metadata).map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)]),
    ]);
    output.line('options', 'bold');
    output.table(
      Object.entries(options).map(([name, value]) => [`  ${name}`, typeof value === 'object' ? JSON.stringify(value) : String(value)]),
    );
    printRadii(diagnostics, (rows, header) => output.table(rows, header));
    for (const warning of diagnostics.warnings) output.warn(warning);
    if (influence === null) output.note(`${count(counts.triples)} triples: --influence works out what each relation weighs`);
    else if (influence.relations.length > 0) {
      output.table(
        influence.relations.map(({ relation, triples, items, share, meanWeight }) => [
          cell(relation),
          count(triples),
          count(items),
          `${(100 * share).toFixed(1)} %`,
          decimal(meanWeight),
        ]),
        ['relation', 'triples', 'items', 'influence', 'mean σ(β)'],
      );
    }
    output.document('inspect/1', {
      model: path,
      format,
      version: Number(version),
      verified: true,
      ...counts,
      dim,
      curvature,
      training,
      protocol: protocol ?? null,
      metadata,
      tensors,
      diagnostics,
      influence,
    });
  },
});

function blendText({ itemKnn, attributeKnn, validationRecall }: NonNullable<TrainingRecord['neighborBlend']>): string {
  const chosen = validationRecall === undefined ? '' : `, by validation recall@20 ${decimal(validationRecall)}`;
  return itemKnn + attributeKnn === 0 ? `nothing${chosen}` : `${itemKnn} of item-kNN, ${attributeKnn} of attribute-kNN${chosen}`;
}

function describe([name, { shape, data }]: [string, Tensor]): { name: string; shape: readonly number[]; bytes: number; sha256: string } {
  const { buffer, byteOffset, byteLength } = data;
  const sha256 = createHash('sha256')
    .update(new Uint8Array(buffer, byteOffset, byteLength))
    .digest('hex');
  return { name, shape, bytes: byteLength, sha256 };
}

function protocolRows({ version, data, split, selection, backend, device, warmStart }: Protocol): string[][] {
  const files = data.files.map(({ name, bytes: size, sha256 }) => ['', `${name}, ${bytes(size)}, sha-256 ${sha256}`]);
  const { train, validation, test } = data.interactions;
  const counts = (rows: RowCounts) =>
    Object.entries(rows)
      .map(([name, value]) => `${count(value)} ${name}`)
      .join(', ');
  return [
    ['made by', `hyper-know ${version}, ${backend}: ${device}`],
    ['epoch chosen', `${count(selection.epoch)} of ${count(selection.epochs)}, by ${selection.by}`],
    ['data', `${data.source}, ${count(data.triples)} triples as read`],
    ...files,
    ['split', `${count(train)} train, ${count(validation)} validation (${split.validation}), ${count(test)} test (${split.test})`],
    ['', `sha-256 ${data.sha256}`],
    ...(warmStart
      ? [
          ['warm start', `from tables of sha-256 ${warmStart.sha256}`],
          ['', `matched ${counts(warmStart.matched)}`],
          ['', `dropped ${counts(warmStart.dropped)}`],
        ]
      : []),
  ];
}

function jsonOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function printRadii(
  { curvature, users, items, otherEntities, relations }: Diagnostics,
  print: (rows: string[][], header: string[]) => void,
): void {
  print(
    Object.entries({ users, items, 'other entities': otherEntities, relations })
      .filter(([, { rows }]) => rows > 0)
      .map(([name, { radius, atBoundary }]) => [name, ...Object.values(radius).map(decimal), count(atBoundary)]),
    [curvature === 0 ? '‖x‖' : '√c‖x‖', 'min', 'p10', 'p50', 'p90', 'p99', 'max', 'at boundary'],
  );
}
