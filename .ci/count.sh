# count.sh: runs the parts of the tests and adds up their counts. Sourced; never run.
#
# owns      .build/results/*.{log,count,failed}
# promises  a part that ends badly without saying how many failed counts as one failure: nothing is silently green
# never     stops at a failing part: the others still run

results=.build/results

# part NAME COMMAND…: runs it, shows and keeps what it says.
part() {
    local name=$1; shift
    mkdir -p $results
    printf '\n== %s\n' "$name"
    local began=$SECONDS
    "$@" 2>&1 | tee "$results/$name.log"
    part_status=${PIPESTATUS[0]}
    printf '== %s: exit %d after %d s\n' "$name" "$part_status" $((SECONDS - began))
}

part_skipped() { mkdir -p $results; printf '\n== %s: skipped: %s\n' "$1" "$3"; echo "0 0 $2" >"$results/$1.count"; }

# keep NAME PASSED FAILED SKIPPED: an exit status that disagrees with the count is a failure of its own.
keep() {
    local failed=$3
    [ "$part_status" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
    echo "$2 $failed $4" >"$results/$1.count"
}

# count_xml NAME FILE…: test cases of JUnit files. Swift Testing's `tests` attribute leaves skipped cases out and `failures` counts
# issues, so cases are counted themselves.
count_xml() {
    local name=$1 counts; shift
    counts=$(python3 - "$results/$name.failed" "$@" <<'END'
import sys, xml.etree.ElementTree as tree
passed = failed = skipped = 0
names = open(sys.argv[1], "w")
for path in sys.argv[2:]:
    try: root = tree.parse(path).getroot()
    except (OSError, tree.ParseError): continue
    for case in root.iter("testcase"):
        bad = case.find("failure") if case.find("failure") is not None else case.find("error")
        if case.find("skipped") is not None: skipped += 1
        elif bad is not None:
            failed += 1
            print(f"{case.get('classname')}: {case.get('name')}: {(bad.get('message') or '')[:2000]}", file=names)
        else: passed += 1
print(passed, failed, skipped)
END
    ) || counts='0 1 0'
    # shellcheck disable=SC2086
    keep "$name" $counts
}

# count_line NAME: the last line `N passed, N failed, N skipped` of a part's own output.
count_line() {
    local counts
    counts=$(sed -nE 's/^([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped$/\1 \2 \3/p' "$results/$1.log" | tail -n 1)
    # shellcheck disable=SC2086
    keep "$1" ${counts:-0 1 0}
}

# total: what failed, by name, then the one last line, and the exit status.
total() {
    local file
    for file in "$results"/*.count; do
        read -r _ failed _ <"$file"
        [ "$failed" -gt 0 ] || continue
        printf '\nfailed in %s (%s)\n' "$(basename "$file" .count)" "$results/$(basename "$file" .count).log"
        cat "${file%.count}.failed" 2>/dev/null
        # Parts that report no cases, or were not built, say so on lines like these.
        [ -s "${file%.count}.failed" ] || grep -E '^(not ok|FAILED|ERROR)|error:' "${file%.count}.log" | head -n 40
    done
    cat "$results"/*.count | awk '{ p += $1; f += $2; s += $3 } END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 }'
}
