#pragma once
// Reading what neighborhood left of a triple.
#include "../kernels.h"
#include "isa.h"

namespace hk {

// place: in TailOrder.
HK_INLINE TripleGradient triple_gradient(const NeighborhoodTape& tape, uint64_t head, uint32_t place) {
  if (tape.tame == nullptr || !tape.tame[head]) return tape.triples[place];
  const SingleTripleGradient& g = tape.singles[place];
  return {g.on_midpoint, g.on_head, g.on_relation, g.on_tail};
}

}  // namespace hk
