#pragma once
#include <napi.h>

#include <memory>

#include "../trainer.h"

namespace hk {

// NativeTrainer of lib/native.ts: owns a Trainer; one job at a time.
class TrainerWrap : public Napi::ObjectWrap<TrainerWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit TrainerWrap(const Napi::CallbackInfo& info);

 private:
  Napi::Value epoch(const Napi::CallbackInfo& info);
  Napi::Value samples(const Napi::CallbackInfo& info);
  Napi::Value top_k(const Napi::CallbackInfo& info);
  Napi::Value read(const Napi::CallbackInfo& info);
  Napi::Value state(const Napi::CallbackInfo& info);
  void restore(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);

  // The trainer, if it is there and idle; throws ERR_HK_DISPOSED or ERR_HK_BUSY.
  Trainer& idle();
  Napi::Object start(Napi::Env env, std::function<void(Trainer&, const Control&)> work, std::function<Napi::Value(Napi::Env)> result);

  std::shared_ptr<Trainer> trainer_;
  std::shared_ptr<bool> busy_ = std::make_shared<bool>(false);
};

}  // namespace hk
