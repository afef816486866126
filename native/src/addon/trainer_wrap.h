#pragma once
#include <napi.h>

#include <functional>
#include <memory>
#include <string>

#include "../trainer.h"

namespace hk {

// NativeTrainer of lib/native.ts: one job at a time. The Trainer itself, with its tables and transposed graph, is made by the first job,
// on that job's thread.
class TrainerWrap : public Napi::ObjectWrap<TrainerWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit TrainerWrap(const Napi::CallbackInfo& info);

 private:
  static Napi::Value plan(const Napi::CallbackInfo& info);
  Napi::Value epoch(const Napi::CallbackInfo& info);
  Napi::Value samples(const Napi::CallbackInfo& info);
  Napi::Value top_k(const Napi::CallbackInfo& info);
  Napi::Value read(const Napi::CallbackInfo& info);
  Napi::Value beta(const Napi::CallbackInfo& info);
  Napi::Value finish(const Napi::CallbackInfo& info);
  Napi::Value state(const Napi::CallbackInfo& info);
  Napi::Value restore(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);

  struct Lazy {
    std::string backend;
    int threads;
    TrainerOptions options;  // emptied once the trainer is there
    const ModelShape shape;
    std::unique_ptr<Trainer> trainer;
    Trainer& get(const Control& control = {});
  };

  // The trainer, made or not, if it is idle; throws ERR_HK_DISPOSED or ERR_HK_BUSY.
  Lazy& idle();
  Napi::Object start(Napi::Env env, std::function<void(Trainer&, const Control&)> work, std::function<Napi::Value(Napi::Env)> result);

  Napi::Value parameters(Napi::Env env, std::function<HostParameters(Trainer&)> work);

  std::shared_ptr<Lazy> trainer_;
  std::shared_ptr<bool> busy_ = std::make_shared<bool>(false);
};

}  // namespace hk
