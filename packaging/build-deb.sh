#!/bin/bash
# build-deb.sh BIN VERSION: dist/forge_VERSION_amd64.deb from the executables in BIN.
#
# owns      the staged tree dist/stage/forge-VERSION (what goes where) and the call of dpkg-buildpackage
# promises  the same executables and sources give the same bytes: one time stamp for everything, no build path, no build id
# never     compiles; never needs the network
# flow      executables, units, policy, recipes, manual pages, completions → root/ → dpkg-buildpackage → lintian → dist/
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$1 version=$2
export LC_ALL=C
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(date -u -d "$(sed -n 's/^ -- .*>  //p' packaging/debian/changelog | head -n 1)" +%s)}
export SOURCE_DATE_EPOCH
stage=dist/stage/forge-$version root=dist/stage/forge-$version/root
grep -q "^forge ($version)" packaging/debian/changelog || { echo "deb: packaging/debian/changelog does not begin with version $version" >&2; exit 1; }

rm -rf "$stage"; mkdir -p "$root"
cp -r packaging/debian "$stage/debian"

put() { install -D -m "$1" "$2" "$root/$3"; }
program() {
    put 0755 "$bin/$1" "$2/$1"
    # Scripts stand in for executables when only the package itself is tested.
    if [ "$(head -c 4 "$root/$2/$1" | tail -c 3)" = ELF ]; then
        # The one section that differs between two folders is blanked, not removed: objcopy would lose the read-only relocations with it.
        local section
        section=$(readelf -SW "$root/$2/$1" | sed -nE 's/.*\] \.swift_modhash +PROGBITS +[0-9a-f]+ ([0-9a-f]+) ([0-9a-f]+) .*/\1 \2/p')
        if [ -n "$section" ]; then
            dd if=/dev/zero of="$root/$2/$1" bs=1 seek=$((16#${section% *})) count=$((16#${section#* })) conv=notrunc status=none
        fi
        strip --strip-all "$root/$2/$1"
    fi
}
program forge usr/bin
program forge-verify usr/bin
for daemon in forged forge-registry forge-serve forge-admin; do program $daemon usr/libexec/forge; done
put 0755 packaging/forge-firstboot usr/libexec/forge/forge-firstboot

for unit in systemd/*.service systemd/*.socket systemd/*.target systemd/*.slice; do put 0644 "$unit" "lib/systemd/system/${unit##*/}"; done
put 0644 systemd/gpu.conf usr/share/forge/systemd/gpu.conf
cp systemd/forge.sysusers.conf "$stage/debian/forge.sysusers"
cp systemd/forge.tmpfiles.conf "$stage/debian/forge.tmpfiles"
put 0644 packaging/forge.yaml etc/forge/forge.yaml

# What people read and may copy: the default policy with its tests, the recipes, the formats, the manual.
copy() {
    local from=$1 to=$2 file
    [ -d "$from" ] || { echo "deb: not yet: $from is not in the tree" >&2; return 0; }
    while IFS= read -r file; do
        if [ -x "$from/$file" ]; then put 0755 "$from/$file" "$to/$file"; else put 0644 "$from/$file" "$to/$file"; fi
    done < <(cd "$from" && find . -type f | sort)
}
copy policy usr/share/forge/policy
copy recipes usr/share/forge/recipes
copy docs/formats usr/share/doc/forge/formats
copy docs/manual usr/share/doc/forge/manual
copy docs/api usr/share/doc/forge/api
put 0755 docs/examples/verify.py usr/share/doc/forge/examples/verify.py
[ ! -e docs/threat-model.md ] || put 0644 docs/threat-model.md usr/share/doc/forge/threat-model.md

# Manual pages: of the verbs, from the program's own description; of daemons and files, by hand.
mkdir -p "$stage/man"
"$bin/forge" --experimental-dump-help >"$stage/forge.json"
python3 packaging/manual/pages.py "$stage/forge.json" "$version" "$SOURCE_DATE_EPOCH" "$stage/man"
cp packaging/manual/*.[1-8] "$stage/man/"
(cd "$stage" && find man -type f | sort >debian/forge.manpages)

put 0644 /dev/stdin usr/share/bash-completion/completions/forge < <("$bin/forge" --generate-completion-script bash | sed '1{/^#!/d}')
put 0644 /dev/stdin usr/share/zsh/vendor-completions/_forge < <("$bin/forge" --generate-completion-script zsh)
put 0644 /dev/stdin usr/share/fish/vendor_completions.d/forge.fish < <("$bin/forge" --generate-completion-script fish)
for file in bash-completion/completions/forge zsh/vendor-completions/_forge fish/vendor_completions.d/forge.fish; do
    [ -s "$root/usr/share/$file" ] || { echo "deb: \`forge --generate-completion-script\` wrote nothing for $file" >&2; exit 1; }
done

find "$stage" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
(cd "$stage" && dpkg-buildpackage -b -us -uc --no-sign -d) >dist/dpkg-buildpackage.log 2>&1 \
    || { tail -n 30 dist/dpkg-buildpackage.log >&2; exit 1; }
mv "dist/stage/forge_${version}_amd64.deb" dist/
(cd dist && sha256sum "forge_${version}_amd64.deb" >SHA256SUMS)

lintian --allow-root --fail-on error --tag-display-limit 0 "dist/forge_${version}_amd64.deb" >dist/lintian.log 2>&1 \
    || { cat dist/lintian.log >&2; echo 'deb: lintian reports errors' >&2; exit 1; }
echo "deb: dist/forge_${version}_amd64.deb ($(du -h "dist/forge_${version}_amd64.deb" | cut -f 1)), lintian: no error, $(grep -c '^W:' dist/lintian.log || true) warnings"
