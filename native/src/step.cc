#include "step.h"

#include <algorithm>

namespace hk {

void Batch::upload(const uint32_t* host_users, const uint32_t* host_positives, const uint32_t* host_negatives, uint32_t samples) {
  std::vector<uint32_t> keys(2 * size_t{samples});
  for (uint32_t i = 0; i < samples; ++i) keys[2 * size_t{i}] = host_positives[i], keys[2 * size_t{i} + 1] = host_negatives[i];
  count = samples;
  users.upload(host_users, samples), positives.upload(host_positives, samples), negatives.upload(host_negatives, samples);
  item_keys.upload(keys.data(), keys.size());
}

RowList::RowList(Backend& backend, uint32_t rows, uint32_t capacity, uint32_t keys)
    : table_rows_(rows),
      capacity_(std::min(rows, capacity)),
      unique_(backend, capacity_),
      count_(backend, 1),
      offsets_(backend, size_t{capacity_} + 1),
      order_(backend, keys),
      slot_(backend, rows),
      workspace_(backend, size_t{rows} + 1024) {
  count_.fill(0), slot_.fill(0xff);
}

RowGroups RowList::groups(const uint32_t* keys, uint32_t key_count, uint8_t* marks) {
  return {keys, key_count, table_rows_, marks, unique_.data(), count_.data(), offsets_.data(), order_.data(), slot_.data(), capacity_,
          workspace_.data()};
}

void RowList::group(Backend& backend, const uint32_t* keys, uint32_t key_count, uint8_t* marks) {
  backend.group_rows({{groups(keys, key_count, marks)}, 1});
}

BatchRows::BatchRows(Backend& backend, const StepShape& shape)
    : users(backend, shape.users, shape.batch, shape.batch), items(backend, shape.entities, 2 * shape.batch, 2 * shape.batch) {}

void BatchRows::group(Backend& backend, const Batch& batch, RowList* heads) {
  GroupRows all{{items.groups(batch.item_keys.data(), 2 * batch.count), users.groups(batch.users.data(), batch.count)}, 2};
  if (heads) all.lists[all.count++] = heads->groups(batch.positives.data(), batch.count);
  backend.group_rows(all);
}

Step::Step(Backend& backend, const DeviceGraph& graph, const StepShape& shape, const StepOptions& options)
    : backend_(backend),
      graph_(graph),
      shape_(shape),
      options_(options),
      rows_(backend, shape),
      heads_(backend, options.knowledge ? shape.items : 1, shape.batch, shape.batch),
      touched_(backend, options.knowledge ? shape.entities : 1, options.knowledge ? 2 * shape.batch + graph.most_triples(shape.batch) : 1,
               2 * shape.batch) {
  const size_t dim = shape.dim, batch = shape.batch;
  const size_t heads = options.knowledge ? heads_.capacity() : 0, triples = options.knowledge ? graph.most_triples(shape.batch) : 0;
  const size_t groups = options.knowledge && options.attention ? graph.most_groups(shape.batch) : 0;
  marks_ = {backend, options.knowledge ? shape.entities : 1}, marks_.fill(0);
  triple_offsets_ = {backend, heads + 1}, group_offsets_ = {backend, heads + 1};
  weight_ = {backend, heads}, head_distance_ = {backend, heads};
  tape_head_gradient_ = {backend, heads * dim}, tape_midpoint_gradient_ = {backend, heads * dim};
  tape_scale_gradient_ = {backend, heads}, tape_triples_ = {backend, triples}, tape_relation_gradient_ = {backend, groups * dim};
  loss_ = {backend, batch}, ranking_tape_ = {backend, batch}, sample_scale_gradient_ = {backend, batch};
  user_gradient_ = {backend, rows_.users.capacity() * dim}, item_gradient_ = {backend, rows_.items.capacity() * dim};
  if (options.knowledge) entity_gradient_ = {backend, touched_.capacity() * dim};
  relation_gradient_ = {backend, shape.relations * dim}, relation_gradient_.fill(0);
  hypergradient_ = {backend, heads};
  partial_ = {backend, std::max(graph.in_edges().chunks, graph.relation_groups().chunks) * dim};
  ahead_users_ = {backend, rows_.users.capacity() * dim}, ahead_user_points_ = {backend, rows_.users.capacity() * dim};
  ahead_user_gap_ = {backend, rows_.users.capacity()};
  ahead_items_ = {backend, rows_.items.capacity() * dim}, ahead_item_points_ = {backend, rows_.items.capacity() * dim};
  ahead_item_gap_ = {backend, rows_.items.capacity()}, outer_gradient_ = {backend, rows_.items.capacity() * dim};
  outer_tape_ = {backend, batch};
}

NeighborhoodTape Step::tape() {
  return {tape_head_gradient_.data(), tape_midpoint_gradient_.data(), tape_triples_.data(),
          options_.attention ? tape_relation_gradient_.data() : nullptr, tape_scale_gradient_.data()};
}

void Step::group(const Batch& batch) {
  rows_.group(backend_, batch, options_.knowledge ? &heads_ : nullptr);
}

void Step::weigh(const StepTables& tables, const Batch& batch) {
  if (!options_.knowledge) return;
  backend_.head_lists({graph_.view(), graph_.group_counts(), heads_.rows(), heads_.count(), heads_.offsets(), heads_.capacity(), tables.beta,
                       options_.knowledge_weight, triple_offsets_.data(), group_offsets_.data(), weight_.data(), marks_.data()});
  touched_.group(backend_, batch.item_keys.data(), 2 * batch.count, marks_.data());
}

void Step::inner(const StepTables& tables, const Batch& batch, bool learn_scale) {
  const uint32_t dim = shape_.dim;
  const float* relations = options_.attention ? tables.relations.points : nullptr;
  const PointTable users{tables.users.points, nullptr, tables.users.gap, nullptr};
  const PointTable items{tables.entities.points, nullptr, tables.entities.gap, nullptr};
  backend_.ranking_loss({users, items, batch.users.data(), batch.positives.data(), batch.negatives.data(), batch.count, dim,
                         options_.curvature, tables.scale, loss_.data(), ranking_tape_.data(),
                         learn_scale ? sample_scale_gradient_.data() : nullptr});
  const auto gradient = [&](bool of_users, const RowList& list, float* out) {
    backend_.ranking_gradient({users, items, batch.users.data(), batch.positives.data(), batch.negatives.data(), ranking_tape_.data(), of_users,
                               list.rows(), list.count(), list.offsets(), list.order(), list.capacity(), dim, out, nullptr});
  };
  gradient(true, rows_.users, user_gradient_.data());
  gradient(false, rows_.items, item_gradient_.data());
  if (!options_.knowledge) return;

  backend_.neighborhood({tables.entities.points, tables.entities.gap, relations, tables.relations.gap, graph_.view(), heads_.rows(),
                         heads_.count(), heads_.capacity(), triple_offsets_.data(), group_offsets_.data(), dim, options_.curvature,
                         tables.scale, options_.attention, nullptr, nullptr, head_distance_.data(), tape()});
  backend_.entity_gradient({tables.entities.points, relations, graph_.view(), graph_.in_edges(), heads_.slot(), triple_offsets_.data(),
                            weight_.data(), tape(), rows_.items.slot(), item_gradient_.data(), touched_.rows(), touched_.count(),
                            touched_.slot(), touched_.capacity(), shape_.items, dim, partial_.data(), entity_gradient_.data()});
  if (options_.attention)
    backend_.relation_gradient({graph_.relation_groups(), heads_.slot(), group_offsets_.data(), weight_.data(),
                                tape_relation_gradient_.data(), dim, partial_.data(), relation_gradient_.data()});
}

void Step::outer(const StepTables& tables, const Batch& outer, const BatchRows& rows) {
  const uint32_t dim = shape_.dim;
  const auto ahead = [&](const AdamTable& table, const RowList& list, const uint32_t* gradient_slot, const float* gradient,
                         Buffer<double>& parameters, Buffer<double>& points, Buffer<double>& gap) {
    backend_.lookahead({table.parameters, list.rows(), list.count(), gradient_slot, gradient, options_.inner_learning_rate, list.capacity(),
                        dim, options_.curvature, options_.tangent, options_.project, parameters.data(), points.data(), gap.data()});
  };
  ahead(tables.users, rows.users, rows_.users.slot(), user_gradient(), ahead_users_, ahead_user_points_, ahead_user_gap_);
  ahead(tables.entities, rows.items, touched().slot(), entity_gradient(), ahead_items_, ahead_item_points_, ahead_item_gap_);
  const PointTable users{nullptr, ahead_user_points_.data(), ahead_user_gap_.data(), rows.users.slot()};
  const PointTable items{nullptr, ahead_item_points_.data(), ahead_item_gap_.data(), rows.items.slot()};
  backend_.ranking_loss({users, items, outer.users.data(), outer.positives.data(), outer.negatives.data(), outer.count, dim,
                         options_.curvature, tables.scale, nullptr, outer_tape_.data(), nullptr});
  backend_.ranking_gradient({users, items, outer.users.data(), outer.positives.data(), outer.negatives.data(), outer_tape_.data(), false,
                             rows.items.rows(), rows.items.count(), rows.items.offsets(), rows.items.order(), rows.items.capacity(), dim,
                             nullptr, outer_gradient_.data()});
  if (options_.tangent)
    backend_.lookahead_gradient({tables.entities.parameters, rows.items.rows(), rows.items.count(), rows.items.capacity(), dim,
                                 options_.curvature, ahead_items_.data(), outer_gradient_.data()});
  backend_.hypergradient({tables.entities.points, options_.attention ? tables.relations.points : nullptr, graph_.view(), heads_.rows(),
                          heads_.count(), heads_.offsets(), triple_offsets_.data(), tape(), tables.beta, options_.inner_learning_rate,
                          rows.items.slot(), outer_gradient_.data(), heads_.capacity(), shape_.items, dim, hypergradient_.data()});
}

}  // namespace hk
