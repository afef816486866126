#pragma once
// Marks functions that are compiled for host and device.

#if defined(__CUDACC__)
#define HK_HOST_DEVICE __host__ __device__
#else
#define HK_HOST_DEVICE
#endif
