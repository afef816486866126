// Every CUDA kernel without Node, against the CPU backend (integers equal, numbers within rounding) and against itself, run again (the same
// bits). Built twice: for the host, where it also runs under several schedules and with planted faults that must be found, and for a card.
//   cmake-js configure --CDHK_CUDA_ON_HOST=ON && cmake-js build --target host_selftest && .host/build/Release/host_selftest [--errors]
//   half a minute with AddressSanitizer (the default); expected last line: "host selftest: N checks, 0 failed"
//   cmake-js build --target device_selftest && build/Release/device_selftest [--errors]     "device selftest: N checks, 0 failed"
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../../src/backends.h"
#include "../../src/buffer.h"
#include "../../src/cpu/cpu_backend.h"
#include "../../src/csr.h"
#include "../../src/step.h"
#include "../../src/error.h"
#include "../../src/philox.h"
#if defined(HK_CUDA_ON_HOST)
#include "faults.h"
#endif

namespace hk {
namespace {

int checks = 0, failures = 0;

void check(bool passed, const std::string& what) {
  ++checks;
  if (passed) return;
  ++failures;
  std::printf("FAILED  %s\n", what.c_str());
}

void set_schedule(uint64_t seed) { setenv("HYPER_KNOW_HOST_SCHEDULE", std::to_string(seed).c_str(), 1); }

// ───────────────────────────── inputs ─────────────────────────────

struct Random {
  uint64_t seed;
  uint32_t next = 0;
  uint32_t integer(uint32_t n) { return below(philox(seed, next++, 0, 0, 77).word[0], n); }
  double uniform() { return philox(seed, next++, 0, 0, 77).word[0] * 0x1p-32; }
  double normal() { return std::sqrt(-2 * std::log(1 - uniform())) * std::cos(6.283185307179586 * uniform()); }
};

// What training makes of a model and the other cases have not: relations that all but reach the boundary, and items that are their own tails among others;
// or items as near to the midpoints of their tails as L_K pulls them.
enum class Trained { no, relations, items };

struct Case {
  std::string name;
  uint32_t dim;
  double curvature;
  bool tangent, attention;
  uint32_t users, items, entities, relations, batch, most_triples, most_interactions;
  Trained trained = Trained::no;
};

// Rows in all directions with √c‖x‖ from near 0 to `most`.
std::vector<float> random_rows(Random& random, uint32_t rows, uint32_t dim, double curvature, double most) {
  std::vector<float> out(size_t{rows} * dim);
  for (uint32_t i = 0; i < rows; ++i) {
    std::vector<double> x(dim);
    double sqnorm = 0;
    for (double& value : x) value = random.normal(), sqnorm += value * value;
    const double length = most * (1 - std::pow(random.uniform(), 3) * 0.99) / std::sqrt(curvature > 0 ? curvature : 1.0);
    for (uint32_t k = 0; k < dim; ++k) out[size_t{i} * dim + k] = static_cast<float>(x[k] * length / std::sqrt(sqnorm));
  }
  return out;
}

struct World {
  std::vector<float> users, entities, relations, beta;
  HostGraph graph;
  std::vector<uint32_t> train_offsets, train_items, interaction_users;
};

World make_world(const Case& c) {
  Random random{4711};
  World w;
  w.users = random_rows(random, c.users, c.dim, c.curvature, c.trained == Trained::items ? 0.02 : 0.99);
  w.entities = random_rows(random, c.entities, c.dim, c.curvature, c.trained == Trained::items ? 0.02 : 0.99);
  w.relations = random_rows(random, c.relations, c.dim, c.curvature, c.trained == Trained::relations ? 5.0 : 0.6);
  for (uint32_t i = 0; i < c.items; ++i) w.beta.push_back(static_cast<float>(random.normal()));
  w.graph.offsets.push_back(0);
  for (uint32_t item = 0; item < c.items; ++item) {
    // items without triples, with one, with a few, and one with many; the last entity is a hub
    const uint32_t degree = item % 7 == 0 ? 0 : item % 7 == 1 ? 1 : item == 2 ? 5 * c.most_triples : 1 + random.integer(c.most_triples);
    std::vector<std::pair<uint32_t, uint32_t>> triples;
    for (uint32_t t = 0; t < degree; ++t)
      triples.emplace_back(random.integer(c.relations), t == 0                                        ? c.entities - 1
                                                        : c.trained == Trained::relations && t == 1 ? item
                                                                                                     : random.integer(c.entities - 1));
    std::sort(triples.begin(), triples.end());
    for (const auto& [relation, tail] : triples) w.graph.relations.push_back(relation), w.graph.tails.push_back(tail);
    w.graph.offsets.push_back(static_cast<uint32_t>(w.graph.tails.size()));
  }
  if (c.trained == Trained::items) {  // without attention, and so near the origin the midpoint of tails is their mean
    const std::vector<float> noise = random_rows(random, c.items, c.dim, c.curvature, 0.02 / 512);
    for (uint32_t item = 0; item < c.items; ++item) {
      const uint32_t begin = w.graph.offsets[item], degree = w.graph.offsets[item + 1] - begin;
      for (uint32_t k = 0; k < c.dim && degree > 0; ++k) {
        double mean = 0;
        for (uint32_t t = begin; t < begin + degree; ++t) mean += w.entities[size_t{w.graph.tails[t]} * c.dim + k] / degree;
        w.entities[size_t{item} * c.dim + k] = static_cast<float>(mean + noise[size_t{item} * c.dim + k]);
      }
    }
  }
  w.train_offsets.push_back(0);
  for (uint32_t user = 0; user < c.users; ++user) {
    std::vector<uint32_t> items;
    const bool all = user == 1;  // no negatives: its samples are left out
    const uint32_t count = all ? c.items : 1 + random.integer(c.most_interactions);
    for (uint32_t i = 0; i < count; ++i) items.push_back(all ? i : i % 3 == 0 ? 2 % c.items : random.integer(c.items));
    std::sort(items.begin(), items.end());
    items.erase(std::unique(items.begin(), items.end()), items.end());
    w.train_items.insert(w.train_items.end(), items.begin(), items.end());
    w.interaction_users.insert(w.interaction_users.end(), items.size(), user);
    w.train_offsets.push_back(static_cast<uint32_t>(w.train_items.size()));
  }
  return w;
}

// ───────────────────────────── results ─────────────────────────────

struct Result {
  std::string name;
  std::vector<unsigned char> bytes;
  std::vector<double> values;
  double tolerance;  // relative to the largest value; 0: equal
};
using Results = std::vector<Result>;

template <class T>
void keep(Results& results, const std::string& name, const Buffer<T>& buffer, size_t count, double tolerance) {
  std::vector<T> host(count);
  buffer.download(host.data(), count);
  Result r{name, std::vector<unsigned char>(count * sizeof(T)), {}, tolerance};
  if (count) std::memcpy(r.bytes.data(), host.data(), r.bytes.size());
  for (const T& value : host) r.values.push_back(static_cast<double>(value));
  results.push_back(std::move(r));
}

constexpr double kExact = 0, kFloat = 3e-6, kDouble = 1e-9, kSingle = 4e-6;  // kSingle: of tame heads, on the CPU
constexpr double kNear = 1e-4;  // directions of these where they are near to their midpoints

// Distinct rows of a batch, as the training step keeps them.
struct List {
  Buffer<uint32_t> unique, count, offsets, order, slot, workspace;
  uint32_t rows, capacity;
  List(Backend& b, uint32_t table_rows, uint32_t most, uint32_t keys)
      : unique(b, most),
        count(b, 1),
        offsets(b, most + 1),
        order(b, keys),
        slot(b, table_rows),
        workspace(b, table_rows + 1024),
        rows(table_rows),
        capacity(most) {
    count.fill(0), slot.fill(0xff);
  }
  RowGroups groups(const uint32_t* keys, uint32_t n, uint8_t* marks = nullptr) {
    return {keys, n, rows, marks, unique.data(), count.data(), offsets.data(), order.data(), slot.data(), capacity, workspace.data()};
  }
  void keep_all(Results& results, const std::string& name, uint32_t keys) const {
    const uint32_t n = count.first();
    keep(results, name + ".count", count, 1, kExact), keep(results, name + ".unique", unique, n, kExact);
    keep(results, name + ".offsets", offsets, n + 1, kExact), keep(results, name + ".slot", slot, rows, kExact);
    const uint32_t listed = [&] {
      std::vector<uint32_t> all(n + 1);
      offsets.download(all.data(), n + 1);
      return all.back();
    }();
    check(listed <= keys, name + ": no more keys listed than given");
    keep(results, name + ".order", order, listed, kExact);
  }
};

struct Table {
  Buffer<float> parameters, first, second, points;
  Buffer<uint32_t> step;
  Buffer<double> gap;
  uint32_t rows, dim;
  bool separate;
  Table(Backend& b, const std::vector<float>& values, uint32_t dim, bool tangent)
      : parameters(b, values),
        first(b, values.size()),
        second(b, values.size()),
        points(b, values.size()),
        step(b, values.size() / dim),
        gap(b, values.size() / dim),
        rows(static_cast<uint32_t>(values.size() / dim)),
        dim(dim),
        separate(tangent) {
    first.fill(0), second.fill(0), step.fill(0);
  }
  AdamTable view() {
    return {
        parameters.data(), first.data(), second.data(), step.data(), separate ? points.data() : parameters.data(), gap.data(), rows, dim};
  }
  const float* point_rows() { return view().points; }
  void keep_all(Results& results, const std::string& name, double tolerance = kFloat) const {
    const size_t n = size_t{rows} * dim;
    keep(results, name + ".parameters", parameters, n, tolerance), keep(results, name + ".first", first, n, tolerance);
    keep(results, name + ".second", second, n, tolerance), keep(results, name + ".step", step, rows, kExact);
    if (separate) keep(results, name + ".points", points, n, tolerance);
    keep(results, name + ".gap", gap, rows, 1e-5);
  }
};

// A state that the next step finds.
struct State {
  explicit State(Backend& b) : buffer(b, 1) {}
  const StepState* at(uint32_t epoch, uint32_t first, uint32_t steps) {
    const StepState state{epoch, first, steps, 0.5};
    buffer.upload(&state);
    return buffer.data();
  }
  Buffer<StepState> buffer;
};

// Adam and the moving average of its parameters: dense, and touched rows with replay, which must end with the same bits.
void exercise_adam(Backend& b, const Case& c, const World& w, const AdamOptions& adam, const List& touched, const List& items,
                   const Buffer<float>& gradient, Results& out) {
  const uint32_t dim = c.dim;
  Table dense(b, w.entities, dim, c.tangent), lazy(b, w.entities, dim, c.tangent);
  for (Table* table : {&dense, &lazy}) b.map_parameters({table->view(), c.curvature, c.tangent});
  Buffer<float> dense_average(b, dense.parameters.download()), lazy_average(b, lazy.parameters.download());
  const MovingAverage of_dense{dense_average.data(), 0.8, 3}, of_lazy{lazy_average.data(), 0.8, 3};
  const List none(b, c.entities, 1, 1);  // no row has a gradient
  State state(b);
  for (uint32_t step = 2; step <= 40; ++step) {
    const List& list = step == 2 || step == 37 ? touched : step == 3 || step == 20 ? items : none;
    b.adam({dense.view(), adam, nullptr, nullptr, gradient.data(), list.slot.data(), items.slot.data(), items.offsets.data(), 1e-3, nullptr,
            state.at(0, 0, step - 1), c.entities});
    b.average({dense.parameters.data(), of_dense, c.entities, dim, nullptr, nullptr, state.at(0, 0, step - 1), c.entities});
    if (&list == &none) continue;
    b.adam_replay({lazy.view(), adam, of_lazy, list.unique.data(), list.count.data(), state.at(0, 0, step - 1), list.capacity});
    if (&list == &touched) {  // the items apart
      b.adam_replay({lazy.view(), adam, of_lazy, items.unique.data(), items.count.data(), state.at(0, 0, step - 1), items.capacity});
      b.adam({lazy.view(), adam, items.unique.data(), items.count.data(), gradient.data(), touched.slot.data(), items.slot.data(),
              items.offsets.data(), 1e-3, nullptr, state.at(0, 0, step - 1), items.capacity});
    }
    b.adam({lazy.view(), adam, list.unique.data(), list.count.data(), gradient.data(), nullptr, items.slot.data(), items.offsets.data(), 1e-3,
            &list == &touched ? items.slot.data() : nullptr, state.at(0, 0, step - 1), list.capacity});
    b.average({lazy.parameters.data(), of_lazy, c.entities, dim, list.unique.data(), list.count.data(), state.at(0, 0, step - 1), list.capacity});
  }
  b.adam_replay({lazy.view(), adam, of_lazy, nullptr, nullptr, state.at(0, 0, 40), c.entities});
  dense.keep_all(out, "adam", 2e-5), keep(out, "adam.average", dense_average, size_t{c.entities} * dim, 2e-5);
  const std::vector<float> dense_parameters = dense.parameters.download(), lazy_parameters = lazy.parameters.download();
  const std::vector<float> dense_points = dense.separate ? dense.points.download() : dense_parameters,
                           lazy_points = lazy.separate ? lazy.points.download() : lazy_parameters;
  const std::vector<double> dense_gap = dense.gap.download(), lazy_gap = lazy.gap.download();
  check(dense_parameters == lazy_parameters && dense_points == lazy_points && dense_gap == lazy_gap &&
            dense_average.download() == lazy_average.download(),
        std::string(b.name()) + " " + c.name + ": touched rows with replay end like dense Adam, bit for bit");
}

// Sampled softmax: the shared negatives, the loss and its gradients, on float32 tables with points near the boundary and on float64 ones.
void exercise_softmax(Backend& b, const Case& c, const Table& users, const Table& entities, const PointTable& user_points,
                      const PointTable& item_points, const Buffer<uint32_t>& train_offsets, const Buffer<uint32_t>& train_items,
                      const Buffer<uint32_t>& user_keys, const Buffer<uint32_t>& positives, const List& user_list,
                      const Buffer<double>& scale, Results& out) {
  const uint32_t dim = c.dim, n = c.batch;
  State state(b);
  for (const uint32_t wanted : {1u, 32u, 70u}) {
    const uint32_t negatives = std::min(wanted, c.items), pitch = (negatives + 31) / 32 * 32, keys = n + negatives;
    const std::string at = " " + std::to_string(negatives);
    Buffer<uint32_t> item_keys(b, keys), left_out(b, size_t{n} * pitch / 32);
    b.shared_negatives({train_offsets.data(), train_items.data(), user_keys.data(), positives.data(), c.items, 99, state.at(3, 17, 0), 1, n,
                        negatives, pitch, item_keys.data(), left_out.data()});
    keep(out, "shared_negatives.item_keys" + at, item_keys, keys, kExact);
    keep(out, "shared_negatives.left_out" + at, left_out, left_out.size(), kExact);
    List items(b, c.entities, std::min(keys, c.entities), keys);
    b.group_rows({{items.groups(item_keys.data(), keys)}, 1});
    const uint32_t user_count = user_list.count.first(), item_count = items.count.first();
    Buffer<float> sqdist(b, size_t{n} * pitch), slope(b, size_t{n} * pitch), loss(b, n);
    Buffer<SoftmaxTape> tape(b, n);
    Buffer<double> scale_gradient(b, n), partial(b, size_t{(n + kSampleChunk - 1) / kSampleChunk} * negatives * (dim + 2));
    const uint32_t* negative_rows = item_keys.data() + n;
    const auto gradient = [&](const PointTable& u, const PointTable& v, bool of_users, const List& list, float* gradient32, double* gradient64) {
      b.softmax_gradient({u, v, user_keys.data(), positives.data(), negative_rows, sqdist.data(), slope.data(), tape.data(), n, negatives,
                          pitch, of_users, list.unique.data(), list.count.data(), list.offsets.data(), list.order.data(), list.capacity, dim,
                          c.curvature, partial.data(), gradient32, gradient64});
    };
    b.softmax_loss({user_points, item_points, user_keys.data(), positives.data(), negative_rows, left_out.data(), n, negatives, pitch, dim,
                    c.curvature, scale.data(), sqdist.data(), slope.data(), loss.data(), tape.data(), scale_gradient.data()});
    keep(out, "softmax_loss" + at, loss, n, kFloat), keep(out, "softmax_loss.scale_gradient" + at, scale_gradient, n, kFloat);
    keep(out, "softmax_loss.sqdist" + at, sqdist, size_t{n} * pitch, kFloat), keep(out, "softmax_loss.slope" + at, slope, size_t{n} * pitch, 1e-5);
    Buffer<float> user_gradient(b, size_t{user_list.capacity} * dim), item_gradient(b, size_t{items.capacity} * dim);
    gradient(user_points, item_points, true, user_list, user_gradient.data(), nullptr);
    gradient(user_points, item_points, false, items, item_gradient.data(), nullptr);
    keep(out, "softmax_gradient users" + at, user_gradient, size_t{user_count} * dim, 1e-5);
    keep(out, "softmax_gradient items" + at, item_gradient, size_t{item_count} * dim, 1e-5);

    // Compact float64 tables, as the lookahead makes them.
    Buffer<double> user_rows(b, size_t{user_list.capacity} * dim), user_gap(b, user_list.capacity), unused_users(b, size_t{user_list.capacity} * dim);
    Buffer<double> item_rows(b, size_t{items.capacity} * dim), item_gap(b, items.capacity), unused_items(b, size_t{items.capacity} * dim);
    const auto ahead = [&](const Table& table, const List& list, const float* of, Buffer<double>& unused, Buffer<double>& rows, Buffer<double>& gap) {
      b.lookahead({table.parameters.data(), list.unique.data(), list.count.data(), list.slot.data(), of, 1e-2, list.capacity, dim, c.curvature,
                   c.tangent, true, unused.data(), rows.data(), gap.data()});
    };
    ahead(users, user_list, user_gradient.data(), unused_users, user_rows, user_gap);
    ahead(entities, items, item_gradient.data(), unused_items, item_rows, item_gap);
    const PointTable u64{nullptr, user_rows.data(), user_gap.data(), user_list.slot.data()};
    const PointTable v64{nullptr, item_rows.data(), item_gap.data(), items.slot.data()};
    b.softmax_loss({u64, v64, user_keys.data(), positives.data(), negative_rows, left_out.data(), n, negatives, pitch, dim, c.curvature,
                    scale.data(), sqdist.data(), slope.data(), nullptr, tape.data(), nullptr});
    Buffer<double> user_gradient64(b, user_rows.size()), item_gradient64(b, item_rows.size());
    gradient(u64, v64, true, user_list, nullptr, user_gradient64.data()), gradient(u64, v64, false, items, nullptr, item_gradient64.data());
    keep(out, "softmax_gradient users float64" + at, user_gradient64, size_t{user_count} * dim, 2e-5);
    keep(out, "softmax_gradient items float64" + at, item_gradient64, size_t{item_count} * dim, 2e-5);
  }
}

// Every kernel, in the order of a training step, each fed with what this backend computed before.
Results exercise(Backend& b, const Case& c, const World& w) {
  Results out;
  const uint32_t dim = c.dim, n = c.batch, interactions = static_cast<uint32_t>(w.train_items.size());
  const DeviceGraph graph(b, w.graph, c.entities, c.relations);
  const AdamOptions adam{1e-2, 0.9, 0.999, 1e-8, c.curvature, c.tangent};
  State state(b);

  // Parameters and points.
  Table users(b, w.users, dim, c.tangent), entities(b, w.entities, dim, c.tangent), relations(b, w.relations, dim, c.tangent);
  for (Table* table : {&users, &entities, &relations}) b.map_parameters({table->view(), c.curvature, c.tangent});
  users.keep_all(out, "map_parameters users"), relations.keep_all(out, "map_parameters relations");
  Buffer<double> gaps(b, c.entities);
  b.row_gaps({entities.point_rows(), gaps.data(), c.entities, dim, c.curvature});
  keep(out, "row_gaps", gaps, c.entities, kDouble);

  // Samples and lists; twice, so that the first lists are undone.
  const Buffer<uint32_t> interaction_users(b, w.interaction_users), train_offsets(b, w.train_offsets), train_items(b, w.train_items);
  Buffer<uint32_t> user_keys(b, n), positives(b, n), negatives(b, n), item_keys(b, 2 * n);
  List user_list(b, c.users, std::min(n, c.users), n), item_list(b, c.entities, std::min(2 * n, c.entities), 2 * n);
  List heads(b, c.items, std::min(n, c.items), n), touched(b, c.entities, c.entities, 2 * n);
  Buffer<uint32_t> triple_offsets(b, heads.capacity + 1), group_offsets(b, heads.capacity + 1);
  Buffer<TripleWindow> windows(b, b.wants_windows() ? most_windows(heads.capacity, graph.most_triples(heads.capacity)) : 0);
  TripleWindow* const listed_windows = b.wants_windows() ? windows.data() : nullptr;
  Buffer<double> weight(b, heads.capacity);
  Buffer<uint8_t> marks(b, c.entities);
  marks.fill(0);
  const Buffer<float> beta(b, w.beta);
  const TailLists tails(b, c.entities, graph.most_triples(heads.capacity));
  for (uint32_t epoch = 0; epoch < 2; ++epoch) {
    const std::string at = epoch ? " 1" : " 0";
    b.sample({interaction_users.data(), train_offsets.data(), train_items.data(), interactions, c.items, 99, state.at(epoch, epoch ? interactions - n - n / 2 : 3, 0),
              epoch, n,
              user_keys.data(), positives.data(), negatives.data(), item_keys.data()});
    keep(out, "sample.users" + at, user_keys, n, kExact), keep(out, "sample.positives" + at, positives, n, kExact);
    keep(out, "sample.negatives" + at, negatives, n, kExact), keep(out, "sample.item_keys" + at, item_keys, 2 * n, kExact);
    b.group_rows({{user_list.groups(user_keys.data(), n), item_list.groups(item_keys.data(), 2 * n), heads.groups(positives.data(), n)}, 3});
    user_list.keep_all(out, "group_rows users" + at, n), item_list.keep_all(out, "group_rows items" + at, 2 * n);
    b.head_lists({graph.view(), graph.group_counts(), heads.unique.data(), heads.count.data(), heads.capacity, triple_offsets.data(),
                  group_offsets.data(), marks.data(), listed_windows, c.entities, tails.order()});
    b.head_weights({heads.unique.data(), heads.count.data(), epoch ? heads.offsets.data() : nullptr, heads.capacity,
                    epoch ? beta.data() : nullptr, 0.25, weight.data()});
    const uint32_t count = heads.count.first();
    keep(out, "head_lists.triple_offsets" + at, triple_offsets, count + 1, kExact);
    keep(out, "head_lists.group_offsets" + at, group_offsets, count + 1, kExact);
    keep(out, "head_weights" + at, weight, count, kDouble), keep(out, "head_lists.marks" + at, marks, c.entities, kExact);
    b.group_rows({{touched.groups(item_keys.data(), 2 * n, marks.data())}, 1});
    touched.keep_all(out, "group_rows touched" + at, 2 * n), keep(out, "group_rows marks" + at, marks, c.entities, kExact);
  }
  const uint32_t head_count = heads.count.first(), user_count = user_list.count.first(), item_count = item_list.count.first();
  const uint32_t touched_count = touched.count.first();

  // Eq. 3 and its gradient.
  const double scale_value = 1.3;
  Buffer<double> scale(b, &scale_value, 1);
  const PointTable user_points{users.point_rows(), nullptr, users.gap.data(), nullptr},
      item_points{entities.point_rows(), nullptr, entities.gap.data(), nullptr};
  Buffer<float> loss(b, n), user_gradient(b, size_t{user_list.capacity} * dim), item_gradient(b, size_t{item_list.capacity} * dim);
  Buffer<RankingTape> tape(b, n);
  Buffer<double> scale_gradient(b, n);
  b.ranking_loss({user_points, item_points, user_keys.data(), positives.data(), negatives.data(), n, dim, c.curvature, scale.data(),
                  loss.data(), tape.data(), scale_gradient.data()});
  keep(out, "ranking_loss", loss, n, kFloat), keep(out, "ranking_loss.scale_gradient", scale_gradient, n, 1e-6);
  const auto ranking_gradient = [&](const PointTable& u, const PointTable& v, const Buffer<RankingTape>& t, bool of_users, const List& list,
                                    float* gradient, double* gradient64) {
    b.ranking_gradient({u, v, user_keys.data(), positives.data(), negatives.data(), t.data(), of_users, list.unique.data(),
                        list.count.data(), list.offsets.data(), list.order.data(), list.capacity, dim, gradient, gradient64});
  };
  ranking_gradient(user_points, item_points, tape, true, user_list, user_gradient.data(), nullptr);
  ranking_gradient(user_points, item_points, tape, false, item_list, item_gradient.data(), nullptr);
  keep(out, "ranking_gradient users", user_gradient, size_t{user_count} * dim, kFloat);
  keep(out, "ranking_gradient items", item_gradient, size_t{item_count} * dim, kFloat);

  exercise_softmax(b, c, users, entities, user_points, item_points, train_offsets, train_items, user_keys, positives, user_list, scale, out);

  // Eq. 4–7 and their gradient.
  const uint32_t triples = graph.most_triples(heads.capacity), groups = graph.most_groups(heads.capacity);
  const float* relation_points = c.attention ? relations.point_rows() : nullptr;
  Buffer<float> midpoint(b, size_t{heads.capacity} * dim), weights(b, triples);
  Buffer<float> group_gradient(b, size_t{groups} * dim), entity_gradient(b, size_t{touched.capacity} * dim),
      relation_gradient(b, size_t{c.relations} * dim);
  Buffer<double> head_gradient(b, size_t{heads.capacity} * dim), midpoint_gradient(b, size_t{heads.capacity} * dim);
  Buffer<double> distance(b, heads.capacity), head_scale_gradient(b, heads.capacity);
  Buffer<TripleGradient> triple_gradients(b, triples);
  NeighborhoodTape head_tape{head_gradient.data(), midpoint_gradient.data(), triple_gradients.data(),
                             c.attention ? group_gradient.data() : nullptr, head_scale_gradient.data()};
  const uint32_t sum_count = c.attention ? b.relation_sums(c.relations) : 0;
  Buffer<double> sum_rows(b, size_t{sum_count} * c.relations * dim);
  const RelationSums sums = sum_count ? RelationSums{sum_rows.data(), sum_count, c.relations, weight.data()} : RelationSums{};
  Buffer<uint8_t> tame(b, heads.capacity);
  Buffer<SingleTripleGradient> singles(b, triples);
  Buffer<double> partial(b, size_t{std::max(graph.in_edges().chunks, graph.relation_groups().chunks)} * dim);
  uint32_t head_triples = 0;
  b.download(&head_triples, triple_offsets.data() + head_count, sizeof(head_triples));
  // Without gradients; with sums in float32 where a backend takes them so; and last, for what follows, in float64.
  for (const char* way : {"", " in float32", " with tape"}) {
    const std::string at = way;
    const bool with_tape = !at.empty(), in_float32 = at == " in float32";
    tame.fill(0), head_tape.tame = in_float32 ? tame.data() : nullptr, head_tape.singles = singles.data();
    const bool outputs = !in_float32;
    const double single = c.trained == Trained::items ? kNear : kSingle;
    Neighborhood a{entities.point_rows(), entities.gap.data(), relation_points, relations.gap.data(), graph.view(), heads.unique.data(),
                   heads.count.data(), heads.capacity, triple_offsets.data(), group_offsets.data(), dim, c.curvature, scale.data(),
                   c.attention, outputs ? midpoint.data() : nullptr, outputs ? weights.data() : nullptr, distance.data(),
                   with_tape ? head_tape : NeighborhoodTape{}, with_tape ? listed_windows : nullptr, triples, nullptr};
    a.temperature = c.trained == Trained::relations ? 30 : 1.7;  // with 1.7 these would not be tame
    if (with_tape) a.sums = sums, a.order = tails.order();
    Buffer<uint8_t> scratch(b, b.neighborhood_scratch(a, triples));
    a.scratch = scratch.data();
    b.neighborhood(a);
    if (outputs) {
      keep(out, "neighborhood.midpoint" + at, midpoint, size_t{head_count} * dim, kFloat);
      keep(out, "neighborhood.weights" + at, weights, head_triples, kFloat);
    }
    keep(out, "neighborhood.distance" + at, distance, head_count, in_float32 ? kSingle : kDouble);
    if (!with_tape) continue;
    keep(out, "neighborhood.head_gradient" + at, head_gradient, size_t{head_count} * dim, in_float32 ? single : kFloat);
    keep(out, "neighborhood.midpoint_gradient" + at, midpoint_gradient, size_t{head_count} * dim, in_float32 ? single : 1e-8);
    keep(out, "neighborhood.scale_gradient" + at, head_scale_gradient, head_count, in_float32 ? kSingle : 1e-8);
    b.entity_gradient({entities.point_rows(), relation_points, graph.in_edges(), heads.unique.data(), heads.count.data(),
                       heads.slot.data(), triple_offsets.data(), weight.data(), head_tape, item_list.slot.data(), item_gradient.data(),
                       touched.unique.data(), touched.count.data(), touched.slot.data(), touched.capacity, c.items, c.entities, dim,
                       partial.data(), entity_gradient.data(), tails.order()});
    keep(out, "entity_gradient" + at, entity_gradient, size_t{touched_count} * dim, in_float32 ? single : kFloat);
    if (!c.attention) continue;
    b.relation_gradient({graph.relation_groups(), heads.slot.data(), group_offsets.data(), weight.data(), group_gradient.data(), dim,
                         partial.data(), relation_gradient.data(), sums});
    keep(out, "relation_gradient" + at, relation_gradient, size_t{c.relations} * dim, in_float32 ? kSingle : kFloat);
  }
  head_tape.tame = nullptr;

  // Eq. 10–12.
  const double inner_rate = 1e-2;
  Buffer<double> ahead_users(b, size_t{user_list.capacity} * dim), ahead_user_points(b, size_t{user_list.capacity} * dim),
      ahead_user_gap(b, user_list.capacity);
  Buffer<double> ahead_items(b, size_t{item_list.capacity} * dim), ahead_item_points(b, size_t{item_list.capacity} * dim),
      ahead_item_gap(b, item_list.capacity);
  Buffer<double> outer_gradient(b, size_t{item_list.capacity} * dim);
  const auto lookahead = [&](Table& table, const List& list, const List& slots, const Buffer<float>& gradient, Buffer<double>& parameters,
                             Buffer<double>& points, Buffer<double>& gap) {
    b.lookahead({table.view().parameters, list.unique.data(), list.count.data(), slots.slot.data(), gradient.data(), inner_rate,
                 list.capacity, dim, c.curvature, c.tangent, true, parameters.data(), points.data(), gap.data()});
  };
  lookahead(users, user_list, user_list, user_gradient, ahead_users, ahead_user_points, ahead_user_gap);
  lookahead(entities, item_list, touched, entity_gradient, ahead_items, ahead_item_points, ahead_item_gap);
  keep(out, "lookahead", ahead_items, size_t{item_count} * dim, 1e-6),
      keep(out, "lookahead.points", ahead_item_points, size_t{item_count} * dim, 1e-6);
  keep(out, "lookahead.gap", ahead_item_gap, item_count, 1e-6);
  const PointTable ahead_u{nullptr, ahead_user_points.data(), ahead_user_gap.data(), user_list.slot.data()};
  const PointTable ahead_v{nullptr, ahead_item_points.data(), ahead_item_gap.data(), item_list.slot.data()};
  b.ranking_loss({ahead_u, ahead_v, user_keys.data(), positives.data(), negatives.data(), n, dim, c.curvature, scale.data(), nullptr,
                  tape.data(), nullptr});
  ranking_gradient(ahead_u, ahead_v, tape, false, item_list, nullptr, outer_gradient.data());
  keep(out, "ranking_gradient float64", outer_gradient, size_t{item_count} * dim, 1e-5);
  if (c.tangent)
    b.lookahead_gradient({entities.view().parameters, item_list.unique.data(), item_list.count.data(), item_list.capacity, dim, c.curvature,
                          ahead_items.data(), outer_gradient.data()});
  keep(out, "lookahead_gradient", outer_gradient, size_t{item_count} * dim, 1e-5);
  Buffer<float> hypergradient(b, heads.capacity);
  Buffer<double> hypergradient_partial(b, windows.size());
  b.hypergradient({entities.point_rows(), relation_points, graph.view(), graph.item_tails(), heads.unique.data(), heads.count.data(), heads.offsets.data(),
                   triple_offsets.data(), head_tape, beta.data(), inner_rate, item_list.slot.data(), outer_gradient.data(), heads.capacity,
                   dim, listed_windows, hypergradient_partial.data(), hypergradient.data(), tails.order()});
  keep(out, "hypergradient", hypergradient, head_count, 1e-5);

  if (c.entities <= 200) exercise_adam(b, c, w, adam, touched, item_list, entity_gradient, out);  // dense: every row, 39 times

  // Plain parameters (β): no points.
  Buffer<float> plain(b, w.beta), first(b, c.items), second(b, c.items);
  first.fill(0), second.fill(0);
  const AdamTable plain_table{plain.data(), first.data(), second.data(), nullptr, nullptr, nullptr, c.items, 1};
  for (uint32_t step = 1; step < 4; ++step)
    b.adam({plain_table,
            {1e-2, 0.9, 0.999, 1e-8, c.curvature, false},
            heads.unique.data(),
            heads.count.data(),
            hypergradient.data(),
            nullptr,
            nullptr,
            nullptr,
            0,
            nullptr,
            state.at(0, 0, step - 1),
            heads.capacity});
  keep(out, "adam plain", plain, c.items, 1e-5);

  // Copied at first, then every third step, standing still in between.
  Buffer<float> average(b, w.users);
  for (uint32_t step = 1; step <= 10; ++step) {
    const std::vector<float> before = average.download();
    const float* now = step % 2 ? users.point_rows() : users.parameters.data();
    b.average({now, {average.data(), 0.9, 3}, c.users, dim, nullptr, nullptr, state.at(0, 0, step - 1), c.users});
    check(step < 3 || step % 3 == 0 || average.download() == before, std::string(b.name()) + " " + c.name + ": an average moves every third step");
    if (step == 2 || step > 8) keep(out, "average", average, size_t{c.users} * dim, step == 2 ? kExact : kFloat);
  }

  Buffer<double> totals(b, 2), scale_state(b, 3);
  totals.fill(0), scale_state.fill(0);
  StepState begin{7, 11, 0, 1};
  state.buffer.upload(&begin);
  for (uint32_t step = 1; step < 3; ++step)
    b.batch_totals({loss.data(), n, weight.data(), distance.data(), heads.count.data(), totals.data(), scale_gradient.data(),
                    head_scale_gradient.data(), scale_state.data(), scale.data(), 1e-3, state.buffer.data(), state.buffer.data()});
  const StepState end = state.buffer.first();
  check(end.epoch == 7 && end.first == 11 + 2 * n && end.steps == 2, std::string(b.name()) + " " + c.name + ": batch_totals moves the state on");
  keep(out, "batch_totals", totals, 2, 1e-7), keep(out, "batch_totals.scale", scale, 1, 1e-7);

  // Outside the step.
  const uint32_t pairs = std::min(c.users, c.entities);
  Buffer<float> pair_distance(b, pairs), grad_x(b, size_t{pairs} * dim), grad_y(b, size_t{pairs} * dim);
  b.poincare_distance({users.point_rows(), entities.point_rows(), pair_distance.data(), pairs, dim, c.curvature});
  b.poincare_distance_gradient(
      {users.point_rows(), entities.point_rows(), pair_distance.data(), grad_x.data(), grad_y.data(), pairs, dim, c.curvature});
  keep(out, "poincare_distance", pair_distance, pairs, kFloat);
  keep(out, "poincare_distance_gradient.x", grad_x, size_t{pairs} * dim, kFloat),
      keep(out, "poincare_distance_gradient.y", grad_y, size_t{pairs} * dim, kFloat);
  for (const uint32_t k : {1u, 7u, c.items + 2})
    for (const bool exclude : {false, true}) {
      Buffer<uint32_t> found(b, size_t{c.users} * k);
      Buffer<float> distances(b, size_t{c.users} * k);
      b.top_k({users.point_rows(), entities.point_rows(), c.users, c.items, dim, k, c.curvature, 1.5,
               exclude ? train_offsets.data() : nullptr, train_items.data(), found.data(), distances.data()});
      const std::string at = std::to_string(k) + (exclude ? " unseen" : "");
      keep(out, "top_k " + at, found, size_t{c.users} * k, kExact);
      keep(out, "top_k.distances " + at, distances, size_t{c.users} * k, kFloat);
    }
  return out;
}

// ───────────────────────────── comparisons ─────────────────────────────

double error_of(const Result& one, const Result& other) {
  double largest = 1e-30, error = 0;
  for (const double value : other.values)
    if (std::isfinite(value)) largest = std::max(largest, std::abs(value));
  for (size_t i = 0; i < one.values.size(); ++i) {
    const double x = one.values[i], y = other.values[i];
    if (x == y) continue;
    const double difference = std::abs(x - y) / largest;
    error = difference <= 1e300 ? std::max(error, difference) : 1e300;  // NaN counts as a large error
  }
  return error;
}

void compare_schedules_and_cpu(const Case& c, bool print_errors) {
  const World world = make_world(c);
  CpuBackend cpu(2);
  set_schedule(0);
  const std::unique_ptr<Backend> cuda = make_cuda_backend();
  const Results expected = exercise(cpu, c, world), first = exercise(*cuda, c, world);
  check(expected.size() == first.size(), c.name + ": as many results");
  for (size_t i = 0; i < first.size(); ++i) {
    const Result& one = first[i];
    if (one.tolerance == kExact) {
      check(one.bytes == expected[i].bytes, c.name + ": " + one.name + " equals the CPU's");
      continue;
    }
    const bool same_size = one.values.size() == expected[i].values.size();
    const double error = same_size ? error_of(one, expected[i]) : 1e300;
    check(error <= one.tolerance,
          c.name + ": " + one.name + " differs from the CPU's by " + std::to_string(error / one.tolerance) + " of what is allowed");
    if (print_errors) std::printf("  %-40s %9.2e of %9.2e\n", one.name.c_str(), error, one.tolerance);
  }
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    set_schedule(seed);
    const Results again = exercise(*cuda, c, world);
    bool same = again.size() == first.size();
    for (size_t i = 0; same && i < first.size(); ++i)
      if (again[i].bytes != first[i].bytes) same = false, check(false, c.name + ": " + first[i].name + " depends on the schedule");
    check(same, c.name + ": schedule " + std::to_string(seed) + " gives the same bits");
  }
}

// Sizes around the tiles of top_k, lists that stay in shared memory and those that do not, exact ties.
void compare_top_k() {
  struct TopKCase {
    uint32_t users, items, dim, k;
    double curvature;
    uint32_t distinct;  // items that are not copies of others
    bool exclude;
  };
  const TopKCase cases[] = {
      {260, 300, 64, 20, 1.0, 300, true},   {129, 129, 32, 33, 1.0, 129, false},  {17, 400, 3, 1, 1.0, 400, true},
      {3, 700, 1, 20, 1.0, 40, true},       {40, 257, 31, 32, 1.0, 257, false},   {20, 130, 33, 100, 1.0, 65, true},
      {17, 140, 65, 20, 1e-36, 140, true},  {5, 128, 100, 33, 1e30, 128, false},  {20, 200, 128, 20, 1.0, 50, true},
      {17, 140, 256, 20, 1.0, 140, false},  {9, 140, 256, 100, 0.0, 140, true},   {1, 1500, 64, 20, 1.0, 1500, false},
      {2, 300, 8, 400, 1.0, 100, true},     {20, 500, 16, 20, 1.0, 1, true},      {140, 120, 4, 1, 1e30, 120, false},
      {140, 260, 5, 100, 1e-36, 260, true},
  };
  CpuBackend cpu(2);
  const std::unique_ptr<Backend> cuda = make_cuda_backend();
  for (const TopKCase& c : cases) {
    Random random{c.items + 1000 * c.dim};
    const std::vector<float> users = random_rows(random, c.users, c.dim, c.curvature, 1 - 1e-5);
    std::vector<float> items = random_rows(random, c.items, c.dim, c.curvature, 1 - 1e-5);
    for (uint32_t i = c.distinct; i < c.items; ++i)
      std::copy_n(items.begin() + size_t{i % c.distinct} * c.dim, c.dim, items.begin() + size_t{i} * c.dim);
    std::vector<uint32_t> offsets{0}, excluded;
    for (uint32_t user = 0; user < c.users; ++user) {  // few, none, all
      for (uint32_t item = user % 8 == 7 ? 0 : random.integer(c.items); user % 8 != 6 && item < c.items;
           item += user % 8 == 7 ? 1 : 1 + random.integer(60))
        excluded.push_back(item);
      offsets.push_back(static_cast<uint32_t>(excluded.size()));
    }
    excluded.push_back(kNone);  // never read
    const auto rank = [&](Backend& b) {
      const Buffer<float> u(b, users), v(b, items);
      const Buffer<uint32_t> at(b, offsets), ids(b, excluded);
      Buffer<uint32_t> found(b, size_t{c.users} * c.k);
      Buffer<float> distances(b, size_t{c.users} * c.k);
      b.top_k({u.data(), v.data(), c.users, c.items, c.dim, c.k, c.curvature, 1.5, c.exclude ? at.data() : nullptr, ids.data(),
               found.data(), distances.data()});
      Results out;
      keep(out, "ids", found, size_t{c.users} * c.k, kExact), keep(out, "distances", distances, size_t{c.users} * c.k, kFloat);
      return out;
    };
    const std::string name = "top_k of " + std::to_string(c.users) + " users, " + std::to_string(c.items) + " items, dim " +
                             std::to_string(c.dim) + ", k " + std::to_string(c.k) + ": ";
    const Results expected = rank(cpu);
    std::vector<unsigned char> distances;
    for (uint64_t seed = 0; seed <= 2; ++seed) {
      set_schedule(seed);
      const Results found = rank(*cuda);
      check(found[0].bytes == expected[0].bytes, name + "the items are the CPU's");
      check(error_of(found[1], expected[1]) <= kFloat, name + "the distances are the CPU's");
      if (seed == 0) distances = found[1].bytes;
      check(found[1].bytes == distances, name + "schedule " + std::to_string(seed) + " gives the same bits");
    }
  }
}

// ───────────────────────────── planted faults ─────────────────────────────

#if defined(HK_CUDA_ON_HOST)

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kAddressSanitizer = true;
#else
constexpr bool kAddressSanitizer = false;
#endif

// What became of it, in a child process: AddressSanitizer ends the process.
struct Outcome {
  bool finished = false;
  double value = 0;
  char message[400] = "";
};

Outcome outcome_of(const std::string& fault, uint64_t seed) {
  int ends[2];
  if (pipe(ends) != 0) return {};
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    if (std::freopen("/dev/null", "w", stderr) == nullptr) _exit(3);
    Outcome mine;
    set_schedule(seed);
    try {
      const std::unique_ptr<Backend> cuda = make_cuda_backend();
      mine.value = run_with_fault(*cuda, fault), mine.finished = true;
    } catch (const Error& e) {
      std::snprintf(mine.message, sizeof(mine.message), "%s", e.what());
    }
    const bool told = write(ends[1], &mine, sizeof(mine)) == static_cast<ssize_t>(sizeof(mine));
    _exit(told ? 0 : 4);
  }
  close(ends[1]);
  Outcome theirs;
  int status = 0;
  const bool told = read(ends[0], &theirs, sizeof(theirs)) == static_cast<ssize_t>(sizeof(theirs));
  close(ends[0]), waitpid(child, &status, 0);
  if (!told)
    std::snprintf(theirs.message, sizeof(theirs.message),
                  kAddressSanitizer && WEXITSTATUS(status) == 1 ? "AddressSanitizer" : "the process died");
  return theirs;
}

void find_planted_faults() {
  const Outcome right = outcome_of("none", 0);
  check(right.finished, std::string("the kernel without a fault runs: ") + right.message);
  for (const std::string fault : {"none", "missing_barrier", "missing_warp_barrier", "float_order"}) {
    bool changed = false;
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      const Outcome o = outcome_of(fault, seed);
      check(o.finished, fault + " runs to its end: " + o.message);
      changed = changed || o.value != outcome_of(fault, 0).value || !(o.value == o.value);
    }
    check(changed == (fault != "none"), fault + (changed ? " changes" : " does not change") + " its result with the schedule");
  }
  for (const std::string fault :
       {"divergent_barrier", "divergent_shuffle", "early_return", "out_of_bounds_shared", "out_of_bounds_global"}) {
    const Outcome o = outcome_of(fault, 1);
    check(!o.finished && std::strcmp(o.message, "the process died") != 0, fault + " is found");
    std::printf("  %-21s %s\n", fault.c_str(), o.message);
  }
}

#endif

int selftest(bool print_errors) {
#if defined(HK_CUDA_ON_HOST)
  constexpr const char* kWhat = "host selftest";
  find_planted_faults();
#else
  constexpr const char* kWhat = "device selftest";
#endif
  const Case cases[] = {
      // name, dim, curvature, tangent, attention, users, items, entities, relations, batch, most_triples, most_interactions
      {"one column", 1, 1.0, true, true, 12, 9, 20, 2, 20, 4, 4},
      {"odd, on the ball", 3, 0.7, false, true, 20, 24, 60, 4, 50, 8, 9},
      {"Euclidean", 33, 0.0, true, true, 20, 24, 50, 3, 40, 8, 9},
      {"64 columns", 64, 1.0, true, true, 70, 130, 200, 5, 64, 10, 9},
      {"32 columns", 32, 0.5, false, true, 20, 24, 60, 4, 40, 40, 9},
      {"128 columns", 128, 1.0, true, true, 20, 24, 60, 4, 40, 40, 9},
      {"long heads", 64, 1.0, true, true, 20, 24, 300, 4, 40, 180, 9},
      {"long groups", 64, 1.0, true, true, 20, 12, 300, 1, 40, 280, 9},
      {"long groups, odd", 37, 1.0, true, true, 20, 12, 300, 2, 40, 280, 9},
      {"long heads, odd", 37, 1.0, false, true, 20, 24, 300, 4, 40, 180, 9},
      {"long heads, no attention", 32, 0.0, true, false, 20, 24, 300, 4, 40, 180, 9},
      {"no attention", 64, 1.0, true, false, 30, 24, 60, 5, 50, 10, 9},
      {"hub, long rows", 8, 1.0, true, true, 9, 620, 680, 2, 1500, 3, 900},
      {"wide", 300, 2.0, false, true, 10, 16, 40, 3, 20, 6, 8},
      {"trained relations", 64, 1.0, true, true, 70, 130, 200, 5, 64, 10, 9, Trained::relations},
      {"trained relations, odd", 37, 0.5, true, true, 20, 24, 60, 4, 40, 40, 9, Trained::relations},
      {"trained items", 64, 1.0, true, false, 70, 130, 400, 5, 64, 10, 9, Trained::items},
      {"widest", 2100, 1.0, true, true, 3, 6, 12, 2, 5, 3, 3},
  };
  for (const Case& c : cases) {
    if (print_errors) std::printf("%s\n", c.name.c_str());
    compare_schedules_and_cpu(c, print_errors);
  }
  compare_top_k();
  std::printf("%s: %d checks, %d failed\n", kWhat, checks, failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace hk

int main(int argc, char** argv) {
  try {
    return hk::selftest(argc > 1 && std::strcmp(argv[1], "--errors") == 0);
  } catch (const std::exception& e) {
    std::printf("selftest: %s\n", e.what());
    return 1;
  }
}
