#!/bin/bash
# run.sh: the kernels under AddressSanitizer and UndefinedBehaviorSanitizer (exact.c). Needs the clang of the Swift tool chain.
# The last line is `N passed, N failed, N skipped`.
set -euo pipefail
cd "$(dirname "$0")"
clang=$(dirname "$(readlink -f "$(command -v swift)")")/clang
[ -x "$clang" ] || { echo 'kernels: no clang beside swift; nothing was checked'; echo '0 passed, 0 failed, 1 skipped'; exit 0; }
scratch=$(mktemp -d); trap 'rm -rf "$scratch"' EXIT
kernels=../../Sources/CForgeKernels
# Vectors load from wherever a float may lie; everything else about alignment, bounds and arithmetic is checked.
if ! "$clang" -O1 -g -std=c11 -ffp-contract=off -fno-math-errno -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer \
    -I"$kernels/include" exact.c "$kernels"/*.c -lpthread -lm -ldl -o "$scratch/exact" 2>"$scratch/err"; then
    cat "$scratch/err" >&2; echo '0 passed, 1 failed, 0 skipped'; exit 1
fi
if ! "$scratch/exact" >"$scratch/out" 2>"$scratch/err"; then
    head -n 40 "$scratch/err" >&2; tail -n 1 "$scratch/out" | grep -E 'passed' || echo '0 passed, 1 failed, 0 skipped'; exit 1
fi
tail -n 1 "$scratch/out"
