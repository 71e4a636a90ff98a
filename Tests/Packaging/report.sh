# report.sh: how the shell tests count. Sourced; never run.
#
# owns      the three counters and the last line `N passed, N failed, N skipped`
# promises  one line a check (`ok`, `not ok`, `skip` and a sentence); a failed check never ends the script, `finish` gives the exit code
# never     hides output: what a failing command said is printed under its line, indented

report_passed=0 report_failed=0 report_skipped=0

ok()     { report_passed=$((report_passed + 1)); printf 'ok      %s\n' "$1"; }
not_ok() { report_failed=$((report_failed + 1)); printf 'not ok  %s\n' "$1"; [ -z "${2-}" ] || printf '%s\n' "$2" | sed 's/^/        | /'; }
skip()   { report_skipped=$((report_skipped + 1)); printf 'skip    %s: %s\n' "$1" "$2"; }

# check SENTENCE COMMAND…: passes when the command ends with 0.
check() {
    local sentence=$1 said; shift
    if said=$("$@" 2>&1); then ok "$sentence"; else not_ok "$sentence" "$said"; fi
}

# refuses SENTENCE PATTERN COMMAND…: passes when the command fails and says something that matches PATTERN (extended, any case).
refuses() {
    local sentence=$1 pattern=$2 said; shift 2
    if said=$("$@" 2>&1); then not_ok "$sentence" "it was allowed: $said"
    elif grep -qiE -- "$pattern" <<<"$said"; then ok "$sentence"
    else not_ok "$sentence" "refused, but not with /$pattern/: $said"; fi
}

# equal SENTENCE WANTED FOUND
equal() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "wanted: $2"$'\n'"found:  $3"; fi; }

# holds SENTENCE PATTERN TEXT: passes when TEXT matches PATTERN (extended).
holds() { if grep -qE -- "$2" <<<"$3"; then ok "$1"; else not_ok "$1" "no /$2/ in: $3"; fi; }

finish() {
    printf '%d passed, %d failed, %d skipped\n' $report_passed $report_failed $report_skipped
    [ $report_failed -eq 0 ]
}
