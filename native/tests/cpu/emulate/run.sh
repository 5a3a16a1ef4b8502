#!/bin/bash
# Runs native tests on instruction sets that this machine lacks: boots a Linux kernel in the Bochs
# PC emulator, as a CPU that has them, with the test programs in its initramfs. See README.md.
#   run.sh BUILD_DIRECTORY [ISA[:TEST[:FILTER]]]...
# ISA is a value of SIGHTLINE_ISA, or "default" for no value; TEST a program of BUILD_DIRECTORY/tests
# without its "_test", all of the list below by default; FILTER the test's own: part of a test
# case's name. Without any: avx512 and avx512bf16, and which ISA is chosen by default.
set -euo pipefail

BOCHS=${BOCHS:-bochs}                       # Bochs 3.0 or later
BOCHS_SHARE=${BOCHS_SHARE:-/usr/share/bochs}  # its BIOS-bochs-latest and VGABIOS-lgpl-latest
BOCHS_DISPLAY=${BOCHS_DISPLAY:-nogui}       # as this Bochs was built: nogui, or "rfb, options=..."
CPU=${CPU:-sapphire_rapids}                 # "bochs --help cpu" lists the models
KERNEL=${KERNEL:-$(ls /boot/vmlinuz-* 2>/dev/null | sort -V | tail -1)}
BUSYBOX=${BUSYBOX:-busybox}                 # linked statically
GRUB_MODULES=${GRUB_MODULES:-/usr/lib/grub/i386-pc}
LIMIT=${LIMIT:-7200}                        # seconds, then the emulator is stopped

tests="isa_selection philox rows gemm alignment alignment_extremes alignment_calls allocation merge \
adamw adamw_step lora"

fail() { echo "run.sh: $*" >&2; exit 2; }
[ $# -ge 1 ] || fail "expected a build directory; see the head of this file"
build=$(cd "$1" && pwd); shift
[ $# -gt 0 ] || set -- default:isa_selection generic:isa_selection avx2:isa_selection avx512 avx512bf16
for command in "$BOCHS" "$BUSYBOX" grub-mkrescue xorriso mformat; do
  command -v "$command" > /dev/null || fail "$command is not here; README.md names the packages"
done
[ -r "$KERNEL" ] || fail "KERNEL=$KERNEL cannot be read"
vga_bios=$BOCHS_SHARE/VGABIOS-lgpl-latest
[ -r "$vga_bios" ] || vga_bios=$vga_bios.bin

work=$(mktemp -d)
emulator=
trap '[ -z "$emulator" ] || kill "$emulator" 2> /dev/null || true; rm -rf "$work"' EXIT

# The guest's files: programs, every library they load, and what to do with them.
root=$work/root
mkdir -p "$root"/{bin,tests,dev,proc} "$work/iso/boot/grub"
cp -L "$(command -v "$BUSYBOX")" "$root/bin/busybox"
ln -s busybox "$root/bin/sh"
count=0
{
  echo '#!/bin/sh'
  echo 'b=/bin/busybox; $b mount -t proc proc /proc; $b mount -t devtmpfs dev /dev 2> /dev/null'
  echo 'exec > /dev/ttyS0 2>&1'
  echo 'export OMP_WAIT_POLICY=PASSIVE'
  echo '$b grep -m 1 "model name" /proc/cpuinfo'
  for run in "$@"; do
    IFS=: read -r isa test filter <<< "$run"
    for name in ${test:-$tests}; do
      program=$build/tests/${name}_test
      [ -x "$program" ] || fail "$program is not built"
      [ -e "$root/tests/$name" ] || cp "$program" "$root/tests/$name"
      value=$isa
      [ "$isa" != default ] || value=
      echo "echo '== $name, $isa${filter:+, $filter}'"
      echo "SIGHTLINE_ISA=$value /tests/$name $filter; echo \"exit code \$?\""
      count=$((count + 1))
      echo "$count" > "$work/count"
    done
  done
  echo 'echo "the guest is done"; $b sleep 1; $b poweroff -f'
} > "$root/init"
chmod +x "$root/init"
for library in $(ldd "$root"/tests/* | grep -o '/[^ ]*\.so[^ ]*' | sort -u); do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done
strip "$root"/tests/* 2> /dev/null || true
(cd "$root" && find . | "$root/bin/busybox" cpio -o -H newc 2> /dev/null) | gzip -1 \
  > "$work/iso/boot/initrd"

cp "$KERNEL" "$work/iso/boot/kernel"
cat > "$work/iso/boot/grub/grub.cfg" << END
set timeout=0
menuentry tests {
  linux /boot/kernel console=ttyS0 quiet loglevel=1 mitigations=off nokaslr panic=-1 rdinit=/init
  initrd /boot/initrd
}
END
grub-mkrescue -d "$GRUB_MODULES" -o "$work/boot.iso" "$work/iso" > "$work/grub.log" 2>&1 ||
  fail "grub-mkrescue: $(tail -3 "$work/grub.log")"

cat > "$work/bochsrc" << END
config_interface: textconfig
display_library: $BOCHS_DISPLAY
memory: guest=512, host=512
cpu: model=$CPU, count=1, ips=100000000, reset_on_triple_fault=0
romimage: file=$BOCHS_SHARE/BIOS-bochs-latest
vgaromimage: file=$vga_bios
ata0-master: type=cdrom, path=$work/boot.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$work/serial
log: $work/log
clock: sync=none
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
END
: > "$work/serial"
SECONDS=0
timeout "$LIMIT" "$BOCHS" -q -f "$work/bochsrc" > "$work/out" 2>&1 < /dev/null &
emulator=$!
tail -n +1 -f --pid="$emulator" "$work/serial" | sed -u 's/\r//' | tee "$work/results"
wait "$emulator" || true  # powering the guest off counts as a panic
emulator=

expected=$(cat "$work/count")
passed=$(grep -c '^exit code 0$' "$work/results" || true)
echo "$passed of $expected runs passed; ${SECONDS} s of wall time"
if ! grep -q '^the guest is done$' "$work/results"; then
  grep -vE 'MSR' "$work/log" | tail -5 >&2
  tail -3 "$work/out" >&2
  fail "the guest did not finish within $LIMIT s, or did not boot: README.md, \"When it fails\""
fi
[ "$passed" = "$expected" ]
