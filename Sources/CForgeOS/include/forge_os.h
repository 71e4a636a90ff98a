#ifndef FORGE_OS_H
#define FORGE_OS_H
#endif
