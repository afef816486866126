#pragma once
// Trains a Model: epochs of steps (step.h), Adam on Θ and on β, exact full ranking. No Node types; `Control` is how its caller stops it.
#include <atomic>
#include <map>
#include <memory>
#include <string>

#include "backend.h"
#include "csr.h"
#include "model.h"
#include "step.h"
#include "timed_backend.h"

namespace hk {

// What a long computation looks at between steps.
struct Control {
  std::atomic<bool> stop{false};
  void check() const;  // throws Aborted
};

enum class AdamKind { touched, exact, dense };

struct TrainerSettings {
  ModelShape model;
  StepOptions step;
  uint32_t batch;
  uint32_t negatives;  // 0: Eq. 3; else sampled softmax over as many negatives as the batch shares, all items at most
  uint64_t seed;
  bool adaptive, learn_scale;
  double learning_rate, beta_learning_rate, scale_learning_rate, regularization;
  AdamKind adam;
  double average_decay;    // of the moving average of Θ (kernels.h, Average)
  uint32_t average_every;  // steps; 0: none is kept
  bool time_kernels;  // wait for every kernel and measure it
};

// What a trainer is made of.
struct TrainerOptions : TrainerSettings {
  HostGraph graph;
  std::vector<uint32_t> train_offsets, train_items;  // CSR by user, ascending
};

struct EpochTotals {
  uint32_t steps, samples;
  double ranking_loss, knowledge_loss;  // means over the samples
  double seconds, scale;
  double busy_seconds;  // of `seconds`, those in which the device worked; NaN where device and host are one
  size_t memory_bytes;  // that training holds on the device; 0 there
  // The first step, from 1 since training began, whose losses are not finite: the epoch ends there. 0: none, or they are not on the host.
  uint32_t diverged_step;
  std::map<std::string, double> kernel_seconds;  // empty without time_kernels
};

// Bytes that a trainer holds on its backend: the model, the graph with the training interactions, and what the steps work in.
struct TrainerBytes {
  size_t parameters, graph, steps;
};

struct Samples {
  std::vector<uint32_t> users, positives, negatives;
  std::vector<uint32_t> shared;  // negatives of each batch, batch after batch
};

class Trainer {
 public:
  // Throws Error(ERR_HK_MEMORY), before anything is allocated, where the backend has less memory than training will need.
  Trainer(std::unique_ptr<Backend> backend, const TrainerOptions& options, const Control& control = {});

  // What such a trainer will hold on `real`: it is built on a backend that only counts. Takes the options as a trainer does: checked.
  static TrainerBytes plan(const TrainerOptions& options, const Backend& real);

  // learning_rate_factor multiplies the learning rates of Θ and β for this epoch; it is constant within one, so that missed steps can be replayed.
  EpochTotals epoch(uint32_t epoch, double learning_rate_factor, const Control& control);
  Samples samples(uint32_t epoch);
  // Ranks all items for the listed users, by the averages where they are kept; exclude_* as in TopK, host memory, checked by the caller.
  void top_k(const std::vector<uint32_t>& users, uint32_t k, const std::vector<uint32_t>& exclude_offsets,
             const std::vector<uint32_t>& exclude_items, std::vector<uint32_t>& items, std::vector<float>& distances, const Control& control);

  // What `model().read()` returns. All that this has no need of is freed before it is copied, the rest after; nothing can be called any more.
  HostParameters finish();

  Model& model() { return *model_; }
  uint32_t steps() const { return steps_; }
  void set_steps(uint32_t steps) { steps_ = steps; }

 private:
  // A batch and its lists: one is trained on while the next is made.
  struct Turn {
    Batch batch;
    BatchLists lists;
  };
  void draw(Turn& turn, const StepState* state, uint32_t ahead);
  void prepare(Turn& turn, const StepState* state, uint32_t ahead);
  void take_turn(uint32_t place);
  void run_step(uint32_t place);
  void total(const BatchLists& lists, const StepState* state, StepState* next);
  void set_state(uint32_t epoch, double learning_rate_factor);
  AdamOptions adam_options(const ParameterTable& table) const;
  MovingAverage moving_average(ParameterTable& table) const;
  void replay(ParameterTable& table, const StepState* state, const RowList* rows);
  Adam adam_of(ParameterTable& table, const StepState* state, const RowList* rows, const float* gradient, const RowList* gradients,
               const RowList* regularized, const RowList* skipped);
  void move_average(ParameterTable& table, const StepState* state, const RowList* rows);

  static size_t bytes_needed(const TrainerOptions& options, const Backend& real);

  TrainerSettings options_;
  size_t memory_bytes_ = 0;
  std::unique_ptr<Backend> backend_;
  TimedBackend* timed_ = nullptr;  // backend_, where kernels are timed
  std::unique_ptr<Model> model_;
  std::unique_ptr<DeviceGraph> graph_;
  std::unique_ptr<Step> step_;
  std::unique_ptr<Turn> turns_[2];
  Buffer<uint32_t> train_offsets_, train_items_, interaction_users_;
  Buffer<double> totals_;
  Buffer<StepState> states_[2];  // by turn: a step reads its own and writes the other's
  std::unique_ptr<Recording> recorded_steps_;  // one of each turn, made by the first epoch
  uint32_t steps_ = 0;  // Adam steps so far
  uint32_t diverged_step_ = 0;
};

}  // namespace hk
