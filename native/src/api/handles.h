// What the handles of the ABI stand for. A handle is a number in a pointer's clothes, never given
// out twice: a destroyed, foreign or random one finds nothing, and nothing behind it is read. A
// call holds what it uses, so that destroying a handle meanwhile frees it after the call.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>
#include <utility>

#include "api/arguments.h"

namespace sightline {

// One owner of an object. std::shared_ptr would be the same, but for its type information, which
// every library that links ours statically would show to others.
template <typename Object>
class Held {
 public:
  Held() = default;
  explicit Held(std::unique_ptr<Object> object) : counted_(new Counted{std::move(object)}) {}
  Held(const Held& other) : counted_(other.counted_) {
    if (counted_ != nullptr) ++counted_->owners;
  }
  Held(Held&& other) noexcept : counted_(std::exchange(other.counted_, nullptr)) {}
  Held& operator=(Held other) noexcept {
    std::swap(counted_, other.counted_);
    return *this;
  }
  ~Held() {
    if (counted_ != nullptr && --counted_->owners == 0) delete counted_;
  }

  Object& operator*() const { return *counted_->object; }
  Object* operator->() const { return counted_->object.get(); }

 private:
  struct Counted {
    std::unique_ptr<Object> object;
    std::atomic<int64_t> owners{1};
  };
  Counted* counted_ = nullptr;
};

// The last handle given out, of any kind: one of another kind finds nothing either.
inline std::atomic<uintptr_t> last_handle{0};

template <typename Handle, typename Object>
class Handles {
 public:
  // `name` of the argument in messages; `create` is the function that gives handles out.
  Handles(const char* name, const char* create) : name_(name), create_(create) {}

  Handle* add(std::unique_ptr<Object> object) {
    const uintptr_t handle = last_handle.fetch_add(kSpacing) + kSpacing;
    Held<Object> held(std::move(object));
    std::unique_lock lock(mutex_);
    objects_.emplace(handle, std::move(held));
    return reinterpret_cast<Handle*>(handle);
  }

  sl_status find(const Handle* handle, Held<Object>* out) const {
    SL_TRY(check_pointer({name_}, handle));
    std::shared_lock lock(mutex_);
    const auto found = objects_.find(reinterpret_cast<uintptr_t>(handle));
    if (found == objects_.end()) {
      return invalid({name_}, "%p, expected a live handle from %s",
                     static_cast<const void*>(handle), create_);
    }
    *out = found->second;
    return SL_OK;
  }

  void remove(const Handle* handle) {
    Held<Object> last;  // freed after the lock
    std::unique_lock lock(mutex_);
    const auto found = objects_.find(reinterpret_cast<uintptr_t>(handle));
    if (found == objects_.end()) return;
    last = std::move(found->second);
    objects_.erase(found);
  }

 private:
  static constexpr uintptr_t kSpacing = 64;  // as aligned as an object would be

  const char* name_;
  const char* create_;
  mutable std::shared_mutex mutex_;
  std::unordered_map<uintptr_t, Held<Object>> objects_;
};

}  // namespace sightline
