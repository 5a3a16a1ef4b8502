// Emulated: native/src/cuda/ptx/tma.cuh. 128-byte swizzle: address bits 4-6 ^= bits 7-9.
#pragma once

#include <cstring>
#include <utility>
#include <vector>

#include "cuda/ptx/tensor_map.cuh"
#include "cuda/tensor/types.cuh"
#include "emulator.h"

namespace sightline::ptx {

// Calls visit(swizzled shared address, element of the tensor or null) for the elements of a box.
template <class Visit>
void for_each_element(const TensorMap& map, uint32_t shared, int x, int y, int z,
                      const Visit& visit) {
  uint16_t* data = static_cast<uint16_t*>(const_cast<void*>(map.data));
  for (uint32_t k = 0; k < map.box[2]; ++k) {
    for (uint32_t j = 0; j < map.box[1]; ++j) {
      for (uint32_t i = 0; i < map.box[0]; ++i, shared += 2) {
        const int64_t at[3] = {x + int64_t{i}, y + int64_t{j}, z + int64_t{k}};
        bool inside = true;
        int64_t index = 0;
        for (int d = 0; d < 3; ++d) {
          inside = inside && at[d] >= 0 && at[d] < static_cast<int64_t>(map.dims[d]);
          index += at[d] * map.strides[d];
        }
        visit(shared ^ (((shared >> 7) & 7) << 4), inside ? data + index : nullptr);
      }
    }
  }
}

inline void tma_prefetch_map(const TensorMap&) {}

inline void tma_load_multicast(uint32_t destination, const TensorMap& map, uint32_t barrier,
                               uint16_t mask, int x, int y, int z) {
  const uint32_t bytes = map.box[0] * map.box[1] * map.box[2] * 2;
  if (destination % 128 != 0) emu::fail("tensor copy: shared address not a multiple of 128");
  for (size_t cta_rank = 0; cta_rank < emu::machine().cluster.size(); ++cta_rank) {
    if ((mask >> cta_rank & 1) == 0) continue;
    emu::Block* block = emu::machine().cluster[cta_rank].get();
    if (block->alive == 0) emu::fail("tensor copy: into a block that has ended");
    std::memset(block->at(destination, bytes), 0xFF, bytes);
    emu::machine().loads.push_back([=] {
      for_each_element(map, destination, x, y, z, [&](uint32_t at, const uint16_t* element) {
        const uint16_t value = element != nullptr ? *element : 0;
        std::memcpy(block->at(at, 2), &value, 2);
      });
      emu::Barrier& b = emu::barrier_at(*block, barrier);
      b.bytes -= bytes;
      emu::complete(b);
    });
  }
}

inline void tma_load(uint32_t destination, const TensorMap& map, uint32_t barrier, int x, int y,
                     int z) {
  tma_load_multicast(destination, map, barrier,
                     static_cast<uint16_t>(1 << emu::self().block->cta_rank), x, y, z);
}

inline void tma_store(const TensorMap& map, uint32_t source, int x, int y, int z) {
  emu::Thread& self = emu::self();
  emu::Block* block = self.block;
  const uint32_t bytes = map.box[0] * map.box[1] * map.box[2] * 2;
  if (source % 128 != 0) emu::fail("tensor store: shared address not a multiple of 128");
  const auto unfenced = block->unfenced.lower_bound(source);
  if (unfenced != block->unfenced.end() && unfenced->first < source + bytes) {
    emu::fail("tensor store of what warp " + std::to_string(unfenced->second.warp) +
              " wrote and did not fence");
  }
  const auto read = [=] {
    std::vector<std::pair<uint16_t*, uint16_t>> values;
    for_each_element(map, source, x, y, z, [&](uint32_t at, uint16_t* element) {
      uint16_t value;
      std::memcpy(&value, block->at(at, 2), 2);
      if (element != nullptr) values.emplace_back(element, value);
    });
    emu::machine().writes.push_back([values] {
      for (const auto& [element, value] : values) *element = value;
    });
  };
  ++emu::machine().tensor_stores;
  self.stores.push_back({read, self.store_group});
}

inline void tma_store_commit() { ++emu::self().store_group; }

template <int kPending>
void tma_store_wait_read() {
  emu::Thread& self = emu::self();
  const int64_t done = self.store_group - kPending;
  while (!self.stores.empty() && self.stores.front().group < done) {
    emu::wait_until("tensor store", [&] { return self.stores.front().done; });
    self.stores.pop_front();
  }
}

}  // namespace sightline::ptx
