import type { Id } from '../../data/csr.ts';
import type { Model } from '../../model.ts';
import type { Recommendation } from '../../recommend.ts';
import type { RecommendBatchOptions, RecommendationBatch } from '../../recommend-batch.ts';
import { type Command, type Context, defineCommand, type OptionTable, type Values } from '../command.ts';
import { count } from '../data.ts';
import { UsageError } from '../exit.ts';
import { idOf, readIds } from '../ids.ts';
import { cell, decimal, K_OPTION, MODEL_ARGUMENT, openModel } from '../model.ts';
import { Progress } from '../progress.ts';
import { writeWholeFile } from '../whole-file.ts';

/** Entries of lists that are in memory at once on their way to a file: some tens of megabytes. */
const MOST_ENTRIES = 1 << 20;

const OPTIONS = {
  k: K_OPTION,
  exclude: {
    type: 'list',
    default: ['seen'],
    placeholder: 'seen|none|FILE',
    description:
      "items to leave out: 'seen' (what training knew of the user), 'none', or those in a file of one id a line; 'seen,FILE' for both",
  },
  candidates: { type: 'string', placeholder: 'FILE', description: 'file of the only items that may be recommended, one id a line' },
  users: { type: 'string', placeholder: 'FILE', description: 'file of users, one id a line, beside those named' },
  all: { type: 'boolean', description: 'lists for all users the model knows, into the file of --out' },
  out: {
    type: 'string',
    short: 'o',
    placeholder: 'FILE.csv',
    description: 'write user, rank, item and distance there, with the score where the model blends neighbours, and print how many',
  },
  backend: { type: 'string', words: ['auto', 'cpu', 'cuda'], default: 'cpu', description: 'where to compute' },
  threads: { type: 'integer', min: 1, max: 1024, defaultText: 'as many as the machine runs at once', description: 'threads of the CPU' },
} as const satisfies OptionTable;

export const recommend: Command = defineCommand({
  name: 'recommend',
  summary: 'List the items nearest to users',
  arguments: [MODEL_ARGUMENT, { name: 'USER', description: "users' ids", optional: true, variadic: true }],
  options: OPTIONS,
  examples: [
    'recommend shop.safetensors C-1042',
    'recommend shop.safetensors C-1042 C-1043 -k 5 --exclude seen,sold-out.txt --json',
    'recommend shop.safetensors --all --out lists.csv -k 50',
  ],
  async run(context, [path, ...named], values) {
    const { output } = context;
    const { all, out } = values;
    if (all && (named.length > 0 || values.users !== undefined)) throw new UsageError('--all: name no users beside it');
    if (all && out === undefined) throw new UsageError('--all: --out says which file the lists go to');
    if (!all && named.length === 0 && values.users === undefined)
      throw new UsageError("missing required argument 'USER', or --users, or --all");
    if (out !== undefined && !/\.csv$/i.test(out)) throw new UsageError(`--out: must be a file *.csv, got "${out}"`);
    const model = await openModel(path!);
    const users = all
      ? model.userIds
      : [
          ...named.map((text) => idOf(model, 'user', text, { what: 'USER' })),
          ...(values.users === undefined ? [] : await readIds(model, 'user', '--users', values.users)),
        ];
    const options = await batchOptions(model, values);
    const about = { model: path, k: values.k, exclude: values.exclude, candidates: values.candidates };
    if (out !== undefined) {
      const rows = await writeLists(context, out, model, users, options);
      output.line(`${out}: ${count(users.length)} lists, ${count(rows)} rows`);
      output.document('recommend-file/1', { ...about, out, users: users.length, rows });
      return;
    }
    const batch = await model.recommendBatch(users, options);
    const lists = users.map((user, i) => ({ user, items: batch.list(i) }));
    output.table(
      lists.flatMap(({ user, items }) =>
        items.map(({ item, distance, score }, i) => [
          ...[cell(user), i + 1, cell(item), decimal(distance)],
          ...(score === undefined ? [] : [decimal(score)]),
        ]),
      ),
      ['user', 'rank', 'item', 'distance', ...(model.blend ? ['score'] : [])],
    );
    for (const { user, items } of lists)
      if (items.length < Math.min(values.k, model.itemIds.length)) output.note(`${user}: only ${items.length} items are left to recommend`);
    output.document('recommend/1', { ...about, lists });
  },
});

async function batchOptions(model: Model, values: Values<typeof OPTIONS>): Promise<RecommendBatchOptions & { k: number }> {
  const { backend, threads, candidates } = values;
  const k = Math.min(values.k, model.itemIds.length);
  const files = values.exclude.filter((word) => word !== 'seen' && word !== 'none');
  if (values.exclude.includes('none') && values.exclude.length > 1) throw new UsageError("--exclude: 'none' stands alone");
  const left: Id[] = [];
  for (const file of files) left.push(...(await readIds(model, 'item', '--exclude', file)));
  return {
    k,
    backend,
    exclude: values.exclude.includes('seen') ? 'seen' : 'none',
    ...(left.length > 0 ? { filter: left } : {}),
    ...(candidates === undefined ? {} : { candidates: await readIds(model, 'item', '--candidates', candidates) }),
    ...(threads === undefined ? {} : { threads }),
  };
}

/** Chunk by chunk, so that the lists of many users never are in memory at once. Returns the rows written. */
async function writeLists(
  context: Context,
  path: string,
  model: Model,
  users: readonly Id[],
  options: RecommendBatchOptions & { k: number },
): Promise<number> {
  const { csvText } = await import('../../export/text.ts');
  const chunk = Math.max(1, Math.floor(MOST_ENTRIES / options.k));
  const signal = context.interruptible();
  const progress = new Progress(context.output, 'users', users.length);
  let rows = 0;
  const scored = ({ score }: Recommendation): string => (score === undefined ? '' : `,${score}`);
  const linesOf = (batch: RecommendationBatch, begin: number): string => {
    let text = '';
    for (let i = 0; i < batch.length; ++i) {
      const user = csvText(users[begin + i]!);
      const list = batch.list(i);
      for (let place = 0; place < list.length; ++place)
        text += `${user},${place + 1},${csvText(list[place]!.item)},${list[place]!.distance}${scored(list[place]!)}\r\n`;
      rows += list.length;
    }
    return text;
  };
  try {
    await writeWholeFile(
      path,
      (async function* () {
        yield `user,rank,item,distance${model.blend ? ',score' : ''}\r\n`;
        for (let begin = 0; begin < users.length; begin += chunk) {
          signal.throwIfAborted();
          const batch = await model.recommendBatch(users.slice(begin, begin + chunk), options);
          yield linesOf(batch, begin);
          progress.update(Math.min(users.length, begin + chunk));
        }
      })(),
    );
  } finally {
    progress.clear();
  }
  return rows;
}
