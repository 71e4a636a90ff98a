heading '6. Answers, to curl and to the client that apps already have'
need serve load; need key create
tell 'forge-serve receives the weights in sealed memory; no plaintext touches a disk. An app gets a key of its own and speaks the protocol it knows.'
mkdir -p .demo/answers
as rene run forge serve load manuals@production
as otto run forge key create demo-app --file "$keys/app.key"
chmod 0600 "$keys/app.key"
# The key goes to curl by a file: an argument would be in every process list.
printf 'header = "Authorization: Bearer %s"\n' "$(cat "$keys/app.key")" >"$keys/curl"; chmod 0600 "$keys/curl"
ask() { local path=$1; shift; curl -sS --fail-with-body -K "$keys/curl" --unix-socket "$FORGE_ROOT/run/serve.sock" -H 'content-type: application/json' "$@" "http://forge$path"; }
cat >.demo/answers/request.json <<'END'
{"model": "manuals", "prompt": "NAME\n       grep - ", "max_tokens": 48, "temperature": 0.7, "seed": 7}
END
show curl --unix-socket .demo/site/run/serve.sock -d @.demo/answers/request.json http://forge/v1/completions
ask /v1/completions -d @.demo/answers/request.json >.demo/answers/answer.json || { cat .demo/answers/answer.json; fail 'no completion'; }
python3 -m json.tool .demo/answers/answer.json
show curl … -d '{… "stream": true}' http://forge/v1/chat/completions
ask /v1/chat/completions -N -d '{"model": "manuals", "messages": [{"role": "user", "content": "What does tar do?"}], "max_tokens": 24, "stream": true, "seed": 7}' >.demo/answers/chat.sse || { cat .demo/answers/chat.sse; fail 'no streamed chat'; }
head -n 4 .demo/answers/chat.sse; tell '…'; tail -n 4 .demo/answers/chat.sse
if [ -x .venv/bin/python ] || packaging/peers.sh; then
    run .venv/bin/python $here/openai_client.py "$FORGE_ROOT/run/serve.sock" "$keys/app.key"
else
    tell 'The unmodified `openai` client is not shown: its package could not be fetched.'
fi
