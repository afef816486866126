// A figure's data as SVG files.
import { sweepPanels, trajectoryPanels } from './draw-beta.ts';
import { captionOf, diskCaption } from './captions.ts';
import { curvesPanels } from './draw-curves.ts';
import { diskPanels } from './draw-disk.ts';
import { attentionPanels, radiusPanels } from './draw-graph.ts';
import { drawing, type Panel } from './plot.ts';
import type { FigureData } from './types.ts';

/** Names of files, and what a page calls the figure. */
export const FIGURES: Readonly<Record<FigureData['figure'], { file: string; title: string }>> = {
  'beta-sweep': { file: 'figure2', title: 'Figure 2: fixed β against adaptive' },
  'beta-trajectory': { file: 'figure2-trajectory', title: 'Figure 2, continued: where σ(β) goes' },
  disk: { file: 'figure3', title: 'Figure 3: an entity and its two-hop neighbours in the Poincaré disk' },
  'radius-degree': { file: 'radius-degree', title: 'Radius against degree' },
  'learning-curves': { file: 'learning-curves', title: 'Learning curves' },
  'attention-entropy': { file: 'attention-entropy', title: 'Entropy of the attention' },
};

/** Of a disk, those of its first entity. */
export function panelsOf(data: FigureData): Panel[] {
  switch (data.figure) {
    case 'beta-sweep':
      return sweepPanels({ ...data, metrics: data.metrics.slice(0, 2) });
    case 'beta-trajectory':
      return trajectoryPanels(data);
    case 'learning-curves':
      return curvesPanels(data);
    case 'radius-degree':
      return radiusPanels(data);
    case 'attention-entropy':
      return attentionPanels(data);
    case 'disk':
      return diskPanels(data, data.entities[0]!);
  }
}

const COLUMNS: Readonly<Record<FigureData['figure'], number>> = {
  'beta-sweep': 2,
  'beta-trajectory': 3,
  disk: 2,
  'radius-degree': 2,
  'learning-curves': 2,
  'attention-entropy': 2,
};

/** File name → SVG; the same bytes for the same data. */
export function drawingsOf(data: FigureData): Map<string, string> {
  const { file, title } = FIGURES[data.figure];
  const columns = COLUMNS[data.figure];
  if (data.figure !== 'disk') return new Map([[`${file}.svg`, drawing(file, title, captionOf(data), panelsOf(data), columns)]]);
  return new Map(
    data.entities.map((one) => {
      const name = `${file}-${fileSafe(one.id)}`;
      return [`${name}.svg`, drawing(name, title, diskCaption(data, one), diskPanels(data, one), columns)];
    }),
  );
}

/** An id as part of a file's name. */
const fileSafe = (id: string): string =>
  id.replace(/[^\p{L}\p{N}._-]/gu, (character) => `%${character.codePointAt(0)!.toString(16)}`).slice(0, 80);
