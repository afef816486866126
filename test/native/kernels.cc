// The kernels as single calls, over arrays that end where they say: AddressSanitizer sees every read and write beyond them.
#include <algorithm>
#include <cmath>
#include <memory>

#include "../../native/src/calls.h"
#include "../../native/src/cpu/cpu_backend.h"
#include "../../native/src/philox.h"
#include "selftest.h"

namespace hk {
namespace {

// Exactly so many values, without the slack of a vector's capacity.
template <class T>
struct Exact {
  explicit Exact(size_t size) : size(size), data(new T[size]()) {}
  explicit Exact(const std::vector<T>& values) : Exact(values.size()) { std::copy(values.begin(), values.end(), data.get()); }
  size_t size;
  std::unique_ptr<T[]> data;
  operator T*() { return data.get(); }
  bool finite() const {
    return std::all_of(data.get(), data.get() + size, [](T x) { return std::isfinite(static_cast<double>(x)); });
  }
};

void test_at(uint32_t dim, double curvature, int threads) {
  const std::string at = "dim " + std::to_string(dim) + ", c " + std::to_string(curvature) + ", " + std::to_string(threads) + " threads: ";
  CpuBackend backend(threads);
  const TrainerOptions world = worlds()[0].options;
  const uint32_t entities = world.model.entities, relations = world.model.relations, items = world.model.items, users = 37;
  Exact<float> u(random_rows(1, users, dim, curvature)), e(random_rows(2, entities, dim, curvature)), r(random_rows(3, relations, dim, curvature));
  const Rows user_rows{u, users}, entity_rows{e, entities}, relation_rows{r, relations};
  Exact<uint32_t> offsets(world.graph.offsets), tails(world.graph.tails), labels(world.graph.relations);
  const HostGraphView graph{offsets, labels, tails, items, static_cast<uint32_t>(tails.size)};

  const uint32_t pairs = std::min(users, entities);
  Exact<float> distance(pairs), grad_x(pairs * dim), grad_y(pairs * dim);
  poincare_distance(backend, u, e, pairs, dim, curvature, distance);
  poincare_distance_gradient(backend, u, e, distance, pairs, dim, curvature, grad_x, grad_y);
  check(distance.finite() && grad_x.finite() && grad_y.finite(), at + "distances and their gradients are finite");

  Exact<uint32_t> listed(std::vector<uint32_t>{3, 0, 2, 2, 10, 1});
  size_t degree = 0;
  for (size_t i = 0; i < listed.size; ++i) degree += offsets[listed[i] + 1] - offsets[listed[i]];
  Exact<float> midpoint(listed.size * dim), attention(degree), head_distance(listed.size), upstream(std::vector<float>(listed.size, 0.5f));
  neighborhood(backend, entity_rows, relation_rows, dim, graph, listed, static_cast<uint32_t>(listed.size), curvature, 1.0, midpoint, attention,
               head_distance);
  Exact<float> of_entities(size_t{entities} * dim), of_relations(size_t{relations} * dim);
  neighborhood_gradient(backend, entity_rows, relation_rows, dim, graph, listed, static_cast<uint32_t>(listed.size), upstream, curvature, 1.0,
                        of_entities, of_relations);
  check(midpoint.finite() && attention.finite() && head_distance.finite() && of_entities.finite() && of_relations.finite(),
        at + "neighbourhoods are finite");

  Exact<float> beta(std::vector<float>(items, 0.3f)), hyper(items);
  Exact<uint32_t> sample_users(std::vector<uint32_t>{0, 1, 36}), positives(std::vector<uint32_t>{0, 2, 10}), negatives(std::vector<uint32_t>{1, 2, 9});
  const HostSamples samples{sample_users, positives, negatives, 3};
  const double rate = 1e-12;  // stays within the ball from any point
  hypergradient(backend, user_rows, entity_rows, relation_rows, dim, graph, beta, samples, samples, rate, curvature, hyper);
  check(hyper.finite(), at + "hypergradients are finite");
  Exact<float> loss(3), of_users(size_t{users} * dim);
  Exact<uint32_t> left_out(std::vector<uint32_t>{~5u, ~3u, ~0u});
  double scale_gradient = 0;
  for (const bool shared : {false, true}) {
    HostSamples batch = samples;
    if (shared) batch.shared = 3, batch.left_out = left_out;
    bilevel_step(backend, user_rows, entity_rows, relation_rows, dim, graph, beta, batch, batch, rate, curvature, 1.0,
                 {loss, &scale_gradient, of_users, of_entities, of_relations, hyper});
    check(loss.finite() && of_users.finite() && hyper.finite() && std::isfinite(scale_gradient), at + "a step is finite");
  }

  Exact<uint32_t> none_offsets(std::vector<uint32_t>(users + 1, 1)), none_items(std::vector<uint32_t>{4});
  none_offsets[0] = 0;
  const std::unique_ptr<PreparedItems> prepared = backend.prepare_items(e, entities, dim, curvature);
  for (const uint32_t k : {1u, 7u, entities + 3}) {
    Exact<uint32_t> found(size_t{users} * k), again(size_t{users} * k);
    Exact<float> distances(size_t{users} * k);
    top_k(backend, user_rows, entity_rows, dim, k, none_offsets, none_items, curvature, found, distances);
    top_k(backend, user_rows, entity_rows, dim, k, none_offsets, none_items, curvature, again, distances, prepared.get());
    check(std::equal(found.data.get(), found.data.get() + found.size, again.data.get()), at + "prepared items rank alike");
  }
}

}  // namespace

void test_kernels() {
  for (const uint32_t dim : {1u, 3u, 15u, 16u, 17u, 64u, 100u, 257u})
    for (const double curvature : {0.0, 0.3, 1.0}) test_at(dim, curvature, dim % 2 == 0 ? 1 : 3);
}

}  // namespace hk
