// row_gaps on the GPU: one warp per row, lanes stride dim.
//   launch   blocks of (32, 4), grid-stride
//   traffic  4·dim + 8 bytes per row
//   sync     a warp takes and leaves a row whole, so all 32 lanes reach the sum
#include "cuda_backend.h"
#include "warp.cuh"

namespace hk {
namespace {

__global__ void row_gaps_kernel(RowGaps a) {
  for (uint32_t row = first_of_warp(); row < a.rows; row += warps_of_grid()) {
    const float* x = a.points + size_t{row} * a.dim;
    const double sqnorm = row_dot(x, x, AnyDim(a.dim));
    if (lane_id() == 0) a.gap[row] = 1.0 - a.curvature * sqnorm;
  }
}

}  // namespace

void CudaBackend::row_gaps(const RowGaps& a) {
  launch("row_gaps", row_gaps_kernel, blocks_for(a.rows, kWarps), dim3(kWarp, kWarps), 0, stream_, a);
}

}  // namespace hk
