import { diskDistance } from '../disk-geometry.ts';
import type { Disk, DiskNeighborhood } from '../types.ts';

/** A node in a sentence, for a hint and for a screen reader. */
export function describeNode(disk: Disk, { nodes, edges }: DiskNeighborhood, i: number): string {
  const { label, kind, hop, degree, placed, x, y } = nodes[i]!;
  const relations = [
    ...new Set(edges.filter(({ source, target }) => source === i || target === i).map(({ relation }) => disk.relations[relation]!)),
  ];
  const distance = diskDistance([nodes[0]!.x, nodes[0]!.y], [x, y]) / Math.sqrt(disk.curvature);
  const where = hop === 0 ? 'the entity itself' : `${hop === 1 ? 'one hop' : 'two hops'} away, d = ${distance.toFixed(2)}`;
  const how = placed === 'trained' ? '' : placed === 'never' ? '; never trained' : '; placed by its triples';
  return `${label}: ${kind}, ${where}, ${degree} ${degree === 1 ? 'triple' : 'triples'}${how}. ${relations.join(', ')}`;
}
