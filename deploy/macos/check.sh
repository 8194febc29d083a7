#!/bin/bash
# Type-checks this workspace for aarch64-apple-darwin, with clippy, on a Debian machine: no Mac, no SDK, no linker.
#
#   deploy/macos/check.sh [PREFIX]          default PREFIX: /opt/rust-mac   (its set-up once, as root)
#   PREFIX/cargo-mac check | clippy -- -D warnings
#
# How: the compiler is the one of deploy/windows/cross.sh (set up by it if need be, without wine). Of the target only
# std's metadata is wanted, so std is checked once, from rust-web-src of the same version, into a sysroot that lies beside
# that compiler's and borrows everything else from it. Nothing is linked: where a build script wants a C compiler for the
# target, one that writes empty files will do.
# Environment: RUST_WIN=/opt/rust-win (where cross.sh put its own); SETUP_ONLY=1 stops before the check.
set -euo pipefail
root=$(realpath "$(dirname "$0")/../..")
P=$(realpath -m "${1:-/opt/rust-mac}")
W=$(realpath -m "${RUST_WIN:-/opt/rust-win}")
T=aarch64-apple-darwin
START=$SECONDS
say() { printf '[%4ds] %s\n' $((SECONDS - START)) "$*"; }

setup() {
    [ -e "$W/.ready" ] || NO_WINE=1 "$root/deploy/windows/cross.sh" "$W"
    local version
    version=$("$W/usr/bin/rustc" -V)
    if [ "$(cat "$P/.ready" 2>/dev/null)" = "$version" ]; then
        say "ready: $version in $P"
        return
    fi
    if [ -n "$(ls -A "$P" 2>/dev/null)" ] && [ ! -e "$P/.rust-mac" ]; then
        echo "$P is not empty and not this script's" >&2
        exit 1
    fi
    rm -rf "$P"
    mkdir -p "$P/debs" "$P/bin" "$P/sysroot/lib/rustlib/$T/lib"
    cd "$P"
    touch .rust-mac
    unset RUSTC RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET CARGO_TARGET_DIR

    # The source of the very std that this compiler was built with. The version on the machine's list may be newer.
    local number package
    number=$(cut -d' ' -f2 <<<"$version")
    package=$(apt-cache madison rust-web-src | awk -v n="$number" '$3 ~ "^" n "[+~-]" {print $3; exit}')
    if [ -z "$package" ]; then
        apt-get update -qq
        package=$(apt-cache madison rust-web-src | awk -v n="$number" '$3 ~ "^" n "[+~-]" {print $3; exit}')
    fi
    [ -n "$package" ] || { echo "no rust-web-src $number is to be had: set $W up anew" >&2; exit 1; }
    ( cd debs && chmod 777 . && apt-get download -qq "rust-web-src=$package" )
    dpkg-deb --fsys-tarfile debs/*.deb | tar -x --wildcards './usr/src/*/library'
    say "source of std $package"

    for host in "$W"/usr/lib/rustlib/*-linux-gnu; do ln -s "$host" sysroot/lib/rustlib/; done
    printf '#!/bin/sh\nexec %s --sysroot %s "$@"\n' "$W/usr/bin/rustc" "$P/sysroot" >bin/rustc
    # An object file of the host: nobody looks into it.
    printf '#!/bin/sh\nout=\nfor a; do [ "$p" = -o ] && out=$a; p=$a; done\n[ -z "$out" ] || : >"$out"\n' >bin/cc
    cp bin/cc bin/ar
    chmod +x bin/*
    ( cd usr/src/*/library/sysroot
      RUSTC="$P/bin/rustc" RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$P/std" RUSTFLAGS=-Zforce-unstable-if-unmarked \
          nice -n 10 cargo check -q --release --target $T --features 'panic-unwind backtrace' )
    cp std/$T/release/deps/*.rmeta "sysroot/lib/rustlib/$T/lib/"
    local id
    id=$(cat "sysroot/lib/rustlib/$T/lib"/*.rmeta | sha256sum | cut -c1-16)
    say "std for $T"

    cat >cargo-mac <<E2
#!/bin/sh
# cargo for $T: enough to check, not to link.
export RUSTC=$P/bin/rustc SYSROOT=$P/sysroot CARGO_BUILD_TARGET=$T SDKROOT=/
export CC_aarch64_apple_darwin=$P/bin/cc AR_aarch64_apple_darwin=$P/bin/ar
export CARGO_TARGET_DIR=\${CARGO_TARGET_DIR:-\$PWD/target}/mac
# Crates that were checked against another std do not load, and cargo does not notice.
if [ "\$(cat "\$CARGO_TARGET_DIR/.std-id" 2>/dev/null)" != $id ]; then
    rm -rf "\$CARGO_TARGET_DIR/$T"; mkdir -p "\$CARGO_TARGET_DIR"; echo $id >"\$CARGO_TARGET_DIR/.std-id"
fi
case "\${1:-}" in clippy) CARGO=\$(command -v cargo) exec $W/usr/bin/cargo-clippy "\$@" ;; esac
exec cargo "\$@"
E2
    chmod +x cargo-mac
    rm -rf debs std usr
    echo "$version" >.ready
    say "ready: $P ($(du -sm "$P" | cut -f1) MB)"
}

mkdir -p "$(dirname "$P")"
exec 9>"$P.lock"
flock 9
setup
exec 9>&-
[ -z "${SETUP_ONLY:-}" ] || exit 0
cd "$root"
"$P/cargo-mac" clippy --workspace --all-targets --locked -- -D warnings
say "the workspace checks for $T"
