import { type Command, defineCommand } from '../command.ts';
import { idOf, readIds } from '../ids.ts';
import { cell, decimal, K_OPTION, MODEL_ARGUMENT, openModel } from '../model.ts';
import { UsageError } from '../exit.ts';

export const similar: Command = defineCommand({
  name: 'similar',
  summary: 'List the items nearest to items, or the users nearest to users',
  arguments: [MODEL_ARGUMENT, { name: 'ITEM', description: "items' ids; users' with --users", variadic: true }],
  options: {
    k: K_OPTION,
    users: { type: 'boolean', description: 'the ids are those of users, and so are the lists' },
    candidates: { type: 'string', placeholder: 'FILE', description: 'file of the only items that may be listed, one id a line' },
  },
  examples: ['similar shop.safetensors SKU-7 -k 5', 'similar shop.safetensors C-1042 --users --json'],
  async run({ output }, [path, ...named], { k, users, candidates }) {
    if (users && candidates !== undefined) throw new UsageError('--candidates: is about items, and has no meaning with --users');
    const model = await openModel(path!);
    const kind = users ? 'user' : 'item';
    const ids = named.map((text) => idOf(model, kind, text, { what: users ? 'USER' : 'ITEM' }));
    const options = candidates === undefined ? {} : { candidates: await readIds(model, 'item', '--candidates', candidates) };
    const lists = ids.map((id) =>
      users
        ? { of: 'users' as const, user: id, users: model.similarUsers(id, k) }
        : { of: 'items' as const, item: id, items: model.similarItems(id, k, options) },
    );
    output.table(
      lists.flatMap((list) =>
        list.of === 'users'
          ? list.users.map(({ user, distance }, i) => [cell(list.user), i + 1, cell(user), decimal(distance)])
          : list.items.map(({ item, distance }, i) => [cell(list.item), i + 1, cell(item), decimal(distance)]),
      ),
      [kind, 'rank', `near ${kind}`, 'distance'],
    );
    output.document('similar/1', { model: path, k, lists });
  },
});
