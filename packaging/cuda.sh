#!/bin/bash
# cuda.sh host|gpu|check OUT [FLAG…]: the second implementation of the kernel table, from one source (Sources/CUDA).
#
#   host   OUT/libforge-cuda-host.so   the kernels run on this machine's processor, with every access to shared memory checked
#   gpu    OUT/libforge-cuda.so        the kernels as machine code for GPUs, and what launches them; needs nvcc and no GPU
#   check  OUT/check, OUT/bench        compare and time either library, without Swift
#
# FLAGs go to the host compiler (-fsanitize=…). nvcc is the one on the path, or that of .venv (Sources/CUDA/requirements.txt, by
# packaging/peers.sh); without one `gpu` ends with 75. ARCHITECTURES names what the machine code is for.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:?host, gpu or check} out=${2:?where to}; shift 2
mkdir -p "$out"
clang=$(dirname "$(readlink -f "$(command -v swift)")")/clang
common=(-O2 -g -ffp-contract=off -fno-math-errno -Wall -Wextra -Werror "$@")
library=("$clang++" -x c++ -std=c++20 -fPIC -fvisibility=hidden "${common[@]}" -Wno-unused-function -Wno-missing-designated-field-initializers -shared)

case $what in
host)
    "${library[@]}" -DFK_SIMT=1 -mfma -mf16c -o "$out/libforge-cuda-host.so" Sources/CUDA/table.cu Sources/CUDA/simt_host.cpp ;;
gpu)
    nvcc=$(command -v nvcc || compgen -G '.venv/lib/python3*/site-packages/nvidia/cu1*/bin/nvcc' | tail -n 1 || true)
    [ -n "$nvcc" ] || { echo 'cuda: no nvcc: `packaging/peers.sh Sources/CUDA/requirements.txt` fetches one' >&2; exit 75; }
    # 8.0: Ampere; 9.0a: Hopper with its own instructions; 10.0: Blackwell; and PTX for what comes after.
    read -ra architectures <<<"${ARCHITECTURES:-80 90a 100}"
    code=(-gencode=arch=compute_90,code=compute_90)
    for each in "${architectures[@]}"; do code+=(-gencode="arch=compute_$each,code=sm_$each"); done
    "$nvcc" -std=c++20 -fmad=false --expt-relaxed-constexpr -Werror all-warnings "${code[@]}" -fatbin -o "$out/kernels.fatbin" Sources/CUDA/table.cu
    {
        echo 'extern "C" { extern const unsigned char fk_fat_binary[]; alignas(64) const unsigned char fk_fat_binary[] = {'
        od -An -v -tu1 -w64 "$out/kernels.fatbin" | sed 's/  */,/g; s/^,//; s/$/,/'
        echo '}; }'
    } >"$out/fat_binary.cpp"
    "${library[@]}" -s -o "$out/libforge-cuda.so" Sources/CUDA/table.cu Sources/CUDA/driver.cpp "$out/fat_binary.cpp" -ldl
    rm "$out/fat_binary.cpp" ;;
check)
    for each in cpu stream table_reference table_avx2 table_avx512; do
        "$clang" -std=c11 "${common[@]}" -c Sources/CForgeKernels/$each.c -o "$out/$each.o"
    done
    for each in check bench; do "$clang++" -std=c++20 "${common[@]}" Sources/CUDA/check/$each.cpp "$out"/*.o -lpthread -lm -ldl -o "$out/$each"; done
    rm "$out"/*.o ;;
*) echo "cuda: no \`$what\`: host, gpu or check" >&2; exit 64 ;;
esac
