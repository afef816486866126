import type { Neighbor } from '../../explain.ts';
import { type Command, defineCommand } from '../command.ts';
import { count } from '../data.ts';
import { idOf } from '../ids.ts';
import { cell, decimal, MODEL_ARGUMENT, openModel } from '../model.ts';

/** Items named in one line of the table. */
const MOST_NAMED = 5;

export const explain: Command = defineCommand({
  name: 'explain',
  summary: 'Say why an item stands where it does for a user',
  arguments: [MODEL_ARGUMENT, { name: 'USER', description: "a user's id" }, { name: 'ITEM', description: "an item's id" }],
  options: {
    neighbors: {
      type: 'integer',
      min: 1,
      short: 'n',
      default: 20,
      description: "how many of the item's triples to print, most attention first; --json has all",
    },
  },
  examples: ['explain shop.safetensors C-1042 SKU-7', 'explain shop.safetensors C-1042 SKU-7 --json'],
  async run({ output }, [path, user, item], values) {
    const model = await openModel(path!);
    const [u, v] = [idOf(model, 'user', user!, { what: 'USER' }), idOf(model, 'item', item!, { what: 'ITEM' })];
    const explanation = model.explain(u, v);
    const { distance, score, rank, knowledgeWeight, neighborhoodDistance, neighbors, deletion } = explanation;
    output.table([
      ['distance to the user', decimal(distance)],
      ...(score
        ? [
            ['score', decimal(score.total)],
            ['  of it the model, item-kNN, attribute-kNN', [score.model, score.itemKnn, score.attributeKnn].map(decimal).join(', ')],
          ]
        : []),
      ['rank among unseen items', count(rank)],
      ['weight of the graph, σ(β)', decimal(knowledgeWeight)],
      ['distance to its neighbourhood', decimal(neighborhoodDistance)],
      ...(deletion === null
        ? []
        : [
            [
              'rank without the first triple',
              `${count(deletion.rank)} (${deletion.moved < 0 ? '−' : '+'}${count(Math.abs(deletion.moved))}): ${sense(deletion.moved)}`,
            ],
          ]),
    ]);
    if (neighbors.length === 0) output.note('the item has no triples: nothing but interactions speaks for it');
    else
      output.table(
        neighbors
          .slice(0, values.neighbors)
          .map((neighbor) => [decimal(neighbor.attention), cell(neighbor.relation), cell(neighbor.entity), reasons(neighbor)]),
        ['attention', 'relation', 'entity', "the user's items with it"],
      );
    if (neighbors.length > values.neighbors) output.note(`${count(neighbors.length - values.neighbors)} triples more; --neighbors`);
    output.document('explain/1', { model: path, user: u, item: v, ...explanation });
  },
});

const sense = (moved: number): string =>
  moved > 0 ? 'it brings the item nearer' : moved < 0 ? 'it keeps the item away' : 'it changes nothing for this user';

function reasons({ via = [], shared = [] }: Neighbor): string {
  const listed = (ids: readonly (string | number)[]): string =>
    `${ids.slice(0, MOST_NAMED).map(cell).join(', ')}${ids.length > MOST_NAMED ? `, … (${count(ids.length)})` : ''}`;
  return [...(via.length > 0 ? [listed(via)] : []), ...(shared.length > 0 ? [`(shares ${listed(shared)})`] : [])].join(' ');
}
