#pragma once
#include_next <sys/stat.h>

#include <io.h>

inline int mkdir(const char* path, int) {
    return ::mkdir(path);
}
