#pragma once
// One training step of Algorithm 1, written once against Backend: the gradient of J_inner, the lookahead, the gradient of J_outer
// and the hypergradient. What is done with them (Adam, or a caller's array) is the business of whoever runs the step.
#include "backend.h"
#include "buffer.h"
#include "csr.h"

namespace hk {

// Length of a row with a number or a bit for each shared negative.
constexpr uint32_t pitch_of(uint32_t negatives) { return (negatives + 31) / 32 * 32; }

struct StepShape {
  uint32_t users, items, entities, relations, dim;
  uint32_t batch;          // most samples of a batch
  uint32_t negatives = 0;  // that a batch shares (sampled softmax in the place of Eq. 3); 0: each sample has its own (Eq. 3)

  uint32_t item_keys() const { return batch + (negatives ? negatives : batch); }
  uint32_t pitch() const { return pitch_of(negatives); }
};

struct StepOptions {
  double curvature;         // of the coordinates: 1 in training, 0 Euclidean
  bool tangent;             // parameters are tangent vectors at the origin
  bool project;             // keep the lookahead inside the ball
  bool knowledge;           // L_K is part of J_inner
  bool attention;           // Eq. 4, else every neighbour counts alike
  double knowledge_weight;  // σ(β_v) where beta is null
  double inner_learning_rate;  // α
  double temperature = 1;      // of the attention
  bool float32_sums = false;   // where nothing of a head is near the boundary, sums over its triples may be taken in float32
};

// The parameters a step reads. `points` and `gap` of each table; `parameters` for the lookahead.
struct StepTables {
  AdamTable users, entities, relations;
  const float* beta;    // [items], or null: fixed weight
  const double* scale;  // [1] factor on all distances
};

// The samples of a batch on the backend.
struct Batch {
  Batch(Backend& backend, const StepShape& shape)
      : users(backend, shape.batch),
        positives(backend, shape.batch),
        negatives(backend, shape.batch),
        item_keys(backend, shape.item_keys()),
        left_out(backend, shape.batch * size_t{shape.pitch()} / 32),
        shared(shape.negatives) {}
  // host_negatives: one per sample, or the shared ones; host_left_out: what goes with those.
  void upload(const uint32_t* host_users, const uint32_t* host_positives, const uint32_t* host_negatives, uint32_t samples,
              const uint32_t* host_left_out = nullptr);

  // Every item that the samples hold, as often as they do: positive, negative, positive, …; or the positives, then the shared negatives.
  uint32_t key_count() const { return count + (shared ? shared : count); }
  const uint32_t* shared_negatives() const { return item_keys.data() + count; }

  Buffer<uint32_t> users, positives, negatives, item_keys;
  Buffer<uint32_t> left_out;  // of the shared negatives (kernels.h, SharedNegatives)
  uint32_t shared;            // negatives, or 0
  uint32_t count = 0;
};

// Distinct rows of a batch and who uses them (kernels.h, RowGroups).
class RowList {
 public:
  RowList(Backend& backend, uint32_t rows, uint32_t capacity, uint32_t keys);
  RowGroups groups(const uint32_t* keys, uint32_t key_count, uint8_t* marks = nullptr);
  void group(Backend& backend, const uint32_t* keys, uint32_t key_count, uint8_t* marks = nullptr);

  const uint32_t* rows() const { return unique_.data(); }
  const uint32_t* count() const { return count_.data(); }
  const uint32_t* offsets() const { return offsets_.data(); }
  const uint32_t* order() const { return order_.data(); }
  const uint32_t* slot() const { return slot_.data(); }  // [rows]
  uint32_t capacity() const { return capacity_; }

 private:
  uint32_t table_rows_, capacity_;
  Buffer<uint32_t> unique_, count_, offsets_, order_, slot_, workspace_;
};

// The users and items of a batch.
struct BatchRows {
  BatchRows(Backend& backend, const StepShape& shape);
  void group(Backend& backend, const Batch& batch, RowList* heads = nullptr);  // with the batch's heads where they are wanted
  RowList users, items;  // items: rows of the entity table
};

// A TailOrder and its memory; null where the backend does not want one.
class TailLists {
 public:
  TailLists(Backend& backend, uint32_t entities, uint32_t triples);
  TailOrder order() const { return order_; }

 private:
  Buffer<uint32_t> offsets_, places_;
  Buffer<TailEntry> entries_;
  TailOrder order_{};
};

// Everything a step needs to know of its batch that no parameter has a part in, so that it can be built beside the step before.
class BatchLists {
 public:
  BatchLists(Backend& backend, const DeviceGraph& graph, const StepShape& shape, bool knowledge);
  void build(Backend& backend, const DeviceGraph& graph, const Batch& batch);

  const BatchRows& rows() const { return rows_; }
  const RowList& heads() const { return heads_; }  // distinct positive items; empty without knowledge
  // Rows of the entity table that have a gradient: items of the batch and, with knowledge, tails of its heads.
  const RowList& touched() const { return knowledge_ ? touched_ : rows_.items; }
  const uint32_t* triple_offsets() const { return triple_offsets_.data(); }  // [heads + 1]
  const uint32_t* group_offsets() const { return group_offsets_.data(); }
  TailOrder tail_order() const { return tails_.order(); }
  const TripleWindow* windows() const { return windows_.size() ? windows_.data() : nullptr; }

 private:
  bool knowledge_;
  BatchRows rows_;
  RowList heads_, touched_;
  Buffer<uint8_t> marks_;
  Buffer<uint32_t> triple_offsets_, group_offsets_;
  Buffer<TripleWindow> windows_;
  TailLists tails_;
};

class Step {
 public:
  Step(Backend& backend, const DeviceGraph& graph, const StepShape& shape, const StepOptions& options);

  // ∇J_inner of every touched row, in point coordinates, and the losses. With `others` (Backend::entity_step, only with knowledge) those rows of the
  // entities that are not the batch's items take their Adam step at once, and their gradients are not kept.
  void inner(const StepTables& tables, const Batch& batch, const BatchLists& lists, bool learn_scale, const Adam* others = nullptr);
  // Θ̃ on the rows of the outer batch, which `outer` lists, after `inner` of the batch that `lists` lists.
  void look_ahead(const StepTables& tables, const BatchLists& lists, const BatchRows& outer);
  // ∇J_outer(Θ̃) on the items of the outer batch, and the hypergradient of every head. Reads no user parameter.
  void outer(const StepTables& tables, const BatchLists& lists, const Batch& batch, const BatchRows& outer);

  // Gradients, tapes and the lookahead are forgotten: the next step makes them anew, and what comes in between may have their memory.
  void forget();

  const float* user_gradient() const { return user_gradient_.data(); }
  const float* entity_gradient() const { return options_.knowledge ? entity_gradient_.data() : item_gradient_.data(); }
  const float* relation_gradient() const { return relation_gradient_.data(); }
  const float* hypergradient() const { return hypergradient_.data(); }
  const double* lookahead_gap_users() const { return ahead_user_gap_.data(); }
  const double* lookahead_gap_items() const { return ahead_item_gap_.data(); }
  // What BatchTotals needs.
  const float* loss() const { return loss_.data(); }
  const double* weight() const { return options_.knowledge ? weight_.data() : nullptr; }
  const double* head_distance() const { return head_distance_.data(); }
  const double* sample_scale_gradient() const { return sample_scale_gradient_.data(); }
  const double* head_scale_gradient() const { return tape_scale_gradient_.data(); }

 private:
  NeighborhoodTape tape();
  RelationSums sums();
  // L_R of the samples and what its gradients are made of; of the inner batch or, on the lookahead's tables, of the outer.
  void ranking_loss(const PointTable& users, const PointTable& items, const Batch& batch, const double* scale, float* loss,
                    double* scale_gradient);
  // ∇L_R of the users or the items of `list`, after ranking_loss.
  void ranking_gradient(const PointTable& users, const PointTable& items, const Batch& batch, bool of_users, const RowList& list,
                        float* gradient, double* gradient64);

  Backend& backend_;
  const DeviceGraph& graph_;
  StepShape shape_;
  StepOptions options_;
  Buffer<double> weight_, head_distance_;
  Buffer<float> tape_relation_gradient_;
  Buffer<double> tape_head_gradient_, tape_midpoint_gradient_, tape_scale_gradient_;
  Buffer<TripleGradient> tape_triples_;
  Buffer<uint8_t> tape_tame_;
  Buffer<SingleTripleGradient> tape_singles_;
  Buffer<uint8_t> neighborhood_scratch_;
  Buffer<double> hypergradient_partial_;
  Buffer<float> loss_;
  Buffer<RankingTape> ranking_tape_;
  Buffer<SoftmaxTape> softmax_tape_;
  Buffer<float> softmax_sqdist_, softmax_slope_;
  Buffer<double> softmax_partial_;
  Buffer<double> sample_scale_gradient_;
  Buffer<float> user_gradient_, item_gradient_, entity_gradient_, relation_gradient_, hypergradient_;
  Buffer<double> entity_partial_, relation_partial_, relation_sums_;
  // the lookahead, float64
  Buffer<double> ahead_user_points_, ahead_user_gap_, ahead_items_, ahead_item_points_, ahead_item_gap_, outer_gradient_;
};

}  // namespace hk
