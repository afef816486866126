#include "calls.h"

#include <algorithm>
#include <type_traits>
#include <vector>

#include "buffer.h"
#include "csr.h"
#include "error.h"
#include "step.h"

namespace hk {
namespace {

// The caller's array as a kernel reads it: itself where the backend shares memory with the host, else a copy.
template <class T>
class Input {
 public:
  Input(Backend& backend, const T* host, size_t size) : data_(host) {
    if (!backend.shares_host_memory()) copy_ = {backend, host, size}, data_ = copy_.data();
  }
  const T* data() const { return data_; }

 private:
  Buffer<T> copy_;
  const T* data_;
};

// The caller's array as a kernel writes it; `finish` brings a copy back.
template <class T>
class Output {
 public:
  Output(Backend& backend, T* host, size_t size) : host_(host), data_(host) {
    if (!backend.shares_host_memory()) copy_ = {backend, size}, data_ = copy_.data();
  }
  T* data() const { return data_; }
  void finish() const {
    if (data_ != host_) copy_.download(host_);
  }

 private:
  Buffer<T> copy_;
  T *host_, *data_;
};

Input<float> input_rows(Backend& backend, Rows rows, uint32_t dim) { return {backend, rows.data, size_t{rows.count} * dim}; }

Buffer<double> gaps_of(Backend& backend, const Input<float>& rows, uint32_t count, uint32_t dim, double curvature) {
  Buffer<double> gap(backend, count);
  backend.row_gaps({rows.data(), gap.data(), count, dim, curvature});
  return gap;
}

HostGraph copy(const HostGraphView& g) {
  return {{g.offsets, g.offsets + g.items + 1}, {g.relations, g.relations + g.triples}, {g.tails, g.tails + g.triples}};
}

// A table of points without moments, as the step reads it.
AdamTable points_only(const Input<float>& points, Buffer<double>& gap, uint32_t rows, uint32_t dim) {
  float* const read_only = const_cast<float*>(points.data());  // a step writes no parameters
  return {read_only, nullptr, nullptr, nullptr, read_only, gap.data(), rows, dim};
}

}  // namespace

void poincare_distance(Backend& backend, const float* x, const float* y, uint32_t pairs, uint32_t dim, double curvature, float* distance) {
  if (pairs == 0) return;
  const size_t size = size_t{pairs} * dim;
  const Input<float> dx(backend, x, size), dy(backend, y, size);
  const Output<float> out(backend, distance, pairs);
  backend.poincare_distance({dx.data(), dy.data(), out.data(), pairs, dim, curvature});
  out.finish();
}

void poincare_distance_gradient(Backend& backend, const float* x, const float* y, const float* upstream, uint32_t pairs, uint32_t dim,
                                double curvature, float* grad_x, float* grad_y) {
  if (pairs == 0) return;
  const size_t size = size_t{pairs} * dim;
  const Input<float> dx(backend, x, size), dy(backend, y, size), up(backend, upstream, pairs);
  const Output<float> gx(backend, grad_x, size), gy(backend, grad_y, size);
  backend.poincare_distance_gradient({dx.data(), dy.data(), up.data(), gx.data(), gy.data(), pairs, dim, curvature});
  gx.finish(), gy.finish();
}

namespace {

void neighborhood_with_scratch(Backend& backend, Neighborhood a) {
  Buffer<uint8_t> scratch(backend, backend.neighborhood_scratch(a, a.triples));
  a.scratch = scratch.data();
  backend.neighborhood(a);
}

}  // namespace

void neighborhood(Backend& backend, Rows entities, Rows relations, uint32_t dim, const HostGraphView& graph, const uint32_t* items,
                  uint32_t count, double curvature, double temperature, float* midpoint, float* attention, float* distance) {
  if (count == 0) return;
  std::vector<uint32_t> triple_offsets(size_t{count} + 1, 0);
  for (uint32_t i = 0; i < count; ++i)
    triple_offsets[i + 1] = triple_offsets[i] + graph.offsets[items[i] + 1] - graph.offsets[items[i]];
  const Input<float> e = input_rows(backend, entities, dim), r = input_rows(backend, relations, dim);
  const Buffer<double> e_gap = gaps_of(backend, e, entities.count, dim, curvature), r_gap = gaps_of(backend, r, relations.count, dim, curvature);
  const Input<uint32_t> offsets(backend, graph.offsets, size_t{graph.items} + 1), ids(backend, graph.relations, graph.triples),
      tails(backend, graph.tails, graph.triples), heads(backend, items, count), head_count(backend, &count, 1),
      head_offsets(backend, triple_offsets.data(), triple_offsets.size());
  const double one = 1;
  const Buffer<double> scale(backend, &one, 1);
  const Output<float> out_midpoint(backend, midpoint, size_t{count} * dim), out_attention(backend, attention, triple_offsets.back());
  Buffer<double> out_distance(backend, count);
  neighborhood_with_scratch(backend, {e.data(), e_gap.data(), r.data(), r_gap.data(), {offsets.data(), ids.data(), tails.data()}, heads.data(),
                                      head_count.data(), count, head_offsets.data(), nullptr, dim, curvature, scale.data(), true,
                                      out_midpoint.data(), out_attention.data(), out_distance.data(), {}, nullptr, triple_offsets.back(), nullptr,
                                      temperature});
  out_midpoint.finish(), out_attention.finish();
  const std::vector<double> d = out_distance.download();
  std::copy(d.begin(), d.end(), distance);
}

void neighborhood_gradient(Backend& backend, Rows entities, Rows relations, uint32_t dim, const HostGraphView& graph, const uint32_t* items,
                           uint32_t count, const float* upstream, double curvature, double temperature, float* grad_entities, float* grad_relations) {
  std::fill_n(grad_entities, size_t{entities.count} * dim, 0.0f);
  std::fill_n(grad_relations, size_t{relations.count} * dim, 0.0f);
  if (count == 0) return;
  // L_K is computed once per distinct item; upstreams of repeated items add.
  std::vector<double> upstream_of(graph.items, 0.0);
  for (uint32_t i = 0; i < count; ++i) upstream_of[items[i]] += upstream[i];
  std::vector<uint32_t> distinct(items, items + count);
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  const uint32_t heads_n = static_cast<uint32_t>(distinct.size());
  std::vector<double> weights(heads_n);
  for (uint32_t i = 0; i < heads_n; ++i) weights[i] = upstream_of[distinct[i]];

  const DeviceGraph device_graph(backend, copy(graph), entities.count, relations.count);
  const Input<float> e = input_rows(backend, entities, dim), r = input_rows(backend, relations, dim);
  const Buffer<double> e_gap = gaps_of(backend, e, entities.count, dim, curvature), r_gap = gaps_of(backend, r, relations.count, dim, curvature);
  const double one = 1;
  const Buffer<double> scale(backend, &one, 1), weight(backend, weights);
  RowList heads(backend, graph.items, heads_n, heads_n), touched(backend, entities.count, entities.count, 2 * heads_n);
  const Buffer<uint32_t> keys(backend, distinct);
  heads.group(backend, keys.data(), heads_n);
  const uint32_t triples = device_graph.most_triples(heads_n), groups = device_graph.most_groups(heads_n);
  Buffer<uint32_t> triple_offsets(backend, size_t{heads_n} + 1), group_offsets(backend, size_t{heads_n} + 1);
  Buffer<uint8_t> marks(backend, entities.count);
  marks.fill(0);
  const TailLists tails(backend, entities.count, triples);
  backend.head_lists({device_graph.view(), device_graph.group_counts(), heads.rows(), heads.count(), heads_n, triple_offsets.data(),
                      group_offsets.data(), marks.data(), nullptr, entities.count, tails.order()});
  touched.group(backend, keys.data(), heads_n, marks.data());

  const size_t rows = size_t{heads_n} * dim;
  const size_t sums_n = backend.relation_sums(relations.count);
  Buffer<double> sum_rows(backend, sums_n * relations.count * dim);
  const RelationSums sums = sums_n ? RelationSums{sum_rows.data(), static_cast<uint32_t>(sums_n), relations.count, weight.data()} : RelationSums{};
  Buffer<float> group_gradient(backend, sums_n ? 0 : size_t{groups} * dim);
  Buffer<double> head_gradient(backend, rows), midpoint_gradient(backend, rows), scale_gradient(backend, heads_n), distance(backend, heads_n);
  Buffer<TripleGradient> tape_triples(backend, triples);
  const NeighborhoodTape tape{head_gradient.data(), midpoint_gradient.data(), tape_triples.data(), group_gradient.data(), scale_gradient.data()};
  neighborhood_with_scratch(backend, {e.data(), e_gap.data(), r.data(), r_gap.data(), device_graph.view(), heads.rows(), heads.count(), heads_n,
                                      triple_offsets.data(), group_offsets.data(), dim, curvature, scale.data(), true, nullptr, nullptr,
                                      distance.data(), tape, nullptr, triples, nullptr, temperature, sums, tails.order()});
  const Incidence in_edges = device_graph.in_edges(), relation_groups = device_graph.relation_groups();
  Buffer<double> partial(backend, size_t{std::max(in_edges.chunks, relation_groups.chunks)} * dim);
  Buffer<float> entity_rows(backend, size_t{touched.capacity()} * dim), relation_rows(backend, size_t{relations.count} * dim);
  backend.entity_gradient({e.data(), r.data(), in_edges, heads.rows(), heads.count(), heads.slot(), triple_offsets.data(),
                           weight.data(), tape, nullptr, nullptr, touched.rows(), touched.count(), touched.slot(), touched.capacity(),
                           graph.items, entities.count, dim, partial.data(), entity_rows.data(), tails.order()});
  backend.relation_gradient({relation_groups, heads.slot(), group_offsets.data(), weight.data(), group_gradient.data(), dim, partial.data(),
                             relation_rows.data(), sums});
  relation_rows.download(grad_relations);
  uint32_t touched_n = 0;
  backend.download(&touched_n, touched.count(), sizeof(touched_n));
  std::vector<uint32_t> ids(touched_n);
  std::vector<float> values(size_t{touched_n} * dim);
  if (touched_n == 0) return;
  backend.download(ids.data(), touched.rows(), ids.size() * sizeof(uint32_t));
  entity_rows.download(values.data(), values.size());
  for (uint32_t i = 0; i < touched_n; ++i)
    std::copy_n(values.data() + size_t{i} * dim, dim, grad_entities + size_t{ids[i]} * dim);
}

void hypergradient(Backend& backend, Rows users, Rows entities, Rows relations, uint32_t dim, const HostGraphView& graph, const float* beta,
                   const HostSamples& inner, const HostSamples& outer, double inner_learning_rate, double curvature, float* gradient) {
  bilevel_step(backend, users, entities, relations, dim, graph, beta, inner, outer, inner_learning_rate, curvature, 1.0,
               {nullptr, nullptr, nullptr, nullptr, nullptr, gradient});
}

void bilevel_step(Backend& backend, Rows users, Rows entities, Rows relations, uint32_t dim, const HostGraphView& graph, const float* beta,
                  const HostSamples& inner, const HostSamples& outer, double inner_learning_rate, double curvature, double scale_value,
                  const HostStep& out) {
  std::fill_n(out.hypergradient, graph.items, 0.0f);
  if (inner.count == 0 || outer.count == 0) return;
  const DeviceGraph device_graph(backend, copy(graph), entities.count, relations.count);
  const Input<float> u = input_rows(backend, users, dim), e = input_rows(backend, entities, dim), r = input_rows(backend, relations, dim);
  Buffer<double> u_gap = gaps_of(backend, u, users.count, dim, curvature), e_gap = gaps_of(backend, e, entities.count, dim, curvature),
                 r_gap = gaps_of(backend, r, relations.count, dim, curvature);
  const Buffer<double> scale(backend, &scale_value, 1);
  const Buffer<float> device_beta(backend, beta, graph.items);
  const StepTables tables{points_only(u, u_gap, users.count, dim), points_only(e, e_gap, entities.count, dim),
                          points_only(r, r_gap, relations.count, dim), device_beta.data(), scale.data()};
  const StepShape shape{users.count, graph.items, entities.count, relations.count, dim, std::max(inner.count, outer.count), inner.shared};
  Step step(backend, device_graph, shape, {curvature, false, false, true, true, 1.0, inner_learning_rate});
  Batch inner_batch(backend, shape), outer_batch(backend, shape);
  inner_batch.upload(inner.users, inner.positives, inner.negatives, inner.count, inner.left_out);
  outer_batch.upload(outer.users, outer.positives, outer.negatives, outer.count, outer.left_out);
  BatchLists lists(backend, device_graph, shape, true);
  BatchRows outer_rows(backend, shape);
  lists.build(backend, device_graph, inner_batch), outer_rows.group(backend, outer_batch);
  step.inner(tables, inner_batch, lists, out.scale_gradient != nullptr);

  const auto values_of = [&](const auto* values, size_t count) {
    std::vector<std::remove_cvref_t<decltype(*values)>> host(count);
    if (count) backend.download(host.data(), values, count * sizeof(*values));
    return host;
  };
  const auto scatter = [&](const RowList& list, const float* gradient, uint32_t columns, uint32_t rows, float* to) {
    std::fill_n(to, size_t{rows} * columns, 0.0f);
    const uint32_t count = values_of(list.count(), 1)[0];
    const std::vector<uint32_t> ids = values_of(list.rows(), count);
    const std::vector<float> values = values_of(gradient, size_t{count} * columns);
    for (uint32_t i = 0; i < count; ++i) std::copy_n(values.data() + size_t{i} * columns, columns, to + size_t{ids[i]} * columns);
  };
  if (out.users) {
    scatter(lists.rows().users, step.user_gradient(), dim, users.count, out.users);
    scatter(lists.touched(), step.entity_gradient(), dim, entities.count, out.entities);
    backend.download(out.relations, step.relation_gradient(), size_t{relations.count} * dim * sizeof(float));
    backend.download(out.loss, step.loss(), inner.count * sizeof(float));
  }
  if (out.scale_gradient) {
    const uint32_t heads = values_of(lists.heads().count(), 1)[0];
    const std::vector<double> weight = values_of(step.weight(), heads), of_heads = values_of(step.head_scale_gradient(), heads);
    *out.scale_gradient = 0;
    for (const double of_sample : values_of(step.sample_scale_gradient(), inner.count)) *out.scale_gradient += of_sample;
    for (uint32_t i = 0; i < heads; ++i) *out.scale_gradient += weight[i] * of_heads[i];
  }

  step.look_ahead(tables, lists, outer_rows), step.outer(tables, lists, outer_batch, outer_rows);
  const auto check_inside = [&](const RowList& list, const double* gap) {
    for (const double value : values_of(gap, values_of(list.count(), 1)[0]))
      require(value > 0, "ERR_HK_RANGE", "innerLearningRate: the lookahead Θ − innerLearningRate·∇J_inner leaves the ball; choose a smaller one");
  };
  check_inside(outer_rows.users, step.lookahead_gap_users()), check_inside(outer_rows.items, step.lookahead_gap_items());
  scatter(lists.heads(), step.hypergradient(), 1, graph.items, out.hypergradient);
}

void top_k(Backend& backend, Rows users, Rows items, uint32_t dim, uint32_t k, const uint32_t* exclude_offsets,
           const uint32_t* exclude_items, double curvature, uint32_t* out_items, float* out_distances,
           const PreparedItems* prepared) {
  if (users.count == 0 || k == 0) return;
  const Input<float> u = input_rows(backend, users, dim), v = input_rows(backend, items, dim);
  Buffer<uint32_t> offsets, excluded;
  if (exclude_offsets) {
    offsets = {backend, exclude_offsets, size_t{users.count} + 1};
    // kernels want ascending lists
    std::vector<uint32_t> sorted(exclude_items, exclude_items + exclude_offsets[users.count]);
    for (uint32_t i = 0; i < users.count; ++i) std::sort(sorted.begin() + exclude_offsets[i], sorted.begin() + exclude_offsets[i + 1]);
    excluded = {backend, sorted};
  }
  const size_t size = size_t{users.count} * k;
  const Output<uint32_t> found(backend, out_items, size);
  const Output<float> distances(backend, out_distances, size);
  backend.top_k({u.data(), v.data(), users.count, items.count, dim, k, curvature, 1.0, exclude_offsets ? offsets.data() : nullptr,
                 excluded.data(), found.data(), distances.data(), prepared});
  found.finish(), distances.finish();
}

}  // namespace hk
