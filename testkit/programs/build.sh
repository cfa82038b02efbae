#!/bin/sh
# Builds the programs from their sources into elf/. README.md says what it needs.
set -eu
cd "$(dirname "$0")"

llvm=${LLVM:-/usr/lib/llvm-22/bin}
sysroot=${SYSROOT:-/usr}
target=${CARGO_TARGET_DIR:-$PWD/target}

CARGO_TARGET_DIR=$target/link cargo build --quiet --release --locked --manifest-path link/Cargo.toml
link=$target/link/release/polity-programs-link

RUSTC=$sysroot/bin/rustc \
RUSTFLAGS="--sysroot $sysroot -C llvm-args=-bpf-stack-size=4096 --remap-path-prefix=$PWD/=" \
CARGO_TARGET_DIR=$target \
    cargo build --quiet --release --locked --examples --target bpfel-unknown-none

mkdir -p elf
for program in amm caller counter probe purse relay script version1 version2; do
    parts=$target/parts/$program
    rm -rf "$parts"
    mkdir -p "$parts"
    library=$target/bpfel-unknown-none/release/examples/lib$program.a
    (cd "$parts" && "$llvm/llvm-ar" x "$library")
    "$llvm/llvm-link" "$parts"/*.o -o "$parts/all.bc"
    "$llvm/opt" -passes='internalize,globaldce' \
        -internalize-public-api-list=entrypoint \
        "$parts/all.bc" -o "$parts/program.bc"
    "$llvm/llc" -march=bpfel -mcpu=v2 -bpf-stack-size=4096 -filetype=obj \
        "$parts/program.bc" -o "$parts/program.o"
    "$llvm/llvm-objcopy" --strip-debug "$parts/program.o"
    "$link" "$parts/program.o" "elf/$program.so"
done
