// What every other level is tested against: scalar, sums in double, any CPU.
#include "internal.h"
#define FK_ISA ref
#define FK_NAME "reference"
#define FK_LEVEL FK_CPU_REFERENCE
#define FK_REFERENCE 1
#include "table.h"
