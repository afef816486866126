#pragma once
#include <napi.h>

#include <map>
#include <memory>
#include <string>

#include "../backend.h"

namespace hk {

// The kernels as synchronous exports (lib/native.ts). Holds one backend object per name, made on first use.
class KernelExports {
 public:
  Napi::Value backends(const Napi::CallbackInfo& info);
  Napi::Value poincare_distance(const Napi::CallbackInfo& info);
  Napi::Value poincare_distance_gradient(const Napi::CallbackInfo& info);
  Napi::Value neighborhood(const Napi::CallbackInfo& info);
  Napi::Value neighborhood_gradient(const Napi::CallbackInfo& info);
  Napi::Value hypergradient(const Napi::CallbackInfo& info);
  Napi::Value bilevel_step(const Napi::CallbackInfo& info);
  Napi::Value top_k(const Napi::CallbackInfo& info);
  Napi::Value top_k_async(const Napi::CallbackInfo& info);

 private:
  Backend& backend(const std::string& name);
  std::map<std::string, std::unique_ptr<Backend>> backends_;
};

}  // namespace hk
