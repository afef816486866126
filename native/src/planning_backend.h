#pragma once
// Backend that computes nothing and counts the bytes that are asked of it: how much memory building something will take.
#include <cstring>

#include "backend.h"

namespace hk {

class PlanningBackend final : public Backend {
 public:
  // In the place of `real`.
  explicit PlanningBackend(const Backend& real) : real_(real) {}
  uint32_t incidence_chunk() const override { return real_.incidence_chunk(); }
  bool steps_with_gradient() const override { return real_.steps_with_gradient(); }
  bool wants_tail_order() const override { return real_.wants_tail_order(); }
  uint32_t relation_sums(uint32_t relations) const override { return real_.relation_sums(relations); }
  bool wants_windows() const override { return real_.wants_windows(); }
  size_t neighborhood_scratch(const Neighborhood& a, uint64_t triples) const override { return real_.neighborhood_scratch(a, triples); }
  // Of all blocks so far, in the units in which a GPU's memory is handed out.
  size_t bytes() const { return bytes_; }

  const char* name() const override { return "planning"; }
  void* allocate(size_t bytes) override {
    const size_t place = bytes_ + kUnit;
    bytes_ += (bytes / kUnit + 1) * kUnit;
    return reinterpret_cast<void*>(place);  // tells blocks apart; nobody looks there
  }
  void release(void*, size_t) noexcept override {}
  void upload(void*, const void*, size_t) override {}
  void download(void* to_host, const void*, size_t bytes) override { std::memset(to_host, 0, bytes); }
  void fill(void*, uint8_t, size_t) override {}
  void synchronize() override {}

  void sample(const Sample&) override {}
  void shared_negatives(const SharedNegatives&) override {}
  void group_rows(const GroupRows&) override {}
  void head_lists(const HeadLists&) override {}
  void head_weights(const HeadWeights&) override {}
  void adam_replay(const AdamReplay&) override {}
  void neighborhood(const Neighborhood&) override {}
  void ranking_loss(const RankingLoss&) override {}
  void ranking_gradient(const RankingGradient&) override {}
  void softmax_loss(const SoftmaxLoss&) override {}
  void softmax_gradient(const SoftmaxGradient&) override {}
  void entity_gradient(const EntityGradient&) override {}
  void entity_step(const EntityGradient&, const Adam&) override {}
  void relation_gradient(const RelationGradient&) override {}
  void lookahead(const Lookahead&) override {}
  void lookahead_gradient(const LookaheadGradient&) override {}
  void hypergradient(const Hypergradient&) override {}
  void adam(const Adam&) override {}
  void average(const Average&) override {}
  void batch_totals(const BatchTotals&) override {}
  void map_parameters(const MapParameters&) override {}
  void row_gaps(const RowGaps&) override {}
  void poincare_distance(const PoincareDistance&) override {}
  void poincare_distance_gradient(const PoincareDistanceGradient&) override {}
  void top_k(const TopK&) override {}

 private:
  static constexpr size_t kUnit = 256;
  const Backend& real_;
  size_t bytes_ = 0;
};

}  // namespace hk
