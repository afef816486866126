#pragma once
// A place where models live and kernels run. Two implementations: CpuBackend (native/src/cpu) and CudaBackend (native/cuda).
// Calls are asynchronous in order; `download` and `synchronize` wait. Not thread-safe: one backend object, one caller at a time.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels.h"

namespace hk {

using Calls = std::function<void()>;

// Kernel calls that are made many times over with the same arguments, as those of a training step. Several take turns where steps differ,
// by their buffers say. Dies before its backend and before any memory that the calls use.
class Recording {
 public:
  Recording(std::vector<Calls> turns, uint32_t at_once) : turns(std::move(turns)), at_once(at_once) {}
  virtual ~Recording() = default;
  const std::vector<Calls> turns;
  const uint32_t at_once;  // plays that are best asked for together: a multiple of the turns
};

// What top_k makes of the items before it looks at any user, kept for calls that rank the same items again. Holds no memory of the backend,
// never changes, and serves any number of calls at once, of any backend of the same kind.
class PreparedItems {
 public:
  virtual ~PreparedItems() = default;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual const char* name() const = 0;

  // Memory: 256-byte aligned, at least 1 byte; throws Error(ERR_HK_MEMORY) saying what was asked for and what is free.
  virtual void* allocate(size_t bytes) = 0;
  virtual void release(void* memory, size_t bytes) noexcept = 0;  // as many as were asked for
  virtual void upload(void* to, const void* from_host, size_t bytes) = 0;
  virtual void download(void* to_host, const void* from, size_t bytes) = 0;
  virtual void fill(void* memory, uint8_t byte, size_t bytes) = 0;
  // Nobody reads what is there before writing it: until then a backend need not keep memory for it.
  virtual void forget(void*, size_t /* bytes */) noexcept {}
  virtual void synchronize() = 0;
  // What is left for `allocate`, where the backend knows.
  virtual size_t free_memory() const { return SIZE_MAX; }
  // Length of the pieces that long rows of an Incidence are cut into, at most kMostChunk: short where much runs side by side.
  virtual uint32_t incidence_chunk() const { return kMostChunk; }
  // Whether `neighborhood` works on windows of triples, so that having them made beside the step before is worth it.
  virtual bool wants_windows() const { return false; }
  // Whether its TripleGradients stand in TailOrder, which head_lists then makes and all that read them get.
  virtual bool wants_tail_order() const { return false; }
  // How many RelationSums `neighborhood` with gradients of relations is to be asked for; 0: none.
  virtual uint32_t relation_sums(uint32_t /* relations */) const { return 0; }
  // Bytes that `neighborhood` of as many heads as a.capacity, with `triples` triples among them, wants at a.scratch.
  virtual size_t neighborhood_scratch(const Neighborhood&, uint64_t /* triples */) const { return 0; }
  // Whether kernels can work in memory that did not come from `allocate`.
  virtual bool shares_host_memory() const { return false; }

  // Here: to be called again at every play. A backend with launches worth saving makes the calls once and replays what they started; they
  // may then neither allocate nor copy from or to the host.
  virtual std::unique_ptr<Recording> record(std::vector<Calls> turns) {
    const uint32_t at_once = static_cast<uint32_t>(turns.size());
    return std::make_unique<Recording>(std::move(turns), at_once);
  }
  // `times` plays, beginning with the first of the turns.
  virtual void play(Recording& recording, uint32_t times) {
    for (uint32_t i = 0; i < times; ++i) recording.turns[i % recording.turns.size()]();
  }

  // How long the device has been busy with plays since the last call; NaN where device and host are one. Waits for them to end.
  virtual double take_busy_seconds() { return std::numeric_limits<double>::quiet_NaN(); }

  // Makes calls that do not depend on each other; what follows sees all of them done. A backend may run them side by side, and says so: work
  // is then worth splitting for it.
  virtual bool runs_side_by_side() const { return false; }
  virtual void branches(const std::vector<Calls>& all) {
    for (const Calls& calls : all) calls();
  }

  // Kernels, in the order a training step uses them (kernels.h says what each does).
  virtual void sample(const Sample& a) = 0;
  virtual void shared_negatives(const SharedNegatives& a) = 0;
  virtual void group_rows(const GroupRows& a) = 0;
  virtual void head_lists(const HeadLists& a) = 0;
  virtual void head_weights(const HeadWeights& a) = 0;
  virtual void adam_replay(const AdamReplay& a) = 0;
  virtual void neighborhood(const Neighborhood& a) = 0;
  virtual void ranking_loss(const RankingLoss& a) = 0;
  virtual void ranking_gradient(const RankingGradient& a) = 0;
  virtual void softmax_loss(const SoftmaxLoss& a) = 0;
  virtual void softmax_gradient(const SoftmaxGradient& a) = 0;
  virtual void entity_gradient(const EntityGradient& a) = 0;
  // The same, then Adam of those of its rows that no item slot is of. `others` lists these rows and gradients and skips those slots. Nothing else
  // reads their gradients: a backend that makes both in one pass need not store them, and says so.
  virtual bool steps_with_gradient() const { return false; }
  virtual void entity_step(const EntityGradient& a, const Adam& others) { entity_gradient(a), adam(others); }
  virtual void relation_gradient(const RelationGradient& a) = 0;
  virtual void lookahead(const Lookahead& a) = 0;
  virtual void lookahead_gradient(const LookaheadGradient& a) = 0;
  virtual void hypergradient(const Hypergradient& a) = 0;
  virtual void adam(const Adam& a) = 0;
  virtual void average(const Average& a) = 0;
  virtual void batch_totals(const BatchTotals& a) = 0;

  // Kernels outside the step.
  virtual void map_parameters(const MapParameters& a) = 0;
  virtual void row_gaps(const RowGaps& a) = 0;
  virtual void poincare_distance(const PoincareDistance& a) = 0;
  virtual void poincare_distance_gradient(const PoincareDistanceGradient& a) = 0;
  virtual void top_k(const TopK& a) = 0;

  // For TopK::prepared: items [count, dim] in memory of the backend. Null where top_k has no use for it.
  virtual std::unique_ptr<PreparedItems> prepare_items(const float* /*items*/, uint32_t /*count*/, uint32_t /*dim*/, double /*curvature*/) {
    return nullptr;
  }
};

}  // namespace hk
