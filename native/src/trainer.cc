#include "trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "error.h"
#include "planning_backend.h"

namespace hk {

void Control::check() const {
  if (stop.load(std::memory_order_relaxed)) throw Aborted();
}

size_t Trainer::bytes_needed(const TrainerOptions& options, const Backend& real) {
  auto backend = std::make_unique<PlanningBackend>(real);
  const PlanningBackend& planning = *backend;
  const Trainer planned(std::move(backend), options);
  return planning.bytes();
}

TrainerBytes Trainer::plan(const TrainerOptions& options, const Backend& real) {
  PlanningBackend for_model(real), for_graph(real);
  const Model model(for_model, options.model);
  const DeviceGraph graph(for_graph, options.graph, options.model.entities, options.model.relations);
  const Buffer<uint32_t> offsets(for_graph, options.train_offsets), items(for_graph, options.train_items), users(for_graph, items.size());
  return {for_model.bytes(), for_graph.bytes(), bytes_needed(options, real) - for_model.bytes() - for_graph.bytes()};
}

Trainer::Trainer(std::unique_ptr<Backend> backend, const TrainerOptions& options, const Control& control)
    : options_(options), backend_(std::move(backend)) {
  if (const size_t free = backend_->free_memory(); free != SIZE_MAX) {
    memory_bytes_ = bytes_needed(options, *backend_);
    require(memory_bytes_ <= free, "ERR_HK_MEMORY",
            "training needs " + std::to_string(memory_bytes_) + " bytes of the backend's memory, " + std::to_string(free) + " are free");
  }
  if (options_.time_kernels) {
    auto timed = std::make_unique<TimedBackend>(std::move(backend_));
    timed_ = timed.get(), backend_ = std::move(timed);
  }
  const ModelShape& m = options_.model;
  const uint32_t interactions = static_cast<uint32_t>(options.train_items.size());
  options_.batch = std::max(1u, std::min(options_.batch, interactions));
  control.check();
  model_ = std::make_unique<Model>(*backend_, m);
  control.check();
  graph_ = std::make_unique<DeviceGraph>(*backend_, options.graph, m.entities, m.relations);
  const StepShape shape{m.users, m.items, m.entities, m.relations, m.dim, options_.batch, std::min(options_.negatives, m.items)};
  control.check();
  step_ = std::make_unique<Step>(*backend_, *graph_, shape, options_.step);
  control.check();
  for (auto& turn : turns_) {
    turn.reset(new Turn{{*backend_, shape}, {*backend_, *graph_, shape, options_.step.knowledge}});
    turn->batch.count = options_.batch;
  }
  std::vector<uint32_t> interaction_users(interactions);
  for (uint32_t user = 0; user < m.users; ++user)
    std::fill(interaction_users.begin() + options.train_offsets[user], interaction_users.begin() + options.train_offsets[user + 1], user);
  train_offsets_ = {*backend_, options.train_offsets}, train_items_ = {*backend_, options.train_items};
  interaction_users_ = {*backend_, interaction_users};
  totals_ = {*backend_, 2};
  for (auto& state : states_) state = {*backend_, 1};
}

// The samples of the batch that comes `ahead` batches after the one that the state stands at.
void Trainer::draw(Turn& turn, const StepState* state, uint32_t ahead) {
  Batch& batch = turn.batch;
  backend_->sample({interaction_users_.data(), train_offsets_.data(), train_items_.data(), static_cast<uint32_t>(train_items_.size()),
                    options_.model.items, options_.seed, state, ahead, batch.count, batch.users.data(), batch.positives.data(),
                    batch.negatives.data(), batch.shared ? nullptr : batch.item_keys.data()});
  if (batch.shared)
    backend_->shared_negatives({train_offsets_.data(), train_items_.data(), batch.users.data(), batch.positives.data(), options_.model.items,
                                options_.seed, state, ahead, batch.count, batch.shared, pitch_of(batch.shared),
                                batch.item_keys.data(), batch.left_out.data()});
}

void Trainer::prepare(Turn& turn, const StepState* state, uint32_t ahead) {
  draw(turn, state, ahead);
  turn.lists.build(*backend_, *graph_, turn.batch);
}

// The first batch of an epoch is next.
void Trainer::set_state(uint32_t epoch, double learning_rate_factor) {
  const StepState state{epoch, 0, steps_, learning_rate_factor};
  states_[0].upload(&state);
}

Samples Trainer::samples(uint32_t epoch) {
  const uint32_t n = static_cast<uint32_t>(train_items_.size());
  Samples out{std::vector<uint32_t>(n), std::vector<uint32_t>(n), std::vector<uint32_t>(n), {}};
  for (uint32_t first = 0; first < n; first += options_.batch) {
    const uint32_t count = std::min(options_.batch, n - first);
    const StepState state{epoch, first, steps_, 1};
    states_[0].upload(&state);
    draw(*turns_[0], states_[0].data(), 0);
    const Batch& batch = turns_[0]->batch;
    batch.users.download(out.users.data() + first, count);
    batch.positives.download(out.positives.data() + first, count);
    batch.negatives.download(out.negatives.data() + first, count);
    if (batch.shared == 0) continue;
    out.shared.resize(out.shared.size() + batch.shared);
    backend_->download(&*(out.shared.end() - batch.shared), batch.shared_negatives(), batch.shared * sizeof(uint32_t));
  }
  return out;
}

// Learning rates follow the schedule, β's too: while it moves at its full rate, weights go on wandering. β has no points.
AdamOptions Trainer::adam_options(const ParameterTable& table) const {
  const bool is_theta = &table != &model_->beta;
  return {is_theta ? options_.learning_rate : options_.beta_learning_rate, 0.9, 0.999, 1e-8, options_.step.curvature,
          is_theta && options_.step.tangent};
}

MovingAverage Trainer::moving_average(ParameterTable& table) const {
  return {table.average.size() ? table.average.data() : nullptr, options_.average_decay, options_.average_every};
}

void Trainer::replay(ParameterTable& table, const StepState* state, const RowList* rows) {
  backend_->adam_replay({table.view(), adam_options(table), moving_average(table), rows ? rows->rows() : nullptr,
                         rows ? rows->count() : nullptr, state, rows ? rows->capacity() : table.rows});
}

// One Adam step of a table: of the listed rows, or of all rows where the list is null or Adam is dense, but not of those that `skipped` lists.
// Gradients stand in the order of `gradients`, or of the rows where that is null.
Adam Trainer::adam_of(ParameterTable& table, const StepState* state, const RowList* rows, const float* gradient, const RowList* gradients,
                      const RowList* regularized, const RowList* skipped) {
  const bool all = rows == nullptr || options_.adam == AdamKind::dense;
  const bool regularised = regularized != nullptr && options_.regularization > 0;
  if (all && rows && !gradients) gradients = rows;
  return {table.view(), adam_options(table), all ? nullptr : rows->rows(), all ? nullptr : rows->count(), gradient,
          gradients ? gradients->slot() : nullptr, regularised ? regularized->slot() : nullptr,
          regularised ? regularized->offsets() : nullptr, options_.regularization, skipped ? skipped->slot() : nullptr, state,
          all ? table.rows : rows->capacity()};
}

// The table's average after the step: of all rows, but with exact Adam of those that are up to date; the others get it with the steps they
// wait for.
void Trainer::move_average(ParameterTable& table, const StepState* state, const RowList* rows) {
  if (!table.average.size()) return;
  const bool waiting = rows && options_.adam == AdamKind::exact;
  backend_->average({table.parameters.data(), moving_average(table), table.rows, table.dim, waiting ? rows->rows() : nullptr,
                     waiting ? rows->count() : nullptr, state, waiting ? rows->capacity() : table.rows});
}

// A step, and beside it the samples and lists of the next: past the last batch of an epoch these are empty.
void Trainer::take_turn(uint32_t place) {
  const StepState* const state = states_[place].data();
  backend_->branches({[&] { run_step(place); }, [&] { prepare(*turns_[1 - place], state, 1); }});
  if (backend_->shares_host_memory() && diverged_step_ == 0 && !std::isfinite(totals_.data()[0] + totals_.data()[1]))
    diverged_step_ = state->steps + 1;
}

// The step of the batch in `turns_[place]`, and the state that the other finds. The outer pass reads the rows of the batch's users and items
// and of relations only: the other entities take their step side by side with it, or before it, in the pass that makes their gradients.
void Trainer::run_step(uint32_t place) {
  const Turn& turn = *turns_[place];
  const StepState* const state = states_[place].data();
  const StepOptions& o = options_.step;
  const bool adaptive = o.knowledge && options_.adaptive;
  Model& model = *model_;
  const Batch& batch = turn.batch;
  const BatchLists& lists = turn.lists;
  const RowList &users = lists.rows().users, &items = lists.rows().items, &touched = lists.touched(), &heads = lists.heads();
  if (options_.adam == AdamKind::exact) {
    if (adaptive) replay(model.beta, state, &heads);
    replay(model.users, state, &users);
    replay(model.entities, state, &touched);
  }
  const StepTables tables{model.users.view(), model.entities.view(), model.relations.view(),
                          adaptive ? model.beta.parameters.data() : nullptr, model.scale.data()};
  const bool sparse = options_.adam != AdamKind::dense;
  const bool before = o.knowledge && sparse && backend_->steps_with_gradient(), beside = adaptive && sparse && backend_->runs_side_by_side();
  const Adam others = adam_of(model.entities, state, &touched, step_->entity_gradient(), nullptr, nullptr, &items);
  step_->inner(tables, batch, lists, options_.learn_scale, before ? &others : nullptr);
  if (adaptive) step_->look_ahead(tables, lists, lists.rows());

  const auto update_users = [&] {
    backend_->adam(adam_of(model.users, state, &users, step_->user_gradient(), nullptr, &users, nullptr));
    move_average(model.users, state, &users);
  };
  const auto update_rest = [&] {
    std::vector<Calls> updates{[&] {
      if (before || beside)
        backend_->adam(adam_of(model.entities, state, &items, step_->entity_gradient(), &touched, &items, nullptr));
      else
        backend_->adam(adam_of(model.entities, state, &touched, step_->entity_gradient(), nullptr, &items, nullptr));
    }};
    if (o.knowledge && o.attention)
      updates.push_back([&] {
        backend_->adam(adam_of(model.relations, state, nullptr, step_->relation_gradient(), nullptr, nullptr, nullptr));
        move_average(model.relations, state, nullptr);
      });
    if (adaptive)
      updates.push_back([&] {
        backend_->adam(adam_of(model.beta, state, &heads, step_->hypergradient(), nullptr, nullptr, nullptr));
        move_average(model.beta, state, &heads);
      });
    updates.push_back([&] { total(lists, state, states_[1 - place].data()); });
    backend_->branches(updates);
  };
  std::vector<Calls> side_by_side{[&] {
                                    if (adaptive) step_->outer(tables, lists, batch, lists.rows());
                                    update_rest();
                                  },
                                  update_users};
  if (beside && !before) side_by_side.push_back([&] { backend_->adam(others); });
  backend_->branches(side_by_side);
  move_average(model.entities, state, &touched);
}

// The step's losses are added up and the state moved on.
void Trainer::total(const BatchLists& lists, const StepState* state, StepState* next) {
  Model& model = *model_;
  backend_->batch_totals({step_->loss(), options_.batch, step_->weight(), step_->head_distance(), lists.heads().count(), totals_.data(),
                          options_.learn_scale ? step_->sample_scale_gradient() : nullptr, step_->head_scale_gradient(),
                          model.scale_state.data(), model.scale.data(), options_.scale_learning_rate, state, next});
}

EpochTotals Trainer::epoch(uint32_t epoch, double learning_rate_factor, const Control& control) {
  const auto start = std::chrono::steady_clock::now();
  const uint32_t n = static_cast<uint32_t>(train_items_.size());
  totals_.fill(0);
  model_->averages_move();
  if (timed_) timed_->take_seconds();
  set_state(epoch, learning_rate_factor);
  if (!recorded_steps_) recorded_steps_ = backend_->record({[this] { take_turn(0); }, [this] { take_turn(1); }});
  prepare(*turns_[0], states_[0].data(), 0);
  const uint32_t steps = (n + options_.batch - 1) / options_.batch;
  double totals[2] = {0, 0};
  uint32_t done = 0;
  while (done < steps) {
    control.check();
    const uint32_t several = std::min(recorded_steps_->at_once, steps - done);
    diverged_step_ = 0;
    backend_->play(*recorded_steps_, several);
    done += several, steps_ += several;
    if (diverged_step_ > 0) break;
  }
  if (options_.adam == AdamKind::exact) {
    const StepState* const state = states_[done % 2].data();
    replay(model_->users, state, nullptr), replay(model_->entities, state, nullptr);
    if (options_.step.knowledge && options_.adaptive) replay(model_->beta, state, nullptr);
  }
  totals_.download(totals);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double busy_seconds = backend_->take_busy_seconds();
  const double samples = std::max(1u, n);
  return {steps,   n, totals[0] / samples, totals[1] / samples, seconds, model_->scale.first(), busy_seconds, memory_bytes_,
          diverged_step_, timed_ ? timed_->take_seconds() : std::map<std::string, double>{}};
}

HostParameters Trainer::finish() {
  recorded_steps_.reset(), step_.reset(), graph_.reset();
  for (auto& turn : turns_) turn.reset();
  train_offsets_ = {}, train_items_ = {}, interaction_users_ = {};
  model_->keep_result();
  HostParameters result = model_->read();
  model_.reset();
  return result;
}

void Trainer::top_k(const std::vector<uint32_t>& users, uint32_t k, const std::vector<uint32_t>& exclude_offsets,
                    const std::vector<uint32_t>& exclude_items, std::vector<uint32_t>& items, std::vector<float>& distances,
                    const Control& control) {
  const uint32_t n = static_cast<uint32_t>(users.size()), dim = options_.model.dim;
  items.resize(size_t{n} * k), distances.resize(size_t{n} * k);
  if (n == 0 || k == 0) return;
  control.check();
  step_->forget();
  model_->map_averages();
  const float* table = model_->users.result().data();
  Buffer<float> gathered;
  bool contiguous = true;
  for (uint32_t i = 1; i < n; ++i) contiguous = contiguous && users[i] == users[0] + i;
  const float* rows = table + size_t{users[0]} * dim;
  if (!contiguous) {
    const std::vector<float> copy = backend_->shares_host_memory() ? std::vector<float>() : model_->users.result().download();
    const float* const all = copy.empty() ? table : copy.data();
    std::vector<float> listed(size_t{n} * dim);
    for (uint32_t i = 0; i < n; ++i) std::copy_n(all + size_t{users[i]} * dim, dim, listed.data() + size_t{i} * dim);
    gathered = {*backend_, listed}, rows = gathered.data();
  }
  Buffer<uint32_t> offsets, excluded, out_items(*backend_, items.size());
  Buffer<float> out_distances(*backend_, distances.size());
  if (!exclude_offsets.empty()) offsets = {*backend_, exclude_offsets}, excluded = {*backend_, exclude_items};
  backend_->top_k({rows, model_->entities.result().data(), n, options_.model.items, dim, k, options_.step.curvature, model_->scale.first(),
                   exclude_offsets.empty() ? nullptr : offsets.data(), excluded.data(), out_items.data(), out_distances.data()});
  out_items.download(items.data()), out_distances.download(distances.data());
}

}  // namespace hk
