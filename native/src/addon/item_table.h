#pragma once
#include <napi.h>

#include <memory>
#include <mutex>
#include <vector>

#include "../backend.h"

namespace hk {

// ItemTable of lib/native.ts: items that many calls of topK rank, copied and prepared once.
class ItemTable : public Napi::ObjectWrap<ItemTable> {
 public:
  // Never changes. A job holds on to it, whatever becomes of the JavaScript object.
  struct Held {
    std::vector<float> points;  // [count, dim]
    uint32_t count, dim;
    double curvature;
    // What the CPU backend makes of them: by the first call that ranks them, on its thread.
    const PreparedItems& prepared() const;

   private:
    mutable std::mutex mutex_;
    mutable std::unique_ptr<PreparedItems> prepared_;
  };

  static Napi::Function define(Napi::Env env);
  explicit ItemTable(const Napi::CallbackInfo& info);
  void Finalize(Napi::Env env) override { release(env); }

  // What `value` holds if it is an ItemTable, otherwise null; throws ERR_HK_DISPOSED.
  static std::shared_ptr<const Held> held_by(const Napi::Value& value);

 private:
  Napi::Value matches(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info) { release(info.Env()); }
  void release(Napi::Env env);

  std::shared_ptr<const Held> held_;
  int64_t bytes_ = 0;  // that the garbage collector was told of
};

}  // namespace hk
