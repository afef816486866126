#pragma once
// Buffer<T>: memory of a backend, owned; freed in its destructor. Never outlives its backend.
#include <cstddef>
#include <type_traits>
#include <utility>
#include <vector>

#include "backend.h"

namespace hk {

template <class T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Buffer() = default;
  Buffer(Backend& backend, size_t size) : backend_(&backend), size_(size) {
    memory_ = static_cast<T*>(backend.allocate(size * sizeof(T)));
  }
  Buffer(Backend& backend, const T* host, size_t size) : Buffer(backend, size) { upload(host); }
  Buffer(Backend& backend, const std::vector<T>& host) : Buffer(backend, host.data(), host.size()) {}
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(backend_, other.backend_), std::swap(memory_, other.memory_), std::swap(size_, other.size_);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (memory_) backend_->release(memory_, bytes());
  }

  T* data() { return memory_; }
  const T* data() const { return memory_; }
  size_t size() const { return size_; }
  size_t bytes() const { return size_ * sizeof(T); }

  // Whole, or the first `count` elements.
  void upload(const T* host) { upload(host, size_); }
  void upload(const T* host, size_t count) {
    if (count) backend_->upload(memory_, host, count * sizeof(T));
  }
  void download(T* host) const { download(host, size_); }
  void download(T* host, size_t count) const {
    if (count) backend_->download(host, memory_, count * sizeof(T));
  }
  std::vector<T> download() const {
    std::vector<T> host(size_);
    download(host.data());
    return host;
  }
  T first() const {
    T value;
    backend_->download(&value, memory_, sizeof(T));
    return value;
  }
  void forget() {
    if (size_) backend_->forget(memory_, bytes());
  }
  void fill(uint8_t byte) {
    if (size_) backend_->fill(memory_, byte, bytes());
  }

 private:
  Backend* backend_ = nullptr;
  T* memory_ = nullptr;
  size_t size_ = 0;
};

}  // namespace hk
