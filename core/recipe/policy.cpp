#include "core/recipe/policy.h"
