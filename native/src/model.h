#pragma once
// The parameters of a model in training, resident on a backend: users, entities (items first), relations, β, the distance scale,
// and Adam's moments of each.
#include <map>
#include <span>
#include <string>
#include <vector>

#include "backend.h"
#include "buffer.h"

namespace hk {

struct ModelShape {
  uint32_t users, items, entities, relations, dim;
  double curvature;  // of the coordinates: 1 (unit ball) or 0 (Euclidean)
  double scale;      // factor on distances at the start: 1/√c of the public model
  bool tangent;      // parameters are tangent vectors at the origin, else points
  bool exact_adam;   // count steps per row, for the replay
  bool average;      // keep a moving average of users, entities and relations: it is what is read and ranked
  double init_scale;
  double beta;  // β_v at the start
  uint64_t seed;
};

// One table and its moments. Tangent tables keep their points beside the parameters; in the ball they are the same memory. So does the
// moving average, where one is kept, with points of its own.
class ParameterTable {
 public:
  ParameterTable(Backend& backend, uint32_t rows, uint32_t dim, bool points, bool tangent, bool steps, bool averaged);
  AdamTable view();
  AdamTable average_view();  // parameters, points and gap alone
  // What the table stands for outside of training: the points of its average, where one is kept, else of its parameters.
  const Buffer<float>& result() const;
  void keep_result();  // frees everything else; an average takes the place of what it is of

  uint32_t rows, dim;
  Buffer<float> parameters, first, second, points;
  Buffer<double> gap;
  Buffer<uint32_t> step;
  Buffer<float> average, average_points;
  Buffer<double> average_gap;

 private:
  bool separate_points_, has_points_;
};

// Public form: coordinates in the ball of radius 1/√curvature (Euclidean: 2‖x−y‖ is the distance and curvature is 0).
struct HostParameters {
  std::vector<float> users, entities, relations, beta;
  double curvature;
};

// Named copies of everything that resuming needs.
struct HostState {
  std::map<std::string, std::vector<float>> floats;
  std::map<std::string, std::vector<double>> doubles;
  std::map<std::string, std::vector<uint32_t>> integers;
};

// The same, in somebody else's memory.
struct HostStateView {
  std::map<std::string, std::span<const float>> floats;
  std::map<std::string, std::span<const double>> doubles;
  std::map<std::string, std::span<const uint32_t>> integers;
};

class Model {
 public:
  Model(Backend& backend, const ModelShape& shape);

  HostParameters read();
  void keep_result();  // frees all that `read` has no need of
  HostState state() const;
  void restore(const HostStateView& state);  // throws Error(ERR_HK_MODEL_FILE) on a missing or misshapen tensor

  // Says that the averages move; brings their points up to date where they did since the last time.
  void averages_move() { averages_mapped_ = false; }
  void map_averages();

  const ModelShape shape;
  ParameterTable users, entities, relations, beta;
  Buffer<double> scale, scale_state;  // [1]; [3] ln(scale) and its two moments

 private:
  void initialise(ParameterTable& table, uint32_t number);
  void map();

  Backend& backend_;
  bool averages_mapped_ = false;
};

}  // namespace hk
