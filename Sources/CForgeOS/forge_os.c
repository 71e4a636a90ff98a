#include "forge_os.h"
