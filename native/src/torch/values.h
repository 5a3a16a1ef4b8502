// Arguments and results of an operator as C++ values that own what they hold.
#pragma once

#include <sightline/sightline.h>

#include <atomic>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "torch/libtorch.h"

namespace sightline::torch_ops {

// Throws std::runtime_error naming `call` if a function of libtorch failed.
void check_libtorch(int32_t error, const char* call);

// Throws std::invalid_argument (a ValueError in Python) or std::runtime_error with the library's
// own message if `status` is not SL_OK.
void check(sl_status status);

// Throws std::invalid_argument.
[[noreturn]] void refuse(const std::string& message);

// An owned tensor of torch; empty by default.
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(AtenTensor* owned) : handle_(owned) {}
  Tensor(Tensor&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Tensor& operator=(Tensor&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Tensor() {
    if (handle_ != nullptr) libtorch().aoti_torch_delete_tensor_object(handle_);
  }

  // Uninitialised and contiguous, from torch's allocator for the device of `like`.
  static Tensor empty(const std::vector<int64_t>& shape, int32_t dtype, const Tensor& like);

  explicit operator bool() const { return handle_ != nullptr; }
  AtenTensor* release() { return std::exchange(handle_, nullptr); }

  int dim() const;
  int64_t numel() const;
  std::vector<int64_t> shape() const;
  int32_t dtype() const;  // as libtorch counts them
  int32_t device_index() const;
  bool is_cuda() const;

  // A contiguous copy.
  Tensor copy() const;

  // This tensor if its last dimension is contiguous, else a contiguous copy.
  Tensor with_contiguous_rows() &&;

  // The values of int64 on the CPU, of 0 or 1 dimensions and contiguous. `name` is for messages.
  std::vector<int64_t> integers(const char* name) const;

  // What the C ABI takes. Shape and strides are this tensor's own: it must outlive the view.
  sl_tensor read_view() const { return view(false); }
  sl_tensor write_view() { return view(true); }

 private:
  sl_tensor view(bool write) const;

  AtenTensor* handle_ = nullptr;
};

// Takes the arguments of a kernel one by one off its stack, and puts its results there. Arguments
// never taken are freed too, so that a kernel may throw at any point.
class Stack {
 public:
  // `types` holds a letter for each argument: T Tensor, t Tensor?, L Tensor[], l Tensor?[],
  // i int, I int[], f float, F float[], b bool.
  Stack(StableValue* values, const char* types);
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  Tensor tensor();
  Tensor optional_tensor();  // empty for None
  // Of a list, or of one tensor, which makes a list of one; empty for None.
  std::vector<Tensor> tensors();
  int64_t integer();
  std::vector<int64_t> integers();
  // Of dropout: what 'i' or 'I' holds, or a 'T' of int64 on the CPU.
  int64_t seed();
  std::vector<int64_t> seeds();
  double number();
  std::vector<double> numbers();  // of a list, or of one number
  bool boolean();

  // Whether any argument is a list.
  bool takes_lists() const;

  // Results, in order, after every argument has been taken.
  void result(Tensor value);
  void result(std::vector<Tensor> values);
  void result(int64_t value);
  void result(const std::vector<int64_t>& values);

 private:
  StableValue next(char type);

  StableValue* values_;
  const char* types_;
  size_t taken_ = 0, given_ = 0;
};

// sl_fp32_precision of all calls, as sl_torch_set_fp32_precision set it last.
std::atomic<int32_t>& fp32_precision();

// Where the call runs: torch's current CUDA stream and device, or as many threads as torch's.
class Context {
 public:
  // `like` outlives it.
  explicit Context(const Tensor& like);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  const sl_context* get() const { return &context_; }

  // Checks `call(const sl_context*)`, which returns a status. On CUDA its workspace is torch's: the
  // allocator hands memory on in the order of the current stream, so that it is given back as soon
  // as the call's work is on that stream. On the CPU the library's own is as good and keeps its
  // pages.
  template <class Call>
  void run(const Call& call) {
    Tensor workspace;
    if (guard_ != nullptr) {
      uint64_t bytes = 0;
      context_.workspace_query = &bytes;
      check(call(get()));
      context_.workspace_query = nullptr;
      workspace = take_workspace(bytes);
    }
    check(call(get()));
  }

 private:
  Tensor take_workspace(uint64_t bytes);

  const Tensor& like_;
  sl_context context_{};
  DeviceGuard* guard_ = nullptr;
};

}  // namespace sightline::torch_ops
