// The example service: every route over a real connection, what it answers to bad requests, and the process of scripts/serve.ts.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { FastifyInstance } from 'fastify';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createDataset, Model, synthetic, train } from '../lib/index.ts';
import { serveModel } from '../scripts/serve/app.ts';
import { Kept } from '../scripts/serve/kept.ts';
import { RankedTogether } from '../scripts/serve/waiting.ts';
import { folderWith, temporaryFolder } from './helpers.ts';

const serve = suite('service');
const script = fileURLToPath(new URL('../scripts/serve.ts', import.meta.url));
const path = join(temporaryFolder(), 'model.safetensors');

let model: Model; // the test's own
let app: FastifyInstance;
let url: string;
serve.before(async () => {
  model = await train(synthetic({ users: 80, items: 100, interactionsPerUser: [8, 14], seed: 5 }), { dim: 12, epochs: 3, seed: 4 });
  await model.save(path);
  app = serveModel(await Model.load(path));
  url = await app.listen({ port: 0, host: '127.0.0.1' });
});
serve.after(() => app.close());

async function ask(route: string, init?: RequestInit, at = url): Promise<{ status: number; type: string | null; body: unknown }> {
  const response = await fetch(at + route, init);
  return { status: response.status, type: response.headers.get('content-type'), body: await response.json() };
}
const post = (body: unknown, type = 'application/json') =>
  ask('/recommend', { method: 'POST', headers: { 'content-type': type }, body: typeof body === 'string' ? body : JSON.stringify(body) });
const ok = (body: unknown) => ({ status: 200, type: 'application/json; charset=utf-8', body });

serve('GET /recommend/:user is the list of recommend', async () => {
  for (const user of [model.userIds[0]!, model.userIds[41]!]) {
    assert.equal(await ask(`/recommend/${user}?k=7`), ok({ user, items: model.recommend(user, 7) }));
    assert.equal(await ask(`/recommend/${user}`), ok({ user, items: model.recommend(user, 20) }));
    assert.equal(await ask(`/recommend/${user}?k=1000`), ok({ user, items: model.recommend(user, 1000) }));
  }
});

serve('many at once get each their own list, of their own length', async () => {
  const asked = Array.from({ length: 200 }, (_, i) => ({ user: model.userIds[(7 * i) % 80]!, k: i % 3 === 0 ? 5 : 20 }));
  const answers = await Promise.all(asked.map(({ user, k }) => ask(`/recommend/${user}?k=${k}`)));
  assert.equal(
    answers,
    asked.map(({ user, k }) => ok({ user, items: model.recommend(user, k) })),
  );
});

serve('what comes in one turn is ranked in one call, of not too many', async () => {
  const calls: number[] = [];
  const counting = new Proxy(model, {
    get: (_, name) =>
      name === 'recommendBatchSync'
        ? (users: string[], options: object) => {
            calls.push(users.length);
            return model.recommendBatchSync(users, options);
          }
        : undefined,
  });
  const together = new RankedTogether(counting);
  const lists = await Promise.all(Array.from({ length: 60 }, (_, i) => together.recommend(model.userIds[i]!, 3)));
  assert.equal(
    lists,
    Array.from({ length: 60 }, (_, i) => model.recommend(model.userIds[i]!, 3)),
  );
  assert.equal(calls, [48, 12]);
  // One that cannot be ranked fails those of its call, and nobody after it.
  const [bad, good] = await Promise.allSettled([together.recommend('nobody', 3), together.recommend(model.userIds[0]!, 4)]);
  assert.equal([bad.status, good.status], ['rejected', 'fulfilled']);
});

serve('POST /recommend takes users, candidates and what to leave out', async () => {
  const candidates = model.itemIds.slice(10, 50);
  for (const users of [model.userIds.slice(3, 7), model.userIds.slice(0, 60)])
    for (const options of [{}, { k: 5 }, { exclude: 'none' }, { exclude: candidates.slice(0, 30), k: 9 }, { candidates, k: 9 }] as const) {
      const { k = 20, ...rest } = { k: undefined, ...options };
      const lists = users.map((user) => ({ user, items: model.recommend(user, k, rest) }));
      assert.equal(await post({ users, ...options }), ok({ lists }));
    }
});

serve('GET /similar/:item and /explain/:user/:item are similarItems and explain', async () => {
  const [user, item] = [model.userIds[3]!, model.itemIds[5]!];
  assert.equal(await ask(`/similar/${item}?k=4`), ok({ item, items: model.similarItems(item, 4) }));
  assert.equal(await ask(`/explain/${user}/${item}`), ok(JSON.parse(JSON.stringify({ user, item, ...model.explain(user, item) }))));
});

serve('GET /health says what is served', async () => {
  const { body, ...rest } = await ask('/health');
  const { residentBytes, ...counts } = body as { residentBytes: number };
  assert.equal({ ...rest, body: counts }, ok({ status: 'ok', users: 80, items: 100, dim: 12, kept: 0 }));
  assert.ok(Number.isInteger(residentBytes) && residentBytes > 1e7, `${residentBytes} bytes`);
});

const user = 'user-3';
for (const [label, request, status, message] of [
  ['a user that is not known', () => ask('/recommend/nobody'), 404, /^user: the model does not know "nobody"$/],
  ['an item that is not known', () => ask('/similar/nothing'), 404, /^item: the model does not know "nothing"$/],
  ['an explanation for nobody', () => ask(`/explain/nobody/${'item-5'}`), 404, /^user: the model does not know "nobody"$/],
  ['no such route', () => ask('/recommend'), 404, /^there is no GET \/recommend$/],
  ['no such method', () => ask(`/recommend/${user}`, { method: 'DELETE' }), 404, /^there is no DELETE \/recommend\//],
  ['k 0', () => ask(`/recommend/${user}?k=0`), 400, /querystring\/k must be >= 1/],
  ['k 1001', () => ask(`/similar/item-5?k=1001`), 400, /querystring\/k must be <= 1000/],
  ['k in words', () => ask(`/recommend/${user}?k=many`), 400, /querystring\/k must be integer/],
  ['k twice', () => ask(`/recommend/${user}?k=1&k=2`), 400, /querystring\/k must be integer/],
  ['a misspelt parameter', () => ask(`/recommend/${user}?K=5`), 400, /additional properties/],
  ['a URL that is none', () => ask('/recommend/%E0%A4%A'), 400, /./],
  ['no users', () => post({ users: [] }), 400, /body\/users must NOT have fewer than 1 items/],
  ['users that are missing', () => post({ k: 3 }), 400, /body must have required property 'users'/],
  ['users that are no list', () => post({ users: { a: 1 } }), 400, /body\/users must be array/],
  ['too many users', () => post({ users: Array(1001).fill(user) }), 400, /must NOT have more than 1000 items/],
  ['a misspelt field', () => post({ users: [user], exlude: 'none' }), 400, /body must NOT have additional properties/],
  ['an exclude that is none', () => post({ users: [user], exclude: 'all' }), 400, /body\/exclude/],
  ['a user of a batch that is not known', () => post({ users: [user, 'nobody'] }), 404, /^users: the model does not know "nobody"$/],
  [
    'a candidate that is not known',
    () => post({ users: [user], candidates: ['nothing'] }),
    404,
    /^item: the model does not know "nothing"$/,
  ],
  ['an excluded item that is not known', () => post({ users: [user], exclude: ['nothing'] }), 404, /^item: the model does not know/],
  ['no JSON', () => post('{"users": ['), 400, /JSON/],
  ['another type of body', () => post('users=3', 'application/x-www-form-urlencoded'), 415, /Unsupported Media Type/],
] as const)
  serve(`${label}: ${status}`, async () => {
    const answer = await request();
    assert.is(answer.status, status);
    const body = answer.body as { error: string; message: string };
    assert.is(body.error, status === 404 ? 'not found' : 'bad request');
    assert.match(body.message, message);
  });

serve('a failure of the service is 500 and says nothing of its inside', async () => {
  const failing = await Model.load(path);
  failing.explain = () => JSON.parse('secret');
  const own = serveModel(failing);
  const log = console.error;
  const logged: unknown[] = [];
  console.error = (...all: unknown[]) => logged.push(...all);
  const { statusCode, body } = await own.inject(`/explain/${user}/item-5`);
  console.error = log;
  assert.equal([statusCode, JSON.parse(body)], [500, { error: 'internal error', message: 'the service failed; its log says how' }]);
  assert.match(String(logged[0]), /secret/);
  await own.close();
});

serve('ids that are numbers, of text that is a number, and with characters that URLs escape', async () => {
  const interactions = ['7', 8, 'a/b c?'].map((user, i) => ({ user, item: i }));
  const data = createDataset({ interactions: [...interactions, { user: '7', item: 2 }], triples: [] }, { validationFraction: 0 });
  const other = await train(data, { dim: 4, epochs: 1, seed: 1 });
  const kept = serveModel(new Model(other));
  for (const [given, id] of [
    ['7', '7'],
    ['8', 8],
    ['a%2Fb%20c%3F', 'a/b c?'],
  ] as const) {
    const { statusCode, body } = await kept.inject(`/recommend/${given}`);
    assert.equal([statusCode, JSON.parse(body)], [200, { user: id, items: other.recommend(id) }]);
  }
  for (const given of ['08', '8.0', '1e1', '-8']) assert.is((await kept.inject(`/recommend/${given}`)).statusCode, 404, given);
  assert.equal(JSON.parse((await kept.inject({ method: 'POST', url: '/recommend', payload: { users: [8, '7'], k: 1 } })).body), {
    lists: [8, '7'].map((user) => ({ user, items: other.recommend(user, 1) })),
  });
  await kept.close();
});

serve('lists are kept where that is asked for', async () => {
  const kept = serveModel(await Model.load(path), { keep: 2 });
  const held = async () => (await kept.inject('/health')).json().kept;
  const first = (await kept.inject(`/recommend/${user}?k=5`)).body;
  assert.is((await kept.inject(`/recommend/${user}?k=5`)).body, first);
  assert.is(await held(), 1);
  const similar = (await kept.inject('/similar/item-5?k=5')).body;
  assert.equal(JSON.parse(similar), { item: 'item-5', items: model.similarItems('item-5', 5) });
  await kept.inject(`/recommend/${user}?k=6`);
  assert.is(await held(), 2);
  assert.equal(JSON.parse((await kept.inject(`/recommend/${user}?k=5`)).body), { user, items: model.recommend(user, 5) });
  await kept.close();
});

serve('of what is kept, the longest unused makes room', () => {
  const kept = new Kept<number>(2);
  kept.set('a', 1);
  kept.set('b', 2);
  assert.is(kept.get('a'), 1);
  kept.set('c', 3);
  assert.equal([kept.get('a'), kept.get('b'), kept.get('c'), kept.size], [1, undefined, 3, 2]);
  kept.set('c', 4);
  assert.equal([kept.get('a'), kept.get('c')], [1, 4]);
  const none = new Kept<number>(0);
  none.set('a', 1);
  assert.equal([none.get('a'), none.size], [undefined, 0]);
});

serve('closing it answers what has come, then closes the model', async () => {
  const own = await Model.load(path);
  const closing = serveModel(own);
  const at = await closing.listen({ port: 0, host: '127.0.0.1' });
  const closed = new Promise((resolve) => closing.server.once('request', () => resolve(closing.close())));
  assert.equal(await ask(`/recommend/${user}?k=5`, undefined, at), ok({ user, items: model.recommend(user, 5) }));
  await closed;
  assert.throws(() => own.hasUser(user), /the model was closed/);
});

/** The process of scripts/serve.ts, listening. */
async function started(...options: string[]): Promise<{ child: ChildProcess; at: string }> {
  const child = spawn(process.execPath, ['--import', 'tsx', script, path, '--port', '0', ...options], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const at = await new Promise<string>((resolve, reject) => {
    child.stdout!.setEncoding('utf8').on('data', (text: string) => resolve(/^listening on (http:\S+)\n/.exec(text)![1]!));
    child.once('close', (code) => reject(new Error(`ended with ${code}`)));
  });
  return { child, at };
}

for (const signal of ['SIGTERM', 'SIGINT'] as const)
  serve(`the process serves until ${signal} and ends with 0`, async () => {
    const { child, at } = await started('--keep', '10');
    const ended = new Promise((resolve) => child.once('close', resolve));
    assert.equal(await ask(`/recommend/${user}?k=5`, undefined, at), ok({ user, items: model.recommend(user, 5) }));
    child.kill(signal);
    assert.is(await ended, 0);
    await fetch(`${at}/health`).then(
      () => assert.unreachable('nobody listens any more'),
      () => undefined,
    );
  });

const damaged = join(folderWith({ 'bad.safetensors': 'no model' }), 'bad.safetensors');
for (const [label, args, status, message] of [
  ['no model', [], 2, /^MODEL: the path of one saved model is needed\n$/],
  ['two models', [path, path], 2, /^MODEL: /],
  ['a port that is none', [path, '--port', '70000'], 2, /^--port: must be an integer from 0 to 65535, got 70000\n$/],
  ['an option that is none', [path, '--prot', '1'], 2, /--prot/],
  ['a model that is not there', [join(path, 'nowhere')], 3, /nowhere/],
  ['a damaged model', [damaged], 3, /bad\.safetensors/],
] as const)
  serve(`${label}: exit status ${status}`, async () => {
    const error = (await promisify(execFile)(process.execPath, ['--import', 'tsx', script, ...args]).then(
      () => assert.unreachable('it must fail'),
      (failure) => failure,
    )) as { code: number; stdout: string; stderr: string };
    assert.equal([error.code, error.stdout], [status, ''], error.stderr);
    assert.match(error.stderr, message);
  });

serve('a port that is taken: exit status 1', async () => {
  const error = (await promisify(execFile)(process.execPath, ['--import', 'tsx', script, path, '--port', new URL(url).port]).then(
    () => assert.unreachable('it must fail'),
    (failure) => failure,
  )) as { code: number; stderr: string };
  assert.is(error.code, 1);
  assert.match(error.stderr, /EADDRINUSE/);
});

serve.run();
