#!/bin/sh
# Builds the program into limit.so. testkit/programs/README.md says what it needs.
set -eu
cd "$(dirname "$0")"

llvm=${LLVM:-/usr/lib/llvm-22/bin}
sysroot=${SYSROOT:-/usr}
target=${CARGO_TARGET_DIR:-$PWD/target}
root=$(cd ../../../.. && pwd)

CARGO_TARGET_DIR=$target/link cargo build --quiet --release --locked \
    --manifest-path "$root/testkit/programs/link/Cargo.toml"
link=$target/link/release/polity-programs-link

RUSTC=$sysroot/bin/rustc \
RUSTFLAGS="--sysroot $sysroot -C llvm-args=-bpf-stack-size=4096 --remap-path-prefix=$root/=" \
CARGO_TARGET_DIR=$target \
    cargo build --quiet --release --locked --target bpfel-unknown-none

parts=$target/parts/limit
rm -rf "$parts"
mkdir -p "$parts"
library=$target/bpfel-unknown-none/release/libpolity_limit_order.a
(cd "$parts" && "$llvm/llvm-ar" x "$library")
"$llvm/llvm-link" "$parts"/*.o -o "$parts/all.bc"
"$llvm/opt" -passes='internalize,globaldce' -internalize-public-api-list=entrypoint \
    "$parts/all.bc" -o "$parts/program.bc"
"$llvm/llc" -march=bpfel -mcpu=v2 -bpf-stack-size=4096 -filetype=obj "$parts/program.bc" -o "$parts/program.o"
"$llvm/llvm-objcopy" --strip-debug "$parts/program.o"
"$link" "$parts/program.o" limit.so
