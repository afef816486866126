#pragma once
// Checked access to the arguments of an exported function. Every failure is a TypeError or RangeError that names the argument, thrown
// before any native work.
#include <napi.h>

#include <cmath>
#include <cstdint>
#include <string>

#include "../error.h"

namespace hk {

template <class T>
struct Span {
  const T* data;
  size_t size;
};

class Arguments {
 public:
  explicit Arguments(const Napi::CallbackInfo& info) : info_(info) {}

  Napi::Value operator[](size_t i) const { return info_[i]; }

  [[noreturn]] static void bad_type(const char* name, const std::string& rest) { throw Error("ERR_HK_TYPE", std::string(name) + ": " + rest); }
  [[noreturn]] static void bad_range(const char* name, const std::string& rest) { throw Error("ERR_HK_RANGE", std::string(name) + ": " + rest); }

  Span<float> float32(size_t i, const char* name) const { return typed<float>(info_[i], name, napi_float32_array, "a Float32Array"); }
  Span<uint32_t> uint32(size_t i, const char* name) const { return typed<uint32_t>(info_[i], name, napi_uint32_array, "a Uint32Array"); }
  bool is_null(size_t i) const { return info_[i].IsNull() || info_[i].IsUndefined(); }

  double number(size_t i, const char* name) const {
    if (!info_[i].IsNumber()) bad_type(name, "must be a number");
    return info_[i].As<Napi::Number>().DoubleValue();
  }
  uint32_t integer(size_t i, const char* name, uint32_t min, uint32_t max) const { return checked_integer(number(i, name), name, min, max); }
  double temperature(size_t i) const {
    const double value = number(i, "temperature");
    if (!(value > 0) || std::isinf(value)) bad_range("temperature", "must be above 0 and finite");
    return value;
  }
  double curvature(size_t i) const { return checked_curvature(number(i, "curvature")); }
  std::string string(size_t i, const char* name) const {
    if (!info_[i].IsString()) bad_type(name, "must be a string");
    return info_[i].As<Napi::String>().Utf8Value();
  }

  static uint32_t checked_integer(double value, const char* name, uint32_t min, uint32_t max) {
    if (!(value >= min && value <= max) || value != std::floor(value))
      bad_range(name, "must be an integer from " + std::to_string(min) + " to " + std::to_string(max));
    return static_cast<uint32_t>(value);
  }
  static double checked_curvature(double value) {
    if (!(value >= 0) || !std::isfinite(value)) bad_range("curvature", "must be finite and positive (0: the Euclidean limit)");
    return value;
  }

  template <class T>
  static Span<T> typed(const Napi::Value& value, const char* name, napi_typedarray_type type, const char* wanted) {
    if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type) bad_type(name, std::string("must be ") + wanted);
    const Napi::TypedArray array = value.As<Napi::TypedArray>();
    if (array.ByteLength() == 0) return {nullptr, 0};
    // Another thread may write to shared memory between the check of a value and its use.
    if (!Napi::Value(array.Env(), array.ArrayBuffer()).IsArrayBuffer()) bad_type(name, "must not be shared memory");
    char* base = static_cast<char*>(array.ArrayBuffer().Data());
    return {reinterpret_cast<const T*>(base + array.ByteOffset()), array.ElementLength()};
  }

 private:
  const Napi::CallbackInfo& info_;
};

constexpr uint32_t kMaxDim = 4096;
constexpr uint32_t kMaxRows = 0xfffffffe;

// Number of rows of a matrix.
uint32_t check_rows(const char* name, Span<float> rows, uint32_t dim);
// The same; every coordinate finite and every point inside the ball.
uint32_t check_points(const char* name, Span<float> rows, uint32_t dim, double curvature);
// All values below `limit`.
void check_ids(const char* name, Span<uint32_t> ids, uint32_t limit, const char* what);
// Ascending from 0 to `last`.
void check_offsets(const char* name, Span<uint32_t> offsets, size_t last, const char* last_name);
void check_finite(const char* name, Span<float> values);
void check_length(const char* name, size_t length, size_t wanted, const char* wanted_text);

}  // namespace hk
