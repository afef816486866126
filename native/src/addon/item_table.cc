#include "item_table.h"

#include <cstring>
#include <thread>
#include <utility>

#include "../backends.h"
#include "arguments.h"
#include "guard.h"

namespace hk {
namespace {

// Tells an ItemTable from any other object.
constexpr napi_type_tag kTag = {0x8d1f3c5a9be04276, 0xa3527c90e64f18bd};

// `matches` compares a table up to this size whole, in some 10 µs; of a larger one this many rows, unless it is asked for all of it.
constexpr size_t kComparedWhole = size_t{1} << 16;  // floats
constexpr size_t kComparedRows = 32;

}  // namespace

Napi::Function ItemTable::define(Napi::Env env) {
  return DefineClass(env, "ItemTable", {InstanceMethod("matches", &ItemTable::matches), InstanceMethod("dispose", &ItemTable::dispose)});
}

ItemTable::ItemTable(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ItemTable>(info) {
  guard(info.Env(), [&] {
    const Arguments in(info);
    const Span<float> items = in.float32(0, "items");
    auto held = std::make_shared<Held>();
    held->dim = in.integer(1, "dim", 1, kMaxDim), held->curvature = in.curvature(2);
    held->count = check_points("items", items, held->dim, held->curvature);
    held->points.assign(items.data, items.data + items.size);
    bytes_ = static_cast<int64_t>(2 * items.size * sizeof(float));  // what is prepared has about the size of the points
    held_ = std::move(held);
    info.This().As<Napi::Object>().TypeTag(&kTag);
    Napi::MemoryManagement::AdjustExternalMemory(info.Env(), bytes_);
  });
}

const PreparedItems& ItemTable::Held::prepared() const {
  const std::lock_guard<std::mutex> lock(mutex_);  // std::call_once may wait for ever after an exception, as with musl
  if (!prepared_) {
    const std::unique_ptr<Backend> backend = make_backend("cpu", static_cast<int>(std::thread::hardware_concurrency()));
    prepared_ = backend->prepare_items(points.data(), count, dim, curvature);
  }
  return *prepared_;
}

std::shared_ptr<const ItemTable::Held> ItemTable::held_by(const Napi::Value& value) {
  if (!value.IsObject() || value.IsTypedArray() || !value.As<Napi::Object>().CheckTypeTag(&kTag)) return nullptr;
  std::shared_ptr<const Held> held = Unwrap(value.As<Napi::Object>())->held_;
  require(held != nullptr, "ERR_HK_DISPOSED", "the item table was closed");
  return held;
}

Napi::Value ItemTable::matches(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const Arguments in(info);
    const Span<float> items = in.float32(0, "items");
    const bool whole = info[1].ToBoolean();
    require(held_ != nullptr, "ERR_HK_DISPOSED", "the item table was closed");
    const std::vector<float>& points = held_->points;
    const auto same = [&](size_t from, size_t count) {
      return std::memcmp(points.data() + from, items.data + from, count * sizeof(float)) == 0;
    };
    if (items.size != points.size()) return Napi::Boolean::New(info.Env(), false);
    if (whole || points.size() <= kComparedWhole) return Napi::Boolean::New(info.Env(), points.empty() || same(0, points.size()));
    bool all = true;
    for (size_t i = 0; i < kComparedRows && all; ++i) all = same((held_->count - 1) * i / (kComparedRows - 1) * held_->dim, held_->dim);
    return Napi::Boolean::New(info.Env(), all);
  });
}

void ItemTable::release(Napi::Env env) {
  held_.reset();
  Napi::MemoryManagement::AdjustExternalMemory(env, -std::exchange(bytes_, 0));
}

}  // namespace hk
