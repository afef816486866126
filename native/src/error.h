#pragma once
// The one exception type of the native code. `code` becomes `error.code` in JavaScript (lib/errors.ts lists them):
// ERR_HK_TYPE becomes a TypeError, ERR_HK_RANGE and ERR_HK_SHAPE a RangeError, everything else an Error.
#include <stdexcept>
#include <string>
#include <utility>

namespace hk {

class Error : public std::runtime_error {
 public:
  Error(const char* code, const std::string& message) : std::runtime_error(message), code_(code) {}
  const char* code() const { return code_; }

 private:
  const char* code_;
};

// A long computation was asked to stop.
struct Aborted : std::runtime_error {
  Aborted() : std::runtime_error("The operation was aborted") {}
};

inline void require(bool condition, const char* code, const std::string& message) {
  if (!condition) throw Error(code, message);
}

}  // namespace hk
