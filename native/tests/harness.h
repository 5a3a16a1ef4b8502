// A test file is one program and one ctest entry (per ISA path where it asks for that):
//   TEST(name) { CHECK(condition); CHECK_LE(value, bound); }
//   TEST_MAIN()                   // or TEST_MAIN_IF(reason), reason: null or why to skip
// A failed check prints itself and the test goes on; the exit code is 1 if any failed, 77 if
// skipped.
#pragma once

#include <cstdio>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

namespace harness {

struct Test {
  const char* name;
  void (*body)();
};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

inline int& failures() {
  static int count = 0;
  return count;
}

struct Registration {
  Registration(const char* name, void (*body)()) { tests().push_back({name, body}); }
};

inline void fail(const char* file, int line, const std::string& what) {
  if (++failures() <= 50) std::printf("%s:%d: %s\n", file, line, what.c_str());
}

template <typename A, typename B>
std::string values(const char* text, const A& a, const B& b) {
  std::ostringstream out;
  out.precision(9);
  out << "not true: " << text << "  [" << a << ", " << b << "]";
  return out.str();
}

// Runs the tests whose name contains argv[1], or all.
inline int run(int argc, char** argv, const char* skip_reason) {
  if (skip_reason) {
    std::printf("SKIPPED: %s\n", skip_reason);
    return 77;
  }
  int ran = 0;
  for (const Test& test : tests()) {
    if (argc > 1 && !std::strstr(test.name, argv[1])) continue;
    const int before = failures();
    test.body();
    ++ran;
    std::printf("%-4s %s\n", failures() == before ? "ok" : "FAIL", test.name);
    std::fflush(stdout);
  }
  if (ran == 0) std::printf("no test matches\n");
  return failures() == 0 && ran > 0 ? 0 : 1;
}

}  // namespace harness

#define TEST(name)                                                            \
  static void test_##name();                                                  \
  static const harness::Registration registration_##name(#name, test_##name); \
  static void test_##name()
#define CHECK(condition) \
  ((condition) ? void() : harness::fail(__FILE__, __LINE__, "not true: " #condition))
#define CHECK_BINARY(a, op, b)                                                                     \
  do {                                                                                             \
    const auto& harness_a = (a);                                                                   \
    const auto& harness_b = (b);                                                                   \
    if (!(harness_a op harness_b))                                                                 \
      harness::fail(__FILE__, __LINE__, harness::values(#a " " #op " " #b, harness_a, harness_b)); \
  } while (0)
#define CHECK_EQ(a, b) CHECK_BINARY(a, ==, b)
#define CHECK_LE(a, b) CHECK_BINARY(a, <=, b)
#define CHECK_GE(a, b) CHECK_BINARY(a, >=, b)
#define TEST_MAIN_IF(reason) \
  int main(int argc, char** argv) { return harness::run(argc, argv, reason); }
#define TEST_MAIN() TEST_MAIN_IF(nullptr)
