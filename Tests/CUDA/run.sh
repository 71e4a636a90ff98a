#!/bin/bash
# run.sh: the GPU's kernels run by this processor, under AddressSanitizer and UndefinedBehaviorSanitizer: what the host's run must catch
# (planted.cpp), every operation against the scalar reference (Sources/CUDA/check), every operation on memory of exactly its own size
# (Tests/Kernels/exact.c); and the machine code for GPUs, where an nvcc can be had. Needs the clang of the Swift tool chain.
# The last line is `N passed, N failed, N skipped`.
set -uo pipefail
cd "$(dirname "$0")/../.."
scratch=$(mktemp -d); trap 'rm -rf "$scratch"' EXIT
sanitizers=(-fsanitize=address,undefined -fno-sanitize=alignment -fno-sanitize-recover=all -fno-omit-frame-pointer)
clang=$(dirname "$(readlink -f "$(command -v swift)")")/clang
# A stack of its own for what a function leaves behind is made for every fibre anew: most of the time, for what these tests do not ask.
export ASAN_OPTIONS=detect_stack_use_after_return=0
passed=0 failed=0 skipped=0
count() {  # count WHAT LINE: adds the counts of a last line; without one the part failed
    if [[ $2 =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped$ ]]; then
        ((passed += BASH_REMATCH[1], failed += BASH_REMATCH[2], skipped += BASH_REMATCH[3])); return
    fi
    echo "cuda: $1 ended without a count" >&2; ((failed += 1))
}
build() {  # build COMMAND…: its status; what it said, if that is not 0
    "$@" >"$scratch/err" 2>&1
    local status=$?
    [ $status -eq 0 ] || grep -v 'Cannot export local symbol' "$scratch/err" >&2
    return $status
}

if build "$clang++" -std=c++20 -O1 -g -Wall -Wextra -Werror -Wno-unused-function -Wno-missing-designated-field-initializers -DFK_SIMT=1 -mfma -mf16c \
    Tests/CUDA/planted.cpp Sources/CUDA/simt_host.cpp -o "$scratch/planted"; then
    "$scratch/planted" | tee "$scratch/out"; count planted "$(tail -n 1 "$scratch/out")"
else count planted ''; fi

if build packaging/cuda.sh host "$scratch" "${sanitizers[@]}" && build packaging/cuda.sh check "$scratch" "${sanitizers[@]}"; then
    "$scratch/check" "$scratch/libforge-cuda-host.so" --quick | tee "$scratch/out"; count check "$(tail -n 1 "$scratch/out")"
else count check ''; fi
if build "$clang" -O1 -g -std=c11 -ffp-contract=off -fno-math-errno -rdynamic "${sanitizers[@]}" -ISources/CForgeKernels/include Tests/Kernels/exact.c Sources/CForgeKernels/*.c \
    -lpthread -lm -ldl -o "$scratch/exact"; then
    "$scratch/exact" "$scratch/libforge-cuda-host.so" | tee "$scratch/out"; count exact "$(tail -n 1 "$scratch/out")"
else count exact ''; fi
# Machine code for every GPU that is promised; nobody here can run it.
packaging/peers.sh Sources/CUDA/requirements.txt >/dev/null 2>&1
if build packaging/cuda.sh gpu "$scratch"; then ((passed += 1))
elif [ $? -eq 75 ]; then ((skipped += 1)); echo 'cuda: no nvcc, no machine code for GPUs'
else ((failed += 1)); fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
