#pragma once
// Backend that runs another one and adds up how long each kernel takes, waiting for it to end: for benchmarks. What it costs on a backend
// that works asynchronously is the overlap of kernels and host, and replayed launches; the results are the same.
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "backend.h"

namespace hk {

class TimedBackend final : public Backend {
 public:
  explicit TimedBackend(std::unique_ptr<Backend> inner) : inner_(std::move(inner)) {}

  // Seconds per kernel since the last call.
  std::map<std::string, double> take_seconds() { return std::exchange(seconds_, {}); }

  const char* name() const override { return inner_->name(); }
  void* allocate(size_t bytes) override { return inner_->allocate(bytes); }
  void release(void* memory, size_t bytes) noexcept override { inner_->release(memory, bytes); }
  void forget(void* memory, size_t bytes) noexcept override { inner_->forget(memory, bytes); }
  void upload(void* to, const void* from_host, size_t bytes) override { inner_->upload(to, from_host, bytes); }
  void download(void* to_host, const void* from, size_t bytes) override { inner_->download(to_host, from, bytes); }
  void fill(void* memory, uint8_t byte, size_t bytes) override { inner_->fill(memory, byte, bytes); }
  void synchronize() override { inner_->synchronize(); }
  size_t free_memory() const override { return inner_->free_memory(); }
  bool shares_host_memory() const override { return inner_->shares_host_memory(); }
  uint32_t incidence_chunk() const override { return inner_->incidence_chunk(); }
  size_t neighborhood_scratch(const Neighborhood& a, uint64_t triples) const override { return inner_->neighborhood_scratch(a, triples); }
  bool steps_with_gradient() const override { return inner_->steps_with_gradient(); }
  bool wants_tail_order() const override { return inner_->wants_tail_order(); }
  uint32_t relation_sums(uint32_t relations) const override { return inner_->relation_sums(relations); }
  bool wants_windows() const override { return inner_->wants_windows(); }
  bool runs_side_by_side() const override { return inner_->runs_side_by_side(); }

  void sample(const Sample& a) override { run("sample", &Backend::sample, a); }
  void shared_negatives(const SharedNegatives& a) override { run("shared_negatives", &Backend::shared_negatives, a); }
  void group_rows(const GroupRows& a) override { run("group_rows", &Backend::group_rows, a); }
  void head_lists(const HeadLists& a) override { run("head_lists", &Backend::head_lists, a); }
  void head_weights(const HeadWeights& a) override { run("head_weights", &Backend::head_weights, a); }
  void adam_replay(const AdamReplay& a) override { run("adam_replay", &Backend::adam_replay, a); }
  void neighborhood(const Neighborhood& a) override { run("neighborhood", &Backend::neighborhood, a); }
  void ranking_loss(const RankingLoss& a) override { run(a.users.f ? "ranking_loss" : "ranking_loss ahead", &Backend::ranking_loss, a); }
  void ranking_gradient(const RankingGradient& a) override {
    run(a.users.f ? "ranking_gradient" : "ranking_gradient ahead", &Backend::ranking_gradient, a);
  }
  void softmax_loss(const SoftmaxLoss& a) override { run(a.users.f ? "softmax_loss" : "softmax_loss ahead", &Backend::softmax_loss, a); }
  void softmax_gradient(const SoftmaxGradient& a) override {
    run(a.users.f ? "softmax_gradient" : "softmax_gradient ahead", &Backend::softmax_gradient, a);
  }
  void entity_gradient(const EntityGradient& a) override { run("entity_gradient", &Backend::entity_gradient, a); }
  void entity_step(const EntityGradient& a, const Adam& others) override { run("entity_step", &Backend::entity_step, a, others); }
  void relation_gradient(const RelationGradient& a) override { run("relation_gradient", &Backend::relation_gradient, a); }
  void lookahead(const Lookahead& a) override { run("lookahead", &Backend::lookahead, a); }
  void lookahead_gradient(const LookaheadGradient& a) override { run("lookahead_gradient", &Backend::lookahead_gradient, a); }
  void hypergradient(const Hypergradient& a) override { run("hypergradient", &Backend::hypergradient, a); }
  void adam(const Adam& a) override { run("adam", &Backend::adam, a); }
  void average(const Average& a) override { run("average", &Backend::average, a); }
  void batch_totals(const BatchTotals& a) override { run("batch_totals", &Backend::batch_totals, a); }
  void map_parameters(const MapParameters& a) override { run("map_parameters", &Backend::map_parameters, a); }
  void row_gaps(const RowGaps& a) override { run("row_gaps", &Backend::row_gaps, a); }
  void poincare_distance(const PoincareDistance& a) override { run("poincare_distance", &Backend::poincare_distance, a); }
  void poincare_distance_gradient(const PoincareDistanceGradient& a) override {
    run("poincare_distance_gradient", &Backend::poincare_distance_gradient, a);
  }
  void top_k(const TopK& a) override { run("top_k", &Backend::top_k, a); }

 private:
  template <class... Arguments>
  void run(const char* kernel, void (Backend::*method)(const Arguments&...), const Arguments&... a) {
    const auto start = std::chrono::steady_clock::now();
    (*inner_.*method)(a...);
    inner_->synchronize();
    seconds_[kernel] += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  std::unique_ptr<Backend> inner_;
  std::map<std::string, double> seconds_;
};

}  // namespace hk
