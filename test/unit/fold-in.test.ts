// Folding in: the point is where the loss is least, and new users and items are recommended nearly as if they had been there.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Dataset } from '../../lib/data/dataset.ts';
import { synthetic } from '../../lib/data/synthetic.ts';
import { userPoint } from '../../lib/fold-in.ts';
import { itemPoint } from '../../lib/fold-in-item.ts';
import { einsteinMidpoint, expMapOrigin, logMapOrigin } from '../../lib/geometry.ts';
import { itemAffinity, itemsAlike } from '../../lib/item-affinity.ts';
import type { Model } from '../../lib/model.ts';
import { train } from '../../lib/train.ts';
import { drawRows, withoutItems, withoutUsers } from '../../scripts/fold-in/hold-out.ts';
import { judgeItems, judgeUsers } from '../../scripts/fold-in/judge.ts';
import { seededRandom } from '../helpers.ts';
import { distance, row } from '../points.ts';

const foldIn = suite('fold-in');

const world = synthetic({ seed: 2 });
const options = { dim: 24, epochs: 60, batchSize: 512, seed: 1, backend: 'cpu' } as const;
const degree = ({ offsets }: { offsets: Uint32Array }, at: number) => offsets[at + 1]! - offsets[at]!;
let full: Model;
foldIn.before(async () => {
  full = await train(world, options);
});

for (const variant of ['hyper-know', 'bpr-e'] as const)
  foldIn(`a user's point is where the softmax over all items and λ‖w‖² are least, ${variant}`, async () => {
    const small = synthetic({ users: 60, items: 90, interactionsPerUser: [6, 10], seed: 5 }); // few enough for all to be negatives
    const model = await train(small, { ...options, variant, dim: 6, epochs: 20, batchSize: 128 });
    const { dim, curvature } = model;
    const tangents = Array.from({ length: small.users }, (_, user) =>
      logMapOrigin(Float64Array.from(row(model.users, user, dim)), curvature),
    );
    const square = (w: Float64Array) => w.reduce((sum, x) => sum + x * x, 0);
    const spread = tangents.reduce((sum, w) => sum + square(w), 0) / small.users;
    for (const user of [0, 17, 42]) {
      const own = model.seen.items.subarray(model.seen.offsets[user], model.seen.offsets[user + 1]);
      const loss = (w: Float64Array): number => {
        const point = Float32Array.from(expMapOrigin(w, curvature));
        const d = Array.from({ length: small.items }, (_, item) => distance(point, row(model.entities, item, dim), curvature));
        const others = d.filter((_, item) => !own.includes(item));
        const mean =
          own.reduce((sum, v) => sum + Math.log(1 + others.reduce((all, x) => all + Math.exp(2 * (d[v]! - x)), 0)), 0) / own.length;
        return mean + (0.8 / spread) * square(w);
      };
      const found = logMapOrigin(Float64Array.from(userPoint(model, own)), curvature);
      const items = Float32Array.from([...own].flatMap((item) => [...row(model.entities, item, dim)]));
      const start = logMapOrigin(einsteinMidpoint(items, null, dim, curvature), curvature);
      const least = loss(found);
      assert.ok(least < loss(start), `user ${user}: ${least} after, ${loss(start)} before`);
      const random = seededRandom(user);
      for (let trial = 0; trial < 20; ++trial) {
        const aside = found.map((x) => x + 0.3 * Math.sqrt(spread / dim) * (2 * random() - 1));
        assert.ok(loss(aside) > least - 1e-3, `user ${user}: ${loss(aside)} aside, ${least} there`);
      }
    }
  });

foldIn('new users of a synthetic world keep most of what training with them gives', async () => {
  const users = drawRows(world.users, 0.2, 1, (user) => degree(world.train, user) > 0);
  const without = await train(withoutUsers(world, users), options);
  const rows = await judgeUsers(world, full, without, users);
  assert.equal(
    rows.map(({ split }) => split),
    ['validation', 'test'],
  );
  const { trained, folded, popularity, users: judged } = rows[1]!;
  assert.ok(judged > 80, `${judged} users`);
  assert.ok(folded >= 0.75 * trained && folded > 1.5 * popularity, `${folded} folded in, ${trained} trained, ${popularity} by popularity`);
});

foldIn('new items of a synthetic world are ranked better than by the popularity of their entities', async () => {
  const items = drawRows(world.items, 0.2, 1, (item) => degree(world.graph, item) > 0);
  const without = await train(await withoutItems(world, items), options);
  const rows = new Map((await judgeItems(world, full, without, items)).map((one) => [one.by, one]));
  const [folded, attributes, random] = ['folded in', 'popularity of its entities', 'at random'].map((by) => rows.get(by)!.ndcg);
  assert.ok(folded! > 1.3 * attributes! && folded! > 2 * random!, `${folded}, ${attributes}, ${random}`);
});

foldIn('who is held out is nowhere in what is trained on, and everything else is', async () => {
  const items = drawRows(world.items, 0.1, 3, () => true);
  assert.is(items.length, Math.round(0.1 * world.items));
  assert.ok(items.every((item, at) => at === 0 || item > items[at - 1]!));
  assert.equal(
    drawRows(world.items, 0.1, 3, () => true),
    items,
  );
  const out = new Set([...items].map((item) => world.itemIds[item]!));
  const left = await withoutItems(world, items);
  assert.equal(
    left.itemIds,
    world.itemIds.filter((id) => !out.has(id)),
  );
  const pairs = ({ train: part, userIds, itemIds }: Dataset) =>
    userIds.flatMap((user, at) => [...part.items.subarray(part.offsets[at], part.offsets[at + 1])].map((item) => [user, itemIds[item]!]));
  assert.equal(
    pairs(left),
    pairs(world).filter(([, item]) => !out.has(item!)),
  );
  const named = ({ triples, entityIds, relationIds }: Dataset) =>
    [...triples.heads].map((head, i) => [entityIds[head]!, relationIds[triples.relations[i]!]!, entityIds[triples.tails[i]!]!]);
  assert.equal(
    named(left),
    named(world).filter(([head, , tail]) => !out.has(head!) && !out.has(tail!)),
  );

  const users = Uint32Array.of(1, 5);
  const { train: part, validation } = withoutUsers(world, users);
  for (const user of users) assert.equal([degree(part, user), degree(validation, user)], [0, 0]);
  assert.equal(part.items.subarray(part.offsets[6]), world.train.items.subarray(world.train.offsets[6]));
});

foldIn('items alike share entities, the rarer the more, and an item that is a tail is one of them', () => {
  const affinity = itemAffinity(full);
  const { graph } = full;
  const item = 7;
  const tails = graph.tails.subarray(graph.offsets[item], graph.offsets[item + 1]);
  const alike = itemsAlike(affinity, tails, item);
  assert.ok(alike.length > 0 && alike.every((one) => one.item !== item));
  for (const [at, { item: other, weight }] of alike.entries()) {
    const theirs = new Set(graph.tails.subarray(graph.offsets[other], graph.offsets[other + 1]));
    const expected = [...new Set(tails)]
      .filter((tail) => theirs.has(tail))
      .reduce((sum, tail) => sum + Math.log(world.items / graph.tails.reduce((count, one) => count + Number(one === tail), 0)), 0);
    const itself = tails.includes(other) ? Math.log(world.items) : 0;
    assert.ok(Math.abs(weight - expected - itself) <= 1e-9, `${weight}, ${expected}`);
    assert.ok(at === 0 || weight <= alike[at - 1]!.weight);
  }
  assert.equal(itemsAlike(affinity, Uint32Array.of(3))[0], { item: 3, weight: Math.log(world.items) });
  assert.equal(itemPoint(full, Uint32Array.of(0), Uint32Array.of(3)), itemPoint(full, Uint32Array.of(0), Uint32Array.of(3)));
});

foldIn.run();
