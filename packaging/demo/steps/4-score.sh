heading '4. Sealed, with its lineage, and scored'
need model ls; need eval
tell 'The models are in the registry as sealed blobs, with signed manifests and their lineage. Each is scored in bits per byte on the held-out documents, against a byte-level 5-gram model with modified Kneser-Ney smoothing fitted on the same training documents: the best that counting alone can do. The shipped recipe must beat it by 3 % with each of three seeds.'
as dana run forge model ls
as dana run forge model show manuals@1
as dana run forge model lineage manuals@1
for version in 1 2 3; do as dana run forge eval "manuals@$version"; done

# Reads the registered scores; exit 1 when one of them is short of the 3 %.
as dana forge model ls manuals -o json >.demo/scores.json || fail 'the scores could not be read'
python3 - .demo/scores.json "$(sed -n 's/^seed: *//p' "$recipe")" <<'END'
import json, sys
models = {m["version"]: m for m in json.load(open(sys.argv[1]))["items"]}
print(f"  {'seed':>4}  {'model':<10}  {'bits/byte':>9}  {'5-gram':>7}  {'better by':>9}")
short = False
for version in (1, 2, 3):
    score = next(e for e in models[version]["evaluations"] if e["suite"] == "heldout")
    ours, counted = score["microbits_per_byte"], score["baseline_microbits_per_byte"]
    short |= 100 * (counted - ours) < 3 * counted
    print(f"  {int(sys.argv[2] or 1) + version - 1:>4}  {'manuals@%d' % version:<10}  {ours / 1e6:>9.4f}  {counted / 1e6:>7.4f}  {100 * (counted - ours) / counted:>7.1f} %")
sys.exit(short)
END
short=$?
if [ $short -eq 0 ]; then tell 'Each of the three seeds beats counting by 3 % or more.'
elif [ -n "$practice" ]; then tell "This is not the shipped recipe: that it falls short of the 3 % is said, and the practice goes on."
else fail 'a seed does not beat the 5-gram model by 3 %'; fi
tell 'What a model of this size can do: continue text in the style of a manual, with its sections, options and phrases. What it cannot do: know facts, follow instructions, or be relied on for any statement. It is here to show the path, which is the same for a model a thousand times its size.'
