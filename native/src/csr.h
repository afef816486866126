#pragma once
// The knowledge graph on a backend: item → triples as given, and the two transposed views that gradients are gathered along where the backend
// has no order of its own for them.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <numeric>
#include <vector>

#include "buffer.h"
#include "kernels.h"

namespace hk {

// A graph in host memory, checked by whoever made it: offsets ascending from 0, ids in range.
struct HostGraph {
  std::vector<uint32_t> offsets, relations, tails;
  uint32_t items() const { return static_cast<uint32_t>(offsets.size()) - 1; }
};

// An Incidence and its memory; without rows where there is none.
class DeviceIncidence {
 public:
  DeviceIncidence() = default;
  // `row_of[i]` is the row that contribution i belongs to; contributions keep their order within a row. `relations` may be empty.
  DeviceIncidence(Backend& backend, uint32_t rows, const std::vector<uint32_t>& row_of, const std::vector<uint32_t>& items,
                  const std::vector<uint32_t>& positions, const std::vector<uint32_t>& relations) {
    const uint32_t chunk = backend.incidence_chunk();
    std::vector<uint32_t> offsets(rows + 1, 0), chunk_offsets(rows + 1, 0), chunk_rows, long_rows;
    for (const uint32_t row : row_of) ++offsets[row + 1];
    std::partial_sum(offsets.begin(), offsets.end(), offsets.begin());
    std::vector<uint32_t> cursor(offsets.begin(), offsets.end() - 1), by_row_items(items.size()), by_row_positions(items.size()),
        by_row_relations(relations.size());
    for (size_t i = 0; i < row_of.size(); ++i) {
      const uint32_t at = cursor[row_of[i]]++;
      by_row_items[at] = items[i], by_row_positions[at] = positions[i];
      if (!relations.empty()) by_row_relations[at] = relations[i];
    }
    for (uint32_t row = 0; row < rows; ++row) {
      const uint32_t length = offsets[row + 1] - offsets[row];
      if (length > chunk) chunk_rows.insert(chunk_rows.end(), (length + chunk - 1) / chunk, row), long_rows.push_back(row);
      chunk_offsets[row + 1] = static_cast<uint32_t>(chunk_rows.size());
    }
    rows_ = rows, chunks_ = static_cast<uint32_t>(chunk_rows.size()), longs_ = static_cast<uint32_t>(long_rows.size()), chunk_ = chunk;
    offsets_ = {backend, offsets}, items_ = {backend, by_row_items}, positions_ = {backend, by_row_positions};
    relations_ = {backend, by_row_relations};
    chunk_offsets_ = {backend, chunk_offsets}, chunk_rows_ = {backend, chunk_rows}, long_rows_ = {backend, long_rows};
  }
  Incidence view() const {
    return {offsets_.data(),       items_.data(),      positions_.data(), relations_.size() > 0 ? relations_.data() : nullptr,
            chunk_offsets_.data(), chunk_rows_.data(), long_rows_.data(), rows_, chunks_, longs_, chunk_};
  }

 private:
  Buffer<uint32_t> offsets_, items_, positions_, relations_, chunk_offsets_, chunk_rows_, long_rows_;
  uint32_t rows_ = 0, chunks_ = 0, longs_ = 0, chunk_ = 0;
};

class DeviceGraph {
 public:
  DeviceGraph(Backend& backend, const HostGraph& graph, uint32_t entities, uint32_t relations) {
    const uint32_t items = graph.items();
    const bool wants_in_edges = !backend.wants_tail_order(), wants_groups = backend.relation_sums(relations) == 0;
    std::vector<uint32_t> counts(items), triple_items, triple_positions;
    std::vector<uint32_t> group_rows, group_items, group_positions, degrees(items), item_tail_offsets(items + 1, 0), item_tails;
    if (wants_in_edges) triple_items.reserve(graph.tails.size()), triple_positions.reserve(graph.tails.size());
    for (uint32_t item = 0; item < items; ++item) {
      const uint32_t begin = graph.offsets[item], end = graph.offsets[item + 1];
      degrees[item] = end - begin;
      for (uint32_t t = begin; t < end; ++t) {
        if (wants_in_edges) triple_items.push_back(item), triple_positions.push_back(t - begin);
        if (graph.tails[t] < items && !backend.wants_windows()) item_tails.push_back(t - begin);  // windows are walked whole
        if (t > begin && graph.relations[t] == graph.relations[t - 1]) continue;
        if (wants_groups) group_rows.push_back(graph.relations[t]), group_items.push_back(item), group_positions.push_back(counts[item]);
        ++counts[item];
      }
      item_tail_offsets[item + 1] = static_cast<uint32_t>(item_tails.size());
    }
    offsets_ = {backend, graph.offsets}, relations_ = {backend, graph.relations}, tails_ = {backend, graph.tails};
    group_counts_ = {backend, counts}, item_tail_offsets_ = {backend, item_tail_offsets}, item_tails_ = {backend, item_tails};
    if (wants_in_edges) in_edges_ = {backend, entities, graph.tails, triple_items, triple_positions, graph.relations};
    if (wants_groups) relation_groups_ = {backend, relations, group_rows, group_items, group_positions, {}};
    degrees_ = std::move(degrees), counts_ = std::move(counts);
  }

  GraphView view() const { return {offsets_.data(), relations_.data(), tails_.data()}; }
  const uint32_t* group_counts() const { return group_counts_.data(); }
  ItemTails item_tails() const { return {item_tail_offsets_.data(), item_tails_.data()}; }
  Incidence in_edges() const { return in_edges_.view(); }
  Incidence relation_groups() const { return relation_groups_.view(); }

  // Most triples, and most relation groups, that any `heads` distinct items can have together.
  uint32_t most_triples(uint32_t heads) const { return sum_of_largest(degrees_, heads); }
  uint32_t most_groups(uint32_t heads) const { return sum_of_largest(counts_, heads); }

 private:
  static uint32_t sum_of_largest(std::vector<uint32_t> values, uint32_t count) {
    const size_t n = std::min<size_t>(count, values.size());
    std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(n), values.end(), std::greater<>());
    return std::accumulate(values.begin(), values.begin() + static_cast<ptrdiff_t>(n), 0u);
  }

  Buffer<uint32_t> offsets_, relations_, tails_, group_counts_, item_tail_offsets_, item_tails_;
  DeviceIncidence in_edges_, relation_groups_;
  std::vector<uint32_t> degrees_, counts_;
};

}  // namespace hk
