heading '7. The answer has a receipt'
need receipt verify; need receipt replay
receipt=$(field receipt.id <.demo/answers/answer.json) || fail 'the answer has no receipt'
tell 'The id of the answer leads to the model, its approvals, its run, its recipe and every document, with proofs. Then one byte of one document is changed, in a copy, and the document is named.'
as otto run forge receipt show "$receipt" --file .demo/answers/receipt.json
as otto run forge receipt verify "$receipt" --documents .demo/documents
rm -rf .demo/changed; cp -r .demo/documents .demo/changed
victim=$(find .demo/changed/debian-policy -name '*.txt' | sort | head -n 1)
printf '#' | dd of="$victim" bs=1 seek=100 conv=notrunc status=none
as otto refused 3 "$(basename "$victim" | sed 's/\./\\./g')" forge receipt verify "$receipt" --documents .demo/changed
rm -rf .demo/changed
tell 'And the answer can be computed again: the request is checked against its salted commitment, the tokens against the receipt.'
as otto run forge receipt replay "$receipt" --request .demo/answers/request.json --salt "$(field receipt.salt <.demo/answers/answer.json)"
