#pragma once
// Backend over host memory: SIMD by run-time dispatch (isa.h), own threads (parallel.h). Results do not depend on the number of
// threads: every row is written by one call, and sums over rows run in a fixed order.
#include <algorithm>
#include <vector>

#include "../backend.h"
#include "adam_block.h"
#include "parallel.h"

namespace hk {

class CpuBackend : public Backend {
 public:
  explicit CpuBackend(int threads) : pool_(threads) {}

  const char* name() const override { return "cpu"; }
  void* allocate(size_t bytes) override;
  void release(void* memory, size_t bytes) noexcept override;
  void forget(void* memory, size_t bytes) noexcept override;
  void upload(void* to, const void* from_host, size_t bytes) override;
  void download(void* to_host, const void* from, size_t bytes) override;
  void fill(void* memory, uint8_t byte, size_t bytes) override;
  void synchronize() override {}
  bool shares_host_memory() const override { return true; }
  bool wants_tail_order() const override { return true; }
  bool steps_with_gradient() const override { return true; }
  // Enough ranges to share out among threads, and fewer where there are many relations: up to 8192 of them, no more than 32768 rows.
  uint32_t relation_sums(uint32_t relations) const override { return std::clamp(32768 / std::max(1u, relations), 4u, 64u); }

  void sample(const Sample& a) override;
  void shared_negatives(const SharedNegatives& a) override;
  void group_rows(const GroupRows& a) override;
  void head_lists(const HeadLists& a) override;
  void head_weights(const HeadWeights& a) override;
  void adam_replay(const AdamReplay& a) override;
  void neighborhood(const Neighborhood& a) override;
  void ranking_loss(const RankingLoss& a) override;
  void ranking_gradient(const RankingGradient& a) override;
  void softmax_loss(const SoftmaxLoss& a) override;
  void softmax_gradient(const SoftmaxGradient& a) override;
  void entity_gradient(const EntityGradient& a) override;
  void entity_step(const EntityGradient& a, const Adam& others) override;
  void relation_gradient(const RelationGradient& a) override;
  void lookahead(const Lookahead& a) override;
  void lookahead_gradient(const LookaheadGradient& a) override;
  void hypergradient(const Hypergradient& a) override;
  void adam(const Adam& a) override;
  void average(const Average& a) override;
  void batch_totals(const BatchTotals& a) override;
  void map_parameters(const MapParameters& a) override;
  void row_gaps(const RowGaps& a) override;
  void poincare_distance(const PoincareDistance& a) override;
  void poincare_distance_gradient(const PoincareDistanceGradient& a) override;
  void top_k(const TopK& a) override;
  std::unique_ptr<PreparedItems> prepare_items(const float* items, uint32_t count, uint32_t dim, double curvature) override;

 private:
  ThreadPool pool_;
  // Scratch that grows with what is asked for, and stays.
  std::vector<uint32_t> tail_counts_, tail_totals_;  // of head_lists
  std::vector<float> head_rows_, head_weights_;      // of entity_gradient
  std::vector<MissedStep> missed_steps_;             // of adam_replay
};

}  // namespace hk
