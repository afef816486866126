#pragma once
// One background computation on a thread of its own (libuv's four are shared with files and DNS): a promise, cancellation, and a
// clean end when the environment goes away.
#include <napi.h>

#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <thread>

#include "../error.h"
#include "../trainer.h"
#include "guard.h"

namespace hk {

class Job {
 public:
  using Work = std::function<void(const Control&)>;      // on the job's thread: no Node types
  using Result = std::function<Napi::Value(Napi::Env)>;  // on the JavaScript thread, after Work

  // Starts `work`; returns { promise, cancel }. `finished` runs on the JavaScript thread however the work ended.
  static Napi::Object start(Napi::Env env, Work work, Result result, std::function<void()> finished = {}) {
    auto job = std::shared_ptr<Job>(new Job(env, std::move(work), std::move(result), std::move(finished)));
    auto* holder = new std::shared_ptr<Job>(job);
    Napi::Function nothing = Napi::Function::New(env, [](const Napi::CallbackInfo&) {});
    job->settle_ = Napi::ThreadSafeFunction::New(env, nothing, "hyper-know job", 0, 1, holder, [](Napi::Env, std::shared_ptr<Job>* h) {
      (*h)->shut_down();  // after the last release, or when the environment ends: only stop and join
      delete h;
    });
    try {
      job->thread_ = std::thread([j = job.get()] { j->run(); });
    } catch (const std::system_error& e) {
      job->code_ = "ERR_HK_MEMORY", job->message_ = thread_refused(e);
      job->finish();
    }
    Napi::Object handle = Napi::Object::New(env);
    handle.Set("promise", job->deferred_.Promise());
    handle.Set("cancel", Napi::Function::New(env, [job](const Napi::CallbackInfo&) { job->control_.stop = true; }));
    return handle;
  }

  ~Job() { shut_down(); }

 private:
  Job(Napi::Env env, Work work, Result result, std::function<void()> finished)
      : deferred_(env), work_(std::move(work)), result_(std::move(result)), finished_(std::move(finished)) {}

  void run() {
    try {
      work_(control_), done_ = true;
    } catch (const Aborted&) {
      aborted_ = true;
    } catch (const Error& e) {
      code_ = e.code(), message_ = e.what();
    } catch (const std::bad_alloc&) {
      code_ = "ERR_HK_MEMORY", message_ = "out of memory";
    } catch (const std::system_error& e) {
      code_ = "ERR_HK_MEMORY", message_ = thread_refused(e);
    } catch (const std::exception& e) {
      message_ = e.what();
    }
    finish();
  }

  void finish() {
    settle_.NonBlockingCall([this](Napi::Env env, Napi::Function) { settle(env); });
    settle_.Release();
  }

  // On the JavaScript thread. Every call may fail while a worker is being terminated, and then there is nobody to tell.
  void settle(Napi::Env env) {
    work_ = nullptr;  // with what it keeps alive; the handle of a job may live much longer
    try {
      if (finished_) finished_();
      if (done_) {
        deferred_.Resolve(result_(env));
        return;
      }
      Napi::Error error = aborted_ ? Napi::Error::New(env, "The operation was aborted") : to_js_error(env, code_, message_.c_str());
      if (aborted_) error.Set("name", Napi::String::New(env, "AbortError")), error.Set("code", Napi::String::New(env, "ABORT_ERR"));
      deferred_.Reject(error.Value());
    } catch (const Napi::Error&) {
    }
  }

  void shut_down() {
    control_.stop = true;
    if (thread_.joinable()) thread_.join();
  }

  Napi::Promise::Deferred deferred_;
  Napi::ThreadSafeFunction settle_;
  Control control_;
  Work work_;
  Result result_;
  std::function<void()> finished_;
  std::thread thread_;
  bool done_ = false, aborted_ = false;
  const char* code_ = "ERR_HK_INTERNAL";
  std::string message_ = "unknown native error";
};

// A typed array that owns the memory of `values`.
template <class T>
Napi::Value take(Napi::Env env, std::vector<T>&& values) {
  auto* owner = new std::vector<T>(std::move(values));
  const int64_t bytes = static_cast<int64_t>(owner->size() * sizeof(T));
  if (bytes == 0) {
    delete owner;
    return Napi::TypedArrayOf<T>::New(env, 0);
  }
  Napi::MemoryManagement::AdjustExternalMemory(env, bytes);
  Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(
      env, owner->data(), static_cast<size_t>(bytes),
      [](Napi::Env e, void*, std::vector<T>* v) {
        Napi::MemoryManagement::AdjustExternalMemory(e, -static_cast<int64_t>(v->size() * sizeof(T)));
        delete v;
      },
      owner);
  return Napi::TypedArrayOf<T>::New(env, owner->size(), buffer, 0);
}

}  // namespace hk
