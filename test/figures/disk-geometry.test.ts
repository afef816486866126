// Geodesics and translations of the disk, against what defines them and against the package's own distance.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { mobiusAdd } from '../../lib/geometry.ts';
import { poincareDistance } from '../../lib/kernels.ts';
import {
  along,
  diskDistance,
  geodesic,
  geodesicPath,
  type Point,
  recenter,
  roundDistances,
} from '../../scripts/reproduce/figures/disk-geometry.ts';
import { seededRandom } from '../helpers.ts';

const disk = suite('geometry of the disk');

/** Pairs of points all over the disk, some of them near to the boundary, some near to each other, some on one diameter. */
function pairs(): [Point, Point][] {
  const random = seededRandom(7);
  const point = (): Point => {
    const [angle, radius] = [2 * Math.PI * random(), 1 - 10 ** (-3 * random()) * random() - 1e-4];
    return [radius * Math.cos(angle), radius * Math.sin(angle)];
  };
  const found = Array.from({ length: 300 }, (): [Point, Point] => [point(), point()]);
  for (const [a] of found.slice(0, 50)) found.push([a, [-0.4 * a[0], -0.4 * a[1]]], [a, [0, 0]], [a, [a[0] * 0.99 + 1e-3, a[1] * 0.99]]);
  return found;
}

/** What is wrong with the geodesic between two points, if anything. */
function problem(a: Point, b: Point, line = geodesic(a, b)): string | undefined {
  const cross = Math.abs(a[0] * b[1] - a[1] * b[0]);
  if (line.kind === 'line') return cross < 1e-2 ? undefined : `a line between ${a} and ${b}, which are on no diameter`;
  const { center, radius } = line;
  const distanceTo = (p: Point) => Math.hypot(p[0] - center[0], p[1] - center[1]);
  if (!(Math.abs(distanceTo(a) - radius) <= 1e-6 * radius)) return 'does not go through the first point';
  if (!(Math.abs(distanceTo(b) - radius) <= 1e-6 * radius)) return 'does not go through the second point';
  // At right angles with the unit circle: |C|² = 1 + R².
  const orthogonal = Math.hypot(...center) ** 2 - 1 - radius ** 2;
  return Math.abs(orthogonal) <= 1e-6 * radius ** 2 ? undefined : `meets the boundary at another angle: |C|² − 1 − R² = ${orthogonal}`;
}

disk('a geodesic goes through both points and meets the boundary at right angles', () => {
  let arcs = 0;
  for (const [a, b] of pairs()) {
    assert.is(problem(a, b), undefined);
    if (geodesic(a, b).kind === 'arc') ++arcs;
  }
  assert.ok(arcs > 250, `${arcs} arcs`);
});

disk('planted: a circle that is no geodesic is found', () => {
  const [a, b]: [Point, Point] = [
    [0.5, 0.1],
    [-0.2, 0.6],
  ];
  const line = geodesic(a, b);
  assert.ok(line.kind === 'arc');
  assert.match(problem(a, b, { ...line, radius: line.radius * 1.01 })!, /first point/);
  // Through both points all the same, with the centre moved along the bisector.
  const middle: Point = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  const center: Point = [middle[0] + 2 * (line.center[0] - middle[0]), middle[1] + 2 * (line.center[1] - middle[1])];
  assert.match(problem(a, b, { ...line, center, radius: Math.hypot(a[0] - center[0], a[1] - center[1]) })!, /another angle/);
  assert.match(problem(a, b, { kind: 'line' })!, /no diameter/);
});

disk('distances are those of the package', () => {
  const all = pairs();
  const flat = (side: 0 | 1) => Float32Array.from(all.flatMap((pair) => pair[side]));
  const [x, y] = [flat(0), flat(1)];
  const expected = poincareDistance(x, y, 2, { backend: 'cpu' });
  for (let i = 0; i < all.length; ++i) {
    const own = diskDistance([x[2 * i]!, x[2 * i + 1]!], [y[2 * i]!, y[2 * i + 1]!]);
    assert.ok(Math.abs(own - expected[i]!) <= 4e-6 * own, `${own}, not ${expected[i]}`);
  }
});

disk('moving a point to the centre keeps all distances, and is Möbius addition', () => {
  const all = pairs();
  for (const [i, [a, b]] of all.entries()) {
    const [c] = all[(i + 1) % all.length]!;
    assert.ok(Math.hypot(...recenter(a, a)) <= 1e-12);
    const moved = Math.hypot(...recenter(a, b));
    assert.ok(moved < 1);
    const [before, after] = [diskDistance(b, c), diskDistance(recenter(a, b), recenter(a, c))];
    assert.ok(Math.abs(before - after) <= 1e-6 * (1 + before), `${before} became ${after}`);
    const sum = mobiusAdd([-a[0], -a[1]], b, 1);
    assert.ok(Math.hypot(sum[0]! - recenter(a, b)[0], sum[1]! - recenter(a, b)[1]) <= 1e-9);
  }
  // A translation of the plane is none of the disk.
  const shifted = ([x, y]: Point): Point => [x - 0.1, y];
  assert.ok(Math.abs(diskDistance([0.5, 0], [0, 0.5]) - diskDistance(shifted([0.5, 0]), shifted([0, 0.5]))) > 0.01);
});

disk('the way along is the geodesic at constant speed', () => {
  for (const [a, b] of pairs()) {
    const whole = diskDistance(a, b);
    for (const t of [0, 0.25, 0.5, 1]) {
      const [before, after] = [diskDistance(a, along(a, b, t)), diskDistance(along(a, b, t), b)];
      assert.ok(Math.abs(before - t * whole) <= 1e-5 * (1 + whole), `${before} of ${whole} at ${t}`);
      assert.ok(Math.abs(before + after - whole) <= 1e-5 * (1 + whole));
    }
    const line = geodesic(a, b);
    const middle = along(a, b, 0.5);
    if (line.kind === 'arc')
      assert.ok(Math.abs(Math.hypot(middle[0] - line.center[0], middle[1] - line.center[1]) - line.radius) <= 1e-5 * line.radius);
  }
});

/** How far the centre of the arc that SVG draws is from that of the geodesic, in radii; undefined for a straight line. */
function arcError(path: string, a: Point, b: Point): number | undefined {
  const arc = /^M(\S+) (\S+)A(\S+) \3 0 0 ([01]) (\S+) (\S+)$/.exec(path);
  if (!arc) {
    assert.match(path, /^M\S+ \S+L\S+ \S+$/);
    return undefined;
  }
  const [x1, y1, r, sweep, x2, y2] = arc.slice(1).map(Number) as [number, number, number, number, number, number];
  // The centre from the end points, for the smaller arc: appendix B.2.4 of SVG 2.
  const [dx, dy] = [(x1 - x2) / 2, (y1 - y2) / 2];
  const root = (sweep === 1 ? 1 : -1) * Math.sqrt(Math.max(0, r * r - dx * dx - dy * dy) / (dx * dx + dy * dy));
  const center: Point = [(x1 + x2) / 2 + root * dy, (y1 + y2) / 2 - root * dx];
  const expected = geodesic(a, b);
  assert.ok(expected.kind === 'arc');
  return Math.hypot(center[0] - 100 * expected.center[0], center[1] + 100 * expected.center[1]) / r;
}

disk('path data: of the two arcs of its circle that SVG could mean, the one inside the disk', () => {
  let wrong = 0;
  for (const [a, b] of pairs()) {
    const path = geodesicPath(a, b, 100, (value) => value.toFixed(6));
    const error = arcError(path, a, b);
    if (error === undefined) continue;
    const radius = Number(/A(\S+)/.exec(path)![1]);
    assert.ok(error <= 1e-3 * (1 + radius / (100 * Math.hypot(a[0] - b[0], a[1] - b[1]))), `off by ${error} for ${path}`);
    // Planted: the other arc.
    const other = path.replace(/ 0 0 ([01]) /, (_, sweep) => ` 0 0 ${1 - Number(sweep)} `);
    if (arcError(other, a, b)! > 0.1) ++wrong;
  }
  assert.ok(wrong > 200, `${wrong}`);
});

disk('rings at round distances', () => {
  for (const [curvature, scale] of [
    [1, 168],
    [1, 1680],
    [1 / 81, 168],
  ] as const) {
    const rings = roundDistances(curvature, scale, 168);
    assert.ok(rings.length >= 1, `${curvature}, ${scale}`);
    for (const { distance, radius } of rings) {
      assert.ok(radius <= 168);
      const [there] = poincareDistance(Float32Array.of(0, 0), Float32Array.of(radius / scale / Math.sqrt(curvature), 0), 2, {
        curvature,
        backend: 'cpu',
      });
      assert.ok(Math.abs(there! - distance) <= 1e-4 * distance, `${there}, not ${distance}`);
    }
  }
});

disk.run();
