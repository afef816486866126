import { createDataset, type Dataset } from '../../lib/data/dataset.ts';
import { seededRandom } from '../helpers.ts';

/** Few users and items, about a third of the pairs, every user and item with one. */
export function randomData(users: number, items: number, seed: number): Dataset {
  const random = seededRandom(seed);
  const interactions = [];
  for (let user = 0; user < users; ++user)
    for (let item = 0; item < items; ++item)
      if (random() < 0.3 || item === user % items || user === item % users) interactions.push({ user, item });
  return createDataset({ interactions, triples: [] }, { validationFraction: 0 });
}
