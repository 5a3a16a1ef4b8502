// The handles that are alive. Looking a pointer up reads nothing behind it, so a destroyed, foreign
// or random handle is an error message and not a crash.
#pragma once

#include <mutex>
#include <shared_mutex>
#include <unordered_set>

namespace sightline {

template <typename Handle>
class LiveHandles {
 public:
  void add(const Handle* handle) {
    std::unique_lock lock(mutex_);
    handles_.insert(handle);
  }

  // False if it was not alive.
  bool remove(const Handle* handle) {
    std::unique_lock lock(mutex_);
    return handles_.erase(handle) == 1;
  }

  bool contains(const Handle* handle) const {
    std::shared_lock lock(mutex_);
    return handles_.count(handle) == 1;
  }

 private:
  mutable std::shared_mutex mutex_;
  std::unordered_set<const Handle*> handles_;
};

}  // namespace sightline
