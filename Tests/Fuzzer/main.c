// libFuzzer on the target that FUZZ_TARGET names. Built by tools/fuzz/run only; `main` is libFuzzer's own.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

// Tests/FuzzTargets/LibFuzzer+Unsafe.swift
int fuzz_write_seeds(const char *directory);
int fuzz_one(const uint8_t *bytes, size_t count);

int LLVMFuzzerInitialize(int *count, char ***arguments) {
  const char *corpus = getenv("FUZZ_CORPUS");
  if (corpus == NULL || !fuzz_write_seeds(corpus)) {
    fprintf(stderr, "fuzzer: FUZZ_TARGET names no target, or FUZZ_CORPUS no directory\n");
    exit(2);
  }
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) { return fuzz_one(bytes, count); }
