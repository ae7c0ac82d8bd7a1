// A libcuda.so.1 for doctor's tests: the driver of CUDA 12.4 with one GPU. Only what kernels/gpus.cpp asks.
#include <cstddef>
#include <cstring>

extern "C" {
int cuInit(unsigned) { return 0; }
int cuDriverGetVersion(int* version) { return *version = 12040, 0; }
int cuDeviceGetCount(int* count) { return *count = 1, 0; }
int cuDeviceGet(int* device, int index) { return *device = index, 0; }
int cuDeviceGetName(char* name, int size, int) { return std::strncpy(name, "Stand-in GPU", static_cast<size_t>(size)), 0; }
int cuDeviceGetAttribute(int* value, int attribute, int) { return *value = attribute == 75 ? 9 : 1, 0; }  // 75: major, 76: minor
int cuDeviceGetUuid(unsigned char* id, int) {  // without the newer cuDeviceGetUuid_v2
  for (int i = 0; i < 16; ++i) id[i] = static_cast<unsigned char>(0x11 * i);
  return 0;
}
int cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = size_t{80} << 30, 0; }
}
