// libsightline_torch in processes with no libtorch, too old ones, and stand-ins that refuse or
// accept: it says why, and never crashes.
//   torch_load_test <libsightline_torch> <libtorch stand-in or "none"> <part of the message or "">
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

namespace {

int failures = 0;

void expect(bool holds, const char* what) {
  if (holds) return;
  std::printf("FAILED: %s\n", what);
  ++failures;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const char *libtorch = argv[2], *expected = argv[3];
  void* library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    std::printf("FAILED: %s\n", dlerror());
    return 1;
  }
  const auto error = reinterpret_cast<const char* (*)()>(dlsym(library, "sl_torch_error"));
  const auto register_again = reinterpret_cast<int32_t (*)()>(dlsym(library, "sl_torch_register"));
  expect(std::strstr(error(), "no libtorch is loaded") != nullptr, "loaded before any libtorch");
  if (std::strcmp(libtorch, "none") == 0) {
    expect(register_again() == 0, "registered without a libtorch");
  } else {
    expect(dlopen(libtorch, RTLD_NOW | RTLD_GLOBAL) != nullptr, "the stand-in opens");
    expect(register_again() == (*expected == '\0'), "sl_torch_register");
    expect(register_again() == (*expected == '\0'), "sl_torch_register, once more");
  }
  std::printf("%s\n", error());
  expect(std::strstr(error(), expected) != nullptr, expected);
  if (*expected == '\0') expect(*error() == '\0', "no message after success");
  return failures;
}
