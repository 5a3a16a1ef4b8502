#include "torch/values.h"

#include <stdexcept>

#include "common/arena.h"

namespace sightline::torch_ops {

void check_libtorch(int32_t error, const char* call) {
  if (error != 0) throw std::runtime_error(std::string("sightline: libtorch failed in ") + call);
}

void check(sl_status status) {
  if (status == SL_OK) return;
  if (status == SL_INVALID_ARGUMENT) throw std::invalid_argument(sl_last_error());
  throw std::runtime_error(sl_last_error());
}

void refuse(const std::string& message) { throw std::invalid_argument(message); }

// ---- Tensor ----

Tensor Tensor::empty(const std::vector<int64_t>& shape, int32_t dtype, const Tensor& like) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t d = shape.size(); d-- > 1;)
    strides[d - 1] = checked_product(strides[d], shape[d] > 0 ? shape[d] : 1);
  const LibTorch& torch = libtorch();
  int32_t device = 0;
  check_libtorch(torch.aoti_torch_get_device_type(like.handle_, &device), "get_device_type");
  AtenTensor* out = nullptr;
  check_libtorch(
      torch.aoti_torch_empty_strided(static_cast<int64_t>(shape.size()), shape.data(),
                                     strides.data(), dtype, device, like.device_index(), &out),
      "empty_strided");
  return Tensor(out);
}

int Tensor::dim() const {
  int64_t dim = 0;
  check_libtorch(libtorch().aoti_torch_get_dim(handle_, &dim), "get_dim");
  return static_cast<int>(dim);
}

int64_t Tensor::numel() const {
  int64_t numel = 0;
  check_libtorch(libtorch().aoti_torch_get_numel(handle_, &numel), "get_numel");
  return numel;
}

std::vector<int64_t> Tensor::shape() const {
  int64_t* sizes = nullptr;
  check_libtorch(libtorch().aoti_torch_get_sizes(handle_, &sizes), "get_sizes");
  return {sizes, sizes + dim()};
}

int32_t Tensor::dtype() const {
  int32_t dtype = 0;
  check_libtorch(libtorch().aoti_torch_get_dtype(handle_, &dtype), "get_dtype");
  return dtype;
}

int32_t Tensor::device_index() const {
  int32_t index = 0;
  check_libtorch(libtorch().aoti_torch_get_device_index(handle_, &index), "get_device_index");
  return index;
}

bool Tensor::is_cuda() const {
  int32_t device = 0;
  check_libtorch(libtorch().aoti_torch_get_device_type(handle_, &device), "get_device_type");
  return device == libtorch().aoti_torch_device_type_cuda();
}

Tensor Tensor::copy() const {
  Tensor copy = empty(shape(), dtype(), *this);
  check_libtorch(libtorch().aoti_torch_copy_(copy.handle_, handle_, 1), "copy_");
  return copy;
}

Tensor Tensor::with_contiguous_rows() && {
  const int dims = dim();
  int64_t *sizes = nullptr, *strides = nullptr;
  check_libtorch(libtorch().aoti_torch_get_sizes(handle_, &sizes), "get_sizes");
  check_libtorch(libtorch().aoti_torch_get_strides(handle_, &strides), "get_strides");
  if (dims == 0 || strides[dims - 1] == 1 || sizes[dims - 1] <= 1) return std::move(*this);
  return copy();
}

std::vector<int64_t> Tensor::integers(const char* name) const {
  const LibTorch& torch = libtorch();
  if (is_cuda()) {
    refuse(std::string(name) + ": a tensor on cuda, expected cpu, as its values are read here");
  }
  if (dim() > 1 || dtype() != torch.aoti_torch_dtype_int64()) {
    refuse(std::string(name) + ": " + std::to_string(dim()) + " dimensions, torch's dtype " +
           std::to_string(dtype()) + ", expected 0 or 1, and int64, which is " +
           std::to_string(torch.aoti_torch_dtype_int64()));
  }
  const void* data = nullptr;
  check_libtorch(torch.torch_get_const_data_ptr(handle_, &data), "get_const_data_ptr");
  const auto* first = static_cast<const int64_t*>(data);
  return {first, first + numel()};
}

sl_tensor Tensor::view(bool write) const {
  const LibTorch& torch = libtorch();
  sl_tensor view{};
  view.ndim = dim();
  check_libtorch(torch.aoti_torch_get_sizes(handle_, &view.shape), "get_sizes");
  check_libtorch(torch.aoti_torch_get_strides(handle_, &view.strides), "get_strides");
  const int32_t type = dtype();
  // The library takes the first two; of others it says what they are.
  if (type == torch.aoti_torch_dtype_float32()) {
    view.dtype = {SL_FLOAT, 32, 1};
  } else if (type == torch.aoti_torch_dtype_bfloat16()) {
    view.dtype = {SL_BFLOAT, 16, 1};
  } else if (type == torch.aoti_torch_dtype_float64()) {
    view.dtype = {SL_FLOAT, 64, 1};
  } else if (type == torch.aoti_torch_dtype_float16()) {
    view.dtype = {SL_FLOAT, 16, 1};
  } else {  // kDLInt of its width
    view.dtype = {0, static_cast<uint8_t>(8 * torch.aoti_torch_dtype_element_size(type)), 1};
  }
  int32_t device = 0;
  check_libtorch(torch.aoti_torch_get_device_type(handle_, &device), "get_device_type");
  if (device == torch.aoti_torch_device_type_cpu()) {
    view.device = {SL_CPU, 0};
  } else if (device == torch.aoti_torch_device_type_cuda()) {
    view.device = {SL_CUDA, device_index()};
  } else {
    refuse("a tensor on torch's device type " + std::to_string(device) + ", expected cpu or cuda");
  }
  if (write) {
    check_libtorch(torch.torch_get_mutable_data_ptr(handle_, &view.data), "get_mutable_data_ptr");
  } else {
    const void* data = nullptr;
    check_libtorch(torch.torch_get_const_data_ptr(handle_, &data), "get_const_data_ptr");
    view.data = const_cast<void*>(data);
  }
  return view;
}

// ---- Stack ----

namespace {

AtenTensor* as_tensor(StableValue value) { return reinterpret_cast<AtenTensor*>(value); }
TorchList* as_list(StableValue value) { return reinterpret_cast<TorchList*>(value); }

template <class T>
StableValue bits_of(T value) {
  StableValue bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}

template <class T>
T from_bits(StableValue bits) {
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// A tensor that is None arrives as an undefined one.
Tensor defined(Tensor tensor, AtenTensor* handle) {
  bool is_defined = false;
  check_libtorch(libtorch().aoti_torch_is_defined(handle, &is_defined), "is_defined");
  return is_defined ? std::move(tensor) : Tensor();
}

Tensor take_optional(StableValue value) {
  auto* box = reinterpret_cast<StableValue*>(value);
  if (box == nullptr) return Tensor();
  AtenTensor* handle = as_tensor(*box);
  if (libtorch().torch_delete_stable_ivalue != nullptr) {
    libtorch().torch_delete_stable_ivalue(box);
  } else {
    delete box;
  }
  return defined(Tensor(handle), handle);
}

template <class Take>
auto take_list(StableValue value, Take take) {
  TorchList* list = as_list(value);
  size_t size = 0;
  libtorch().torch_list_size(list, &size);
  std::vector<decltype(take(StableValue{}))> items;
  items.reserve(size);
  for (size_t i = 0; i < size; ++i) {
    StableValue item = 0;
    libtorch().torch_list_get_item(list, i, &item);
    items.push_back(take(item));
  }
  libtorch().torch_delete_list(list);
  return items;
}

Tensor take_tensor(StableValue value) { return Tensor(as_tensor(value)); }

}  // namespace

Stack::Stack(StableValue* values, const char* types) : values_(values), types_(types) {}

Stack::~Stack() {
  for (; types_[taken_] != '\0'; ++taken_) {
    const StableValue value = values_[taken_];
    switch (types_[taken_]) {
      case 'T':
        take_tensor(value);
        break;
      case 't':
        take_optional(value);
        break;
      case 'L':
        take_list(value, take_tensor);
        break;
      case 'l':
        take_list(value, take_optional);
        break;
      case 'I':
      case 'F':
        libtorch().torch_delete_list(as_list(value));
        break;
      default:
        break;
    }
  }
}

StableValue Stack::next(char type) {
  if (types_[taken_] != type) {
    throw std::logic_error("sightline: an operator reads other arguments than it declares");
  }
  return values_[taken_++];
}

Tensor Stack::tensor() { return take_tensor(next('T')); }
Tensor Stack::optional_tensor() { return take_optional(next('t')); }

std::vector<Tensor> Stack::tensors() {
  switch (const char type = types_[taken_]; type) {
    case 'L':
      return take_list(next(type), take_tensor);
    case 'l':
      return take_list(next(type), take_optional);
    default:
      std::vector<Tensor> one;
      one.push_back(type == 't' ? optional_tensor() : tensor());
      return one;
  }
}

int64_t Stack::integer() { return static_cast<int64_t>(next('i')); }
std::vector<int64_t> Stack::integers() { return take_list(next('I'), from_bits<int64_t>); }
std::vector<int64_t> Stack::seeds() {
  if (types_[taken_] == 'I') return integers();
  return tensor().with_contiguous_rows().integers("seed");
}

int64_t Stack::seed() {
  if (types_[taken_] == 'i') return integer();
  const std::vector<int64_t> values = seeds();
  if (values.size() != 1) {
    refuse("seed: " + std::to_string(values.size()) + " elements, expected 1");
  }
  return values[0];
}

double Stack::number() { return from_bits<double>(next('f')); }
std::vector<double> Stack::numbers() {
  if (types_[taken_] == 'f') return {number()};
  return take_list(next('F'), from_bits<double>);
}
bool Stack::takes_lists() const { return std::strpbrk(types_, "LlIF") != nullptr; }
bool Stack::boolean() { return (next('b') & 0xff) != 0; }

void Stack::result(Tensor value) { values_[given_++] = bits_of(value.release()); }
void Stack::result(int64_t value) { values_[given_++] = bits_of(value); }

void Stack::result(std::vector<Tensor> values) {
  TorchList* list = nullptr;
  check_libtorch(libtorch().torch_new_list_reserve_size(values.size(), &list), "new_list");
  for (Tensor& value : values) libtorch().torch_list_push_back(list, bits_of(value.release()));
  values_[given_++] = bits_of(list);
}

void Stack::result(const std::vector<int64_t>& values) {
  TorchList* list = nullptr;
  check_libtorch(libtorch().torch_new_list_reserve_size(values.size(), &list), "new_list");
  for (const int64_t value : values) libtorch().torch_list_push_back(list, bits_of(value));
  values_[given_++] = bits_of(list);
}

}  // namespace sightline::torch_ops
