#!/bin/bash
# deb.sh DEB [BIN]: what is in the package, how its executables are made, and that the same inputs give the same bytes.
set -uo pipefail
deb=$(realpath "${1:?the package}") bin=${2:-.build/release}
cd "$(dirname "$0")/../.."
. Tests/Packaging/report.sh
tree=$(mktemp -d); trap 'rm -rf "$tree"' EXIT
dpkg-deb -x "$deb" "$tree"; dpkg-deb -e "$deb" "$tree/DEBIAN"

while IFS= read -r path; do
    case $path in ''|'#'*) continue;; esac
    if compgen -G "$tree/$path" >/dev/null; then ok "the package has /$path"; else not_ok "the package has /$path"; fi
done <<'END'
usr/bin/forge
usr/bin/forge-verify
usr/libexec/forge/forged
usr/libexec/forge/forge-registry
usr/libexec/forge/forge-serve
usr/libexec/forge/forge-admin
lib/systemd/system/forge.target
lib/systemd/system/forge.slice
lib/systemd/system/forged.service
lib/systemd/system/forge-registry.service
lib/systemd/system/forge-serve.service
lib/systemd/system/forge-admin.service
lib/systemd/system/forge-firstboot.service
lib/systemd/system/forged.socket
lib/systemd/system/forge-registry.socket
lib/systemd/system/forge-weights.socket
lib/systemd/system/forge-serve.socket
lib/systemd/system/forge-serve-operator.socket
lib/systemd/system/forge-admin.socket
usr/lib/sysusers.d/forge.conf
usr/lib/tmpfiles.d/forge.conf
etc/forge/forge.yaml
usr/share/forge/policy/*.cedar
usr/share/forge/policy/schema.cedarschema
usr/share/forge/recipes/*.yaml
usr/share/forge/systemd/gpu.conf
usr/share/man/man1/forge.1.gz
usr/share/man/man1/forge-verify.1.gz
usr/share/man/man1/forge-train.1.gz
usr/share/man/man5/forge.yaml.5.gz
usr/share/man/man5/forge-recipe.5.gz
usr/share/man/man8/forged.8.gz
usr/share/man/man8/forge-registry.8.gz
usr/share/man/man8/forge-serve.8.gz
usr/share/man/man8/forge-admin.8.gz
usr/share/bash-completion/completions/forge
usr/share/zsh/vendor-completions/_forge
usr/share/fish/vendor_completions.d/forge.fish
usr/share/doc/forge/formats/sealed-blob.md
usr/share/doc/forge/examples/verify.py
usr/share/doc/forge/manual/operator.md
usr/share/doc/forge/threat-model.md
END
equal 'only /etc/forge/forge.yaml is a conffile' '/etc/forge/forge.yaml' "$(cat "$tree/DEBIAN/conffiles")"
equal 'nothing in the package is set-uid' '' "$(find "$tree" -perm /6000)"
for page in "$tree"/usr/share/man/man*/*.gz; do
    said=$(zcat "$page" | groff -man -mdoc -Tutf8 -ww -z 2>&1)
    equal "${page##*/} is well formed" '' "$said"
done

# The libraries that the executables may load: each is in a minimal Debian or a dependency of the package.
allowed='libc.so.6 libm.so.6 libstdc++.so.6 libgcc_s.so.1 libcrypto.so.3 libsqlite3.so.0 libsystemd.so.0 libyaml-0.so.2 ld-linux-x86-64.so.2'
for program in usr/bin/forge usr/bin/forge-verify usr/libexec/forge/{forged,forge-registry,forge-serve,forge-admin}; do
    file=$tree/$program name=${program##*/}
    if [ "$(head -c 4 "$file" | tail -c 3)" != ELF ]; then skip "$name is hardened" 'it is no ELF file'; continue; fi
    dynamic=$(readelf -dW "$file"); headers=$(readelf -lW "$file")
    holds "$name is position independent" 'Type: *DYN|DYN \(' "$(readelf -hW "$file")"
    check "$name has read-only relocations" grep -q GNU_RELRO <<<"$headers"
    holds "$name binds at start" 'BIND_NOW|FLAGS_1.*NOW' "$dynamic"
    equal "$name has no run path" '' "$(printf '%s' "$dynamic" | grep -E 'RPATH|RUNPATH')"
    equal "$name has no executable stack" '' "$(printf '%s' "$headers" | grep 'GNU_STACK.*RWE')"
    stray=$(printf '%s' "$dynamic" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | while read -r library; do case " $allowed " in *" $library "*) ;; *) echo "$library";; esac; done)
    equal "$name loads only the libraries allowed" '' "$stray"
    equal "$name does not name the folder it was built in" '' "$(grep -aobF -- "$PWD/" "$file" | head -n 3)"
done
# The verifier must not stand on what it checks.
if [ "$(head -c 4 "$tree/usr/bin/forge-verify" | tail -c 3)" = ELF ]; then
    equal 'forge-verify loads neither libsystemd nor libyaml' '' "$(readelf -dW "$tree/usr/bin/forge-verify" | grep -oE 'libsystemd|libyaml')"
fi

first=$(sha256sum <"$deb")
if packaging/build-deb.sh "$bin" "$(dpkg-deb -f "$deb" Version)" >"$tree/again.log" 2>&1; then
    equal 'packaging the same executables again gives the same bytes' "$first" "$(sha256sum <"$deb")"
else not_ok 'packaging the same executables again gives the same bytes' "$(cat "$tree/again.log")"; fi
finish
