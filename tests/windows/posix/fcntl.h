#pragma once
#include_next <fcntl.h>

#include "posix_names.hpp"
