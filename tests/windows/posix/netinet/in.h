#pragma once
#include "posix_names.hpp"
