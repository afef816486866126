#include "step.h"

#include <algorithm>

namespace hk {

void Batch::upload(const uint32_t* host_users, const uint32_t* host_positives, const uint32_t* host_negatives, uint32_t samples,
                   const uint32_t* host_left_out) {
  count = samples;
  std::vector<uint32_t> keys;
  keys.reserve(key_count());
  if (shared) {
    keys.assign(host_positives, host_positives + samples), keys.insert(keys.end(), host_negatives, host_negatives + shared);
    left_out.upload(host_left_out, samples * (left_out.size() / users.size()));
  } else {
    for (uint32_t i = 0; i < samples; ++i) keys.push_back(host_positives[i]), keys.push_back(host_negatives[i]);
    negatives.upload(host_negatives, samples);
  }
  users.upload(host_users, samples), positives.upload(host_positives, samples), item_keys.upload(keys.data(), keys.size());
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
    : users(backend, shape.users, shape.batch, shape.batch), items(backend, shape.entities, shape.item_keys(), shape.item_keys()) {}

void BatchRows::group(Backend& backend, const Batch& batch, RowList* heads) {
  GroupRows all{{items.groups(batch.item_keys.data(), batch.key_count()), users.groups(batch.users.data(), batch.count)}, 2};
  if (heads) all.lists[all.count++] = heads->groups(batch.positives.data(), batch.count);
  backend.group_rows(all);
}

TailLists::TailLists(Backend& backend, uint32_t entities, uint32_t triples) {
  if (!backend.wants_tail_order()) return;
  offsets_ = {backend, size_t{entities} + 1};
  places_ = {backend, triples}, entries_ = {backend, triples};
  order_ = {offsets_.data(), places_.data(), entries_.data()};
}

BatchLists::BatchLists(Backend& backend, const DeviceGraph& graph, const StepShape& shape, bool knowledge)
    : knowledge_(knowledge),
      rows_(backend, shape),
      heads_(backend, knowledge ? shape.items : 1, shape.batch, shape.batch),
      touched_(backend, knowledge ? shape.entities : 1, knowledge ? shape.item_keys() + graph.most_triples(shape.batch) : 1, shape.item_keys()),
      marks_(backend, knowledge ? shape.entities : 1),
      triple_offsets_(backend, knowledge ? size_t{heads_.capacity()} + 1 : 1),
      group_offsets_(backend, knowledge ? size_t{heads_.capacity()} + 1 : 1),
      windows_(backend, knowledge && backend.wants_windows() ? most_windows(heads_.capacity(), graph.most_triples(shape.batch)) : 0),
      tails_(backend, knowledge ? shape.entities : 0, knowledge ? graph.most_triples(shape.batch) : 0) {
  marks_.fill(0);
}

void BatchLists::build(Backend& backend, const DeviceGraph& graph, const Batch& batch) {
  rows_.group(backend, batch, knowledge_ ? &heads_ : nullptr);
  if (!knowledge_) return;
  backend.head_lists({graph.view(), graph.group_counts(), heads_.rows(), heads_.count(), heads_.capacity(), triple_offsets_.data(),
                      group_offsets_.data(), marks_.data(), windows_.size() ? windows_.data() : nullptr, static_cast<uint32_t>(marks_.size()),
                      tails_.order()});
  touched_.group(backend, batch.item_keys.data(), batch.key_count(), marks_.data());
}

Step::Step(Backend& backend, const DeviceGraph& graph, const StepShape& shape, const StepOptions& options)
    : backend_(backend), graph_(graph), shape_(shape), options_(options) {
  const size_t dim = shape.dim, batch = shape.batch;
  const size_t users = std::min(shape.users, shape.batch), items = std::min(shape.entities, shape.item_keys());
  const size_t heads = options.knowledge ? std::min(shape.items, shape.batch) : 0;
  const size_t triples = options.knowledge ? graph.most_triples(shape.batch) : 0;
  const bool attention = options.knowledge && options.attention;
  const size_t sums = attention ? backend.relation_sums(shape.relations) : 0;
  const size_t groups = attention && sums == 0 ? graph.most_groups(shape.batch) : 0;
  weight_ = {backend, heads}, head_distance_ = {backend, heads};
  tape_head_gradient_ = {backend, heads * dim}, tape_midpoint_gradient_ = {backend, heads * dim};
  tape_scale_gradient_ = {backend, heads}, tape_triples_ = {backend, triples}, tape_relation_gradient_ = {backend, groups * dim};
  relation_sums_ = {backend, sums * shape.relations * dim};
  if (options.float32_sums) tape_tame_ = {backend, heads}, tape_tame_.fill(0);
  if (options.float32_sums && backend.wants_tail_order()) tape_singles_ = {backend, triples};
  Neighborhood largest{};
  largest.capacity = static_cast<uint32_t>(heads), largest.dim = shape.dim, largest.attention = attention, largest.tape = tape();
  neighborhood_scratch_ = {backend, options.knowledge ? backend.neighborhood_scratch(largest, triples) : 0};
  loss_ = {backend, batch}, sample_scale_gradient_ = {backend, batch};
  if (shape.negatives == 0) {
    ranking_tape_ = {backend, batch};
  } else {
    softmax_tape_ = {backend, batch}, softmax_sqdist_ = {backend, batch * shape.pitch()}, softmax_slope_ = {backend, batch * shape.pitch()};
    softmax_partial_ = {backend, (batch + kSampleChunk - 1) / kSampleChunk * shape.negatives * (dim + 2)};
  }
  user_gradient_ = {backend, users * dim}, item_gradient_ = {backend, items * dim};
  if (options.knowledge) entity_gradient_ = {backend, std::min<size_t>(shape.entities, shape.item_keys() + triples) * dim};
  relation_gradient_ = {backend, shape.relations * dim}, relation_gradient_.fill(0);
  hypergradient_ = {backend, heads};
  hypergradient_partial_ = {backend, options.knowledge && backend.wants_windows() ? most_windows(heads, triples) : 0};
  entity_partial_ = {backend, graph.in_edges().chunks * dim}, relation_partial_ = {backend, graph.relation_groups().chunks * dim};
  ahead_user_points_ = {backend, users * dim}, ahead_user_gap_ = {backend, users};
  ahead_items_ = {backend, items * dim}, ahead_item_points_ = {backend, items * dim}, ahead_item_gap_ = {backend, items};
  outer_gradient_ = {backend, items * dim};
}

void Step::forget() {
  for (auto* buffer : {&tape_head_gradient_, &tape_midpoint_gradient_, &softmax_partial_, &ahead_user_points_, &ahead_items_,
                       &ahead_item_points_, &outer_gradient_})
    buffer->forget();
  for (auto* buffer : {&softmax_sqdist_, &softmax_slope_, &user_gradient_, &item_gradient_, &entity_gradient_}) buffer->forget();
  tape_triples_.forget(), tape_singles_.forget();
}

NeighborhoodTape Step::tape() {
  return {tape_head_gradient_.data(), tape_midpoint_gradient_.data(), tape_triples_.data(),
          options_.attention ? tape_relation_gradient_.data() : nullptr, tape_scale_gradient_.data(),
          tape_tame_.size() ? tape_tame_.data() : nullptr, tape_singles_.size() ? tape_singles_.data() : nullptr};
}

void Step::ranking_loss(const PointTable& users, const PointTable& items, const Batch& batch, const double* scale, float* loss,
                        double* scale_gradient) {
  if (shape_.negatives == 0) {
    backend_.ranking_loss({users, items, batch.users.data(), batch.positives.data(), batch.negatives.data(), batch.count, shape_.dim,
                           options_.curvature, scale, loss, ranking_tape_.data(), scale_gradient});
  } else {
    backend_.softmax_loss({users, items, batch.users.data(), batch.positives.data(), batch.shared_negatives(), batch.left_out.data(), batch.count,
                           shape_.negatives, shape_.pitch(), shape_.dim, options_.curvature, scale, softmax_sqdist_.data(),
                           softmax_slope_.data(), loss, softmax_tape_.data(), scale_gradient});
  }
}

void Step::ranking_gradient(const PointTable& users, const PointTable& items, const Batch& batch, bool of_users, const RowList& list,
                            float* gradient, double* gradient64) {
  if (shape_.negatives == 0) {
    backend_.ranking_gradient({users, items, batch.users.data(), batch.positives.data(), batch.negatives.data(), ranking_tape_.data(), of_users,
                               list.rows(), list.count(), list.offsets(), list.order(), list.capacity(), shape_.dim, gradient, gradient64});
  } else {
    backend_.softmax_gradient({users, items, batch.users.data(), batch.positives.data(), batch.shared_negatives(), softmax_sqdist_.data(),
                               softmax_slope_.data(), softmax_tape_.data(), batch.count, shape_.negatives, shape_.pitch(), of_users, list.rows(),
                               list.count(), list.offsets(), list.order(), list.capacity(), shape_.dim, options_.curvature,
                               softmax_partial_.data(), gradient, gradient64});
  }
}

RelationSums Step::sums() {
  if (relation_sums_.size() == 0) return {};
  return {relation_sums_.data(), backend_.relation_sums(shape_.relations), shape_.relations, weight_.data()};
}

void Step::inner(const StepTables& tables, const Batch& batch, const BatchLists& lists, bool learn_scale, const Adam* others) {
  const uint32_t dim = shape_.dim;
  const PointTable users{tables.users.points, nullptr, tables.users.gap, nullptr};
  const PointTable items{tables.entities.points, nullptr, tables.entities.gap, nullptr};
  const auto rank = [&] {
    ranking_loss(users, items, batch, tables.scale, loss_.data(), learn_scale ? sample_scale_gradient_.data() : nullptr);
    backend_.branches({[&] { ranking_gradient(users, items, batch, true, lists.rows().users, user_gradient_.data(), nullptr); },
                       [&] { ranking_gradient(users, items, batch, false, lists.rows().items, item_gradient_.data(), nullptr); }});
  };
  if (!options_.knowledge) return rank();

  const RowList &heads = lists.heads(), &touched = lists.touched();
  const float* relations = options_.attention ? tables.relations.points : nullptr;
  const auto neighborhoods = [&] {
    backend_.neighborhood({tables.entities.points, tables.entities.gap, relations, tables.relations.gap, graph_.view(), heads.rows(),
                           heads.count(), heads.capacity(), lists.triple_offsets(), lists.group_offsets(), dim, options_.curvature,
                           tables.scale, options_.attention, nullptr, nullptr, head_distance_.data(), tape(), lists.windows(), tape_triples_.size(),
                           neighborhood_scratch_.data(), options_.temperature, sums(), lists.tail_order()});
  };
  const auto weigh = [&] {
    backend_.head_weights(
        {heads.rows(), heads.count(), heads.offsets(), heads.capacity(), tables.beta, options_.knowledge_weight, weight_.data()});
  };
  if (sums().rows) {  // of which the weights are a part
    weigh();
    backend_.branches({neighborhoods, rank});
  } else {
    backend_.branches({neighborhoods, rank, weigh});
  }

  const auto of_entities = [&] {
    const EntityGradient gradient{tables.entities.points, relations, graph_.in_edges(), heads.rows(), heads.count(), heads.slot(),
                                  lists.triple_offsets(), weight_.data(), tape(), lists.rows().items.slot(), item_gradient_.data(),
                                  touched.rows(), touched.count(), touched.slot(), touched.capacity(), shape_.items, shape_.entities, dim,
                                  entity_partial_.data(), entity_gradient_.data(), lists.tail_order()};
    if (others)
      backend_.entity_step(gradient, *others);
    else
      backend_.entity_gradient(gradient);
  };
  const auto of_relations = [&] {
    backend_.relation_gradient({graph_.relation_groups(), heads.slot(), lists.group_offsets(), weight_.data(), tape_relation_gradient_.data(),
                                dim, relation_partial_.data(), relation_gradient_.data(), sums()});
  };
  if (options_.attention)
    backend_.branches({of_entities, of_relations});
  else
    of_entities();
}

void Step::look_ahead(const StepTables& tables, const BatchLists& lists, const BatchRows& outer) {
  const auto ahead = [&](const AdamTable& table, const RowList& list, const uint32_t* gradient_slot, const float* gradient,
                         Buffer<double>& parameters, Buffer<double>& points, Buffer<double>& gap) {
    backend_.lookahead({table.parameters, list.rows(), list.count(), gradient_slot, gradient, options_.inner_learning_rate, list.capacity(),
                        shape_.dim, options_.curvature, options_.tangent, options_.project, parameters.data(), points.data(), gap.data()});
  };
  backend_.branches({[&] {
                       ahead(tables.entities, outer.items, lists.touched().slot(), entity_gradient(), ahead_items_, ahead_item_points_,
                             ahead_item_gap_);
                     },
                     [&] {
                       ahead(tables.users, outer.users, lists.rows().users.slot(), user_gradient(), ahead_user_points_,
                             ahead_user_points_, ahead_user_gap_);
                     }});
}

void Step::outer(const StepTables& tables, const BatchLists& lists, const Batch& batch, const BatchRows& outer) {
  const uint32_t dim = shape_.dim;
  const RowList& heads = lists.heads();
  const PointTable users{nullptr, ahead_user_points_.data(), ahead_user_gap_.data(), outer.users.slot()};
  const PointTable items{nullptr, ahead_item_points_.data(), ahead_item_gap_.data(), outer.items.slot()};
  ranking_loss(users, items, batch, tables.scale, nullptr, nullptr);
  ranking_gradient(users, items, batch, false, outer.items, nullptr, outer_gradient_.data());
  if (options_.tangent)
    backend_.lookahead_gradient({tables.entities.parameters, outer.items.rows(), outer.items.count(), outer.items.capacity(), dim,
                                 options_.curvature, ahead_items_.data(), outer_gradient_.data()});
  backend_.hypergradient({tables.entities.points, options_.attention ? tables.relations.points : nullptr, graph_.view(), graph_.item_tails(),
                          heads.rows(), heads.count(), heads.offsets(), lists.triple_offsets(), tape(), tables.beta, options_.inner_learning_rate,
                          outer.items.slot(), outer_gradient_.data(), heads.capacity(), dim, lists.windows(), hypergradient_partial_.data(),
                          hypergradient_.data(), lists.tail_order()});
}

}  // namespace hk
