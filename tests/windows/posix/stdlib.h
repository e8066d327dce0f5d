#pragma once
#include_next <stdlib.h>

#include "posix_calls.hpp"

using sluice_posix::mkdtemp;
using sluice_posix::mkostemp;
using sluice_posix::setenv;
using sluice_posix::unsetenv;
