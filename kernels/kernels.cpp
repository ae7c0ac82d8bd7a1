#include "kernels/kernels.h"

namespace mbt {}
