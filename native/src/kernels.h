#pragma once
// THE CONTRACT: one argument struct per kernel, its equation, shapes and preconditions. No code.
//
// All pointers are memory of the backend that runs the kernel. Matrices are row-major [rows, dim]. Ids, rows and offsets are
// uint32; kNone marks "no row". Counts that only the device knows (how many distinct users a batch has) are read through
// pointers, so that no host synchronisation is needed; `capacity` bounds them and sizes launches.
// Every kernel is deterministic: the same input gives the same bits, for any number of threads. Sums over rows, triples and
// samples run in a fixed order, in float64 where a struct does not say otherwise; no floating-point atomics.
//
// Names: `curvature` is c ≥ 0 (0 = Euclidean limit, ball.h); distances of training are *scale · d_c, where scale = 1/√c of the
// public model and the points live in the unit ball. A gap is 1 − c‖x‖² in float64.
#include <cstdint>

#include "host_device.h"

namespace hk {

constexpr uint32_t kNone = 0xffffffffu;

// ───────────────────────────── graph structures, built once on the host (csr.h) ─────────────────────────────

// item → its triples.
struct GraphView {
  const uint32_t* offsets;    // [items + 1]
  const uint32_t* relations;  // [triples]
  const uint32_t* tails;      // [triples]
};

// The transposed view: for every row (an entity as tail, or a relation) the places in the graph that contribute to its gradient.
// Long rows are cut into chunks of `chunk` incidences whose partial sums are added in a fixed order: a hub does not serialise.
struct Incidence {
  const uint32_t* offsets;        // [rows + 1]
  const uint32_t* items;          // [n] the item whose neighbourhood it is
  const uint32_t* positions;      // [n] which triple (or which relation group) of that item, counted from its first
  const uint32_t* relations;      // [n] the triple's relation; null where the rows are relations
  const uint32_t* chunk_offsets;  // [rows + 1] first chunk of each row; no chunks where the row is short
  const uint32_t* chunk_rows;     // [chunks] row of each chunk
  const uint32_t* long_rows;      // [longs] the rows that have chunks
  uint32_t rows, chunks, longs, chunk;
};
constexpr uint32_t kMostChunk = 512;

// The triples of each item whose tail is an item, too.
struct ItemTails {
  const uint32_t* offsets;    // [items + 1]
  const uint32_t* positions;  // [n] which triple of the item, counted from its first
};

// Where training stands. It lives on the backend and every step moves it on, so that the kernels of one step have the same arguments as
// those of the next: a recorded step can be replayed.
struct StepState {
  uint32_t epoch;
  uint32_t first;               // of the epoch's interactions in this batch
  uint32_t steps;               // Adam steps done
  double learning_rate_factor;  // in this epoch
};

// ───────────────────────────── batch: samples and lists ─────────────────────────────

// Samples of one batch: sample i is interaction shuffle(epoch)(first + ahead·count + i) with a negative drawn uniformly from the items its user
// has no training interaction with. A user without any such item gives (kNone, kNone, kNone), and so does a place past the last interaction.
struct Sample {
  const uint32_t* interaction_users;  // [interactions] user of each training interaction
  const uint32_t* train_offsets;      // [users + 1]
  const uint32_t* train_items;        // [interactions] ascending within a user
  uint32_t interactions, items;
  uint64_t seed;
  const StepState* state;  // [1] epoch and first
  uint32_t ahead;          // batches after the one that `state` stands at: interactions from first + ahead·count on
  uint32_t count;
  uint32_t* users;      // [count] out
  uint32_t* positives;  // [count] out
  uint32_t* negatives;  // [count] out
  uint32_t* item_keys;  // [2·count] out: positive, negative, positive, … (the keys that group_rows takes); may be null
};

// The negatives that all samples of a batch share: n_1 … n_S, distinct and uniform, are the first of a permutation of all items keyed by
// (seed, epoch, first interaction of the batch). A sample leaves out those that its user has in training, its positive with them.
struct SharedNegatives {
  const uint32_t* train_offsets;  // [users + 1]
  const uint32_t* train_items;    // [interactions] ascending within a user
  const uint32_t* users;          // [count] of the samples (Sample), or kNone: every negative is left out
  const uint32_t* positives;      // [count]
  uint32_t items;
  uint64_t seed;
  const StepState* state;  // [1] epoch and first
  uint32_t ahead;          // as for Sample
  uint32_t count;
  uint32_t negatives;   // S, from 1 to items
  uint32_t pitch;       // S rounded up to a multiple of 32
  uint32_t* item_keys;  // [count + S] out: the positives, then the negatives (the keys that group_rows takes)
  uint32_t* left_out;   // [count, pitch / 32] out: bit j % 32 of word j / 32 says that negative j is left out; set for j ≥ S
};

// Groups keys by value: unique = the distinct keys (and every marked row) ascending, order = the key indices sorted stably by
// key, offsets into it, slot[row] = its place in unique or kNone.
struct RowGroups {
  const uint32_t* keys;  // [key_count] values below rows, or kNone (left out); null with key_count 0
  uint32_t key_count;
  uint32_t rows;
  uint8_t* marks;          // [rows] rows to include even without a key (nonzero), cleared on return; may be null
  uint32_t* unique;        // [capacity] out
  uint32_t* unique_count;  // [1] in: of the previous call (its slots are reset), out: of this one
  uint32_t* offsets;       // [capacity + 1] out
  uint32_t* order;         // [key_count] out
  uint32_t* slot;          // [rows] in: kNone except where the previous call set it; out
  uint32_t capacity;       // of unique: min(rows, keys + marked rows)
  uint32_t* workspace;     // [rows + 1024] scratch, contents undefined
};
// Several such lists, which have nothing to do with each other, at once.
struct GroupRows {
  static constexpr uint32_t kMost = 3;
  RowGroups lists[kMost];
  uint32_t count;
};

// Up to 32 triples of a head: a piece of work for a backend that works on them side by side.
struct TripleWindow {
  uint32_t head, place;         // item, and its place among the heads
  uint32_t first, degree;       // triples of the head: before the window, in all
  uint16_t count, carried;      // triples in the window (0: an unused number); the first of these whose relation group starts before it
  uint32_t graph_begin, begin;  // where the head's triples start in the graph, and among the batch's
  uint32_t group;               // relation groups among the batch's that start before the window
};
// The windows of the head at place i have the numbers from windows_before(triple_offsets[i], i) on, which are enough for any degree.
constexpr uint32_t kWindow = 32;
HK_HOST_DEVICE constexpr uint32_t windows_before(uint32_t triple_offset, uint32_t place) { return triple_offset / kWindow + place; }
constexpr uint64_t most_windows(uint64_t heads, uint64_t triples) { return triples / kWindow + heads + 1; }

// The triples of a batch in the order of their tails, those of one tail in the order of the heads: for a backend that leaves what entities are
// owed in the order in which it is collected. Such a backend is given it by every caller (Backend::wants_tail_order), any other by none: all null.
struct TailEntry {
  uint32_t slot;  // the head, by its place among the heads
  uint32_t relation;
};
struct TailOrder {
  uint32_t* offsets;   // [entities + 1] the triples of each tail
  uint32_t* places;    // [triples] where each of the heads' triples, in the order of the heads, stands
  TailEntry* entries;  // [triples] by place
};

// For the distinct positive items (heads) of a batch: where their triples and relation groups start among those of the batch. Marks
// heads' tails.
struct HeadLists {
  GraphView graph;
  const uint32_t* group_counts;  // [items] relation groups (runs of one relation) of each item
  const uint32_t* heads;         // [capacity] ascending
  const uint32_t* head_count;    // [1]
  uint32_t capacity;
  uint32_t* triple_offsets;  // [capacity + 1] out
  uint32_t* group_offsets;   // [capacity + 1] out
  uint8_t* marks;            // [entities] out: 1 for each tail; may be null
  TripleWindow* windows;     // [windows_before(triple_offsets[heads], heads)] out; may be null
  uint32_t entities = 0;
  TailOrder order{};         // out
};

// weight of head v: σ(β_v)·count_v, or fixed_weight·count_v.
struct HeadWeights {
  const uint32_t* heads;               // [capacity]
  const uint32_t* head_count;          // [1]
  const uint32_t* occurrence_offsets;  // [head_count + 1] occurrences of each head among the positives; null: 1 each
  uint32_t capacity;
  const float* beta;  // [items], or null: every weight is fixed_weight
  double fixed_weight;
  double* weight;  // [capacity] out
};

// ───────────────────────────── geometry ─────────────────────────────

// gap[i] = 1 − c‖x_i‖², summed in float64.
struct RowGaps {
  const float* points;  // [rows, dim]
  double* gap;          // [rows] out
  uint32_t rows, dim;
  double curvature;
};

// distance[i] = d_c(x_i, y_i), Eq. 1; NaN where x_i or y_i is not a point of the ball.
struct PoincareDistance {
  const float* x;   // [pairs, dim]
  const float* y;   // [pairs, dim]
  float* distance;  // [pairs] out
  uint32_t pairs, dim;
  double curvature;
};

// Gradients of Σ_i upstream_i·d_c(x_i, y_i); 0 at coincident points.
struct PoincareDistanceGradient {
  const float* x;         // [pairs, dim]
  const float* y;         // [pairs, dim]
  const float* upstream;  // [pairs]
  float* grad_x;          // [pairs, dim] out
  float* grad_y;          // [pairs, dim] out
  uint32_t pairs, dim;
  double curvature;
};

// ───────────────────────────── neighbourhoods, Eq. 4–7 ─────────────────────────────

// The gradient of a tail t with respect to one triple of head v with relation r is
// on_midpoint·g_M(v) + on_head·v + on_relation·r + on_tail·t, for upstream 1 on L_K(v).
struct TripleGradient {
  double on_midpoint, on_head, on_relation, on_tail;
};
struct SingleTripleGradient {  // of a head that is tame (NeighborhoodTape)
  float on_midpoint, on_head, on_relation, on_tail;
};

// What the forward pass of a head leaves for the backward passes, all for upstream 1 on L_K(v).
struct NeighborhoodTape {
  double* head_gradient;      // [heads, dim] ∂L_K(v)/∂v; with a self-loop it nearly cancels against the tail's, so float64
  double* midpoint_gradient;  // [heads, dim] g_M = ∂L_K(v)/∂M, M = Σ a_t·2t/A_t
  TripleGradient* triples;    // [triples of the heads], in their order or in TailOrder
  float* relation_gradient;   // [groups of the heads, dim] ∂L_K(v)/∂r of the group's relation; unused with RelationSums
  double* scale_gradient;     // [heads] ∂L_K(v)/∂scale
  // [heads] out: 1 says that sums over the head's triples were taken in float32, and that sums over its part in a gradient may be, because nothing of
  // it is near the boundary or cancels. Null: all sums are to be in float64. A backend may leave it alone.
  uint8_t* tame = nullptr;
  SingleTripleGradient* singles = nullptr;  // [triples of the heads] with `tame`: where those of tame heads are left, in the place of `triples`
};

// What a backend leaves in the place of the tape's relation_gradient where Backend::relation_sums is not 0: sums over that many ranges of heads.
// Weights have then to be there before the neighbourhoods.
struct RelationSums {
  double* rows;          // [count, relations, dim] Σ weight_v·∂L_K(v)/∂r over the range's heads; null: the tape has a row per group
  uint32_t count, relations;
  const double* weight;  // [heads]
};

// For each head v: attention a_t = exp(−scale/temperature·(d(v ⊕ r, t) − the smallest of these)) (or 1; ball.h), Einstein midpoint n_v,
// L_K = scale·d(v, n_v), and with a tape the gradients. All arithmetic in float64, but for heads that are tame: v ⊕ r rounded to float32 would
// lose the attention near the boundary.
// An item without triples: midpoint = the item, distance 0, zero gradients. One tail: n_v = t exactly.
struct Neighborhood {
  const float* entities;          // [entities, dim]
  const double* entity_gap;       // [entities]
  const float* relations;         // [relations, dim]; unused without attention
  const double* relation_gap;     // [relations]
  GraphView graph;
  const uint32_t* heads;          // [capacity] item ids, any order, repeats allowed
  const uint32_t* head_count;     // [1]
  uint32_t capacity;
  const uint32_t* triple_offsets;  // [head_count + 1]
  const uint32_t* group_offsets;   // [head_count + 1]; unused without a tape, and with sums
  uint32_t dim;
  double curvature;
  const double* scale;  // [1]
  bool attention;       // false: a_t = 1 and relations play no part
  float* midpoint;      // [heads, dim] out, or null
  float* weights;       // [triples] out: normalised a_t γ_t, or null
  double* distance;     // [heads] out: L_K
  NeighborhoodTape tape;  // all null: no gradients
  const TripleWindow* windows;  // of HeadLists; null: the kernel makes them
  uint64_t triples;             // at least as many as the heads have
  void* scratch;          // what Backend::neighborhood_scratch asks for
  double temperature = 1;  // of the attention
  RelationSums sums{};
  TailOrder order{};  // of HeadLists; unused without a tape
};

// Adds weight_v·∂L_K(v) of all heads to the rows of the entities they touch, and the ranking part of items:
// gradient[i] = item_gradient[item_slot[e]] + weight·head_gradient + Σ over e's incidences in the batch, e = rows[i].
struct EntityGradient {
  const float* entities;   // [entities, dim]
  const float* relations;  // [relations, dim]; null without attention
  Incidence in_edges;           // rows = entities; unused with the tails' order, and so are row_slot, triple_offsets and partial
  const uint32_t* heads;        // [head_count] read with the tails' order
  const uint32_t* head_count;   // [1]
  const uint32_t* head_slot;    // [items]
  const uint32_t* triple_offsets;  // [heads + 1]
  const double* weight;         // [heads]
  NeighborhoodTape tape;
  const uint32_t* item_slot;    // [items], or null: no ranking part
  const float* item_gradient;   // [item slots, dim]
  const uint32_t* rows;         // [capacity] touched entities, ascending
  const uint32_t* row_count;    // [1]
  const uint32_t* row_slot;     // [entities] place in rows, or kNone
  uint32_t capacity, items, entity_count, dim;
  double* partial;  // [chunks, dim] scratch
  float* gradient;  // [capacity, dim] out
  TailOrder order{};  // of HeadLists
};

// gradient[r] = Σ weight_v·∂L_K(v)/∂r over the batch's groups of relation r: the total of the sums, or gathered from the groups' rows.
struct RelationGradient {
  Incidence groups;            // rows = relations; unused with sums, and so is what follows up to `dim`
  const uint32_t* head_slot;   // [items]
  const uint32_t* group_offsets;  // [heads + 1]
  const double* weight;        // [heads]
  const float* relation_gradient;  // [groups, dim], of the tape
  uint32_t dim;
  double* partial;  // [chunks, dim] scratch
  float* gradient;  // [relations, dim] out
  RelationSums sums{};
};

// ───────────────────────────── ranking, Eq. 3 ─────────────────────────────

// A table of points in one of two precisions: exactly one of f, d is set. Kernels name its points by id; `slot` translates ids to
// rows where the table is compact (the lookahead holds the rows of a batch only): row = slot ? slot[id] : id.
struct PointTable {
  const float* f;        // [rows, dim]
  const double* d;       // [rows, dim]
  const double* gap;     // [rows]
  const uint32_t* slot;  // [ids], or null
};

// For upstream on the loss: ∂L_R/∂u of a sample = pos_slope·[(u−p) + (pos_pull/A_u)·u] + neg_slope·[(u−n) + (neg_pull/A_u)·u], where
// neg_slope is negative; likewise for p and n with their own gaps. slope = ±σ(z)·scale·k, pull = c‖·‖² (poincare_slope).
struct RankingTape {
  double pos_slope, pos_pull, neg_slope, neg_pull;
};

// L_R of each sample: softplus(z), z = scale·(d(u, p) − d(u, n)). Samples with kNone: loss 0, zero tape.
struct RankingLoss {
  PointTable users, items;    // of the same precision; float64 rows are computed in float64 throughout
  const uint32_t* user_rows;  // [count] ids, translated by the table's slot
  const uint32_t* positive_rows;
  const uint32_t* negative_rows;
  uint32_t count, dim;
  double curvature;
  const double* scale;  // [1]
  float* loss;          // [count] out, or null
  RankingTape* tape;    // [count] out
  double* scale_gradient;  // [count] out: ∂L_R/∂scale, or null
};

// The ranking gradient of one side, gathered per row. Occurrences of row i: order[offsets[i] .. offsets[i+1]).
// Users: an occurrence is a sample. Items: sample·2 + (0 positive, 1 negative).
struct RankingGradient {
  PointTable users, items;
  const uint32_t* user_rows;
  const uint32_t* positive_rows;
  const uint32_t* negative_rows;
  const RankingTape* tape;
  bool of_users;
  const uint32_t* rows;       // [capacity] ids of the side, translated by its table's slot
  const uint32_t* row_count;  // [1]
  const uint32_t* offsets;    // [row_count + 1]
  const uint32_t* order;
  uint32_t capacity, dim;
  float* gradient;    // [capacity, dim] out, for float32 tables
  double* gradient64;  // [capacity, dim] out, for float64 tables
};

// ───────────────────────────── ranking against shared negatives ─────────────────────────────
//
// Sampled softmax (Jean et al., ACL 2015): the negative logarithm of the probability that, among the positive and S uniform negatives, the
// positive is the one drawn with probabilities ∝ exp(−scale·d(u, ·)). With S = 1 it is Eq. 3; it weighs each negative by how near it is, so
// that those which would outrank the positive are what is learned from.

// The part of the gradient that belongs to a sample: ∂L/∂u = pos_slope·[(u−p) + (pos_pull/A_u)·u] + (slope_sum + pull_sum/A_u)·u − Σ_j slope_ij·n_j.
struct SoftmaxTape {
  double pos_slope, pos_pull;  // as in RankingTape: Σ_j w_ij·scale·k(u, p), c‖u−p‖²
  // Σ_j slope_ij, Σ_j slope_ij·c‖u−n_j‖². The second all but cancels against pos_slope·pos_pull near the boundary, where every gradient of a distance
  // points outwards: it is −2√c·scale·(Σ_j w_ij − Σ_j w_ij·pull_deficit), and not summed from the slopes.
  double slope_sum, pull_sum;
};

// L of each sample: ln(1 + Σ_j exp(z_ij)), z_ij = scale·(d(u_i, p_i) − d(u_i, n_j)), over the negatives that are not left out. With the weights
// w_ij = exp(z_ij)/(1 + Σ_j exp(z_ij)), slope_ij = −w_ij·scale·k(u_i, n_j) (poincare_slope), 0 where n_j is left out. Samples with kNone: 0.
// Differences of points and their squares are taken in the precision of the tables, the rest of a pair in float32 (relative error of a distance
// some 3e-7), sums over pairs in float64.
struct SoftmaxLoss {
  PointTable users, items;       // of the same precision
  const uint32_t* user_rows;     // [count] ids, translated by the table's slot
  const uint32_t* positive_rows;  // [count]
  const uint32_t* negative_rows;  // [negatives]
  const uint32_t* left_out;       // [count, pitch / 32]
  uint32_t count, negatives, pitch, dim;
  double curvature;
  const double* scale;     // [1]
  float* sqdist;           // [count, pitch] out: ‖u_i − n_j‖², the origin in the place of what there is not
  float* slope;            // [count, pitch] out: slope_ij; 0 for j ≥ negatives
  float* loss;             // [count] out, or null
  SoftmaxTape* tape;       // [count] out
  double* scale_gradient;  // [count] out: ∂L/∂scale = Σ_j w_ij·(d(u, p) − d(u, n_j)), or null
};

// The gradient of one side, gathered per row. Occurrences of row i: order[offsets[i] .. offsets[i+1]).
// Users: an occurrence is a sample. Items: the positive of sample k (k < count), or negative k − count, at most one a row and the last of it, whose
// gradient Σ_i slope_ij·[(n−u_i) + (c‖u_i−n‖²/A_n)·n] is summed over chunks of kSampleChunk samples first.
struct SoftmaxGradient {
  PointTable users, items;
  const uint32_t* user_rows;
  const uint32_t* positive_rows;
  const uint32_t* negative_rows;
  const float* sqdist;
  const float* slope;
  const SoftmaxTape* tape;
  uint32_t count, negatives, pitch;
  bool of_users;
  const uint32_t* rows;       // [capacity] ids of the side, translated by its table's slot
  const uint32_t* row_count;  // [1]
  const uint32_t* offsets;    // [row_count + 1]
  const uint32_t* order;
  uint32_t capacity, dim;
  double curvature;
  double* partial;  // [⌈count / kSampleChunk⌉, negatives, dim + 2] scratch: Σ slope·u, Σ slope, Σ slope·c‖u−n‖² of a chunk; unused for users
  float* gradient;    // [capacity, dim] out, for float32 tables
  double* gradient64;  // [capacity, dim] out, for float64 tables
};
constexpr uint32_t kSampleChunk = 128;

// ───────────────────────────── bilevel, Eq. 10–12 ─────────────────────────────

// The lookahead rows Θ̃ = Θ − α·∇J_inner of the listed rows, in float64, as parameters and as points. Tangent parameters:
// ∇ is taken in w (x = exp_0(w)) and Θ̃ is mapped; otherwise parameters are points. `project`: keep √c‖x̃‖ ≤ kMaxNorm.
struct Lookahead {
  const float* parameters;        // [table rows, dim]
  const uint32_t* rows;           // [capacity] rows of the table
  const uint32_t* row_count;      // [1]
  const uint32_t* gradient_slot;  // [table rows] row of `gradient`, or kNone: gradient 0
  const float* gradient;          // [*, dim] ∂J_inner/∂point
  double learning_rate;           // α
  uint32_t capacity, dim;
  double curvature;
  bool tangent, project;
  double* lookahead_parameters;  // [capacity, dim] out; may be `points`, where they are not wanted
  double* points;                // [capacity, dim] out
  double* gap;                   // [capacity] out; ≤ 0 where Θ̃ left the ball (only without project)
};

// Turns ∂J_outer/∂x̃ of the lookahead points into what ∂L_K/∂x (taken at Θ) is multiplied with: J(w)·J(w̃)·g for tangent
// parameters (J symmetric). Only called for those.
struct LookaheadGradient {
  const float* parameters;
  const uint32_t* rows;
  const uint32_t* row_count;
  uint32_t capacity, dim;
  double curvature;
  const double* lookahead_parameters;  // [capacity, dim]
  double* gradient;                    // [capacity, dim] in and out
};

// ∂J_outer(Θ̃(β))/∂β_v = −α·σ′(β_v)·count_v·⟨∇J_outer(Θ̃), ∇L_K(v)⟩ over row v and the neighbours that are items of the outer batch.
struct Hypergradient {
  const float* entities;   // [entities, dim]
  const float* relations;  // [relations, dim]; null without attention
  GraphView graph;
  ItemTails item_tails;  // unused where the backend wants windows
  const uint32_t* heads;
  const uint32_t* head_count;          // [1]
  const uint32_t* occurrence_offsets;  // [head_count + 1] count_v
  const uint32_t* triple_offsets;      // [head_count + 1]
  NeighborhoodTape tape;
  const float* beta;             // [items]
  double learning_rate;          // α
  const uint32_t* outer_slot;    // [items] row of outer_gradient, or kNone
  const double* outer_gradient;  // [outer items, dim]
  uint32_t capacity, dim;
  const TripleWindow* windows;  // of HeadLists; unused where the backend wants none
  double* partial;              // [windows] scratch
  float* gradient;              // [capacity] out, per head
  TailOrder order{};            // of HeadLists
};

// ───────────────────────────── optimiser ─────────────────────────────

// One table under Adam (Kingma and Ba, 2015).
struct AdamTable {
  float* parameters;  // [rows, dim]
  float* first;       // [rows, dim] first moments
  float* second;      // [rows, dim] second moments
  uint32_t* step;     // [rows] last step applied, for the exact replay; null: untouched rows stand still
  float* points;      // [rows, dim]: tangent: exp_0(parameters); ball: the same memory as parameters; null: plain parameters (β)
  double* gap;        // [rows]
  uint32_t rows, dim;
};
struct AdamOptions {
  double learning_rate, beta1, beta2, epsilon;
  double curvature;
  bool tangent;
};

// Adam step number state->steps + 1 of the listed rows, the learning rate times the state's factor: g is mapped to the parameters, 2·regularization·parameters is added to the rows
// of the batch's users and items once per occurrence, the parameters are kept within kMaxNorm, points and gaps are made anew.
struct Adam {
  AdamTable table;
  AdamOptions options;
  const uint32_t* rows;           // [capacity], or null: all rows of the table
  const uint32_t* row_count;      // [1]; unused where rows is null
  const float* gradient;          // [*, dim] ∂/∂point
  const uint32_t* gradient_slot;  // [table rows] row of gradient or kNone; null: gradient row = place in the list
  const uint32_t* regularized_slot;  // [table rows] place in the list of the batch's rows, kNone: not regularised; null: none is
  const uint32_t* regularized_offsets;  // [places + 1] occurrences of each, as in RowGroups
  double regularization;
  const uint32_t* skip_slot;  // [table rows] rows that have a place there (not kNone) are left alone; null: none is
  const StepState* state;  // [1]
  uint32_t capacity;
};

// A moving average of a table's parameters. After Adam in step number t, where t is a multiple of `every` and n = t/every,
//   average += (1 − decay)/(1 − decayⁿ)·(parameters − average),
// which is Σ_i decay^(n−i)·θ_i / Σ_i decay^(n−i) over the parameters θ_i of the n steps so far that are such multiples: an exponential
// average without the pull of its start, as Adam corrects its moments. The first is θ_1, and up to it average = parameters.
struct MovingAverage {
  float* average;  // [table rows, dim] in and out
  double decay;    // in [0, 1)
  uint32_t every;  // ≥ 1
};

// Brings rows up to date to state->steps: applies the zero-gradient steps they missed, one by one with the same operations as Adam, and
// after each of them its average with those of Average, so that touched-row training equals dense training bit for bit.
struct AdamReplay {
  AdamTable table;
  AdamOptions options;
  MovingAverage moving;  // its average null: none is kept
  const uint32_t* rows;  // [capacity], or null: all rows
  const uint32_t* row_count;
  const StepState* state;  // [1]
  uint32_t capacity;
};

// The moving average of the listed rows after step number state->steps + 1.
struct Average {
  const float* parameters;  // [table_rows, dim]
  MovingAverage moving;
  uint32_t table_rows, dim;
  const uint32_t* rows;       // [capacity], or null: all rows of the table
  const uint32_t* row_count;  // [1]; unused where rows is null
  const StepState* state;     // [1]
  uint32_t capacity;
};

// points = exp_0(parameters) (tangent) or the parameters projected into the ball, and gaps, for all rows: after initialisation
// and restore.
struct MapParameters {
  AdamTable table;
  double curvature;
  bool tangent;
};

// Ends a step: adds this batch's Σ L_R and Σ weight·L_K to totals[0], totals[1], in order; with scale_state also moves ln(scale) by one
// Adam step on Σ scale_gradient + Σ weight·head_scale_gradient; then writes the state of the next batch.
struct BatchTotals {
  const float* loss;  // [count]
  uint32_t count;
  const double* weight;         // [head_count]; null without knowledge
  const double* head_distance;  // [head_count]
  const uint32_t* head_count;
  double* totals;  // [2] in and out
  const double* scale_gradient;       // [count]; null: the curvature is fixed
  const double* head_scale_gradient;  // [head_count]
  double* scale_state;                // [3] ln(scale) and its moments, in and out
  double* scale;                      // [1] out
  double learning_rate;
  const StepState* state;  // [1]
  StepState* next;         // [1] out: steps + 1, first + count; may be the same memory
};

// ───────────────────────────── serving ─────────────────────────────

// The k nearest items of each user by Poincaré distance, exactly: nearest first, ties (in float64) by smaller id, excluded items
// left out, padded with kNone and infinity.
class PreparedItems;  // backend.h
struct TopK {
  const float* users;  // [user_count, dim]
  const float* items;  // [item_count, dim]
  uint32_t user_count, item_count, dim, k;
  double curvature, scale;
  const uint32_t* exclude_offsets;  // [user_count + 1], or null
  const uint32_t* exclude_items;    // ascending within a user
  uint32_t* out_items;   // [user_count, k]
  float* out_distances;  // [user_count, k] scale·d
  const PreparedItems* prepared = nullptr;  // of these items, dim and curvature; null: prepared in the call. Changes no bit of the result
};

}  // namespace hk
