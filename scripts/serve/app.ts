import fastify, { type FastifyError, type FastifyInstance, type FastifyReply } from 'fastify';
import type { HyperKnowError, Id, Model, Recommendation, RecommendBatchSyncOptions } from '../../lib/index.ts';
import { Kept } from './kept.ts';
import { RankedTogether } from './waiting.ts';

export interface ServeOptions {
  /**
   * Lists of `GET /recommend` and `GET /similar` that are kept, as text, for the next who ask for the same. A model never changes, so a
   * kept list is right for as long as the process serves it. Default 0: every list is ranked on request.
   */
  keep?: number;
}

/** Longest list, and most users of a batch: what one request may cost. */
const MOST_LISTED = 1000;
const MOST_USERS = 1000;

const id = { type: ['string', 'integer'] } as const;
const k = { type: 'integer', minimum: 1, maximum: MOST_LISTED, default: 20 } as const;
const ids = { type: 'array', items: id } as const;
const query = { type: 'object', properties: { k }, additionalProperties: false } as const;
const batch = {
  type: 'object',
  required: ['users'],
  additionalProperties: false,
  properties: {
    users: { type: 'array', items: id, minItems: 1, maxItems: MOST_USERS },
    k,
    exclude: { anyOf: [{ enum: ['seen', 'none'] }, ids] },
    candidates: ids,
  },
} as const;

type BatchBody = { users: Id[]; k: number } & Pick<RecommendBatchSyncOptions, 'exclude' | 'candidates'>;

/**
 * An HTTP service that recommends from a model: routes and errors are in scripts/README.md. It closes the model when it is closed itself.
 */
export function serveModel(model: Model, { keep = 0 }: ServeOptions = {}): FastifyInstance {
  const app = fastify({
    // A key too many, such as one that is misspelt, is an error; `?k=5` is a number, `?k=5&k=6` none.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: true, allowUnionTypes: true } },
    routerOptions: { maxParamLength: 1000 },
    forceCloseConnections: 'idle',
    // What fails before there is a route to fail: a URL that cannot be decoded.
    frameworkErrors: (error, _, reply) =>
      void (reply as unknown as FastifyReply).status(statusOf(error)).send(refusal(statusOf(error), error.message)),
  });
  const together = new RankedTogether(model);
  const kept = new Kept<string>(keep);
  const knows = { user: (given: Id) => model.hasUser(given), item: (given: Id) => model.hasItem(given) };

  /** The model's id that a part of a URL stands for: as text, or where there is none such, as a number. */
  const idIn = (what: 'user' | 'item', text: string): Id => {
    if (knows[what](text)) return text;
    const number = /^\d{1,15}$/.test(text) ? Number(text) : undefined;
    return number !== undefined && String(number) === text && knows[what](number) ? number : unknown(what, text);
  };
  const unknown = (what: string, given: Id): never => {
    throw Object.assign(new Error(`${what}: the model does not know ${JSON.stringify(given)}`), { statusCode: 404 });
  };

  app.addHook('onClose', async () => model.close());

  app.get('/health', async () => ({
    status: 'ok',
    users: model.userIds.length,
    items: model.itemIds.length,
    dim: model.dim,
    kept: kept.size,
    residentBytes: process.memoryUsage.rss(),
  }));

  app.get<{ Params: { user: string }; Querystring: { k: number } }>(
    '/recommend/:user',
    { schema: { querystring: query } },
    async (request, reply) => {
      const user = idIn('user', request.params.user);
      const { k } = request.query;
      return json(
        reply,
        await keeping(`user ${k} ${JSON.stringify(user)}`, async () => listText('user', user, await together.recommend(user, k))),
      );
    },
  );

  app.post<{ Body: BatchBody }>('/recommend', { schema: { body: batch } }, async ({ body: { users, ...options } }, reply) => {
    for (const user of users) if (!model.hasUser(user)) unknown('users', user);
    const among = [...(Array.isArray(options.exclude) ? options.exclude : []), ...(options.candidates ?? [])] as Id[];
    for (const item of among) if (!model.hasItem(item)) unknown('item', item);
    // Up to a tile of the ranking it is done sooner than a thread is started.
    const lists = users.length <= 12 ? model.recommendBatchSync(users, options) : await model.recommendBatch(users, options);
    return json(reply, `{"lists":[${users.map((user, i) => listText('user', user, lists.list(i))).join(',')}]}`);
  });

  app.get<{ Params: { item: string }; Querystring: { k: number } }>(
    '/similar/:item',
    { schema: { querystring: query } },
    async (request, reply) => {
      const item = idIn('item', request.params.item);
      const { k } = request.query;
      return json(reply, await keeping(`item ${k} ${JSON.stringify(item)}`, () => listText('item', item, model.similarItems(item, k))));
    },
  );

  app.get<{ Params: { user: string; item: string } }>('/explain/:user/:item', async ({ params }) => {
    const [user, item] = [idIn('user', params.user), idIn('item', params.item)];
    return { user, item, ...model.explain(user, item) };
  });

  async function keeping(key: string, make: () => string | Promise<string>): Promise<string> {
    const found = kept.get(key);
    if (found !== undefined) return found;
    const text = await make();
    kept.set(key, text);
    return text;
  }

  app.setNotFoundHandler(async ({ method, url }, reply) => {
    reply.status(404);
    return refusal(404, `there is no ${method} ${url}`);
  });

  app.setErrorHandler(async (error: FastifyError | HyperKnowError, _, reply) => {
    const status = statusOf(error);
    reply.status(status);
    if (status < 500) return refusal(status, error.message);
    console.error(error);
    return { error: 'internal error', message: 'the service failed; its log says how' };
  });
  return app;
}

function statusOf(error: FastifyError | HyperKnowError): number {
  if ('statusCode' in error && error.statusCode !== undefined) return error.statusCode;
  if (error.code === 'ERR_HK_UNKNOWN_ID') return 404;
  return error.code === 'ERR_HK_TYPE' || error.code === 'ERR_HK_RANGE' ? 400 : 500;
}

function refusal(status: number, message: string): { error: string; message: string } {
  return { error: status === 404 ? 'not found' : 'bad request', message };
}

function json(reply: FastifyReply, text: string): string {
  reply.type('application/json; charset=utf-8');
  return text;
}

function listText(what: 'user' | 'item', of: Id, list: Recommendation[]): string {
  return JSON.stringify({ [what]: of, items: list });
}
