#!/bin/bash
# medium.sh OUT DEB…: a signed apt repository in one folder, ready for a stick or a disc. Needs no network.
#
# owns      OUT/{pool,dists,.disk}, the archive key beside them, SHA256SUMS with its signature
# promises  everything apt needs to install the packages given, trusted through one key and nothing else; no expiry, as media are old
# never     keeps a private key in OUT
# key       $FORGE_ARCHIVE_KEY names one in the caller's keyring; without it a key is made for this medium and thrown away
#
# The customer copies forge-archive-keyring.gpg to /etc/apt/keyrings/forge.gpg, compares its fingerprint with the paper, and writes
#   deb [signed-by=/etc/apt/keyrings/forge.gpg] file:/media/forge bookworm main
# to /etc/apt/sources.list.d/forge.list; then `apt update && apt install forge`. A bare `apt install ./forge.deb` checks no signature.
set -euo pipefail
out=$1; shift
export LC_ALL=C
suite=bookworm
rm -rf "$out"; mkdir -p "$out/pool" "$out/dists/$suite/main/binary-amd64" "$out/.disk"
cp "$@" "$out/pool/"
echo 'Forge' >"$out/.disk/info"

if [ -z "${FORGE_ARCHIVE_KEY-}" ]; then
    GNUPGHOME=$(mktemp -d); export GNUPGHOME; chmod 0700 "$GNUPGHOME"
    trap 'gpgconf --kill all; rm -rf "$GNUPGHOME"' EXIT
    gpg --batch --quiet --passphrase '' --quick-generate-key 'Forge medium' ed25519 sign never 2>/dev/null
    FORGE_ARCHIVE_KEY='Forge medium'
fi
sign() { gpg --batch --quiet --yes --local-user "$FORGE_ARCHIVE_KEY" "$@"; }

cd "$out"
apt-ftparchive packages pool >"dists/$suite/main/binary-amd64/Packages"
gzip -9nk "dists/$suite/main/binary-amd64/Packages"
release=()
for pair in Origin=Forge Label=Forge Suite=$suite Codename=$suite Architectures=amd64 Components=main; do release+=(-o "APT::FTPArchive::Release::$pair"); done
apt-ftparchive "${release[@]}" -o APT::FTPArchive::MD5=no -o APT::FTPArchive::SHA1=no release "dists/$suite" >Release.new
mv Release.new "dists/$suite/Release"
sign --clearsign -o "dists/$suite/InRelease" "dists/$suite/Release"
sign --export -o forge-archive-keyring.gpg "$FORGE_ARCHIVE_KEY"
(cd pool && sha256sum ./*.deb) >SHA256SUMS
sign --armor --detach-sign -o SHA256SUMS.asc SHA256SUMS
echo "medium: $out, $(ls pool | wc -l) packages, key $(gpg --batch --with-colons --list-keys "$FORGE_ARCHIVE_KEY" | sed -n 's/^fpr:*\([0-9A-F]*\):$/\1/p' | head -n 1)"
