#include "model.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "error.h"
#include "philox.h"

namespace hk {

ParameterTable::ParameterTable(Backend& backend, uint32_t rows, uint32_t dim, bool has_points, bool tangent, bool steps,
                               bool averaged)
    : rows(rows), dim(dim), separate_points_(has_points && tangent), has_points_(has_points) {
  const size_t size = size_t{rows} * dim;
  parameters = {backend, size}, first = {backend, size}, second = {backend, size};
  first.fill(0), second.fill(0);
  if (separate_points_) points = {backend, size};
  if (has_points_) gap = {backend, rows};
  if (steps) step = {backend, rows}, step.fill(0);
  if (!averaged) return;
  average = {backend, size}, average_gap = {backend, rows};
  if (separate_points_) average_points = {backend, size};
}

AdamTable ParameterTable::view() {
  float* at = !has_points_ ? nullptr : separate_points_ ? points.data() : parameters.data();
  return {parameters.data(), first.data(), second.data(), step.data(), at, gap.data(), rows, dim};
}

AdamTable ParameterTable::average_view() {
  return {average.data(), nullptr, nullptr, nullptr, separate_points_ ? average_points.data() : average.data(), average_gap.data(), rows, dim};
}

const Buffer<float>& ParameterTable::result() const {
  if (average.size()) return separate_points_ ? average_points : average;
  return separate_points_ ? points : parameters;
}

void ParameterTable::keep_result() {
  if (average.size()) parameters = std::move(average), points = std::move(average_points);
  first = {}, second = {}, gap = {}, step = {}, average = {}, average_points = {}, average_gap = {};
  if (separate_points_) parameters = {};
}

Model::Model(Backend& backend, const ModelShape& s)
    : shape(s),
      users(backend, s.users, s.dim, true, s.tangent, s.exact_adam, s.average),
      entities(backend, s.entities, s.dim, true, s.tangent, s.exact_adam, s.average),
      relations(backend, s.relations, s.dim, true, s.tangent, s.exact_adam, s.average),
      beta(backend, s.items, 1, false, false, s.exact_adam, false),
      scale(backend, 1),
      scale_state(backend, 3),
      backend_(backend) {
  initialise(users, 0), initialise(entities, 1), initialise(relations, 2);
  const std::vector<float> flat(s.items, static_cast<float>(s.beta));
  beta.parameters.upload(flat.data());
  const double scale_start[1] = {s.scale}, state_start[3] = {std::log(s.scale), 0, 0};
  scale.upload(scale_start), scale_state.upload(state_start);
  map();
  // A row that never moves has this average for good, however large the start was before it was kept within the ball.
  for (ParameterTable* table : {&users, &entities, &relations})
    if (table->average.size()) table->average.upload(table->parameters.download().data());
}

// Uniform in [−init_scale, init_scale], a function of (seed, table, row, column) alone.
void Model::initialise(ParameterTable& table, uint32_t number) {
  constexpr uint32_t kRows = 1024;  // at once: a second table in host memory would be the largest block of all
  std::vector<float> values(size_t{std::min(table.rows, kRows)} * table.dim);
  for (uint32_t begin = 0; begin < table.rows; begin += kRows) {
    const uint32_t rows = std::min(table.rows - begin, kRows);
    for (uint32_t i = 0; i < rows; ++i)
      for (uint32_t k = 0; k < table.dim; k += 4) {
        const Philox4 random = philox(shape.seed, begin + i, k / 4, number, kStreamInit);
        for (uint32_t j = 0; j < 4 && k + j < table.dim; ++j)
          values[size_t{i} * table.dim + k + j] =
              static_cast<float>(shape.init_scale * ((random.word[j] >> 8) * std::ldexp(1.0, -23) - 1.0));
      }
    backend_.upload(table.parameters.data() + size_t{begin} * table.dim, values.data(), size_t{rows} * table.dim * sizeof(float));
  }
}

void Model::map() {
  for (ParameterTable* table : {&users, &entities, &relations}) backend_.map_parameters({table->view(), shape.curvature, shape.tangent});
}

void Model::map_averages() {
  if (!shape.average || averages_mapped_) return;
  for (ParameterTable* table : {&users, &entities, &relations})
    backend_.map_parameters({table->average_view(), shape.curvature, shape.tangent});
  averages_mapped_ = true;
}

HostParameters Model::read() {
  map_averages();
  const double s = scale.first();
  const auto coordinates = [&](const ParameterTable& table) {
    std::vector<float> values = table.result().download();
    const double factor = shape.curvature > 0 ? s : 1.0;
    for (float& x : values) x = static_cast<float>(factor * x);
    return values;
  };
  return {coordinates(users), coordinates(entities), coordinates(relations), beta.parameters.download(),
          shape.curvature > 0 ? 1.0 / (s * s) : 0.0};
}

void Model::keep_result() {
  map_averages();
  for (ParameterTable* table : {&users, &entities, &relations}) table->keep_result();
  beta.first = {}, beta.second = {}, beta.step = {};
}

HostState Model::state() const {
  HostState out;
  const auto add = [&](const std::string& name, const ParameterTable& table) {
    out.floats[name + ".parameters"] = table.parameters.download();
    out.floats[name + ".first"] = table.first.download();
    out.floats[name + ".second"] = table.second.download();
    if (table.step.size()) out.integers[name + ".step"] = table.step.download();
    if (table.average.size()) out.floats[name + ".average"] = table.average.download();
  };
  add("users", users), add("entities", entities), add("relations", relations), add("beta", beta);
  out.doubles["scale"] = scale_state.download();
  return out;
}

void Model::restore(const HostStateView& state) {
  const auto check = [](const auto& tensors, const std::string& name, size_t size) -> const auto& {
    const auto found = tensors.find(name);
    require(found != tensors.end(), "ERR_HK_MODEL_FILE", "the state has no tensor '" + name + "' (of this type)");
    require(found->second.size() == size, "ERR_HK_MODEL_FILE",
            "tensor '" + name + "' has " + std::to_string(found->second.size()) + " elements, not " + std::to_string(size));
    const bool finite = std::all_of(found->second.begin(), found->second.end(), [](auto x) { return std::isfinite(static_cast<double>(x)); });
    require(finite, "ERR_HK_MODEL_FILE", "tensor '" + name + "' holds a number that is not finite");
    return found->second;
  };
  const double log_scale = check(state.doubles, "scale", 3)[0];
  // A scale that has not moved is the one that was given: exp(ln s) may be its neighbour.
  const double scale_now = log_scale == std::log(shape.scale) ? shape.scale : std::exp(log_scale);
  require(std::isnormal(scale_now), "ERR_HK_MODEL_FILE", "tensor 'scale' holds a curvature that cannot be");
  // everything is checked before anything is changed
  for (const bool apply : {false, true}) {
    const auto take = [&](const std::string& name, ParameterTable& table) {
      const auto& parameters = check(state.floats, name + ".parameters", table.parameters.size());
      const auto& first = check(state.floats, name + ".first", table.first.size());
      const auto& second = check(state.floats, name + ".second", table.second.size());
      const uint32_t* step = table.step.size() ? check(state.integers, name + ".step", table.step.size()).data() : nullptr;
      const float* average = table.average.size() ? check(state.floats, name + ".average", table.average.size()).data() : nullptr;
      if (!apply) return;
      table.parameters.upload(parameters.data()), table.first.upload(first.data()), table.second.upload(second.data());
      if (step) table.step.upload(step);
      if (average) table.average.upload(average);
    };
    take("users", users), take("entities", entities), take("relations", relations), take("beta", beta);
  }
  scale_state.upload(state.doubles.at("scale").data()), scale.upload(&scale_now);
  map();
  averages_move();
}

}  // namespace hk
