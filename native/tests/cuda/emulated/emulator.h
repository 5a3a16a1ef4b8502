// Runs kernel structs on the host, thread by thread, to check their logic where no GPU is.
//
// Every CUDA thread of a cluster is a fiber; a fiber runs until it waits for others. Asynchronous
// operations (cp.async, TMA, wgmma) take effect at a random moment between their issue
// and the wait that ends them, and poison what they will write with NaN when issued; fibers are
// scheduled in random order. A tensor store reads shared memory at one such moment and writes
// global memory at a later one, at the latest when the grid ends. A missing wait, a stage reused
// too early, a wrong phase, byte count, fragment, descriptor or swizzle therefore shows as a wrong
// number or as a reported deadlock. What stmatrix wrote must be fenced by every lane of the warp
// before a tensor store that reads it is issued. SIGHTLINE_EMULATOR_SEED=n draws other moments and
// orders. What it cannot show: other effects of the memory model, and how ptxas sees the code.
//
// The folder shadows cuda/ptx and cuda/runtime/launch.cuh by its place on the include path.
#pragma once

#include <ucontext.h>
#include <csetjmp>

#include <cstdint>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace emu {

constexpr uint32_t kSharedBase = 0x400;  // address of the first shared byte, as on sm_90

struct Barrier {  // an mbarrier
  int count = 0, pending = 0;
  int64_t bytes = 0;
  uint32_t parity = 0;
};

// Threads that meet: a warp, a warpgroup, a block, a cluster, or a named barrier.
struct Meeting {
  std::vector<void*> slots;
  int arrived = 0;
  uint64_t generation = 0;
};

struct WgmmaGroupState {
  struct Op {
    std::function<void()> execute;
    int64_t group;
  };
  std::deque<Op> pending;
};

// 16 bytes of shared memory that a warp's stmatrix wrote and these lanes have not fenced yet.
struct Unfenced {
  int warp;
  uint32_t lanes;
};

struct Block {
  int id = 0, cta_rank = 0;
  std::vector<uint8_t> memory;
  uint8_t* shared = nullptr;  // aligned to 1024
  size_t shared_bytes = 0;
  std::map<uint32_t, Barrier> barriers;
  std::map<uint32_t, Unfenced> unfenced;
  Meeting all;
  std::map<int, Meeting> named;
  std::vector<Meeting> warps, groups;
  std::vector<WgmmaGroupState> wgmma;
  int alive = 0;

  uint8_t* at(uint32_t address, size_t bytes);
};

struct CopyOp {
  std::function<void()> execute;
  int64_t group;
};

struct StoreOp {               // of TMA
  std::function<void()> read;  // shared memory; queues the writes
  int64_t group;
  bool done = false;
};

struct Thread {
  ucontext_t start{};  // entered once; then the jumps, which leave the signal mask alone
  std::jmp_buf context;
  bool started = false;
  std::unique_ptr<char[]> stack;
  Block* block = nullptr;
  int id = 0;
  bool done = false;
  const char* waiting = "";
  std::deque<CopyOp> copies;  // cp.async
  int64_t copy_group = 0;
  std::deque<StoreOp> stores;  // not waited for yet
  int64_t store_group = 0;
  int64_t wgmma_group = 0;
};

struct Machine {
  std::vector<std::unique_ptr<Block>> cluster;
  std::vector<std::unique_ptr<Thread>> threads;
  std::vector<std::function<void()>> loads;   // TMA, in flight
  std::vector<std::function<void()>> writes;  // of its stores, to global memory
  Meeting everyone;
  Thread* current = nullptr;
  std::jmp_buf scheduler;
  std::function<void()> body;
  uint64_t progress = 0;
  std::mt19937_64 random{1};
  int blocks = 0, cluster_size = 1, cluster_index = 0, clusters = 0;
  int resident_clusters = 2;
  int launches = 0;         // since the test last set it to 0
  int tensor_stores = 0;    // likewise
  std::set<void*> streams;  // launched on since the test last cleared it
  // Bytes that cp.async has read of a range that a test names.
  uintptr_t watched_begin = 0, watched_end = 0;
  int64_t watched_bytes = 0;
  bool coin() { return (random() & 1) != 0; }
};

Machine& machine();
[[noreturn]] void fail(const std::string& what);

void run_grid(int blocks, int cluster_size, int threads, size_t shared_bytes,
              const std::function<void()>& body);

void yield();

template <class Ready>
void wait_until(const char* what, Ready ready) {
  Machine& m = machine();
  Thread* self = m.current;
  self->waiting = what;
  while (!ready()) yield();
  self->waiting = "";
  ++m.progress;
}

// The last of `count` threads to come runs `act` with everyone's slots, then all go on.
void meet(Meeting& meeting, int index, int count, void* mine, const char* what,
          const std::function<void(void* const*)>& act);

inline Thread& self() { return *machine().current; }
inline int lane() { return self().id % 32; }
inline Meeting& warp_meeting() { return self().block->warps[self().id / 32]; }
inline Meeting& group_meeting() { return self().block->groups[self().id / 128]; }

void complete(Barrier& barrier);
Barrier& barrier_at(Block& block, uint32_t address);

}  // namespace emu
