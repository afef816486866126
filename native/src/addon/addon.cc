// Every export of the addon on one screen; lib/native.ts is its typed mirror.
#include <napi.h>

#include "item_table.h"
#include "kernels_wrap.h"
#include "trainer_wrap.h"

class HyperKnow : public Napi::Addon<HyperKnow> {
 public:
  HyperKnow(Napi::Env env, Napi::Object exports) {
    DefineAddon(exports, {
                             InstanceMethod("backends", &HyperKnow::call<&hk::KernelExports::backends>),
                             InstanceMethod("poincareDistance", &HyperKnow::call<&hk::KernelExports::poincare_distance>),
                             InstanceMethod("poincareDistanceGradient", &HyperKnow::call<&hk::KernelExports::poincare_distance_gradient>),
                             InstanceMethod("neighborhood", &HyperKnow::call<&hk::KernelExports::neighborhood>),
                             InstanceMethod("neighborhoodGradient", &HyperKnow::call<&hk::KernelExports::neighborhood_gradient>),
                             InstanceMethod("hypergradient", &HyperKnow::call<&hk::KernelExports::hypergradient>),
                             InstanceMethod("bilevelStep", &HyperKnow::call<&hk::KernelExports::bilevel_step>),
                             InstanceMethod("topK", &HyperKnow::call<&hk::KernelExports::top_k>),
                             InstanceMethod("topKAsync", &HyperKnow::call<&hk::KernelExports::top_k_async>),
                             InstanceValue("ItemTable", hk::ItemTable::define(env), napi_enumerable),
                             InstanceValue("Trainer", hk::TrainerWrap::define(env), napi_enumerable),
                         });
  }

 private:
  template <Napi::Value (hk::KernelExports::*method)(const Napi::CallbackInfo&)>
  Napi::Value call(const Napi::CallbackInfo& info) {
    return (kernels_.*method)(info);
  }
  hk::KernelExports kernels_;
};

NODE_API_ADDON(HyperKnow)
