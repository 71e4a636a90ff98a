#include "forge_kernels.h"
