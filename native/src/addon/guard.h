#pragma once
// The one place where a C++ exception becomes a JavaScript error.
#include <napi.h>

#include <cstring>
#include <new>
#include <string>
#include <system_error>

#include "../error.h"

namespace hk {

inline Napi::Error to_js_error(Napi::Env env, const char* code, const char* message) {
  Napi::Error error;
  if (std::strcmp(code, "ERR_HK_TYPE") == 0) error = Napi::TypeError::New(env, message);
  else if (std::strcmp(code, "ERR_HK_RANGE") == 0 || std::strcmp(code, "ERR_HK_SHAPE") == 0) error = Napi::RangeError::New(env, message);
  else error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

// What the standard library throws where the system starts no further thread: as little to be had as memory.
inline std::string thread_refused(const std::system_error& e) { return std::string("a thread could not be started: ") + e.what(); }

template <class Body>
auto guard(Napi::Env env, Body&& body) -> decltype(body()) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (const Error& e) {
    throw to_js_error(env, e.code(), e.what());
  } catch (const std::bad_alloc&) {
    throw to_js_error(env, "ERR_HK_MEMORY", "out of memory");
  } catch (const std::system_error& e) {
    throw to_js_error(env, "ERR_HK_MEMORY", thread_refused(e).c_str());
  } catch (const std::exception& e) {
    throw to_js_error(env, "ERR_HK_INTERNAL", e.what());
  }
}

}  // namespace hk
