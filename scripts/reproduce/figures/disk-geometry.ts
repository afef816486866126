// The Poincaré disk of radius 1 in the plane. No imports: the report's page runs this file, too.

export type Point = readonly [x: number, y: number];

/** The geodesic between two points: an arc of a circle that meets the boundary at right angles, or a piece of a diameter. */
export type Geodesic = { kind: 'line' } | { kind: 'arc'; center: Point; radius: number; counterclockwise: boolean };

/** Above this radius an arc inside the disk differs from its chord by less than 1/8,000 of the disk's: by nothing that can be seen. */
const STRAIGHT = 1000;

/**
 * A circle meets the unit circle at right angles if |C|² = R² + 1. With that, a point p lies on it if C·p = (1 + |p|²)/2: two points give two
 * linear equations for the centre. They are dependent where both points are on one diameter.
 */
export function geodesic([ax, ay]: Point, [bx, by]: Point): Geodesic {
  const determinant = ax * by - ay * bx;
  const a = 0.5 * (1 + ax * ax + ay * ay);
  const b = 0.5 * (1 + bx * bx + by * by);
  const center: Point = [(a * by - b * ay) / determinant, (b * ax - a * bx) / determinant];
  const radius = Math.hypot(center[0] - ax, center[1] - ay);
  if (!(radius <= STRAIGHT)) return { kind: 'line' };
  // The centre is outside the disk, on the far side of the chord from the origin: which way around it is known by the turn of a → b.
  const turn = (ax - center[0]) * (by - center[1]) - (ay - center[1]) * (bx - center[0]);
  return { kind: 'arc', center, radius, counterclockwise: turn > 0 };
}

/** A complex number in polar form times another: (x, y) scaled and turned. */
const times = ([ax, ay]: Point, [bx, by]: Point): Point => [ax * bx - ay * by, ax * by + ay * bx];

/** The translation of the disk that takes `center` to the origin, z ↦ (z − a)/(1 − āz): an isometry. */
export function recenter([ax, ay]: Point, [x, y]: Point): Point {
  const [ux, uy] = times([ax, -ay], [x, y]);
  const [nx, ny] = [x - ax, y - ay];
  const [dx, dy] = [1 - ux, -uy];
  const square = dx * dx + dy * dy;
  return [(nx * dx + ny * dy) / square, (ny * dx - nx * dy) / square];
}

/** d(x, y) in the ball of curvature −1. */
export function diskDistance([ax, ay]: Point, [bx, by]: Point): number {
  const square = (ax - bx) ** 2 + (ay - by) ** 2;
  return 2 * Math.asinh(Math.sqrt(square / ((1 - ax * ax - ay * ay) * (1 - bx * bx - by * by))));
}

/** The point at the share `t` of the way from a to b, along the geodesic and at constant speed. */
export function along(a: Point, b: Point, t: number): Point {
  const seen = recenter(a, b);
  const norm = Math.hypot(...seen);
  if (norm === 0) return a;
  const scale = Math.tanh(t * Math.atanh(Math.min(norm, 1 - 1e-12))) / norm;
  return recenter([-a[0], -a[1]], [scale * seen[0], scale * seen[1]]);
}

/** SVG path data of the geodesic, with y upwards in the disk and downwards on the page, at `scale` units a radius around the origin. */
export function geodesicPath(a: Point, b: Point, scale: number, round: (value: number) => string): string {
  const at = ([x, y]: Point) => `${round(scale * x)} ${round(-scale * y)}`;
  const line = geodesic(a, b);
  if (line.kind === 'line') return `M${at(a)}L${at(b)}`;
  const radius = round(scale * line.radius);
  // Turned upside down, what is counterclockwise in the disk stays so on the page as seen; SVG calls clockwise-as-seen sweep 1.
  return `M${at(a)}A${radius} ${radius} 0 0 ${line.counterclockwise ? 0 : 1} ${at(b)}`;
}

/** Up to five round distances, and how far from the centre their circles are at `scale` units a radius: all within `outermost`. */
export function roundDistances(curvature: number, scale: number, outermost: number): { distance: number; radius: number }[] {
  const radiusAt = (distance: number): number => scale * Math.tanh(0.5 * Math.sqrt(curvature) * distance);
  const reach = Math.min(outermost, 0.97 * scale);
  const step = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100].find((one) => radiusAt(6 * one) > reach) ?? 100;
  return [1, 2, 3, 4, 5]
    .map((i) => Number((i * step).toPrecision(3)))
    .map((distance) => ({ distance, radius: radiusAt(distance) }))
    .filter(({ radius }) => radius <= reach);
}
