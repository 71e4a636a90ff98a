#!/bin/sh
# Writes the bundle under policy/ into Sources/ForgePolicy/ShippedBundle.swift (docs/formats/policy-bundle.md, "The shipped bundle").
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$here/../Sources/ForgePolicy/ShippedBundle.swift
names=$(cd "$here" && ls | LC_ALL=C sort | grep -E '^(schema\.cedarschema|[0-9][0-9]-[a-z0-9-]+\.cedar)$')
digest=$({
    printf 'forge-policy-bundle-v1\n'
    for name in $names; do
        printf '%s %s\n' "$name" "$(wc -c <"$here/$name")"
        cat "$here/$name"
        printf '\n'
    done
} | sha256sum | cut -d' ' -f1)
{
    printf '// Written by policy/ship.sh from policy/; do not edit.\n\n'
    printf '/// The bundle this version ships: the only one that activation accepts.\n'
    printf 'package enum ShippedBundle {\n'
    printf '    package static let digest = "sha256:%s"\n\n' "$digest"
    printf '    /// Name and content of each file, in byte order of the names.\n'
    printf '    package static let files: [(name: String, content: String)] = [\n'
    for name in $names; do
        printf '        (\n            "%s",\n            ###"""\n' "$name"
        sed 's/^\(..*\)$/            \1/' "$here/$name"
        printf '\n            """###\n        ),\n'
    done
    printf '    ]\n}\n'
} >"$out.new"
mv "$out.new" "$out"
echo "sha256:$digest"
