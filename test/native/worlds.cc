#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <utility>

#include "../../native/src/cpu/cpu_backend.h"
#include "../../native/src/philox.h"
#include "selftest.h"

namespace hk {
namespace {

constexpr uint32_t kUsers = 14, kRelations = 3;

uint32_t pick(uint32_t i, uint32_t stream, uint32_t n) { return below(philox(31, i, stream, 0, 9).word[0], n); }

TrainerOptions base(uint32_t dim, uint32_t items = 11) {
  const uint32_t entities = items + 19;
  TrainerOptions o{};
  o.model = {kUsers, items, entities, kRelations, dim, 1.0, 1.0, true, false, false, 0.1, 0.0, 7};
  o.step = {1.0, true, true, true, true, 0.5, 0.01, 1.0, true};
  o.graph.offsets = {0};
  for (uint32_t item = 0; item < items; ++item) {
    const uint32_t degree = item == 0 ? 0 : item == 1 ? 1 : item == 2 ? 80 : 2 + pick(item, 0, 6);
    std::vector<std::pair<uint32_t, uint32_t>> triples;
    for (uint32_t t = 0; t < degree; ++t) triples.emplace_back(pick(100 * item + t, 1, kRelations), pick(100 * item + t, 2, entities));
    if (item == 1) triples[0].second = 1;  // its own neighbour
    std::sort(triples.begin(), triples.end());
    for (const auto& [relation, tail] : triples) o.graph.relations.push_back(relation), o.graph.tails.push_back(tail);
    o.graph.offsets.push_back(static_cast<uint32_t>(o.graph.tails.size()));
  }
  o.train_offsets = {0};
  for (uint32_t user = 0; user < kUsers; ++user) {
    for (uint32_t item = 0; item < items; ++item)
      if (user == 1 || (user != 2 && (pick(40 * user + item, 3, 3) == 0 || item == user % items))) o.train_items.push_back(item);
    o.train_offsets.push_back(static_cast<uint32_t>(o.train_items.size()));
  }
  o.batch = 16, o.negatives = 0, o.seed = 7, o.adaptive = true, o.learn_scale = false;
  o.learning_rate = 0.02, o.beta_learning_rate = 0.05, o.scale_learning_rate = 0.01, o.regularization = 1e-3;
  o.adam = AdamKind::touched, o.average_decay = 0, o.average_every = 0, o.time_kernels = false;
  return o;
}

template <class T>
void append(Bytes& out, const std::vector<T>& values) {
  const size_t at = out.size();
  out.resize(at + values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(out.data() + at, values.data(), values.size() * sizeof(T));
}

}  // namespace

std::vector<World> worlds() {
  std::vector<World> all;
  const auto add = [&](const char* name, TrainerOptions options, const std::function<void(TrainerOptions&)>& change) {
    all.push_back({name, std::move(options)});
    change(all.back().options);
  };
  add("adaptive, tangent", base(5), [](TrainerOptions&) {});
  add("64 columns, exact Adam, averages", base(64), [](TrainerOptions& o) {
    o.adam = AdamKind::exact, o.model.exact_adam = true, o.model.average = true, o.average_decay = 0.8, o.average_every = 3;
  });
  add("ball, learned curvature, dense Adam", base(33), [](TrainerOptions& o) {
    o.model.tangent = o.step.tangent = false, o.adam = AdamKind::dense, o.learn_scale = true;
  });
  add("Euclidean, no attention, timed", base(16), [](TrainerOptions& o) {
    o.model.curvature = o.step.curvature = 0, o.model.tangent = o.step.tangent = false, o.step.attention = false, o.adaptive = false;
    o.time_kernels = true;
  });
  add("sampled softmax, temperature", base(9), [](TrainerOptions& o) { o.negatives = 40, o.step.temperature = 2, o.learn_scale = true; });
  // More heads than a thread takes at once, some of whose neighbourhoods reach the boundary.
  const auto reach_out = [](TrainerOptions& o) { o.model.init_scale = 1, o.batch = 1u << 24; };
  add("many heads", base(7, 230), reach_out);
  add("many heads, no attention", base(7, 230), [&](TrainerOptions& o) { reach_out(o), o.step.attention = false; });
  add("no knowledge, one batch", base(130), [](TrainerOptions& o) { o.step.knowledge = false, o.adaptive = false, o.batch = 1u << 24; });
  return all;
}

std::vector<float> random_rows(uint64_t seed, uint32_t rows, uint32_t dim, double curvature) {
  std::vector<float> out(size_t{rows} * dim);
  for (uint32_t row = 0; row < rows; ++row) {
    double sqnorm = 0;
    std::vector<double> x(dim);
    for (uint32_t k = 0; k < dim; ++k) x[k] = philox(seed, row, k, 0, 8).word[0] * 0x1p-31 - 1, sqnorm += x[k] * x[k];
    const double radius = 1 - std::pow(10.0, -4.9 * philox(seed, row, 0, 1, 8).word[0] * 0x1p-32);
    const double factor = radius / std::sqrt(std::max(sqnorm, 1e-12) * (curvature > 0 ? curvature : 1));
    for (uint32_t k = 0; k < dim; ++k) out[size_t{row} * dim + k] = static_cast<float>(x[k] * factor);
  }
  return out;
}

Bytes train(const World& world, int threads) { return train(world, std::make_unique<CpuBackend>(threads)); }

Bytes train(const World& world, std::unique_ptr<Backend> backend) {
  Trainer trainer(std::move(backend), world.options);
  const Control control;
  Bytes out;
  for (uint32_t epoch = 0; epoch < 2; ++epoch) {
    const EpochTotals totals = trainer.epoch(epoch, 1.0, control);
    append(out, std::vector<double>{totals.ranking_loss, totals.knowledge_loss, totals.scale});
  }
  const Samples samples = trainer.samples(2);
  append(out, samples.users), append(out, samples.positives), append(out, samples.negatives), append(out, samples.shared);
  std::vector<uint32_t> items;
  std::vector<float> distances;
  trainer.top_k({0, 1, 2, 3}, 5, {0, 1, 2, 2, 3}, {4, 0, 7}, items, distances, control), append(out, items), append(out, distances);
  trainer.top_k({9, 2}, 30, {}, {}, items, distances, control), append(out, items), append(out, distances);
  const HostParameters read = trainer.model().read();
  append(out, read.users), append(out, read.entities), append(out, read.relations), append(out, read.beta);
  HostState state = trainer.model().state();
  for (const auto& [name, values] : state.floats) append(out, values);
  for (const auto& [name, values] : state.doubles) append(out, values);
  for (const auto& [name, values] : state.integers) append(out, values);
  return out;
}

}  // namespace hk
