#include "kernels_wrap.h"

#include <thread>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "../backends.h"
#include "../calls.h"
#include "arguments.h"
#include "guard.h"
#include "item_table.h"
#include "job.h"

namespace hk {
namespace {

// A large array is memory that nobody has touched: on huge pages a kernel that fills it meets 512 times fewer page faults.
Napi::Float32Array new_float32(Napi::Env env, size_t size) {
  Napi::Float32Array out = Napi::Float32Array::New(env, size);
#if defined(__linux__)
  constexpr uintptr_t kHugePage = uintptr_t{1} << 21;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(out.Data()), end = begin + size * sizeof(float);
  const uintptr_t first = (begin + kHugePage - 1) & ~(kHugePage - 1), last = end & ~(kHugePage - 1);
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
  return out;
}

// The arguments that every function of a neighbourhood starts with: entities, relations, dim, graph.
struct GraphArguments {
  uint32_t dim;
  double curvature;
  Rows entities, relations;
  HostGraphView graph;

  GraphArguments(const Arguments& in, size_t at, size_t curvature_at) {
    const Span<float> e = in.float32(at, "entities"), r = in.float32(at + 1, "relations");
    dim = in.integer(at + 2, "dim", 1, kMaxDim), curvature = in.curvature(curvature_at);
    const Span<uint32_t> offsets = in.uint32(at + 3, "graph.offsets"), ids = in.uint32(at + 4, "graph.relations"),
                         tails = in.uint32(at + 5, "graph.tails");
    check_length("graph.relations", ids.size, tails.size, "as many as graph.tails");
    check_offsets("graph.offsets", offsets, tails.size, "graph.tails");
    entities = {e.data, check_points("entities", e, dim, curvature)};
    relations = {r.data, check_points("relations", r, dim, curvature)};
    const size_t items = offsets.size - 1;
    if (items > entities.count) Arguments::bad_range("graph.offsets", "has more items than there are entity rows");
    check_ids("graph.relations", ids, relations.count, "relation rows");
    check_ids("graph.tails", tails, entities.count, "entity rows");
    graph = {offsets.data, ids.data, tails.data, static_cast<uint32_t>(items), static_cast<uint32_t>(tails.size)};
  }
};

HostSamples samples(const Arguments& in, size_t at, const char* const names[3], uint32_t users, uint32_t items, bool shared = false) {
  const Span<uint32_t> u = in.uint32(at, names[0]), p = in.uint32(at + 1, names[1]), n = in.uint32(at + 2, names[2]);
  check_length(names[1], p.size, u.size, "one per user of the batch");
  if (!shared) check_length(names[2], n.size, u.size, "one per user of the batch");
  check_ids(names[0], u, users, "user rows");
  check_ids(names[1], p, items, "items"), check_ids(names[2], n, items, "items");
  return {u.data, p.data, n.data, static_cast<uint32_t>(u.size), shared ? static_cast<uint32_t>(n.size) : 0};
}

struct TopKArguments {
  std::shared_ptr<const ItemTable::Held> table;  // null: items were given as they are
  uint32_t dim, k;
  double curvature;
  Rows users, items;
  Span<uint32_t> exclude_offsets{nullptr, 0}, exclude_items{nullptr, 0};

  TopKArguments(const Arguments& in, size_t at) {
    const Span<float> u = in.float32(at, "users");
    table = ItemTable::held_by(in[at + 1]);
    const Span<float> v = table ? Span<float>{table->points.data(), table->points.size()} : in.float32(at + 1, "items");
    dim = in.integer(at + 2, "dim", 1, kMaxDim), k = in.integer(at + 3, "k", 1, 1u << 24), curvature = in.curvature(at + 6);
    if (table && table->dim != dim) Arguments::bad_range("dim", "must be that of the item table, " + std::to_string(table->dim));
    if (table && table->curvature != curvature) Arguments::bad_range("curvature", "must be that of the item table");
    users = {u.data, check_points("users", u, dim, curvature)};
    items = {v.data, table ? table->count : check_points("items", v, dim, curvature)};
    if (in.is_null(at + 4)) return;
    exclude_offsets = in.uint32(at + 4, "exclude.offsets"), exclude_items = in.uint32(at + 5, "exclude.items");
    check_length("exclude.offsets", exclude_offsets.size, size_t{users.count} + 1, "one more than users");
    check_offsets("exclude.offsets", exclude_offsets, exclude_items.size, "exclude.items");
    check_ids("exclude.items", exclude_items, items.count, "items");
  }
};

// What a table has prepared is for the CPU backend; any other gets its points.
const PreparedItems* prepared_for(const std::string& backend, const std::shared_ptr<const ItemTable::Held>& table) {
  return table && backend == "cpu" ? &table->prepared() : nullptr;
}

}  // namespace

Backend& KernelExports::backend(const std::string& name) {
  std::unique_ptr<Backend>& found = backends_[name];
  if (!found) found = make_backend(name, static_cast<int>(std::thread::hardware_concurrency()));
  return *found;
}

Napi::Value KernelExports::backends(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&]() -> Napi::Value {
    const std::vector<BackendStatus> all = backend_statuses();
    Napi::Array out = Napi::Array::New(env, all.size());
    for (uint32_t i = 0; i < all.size(); ++i) {
      Napi::Object one = Napi::Object::New(env);
      one.Set("name", all[i].name), one.Set("device", all[i].device);
      one.Set("memoryBytes", Napi::Number::New(env, static_cast<double>(all[i].memory_bytes)));
      if (!all[i].reason.empty()) one.Set("reason", all[i].reason);
      out.Set(i, one);
    }
    return out;
  });
}

Napi::Value KernelExports::poincare_distance(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const Arguments in(info);
    const std::string name = in.string(0, "backend");
    const Span<float> x = in.float32(1, "x"), y = in.float32(2, "y");
    const uint32_t dim = in.integer(3, "dim", 1, kMaxDim);
    const double curvature = in.curvature(4);
    check_length("y", y.size, x.size, "as many as x");
    const uint32_t pairs = check_rows("x", x, dim);
    Napi::Float32Array out = new_float32(info.Env(), pairs);
    hk::poincare_distance(backend(name), x.data, y.data, pairs, dim, curvature, out.Data());
    // The kernel has looked at every point: only where it found one outside the ball is that one searched for, to be named.
    for (uint32_t i = 0; i < pairs; ++i)
      if (std::isnan(out.Data()[i])) check_points("x", x, dim, curvature), check_points("y", y, dim, curvature);
    return out;
  });
}

Napi::Value KernelExports::poincare_distance_gradient(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const Arguments in(info);
    const std::string name = in.string(0, "backend");
    const Span<float> x = in.float32(1, "x"), y = in.float32(2, "y"), upstream = in.float32(4, "upstream");
    const uint32_t dim = in.integer(3, "dim", 1, kMaxDim);
    const double curvature = in.curvature(5);
    check_length("y", y.size, x.size, "as many as x");
    const uint32_t pairs = check_points("x", x, dim, curvature);
    check_points("y", y, dim, curvature);
    check_length("upstream", upstream.size, pairs, "one per row");
    check_finite("upstream", upstream);
    Napi::Float32Array grad_x = new_float32(info.Env(), x.size), grad_y = new_float32(info.Env(), x.size);
    hk::poincare_distance_gradient(backend(name), x.data, y.data, upstream.data, pairs, dim, curvature, grad_x.Data(), grad_y.Data());
    Napi::Object out = Napi::Object::New(info.Env());
    out.Set("gradX", grad_x), out.Set("gradY", grad_y);
    return out;
  });
}

Napi::Value KernelExports::neighborhood(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const Arguments in(info);
    const std::string name = in.string(0, "backend");
    const GraphArguments a(in, 1, 8);
    const double temperature = in.temperature(9);
    const Span<uint32_t> items = in.uint32(7, "items");
    check_ids("items", items, a.graph.items, "items of the graph");
    size_t triples = 0;
    for (size_t i = 0; i < items.size; ++i) triples += a.graph.offsets[items.data[i] + 1] - a.graph.offsets[items.data[i]];
    if (triples > kMaxRows) Arguments::bad_range("items", "have more than 2³² triples together");
    Napi::Float32Array midpoint = new_float32(info.Env(), items.size * a.dim), attention = new_float32(info.Env(), triples),
                       distance = new_float32(info.Env(), items.size);
    hk::neighborhood(backend(name), a.entities, a.relations, a.dim, a.graph, items.data, static_cast<uint32_t>(items.size), a.curvature,
                     temperature, midpoint.Data(), attention.Data(), distance.Data());
    Napi::Object out = Napi::Object::New(info.Env());
    out.Set("midpoint", midpoint), out.Set("attention", attention), out.Set("distance", distance);
    return out;
  });
}

Napi::Value KernelExports::neighborhood_gradient(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const Arguments in(info);
    const std::string name = in.string(0, "backend");
    const GraphArguments a(in, 1, 9);
    const double temperature = in.temperature(10);
    const Span<uint32_t> items = in.uint32(7, "items");
    const Span<float> upstream = in.float32(8, "upstream");
    check_ids("items", items, a.graph.items, "items of the graph");
    check_length("upstream", upstream.size, items.size, "one per item");
    check_finite("upstream", upstream);
    Napi::Float32Array entities = new_float32(info.Env(), size_t{a.entities.count} * a.dim),
                       relations = new_float32(info.Env(), size_t{a.relations.count} * a.dim);
    hk::neighborhood_gradient(backend(name), a.entities, a.relations, a.dim, a.graph, items.data, static_cast<uint32_t>(items.size),
                              upstream.data, a.curvature, temperature, entities.Data(), relations.Data());
    Napi::Object out = Napi::Object::New(info.Env());
    out.Set("entities", entities), out.Set("relations", relations);
    return out;
  });
}

Napi::Value KernelExports::hypergradient(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const Arguments in(info);
    const std::string name = in.string(0, "backend");
    const GraphArguments a(in, 2, 16);
    const Span<float> users = in.float32(1, "users"), beta = in.float32(8, "beta");
    const Rows user_rows{users.data, check_points("users", users, a.dim, a.curvature)};
    check_length("beta", beta.size, a.graph.items, "one per item of the graph");
    check_finite("beta", beta);
    const char* const inner_names[3] = {"inner.users", "inner.positives", "inner.negatives"};
    const char* const outer_names[3] = {"outer.users", "outer.positives", "outer.negatives"};
    const HostSamples inner = samples(in, 9, inner_names, user_rows.count, a.graph.items);
    const HostSamples outer = samples(in, 12, outer_names, user_rows.count, a.graph.items);
    const double rate = in.number(15, "innerLearningRate");
    if (!(rate >= 0) || !std::isfinite(rate)) Arguments::bad_range("innerLearningRate", "must be finite and not negative");
    Napi::Float32Array out = new_float32(info.Env(), a.graph.items);
    hk::hypergradient(backend(name), user_rows, a.entities, a.relations, a.dim, a.graph, beta.data, inner, outer, rate, a.curvature, out.Data());
    return out;
  });
}

Napi::Value KernelExports::bilevel_step(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const Arguments in(info);
    const std::string name = in.string(0, "backend");
    const GraphArguments a(in, 2, 15);
    const Span<float> users = in.float32(1, "users"), beta = in.float32(8, "beta");
    const Rows user_rows{users.data, check_points("users", users, a.dim, a.curvature)};
    check_length("beta", beta.size, a.graph.items, "one per item of the graph");
    check_finite("beta", beta);
    const char* const names[3] = {"users", "positives", "negatives"};
    const bool shared = !in.is_null(12);
    HostSamples batch = samples(in, 9, names, user_rows.count, a.graph.items, shared);
    if (shared) {
      const Span<uint32_t> left_out = in.uint32(12, "leftOut");
      check_length("leftOut", left_out.size, (size_t{batch.shared} + 31) / 32 * batch.count, "32 negatives each");
      batch.left_out = left_out.data;
    }
    const double rate = in.number(13, "innerLearningRate"), scale = in.number(14, "scale");
    Napi::Float32Array loss = new_float32(info.Env(), batch.count), of_users = new_float32(info.Env(), users.size),
                       of_entities = new_float32(info.Env(), size_t{a.entities.count} * a.dim),
                       of_relations = new_float32(info.Env(), size_t{a.relations.count} * a.dim),
                       of_beta = new_float32(info.Env(), a.graph.items);
    double scale_gradient = 0;
    hk::bilevel_step(backend(name), user_rows, a.entities, a.relations, a.dim, a.graph, beta.data, batch, batch, rate, a.curvature, scale,
                     {loss.Data(), &scale_gradient, of_users.Data(), of_entities.Data(), of_relations.Data(), of_beta.Data()});
    Napi::Object out = Napi::Object::New(info.Env());
    out.Set("loss", loss), out.Set("scaleGradient", scale_gradient), out.Set("users", of_users), out.Set("entities", of_entities);
    out.Set("relations", of_relations), out.Set("hypergradient", of_beta);
    return out;
  });
}

Napi::Value KernelExports::top_k(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const Arguments in(info);
    const std::string name = in.string(0, "backend");
    const TopKArguments a(in, 1);
    const size_t size = size_t{a.users.count} * a.k;
    Napi::Uint32Array items = Napi::Uint32Array::New(info.Env(), size);
    Napi::Float32Array distances = new_float32(info.Env(), size);
    hk::top_k(backend(name), a.users, a.items, a.dim, a.k, a.exclude_offsets.data, a.exclude_items.data, a.curvature, items.Data(),
              distances.Data(), prepared_for(name, a.table));
    Napi::Object out = Napi::Object::New(info.Env());
    out.Set("items", items), out.Set("distances", distances);
    return out;
  });
}

Napi::Value KernelExports::top_k_async(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const Arguments in(info);
    struct Owned {  // a job owns its memory: the caller's arrays may be transferred away
      std::string backend;
      uint32_t threads, dim, k;
      double curvature;
      std::shared_ptr<const ItemTable::Held> table;
      std::vector<float> users, points;  // points: of the items, without a table
      Rows items;
      bool exclude;
      std::vector<uint32_t> exclude_offsets, exclude_items, out_items;
      std::vector<float> out_distances;
    };
    const TopKArguments a(in, 2);
    auto own = std::make_shared<Owned>();
    own->backend = in.string(0, "backend"), own->threads = in.integer(1, "threads", 1, 1024), own->dim = a.dim, own->k = a.k;
    own->curvature = a.curvature, own->exclude = a.exclude_offsets.data != nullptr;
    own->users.assign(a.users.data, a.users.data + size_t{a.users.count} * a.dim);
    own->table = a.table, own->items = a.items;
    if (!own->table) {
      own->points.assign(a.items.data, a.items.data + size_t{a.items.count} * a.dim);
      own->items.data = own->points.data();
    }
    if (own->exclude) {
      own->exclude_offsets.assign(a.exclude_offsets.data, a.exclude_offsets.data + a.exclude_offsets.size);
      own->exclude_items.assign(a.exclude_items.data, a.exclude_items.data + a.exclude_items.size);
    }
    return Job::start(
        info.Env(),
        [own](const Control& control) {
          control.check();
          const uint32_t users = static_cast<uint32_t>(own->users.size() / own->dim);
          const std::unique_ptr<Backend> backend = make_backend(own->backend, static_cast<int>(own->threads));
          own->out_items.resize(size_t{users} * own->k), own->out_distances.resize(size_t{users} * own->k);
          hk::top_k(*backend, {own->users.data(), users}, own->items, own->dim, own->k,
                    own->exclude ? own->exclude_offsets.data() : nullptr, own->exclude_items.data(), own->curvature, own->out_items.data(),
                    own->out_distances.data(), prepared_for(own->backend, own->table));
        },
        [own](Napi::Env env) -> Napi::Value {
          Napi::Object out = Napi::Object::New(env);
          out.Set("items", take(env, std::move(own->out_items))), out.Set("distances", take(env, std::move(own->out_distances)));
          return out;
        });
  });
}

}  // namespace hk
