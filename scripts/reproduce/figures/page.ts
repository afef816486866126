// The report: one HTML file with figures, tables, protocol and hardware; styles, script and data are in it, and it asks for nothing else.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { isObject } from '../../../lib/check.ts';
import { captionOf, diskCaption } from './captions.ts';
import { FIGURES, panelsOf } from './draw.ts';
import { numbersOf } from './figure-tables.ts';
import { anyValue, comparisonTable, paperTable, tableOf } from './html-tables.ts';
import { panelElement } from './plot.ts';
import { escapeText } from './svg.ts';
import type { Disk, FigureData } from './types.ts';

export interface ReportContent {
  figures: readonly FigureData[];
  /** results.json, where the comparison was made. */
  results?: unknown;
  /** The paper's tables, where they were made. */
  tables?: readonly unknown[];
}

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** The page's own program, as text. */
async function script(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [here('./browser/main.ts')],
    ...{ bundle: true, write: false, format: 'iife', target: 'es2022', charset: 'utf8', legalComments: 'none', minifySyntax: true },
  });
  return outputFiles[0]!.text.replaceAll('</script', '<\\/script');
}

const json = (value: unknown): string => JSON.stringify(value).replaceAll('<', '\\u003c');

interface Section {
  id: string;
  title: string;
  body: string;
}

export async function pageOf({ figures, results, tables = [] }: ReportContent): Promise<string> {
  const sections: Section[] = [
    ...tablesSection(results, tables),
    ...figures.map((data): Section => {
      const { file, title } = FIGURES[data.figure];
      return { id: file, title, body: data.figure === 'disk' ? diskFigure(data) : chartFigure(file, data) };
    }),
    ...protocolSections(figures, results),
  ];
  const first = figures[0];
  const named = first?.data ?? nameIn(results);
  const title = `Hyper-Know${named === undefined ? '' : ` on ${named}`}`;
  const sizes = first
    ? `<p>${Object.entries(first.sizes)
        .map(([name, count]) => `${count.toLocaleString('en')} ${name}`)
        .join(', ')}.</p>`
    : '';
  const disk = figures.find((data) => data.figure === 'disk');
  const links = sections.map((one) => `<li><a href="#${one.id}">${escapeText(one.title)}</a></li>`).join('');
  const main = sections.map(
    ({ id, title: heading, body }) => `<section aria-labelledby="${id}"><h2 id="${id}">${escapeText(heading)}</h2>${body}</section>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>${escapeText(title)}</title>
<style>
${readFileSync(here('./page.css'), 'utf8')}</style>
</head>
<body>
<header>
<h1>${escapeText(title)}</h1>
${sizes}
<nav aria-label="Contents"><ul>${links}</ul></nav>
</header>
<main>
${main.join('\n')}
</main>
${disk ? `<script type="application/json" id="disk-data">${json(withCaptions(disk))}</script>` : ''}
<script>
${await script()}</script>
</body>
</html>
`;
}

const withCaptions = (disk: Disk) => ({ ...disk, captions: disk.entities.map((one) => diskCaption(disk, one)) });

/** All runs of a comparison are on one data set. */
function nameIn(results: unknown): string | undefined {
  const run: unknown = isObject(results) && Array.isArray(results.runs) ? results.runs[0] : undefined;
  return isObject(run) && isObject(run.data) && typeof run.data.name === 'string' ? run.data.name : undefined;
}

function tablesSection(results: unknown, tables: readonly unknown[]): Section[] {
  const own = tables.map(paperTable).join('');
  const comparison = comparisonTable(results);
  return own || comparison ? [{ id: 'tables', title: 'Tables', body: own + comparison }] : [];
}

function chartFigure(file: string, data: FigureData): string {
  const panels = panelsOf(data).map((one, i) => panelElement(`${file}-${i}`, one).replace('<svg ', '<svg class="chart" '));
  const numbers = numbersOf(data).map(tableOf).join('');
  return (
    `<figure><div class="panels${panels.length === 3 ? ' three' : ''}">${panels.join('')}</div><figcaption>${escapeText(captionOf(data))}</figcaption></figure>` +
    `<details><summary>The numbers</summary>${numbers}</details>`
  );
}

function diskFigure(disk: Disk): string {
  const options = disk.entities
    .map(({ nodes }, i) => `<option value="${i}">${escapeText(nodes[0]!.label)} (${nodes.length} nodes)</option>`)
    .join('');
  const limit = disk.entities[0]!.hubDegree;
  return `<figure>
<div id="disk-view" hidden>
<div>
<svg viewBox="-208 -208 416 416" role="group" aria-label="Poincaré disk of the entity and its neighbours" aria-describedby="disk-help"></svg>
<p role="status"></p>
</div>
<form aria-label="What the disk shows">
<label class="name">Entity <select name="entity">${options}</select></label>
<div class="buttons">
<button type="button" data-action="entity">Centre entity</button>
<button type="button" data-action="trained">As trained</button>
<button type="button" data-action="in" aria-label="Enlarge">+</button>
<button type="button" data-action="out" aria-label="Make smaller">−</button>
</div>
<label><input type="checkbox" name="names" checked> names of neighbours</label>
<label><input type="checkbox" name="hubs"> hide hubs: more than <input type="number" name="limit" min="1" value="${limit}" aria-label="Most triples of an entity that is no hub"> triples</label>
<fieldset><legend>Relations (edges)</legend></fieldset>
<p id="disk-help">Click a point to move it to the centre, which keeps all distances. By keyboard: arrows go from point to point, Enter moves to the centre, Escape goes back to how it was trained. Circles are items, squares other entities, the orange one the entity itself; size tells the hop, hollow means never trained; grey dots are a sample of the other items. Rings stand at round distances from the centre.</p>
</form>
</div>
<noscript><p>The disk needs JavaScript; the same is in figures/figure3-….svg.</p></noscript>
<figcaption data-caption>${escapeText(diskCaption(disk, disk.entities[0]!))}</figcaption>
</figure>`;
}

/** How the numbers were made: the results' protocol and ledgers, the figures' options, and on what. */
function protocolSections(figures: readonly FigureData[], results: unknown): Section[] {
  const sections: Section[] = [];
  const parts: string[] = [];
  if (isObject(results)) {
    if (isObject(results.ledgers))
      for (const [preset, ledger] of Object.entries(results.ledgers))
        parts.push(
          `<details open><summary>What the paper says and what was done here, ${escapeText(preset)} preset</summary>${anyValue(ledger, `Ledger, ${preset} preset`)}</details>`,
        );
    const { host: _host, ...protocol } = isObject(results.protocol) ? results.protocol : {};
    if (Object.keys(protocol).length > 0)
      parts.push(`<details><summary>Protocol of the tables</summary>${anyValue(protocol, 'Protocol')}</details>`);
  }
  if (figures.length > 0)
    parts.push(
      tableOf({
        caption: 'What each figure was trained with; options that are not named are those of the preset',
        head: ['figure', 'preset', 'options', 'seeds', 'hyper-know'],
        lines: figures.map(({ figure, preset, options, seeds, version }) => [
          FIGURES[figure].title,
          preset,
          JSON.stringify(options),
          seeds.join(', '),
          version,
        ]),
        texts: 5,
      }),
      '<p>Every figure is of the variant hyper-know. The epoch is that of best validation recall@20; the test split is used once, for the metrics shown. All items outside the training and validation items of a user are ranked.</p>',
    );
  if (parts.length > 0) sections.push({ id: 'protocol', title: 'Protocol', body: parts.join('') });
  const host = isObject(results) && isObject(results.protocol) ? results.protocol.host : undefined;
  const devices = [...new Set(figures.map(({ backend, device, host }) => `${backend} (${device}) on ${host}`))];
  if (host !== undefined || devices.length > 0)
    sections.push({
      id: 'hardware',
      title: 'Hardware',
      body: `${devices.length > 0 ? `<p>Figures: ${escapeText(devices.join('; '))}.</p>` : ''}${host === undefined ? '' : `<h3>Tables</h3>${anyValue(host, 'Host')}`}`,
    });
  return sections;
}
