#!/bin/bash
# Sets up a machine to build, lint and run this workspace for x86_64-pc-windows-gnu, run by wine. It needs Debian
# bookworm, rustup's stable Rust, apt and crates.io; no Windows, and no rustup target.
#
#   deploy/windows/cross.sh [PREFIX]        default PREFIX: /opt/rust-win   (as root; does nothing the second time)
#   PREFIX/cargo-win build | test | check | clippy -- -D warnings
#   PREFIX/cargo-win nextest run            build + test for Windows, tests run under wine
#   PREFIX/wine-run some.exe args           run one program
#   PREFIX/wine-stop                        end the wine server (do it at the end of CI)
#
# How: Debian's rustc (rustc-web, from bookworm-security) is unpacked - not installed - into
# PREFIX, its matching std source (rust-web-src) is built once for Windows and put into its
# sysroot. rustup's own cargo drives it, so stable cargo works: no nightly, no -Zbuild-std, and
# no RUSTC_BOOTSTRAP after set-up. mingw-w64 links and compiles C; wine64 runs.
# Environment: NO_WINE=1 skips wine; NO_CLIPPY=1 skips clippy; STD_OPT=0..3 (std's opt-level, default 1).
set -euo pipefail
P=$(realpath -m "${1:-/opt/rust-win}")
T=x86_64-pc-windows-gnu
STAMP=$P/.ready
START=$SECONDS
trap 'wait' EXIT                                   # never leave apt running behind a failure
say() { printf '[%4ds] %s\n' $((SECONDS - START)) "$*"; }
mb() { du -sm "$1" | cut -f1; }
# Two at once would clear each other's work away: the second waits, and then finds all of it ready.
mkdir -p "$(dirname "$P")"
exec 9>"$P.lock"
flock 9
if [ -e "$STAMP" ] && [ "$("$P/usr/bin/rustc" -V 2>/dev/null)" = "$(cat "$STAMP")" ] \
   && command -v x86_64-w64-mingw32-gcc >/dev/null && { [ -n "${NO_WINE:-}" ] || [ -x /usr/lib/wine/wine64 ]; }; then
    echo "ready: $(cat "$STAMP") in $P"; exit 0
fi
if [ -n "$(ls -A "$P" 2>/dev/null)" ] && [ ! -e "$P/.rust-win" ]; then echo "$P is not empty and not this script's" >&2; exit 1; fi
rm -rf "$P"; mkdir -p "$P/debs"; cd "$P"; touch .rust-win
export DEBIAN_FRONTEND=noninteractive
unset RUSTC RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET CARGO_TARGET_DIR LD_LIBRARY_PATH

# 1. linker, LLVM's shared library (plain installs, no conflict with rustup), wine in the background
get() { apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@"; }
dep() { apt-cache show "$1" | awk -v r="$2" '/^Depends:/ && match($0, r) {d = substr($0, RSTART, RLENGTH)} END {print d}'; }
size() { apt-get install --print-uris -y -qq --no-install-recommends "$@" | awk '$3 ~ /^[0-9]+$/ {s += $3; n++} END {printf "%d packages, %d MB to download", n, s / 1e6}'; }
apt-get update -qq
ver=$(apt-cache policy rustc-web | awk '/Candidate:/{print $2}')
stdlib=$(dep "libstd-rust-web-dev=$ver" 'libstd-rust-web-[0-9.]+')
llvm=$(dep "$stdlib=$ver" 'libllvm[0-9]+')
say "mingw-w64, $llvm: $(size gcc-mingw-w64-x86-64-win32 "$llvm")"
get gcc-mingw-w64-x86-64-win32 "$llvm" >"$P/apt.log" 2>&1 || { cat "$P/apt.log"; exit 1; }
say "mingw-w64 and $llvm installed"
WINE=
[ -n "${NO_WINE:-}" ] || { say "wine64: $(size wine64)"; get wine64 >"$P/wine.log" 2>&1 & WINE=$!; }

# 2. Debian's rustc + std source, one matching version, unpacked only
pk=("rustc-web=$ver" "libstd-rust-web-dev=$ver" "$stdlib=$ver" "rust-web-src=$ver")
[ -n "${NO_CLIPPY:-}" ] || pk+=("rust-web-clippy=$ver")
( cd debs && chmod 777 . && apt-get download -qq "${pk[@]}" )
say "downloaded $(mb debs) MB: ${pk[*]}"
for d in debs/*.deb; do
    case $d in
        *rust-web-src*) dpkg-deb --fsys-tarfile "$d" | tar -x --wildcards './usr/src/*/library' ;;
        *)              dpkg-deb --fsys-tarfile "$d" | tar -x --exclude='./usr/share' ;;
    esac
done
for b in rustc rustdoc clippy-driver cargo-clippy; do   # the driver's libraries are found by a wrapper
    [ -e usr/bin/$b ] || continue
    mv usr/bin/$b usr/bin/$b.real
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s/usr/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec %s/usr/bin/%s.real "$@"\n' "$P" "$P" $b >usr/bin/$b
    chmod +x usr/bin/$b
done
say "unpacked $(usr/bin/rustc -V), $(mb usr) MB"

# 3. std for Windows, once, into that rustc's sysroot
( cd usr/src/*/library/sysroot
  RUSTC="$P/usr/bin/rustc" RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$P/std" \
  RUSTFLAGS='-Zforce-unstable-if-unmarked' CARGO_PROFILE_RELEASE_OPT_LEVEL=${STD_OPT:-1} \
  nice -n 10 cargo build -q --release --target $T --features 'panic-unwind backtrace' )
d=usr/lib/rustlib/$T/lib; mkdir -p $d
cp std/$T/release/deps/*.rlib $d/
cat $d/*.rlib | sha256sum | cut -c1-16 >.std-id
say "std for $T built, $(mb $d) MB"
rm -rf std debs usr/src usr/lib/rustlib/src

# 4. wrappers
cat >wine-run <<E
#!/bin/sh
export WINEPREFIX=$P/wine WINEARCH=win64 WINEDLLOVERRIDES='mscoree,mshtml=' WINEDEBUG=\${WINEDEBUG:--all}
exec /usr/lib/wine/wine64 "\$@"
E
cat >wine-stop <<E
#!/bin/sh
WINEPREFIX=$P/wine exec /usr/lib/wine/wineserver64 -k
E
cat >cargo-win <<E
#!/bin/sh
# cargo for $T: Debian's rustc, its own target folder, wine as the runner
export RUSTC=$P/usr/bin/rustc RUSTDOC=$P/usr/bin/rustdoc CARGO_BUILD_TARGET=$T
export CARGO_TARGET_DIR=\${CARGO_TARGET_DIR:-\$PWD/target}/win CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=$P/wine-run
# crates built against another std (PREFIX made anew) would not load (E0463), and cargo does not notice
if [ "\$(cat "\$CARGO_TARGET_DIR/.std-id" 2>/dev/null)" != $(cat .std-id) ]; then
    rm -rf "\$CARGO_TARGET_DIR/$T"; mkdir -p "\$CARGO_TARGET_DIR"; echo $(cat .std-id) >"\$CARGO_TARGET_DIR/.std-id"
fi
# wine's own services start here, so that they do not hold a test's output pipes (nextest's LEAK)
[ ! -d $P/wine ] || { WINEPREFIX=$P/wine /usr/lib/wine/wineserver64 -p300; $P/wine-run wineboot; } >/dev/null 2>&1 </dev/null || :
case "\${1:-}" in clippy) CARGO=\$(command -v cargo) exec $P/usr/bin/cargo-clippy "\$@" ;; esac
exec cargo "\$@"
E
chmod +x wine-run wine-stop cargo-win

# 5. wine's prefix; wine 8 lacks bcryptprimitives.dll, which Rust's std imports (ProcessPrng)
if [ -n "$WINE" ]; then
    wait "$WINE" || { cat "$P/wine.log"; exit 1; }
    say "wine64 installed"
    ./wine-run wineboot -i >/dev/null 2>&1 </dev/null 9>&- || :
    ./wine-run winecfg /v win10 >/dev/null 2>&1 </dev/null 9>&-
    if [ ! -e /usr/lib/x86_64-linux-gnu/wine/x86_64-windows/bcryptprimitives.dll ]; then
        cat >bcryptprimitives.c <<'E'
#include <windows.h>
#include <ntsecapi.h>
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE p, SIZE_T n) {
    while (n) { ULONG c = n > 0x10000000 ? 0x10000000 : (ULONG)n; if (!RtlGenRandom(p, c)) return FALSE; p += c; n -= c; }
    return TRUE;
}
E
        x86_64-w64-mingw32-gcc -O2 -s -shared -o wine/drive_c/windows/system32/bcryptprimitives.dll bcryptprimitives.c -ladvapi32
    fi
    say "wine prefix ready, $(mb wine) MB"
fi

# 6. smoke test
mkdir -p smoke && cd smoke
echo 'fn main(){let r=std::panic::catch_unwind(||panic!("x"));println!("{} {} {}",std::env::consts::OS,r.is_err(),std::thread::spawn(||21*2).join().unwrap());}' >m.rs
"$P/usr/bin/rustc" --target $T m.rs -o m.exe
if [ -n "$WINE" ]; then
    got=$("$P/wine-run" m.exe 2>/dev/null 9>&- | tr -d '\r')
    [ "$got" = "windows true 42" ] || { echo "smoke test failed: '$got'"; exit 1; }
    say "smoke test under wine: $got"
    "$P/wine-stop" || :
fi
cd "$P"; rm -rf smoke bcryptprimitives.c apt.log wine.log
"$P/usr/bin/rustc" -V >"$STAMP"
say "ready: $P ($(mb "$P") MB)"
