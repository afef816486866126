// The report's page in a browser: it asks for nothing, complains of nothing, and does what it says. Skipped where there is no Chromium.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { diskDistance } from '../../scripts/reproduce/figures/disk-geometry.ts';
import { pageOf } from '../../scripts/reproduce/figures/page.ts';
import { ALL } from './sample-data.ts';

const report = suite('report page');

const CHROMIUM = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  (path) => path !== undefined && existsSync(path),
);

/** What a comparison and a table of the paper look like, with texts that want escaping. */
const results = {
  schema: 'hyper-know/results/3',
  protocol: {
    dataset: { users: 3 },
    controls: { gridsOfControls: { anotherItemKnn: { theShrinkages: { regularizations: { evenDeeperInside: { allTheWayDown: 0.5 } } } } } },
    seeds: [1, 2],
    host: {
      cpu: 'a <processor>',
      threads: 2,
      backends: [{ name: 'cpu', device: 'with a name that is long', memoryBytes: 7, more: 'and_one_that_cannot_be_broken_anywhere' }],
    },
  },
  ledgers: { paper: [{ topic: 'dim', paper: '64', here: '64' }] },
  rows: [
    { method: 'hyper-know', label: '(6) Hyper-Know', seeds: 2, metrics: { 'recall@20': { mean: 0.4, sd: 0.01 } }, epochSeconds: 0.5 },
    {
      ...{ method: 'bpr-h', label: 'BPR & <b>', seeds: 1, metrics: { 'recall@20': { mean: 0.3, sd: null } } },
      againstHyperKnow: { 'recall@20': { difference: 0.1, t: 3, p: 0.00001, users: 3 } },
    },
  ],
  remarks: ['a </script> remark'],
  runs: [{ data: { name: 'a <name>' } }],
};
const table = {
  ...{ schema: 'hyper-know/table/1', number: 2, title: 'Comparison', notes: ['quoted from the paper'] },
  columns: [
    { name: 'method', title: 'Method' },
    { name: 'recall', title: 'Recall@20', digits: 4 },
  ],
  rows: [
    { quoted: true, cells: { method: 'KGAT', recall: 0.087 } },
    { quoted: false, cells: { method: 'Hyper-Know', recall: { mean: 0.0949, sd: 0.001 } } },
  ],
};

let html = '';
let browser: Browser;
let server: Server;
let address = '';

if (CHROMIUM === undefined)
  console.log('skipped: report page: no Chromium is here (Debian: apt-get install chromium; or set CHROMIUM to its path)');
const page_test = CHROMIUM === undefined ? report.skip : report;

report.before(async () => {
  html = await pageOf({ figures: ALL, results, tables: [table] });
  if (CHROMIUM === undefined) return;
  server = createServer((_, response) => response.setHeader('content-type', 'text/html').end(html));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const args = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--no-first-run'];
  browser = await chromium.launch({ executablePath: CHROMIUM, args });
});

report('without figures it is called after the data of the results', async () => {
  const bare = await pageOf({ figures: [], results });
  assert.match(bare, /<title>Hyper-Know on a &lt;name&gt;<\/title>/);
});

report.after(async () => {
  await browser?.close();
  server?.close();
});

/** Opens the page, and fails on any console message, error or request but for the page itself. */
async function withPage(options: BrowserContextOptions, use: (page: Page) => Promise<void>): Promise<void> {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, reducedMotion: 'reduce', ...options });
  try {
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on('console', (message) => complaints.push(`console ${message.type()}: ${message.text()}`));
    page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
    page.on('request', (request) => request.url() !== address && complaints.push(`request: ${request.url()}`));
    await page.goto(address);
    await use(page);
    assert.equal(complaints, []);
  } finally {
    await context.close();
  }
}

/** For a person to look at, where HYPER_KNOW_SCREENSHOTS names a folder. */
async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env.HYPER_KNOW_SCREENSHOTS;
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: name.startsWith('page') });
}

/** Where the middle of a node stands, from the middle of the disk, in pixels. */
const placeOf = (page: Page, node: number): Promise<[number, number]> =>
  page.evaluate(`(() => {
    const svg = document.querySelector('#disk-view svg[role=group]').getBoundingClientRect();
    const nodes = [...document.querySelectorAll('#disk-view .node')].reverse();
    const own = nodes[${node}].querySelector('.shape').getBoundingClientRect();
    return [own.x + own.width / 2 - svg.x - svg.width / 2, own.y + own.height / 2 - svg.y - svg.height / 2];
  })()`);

/** Hyperbolic distances of some pairs of nodes, by where they are drawn. */
async function distances(page: Page): Promise<number[]> {
  const points = await page.evaluate<[number, number][]>(`(() => {
    const radius = Number(document.querySelector('#disk-view .boundary').getAttribute('r'));
    return [...document.querySelectorAll('#disk-view .node')].reverse().map((one) => /\\((\\S+) (\\S+)\\)/.exec(one.getAttribute('transform')).slice(1).map((x) => x / radius));
  })()`);
  return [
    [0, 1],
    [0, 3],
    [2, 9],
  ].map(([a, b]) => diskDistance(points[a!]!, points[b!]!));
}

const nodeAt = (page: Page, node: number) => page.locator(`#disk-view .node >> nth=${-1 - node}`);
const countOf = (page: Page, selector: string): Promise<number> => page.locator(selector).count();

report('one file: nothing in it points outside', () => {
  assert.not.match(html, /(src|href)="(?!#|data:)/);
  assert.not.match(html, /@import|url\((?!data:)/);
  assert.is(html.match(/<\/script/g)!.length, 2, 'a text that ends the script ends nothing');
  if (process.env.HYPER_KNOW_SCREENSHOTS) {
    mkdirSync(process.env.HYPER_KNOW_SCREENSHOTS, { recursive: true });
    writeFileSync(join(process.env.HYPER_KNOW_SCREENSHOTS, 'report.html'), html);
  }
});

page_test('figures, tables, protocol and hardware are there, under headings and with names', async () => {
  await withPage({}, async (page) => {
    await picture(page, 'page-light');
    const headings = await page.locator('h2').allTextContents();
    assert.is(headings.length, 1 + ALL.length + 2);
    assert.equal(
      await page.evaluate(
        `[...document.querySelectorAll('main > section')].filter((one) => !document.getElementById(one.getAttribute('aria-labelledby'))).length`,
      ),
      0,
    );
    // Every control, drawing and link has a name; ids are there once.
    const nameless = `[...document.querySelectorAll('button, input, select, svg[role], a, [role=button], [role=region]')].filter((one) => {
      const labelled = (one.getAttribute('aria-labelledby') ?? '').split(' ').map((id) => document.getElementById(id)?.textContent ?? '').join('');
      return !(one.getAttribute('aria-label') || labelled || one.labels?.[0]?.textContent.trim() || one.textContent.trim());
    }).map((one) => one.outerHTML.slice(0, 100))`;
    assert.equal(await page.evaluate(nameless), []);
    assert.equal(
      await page.evaluate(`[...document.querySelectorAll('[id]')].map((one) => one.id).filter((id, i, all) => all.indexOf(id) !== i)`),
      [],
    );
    const text = (await page.locator('#tables').locator('..').textContent())!;
    assert.match(text, /KGAT.*0\.0870.*Hyper-Know.*0\.0949 ± 0\.0010.*BPR & <b>.*0\.3000.*0\.1000.*< 0\.0001.*a <\/script> remark/s);
    assert.match((await page.locator('main').textContent())!, /a <processor>/);
  });
});

page_test('a click moves a point to the centre, keeps all distances and can be taken back', async () => {
  await withPage({ reducedMotion: 'no-preference' }, async (page) => {
    const start = await placeOf(page, 3);
    const before = await distances(page);
    assert.ok(Math.hypot(...start) > 20, `${start}`);
    await nodeAt(page, 3).dispatchEvent('click');
    await page.waitForTimeout(60);
    const under_way = await placeOf(page, 3);
    assert.ok(Math.hypot(...under_way) > 1 && Math.hypot(...under_way) < Math.hypot(...start) + 30, `animated: ${under_way}`);
    await page.locator('#disk-view [role=status]', { hasText: 'item 1-1-1 in the centre' }).waitFor();
    assert.ok(Math.hypot(...(await placeOf(page, 3))) < 0.6);
    for (const [pair, distance] of (await distances(page)).entries())
      assert.ok(Math.abs(distance - before[pair]!) <= 0.02 * distance, `${distance}, ${before[pair]} before`);
    await page.locator('#disk-view').scrollIntoViewIfNeeded();
    await picture(page, 'disk-after-click');
    await page.getByRole('button', { name: 'As trained' }).click();
    await page.locator('#disk-view [role=status]', { hasText: 'as trained' }).waitFor();
    const back = await placeOf(page, 3);
    assert.ok(Math.hypot(back[0] - start[0], back[1] - start[1]) < 0.6, `${back}, not ${start}`);
  });
});

page_test('hover and focus show names; the keyboard goes everywhere', async () => {
  await withPage({}, async (page) => {
    const tooltip = page.locator('.tooltip');
    assert.not.ok(await tooltip.isVisible());
    await nodeAt(page, 1).hover({ force: true });
    assert.match((await tooltip.textContent())!, /^the <hub> & "all": entity, one hop away, d = \d+\.\d\d, 5000 triples\. relation 0$/);
    assert.is(await countOf(page, '#disk-view .lit'), 1);
    await page.mouse.move(2, 2);
    assert.not.ok(await tooltip.isVisible());
    assert.is(await countOf(page, '#disk-view .node[tabindex="0"]'), 1, 'one stop for the Tab key');
    await page.locator('#disk-view .node[tabindex="0"]').focus();
    const focused = () => page.evaluate<string>(`document.activeElement.getAttribute('aria-label')`);
    const first = await focused();
    assert.match(first, /^item 1: item, the entity itself/);
    const seen = new Set([first]);
    for (const key of ['ArrowRight', 'ArrowLeft', 'ArrowUp', 'ArrowDown', 'ArrowDown', 'ArrowLeft']) {
      await page.keyboard.press(key);
      seen.add(await focused());
      assert.is(await tooltip.textContent(), await focused());
    }
    assert.ok(seen.size >= 3, [...seen].join('; '));
    await page.keyboard.press('Enter');
    const name = (await focused()).split(':')[0]!;
    await page.locator('#disk-view [role=status]', { hasText: `${name} in the centre` }).waitFor();
    await page.keyboard.press('Escape');
    await page.locator('#disk-view [role=status]', { hasText: 'as trained' }).waitFor();
  });
});

page_test('hubs, relations and names can be hidden, another entity chosen', async () => {
  await withPage({}, async (page) => {
    const shown = () => countOf(page, '#disk-view .node:not([hidden])');
    const all = await shown();
    await page.getByRole('checkbox', { name: /hide hubs/ }).check();
    assert.is(await shown(), all - 1);
    await page.getByRole('spinbutton').fill('2');
    assert.is(await shown(), 1, 'of 3 triples and more: everything but the entity, and what only they lead to');
    await page.getByRole('spinbutton').fill('100');
    await page.getByRole('checkbox', { name: 'relation 2 ' }).uncheck();
    const without = await shown();
    assert.ok(without < all - 1 && without > 1, `${without}`);
    assert.match((await page.locator('#disk-view [role=status]').textContent())!, new RegExp(`^${without} of ${all} nodes shown$`));
    await page.getByRole('checkbox', { name: 'names of neighbours' }).uncheck();
    assert.is(await countOf(page, '#disk-view .names text'), 1);
    await page.getByRole('combobox').selectOption('1');
    assert.match((await nodeAt(page, 0).getAttribute('aria-label'))!, /^item a\/b/);
    assert.match((await page.locator('[data-caption]').textContent())!, /^item a\/b with 8 neighbours/);
  });
});

page_test('a chart answers to the pointer, and its legend switches series', async () => {
  await withPage({}, async (page) => {
    await page.locator('svg.chart .mark').nth(2).hover({ force: true });
    assert.match((await page.locator('.tooltip').textContent())!, /^fixed 0.01: Recall@20 0\.2300 ± /);
    const key = page.locator('svg.chart [data-key="1"]').first();
    const chart = page.locator('svg.chart', { has: page.locator('[data-key="1"]') }).first();
    await key.click();
    assert.is(await key.getAttribute('aria-pressed'), 'false');
    assert.is(await chart.locator('[data-series="1"]:visible').count(), 0);
    await key.press('Enter');
    assert.ok(await chart.locator('[data-series="1"]').first().isVisible());
  });
});

/** Contrast of two CSS colours, from 1 to 21 (WCAG). */
function contrast(a: string, b: string): number {
  const luminance = (color: string): number => {
    const [r, g, blue] = /(\d+), (\d+), (\d+)/
      .exec(color)!
      .slice(1)
      .map((channel) => {
        const share = Number(channel) / 255;
        return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
      }) as [number, number, number];
    return 0.2126 * r + 0.7152 * g + 0.0722 * blue;
  };
  const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p) as [number, number];
  return (x + 0.05) / (y + 0.05);
}

for (const colorScheme of ['light', 'dark'] as const)
  page_test(`${colorScheme} mode: text is legible on its ground, in drawings too`, async () => {
    await withPage({ colorScheme }, async (page) => {
      if (colorScheme === 'dark') await picture(page, 'page-dark');
      const ground = await page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
      assert.ok(contrast(ground, colorScheme === 'dark' ? 'rgb(0, 0, 0)' : 'rgb(255, 255, 255)') < 1.4, ground);
      const of = (selector: string, property: string) =>
        page.evaluate<string>(`getComputedStyle(document.querySelector('${selector}')).${property}`);
      for (const [selector, property] of [
        ['p', 'color'],
        ['figcaption', 'color'],
        ['a', 'color'],
        ['svg.chart text.fill-ink', 'fill'],
        ['svg.chart text.fill-muted', 'fill'],
      ] as const)
        assert.ok(contrast(await of(selector, property), ground) >= 4.5, `${selector}: ${await of(selector, property)} on ${ground}`);
      for (const color of ['c0', 'c1']) assert.ok(contrast(await of(`svg.chart .stroke-${color}`, 'stroke'), ground) >= 3, color);
    });
  });

page_test('390 pixels wide: nothing to scroll sideways, nothing too small to read or to press', async () => {
  await withPage({ viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 }, async (page) => {
    await picture(page, 'page-narrow');
    await page.evaluate(`document.querySelectorAll('details').forEach((one) => one.setAttribute('open', ''))`);
    assert.equal(await page.evaluate('[document.documentElement.scrollWidth, innerWidth]'), [390, 390]);
    const small = await page.evaluate<number>(`Math.min(...[...document.querySelectorAll('svg.chart text')].map((one) => {
      const svg = one.ownerSVGElement;
      return (parseFloat(getComputedStyle(one).fontSize) * svg.getBoundingClientRect().width) / svg.viewBox.baseVal.width;
    }))`);
    assert.ok(small >= 9, `text of ${small} px`);
    const low = await page.evaluate<number>(
      `Math.min(...[...document.querySelectorAll('#disk-view button, #disk-view label')].map((one) => one.getBoundingClientRect().height))`,
    );
    assert.ok(low >= 24, `${low} px`);
    await nodeAt(page, 2).tap({ force: true });
    await page.locator('#disk-view [role=status]', { hasText: 'in the centre' }).waitFor();
  });
});

page_test('planted: a page that asks for something or complains is found', async () => {
  const clean = html;
  for (const [planted, found] of [
    ['<script>console.warn("planted")</script>', /planted/],
    ['<img src="/elsewhere.png" alt="">', /elsewhere/],
    ['<script>missing()</script>', /missing/],
  ] as const) {
    html = clean.replace('</main>', `${planted}</main>`);
    let message = '';
    await withPage({}, async (page) => void (await page.waitForTimeout(50))).catch((error: Error) => {
      message = `${error.message} ${JSON.stringify((error as { details?: unknown }).details)}`;
    });
    assert.match(message, found);
  }
  html = clean;
});

report.run();
