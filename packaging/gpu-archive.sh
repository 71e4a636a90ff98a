#!/bin/bash
# gpu-archive.sh [OUT]: OUT/forge-gpu.tar.xz (default dist): what proves and times the GPU's kernels on a machine that has a driver and nothing of Forge.
#
# promises  under 40 MB; needs there glibc 2.36 or later and an NVIDIA driver; `./test-gpu`, `./test-gpu --sanitizer`, `./bench-gpu`
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-dist} folder=${1:-dist}/forge-gpu
rm -rf "$folder"; mkdir -p "$folder/lib"
packaging/cuda.sh gpu "$folder"
packaging/cuda.sh check "$folder"; strip "$folder/check" "$folder/bench"
rm -f "$folder/kernels.fatbin"
strip -o "$folder/forge-bench" .build/release/forge-bench
# Debian's libraries that another system may not have; the C library and its kin are the target's own.
ldd .build/release/forge-bench | awk '$3 ~ /^\// && $1 !~ /^(libc|libm|libpthread|libdl|librt|libgcc_s|libstdc\+\+)\.so/ { print $3 }' | xargs -I{} cp -L {} "$folder/lib/"
cp packaging/gpu/test-gpu packaging/gpu/bench-gpu Benchmarks/torch_cuda.py Benchmarks/torch_training.py "$folder/"
tar -C "$out" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf - forge-gpu | xz -T0 -6 >"$out/forge-gpu.tar.xz"
bytes=$(stat -c %s "$out/forge-gpu.tar.xz")
[ "$bytes" -lt 40000000 ] || { echo "gpu-archive: $bytes bytes: more than 40 MB" >&2; exit 1; }
echo "gpu-archive: $out/forge-gpu.tar.xz, $((bytes / 1000)) kB: unpack it beside a GPU and run ./test-gpu"
