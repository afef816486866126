#include "trainer_wrap.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <algorithm>
#include <string>
#include <vector>

#include "../backends.h"
#include "arguments.h"
#include "guard.h"
#include "job.h"

namespace hk {
namespace {

// Fields of the configuration object, checked like arguments.
class Config {
 public:
  explicit Config(const Napi::Value& value) {
    if (!value.IsObject()) Arguments::bad_type("config", "must be an object");
    object_ = value.As<Napi::Object>();
  }
  double number(const char* name, double min, double max) const {
    const Napi::Value value = object_.Get(name);
    if (!value.IsNumber()) Arguments::bad_type(name, "must be a number");
    const double x = value.As<Napi::Number>().DoubleValue();
    if (!(x >= min && x <= max)) Arguments::bad_range(name, "must be from " + std::to_string(min) + " to " + std::to_string(max));
    return x;
  }
  uint32_t integer(const char* name, uint32_t min, uint32_t max) const {
    const Napi::Value value = object_.Get(name);
    if (!value.IsNumber()) Arguments::bad_type(name, "must be a number");
    return Arguments::checked_integer(value.As<Napi::Number>().DoubleValue(), name, min, max);
  }
  bool boolean(const char* name) const {
    const Napi::Value value = object_.Get(name);
    if (!value.IsBoolean()) Arguments::bad_type(name, "must be true or false");
    return value.As<Napi::Boolean>().Value();
  }
  // Index of the value among `allowed`.
  size_t one_of(const char* name, std::initializer_list<const char*> allowed) const {
    const std::string text = string(name);
    size_t i = 0;
    for (const char* word : allowed) {
      if (text == word) return i;
      ++i;
    }
    Arguments::bad_range(name, "'" + text + "' is not known");
  }
  std::string string(const char* name) const {
    const Napi::Value value = object_.Get(name);
    if (!value.IsString()) Arguments::bad_type(name, "must be a string");
    return value.As<Napi::String>().Utf8Value();
  }
  Span<uint32_t> uint32(const char* name) const {
    return Arguments::typed<uint32_t>(object_.Get(name), name, napi_uint32_array, "a Uint32Array");
  }

 private:
  Napi::Object object_;
};

std::vector<uint32_t> copy(Span<uint32_t> s) { return {s.data, s.data + s.size}; }

// A typed array with memory of its own, which its owner may give back: that of `take` is bound to the array.
template <class T>
Napi::Value copied(Napi::Env env, const std::vector<T>& values) {
  auto array = Napi::TypedArrayOf<T>::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

TrainerOptions options_from(const Config& c) {
  TrainerOptions o;
  ModelShape& m = o.model;
  m.users = c.integer("users", 1, kMaxRows), m.items = c.integer("items", 1, kMaxRows);
  m.entities = c.integer("entities", m.items, kMaxRows), m.relations = c.integer("relations", 0, kMaxRows);
  m.dim = c.integer("dim", 1, kMaxDim);
  const bool euclidean = c.one_of("geometry", {"poincare", "euclidean"}) == 1;
  const double curvature = c.number("curvature", 1e-12, 1e12);
  m.curvature = euclidean ? 0.0 : 1.0, m.scale = euclidean ? 1.0 : 1.0 / std::sqrt(curvature);
  m.tangent = !euclidean && c.one_of("parameters", {"tangent", "ball"}) == 0;
  o.adam = static_cast<AdamKind>(c.one_of("adam", {"touched", "exact", "dense"}));
  m.exact_adam = o.adam == AdamKind::exact;
  m.init_scale = c.number("initScale", 0, 1);
  const double weight = c.number("knowledgeWeight", 0, 1e6);
  o.adaptive = c.boolean("adaptive"), o.learn_scale = !euclidean && c.boolean("learnCurvature");
  if (o.adaptive && !(weight > 0 && weight < 1)) Arguments::bad_range("knowledgeWeight", "must lie between 0 and 1 where β is learned");
  m.beta = o.adaptive ? std::log(weight / (1.0 - weight)) : 0.0;
  m.seed = o.seed = static_cast<uint64_t>(c.number("seed", 0, 9007199254740991.0));
  o.batch = c.integer("batchSize", 1, 1u << 24);
  o.negatives = c.integer("sharedNegatives", 0, 1u << 16);
  o.learning_rate = c.number("learningRate", 0, 1e30), o.beta_learning_rate = c.number("betaLearningRate", 0, 1e30);
  o.scale_learning_rate = c.number("curvatureLearningRate", 0, 1e30), o.regularization = c.number("regularization", 0, 1e30);
  o.average_decay = c.number("averageDecay", 0, 1 - 1e-9), o.average_every = c.integer("averageEvery", 0, 1u << 30);
  m.average = o.average_every > 0;
  o.time_kernels = c.boolean("timeKernels");
  o.step = {m.curvature, m.tangent, true, c.boolean("knowledge"), c.boolean("attention"), weight, c.number("innerLearningRate", 0, 1e30),
            c.number("attentionTemperature", 1e-6, 1e6), true};

  const Span<uint32_t> train_offsets = c.uint32("trainOffsets"), train_items = c.uint32("trainItems");
  check_length("trainOffsets", train_offsets.size, size_t{m.users} + 1, "one more than users");
  if (train_items.size > uint32_t{1} << 31) Arguments::bad_range("trainItems", "must have at most 2³¹ elements");
  check_offsets("trainOffsets", train_offsets, train_items.size, "trainItems");
  check_ids("trainItems", train_items, m.items, "items");
  for (uint32_t user = 0; user < m.users; ++user)
    for (uint32_t i = train_offsets.data[user] + 1; i < train_offsets.data[user + 1]; ++i)
      if (train_items.data[i] <= train_items.data[i - 1])
        Arguments::bad_range("trainItems", "must ascend within a user; index " + std::to_string(i) + " does not");
  const Span<uint32_t> graph_offsets = c.uint32("graphOffsets"), relations = c.uint32("graphRelations"), tails = c.uint32("graphTails");
  check_length("graphOffsets", graph_offsets.size, size_t{m.items} + 1, "one more than items");
  check_length("graphRelations", relations.size, tails.size, "as many as graphTails");
  check_offsets("graphOffsets", graph_offsets, tails.size, "graphTails");
  check_ids("graphRelations", relations, m.relations, "relations"), check_ids("graphTails", tails, m.entities, "entities");
  o.train_offsets = copy(train_offsets), o.train_items = copy(train_items);
  o.graph = {copy(graph_offsets), copy(relations), copy(tails)};
  return o;
}

}  // namespace

Napi::Function TrainerWrap::define(Napi::Env env) {
  return DefineClass(env, "Trainer",
                     {StaticMethod("plan", &TrainerWrap::plan), InstanceMethod("epoch", &TrainerWrap::epoch), InstanceMethod("samples", &TrainerWrap::samples),
                      InstanceMethod("topK", &TrainerWrap::top_k), InstanceMethod("read", &TrainerWrap::read),
                      InstanceMethod("beta", &TrainerWrap::beta), InstanceMethod("finish", &TrainerWrap::finish),
                      InstanceMethod("state", &TrainerWrap::state), InstanceMethod("restore", &TrainerWrap::restore),
                      InstanceMethod("dispose", &TrainerWrap::dispose)});
}

Napi::Value TrainerWrap::plan(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const Config config(info[0]);
    const std::unique_ptr<Backend> backend = make_backend(config.string("backend"), static_cast<int>(config.integer("threads", 1, 1024)));
    const TrainerBytes bytes = Trainer::plan(options_from(config), *backend);
    Napi::Object out = Napi::Object::New(info.Env());
    out.Set("parameters", static_cast<double>(bytes.parameters)), out.Set("graph", static_cast<double>(bytes.graph));
    out.Set("steps", static_cast<double>(bytes.steps));
    return out;
  });
}

TrainerWrap::TrainerWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<TrainerWrap>(info) {
  guard(info.Env(), [&] {
    const Config config(info[0]);
    TrainerOptions options = options_from(config);
    const int threads = static_cast<int>(config.integer("threads", 1, 1024));
    const ModelShape shape = options.model;
    trainer_.reset(new Lazy{config.string("backend"), threads, std::move(options), shape, nullptr});
  });
}

Trainer& TrainerWrap::Lazy::get(const Control& control) {
  if (trainer) return *trainer;
  trainer = std::make_unique<Trainer>(make_backend(backend, threads), options, control), options = {};
#if defined(__GLIBC__)
  malloc_trim(0);  // what the copies took, and whatever reading the data left, lies between blocks in use: it would add to the peak of training
#endif
  return *trainer;
}

TrainerWrap::Lazy& TrainerWrap::idle() {
  require(trainer_ != nullptr, "ERR_HK_DISPOSED", "the trainer was closed");
  require(!*busy_, "ERR_HK_BUSY", "the trainer is still working on an earlier call");
  return *trainer_;
}

Napi::Object TrainerWrap::start(Napi::Env env, std::function<void(Trainer&, const Control&)> work, std::function<Napi::Value(Napi::Env)> result) {
  idle();
  *busy_ = true;
  return Job::start(
      env, [trainer = trainer_, work = std::move(work)](const Control& control) { work(trainer->get(control), control); }, std::move(result),
      [busy = busy_] { *busy = false; });
}

Napi::Value TrainerWrap::epoch(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const Arguments in(info);
    const uint32_t number = in.integer(0, "epoch", 0, 0xffffffff);
    const double factor = in.number(1, "learningRateFactor");
    if (!(factor >= 0) || !std::isfinite(factor)) Arguments::bad_range("learningRateFactor", "must be finite and not negative");
    auto totals = std::make_shared<EpochTotals>();
    return start(
        info.Env(), [number, factor, totals](Trainer& t, const Control& control) { *totals = t.epoch(number, factor, control); },
        [totals](Napi::Env env) -> Napi::Value {
          Napi::Object out = Napi::Object::New(env);
          out.Set("steps", totals->steps), out.Set("samples", totals->samples);
          out.Set("rankingLoss", totals->ranking_loss), out.Set("knowledgeLoss", totals->knowledge_loss);
          out.Set("seconds", totals->seconds), out.Set("scale", totals->scale), out.Set("divergedStep", totals->diverged_step);
          Napi::Object kernels = Napi::Object::New(env);
          for (const auto& [kernel, seconds] : totals->kernel_seconds) kernels.Set(kernel, seconds);
          out.Set("kernelSeconds", kernels);
          out.Set("busySeconds", totals->busy_seconds), out.Set("memoryBytes", static_cast<double>(totals->memory_bytes));
          return out;
        });
  });
}

Napi::Value TrainerWrap::samples(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    Samples s = idle().get().samples(Arguments(info).integer(0, "epoch", 0, 0xffffffff));
    Napi::Object out = Napi::Object::New(info.Env());
    out.Set("users", take(info.Env(), std::move(s.users))), out.Set("positives", take(info.Env(), std::move(s.positives)));
    out.Set("negatives", take(info.Env(), std::move(s.negatives))), out.Set("shared", take(info.Env(), std::move(s.shared)));
    return out;
  });
}

Napi::Value TrainerWrap::top_k(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const Arguments in(info);
    const ModelShape& shape = idle().shape;
    const Span<uint32_t> users = in.uint32(0, "users");
    const uint32_t k = in.integer(1, "k", 1, 1u << 24);
    check_ids("users", users, shape.users, "users");
    struct Owned {
      std::vector<uint32_t> users, exclude_offsets, exclude_items, items;
      std::vector<float> distances;
    };
    auto own = std::make_shared<Owned>();
    own->users = copy(users);
    if (!in.is_null(2)) {
      const Span<uint32_t> offsets = in.uint32(2, "excludeOffsets"), items = in.uint32(3, "excludeItems");
      check_length("excludeOffsets", offsets.size, users.size + 1, "one more than users");
      check_offsets("excludeOffsets", offsets, items.size, "excludeItems");
      check_ids("excludeItems", items, shape.items, "items");
      own->exclude_offsets = copy(offsets), own->exclude_items = copy(items);
      for (size_t i = 0; i < users.size; ++i)
        std::sort(own->exclude_items.begin() + own->exclude_offsets[i], own->exclude_items.begin() + own->exclude_offsets[i + 1]);
    }
    return start(
        info.Env(),
        [own, k](Trainer& t, const Control& control) {
          t.top_k(own->users, k, own->exclude_offsets, own->exclude_items, own->items, own->distances, control);
        },
        [own](Napi::Env env) -> Napi::Value {
          Napi::Object out = Napi::Object::New(env);
          out.Set("items", copied(env, own->items)), out.Set("distances", copied(env, own->distances));
          return out;
        });
  });
}

Napi::Value TrainerWrap::parameters(Napi::Env env, std::function<HostParameters(Trainer&)> work) {
  auto own = std::make_shared<HostParameters>();
  return start(
      env, [own, work = std::move(work)](Trainer& t, const Control&) { *own = work(t); },
      [own](Napi::Env env) -> Napi::Value {
        Napi::Object out = Napi::Object::New(env);
        out.Set("users", take(env, std::move(own->users))), out.Set("entities", take(env, std::move(own->entities)));
        out.Set("relations", take(env, std::move(own->relations))), out.Set("beta", take(env, std::move(own->beta)));
        out.Set("curvature", own->curvature);
        return out;
      });
}

Napi::Value TrainerWrap::read(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] { return parameters(info.Env(), [](Trainer& t) { return t.model().read(); }); });
}

Napi::Value TrainerWrap::finish(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    const Napi::Value job = parameters(info.Env(), [](Trainer& t) { return t.finish(); });
    trainer_.reset();
    return job;
  });
}

Napi::Value TrainerWrap::beta(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    auto own = std::make_shared<std::vector<float>>();
    return start(
        info.Env(), [own](Trainer& t, const Control&) { *own = t.model().beta.parameters.download(); },
        [own](Napi::Env env) -> Napi::Value { return take(env, std::move(*own)); });
  });
}

Napi::Value TrainerWrap::state(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    struct Owned {
      HostState state;
      uint32_t steps = 0;
    };
    auto own = std::make_shared<Owned>();
    return start(
        info.Env(), [own](Trainer& t, const Control&) { own->state = t.model().state(), own->steps = t.steps(); },
        [own](Napi::Env env) -> Napi::Value {
          Napi::Object tensors = Napi::Object::New(env), out = Napi::Object::New(env);
          for (auto& [name, values] : own->state.floats) tensors.Set(name, take(env, std::move(values)));
          for (auto& [name, values] : own->state.doubles) tensors.Set(name, take(env, std::move(values)));
          for (auto& [name, values] : own->state.integers) tensors.Set(name, take(env, std::move(values)));
          out.Set("steps", own->steps), out.Set("tensors", tensors);
          return out;
        });
  });
}

Napi::Value TrainerWrap::restore(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    idle();
    if (!info[0].IsObject()) Arguments::bad_type("state", "must be an object");
    const Napi::Object state = info[0].As<Napi::Object>();
    const Napi::Value steps = state.Get("steps"), tensors = state.Get("tensors");
    if (!steps.IsNumber()) Arguments::bad_type("state.steps", "must be a number");
    if (!tensors.IsObject()) Arguments::bad_type("state.tensors", "must be an object");
    const uint32_t count = Arguments::checked_integer(steps.As<Napi::Number>().DoubleValue(), "state.steps", 0, 0xfffffffe);
    auto host = std::make_shared<HostStateView>();
    // The job reads the caller's arrays where they are; holding on to them keeps them alive until it is done.
    Napi::Array held = Napi::Array::New(info.Env());
    const Napi::Object object = tensors.As<Napi::Object>();
    const Napi::Array names = object.GetPropertyNames();
    for (uint32_t i = 0; i < names.Length(); ++i) {
      const std::string name = names.Get(i).ToString().Utf8Value();
      const Napi::Value value = object.Get(name);
      if (!value.IsTypedArray()) Arguments::bad_type("state.tensors", "'" + name + "' must be a typed array");
      held.Set(i, value);
      switch (value.As<Napi::TypedArray>().TypedArrayType()) {
        case napi_float32_array: {
          const auto s = Arguments::typed<float>(value, name.c_str(), napi_float32_array, "");
          host->floats[name] = {s.data, s.size};
          break;
        }
        case napi_float64_array: {
          const auto s = Arguments::typed<double>(value, name.c_str(), napi_float64_array, "");
          host->doubles[name] = {s.data, s.size};
          break;
        }
        case napi_uint32_array: {
          const auto s = Arguments::typed<uint32_t>(value, name.c_str(), napi_uint32_array, "");
          host->integers[name] = {s.data, s.size};
          break;
        }
        default: Arguments::bad_type("state.tensors", "'" + name + "' has an unexpected type");
      }
    }
    auto reference = std::make_shared<Napi::ObjectReference>(Napi::Persistent(held.As<Napi::Object>()));
    return start(
        info.Env(), [host, count](Trainer& t, const Control&) { t.model().restore(*host), t.set_steps(count); },
        [reference](Napi::Env env) -> Napi::Value { return env.Undefined(); });
  });
}

void TrainerWrap::dispose(const Napi::CallbackInfo&) { trainer_.reset(); }  // a running job keeps it until its next step

}  // namespace hk
