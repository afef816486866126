#pragma once
// Backend over one CUDA device: the first that CUDA_VISIBLE_DEVICES shows. Kernels run in the order of the calls, on one stream but for
// branches. Free of CUDA's own headers.
#include "../src/backend.h"

struct CUstream_st;  // what cudaStream_t points to
struct CUevent_st;   // cudaEvent_t

namespace hk {

class CudaBackend final : public Backend {
 public:
  CudaBackend();
  ~CudaBackend() override;
  CudaBackend(const CudaBackend&) = delete;
  CudaBackend& operator=(const CudaBackend&) = delete;

  const char* name() const override;
  void* allocate(size_t bytes) override;
  void release(void* memory, size_t bytes) noexcept override;
  void upload(void* to, const void* from_host, size_t bytes) override;
  void download(void* to_host, const void* from, size_t bytes) override;
  void fill(void* memory, uint8_t byte, size_t bytes) override;
  void synchronize() override;
  size_t free_memory() const override;
  uint32_t incidence_chunk() const override { return 64; }
  bool wants_windows() const override { return true; }
  size_t neighborhood_scratch(const Neighborhood& a, uint64_t triples) const override;
#if !defined(HK_CUDA_ON_HOST)
  std::unique_ptr<Recording> record(std::vector<Calls> turns) override;
  void play(Recording& recording, uint32_t times) override;
  double take_busy_seconds() override;
#endif
  void branches(const std::vector<Calls>& all) override;
  bool runs_side_by_side() const override { return true; }

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

 private:
  void triple_windows(const HeadLists& a);
  struct Unopened {};
  explicit CudaBackend(Unopened) {}

  // A stream for calls that run beside others, and the event that says how far it has come.
  struct Side {
    CUstream_st* stream = nullptr;
    CUevent_st* event = nullptr;
  };
  // Two events around a play, so that the device says how long it was busy.
  struct Span {
    CUevent_st *begin = nullptr, *end = nullptr;
  };
  static constexpr uint32_t kSides = 16;  // a step's branches, those within others included, beyond the first of each: 13 at most

  CUstream_st* stream_ = nullptr;  // of the calls now
  CUevent_st* forked_ = nullptr;
  Side sides_[kSides];
  uint32_t sides_in_use_ = 0, branch_depth_ = 0;
  std::vector<Span> spans_;
  size_t spans_in_use_ = 0;
};

}  // namespace hk
