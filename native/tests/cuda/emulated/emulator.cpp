#include "emulator.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace emu {

Machine& machine() {
  static Machine& instance = *[] {
    static Machine made;
    if (const char* seed = std::getenv("SIGHTLINE_EMULATOR_SEED")) {
      made.random.seed(std::strtoull(seed, nullptr, 10));
    }
    return &made;
  }();
  return instance;
}

void fail(const std::string& what) {
  std::printf("emulator: %s\n", what.c_str());
  const Machine& m = machine();
  if (m.current != nullptr) {
    std::printf("  in thread %d of block %d\n", m.current->id, m.current->block->id);
  }
  std::fflush(stdout);
  std::_Exit(1);
}

uint8_t* Block::at(uint32_t address, size_t bytes) {
  if (address < kSharedBase || address + bytes > kSharedBase + shared_bytes) {
    fail("shared address " + std::to_string(address) + " + " + std::to_string(bytes) + " outside " +
         std::to_string(shared_bytes) + " bytes");
  }
  return shared + (address - kSharedBase);
}

void yield() {
  Machine& m = machine();
  if (_setjmp(m.current->context) == 0) _longjmp(m.scheduler, 1);
}

void meet(Meeting& meeting, int index, int count, void* mine, const char* what,
          const std::function<void(void* const*)>& act) {
  if (static_cast<int>(meeting.slots.size()) < count) meeting.slots.resize(count);
  meeting.slots[index] = mine;
  const uint64_t generation = meeting.generation;
  if (++meeting.arrived == count) {
    if (act) act(meeting.slots.data());
    meeting.arrived = 0;
    ++meeting.generation;
    ++machine().progress;
    return;
  }
  wait_until(what, [&] { return meeting.generation != generation; });
}

void complete(Barrier& barrier) {
  if (barrier.pending == 0 && barrier.bytes == 0) {
    barrier.parity ^= 1;
    barrier.pending = barrier.count;
    ++machine().progress;
  }
}

Barrier& barrier_at(Block& block, uint32_t address) {
  const auto found = block.barriers.find(address);
  if (found == block.barriers.end()) fail("no mbarrier at " + std::to_string(address));
  return found->second;
}

namespace {

void thread_main() {
  Machine& m = machine();
  Thread* self = m.current;
  m.body();
  if (!self->copies.empty()) fail("a thread ended with cp.async copies in flight");
  if (!self->stores.empty()) fail("a thread ended and did not wait for its tensor stores");
  self->done = true;
  --self->block->alive;
  ++m.progress;
  _longjmp(m.scheduler, 1);
}

// Runs a fiber until it yields or ends.
[[gnu::noinline]] void resume(Machine& m, Thread* thread) {
  m.current = thread;
  if (_setjmp(m.scheduler) == 0) {
    if (thread->started) _longjmp(thread->context, 1);
    thread->started = true;
    setcontext(&thread->start);
  }
  m.current = nullptr;
}

void run_loads(bool all) {
  Machine& m = machine();
  for (size_t i = 0; i < m.loads.size();) {
    if (all || m.random() % 4 == 0) {
      const auto load = std::move(m.loads[i]);
      m.loads.erase(m.loads.begin() + static_cast<std::ptrdiff_t>(i));
      load();
      ++m.progress;
    } else {
      ++i;
    }
  }
}

// Returns whether stores are left that have not read their shared memory.
bool run_stores(bool all) {
  Machine& m = machine();
  bool left = false;
  for (auto& thread : m.threads) {
    for (StoreOp& store : thread->stores) {
      if (!store.done && (all || m.random() % 8 == 0)) {
        store.read();
        store.done = true;
        ++m.progress;
      }
      left = left || !store.done;
    }
  }
  for (size_t i = 0; i < m.writes.size();) {
    if (m.random() % 4 == 0) {
      m.writes[i]();
      m.writes.erase(m.writes.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
  return left;
}

void schedule() {
  Machine& m = machine();
  std::vector<Thread*> order;
  for (auto& thread : m.threads) order.push_back(thread.get());
  int idle = 0;
  while (true) {
    order.erase(std::remove_if(order.begin(), order.end(), [](Thread* t) { return t->done; }),
                order.end());
    if (order.empty()) break;
    if (m.random() % 4 == 0) std::shuffle(order.begin(), order.end(), m.random);
    const uint64_t before = m.progress;
    for (Thread* thread : order) {
      resume(m, thread);
    }
    run_loads(false);
    const bool stores_left = run_stores(false);
    if (m.progress != before) {
      idle = 0;
    } else if (++idle > 2) {
      if (m.loads.empty() && !stores_left) {
        std::map<std::string, int> waits;
        for (Thread* t : order) {
          ++waits[std::to_string(t->block->cta_rank) + " warp " + std::to_string(t->id / 32) +
                  ": " + t->waiting];
        }
        for (const auto& [what, count] : waits) {
          std::printf("  block %s (%d threads)\n", what.c_str(), count);
        }
        fail("deadlock");
      }
      run_loads(true);
      run_stores(true);
    }
  }
  if (!m.loads.empty()) fail("a cluster ended with tensor loads in flight");
}

}  // namespace

void run_grid(int blocks, int cluster_size, int threads, size_t shared_bytes,
              const std::function<void()>& body) {
  Machine& m = machine();
  m.body = body;
  ++m.launches;
  m.blocks = blocks;
  m.cluster_size = cluster_size;
  m.clusters = blocks / cluster_size;
  if (blocks % cluster_size != 0) fail("grid not divisible by the cluster");
  constexpr size_t kStack = 96 * 1024;
  std::vector<std::unique_ptr<char[]>> stacks;
  for (int cluster = 0; cluster < m.clusters; ++cluster) {
    m.cluster_index = cluster;
    m.cluster.clear();
    for (auto& thread : m.threads) stacks.push_back(std::move(thread->stack));
    m.threads.clear();
    m.everyone = {};
    for (int cta_rank = 0; cta_rank < cluster_size; ++cta_rank) {
      auto block = std::make_unique<Block>();
      block->id = cluster * cluster_size + cta_rank;
      block->cta_rank = cta_rank;
      block->memory.assign(shared_bytes + 1024, 0xFF);  // NaN in every type
      block->shared = reinterpret_cast<uint8_t*>(
          (reinterpret_cast<uintptr_t>(block->memory.data()) + 1023) / 1024 * 1024);
      block->shared_bytes = shared_bytes;
      block->warps.resize(static_cast<size_t>(threads + 31) / 32);
      block->groups.resize(static_cast<size_t>(threads + 127) / 128);
      block->wgmma.resize(block->groups.size());
      block->alive = threads;
      for (int id = 0; id < threads; ++id) {
        auto thread = std::make_unique<Thread>();
        thread->block = block.get();
        thread->id = id;
        if (stacks.empty()) {
          thread->stack.reset(new char[kStack]);
        } else {
          thread->stack = std::move(stacks.back());
          stacks.pop_back();
        }
        getcontext(&thread->start);
        thread->start.uc_stack.ss_sp = thread->stack.get();
        thread->start.uc_stack.ss_size = kStack;
        thread->start.uc_link = nullptr;
        makecontext(&thread->start, thread_main, 0);
        m.threads.push_back(std::move(thread));
      }
      m.cluster.push_back(std::move(block));
    }
    schedule();
  }
  for (const auto& write : m.writes) write();
  m.writes.clear();
  m.threads.clear();
  m.cluster.clear();
}

}  // namespace emu
