#ifndef FORGE_KERNELS_H
#define FORGE_KERNELS_H
#include <stdint.h>
#endif
