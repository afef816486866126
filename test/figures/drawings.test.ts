// The drawings: well-formed, the same every time, and with the numbers of the data in them.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { captionOf, diskCaption } from '../../scripts/reproduce/figures/captions.ts';
import { drawingsOf, panelsOf } from '../../scripts/reproduce/figures/draw.ts';
import { placeLabels } from '../../scripts/reproduce/figures/label-placement.ts';
import { round } from '../../scripts/reproduce/figures/svg.ts';
import type { BetaSweep } from '../../scripts/reproduce/figures/types.ts';
import { ALL, attention, curves, diskOf, sweep, trajectory } from './sample-data.ts';

const drawings = suite('drawings');

/** What is not well-formed XML, if anything: tags that do not close, attributes without quotes or twice, bare & or <. */
function xmlProblem(source: string): string | undefined {
  const open: string[] = [];
  let at = 0;
  for (const match of source.matchAll(/<(\/?)([a-zA-Z]+)((?:\s+[a-zA-Z][\w:-]*="[^"<&]*(?:&(?:amp|lt|gt|quot);[^"<&]*)*")*)\s*(\/?)>/g)) {
    const [whole, closes, name, attributes, empty] = match as unknown as [string, string, string, string, string];
    const between = source.slice(at, match.index);
    if (/<|&(?!(amp|lt|gt|quot);)/.test(between)) return `not text: ${between.slice(0, 60)}`;
    if (open.length === 0 && between.trim() !== '') return 'text outside of the element';
    const names = [...attributes.matchAll(/\s([a-zA-Z][\w:-]*)="/g)].map(([, one]) => one);
    if (new Set(names).size < names.length) return `twice the same attribute: ${whole}`;
    if (closes) {
      const last = open.pop();
      if (last !== name) return `</${name}> closes <${last}>`;
    } else if (!empty) open.push(name);
    at = match.index + whole.length;
  }
  if (source.slice(at).trim() !== '') return `not read: ${source.slice(at, at + 60)}`;
  return open.length > 0 ? `<${open.at(-1)}> is not closed` : undefined;
}

drawings('planted: what is not well-formed is found', () => {
  assert.is(xmlProblem('<svg a="1"><g/><text b="x &amp; y">a &lt; b</text></svg>\n'), undefined);
  for (const [bad, problem] of [
    ['<svg><g></svg>', /closes/],
    ['<svg><g>', /not closed/],
    ['<svg a="1" a="2"/>', /twice/],
    ['<svg>a & b</svg>', /not text/],
    ['<svg a=1></svg>', /not text|not read/],
    ['<svg>a < b</svg>', /not text/],
    ['<svg/>rest', /not read/],
  ] as const)
    assert.match(xmlProblem(bad) ?? '', problem);
});

drawings('every figure: well-formed, the same bytes for the same data, with a title and a description, without NaN', () => {
  for (const data of ALL) {
    const files = drawingsOf(data);
    assert.equal(drawingsOf(JSON.parse(JSON.stringify(data))), files);
    assert.ok(files.size > 0);
    for (const [name, svg] of files) {
      assert.match(name, /^[\w%.-]+\.svg$/);
      assert.is(xmlProblem(svg), undefined, name);
      assert.not.match(svg, /NaN|Infinity|undefined|null/);
      assert.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" viewBox="0 0 \d+ [\d.]+" /);
      assert.match(svg, /<title id="[^"]+">[^<]+<\/title><desc id="[^"]+">[^<]{40,}<\/desc>/);
      assert.match(svg, /font-family="sans-serif"/);
      assert.not.match(svg, /(href|url\(|<style|<script|<image)/);
    }
  }
});

drawings('in black and white series differ, by dashes or by shape', () => {
  for (const data of [trajectory, curves]) {
    const dashes = panelsOf(data)
      .flatMap(({ body }) => [...body.matchAll(/<g data-series="(\d)">(.*?)<\/g>/g)])
      .map(
        ([, series, content]) => `${series} ${/<path [^>]*fill="none"[^>]*?(?:stroke-dasharray="([^"]*)")/.exec(content!)?.[1] ?? 'none'}`,
      );
    const distinct = [...new Set(dashes)];
    assert.is(new Set(distinct.map((one) => one.slice(2))).size, new Set(distinct.map((one) => one[0])).size, distinct.join());
  }
});

/** The value that a height on the page stands for, by the numbers at the panel's axis. */
function valueAt(body: string): (y: number) => number {
  const ticks = [...body.matchAll(/<line x1="54" x2="342" y1="([\d.]+)"[^>]*\/><text [^>]*>([\d.]+)<\/text>/g)].map(([, y, value]) => [
    y,
    value,
  ]);
  const [[y0, v0], [y1, v1]] = [ticks[0]!.map(Number), ticks.at(-1)!.map(Number)] as [[number, number], [number, number]];
  return (y) => v0 + ((y - y0) * (v1 - v0)) / (y1 - y0);
}

/** The values of the marks of a sweep's panel, read off the drawing. */
function readSweep(body: string): number[] {
  const marks = [...body.matchAll(/<g class="mark"><title>fixed[^<]*<\/title>.*?<circle cx="[\d.]+" cy="([\d.]+)"/g)];
  return marks.map(([, y]) => valueAt(body)(Number(y)));
}

function sweepProblem(drawn: BetaSweep, data: BetaSweep): string | undefined {
  const values = readSweep(panelsOf(drawn)[0]!.body);
  if (values.length !== data.fixed.length) return `${values.length} marks`;
  return data.fixed
    .map(({ weight, values: { 'recall@20': own } }, i) => {
      const mean = (own![0]! + own![1]!) / 2;
      return Math.abs(values[i]! - mean) <= 2e-4 ? undefined : `weight ${weight}: ${values[i]} is drawn, ${mean} measured`;
    })
    .find((problem) => problem !== undefined);
}

drawings('the marks of Figure 2 stand where the numbers are; one that is moved by a hundredth is found', () => {
  assert.is(sweepProblem(sweep, sweep), undefined);
  const planted = structuredClone(sweep);
  planted.fixed[2]!.values['recall@20']![0]! += 0.01;
  assert.match(sweepProblem(planted, sweep)!, /^weight 0.1: /);
});

drawings('the bars of the attention add up to all items, and the points of the disk are those of the data', () => {
  const [bars] = panelsOf(attention);
  const tops = [...bars!.body.matchAll(/<rect [^>]*y="([\d.]+)" height="[\d.]+"[^>]* class="mark fill-c0"/g)].map(([, y]) =>
    valueAt(bars!.body)(Number(y)),
  );
  assert.is(tops.length, attention.histogram.length);
  tops.forEach((share, i) => void assert.ok(Math.abs(share - attention.histogram[i]! / attention.items) <= 2e-4, `bar ${i}: ${share}`));
  const disk = diskOf();
  const [whole, centred] = panelsOf(disk);
  const { nodes, edges } = disk.entities[0]!;
  const hints = (body: string) => [...body.matchAll(/<title>([^<]*)<\/title>/g)].map(([, hint]) => hint!);
  for (const panel of [whole!, centred!]) {
    assert.is(hints(panel.body).length, nodes.length);
    assert.is([...panel.body.matchAll(/<path d="M/g)].length, edges.length);
  }
  const at = new RegExp(`<circle cx="${round(168 * nodes[0]!.x)}" cy="${round(-168 * nodes[0]!.y)}" r="7"`);
  assert.match(whole!.body, at);
  assert.match(centred!.body, /<circle cx="0" cy="0" r="7"/);
});

drawings('captions say what is not shown, and what was not trained', () => {
  const disk = diskOf();
  const caption = captionOf(disk);
  assert.match(caption, /1 neighbour is a hub \(more than 100 triples\) and not followed: 4,999 entities behind are not shown/);
  assert.match(caption, /12 left out/);
  assert.match(caption, /1 of the 23 nodes is in no item’s neighbourhood.*never trains.*--kg-heads all/);
  const [own] = disk.entities;
  own!.nodes[0]!.placed = 'by its triples';
  assert.match(
    diskCaption({ ...disk, kgHeads: 'all' }, own!),
    /^item 1 .* item 1 is in no item’s neighbourhood, as are 1 of the 22 others.*placed after training/,
  );
  for (const node of own!.nodes) node.placed = 'trained';
  assert.not.match(diskCaption(disk, own!), /never/);
  assert.match(captionOf(sweep), /Recall@20: adaptive 0.3200, best fixed 0.3050 \(weight 1\), worst 0.2050\. /);
  const beaten = structuredClone(sweep);
  beaten.fixed[1]!.values['recall@20'] = [0.4, 0.4];
  assert.match(
    captionOf(beaten),
    /best fixed 0.4000 \(weight 0.01\).* — here a fixed weight is at or above the adaptive one, unlike in the paper/,
  );
});

drawings('names never cover marks or each other', () => {
  const marks = Array.from({ length: 30 }, (_, i) => ({ x: 40 * Math.cos(i) + i, y: 40 * Math.sin(2 * i), size: 4 }));
  const labels = marks.map((_, mark) => ({ mark, text: `name ${mark}`, size: 10, always: mark === 0 }));
  const placed = placeLabels(marks, labels, [200, 200]);
  assert.ok(placed.length > 3 && placed.length < 30, `${placed.length}`);
  assert.is(placed[0]!.label.mark, 0);
  const boxes = placed.map(({ label, anchor, x, y }) => {
    const wide = label.text.length * 0.56 * label.size;
    const left = anchor === 'start' ? x : anchor === 'end' ? x - wide : x - wide / 2;
    return { left, right: left + wide, top: y - 8, bottom: y + 2 };
  });
  for (const [i, a] of boxes.entries())
    for (const b of boxes.slice(i + 1))
      assert.ok(
        a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top,
        `${JSON.stringify(a)} meets ${JSON.stringify(b)}`,
      );
});

drawings.run();
