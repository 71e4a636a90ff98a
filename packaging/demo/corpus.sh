#!/bin/bash
# corpus.sh [OUT]: real documents that any Debian machine can have, in OUT (default .demo/documents), without installing anything.
#
# owns      .demo/packages (the .deb files, fetched once) and OUT, one folder a package
# promises  several formats as their authors shipped them: manual pages in roff, HTML, text, Markdown, and a few that Forge does not
#           read yet (EPUB, PDF, images), so that the report has something to refuse; compressed files are expanded
# never     reads what this machine's owner put on it: without a network only /usr/share/man and /usr/share/doc are used
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-.demo/documents} packages=.demo/packages
export LC_ALL=C

# Debian's manuals overlap on purpose (the same text as HTML, text and EPUB; a page in two packages): near-duplicates are real here.
names='manpages manpages-dev coreutils util-linux man-db debhelper dpkg-dev
       debian-policy developers-reference debian-reference-en debian-faq doc-debian apt-doc'

if [ -e "$out/.complete" ]; then echo "corpus: $out is there ($(find "$out" -type f ! -name .complete | wc -l) files)"; exit 0; fi
rm -rf "$out"; mkdir -p "$out" "$packages"

# tree FROM NAME: the documents under FROM, as regular files, into OUT/NAME.
tree() {
    local from=$1 name=$2 file path
    while IFS= read -r -d '' file; do
        path=${file#"$from"/}
        case $path in
            usr/share/man/man[1-8]/*) path=man/${path##*/};;
            usr/share/man/*) continue;;                                                   # translations: the demo's model learns English
            *.[a-z][a-z].html|*.[a-z][a-z].txt*|*_[A-Z][A-Z].html) case $path in *.en.*) ;; *) continue;; esac;;
            */developers-reference/*/*|*/debian-faq/*/*|*/doc-debian/*/*) case $path in */de/*|*/fr/*|*/ja/*|*/ru/*|*/it/*|*/es/*|*/pt*/*|*/pl/*|*/nl/*|*/uk/*|*/zh*/*) continue;; esac;;
        esac
        case $path in
            */changelog*|*/copyright|*/NEWS*|*/_static/*|*/_sources/*|*/examples/*) continue;;
            man/*.gz|*.txt.gz|*.html.gz|*.md.gz) mkdir -p "$out/$name/$(dirname "${path%.gz}")"; gzip -dc "$file" >"$out/$name/${path%.gz}";;
            man/*|*.html|*.htm|*.txt|*.md|*.epub|*.pdf|*.png|*/README|*/FAQ) mkdir -p "$out/$name/$(dirname "$path")"; cp "$file" "$out/$name/$path";;
        esac
    done < <(find "$from/usr/share" -type f -print0 | sort -z)
}

missing=0
for name in $names; do
    compgen -G "$packages/${name}_*.deb" >/dev/null || (cd "$packages" && apt-get -q download "$name" >/dev/null 2>../download.log) || { missing=1; break; }
done
if [ $missing -eq 0 ]; then
    scratch=$(mktemp -d); trap 'rm -rf "$scratch"' EXIT
    for name in $names; do
        dpkg-deb -x "$(ls "$packages/${name}"_*.deb | head -n 1)" "$scratch/$name"
        tree "$scratch/$name" "$name"
    done
else
    echo "corpus: packages cannot be fetched ($(tail -n 1 .demo/download.log)); using what this machine has in /usr/share/man and /usr/share/doc" >&2
    tree "" machine
fi
find "$out" -type f -size 0 -delete
bytes=$(find "$out" -type f -printf '%s\n' | awk '{ n += $1 } END { print n + 0 }')
[ "$bytes" -ge 3000000 ] || { echo "corpus: only $bytes bytes of documents were found; \`apt-get update\` and try again, or give a folder of your own" >&2; exit 1; }
touch "$out/.complete"
echo "corpus: $out, $(find "$out" -type f ! -name .complete | wc -l) files, $((bytes / 1000000)) MB: $(find "$out" -type f ! -name .complete | sed -E 's,.*/,,; s,.*\.,,; s,^[1-8][a-z]*$,roff,' | sort | uniq -c | sort -rn | awk '{ printf "%s%s %s", s, $1, $2; s = ", " }')"
