#!/usr/bin/env python3
"""Hyper-Know (Ma et al., AAAI 2021) in plain PyTorch: an opponent to time side by side, and an independent float64 opinion.

    python3 scripts/bench/peers/hyper_know.py --mode oracle --export FOLDER
    python3 scripts/bench/peers/hyper_know.py --mode time --export FOLDER [--device cuda|cpu] [--variants eager,graph]
                                              [--adam touched|dense] [--hypergradient double|forward] [--steps 200] [--warm-up 20]
                                              [--json FILE]
    python3 scripts/bench/peers/hyper_know.py --mode serve --export FOLDER [--variants eager] [--threads N] [--warm-up 20]

FOLDER is written by export.ts; README.md says what the variants are. Needs torch 1.13 or later, nothing else.

oracle: trains the ten steps of a --small export again, in float64, and compares every table with what our trainer has made of it. Expected:
        a line per case and table, then `oracle: agrees`; otherwise exit status 1. 4 s on one core.
time:   float32. Expected: a line per variant with the median time of a step, sampling included, and seconds per epoch. A variant that
        cannot run is a line with its error. On one CPU core, shape of last-fm: eager 0.1 to 0.9 s a step (README.md).
serve:  the first of the variants, for a benchmark in which several trainers take turns: prints a line when it is ready, and for every number
        of steps that it reads on standard input a line with the seconds they took.

What is deliberate: only the rows of a batch are gathered, differentiated and, with Adam 'touched', written; nothing is looped over in Python.
L_K is differentiated through the plain sums of Eq. 5, in the precision of the tables, and v ⊕ r is computed once per triple.
"""
import argparse
import copy
import json
import math
import platform
import statistics
import sys
import time
import warnings
from pathlib import Path
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple, Union

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor

warnings.filterwarnings('ignore', message='scatter_reduce')  # torch 1.13 calls it a beta

# ── Geometry: the unit ball, points with their gaps A = 1 − ‖x‖², distances to be multiplied by scale = 1/√c ──

# Far below every squared quantity that is not zero but for rounding; keeps roots differentiable.
TINY = 1e-30
# artanh(1 − 1e-5): the largest norm of a tangent vector.
MAX_TANGENT_NORM = 6.1030338227588


class Points(NamedTuple):
    at: Tensor  # [rows, dim]
    gap: Tensor  # [rows]


def sqnorm(x: Tensor) -> Tensor:
    return (x * x).sum(-1)


def root(x: Tensor) -> Tensor:
    """√x with gradient 0 at 0."""
    return x.clamp_min(TINY).sqrt()


def rows_of(points: Points, index: Tensor) -> Points:
    return Points(points.at.index_select(0, index), points.gap.index_select(0, index))


def exp_map_origin(w: Tensor) -> Points:
    """x = tanh(‖w‖)/‖w‖·w. Its gap is 1/cosh²‖w‖, which does not cancel as 1 − ‖x‖² does."""
    norm = root(sqnorm(w))
    return Points((torch.tanh(norm) / norm).unsqueeze(-1) * w, torch.cosh(norm) ** -2)


def poincare_distance(x: Points, y: Points) -> Tensor:
    """Eq. 1 as 2 arsinh √(‖x − y‖²/(A_x A_y))."""
    return 2 * torch.asinh(root(sqnorm(x.at - y.at) / (x.gap * y.gap)))


def mobius_add(v: Points, r: Points, r_sqnorm: Tensor) -> Points:
    """v ⊕ r (Eq. 2) = v + (A_v/D)(r + ‖r‖²v) with D = ‖v + r‖² + A_v A_r; its gap is A_v A_r/D."""
    denominator = sqnorm(v.at + r.at) + v.gap * r.gap
    on_r = v.gap / denominator
    return Points((1 + on_r * r_sqnorm).unsqueeze(-1) * v.at + on_r.unsqueeze(-1) * r.at, on_r * r.gap)


# ── A batch: the distinct rows it needs, and everything else as places among them ──

Samples = Tuple[Tensor, Tensor, Tensor]  # users, positives, negatives


class Batch(NamedTuple):
    users: Tensor  # rows of the tables
    entities: Tensor
    heads: Tensor  # the distinct positives
    user: Tensor  # [samples] places in users and entities
    positive: Tensor
    negative: Tensor
    head: Tensor  # [heads] place in entities
    count: Tensor  # [heads] how often it is a positive; 0 where it has no triples, which makes its L_K count for nothing
    owner: Tensor  # [triples] place in heads
    relation: Tensor  # [triples] row of the table
    tail: Tensor  # [triples] place in entities


class Capacity(NamedTuple):
    """Sizes of padded batches, so that no shape depends on the data. The heads always have a place of padding."""

    users: int
    entities: int
    heads: int
    triples: int


def distinct(keys: Tensor, rows: int, capacity: Optional[int]) -> Tuple[Tensor, Tensor, Tensor]:
    """The distinct keys, ascending; the place of each key among them; and whether they fit. The rest of a capacity is row number `rows`."""
    if capacity is None:
        unique, place = torch.unique(keys, return_inverse=True)
        return unique, place, keys.new_ones((), dtype=torch.bool)
    present = keys.new_zeros(rows + 1).index_fill_(0, keys, 1)
    places = present.cumsum(0) - 1
    place = places.index_select(0, keys).clamp_max(capacity - 1)
    unique = keys.new_full((capacity,), rows).scatter_(0, place, keys)
    return unique, place, places[rows] < capacity


class Data:
    """The data set on a device. Tables have one row more than it says, and the graph one item and one triple: the padding."""

    def __init__(self, export: 'Export', device: torch.device):
        self.users, self.items, self.entities = (export.meta[name] for name in ('users', 'items', 'entities'))
        self.interactions, self.triples = export.meta['interactions'], export.meta['triples']

        def ids(name: str) -> Tensor:
            return export.tensor(name).long().to(device)

        offsets, self.train_items = ids('train.offsets'), ids('train.items')
        self.interaction_users = torch.repeat_interleave(offsets[1:] - offsets[:-1])
        # Ascending, since items are within a user.
        self.interaction_keys = self.interaction_users * self.items + self.train_items
        offsets = ids('graph.offsets')
        self.first_triple = offsets
        self.degree = torch.cat([offsets[1:] - offsets[:-1], offsets.new_zeros(1)])
        self.relations = torch.cat([ids('graph.relations'), offsets.new_zeros(1)])
        self.tails = torch.cat([ids('graph.tails'), offsets.new_full((1,), self.entities)])

    def batch(self, users: Tensor, positives: Tensor, negatives: Tensor, capacity: Optional[Capacity] = None) -> Tuple[Batch, Tensor]:
        """The batch of these samples, and whether it fits in the capacity."""
        user_rows, user, _ = distinct(users, self.users, capacity and capacity.users)
        heads, head_of_sample, _ = distinct(positives, self.items, capacity and capacity.heads)
        degree = self.degree.index_select(0, heads)
        count = torch.zeros_like(heads).index_add_(0, head_of_sample, torch.ones_like(positives)) * (degree > 0)

        # In the order of the heads. A place of padding has triple number `triples` and belongs to the last head, which is padding too.
        ends = degree.cumsum(0)
        place = torch.arange(capacity.triples if capacity else int(ends[-1]), device=heads.device)
        owner = torch.searchsorted(ends, place, right=True).clamp_max(heads.numel() - 1)
        triple = (self.first_triple.index_select(0, heads) + degree - ends).index_select(0, owner) + place
        triple = torch.where(place < ends[-1], triple, self.triples)
        tails = self.tails.index_select(0, triple)

        head_entities = torch.where(heads < self.items, heads, self.entities)
        keys = torch.cat([head_entities, positives, negatives, tails])
        entities, places, entities_fit = distinct(keys, self.entities, capacity and capacity.entities)
        head, positive, negative, tail = places.split([heads.numel(), positives.numel(), negatives.numel(), tails.numel()])
        relation = self.relations.index_select(0, triple)
        batch = Batch(user_rows, entities, heads, user, positive, negative, head, count, owner, relation, tail)
        return batch, entities_fit & (ends[-1] <= place.numel())


# ── The losses ──


def ranking_losses(users: Points, entities: Points, batch: Batch, scale: float) -> Tensor:
    """L_R of every sample, Eq. 3: −ln σ(−z), z = scale·(d(u, v) − d(u, v′))."""
    user = rows_of(users, batch.user)
    to_positive = poincare_distance(user, rows_of(entities, batch.positive))
    to_negative = poincare_distance(user, rows_of(entities, batch.negative))
    return -torch.nn.functional.logsigmoid(scale * (to_negative - to_positive))


def knowledge_losses(entities: Points, relations: Points, batch: Batch, scale: float) -> Tensor:
    """L_K of every head, Eq. 4 to 7; without meaning for heads without triples."""
    heads = batch.heads.numel()
    head = rows_of(entities, batch.head)
    tail = rows_of(entities, batch.tail)
    moved = mobius_add(rows_of(head, batch.owner), rows_of(relations, batch.relation), sqnorm(relations.at).index_select(0, batch.relation))
    # Attention relative to the nearest tail: the common factor drops out of Eq. 5, and without it all of them may underflow together.
    distance = scale * poincare_distance(moved, tail)
    nearest = distance.new_full((heads,), math.inf).scatter_reduce(0, batch.owner, distance.detach(), 'amin')
    attention = torch.exp(nearest.index_select(0, batch.owner) - distance)
    # Eq. 5 on the hyperboloid: m0 = Σ a γ, m = Σ a·2t/A_t, n = m/(m0 + l), l² = m0² − ‖m‖² ≥ (Σ a)², with γ = (2 − A)/A.
    on_tail = 2 * attention / tail.gap
    sums = attention.new_zeros(heads, 2).index_add(0, batch.owner, torch.stack([attention, on_tail - attention], 1))
    m = tail.at.new_zeros(heads, tail.at.shape[1]).index_add(0, batch.owner, on_tail.unsqueeze(1) * tail.at)
    total, m0 = sums.unbind(1)
    l = root(torch.maximum(m0 * m0 - sqnorm(m), total * total))
    midpoint = Points(m / (m0 + l).unsqueeze(1), 2 * l / (m0 + l))
    return scale * poincare_distance(head, midpoint)


# ── Derivatives, in two ways of asking for them ──


class Eager:
    """torch.autograd: every torch has it."""

    @staticmethod
    def gradients(loss: Callable[..., Tensor], *at: Tensor) -> Sequence[Tensor]:
        leaves = [x.detach().requires_grad_() for x in at]
        return torch.autograd.grad(loss(*leaves), leaves)

    @staticmethod
    def directional(values: Callable[[Tensor], Tensor], at: Tensor, direction: Tensor) -> Tensor:
        """The derivative along the direction of each value, in one forward pass."""
        with forward_ad.dual_level():
            return forward_ad.unpack_dual(values(forward_ad.make_dual(at, direction))).tangent


class Functional:
    """torch.func, which torch.compile sees through. No forward mode: compiled by torch 2.6, that of index_add is wrong."""

    @staticmethod
    def gradients(loss: Callable[..., Tensor], *at: Tensor) -> Sequence[Tensor]:
        return torch.func.grad(loss, argnums=tuple(range(len(at))))(*at)

    @staticmethod
    def directional(values: Callable[[Tensor], Tensor], at: Tensor, direction: Tensor) -> Tensor:
        """The same, as the gradient in one weight for each value of ⟨∇ Σ weight·value, direction⟩."""
        value, weighted_gradient = torch.func.vjp(values, at)
        return torch.func.grad(lambda weight: (weighted_gradient(weight)[0] * direction).sum())(torch.ones_like(value))


# ── Training, Algorithm 1 ──

BETAS, EPSILON = (0.9, 0.999), 1e-8


class Table:
    """Parameters with Adam's moments; the last row is padding: zero, and it stays so."""

    def __init__(self, initial: Tensor, padded: bool, bounded: bool):
        self.parameters = torch.cat([initial, torch.zeros_like(initial[:1])]) if padded else initial.clone()
        self.first, self.second = torch.zeros_like(self.parameters), torch.zeros_like(self.parameters)
        self.bounded = bounded


class Model:
    TABLES = ('users', 'entities', 'relations', 'beta')
    users: Table
    entities: Table
    relations: Table
    beta: Table

    def __init__(self, export: 'Export', case: dict, data: Data, dtype: torch.dtype, derivatives=Eager, steps: Union[int, Tensor] = 0):
        """`steps` done: a tensor where a step is recorded once and replayed."""
        self.derivatives, self.steps = derivatives, steps
        self.scale, self.inner_learning_rate, self.regularization = case['scale'], case['innerLearningRate'], case['regularization']
        self.learning_rate, self.beta_learning_rate = case['learningRate'], case['betaLearningRate']
        self.dense = case['adam'] != 'touched'
        for name in self.TABLES:
            initial = export.tensor(f"{case['name']}.initial.{name}").to(data.tails.device, dtype)
            setattr(self, name, Table(initial, padded=name != 'relations', bounded=name != 'beta'))

    def trained(self, name: str) -> Tensor:
        parameters = getattr(self, name).parameters
        return parameters if name == 'relations' else parameters[:-1]

    def gathered(self, batch: Batch) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
        """The parameters that the batch needs: users, entities, relations, β of the heads."""
        return (
            self.users.parameters.index_select(0, batch.users),
            self.entities.parameters.index_select(0, batch.entities),
            self.relations.parameters,
            self.beta.parameters.index_select(0, batch.heads),
        )

    def ranking(self, batch: Batch, users: Tensor, entities: Tensor) -> Tensor:
        return ranking_losses(exp_map_origin(users), exp_map_origin(entities), batch, self.scale)

    def knowledge(self, batch: Batch, entities: Tensor, relations: Tensor) -> Tensor:
        return knowledge_losses(exp_map_origin(entities), exp_map_origin(relations), batch, self.scale)

    def inner_loss(self, batch: Batch, users: Tensor, entities: Tensor, relations: Tensor, beta: Tensor) -> Tensor:
        """J_inner, Eq. 10, a sum over the samples: a head counts as often as it is a positive."""
        user_points, entity_points = exp_map_origin(users), exp_map_origin(entities)
        knowledge = knowledge_losses(entity_points, exp_map_origin(relations), batch, self.scale)
        weight = torch.sigmoid(beta) * batch.count
        return ranking_losses(user_points, entity_points, batch, self.scale).sum() + (weight * knowledge).sum()

    def step(self, batch: Batch, double: bool = False) -> Tensor:
        """One step of Algorithm 1; returns ∂J_outer/∂β of the heads. The outer batch is the inner one."""
        users, entities, relations, beta = self.gathered(batch)
        if double:
            *gradients, hypergradient = self.gradients_by_double_backward(batch, users, entities, relations, beta)
        else:
            gradients = self.derivatives.gradients(lambda *at: self.inner_loss(batch, *at, beta), users, entities, relations)
            hypergradient = self.hypergradient(batch, users, entities, relations, beta, *gradients[:2])
        on_users, on_entities, on_relations = gradients

        # λ: the squared norms of each sample's user and two items.
        user_samples = torch.zeros_like(users[:, 0]).index_add_(0, batch.user, torch.ones_like(batch.user, dtype=users.dtype))
        sides = torch.cat([batch.positive, batch.negative])
        item_samples = torch.zeros_like(entities[:, 0]).index_add_(0, sides, torch.ones_like(sides, dtype=users.dtype))
        on_users = on_users + 2 * self.regularization * user_samples.unsqueeze(1) * users
        on_entities = on_entities + 2 * self.regularization * item_samples.unsqueeze(1) * entities

        self.steps += 1
        rates, beta_rates = self.adam_rates(self.learning_rate), self.adam_rates(self.beta_learning_rate)
        self.adam(self.users, batch.users, on_users, *rates)
        self.adam(self.entities, batch.entities, on_entities, *rates)
        self.adam(self.relations, None, on_relations, *rates)
        self.adam(self.beta, batch.heads, hypergradient, *beta_rates)
        return hypergradient

    def hypergradient(
        self, batch: Batch, users: Tensor, entities: Tensor, relations: Tensor, beta: Tensor, on_users: Tensor, on_entities: Tensor
    ) -> Tensor:
        """
        ∂J_outer(Θ̃)/∂β_v = −α·σ′(β_v)·count_v·⟨∇J_outer(Θ̃), ∇L_K(v)⟩ at Θ̃ = Θ − α∇J_inner: the product is the derivative of L_K(v) along
        ∇J_outer.
        """
        users_ahead = users - self.inner_learning_rate * on_users
        entities_ahead = entities - self.inner_learning_rate * on_entities
        (outer,) = self.derivatives.gradients(lambda at: self.ranking(batch, users_ahead, at).sum(), entities_ahead)
        product = self.derivatives.directional(lambda at: self.knowledge(batch, at, relations), entities, outer)
        weight = torch.sigmoid(beta)
        return -self.inner_learning_rate * weight * (1 - weight) * batch.count * product

    def gradients_by_double_backward(
        self, batch: Batch, users: Tensor, entities: Tensor, relations: Tensor, beta: Tensor
    ) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
        """∇J_inner, and ∂J_outer/∂β by differentiating through the lookahead: nothing but autograd."""
        leaves = [x.detach().requires_grad_() for x in (users, entities, relations, beta)]
        gradients = torch.autograd.grad(self.inner_loss(batch, *leaves), leaves[:3], create_graph=True)
        users_ahead, entities_ahead = (x - self.inner_learning_rate * g for x, g in zip(leaves[:2], gradients))
        outer = self.ranking(batch, users_ahead, entities_ahead).sum()
        (hypergradient,) = torch.autograd.grad(outer, leaves[3])
        return (*(g.detach() for g in gradients), hypergradient)

    def adam_rates(self, learning_rate: float) -> Tuple[Union[float, Tensor], Union[float, Tensor]]:
        """The learning rate and ε with the bias corrections of step number `steps`."""
        beta1, beta2 = BETAS
        correction = (1 - beta2**self.steps) ** 0.5
        return learning_rate * correction / (1 - beta1**self.steps), EPSILON * correction

    def adam(
        self, table: Table, rows: Optional[Tensor], gradient: Tensor, rate: Union[float, Tensor], epsilon: Union[float, Tensor]
    ) -> None:
        """Adam (Kingma and Ba, 2015) of all rows, where `rows` is None or Adam is dense, or of the listed ones."""
        everything = rows is None or self.dense
        if everything and rows is not None:
            gradient = torch.zeros_like(table.parameters).index_copy_(0, rows, gradient)
        state = (table.parameters, table.first, table.second)
        parameters, first, second = state if everything else (x.index_select(0, rows) for x in state)
        decay1, decay2 = BETAS
        first = torch.lerp(first, gradient, 1 - decay1)
        second = torch.addcmul(decay2 * second, gradient, gradient, value=1 - decay2)
        parameters = parameters - rate * first / (second.sqrt() + epsilon)
        if table.bounded:
            norm = root(sqnorm(parameters))
            parameters = (MAX_TANGENT_NORM / norm).clamp_max(1).unsqueeze(1) * parameters
        for target, source in zip(state, (parameters, first, second)):
            if everything:
                target.copy_(source)
            else:
                target.index_copy_(0, rows, source)


# ── What export.ts has written ──


class Export:
    def __init__(self, folder: Path):
        self.folder = folder
        self.meta = json.loads((folder / 'meta.json').read_text())

    def tensor(self, name: str) -> Tensor:
        """Unsigned numbers are read as signed ones: no id is so large, and 'none' becomes −1."""
        described = self.meta['tensors'][name]
        content = bytearray((self.folder / f'{name}.bin').read_bytes())
        dtype = {'uint32': torch.int32, 'float32': torch.float32}[described['type']]
        return torch.frombuffer(content, dtype=dtype).reshape(described['shape']) if content else torch.empty(described['shape'], dtype=dtype)

    def samples(self, case: dict) -> List[Samples]:
        """The exported steps; samples without a negative, which count for nothing, are left out."""
        sides = [self.tensor(f"{case['name']}.samples.{side}").long() for side in ('users', 'positives', 'negatives')]
        steps = zip(*(side.split(case['batchSize']) for side in sides))
        return [tuple(side[negatives >= 0] for side in (users, positives, negatives)) for users, positives, negatives in steps]


# ── Oracle ──

# Every step of ours rounds parameters and moments to float32, by 6e-8 of their size; ten of them all the same way make 6e-7. Where parts of
# a gradient nearly cancel, Adam makes more of it: a relative error of 6.4e-6 in every step (from 1 − 0.999 in float32) came out as 2e-4 at
# the worst element of these cases, a factor 30. So 2e-5 is what rounding may do; found is up to 4e-6. A wrong formula is far above: seven that
# were tried, from the Lorentz factor to ε without its bias correction, each moved some table by 2e-3 or more.
TOLERANCE = 2e-5
# Two derivations of one number in float64.
SAME = 1e-9


def relative(difference: Tensor, reference: Tensor) -> float:
    """The largest difference over the largest reference."""
    return (difference.abs().max() / reference.abs().max()).item()


def oracle(export: Export) -> bool:
    """Whether our trainer's parameters after the exported steps, and three ways of taking those steps here, are the same."""
    data = Data(export, torch.device('cpu'))
    agrees = True

    def report(label: str, error: float, tolerance: float) -> None:
        nonlocal agrees
        fine = error <= tolerance  # NaN is not
        agrees = agrees and fine
        print(f'{label:<48}{error:8.1e}{"" if fine else f"  above {tolerance:.0e}"}')

    for case in export.meta['cases']:
        name = case['name']
        model, double = (Model(export, case, data, torch.float64) for _ in range(2))
        padded = Model(export, case, data, torch.float64, Functional if hasattr(torch, 'func') else Eager)
        losses, by_double, by_padding = [0.0, 0.0], [], []
        for samples in export.samples(case):
            batch, _ = data.batch(*samples)
            users, entities, relations, beta = model.gathered(batch)
            losses[0] += model.ranking(batch, users, entities).sum().item()
            losses[1] += (torch.sigmoid(beta) * batch.count * model.knowledge(batch, entities, relations)).sum().item()
            hypergradient = model.step(batch)
            by_double.append(relative(double.step(batch, double=True) - hypergradient, hypergradient))
            wide = Capacity(batch.users.numel() + 3, batch.entities.numel() + 5, batch.heads.numel() + 7, batch.owner.numel() + 11)
            batch, fits = data.batch(*samples, wide)
            by_padding.append(relative(padded.step(batch)[: hypergradient.numel()] - hypergradient, hypergradient) if fits else math.nan)
        report(f'{name}: ∂J_outer/∂β, through the lookahead', torch.tensor(by_double).max().item(), SAME)
        report(f'{name}: ∂J_outer/∂β, padded batches', torch.tensor(by_padding).max().item(), SAME)
        for key, loss in zip(('rankingLoss', 'knowledgeLoss'), losses):
            mean = loss / export.meta['interactions']
            report(f'{name}: {key}', abs(case['trained'][key] - mean) / mean, TOLERANCE)
        for table in Model.TABLES:
            found, initial = (export.tensor(f'{name}.{when}.{table}') for when in ('trained', 'initial'))
            trained = model.trained(table)
            report(f'{name}: {table}', relative(found - trained, trained - initial), TOLERANCE)
    print('oracle: agrees' if agrees else 'oracle: disagrees')
    return agrees


# ── Time ──


class Sampler:
    """Batches in random order, each positive with a uniform negative."""

    # One that the user has not is taken from so many candidates. All are seen once in 10^6 samples of a user with 3 % of the items.
    CANDIDATES = 4

    def __init__(self, data: Data, batch: int, done: Union[int, Tensor] = 0):
        """`done`: interactions met so far; a tensor where drawing is recorded once and replayed."""
        self.data, self.batch, self.done = data, batch, done
        self.order = torch.randperm(data.interactions, device=data.tails.device)

    def draw(self) -> Samples:
        data = self.data
        place = (torch.arange(self.batch, device=self.order.device) + self.done) % data.interactions
        self.done += self.batch
        interaction = self.order.index_select(0, place)
        users = data.interaction_users.index_select(0, interaction)
        candidates = torch.randint(data.items, (self.batch, self.CANDIDATES), device=self.order.device)
        keys = users.unsqueeze(1) * data.items + candidates
        nearest = torch.searchsorted(data.interaction_keys, keys).clamp_max(data.interactions - 1)
        seen = data.interaction_keys[nearest] == keys
        negatives = candidates.gather(1, seen.int().argmin(1, keepdim=True)).squeeze(1)
        return users, data.train_items.index_select(0, interaction), negatives


def capacity_for(data: Data, batch: int) -> Capacity:
    """A tenth more than any of 64 batches needs."""
    sampler = Sampler(data, batch)
    drawn = [data.batch(*sampler.draw())[0] for _ in range(64)]
    triples, entities = (max(getattr(b, name).numel() for b in drawn) for name in ('owner', 'entities'))
    return Capacity(batch + 1, int(1.1 * entities), batch + 1, int(1.1 * triples))


Step = Callable[[], Samples]

# Of the length of a step, in float32; found on a CPU is up to 1e-6. Adam's first steps are ±the rate whatever a gradient's size, so
# elsewhere a few signs may differ.
SAME_STEP = 1e-3


class Timing:
    """The variants; each returns a function that does one step, from drawing the samples, which it returns, to Adam."""

    def __init__(self, export: Export, case: dict, device: torch.device, double: bool):
        self.export, self.case, self.double = export, case, double
        self.data = Data(export, device)
        self.capacity = capacity_for(self.data, case['batchSize'])
        self.misfits = torch.zeros((), dtype=torch.int64, device=device)
        self.model: Model

    def eager(self) -> Step:
        self.model = model = Model(self.export, self.case, self.data, torch.float32)
        sampler = Sampler(self.data, self.case['batchSize'])

        def step() -> Samples:
            samples = sampler.draw()
            batch, _ = self.data.batch(*samples)
            model.step(batch, self.double)
            return samples

        return step

    def padded(self, derivatives=Eager) -> Step:
        """The same with no shape that depends on the data, and nothing that the host waits for."""
        steps, done = (torch.zeros((), dtype=dtype, device=self.misfits.device) for dtype in (torch.float64, torch.int64))
        self.model = model = Model(self.export, self.case, self.data, torch.float32, derivatives, steps)
        sampler = Sampler(self.data, self.case['batchSize'], done)

        def step() -> Samples:
            samples = sampler.draw()
            batch, fits = self.data.batch(*samples, self.capacity)
            self.misfits += ~fits
            model.step(batch, self.double and derivatives is Eager)
            return samples

        return step

    def compiled(self) -> Step:
        if not hasattr(torch, 'compile'):
            raise RuntimeError('torch.compile needs torch 2')
        return torch.compile(self.padded(Functional), dynamic=False)

    def graph(self) -> Step:
        return captured(self.padded())

    def compiled_graph(self) -> Step:
        return captured(self.compiled())

    def check(self, step: Step) -> float:
        """Does one more step, and the same step again in the plain way; returns how far the worst table is from it, against its movement."""
        reference = copy.deepcopy(self.model)
        reference.derivatives = Eager
        before = {name: reference.trained(name).clone() for name in Model.TABLES}
        batch, _ = self.data.batch(*step())
        reference.step(batch)
        if self.misfits.item() > 0:
            raise RuntimeError(f'{self.misfits.item()} batches do not fit in {self.capacity}')
        differences = []
        for name in Model.TABLES:
            expected = reference.trained(name)
            differences.append((self.model.trained(name) - expected).norm() / (expected - before[name]).norm())
        worst = torch.stack(differences).max().item()
        if not worst <= SAME_STEP:
            raise RuntimeError(f'a step differs from the plain one by {worst:.1e} of its length')
        return worst


def captured(step: Step) -> Step:
    """The step as a CUDA graph."""
    if not torch.cuda.is_available():
        raise RuntimeError('CUDA graphs need CUDA')
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        samples = step()

    def replay() -> Samples:
        graph.replay()
        return samples

    return replay


def milliseconds(step: Step, device: torch.device, warm_up: int, steps: int) -> List[float]:
    """How long each step took. On a GPU: from the end of the step before to its end, so that waiting for the host counts."""
    for _ in range(warm_up):
        step()
    if device.type != 'cuda':
        ends = [time.perf_counter()]
        for _ in range(steps):
            step()
            ends.append(time.perf_counter())
        return [1000 * (end - begin) for begin, end in zip(ends, ends[1:])]
    events = [torch.cuda.Event(enable_timing=True) for _ in range(steps + 1)]
    torch.cuda.synchronize()
    events[0].record()
    for event in events[1:]:
        step()
        event.record()
    torch.cuda.synchronize()
    return [begin.elapsed_time(end) for begin, end in zip(events, events[1:])]


def device_name(device: torch.device) -> str:
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        lines = []
    return next((line.split(':')[1].strip() for line in lines if line.startswith('model name')), platform.machine())


def shuffle_seconds(data: Data) -> float:
    """One shuffle of all interactions, the quickest of three."""

    def once() -> float:
        started = time.perf_counter()
        torch.randperm(data.interactions, device=data.tails.device)[0].item()
        return time.perf_counter() - started

    return min(once() for _ in range(3))


def measure(export: Export, arguments: argparse.Namespace) -> dict:
    device = torch.device(arguments.device)
    case = dict(export.meta['cases'][0])
    case['adam'] = arguments.adam or case['adam']
    torch.manual_seed(1)
    timing = Timing(export, case, device, arguments.hypergradient == 'double')
    interactions = export.meta['interactions']
    steps_per_epoch, shuffle = math.ceil(interactions / case['batchSize']), shuffle_seconds(timing.data)
    print(f'torch {torch.__version__}; {device_name(device)}, {torch.get_num_threads()} threads; Adam {case["adam"]}')
    print(f'{export.meta["label"]}: {interactions} interactions, {export.meta["triples"]} triples, batches of {case["batchSize"]}')
    variants = {}
    for name in arguments.variants.split(','):
        try:
            step = getattr(timing, name.replace('-', '_'))()
            taken = milliseconds(step, device, arguments.warm_up, arguments.steps)
            difference = timing.check(step)
        except Exception as error:  # the other variants are still worth having
            message = ' '.join([line.strip() for line in str(error).splitlines() if line.strip()][:2])
            variants[name] = {'error': f'{type(error).__name__}: {message}'}
            print(f'{name:<16}{variants[name]["error"]}')
            continue
        median = statistics.median(taken)
        epoch = steps_per_epoch * median / 1000 + shuffle
        variants[name] = {
            'millisecondsPerStep': {'median': median, 'smallest': min(taken), 'largest': max(taken), 'runs': len(taken)},
            'secondsPerEpoch': epoch,
            'difference': difference,
        }
        print(f'{name:<16}{median:.3f} ms a step ({min(taken):.3f} – {max(taken):.3f}, {len(taken)} steps), {epoch:.3f} s an epoch')
    return {
        'torch': torch.__version__,
        'cuda': torch.version.cuda,
        'python': platform.python_version(),
        'device': device_name(device),
        'threads': torch.get_num_threads(),
        'data': {key: value for key, value in export.meta.items() if key not in ('cases', 'tensors')},
        'case': case,
        'hypergradient': arguments.hypergradient,
        'capacity': timing.capacity._asdict(),
        'stepsPerEpoch': steps_per_epoch,
        'shuffleSeconds': shuffle,
        'variants': variants,
    }


def serve(export: Export, arguments: argparse.Namespace) -> None:
    device = torch.device(arguments.device)
    case = dict(export.meta['cases'][0])
    case['adam'] = arguments.adam or case['adam']
    torch.manual_seed(1)
    timing = Timing(export, case, device, arguments.hypergradient == 'double')
    step = getattr(timing, arguments.variants.split(',')[0].replace('-', '_'))()
    milliseconds(step, device, 0, arguments.warm_up)
    print(json.dumps({'version': f'torch {torch.__version__}', 'threads': torch.get_num_threads()}), flush=True)
    for line in sys.stdin:
        print(sum(milliseconds(step, device, 0, int(line))) / 1000, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument('--mode', choices=['oracle', 'time', 'serve'], required=True)
    parser.add_argument('--export', type=Path, required=True, help='folder that export.ts has written')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--variants', default='eager,padded,compiled,graph,compiled-graph')
    parser.add_argument('--adam', choices=['touched', 'dense'])
    parser.add_argument('--hypergradient', choices=['double', 'forward'], default='double')
    parser.add_argument('--steps', type=int, default=200)
    parser.add_argument('--warm-up', type=int, default=20)
    parser.add_argument('--threads', type=int)
    parser.add_argument('--json', type=Path)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    export = Export(arguments.export)
    if arguments.mode == 'oracle':
        if any('trained' not in case for case in export.meta['cases']):
            parser.error('--mode oracle needs a --small export')
        return 0 if oracle(export) else 1
    if arguments.mode == 'serve':
        serve(export, arguments)
        return 0
    result = measure(export, arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
