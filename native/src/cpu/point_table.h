#pragma once
// What a ranking kernel reads of a PointTable, in the precision T of the tables.
#include "../kernels.h"
#include "isa.h"

namespace hk {

HK_INLINE size_t row_of(const PointTable& table, uint32_t id) { return table.slot ? table.slot[id] : id; }

template <class T>
HK_INLINE const T* points_of(const PointTable& table) {
  if constexpr (sizeof(T) == sizeof(float)) return table.f;
  else return table.d;
}

}  // namespace hk
