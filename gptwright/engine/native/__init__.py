"""A decoding step in one call, for CPUs: see decode.cpp."""
