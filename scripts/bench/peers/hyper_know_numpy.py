#!/usr/bin/env python3
"""Hyper-Know in plain NumPy with derivatives by hand: an opponent to time side by side. The algorithm is that of hyper_know.py.

    python3 scripts/bench/peers/hyper_know_numpy.py --mode oracle --export FOLDER
    python3 scripts/bench/peers/hyper_know_numpy.py --mode serve --export FOLDER [--warm-up 3]

FOLDER is written by export.ts. Needs NumPy 1.24 or later, nothing else.

oracle: the ten steps of a --small export (its case 'touched') in float64. Expected: a line per loss and table with the largest difference from
        what our trainer has made of it, over how far it moved, then `oracle: agrees`; otherwise exit status 1. 1 s.
serve:  float32. Prints a line when it is ready, and for every number of steps that it reads on standard input a line with the seconds they
        took, drawing the samples included. On one core, shape of last-fm: 0.1 to 0.2 s a step.

Nothing is looped over in Python. Rows that several samples or triples add to are sorted and summed by runs (`np.add.reduceat`).
"""
import argparse
import json
import math
import sys
import time
from pathlib import Path

import numpy as np

TINY = 1e-30
MAX_TANGENT_NORM = 6.1030338227588  # artanh(1 − 1e-5)
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
TOLERANCE = 2e-5  # see hyper_know.py
TABLES = ('users', 'entities', 'relations', 'beta')


def dot(x, y):
    return np.einsum('ij,ij->i', x, y)


def column(x):
    return x[:, None]


def exp_map(w):
    """Points of tangent vectors, gaps 1/cosh²‖w‖, and what maps gradients back: J g = across·g + along·(w·g)·w."""
    sqnorm = np.maximum(dot(w, w), TINY)
    norm = np.sqrt(sqnorm)
    across = np.tanh(norm) / norm
    gap = np.cosh(norm) ** -2
    along = np.where(norm < 1e-2, -2 / 3 + (8 / 15) * sqnorm, (gap - across) / sqnorm)
    return column(across) * w, gap, across, along


def pulled_back(g, w, across, along):
    return column(across) * g + column(along * dot(w, g)) * w


def distance(sqdist, x_gap, y_gap):
    return 2 * np.arcsinh(np.sqrt(sqdist / (x_gap * y_gap)))


def distance_slope(sqdist, x_gap, y_gap):
    """k of ∇_x d = k[(x − y) + (‖x − y‖²/A_x) x]; 0 at coincident points."""
    return np.where(sqdist > 0, 2 / np.sqrt(np.maximum(sqdist * (sqdist + x_gap * y_gap), TINY)), 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def sums_by(index, values, rows):
    """Σ of the values of each index, [rows, …]."""
    order = np.argsort(index, kind='stable')
    keys = index[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    out = np.zeros((rows,) + values.shape[1:], values.dtype)
    out[keys[starts]] = np.add.reduceat(values[order], starts)
    return out


class Export:
    def __init__(self, folder):
        self.folder, self.meta = folder, json.loads((folder / 'meta.json').read_text())

    def tensor(self, name):
        described = self.meta['tensors'][name]
        dtype = {'uint32': np.int32, 'float32': np.float32}[described['type']]
        return np.fromfile(self.folder / f'{name}.bin', dtype).reshape(described['shape'])


class Trainer:
    def __init__(self, export, case, dtype):
        self.case, self.scale, self.steps, self.losses = case, case['scale'], 0, [0.0, 0.0]
        self.items = export.meta['items']
        self.offsets, self.relation_of, self.tails = (export.tensor(f'graph.{name}').astype(np.int64) for name in ('offsets', 'relations', 'tails'))
        self.tables = {}
        for name in TABLES:
            parameters = export.tensor(f"{case['name']}.initial.{name}").astype(dtype)
            self.tables[name] = [parameters, np.zeros_like(parameters), np.zeros_like(parameters)]

    def step(self, users, positives, negatives):
        scale, rate = self.scale, self.case['innerLearningRate']
        user_rows, user = np.unique(users, return_inverse=True)
        heads, head_of_sample, counts = np.unique(positives, return_inverse=True, return_counts=True)
        # The triples of the heads, in their order, and the runs of one relation in them.
        begins, degrees = self.offsets[heads], self.offsets[heads + 1] - self.offsets[heads]
        owner = np.repeat(np.arange(heads.size), degrees)
        first = np.cumsum(degrees) - degrees
        triple = np.arange(owner.size) - first[owner] + begins[owner]
        relation = self.relation_of[triple]
        is_first = np.ones(owner.size, bool)
        is_first[1:] = (owner[1:] != owner[:-1]) | (relation[1:] != relation[:-1])
        group_first = np.flatnonzero(is_first)
        group = np.cumsum(is_first) - 1
        rows, place = np.unique(np.concatenate([heads, positives, negatives, self.tails[triple]]), return_inverse=True)
        head, positive, negative, tail = np.split(place, np.cumsum([heads.size, users.size, users.size]))

        w_users, w_entities, w_relations = self.tables['users'][0][user_rows], self.tables['entities'][0][rows], self.tables['relations'][0]
        beta = self.tables['beta'][0][heads]
        weight = sigmoid(beta) * counts
        mapped_users, mapped, mapped_relations = exp_map(w_users), exp_map(w_entities), exp_map(w_relations)

        loss, on_user, on_positive, on_negative = self.ranking(mapped_users, mapped, user, positive, negative)
        knowledge, on_head, on_tail, on_relation = self.knowledge(
            mapped, mapped_relations, head, owner, relation, tail, first, degrees, group, group_first, weight
        )
        self.losses[0] += loss.sum()
        self.losses[1] += (weight * knowledge).sum()
        g_users = pulled_back(sums_by(user, on_user, user_rows.size), w_users, *mapped_users[2:])
        index = np.concatenate([positive, negative, head, tail])
        parts = [on_positive, on_negative, column(weight) * on_head, column(weight[owner]) * on_tail]
        g_entities = pulled_back(sums_by(index, np.concatenate(parts), rows.size), w_entities, *mapped[2:])
        g_relations = pulled_back(on_relation, w_relations, *mapped_relations[2:])

        # Lookahead, outer gradient, ∂J_outer/∂β.
        ahead_users, ahead = exp_map(w_users - rate * g_users), exp_map(w_entities - rate * g_entities)
        _, _, on_positive, on_negative = self.ranking(ahead_users, ahead, user, positive, negative)
        outer = sums_by(np.concatenate([positive, negative]), np.concatenate([on_positive, on_negative]), rows.size)
        outer = pulled_back(pulled_back(outer, w_entities - rate * g_entities, *ahead[2:]), w_entities, *mapped[2:])
        product = dot(outer[head], on_head)
        in_batch = np.zeros(rows.size, bool)
        in_batch[positive] = in_batch[negative] = True
        hit = np.flatnonzero(in_batch[tail])
        np.add.at(product, owner[hit], dot(outer[tail[hit]], on_tail[hit]))
        share = sigmoid(beta)
        g_beta = -rate * share * (1 - share) * counts * np.where(degrees > 0, product, 0)

        regularization = 2 * self.case['regularization']
        g_users += regularization * column(np.bincount(user, minlength=user_rows.size)) * w_users
        g_entities += regularization * column(np.bincount(np.concatenate([positive, negative]), minlength=rows.size)) * w_entities
        self.steps += 1
        self.adam('users', user_rows, g_users)
        self.adam('entities', rows, g_entities)
        self.adam('relations', slice(None), g_relations)
        self.adam('beta', heads, g_beta)

    def ranking(self, users, entities, user, positive, negative):
        """L_R of every sample and its gradients on the user's, the positive's and the negative's point."""
        (x, x_gap), (y, y_gap) = users[:2], entities[:2]
        u, u_gap = x[user], x_gap[user]
        p, p_gap, n, n_gap = y[positive], y_gap[positive], y[negative], y_gap[negative]
        to_p, to_n = u - p, u - n
        sq_p, sq_n = dot(to_p, to_p), dot(to_n, to_n)
        z = self.scale * (distance(sq_p, u_gap, p_gap) - distance(sq_n, u_gap, n_gap))
        slope = self.scale * sigmoid(z)
        k_p, k_n = slope * distance_slope(sq_p, u_gap, p_gap), slope * distance_slope(sq_n, u_gap, n_gap)
        on_user = column(k_p) * to_p - column(k_n) * to_n + column((k_p * sq_p - k_n * sq_n) / u_gap) * u
        on_positive = column(k_p * sq_p / p_gap) * p - column(k_p) * to_p
        on_negative = column(k_n) * to_n - column(k_n * sq_n / n_gap) * n
        return np.logaddexp(0, z), on_user, on_positive, on_negative

    def knowledge(self, entities, relations, head, owner, relation, tail, first, degrees, group, group_first, weight):
        """L_K of every head and its gradients on the head's and the tails' points; on relations already weighted and summed."""
        scale = self.scale
        (points, gaps), (r_points, r_gaps) = entities[:2], relations[:2]
        filled = np.flatnonzero(degrees > 0)
        starts = first[filled]

        def by_head(values):
            out = np.zeros((head.size,) + values.shape[1:], values.dtype)
            out[filled] = np.add.reduceat(values, starts)
            return out

        v, v_gap = points[head], gaps[head]
        t, t_gap = points[tail], gaps[tail]
        g_owner, g_relation = owner[group_first], relation[group_first]
        gv, gv_gap, r, r_gap = v[g_owner], v_gap[g_owner], r_points[g_relation], r_gaps[g_relation]
        r_sqnorm = dot(r, r)
        denominator = dot(gv + r, gv + r) + gv_gap * r_gap
        factor = gv_gap / denominator
        x, x_gap = (column(1 + factor * r_sqnorm) * gv + column(factor) * r)[group], (factor * r_gap)[group]
        to_x = t - x
        sqdist = dot(to_x, to_x)
        d = scale * distance(sqdist, x_gap, t_gap)
        nearest = np.zeros(head.size, d.dtype)
        nearest[filled] = np.minimum.reduceat(d, starts)
        a = np.exp(nearest[owner] - d)
        on_t = 2 * a / t_gap
        m, m0, total = by_head(column(on_t) * t), by_head(on_t - a), by_head(a)
        l = np.sqrt(np.maximum(np.maximum(m0 * m0 - dot(m, m), total * total), TINY))
        inverse = 1 / (m0 + l)
        n, n_gap = column(inverse) * m, 2 * l * inverse
        to_n = v - n
        apart = dot(to_n, to_n)
        empty = degrees == 0
        knowledge = np.where(empty, 0, scale * distance(apart, v_gap, n_gap))
        k = np.where(empty, 0, scale * distance_slope(apart, v_gap, n_gap))
        on_head = column(k) * to_n + column(k * apart / v_gap) * v
        g = column(k * apart / n_gap) * n - column(k) * to_n
        n_dot_g = dot(n, g)
        g_m0 = (-n_dot_g * inverse * (1 + m0 / l))[owner]
        g_m = column(inverse) * (g + column(n_dot_g / l) * m)
        gt = g_m[owner]
        t_dot_g = dot(t, gt)
        slope = -scale * a * (2 / t_gap * t_dot_g + (2 / t_gap - 1) * g_m0) * distance_slope(sqdist, x_gap, t_gap)
        on_tail = column(on_t) * gt + column(4 * a * (t_dot_g + g_m0) / t_gap**2 + slope * sqdist / t_gap) * t + column(slope) * to_x
        gx = np.add.reduceat(column(slope * sqdist / x_gap) * x - column(slope) * to_x, group_first)
        gx_v = dot(gx, gv)
        back = column(2 * (dot(gx, r) + r_sqnorm * gx_v) / denominator)
        on_v = column(1 + factor * r_sqnorm) * gx - back * gv - back * column(factor) * (r + column(1 - r_gap) * gv)
        on_r = column(factor) * gx + column(2 * factor * gx_v) * r - back * column(factor) * (gv + column(1 - gv_gap) * r)
        # The groups of a head stand together, too.
        on_head += sums_by(g_owner, on_v, head.size)
        return knowledge, on_head, on_tail, sums_by(g_relation, column(weight[g_owner]) * on_r, r_points.shape[0])

    def adam(self, name, rows, gradient):
        correction = math.sqrt(1 - BETA2**self.steps)
        rate = self.case['betaLearningRate' if name == 'beta' else 'learningRate'] * correction / (1 - BETA1**self.steps)
        parameters, first, second = (table[rows] for table in self.tables[name])
        first = BETA1 * first + (1 - BETA1) * gradient
        second = BETA2 * second + (1 - BETA2) * gradient * gradient
        parameters = parameters - rate * first / (np.sqrt(second) + EPSILON * correction)
        if name != 'beta':
            norm = np.sqrt(np.maximum(dot(parameters, parameters), TINY))
            parameters *= column(np.minimum(1, MAX_TANGENT_NORM / norm))
        for table, values in zip(self.tables[name], (parameters, first, second)):
            table[rows] = values


class Sampler:
    """Batches in random order, each positive with a uniform negative."""

    def __init__(self, export, batch):
        self.items, self.batch, self.random, self.at = export.meta['items'], batch, np.random.default_rng(1), 0
        offsets = export.tensor('train.offsets').astype(np.int64)
        self.positives = export.tensor('train.items').astype(np.int64)
        self.users = np.repeat(np.arange(offsets.size - 1), np.diff(offsets))
        self.keys = self.users * self.items + self.positives  # ascending
        self.order = self.random.permutation(self.positives.size)

    def draw(self):
        if self.at + self.batch > self.order.size:
            self.order, self.at = self.random.permutation(self.order.size), 0
        chosen = self.order[self.at : self.at + self.batch]
        self.at += self.batch
        users = self.users[chosen]
        negatives = self.random.integers(self.items, size=chosen.size)
        for _ in range(8):
            keys = users * self.items + negatives
            seen = self.keys[np.minimum(np.searchsorted(self.keys, keys), self.keys.size - 1)] == keys
            if not seen.any():
                break
            negatives[seen] = self.random.integers(self.items, size=seen.sum())
        return users, self.positives[chosen], negatives


def oracle(export):
    case = next(case for case in export.meta['cases'] if case['name'] == 'touched')
    trainer, agrees = Trainer(export, case, np.float64), True
    sides = [export.tensor(f'touched.samples.{side}').astype(np.int64) for side in ('users', 'positives', 'negatives')]
    for begin in range(0, sides[0].size, case['batchSize']):
        batch = [side[begin : begin + case['batchSize']] for side in sides]
        known = batch[2] >= 0
        trainer.step(*(side[known] for side in batch))
    errors = {}
    for key, loss in zip(('rankingLoss', 'knowledgeLoss'), trainer.losses):
        mean = loss / export.meta['interactions']
        errors[key] = abs(case['trained'][key] - mean) / mean
    for name in TABLES:
        found, initial = (export.tensor(f'touched.{when}.{name}').astype(np.float64) for when in ('trained', 'initial'))
        trained = trainer.tables[name][0]
        errors[name] = np.abs(found - trained).max() / np.abs(trained - initial).max()
    for name, error in errors.items():
        fine = error <= TOLERANCE  # NaN is not
        agrees = agrees and fine
        print(f'{name:<48}{error:8.1e}{"" if fine else f"  above {TOLERANCE:.0e}"}')
    print('oracle: agrees' if agrees else 'oracle: disagrees')
    return agrees


def serve(export, warm_up):
    case = export.meta['cases'][0]
    trainer, sampler = Trainer(export, case, np.float32), Sampler(export, case['batchSize'])

    def run(steps):
        started = time.perf_counter()
        for _ in range(steps):
            trainer.step(*sampler.draw())
        return time.perf_counter() - started

    run(warm_up)
    print(json.dumps({'version': f'NumPy {np.__version__}', 'threads': 1}), flush=True)
    for line in sys.stdin:
        print(run(int(line)), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--mode', choices=['oracle', 'serve'], required=True)
    parser.add_argument('--export', type=Path, required=True, help='folder that export.ts has written')
    parser.add_argument('--warm-up', type=int, default=3)
    arguments = parser.parse_args()
    export = Export(arguments.export)
    if arguments.mode == 'oracle':
        return 0 if oracle(export) else 1
    serve(export, arguments.warm_up)
    return 0


if __name__ == '__main__':
    sys.exit(main())
